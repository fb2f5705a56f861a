/* What a NAT's axes mean for being connected to, in words for a person. */
#ifndef WG_NAT_MEANING_H
#define WG_NAT_MEANING_H

#include <stddef.h>
#include <warpgate/plugin.h>

/* A clause, as "lets in only what it has sent to: can be punched"; "" when nothing was measured.
 * Static storage. */
const char *wg_axes_meaning(const warp_nat_axes *axes);

/* One line about an endpoint: kind of cone, axes, meaning; TCP apart where it differs. Cut at
 * `room`; "" when nothing is known. Returns out. */
const char *wg_endpoint_describe(const warp_endpoint *endpoint, char *out, size_t room);

#endif
