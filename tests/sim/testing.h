/* What the tests of the simulated internet have in common. */
#ifndef TESTS_SIM_TESTING_H
#define TESTS_SIM_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "sim.h"

static inline warp_addr address(const char *text) {
  warp_addr addr;
  assert_int_equal(warp_addr_parse(text, &addr), WARP_OK);
  return addr;
}

static inline void assert_address(const warp_addr *addr, const char *expected) {
  char text[WARP_ADDR_STRLEN];
  assert_string_equal(warp_addr_format(addr, text), expected);
}

#endif
