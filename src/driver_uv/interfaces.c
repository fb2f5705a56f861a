#include "driver_uv/internal.h"
#include "driver_uv/route.h"

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

bool wg_uv_far_address(size_t number, warp_addr *out) {
  static const char *const far[] = {"192.0.2.1:9", "198.51.100.1:9", "203.0.113.1:9",
                                    "[2001:db8::1]:9", "[3fff::1]:9"};
  return number < sizeof far / sizeof far[0] && warp_addr_parse(far[number], out) == WARP_OK;
}

/* Marks the address of each family's default route: the one towards an address that only the
 * default route can lead to. */
static void mark_defaults(wg_interface *list, size_t count) {
  bool marked[WARP_IP6 + 1] = {false};
  warp_addr to, source;
  for (size_t i = 0; wg_uv_far_address(i, &to); i++) {
    if (marked[to.family] || on_link(&to, list, count) || !source_towards(&to, &source)) {
      continue;
    }
    for (size_t k = 0; k < count; k++) {
      if (wg_addr_same_ip(&list[k].addr, &source)) {
        list[k].is_default = list[k].routed = marked[to.family] = true;
      }
    }
  }
}

/* Which other addresses lead to the internet, and of which the routes do not know it. */
static void mark_routed(wg_uv_env *env, wg_interface *list, size_t count) {
  env->stray_count = 0;
  for (size_t i = 0; i < count; i++) {
    wg_interface *interface = &list[i];
    wg_uv_route route;
    if (interface->loopback || wg_uv_route_of(&interface->addr, &route) != WARP_OK) {
      continue;
    }
    interface->routed = true;
    if (!interface->is_default && route.strays && env->stray_count < WG_UV_STRAYS_MAX) {
      wg_uv_stray *stray = &env->strays[env->stray_count++];
      stray->addr = interface->addr;
      memcpy(stray->interface, interface->name, sizeof stray->interface);
    }
  }
}

void wg_uv_keep_to_interface(wg_uv_env *env, int fd, const warp_addr *local) {
  for (size_t i = 0; i < env->stray_count; i++) {
    const wg_uv_stray *stray = &env->strays[i];
    int status = WARP_OK;
    if (wg_addr_same_ip(&stray->addr, local)) {
      status = wg_uv_bind_to_interface(fd, stray->interface);
    }
    if (status != WARP_OK) {
      wg_logf(&env->base.log, WARP_LOG_DEBUG, "what is sent from %s leaves by another way: %s",
              stray->interface, warp_strerror(status));
    }
  }
}

int wg_uv_interfaces(wg_env *env, wg_interface *out, size_t max) {
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
  mark_routed(wg_uv_env_of(env), out, count);
  return (int)count;
}
