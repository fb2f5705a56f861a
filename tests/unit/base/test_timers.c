/* Timers fire in order, once, and bear being stopped and restarted from callbacks. */
#include "base/rng.h"
#include "base/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 500, TRACE = 4096 };

static int trace[TRACE];
static size_t traced;
static wg_timers timers;

typedef struct item {
  wg_timer timer;
  int number;
} item;

static void note(void *arg) {
  item *self = arg;
  assert_true(traced < TRACE);
  trace[traced++] = self->number;
}

static int setup(void **state) {
  (void)state;
  memset(&timers, 0, sizeof timers);
  traced = 0;
  return 0;
}

static void test_order(void **state) {
  (void)state;
  item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
  assert_true(wg_timers_next(&timers) == UINT64_MAX);
  wg_timers_start(&timers, &items[0].timer, 30, note, &items[0]);
  wg_timers_start(&timers, &items[1].timer, 10, note, &items[1]);
  wg_timers_start(&timers, &items[2].timer, 30, note, &items[2]);
  wg_timers_start(&timers, &items[3].timer, 20, note, &items[3]);
  assert_true(wg_timers_next(&timers) == 10);
  assert_int_equal(wg_timers_run(&timers, 9), 0);
  assert_int_equal(wg_timers_run(&timers, 20), 2);
  assert_int_equal(wg_timers_run(&timers, 20), 0);
  assert_int_equal(wg_timers_run(&timers, 1000), 2);
  const int expected[] = {1, 3, 0, 2}; /* equal deadlines in the order of their starts */
  assert_memory_equal(trace, expected, sizeof expected);
  assert_true(wg_timers_next(&timers) == UINT64_MAX);
}

static void test_restart_moves(void **state) {
  (void)state;
  item a = {.number = 0}, b = {.number = 1};
  wg_timers_start(&timers, &a.timer, 10, note, &a);
  wg_timers_start(&timers, &b.timer, 10, note, &b);
  wg_timers_start(&timers, &a.timer, 10, note, &a); /* now it was started after b */
  assert_int_equal(wg_timers_run(&timers, 10), 2);
  assert_int_equal(trace[0], 1);
  assert_int_equal(trace[1], 0);
  wg_timers_stop(&timers, &a.timer); /* harmless */
}

static void restart_itself(void *arg) {
  item *self = arg;
  note(arg);
  wg_timers_start(&timers, &self->timer, 0, restart_itself, self);
}

static void test_zero_delay_does_not_starve(void **state) {
  (void)state;
  item self = {.number = 0};
  wg_timers_start(&timers, &self.timer, 0, restart_itself, &self);
  assert_int_equal(wg_timers_run(&timers, 100), 1);
  assert_int_equal(wg_timers_run(&timers, 100), 1);
  assert_int_equal(traced, 2);
  wg_timers_stop(&timers, &self.timer);
}

static item early, middle, late, fresh;

/* Stops one that is due too, starts one that is due at once and earlier than all. */
static void meddle(void *arg) {
  note(arg);
  wg_timers_stop(&timers, &middle.timer);
  wg_timers_start(&timers, &fresh.timer, 1, note, &fresh);
  assert_true(wg_timers_next(&timers) == 30); /* of what is still to fire in this round */
}

static void test_callbacks_meddle(void **state) {
  (void)state;
  early = (item){.number = 0};
  middle = (item){.number = 1};
  late = (item){.number = 2};
  fresh = (item){.number = 3};
  wg_timers_start(&timers, &early.timer, 10, meddle, &early);
  wg_timers_start(&timers, &middle.timer, 20, note, &middle);
  wg_timers_start(&timers, &late.timer, 30, note, &late);
  assert_int_equal(wg_timers_run(&timers, 50), 2);
  assert_int_equal(wg_timers_run(&timers, 50), 1);
  const int expected[] = {0, 2, 3};
  assert_int_equal(traced, 3);
  assert_memory_equal(trace, expected, sizeof expected);
}

/* Random starts, stops and runs, against a plain array. */
static void test_against_a_model(void **state) {
  (void)state;
  static item items[MANY];
  static uint64_t deadlines[MANY]; /* 0: stopped */
  wg_rng rng;
  wg_rng_seed(&rng, 3, "timers");
  memset(items, 0, sizeof items);
  memset(deadlines, 0, sizeof deadlines);
  uint64_t now = 1;
  for (int round = 0; round < 20000; round++) {
    uint32_t i = wg_rng_below(&rng, MANY);
    items[i].number = (int)i;
    switch (wg_rng_below(&rng, 8)) {
    case 0:
      wg_timers_stop(&timers, &items[i].timer);
      deadlines[i] = 0;
      break;
    case 1: {
      now += wg_rng_below(&rng, 40);
      traced = 0;
      size_t fired = wg_timers_run(&timers, now);
      assert_int_equal(fired, traced);
      uint64_t before = 0;
      for (size_t k = 0; k < traced; k++) {
        uint64_t deadline = deadlines[trace[k]];
        assert_true(deadline != 0 && deadline <= now && deadline >= before);
        before = deadline;
        deadlines[trace[k]] = 0;
      }
      break;
    }
    default:
      deadlines[i] = now + wg_rng_below(&rng, 300);
      wg_timers_start(&timers, &items[i].timer, deadlines[i], note, &items[i]);
    }
    uint64_t next = UINT64_MAX;
    for (size_t k = 0; k < MANY; k++) {
      next = deadlines[k] != 0 && deadlines[k] < next ? deadlines[k] : next;
    }
    assert_true(wg_timers_next(&timers) == next);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_order, setup),
      cmocka_unit_test_setup(test_restart_moves, setup),
      cmocka_unit_test_setup(test_zero_delay_does_not_starve, setup),
      cmocka_unit_test_setup(test_callbacks_meddle, setup),
      cmocka_unit_test_setup(test_against_a_model, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
