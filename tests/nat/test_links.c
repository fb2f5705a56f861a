/*
 * Links of a real lab: what is asked for comes about, and the same seed does the same to the same
 * packets. How exact delays are is for `natsim bench link`: a test must not depend on the machine's
 * load, so times are asked for in seconds here, and judged so loosely that this process may stand
 * still for one.
 */
#include "natsim/measure.h"
#include "natsim/stand.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 2000, SMALL = 64 };

/* How a train went. */
typedef struct journey {
  double delays_ms[COUNT];
  uint8_t copies[COUNT];
  sim_train train;
} journey;

static sim_options options(uint64_t seed) {
  return (sim_options){.link = "builtin", .seed = seed, .rtt_ms = 4000};
}

static void require(int status, const ns_error *error) {
  if (status)
    fail_msg("%s", error->text);
}

enum { ONE_WAY_MS = 2000 };

/* From one processor alone: on two, packets of one socket may change places before they reach the
 * link. */
static void stay_on_one_processor(void) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET((unsigned)sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
}

static void travel(const sim_options *asked, unsigned count, double spacing_ms, journey *out) {
  sim_stand stand;
  ns_error error;
  require(sim_stand_open(&stand, asked, &error), &error);
  out->train = (sim_train){.count = count,
                           .size = SMALL,
                           .spacing_ms = spacing_ms,
                           .longest_ms = asked->rtt_ms / 2 + asked->jitter_ms,
                           .delays_ms = out->delays_ms,
                           .copies = out->copies};
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  stay_on_one_processor();
  sim_train_run(&out->train, stand.a_fd, &stand.server, stand.server_fd);
  sched_setaffinity(0, sizeof before, &before);
  sim_stand_close(&stand);
}

/* How many of COUNT trials of probability `p` may come true: five standard deviations. */
static void assert_share(unsigned seen, double p, const char *what) {
  double off = fabs(seen - COUNT * p), most = 5 * sqrt(COUNT * p * (1 - p));
  if (off > most)
    fail_msg("%s: %u of %d, asked were %.0f %%", what, seen, COUNT, 100 * p);
}

static journey one, other;

static bool came_ahead(const journey *j, int i) {
  return j->copies[i] && j->delays_ms[i] < ONE_WAY_MS / 2.0;
}

static void the_same_seed_does_the_same_to_the_same_packets(void **state) {
  (void)state;
  sim_options asked = options(5);
  asked.loss_pct = 20;
  asked.duplicate_pct = 15;
  asked.reorder_pct = 10;
  travel(&asked, COUNT, 0.2, &one);
  travel(&asked, COUNT, 0.2, &other);
  unsigned ahead = 0;
  for (int i = 0; i < COUNT; i++) {
    if (one.copies[i] != other.copies[i] || came_ahead(&one, i) != came_ahead(&other, i))
      fail_msg("packet %d: %u and %u copies after %.1f and %.1f ms", i, one.copies[i],
               other.copies[i], one.delays_ms[i], other.delays_ms[i]);
    ahead += came_ahead(&one, i);
  }
  assert_share(COUNT - one.train.came, 0.20, "lost");
  assert_share(sim_train_twice(&one.train), 0.80 * 0.15, "twice");
  assert_share(ahead, 0.80 * 0.10, "ahead of their turn");
  asked.seed = 6;
  travel(&asked, COUNT, 0.2, &other);
  unsigned differ = 0;
  for (int i = 0; i < COUNT; i++)
    differ += one.copies[i] != other.copies[i];
  assert_true(differ > COUNT / 10);
}

static void nothing_is_lost_that_was_not_asked_for(void **state) {
  (void)state;
  sim_options asked = options(1);
  travel(&asked, COUNT, 0.2, &one);
  assert_int_equal(one.train.came, COUNT);
  assert_int_equal(sim_train_twice(&one.train), 0);
  for (int i = 0; i < COUNT; i++)
    assert_true(one.delays_ms[i] > ONE_WAY_MS - 1); /* never early */
}

static void jitter_is_even_and_comes_again(void **state) {
  (void)state;
  static double sorted[COUNT], apart[COUNT];
  sim_options asked = options(9);
  asked.jitter_ms = 1500;
  travel(&asked, COUNT, 0.2, &one);
  travel(&asked, COUNT, 0.2, &other);
  assert_int_equal(one.train.came, COUNT);
  for (int i = 0; i < COUNT; i++)
    apart[i] = fabs(one.delays_ms[i] - other.delays_ms[i]);
  assert_true(sim_quantile(apart, COUNT, 0.5) < 125);
  sim_train_delays(&one.train, sorted);
  const double parts[] = {0.1, 0.25, 0.5, 0.75, 0.9};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    double wanted = 500 + 3000 * parts[i], got = sim_quantile(sorted, COUNT, parts[i]);
    if (fabs(got - wanted) > 375)
      fail_msg("%.0f %% came within %.1f ms, not %.1f", 100 * parts[i], got, wanted);
  }
  assert_true(sorted[0] > 499);
}

static void a_rate_is_kept(void **state) {
  (void)state;
  const double mbit = 5;
  sim_options asked = options(1);
  asked.rtt_ms = 20;
  asked.rate_mbit = mbit;
  sim_stand stand;
  ns_error error;
  require(sim_stand_open(&stand, &asked, &error), &error);
  enum { LARGE = 1000 - SIM_HEADERS, PACKETS = 60 }; /* 96 ms of 5 Mbit/s */
  sim_train train = {.count = PACKETS,
                     .size = LARGE,
                     .longest_ms = NS_RATE_QUEUE_MS,
                     .delays_ms = one.delays_ms,
                     .copies = one.copies};
  sim_train_run(&train, stand.a_fd, &stand.server, stand.server_fd);
  sim_stand_close(&stand);
  assert_int_equal(train.came, PACKETS);
  double least_ms = 8e3 * PACKETS / (mbit * 1e3) + asked.rtt_ms / 2;
  double took_ms = train.last_ms - (train.first_ms - one.delays_ms[0]);
  print_message("  at %.1f Mbit/s %.1f ms, at least %.1f\n", mbit, took_ms, least_ms);
  assert_true(took_ms > least_ms - 1 && took_ms < 10 * least_ms + 3000);
}

/* The kernel's own links: a bridge, with netem at its ports where something is asked of them. */
static void netem_carries_packets_or_is_named(void **state) {
  (void)state;
  sim_stand stand;
  ns_error error = {.text = ""};
  sim_options asked = {.link = "netem", .seed = 1};
  require(sim_stand_open(&stand, &asked, &error), &error);
  sim_stand_close(&stand);
  asked.rtt_ms = 20;
  int status = sim_stand_open(&stand, &asked, &error);
  sim_stand_close(&stand);
  if (status)
    assert_non_null(strstr(error.text, "sch_netem"));
  assert_true(status == 0 || status == -EOPNOTSUPP);
}

static int group(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_lost_that_was_not_asked_for),
      cmocka_unit_test(the_same_seed_does_the_same_to_the_same_packets),
      cmocka_unit_test(jitter_is_even_and_comes_again),
      cmocka_unit_test(a_rate_is_kept),
      cmocka_unit_test(netem_carries_packets_or_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  ns_error error;
  int status = ns_sandbox_run(group, NULL, &error);
  if (status < 0)
    fprintf(stderr, "%s\n", error.text);
  return status;
}
