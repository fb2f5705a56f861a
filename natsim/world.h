/*
 * The laboratory. Every job has one world for its life: a switch and the server site. Every trial
 * gets fresh routers and hosts in it, as its place says; usually
 *
 *     server (S) ---\
 *                    switch --- router-a (NAT) --- a
 *                          \--- router-b (NAT) --- b
 *
 * Any two ports of the switch are half the asked round trip apart. Neighbour tables are filled
 * beforehand, so that no address resolution hides in what is measured.
 */
#ifndef NATSIM_WORLD_H
#define NATSIM_WORLD_H

#include "natsim/build.h"
#include "natsim/plan.h"

/* The server site's two addresses: a STUN server needs both to tell mappings apart (RFC 5780). */
#define SIM_SERVER_1  "203.0.113.10"
#define SIM_SERVER_2  "198.51.100.10"
#define SIM_SERVER6_1 "2001:db8::10"
#define SIM_SERVER6_2 "2001:db8::20"

/* What packets meet between any two ports of the switch. */
typedef struct sim_world {
  ns_host fabric; /* where the switch's ports end */
  ns_host server;
  ns_switch *sw;     /* NULL: a bridge of the kernel, with netem at its ports */
  ns_impairment way; /* one way */
  int server_port;
  uint8_t server_mac[6];
  int next_index;  /* of an interface in the fabric; never used twice */
  bool neighbours; /* other hosts live behind the routers: natsim/neighbours.h */
  sim_built built; /* the trial's routers and hosts, by name or number; zeroed between trials */
} sim_world;

/* One side of a trial: a view of what world->built holds. Both sides may have the same router, or
 * the same host. */
typedef struct sim_site {
  sim_world *world;
  int side; /* SIM_A or SIM_B */
  ns_host router, host;
  int port; /* of the switch, or -1 when the router is not on the internet itself */
} sim_site;

/* Builds switch and server site. 0, or a negative errno with the line; then sim_world_close. */
int sim_world_open(sim_world *world, const sim_options *options, ns_error *error);
/* Safe on a zeroed world. */
void sim_world_close(sim_world *world);

/* Builds the trial's place, with NATs loaded and links up, and starts the switch's generators from
 * the trial's seed. 0, or a negative errno with the line; in any case sim_sites_close. */
int sim_sites_open(sim_world *world, const sim_trial *trial, sim_site sites[SIM_SIDES],
                   ns_error *error);
/* Safe on zeroed sites. The processes in them must have ended. */
void sim_sites_close(sim_site sites[SIM_SIDES]);

/* The router or host of this name ("a", "router-b", a carrier's), or NULL. */
const ns_host *sim_world_find(const sim_world *world, const char *name);
/* The node of a side's host or router in world->built. */
int sim_site_host(const sim_site *site);
int sim_site_router(const sim_site *site);

/* Packets that the site's host has sent, by all its interfaces. */
int sim_site_sent(const sim_site *site, uint64_t *out);

#endif
