/*
 * The digests that STUN is made of. They come from the platform: OpenSSL (digest_openssl.c), on
 * Windows CNG (digest_cng.c). Nothing here is for new designs: what protects our own packets is in
 * identity.
 */
#ifndef WG_WIRE_DIGEST_H
#define WG_WIRE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef enum wg_digest {
  WG_DIGEST_MD5,    /* 16 bytes */
  WG_DIGEST_SHA1,   /* 20 bytes */
  WG_DIGEST_SHA256, /* 32 bytes */
} wg_digest;

enum { WG_DIGEST_MAX = 32 };
size_t wg_digest_len(wg_digest digest);

/* A piece of what is digested; pieces are taken one after the other. */
typedef struct wg_part {
  const void *data;
  size_t len;
} wg_part;

/* Writes wg_digest_len bytes. WARP_UNSUPPORTED when the platform refuses (MD5 under FIPS rules). */
int wg_digest_parts(wg_digest digest, const wg_part *parts, size_t count, uint8_t *out);
/* HMAC (RFC 2104) with a key of any length; otherwise the same. */
int wg_hmac_parts(wg_digest digest, const void *key, size_t key_len, const wg_part *parts,
                  size_t count, uint8_t *out);

/* CRC-32 of ITU V.42, as in zlib: start with 0, feed the result back in for the next piece. */
uint32_t wg_crc32(uint32_t crc, const void *data, size_t len);

#endif
