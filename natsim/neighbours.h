/*
 * Neighbours: other hosts behind the routers of both sides. They open flows to ports of the server
 * site while a trial connects, so that the NATs' counters move and ports clash as they do at home.
 */
#ifndef NATSIM_NEIGHBOURS_H
#define NATSIM_NEIGHBOURS_H

#include "natsim/options.h"
#include "natsim/world.h"

/* What is drawn for one flow. */
typedef struct sim_flow {
  double at_ms;  /* after the word to connect */
  int neighbour; /* which of the SIM_NEIGHBOURS addresses */
  bool tcp;
  uint16_t port;           /* inside */
  int server, server_port; /* which address and which port of the server site */
} sim_flow;

enum {
  SIM_NEIGHBOURS = 4,      /* addresses behind each router */
  SIM_SINKS = 5,           /* ports of the server site that take flows */
  SIM_SINK_PORT = 7000,    /* the first of them */
  SIM_NEIGHBOURS_MS = 2000 /* a number of flows is spread over this long */
};

/* The flow `index` of one side. They come in the order of their times. */
sim_flow sim_flow_draw(const sim_options *options, uint64_t seed, int side, unsigned index);

/* Adds a host "neighbours-a", "neighbours-b" to the LAN of each side's router that has IPv4, with
 * the first of its addresses. Once for a router of both sides. */
void sim_neighbours_add(sim_topology *topology);
bool sim_is_neighbour(const sim_node *node);
/* The i-th address of the neighbours: the node's own and those that follow it. */
void sim_neighbour_ip(const sim_node *node, int i, char out[SIM_IP_STRLEN]);

/* The flows of a trial under way, in a thread. */
typedef struct sim_neighbours sim_neighbours;

/* Gets everything ready in the trial built in the world, which sim_neighbours_add was asked for.
 * 0, or a negative errno with the line. */
int sim_neighbours_open(sim_neighbours **out, const sim_world *world, const sim_options *options,
                        uint64_t seed, ns_error *error);
/* Flows begin. 0 or a negative errno with the line. */
int sim_neighbours_start(sim_neighbours *neighbours, ns_error *error);
/* Ends them; `opened` (may be NULL) is how many flows each side had. Safe on NULL. */
void sim_neighbours_close(sim_neighbours *neighbours, unsigned opened[SIM_SIDES]);

#endif
