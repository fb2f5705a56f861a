/* A link of the laboratory: two hosts joined by a veth pair without any impairment, the receiver's
 * with a broker of its own where there is one. */
#include "bench.h"
#include "netns/netns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVER  "192.0.2.1"
#define SENDER    "192.0.2.2"
#define INTERFACE "link"
#define CONF      "/run/mosquitto.conf"
#define BROKER    RECEIVER ":1883"

enum { INDEX = 2, READY_MS = 60000, STOP_MS = 1000 };

static ns_host receiver, sender;

static bool enter(bool receives) {
  return ns_enter(receives ? &receiver : &sender) == 0;
}

static int add_end(const ns_host *host, const char *address, const char *peer, ns_error *error) {
  ns_batch batch;
  ns_begin(&batch, host);
  ns_add_address(&batch, INDEX, address);
  ns_add_up(&batch, INDEX);
  ns_add_route(&batch, "0.0.0.0/0", peer, INDEX);
  return ns_commit(&batch, error);
}

static int build(ns_error *error) {
  int status = ns_host_open(&receiver, "receiver", error);
  if (status == 0) {
    status = ns_host_open(&sender, "sender", error);
  }
  if (status == 0) {
    ns_batch batch;
    ns_begin(&batch, &receiver);
    ns_add_veth(&batch, INTERFACE, INDEX, NULL, &sender, INTERFACE, INDEX, NULL);
    status = ns_commit(&batch, error);
  }
  if (status == 0) {
    status = add_end(&receiver, RECEIVER "/24", SENDER, error);
  }
  if (status == 0) {
    status = add_end(&sender, SENDER "/24", RECEIVER, error);
  }
  if (status == 0) {
    status = ns_link_wait(&receiver, INDEX, READY_MS, error);
  }
  return status == 0 ? ns_link_wait(&sender, INDEX, READY_MS, error) : status;
}

/* Nobody reads on afterwards: it says no more than that. */
static bool await_broker(int stderr_fd) {
  char line[256];
  bool runs = false;
  FILE *in = fdopen(stderr_fd, "r");
  while (in != NULL && !runs && fgets(line, sizeof line, in) != NULL) {
    runs = strstr(line, "running") != NULL;
  }
  return runs;
}

static bool start_broker(const char *program, ns_process *out, ns_error *error) {
  FILE *conf = fopen(CONF, "w");
  if (conf == NULL ||
      fputs("listener 1883 " RECEIVER "\nallow_anonymous true\npersistence false\nuser root\n"
            "log_dest stderr\nset_tcp_nodelay true\nconnection_messages false\n",
            conf) < 0 ||
      fclose(conf) != 0) {
    snprintf(error->text, sizeof error->text, "cannot write " CONF);
    return false;
  }
  char libraries[4096];
  const char *path = getenv("LD_LIBRARY_PATH");
  snprintf(libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", path != NULL ? path : "");
  const ns_spawn_options options = {
      .host = &receiver,
      .argv = (const char *const[]){program, "-c", CONF, NULL},
      .envp = (const char *const[]){libraries, NULL},
      .pipe_stderr = true,
      .log_fd = -1,
  };
  if (ns_spawn(out, &options, error) != 0) {
    return false;
  }
  snprintf(error->text, sizeof error->text, "the broker did not start");
  return await_broker(out->stderr_fd);
}

typedef struct visit {
  const char *broker;
  bench_visit run;
  void *arg;
} visit;

static int in_lab(void *arg) {
  const visit *self = arg;
  ns_error error;
  ns_process broker = {0};
  bool good = build(&error) == 0;
  if (good && self->broker != NULL) {
    good = start_broker(self->broker, &broker, &error);
  }
  if (!good) {
    fprintf(stderr, "pipe_bench: no link: %s\n", error.text);
    return BENCH_BROKEN;
  }
  const bench_place place = {.name = BENCH_LINK,
                             .about = "Over a link between two network namespaces",
                             .receiver = RECEIVER,
                             .interface = INTERFACE,
                             .broker = self->broker != NULL ? BROKER : NULL,
                             .enter = enter};
  int status = self->run(self->arg, &place);
  ns_stop(&broker, STOP_MS);
  ns_host_close(&receiver);
  ns_host_close(&sender);
  fflush(stdout);
  return status;
}

int bench_in_link(const char *broker_program, bench_visit run, void *arg) {
  visit self = {.broker = broker_program, .run = run, .arg = arg};
  ns_error error;
  int status = ns_sandbox_run(in_lab, &self, &error);
  if (status < 0) {
    fprintf(stderr, "pipe_bench: no link: %s\n", error.text);
    return BENCH_BROKEN;
  }
  return status;
}
