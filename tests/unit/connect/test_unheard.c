/* What one address gets on peers' words, however many of them there are. */
#include "base/addr.h"
#include "connect/unheard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { PER_S = 100 * WG_UNHEARD_TIMES, BURST = PER_S * WG_UNHEARD_BURST_S };

static const uint64_t second = 1000000;
static wg_unheard unheard;

static warp_addr addr(const char *text) {
  warp_addr out;
  assert_int_equal(warp_addr_parse(text, &out), WARP_OK);
  return out;
}

static unsigned take_all(const char *text, uint64_t now_us) {
  warp_addr to = addr(text);
  unsigned taken = 0;
  while (taken < 100000 && wg_unheard_take(&unheard, &to, now_us))
    taken++;
  return taken;
}

static void test_burst_then_rate(void **state) {
  (void)state;
  wg_unheard_start(&unheard, 100, second);
  assert_int_equal(take_all("203.0.113.9:4000", second), BURST);
  assert_int_equal(take_all("203.0.113.9:4000", 2 * second), PER_S);
  assert_int_equal(take_all("203.0.113.9:4000", 2 * second + second / 4), PER_S / 4);
  assert_int_equal(take_all("203.0.113.9:4000", UINT64_MAX / 2), BURST);
}

/* Other ports are the same victim, and so is the rest of an IPv6 network. */
static void test_what_is_one_address(void **state) {
  (void)state;
  wg_unheard_start(&unheard, 100, 0);
  assert_int_equal(take_all("203.0.113.9:4000", 0), BURST);
  assert_int_equal(take_all("203.0.113.9:4001", 0), 0);
  assert_int_equal(take_all("203.0.113.10:4000", 0), BURST);
  assert_int_equal(take_all("[2001:db8:1:2::1]:4000", 0), BURST);
  assert_int_equal(take_all("[2001:db8:1:2:9::9]:4000", 0), 0);
}

static void test_highest_rate(void **state) {
  (void)state;
  warp_addr to = addr("203.0.113.9:4000");
  wg_unheard_start(&unheard, 100000, 0);
  for (uint64_t now = 0; now < 60 * second; now += 1000)
    assert_true(wg_unheard_take(&unheard, &to, now));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_burst_then_rate),
      cmocka_unit_test(test_what_is_one_address),
      cmocka_unit_test(test_highest_rate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
