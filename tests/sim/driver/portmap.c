/* Asking the network's router to open a port. */
#include "internal.h"

#include <stdlib.h>

enum { SEARCH_US = 1250000, RENEW_US = 300000000 };

struct wg_portmap {
  wg_list item;
  sim_host *host;
  sim_network *network; /* where the address was when it was asked for */
  warp_addr local;
  warp_transport transport;
  wg_timer event;
  bool told; /* of the last state */
  int status;
  warp_addr external;
  wg_portmap_cb cb;
  void *arg;
};

static uint64_t delay_us(const wg_portmap *portmap) {
  const sim_router *router = &portmap->network->router;
  return router->protocol != NULL ? (uint64_t)router->delay_ms * 1000 : SEARCH_US;
}

static bool up(const wg_portmap *portmap) {
  return portmap->told && portmap->status == WARP_OK;
}

static void close_port(wg_portmap *portmap) {
  sim_nat_box *nat = portmap->network->nat;
  if (up(portmap) && nat != NULL) {
    sim_nat_close(nat, (uint8_t)portmap->transport, portmap->external.port);
  }
}

/* The first port that is nobody else's. */
static int open_port(const wg_portmap *portmap, warp_addr *external) {
  const sim_network *network = portmap->network;
  *external = network->router.external.family != 0 ? network->router.external
              : network->nat != NULL               ? *sim_nat_external(network->nat)
                                                   : portmap->local;
  uint16_t port = (uint16_t)(portmap->local.port + network->router.taken);
  while (network->nat != NULL &&
         !sim_nat_open(network->nat, (uint8_t)portmap->transport, port, &portmap->local)) {
    if (++port == 0) {
      return WARP_REFUSED;
    }
  }
  external->port = port;
  return WARP_OK;
}

static void tell(wg_portmap *portmap, int status, const warp_addr *external) {
  if (portmap->told && portmap->status == status &&
      (status != WARP_OK || wg_addr_equal(&portmap->external, external))) {
    return;
  }
  portmap->told = true;
  portmap->status = status;
  portmap->external = *external;
  wg_portmap_grant grant = {.external = *external,
                            .lifetime_s = 2 * RENEW_US / 1000000,
                            .protocol = portmap->network->router.protocol};
  portmap->cb(portmap->arg, status, status == WARP_OK ? &grant : NULL);
}

static void answered(void *arg) {
  wg_portmap *portmap = arg;
  const sim_router *router = &portmap->network->router;
  warp_addr external = {0};
  int status = WARP_OK;
  if (router->protocol == NULL || !sim_host_owns(portmap->host, &portmap->local)) {
    status = WARP_NOT_FOUND;
  } else if (router->refuses) {
    status = WARP_REFUSED;
  }
  close_port(portmap);
  if (status == WARP_OK) {
    status = open_port(portmap, &external);
  }
  sim_event_start(portmap->host->world, &portmap->event, RENEW_US, answered, portmap);
  tell(portmap, status, &external);
}

int sim_portmap_open(wg_env *env, const warp_addr *local, warp_transport transport,
                     wg_portmap_cb cb, void *arg, wg_portmap **out) {
  sim_host *host = SIM_HOST(env);
  if (local->port == 0) {
    sim_fail("%s asks for the port 0", host->name);
  }
  if (local->family != WARP_IP4) {
    return WARP_UNSUPPORTED;
  }
  wg_portmap *portmap = sim_alloc(sizeof *portmap);
  *portmap = (wg_portmap){.host = host,
                          .network = sim_host_network(host, local),
                          .local = *local,
                          .transport = transport,
                          .cb = cb,
                          .arg = arg};
  wg_list_push(&host->portmaps, &portmap->item);
  sim_event_start(host->world, &portmap->event, delay_us(portmap), answered, portmap);
  *out = portmap;
  return WARP_OK;
}

void sim_portmap_close(wg_portmap *portmap) {
  close_port(portmap);
  wg_timers_stop(&portmap->host->world->events, &portmap->event);
  wg_list_remove(&portmap->item);
  sim_bury(portmap->host->world, portmap);
}

void sim_portmaps_free(sim_host *host) {
  while (!wg_list_empty(&host->portmaps)) {
    sim_portmap_close(WG_CONTAINER(host->portmaps.next, wg_portmap, item));
  }
}

void sim_portmaps_ask(sim_host *host, const sim_network *network) {
  for (wg_list *item = host->portmaps.next; item != &host->portmaps; item = item->next) {
    wg_portmap *portmap = WG_CONTAINER(item, wg_portmap, item);
    if (portmap->network == network) {
      sim_event_start(host->world, &portmap->event, delay_us(portmap), answered, portmap);
    }
  }
}
