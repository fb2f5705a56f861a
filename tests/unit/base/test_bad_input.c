/* Texts and addresses of whoever does not look before calling. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <warpgate/warpgate.h>

#include "bad_input.h"

static const int numbers[] = {INT_MIN, -33, -32, -1, 0, 1, 7, 255, 4096, INT_MAX};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static void test_numbers_without_a_name(void **state) {
  (void)state;
  for (size_t i = 0; i < NUMBERS; i++) {
    assert_true(strlen(BADLY(warp_strerror, numbers[i])) > 0);
    assert_memory_equal(BADLY(warp_err_name, numbers[i]), "WARP_", 5);
    assert_true(strlen(BADLY(warp_start_phase_name, (warp_start_phase)numbers[i])) > 0);
    assert_true(strlen(BADLY(warp_phase_name, (warp_phase)numbers[i])) > 0);
    assert_true(strlen(BADLY(warp_transport_name, (warp_transport)numbers[i])) > 0);
  }
  assert_string_equal(warp_err_name(1), "WARP_UNKNOWN");
  assert_string_equal(warp_err_name(INT_MIN), "WARP_UNKNOWN");
}

static void test_no_address(void **state) {
  (void)state;
  char buf[WARP_ADDR_STRLEN];
  warp_addr addr;
  assert_string_equal(BADLY(warp_addr_format, NULL, buf), "none");
  memset(&addr, 0xff, sizeof addr);
  assert_string_equal(BADLY(warp_addr_format, &addr, NULL), "");
  assert_string_equal(BADLY(warp_addr_format, &addr, buf), "none"); /* no such family */
  addr.family = WARP_IP6;
  assert_string_equal(warp_addr_format(&addr, buf),
                      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
  assert_true(strlen(buf) < WARP_ADDR_STRLEN);
  REFUSES(WARP_INVALID, warp_addr_parse, NULL, &addr);
  REFUSES(WARP_INVALID, warp_addr_parse, "192.0.2.1", NULL);
}

static void test_texts_that_are_no_address(void **state) {
  (void)state;
  static const char *const texts[] = {"",
                                      " ",
                                      ":",
                                      "::::",
                                      "[",
                                      "]",
                                      "[]",
                                      "[]:80",
                                      "[::1",
                                      "::1]:80",
                                      "[::1]80",
                                      "[::1]:",
                                      "192.0.2.1:65536",
                                      "192.0.2.1:-1",
                                      "192.0.2.1:0x50",
                                      "192.0.2.1: 80",
                                      "192.0.2.256",
                                      "192.0.2",
                                      "192.0.2.1.",
                                      "0300.0.2.1",
                                      "192.0.2.1\n",
                                      "\xff\xfe",
                                      "fe80::1%",
                                      "fe80::1%x",
                                      "fe80::1%4294967296",
                                      "1:2:3:4:5:6:7:8:9",
                                      "::192.0.2.1.5",
                                      "none",
                                      "host.example",
                                      "%s%s%s%n"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    warp_addr addr = {.port = 7};
    if (warp_addr_parse(texts[i], &addr) != WARP_INVALID)
      fail_msg("\"%s\" is taken for an address", texts[i]);
    assert_int_equal(addr.port, 7); /* nothing is written */
  }
  char longest[100000];
  memset(longest, '1', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  warp_addr addr;
  REFUSES(WARP_INVALID, warp_addr_parse, longest, &addr);
  memset(longest, ':', sizeof longest - 1);
  REFUSES(WARP_INVALID, warp_addr_parse, longest, &addr);
}

static void test_routes(void **state) {
  (void)state;
  warp_interface lan = {.name = "lan", .count = 1, .addrs = {{.family = WARP_IP4}}};
  warp_route route;
  REFUSES(WARP_INVALID, warp_route_bind, NULL, 0, 0, &route);
  REFUSES(WARP_INVALID, warp_route_bind, &lan, 0, 0, NULL);
  REFUSES(WARP_INVALID, warp_route_bind, &lan, 5, 0, &route);
  REFUSES(WARP_INVALID, warp_route_bind, &lan, -1, 0, &route);
  REFUSES(WARP_NOT_FOUND, warp_route_bind, &lan, WARP_IP6, 0, &route);
  lan.count = WARP_INTERFACE_ADDRS + 1;
  REFUSES(WARP_INVALID, warp_route_bind, &lan, 0, 0, &route);
  lan.count = SIZE_MAX;
  REFUSES(WARP_INVALID, warp_route_bind, &lan, WARP_IP6, 0, &route);
  lan.count = 0;
  REFUSES(WARP_NOT_FOUND, warp_route_bind, &lan, 0, 0, &route);
  lan.count = 1;
  memset(lan.name, 'x', sizeof lan.name); /* no NUL */
  assert_int_equal(warp_route_bind(&lan, 0, 65535, &route), WARP_OK);
  assert_int_equal(route.addr.port, 65535);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers_without_a_name),
      cmocka_unit_test(test_no_address),
      cmocka_unit_test(test_texts_that_are_no_address),
      cmocka_unit_test(test_routes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
