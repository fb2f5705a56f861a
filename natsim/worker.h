/*
 * One job: a process with a world and servers of its own that runs the trials it is handed.
 *
 * The supervisor writes the number of a trial and a newline; the job answers with one JSON line,
 * {"record":{...}} or, when it cannot go on, {"lab":"why"}. When its descriptor is closed at the
 * supervisor's end it takes everything down and ends.
 */
#ifndef NATSIM_WORKER_H
#define NATSIM_WORKER_H

#include "natsim/plan.h"
#include "natsim/programs.h"

/* All that the jobs of a run share. */
typedef struct sim_work {
  const sim_options *options;
  const sim_plan *plan;
  const sim_programs *programs;
  int out_fd; /* the folder of results, or -1 */
} sim_work;

/* Runs the job numbered `job` on the stream socket `fd` until it is told to end; returns the exit
 * status of its process. */
int sim_worker_run(const sim_work *work, unsigned job, int fd);

#endif
