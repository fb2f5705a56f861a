#include "pipe/tls.h"
#include "pipe/secure_internal.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <warpgate/warpgate.h>

enum { NAME_MAX_LEN = 253 /* of a DNS name in text, RFC 1035 section 2.3.4 */ };

struct wg_tls_context {
  SSL_CTX *context;
  bool server;
};

struct wg_tls {
  SSL *ssl;
  BIO *in, *out; /* the SSL's */
  void (*output)(void *arg, const uint8_t *data, size_t len);
  void *arg;
  int status; /* the final error, else WARP_OK */
  char detail[WARP_DETAIL_LEN];
};

/* ---- certificates and keys ------------------------------------------------------------------- */

/* Without one of ours OpenSSL asks for a password at the terminal. */
static int no_password(char *out, int cap, int writing, void *arg) {
  (void)out, (void)cap, (void)writing, (void)arg;
  return -1;
}

static BIO *reader(const void *pem, size_t len) {
  ERR_clear_error();
  return pem != NULL && len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
}

static X509 *next_certificate(BIO *bio) {
  return PEM_read_bio_X509(bio, NULL, no_password, NULL);
}

/* After the last certificate: no further one begins; else the one that began is broken. Text around
 * them is skipped (RFC 7468 section 5.2). */
static bool is_at_end(void) {
  return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

static bool add_authorities(SSL_CTX *context, const void *pem, size_t len) {
  BIO *bio = reader(pem, len);
  X509_STORE *store = SSL_CTX_get_cert_store(context);
  size_t count = 0;
  bool good = bio != NULL;
  for (X509 *cert; good && (cert = next_certificate(bio)) != NULL; count++) {
    good = X509_STORE_add_cert(store, cert) == 1;
    X509_free(cert);
  }
  good = good && is_at_end();
  BIO_free(bio);
  return good && count > 0;
}

/* The first is the server's own; those that vouch for it follow (RFC 8446 section 4.4.2). */
static bool use_certificates(SSL_CTX *context, const void *pem, size_t len) {
  BIO *bio = reader(pem, len);
  X509 *own = bio != NULL ? next_certificate(bio) : NULL;
  bool good = own != NULL && SSL_CTX_use_certificate(context, own) == 1;
  X509_free(own);
  for (X509 *cert; good && (cert = next_certificate(bio)) != NULL;) {
    good = SSL_CTX_add1_chain_cert(context, cert) == 1;
    X509_free(cert);
  }
  good = good && is_at_end();
  BIO_free(bio);
  return good;
}

/* It must be the certificate's. */
static bool use_key(SSL_CTX *context, const void *pem, size_t len) {
  BIO *bio = reader(pem, len);
  EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
  bool good = key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1 &&
              SSL_CTX_check_private_key(context) == 1;
  EVP_PKEY_free(key);
  BIO_free(bio);
  return good;
}

static wg_tls_context *new_context(bool server) {
  wg_tls_context *made = calloc(1, sizeof *made);
  SSL_CTX *context = made != NULL ? wg_secure_new_context(false) : NULL;
  if (context == NULL || !SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)) {
    SSL_CTX_free(context);
    free(made);
    return NULL;
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  /* Nobody resumes, and a ticket's key would open what many sessions said. */
  SSL_CTX_set_num_tickets(context, 0);
  made->context = context;
  made->server = server;
  return made;
}

static int finish_context(wg_tls_context *made, bool good, wg_tls_context **out) {
  int status = good ? WARP_OK : wg_secure_lacked_memory() ? WARP_NOMEM : WARP_MALFORMED;
  ERR_clear_error();
  if (status != WARP_OK) {
    wg_tls_context_free(made);
    return status;
  }
  *out = made;
  return WARP_OK;
}

int wg_tls_client_context(const void *pem, size_t len, wg_tls_context **out) {
  wg_tls_context *made = new_context(false);
  if (made == NULL) {
    return WARP_NOMEM;
  }
  SSL_CTX_set_verify(made->context, SSL_VERIFY_PEER, NULL);
  bool good = pem != NULL ? add_authorities(made->context, pem, len)
                          : SSL_CTX_set_default_verify_paths(made->context) == 1;
  return finish_context(made, good, out);
}

int wg_tls_server_context(const void *certificates, size_t len, const void *key, size_t key_len,
                          wg_tls_context **out) {
  wg_tls_context *made = new_context(true);
  if (made == NULL) {
    return WARP_NOMEM;
  }
  bool good =
      use_certificates(made->context, certificates, len) && use_key(made->context, key, key_len);
  return finish_context(made, good, out);
}

void wg_tls_forget(void *data, size_t len) {
  OPENSSL_cleanse(data, len);
}

void wg_tls_context_free(wg_tls_context *context) {
  if (context != NULL) {
    SSL_CTX_free(context->context);
    free(context);
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

static bool set_role(SSL *ssl, const wg_tls_options *options) {
  if (options->context->server) {
    SSL_set_accept_state(ssl);
    return true;
  }
  SSL_set_connect_state(ssl);
  return expect_name(ssl, options->name, options->utc_ms);
}

int wg_tls_new(const wg_tls_options *options, wg_tls **out) {
  size_t len = options->name != NULL ? strlen(options->name) : 0;
  if (!options->context->server && (len == 0 || len > NAME_MAX_LEN)) {
    return WARP_INVALID;
  }
  wg_tls *tls = calloc(1, sizeof *tls);
  if (tls == NULL) {
    return WARP_NOMEM;
  }
  tls->output = options->output;
  tls->arg = options->arg;
  tls->ssl = SSL_new(options->context->context);
  tls->in = BIO_new(BIO_s_mem());
  tls->out = BIO_new(BIO_s_mem());
  if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL || !set_role(tls->ssl, options)) {
    BIO_free(tls->in);
    BIO_free(tls->out);
    SSL_free(tls->ssl);
    free(tls);
    return WARP_NOMEM;
  }
  /* An empty one means that more will come, not that the stream has ended. */
  BIO_set_mem_eof_return(tls->in, -1);
  SSL_set_bio(tls->ssl, tls->in, tls->out);
  *out = tls;
  return WARP_OK;
}

void wg_tls_free(wg_tls *tls) {
  if (tls != NULL) {
    SSL_free(tls->ssl);
    free(tls);
  }
}

const char *wg_tls_detail(const wg_tls *tls) {
  return tls->detail;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

int wg_tls_feed(wg_tls *tls, const uint8_t *data, size_t len) {
  size_t written = 0;
  if (len == 0) {
    return WARP_OK;
  }
  return BIO_write_ex(tls->in, data, len, &written) == 1 && written == len ? WARP_OK : WARP_NOMEM;
}

/* Hands out what OpenSSL has written. */
static void drain(wg_tls *tls) {
  char *bytes = NULL;
  long len = BIO_get_mem_data(tls->out, &bytes);
  if (len > 0) {
    tls->output(tls->arg, (const uint8_t *)bytes, (size_t)len);
    BIO_reset(tls->out);
  }
}

static int fail(wg_tls *tls) {
  long verdict = SSL_get_verify_result(tls->ssl);
  const char *reason = ERR_reason_error_string(ERR_peek_error());
  tls->status = wg_secure_lacked_memory() ? WARP_NOMEM : WARP_TLS;
  if (verdict != X509_V_OK && tls->status != WARP_NOMEM) {
    tls->status = WARP_UNTRUSTED;
    reason = X509_verify_cert_error_string(verdict);
  }
  snprintf(tls->detail, sizeof tls->detail, "%s",
           reason != NULL ? reason : "the secure layer failed without a reason");
  ERR_clear_error();
  return tls->status;
}

/* How an OpenSSL call ended; what it wrote, an alert too, goes out. */
static int outcome(wg_tls *tls, int rc) {
  int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, rc);
  drain(tls);
  switch (error) {
  case SSL_ERROR_NONE:
    return WARP_OK;
  case SSL_ERROR_WANT_READ:
    return WARP_AGAIN;
  case SSL_ERROR_ZERO_RETURN:
    return WARP_CLOSED;
  default:
    return fail(tls);
  }
}

int wg_tls_handshake(wg_tls *tls) {
  if (tls->status != WARP_OK) {
    return tls->status;
  }
  ERR_clear_error();
  int status = outcome(tls, SSL_do_handshake(tls->ssl));
  return status == WARP_CLOSED ? fail(tls) : status;
}

int wg_tls_read(wg_tls *tls, void *out, size_t cap, size_t *len) {
  *len = 0;
  if (tls->status != WARP_OK) {
    return tls->status;
  }
  ERR_clear_error();
  return outcome(tls, SSL_read_ex(tls->ssl, out, cap, len));
}

int wg_tls_write(wg_tls *tls, const void *data, size_t len) {
  size_t written = 0;
  if (tls->status != WARP_OK || len == 0) {
    return tls->status;
  }
  ERR_clear_error();
  int status = outcome(tls, SSL_write_ex(tls->ssl, data, len, &written));
  /* Nothing to wait for: there is no renegotiation, and the memory takes all. */
  return status == WARP_OK || tls->status != WARP_OK ? status : fail(tls);
}

void wg_tls_shutdown(wg_tls *tls) {
  if (tls->status == WARP_OK && SSL_is_init_finished(tls->ssl)) {
    SSL_shutdown(tls->ssl);
    drain(tls);
    ERR_clear_error();
  }
}
