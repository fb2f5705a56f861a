/* Seeds: everything the laboratory draws comes from the run's seed by these hashes, so that the
 * order of trials, the jobs and the shards change nothing. */
#ifndef NATSIM_SEED_H
#define NATSIM_SEED_H

#include <stdint.h>

/* Seeds stay below 2^53 so that every JSON reader keeps them whole. */
#define SIM_SEED_MAX ((UINT64_C(1) << 53) - 1)

/* The seed of one trial of the ordered pair. */
uint64_t sim_trial_seed(uint64_t run_seed, const char *a, const char *b, const char *plugin,
                        unsigned trial);
/* A seed for one purpose within `seed`, 0..SIM_SEED_MAX. */
uint64_t sim_derive(uint64_t seed, const char *purpose);
/* A locally administered unicast MAC address for the interface called `purpose`. */
void sim_mac(uint64_t seed, const char *purpose, uint8_t out[6]);

#endif
