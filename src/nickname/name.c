/* Names as text. */
#include "nickname/names.h"

#include "base/bytes.h"
#include "wire/names.h"

#include <string.h>

enum { DERIVED_PREFIX_LEN = 2, DERIVED_DIGITS = 20 };
static const char derived_prefix[] = "n-";
static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 section 6 */

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

int wg_name_normalize(const char *name, char out[WARP_NAME_MAX + 1]) {
  static const size_t suffix_len = sizeof WG_NAME_SUFFIX - 1;
  char text[WARP_NAME_MAX + sizeof WG_NAME_SUFFIX];
  size_t len = strlen(name);
  if (len >= sizeof text) {
    return WARP_INVALID;
  }
  for (size_t i = 0; i <= len; i++) {
    text[i] = lower(name[i]);
  }
  if (len > suffix_len && strcmp(text + len - suffix_len, WG_NAME_SUFFIX) == 0) {
    text[len - suffix_len] = '\0';
  }
  if (!wg_name_valid(text)) {
    return WARP_INVALID;
  }
  memcpy(out, text, strlen(text) + 1);
  return WARP_OK;
}

void wg_name_derive(const warp_key *key, char out[WARP_NAME_MAX + 1]) {
  uint8_t hash[32];
  wg_key_hash(key, hash);
  memcpy(out, derived_prefix, DERIVED_PREFIX_LEN);
  unsigned bits = 0, have = 0;
  size_t at = 0;
  for (size_t i = 0; i < DERIVED_DIGITS; i++) {
    if (have < 5) {
      bits = bits << 8 | hash[at++];
      have += 8;
    }
    have -= 5;
    out[DERIVED_PREFIX_LEN + i] = base32[bits >> have & 31];
  }
  out[DERIVED_PREFIX_LEN + DERIVED_DIGITS] = '\0';
}

bool wg_name_may_belong(const char *name, const warp_key *key) {
  if (strncmp(name, derived_prefix, DERIVED_PREFIX_LEN) != 0 ||
      strlen(name) != DERIVED_PREFIX_LEN + DERIVED_DIGITS ||
      strspn(name + DERIVED_PREFIX_LEN, base32) != DERIVED_DIGITS) {
    return true;
  }
  char derived[WARP_NAME_MAX + 1];
  wg_name_derive(key, derived);
  return strcmp(name, derived) == 0;
}
