/* A sender that gives a pipe as much as it takes. */
#ifndef BENCH_FILL_H
#define BENCH_FILL_H

#include "bench.h"

#include <warpgate/warpgate.h>

typedef struct bench_filler {
  warp_loop *loop;
  size_t size; /* of what is sent at once */
  warp_pipe *pipe;
} bench_filler;

/* Begins with it; to be called when the pipe is open. */
void bench_fill(bench_filler *filler, warp_pipe *pipe);

#endif
