/* One trial in the kernel: fresh sites, both peers, their course, and everything taken down. */
#ifndef NATSIM_TRIAL_H
#define NATSIM_TRIAL_H

#include "natsim/peer.h"
#include "natsim/world.h"

/* Where trials run, and what they share. */
typedef struct sim_stage {
  sim_world *world;
  sim_servers *servers;
  const sim_options *options;
  const sim_programs *programs;
  const char *folder; /* for the peers' files, removed after a trial */
  int out_fd;         /* the folder of results, or -1 */
  int stop_fd;        /* when its other end is closed, the trial is given up */
} sim_stage;

/* Runs it. Returns 0 and the record of trials.jsonl in *record (the caller's), -ECANCELED when it
 * was given up, or another negative errno with the line when the laboratory failed. */
int sim_trial_run(const sim_stage *stage, const sim_trial *trial, json_t **record, ns_error *error);

#endif
