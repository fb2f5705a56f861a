/* NTP packets against golden bytes, their times, and what strangers do to them. */
#include "vectors.h"
#include "wire/ntp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <warpgate/warpgate.h>

#include <cmocka.h>

static void test_request(void **state) {
  (void)state;
  vector golden = vector_load("ntp_request");
  wg_ntp_packet packet = {
      .version = WG_NTP_VERSION, .mode = WG_NTP_CLIENT, .transmit = UINT64_C(0x1011121314151617)};
  uint8_t out[WG_NTP_LEN];
  wg_ntp_encode(&packet, out);
  assert_int_equal(golden.len, sizeof out);
  assert_memory_equal(out, golden.bytes, sizeof out);
}

static void test_reply(void **state) {
  (void)state;
  vector golden = vector_load("ntp_reply");
  wg_ntp_packet packet;
  uint8_t out[WG_NTP_LEN];
  assert_int_equal(wg_ntp_decode(golden.bytes, golden.len, &packet), WARP_OK);
  assert_int_equal(packet.leap, 1);
  assert_int_equal(packet.version, 4);
  assert_int_equal(packet.mode, WG_NTP_SERVER);
  assert_int_equal(packet.stratum, 2);
  assert_int_equal(packet.poll, 6);
  assert_int_equal(packet.precision, -24);
  assert_int_equal(wg_ntp_short_us(packet.root_delay), 250000);
  assert_int_equal(wg_ntp_short_us(packet.root_dispersion), 1500000);
  assert_int_equal(packet.reference_id, 0xCB00710A);
  assert_true(packet.origin == UINT64_C(0x1011121314151617));
  assert_true(wg_ntp_to_utc_us(packet.receive) == INT64_C(1700000000250000));
  assert_true(wg_ntp_to_utc_us(packet.transmit) == INT64_C(1700000000250015));
  wg_ntp_encode(&packet, out);
  assert_memory_equal(out, golden.bytes, sizeof out);
}

/* There and back is never more than a microsecond off, over the end of an era in 2036 too. */
static void test_times(void **state) {
  (void)state;
  static const int64_t times_us[] = {0,
                                     1,
                                     INT64_C(1700000000999999),
                                     INT64_C(2085978495999999),  /* the last of the first era */
                                     INT64_C(2085978496000000),  /* the first of the second */
                                     INT64_C(4133980799000000)}; /* the end of 2100 */
  for (size_t i = 0; i < sizeof times_us / sizeof times_us[0]; i++) {
    int64_t back_us = wg_ntp_to_utc_us(wg_ntp_from_utc_us(times_us[i]));
    assert_in_range(times_us[i] - back_us, 0, 1);
  }
  assert_true(wg_ntp_from_utc_us(INT64_C(2085978496000000)) >> 32 == 0);
  assert_true(wg_ntp_to_utc_us(0) == INT64_C(2085978496000000));
  assert_true(wg_ntp_to_utc_us(UINT64_MAX) == INT64_C(2085978495999999));
  assert_true(wg_ntp_short_us(UINT32_MAX) == INT64_C(65535999984));
}

static void decode_hostile(const uint8_t *bytes, size_t len, int changed) {
  wg_ntp_packet packet;
  int status = wg_ntp_decode(bytes, len, &packet);
  if (!changed)
    assert_int_equal(status, WARP_MALFORMED); /* a prefix */
  else
    assert_true(status == WARP_OK || status == WARP_MALFORMED);
}

static void test_malformed(void **state) {
  (void)state;
  vector golden = vector_load("ntp_reply");
  wg_ntp_packet packet;
  hostile_variants(golden.bytes, golden.len, decode_hostile);
  for (unsigned version = 0; version < 8; version++) {
    golden.bytes[0] = (uint8_t)(version << 3 | WG_NTP_SERVER);
    assert_int_equal(wg_ntp_decode(golden.bytes, golden.len, &packet),
                     version == 3 || version == 4 ? WARP_OK : WARP_MALFORMED);
  }
  /* A MAC of 20 bytes follows: it is left alone. */
  golden.bytes[0] = 4 << 3 | WG_NTP_SERVER;
  assert_int_equal(wg_ntp_decode(golden.bytes, golden.len + 20, &packet), WARP_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request),
      cmocka_unit_test(test_reply),
      cmocka_unit_test(test_times),
      cmocka_unit_test(test_malformed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
