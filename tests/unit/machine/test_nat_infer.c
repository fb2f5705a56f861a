/* What is concluded from ports, and from both transports together (machine/nat_infer.h); what
 * follows from the tests of one is in test_nat_probe.c. */
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

static void test_tcp_counts_as_udp_does_when_connections_overtook_each_other(void **state) {
  (void)state;
  static const warp_nat_axes counter = {.allocation = WARP_ALLOC_SEQUENTIAL, .step = 2};
  warp_nat_axes tcp = drawn;
  wg_nat_share_counter(&tcp, &counter, 30000, 30008);
  assert_int_equal(tcp.allocation, WARP_ALLOC_SEQUENTIAL);
  assert_int_equal(tcp.step, 2);
  tcp = drawn; /* too far apart */
  wg_nat_share_counter(&tcp, &counter, 30000, 31000);
  assert_int_equal(tcp.allocation, WARP_ALLOC_RANDOM);
  wg_nat_share_counter(&tcp, &block, 30000, 30008);
  assert_int_equal(tcp.allocation, WARP_ALLOC_RANDOM);
  tcp = (warp_nat_axes){.allocation = WARP_ALLOC_SEQUENTIAL, .step = 5}; /* its own step stands */
  wg_nat_share_counter(&tcp, &counter, 30000, 30020);
  assert_int_equal(tcp.step, 5);
}

/* What follows from one answered test of each of so many sockets. */
static warp_nat_axes seen_at(const uint16_t *ports, size_t count) {
  wg_probe_test tests[WG_PROBE_TESTS] = {0};
  for (size_t i = 0; i < count; i++) {
    wg_probe_test *test = &tests[i];
    test->outcome = WG_PROBE_ANSWERED;
    test->sent = 1;
    assert_int_equal(warp_addr_parse("192.168.1.2:40000", &test->local), WARP_OK);
    assert_int_equal(warp_addr_parse("203.0.113.101:5000", &test->mapped), WARP_OK);
    assert_int_equal(warp_addr_parse("192.0.2.1:3478", &test->server), WARP_OK);
    test->local.port = (uint16_t)(40000 + i);
    test->mapped.port = ports[i];
  }
  return wg_nat_infer(tests, count);
}

/* The first `kept` sockets have their inside port, the others any. */
static uint8_t allocation_of(size_t sockets, size_t kept) {
  uint16_t ports[] = {5000, 60000, 9000, 31000, 2000, 51000, 17000, 44000};
  for (size_t i = 0; i < kept; i++)
    ports[i] = (uint16_t)(40000 + i);
  return seen_at(ports, sockets).allocation;
}

static void test_one_step_back_among_others(void **state) {
  (void)state;
  static const uint16_t overtaken[] = {30000, 30003, 30009, 30006, 30012, 30018, 30021, 30024};
  static const uint16_t drawn_of_512[] = {30013, 30040, 30101, 30198, 30007, 30077, 30125, 30180};
  warp_nat_axes counter = seen_at(overtaken, 8);
  assert_int_equal(counter.allocation, WARP_ALLOC_SEQUENTIAL);
  assert_int_equal(counter.step, 3);
  assert_int_equal(seen_at(drawn_of_512, 8).allocation, WARP_ALLOC_RANDOM);
}

static void test_a_port_that_is_the_inside_one_by_chance(void **state) {
  (void)state;
  assert_int_equal(allocation_of(8, 0), WARP_ALLOC_RANDOM);
  assert_int_equal(allocation_of(8, 1), WARP_ALLOC_RANDOM);
  assert_int_equal(allocation_of(8, 2), WARP_ALLOC_PRESERVING); /* others had the rest */
  assert_int_equal(allocation_of(8, 8), WARP_ALLOC_PRESERVING);
  assert_int_equal(allocation_of(4, 1), WARP_ALLOC_RANDOM);
  assert_int_equal(allocation_of(2, 1), WARP_ALLOC_PRESERVING);
  assert_int_equal(allocation_of(1, 1), WARP_ALLOC_PRESERVING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ports_inside_the_block_of_udp),
      cmocka_unit_test(test_ports_beside_the_block_widen_it),
      cmocka_unit_test(test_ports_elsewhere_are_of_no_block),
      cmocka_unit_test(test_a_wide_block_is_shared_by_what_lies_in_it),
      cmocka_unit_test(test_what_tcp_has_shown_itself_stands),
      cmocka_unit_test(test_tcp_counts_as_udp_does_when_connections_overtook_each_other),
      cmocka_unit_test(test_a_port_that_is_the_inside_one_by_chance),
      cmocka_unit_test(test_one_step_back_among_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
