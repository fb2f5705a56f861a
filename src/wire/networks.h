/* The file in which a node keeps what it measured of the networks it was in. Nothing of it is sent
 * to anybody. */
#ifndef WG_WIRE_NETWORKS_H
#define WG_WIRE_NETWORKS_H

#include "wire/packet.h"
#include <warpgate/plugin.h>

enum {
  WG_NETWORKS = 16, /* that are remembered: home, work, and where one travels */
  WG_NETWORKS_LEN = 1280,
};

/* A network is known by the interface's prefix and the address that the outside sees. */
typedef struct wg_network {
  uint8_t prefix_bits;
  warp_addr prefix;        /* any address within it; port 0 */
  warp_addr external;      /* port 0 */
  int64_t measured_ms;     /* since 1970 UTC */
  bool over_udp, over_tcp; /* a server answered over it */
  warp_nat_axes udp, tcp;
} wg_network;

typedef struct wg_networks {
  size_t count;
  wg_network all[WG_NETWORKS];
} wg_networks;

/* Returns the length, or WARP_TOO_BIG (`cap`), or WARP_INVALID (what decoding would refuse). */
int wg_networks_encode(const wg_networks *networks, uint8_t *out, size_t cap);
/* WARP_OK, WARP_MALFORMED, WARP_VERSION. */
int wg_networks_decode(const uint8_t *bytes, size_t len, wg_networks *out);
/* The one of this prefix and external address (ports do not count), or NULL. */
const wg_network *wg_networks_find(const wg_networks *networks, const warp_addr *prefix,
                                   unsigned prefix_bits, const warp_addr *external);
/* Puts a network in, over what was known of it, or else over the one measured longest ago. */
void wg_networks_put(wg_networks *networks, const wg_network *network);

#endif
