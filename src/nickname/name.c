/* Names as text. */
#include "nickname/names.h"

#include "base/addr.h"
#include "wire/digest.h"
#include "wire/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DERIVED_PREFIX_LEN = 2, DERIVED_DIGITS = 20, SET_DIGITS = 6 };
static const char default_suffix[] = WG_NAME_DEFAULT_SUFFIX;
static const char derived_prefix[] = "n-";
static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 section 6 */

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The digits of the first bits of a hash. */
static void write_base32(const uint8_t *hash, char *out, size_t digits) {
  unsigned bits = 0, have = 0;
  size_t at = 0;
  for (size_t i = 0; i < digits; i++) {
    if (have < 5) {
      bits = bits << 8 | hash[at++];
      have += 8;
    }
    have -= 5;
    out[i] = base32[bits >> have & 31];
  }
  out[digits] = '\0';
}

static bool is_suffix(const char *text) {
  return strcmp(text, default_suffix) == 0 || (text[0] == '.' && strlen(text + 1) == SET_DIGITS &&
                                               strspn(text + 1, base32) == SET_DIGITS);
}

int wg_name_split(const char *name, char plain[WARP_NAME_MAX + 1],
                  char suffix[WG_NAME_SUFFIX_LEN]) {
  char text[WARP_NAME_MAX + WG_NAME_SUFFIX_LEN];
  size_t len = strlen(name);
  if (len >= sizeof text) {
    return WARP_INVALID;
  }
  for (size_t i = 0; i <= len; i++) {
    text[i] = lower(name[i]);
  }
  size_t plain_len = strcspn(text, ".");
  char rest[sizeof text];
  memcpy(rest, text + plain_len, len + 1 - plain_len);
  text[plain_len] = '\0';
  if (!wg_name_valid(text) || (rest[0] != '\0' && !is_suffix(rest))) {
    return WARP_INVALID;
  }
  memcpy(plain, text, plain_len + 1);
  memcpy(suffix, rest, strlen(rest) + 1);
  return WARP_OK;
}

int wg_name_normalize(const char *name, const wg_name_set *set, char out[WARP_NAME_MAX + 1]) {
  char plain[WARP_NAME_MAX + 1], suffix[WG_NAME_SUFFIX_LEN];
  int status = wg_name_split(name, plain, suffix);
  if (status != WARP_OK) {
    return status;
  }
  if (suffix[0] != '\0' && strcmp(suffix, set->suffix) != 0 && strcmp(suffix, set->own) != 0) {
    return WARP_INVALID;
  }
  memcpy(out, plain, strlen(plain) + 1);
  return WARP_OK;
}

/* ---- sets of servers ------------------------------------------------------------------------- */

enum { SERVER_LINE_LEN = WG_HOST_LEN + 8 };

static int compare_lines(const void *a, const void *b) {
  return strcmp(a, b);
}

/* The suffix that follows from the servers: the hash of their sorted lines "host:port\n". */
static int hash_servers(const char *const *servers, char out[WG_NAME_SUFFIX_LEN]) {
  char lines[WG_NAME_SERVERS][SERVER_LINE_LEN];
  wg_part parts[WG_NAME_SERVERS];
  uint8_t hash[WG_DIGEST_MAX];
  size_t count = 0, kept = 0;
  for (; servers != NULL && count < WG_NAME_SERVERS && servers[count] != NULL; count++) {
    wg_server_name server;
    if (wg_server_name_parse(servers[count], &server) != WARP_OK) {
      return WARP_INVALID;
    }
    for (char *at = server.host; *at != '\0'; at++) {
      *at = lower(*at);
    }
    snprintf(lines[count], SERVER_LINE_LEN, "%s:%u\n", server.host, server.port);
  }
  qsort(lines, count, sizeof lines[0], compare_lines);
  for (size_t i = 0; i < count; i++) {
    if (i == 0 || strcmp(lines[i], lines[i - 1]) != 0) {
      parts[kept++] = (wg_part){lines[i], strlen(lines[i])};
    }
  }
  int status = wg_digest_parts(WG_DIGEST_SHA256, parts, kept, hash);
  if (status == WARP_OK) {
    out[0] = '.';
    write_base32(hash, out + 1, SET_DIGITS);
  }
  return status;
}

int wg_name_set_init(wg_name_set *set, const char *const *servers, const char *const *defaults) {
  char default_own[WG_NAME_SUFFIX_LEN];
  bool given = defaults != NULL && defaults[0] != NULL;
  int status = hash_servers(servers, set->own);
  if (status == WARP_OK) {
    status = hash_servers(given ? defaults : servers, default_own);
  }
  if (status == WARP_OK) {
    bool same = strcmp(default_own, set->own) == 0;
    snprintf(set->suffix, sizeof set->suffix, "%s", same ? default_suffix : set->own);
  }
  return status;
}

/* ---- derived names --------------------------------------------------------------------------- */

void wg_name_derive(const warp_key *key, char out[WARP_NAME_MAX + 1]) {
  uint8_t hash[32];
  wg_key_hash(key, hash);
  memcpy(out, derived_prefix, DERIVED_PREFIX_LEN);
  write_base32(hash, out + DERIVED_PREFIX_LEN, DERIVED_DIGITS);
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
