#include "natsim/peer.h"

#include "natsim/files.h"
#include "natsim/seed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- environment ----------------------------------------------------------------------------- */

/* NATSIM_* and what sanitizers of an instrumented endpoint need. */
enum { ENVIRONMENT_MAX = 32, VARIABLE_MAX = PATH_MAX + 64 };
typedef struct environment {
  char text[ENVIRONMENT_MAX][VARIABLE_MAX];
  const char *pointers[ENVIRONMENT_MAX + 1];
  size_t count;
} environment;

static void put(environment *env, const char *name, const char *value) {
  if (env->count == ENVIRONMENT_MAX)
    return;
  char *text = env->text[env->count];
  snprintf(text, VARIABLE_MAX, "%s=%s", name, value);
  env->pointers[env->count++] = text;
}

static void put_number(environment *env, const char *name, uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  put(env, name, text);
}

/* Both sides get seeds of their own: equal ones would make them draw the same ports. Those that
 * share a host share its machine id. */
static void fill_environment(environment *env, const sim_peer *peer, const sim_trial *trial,
                             const sim_peer_setup *setup) {
  const sim_options *o = setup->options;
  const char *role = peer->side == SIM_A ? "a" : "b";
  const int *hosts = setup->topology->host;
  char machine[40], skew[32];
  snprintf(skew, sizeof skew, "%.0f", o->clock_skew_ms[peer->side == SIM_A ? 0 : 1]);
  sim_told told;
  sim_servers_tell(setup->servers, setup->topology, peer->side, &told);
  snprintf(machine, sizeof machine, "natsim-%014llx-%s", (unsigned long long)trial->seed,
           hosts[SIM_A] == hosts[SIM_B] ? "ab" : role);
  put(env, "NATSIM_ROLE", role);
  put(env, "NATSIM_STUN", told.stun);
  put(env, "NATSIM_TURN", told.turn);
  put(env, "NATSIM_BROKERS", told.brokers);
  put_number(env, "NATSIM_SIGNALS", strlen(o->brokers[peer->side == SIM_A ? 0 : 1]));
  put(env, "NATSIM_NAMES", told.names);
  put(env, "NATSIM_NTP", told.ntp);
  put(env, "NATSIM_CA", setup->servers->authority);
  put(env, "NATSIM_SESSION", setup->session);
  put_number(env, "NATSIM_TIMEOUT_S", o->timeout_s);
  put_number(env, "NATSIM_SEED", sim_derive(trial->seed, role));
  put(env, "NATSIM_PLUGINS", o->plugin);
  put(env, "NATSIM_TRANSPORT", o->transport);
  put(env, "NATSIM_RELAY", o->no_relay ? "0" : "1");
  put(env, "NATSIM_STRICT", o->strict ? "1" : "0");
  put(env, "NATSIM_BY_NAME", o->by_name ? "1" : "0");
  put(env, "NATSIM_CROSS", o->cross ? "1" : "0");
  put(env, "NATSIM_SET", o->set);
  put(env, "NATSIM_CLOCK_SKEW_MS", skew);
  put(env, "NATSIM_DATA", peer->folder);
  put(env, "NATSIM_MACHINE", machine);
  put(env, "HOME", peer->folder);
  static const char *const passed_on[] = {"ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
                                          "LLVM_PROFILE_FILE", "GCOV_PREFIX"};
  for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
    if (getenv(passed_on[i]))
      put(env, passed_on[i], getenv(passed_on[i]));
}

/* ---- the process ----------------------------------------------------------------------------- */

static int launch(sim_peer *peer, const ns_host *host, const environment *env,
                  const sim_peer_setup *setup, ns_error *error) {
  char command[PATH_MAX];
  const char *own[] = {setup->programs->endpoint, NULL};
  const char *other[] = {"/bin/sh", "-c", command, NULL};
  if (setup->options->endpoint &&
      snprintf(command, sizeof command, "exec %s", setup->options->endpoint) >= (int)sizeof command)
    return sim_fail(error, -E2BIG, "--endpoint is too long");
  int log_fd = sim_open_log(peer->log_path);
  if (log_fd < 0)
    return sim_fail(error, log_fd, "cannot write %s", peer->log_path);
  ns_spawn_options options = {.host = host,
                              .argv = setup->options->endpoint ? other : own,
                              .envp = env->pointers,
                              .pipe_stdin = true,
                              .pipe_stdout = true,
                              .log_fd = log_fd};
  int status = ns_spawn(&peer->process, &options, error);
  close(log_fd);
  return status;
}

int sim_peer_start(sim_peer *peer, int side, const ns_host *host, const sim_trial *trial,
                   const sim_peer_setup *setup, ns_error *error) {
  *peer = (sim_peer){.side = side};
  snprintf(peer->folder, sizeof peer->folder, "%s/%s", setup->folder, side == SIM_A ? "a" : "b");
  snprintf(peer->log_path, sizeof peer->log_path, "%s.log", peer->folder);
  int status = sim_make_folder(peer->folder, error);
  if (status)
    return status;
  environment *env = calloc(1, sizeof *env);
  if (!env)
    return sim_fail(error, -ENOMEM, "out of memory");
  fill_environment(env, peer, trial, setup);
  status = launch(peer, host, env, setup, error);
  free(env);
  return status;
}

bool sim_peer_tell(sim_peer *peer, const char *line) {
  size_t left = strlen(line);
  while (left) {
    ssize_t sent = write(peer->process.stdin_fd, line, left);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent <= 0)
      return false;
    line += sent;
    left -= (size_t)sent;
  }
  return true;
}

void sim_peer_hang_up(sim_peer *peer) {
  if (peer->process.pid > 0 && peer->process.stdin_fd >= 0) {
    close(peer->process.stdin_fd);
    peer->process.stdin_fd = -1;
  }
}

int sim_peer_stop(sim_peer *peer, unsigned grace_ms) {
  int status = peer->process.pid > 0 ? ns_stop(&peer->process, grace_ms) : -ECHILD;
  free(peer->buffer);
  peer->buffer = NULL;
  peer->len = peer->size = 0;
  return status;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Room for one more read; false when the line is too long or memory is short. */
static bool make_room(sim_peer *peer) {
  enum { STEP = 16384 };
  if (peer->size - peer->len >= STEP)
    return true;
  size_t size = peer->size ? peer->size * 2 : STEP * 2;
  char *grown = size <= 2 * SIM_LINE_MAX ? realloc(peer->buffer, size) : NULL;
  if (!grown)
    return false;
  peer->buffer = grown;
  peer->size = size;
  return true;
}

void sim_peer_read(sim_peer *peer, void (*on_line)(void *arg, int side, const char *line),
                   void *arg) {
  ssize_t got = -1;
  if (make_room(peer))
    got = read(peer->process.stdout_fd, peer->buffer + peer->len, peer->size - peer->len);
  else
    errno = EMSGSIZE;
  if (got < 0 && errno == EINTR)
    return;
  if (got <= 0) {
    peer->at_end = true;
    return;
  }
  peer->len += (size_t)got;
  size_t start = 0;
  for (char *end; (end = memchr(peer->buffer + start, '\n', peer->len - start));) {
    *end = 0;
    if (peer->buffer[start])
      on_line(arg, peer->side, peer->buffer + start);
    start = (size_t)(end - peer->buffer) + 1;
  }
  peer->len -= start;
  memmove(peer->buffer, peer->buffer + start, peer->len);
}
