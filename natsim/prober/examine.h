/* One NAT: built in the kernel, and all its axes measured. */
#ifndef NATSIM_PROBER_EXAMINE_H
#define NATSIM_PROBER_EXAMINE_H

#include "natsim/prober/axes.h"
#include "natsim/world.h"

/* Builds fresh sites in the world, the profile at side a, and measures it. `spoil` (or NULL) names
 * an axis that is spoiled in the router by rules of our own: clash. 0, or a negative errno with the
 * line when the laboratory itself failed. */
int sim_examine(sim_world *world, const sim_profile *profile, uint64_t seed, const char *spoil,
                sim_findings *out, ns_error *error);

#endif
