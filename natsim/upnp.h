/* The program on a router that opens ports when the inside asks: miniupnpd, UPnP IGD and NAT-PMP.
 */
#ifndef NATSIM_UPNP_H
#define NATSIM_UPNP_H

#include "natsim/topology.h"

typedef struct sim_upnp {
  ns_process process;
  char folder[64]; /* its files, in the sandbox's private /run */
} sim_upnp;

/* Starts it on the router `node`, whose rules with SIM_UPNP are loaded and whose links are up, and
 * awaits it until it answers. `inside` is a host on the router's first LAN. 0, or a negative errno
 * with the line; in any case sim_upnp_stop. */
int sim_upnp_start(sim_upnp *upnp, const ns_host *router, const sim_node *node,
                   const ns_host *inside, ns_error *error);
/* Safe on a zeroed one. */
void sim_upnp_stop(sim_upnp *upnp);

#endif
