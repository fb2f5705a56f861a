/* Hardware addresses of network interfaces (IEEE 802). */
#ifndef WG_BASE_MAC_H
#define WG_BASE_MAC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { WG_MAC_LEN = 6 };
typedef struct wg_mac {
  uint8_t bytes[WG_MAC_LEN];
} wg_mac;

/* All zeros: loopback and tunnels have none. */
static inline bool wg_mac_is_none(const wg_mac *mac) {
  static const wg_mac none = {{0}};
  return memcmp(mac, &none, sizeof none) == 0;
}

/* Is it locally administered: somebody's choice (a virtual interface's, often made up anew at each
 * start), and not burnt in? */
static inline bool wg_mac_is_made_up(const wg_mac *mac) {
  return (mac->bytes[0] & 2) != 0;
}

/* Those that are burnt in come first, then the lower ones. */
static inline int wg_mac_compare(const wg_mac *a, const wg_mac *b) {
  int made_up = (int)wg_mac_is_made_up(a) - (int)wg_mac_is_made_up(b);
  return made_up != 0 ? made_up : memcmp(a, b, sizeof *a);
}

#endif
