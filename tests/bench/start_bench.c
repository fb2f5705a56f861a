/*
 * How long a node takes to start in the test configuration: one object of JSON a line, each of a
 * node that started in a loop of its own, in the form that natsim has for those of the laboratory.
 *
 *   start_bench COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <warpgate/warpgate.h>

typedef struct start {
  double begun_ms;
  const char *between; /* of the phases */
  warp_node *node;
} start;

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void on_event(void *arg, const warp_start_event *event) {
  start *self = arg;
  printf("%s{\"phase\":\"%s\",\"ms\":%.3f}", self->between, warp_start_phase_name(event->phase),
         event->elapsed_ms);
  self->between = ",";
}

static void on_start(void *arg, warp_node *node, int status) {
  start *self = arg;
  if (status != WARP_OK) {
    fprintf(stderr, "start_bench: %s\n", warp_strerror(status));
    exit(EXIT_FAILURE);
  }
  printf("],\"ms\":%.3f}\n", now_ms() - self->begun_ms);
  warp_node_close(node, NULL, NULL);
}

int main(int argc, char **argv) {
  unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
  if (count == 0) {
    fputs("usage: start_bench COUNT\n", stderr);
    return 2;
  }
  for (unsigned long i = 0; i < count; i++) {
    start self = {.between = ""};
    warp_conf conf = warp_conf_test();
    conf.key_name = ""; /* a new key each time, which is the longer way */
    conf.on_start_event = on_event;
    conf.start_arg = &self;
    warp_loop *loop = warp_loop_new();
    printf("{\"phases\":[");
    self.begun_ms = now_ms();
    int status = warp_node_start(loop, &conf, on_start, &self, &self.node);
    if (status != WARP_OK) {
      fprintf(stderr, "start_bench: %s\n", warp_strerror(status));
      return EXIT_FAILURE;
    }
    warp_loop_run(loop);
    warp_loop_close(loop);
  }
  return EXIT_SUCCESS;
}
