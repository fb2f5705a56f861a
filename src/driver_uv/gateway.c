#include "driver_uv/router.h"

#if !defined(__linux__)

#include <natpmp.h>
#include <string.h>

/* The one gateway that the library finds: of several interfaces only the default one's. */
int wg_router_gateway(const warp_addr *local, warp_addr *out) {
  (void)local;
  natpmp_t state;
  if (initnatpmp(&state, 0, 0) != 0) {
    return WARP_NOT_FOUND;
  }
  *out = (warp_addr){.family = WARP_IP4};
  memcpy(out->ip, &state.gateway, 4);
  closenatpmp(&state);
  return WARP_OK;
}

#endif
