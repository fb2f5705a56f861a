/*
 * What measured behaviour allows: can the outside reach a node unasked, can two nodes punch without
 * guessing ports.
 *
 * The rule for the 81 pairs of mapping x filtering behaviour was found by experiment in kernel
 * NATs: a pair punches plainly if one side filters endpoint-independently, or both map
 * endpoint-independently, or one side is endpoint-independent in mapping and address-dependent in
 * filtering; the other 24 need prediction or luck. What was not measured is never ruled out.
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
/* Can two nodes punch, both sending to the other's external address and answering what comes? */
wg_verdict wg_nat_punchable(const warp_nat_axes *self, const warp_nat_axes *peer, char *why,
                            size_t room);

#endif
