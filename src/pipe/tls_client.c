#include "pipe/tls_client.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <warpgate/warpgate.h>

enum { NAME_MAX_LEN = 253 /* of a DNS name in text, RFC 1035 section 2.3.4 */ };

struct wg_tls_trust {
  SSL_CTX *context;
};

struct wg_tls_client {
  SSL *ssl;
  BIO *in, *out; /* the SSL's */
  void (*output)(void *arg, const uint8_t *data, size_t len);
  void *arg;
  int status; /* the final error, else WARP_OK */
  char detail[WARP_DETAIL_LEN];
};

/* ---- trust ----------------------------------------------------------------------------------- */

/* Text around the certificates is skipped (RFC 7468 section 5.2). */
static bool add_authorities(SSL_CTX *context, const void *pem, size_t len) {
  BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
  X509_STORE *store = SSL_CTX_get_cert_store(context);
  size_t count = 0;
  bool good = bio != NULL;
  while (good) {
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (cert == NULL) {
      break;
    }
    good = X509_STORE_add_cert(store, cert) == 1;
    X509_free(cert);
    count++;
  }
  /* The end is when no further one begins; else the one that began is broken. */
  good = good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  BIO_free(bio);
  return good && count > 0;
}

int wg_tls_trust_new(const void *pem, size_t len, wg_tls_trust **out) {
  wg_tls_trust *trust = calloc(1, sizeof *trust);
  SSL_CTX *context = trust != NULL ? SSL_CTX_new(TLS_client_method()) : NULL;
  if (context == NULL || !SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)) {
    SSL_CTX_free(context);
    free(trust);
    return WARP_NOMEM;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  ERR_clear_error();
  bool good = pem != NULL ? add_authorities(context, pem, len)
                          : SSL_CTX_set_default_verify_paths(context) == 1;
  ERR_clear_error();
  if (!good) {
    SSL_CTX_free(context);
    free(trust);
    return WARP_MALFORMED;
  }
  trust->context = context;
  *out = trust;
  return WARP_OK;
}

void wg_tls_trust_free(wg_tls_trust *trust) {
  if (trust != NULL) {
    SSL_CTX_free(trust->context);
    free(trust);
  }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* An IP address is matched with the certificate's addresses only, a name with its names. */
static bool expect_name(SSL *ssl, const char *name, int64_t utc_ms) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_time(param, (time_t)(utc_ms / 1000));
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (X509_VERIFY_PARAM_set1_ip_asc(param, name)) {
    return true;
  }
  ERR_clear_error();
  return X509_VERIFY_PARAM_set1_host(param, name, 0) && SSL_set_tlsext_host_name(ssl, name);
}

int wg_tls_client_new(const wg_tls_options *options, wg_tls_client **out) {
  size_t len = strlen(options->name);
  if (len == 0 || len > NAME_MAX_LEN) {
    return WARP_INVALID;
  }
  wg_tls_client *client = calloc(1, sizeof *client);
  if (client == NULL) {
    return WARP_NOMEM;
  }
  client->output = options->output;
  client->arg = options->arg;
  client->ssl = SSL_new(options->trust->context);
  client->in = BIO_new(BIO_s_mem());
  client->out = BIO_new(BIO_s_mem());
  if (client->ssl == NULL || client->in == NULL || client->out == NULL ||
      !expect_name(client->ssl, options->name, options->utc_ms)) {
    BIO_free(client->in);
    BIO_free(client->out);
    SSL_free(client->ssl);
    free(client);
    return WARP_NOMEM;
  }
  /* An empty one means that more will come, not that the stream has ended. */
  BIO_set_mem_eof_return(client->in, -1);
  SSL_set_bio(client->ssl, client->in, client->out);
  SSL_set_connect_state(client->ssl);
  *out = client;
  return WARP_OK;
}

void wg_tls_client_free(wg_tls_client *client) {
  if (client != NULL) {
    SSL_free(client->ssl);
    free(client);
  }
}

const char *wg_tls_client_detail(const wg_tls_client *client) {
  return client->detail;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

int wg_tls_client_feed(wg_tls_client *client, const uint8_t *data, size_t len) {
  size_t written = 0;
  if (len == 0) {
    return WARP_OK;
  }
  return BIO_write_ex(client->in, data, len, &written) == 1 && written == len ? WARP_OK
                                                                              : WARP_NOMEM;
}

/* Hands out what OpenSSL has written. */
static void drain(wg_tls_client *client) {
  char *bytes = NULL;
  long len = BIO_get_mem_data(client->out, &bytes);
  if (len > 0) {
    client->output(client->arg, (const uint8_t *)bytes, (size_t)len);
    BIO_reset(client->out);
  }
}

static int fail(wg_tls_client *client) {
  long verdict = SSL_get_verify_result(client->ssl);
  const char *reason = ERR_reason_error_string(ERR_peek_error());
  client->status = WARP_TLS;
  if (verdict != X509_V_OK) {
    client->status = WARP_UNTRUSTED;
    reason = X509_verify_cert_error_string(verdict);
  }
  snprintf(client->detail, sizeof client->detail, "%s",
           reason != NULL ? reason : "the secure layer failed without a reason");
  ERR_clear_error();
  return client->status;
}

/* How an OpenSSL call ended; what it wrote, an alert too, goes out. */
static int outcome(wg_tls_client *client, int rc) {
  int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(client->ssl, rc);
  drain(client);
  switch (error) {
  case SSL_ERROR_NONE:
    return WARP_OK;
  case SSL_ERROR_WANT_READ:
    return WARP_AGAIN;
  case SSL_ERROR_ZERO_RETURN:
    return WARP_CLOSED;
  default:
    return fail(client);
  }
}

int wg_tls_client_handshake(wg_tls_client *client) {
  if (client->status != WARP_OK) {
    return client->status;
  }
  ERR_clear_error();
  int status = outcome(client, SSL_do_handshake(client->ssl));
  return status == WARP_CLOSED ? fail(client) : status;
}

int wg_tls_client_read(wg_tls_client *client, void *out, size_t cap, size_t *len) {
  *len = 0;
  if (client->status != WARP_OK) {
    return client->status;
  }
  ERR_clear_error();
  return outcome(client, SSL_read_ex(client->ssl, out, cap, len));
}

int wg_tls_client_write(wg_tls_client *client, const void *data, size_t len) {
  size_t written = 0;
  if (client->status != WARP_OK || len == 0) {
    return client->status;
  }
  ERR_clear_error();
  int status = outcome(client, SSL_write_ex(client->ssl, data, len, &written));
  /* Nothing to wait for: there is no renegotiation, and the memory takes all. */
  return status == WARP_OK || client->status != WARP_OK ? status : fail(client);
}

void wg_tls_client_shutdown(wg_tls_client *client) {
  if (client->status == WARP_OK && SSL_is_init_finished(client->ssl)) {
    SSL_shutdown(client->ssl);
    drain(client);
    ERR_clear_error();
  }
}
