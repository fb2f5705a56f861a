/* Signed records: by the right key, of the right key, in their time. */
#include "identity/internal.h"
#include "unit/identity/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/bytes.h"

static const int64_t HOUR_MS = 3600000;

static wg_record make_record(const warp_key *key) {
  wg_record record = {
      .key = *key,
      .sequence = 9,
      .issued_ms = TIME_MS,
      .expires_ms = TIME_MS + 2 * HOUR_MS,
      .endpoint_count = 1,
  };
  record.endpoints[0].family = WARP_IP4;
  record.endpoints[0].prefix_bits = 24;
  assert_int_equal(warp_addr_parse("192.0.2.5:30000", &record.endpoints[0].nic), WARP_OK);
  return record;
}

static void test_golden(void **state) {
  (void)state;
  uint8_t bytes[WARP_RECORD_MAX], machine[WG_MACHINE_ID_LEN];
  size_t len = strlen(RECORD_A) / 2;
  wg_record record;
  warp_key key;
  assert_true(wg_hex_decode(RECORD_A, bytes, len));
  assert_true(wg_hex_decode(KEY_A, key.bytes, sizeof key.bytes));
  assert_true(wg_hex_decode(MACHINE_ID, machine, sizeof machine));
  assert_int_equal(wg_record_verify(bytes, len, TIME_MS, &record), WARP_OK);
  assert_true(wg_key_equal(&record.key, &key));
  assert_memory_equal(record.machine, machine, sizeof machine);
  assert_int_equal(record.sequence, 7);
}

static void test_roundtrip_and_damage(void **state) {
  (void)state;
  wg_identity *identity;
  assert_int_equal(wg_identity_generate(&identity), WARP_OK);
  wg_record record = make_record(wg_identity_key(identity)), got;
  uint8_t bytes[WARP_RECORD_MAX];
  int len = wg_record_sign(identity, &record, bytes, sizeof bytes);
  assert_true(len > 0);
  assert_int_equal(wg_record_verify(bytes, (size_t)len, TIME_MS, &got), WARP_OK);
  assert_true(wg_addr_equal(&got.endpoints[0].nic, &record.endpoints[0].nic));
  for (size_t i = 0; i < (size_t)len; i++) {
    bytes[i] ^= 1;
    assert_int_not_equal(wg_record_verify(bytes, (size_t)len, TIME_MS, &got), WARP_OK);
    bytes[i] ^= 1;
  }
  for (size_t cut = 0; cut < (size_t)len; cut++) {
    assert_int_not_equal(wg_record_verify(bytes, cut, TIME_MS, &got), WARP_OK);
  }
  for (int room = 0; room < len; room++) {
    assert_int_equal(wg_record_sign(identity, &record, bytes, (size_t)room), WARP_TOO_BIG);
  }
  wg_identity_free(identity);
}

static void test_wrong_key(void **state) {
  (void)state;
  wg_identity *identity, *other;
  assert_int_equal(wg_identity_generate(&identity), WARP_OK);
  assert_int_equal(wg_identity_generate(&other), WARP_OK);
  wg_record record = make_record(wg_identity_key(identity)), got;
  uint8_t bytes[WARP_RECORD_MAX], signature[WG_SIGNATURE_LEN];
  assert_int_equal(wg_record_sign(other, &record, bytes, sizeof bytes), WARP_INVALID);
  /* signed by another key than the record names */
  int len = wg_record_encode(&record, bytes, sizeof bytes);
  assert_int_equal(wg_identity_sign(other, "warpgate record v1", bytes, (size_t)len, signature),
                   WARP_OK);
  len = wg_record_attach(bytes, (size_t)len, sizeof bytes, signature);
  assert_int_equal(wg_record_verify(bytes, (size_t)len, TIME_MS, &got), WARP_BAD_SIGNATURE);
  /* by the right key, but for another purpose */
  len = wg_record_encode(&record, bytes, sizeof bytes);
  assert_int_equal(wg_identity_sign(identity, "warpgate letter v1", bytes, (size_t)len, signature),
                   WARP_OK);
  len = wg_record_attach(bytes, (size_t)len, sizeof bytes, signature);
  assert_int_equal(wg_record_verify(bytes, (size_t)len, TIME_MS, &got), WARP_BAD_SIGNATURE);
  wg_identity_free(identity);
  wg_identity_free(other);
}

static void test_expiry(void **state) {
  (void)state;
  static const struct {
    int64_t late_ms;
    int status;
  } cases[] = {{-3 * 3600000, WARP_OK}, {0, WARP_OK}, {3600000, WARP_OK}, {3600001, WARP_EXPIRED}};
  wg_identity *identity;
  assert_int_equal(wg_identity_generate(&identity), WARP_OK);
  wg_record record = make_record(wg_identity_key(identity)), got;
  uint8_t bytes[WARP_RECORD_MAX];
  int len = wg_record_sign(identity, &record, bytes, sizeof bytes);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_int_equal(
        wg_record_verify(bytes, (size_t)len, record.expires_ms + cases[i].late_ms, &got),
        cases[i].status);
  }
  assert_true(wg_expired(INT64_MIN, TIME_MS));
  assert_false(wg_expired(INT64_MAX, TIME_MS));
  wg_identity_free(identity);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_roundtrip_and_damage),
      cmocka_unit_test(test_wrong_key),
      cmocka_unit_test(test_expiry),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
