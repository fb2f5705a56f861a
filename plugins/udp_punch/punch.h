/* What the files of udp_punch share. */
#ifndef WG_UDP_PUNCH_H
#define WG_UDP_PUNCH_H

#include "nat/offer.h"

enum {
  WG_PUNCH_PLAIN = 1, /* message: send to my external address, as I send to yours; no bytes */
  WG_PUNCH_OFFER = 2, /* message: an offer (nat/offer.h), without ports as long as they are not
                         known */
};

enum {
  WG_PUNCH_SLOT_PROBE = 0, /* timers */
  WG_PUNCH_SLOT_ROUND = 1,
  WG_PUNCH_SLOT_AGAIN = 2,
};

enum {
  /* 50 probes a second while an answer is due, under the 100 packets a second that home routers put
   * up with; a tenth of that later, when only a lost packet or a slow broker can still make a
   * difference. */
  WG_PUNCH_FAST_MS = 20,
  WG_PUNCH_SLOW_MS = 200,
  WG_PUNCH_FAST_PROBES = 100,
  /* Between interface addresses, 3.4 s: a message that was lost has been said again after one and
   * after three. Many networks have the same numbers, and a relay waits as long as we try. */
  WG_PUNCH_NEAR_PROBES = 107,
};

/* Where foretelling stands. */
typedef enum wg_foretell_state {
  WG_FORETELL_PREPARING, /* our ports are being measured, or the peer has not told its ones */
  WG_FORETELL_SPRAYING,
  WG_FORETELL_PROVEN, /* the peer acknowledged a probe: the handshake does the rest */
} wg_foretell_state;

typedef struct wg_foretell {
  wg_plan plan;
  wg_foretell_state state;
  unsigned round;
  uint64_t begun_us;                        /* when the round began */
  warp_udp_socket *sockets[WG_OFFER_PORTS]; /* none: the shared one */
  unsigned socket_count;
  unsigned asked; /* fresh sockets that were measured in this round */
  bool own_ready, peer_ready;
  wg_offer own;
  uint16_t peer[WG_OFFER_PORTS];
  unsigned peer_count;
  unsigned sent; /* probes of all rounds */
  bool heard;
} wg_foretell;

typedef struct wg_punch {
  warp_path *path;
  unsigned probes; /* PLAIN: so far */
  bool heard;      /* PLAIN */
  wg_foretell foretell;
} wg_punch;

/* PLAIN: both send to the other's address. */
int wg_punch_plain(warp_attempt *attempt);

/* The other strategies. The initiator begins with its plan, the responder with the initiator's
 * offer. */
int wg_foretell_begin(warp_attempt *attempt, const wg_plan *plan);
int wg_foretell_join(warp_attempt *attempt, const wg_offer *offer);
/* A later offer of the peer. */
void wg_foretell_take(warp_attempt *attempt, const wg_offer *offer);

#endif
