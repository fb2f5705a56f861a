/* Whom to connect to: names, addresses, and what is neither. */
#include "cli/target.h"

#include "base/bytes.h"
#include "cli/say.h"
#include "identity/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_LEN = 4 * ((WARP_RECORD_MAX + 2) / 3) + 1 };
static const int64_t now_ms = INT64_C(1700000000000);
static wg_identity *owner;

static int make_owner(void **state) {
  (void)state;
  return wg_identity_generate(&owner);
}

static int free_owner(void **state) {
  (void)state;
  wg_identity_free(owner);
  return 0;
}

static size_t make_record(uint8_t bytes[WARP_RECORD_MAX], int64_t expires_ms) {
  wg_record record = {
      .key = *wg_identity_key(owner), .sequence = 1, .issued_ms = 1, .expires_ms = expires_ms};
  int len = wg_record_sign(owner, &record, bytes, WARP_RECORD_MAX);
  assert_true(len > 0);
  return (size_t)len;
}

static int parse(const uint8_t *bytes, size_t len, cli_target *out) {
  char text[TEXT_LEN];
  wg_base64url_encode(bytes, len, text);
  return cli_target_parse(text, now_ms, out);
}

static void names_are_names(void **state) {
  (void)state;
  cli_target target;
  static const char *const good[] = {"alice", "Alice", "ALICE.P2P", "alice.p2p"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    assert_int_equal(cli_target_parse(good[i], now_ms, &target), WARP_OK);
    assert_true(target.is_name);
    assert_memory_equal(target.name, "alice", 5);
    assert_string_equal(target.name + 5, strlen(good[i]) > 5 ? ".p2p" : "");
  }
  char longest[WARP_NAME_MAX + sizeof ".p2p"];
  memset(longest, 'x', WARP_NAME_MAX);
  strcpy(longest + WARP_NAME_MAX, ".p2p");
  assert_int_equal(cli_target_parse(longest, now_ms, &target), WARP_OK);
  assert_true(target.is_name);
  /* In lower case it is no beginning of an address. */
  assert_int_equal(cli_target_parse("51cbob", now_ms, &target), WARP_OK);
  assert_true(target.is_name);
  static const char *const bad[] = {"", "-a", "a-", "a.b", "a_b", "a b", "a.p2p.p2p", ".p2p"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(cli_target_parse(bad[i], now_ms, &target), WARP_INVALID);
}

static void addresses_are_checked(void **state) {
  (void)state;
  uint8_t bytes[WARP_RECORD_MAX];
  cli_target target;
  size_t len = make_record(bytes, now_ms + 1);
  assert_int_equal(parse(bytes, len, &target), WARP_OK);
  assert_false(target.is_name);
  assert_int_equal(target.record_len, len);
  assert_memory_equal(target.record, bytes, len);
  bytes[len - 1] ^= 1;
  assert_int_equal(parse(bytes, len, &target), WARP_BAD_SIGNATURE);
  bytes[len - 1] ^= 1;
  bytes[2] = 2;
  assert_int_equal(parse(bytes, len, &target), WARP_VERSION);
  len = make_record(bytes, now_ms - 2 * WG_CLOCK_TOLERANCE_MS);
  assert_int_equal(parse(bytes, len, &target), WARP_EXPIRED);
}

/* However short the rest is, it is known for an address and not looked up as a name. */
static void cut_addresses_are_no_names(void **state) {
  (void)state;
  uint8_t bytes[WARP_RECORD_MAX];
  char text[TEXT_LEN];
  cli_target target;
  size_t len = make_record(bytes, now_ms + 1);
  wg_base64url_encode(bytes, len, text);
  for (size_t left = strlen(text) - 1; left >= 4; left--) {
    text[left] = '\0';
    int status = cli_target_parse(text, now_ms, &target);
    assert_false(target.is_name);
    assert_int_equal(status, WARP_MALFORMED);
  }
}

static void strangers_cannot_steer_a_terminal(void **state) {
  (void)state;
  char out[16];
  assert_string_equal(cli_clean("a\033[2Jb\n\xc3\xa4", out, sizeof out), "a?[2Jb???");
  assert_string_equal(cli_clean("0123456789abcdefg", out, sizeof out), "0123456789abcde");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_are_names),
      cmocka_unit_test(addresses_are_checked),
      cmocka_unit_test(cut_addresses_are_no_names),
      cmocka_unit_test(strangers_cannot_steer_a_terminal),
  };
  return cmocka_run_group_tests(tests, make_owner, free_owner);
}
