/* What `warpgate check` found, for a person and for a program. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "cli/ask.h"
#include "cli/run.h"
#include "node/lifetime.h"
#include "wire/record.h"

enum { CLI_STEPS = 14, CLI_STEP_LEN = 200 };

/* How a step of the start went. */
typedef struct cli_step {
  bool seen;
  int status;
  double ms;
  char detail[CLI_STEP_LEN];
} cli_step;

typedef struct cli_check {
  cli_run run;
  cli_step steps[CLI_STEPS + 1]; /* by warp_start_phase */
  cli_asks *asks;
  bool asked; /* all servers have answered or are given up */
  uv_timer_t settle;
  bool settled;          /* the measurement will not change any more */
  wg_lifetime *lifetime; /* being learned, or NULL */
  bool lifetime_over;
  unsigned lifetime_s;      /* 0: not known */
  size_t lifetime_endpoint; /* of the record, that it is of */
  wg_record record;
} cli_check;

/* Lines for a person, on standard output. */
void cli_check_print(const cli_check *check);
/* One object in one line, on standard output. WARP_NOMEM. */
int cli_check_print_json(const cli_check *check);

#endif
