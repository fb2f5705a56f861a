/*
 * How far a transfer is, in one line that rewrites itself, for a person at a terminal: only where
 * standard error is one, standard input and output are not (the line would stand in their text),
 * and not with --json. It appears after a second, so that short transfers say nothing.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/handles.h"

typedef struct cli_progress {
  uv_timer_t timer;
  const cli_reader *reader;
  const cli_writer *writer;
  uint64_t start_ns, shown_ns; /* 0: nothing shown yet */
  uint64_t shown_bytes;        /* of both directions, then */
} cli_progress;

/* Begins; both handles are open, and outlive it. */
void cli_progress_start(cli_progress *progress, uv_loop_t *loop, const cli_reader *reader,
                        const cli_writer *writer);
/* Ends, with a last line if there was one before. The progress must live until the loop has
 * closed its timer. */
void cli_progress_stop(cli_progress *progress);

#endif
