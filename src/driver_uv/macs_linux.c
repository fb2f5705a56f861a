#include "driver_uv/internal.h"

#if defined(__linux__)

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>

/* libuv leaves out interfaces without an address, such as one whose cable is not plugged in. */
int wg_uv_macs(wg_env *env, wg_mac *out, size_t max) {
  (void)env;
  struct ifaddrs *list;
  size_t count = 0;
  if (getifaddrs(&list) != 0) {
    return wg_uv_status(uv_translate_sys_error(errno));
  }
  for (const struct ifaddrs *at = list; at != NULL; at = at->ifa_next) {
    if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_PACKET ||
        (at->ifa_flags & IFF_LOOPBACK) != 0) {
      continue;
    }
    const struct sockaddr_ll *link = (const struct sockaddr_ll *)(const void *)at->ifa_addr;
    if (link->sll_halen == WG_MAC_LEN) {
      count = wg_uv_add_mac(link->sll_addr, out, count, max);
    }
  }
  freeifaddrs(list);
  return (int)count;
}

#endif
