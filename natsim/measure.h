/*
 * natsim bench: the laboratory measured by itself. Both run inside a sandbox (they are what
 * ns_sandbox_run is given; `arg` is a sim_measure), print what they found on stdout, and return the
 * exit status of the command: 1 when a goal is missed, 3 when a lab cannot be built.
 */
#ifndef NATSIM_MEASURE_H
#define NATSIM_MEASURE_H

#include "natsim/options.h"
#include "natsim/profile.h"

/* What a two-NAT lab may take to build, and by how much a median delay may be off. */
#define SIM_GOAL_BUILD_MS 10.0
#define SIM_GOAL_DELAY_MS 0.3

typedef struct sim_measure {
  const sim_options *options;
  sim_profile a, b;
} sim_measure;

/* How long labs take: built one after the other, then many side by side, each proven by a packet
 * that goes from each host through its NAT to the server site and back, on the first try. */
int sim_measure_labs(void *arg);
/* How exact links are: the medians of one-way delays asked for and got, and loss, duplication,
 * reordering, jitter and rate. */
int sim_measure_link(void *arg);

/* Order statistics of `count` numbers (at least one); sorts them. `part` is 0..1. */
double sim_quantile(double *numbers, size_t count, double part);

#endif
