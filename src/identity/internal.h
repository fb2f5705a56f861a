/* What the files of this room share. Not for other rooms. */
#ifndef WG_IDENTITY_INTERNAL_H
#define WG_IDENTITY_INTERNAL_H

#include "identity/identity.h"

#include <openssl/evp.h>

struct wg_identity {
  EVP_PKEY *pkey;
  warp_key key;
};

/* Sizes of P-256: a scalar, a coordinate, the x coordinate that ECDH gives. */
enum { WG_SCALAR_LEN = 32 };

/* Clears OpenSSL's error queue of this thread and returns `status`, or WARP_NOMEM when that is what
 * the queue says: an error left behind would be taken for its own by whoever asks SSL_get_error
 * next. */
int wg_crypto_failed(int status);

/* SHA-256, also when there is no memory. */
void wg_sha256(const void *data, size_t len, uint8_t out[32]);

/* The public key for OpenSSL; NULL when it is no point of the curve. Free with EVP_PKEY_free. */
EVP_PKEY *wg_key_to_pkey(const warp_key *key);
/* An identity from its stored parts. WARP_MALFORMED when they are no key pair. */
int wg_identity_from_scalar(const uint8_t scalar[WG_SCALAR_LEN], const warp_key *key,
                            wg_identity **out);
/* Copies the private scalar; the caller wipes it. WARP_IO. */
int wg_identity_scalar(const wg_identity *identity, uint8_t scalar[WG_SCALAR_LEN]);

/* ECDH with a peer's key. WARP_UNTRUSTED when the peer's key is no point of the curve. The caller
 * wipes the secret. */
int wg_ecdh(EVP_PKEY *own, const warp_key *peer, uint8_t secret[WG_SCALAR_LEN]);
/* HKDF-SHA256 (RFC 5869), extract and expand. WARP_IO. */
int wg_hkdf(const void *secret, size_t secret_len, const void *salt, size_t salt_len,
            const void *info, size_t info_len, void *out, size_t out_len);

/* Seals `plain_len` bytes, behind which `plain` has WG_AEAD_TAG_LEN bytes of room, into an
 * envelope. The ephemeral key must never be used again. Returns the length or an error. */
int wg_seal_bytes(const wg_identity *ephemeral, const warp_key *recipient, uint8_t *plain,
                  size_t plain_len, uint8_t *out, size_t cap);

#endif
