#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { DEAD_SERVER_US = 5000000 };

struct wg_resolve {
  wg_list item;
  sim_host *host;
  wg_timer event;
  int status;
  warp_addr addrs[WG_RESOLVE_MAX];
  size_t count;
  wg_resolve_cb cb;
  void *arg;
};

static void forget(wg_resolve *resolve) {
  wg_timers_stop(&resolve->host->world->events, &resolve->event);
  wg_list_remove(&resolve->item);
  sim_bury(resolve->host->world, resolve);
}

static void finish(void *arg) {
  wg_resolve *resolve = arg;
  forget(resolve);
  resolve->cb(resolve->arg, resolve->status, resolve->addrs, resolve->count);
}

static void add(wg_resolve *resolve, const warp_addr *addr, uint16_t port, int family) {
  if (resolve->count < WG_RESOLVE_MAX && (family == 0 || addr->family == family)) {
    resolve->addrs[resolve->count++] = wg_addr_with_port(addr, port);
    resolve->status = WARP_OK;
  }
}

/* Fills the answer in; returns how long it takes. */
static uint64_t look_up(wg_resolve *resolve, const char *name, uint16_t port, int family) {
  sim_world *world = resolve->host->world;
  warp_addr numeric;
  resolve->status = WARP_NOT_FOUND;
  if (warp_addr_parse(name, &numeric) == WARP_OK && numeric.port == 0) {
    add(resolve, &numeric, port, family);
    return 0;
  }
  for (wg_list *item = world->names.next; item != &world->names; item = item->next) {
    const sim_name *entry = WG_CONTAINER(item, sim_name, item);
    if (strcmp(entry->name, name) != 0) {
      continue;
    }
    if (entry->addr.family == 0) {
      resolve->status = WARP_TIMEOUT;
      return DEAD_SERVER_US;
    }
    add(resolve, &entry->addr, port, family);
  }
  return 2 * (uint64_t)resolve->host->network->link.latency_us;
}

int sim_resolve(wg_env *env, const char *host, uint16_t port, int family, wg_resolve_cb cb,
                void *arg, wg_resolve **out) {
  sim_host *owner = SIM_HOST(env);
  wg_resolve *resolve = sim_alloc(sizeof *resolve);
  resolve->host = owner;
  resolve->cb = cb;
  resolve->arg = arg;
  wg_list_push(&owner->resolves, &resolve->item);
  uint64_t delay_us = look_up(resolve, host, port, family);
  sim_event_start(owner->world, &resolve->event, delay_us, finish, resolve);
  *out = resolve;
  return WARP_OK;
}

void sim_resolve_cancel(wg_resolve *resolve) {
  if (!resolve->event.running) {
    sim_fail("cancel of a look-up of %s that is over", resolve->host->name);
  }
  forget(resolve);
}

void sim_resolves_free(sim_host *host) {
  while (!wg_list_empty(&host->resolves)) {
    forget(WG_CONTAINER(host->resolves.next, wg_resolve, item));
  }
}
