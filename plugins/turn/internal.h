/* The two halves of the plugin: legs.c gets an allocation on one of the relays, turn.c agrees with
 * the peer on how the two come together. */
#ifndef PLUGINS_TURN_INTERNAL_H
#define PLUGINS_TURN_INTERNAL_H

#include "machine/turn_client.h"
#include "message.h"
#include <warpgate/plugin.h>

enum {
  /* Eight addresses of relays, which is all that a node knows, over UDP and TCP. */
  LEGS_MAX = 16,
  LEG_WHY_LEN = 64,
};

enum { SLOT_MACHINE, SLOT_NEXT, SLOT_PROBE, SLOT_WATCH };

typedef enum leg_state {
  LEG_WAITING,
  LEG_CONNECTING, /* TCP, and TLS */
  LEG_ALLOCATING,
  LEG_READY, /* has our allocation */
  LEG_OVER,
} leg_state;

/* One relay over one transport. */
typedef struct leg {
  leg_state state;
  warp_relay relay;
  warp_transport transport;
  wg_turn_client client;
  warp_udp_socket *socket;    /* UDP */
  warp_server_stream *stream; /* TCP */
  wg_turn_deframer in;
  uint64_t heard_us; /* from the relay */
  int status;        /* why it failed */
  char why[LEG_WHY_LEN];
} leg;

typedef struct legs {
  leg all[LEGS_MAX];
  size_t count;
  bool sought; /* an allocation of our own is wanted */
  leg *ready;  /* NULL: none yet, or lost */
} legs;

/* How our packets go to the peer. */
typedef enum turn_way {
  WAY_NONE,
  WAY_DIRECT, /* over UDP to the peer's relayed address */
  WAY_RELAY,  /* through our own allocation, to the peer or to its relayed address */
} turn_way;

typedef struct turn_state {
  legs legs;
  turn_way way;
  warp_path *path;
  warp_udp_socket *direct;
  warp_addr theirs; /* the peer's relayed address; family 0: not told */
  bool told;        /* the peer knows our relayed address */
  bool asked_in_need, peer_in_need;
  bool secured, heard, over;
} turn_state;

/* Is UDP known not to get out there: TCP was measured, and UDP gave no answer? A public address of
 * its own is in a record all the same. */
bool wg_turn_udp_blocked(const warp_endpoint *end);

/* ---- legs.c ---------------------------------------------------------------------------------- */

/* Begins to try the relays; wg_turn_changed runs when one has allocated or none is left, perhaps
 * before this returns. Nothing when it has begun. */
void wg_legs_seek(warp_attempt *attempt);
/* None has allocated, and none is left to try. */
bool wg_legs_exhausted(const legs *legs);
/* What stood in the way of each, in one line; returns the status of the first. */
int wg_legs_explain(const legs *legs, char *out, size_t room);
/* Takes output and events of all machines; after everything that was asked of one. */
void wg_legs_pump(warp_attempt *attempt);
/* WARP_AGAIN: lost, because the relay is slow or does not let the peer in yet. */
int wg_leg_send(leg *leg, const warp_addr *to, const void *data, size_t len);
/* Asks a relay that has been silent for long whether our allocation is still there. */
void wg_legs_check(warp_attempt *attempt);
/* Gives every allocation back and closes all. */
void wg_legs_close(warp_attempt *attempt);

/* ---- turn.c ---------------------------------------------------------------------------------- */

/* An allocation was made, the relay let somebody in, or no relay is left. */
void wg_turn_changed(warp_attempt *attempt);
/* The allocation that we have is gone, or does not let the peer in. */
void wg_turn_lost(warp_attempt *attempt, const leg *leg);
/* A datagram came for us by the relay. */
void wg_turn_received(warp_attempt *attempt, const uint8_t *data, size_t len,
                      const warp_addr *from);

#endif
