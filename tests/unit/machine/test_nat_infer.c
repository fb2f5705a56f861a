/* What is concluded from both transports together (machine/nat_infer.h); what follows from the
 * tests of one is in test_nat_probe.c. */
#include "machine/nat_infer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const warp_nat_axes block = {
    .allocation = WARP_ALLOC_RANDOM, .port_low = 20000, .port_high = 21000};
static const warp_nat_axes drawn = {.allocation = WARP_ALLOC_RANDOM};

static void check(warp_nat_axes tcp, const warp_nat_axes *udp, uint16_t seen_low,
                  uint16_t seen_high, uint16_t low, uint16_t high) {
  wg_nat_share_block(&tcp, udp, seen_low, seen_high);
  assert_int_equal(tcp.port_low, low);
  assert_int_equal(tcp.port_high, high);
}

static void test_ports_inside_the_block_of_udp(void **state) {
  (void)state;
  check(drawn, &block, 20100, 20900, 20000, 21000);
}

static void test_ports_beside_the_block_widen_it(void **state) {
  (void)state;
  check(drawn, &block, 19950, 20900, 19950, 21000);
  check(drawn, &block, 20100, 21300, 20000, 21300);
  check(drawn, &block, 19000, 22000, 19000, 22000);
}

static void test_ports_elsewhere_are_of_no_block(void **state) {
  (void)state;
  check(drawn, &block, 20100, 60000, 0, 0);
  check(drawn, &block, 1024, 20500, 0, 0);
  check(drawn, &block, 40000, 40100, 0, 0);
}

static void test_a_wide_block_is_shared_by_what_lies_in_it(void **state) {
  (void)state;
  static const warp_nat_axes wide = {
      .allocation = WARP_ALLOC_RANDOM, .port_low = 20000, .port_high = 26000};
  check(drawn, &wide, 20000, 26000, 20000, 26000);
  check(drawn, &wide, 19999, 25000, 0, 0);
}

static void test_what_tcp_has_shown_itself_stands(void **state) {
  (void)state;
  static const warp_nat_axes own = {
      .allocation = WARP_ALLOC_RANDOM, .port_low = 20100, .port_high = 20200};
  static const warp_nat_axes counted = {.allocation = WARP_ALLOC_SEQUENTIAL};
  static const warp_nat_axes none = {.allocation = WARP_ALLOC_RANDOM};
  check(own, &block, 20100, 20200, 20100, 20200);
  check(counted, &block, 20100, 20200, 0, 0);
  check(drawn, &none, 20100, 20200, 0, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ports_inside_the_block_of_udp),
      cmocka_unit_test(test_ports_beside_the_block_widen_it),
      cmocka_unit_test(test_ports_elsewhere_are_of_no_block),
      cmocka_unit_test(test_a_wide_block_is_shared_by_what_lies_in_it),
      cmocka_unit_test(test_what_tcp_has_shown_itself_stands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
