/* The file of known networks: golden bytes both ways, which is found and replaced, damage. */
#include "base/addr.h"
#include "nat/names.h"
#include "vectors.h"
#include "wire/networks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int64_t time_ms = INT64_C(1700000000000);

static warp_addr addr(const char *text) {
  warp_addr out;
  assert_int_equal(warp_addr_parse(text, &out), WARP_OK);
  return out;
}

static wg_networks golden(void) {
  wg_networks out = {.count = 2};
  out.all[0] = (wg_network){.prefix_bits = 24,
                            .prefix = addr("192.168.1.0"),
                            .external = addr("203.0.113.7"),
                            .measured_ms = time_ms,
                            .over_udp = true,
                            .over_tcp = true,
                            .udp = {.translation = WARP_TRANSLATION_NAT,
                                    .mapping = 3,
                                    .filtering = 3,
                                    .allocation = WARP_ALLOC_SEQUENTIAL,
                                    .step = -2,
                                    .confidence = 85,
                                    .hairpin = WARP_ABILITY_NO,
                                    .reuse = WARP_ABILITY_YES,
                                    .port_low = 1024,
                                    .port_high = 65535,
                                    .lifetime_s = 120,
                                    .age_s = 7},
                            .tcp = {.translation = WARP_TRANSLATION_NAT,
                                    .mapping = 1,
                                    .filtering = 3,
                                    .allocation = WARP_ALLOC_PRESERVING,
                                    .confidence = 50,
                                    .hairpin = WARP_ABILITY_YES,
                                    .reuse = WARP_ABILITY_NO,
                                    .age_s = 65535}};
  out.all[1] = (wg_network){.prefix_bits = 64,
                            .prefix = addr("2001:db8::"),
                            .external = addr("2001:db8::5"),
                            .measured_ms = time_ms,
                            .over_tcp = true,
                            .tcp = {.translation = WARP_TRANSLATION_NONE,
                                    .mapping = 1,
                                    .filtering = 3,
                                    .allocation = WARP_ALLOC_PRESERVING,
                                    .confidence = 100}};
  return out;
}

static void test_golden(void **state) {
  (void)state;
  vector file = vector_load("networks");
  wg_networks networks = golden(), back;
  uint8_t bytes[WG_NETWORKS_LEN];
  assert_int_equal(wg_networks_encode(&networks, bytes, sizeof bytes), file.len);
  assert_memory_equal(bytes, file.bytes, file.len);
  assert_int_equal(wg_networks_decode(file.bytes, file.len, &back), WARP_OK);
  assert_int_equal(back.count, 2);
  for (size_t i = 0; i < 2; i++) {
    const wg_network *a = &networks.all[i], *b = &back.all[i];
    assert_true(wg_addr_same_ip(&a->prefix, &b->prefix));
    assert_true(wg_addr_same_ip(&a->external, &b->external));
    assert_int_equal(a->prefix_bits, b->prefix_bits);
    assert_true(a->measured_ms == b->measured_ms);
    assert_true(a->over_udp == b->over_udp && a->over_tcp == b->over_tcp);
    assert_true(wg_axes_equal(&a->udp, &b->udp) && wg_axes_equal(&a->tcp, &b->tcp));
    assert_int_equal(a->udp.age_s, b->udp.age_s);
  }
  file = vector_load("networks_none");
  assert_int_equal(wg_networks_decode(file.bytes, file.len, &back), WARP_OK);
  assert_int_equal(back.count, 0);
}

static void test_found_by_prefix_and_outside(void **state) {
  (void)state;
  wg_networks networks = golden();
  warp_addr host = addr("192.168.1.77"), outside = addr("203.0.113.7:9"),
            other = addr("203.0.113.8");
  assert_ptr_equal(wg_networks_find(&networks, &host, 24, &outside), &networks.all[0]);
  assert_null(wg_networks_find(&networks, &host, 24, &other));
  assert_null(wg_networks_find(&networks, &host, 16, &outside));
  host = addr("192.168.2.77");
  assert_null(wg_networks_find(&networks, &host, 24, &outside));
}

static void test_the_oldest_goes(void **state) {
  (void)state;
  wg_networks networks = {0};
  wg_network one = golden().all[0];
  for (unsigned i = 0; i < WG_NETWORKS; i++) {
    char text[WARP_ADDR_STRLEN];
    snprintf(text, sizeof text, "10.0.%u.0", i);
    one.prefix = addr(text);
    one.measured_ms = time_ms + (i == 5 ? -1 : (int64_t)i);
    wg_networks_put(&networks, &one);
  }
  assert_int_equal(networks.count, WG_NETWORKS);
  one.measured_ms = time_ms + 100;
  one.udp.confidence = 1;
  wg_networks_put(&networks, &one); /* the last one again */
  assert_int_equal(networks.count, WG_NETWORKS);
  assert_int_equal(networks.all[WG_NETWORKS - 1].udp.confidence, 1);
  one.prefix = addr("10.1.0.0");
  wg_networks_put(&networks, &one);
  assert_int_equal(networks.count, WG_NETWORKS);
  assert_true(wg_addr_same_ip(&networks.all[5].prefix, &one.prefix));
  uint8_t bytes[WG_NETWORKS_LEN];
  for (size_t i = 0; i < WG_NETWORKS; i++) { /* the longest there is */
    networks.all[i] = golden().all[1];
  }
  assert_true(wg_networks_encode(&networks, bytes, sizeof bytes) > 0);
}

static void test_invalid(void **state) {
  (void)state;
  uint8_t bytes[WG_NETWORKS_LEN];
  for (int what = 0; what < 5; what++) {
    wg_networks networks = golden();
    wg_network *one = &networks.all[0];
    switch (what) {
    case 0:
      networks.count = WG_NETWORKS + 1;
      break;
    case 1:
      one->prefix_bits = 33;
      break;
    case 2:
      one->external = addr("::1");
      break;
    case 3:
      one->measured_ms = -1;
      break;
    default:
      one->tcp.confidence = 101;
    }
    assert_int_equal(wg_networks_encode(&networks, bytes, sizeof bytes), WARP_INVALID);
  }
  wg_networks networks = golden();
  assert_int_equal(wg_networks_encode(&networks, bytes, 50), WARP_TOO_BIG);
}

static void check_variant(const uint8_t *bytes, size_t len, int changed) {
  wg_networks networks;
  int status = wg_networks_decode(bytes, len, &networks);
  assert_true(status == WARP_OK || status == WARP_MALFORMED || status == WARP_VERSION);
  assert_true(changed || status != WARP_OK || len == 4 || networks.count < 2);
}

static void test_damage(void **state) {
  (void)state;
  vector file = vector_load("networks");
  hostile_variants(file.bytes, file.len, check_variant);
  wg_networks networks;
  vector many = vector_load("networks_none"); /* one more than there may be */
  for (size_t i = 0; i <= WG_NETWORKS; i++) {
    size_t len = 4 + 3 + 8 + 8 + 26;
    memcpy(many.bytes + many.len, file.bytes + 4, len);
    many.len += len;
    assert_int_equal(wg_networks_decode(many.bytes, many.len, &networks),
                     i < WG_NETWORKS ? WARP_OK : WARP_MALFORMED);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),          cmocka_unit_test(test_found_by_prefix_and_outside),
      cmocka_unit_test(test_the_oldest_goes), cmocka_unit_test(test_invalid),
      cmocka_unit_test(test_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
