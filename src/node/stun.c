/* Looking up STUN and TURN servers, and measuring the NAT with the former. */
#include "node/internal.h"

#include "nat/names.h"
#include <stdio.h>
#include <string.h>

/* ---- looking up ------------------------------------------------------------------------------ */

static void lookup_ended(warp_node *node) {
  if (--node->lookups_pending == 0)
    node->lookups_done(node);
}

static void on_stun_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  wg_lookup *lookup = arg;
  warp_node *node = lookup->node;
  lookup->resolve = NULL;
  if (status != WARP_OK)
    node->stun_unresolved = true;
  for (size_t i = 0; i < count && node->stun_count < WG_NODE_STUN_SERVERS; i++)
    node->stun_servers[node->stun_count++] = addrs[i];
  lookup_ended(node);
}

static void on_relay_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  wg_lookup *lookup = arg;
  warp_node *node = lookup->node;
  lookup->resolve = NULL;
  const wg_server_name *name = &node->relay_names[lookup->index];
  if (status != WARP_OK)
    wg_logf(&node->env->log, WARP_LOG_WARN, "relay %s: %s", name->host, warp_strerror(status));
  for (size_t i = 0; i < count && node->relay_count < WG_RELAYS_MAX; i++)
    node->relays[node->relay_count++] =
        (warp_relay){.addr = addrs[i], .user = name->user, .password = name->password};
  lookup_ended(node);
}

static int look_up(warp_node *node, const wg_server_name *name, size_t index, wg_resolve_cb cb) {
  wg_lookup *lookup = &node->lookups[node->lookup_count];
  *lookup = (wg_lookup){.node = node, .index = index};
  int status =
      node->env->ops->resolve(node->env, name->host, name->port, 0, cb, lookup, &lookup->resolve);
  if (status == WARP_OK) {
    node->lookup_count++;
    node->lookups_pending++;
  }
  return status;
}

void wg_node_resolve_servers(warp_node *node, void (*done)(warp_node *node)) {
  node->lookups_done = done;
  node->lookups_pending = 1; /* this call: nothing is done before all are started */
  wg_server_name name;
  for (size_t i = 0; node->conf.enable_stun_clients && node->conf.stun_servers[i] != NULL &&
                     i < WG_NODE_STUN_SERVERS;
       i++) {
    if (wg_server_name_parse(node->conf.stun_servers[i], &name) != WARP_OK ||
        look_up(node, &name, i, on_stun_resolved) != WARP_OK)
      node->stun_unresolved = true;
  }
  for (size_t i = 0; node->conf.turn_servers[i] != NULL && i < WG_RELAYS_MAX; i++) {
    if (wg_server_name_parse(node->conf.turn_servers[i], &node->relay_names[i]) == WARP_OK)
      (void)look_up(node, &node->relay_names[i], i, on_relay_resolved);
    else /* its text is not said: there may be a password in it */
      wg_logf(&node->env->log, WARP_LOG_WARN,
              "relay number %zu is not written as user:password@host:port", i + 1);
  }
  lookup_ended(node);
}

void wg_node_cancel_lookups(warp_node *node) {
  for (size_t i = 0; i < node->lookup_count; i++) {
    if (node->lookups[i].resolve != NULL)
      node->env->ops->resolve_cancel(node->lookups[i].resolve);
    node->lookups[i].resolve = NULL;
  }
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void measured(warp_node *node) {
  char text[WG_NODE_FAMILIES][WG_AXES_STRLEN] = {"", ""};
  bool any = false, pending = false;
  for (size_t i = 0; i < WG_NODE_FAMILIES; i++) {
    wg_family *family = &node->families[i];
    pending = pending || family->measure != NULL;
    if (family->measured)
      wg_axes_format(&family->axes, text[i]);
    any = any || family->measured;
  }
  if (pending)
    return;
  wg_node_step_done(node, WARP_START_LOAD_P2P_STUN_CLIENTS, any ? WARP_OK : WARP_TIMEOUT, "%s%s%s",
                    any ? text[0] : "no STUN server answered: the NAT is not known",
                    text[0][0] != '\0' && text[1][0] != '\0' ? "; IPv6 " : "", text[1]);
}

static void on_measured(void *arg, int status, const warp_nat_axes *axes) {
  wg_family *family = arg;
  family->measure = NULL;
  if (status == WARP_OK) {
    family->measured = true;
    family->axes = *axes;
  }
  measured(family->node);
}

static bool start_family(warp_node *node, wg_family *family) {
  warp_addr servers[WG_NODE_STUN_SERVERS];
  size_t count = 0;
  for (size_t i = 0; i < node->stun_count; i++) {
    if (node->stun_servers[i].family == family->family)
      servers[count++] = node->stun_servers[i];
  }
  return family->present && count > 0 &&
         wg_measure_start(node->env, &family->interface.addr, servers, count,
                          node->conf.server_timeout_ms, on_measured, family,
                          &family->measure) == WARP_OK;
}

static void resolved(warp_node *node) {
  bool any = false;
  for (size_t i = 0; i < WG_NODE_FAMILIES; i++)
    any = start_family(node, &node->families[i]) || any;
  if (!any)
    wg_node_step_done(node, WARP_START_LOAD_P2P_STUN_CLIENTS, WARP_NO_SERVER, "%s",
                      !node->conf.enable_stun_clients ? "off"
                      : node->stun_unresolved         ? "the STUN servers' names were not found"
                                              : "no STUN server configured: the NAT is not known");
}

void wg_node_measure(warp_node *node) {
  wg_node_resolve_servers(node, resolved);
}
