/* The node key: ECDSA P-256, what it signs and what it agrees on. */
#include "identity/internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

/* An uncompressed point (SEC 1 section 2.3.3): 4, x, y. */
enum { POINT_LEN = 1 + 2 * WG_SCALAR_LEN };
/* Largest DER form of a P-256 signature: SEQUENCE of two INTEGERs of at most 33 bytes. */
enum { SIGNATURE_DER_MAX = 72 };

static char curve_name[] = "P-256";

int wg_crypto_failed(int status) {
  for (unsigned long error; (error = ERR_get_error()) != 0;) {
    status = ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE ? WARP_NOMEM : status;
  }
  return status;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static int compressed_key(EVP_PKEY *pkey, warp_key *out) {
  uint8_t point[POINT_LEN];
  size_t len = 0;
  if (EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len) !=
          1 ||
      len != sizeof point) {
    return wg_crypto_failed(WARP_IO);
  }
  out->bytes[0] = (uint8_t)(2 | (point[POINT_LEN - 1] & 1)); /* SEC 1: the parity of y */
  memcpy(out->bytes + 1, point + 1, WG_SCALAR_LEN);
  return WARP_OK;
}

int wg_identity_generate(wg_identity **out) {
  wg_identity *identity = OPENSSL_zalloc(sizeof *identity);
  if (identity == NULL) {
    return wg_crypto_failed(WARP_NOMEM);
  }
  identity->pkey = EVP_EC_gen(curve_name);
  int status = identity->pkey == NULL ? wg_crypto_failed(WARP_IO)
                                      : compressed_key(identity->pkey, &identity->key);
  if (status != WARP_OK) {
    wg_identity_free(identity);
    return status;
  }
  *out = identity;
  return WARP_OK;
}

/* Makes a key of `selection` from parameters; NULL when they are none. */
static EVP_PKEY *pkey_from_params(int selection, OSSL_PARAM *params) {
  EVP_PKEY *pkey = NULL;
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
  if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1) {
    (void)EVP_PKEY_fromdata(ctx, &pkey, selection, params); /* leaves NULL on failure */
  }
  EVP_PKEY_CTX_free(ctx);
  return pkey;
}

EVP_PKEY *wg_key_to_pkey(const warp_key *key) {
  if (key->bytes[0] != 2 && key->bytes[0] != 3) {
    return NULL;
  }
  warp_key copy = *key; /* parameters are not const */
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve_name, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.bytes, sizeof copy.bytes),
      OSSL_PARAM_construct_end(),
  };
  EVP_PKEY *pkey = pkey_from_params(EVP_PKEY_PUBLIC_KEY, params);
  if (pkey == NULL) {
    ERR_clear_error();
  }
  return pkey;
}

/* Are the private and the public part in range and one pair? */
static bool is_key_pair(EVP_PKEY *pkey) {
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
  bool ok = ctx != NULL && EVP_PKEY_check(ctx) == 1;
  EVP_PKEY_CTX_free(ctx);
  return ok;
}

int wg_identity_from_scalar(const uint8_t scalar[WG_SCALAR_LEN], const warp_key *key,
                            wg_identity **out) {
  wg_identity *identity = OPENSSL_zalloc(sizeof *identity);
  BIGNUM *number = BN_secure_new();
  uint8_t native[WG_SCALAR_LEN]; /* parameters carry integers in the machine's byte order */
  warp_key copy = *key;
  if (identity == NULL || number == NULL || BN_bin2bn(scalar, WG_SCALAR_LEN, number) == NULL ||
      BN_bn2nativepad(number, native, sizeof native) < 0) {
    BN_clear_free(number);
    OPENSSL_free(identity);
    return wg_crypto_failed(WARP_NOMEM);
  }
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve_name, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.bytes, sizeof copy.bytes),
      OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, sizeof native),
      OSSL_PARAM_construct_end(),
  };
  identity->pkey = pkey_from_params(EVP_PKEY_KEYPAIR, params);
  identity->key = *key;
  BN_clear_free(number);
  OPENSSL_cleanse(native, sizeof native);
  if (identity->pkey == NULL || !is_key_pair(identity->pkey)) {
    wg_identity_free(identity);
    return wg_crypto_failed(WARP_MALFORMED);
  }
  *out = identity;
  return WARP_OK;
}

int wg_identity_scalar(const wg_identity *identity, uint8_t scalar[WG_SCALAR_LEN]) {
  BIGNUM *number = NULL;
  bool ok = EVP_PKEY_get_bn_param(identity->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
            BN_bn2binpad(number, scalar, WG_SCALAR_LEN) == WG_SCALAR_LEN;
  BN_clear_free(number);
  return ok ? WARP_OK : wg_crypto_failed(WARP_IO);
}

void wg_identity_free(wg_identity *identity) {
  if (identity == NULL) {
    return;
  }
  EVP_PKEY_free(identity->pkey); /* wipes the private part */
  OPENSSL_clear_free(identity, sizeof *identity);
}

const warp_key *wg_identity_key(const wg_identity *identity) {
  return &identity->key;
}

struct evp_pkey_st *wg_identity_pkey(const wg_identity *identity) {
  return identity->pkey;
}

bool wg_key_equal(const warp_key *a, const warp_key *b) {
  return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void wg_key_hash(const warp_key *key, uint8_t out[32]) {
  wg_sha256(key->bytes, sizeof key->bytes, out);
}

/* ---- signatures ------------------------------------------------------------------------------ */

int wg_identity_sign(const wg_identity *identity, const char *context, const void *data, size_t len,
                     uint8_t signature[WG_SIGNATURE_LEN]) {
  uint8_t der[SIGNATURE_DER_MAX];
  size_t der_len = sizeof der;
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, identity->pkey) == 1 &&
            EVP_DigestSignUpdate(ctx, context, strlen(context) + 1) == 1 &&
            EVP_DigestSignUpdate(ctx, data, len) == 1 &&
            EVP_DigestSignFinal(ctx, der, &der_len) == 1 &&
            der_len <= sizeof der; /* lacking memory, it may succeed with a length of -1 */
  EVP_MD_CTX_free(ctx);
  const uint8_t *at = der;
  ECDSA_SIG *parts = ok ? d2i_ECDSA_SIG(NULL, &at, (long)der_len) : NULL;
  ok = parts != NULL &&
       BN_bn2binpad(ECDSA_SIG_get0_r(parts), signature, WG_SCALAR_LEN) == WG_SCALAR_LEN &&
       BN_bn2binpad(ECDSA_SIG_get0_s(parts), signature + WG_SCALAR_LEN, WG_SCALAR_LEN) ==
           WG_SCALAR_LEN;
  ECDSA_SIG_free(parts);
  return ok ? WARP_OK : wg_crypto_failed(WARP_IO);
}

/* r || s as the DER that OpenSSL verifies. Returns the length, or -1. */
static int signature_to_der(const uint8_t signature[WG_SIGNATURE_LEN],
                            uint8_t der[SIGNATURE_DER_MAX]) {
  ECDSA_SIG *parts = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(signature, WG_SCALAR_LEN, NULL);
  BIGNUM *s = BN_bin2bn(signature + WG_SCALAR_LEN, WG_SCALAR_LEN, NULL);
  if (parts == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(parts, r, s) != 1) {
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(parts);
    return -1;
  }
  uint8_t *at = der;
  int len = i2d_ECDSA_SIG(parts, &at); /* 33 + 33 + 6 bytes at most: it fits */
  ECDSA_SIG_free(parts);
  return len;
}

int wg_key_verify(const warp_key *key, const char *context, const void *data, size_t len,
                  const uint8_t signature[WG_SIGNATURE_LEN]) {
  uint8_t der[SIGNATURE_DER_MAX];
  int der_len = signature_to_der(signature, der);
  EVP_PKEY *pkey = wg_key_to_pkey(key);
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = der_len > 0 && pkey != NULL && ctx != NULL &&
            EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
            EVP_DigestVerifyUpdate(ctx, context, strlen(context) + 1) == 1 &&
            EVP_DigestVerifyUpdate(ctx, data, len) == 1 &&
            EVP_DigestVerifyFinal(ctx, der, (size_t)der_len) == 1;
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(pkey);
  return ok ? WARP_OK : wg_crypto_failed(WARP_BAD_SIGNATURE);
}

/* ---- agreement ------------------------------------------------------------------------------- */

int wg_ecdh(EVP_PKEY *own, const warp_key *peer, uint8_t secret[WG_SCALAR_LEN]) {
  size_t len = WG_SCALAR_LEN;
  EVP_PKEY *other = wg_key_to_pkey(peer);
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
  bool ok = other != NULL && ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
            EVP_PKEY_derive_set_peer(ctx, other) == 1 && EVP_PKEY_derive(ctx, secret, &len) == 1 &&
            len == WG_SCALAR_LEN;
  EVP_PKEY_CTX_free(ctx);
  EVP_PKEY_free(other);
  return ok ? WARP_OK : wg_crypto_failed(WARP_UNTRUSTED);
}

/* OpenSSL's parameters are not const, though these are only read. */
static OSSL_PARAM octets(const char *name, const void *data, size_t len) {
  return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)data, len);
}

int wg_hkdf(const void *secret, size_t secret_len, const void *salt, size_t salt_len,
            const void *info, size_t info_len, void *out, size_t out_len) {
  char digest[] = "SHA256";
  OSSL_PARAM params[5] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, secret, secret_len),
      octets(OSSL_KDF_PARAM_INFO, info, info_len),
      /* no salt and an empty one are the same to HKDF, but OpenSSL refuses an empty one */
      salt_len > 0 ? octets(OSSL_KDF_PARAM_SALT, salt, salt_len) : OSSL_PARAM_construct_end(),
      OSSL_PARAM_construct_end(),
  };
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
  EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
  bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, out_len, params) == 1;
  EVP_KDF_CTX_free(ctx);
  EVP_KDF_free(kdf);
  return ok ? WARP_OK : wg_crypto_failed(WARP_IO);
}

/* Room for a context string with its NUL and both keys. */
enum { AGREE_CONTEXT_MAX = 64, AGREE_INFO_MAX = AGREE_CONTEXT_MAX + 2 * WARP_KEY_LEN };

int wg_identity_agree(const wg_identity *identity, const warp_key *peer, const char *context,
                      const void *salt, size_t salt_len, void *out, size_t out_len) {
  uint8_t info[AGREE_INFO_MAX];
  size_t context_len = strlen(context) + 1;
  if (context_len > AGREE_CONTEXT_MAX) {
    return WARP_INVALID;
  }
  /* The x coordinate alone does not tell a key from its negative: the keys belong to the info, in
   * an order that both sides know. */
  const warp_key *own = &identity->key;
  bool own_first = memcmp(own->bytes, peer->bytes, WARP_KEY_LEN) < 0;
  memcpy(info, context, context_len);
  memcpy(info + context_len, (own_first ? own : peer)->bytes, WARP_KEY_LEN);
  memcpy(info + context_len + WARP_KEY_LEN, (own_first ? peer : own)->bytes, WARP_KEY_LEN);
  uint8_t secret[WG_SCALAR_LEN];
  int status = wg_ecdh(identity->pkey, peer, secret);
  if (status == WARP_OK) {
    status = wg_hkdf(secret, sizeof secret, salt, salt_len, info, context_len + 2 * WARP_KEY_LEN,
                     out, out_len);
  }
  OPENSSL_cleanse(secret, sizeof secret);
  return status;
}
