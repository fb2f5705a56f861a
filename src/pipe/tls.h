/*
 * Ordinary TLS (1.2 or later) without I/O or clock, for relays and pipes opened by hand: the server
 * is who its certificate says, by authorities that this machine or the configuration trusts (RFC
 * 5280, RFC 9525). Not for peers, who prove their node keys: that is secure.h.
 */
#ifndef WG_PIPE_TLS_H
#define WG_PIPE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all streams of a side have in common. */
typedef struct wg_tls_context wg_tls_context;
/* Of clients. `pem`: certificates of authorities, which replace the system's; NULL: the system's,
 * from where OpenSSL looks for them. WARP_NOMEM; WARP_MALFORMED when there is none, or one that is
 * broken. */
int wg_tls_client_context(const void *pem, size_t len, wg_tls_context **out);
/* Of servers: their certificate, after it those that vouch for it, and its key without a password,
 * all PEM. They ask clients for no certificate. WARP_NOMEM; WARP_MALFORMED when one is missing,
 * broken, too weak for OpenSSL, or the key another's. */
int wg_tls_server_context(const void *certificates, size_t len, const void *key, size_t key_len,
                          wg_tls_context **out);
/* Overwrites what was a key, in a way that the compiler keeps. */
void wg_tls_forget(void *data, size_t len);
/* NULL is allowed. Streams that live keep what they need of it. */
void wg_tls_context_free(wg_tls_context *context);

typedef struct wg_tls wg_tls; /* one side of one stream */

typedef struct wg_tls_options {
  wg_tls_context *context;
  /* Of a client. Whom the certificate must be for: a DNS name, which the server is also told
   * (RFC 6066 section 3), or an IP address; and when it must be valid. */
  const char *name;
  int64_t utc_ms;
  /* Bytes are to be sent. Runs inside the calls below. */
  void (*output)(void *arg, const uint8_t *data, size_t len);
  void *arg;
} wg_tls_options;

/* WARP_NOMEM, WARP_INVALID (a client's name is missing, or too long for a DNS name). Sends nothing
 * yet. */
int wg_tls_new(const wg_tls_options *options, wg_tls **out);
/* NULL is allowed. Not from inside its output. */
void wg_tls_free(wg_tls *tls);
/* Bytes that came; copied. WARP_NOMEM. */
int wg_tls_feed(wg_tls *tls, const uint8_t *data, size_t len);
/* Begins or goes on. WARP_OK: complete, the server is who it should be; WARP_AGAIN: feed more.
 * Final: WARP_UNTRUSTED (the certificate: another name, an unknown authority, out of date), else
 * WARP_TLS. */
int wg_tls_handshake(wg_tls *tls);
/* Plaintext of one record at most. WARP_AGAIN: feed more; WARP_CLOSED: the peer has ended its
 * stream (close_notify); final: WARP_TLS. */
int wg_tls_read(wg_tls *tls, void *out, size_t cap, size_t *len);
/* Outputs all of it. WARP_TLS is final. */
int wg_tls_write(wg_tls *tls, const void *data, size_t len);
/* Tells the peer that nothing more will come. */
void wg_tls_shutdown(wg_tls *tls);
/* One line on the last error; never NULL, empty without one. */
const char *wg_tls_detail(const wg_tls *tls);

#endif
