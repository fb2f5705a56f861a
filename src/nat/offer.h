/*
 * What two nodes tell each other before they punch by foretelling or guessing ports: the plan as
 * the sender sees it, and the external ports under which it expects to be seen. The initiator's
 * plan is the one that both follow, because their records may be of different ages.
 */
#ifndef WG_NAT_OFFER_H
#define WG_NAT_OFFER_H

#include "nat/plan.h"

/* As many ports as a walk has. */
enum { WG_OFFER_PORTS = 32, WG_OFFER_MAX = 6 + 2 * WG_OFFER_PORTS };

typedef struct wg_offer {
  wg_plan plan;  /* of the sender's view */
  uint8_t round; /* which try it is about, from 1 on */
  uint8_t port_count;
  uint16_t ports[WG_OFFER_PORTS]; /* the likeliest first; none when not known yet or any will do */
} wg_offer;

/* The length, or WARP_TOO_BIG, or WARP_INVALID (more ports than WG_OFFER_PORTS). */
int wg_offer_encode(const wg_offer *offer, uint8_t *out, size_t cap);
/* WARP_OK, or WARP_MALFORMED: too short, an unknown strategy, a role that is none of the
 * strategy's, no round, more ports than there may be, or one below 1024. What comes behind is
 * skipped. */
int wg_offer_decode(const uint8_t *bytes, size_t len, wg_offer *out);

/* The same plan as the other side sees it. */
wg_plan wg_plan_turned(const wg_plan *plan);

#endif
