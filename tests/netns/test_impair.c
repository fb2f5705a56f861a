#include "support.h"

#include "netns/impair.h"

#include <math.h>
#include <stdlib.h>

enum { MS = 1000000, FRAME = 1250 /* 10,000 bits */, MANY = 20000 };

static ns_direction direction(uint64_t seed, ns_impairment what) {
  ns_direction made = {0};
  ns_direction_seed(&made, seed, 0, 1);
  ns_direction_set(&made, &what);
  return made;
}

static void does_nothing_unless_asked(void **state) {
  (void)state;
  ns_direction plain = direction(1, (ns_impairment){0});
  for (uint64_t now = 0; now < 1000; now++) {
    ns_fate fate = ns_direction_decide(&plain, now, FRAME);
    assert_int_equal(fate.verdict, NS_PASSES);
    assert_int_equal(fate.copies, 1);
    assert_int_equal(fate.due_ns[0], now);
  }
}

static void delays(void **state) {
  (void)state;
  ns_direction slow = direction(1, (ns_impairment){.delay_ms = 20.5});
  assert_int_equal(ns_direction_decide(&slow, 7 * MS, FRAME).due_ns[0], 27 * MS + MS / 2);
}

static void jitters_evenly_on_both_sides(void **state) {
  (void)state;
  ns_direction shaky = direction(3, (ns_impairment){.delay_ms = 10, .jitter_ms = 4});
  double sum = 0;
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < MANY; i++) {
    uint64_t due = ns_direction_decide(&shaky, 0, FRAME).due_ns[0];
    least = due < least ? due : least;
    most = due > most ? due : most;
    sum += (double)due;
  }
  assert_true(least >= 6 * MS && least < 6 * MS + MS / 10);
  assert_true(most <= 14 * MS && most > 14 * MS - MS / 10);
  assert_true(fabs(sum / MANY - 10 * MS) < 0.1 * MS);
}

static void never_sends_before_arrival(void **state) {
  (void)state;
  ns_direction shaky = direction(3, (ns_impairment){.delay_ms = 1, .jitter_ms = 5});
  for (int i = 0; i < 1000; i++)
    assert_true(ns_direction_decide(&shaky, 9 * MS, FRAME).due_ns[0] >= 9 * MS);
}

static void loses_and_doubles_as_often_as_asked(void **state) {
  (void)state;
  ns_direction lossy = direction(5, (ns_impairment){.loss = 0.2, .duplicate = 0.1});
  int lost = 0, doubled = 0;
  for (int i = 0; i < MANY; i++) {
    ns_fate fate = ns_direction_decide(&lossy, 0, FRAME);
    lost += fate.verdict == NS_LOST;
    doubled += fate.copies == 2;
    assert_int_equal(fate.verdict == NS_LOST, fate.copies == 0);
  }
  assert_true(abs(lost - MANY / 5) < MANY / 50);
  assert_true(abs(doubled - MANY * 8 / 100) < MANY / 50);
}

static void reordered_packets_go_ahead(void **state) {
  (void)state;
  ns_direction mixed = direction(5, (ns_impairment){.delay_ms = 30, .reorder = 0.5});
  int ahead = 0;
  for (int i = 0; i < MANY; i++) {
    uint64_t due = ns_direction_decide(&mixed, 0, FRAME).due_ns[0];
    assert_true(due == 0 || due == 30 * MS);
    ahead += due == 0;
  }
  assert_true(abs(ahead - MANY / 2) < MANY / 50);
}

static void same_seed_same_fates(void **state) {
  (void)state;
  const ns_impairment what = {.delay_ms = 5, .jitter_ms = 3, .loss = 0.3, .duplicate = 0.3};
  ns_direction first = direction(9, what), second = direction(9, what), other = direction(10, what);
  int differences = 0;
  for (int i = 0; i < 1000; i++) {
    ns_fate one = ns_direction_decide(&first, 0, FRAME);
    ns_fate same = ns_direction_decide(&second, 0, FRAME);
    ns_fate different = ns_direction_decide(&other, 0, FRAME);
    assert_memory_equal(&one, &same, sizeof one);
    differences += one.verdict != different.verdict;
  }
  assert_true(differences > 300 && differences < 550); /* 2 * 0.3 * 0.7 of them */
}

static void directions_draw_differently(void **state) {
  (void)state;
  const ns_impairment what = {.loss = 0.5};
  ns_direction there = direction(9, what), back = direction(9, what);
  ns_direction_seed(&back, 9, 1, 0);
  int differences = 0;
  for (int i = 0; i < 1000; i++)
    differences += ns_direction_decide(&there, 0, FRAME).verdict !=
                   ns_direction_decide(&back, 0, FRAME).verdict;
  assert_true(differences > 400 && differences < 600);
}

/* Switching on jitter or a rate must not change which packets are lost. */
static void settings_do_not_shift_each_other(void **state) {
  (void)state;
  ns_direction plain = direction(4, (ns_impairment){.loss = 0.4});
  ns_direction full = direction(4, (ns_impairment){.loss = 0.4,
                                                   .delay_ms = 9,
                                                   .jitter_ms = 9,
                                                   .duplicate = 0.5,
                                                   .reorder = 0.5,
                                                   .rate_mbit = 1e6});
  for (int i = 0; i < 1000; i++)
    assert_int_equal(ns_direction_decide(&plain, 0, FRAME).verdict,
                     ns_direction_decide(&full, 0, FRAME).verdict);
}

static void a_rate_spaces_packets(void **state) {
  (void)state;
  ns_direction narrow = direction(1, (ns_impairment){.delay_ms = 2, .rate_mbit = 10});
  for (uint64_t i = 1; i <= 10; i++) /* 10,000 bits at 10 Mbit/s: 1 ms each */
    assert_int_equal(ns_direction_decide(&narrow, 0, FRAME).due_ns[0], (i + 2) * MS);
  /* after a pause the wire is free again */
  assert_int_equal(ns_direction_decide(&narrow, 500 * MS, FRAME).due_ns[0], 503 * MS);
}

static void a_rate_drops_what_would_wait_too_long(void **state) {
  (void)state;
  ns_direction narrow = direction(1, (ns_impairment){.rate_mbit = 10});
  int passed = 0;
  while (ns_direction_decide(&narrow, 0, FRAME).verdict == NS_PASSES)
    passed++;
  assert_int_equal(passed, NS_RATE_QUEUE_MS + 1); /* one on the wire */
  assert_int_equal(ns_direction_decide(&narrow, 0, FRAME).verdict, NS_QUEUE_FULL);
  assert_int_equal(ns_direction_decide(&narrow, 10 * MS, FRAME).verdict, NS_PASSES);
}

static void nonsense_counts_as_nothing(void **state) {
  (void)state;
  ns_direction odd = direction(
      1,
      (ns_impairment){
          .delay_ms = -5, .jitter_ms = NAN, .loss = -1, .duplicate = NAN, .rate_mbit = -INFINITY});
  ns_fate fate = ns_direction_decide(&odd, 3, FRAME);
  assert_int_equal(fate.copies, 1);
  assert_int_equal(fate.due_ns[0], 3);
  odd = direction(1, (ns_impairment){.delay_ms = INFINITY});
  assert_int_equal(ns_direction_decide(&odd, 0, FRAME).due_ns[0], UINT64_C(3600000) * MS);
  odd = direction(1, (ns_impairment){.loss = 17});
  assert_int_equal(ns_direction_decide(&odd, 0, FRAME).verdict, NS_LOST);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(does_nothing_unless_asked),
      cmocka_unit_test(delays),
      cmocka_unit_test(jitters_evenly_on_both_sides),
      cmocka_unit_test(never_sends_before_arrival),
      cmocka_unit_test(loses_and_doubles_as_often_as_asked),
      cmocka_unit_test(reordered_packets_go_ahead),
      cmocka_unit_test(same_seed_same_fates),
      cmocka_unit_test(directions_draw_differently),
      cmocka_unit_test(settings_do_not_shift_each_other),
      cmocka_unit_test(a_rate_spaces_packets),
      cmocka_unit_test(a_rate_drops_what_would_wait_too_long),
      cmocka_unit_test(nonsense_counts_as_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
