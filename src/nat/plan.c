#include "nat/plan.h"

#include "nat/names.h"
#include <stdio.h>
#include <string.h>

/* ---- the decision ---------------------------------------------------------------------------- */

/* What of a side's axes decides. */
typedef struct side {
  uint8_t mapping, filtering;
  uint8_t reuse;
  bool known;     /* endpoint-independent mapping: what STUN saw holds for everybody */
  bool preserves; /* else: a fresh socket's external port is its own */
  bool counts;    /* else: ... is the next of a counter */
  bool unmeasured_ports;
} side;

static const uint8_t ei = WARP_NAT_ENDPOINT_INDEPENDENT, ad = WARP_NAT_ADDRESS_DEPENDENT,
                     apd = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT;

static side side_of(const warp_endpoint *endpoint, warp_transport transport) {
  const warp_nat_axes *axes = transport == WARP_TCP ? &endpoint->tcp : &endpoint->udp;
  side out = {.mapping = axes->mapping, .filtering = axes->filtering, .reuse = axes->reuse};
  if (transport == WARP_TCP)
    out.reuse = WARP_ABILITY_YES; /* the answer to a SYN leaves from the port that it came to */
  if (axes->translation == WARP_TRANSLATION_NONE)
    out.mapping = ei;
  if (transport == WARP_TCP)
    out.reuse = WARP_ABILITY_YES; /* a SYN's answer can come from nowhere else */
  if ((endpoint->port_mapped & (unsigned)transport) != 0)
    out.mapping = out.filtering = ei; /* the router lets everybody in at that port */
  out.known = out.mapping == ei;
  if (!out.known && out.mapping != WARP_NAT_UNKNOWN) {
    out.preserves = axes->allocation == WARP_ALLOC_PRESERVING;
    out.counts = axes->allocation == WARP_ALLOC_SEQUENTIAL && axes->step != 0;
    out.unmeasured_ports = axes->allocation == WARP_ALLOC_UNKNOWN;
  }
  return out;
}

static bool predictable(const side *x) {
  return x->preserves || x->counts;
}

/* An answer of `x` to a packet from a source it had not sent to leaves from a port that `y` did not
 * ask for, and `y` drops it. */
static bool answers_are_lost(const side *x, const side *y) {
  return x->mapping == apd && x->reuse == WARP_ABILITY_NO && y->filtering != ei &&
         y->filtering != ad;
}

/* The same where not even the address was sent to before. */
static bool first_answers_are_lost(const side *x, const side *y) {
  return x->mapping != ei && x->reuse == WARP_ABILITY_NO && y->filtering != ei &&
         y->filtering != ad;
}

/* Does `x` make plain punching work against any port of `y`? */
static bool opens_plainly(const side *x, const side *y) {
  return (x->filtering == ei && !first_answers_are_lost(x, y)) ||
         (x->mapping == ei && x->filtering == ad);
}

static bool plain(const side *x, const side *y) {
  return opens_plainly(x, y) || opens_plainly(y, x) || (x->known && y->known);
}

static bool measured(const side *x) {
  return x->mapping != WARP_NAT_UNKNOWN && x->filtering != WARP_NAT_UNKNOWN;
}

/* A filter that looks at nothing is all that carries it, and nobody knows whether answers keep
 * their port. */
static bool hangs_on_reuse(const side *x, const side *y) {
  side strict_x = *x, strict_y = *y;
  if (x->reuse == WARP_ABILITY_UNKNOWN)
    strict_x.reuse = WARP_ABILITY_NO;
  if (y->reuse == WARP_ABILITY_UNKNOWN)
    strict_y.reuse = WARP_ABILITY_NO;
  return !plain(&strict_x, &strict_y);
}

/* The plan as two sides, of which the first is the initiator. */
typedef struct pair_plan {
  wg_strategy strategy;
  wg_plan_role role[2];
  bool one_socket, aims, second_round, spread;
  const char *reason;
} pair_plan;

/* Both endpoints can be foretold, and at least one is not what STUN saw. */
static pair_plan foretell_both(const side s[2]) {
  if (!s[0].counts && !s[1].counts)
    return (pair_plan){.strategy = WG_STRATEGY_VIRGIN,
                       .reason = "ports are kept: sockets that sent nothing yet are foretold"};
  if (s[0].mapping != apd || s[1].mapping != apd) {
    /* A preserving NAT that maps by port keeps the port for the first destination only: one socket
     * for each port that the other side may get. */
    for (int i = 0; i < 2; i++) {
      const side *other = &s[1 - i];
      if (s[i].preserves && s[i].mapping == apd && other->counts) {
        pair_plan out = {.strategy = WG_STRATEGY_WALK,
                         .spread = true,
                         .reason = "one port is kept for one destination, the other is counted"};
        out.role[i] = WG_ROLE_FIXED;
        out.role[1 - i] = WG_ROLE_WALKER;
        return out;
      }
    }
    return (pair_plan){.strategy = WG_STRATEGY_WINDOW,
                       .reason = "ports are counted: the next ones are foretold"};
  }
  int fixed = s[1].preserves ? 1 : 0;
  pair_plan out = {.strategy = WG_STRATEGY_WALK,
                   .reason = "both sides take a port for each destination, and count"};
  out.role[fixed] = WG_ROLE_FIXED;
  out.role[1 - fixed] = WG_ROLE_WALKER;
  return out;
}

/* Side `i` can be foretold, the other maps by destination to ports that cannot. */
static bool foretell_one(const side s[2], int i, pair_plan *out) {
  const side *x = &s[i], *y = &s[1 - i];
  if (!predictable(x) || x->filtering == apd || answers_are_lost(x, y))
    return false;
  *out = (pair_plan){.strategy = x->counts ? WG_STRATEGY_WINDOW : WG_STRATEGY_VIRGIN,
                     .reason = "one side's ports are foretold and let the other's address in"};
  return true;
}

/* `aimed`: the port that the prober sends from is known to the opener, so that the opener's
 * sessions are towards it already and its answers go by them. */
static pair_plan birthday(int opener, bool aimed, const side s[2], const char *reason) {
  pair_plan out = {.strategy = WG_STRATEGY_BIRTHDAY, .reason = reason};
  const side *x = &s[opener], *y = &s[1 - opener];
  out.role[opener] = WG_ROLE_OPENER;
  out.role[1 - opener] = WG_ROLE_PROBER;
  out.one_socket = x->mapping == apd && x->filtering != apd && x->reuse == WARP_ABILITY_YES;
  out.aims = aimed && !y->known;
  out.second_round = !aimed && answers_are_lost(x, y);
  return out;
}

/* How good side `i` would be at opening ports for any port of the other: 0 not at all. */
static int opener_worth(const side s[2], int i) {
  const side *x = &s[i], *y = &s[1 - i];
  if (x->filtering == apd)
    return 0;
  if (answers_are_lost(x, y))
    return y->mapping == apd ? 0 : 1; /* its second answer has to meet a single port */
  return x->mapping == ad ? 3 : 2;
}

static pair_plan guess(const side s[2]) {
  for (int i = 0; i < 2; i++) {
    if (s[i].known)
      return birthday(1 - i, true, s, "one port is known, the other has to be guessed");
  }
  int worth[2] = {opener_worth(s, 0), opener_worth(s, 1)};
  if (worth[0] > 0 || worth[1] > 0)
    return birthday(worth[1] > worth[0] ? 1 : 0, false, s,
                    "one side lets in every port of the address that guesses");
  for (int i = 0; i < 2; i++) {
    /* With mapping by address all its guesses leave from the one port that is foretold. */
    if (predictable(&s[i]) && s[i].mapping == ad)
      return birthday(1 - i, true, s, "one port is foretold, the other has to be guessed");
  }
  return (pair_plan){.strategy = WG_STRATEGY_NONE,
                     .reason = "both sides would have to guess: about 10^5 packets"};
}

/* Over TCP each foretold pair of ports that meets is a connection of its own, and 32 at once would
 * be in each other's way. Where one side lets in all of the other's address it is enough to
 * foretell that one: the other is then taken for one that cannot be foretold. The responder rather,
 * because a connection that the initiator dialled is secured a round trip sooner. */
static bool foretell_less(side s[2], pair_plan *out) {
  for (int i = 1; i >= 0; i--) {
    if (s[1 - i].known || !foretell_one(s, i, out))
      continue;
    s[1 - i].preserves = s[1 - i].counts = false;
    return true;
  }
  return false;
}

static pair_plan decide(side s[2], warp_transport transport, bool *certain) {
  pair_plan out = {.strategy = WG_STRATEGY_PLAIN, .reason = "not everything is measured"};
  *certain = true;
  if (plain(&s[0], &s[1])) {
    *certain = !hangs_on_reuse(&s[0], &s[1]);
    out.reason = s[0].known && s[1].known ? "both ports are known"
                                          : "one side lets the other in from any port";
    return out;
  }
  if (!measured(&s[0]) || !measured(&s[1])) {
    *certain = false;
    return out;
  }
  bool foretold[2] = {s[0].known || predictable(&s[0]), s[1].known || predictable(&s[1])};
  if (foretold[0] && foretold[1])
    return transport == WARP_TCP && foretell_less(s, &out) ? out : foretell_both(s);
  *certain = !s[0].unmeasured_ports && !s[1].unmeasured_ports;
  if (foretell_one(s, 0, &out) || foretell_one(s, 1, &out))
    return out;
  return guess(s);
}

/* RFC 9293 section 3.8.1: a lost SYN comes back after a second. Where one side's port is known, or
 * foretold alone, and lets in what it sent to, its SYN has to be out before the other's comes. */
static bool goes_first(const side *x, const side *y) {
  bool aimed_at = x->known || (predictable(x) && !predictable(y));
  return aimed_at && x->filtering == ad && y->mapping != ei && y->filtering != ei;
}

wg_plan wg_nat_plan(const warp_endpoint *self, const warp_endpoint *peer, warp_transport transport,
                    bool self_is_initiator, char *why, size_t room) {
  int me = self_is_initiator ? 0 : 1;
  side s[2];
  s[me] = side_of(self, transport);
  s[1 - me] = side_of(peer, transport);
  bool certain;
  pair_plan pair = decide(s, transport, &certain);
  if (why != NULL) {
    char here[WG_AXES_STRLEN], there[WG_AXES_STRLEN];
    wg_axes_format(transport == WARP_TCP ? &self->tcp : &self->udp, here);
    wg_axes_format(transport == WARP_TCP ? &peer->tcp : &peer->udp, there);
    snprintf(why, room, "%s (%s here, %s at the peer)", pair.reason, here, there);
  }
  return (wg_plan){.strategy = pair.strategy,
                   .role = pair.role[me],
                   .self_preserves = s[me].preserves,
                   .self_counts = s[me].counts,
                   .self_known = s[me].known,
                   .peer_preserves = s[1 - me].preserves,
                   .peer_counts = s[1 - me].counts,
                   .peer_known = s[1 - me].known,
                   .fixed_spreads = pair.spread,
                   .opener_one_socket = pair.one_socket,
                   .prober_aims = pair.aims,
                   .second_round = pair.second_round,
                   .certain = certain,
                   .self_first = goes_first(&s[me], &s[1 - me]),
                   .peer_first = goes_first(&s[1 - me], &s[me])};
}

const char *wg_strategy_name(wg_strategy strategy) {
  static const char *const names[] = {
      [WG_STRATEGY_NONE] = "none",     [WG_STRATEGY_PLAIN] = "plain",
      [WG_STRATEGY_VIRGIN] = "virgin", [WG_STRATEGY_WINDOW] = "window",
      [WG_STRATEGY_WALK] = "walk",     [WG_STRATEGY_BIRTHDAY] = "birthday",
  };
  return (size_t)strategy < sizeof names / sizeof names[0] ? names[strategy] : "none";
}

/* ---- ports ----------------------------------------------------------------------------------- */

uint16_t wg_nat_predict(const warp_nat_axes *axes, uint16_t port, unsigned ahead) {
  const int64_t count = WG_PORT_LAST - WG_PORT_FIRST + 1;
  int64_t offset = ((int64_t)port - WG_PORT_FIRST + (int64_t)axes->step * ahead) % count;
  return (uint16_t)(WG_PORT_FIRST + (offset < 0 ? offset + count : offset));
}

/* The range is permuted by a Feistel network over the next power of four, whose values outside are
 * walked on from: at most four steps for one of ours, on average. */
enum { ROUNDS = 4 };

static uint32_t half_bits(uint32_t count) {
  uint32_t bits = 1;
  while ((UINT32_C(1) << (2 * bits)) < count)
    bits++;
  return bits;
}

static uint32_t scramble(uint32_t value, uint32_t key) {
  uint64_t mixed = (value ^ key) * UINT64_C(0x9E3779B97F4A7C15);
  return (uint32_t)((mixed ^ (mixed >> 29)) >> 32) * UINT32_C(0x85EBCA6B) >> 8;
}

static uint32_t permute(const wg_port_walk *walk, uint32_t value) {
  uint32_t bits = half_bits(walk->count), mask = (UINT32_C(1) << bits) - 1;
  uint32_t left = value >> bits, right = value & mask;
  for (int i = 0; i < ROUNDS; i++) {
    uint32_t next = left ^ (scramble(right, walk->key[i]) & mask);
    left = right;
    right = next;
  }
  return left << bits | right;
}

void wg_port_walk_start(wg_port_walk *walk, uint16_t low, uint16_t high, const uint32_t key[4]) {
  memcpy(walk->key, key, sizeof walk->key);
  walk->low = low;
  walk->count = high < low ? 0 : (uint32_t)high - low + 1;
  walk->next = 0;
}

uint16_t wg_port_walk_next(wg_port_walk *walk) {
  if (walk->next == walk->count)
    return 0;
  uint32_t value = walk->next++;
  do {
    value = permute(walk, value);
  } while (value >= walk->count);
  return (uint16_t)(walk->low + value);
}

double wg_birthday_chance(unsigned open, unsigned probes, unsigned range) {
  double miss = 1;
  if (open > range)
    open = range;
  for (unsigned i = 0; i < probes && miss > 0; i++)
    miss = i + open >= range ? 0 : miss * (double)(range - open - i) / (double)(range - i);
  return 1 - miss;
}
