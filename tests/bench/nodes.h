/* Two nodes and what a connect between them gives. */
#ifndef BENCH_NODES_H
#define BENCH_NODES_H

#include "bench.h"

#include <warpgate/warpgate.h>

/* The process that receives: `on_pipe` gets the pipe, with `side` as its argument. Never returns.
 */
_Noreturn void bench_node_receive(bench_side *side, warp_node_on_pipe on_pipe);
/* The process that sends: `begin` gets the pipe that `plugin` made. Never returns. */
_Noreturn void bench_node_send(bench_side *side, warp_loop *loop, const char *plugin,
                               void (*begin)(void *arg, warp_pipe *pipe), void *arg);

#endif
