#include "driver_uv/route.h"

#if !defined(__linux__)

#include <natpmp.h>
#include <string.h>

/* The one gateway that the library finds: of several interfaces only the default one's. */
int wg_uv_route_of(const warp_addr *local, wg_uv_route *out) {
  natpmp_t state;
  if (local->family != WARP_IP4 || initnatpmp(&state, 0, 0) != 0) {
    return WARP_NOT_FOUND;
  }
  *out = (wg_uv_route){.gateway = {.family = WARP_IP4}};
  memcpy(out->gateway.ip, &state.gateway, 4);
  closenatpmp(&state);
  return WARP_OK;
}

int wg_uv_bind_to_interface(int fd, const char *name) {
  (void)fd;
  (void)name;
  return WARP_UNSUPPORTED;
}

#endif
