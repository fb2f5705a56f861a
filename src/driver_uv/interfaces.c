#include "driver_uv/internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned prefix_bits(const warp_addr *netmask) {
  unsigned bits = 0;
  size_t len = wg_addr_ip_len(netmask);
  while (bits < 8 * len && (netmask->ip[bits / 8] & 0x80 >> bits % 8) != 0) {
    bits++;
  }
  return bits;
}

static bool on_link(const warp_addr *addr, const wg_interface *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (wg_addr_in_prefix(addr, &list[i].addr, list[i].prefix_bits)) {
      return true;
    }
  }
  return false;
}

/* The address that the system would send from to `to`. Connecting a datagram socket makes it pick
 * one; no packet is sent. */
static bool source_towards(const warp_addr *to, warp_addr *out) {
  struct sockaddr_storage storage;
  socklen_t len;
  int fd;
  if (wg_uv_sockaddr(to, to->family, &storage, &len) != WARP_OK ||
      wg_uv_socket(to->family, SOCK_DGRAM, 0, NULL, &fd) != WARP_OK) {
    return false;
  }
  bool found = connect(fd, (struct sockaddr *)&storage, len) == 0;
  if (found) {
    *out = wg_uv_local(fd);
  }
  close(fd);
  return found;
}

/* Marks the address of each family's default route: the one towards an address that only the
 * default route can lead to. Documentation addresses (RFC 5737, 3849, 9637) are nobody's, but a
 * laboratory may stand on one of the ranges, hence several. */
static void mark_defaults(wg_interface *list, size_t count) {
  static const char *const far[] = {"192.0.2.1:9", "198.51.100.1:9", "203.0.113.1:9",
                                    "[2001:db8::1]:9", "[3fff::1]:9"};
  bool marked[WARP_IP6 + 1] = {false};
  for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
    warp_addr to, source;
    if (warp_addr_parse(far[i], &to) != WARP_OK || marked[to.family] || on_link(&to, list, count) ||
        !source_towards(&to, &source)) {
      continue;
    }
    for (size_t k = 0; k < count; k++) {
      if (wg_addr_same_ip(&list[k].addr, &source)) {
        list[k].is_default = marked[to.family] = true;
      }
    }
  }
}

int wg_uv_interfaces(wg_env *env, wg_interface *out, size_t max) {
  (void)env;
  uv_interface_address_t *system;
  int total;
  int error = uv_interface_addresses(&system, &total);
  if (error != 0) {
    return wg_uv_status(error);
  }
  size_t count = 0;
  for (int i = 0; i < total && count < max; i++) {
    const uv_interface_address_t *from = &system[i];
    wg_interface *to = &out[count++];
    warp_addr netmask = wg_uv_addr((const struct sockaddr *)&from->netmask);
    memset(to, 0, sizeof *to);
    memccpy(to->name, from->name, '\0', sizeof to->name - 1);
    to->addr = wg_uv_addr((const struct sockaddr *)&from->address);
    to->prefix_bits = prefix_bits(&netmask);
    memcpy(to->mac, from->phys_addr, sizeof to->mac);
    to->loopback = from->is_internal;
  }
  uv_free_interface_addresses(system, total);
  mark_defaults(out, count);
  return (int)count;
}
