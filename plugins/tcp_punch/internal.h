/* What the files of tcp_punch share. */
#ifndef PLUGINS_TCP_PUNCH_INTERNAL_H
#define PLUGINS_TCP_PUNCH_INTERNAL_H

#include "message.h"

enum {
  /* Ports that a counting NAT may give out next, by other hosts' flows in between: 16 are enough
   * where one window slides over the other, 32 where one side walks (found by experiment in kernel
   * NATs with up to 8 flows in the meantime). */
  PUNCH_WINDOW = 16,
  PUNCH_WALK = WG_OFFER_PORTS,
  PUNCH_WALK_AIM = 24, /* three quarters: it matches while both shifts together stay below */
  PUNCH_ROUNDS = 3,
};

enum { SLOT_ROUND, SLOT_BEGIN, SLOT_REDIAL, SLOT_WINDOW };

typedef enum dial_state {
  DIAL_WAITING, /* until again_us */
  DIAL_SENT,    /* a SYN is out; the kernel repeats it */
  DIAL_OPEN,
  DIAL_OVER, /* refused too often */
} dial_state;

typedef struct punch_dial {
  warp_tcp_port *port;
  warp_addr to;
  dial_state state;
  uint64_t sent_us, again_us;
  unsigned refused; /* since the last window began */
  unsigned taken;   /* times that the system said the connection exists already */
} punch_dial;

typedef enum punch_stage {
  STAGE_PREPARING, /* own ports are being opened and measured */
  STAGE_WAITING,   /* for the peer's ports, its word, or the instant */
  STAGE_DIALLING,
} punch_stage;

typedef struct punch {
  wg_plan plan;
  punch_stage stage;
  uint8_t round; /* from 1, as in offers */
  bool begun;    /* a round was begun */
  bool go;       /* both sides' ports are known to both */
  bool peer_dialled, asked_again;
  bool prolonged; /* once, for a connection that is being secured */
  warp_tcp_port *ports[WG_OFFER_PORTS];
  warp_tcp_port *listen;
  unsigned port_count, stun_index;
  uint16_t own[WG_OFFER_PORTS], peer[WG_OFFER_PORTS]; /* external, as dialled by the other side */
  uint8_t own_count, peer_count;
  int64_t instant_us, peer_sent_us, peer_delay_us;
  punch_dial dials[WG_OFFER_PORTS];
  unsigned dial_count;
  unsigned sent, refused; /* for the report, of all rounds */
} punch;

/* ---- ports.c --------------------------------------------------------------------------------- */

/* True when this round needs ports that the records do not tell, so that both sides have to be told
 * before either dials. */
bool wg_tcp_punch_exchanges(warp_attempt *attempt);
/* Opens our ports for the round and goes on to wg_tcp_punch_ready, now or when they are measured.
 * Closes those of the round before. WARP_LIMIT, and what opening a port says. */
int wg_tcp_punch_ports_open(warp_attempt *attempt);
/* The peer's address, without a port. */
warp_addr wg_tcp_punch_peer_ip(const warp_attempt *attempt);

/* ---- dials.c --------------------------------------------------------------------------------- */

/* Dials every pair of own and peer's port. WARP_ADDR_NOT_AVAILABLE when none could be dialled
 * because such a connection exists; other errors are in the counters. */
int wg_tcp_punch_dial_all(warp_attempt *attempt);
/* Dials again what was refused too often: the next window. */
void wg_tcp_punch_dial_again(warp_attempt *attempt);
/* Says in the report what was dialled and what came of it. */
void wg_tcp_punch_note(warp_attempt *attempt);
/* The same as the end of the attempt. */
void wg_tcp_punch_fail(warp_attempt *attempt, int status);

/* ---- tcp_punch.c ----------------------------------------------------------------------------- */

/* Our own ports are known. */
void wg_tcp_punch_ready(warp_attempt *attempt);
/* A connection of the same two ends keeps its port from being dialled. */
void wg_tcp_punch_port_taken(warp_attempt *attempt);

#endif
