/* How long mappings live, as the kernel of a router says: what would take minutes to watch. Read
 * from its tables, by no way that the rules went in. */
#ifndef NATSIM_PROBER_KERNEL_H
#define NATSIM_PROBER_KERNEL_H

#include "natsim/fail.h"

/* In seconds; 0 when there is nothing. */
typedef struct sim_lifetimes {
  /* The longest that the connection tracker has: of the flow that was used last. The second that
   * has begun is cut off. */
  unsigned flow_s;
  unsigned shortest_set_s, longest_set_s; /* of the elements of nftables sets */
} sim_lifetimes;

/* Takes in what the router has for flows of `protocol` (IPPROTO_UDP, IPPROTO_TCP; TCP: those that
 * are established), one of which was used within the last second. 0, or a negative errno with the
 * line. */
int sim_kernel_lifetimes(const ns_host *router, int family, int protocol, sim_lifetimes *out,
                         ns_error *error);

#endif
