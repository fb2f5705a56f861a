/* Sealed envelopes: readable for the recipient alone, and only as the sender wrote them. */
#include "identity/internal.h"
#include "unit/identity/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "wire/packet.h"

static wg_identity *make(const char *scalar_hex, const char *key_hex) {
  uint8_t scalar[WG_SCALAR_LEN];
  warp_key key;
  wg_identity *identity = NULL;
  assert_true(wg_hex_decode(scalar_hex, scalar, sizeof scalar));
  assert_true(wg_hex_decode(key_hex, key.bytes, sizeof key.bytes));
  assert_int_equal(wg_identity_from_scalar(scalar, &key, &identity), WARP_OK);
  return identity;
}

typedef struct pair {
  wg_identity *a, *b, *e;
} pair;

static int set_up(void **state) {
  static pair keys;
  keys.a = make(SCALAR_A, KEY_A);
  keys.b = make(SCALAR_B, KEY_B);
  keys.e = make(SCALAR_E, KEY_E);
  *state = &keys;
  return 0;
}

static int tear_down(void **state) {
  pair *keys = *state;
  wg_identity_free(keys->a);
  wg_identity_free(keys->b);
  wg_identity_free(keys->e);
  return 0;
}

static wg_letter make_letter(const pair *keys, const uint8_t *message, size_t len) {
  return (wg_letter){
      .sender = *wg_identity_key(keys->a),
      .recipient = *wg_identity_key(keys->b),
      .sequence = 42,
      .time_ms = TIME_MS,
      .expires_ms = TIME_MS + 120000,
      .message = message,
      .message_len = len,
  };
}

static int open_hex(const wg_identity *to, const char *hex, wg_letter *letter, uint8_t *plain) {
  uint8_t bytes[WG_ENVELOPE_MAX];
  size_t len = strlen(hex) / 2;
  assert_true(wg_hex_decode(hex, bytes, len));
  return wg_envelope_open(to, bytes, len, TIME_MS, plain, letter);
}

static void test_golden(void **state) {
  pair *keys = *state;
  wg_letter letter;
  uint8_t plain[WG_ENVELOPE_MAX];
  assert_int_equal(open_hex(keys->b, ENVELOPE_A_TO_B, &letter, plain), WARP_OK);
  assert_true(wg_key_equal(&letter.sender, wg_identity_key(keys->a)));
  assert_int_equal(letter.sequence, 42);
  assert_int_equal(letter.time_ms, TIME_MS);
  assert_int_equal(letter.expires_ms, TIME_MS + 120000);
  assert_int_equal(letter.message_len, 5);
  assert_memory_equal(letter.message, "hello", 5);
}

static void test_golden_lies(void **state) {
  pair *keys = *state;
  wg_letter letter;
  uint8_t plain[WG_ENVELOPE_MAX];
  assert_int_equal(open_hex(keys->a, ENVELOPE_A_TO_B, &letter, plain), WARP_UNTRUSTED);
  assert_int_equal(open_hex(keys->b, ENVELOPE_FORWARDED, &letter, plain), WARP_UNTRUSTED);
  assert_int_equal(open_hex(keys->b, ENVELOPE_FORGED, &letter, plain), WARP_BAD_SIGNATURE);
}

static void test_sizes(void **state) {
  pair *keys = *state;
  static const size_t sizes[] = {1, 15, 16, 17, 1000, WG_MESSAGE_MAX};
  uint8_t message[WG_MESSAGE_MAX + 1], bytes[WG_ENVELOPE_MAX], plain[WG_ENVELOPE_MAX];
  wg_letter letter, got;
  for (size_t i = 0; i < sizeof message; i++) {
    message[i] = (uint8_t)i;
  }
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    letter = make_letter(keys, message, sizes[i]);
    int len = wg_envelope_seal(keys->a, &letter, bytes, sizeof bytes);
    assert_true(len > 0 && len <= WG_ENVELOPE_MAX);
    assert_int_equal(wg_envelope_open(keys->b, bytes, (size_t)len, TIME_MS, plain, &got), WARP_OK);
    assert_int_equal(got.message_len, sizes[i]);
    assert_memory_equal(got.message, message, sizes[i]);
    assert_int_equal(wg_envelope_seal(keys->a, &letter, bytes, (size_t)len - 1), WARP_TOO_BIG);
  }
  letter = make_letter(keys, message, sizeof message);
  assert_true(wg_envelope_seal(keys->a, &letter, bytes, sizeof bytes) < 0);
}

/* Two envelopes of the same letter share nothing that a broker could recognise. */
static void test_never_the_same(void **state) {
  pair *keys = *state;
  uint8_t one[WG_ENVELOPE_MAX], two[WG_ENVELOPE_MAX];
  wg_letter letter = make_letter(keys, (const uint8_t *)"hello", 5);
  int len = wg_envelope_seal(keys->a, &letter, one, sizeof one);
  assert_int_equal(wg_envelope_seal(keys->a, &letter, two, sizeof two), len);
  size_t same = 0;
  for (size_t i = WG_HEADER_LEN; i < (size_t)len; i++) {
    same += one[i] == two[i];
  }
  assert_true(same < 20); /* about 1 in 256, and the key's first byte */
}

static void test_damage(void **state) {
  pair *keys = *state;
  uint8_t bytes[WG_ENVELOPE_MAX], plain[WG_ENVELOPE_MAX];
  wg_letter letter = make_letter(keys, (const uint8_t *)"hello", 5), got;
  int len = wg_envelope_seal(keys->a, &letter, bytes, sizeof bytes);
  for (size_t i = 0; i < (size_t)len; i++) {
    bytes[i] ^= 0x80;
    int status = wg_envelope_open(keys->b, bytes, (size_t)len, TIME_MS, plain, &got);
    assert_true(status == WARP_MALFORMED || status == WARP_VERSION || status == WARP_UNTRUSTED);
    bytes[i] ^= 0x80;
  }
  for (size_t cut = 0; cut < (size_t)len; cut++) {
    int status = wg_envelope_open(keys->b, bytes, cut, TIME_MS, plain, &got);
    assert_true(status == WARP_MALFORMED || status == WARP_UNTRUSTED);
  }
  uint8_t huge[WG_ENVELOPE_MAX + 1] = {WG_MAGIC_0, WG_MAGIC_1, WG_PROTOCOL_VERSION,
                                       WG_PACKET_ENVELOPE};
  assert_int_equal(wg_envelope_open(keys->b, huge, sizeof huge, TIME_MS, plain, &got),
                   WARP_MALFORMED);
}

static void test_refusals(void **state) {
  pair *keys = *state;
  uint8_t bytes[WG_ENVELOPE_MAX], plain[WG_ENVELOPE_MAX];
  wg_letter letter = make_letter(keys, (const uint8_t *)"hello", 5), got;
  assert_int_equal(wg_envelope_seal(keys->e, &letter, bytes, sizeof bytes), WARP_INVALID);
  letter.recipient = (warp_key){{2, [32] = 1}}; /* no point of the curve */
  assert_int_equal(wg_envelope_seal(keys->a, &letter, bytes, sizeof bytes), WARP_UNTRUSTED);

  letter = make_letter(keys, (const uint8_t *)"hello", 5);
  int len = wg_envelope_seal(keys->a, &letter, bytes, sizeof bytes);
  int64_t last_ms = letter.expires_ms + WG_CLOCK_TOLERANCE_MS;
  assert_int_equal(wg_envelope_open(keys->b, bytes, (size_t)len, last_ms, plain, &got), WARP_OK);
  assert_int_equal(wg_envelope_open(keys->b, bytes, (size_t)len, last_ms + 1, plain, &got),
                   WARP_EXPIRED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_golden, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_golden_lies, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_never_the_same, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
