/* What one gateway is spared. */
#include "connect/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const wg_budget_limits limits = {.probes_per_s = 100, .flows = 300, .syns = 20};
enum { SECOND = 1000000 };

static void test_burst_then_rate(void **state) {
  (void)state;
  wg_budget budget;
  uint32_t retry_ms = 77;
  wg_budget_start(&budget, &limits, 5000);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 4, 5000, &retry_ms), 4);
  assert_int_equal(retry_ms, 0);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 50, 5000, &retry_ms), 6);
  assert_int_equal(retry_ms, 10);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 1, 14000, &retry_ms), 0);
  assert_int_equal(retry_ms, 1);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 1, 15000, NULL), 1);
}

/* Whoever asks whenever it is told to gets the rate, and not more. */
static void check_rate(uint32_t rate, unsigned least, unsigned most) {
  wg_budget budget;
  wg_budget_limits own = limits;
  own.probes_per_s = rate;
  wg_budget_start(&budget, &own, 0);
  unsigned sent = 0;
  for (uint64_t now = 0; now <= 10 * (uint64_t)SECOND;) {
    uint32_t retry_ms;
    sent += wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 5000, now, &retry_ms);
    assert_true(retry_ms > 0);
    now += (uint64_t)retry_ms * 1000;
  }
  assert_in_range(sent, least, most);
}

static void test_rates(void **state) {
  (void)state;
  check_rate(100, 1000, 1010);
  check_rate(1, 20, 20); /* ten at once and one each second */
  check_rate(1000, 10000, 10020);
  check_rate(50000, 500000, 501000);
}

static void test_burst_does_not_pile_up(void **state) {
  (void)state;
  wg_budget budget;
  wg_budget_start(&budget, &limits, 0);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 100, UINT64_C(1) << 60, NULL),
                   10);
  wg_budget_give(&budget, WARP_BUDGET_PROBES, true, 3);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 100, UINT64_C(1) << 60, NULL),
                   3);
  wg_budget_give(&budget, WARP_BUDGET_PROBES, true, 5000);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_PROBES, true, 100, UINT64_C(1) << 60, NULL),
                   10);
}

static void test_counts(void **state) {
  (void)state;
  wg_budget budget;
  uint32_t retry_ms;
  wg_budget_start(&budget, &limits, 0);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_FLOWS, true, 256, 0, &retry_ms), 256);
  assert_int_equal(retry_ms, 0);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_FLOWS, true, 256, 0, &retry_ms), 44);
  assert_int_equal(retry_ms, WG_BUDGET_RETRY_MS);
  /* Time gives none back, closing does. */
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_FLOWS, true, 1, 99 * (uint64_t)SECOND, NULL),
                   0);
  wg_budget_give(&budget, WARP_BUDGET_FLOWS, true, 2);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_FLOWS, true, 5, 0, NULL), 2);
  /* The others have their own. */
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_SYNS, true, 21, 0, NULL), 20);
  wg_budget_give(&budget, WARP_BUDGET_SYNS, true, 1000);
  assert_int_equal(wg_budget_take(&budget, WARP_BUDGET_SYNS, true, 21, 0, NULL), 20);
}

/* Strangers use up theirs, and leave some for us; what we use they do not have. */
static void test_strangers_leave_some(void **state) {
  (void)state;
  static const warp_budget kinds[] = {WARP_BUDGET_FLOWS, WARP_BUDGET_SYNS};
  static const wg_budget_limits many = {.probes_per_s = 1, .flows = 512, .syns = 512};
  for (int i = 0; i < 2; i++) {
    wg_budget budget;
    uint32_t retry_ms;
    wg_budget_start(&budget, &many, 0);
    assert_int_equal(wg_budget_take(&budget, kinds[i], false, 999, 0, &retry_ms), 384);
    assert_int_equal(retry_ms, WG_BUDGET_RETRY_MS);
    assert_int_equal(wg_budget_take(&budget, kinds[i], true, 999, 0, NULL), 128);
    wg_budget_give(&budget, kinds[i], false, 84);
    assert_int_equal(wg_budget_take(&budget, kinds[i], true, 999, 0, NULL), 84);
    assert_int_equal(wg_budget_take(&budget, kinds[i], false, 1, 0, NULL), 0);
    wg_budget_give(&budget, kinds[i], true, 84);
    assert_int_equal(wg_budget_take(&budget, kinds[i], false, 999, 0, NULL), 84);
    /* With so few that a person set, nothing is left over. */
    static const wg_budget_limits few = {.probes_per_s = 1, .flows = 255, .syns = 255};
    wg_budget_start(&budget, &few, 0);
    assert_int_equal(wg_budget_take(&budget, kinds[i], false, 999, 0, NULL), 255);
    assert_int_equal(wg_budget_take(&budget, kinds[i], true, 1, 0, NULL), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_burst_then_rate),        cmocka_unit_test(test_rates),
      cmocka_unit_test(test_burst_does_not_pile_up), cmocka_unit_test(test_counts),
      cmocka_unit_test(test_strangers_leave_some),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
