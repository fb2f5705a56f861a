/* The time of day: by this machine's clock, by a measurement, and when the two part. */
#include "env/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const int64_t day_ms = 86400000;
static const int64_t utc_ms = INT64_C(1700000000000);
static uint64_t monotonic_us;
static int64_t wall_ms;

static uint64_t now(wg_env *env) {
  (void)env;
  return monotonic_us;
}

static int64_t wall(wg_env *env) {
  (void)env;
  return wall_ms;
}

static const wg_env_ops ops = {.now_us = now, .wall_ms = wall};
static wg_env env = {.ops = &ops};

static void pass_ms(int64_t ms) {
  monotonic_us += (uint64_t)ms * 1000;
  wall_ms += ms;
}

static int reset(void **state) {
  (void)state;
  monotonic_us = 5000000;
  wall_ms = utc_ms;
  return 0;
}

static void test_without_servers(void **state) {
  (void)state;
  wg_clock nothing = {0};
  uint32_t uncertainty_us = 0;
  assert_true(wg_utc_ms(&env, NULL) == utc_ms);
  assert_true(wg_utc_us(&env, &nothing, &uncertainty_us) == utc_ms * 1000);
  assert_true(uncertainty_us == UINT32_MAX);
  assert_false(wg_clock_stale(&env, &nothing));
}

/* Two days behind: the measurement counts, and grows less certain. */
static void test_measured(void **state) {
  (void)state;
  wg_clock clock = {0};
  uint32_t uncertainty_us;
  wall_ms = utc_ms - 2 * day_ms;
  wg_clock_set(&env, &clock, utc_ms * 1000 - (int64_t)monotonic_us + 7, 20000, monotonic_us);
  assert_true(wg_utc_us(&env, &clock, &uncertainty_us) == utc_ms * 1000 + 7);
  assert_int_equal(uncertainty_us, 20000);
  pass_ms(1000000);
  assert_true(wg_utc_ms(&env, &clock) == utc_ms + 1000000);
  (void)wg_utc_us(&env, &clock, &uncertainty_us);
  assert_int_equal(uncertainty_us, 35000);
}

/* Somebody sets the wall clock, or the machine sleeps and only its wall clock goes on. */
static void test_stepped(void **state) {
  (void)state;
  wg_clock clock = {0};
  uint32_t uncertainty_us;
  wg_clock_set(&env, &clock, utc_ms * 1000 - (int64_t)monotonic_us, 1, monotonic_us);
  wall_ms += 1000;
  assert_false(wg_clock_stale(&env, &clock));
  wall_ms += 1;
  assert_true(wg_clock_stale(&env, &clock));
  assert_true(wg_utc_us(&env, &clock, &uncertainty_us) == utc_ms * 1000);
  assert_true(uncertainty_us == UINT32_MAX);
  wall_ms -= 2002;
  assert_true(wg_clock_stale(&env, &clock));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_without_servers, reset),
      cmocka_unit_test_setup(test_measured, reset),
      cmocka_unit_test_setup(test_stepped, reset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
