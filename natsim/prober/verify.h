/* The prober over many NATs: each built fresh in the kernel, measured, compared, told. */
#ifndef NATSIM_PROBER_VERIFY_H
#define NATSIM_PROBER_VERIFY_H

#include "natsim/profile.h"

typedef struct sim_verify_options {
  const char *const *profiles; /* names or spelled-out NATs; none: the default set */
  size_t profile_count;
  const char *nat; /* `key=value,...` added to every NAT, or NULL */
  uint64_t seed;
  double rtt_ms; /* of the links between NAT and servers */
  unsigned jobs; /* NATs at a time; 0: the default */
  bool json;
  const char *sabotage; /* builds the NAT with this axis other than declared, or NULL */
} sim_verify_options;

/* Carries it out and returns the exit status of the command. */
int sim_verify(const sim_verify_options *options);

/* The i-th NAT of the default set, or NULL past the end. Every profile is in it, every mapping and
 * filter with every allocation, and each value of the other axes. */
const char *sim_verify_default(size_t i);

/* Changes one axis of the profile, to what the prober can tell from it. -1 with a line when there
 * is no such axis, or the profile has it not. For `clash` nothing is changed here. */
int sim_sabotage(sim_profile *profile, const char *axis, ns_error *error);

#endif
