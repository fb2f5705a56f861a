#include "wire/digest.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <warpgate/warpgate.h>

static const EVP_MD *algorithm(wg_digest digest) {
  switch (digest) {
  case WG_DIGEST_MD5:
    return EVP_md5();
  case WG_DIGEST_SHA1:
    return EVP_sha1();
  case WG_DIGEST_SHA256:
    return EVP_sha256();
  }
  return NULL;
}

int wg_digest_parts(wg_digest digest, const wg_part *parts, size_t count, uint8_t *out) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool good = ctx != NULL && EVP_DigestInit_ex(ctx, algorithm(digest), NULL) == 1;
  for (size_t i = 0; good && i < count; i++) {
    good = EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
  }
  good = good && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
  EVP_MD_CTX_free(ctx);
  return good ? WARP_OK : WARP_UNSUPPORTED;
}

int wg_hmac_parts(wg_digest digest, const void *key, size_t key_len, const wg_part *parts,
                  size_t count, uint8_t *out) {
  /* OpenSSL takes a NULL key for "the one set before": an empty key still needs an address. */
  static const uint8_t empty[1];
  char *name = (char *)(uintptr_t)EVP_MD_get0_name(algorithm(digest));
  OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", name, 0),
                         OSSL_PARAM_construct_end()};
  EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
  EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
  bool good = ctx != NULL && EVP_MAC_init(ctx, key_len > 0 ? key : empty, key_len, params) == 1;
  for (size_t i = 0; good && i < count; i++) {
    good = EVP_MAC_update(ctx, parts[i].data, parts[i].len) == 1;
  }
  size_t len = 0;
  good = good && EVP_MAC_final(ctx, out, &len, wg_digest_len(digest)) == 1;
  EVP_MAC_CTX_free(ctx);
  EVP_MAC_free(mac);
  return good ? WARP_OK : WARP_UNSUPPORTED;
}
