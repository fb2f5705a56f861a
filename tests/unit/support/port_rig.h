/* Two switchboards in the simulated internet with one attempt of one session between them, and no
 * plugin: the test calls what a plugin would call. */
#ifndef TESTS_SUPPORT_PORT_RIG_H
#define TESTS_SUPPORT_PORT_RIG_H

#include "connect/session.h"
#include "sim.h"

enum { PORT_RIG_LISTEN = 20001 }; /* both nodes' listen port */

typedef struct port_side {
  wg_env *env;
  wg_identity *identity;
  wg_connect *connect;
  wg_mux mux; /* the shared UDP socket, at the listen port too */
  wg_tcp_listener *listener;
  wg_record record;
  wg_session *session;
  warp_attempt *attempt;
  bool over; /* the connect is: with or without a pipe */
  int status;
  warp_pipe *pipe;
  warp_pipe_info info;
  unsigned dialled; /* dials that ended, and how the last one did */
  int dial_status;
  unsigned measured;
  int measure_status;
  warp_addr external;
} port_side;

typedef struct port_rig {
  sim_topology net;
  port_side a, b; /* a is the initiator */
} port_rig;

/* Profiles as of sim_nat_profile, `settings` as of warp_conf (or NULL); the attempts run when it
 * returns. The records name the outer addresses with the listen port. */
void port_rig_open_pair(port_rig *rig, const char *profile_a, const char *profile_b,
                        const char *const *settings);
/* The same profile for both. */
void port_rig_open(port_rig *rig, const char *profile);
/* Closes everything, asserting that nothing was left open. */
void port_rig_close(port_rig *rig);
/* Runs until both sides have a pipe, and asserts that they have. */
void port_rig_connected(port_rig *rig);
/* Callbacks that write into the side whose attempt it is. */
void port_rig_dialled(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to, int status);
void port_rig_measured(warp_attempt *attempt, warp_tcp_port *port, int status,
                       const warp_addr *external);
/* The outer address of a side with a port. */
warp_addr port_side_outside(const port_side *side, uint16_t port);
/* The interface address of a side with a port. */
warp_addr port_side_addr(const port_side *side, uint16_t port);

#endif
