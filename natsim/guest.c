#include "natsim/guest.h"

#include "natsim/files.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Statuses as a shell has them: a program that is not there, one that cannot be run. */
enum { NOT_FOUND = 127, NOT_RUN = 126 };
/* How long who knocks may take to say what is wanted, and how long a program to go. */
enum { KNOCK_LIMIT_S = 5, LEAVE_MS = 300 };

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(int fd, enum sim_wire_end end, int value, const char *text) {
  sim_wire_answer said = {.end = end, .value = value};
  snprintf(said.text, sizeof said.text, "%s", text);
  sim_wire_send(fd, &said, sizeof said, NULL);
}

/* ---- the environment ------------------------------------------------------------------------- */

/* What a guest gets beside what it brings. */
enum { EXTRA = 12 };
typedef struct extras {
  char text[EXTRA][PATH_MAX + 32];
  size_t count;
} extras;

static void put(extras *e, const char *name, const char *value) {
  snprintf(e->text[e->count++], sizeof e->text[0], "%s=%s", name, value);
}

static void fill(extras *e, const sim_inn *inn, const char *host) {
  int side = !strcmp(host, "b") ? SIM_B : SIM_A;
  const sim_told *told = &inn->told[side];
  char folder[PATH_MAX];
  put(e, "NATSIM_HOST", host);
  put(e, "NATSIM_STUN", told->stun);
  put(e, "NATSIM_TURN", told->turn);
  put(e, "NATSIM_BROKERS", told->brokers);
  put(e, "NATSIM_NAMES", told->names);
  put(e, "NATSIM_NTP", told->ntp);
  put(e, "WARPGATE_STUN", told->stun);
  put(e, "WARPGATE_TURN", told->turn);
  put(e, "WARPGATE_BROKERS", told->brokers);
  put(e, "WARPGATE_NAMES", told->names);
  put(e, "WARPGATE_NTP", told->ntp);
  snprintf(folder, sizeof folder, "%s/%s", inn->folder, host);
  if (!sim_make_folder(folder, NULL))
    put(e, "WARPGATE_DATA", folder);
}

/* PATH is the laboratory's, which has the folder of our own programs. */
static bool is_ours(const extras *e, const char *variable) {
  size_t len = strcspn(variable, "=") + 1;
  if (!strncmp(variable, "PATH=", len))
    return true;
  for (size_t i = 0; i < e->count; i++)
    if (!strncmp(e->text[i], variable, len))
      return true;
  return false;
}

/* The variables that the guest brings and `e`, in a list to free; its strings are not its own. */
static const char **join(const sim_wire_request *request, const extras *e) {
  const char **all = calloc(request->head.variables + e->count + 1, sizeof *all);
  size_t count = 0;
  for (uint32_t i = 0; all && i < request->head.variables; i++)
    if (!is_ours(e, request->envp[i]))
      all[count++] = request->envp[i];
  for (size_t i = 0; all && i < e->count; i++)
    all[count++] = e->text[i];
  return all;
}

/* ---- coming ---------------------------------------------------------------------------------- */

/* Reads the request whole; false when it makes no sense or does not come. */
static bool read_request(int fd, sim_wire_request *out, int fds[SIM_WIRE_DESCRIPTORS]) {
  struct timeval limit = {.tv_sec = KNOCK_LIMIT_S};
  sim_wire_head head;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (!sim_wire_receive(fd, &head, sizeof head, fds) || head.magic != SIM_WIRE_MAGIC ||
      head.body_len > SIM_WIRE_BODY || fds[SIM_WIRE_DESCRIPTORS - 1] < 0)
    return false;
  char *body = malloc(head.body_len + 1);
  if (!body || !sim_wire_receive(fd, body, head.body_len, NULL)) {
    free(body);
    return false;
  }
  return !sim_wire_unpack(&head, body, out);
}

static int start(sim_guest *guest, const sim_wire_request *request, const int *fds,
                 const ns_host *host, const sim_inn *inn, ns_error *error) {
  extras *e = calloc(1, sizeof *e);
  if (e)
    fill(e, inn, request->host);
  const char **environment = e ? join(request, e) : NULL;
  int status = sim_fail(error, -ENOMEM, "out of memory");
  if (environment) {
    ns_spawn_options options = {.host = host,
                                .argv = (const char *const *)request->argv,
                                .envp = environment,
                                .log_fd = -1,
                                .given = fds,
                                .terminal = request->head.terminal,
                                .folder = request->folder};
    status = ns_spawn(&guest->process, &options, error);
  }
  free(environment);
  free(e);
  return status;
}

/* Starts what was asked for, or says why not. */
static bool try_to_start(sim_guest *guest, const sim_wire_request *request, const int *fds,
                         const sim_inn *inn) {
  ns_error error = {.text = ""};
  const ns_host *host = sim_world_find(inn->world, request->host);
  if (!host) {
    snprintf(error.text, sizeof error.text,
             "there is no host '%.64s': see what natsim lab has drawn", request->host);
    answer(guest->fd, SIM_REFUSED, SIM_EXIT_USAGE, error.text);
    return false;
  }
  int status = start(guest, request, fds, host, inn, &error);
  if (status) {
    answer(guest->fd, SIM_REFUSED, status == -ENOENT ? NOT_FOUND : NOT_RUN, error.text);
    return false;
  }
  guest->pidfd = (int)syscall(SYS_pidfd_open, guest->process.pid, 0);
  return true;
}

bool sim_guest_enter(sim_guest *guest, int fd, const sim_inn *inn) {
  sim_wire_request request = {.body = NULL};
  int fds[SIM_WIRE_DESCRIPTORS] = {-1, -1, -1};
  *guest = (sim_guest){.fd = fd, .pidfd = -1};
  bool in = sim_lab_is_own(fd) && read_request(fd, &request, fds) &&
            try_to_start(guest, &request, fds, inn);
  for (int i = 0; i < SIM_WIRE_DESCRIPTORS; i++)
    if (fds[i] >= 0)
      close(fds[i]);
  sim_wire_free(&request);
  if (!in) {
    close(fd);
    *guest = (sim_guest){.fd = 0};
  }
  return in;
}

/* ---- staying and going ----------------------------------------------------------------------- */

void sim_guest_hear(sim_guest *guest) {
  unsigned char signals[64];
  ssize_t got = recv(guest->fd, signals, sizeof signals, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  for (ssize_t i = 0; i < got; i++)
    if (signals[i] && signals[i] < NSIG)
      kill(-guest->process.pid, signals[i]);
  if (got <= 0) {
    kill(-guest->process.pid, SIGHUP); /* as a terminal that is closed says it */
    sim_guest_leave(guest);
  }
}

void sim_guest_leave(sim_guest *guest) {
  if (guest->fd <= 0)
    return;
  int status = ns_stop(&guest->process, LEAVE_MS);
  if (WIFSIGNALED(status))
    answer(guest->fd, SIM_KILLED, WTERMSIG(status), "");
  else
    answer(guest->fd, SIM_ENDED, WEXITSTATUS(status), "");
  if (guest->pidfd >= 0)
    close(guest->pidfd);
  close(guest->fd);
  *guest = (sim_guest){.fd = 0};
}
