/*
 * Two nodes in one process, on loopback, without any server: one listens, the other one connects to
 * its address, says hello, and gets it back.
 *
 *   cc two_nodes.c $(pkg-config --cflags --libs warpgate) -o two_nodes && ./two_nodes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <warpgate/warpgate.h>

static warp_loop *loop;
static warp_conf conf;
static warp_node *alice, *bob;
static int result = EXIT_FAILURE;

/* Closing a node ends its pipes, and the loop ends with the last node. */
static void end(const char *line, int status) {
  if (status != WARP_OK) {
    fprintf(stderr, "%s: %s\n", line, warp_strerror(status));
  }
  warp_node_close(alice, NULL, NULL);
  warp_node_close(bob, NULL, NULL);
  alice = bob = NULL;
}

/* A pipe that was handed out is ours to close. */
static void on_end(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  (void)status;
  warp_pipe_close(pipe);
}

/* ---- alice: listens and sends everything back ------------------------------------------------ */

static void alice_on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  warp_pipe_send(pipe, data, len);
}

static void alice_on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)arg;
  (void)node;
  (void)report;
  /* Nothing arrives before this function has returned, so no byte is missed. */
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = alice_on_data, .on_end = on_end});
}

/* ---- bob: connects --------------------------------------------------------------------------- */

static void bob_on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  (void)pipe;
  printf("bob got back: %.*s\n", (int)len, (const char *)data);
  result = EXIT_SUCCESS;
  end("", WARP_OK);
}

static void bob_on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)arg;
  (void)report; /* says of each attempt how it ended */
  if (status == WARP_CANCELED) {
    return; /* we closed the node ourselves */
  }
  if (status != WARP_OK) {
    end("bob cannot connect", status);
    return;
  }
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = bob_on_data, .on_end = on_end});
  warp_pipe_send(pipe, "hello alice", strlen("hello alice"));
}

static void bob_on_start(void *arg, warp_node *node, int status) {
  (void)arg;
  if (status != WARP_OK) {
    bob = NULL; /* a node that could not start is gone already */
    end("bob cannot start", status);
    return;
  }
  /* An address is bytes: signed by its owner, so it may come from anywhere. Here it comes from the
   * same process. */
  uint8_t address[WARP_RECORD_MAX];
  size_t len = sizeof address;
  status = warp_node_address(alice, address, &len);
  if (status == WARP_OK) {
    status = warp_auto_connect(node, address, len, NULL, bob_on_connect, NULL);
  }
  if (status != WARP_OK) {
    end("bob cannot connect", status);
  }
}

static void alice_on_start(void *arg, warp_node *node, int status) {
  (void)arg;
  if (status != WARP_OK) {
    alice = NULL;
    end("alice cannot start", status);
    return;
  }
  warp_node_listen(node, alice_on_pipe, NULL, NULL);
  status = warp_node_start(loop, &conf, bob_on_start, NULL, &bob);
  if (status != WARP_OK) {
    end("bob cannot start", status);
  }
}

int main(void) {
  conf = warp_conf_test(); /* loopback only, no servers, up in milliseconds */
  conf.key_name = "";      /* a new key for each node, not kept */
  loop = warp_loop_new();
  if (loop == NULL) {
    fprintf(stderr, "no loop: out of memory or file descriptors\n");
    return EXIT_FAILURE;
  }
  int status = warp_node_start(loop, &conf, alice_on_start, NULL, &alice);
  if (status != WARP_OK) {
    fprintf(stderr, "alice cannot start: %s\n", warp_strerror(status));
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return result;
}
