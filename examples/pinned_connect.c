/*
 * A pinned connect: one technique only, in one family, between interface addresses or external
 * ones, where warp_auto_connect would try everything.
 *
 *   pinned_connect                              direct_connect on loopback
 *   pinned_connect connect ADDRESS udp_punch    a hole through two NATs, or nothing
 *
 * When it fails, the report says why in one row.
 */
#include "common/sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_hello(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  warp_pipe_send(pipe, data, len);
}

static void on_gone(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  (void)status;
  warp_pipe_close(pipe);
  example_end(EXIT_SUCCESS);
}

static void on_accepted(warp_pipe *pipe) {
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_hello, .on_end = on_gone});
}

static void on_answer(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  (void)pipe;
  printf("came back: %.*s\n", (int)len, (const char *)data);
  example_end(EXIT_SUCCESS);
}

static void on_lost(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  warp_pipe_close(pipe);
  if (status != WARP_CANCELED) { /* that is our own end */
    fprintf(stderr, "the peer is gone: %s\n", warp_strerror(status));
    example_end(EXIT_FAILURE);
  }
}

static void on_connected(warp_pipe *pipe) {
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_answer, .on_end = on_lost});
  warp_pipe_send(pipe, "hello", strlen("hello"));
}

int main(int argc, char **argv) {
  bool named = argc > 3;
  example_sides sides = {.on_accepted = on_accepted,
                         .on_connected = on_connected,
                         .plugin = named ? argv[3] : "direct_connect",
                         .family = WARP_IP4,
                         .route_type = named ? WARP_EXT_BIND : WARP_NIC_BIND};
  return example_run(argc, argv, &sides);
}
