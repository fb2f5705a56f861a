/*
 * Ping and pong: messages go to and fro, and the time of each round is printed. Over UDP each send
 * is one message, which may be lost; over TCP the pipe is a stream, in which a message may arrive
 * in pieces. Messages of one fixed length are right on both.
 */
#include "common/sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char message[] = "are you there?";
enum { ROUNDS = 10, LEN = sizeof message - 1 };

static int sent;        /* pings */
static size_t received; /* bytes of the present pong */
static struct timespec at;

/* ---- who was connected to: sends back what comes --------------------------------------------- */

static void on_ping(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  warp_pipe_send(pipe, data, len);
}

static void on_pinger_gone(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  (void)status;
  warp_pipe_close(pipe);
  example_end(EXIT_SUCCESS);
}

static void on_accepted(warp_pipe *pipe) {
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_ping, .on_end = on_pinger_gone});
}

/* ---- who connected: pings -------------------------------------------------------------------- */

static void ping(warp_pipe *pipe) {
  sent++;
  clock_gettime(CLOCK_MONOTONIC, &at);
  int status = warp_pipe_send(pipe, message, LEN);
  if (status != WARP_OK) {
    fprintf(stderr, "cannot send: %s\n", warp_strerror(status));
    example_end(EXIT_FAILURE);
  }
}

static void on_pong(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  (void)data;
  received += len;
  if (received < LEN) {
    return; /* the rest is on its way */
  }
  received = 0;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  printf("round %d: %.2f ms\n", sent,
         (double)(now.tv_sec - at.tv_sec) * 1e3 + (double)(now.tv_nsec - at.tv_nsec) / 1e6);
  if (sent < ROUNDS) {
    ping(pipe);
  } else {
    example_end(EXIT_SUCCESS);
  }
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
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_pong, .on_end = on_lost});
  ping(pipe);
}

int main(int argc, char **argv) {
  static const example_sides sides = {.on_accepted = on_accepted, .on_connected = on_connected};
  return example_run(argc, argv, &sides);
}
