/* The local TCP ports of attempts, as port.c and port_dial.c share them. Not for other rooms. */
#ifndef WG_CONNECT_PORT_H
#define WG_CONNECT_PORT_H

#include "connect/session.h"
#include "connect/stun_stream.h"

struct warp_tcp_port {
  wg_list link; /* in its attempt */
  warp_attempt *attempt;
  warp_addr local;
  bool counted;         /* as a flow of the budget, while it is not shut */
  bool of_node;         /* the node's own listen port: its listener and mapping are not ours */
  wg_tcp_listener *own; /* else what keeps it, and accepts if that was asked for; NULL when shut */
  wg_stun_stream *stun; /* keeps the mapping; NULL before it is measured */
  warp_tcp_measured measured;
  wg_list dials; /* wg_port_dial */
  size_t dial_count;
};

/* Gives up all dials of a port that are not open. */
void wg_port_abort_all(warp_tcp_port *port);

#endif
