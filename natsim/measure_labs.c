#include "natsim/measure.h"

#include "natsim/datagram.h"
#include "natsim/seed.h"
#include "natsim/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Labs of the first part, each taken down before the next is built; the first ones also pay for
 * what the kernel and the C library load once. */
enum { ROUNDS = 40, WARM_UP = 2 };
/* Without delay in the links a packet comes back within a millisecond, or never; a busy machine may
 * let the switch wait for seconds. */
enum { PROOF_LIMIT_MS = 60000 };
enum { PROOF_PORT = 7 };

typedef struct lab {
  sim_world world;
  sim_site sites[SIM_SIDES];
} lab;

typedef struct times {
  double built_ms[ROUNDS], proven_ms[ROUNDS];
  double computed_ms, closed_ms; /* in all: processor time of building, taking down */
  size_t count;
} times;

static double read_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double now_ms(void) {
  return read_ms(CLOCK_MONOTONIC);
}

/* ---- one lab --------------------------------------------------------------------------------- */

static int open_lab(lab *l, const sim_measure *m, unsigned number, ns_error *error) {
  sim_options still = *m->options;
  still.rtt_ms = 0; /* a delay would only be waited for */
  still.seed = sim_derive(m->options->seed, "lab") + number;
  sim_trial trial = {.a = &m->a, .b = &m->b, .trial = number, .seed = still.seed};
  int status = sim_world_open(&l->world, &still, error);
  return status ? status : sim_sites_open(&l->world, &trial, l->sites, error);
}

static void close_lab(lab *l) {
  sim_sites_close(l->sites);
  sim_world_close(&l->world);
}

/* One datagram from the host to the server site and one back; none is sent twice. */
static int prove_host(const sim_site *site, int server_fd, ns_error *error) {
  struct sockaddr_in server = sim_ip4(SIM_SERVER_1, PROOF_PORT), from;
  char word[64], heard[64];
  int len = snprintf(word, sizeof word, "%s is here", site->host.name);
  int fd = sim_udp_open(&site->host, "0.0.0.0", 0, error);
  if (fd < 0)
    return fd;
  bool out = sim_udp_send(fd, &server, word, (size_t)len) &&
             sim_udp_take(server_fd, heard, sizeof heard, &from, PROOF_LIMIT_MS) == len &&
             !memcmp(word, heard, (size_t)len);
  bool back = out && sim_udp_send(server_fd, &from, word, (size_t)len) &&
              sim_udp_take(fd, heard, sizeof heard, NULL, PROOF_LIMIT_MS) == len;
  close(fd);
  if (back)
    return 0;
  return sim_fail(error, -ENODATA, "the first packet %s host %s of a fresh lab was lost",
                  out ? "to" : "from", site->host.name);
}

/* 0; -ENODATA when a packet was lost, or another negative errno; with the line. */
static int prove_lab(const lab *l, ns_error *error) {
  int server_fd = sim_udp_open(&l->world.server, SIM_SERVER_1, PROOF_PORT, error);
  int status = server_fd < 0 ? server_fd : 0;
  for (int side = 0; !status && side < SIM_SIDES; side++)
    status = prove_host(&l->sites[side], server_fd, error);
  if (server_fd >= 0)
    close(server_fd);
  return status;
}

/* ---- one after the other --------------------------------------------------------------------- */

static int measure_rounds(const sim_measure *m, times *t, ns_error *error) {
  int status = 0;
  lab *l = calloc(1, sizeof *l);
  if (!l)
    return sim_fail(error, -ENOMEM, "out of memory");
  for (unsigned i = 0; !status && i < ROUNDS + WARM_UP; i++) {
    double start_ms = now_ms(), computed_ms = read_ms(CLOCK_THREAD_CPUTIME_ID);
    status = open_lab(l, m, i, error);
    double built_ms = now_ms();
    computed_ms = read_ms(CLOCK_THREAD_CPUTIME_ID) - computed_ms;
    if (!status)
      status = prove_lab(l, error);
    double proven_ms = now_ms();
    close_lab(l);
    if (i < WARM_UP || status)
      continue;
    t->built_ms[t->count] = built_ms - start_ms;
    t->proven_ms[t->count++] = proven_ms - built_ms;
    t->computed_ms += computed_ms;
    t->closed_ms += now_ms() - proven_ms;
  }
  free(l);
  return status;
}

/* True when the goal is met. */
static bool print_rounds(const sim_measure *m, times *t) {
  double median_ms = sim_quantile(t->built_ms, t->count, 0.5);
  bool met = median_ms <= SIM_GOAL_BUILD_MS;
  printf("one after the other: %zu labs of %s x %s\n"
         "  built in          %6.2f ms (median; least %.2f, p90 %.2f; goal %.0f: %s)\n"
         "  of it computing   %6.2f ms (mean; the rest is waiting, for others on a busy machine)\n"
         "  first packets     %6.2f ms (median; a and b to the server and back, nothing lost)\n"
         "  taken down in     %6.2f ms (mean)\n",
         t->count, m->a.name, m->b.name, median_ms, t->built_ms[0],
         sim_quantile(t->built_ms, t->count, 0.9), SIM_GOAL_BUILD_MS, met ? "met" : "missed",
         t->computed_ms / (double)t->count, sim_quantile(t->proven_ms, t->count, 0.5),
         t->closed_ms / (double)t->count);
  return met;
}

/* ---- all at once ----------------------------------------------------------------------------- */

static int measure_many(const sim_measure *m, unsigned wanted, ns_error *error) {
  lab *labs = calloc(wanted, sizeof *labs);
  if (!labs)
    return sim_fail(error, -ENOMEM, "out of memory");
  double start_ms = now_ms();
  unsigned opened = 0, proven = 0;
  int status = 0;
  for (; !status && opened < wanted; opened++) {
    status = open_lab(&labs[opened], m, opened, error);
    if (status) {
      char why[sizeof error->text];
      snprintf(why, sizeof why, "%s", error->text);
      sim_fail(error, status, "lab %u of %u: %.400s", opened + 1, wanted, why);
    }
  }
  double built_ms = now_ms();
  for (; !status && proven < wanted; proven++)
    status = prove_lab(&labs[proven], error);
  double proven_ms = now_ms();
  for (unsigned i = 0; i < opened; i++)
    close_lab(&labs[i]);
  double closed_ms = now_ms();
  free(labs);
  if (!status)
    printf("at once: %u labs\n"
           "  built in          %6.0f ms (%.2f each)\n"
           "  first packets     %6.0f ms (all %u came and went, nothing lost)\n"
           "  taken down in     %6.0f ms (%.2f each)\n",
           wanted, built_ms - start_ms, (built_ms - start_ms) / wanted, proven_ms - built_ms,
           proven * 2 * SIM_SIDES, closed_ms - proven_ms, (closed_ms - proven_ms) / wanted);
  return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int complain(int status, const ns_error *error) {
  fprintf(stderr, "natsim bench labs: %s\n", error->text);
  return status == -ENODATA ? SIM_EXIT_FAILED : SIM_EXIT_NO_LAB;
}

int sim_measure_labs(void *arg) {
  const sim_measure *m = arg;
  times t = {.count = 0};
  ns_error error;
  int status = measure_rounds(m, &t, &error);
  if (status)
    return complain(status, &error);
  bool met = print_rounds(m, &t);
  fflush(stdout);
  status = measure_many(m, m->options->labs, &error);
  if (status)
    return complain(status, &error);
  return met ? SIM_EXIT_OK : SIM_EXIT_FAILED;
}
