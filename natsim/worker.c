#include "natsim/worker.h"

#include "natsim/files.h"
#include "natsim/servers.h"
#include "natsim/trial.h"
#include "natsim/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A job's laboratory. The private tmpfs of the sandbox is on /run. */
typedef struct bench {
  sim_world world;
  sim_servers servers;
  char server_folder[64], trial_folder[64];
} bench;

/* Sends one JSON line; takes `message`. False when the supervisor is gone. */
static bool say(int fd, json_t *message) {
  char *text = message ? json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
  json_decref(message);
  if (!text)
    return false;
  size_t len = strlen(text), sent = 0;
  text[len] = '\n'; /* in place of the NUL: the length is known */
  while (sent < len + 1) {
    ssize_t got = send(fd, text + sent, len + 1 - sent, MSG_NOSIGNAL);
    if (got < 0 && errno != EINTR)
      break;
    sent += got > 0 ? (size_t)got : 0;
  }
  free(text);
  return sent == len + 1;
}

static int open_bench(bench *b, const sim_work *work, unsigned job, ns_error *error) {
  *b = (bench){.server_folder = ""};
  snprintf(b->server_folder, sizeof b->server_folder, "/run/natsim/%u/servers", job);
  snprintf(b->trial_folder, sizeof b->trial_folder, "/run/natsim/%u/trial", job);
  int status = sim_make_folder(b->server_folder, error);
  if (!status)
    status = sim_world_open(&b->world, work->options, error);
  if (!status)
    status = sim_servers_start(&b->servers, &b->world.server, work->options, work->programs,
                               b->server_folder, error);
  return status;
}

static void close_bench(bench *b) {
  sim_servers_stop(&b->servers);
  sim_world_close(&b->world);
}

/* The number of the next trial, or -1 when there is none any more. */
static long next_trial(int fd) {
  char line[24];
  size_t len = 0;
  while (len < sizeof line - 1) {
    ssize_t got = recv(fd, line + len, 1, 0);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return -1;
    if (line[len] == '\n') {
      line[len] = 0;
      return strtol(line, NULL, 10);
    }
    len++;
  }
  return -1;
}

int sim_worker_run(const sim_work *work, unsigned job, int fd) {
  ns_error error = {.text = ""};
  bench b;
  int status = open_bench(&b, work, job, &error);
  sim_stage stage = {&b.world,     &b.servers, work->options, work->programs, b.trial_folder,
                     work->out_fd, fd};
  while (!status) {
    long index = next_trial(fd);
    if (index < 0 || (size_t)index >= work->plan->count)
      break;
    json_t *record;
    status = sim_trial_run(&stage, &work->plan->trials[index], &record, &error);
    if (!status && !say(fd, json_pack("{s:o}", "record", record)))
      break;
  }
  if (status && status != -ECANCELED)
    say(fd, json_pack("{s:o}", "lab", sim_safe_text(error.text)));
  close_bench(&b);
  return status && status != -ECANCELED ? SIM_EXIT_NO_LAB : 0;
}
