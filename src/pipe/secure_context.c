/* Contexts: the node's certificate, the protocol policy, and the BIO that moves bytes. */
#include "pipe/dtls_records.h"
#include "pipe/pipe.h"
#include "pipe/secure_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <string.h>

/* Certificates of ours have under 300 bytes; a stranger's chain is not worth parsing. */
enum { CERT_LIST_MAX = 4096 };

typedef struct contexts {
  SSL_CTX *stream, *datagrams;
} contexts;

/* What OpenSSL wants registered once in a process; nothing of it changes once it is there. Whoever
 * lacks the memory leaves it to the next one, which CRYPTO_THREAD_run_once would not. */
static atomic_int contexts_index = -1;
static _Atomic(BIO_METHOD *) bio_method;

/* ---- the BIO --------------------------------------------------------------------------------- */

/* One write is one datagram (a memory BIO would lose the boundaries), one read takes one. */
static int bio_write(BIO *bio, const char *data, int len) {
  BIO_clear_retry_flags(bio);
  if (len > 0) {
    wg_secure_send(BIO_get_data(bio), (const uint8_t *)data, (size_t)len);
  }
  return len;
}

static int bio_read(BIO *bio, char *out, int cap) {
  wg_secure *secure = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (secure->in_len == 0 || cap <= 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t len = secure->in_len < (size_t)cap ? secure->in_len : (size_t)cap;
  memcpy(out, secure->in, len);
  if (secure->datagrams) {
    /* Nothing protects the numbers of records in the clear: by a high one, or by one that is still
     * to come, a stranger would have the peer's own taken for repetitions. The messages in them
     * have numbers of their own. */
    wg_dtls_renumber((uint8_t *)out, len, &secure->clear_records);
  }
  secure->in += len;
  secure->in_len = secure->datagrams ? 0 : secure->in_len - len;
  return (int)len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

/* OpenSSL's own DTLS timer never fires: flights are repeated from outside (secure.h). */
static unsigned int an_hour_us(SSL *ssl, unsigned int previous_us) {
  (void)ssl;
  (void)previous_us;
  return 3600000000u;
}

SSL *wg_secure_ssl(SSL_CTX *context, wg_secure *secure) {
  SSL *ssl = SSL_new(context);
  BIO *bio = ssl != NULL && SSL_set_app_data(ssl, secure) ? BIO_new(bio_method) : NULL;
  if (bio == NULL) {
    SSL_free(ssl);
    return NULL;
  }
  BIO_set_data(bio, secure);
  SSL_set_bio(ssl, bio, bio);
  if (secure->datagrams) {
    SSL_set_mtu(ssl, WG_DTLS_MTU);
    DTLS_set_timer_cb(ssl, an_hour_us);
  }
  if (secure->client) {
    SSL_set_connect_state(ssl);
  } else {
    SSL_set_accept_state(ssl);
  }
  return ssl;
}

bool wg_secure_lacked_memory(void) {
  return ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE ||
         ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
}

/* ---- kept with the key ----------------------------------------------------------------------- */

static void contexts_free(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long argl,
                          void *argp) {
  (void)parent;
  (void)data;
  (void)index;
  (void)argl;
  (void)argp;
  contexts *kept = value;
  if (kept != NULL) {
    SSL_CTX_free(kept->stream);
    SSL_CTX_free(kept->datagrams);
    OPENSSL_free(kept);
  }
}

/* A copy of the key makes its own contexts. */
static int contexts_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **value, int index,
                        long argl, void *argp) {
  (void)to;
  (void)from;
  (void)index;
  (void)argl;
  (void)argp;
  *value = NULL;
  return 1;
}

static bool has_index(void) {
  int none = -1;
  if (atomic_load(&contexts_index) >= 0) {
    return true;
  }
  int made = EVP_PKEY_get_ex_new_index(0, NULL, NULL, contexts_dup, contexts_free);
  if (made >= 0 && !atomic_compare_exchange_strong(&contexts_index, &none, made)) {
    CRYPTO_free_ex_index(CRYPTO_EX_INDEX_EVP_PKEY, made); /* another thread was as quick */
  }
  return atomic_load(&contexts_index) >= 0;
}

static bool has_method(void) {
  BIO_METHOD *none = NULL;
  if (atomic_load(&bio_method) != NULL) {
    return true;
  }
  BIO_METHOD *made = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "warpgate");
  if (made == NULL) {
    return false;
  }
  BIO_meth_set_write(made, bio_write);
  BIO_meth_set_read(made, bio_read);
  BIO_meth_set_ctrl(made, bio_ctrl);
  BIO_meth_set_create(made, bio_create);
  if (!atomic_compare_exchange_strong(&bio_method, &none, made)) {
    BIO_meth_free(made);
  }
  return true;
}

/* ---- what OpenSSL has ------------------------------------------------------------------------ */

/* How long the hello is that a context says: it names every suite, curve and signature that it
 * has. 0 when it can say none. */
static size_t hello_len(SSL_CTX *context) {
  SSL *ssl = SSL_new(context);
  BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
  if (ssl == NULL || in == NULL || out == NULL) {
    BIO_free(in);
    BIO_free(out);
    SSL_free(ssl);
    return 0;
  }
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  (void)SSL_do_handshake(ssl); /* waits for an answer */
  size_t len = BIO_ctrl_pending(out);
  SSL_free(ssl);
  ERR_clear_error();
  return len;
}

SSL_CTX *wg_secure_new_context(bool datagrams) {
  const SSL_METHOD *method = datagrams ? DTLS_method() : TLS_method();
  SSL_CTX *made = SSL_CTX_new(method), *second = SSL_CTX_new(method);
  size_t len = made != NULL && second != NULL ? hello_len(made) : 0;
  if (len == 0 || len != hello_len(second)) {
    SSL_CTX_free(made);
    made = NULL;
  }
  SSL_CTX_free(second);
  return made;
}

/* ---- certificate and policy ------------------------------------------------------------------ */

/* A self-signed certificate of the key: the key is the identity, so there is nothing else to say,
 * and its dates never keep a node with a wrong clock out. */
static X509 *make_certificate(EVP_PKEY *key) {
  X509 *cert = X509_new();
  if (cert == NULL) {
    return NULL;
  }
  X509_NAME *name = X509_get_subject_name(cert);
  if (!X509_set_version(cert, X509_VERSION_3) ||
      !ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) ||
      !ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "19700101000000Z") ||
      !ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z") ||
      !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"warpgate", -1,
                                  -1, 0) ||
      !X509_set_issuer_name(cert, name) || !X509_set_pubkey(cert, key) ||
      X509_sign(cert, key, EVP_sha256()) <= 0) { /* a signature that lacked memory has -1 bytes */
    X509_free(cert);
    return NULL;
  }
  return cert;
}

/* The newest protocol of each kind, forward secret AEAD suites, P-256 signatures, nothing that can
 * be resumed, renegotiated or compressed. */
static int set_policy(SSL_CTX *context, bool datagrams) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_QUERY_MTU);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, CERT_LIST_MAX);
  int version = datagrams ? DTLS1_2_VERSION : TLS1_3_VERSION;
  return SSL_CTX_set_num_tickets(context, 0) && SSL_CTX_set_min_proto_version(context, version) &&
         SSL_CTX_set_max_proto_version(context, version) &&
         SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                           "TLS_CHACHA20_POLY1305_SHA256") &&
         SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:"
                                          "ECDHE-ECDSA-AES256-GCM-SHA384:"
                                          "ECDHE-ECDSA-CHACHA20-POLY1305") &&
         SSL_CTX_set1_groups_list(context, "X25519:P-256") &&
         SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256");
}

static SSL_CTX *make_context(EVP_PKEY *key, bool datagrams) {
  SSL_CTX *context = wg_secure_new_context(datagrams);
  X509 *cert = context != NULL ? make_certificate(key) : NULL;
  int done = cert != NULL && set_policy(context, datagrams) && wg_secure_demand(context) &&
             SSL_CTX_use_certificate(context, cert) && SSL_CTX_use_PrivateKey(context, key);
  X509_free(cert);
  if (!done) {
    SSL_CTX_free(context);
    return NULL;
  }
  return context;
}

SSL_CTX *wg_secure_context(const wg_identity *identity, bool datagrams) {
  EVP_PKEY *key = wg_identity_pkey(identity);
  if (!has_index() || !has_method()) {
    return NULL;
  }
  contexts *kept = EVP_PKEY_get_ex_data(key, contexts_index);
  if (kept == NULL) {
    kept = OPENSSL_zalloc(sizeof *kept);
    if (kept == NULL || !EVP_PKEY_set_ex_data(key, contexts_index, kept)) {
      OPENSSL_free(kept);
      return NULL;
    }
  }
  SSL_CTX **slot = datagrams ? &kept->datagrams : &kept->stream;
  if (*slot == NULL) {
    /* A copy, because a context that held the key itself would keep it alive for ever. */
    EVP_PKEY *copy = EVP_PKEY_dup(key);
    *slot = copy != NULL ? make_context(copy, datagrams) : NULL;
    EVP_PKEY_free(copy);
  }
  return *slot;
}
