/* Offers: golden bytes both ways, the other side's view, and what strangers send. */
#include "nat/offer.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static wg_offer golden_offer(void) {
  return (wg_offer){.plan = {.strategy = WG_STRATEGY_WALK,
                             .role = WG_ROLE_WALKER,
                             .self_counts = true,
                             .peer_preserves = true,
                             .fixed_spreads = true,
                             .certain = true},
                    .round = 2,
                    .port_count = 3,
                    .ports = {40000, 65535, 1024}};
}

static void test_golden(void **state) {
  (void)state;
  vector golden = vector_load("offer");
  wg_offer offer = golden_offer(), decoded;
  uint8_t bytes[WG_OFFER_MAX];
  assert_int_equal(wg_offer_encode(&offer, bytes, sizeof bytes), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  assert_int_equal(wg_offer_decode(golden.bytes, golden.len, &decoded), WARP_OK);
  assert_int_equal(decoded.round, 2);
  assert_int_equal(decoded.port_count, 3);
  assert_memory_equal(decoded.ports, offer.ports, sizeof offer.ports);
  assert_int_equal(wg_offer_encode(&decoded, bytes, sizeof bytes), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
}

/* Every flag has a bit of its own, and those of the two sides change places. */
static void test_flags(void **state) {
  (void)state;
  wg_offer offer = golden_offer(), decoded;
  uint8_t bytes[WG_OFFER_MAX];
  int len = wg_offer_encode(&offer, bytes, sizeof bytes);
  for (unsigned bit = 0; bit < 13; bit++) {
    uint8_t changed[WG_OFFER_MAX], again[WG_OFFER_MAX];
    memcpy(changed, bytes, sizeof changed);
    changed[2] = (uint8_t)((1U << bit) >> 8);
    changed[3] = (uint8_t)(1U << bit);
    assert_int_equal(wg_offer_decode(changed, (size_t)len, &decoded), WARP_OK);
    assert_int_equal(wg_offer_encode(&decoded, again, sizeof again), len);
    assert_memory_equal(again, changed, (size_t)len);
    wg_plan turned = wg_plan_turned(&decoded.plan);
    assert_int_equal(turned.role, WG_ROLE_FIXED);
    decoded.plan = wg_plan_turned(&turned);
    assert_int_equal(wg_offer_encode(&decoded, again, sizeof again), len);
    assert_memory_equal(again, changed, (size_t)len);
  }
}

static void test_largest(void **state) {
  (void)state;
  wg_offer offer = golden_offer();
  uint8_t bytes[WG_OFFER_MAX];
  offer.port_count = WG_OFFER_PORTS;
  assert_int_equal(wg_offer_encode(&offer, bytes, sizeof bytes), WG_OFFER_MAX);
  assert_int_equal(wg_offer_encode(&offer, bytes, sizeof bytes - 1), WARP_TOO_BIG);
  offer.port_count++;
  assert_int_equal(wg_offer_encode(&offer, bytes, sizeof bytes), WARP_INVALID);
}

static int decode_changed(size_t at, uint8_t value) {
  vector golden = vector_load("offer");
  wg_offer offer;
  golden.bytes[at] = value;
  return wg_offer_decode(golden.bytes, golden.len, &offer);
}

static void test_malformed(void **state) {
  (void)state;
  assert_int_equal(decode_changed(0, WG_STRATEGY_NONE), WARP_MALFORMED);
  assert_int_equal(decode_changed(0, WG_STRATEGY_BIRTHDAY + 1), WARP_MALFORMED);
  assert_int_equal(decode_changed(0, WG_STRATEGY_BIRTHDAY), WARP_MALFORMED); /* has no walker */
  assert_int_equal(decode_changed(0, WG_STRATEGY_WINDOW), WARP_MALFORMED);
  assert_int_equal(decode_changed(1, WG_ROLE_SAME), WARP_MALFORMED);
  assert_int_equal(decode_changed(1, 200), WARP_MALFORMED);
  assert_int_equal(decode_changed(4, 0), WARP_MALFORMED); /* no round */
  assert_int_equal(decode_changed(5, 4), WARP_MALFORMED); /* more ports than there are */
  assert_int_equal(decode_changed(5, WG_OFFER_PORTS + 1), WARP_MALFORMED);
  assert_int_equal(decode_changed(6, 3), WARP_MALFORMED); /* port 832 */
  assert_int_equal(decode_changed(5, 2), WARP_OK);        /* what comes behind is skipped */
}

static void feed(const uint8_t *bytes, size_t len, int changed) {
  wg_offer offer;
  int status = wg_offer_decode(bytes, len, &offer);
  if (!changed)
    assert_int_equal(status, WARP_MALFORMED);
}

static void test_hostile(void **state) {
  (void)state;
  vector golden = vector_load("offer");
  hostile_variants(golden.bytes, golden.len, feed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),  cmocka_unit_test(test_flags),
      cmocka_unit_test(test_largest), cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
