/*
 * What a laboratory consists of, as data: networks, hosts and routers on them, every address, and
 * what each router does to packets. A place (natsim/place.h) and two profiles are drawn out into
 * it; natsim/build.h makes it. Nothing here touches the kernel.
 */
#ifndef NATSIM_TOPOLOGY_H
#define NATSIM_TOPOLOGY_H

#include "natsim/place.h"

/* The largest place: two homes with two uplinks each, or two homes behind two carriers; and the
 * neighbours of both. */
enum { SIM_NETS_MAX = 8, SIM_NODES_MAX = 10, SIM_LINKS_MAX = 3, SIM_ROUTES_MAX = 12 };
enum { SIM_IP_STRLEN = 46 };

/* The two sides, as indexes. */
enum { SIM_A, SIM_B, SIM_SIDES };

/* Where the internet's routers stand that miniupnpd would not take documentation addresses from. */
#define SIM_LOOKS_PUBLIC "45.0.0.0/24"

/* The first network of every topology: the switch, with the server site on it. */
enum { SIM_INTERNET = 0 };

/* A node's interface. */
typedef struct sim_link {
  int net;
  char name[NS_IFNAME];
  char ip4[SIM_IP_STRLEN], ip6[SIM_IP_STRLEN];           /* "" where it has none */
  int len4, len6;                                        /* of their prefixes */
  char gateway4[SIM_IP_STRLEN], gateway6[SIM_IP_STRLEN]; /* of a default route, or "" */
} sim_link;

/* The interface index of a node's first link; the others follow. */
enum { SIM_FIRST_INDEX = 2 };

typedef struct sim_node {
  char name[24];
  bool router;
  sim_link links[SIM_LINKS_MAX]; /* of a router: the way out first */
  int link_count;
  sim_gate gate; /* of a router */
} sim_node;

/* Packets on `net` to `prefix` go by `via`, for all there that have no default route. */
typedef struct sim_route {
  int net;
  char prefix[SIM_IP_STRLEN + 4], via[SIM_IP_STRLEN];
} sim_route;

typedef struct sim_topology {
  char nets[SIM_NETS_MAX][24];
  int net_count;
  sim_node nodes[SIM_NODES_MAX];
  int node_count;
  sim_route routes[SIM_ROUTES_MAX];
  int route_count;
  int host[SIM_SIDES], router[SIM_SIDES]; /* nodes; both sides may have the same */
} sim_topology;

/* Draws the place with these profiles out. -1 with a line when they exclude each other. */
int sim_topology_make(const sim_place *place, const sim_profile *a, const sim_profile *b,
                      sim_topology *out, ns_error *error);

/* How many nodes are on the network. */
int sim_net_members(const sim_topology *topology, int net);
/* The node's first address of the family (4 or 6), or "". */
const char *sim_node_ip(const sim_node *node, int family);
/* The node of this name, or -1. */
int sim_topology_find(const sim_topology *topology, const char *name);

#endif
