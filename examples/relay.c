/*
 * Two pipes linked as a relay: what comes from one goes to the other, in both directions, no faster
 * than the slower one takes it. Each client of this TCP server gets a connection of its own to the
 * destination.
 *
 *   relay HOST:PORT [PORT]       then, elsewhere: nc 127.0.0.1 PORT
 */
#include <stdio.h>
#include <stdlib.h>
#include <warpgate/warpgate.h>

static warp_loop *loop;
static const char *destination;

/* A client and its connection to the destination. */
typedef struct relay {
  warp_pipe *client, *onward;
  int ended; /* directions */
  bool over;
} relay;

static void end(relay *self) {
  if (self->over) { /* closing ends the other one, too, and that calls us again */
    return;
  }
  self->over = true;
  warp_pipe_close(self->client);
  warp_pipe_close(self->onward);
  free(self);
}

/* An orderly end of one direction is passed on by the link; the other direction goes on. */
static void on_end(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  relay *self = arg;
  if (status != WARP_CLOSED || ++self->ended == 2) {
    end(self);
  }
}

static void on_onward_open(void *arg, warp_pipe *onward, int status) {
  relay *self = arg;
  if (self->over) {
    return; /* the client was gone first */
  }
  if (status == WARP_OK) {
    status = warp_pipe_add_end_cb(onward, on_end, self);
  } else {
    self->onward = NULL;
  }
  if (status == WARP_OK) {
    status = warp_pipe_add_pipe(self->client, onward);
  }
  if (status == WARP_OK) {
    status = warp_pipe_add_pipe(onward, self->client);
  }
  if (status != WARP_OK) {
    fprintf(stderr, "%s: %s\n", destination, warp_strerror(status));
    end(self);
    return;
  }
  warp_pipe_pause(self->client, false);
}

static void on_up(void *arg, warp_pipe *server, warp_pipe *client) {
  (void)arg;
  (void)server;
  relay *self = calloc(1, sizeof *self);
  warp_pipe_options options = {.transport = WARP_TCP, .dest = destination};
  if (self == NULL) {
    warp_pipe_close(client);
    return;
  }
  self->client = client;
  warp_pipe_pause(client, true); /* until there is somebody to send to */
  int status = warp_pipe_add_end_cb(client, on_end, self);
  if (status == WARP_OK) {
    status = warp_pipe_open(loop, &options, on_onward_open, self, &self->onward);
  }
  if (status != WARP_OK) {
    fprintf(stderr, "%s: %s\n", destination, warp_strerror(status));
    end(self);
  }
}

static void on_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    fprintf(stderr, "cannot listen: %s\n", warp_strerror(status));
    return;
  }
  warp_pipe_info info;
  char text[WARP_ADDR_STRLEN];
  warp_pipe_get_info(pipe, &info);
  printf("listening on %s\n", warp_addr_format(&info.local, text));
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: relay HOST:PORT [PORT]\n");
    return 2;
  }
  destination = argv[1];
  warp_route route = {.interface = ""};
  warp_addr_parse("127.0.0.1", &route.addr);
  route.addr.port = argc > 2 ? (uint16_t)atoi(argv[2]) : 0;
  loop = warp_loop_new();
  warp_pipe_options options = {.transport = WARP_TCP, .route = &route, .on_up = on_up};
  int status = loop != NULL ? warp_pipe_open(loop, &options, on_open, NULL, NULL) : WARP_NOMEM;
  if (status != WARP_OK) {
    fprintf(stderr, "cannot listen: %s\n", warp_strerror(status));
    return EXIT_FAILURE;
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return EXIT_FAILURE; /* it ends only when it could not listen */
}
