/*
 * By which steps two NATs can be punched, and who does what: the strategy of each pair of measured
 * axes. Found by experiment in kernel NATs for all 81 pairs of mapping x filtering;
 * docs/traversal.md has the table. A pure function of both sides' axes, so both sides come to the
 * same plan from the two records, each from its own view.
 */
#ifndef WG_NAT_PLAN_H
#define WG_NAT_PLAN_H

#include <stddef.h>
#include <warpgate/plugin.h>

typedef enum wg_strategy {
  WG_STRATEGY_NONE,   /* no step is known that connects them: relay */
  WG_STRATEGY_PLAIN,  /* one socket each, external addresses as measured, peer-reflexive learning */
  WG_STRATEGY_VIRGIN, /* a port-preserving NAT with endpoint-dependent mapping: a socket that never
                         sent anything is seen under its own port number */
  WG_STRATEGY_WINDOW, /* sequential: spray the next ports of the peer from one fresh socket */
  WG_STRATEGY_WALK,   /* both map by port and count: one opens several sockets to one port (fixed),
                         the other walks over that many next ports */
  WG_STRATEGY_BIRTHDAY, /* one opens many ports, the other guesses */
} wg_strategy;

/* What our side does in the strategy. */
typedef enum wg_plan_role {
  WG_ROLE_SAME,   /* both sides do the same */
  WG_ROLE_FIXED,  /* WALK: opens many sockets to one predicted port, or one to each */
  WG_ROLE_WALKER, /* WALK: one packet to each of the predicted ports */
  WG_ROLE_OPENER, /* BIRTHDAY: many open ports, all towards the prober */
  WG_ROLE_PROBER, /* BIRTHDAY: one socket, many guessed ports */
} wg_plan_role;

typedef struct wg_plan {
  wg_strategy strategy;
  wg_plan_role role;
  /* How our external port is foretold from a fresh socket: its own number (preserving), the next of
   * a counter (sequential), or what STUN says (endpoint-independent mapping). */
  bool self_preserves, self_counts, peer_preserves, peer_counts;
  bool self_known, peer_known; /* endpoint-independent: the external address in the record holds */
  bool fixed_spreads; /* WALK: the walker maps by address, all it sends leaves from one port of the
                         next ones: each of the fixed sockets sends to another of these */
  /* BIRTHDAY: one socket with many destinations is as good as many sockets for the opener (mapping
   * by port, filtering by address). */
  bool opener_one_socket;
  /* BIRTHDAY: the opener lets in only the port that it sent to, so the prober guesses from a fresh
   * socket whose port it foretells and tells. */
  bool prober_aims;
  /* BIRTHDAY: the answer of a NAT that does not reuse sessions comes from a new port: the opener
   * goes on from all its sockets to the source it heard, the prober goes on too. */
  bool second_round;
  bool certain;    /* every axis that decided was measured */
  bool self_first; /* TCP: our SYN must be out before the peer's, or a second is lost */
  bool peer_first; /* the other way round */
} wg_plan;

/* The plan for two sides, from `self`'s view; `self_is_initiator` breaks ties the same way on both
 * sides. `transport` decides between the UDP and TCP axes of the endpoints. The plan of the peer's
 * view has the roles exchanged. `why` (may be NULL) gets one line for a person: which axes led to
 * it. */
wg_plan wg_nat_plan(const warp_endpoint *self, const warp_endpoint *peer, warp_transport transport,
                    bool self_is_initiator, char *why, size_t room);

/* "plain", "virgin", ... static storage. */
const char *wg_strategy_name(wg_strategy strategy);

/* Ports that NATs give out: RFC 4787 section 4.2.2, the well-known ones left out. */
enum { WG_PORT_FIRST = 1024, WG_PORT_LAST = 65535 };

/* The port that a counting NAT gives out `ahead` allocations after `port` (ahead >= 1), going on at
 * the other end of 1024-65535. The few ports that were seen of a counter say nothing of its range.
 */
uint16_t wg_nat_predict(const warp_nat_axes *axes, uint16_t port, unsigned ahead);

/* ---- guessing ports -------------------------------------------------------------------------- */

/* Distinct ports of a range in random order, without a table of all of them: a permutation by
 * cycle-walking, so that no port is tried twice before all were. */
typedef struct wg_port_walk {
  uint32_t key[4];
  uint32_t count, next;
  uint16_t low;
} wg_port_walk;
/* The ports low..high; `key` from a seeded stream. */
void wg_port_walk_start(wg_port_walk *walk, uint16_t low, uint16_t high, const uint32_t key[4]);
/* The next one; 0 when all were given out. */
uint16_t wg_port_walk_next(wg_port_walk *walk);

/* The chance that `probes` distinct guesses hit one of `open` ports of `range`. */
double wg_birthday_chance(unsigned open, unsigned probes, unsigned range);

#endif
