#include "natsim/measure.h"

#include "natsim/datagram.h"
#include "natsim/seed.h"
#include "natsim/world.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Packets are sent this far apart, whatever is under way: no link is still busy with the last one,
 * and no two of them wait for the same tick. */
static const double SPACING_MS = 2.3;
/* How long after the last packet was due more are waited for. */
enum { SETTLE_MS = 200 };
enum { A_PORT = 5001, B_PORT = 5002, SERVER_PORT = 5003 };
/* Of a measured packet, and of those that a rate is measured with: headers make them 1000 bytes. */
enum { SMALL = 64, LARGE = 958, HEADERS = 42 };

/* A lab between two full cones, where every packet passes and all addresses are known. */
typedef struct stand {
  sim_world world;
  sim_site sites[SIM_SIDES];
  int a_fd, b_fd, server_fd;
  struct sockaddr_in a, b, server; /* as seen from outside */
} stand;

/* What came of a train of packets. */
typedef struct arrivals {
  unsigned sent;
  unsigned came, twice;     /* different ones, and further copies */
  double *delays_ms;        /* of the first copies, in the order of arrival */
  double first_ms, last_ms; /* when the first and the last copy came */
} arrivals;

typedef struct letter {
  uint64_t number;
  double sent_ms;
} letter;

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ---- the stand ------------------------------------------------------------------------------- */

/* Lets the host's NAT map its port, and learns the outside address from the server's view. */
static int learn_outside(const stand *s, int fd, struct sockaddr_in *outside, ns_error *error) {
  enum { TRIES = 20, WAIT_MS = 1000 };
  char hello[SMALL];
  for (int i = 0; i < TRIES; i++) {
    sim_udp_send(fd, &s->server, "hello", 5);
    if (sim_udp_take(s->server_fd, hello, sizeof hello, outside, WAIT_MS) == 5)
      return 0;
  }
  return sim_fail(error, -ETIMEDOUT, "no packet gets from a host to the server site");
}

static int open_stand(stand *s, const sim_options *options, ns_error *error) {
  *s = (stand){.a_fd = -1, .b_fd = -1, .server_fd = -1};
  sim_profile cone;
  sim_trial trial = {.a = &cone, .b = &cone, .trial = 1, .seed = options->seed};
  int status = sim_profile_parse("full-cone", NULL, &cone, error) ? -EINVAL : 0;
  if (!status)
    status = sim_world_open(&s->world, options, error);
  if (!status)
    status = sim_sites_open(&s->world, &trial, s->sites, error);
  if (!status &&
      (s->server_fd = sim_udp_open(&s->world.server, SIM_SERVER_1, SERVER_PORT, error)) < 0)
    status = s->server_fd;
  if (!status && (s->a_fd = sim_udp_open(&s->sites[SIM_A].host, "0.0.0.0", A_PORT, error)) < 0)
    status = s->a_fd;
  if (!status && (s->b_fd = sim_udp_open(&s->sites[SIM_B].host, "0.0.0.0", B_PORT, error)) < 0)
    status = s->b_fd;
  s->server = sim_ip4(SIM_SERVER_1, SERVER_PORT);
  if (!status)
    status = learn_outside(s, s->a_fd, &s->a, error);
  return status ? status : learn_outside(s, s->b_fd, &s->b, error);
}

static void close_stand(stand *s) {
  int *fds[] = {&s->a_fd, &s->b_fd, &s->server_fd};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
    if (*fds[i] >= 0)
      close(*fds[i]);
  sim_sites_close(s->sites);
  sim_world_close(&s->world);
}

/* ---- a train of packets ---------------------------------------------------------------------- */

static void take_letter(arrivals *got, int fd, bool *seen) {
  char bytes[2048];
  letter one;
  ssize_t len = sim_udp_take(fd, bytes, sizeof bytes, NULL, 0);
  double at_ms = now_ms();
  if (len < (ssize_t)sizeof one)
    return;
  memcpy(&one, bytes, sizeof one);
  if (one.number >= got->sent)
    return;
  got->first_ms = got->came ? got->first_ms : at_ms;
  got->last_ms = at_ms;
  if (seen[one.number]) {
    got->twice++;
    return;
  }
  seen[one.number] = true;
  got->delays_ms[got->came++] = at_ms - one.sent_ms;
}

/* Waits for something to come until that time, to a fraction of a millisecond. */
static bool readable_until(int fd, double until_ms) {
  double left_ms = until_ms - now_ms();
  long ns = left_ms > 0 ? (long)(left_ms * 1e6) : 0;
  struct timespec limit = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  return ppoll(&wait, 1, &limit, NULL) == 1;
}

/* Sends `count` packets of `size` bytes, `spacing_ms` apart, and takes in what comes. The arrays of
 * `got` are the caller's. */
static void run_train(int from_fd, const struct sockaddr_in *to, int at_fd, unsigned count,
                      size_t size, double spacing_ms, double longest_ms, arrivals *got,
                      bool *seen) {
  char bytes[LARGE] = "";
  memset(seen, 0, count * sizeof *seen);
  *got = (arrivals){.sent = count, .delays_ms = got->delays_ms};
  double next_ms = now_ms();
  for (unsigned i = 0; i < count; next_ms += spacing_ms) {
    while (readable_until(at_fd, next_ms))
      take_letter(got, at_fd, seen);
    letter one = {.number = i++, .sent_ms = now_ms()};
    memcpy(bytes, &one, sizeof one);
    sim_udp_send(from_fd, to, bytes, size);
  }
  double end_ms = now_ms() + longest_ms + SETTLE_MS;
  while (got->came < count && readable_until(at_fd, end_ms))
    take_letter(got, at_fd, seen);
}

/* ---- delays ---------------------------------------------------------------------------------- */

typedef struct judge {
  const sim_measure *m;
  arrivals got;
  bool *seen;
  double worst_ms; /* how far a median was off */
} judge;

static void measure_way(judge *j, double asked_ms, const char *way, int from_fd,
                        const struct sockaddr_in *to, int at_fd) {
  unsigned count = j->m->options->packets;
  run_train(from_fd, to, at_fd, count, SMALL, SPACING_MS, asked_ms, &j->got, j->seen);
  if (!j->got.came) {
    j->worst_ms = INFINITY;
    printf("  %7.1f   %-12s    nothing came\n", asked_ms, way);
    return;
  }
  double *delays = j->got.delays_ms;
  double median = sim_quantile(delays, j->got.came, 0.5), off = median - asked_ms;
  printf("  %7.1f   %-12s  %8.3f  %+7.3f  %8.3f  %8.3f  %s\n", asked_ms, way, median, off,
         sim_quantile(delays, j->got.came, 0.01), sim_quantile(delays, j->got.came, 0.99),
         fabs(off) <= SIM_GOAL_DELAY_MS ? "" : "missed");
  j->worst_ms = fmax(j->worst_ms, fabs(off));
}

/* A new lab for each delay: a setting is what a lab is built with. */
static int measure_delay(judge *j, double asked_ms, ns_error *error) {
  sim_options options = *j->m->options;
  options.rtt_ms = 2 * asked_ms;
  stand s;
  int status = open_stand(&s, &options, error);
  if (!status) {
    measure_way(j, asked_ms, "a to server", s.a_fd, &s.server, s.server_fd);
    measure_way(j, asked_ms, "server to a", s.server_fd, &s.a, s.a_fd);
    measure_way(j, asked_ms, "a to b", s.a_fd, &s.b, s.b_fd);
  }
  close_stand(&s);
  return status;
}

static int measure_delays(judge *j, ns_error *error) {
  static const double asked_ms[] = {0, 1, 5, 20, 50, 150};
  int status = 0;
  printf("one-way delay, %u packets each, in ms\n"
         "    asked   way               got      off        1%%       99%%\n",
         j->m->options->packets);
  for (size_t i = 0; !status && i < sizeof asked_ms / sizeof *asked_ms; i++)
    status = measure_delay(j, asked_ms[i], error);
  return status;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static const double MEAN_MS = 20;

static int measure_jitter(judge *j, ns_error *error) {
  sim_options options = *j->m->options;
  options.rtt_ms = 2 * MEAN_MS;
  options.jitter_ms = 10;
  stand s;
  int status = open_stand(&s, &options, error);
  if (!status) {
    run_train(s.a_fd, &s.server, s.server_fd, options.packets, SMALL, SPACING_MS, 2 * MEAN_MS,
              &j->got, j->seen);
    double *delays = j->got.delays_ms;
    if (j->got.came)
      printf("jitter      asked %.0f +- %.0f ms uniform; got %.2f to %.2f, median %.2f\n", MEAN_MS,
             options.jitter_ms, sim_quantile(delays, j->got.came, 0),
             sim_quantile(delays, j->got.came, 1), sim_quantile(delays, j->got.came, 0.5));
  }
  close_stand(&s);
  return status;
}

/* Shares of packets that are lost, come twice and are overtaken, one after the other. */
static int measure_share(judge *j, const char *name, size_t field, ns_error *error) {
  sim_options options = *j->m->options;
  options.rtt_ms = 2 * MEAN_MS;
  *(double *)((char *)&options + field) = 10;
  stand s;
  int status = open_stand(&s, &options, error);
  if (!status) {
    run_train(s.a_fd, &s.server, s.server_fd, options.packets, SMALL, SPACING_MS, MEAN_MS, &j->got,
              j->seen);
    const arrivals *got = &j->got;
    /* A packet that is sent ahead overtakes those before it: counted by its own delay. */
    unsigned ahead = 0, lost = got->sent - got->came;
    for (unsigned i = 0; i < got->came; i++)
      ahead += got->delays_ms[i] < MEAN_MS / 2;
    printf("%-11s asked 10 %%; got %.1f %% lost, %.1f %% twice, %.1f %% ahead of their turn\n",
           name, 100.0 * lost / got->sent, 100.0 * got->twice / got->sent,
           100.0 * ahead / got->sent);
  }
  close_stand(&s);
  return status;
}

/* A burst fills the wire for half the time that may wait for it. */
static int measure_rate(judge *j, double mbit, ns_error *error) {
  sim_options options = *j->m->options;
  options.rtt_ms = 2 * MEAN_MS;
  options.rate_mbit = mbit;
  double bits = 8 * (LARGE + HEADERS);
  unsigned count = (unsigned)(mbit * 1e3 * NS_RATE_QUEUE_MS / 2 / bits);
  count = count < options.packets ? count : options.packets;
  stand s;
  int status = open_stand(&s, &options, error);
  if (!status) {
    run_train(s.a_fd, &s.server, s.server_fd, count, LARGE, 0, MEAN_MS + NS_RATE_QUEUE_MS, &j->got,
              j->seen);
    double took_ms = j->got.last_ms - j->got.first_ms;
    printf("rate        asked %g Mbit/s; got %.2f\n", mbit,
           took_ms > 0 ? bits * (j->got.came - 1) / took_ms / 1e3 : 0);
  }
  close_stand(&s);
  return status;
}

static int measure_rest(judge *j, ns_error *error) {
  int status = measure_jitter(j, error);
  if (!status)
    status = measure_share(j, "loss", offsetof(sim_options, loss_pct), error);
  if (!status)
    status = measure_share(j, "duplication", offsetof(sim_options, duplicate_pct), error);
  if (!status)
    status = measure_share(j, "reordering", offsetof(sim_options, reorder_pct), error);
  static const double rates[] = {1, 10, 100};
  for (size_t i = 0; !status && i < sizeof rates / sizeof *rates; i++)
    status = measure_rate(j, rates[i], error);
  return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

int sim_measure_link(void *arg) {
  judge j = {.m = arg};
  unsigned packets = j.m->options->packets;
  ns_error error = {.text = "out of memory"};
  j.got.delays_ms = calloc(packets, sizeof *j.got.delays_ms);
  j.seen = calloc(packets, sizeof *j.seen);
  int status = j.got.delays_ms && j.seen ? measure_delays(&j, &error) : -ENOMEM;
  if (!status)
    status = measure_rest(&j, &error);
  free(j.got.delays_ms);
  free(j.seen);
  if (status) {
    fprintf(stderr, "natsim bench link: %s\n", error.text);
    return SIM_EXIT_NO_LAB;
  }
  bool met = j.worst_ms <= SIM_GOAL_DELAY_MS;
  printf("medians are off by %.3f ms at most; goal %.1f: %s\n", j.worst_ms, SIM_GOAL_DELAY_MS,
         met ? "met" : "missed");
  return met ? SIM_EXIT_OK : SIM_EXIT_FAILED;
}
