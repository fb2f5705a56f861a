#include "fill.h"

/* Messages sent before the loop gets its turn. */
enum { BURST = 64 };

static void fill(void *arg) {
  bench_filler *filler = arg;
  for (int i = 0; i < BURST; i++) {
    int status = warp_pipe_send(filler->pipe, bench_payload(), filler->size);
    if (status == WARP_AGAIN) {
      return; /* on_drain goes on */
    }
    if (status != WARP_OK) {
      bench_die("cannot send: %s", warp_strerror(status));
    }
  }
  /* Datagrams on loopback are never refused, but lost. */
  warp_loop_post(filler->loop, fill, filler);
}

static void on_drain(void *arg, warp_pipe *pipe) {
  (void)pipe;
  fill(arg);
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  (void)pipe;
  bench_die("the pipe ended: %s", warp_strerror(status));
}

void bench_fill(bench_filler *filler, warp_pipe *pipe) {
  filler->pipe = pipe;
  warp_pipe_set_handlers(
      pipe, &(warp_pipe_handlers){.on_drain = on_drain, .on_end = on_end, .arg = filler});
  fill(filler);
}
