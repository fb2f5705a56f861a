/* Where there is no laboratory there are no links of it. */
#include "bench.h"

#include <stdio.h>

int bench_in_link(const char *broker_program, bench_visit run, void *arg) {
  (void)broker_program, (void)run, (void)arg;
  fputs("pipe_bench: no link: this build has no laboratory (WARPGATE_BUILD_LAB)\n", stderr);
  return BENCH_BROKEN;
}
