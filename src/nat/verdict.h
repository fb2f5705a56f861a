/*
 * What measured behaviour allows a stranger: can the outside reach a node unasked. What was not
 * measured is never ruled out. What two nodes can do together is in nat/plan.h.
 */
#ifndef WG_NAT_VERDICT_H
#define WG_NAT_VERDICT_H

#include <stddef.h>
#include <warpgate/plugin.h>

typedef enum wg_verdict {
  WG_VERDICT_NO,    /* measured, and it cannot work: `why` holds one line */
  WG_VERDICT_MAYBE, /* not everything is measured */
  WG_VERDICT_YES,
} wg_verdict;

/* Can the endpoint's external address be reached over `transport` by a packet it did not ask for,
 * by its axes or because its router opened the port? `who` ("the peer", "we") begins the line. */
wg_verdict wg_nat_reachable(const warp_endpoint *endpoint, warp_transport transport,
                            const char *who, char *why, size_t room);

#endif
