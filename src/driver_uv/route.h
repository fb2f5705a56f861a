/* By which interface and router packets from one of this machine's addresses leave. */
#ifndef WG_DRIVER_UV_ROUTE_H
#define WG_DRIVER_UV_ROUTE_H

#include "env/env.h"

typedef struct wg_uv_route {
  warp_addr gateway; /* port 0; family 0: none, the network is reached directly */
  /* The routes send packets from the address out by another interface: a socket has to be bound to
   * its own. */
  bool strays;
} wg_uv_route;

/* Towards the internet, by the address's own interface. Does not block. WARP_NOT_FOUND when there
 * is no such way, or this system does not tell. */
int wg_uv_route_of(const warp_addr *local, wg_uv_route *out);
/* Has a socket send by this interface only. WARP_UNSUPPORTED, WARP_PERMISSION, WARP_IO. */
int wg_uv_bind_to_interface(int fd, const char *name);

#endif
