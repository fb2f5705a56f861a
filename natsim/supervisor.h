/* The process that hands the trials to the jobs and takes in their results. Runs inside the
 * sandbox. */
#ifndef NATSIM_SUPERVISOR_H
#define NATSIM_SUPERVISOR_H

#include "natsim/expect.h"
#include "natsim/worker.h"

typedef struct sim_supervision {
  sim_work work;
  FILE *trials_out;                     /* trials.jsonl, or NULL */
  const sim_expectations *expectations; /* or NULL */
} sim_supervision;

/* How many jobs the work is done by: as asked or one for each core, and no more than trials. */
unsigned sim_jobs(const sim_work *work);
/* The lab of ns_sandbox_run: `arg` is a sim_supervision. Returns the exit status of the command;
 * 128 + signal after SIGINT or SIGTERM. */
int sim_supervise(void *arg);

#endif
