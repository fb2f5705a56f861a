/* Which trials a run consists of. */
#ifndef NATSIM_PLAN_H
#define NATSIM_PLAN_H

#include "natsim/options.h"
#include "natsim/topology.h"

#include <stddef.h>

typedef struct sim_trial {
  const sim_profile *a, *b;
  const sim_place *place; /* NULL: two sites */
  unsigned trial;         /* of the pair, from 1 */
  uint64_t seed;
} sim_trial;

typedef struct sim_plan {
  sim_profile *a_profiles, *b_profiles; /* rows and columns of the closing table */
  size_t a_count, b_count;
  sim_place *place;
  sim_trial *trials; /* all pairs once, then all pairs again */
  size_t count;
} sim_plan;

/* Makes the plan the options ask for: --a and --b, or --profiles, or --grid, cut to --shard and
 * --only. Returns 0, or -1 with the line. Free with sim_plan_free. */
int sim_plan_make(const sim_options *options, sim_plan *out, ns_error *error);
/* Whether the plan has the pair: where both hosts are behind one router, only pairs of equal
 * profiles exist. */
bool sim_plan_has(const sim_plan *plan, const sim_profile *a, const sim_profile *b);
/* Safe on a zeroed plan. */
void sim_plan_free(sim_plan *plan);

#endif
