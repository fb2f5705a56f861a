/*
 * The keystore: one small file per key, `<name>.key` in the data folder, made through the
 * environment (mode 0600, whole or not at all, and never written over). docs/protocol.md describes
 * its bytes.
 */
#include "identity/internal.h"
#include "wire/packet.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum {
  KEY_NAME_MAX = 63,
  /* Room for fields of later versions; what is longer is no key of ours. */
  KEYSTORE_MAX = 512,
};

enum { FIELD_ALGORITHM = 1, FIELD_SCALAR = 2, FIELD_PUBLIC = 3 };
enum { ALGORITHM_P256 = 1 };

static bool name_valid(const char *name) {
  size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
  return len > 0 && len <= KEY_NAME_MAX && name[len] == '\0';
}

static int keystore_encode(const wg_identity *identity, uint8_t *out, size_t cap, size_t *len) {
  uint8_t scalar[WG_SCALAR_LEN];
  int status = wg_identity_scalar(identity, scalar);
  if (status == WARP_OK) {
    wg_writer writer = wg_writer_init(out, cap);
    wg_packet_begin(&writer, WG_PACKET_KEYSTORE);
    wg_field_u8(&writer, FIELD_ALGORITHM, ALGORITHM_P256);
    wg_field_bytes(&writer, FIELD_SCALAR, scalar, sizeof scalar);
    wg_field_bytes(&writer, FIELD_PUBLIC, identity->key.bytes, sizeof identity->key.bytes);
    *len = writer.len;
    status = writer.failed ? WARP_TOO_BIG : WARP_OK;
  }
  OPENSSL_cleanse(scalar, sizeof scalar);
  return status;
}

typedef struct stored_key {
  uint8_t algorithm;
  uint8_t scalar[WG_SCALAR_LEN];
  warp_key key;
} stored_key;

static bool read_field(stored_key *stored, wg_field *field) {
  switch (field->type) {
  case FIELD_ALGORITHM:
    return wg_field_get_u8(field, &stored->algorithm);
  case FIELD_SCALAR:
    return wg_field_get_bytes(field, stored->scalar, sizeof stored->scalar);
  case FIELD_PUBLIC:
    return wg_field_get_bytes(field, stored->key.bytes, sizeof stored->key.bytes);
  default: /* of a later version */
    return true;
  }
}

static int keystore_parse(const uint8_t *bytes, size_t len, stored_key *stored) {
  static const uint64_t required = 1u << FIELD_ALGORITHM | 1u << FIELD_SCALAR | 1u << FIELD_PUBLIC;
  wg_reader reader = wg_reader_init(bytes, len);
  wg_field field;
  uint64_t seen = 0;
  int status = wg_packet_open(&reader, WG_PACKET_KEYSTORE);
  if (status != WARP_OK) {
    return status;
  }
  while (wg_field_next(&reader, &field)) {
    if (!wg_field_once(&seen, field.type) || !read_field(stored, &field)) {
      return WARP_MALFORMED;
    }
    if (field.type == FIELD_ALGORITHM && stored->algorithm != ALGORITHM_P256) {
      return WARP_VERSION; /* the other fields have the sizes of another algorithm */
    }
  }
  return reader.failed || (seen & required) != required ? WARP_MALFORMED : WARP_OK;
}

static int keystore_decode(const uint8_t *bytes, size_t len, wg_identity **out) {
  stored_key stored = {0};
  int status = keystore_parse(bytes, len, &stored);
  if (status == WARP_OK) {
    status = wg_identity_from_scalar(stored.scalar, &stored.key, out);
  }
  OPENSSL_cleanse(&stored, sizeof stored);
  return status;
}

static int keystore_create(wg_env *env, const char *dir, const char *file, wg_identity **out) {
  wg_identity *identity = NULL;
  uint8_t bytes[KEYSTORE_MAX];
  size_t len = 0;
  int status = wg_identity_generate(&identity);
  if (status == WARP_OK) {
    status = keystore_encode(identity, bytes, sizeof bytes, &len);
  }
  if (status == WARP_OK) {
    status = env->ops->file_create(env, dir, file, bytes, len);
  }
  OPENSSL_cleanse(bytes, sizeof bytes);
  if (status != WARP_OK) {
    wg_identity_free(identity);
    return status;
  }
  *out = identity;
  return WARP_OK;
}

enum { FILE_NAME_LEN = KEY_NAME_MAX + sizeof ".key" };

static bool file_of(const char *name, char out[FILE_NAME_LEN]) {
  bool valid = name != NULL && name_valid(name);
  if (valid) {
    snprintf(out, FILE_NAME_LEN, "%s.key", name);
  }
  return valid;
}

bool wg_identity_exists(wg_env *env, const char *dir, const char *name) {
  char file[FILE_NAME_LEN];
  uint8_t bytes[KEYSTORE_MAX];
  size_t len = 0;
  bool there = file_of(name, file) &&
               env->ops->file_read(env, dir, file, bytes, sizeof bytes, &len) == WARP_OK;
  OPENSSL_cleanse(bytes, sizeof bytes);
  return there;
}

static int keystore_read(wg_env *env, const char *dir, const char *file, wg_identity **out) {
  uint8_t bytes[KEYSTORE_MAX];
  size_t len = 0;
  int status = env->ops->file_read(env, dir, file, bytes, sizeof bytes, &len);
  if (status == WARP_OK) {
    status = keystore_decode(bytes, len, out);
  } else if (status == WARP_TOO_BIG) {
    status = WARP_MALFORMED;
  }
  OPENSSL_cleanse(bytes, sizeof bytes);
  return status;
}

int wg_identity_load(wg_env *env, const char *dir, const char *name, wg_identity **out) {
  char file[FILE_NAME_LEN];
  if (!file_of(name, file)) {
    return WARP_INVALID;
  }
  int status = keystore_read(env, dir, file, out);
  if (status == WARP_NOT_FOUND) {
    status = keystore_create(env, dir, file, out);
    if (status == WARP_STATE) { /* another process has just made it: its key is the one */
      status = keystore_read(env, dir, file, out);
    }
  }
  return status;
}
