/*
 * An echo gate: a node under a name. Whoever knows the name and a name server finds it, and every
 * message comes back. Messages arrive whole and in order, whichever way the two are connected.
 *
 *   echo_gate listen NAME
 *   echo_gate connect NAME [MESSAGE]
 *
 * Both need WARPGATE_NAMES=HOST:PORT, and to cross NATs WARPGATE_BROKERS and WARPGATE_STUN, too.
 */
#include "common/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static warp_gate *gate;
static const char *whom, *message = "hello";
static int result = EXIT_FAILURE;

static void end(const char *what, int status) {
  if (status != WARP_OK) {
    fprintf(stderr, "%s: %s\n", what, warp_strerror(status));
  }
  warp_gate_close(gate, NULL, NULL);
  gate = NULL;
}

/* ---- who listens ----------------------------------------------------------------------------- */

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  (void)arg;
  printf("%.*s\n", (int)len, (const char *)data);
  fflush(stdout);
  int status = warp_link_send(link, data, len);
  if (status != WARP_OK) { /* WARP_AGAIN: it sends, and takes nothing back */
    fprintf(stderr, "a peer is dropped: %s\n", warp_strerror(status));
    warp_link_close(link, NULL, NULL);
  }
}

static void on_peer_end(void *arg, warp_link *link, int status) {
  (void)arg;
  (void)status;
  warp_link_close(link, NULL, NULL);
}

static void on_link(void *arg, warp_gate *self, warp_link *link, const warp_report *report) {
  (void)arg;
  (void)self;
  (void)report;
  warp_link_on_message(link, on_message, NULL);
  warp_link_on_end(link, on_peer_end, NULL);
}

static void on_open_to_listen(void *arg, warp_gate *self, int status) {
  (void)arg;
  if (status != WARP_OK) {
    gate = NULL; /* freed already */
    end(status == WARP_NAME_TAKEN ? "take another name" : "cannot open the gate", status);
    return;
  }
  warp_gate_listen(self, on_link, NULL);
  printf("listening as %s\n", warp_gate_name(self)); /* open means registered */
  fflush(stdout);
}

/* ---- who connects ---------------------------------------------------------------------------- */

static void on_closed(void *arg, int status) {
  (void)arg;
  (void)status;
  end("", WARP_OK);
}

static void on_echo(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  (void)arg;
  printf("came back: %.*s\n", (int)len, (const char *)data);
  result = EXIT_SUCCESS;
  warp_link_close(link, on_closed, NULL);
}

static void on_lost(void *arg, warp_link *link, int status) {
  (void)arg;
  warp_link_close(link, NULL, NULL);
  if (status != WARP_CANCELED) {
    end("the gate is gone", status);
  }
}

static void on_connect(void *arg, warp_link *link, int status, const warp_report *report) {
  (void)arg;
  (void)report;
  if (status == WARP_CANCELED) {
    return;
  }
  if (status != WARP_OK) {
    end(status == WARP_NOT_FOUND ? "nobody has this name" : "cannot connect", status);
    return;
  }
  warp_pipe_info info;
  warp_pipe_get_info(warp_link_pipe(link), &info);
  printf("connected by %s over %s and IPv%d, %s, in %.0f ms\n", info.plugin,
         warp_transport_name(info.transport), info.family, info.relayed ? "relayed" : "direct",
         info.connect_ms);
  fflush(stdout);
  warp_link_on_message(link, on_echo, NULL);
  warp_link_on_end(link, on_lost, NULL);
  warp_link_send(link, message, strlen(message));
}

static void on_open_to_connect(void *arg, warp_gate *self, int status) {
  (void)arg;
  if (status != WARP_OK) {
    gate = NULL;
    end("cannot open a gate", status);
    return;
  }
  status = warp_gate_connect_link(self, whom, NULL, on_connect, NULL);
  if (status != WARP_OK) {
    end("cannot connect", status);
  }
}

int main(int argc, char **argv) {
  bool listens = argc == 3 && strcmp(argv[1], "listen") == 0;
  if (!listens && (argc < 3 || strcmp(argv[1], "connect") != 0)) {
    fprintf(stderr, "usage: echo_gate listen NAME | connect NAME [MESSAGE]\n");
    return 2;
  }
  whom = argv[2];
  message = argc > 3 ? argv[3] : message;
  warp_conf conf = example_conf();
  if (conf.name_servers == NULL) {
    fprintf(stderr, "echo_gate needs a name server: set WARPGATE_NAMES=HOST:PORT\n");
    return 2;
  }
  /* The name picks the key: the same name on this machine is the same gate tomorrow. */
  conf.key_name = NULL;
  warp_loop *loop = warp_loop_new();
  if (loop == NULL) {
    fprintf(stderr, "no loop: out of memory or file descriptors\n");
    return EXIT_FAILURE;
  }
  int status = warp_gate_open(loop, listens ? whom : "echo-visitor", &conf,
                              listens ? on_open_to_listen : on_open_to_connect, NULL, &gate);
  if (status != WARP_OK) {
    fprintf(stderr, "cannot open a gate: %s\n", warp_strerror(status));
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return result;
}
