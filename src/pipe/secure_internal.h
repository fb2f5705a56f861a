/* Shared by the files of the secure layer; the only header of the room that sees OpenSSL. */
#ifndef WG_PIPE_SECURE_INTERNAL_H
#define WG_PIPE_SECURE_INTERNAL_H

#include "pipe/queue.h"
#include "pipe/secure.h"

#include <openssl/ssl.h>

/* What a server answers to a hello: our protocol's version and SHA-256 of the hello. */
enum { WG_ECHO_LEN = 1 + 32 };

struct wg_secure {
  SSL *ssl;
  bool datagrams, client;
  void (*output)(void *arg, const uint8_t *data, size_t len);
  int (*on_hello)(void *arg, const uint8_t *hello, size_t len, warp_key *expected);
  void *arg;

  warp_key expected;
  bool has_expected;
  uint8_t *hello; /* client */
  size_t hello_len;
  uint8_t echo[WG_ECHO_LEN]; /* server: to send; client: to be received */
  bool hello_seen, echo_seen;

  const uint8_t *in;
  size_t in_len;
  uint64_t clear_records; /* that came over datagrams, and were numbered anew */
  wg_queue flight;        /* datagrams of our last flight, each after its length in two bytes */
  unsigned flights;
  bool flight_begins;   /* the next output of the handshake starts a new flight */
  unsigned records_out; /* since the sending key was made */

  int hello_status; /* what on_hello answered */
  bool silent;      /* nothing goes out any more */
  bool stranger;    /* a server that did not echo the hello */
  bool wrong_key;
  int alert_in; /* the fatal alert that the peer sent, 0: none */
  int status;   /* the final error, else WARP_OK */
  char detail[WARP_DETAIL_LEN];
};

/* A context as OpenSSL has it, of TLS or DTLS. What SSL_CTX_new lacks memory for it takes for an
 * algorithm that this OpenSSL does not have, and says nothing: so it is made twice, and both must
 * have the same. NULL when out of memory. */
SSL_CTX *wg_secure_new_context(bool datagrams);
/* The context for the identity's key, made at the first call and freed with the key. NULL when out
 * of memory. Borrowed. */
SSL_CTX *wg_secure_context(const wg_identity *identity, bool datagrams);
/* An object of it that calls back to `secure`; NULL when out of memory. Its BIO reads
 * secure->in and writes through wg_secure_send. */
SSL *wg_secure_ssl(SSL_CTX *context, wg_secure *secure);
/* Whether OpenSSL's queue of errors says so. */
bool wg_secure_lacked_memory(void);
/* What OpenSSL wants to send: one flush of a stream, one datagram. */
void wg_secure_send(wg_secure *secure, const uint8_t *data, size_t len);

/* What each side demands of the other; sets the callbacks of a context. 0 when out of memory. */
int wg_secure_demand(SSL_CTX *context);
/* The echo that answers a hello. */
void wg_secure_make_echo(const uint8_t *hello, size_t len, uint8_t echo[WG_ECHO_LEN]);
/* The status that the peer's fatal alert stands for, with one line. */
int wg_secure_alert_status(int alert, const char **detail);

#endif
