/* How long a mapping lives without traffic. */
#ifndef NATSIM_PROBER_LIFETIME_H
#define NATSIM_PROBER_LIFETIME_H

#include "natsim/prober/axes.h"

/* Where `out` has that a transport passes: finds `udp-lifetime` and `tcp-lifetime` in seconds. The
 * kernels of the routers between (at most SIM_ROUTERS_MAX, `router_count`) tell; up to
 * SIM_WATCHED_S seconds it is also watched: packets must come in shortly before, and not shortly
 * after. 0, or a negative errno with the line. */
enum { SIM_ROUTERS_MAX = 4, SIM_WATCHED_S = 3 };
int sim_measure_lifetimes(sim_bench *bench, const ns_host *const routers[], size_t router_count,
                          sim_findings *out, ns_error *error);

#endif
