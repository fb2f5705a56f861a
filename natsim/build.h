/* From a topology to namespaces, links, addresses, routes and rules. */
#ifndef NATSIM_BUILD_H
#define NATSIM_BUILD_H

#include "natsim/topology.h"
#include "natsim/upnp.h"

/* A topology in the kernel. Networks of two are a link; of more, a bridge in a namespace of its
 * own; the internet is the world's switch. */
typedef struct sim_built {
  sim_topology topology;
  uint64_t seed;
  ns_host hosts[SIM_NODES_MAX]; /* by the topology's nodes */
  ns_host bridges[SIM_NETS_MAX];
  int spokes[SIM_NODES_MAX];  /* interfaces at the switch's end; 0: none */
  int ports[SIM_NODES_MAX];   /* of the world's switch; -1: none */
  bool loaded[SIM_NODES_MAX]; /* has rules */
  uint8_t macs[SIM_NODES_MAX][SIM_LINKS_MAX][6];
  sim_upnp upnp[SIM_NODES_MAX];
} sim_built;

enum { SIM_FABRIC_BRIDGE = 2 };

/* What the internet of a world has. */
typedef struct sim_backbone {
  const ns_host *fabric, *server;
  ns_switch *sw;    /* NULL: the fabric's interface SIM_FABRIC_BRIDGE joins them */
  int server_index; /* of its interface in the server's namespace */
  const uint8_t *server_mac;
  int *next_index; /* of an interface in the fabric; never used twice */
} sim_backbone;

/* Builds it; MAC addresses and the ports of random NATs come from `seed`. Every link is up and
 * every address usable when it returns. 0, or a negative errno with the line; in any case
 * sim_unbuild. */
int sim_build(sim_built *built, const sim_topology *topology, uint64_t seed,
              const sim_backbone *backbone, ns_error *error);
/* Takes it out of the world's switch and lets go of it. The processes in it must have ended. Safe
 * on a zeroed one. */
void sim_unbuild(sim_built *built, ns_switch *sw);

/* Loads a router's rules, in place of those it has: mappings and filters start empty, but what the
 * connection tracker knows goes on (flush it for a reboot). `gate` may differ from the topology's.
 * 0, or a negative errno with the line. */
int sim_router_load(sim_built *built, int node, const sim_gate *gate, ns_error *error);

#endif
