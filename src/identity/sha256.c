/* SHA-256 that cannot fail. OpenSSL 3's own one-shot function allocates, and what follows from
 * these digests (a node's topic, its port) must not be anything when memory lacks; the functions of
 * before do not. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "identity/internal.h"

#include <openssl/sha.h>

void wg_sha256(const void *data, size_t len, uint8_t out[32]) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, data, len);
  SHA256_Final(out, &context);
}
