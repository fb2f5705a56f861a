/*
 * The laboratory's topology. Every job has one world for its life: a switch and the server site.
 * Every trial gets two fresh sites in it:
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

#include "natsim/plan.h"
#include "natsim/results.h"

/* The server site's two addresses: a STUN server needs both to tell mappings apart (RFC 5780). */
#define SIM_SERVER_1 "203.0.113.10"
#define SIM_SERVER_2 "198.51.100.10"

/* What packets meet between any two ports of the switch. */
typedef struct sim_world {
  ns_host fabric; /* where the switch's ports end */
  ns_host server;
  ns_switch *sw;
  ns_impairment way; /* one way */
  int server_port;
  uint8_t server_mac[6];
  int next_index; /* of an interface in the fabric; never used twice */
} sim_world;

/* One side of a trial. */
typedef struct sim_site {
  sim_world *world;
  int side; /* SIM_A or SIM_B */
  ns_host router, host;
  int port; /* of the switch, or -1 */
} sim_site;

/* Builds switch and server site. 0, or a negative errno with the line; then sim_world_close. */
int sim_world_open(sim_world *world, const sim_options *options, ns_error *error);
/* Safe on a zeroed world. */
void sim_world_close(sim_world *world);

/* Builds both sites of a trial, with their NATs loaded and links up, and starts the switch's
 * generators from the trial's seed. 0, or a negative errno with the line; in any case
 * sim_sites_close. */
int sim_sites_open(sim_world *world, const sim_trial *trial, sim_site sites[SIM_SIDES],
                   ns_error *error);
/* Safe on zeroed sites. The processes in them must have ended. */
void sim_sites_close(sim_site sites[SIM_SIDES]);

/* Packets that a's or b's host has sent. */
int sim_site_sent(const sim_site *site, uint64_t *out);

#endif
