#include "nat/verdict.h"

#include "nat/names.h"

#include <stdbool.h>
#include <stdio.h>

static bool is(uint8_t value, warp_nat_dependence what) {
  return value == (uint8_t)what;
}

/* Mapping as it counts here: an address that is not translated is the same for every destination.
 */
static uint8_t mapping_of(const warp_nat_axes *axes) {
  return axes->translation == WARP_TRANSLATION_NONE ? (uint8_t)WARP_NAT_ENDPOINT_INDEPENDENT
                                                    : axes->mapping;
}

wg_verdict wg_nat_reachable(const warp_endpoint *endpoint, warp_transport transport,
                            const char *who, char *why, size_t room) {
  if ((endpoint->port_mapped & transport) != 0)
    return WG_VERDICT_YES;
  const warp_nat_axes *axes = transport == WARP_TCP ? &endpoint->tcp : &endpoint->udp;
  uint8_t mapping = mapping_of(axes), filtering = axes->filtering;
  if (mapping > WARP_NAT_ENDPOINT_INDEPENDENT) {
    snprintf(why, room, "%s cannot be dialled: %s mapping has no address for strangers", who,
             wg_dependence_text(mapping));
    return WG_VERDICT_NO;
  }
  if (filtering > WARP_NAT_ENDPOINT_INDEPENDENT) {
    snprintf(why, room, "%s cannot be dialled: %s filtering drops strangers", who,
             wg_dependence_text(filtering));
    return WG_VERDICT_NO;
  }
  bool known =
      is(mapping, WARP_NAT_ENDPOINT_INDEPENDENT) && is(filtering, WARP_NAT_ENDPOINT_INDEPENDENT);
  return known ? WG_VERDICT_YES : WG_VERDICT_MAYBE;
}
