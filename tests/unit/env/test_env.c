/* The conveniences over the environment: timers count from now, and the driver is told. */
#include "env/env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint64_t clock_us;
static int told;

static uint64_t now(wg_env *env) {
  (void)env;
  return clock_us;
}

static void changed(wg_env *env) {
  (void)env;
  told++;
}

static void fire(void *arg) {
  ++*(int *)arg;
}

static const wg_env_ops ops = {.now_us = now};

static void test_timers(void **state) {
  (void)state;
  wg_env env = {.ops = &ops, .timers_changed = changed};
  wg_timer timer = {0};
  int fired = 0;
  clock_us = 1000;
  told = 0;
  assert_true(wg_now_us(&env) == 1000);
  wg_timer_start(&env, &timer, 500, fire, &fired);
  assert_int_equal(told, 1);
  assert_true(wg_timers_next(&env.timers) == 1500);
  wg_timer_start(&env, &timer, UINT64_MAX, fire, &fired); /* never, not in the past */
  assert_true(wg_timers_next(&env.timers) == UINT64_MAX);
  wg_timer_stop(&env, &timer);
  assert_int_equal(told, 3);
  wg_timer_stop(&env, &timer);
  assert_int_equal(told, 3); /* nothing changed */
  assert_int_equal(wg_timers_run(&env.timers, 5000), 0);
  assert_int_equal(fired, 0);
}

static void test_nobody_to_tell(void **state) {
  (void)state;
  wg_env env = {.ops = &ops};
  wg_timer timer = {0};
  int fired = 0;
  wg_timer_start(&env, &timer, 0, fire, &fired);
  assert_int_equal(wg_timers_run(&env.timers, clock_us), 1);
  assert_int_equal(fired, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_timers),
                                     cmocka_unit_test(test_nobody_to_tell)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
