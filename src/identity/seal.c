/*
 * The sealed envelope of a letter.
 *
 * The letter names sender and recipient and is signed by the sender. It is sealed with AES-256-GCM
 * under a key that is used once: HKDF of the ECDH between an ephemeral key and the recipient's, the
 * salt being both public keys. What stands before the sealed bytes in the envelope is the
 * additional data.
 */
#include "identity/internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

static const char letter_context[] = "warpgate letter v1";
static const char seal_context[] = "warpgate envelope v1";

enum { AEAD_KEY_LEN = 32, AEAD_NONCE_LEN = 12 };

/* Key and nonce as HKDF gives them: the key is used for one envelope only, so the nonce may follow
 * from it. */
typedef struct aead_secret {
  uint8_t key[AEAD_KEY_LEN];
  uint8_t nonce[AEAD_NONCE_LEN];
} aead_secret;

/* `own` is the private part of one of the two keys, `other` the public part of the other. */
static int derive(EVP_PKEY *own, const warp_key *other, const warp_key *ephemeral,
                  const warp_key *recipient, aead_secret *out) {
  uint8_t shared[WG_SCALAR_LEN];
  uint8_t salt[2 * WARP_KEY_LEN];
  uint8_t okm[AEAD_KEY_LEN + AEAD_NONCE_LEN];
  memcpy(salt, ephemeral->bytes, WARP_KEY_LEN);
  memcpy(salt + WARP_KEY_LEN, recipient->bytes, WARP_KEY_LEN);
  int status = wg_ecdh(own, other, shared);
  if (status == WARP_OK) {
    status = wg_hkdf(shared, sizeof shared, salt, sizeof salt, seal_context, sizeof seal_context,
                     okm, sizeof okm);
  }
  if (status == WARP_OK) {
    memcpy(out->key, okm, AEAD_KEY_LEN);
    memcpy(out->nonce, okm + AEAD_KEY_LEN, AEAD_NONCE_LEN);
  }
  OPENSSL_cleanse(shared, sizeof shared);
  OPENSSL_cleanse(okm, sizeof okm);
  return status;
}

/* Encrypts `len` bytes in place and writes the tag behind them. */
static int aead_seal(const aead_secret *secret, const uint8_t *aad, size_t aad_len, uint8_t *data,
                     size_t len) {
  int done = 0;
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  bool ok = ctx != NULL &&
            EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, secret->key, secret->nonce) == 1 &&
            EVP_EncryptUpdate(ctx, NULL, &done, aad, (int)aad_len) == 1 &&
            EVP_EncryptUpdate(ctx, data, &done, data, (int)len) == 1 &&
            EVP_EncryptFinal_ex(ctx, data + len, &done) == 1 &&
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, WG_AEAD_TAG_LEN, data + len) == 1;
  EVP_CIPHER_CTX_free(ctx);
  return ok ? WARP_OK : wg_crypto_failed(WARP_IO);
}

/* Decrypts `len` bytes, whose tag lies behind them, to `out`. */
static int aead_open(const aead_secret *secret, const uint8_t *aad, size_t aad_len,
                     const uint8_t *data, size_t len, uint8_t *out) {
  uint8_t tag[WG_AEAD_TAG_LEN];
  memcpy(tag, data + len, sizeof tag); /* the call below wants it writable */
  int done = 0;
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  bool ok = ctx != NULL &&
            EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, secret->key, secret->nonce) == 1 &&
            EVP_DecryptUpdate(ctx, NULL, &done, aad, (int)aad_len) == 1 &&
            EVP_DecryptUpdate(ctx, out, &done, data, (int)len) == 1 &&
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
            EVP_DecryptFinal_ex(ctx, out + len, &done) == 1;
  EVP_CIPHER_CTX_free(ctx);
  return ok ? WARP_OK : wg_crypto_failed(WARP_UNTRUSTED);
}

/* ---- sealing --------------------------------------------------------------------------------- */

/* The plain text with its signature. Returns the length or an error. */
static int write_letter(const wg_identity *from, const wg_letter *letter, uint8_t *out,
                        size_t cap) {
  if (!wg_key_equal(&letter->sender, &from->key)) {
    return WARP_INVALID;
  }
  int len = wg_letter_encode(letter, out, cap);
  if (len < 0) {
    return len;
  }
  uint8_t signature[WG_SIGNATURE_LEN];
  int status = wg_identity_sign(from, letter_context, out, (size_t)len, signature);
  return status == WARP_OK ? wg_letter_attach(out, (size_t)len, cap, signature) : status;
}

int wg_seal_bytes(const wg_identity *ephemeral, const warp_key *recipient, uint8_t *plain,
                  size_t plain_len, uint8_t *out, size_t cap) {
  aead_secret secret;
  int status = derive(ephemeral->pkey, recipient, &ephemeral->key, recipient, &secret);
  if (status != WARP_OK) {
    return status;
  }
  /* The plain text goes in first and is sealed where it lies, so that the layout is wire's alone.
   */
  size_t sealed_len = plain_len + WG_AEAD_TAG_LEN;
  memset(plain + plain_len, 0, WG_AEAD_TAG_LEN);
  int len = wg_envelope_encode(&ephemeral->key, plain, sealed_len, out, cap);
  if (len > 0) {
    size_t prefix = (size_t)len - sealed_len;
    status = aead_seal(&secret, out, prefix, out + prefix, plain_len);
  }
  OPENSSL_cleanse(&secret, sizeof secret);
  return status == WARP_OK ? len : status;
}

int wg_envelope_seal(const wg_identity *from, const wg_letter *letter, uint8_t *out, size_t cap) {
  uint8_t plain[WG_ENVELOPE_MAX];
  int plain_len = write_letter(from, letter, plain, sizeof plain - WG_AEAD_TAG_LEN);
  if (plain_len < 0) {
    return plain_len;
  }
  wg_identity *ephemeral = NULL;
  int status = wg_identity_generate(&ephemeral);
  if (status != WARP_OK) {
    return status;
  }
  int len = wg_seal_bytes(ephemeral, &letter->recipient, plain, (size_t)plain_len, out,
                          cap < WG_ENVELOPE_MAX ? cap : WG_ENVELOPE_MAX);
  wg_identity_free(ephemeral);
  OPENSSL_cleanse(plain, sizeof plain);
  return len;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int unseal(const wg_identity *to, const uint8_t *bytes, size_t len, uint8_t *plain,
                  size_t *plain_len) {
  warp_key ephemeral;
  const uint8_t *sealed = NULL;
  size_t sealed_len = 0;
  int status = wg_envelope_decode(bytes, len, &ephemeral, &sealed, &sealed_len);
  if (status != WARP_OK) {
    return status;
  }
  if (sealed_len < WG_AEAD_TAG_LEN) {
    return WARP_MALFORMED;
  }
  *plain_len = sealed_len - WG_AEAD_TAG_LEN;
  aead_secret secret;
  status = derive(to->pkey, &ephemeral, &ephemeral, &to->key, &secret);
  if (status == WARP_OK) {
    status = aead_open(&secret, bytes, (size_t)(sealed - bytes), sealed, *plain_len, plain);
  }
  OPENSSL_cleanse(&secret, sizeof secret);
  return status;
}

int wg_envelope_open(const wg_identity *to, const uint8_t *bytes, size_t len, int64_t now_ms,
                     uint8_t *plain, wg_letter *letter) {
  if (len > WG_ENVELOPE_MAX) {
    return WARP_MALFORMED;
  }
  size_t plain_len = 0;
  int status = unseal(to, bytes, len, plain, &plain_len);
  if (status != WARP_OK) {
    return status;
  }
  size_t signed_len = 0;
  uint8_t signature[WG_SIGNATURE_LEN];
  status = wg_letter_decode(plain, plain_len, letter, &signed_len, signature);
  if (status != WARP_OK) {
    return status;
  }
  /* A letter to someone else, sealed anew to us by whoever got it. */
  if (!wg_key_equal(&letter->recipient, &to->key)) {
    return WARP_UNTRUSTED;
  }
  status = wg_key_verify(&letter->sender, letter_context, plain, signed_len, signature);
  if (status != WARP_OK) {
    return status;
  }
  return wg_expired(letter->expires_ms, now_ms) ? WARP_EXPIRED : WARP_OK;
}
