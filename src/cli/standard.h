/* A link between the peer and our standard input and output, until both directions have ended. */
#ifndef CLI_STANDARD_H
#define CLI_STANDARD_H

#include "cli/bridge.h"
#include "cli/progress.h"
#include "cli/run.h"

typedef struct cli_standard {
  cli_run *run;
  bool started;
  cli_bridge bridge;
  cli_progress progress;
} cli_standard;

/* Takes the link over. When it is over the run stops: with CLI_OK, with CLI_FAILED when the link
 * broke or our input or output did (said why), or as SIGPIPE would when nobody reads our output. */
void cli_standard_start(cli_standard *standard, cli_run *run, warp_link *link);
/* For the run's on_stop. */
void cli_standard_stop(cli_standard *standard);

#endif
