#include "wire/digest.h"

#include <stdbool.h>
#include <warpgate/warpgate.h>
/* bcrypt.h uses the types of windows.h. */
#include <windows.h>

#include <bcrypt.h>

static LPCWSTR algorithm(wg_digest digest) {
  switch (digest) {
  case WG_DIGEST_MD5:
    return BCRYPT_MD5_ALGORITHM;
  case WG_DIGEST_SHA1:
    return BCRYPT_SHA1_ALGORITHM;
  case WG_DIGEST_SHA256:
    return BCRYPT_SHA256_ALGORITHM;
  }
  return NULL;
}

/* CNG counts in ULONG and takes non-const pointers that it only reads. */
static bool feed(BCRYPT_HASH_HANDLE hash, const wg_part *part) {
  return part->len <= UINT32_MAX &&
         BCryptHashData(hash, (PUCHAR)(uintptr_t)part->data, (ULONG)part->len, 0) == 0;
}

static int run(wg_digest digest, ULONG flags, const void *key, size_t key_len, const wg_part *parts,
               size_t count, uint8_t *out) {
  BCRYPT_ALG_HANDLE provider = NULL;
  BCRYPT_HASH_HANDLE hash = NULL;
  bool good =
      key_len <= UINT32_MAX &&
      BCryptOpenAlgorithmProvider(&provider, algorithm(digest), NULL, flags) == 0 &&
      BCryptCreateHash(provider, &hash, NULL, 0, (PUCHAR)(uintptr_t)key, (ULONG)key_len, 0) == 0;
  for (size_t i = 0; good && i < count; i++) {
    good = feed(hash, &parts[i]);
  }
  good = good && BCryptFinishHash(hash, out, (ULONG)wg_digest_len(digest), 0) == 0;
  if (hash != NULL) {
    BCryptDestroyHash(hash);
  }
  if (provider != NULL) {
    BCryptCloseAlgorithmProvider(provider, 0);
  }
  return good ? WARP_OK : WARP_UNSUPPORTED;
}

int wg_digest_parts(wg_digest digest, const wg_part *parts, size_t count, uint8_t *out) {
  return run(digest, 0, NULL, 0, parts, count, out);
}

int wg_hmac_parts(wg_digest digest, const void *key, size_t key_len, const wg_part *parts,
                  size_t count, uint8_t *out) {
  return run(digest, BCRYPT_ALG_HANDLE_HMAC_FLAG, key, key_len, parts, count, out);
}
