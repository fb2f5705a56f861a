/* Interfaces and routes as programs see them. */
#include "pipe/interfaces.h"
#include "base/addr.h"
#include "env/loop.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)WARP_INTERFACE_NAME_LEN == (int)WG_IFNAME, "names are copied whole");

static void add_address(warp_interface *interface, const wg_interface *from) {
  if (interface->count == WARP_INTERFACE_ADDRS) {
    return;
  }
  size_t at = interface->count++;
  if (from->is_default && !interface->is_default) { /* the first of them goes to the front */
    memmove(interface->addrs + 1, interface->addrs, at * sizeof interface->addrs[0]);
    at = 0;
  }
  interface->addrs[at] = from->addr;
  interface->is_default = interface->is_default || from->is_default;
}

static size_t group(const wg_interface *list, size_t count, warp_interface *out, size_t max) {
  size_t made = 0;
  for (size_t i = 0; i < count; i++) {
    size_t at = 0;
    while (at < made && strcmp(out[at].name, list[i].name) != 0) {
      at++;
    }
    if (at == max) {
      continue;
    }
    if (at == made) {
      made++;
      out[at] = (warp_interface){.loopback = list[i].loopback};
      memcpy(out[at].name, list[i].name, sizeof out[at].name);
      memcpy(out[at].mac, list[i].mac, sizeof out[at].mac);
    }
    add_address(&out[at], &list[i]);
  }
  return made;
}

static void default_first(warp_interface *list, size_t count) {
  for (size_t i = 1; i < count; i++) {
    if (list[i].is_default && !list[0].is_default) {
      warp_interface first = list[i];
      memmove(list + 1, list, i * sizeof *list);
      list[0] = first;
    }
  }
}

int wg_interface_list(wg_env *env, warp_interface *out, size_t max) {
  wg_interface *list = calloc(WG_INTERFACES_MAX, sizeof *list);
  warp_interface *all = calloc(WG_INTERFACES_MAX, sizeof *all);
  int count = WARP_NOMEM;
  if (list != NULL && all != NULL) {
    count = env->ops->interfaces(env, list, WG_INTERFACES_MAX);
  }
  if (count > 0) {
    size_t made = group(list, (size_t)count, all, WG_INTERFACES_MAX);
    default_first(all, made);
    made = made < max ? made : max;
    memcpy(out, all, made * sizeof *out);
    count = (int)made;
  }
  free(list);
  free(all);
  return count;
}

int wg_interface_load(wg_env *env, const char *name, warp_interface *out) {
  warp_interface *list = calloc(WG_INTERFACES_MAX, sizeof *list);
  if (list == NULL) {
    return WARP_NOMEM;
  }
  int count = wg_interface_list(env, list, WG_INTERFACES_MAX);
  int status = count < 0 ? count : WARP_NOT_FOUND;
  for (int i = 0; i < count && status == WARP_NOT_FOUND; i++) {
    if (name != NULL ? strcmp(list[i].name, name) == 0 : list[i].is_default) {
      *out = list[i];
      status = WARP_OK;
    }
  }
  free(list);
  return status;
}

int warp_interface_list(warp_loop *loop, warp_interface *out, size_t max) {
  if (loop == NULL || out == NULL || max == 0) {
    return WARP_INVALID;
  }
  return wg_interface_list(warp_loop_env(loop), out, max);
}

int warp_interface_load(warp_loop *loop, const char *name, warp_interface *out) {
  if (loop == NULL || out == NULL) {
    return WARP_INVALID;
  }
  return wg_interface_load(warp_loop_env(loop), name, out);
}

int warp_route_bind(const warp_interface *interface, int family, uint16_t port, warp_route *out) {
  if (interface == NULL || out == NULL || interface->count > WARP_INTERFACE_ADDRS ||
      (family != 0 && family != WARP_IP4 && family != WARP_IP6)) {
    return WARP_INVALID;
  }
  for (size_t i = 0; i < interface->count; i++) {
    if (family == 0 || interface->addrs[i].family == family) {
      *out = (warp_route){.addr = wg_addr_with_port(&interface->addrs[i], port)};
      memcpy(out->interface, interface->name, sizeof out->interface);
      return WARP_OK;
    }
  }
  return WARP_NOT_FOUND;
}
