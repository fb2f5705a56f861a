/* What each side demands of the other: the hello, its echo, and the one key it expects. */
#include "pipe/pipe.h"
#include "pipe/secure_internal.h"
#include "wire/packet.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

/* ---- the hello, at the server ---------------------------------------------------------------- */

static int alert_of_status(int status) {
  switch (status) {
  case WARP_REFUSED:
    return SSL_AD_ACCESS_DENIED;
  case WARP_NOT_FOUND:
    return SSL_AD_UNRECOGNIZED_NAME;
  case WARP_STATE:
    return SSL_AD_NO_APPLICATION_PROTOCOL;
  default:
    return SSL_AD_HANDSHAKE_FAILURE;
  }
}

int wg_secure_alert_status(int alert, const char **detail) {
  switch (alert) {
  case SSL_AD_ACCESS_DENIED:
    *detail = "the peer refused the connection";
    return WARP_REFUSED;
  case SSL_AD_UNRECOGNIZED_NAME:
    *detail = "the peer knows no such session";
    return WARP_NOT_FOUND;
  case SSL_AD_NO_APPLICATION_PROTOCOL:
    *detail = "at the peer another connect goes first";
    return WARP_STATE;
  case SSL_AD_BAD_CERTIFICATE:
    *detail = "the peer expected another key than ours";
    return WARP_UNTRUSTED;
  case SSL_AD_HANDSHAKE_FAILURE:
    *detail = "the other end did not take us: another node perhaps, clocks that differ, or too "
              "many connects";
    return WARP_TLS;
  default:
    *detail = "";
    return WARP_TLS;
  }
}

void wg_secure_make_echo(const uint8_t *hello, size_t len, uint8_t echo[WG_ECHO_LEN]) {
  echo[0] = WG_PROTOCOL_VERSION;
  if (!EVP_Digest(hello, len, echo + 1, NULL, EVP_sha256(), NULL)) {
    memset(echo + 1, 0, WG_ECHO_LEN - 1); /* fails closed: no server sends that */
  }
}

static int judge_hello(wg_secure *secure, const uint8_t *hello, size_t len) {
  uint8_t echo[WG_ECHO_LEN];
  wg_secure_make_echo(hello, len, echo);
  if (secure->hello_seen) {
    /* A second ClientHello follows a HelloRetryRequest and must say the same. */
    return memcmp(echo, secure->echo, sizeof echo) == 0 ? WARP_OK : WARP_MALFORMED;
  }
  secure->hello_seen = true;
  memcpy(secure->echo, echo, sizeof echo);
  if (secure->on_hello == NULL) {
    return WARP_OK;
  }
  int status = secure->on_hello(secure->arg, hello, len, &secure->expected);
  secure->has_expected = secure->has_expected || status == WARP_OK;
  return status;
}

/* Runs when a ClientHello is complete and before anything of it is answered. */
static int on_client_hello(SSL *ssl, int *alert, void *arg) {
  (void)arg;
  wg_secure *secure = SSL_get_app_data(ssl);
  const unsigned char *hello = NULL;
  size_t len = 0;
  if (!SSL_client_hello_get0_ext(ssl, WG_HELLO_EXTENSION, &hello, &len) || len == 0) {
    secure->hello_status = WARP_MALFORMED;
    *alert = SSL_AD_MISSING_EXTENSION;
    return SSL_CLIENT_HELLO_ERROR;
  }
  secure->hello_status = len > WG_HELLO_MAX ? WARP_MALFORMED : judge_hello(secure, hello, len);
  if (secure->hello_status == WARP_OK) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  secure->silent = secure->hello_status == WARP_CANCELED;
  *alert = alert_of_status(secure->hello_status);
  return SSL_CLIENT_HELLO_ERROR;
}

/* ---- the private extension ------------------------------------------------------------------- */

static int add_extension(SSL *ssl, unsigned int type, unsigned int context,
                         const unsigned char **out, size_t *len, X509 *cert, size_t chain,
                         int *alert, void *arg) {
  (void)type;
  (void)context;
  (void)cert;
  (void)chain;
  (void)alert;
  (void)arg;
  const wg_secure *secure = SSL_get_app_data(ssl);
  *out = secure->client ? secure->hello : secure->echo;
  *len = secure->client ? secure->hello_len : sizeof secure->echo;
  return 1;
}

static int parse_extension(SSL *ssl, unsigned int type, unsigned int context,
                           const unsigned char *in, size_t len, X509 *cert, size_t chain,
                           int *alert, void *arg) {
  (void)type;
  (void)context;
  (void)cert;
  (void)chain;
  (void)arg;
  wg_secure *secure = SSL_get_app_data(ssl);
  if (!secure->client) {
    return 1; /* judged already by on_client_hello */
  }
  secure->echo_seen = len == sizeof secure->echo && memcmp(in, secure->echo, len) == 0;
  *alert = SSL_AD_ILLEGAL_PARAMETER;
  return secure->echo_seen;
}

/* ---- the key --------------------------------------------------------------------------------- */

/* The certificate's key in compressed form. False unless it is a P-256 key in one of the two
 * encodings of RFC 5480; that it is a point of the curve is checked when its signature is. */
static bool certified_key(X509 *cert, warp_key *out) {
  ASN1_OBJECT *algorithm = NULL;
  const unsigned char *bytes = NULL;
  int len = 0;
  X509_ALGOR *parameters = NULL;
  if (!X509_PUBKEY_get0_param(&algorithm, &bytes, &len, &parameters, X509_get_X509_PUBKEY(cert)) ||
      OBJ_obj2nid(algorithm) != NID_X9_62_id_ecPublicKey) {
    return false;
  }
  int kind = V_ASN1_UNDEF;
  const void *curve = NULL;
  X509_ALGOR_get0(NULL, &kind, &curve, parameters);
  if (kind != V_ASN1_OBJECT || OBJ_obj2nid(curve) != NID_X9_62_prime256v1) {
    return false;
  }
  bool full = len == 65 && bytes[0] == 4;
  if (!full && len != WARP_KEY_LEN) {
    return false;
  }
  memcpy(out->bytes, bytes, WARP_KEY_LEN);
  if (full) {
    out->bytes[0] = (uint8_t)(2 | (bytes[64] & 1));
  }
  return true;
}

/* Replaces the building of a chain: the leaf's key is all that counts. */
static int pin_key(X509_STORE_CTX *store, void *arg) {
  (void)arg;
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  wg_secure *secure = SSL_get_app_data(ssl);
  X509 *cert = X509_STORE_CTX_get0_cert(store);
  warp_key key;
  secure->stranger = secure->client && !secure->echo_seen;
  secure->wrong_key = !secure->has_expected || cert == NULL || !certified_key(cert, &key) ||
                      !wg_key_equal(&key, &secure->expected);
  if (secure->stranger || secure->wrong_key) {
    /* The error decides on the alert: handshake_failure or bad_certificate. */
    X509_STORE_CTX_set_error(store, secure->stranger ? X509_V_ERR_APPLICATION_VERIFICATION
                                                     : X509_V_ERR_CERT_REJECTED);
    return 0;
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

static void on_info(const SSL *ssl, int where, int value) {
  if (where == SSL_CB_READ_ALERT && (value & 0xff) != SSL_AD_CLOSE_NOTIFY) {
    wg_secure *secure = SSL_get_app_data(ssl);
    secure->alert_in = value & 0xff;
  }
}

int wg_secure_demand(SSL_CTX *context) {
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  SSL_CTX_set_cert_verify_callback(context, pin_key, NULL);
  SSL_CTX_set_client_hello_cb(context, on_client_hello, NULL);
  SSL_CTX_set_info_callback(context, on_info);
  return SSL_CTX_add_custom_ext(context, WG_HELLO_EXTENSION,
                                SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_2_SERVER_HELLO |
                                    SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS |
                                    SSL_EXT_IGNORE_ON_RESUMPTION,
                                add_extension, NULL, NULL, parse_extension, NULL);
}
