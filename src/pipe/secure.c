/* Drives the handshake and the records of one connection; see secure.h for what is promised. */
#include "pipe/secure.h"
#include "pipe/dtls_records.h"
#include "pipe/pipe.h"
#include "pipe/secure_internal.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A flight is the ClientHello with the largest hello and a little more. */
enum { FLIGHT_MAX = 8192 };
/* A sending key of TLS 1.3 is replaced after so many records: far below the 2^24.5 up to which
 * AES-GCM keeps its margin (RFC 8446 section 5.5), and the cost is two hashes. */
enum { REKEY_RECORDS = 1 << 18 };
/* What encryption adds to a record of DTLS 1.2: AES-GCM an explicit nonce and a tag (RFC 5288
 * section 3), ChaCha20-Poly1305 a tag (RFC 7905 section 2). */
enum { OVERHEAD_GCM = 8 + 16, OVERHEAD_CHACHA = 16 };
enum { CHANGE_CIPHER_SPEC_LEN = 13 + 1 };

int wg_secure_new(const wg_secure_options *options, wg_secure **out) {
  bool knows = options->expected != NULL || (!options->client && options->on_hello != NULL);
  if (options->identity == NULL || options->output == NULL || !knows ||
      (options->client && (options->hello == NULL || options->hello_len == 0))) {
    return WARP_INVALID;
  }
  if (options->client && options->hello_len > WG_HELLO_MAX) {
    return WARP_TOO_BIG;
  }
  wg_secure *secure = calloc(1, sizeof *secure);
  SSL_CTX *context = wg_secure_context(options->identity, options->datagrams);
  if (secure == NULL || context == NULL) {
    free(secure);
    return WARP_NOMEM;
  }
  secure->datagrams = options->datagrams;
  secure->client = options->client;
  secure->output = options->output;
  secure->on_hello = options->on_hello;
  secure->arg = options->arg;
  if (options->expected != NULL) {
    secure->expected = *options->expected;
    secure->has_expected = true;
  }
  if (options->client) {
    secure->hello = malloc(options->hello_len);
    if (secure->hello != NULL) {
      memcpy(secure->hello, options->hello, options->hello_len);
      secure->hello_len = options->hello_len;
      wg_secure_make_echo(secure->hello, secure->hello_len, secure->echo);
    }
  }
  secure->ssl = wg_secure_ssl(context, secure);
  if (secure->ssl == NULL || (options->client && secure->hello == NULL)) {
    wg_secure_free(secure);
    return WARP_NOMEM;
  }
  *out = secure;
  return WARP_OK;
}

void wg_secure_free(wg_secure *secure) {
  if (secure != NULL) {
    SSL_free(secure->ssl);
    wg_queue_free(&secure->flight);
    free(secure->hello);
    free(secure);
  }
}

/* What anybody can send in the peer's name may make OpenSSL end the connection: an encrypted record
 * that is too short for its cipher (3.0.19, ssl/record/ssl3_record.c: tls1_enc), and in the
 * handshake records in the clear that are malformed or out of place. RFC 6347 section 4.1.2.7 has
 * invalid records dropped. */
static size_t sound_len(const wg_secure *secure, const uint8_t *data, size_t len) {
  const SSL_CIPHER *cipher = SSL_get_current_cipher(secure->ssl);
  bool chacha = cipher != NULL && SSL_CIPHER_get_cipher_nid(cipher) == NID_chacha20_poly1305;
  wg_dtls_rules rules = {.client = secure->client,
                         .hello = !secure->client && !secure->hello_seen,
                         .overhead = chacha ? OVERHEAD_CHACHA : OVERHEAD_GCM};
  return wg_dtls_sound_len(data, len, &rules);
}

void wg_secure_feed(wg_secure *secure, const uint8_t *data, size_t len) {
  secure->in = data;
  secure->in_len = secure->datagrams && len > 0 ? sound_len(secure, data, len) : len;
}

size_t wg_secure_unread(const wg_secure *secure) {
  return secure->in_len;
}

const char *wg_secure_detail(const wg_secure *secure) {
  return secure->detail;
}

const warp_key *wg_secure_peer(const wg_secure *secure) {
  return &secure->expected;
}

unsigned wg_secure_flights(const wg_secure *secure) {
  return secure->flights;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void keep_for_repetition(wg_secure *secure, const uint8_t *data, size_t len) {
  if (secure->flight_begins) {
    wg_queue_drop(&secure->flight, secure->flight.len);
    secure->flight_begins = false;
    secure->flights++;
  }
  uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};
  if (secure->flight.len + sizeof head + len > FLIGHT_MAX ||
      !wg_queue_push(&secure->flight, head, sizeof head)) {
    return;
  }
  if (!wg_queue_push(&secure->flight, data, len)) {
    secure->flight.len -= sizeof head; /* out of memory: this one is not repeated */
  }
}

void wg_secure_send(wg_secure *secure, const uint8_t *data, size_t len) {
  if (secure->silent) {
    return;
  }
  if (secure->datagrams && SSL_in_init(secure->ssl)) {
    keep_for_repetition(secure, data, len);
  }
  secure->records_out++;
  secure->output(secure->arg, data, len);
}

bool wg_secure_repeat(wg_secure *secure) {
  const wg_queue *flight = &secure->flight;
  if (flight->len == 0 || secure->status != WARP_OK) {
    return false;
  }
  const uint8_t *bytes = wg_queue_front(flight);
  for (size_t at = 0; at < flight->len;) {
    size_t len = (size_t)bytes[at] << 8 | bytes[at + 1];
    secure->output(secure->arg, bytes + at + 2, len);
    at += 2 + len;
  }
  return true;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static int fail(wg_secure *secure, int status, const char *detail) {
  secure->status = status;
  snprintf(secure->detail, sizeof secure->detail, "%s", detail);
  wg_queue_free(&secure->flight);
  return status;
}

/* Why OpenSSL gave up, in our terms. */
static int explain(wg_secure *secure) {
  if (secure->hello_status != WARP_OK) {
    return fail(secure, secure->hello_status, warp_strerror(secure->hello_status));
  }
  if (secure->stranger) {
    return fail(secure, WARP_TLS, "the peer does not speak our protocol");
  }
  if (secure->wrong_key) {
    return fail(secure, WARP_UNTRUSTED, "the peer proved another key");
  }
  const char *detail = "";
  int status = wg_secure_alert_status(secure->alert_in, &detail);
  if (secure->alert_in == 0 && wg_secure_lacked_memory()) {
    status = WARP_NOMEM;
  }
  if (detail[0] == '\0') {
    detail = ERR_reason_error_string(ERR_peek_error());
  }
  fail(secure, status, detail != NULL ? detail : "the secure layer failed without a reason");
  ERR_clear_error();
  return status;
}

/* The outcome of an OpenSSL call that did not succeed. */
static int outcome(wg_secure *secure, int rc) {
  switch (SSL_get_error(secure->ssl, rc)) {
  case SSL_ERROR_WANT_READ:
    return WARP_AGAIN;
  case SSL_ERROR_ZERO_RETURN:
    return WARP_CLOSED;
  default:
    return explain(secure);
  }
}

/* ---- handshake and records ------------------------------------------------------------------- */

/* OpenSSL stops at a ChangeCipherSpec that comes too early, and would read what is behind it in the
 * datagram instead of the next datagram. */
static int do_handshake(wg_secure *secure) {
  size_t rounds = secure->datagrams ? secure->in_len / CHANGE_CIPHER_SPEC_LEN : 0;
  int rc = SSL_do_handshake(secure->ssl);
  while (rc != 1 && rounds-- > 0 && SSL_want_read(secure->ssl) && wg_secure_has_more(secure)) {
    rc = SSL_do_handshake(secure->ssl);
  }
  return rc;
}

int wg_secure_handshake(wg_secure *secure) {
  if (secure->status != WARP_OK) {
    return secure->status;
  }
  secure->flight_begins = true;
  ERR_clear_error();
  int rc = do_handshake(secure);
  if (rc != 1) {
    int status = outcome(secure, rc);
    return status == WARP_CLOSED ? fail(secure, WARP_TLS, "the peer ended the handshake") : status;
  }
  if (secure->client) {
    wg_queue_free(&secure->flight); /* the server's last flight says that it has ours */
  }
  return WARP_OK;
}

int wg_secure_read(wg_secure *secure, void *out, size_t cap, size_t *len) {
  *len = 0;
  if (secure->status != WARP_OK) {
    return secure->status;
  }
  ERR_clear_error();
  int rc = SSL_read_ex(secure->ssl, out, cap, len);
  if (rc != 1) {
    return outcome(secure, rc);
  }
  wg_queue_free(&secure->flight); /* who sends records has our last flight */
  return WARP_OK;
}

bool wg_secure_has_more(const wg_secure *secure) {
  return secure->in_len > 0 || SSL_has_pending(secure->ssl) == 1;
}

int wg_secure_write(wg_secure *secure, const void *data, size_t len) {
  if (secure->status != WARP_OK) {
    return secure->status;
  }
  ERR_clear_error();
  if (!secure->datagrams && secure->records_out >= REKEY_RECORDS) {
    SSL_key_update(secure->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
    secure->records_out = 0;
  }
  size_t written = 0;
  int rc = SSL_write_ex(secure->ssl, data, len, &written);
  return rc == 1 ? WARP_OK : outcome(secure, rc);
}

void wg_secure_shutdown(wg_secure *secure) {
  if (secure->status == WARP_OK) {
    ERR_clear_error();
    SSL_shutdown(secure->ssl);
    ERR_clear_error();
  }
}
