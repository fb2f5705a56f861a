/* What the prober does with a NAT: reach a server from inside, and knock from outside. The same for
 * UDP and TCP. */
#ifndef NATSIM_PROBER_FLOW_H
#define NATSIM_PROBER_FLOW_H

#include "natsim/prober/bench.h"

/* A port of an inside host: a UDP socket, or a TCP listener beside connections that share it. */
typedef struct sim_local {
  sim_bench *bench;
  int type;
  sim_endpoint at;
  int fd;
} sim_local;

/* A mapping as the server sees it. */
typedef struct sim_flow {
  sim_endpoint seen;   /* zeroed: nothing came */
  int near_fd, far_fd; /* inside, and at the server */
} sim_flow;

enum sim_knock { SIM_SILENCE, SIM_ARRIVED, SIM_RESET, SIM_ICMP };

/* Opens a port of inside host 0 or 1. 0, or a negative errno. */
int sim_local_open(sim_local *local, sim_bench *bench, int type, int which, unsigned port);

/* Sends to, or connects to, the server's address `which` and port. False: nothing arrived. */
bool sim_reach(sim_local *local, int which, unsigned port, sim_flow *out);
/* True when more that is sent over the flow arrives at the server, from where it came before. */
bool sim_flow_asked(sim_local *local, const sim_flow *flow);
/* True when what the server answers over the flow arrives inside. */
bool sim_flow_answered(sim_local *local, const sim_flow *flow);

/* Begins from the server's address `which` and port towards `target`, where `local` (NULL: nobody)
 * may get it and answers. *answer is then where the answer came from as the server sees it, zeroed
 * if none came. The port may be one that sim_reach went to. */
enum sim_knock sim_knock(sim_bench *bench, int type, sim_local *local, int which, unsigned port,
                         const sim_endpoint *target, sim_endpoint *answer);

/* Between two inside ports by their outside endpoints, both ways. True when anything got through;
 * *source is then where it seemed to come from. */
bool sim_cross(sim_local *one, const sim_endpoint *one_seen, sim_local *other,
               const sim_endpoint *other_seen, sim_endpoint *source);

#endif
