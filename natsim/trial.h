/* One trial in the kernel: fresh sites, both peers, their course, and everything taken down. */
#ifndef NATSIM_TRIAL_H
#define NATSIM_TRIAL_H

#include "natsim/peer.h"
#include "natsim/world.h"

/* Runs it. Returns 0 and the record of trials.jsonl in *record (the caller's), -ECANCELED when
 * `stop_fd` was closed at its other end meanwhile, or another negative errno with the line when
 * the sites could not be built. `folder` is a place for the peers' files, emptied afterwards. */
int sim_trial_run(sim_world *world, const sim_trial *trial, const sim_options *options,
                  const sim_programs *programs, const sim_servers *servers, const char *folder,
                  int stop_fd, json_t **record, ns_error *error);

#endif
