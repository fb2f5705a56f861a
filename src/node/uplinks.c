/*
 * Which of the machine's addresses the node uses: one of each interface and family that leads to
 * the internet, the default interface first. Bridges of containers and the like lead nowhere, and
 * are used only when the configuration names them.
 */
#include "node/internal.h"

#include "base/addr.h"
#include <stdio.h>
#include <string.h>

/* ---- which ----------------------------------------------------------------------------------- */

static bool named(const warp_node *node, const wg_interface *interface) {
  warp_addr addr;
  for (const char *const *name = node->conf.interfaces; *name != NULL; name++) {
    if (strcmp(*name, interface->name) == 0 ||
        (warp_addr_parse(*name, &addr) == WARP_OK && wg_addr_same_ip(&addr, &interface->addr)))
      return true;
  }
  return false;
}

bool wg_interface_same(const wg_interface *a, const wg_interface *b) {
  return wg_addr_same_ip(&a->addr, &b->addr) && a->addr.scope_id == b->addr.scope_id;
}

static bool is_used(const warp_node *node, const wg_interface *interface) {
  for (size_t i = 0; i < WG_NODE_PLACES; i++) {
    if (node->places[i].node != NULL && wg_interface_same(&node->places[i].interface, interface))
      return true;
  }
  return false;
}

/* The better of an interface's addresses comes first, the default one before all. One that is used
 * and has lost its route still has neighbours, and what is connected to them. */
typedef enum rank { DEFAULT, GLOBAL, INSIDE, LINK, ROUTELESS, UNUSABLE } rank;

static rank rank_of(const warp_node *node, const wg_interface *interface) {
  wg_addr_scope scope = wg_addr_get_scope(&interface->addr);
  if (node->conf.loopback_only)
    return interface->loopback ? DEFAULT : UNUSABLE;
  bool chosen = node->conf.interfaces[0] != NULL;
  if (interface->loopback || scope == WG_SCOPE_INVALID || (chosen && !named(node, interface)))
    return UNUSABLE;
  if (!chosen && !interface->routed)
    return is_used(node, interface) && scope != WG_SCOPE_LINK ? ROUTELESS : UNUSABLE;
  if (interface->is_default)
    return DEFAULT;
  return scope == WG_SCOPE_GLOBAL ? GLOBAL : scope == WG_SCOPE_LINK ? LINK : INSIDE;
}

/* One address of an interface and family is enough: IPv6 has several that come and go. */
static bool of_one_interface(const warp_node *node, const wg_interface *a, const wg_interface *b) {
  return a->addr.family == b->addr.family &&
         (node->conf.loopback_only || strcmp(a->name, b->name) == 0);
}

/* The address of the same interface that is used already stays, when it is as good: connections
 * stand on it. */
static const wg_interface *rather(const warp_node *node, const wg_interface *all, int count,
                                  const wg_interface *better) {
  for (int i = 0; i < count; i++) {
    if (of_one_interface(node, &all[i], better) && is_used(node, &all[i]) &&
        rank_of(node, &all[i]) != UNUSABLE &&
        wg_addr_get_scope(&all[i].addr) == wg_addr_get_scope(&better->addr))
      return &all[i];
  }
  return better;
}

int wg_node_choose(const warp_node *node, wg_interface out[WG_NODE_UPLINKS]) {
  wg_interface all[WG_INTERFACES_MAX];
  int count = node->env->ops->interfaces(node->env, all, WG_INTERFACES_MAX), chosen = 0;
  for (int turn = DEFAULT; turn < UNUSABLE; turn++) {
    /* Link-local addresses are better than nothing, and of no use beside others. */
    if (turn == LINK && chosen > 0)
      continue;
    for (int i = 0; i < count && chosen < WG_NODE_UPLINKS; i++) {
      const wg_interface *best = rather(node, all, count, &all[i]);
      bool taken = (int)rank_of(node, &all[i]) != turn;
      for (int k = 0; k < chosen && !taken; k++)
        taken = of_one_interface(node, &out[k], best) || wg_interface_same(&out[k], best);
      if (!taken)
        out[chosen++] = *best;
    }
  }
  return count < 0 ? count : chosen;
}

/* ---- having them ----------------------------------------------------------------------------- */

wg_uplink *wg_uplink_new(warp_node *node, const wg_interface *interface) {
  wg_uplink *uplink = node->places;
  while (uplink->node != NULL)
    uplink++; /* there are as many places as can be taken */
  *uplink = (wg_uplink){.node = node, .interface = *interface};
  for (size_t i = 0; i < WG_NODE_OPENINGS; i++)
    uplink->openings[i] = (wg_opening){.uplink = uplink, .transport = i == 0 ? WARP_TCP : WARP_UDP};
  return uplink;
}

void wg_uplink_close(wg_uplink *uplink) {
  if (uplink->measure != NULL)
    wg_measure_cancel(uplink->measure);
  if (uplink->lifetime != NULL)
    wg_lifetime_close(uplink->lifetime);
  if (uplink->udp_mapping != NULL)
    wg_mapping_close(uplink->udp_mapping);
  if (uplink->tcp_mapping != NULL)
    wg_mapping_close(uplink->tcp_mapping);
  wg_uplink_close_openings(uplink);
  wg_mux_close(&uplink->mux);
  if (uplink->listener != NULL)
    uplink->node->env->ops->tcp_listener_close(uplink->listener);
  *uplink = (wg_uplink){.node = NULL};
}

void wg_node_load_interfaces(warp_node *node) {
  wg_interface chosen[WG_NODE_UPLINKS];
  wg_node_watch(node); /* first: what changes from now on is seen there or here */
  int count = wg_node_choose(node, chosen);
  for (int i = 0; i < count; i++)
    node->uplinks[node->uplink_count++] = wg_uplink_new(node, &chosen[i]);
  if (node->uplink_count == 0) {
    wg_logf(&node->log, WARP_LOG_ERROR, "no network interface that %s",
            node->conf.interfaces[0] != NULL ? "the configuration names" : "leads anywhere");
    wg_node_start_failed(node, count < 0 ? count : WARP_UNREACHABLE);
    return;
  }
  char text[WG_NODE_UPLINKS * (WARP_ADDR_STRLEN + 2)] = "", addr[WARP_ADDR_STRLEN];
  size_t len = 0;
  for (size_t i = 0; i < node->uplink_count; i++)
    len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i > 0 ? ", " : "",
                            warp_addr_format(&node->uplinks[i]->interface.addr, addr));
  wg_node_step_done(node, WARP_START_LOAD_NETWORK_INTERFACES, WARP_OK, "%s", text);
}

const wg_uplink *wg_node_uplink(const warp_node *node, int family) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    if (node->uplinks[i]->interface.addr.family == family)
      return node->uplinks[i];
  }
  return NULL;
}
