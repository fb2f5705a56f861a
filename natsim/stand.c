#include "natsim/stand.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { A_PORT = 5001, B_PORT = 5002, SERVER_PORT = 5003 };
/* How much longer than its delay a packet is waited for. */
static const double SETTLE_MS = 200;

/* What a packet begins with. */
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

/* Lets the host's NAT map its port, and learns the outside address as the server sees it. Links may
 * lose packets, but what is late must not make another packet leave: those that follow would meet
 * other fates than in another run. */
static int learn_outside(const sim_stand *s, int fd, const char *name, const sim_options *options,
                         struct sockaddr_in *outside, ns_error *error) {
  enum { TRIES = 20, WAIT_MS = 2000 };
  int longest_ms = WAIT_MS + (int)(options->rtt_ms / 2 + options->jitter_ms);
  char heard[SIM_LETTER_MIN];
  size_t len = strlen(name);
  for (int i = 0; i < TRIES; i++) {
    sim_udp_send(fd, &s->server, name, len);
    ssize_t got;
    while ((got = sim_udp_take(s->server_fd, heard, sizeof heard, outside, longest_ms)) >= 0)
      if ((size_t)got == len && !memcmp(heard, name, len))
        return 0;
  }
  return sim_fail(error, -ETIMEDOUT, "no packet gets from host %s to the server site", name);
}

/* A train must not be lost in a socket while this process waits for a processor. */
static void enlarge_buffers(const sim_stand *s) {
  const int fds[] = {s->a_fd, s->b_fd, s->server_fd}, bytes = 4 * 1024 * 1024;
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
    if (setsockopt(fds[i], SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
      setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static int open_sockets(sim_stand *s, ns_error *error) {
  s->server = sim_ip4(SIM_SERVER_1, SERVER_PORT);
  s->server_fd = sim_udp_open(&s->world.server, SIM_SERVER_1, SERVER_PORT, error);
  if (s->server_fd < 0)
    return s->server_fd;
  s->a_fd = sim_udp_open(&s->sites[SIM_A].host, "0.0.0.0", A_PORT, error);
  if (s->a_fd < 0)
    return s->a_fd;
  s->b_fd = sim_udp_open(&s->sites[SIM_B].host, "0.0.0.0", B_PORT, error);
  if (s->b_fd < 0)
    return s->b_fd;
  enlarge_buffers(s);
  return 0;
}

int sim_stand_open(sim_stand *s, const sim_options *options, ns_error *error) {
  *s = (sim_stand){.a_fd = -1, .b_fd = -1, .server_fd = -1};
  sim_profile cone;
  sim_trial trial = {.a = &cone, .b = &cone, .trial = 1, .seed = options->seed};
  int status = sim_profile_parse("full-cone", NULL, &cone, error) ? -EINVAL : 0;
  if (!status)
    status = sim_world_open(&s->world, options, error);
  if (!status)
    status = sim_sites_open(&s->world, &trial, s->sites, error);
  if (!status)
    status = open_sockets(s, error);
  if (!status)
    status = learn_outside(s, s->a_fd, "a", options, &s->a, error);
  return status ? status : learn_outside(s, s->b_fd, "b", options, &s->b, error);
}

void sim_stand_close(sim_stand *s) {
  const int fds[] = {s->a_fd, s->b_fd, s->server_fd};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
    if (fds[i] >= 0)
      close(fds[i]);
  sim_sites_close(s->sites);
  sim_world_close(&s->world);
}

/* ---- trains ---------------------------------------------------------------------------------- */

static void take_letter(sim_train *t, int fd) {
  char bytes[SIM_LETTER_MAX];
  letter one;
  ssize_t len = sim_udp_take(fd, bytes, sizeof bytes, NULL, 0);
  double at_ms = now_ms();
  if (len < (ssize_t)sizeof one)
    return;
  memcpy(&one, bytes, sizeof one);
  if (one.number >= t->count)
    return;
  t->first_ms = t->came ? t->first_ms : at_ms;
  t->last_ms = at_ms;
  if (!t->copies[one.number]++) {
    t->delays_ms[one.number] = at_ms - one.sent_ms;
    t->came++;
  }
}

/* Waits for something to come until that time, to a fraction of a millisecond. */
static bool readable_until(int fd, double until_ms) {
  double left_ms = until_ms - now_ms();
  long ns = left_ms > 0 ? (long)(left_ms * 1e6) : 0;
  struct timespec limit = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  return ppoll(&wait, 1, &limit, NULL) == 1;
}

void sim_train_run(sim_train *t, int from_fd, const struct sockaddr_in *to, int at_fd) {
  char bytes[SIM_LETTER_MAX] = "";
  memset(t->copies, 0, t->count * sizeof *t->copies);
  t->came = 0;
  double next_ms = now_ms();
  for (unsigned i = 0; i < t->count; next_ms += t->spacing_ms) {
    while (t->spacing_ms > 0 && readable_until(at_fd, next_ms))
      take_letter(t, at_fd);
    letter one = {.number = i++, .sent_ms = now_ms()};
    memcpy(bytes, &one, sizeof one);
    sim_udp_send(from_fd, to, bytes, t->size);
  }
  /* Copies of the last packets may follow when all have come. */
  double end_ms = now_ms() + t->longest_ms + SETTLE_MS;
  while (readable_until(at_fd, end_ms))
    take_letter(t, at_fd);
}

size_t sim_train_delays(const sim_train *t, double *out) {
  size_t count = 0;
  for (unsigned i = 0; i < t->count; i++)
    if (t->copies[i])
      out[count++] = t->delays_ms[i];
  return count;
}

unsigned sim_train_twice(const sim_train *t) {
  unsigned twice = 0;
  for (unsigned i = 0; i < t->count; i++)
    twice += t->copies[i] > 1;
  return twice;
}
