#include "natsim/measure.h"

#include "natsim/stand.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Packets are sent this far apart, whatever is under way: no link is still busy with the last one,
 * and no two of them wait for the same tick. */
static const double SPACING_MS = 2.3;
/* One way, where something else than the delay is measured. */
static const double MEAN_MS = 20, JITTER_MS = 10, SHARE_PCT = 10;
/* Of a measured packet, and of those that a rate is measured with: headers make them 1000 bytes. */
enum { SMALL = 64, LARGE = 1000 - SIM_HEADERS };

typedef struct judge {
  const sim_options *options;
  sim_train train;
  double *sorted;  /* delays of those that came */
  double worst_ms; /* how far a median was off */
} judge;

/* ---- delays ---------------------------------------------------------------------------------- */

/* Runs a train of small packets; how many came, their delays in `sorted`. */
static size_t run_small(judge *j, double longest_ms, int from_fd, const struct sockaddr_in *to,
                        int at_fd) {
  j->train.count = j->options->packets;
  j->train.size = SMALL;
  j->train.spacing_ms = SPACING_MS;
  j->train.longest_ms = longest_ms;
  sim_train_run(&j->train, from_fd, to, at_fd);
  return sim_train_delays(&j->train, j->sorted);
}

static void measure_way(judge *j, double asked_ms, const char *way, int from_fd,
                        const struct sockaddr_in *to, int at_fd) {
  size_t came = run_small(j, asked_ms, from_fd, to, at_fd);
  if (!came) {
    j->worst_ms = INFINITY;
    printf("  %7.1f   %-12s   nothing came\n", asked_ms, way);
    return;
  }
  double median_ms = sim_quantile(j->sorted, came, 0.5), off_ms = median_ms - asked_ms;
  printf("  %7.1f   %-12s %8.3f  %+7.3f  %8.3f  %8.3f%s\n", asked_ms, way, median_ms, off_ms,
         sim_quantile(j->sorted, came, 0.01), sim_quantile(j->sorted, came, 0.99),
         fabs(off_ms) <= SIM_GOAL_DELAY_MS ? "" : "  missed");
  j->worst_ms = fmax(j->worst_ms, fabs(off_ms));
}

/* A new lab for each delay: a setting is what a lab is built with. */
static int measure_delay(judge *j, double asked_ms, ns_error *error) {
  sim_options options = *j->options;
  options.rtt_ms = 2 * asked_ms;
  sim_stand s;
  int status = sim_stand_open(&s, &options, error);
  if (!status) {
    measure_way(j, asked_ms, "a to server", s.a_fd, &s.server, s.server_fd);
    measure_way(j, asked_ms, "server to a", s.server_fd, &s.a, s.a_fd);
    measure_way(j, asked_ms, "a to b", s.a_fd, &s.b, s.b_fd);
  }
  sim_stand_close(&s);
  return status;
}

static int measure_delays(judge *j, ns_error *error) {
  static const double asked_ms[] = {0, 1, 5, 20, 50, 150};
  int status = 0;
  printf("one-way delay in ms, %u packets each\n"
         "    asked   way            median      off        1%%       99%%\n",
         j->options->packets);
  for (size_t i = 0; !status && i < sizeof asked_ms / sizeof *asked_ms; i++)
    status = measure_delay(j, asked_ms[i], error);
  return status;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void print_jitter(judge *j, size_t came) {
  printf("jitter       asked %.0f +- %.0f ms, got %.2f to %.2f, median %.2f\n", MEAN_MS, JITTER_MS,
         sim_quantile(j->sorted, came, 0), sim_quantile(j->sorted, came, 1),
         sim_quantile(j->sorted, came, 0.5));
}

static void print_loss(judge *j, size_t came) {
  printf("loss         asked %.0f %%, got %.1f\n", SHARE_PCT,
         100 - 100 * (double)came / j->train.count);
}

static void print_duplicates(judge *j, size_t came) {
  printf("duplication  asked %.0f %%, got %.1f\n", SHARE_PCT,
         100.0 * sim_train_twice(&j->train) / (double)came);
}

/* A packet that is sent ahead of its turn comes without delay. */
static void print_reordering(judge *j, size_t came) {
  unsigned ahead = 0;
  for (size_t i = 0; i < came; i++)
    ahead += j->sorted[i] < MEAN_MS / 2;
  printf("reordering   asked %.0f %%, got %.1f\n", SHARE_PCT, 100.0 * ahead / (double)came);
}

static int measure_one(judge *j, const sim_options *options, void (*print)(judge *j, size_t came),
                       ns_error *error) {
  sim_stand s;
  int status = sim_stand_open(&s, options, error);
  if (!status) {
    size_t came = run_small(j, MEAN_MS + JITTER_MS, s.a_fd, &s.server, s.server_fd);
    if (came)
      print(j, came);
    else
      status = sim_fail(error, -ENODATA, "not one packet got from a to the server site");
  }
  sim_stand_close(&s);
  return status;
}

/* A burst that fills the wire for half the time that may wait for it. */
static int measure_rate(judge *j, double mbit, ns_error *error) {
  const double bits = 8 * (LARGE + SIM_HEADERS);
  sim_options options = *j->options;
  options.rtt_ms = 2 * MEAN_MS;
  options.rate_mbit = mbit;
  unsigned count = (unsigned)(mbit * 1e3 * NS_RATE_QUEUE_MS / 2 / bits);
  j->train.count = count < options.packets ? count : options.packets;
  j->train.size = LARGE;
  j->train.spacing_ms = 0;
  j->train.longest_ms = MEAN_MS + NS_RATE_QUEUE_MS;
  sim_stand s;
  int status = sim_stand_open(&s, &options, error);
  if (!status) {
    sim_train_run(&j->train, s.a_fd, &s.server, s.server_fd);
    double took_ms = j->train.last_ms - j->train.first_ms;
    printf("rate         asked %g Mbit/s, got %.2f\n", mbit,
           j->train.came > 1 ? bits * (j->train.came - 1) / took_ms / 1e3 : 0);
  }
  sim_stand_close(&s);
  return status;
}

static int measure_rest(judge *j, ns_error *error) {
  sim_options plain = *j->options;
  plain.rtt_ms = 2 * MEAN_MS;
  sim_options jitter = plain, loss = plain, duplicate = plain, reorder = plain;
  jitter.jitter_ms = JITTER_MS;
  loss.loss_pct = duplicate.duplicate_pct = reorder.reorder_pct = SHARE_PCT;
  int status = measure_one(j, &jitter, print_jitter, error);
  if (!status)
    status = measure_one(j, &loss, print_loss, error);
  if (!status)
    status = measure_one(j, &duplicate, print_duplicates, error);
  if (!status)
    status = measure_one(j, &reorder, print_reordering, error);
  static const double rates[] = {1, 10, 100};
  for (size_t i = 0; !status && i < sizeof rates / sizeof *rates; i++)
    status = measure_rate(j, rates[i], error);
  return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

int sim_measure_link(void *arg) {
  const sim_measure *m = arg;
  judge j = {.options = m->options};
  unsigned packets = m->options->packets;
  ns_error error = {.text = "out of memory"};
  j.train.delays_ms = calloc(packets, sizeof *j.train.delays_ms);
  j.train.copies = calloc(packets, sizeof *j.train.copies);
  j.sorted = calloc(packets, sizeof *j.sorted);
  int status = j.train.delays_ms && j.train.copies && j.sorted ? 0 : -ENOMEM;
  if (!status)
    status = measure_delays(&j, &error);
  if (!status)
    status = measure_rest(&j, &error);
  free(j.train.delays_ms);
  free(j.train.copies);
  free(j.sorted);
  if (status) {
    fprintf(stderr, "natsim bench link: %s\n", error.text);
    return SIM_EXIT_NO_LAB;
  }
  bool met = j.worst_ms <= SIM_GOAL_DELAY_MS;
  printf("medians are off by %.3f ms at most; goal %.1f: %s\n", j.worst_ms, SIM_GOAL_DELAY_MS,
         met ? "met" : "missed");
  return met ? SIM_EXIT_OK : SIM_EXIT_FAILED;
}
