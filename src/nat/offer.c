#include "nat/offer.h"

#include "base/bytes.h"
#include <string.h>

/* Bits of the flags, in the order of docs/protocol.md. Those of the receiver are the sender's,
 * three further up. */
enum {
  SENDER_PRESERVES = 1 << 0,
  SENDER_COUNTS = 1 << 1,
  SENDER_KNOWN = 1 << 2,
  RECEIVER_PRESERVES = 1 << 3,
  RECEIVER_COUNTS = 1 << 4,
  RECEIVER_KNOWN = 1 << 5,
  FIXED_SPREADS = 1 << 6,
  OPENER_ONE_SOCKET = 1 << 7,
  SECOND_ROUND = 1 << 8,
  CERTAIN = 1 << 9,
  SENDER_FIRST = 1 << 10,
  RECEIVER_FIRST = 1 << 11,
  PROBER_AIMS = 1 << 12,
};

static uint16_t flags_of(const wg_plan *plan) {
  return (
      uint16_t)((plan->self_preserves ? SENDER_PRESERVES : 0) |
                (plan->self_counts ? SENDER_COUNTS : 0) | (plan->self_known ? SENDER_KNOWN : 0) |
                (plan->peer_preserves ? RECEIVER_PRESERVES : 0) |
                (plan->peer_counts ? RECEIVER_COUNTS : 0) |
                (plan->peer_known ? RECEIVER_KNOWN : 0) |
                (plan->fixed_spreads ? FIXED_SPREADS : 0) |
                (plan->opener_one_socket ? OPENER_ONE_SOCKET : 0) |
                (plan->second_round ? SECOND_ROUND : 0) | (plan->certain ? CERTAIN : 0) |
                (plan->self_first ? SENDER_FIRST : 0) | (plan->peer_first ? RECEIVER_FIRST : 0) |
                (plan->prober_aims ? PROBER_AIMS : 0));
}

static void set_flags(wg_plan *plan, unsigned flags) {
  plan->self_preserves = (flags & SENDER_PRESERVES) != 0;
  plan->self_counts = (flags & SENDER_COUNTS) != 0;
  plan->self_known = (flags & SENDER_KNOWN) != 0;
  plan->peer_preserves = (flags & RECEIVER_PRESERVES) != 0;
  plan->peer_counts = (flags & RECEIVER_COUNTS) != 0;
  plan->peer_known = (flags & RECEIVER_KNOWN) != 0;
  plan->fixed_spreads = (flags & FIXED_SPREADS) != 0;
  plan->opener_one_socket = (flags & OPENER_ONE_SOCKET) != 0;
  plan->second_round = (flags & SECOND_ROUND) != 0;
  plan->certain = (flags & CERTAIN) != 0;
  plan->self_first = (flags & SENDER_FIRST) != 0;
  plan->peer_first = (flags & RECEIVER_FIRST) != 0;
  plan->prober_aims = (flags & PROBER_AIMS) != 0;
}

int wg_offer_encode(const wg_offer *offer, uint8_t *out, size_t cap) {
  if (offer->port_count > WG_OFFER_PORTS)
    return WARP_INVALID;
  wg_writer writer = wg_writer_init(out, cap);
  wg_write_u8(&writer, (uint8_t)offer->plan.strategy);
  wg_write_u8(&writer, (uint8_t)offer->plan.role);
  wg_write_u16(&writer, flags_of(&offer->plan));
  wg_write_u8(&writer, offer->round);
  wg_write_u8(&writer, offer->port_count);
  for (size_t i = 0; i < offer->port_count; i++)
    wg_write_u16(&writer, offer->ports[i]);
  return writer.failed ? WARP_TOO_BIG : (int)writer.len;
}

static bool role_fits(wg_strategy strategy, unsigned role) {
  switch (strategy) {
  case WG_STRATEGY_WALK:
    return role == WG_ROLE_FIXED || role == WG_ROLE_WALKER;
  case WG_STRATEGY_BIRTHDAY:
    return role == WG_ROLE_OPENER || role == WG_ROLE_PROBER;
  default:
    return role == WG_ROLE_SAME;
  }
}

int wg_offer_decode(const uint8_t *bytes, size_t len, wg_offer *out) {
  wg_reader reader = wg_reader_init(bytes, len);
  memset(out, 0, sizeof *out);
  unsigned strategy = wg_read_u8(&reader), role = wg_read_u8(&reader);
  unsigned flags = wg_read_u16(&reader);
  out->round = wg_read_u8(&reader);
  out->port_count = wg_read_u8(&reader);
  if (reader.failed || strategy == WG_STRATEGY_NONE || strategy > WG_STRATEGY_BIRTHDAY ||
      !role_fits((wg_strategy)strategy, role) || out->round == 0 ||
      out->port_count > WG_OFFER_PORTS)
    return WARP_MALFORMED;
  for (size_t i = 0; i < out->port_count; i++) {
    out->ports[i] = wg_read_u16(&reader);
    if (out->ports[i] < WG_PORT_FIRST)
      return WARP_MALFORMED;
  }
  out->plan.strategy = (wg_strategy)strategy;
  out->plan.role = (wg_plan_role)role;
  set_flags(&out->plan, flags);
  return reader.failed ? WARP_MALFORMED : WARP_OK;
}

wg_plan wg_plan_turned(const wg_plan *plan) {
  static const wg_plan_role others[] = {
      [WG_ROLE_SAME] = WG_ROLE_SAME,     [WG_ROLE_FIXED] = WG_ROLE_WALKER,
      [WG_ROLE_WALKER] = WG_ROLE_FIXED,  [WG_ROLE_OPENER] = WG_ROLE_PROBER,
      [WG_ROLE_PROBER] = WG_ROLE_OPENER,
  };
  wg_plan out = *plan;
  out.role = others[plan->role];
  out.self_preserves = plan->peer_preserves;
  out.self_counts = plan->peer_counts;
  out.self_known = plan->peer_known;
  out.peer_preserves = plan->self_preserves;
  out.peer_counts = plan->self_counts;
  out.peer_known = plan->self_known;
  out.self_first = plan->peer_first;
  out.peer_first = plan->self_first;
  return out;
}
