/*
 * An ordinary TLS client (1.2 or later) without I/O or clock, for relays: the server is who its
 * certificate says, by authorities that this machine or the configuration trusts (RFC 5280, RFC
 * 9525). Not for peers, who prove their node keys: that is secure.h.
 */
#ifndef WG_PIPE_TLS_CLIENT_H
#define WG_PIPE_TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The authorities, shared by any number of clients. */
typedef struct wg_tls_trust wg_tls_trust;
/* `pem`: certificates of authorities, which replace the system's; NULL: the system's, from where
 * OpenSSL looks for them. WARP_NOMEM; WARP_MALFORMED when there is none, or one that is broken. */
int wg_tls_trust_new(const void *pem, size_t len, wg_tls_trust **out);
/* NULL is allowed. Clients that live keep what they need of it. */
void wg_tls_trust_free(wg_tls_trust *trust);

typedef struct wg_tls_client wg_tls_client;

typedef struct wg_tls_options {
  wg_tls_trust *trust;
  const char *name; /* whom the certificate must be for: a DNS name, which the server is also told
                       (RFC 6066 section 3), or an IP address */
  int64_t utc_ms;   /* when the certificates must be valid */
  /* Bytes are to be sent. Runs inside the calls below. */
  void (*output)(void *arg, const uint8_t *data, size_t len);
  void *arg;
} wg_tls_options;

/* WARP_NOMEM, WARP_INVALID (an empty name, or one too long for a DNS name). Sends nothing yet. */
int wg_tls_client_new(const wg_tls_options *options, wg_tls_client **out);
/* NULL is allowed. Not from inside its output. */
void wg_tls_client_free(wg_tls_client *client);
/* Bytes that came; copied. WARP_NOMEM. */
int wg_tls_client_feed(wg_tls_client *client, const uint8_t *data, size_t len);
/* Begins or goes on. WARP_OK: complete, the server is who it should be; WARP_AGAIN: feed more.
 * Final: WARP_UNTRUSTED (the certificate: another name, an unknown authority, out of date), else
 * WARP_TLS. */
int wg_tls_client_handshake(wg_tls_client *client);
/* Plaintext of one record at most. WARP_AGAIN: feed more; WARP_CLOSED: the server has ended its
 * stream (close_notify); final: WARP_TLS. */
int wg_tls_client_read(wg_tls_client *client, void *out, size_t cap, size_t *len);
/* Outputs all of it. WARP_TLS is final. */
int wg_tls_client_write(wg_tls_client *client, const void *data, size_t len);
/* Tells the server that nothing more will come. */
void wg_tls_client_shutdown(wg_tls_client *client);
/* One line on the last error; never NULL, empty without one. */
const char *wg_tls_client_detail(const wg_tls_client *client);

#endif
