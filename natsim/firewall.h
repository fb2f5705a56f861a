/* What a router filters besides its NAT: enum sim_filter in nftables. */
#ifndef NATSIM_FIREWALL_H
#define NATSIM_FIREWALL_H

#include "natsim/profile.h"

/* Chains that miniupnpd fills, in a table of its own before ours. */
#define SIM_UPNP_TABLE "upnp"

/* Loads it into the router; `replace` takes away what was loaded before. 0, or a negative errno
 * with the line. */
int sim_firewall_load(const ns_host *router, unsigned filters, bool replace, ns_error *error);

#endif
