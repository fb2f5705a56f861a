/* What was declared of a NAT, as words, and whether what was measured agrees. */
#ifndef NATSIM_PROBER_COMPARE_H
#define NATSIM_PROBER_COMPARE_H

#include "natsim/prober/axes.h"
#include "natsim/profile.h"

/* The word that the profile's text form has for a finding, or NULL when it declares nothing of the
 * kind. Taken from that text (sim_nat_format) and the contract alone:
 *   no translation     map=none, and filter=none, or apd behind an IPv6 firewall
 *   UDP                unsolicited=reset drops it
 *   TCP                reuse=on always: the answer to a SYN must come from where it went
 *   behind a carrier   the carrier's NAT is what is seen; of map and filter the stricter one of the
 *                      two, of lifetimes the shorter one
 *   every NAT          clash=separate */
const char *sim_declared(const sim_profile *profile, const sim_finding *finding,
                         char buf[SIM_MEASURED_LEN]);

/* True when the finding agrees with what sim_declared said of it: the same word; or `hidden`;
 * `answered` with reject and accept; a lifetime up to a second short; ports within the declared
 * range, which must come from most of it where they are random, and from both its ends where all
 * ports are kept. (Ports in order show only where they are.) */
bool sim_agrees(const sim_profile *profile, const sim_finding *finding, const char *declared);

#endif
