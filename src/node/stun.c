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
  const wg_relay_name *name = &node->relay_names[lookup->index];
  if (status != WARP_OK)
    wg_logf(&node->env->log, WARP_LOG_WARN, "relay %s: %s", name->server.host,
            warp_strerror(status));
  for (size_t i = 0; i < count && node->relay_count < WG_RELAYS_MAX; i++)
    node->relays[node->relay_count++] =
        (warp_relay){.addr = addrs[i],
                     .user = name->server.user,
                     .password = name->server.password,
                     .transports = name->transports,
                     .tls_name = name->tls ? name->server.host : NULL};
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
    if (wg_relay_name_parse(node->conf.turn_servers[i], &node->relay_names[i]) == WARP_OK)
      (void)look_up(node, &node->relay_names[i].server, i, on_relay_resolved);
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

/* One line for a person: the axes of UDP, and of TCP where they differ. */
static const char *say_axes(const wg_uplink *uplink, char *out, size_t room) {
  char udp[WG_AXES_STRLEN], tcp[WG_AXES_STRLEN];
  wg_axes_format(&uplink->found.udp, udp);
  wg_axes_format(&uplink->found.tcp, tcp);
  if (uplink->found.udp_status != WARP_OK)
    snprintf(out, room, "no UDP, TCP %s", tcp);
  else
    snprintf(out, room, "%s%s%s", udp, strcmp(udp, tcp) != 0 ? ", TCP " : "",
             strcmp(udp, tcp) != 0 ? tcp : "");
  return out;
}

static void measured(warp_node *node) {
  enum { ROOM = 2 * WG_AXES_STRLEN + 16 };
  char text[WG_NODE_UPLINKS * ROOM] = "";
  size_t len = 0;
  for (size_t i = 0; i < node->uplink_count; i++) {
    const wg_uplink *uplink = &node->uplinks[i];
    if (uplink->measure_awaited)
      return;
    if (!uplink->measured)
      continue;
    char axes[ROOM];
    len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%s", len > 0 ? "; " : "",
                            uplink->interface.addr.family == WARP_IP6 ? "IPv6 " : "",
                            say_axes(uplink, axes, sizeof axes));
  }
  wg_node_step_done(node, WARP_START_LOAD_P2P_STUN_CLIENTS, len > 0 ? WARP_OK : WARP_TIMEOUT, "%s",
                    len > 0 ? text : "no STUN server answered: the NAT is not known");
}

/* The server that answered best is asked first from now on. The first interface of a family says
 * which: to the others the list has changed. */
static void prefer_server(const wg_uplink *uplink, size_t server) {
  warp_node *node = uplink->node;
  int family = uplink->interface.addr.family;
  for (const wg_uplink *before = node->uplinks; before < uplink; before++) {
    if (before->interface.addr.family == family)
      return;
  }
  size_t place = WG_NODE_STUN_SERVERS, first = WG_NODE_STUN_SERVERS;
  for (size_t i = 0, number = 0; i < node->stun_count; i++) {
    if (node->stun_servers[i].family != family)
      continue;
    first = number == 0 ? i : first;
    place = number++ == server ? i : place;
  }
  if (place == WG_NODE_STUN_SERVERS)
    return;
  warp_addr best = node->stun_servers[place];
  node->stun_servers[place] = node->stun_servers[first];
  node->stun_servers[first] = best;
}

const warp_addr *wg_node_stun_server(const warp_node *node, int family) {
  for (size_t i = 0; i < node->stun_count; i++) {
    if (node->stun_servers[i].family == family)
      return &node->stun_servers[i];
  }
  return NULL;
}

/* ---- how long mappings live ------------------------------------------------------------------ */

unsigned wg_node_refresh_s(const wg_uplink *uplink) {
  unsigned lifetime_s = uplink->found.udp.lifetime_s, half_s = lifetime_s / 2;
  if (lifetime_s == 0 || half_s >= WG_MAPPING_REFRESH_S)
    return WG_MAPPING_REFRESH_S;
  return half_s > 0 ? half_s : 1;
}

/* Published when the record is renewed for another reason: peers can do without. */
static void on_lifetime(void *arg, unsigned lived_s, unsigned died_s, bool last) {
  wg_uplink *uplink = arg;
  if (!last)
    return;
  uplink->lifetime = NULL;
  uplink->found.udp.lifetime_s = (uint16_t)wg_lifetime_known_s(lived_s, died_s);
  if (uplink->udp_mapping != NULL)
    wg_mapping_set_refresh(uplink->udp_mapping, wg_node_refresh_s(uplink));
  wg_node_remember(uplink);
}

static void learn_lifetime(wg_uplink *uplink) {
  warp_node *node = uplink->node;
  const warp_addr *server = wg_node_stun_server(node, uplink->interface.addr.family);
  if (uplink->lifetime == NULL && server != NULL && uplink->found.udp.lifetime_s == 0 &&
      uplink->found.udp.translation == WARP_TRANSLATION_NAT &&
      wg_lifetime_start(node->env, &uplink->interface.addr, server, WG_LIFETIME_DELAY_MS,
                        on_lifetime, uplink, &uplink->lifetime) != WARP_OK)
    uplink->lifetime = NULL;
}

/* ---- the measurement ------------------------------------------------------------------------- */

static void on_measured(void *arg, const wg_measured *found, bool last) {
  wg_uplink *uplink = arg;
  warp_node *node = uplink->node;
  bool heard = found->udp_status == WARP_OK || found->tcp_status == WARP_OK;
  bool first = uplink->measure_awaited;
  if (uplink->recalled && !last)
    return; /* what is not certain yet is no reason to doubt what was */
  warp_nat_axes udp = found->udp;
  udp.lifetime_s = uplink->found.udp.lifetime_s; /* learned apart from the rest */
  bool changed = heard && (!wg_axes_equal(&uplink->found.udp, &udp) ||
                           !wg_axes_equal(&uplink->found.tcp, &found->tcp));
  if (last)
    uplink->measure = NULL;
  if (heard) {
    uplink->measured = true;
    uplink->recalled = false;
    uplink->measured_ms = wg_utc_ms(node->env, &node->clock);
    uplink->found = *found;
    uplink->found.udp = udp;
    if (last) {
      wg_node_remember(uplink);
      learn_lifetime(uplink);
    }
  }
  uplink->measure_awaited = false;
  if (first) {
    if (found->udp_status == WARP_OK)
      prefer_server(uplink, found->server);
    measured(node);
  } else if (changed) {
    wg_node_renew(node);
  }
}

static void on_first(void *arg, const warp_addr *external, const wg_nat_probe *probe) {
  wg_uplink *uplink = arg;
  if (!uplink->measure_awaited || !wg_node_recall(uplink, external, probe))
    return;
  uplink->measured = uplink->recalled = true;
  uplink->measure_awaited = false;
  measured(uplink->node);
}

static bool start_measuring(warp_node *node, wg_uplink *uplink) {
  warp_addr servers[WG_NODE_STUN_SERVERS];
  size_t count = 0;
  for (size_t i = 0; i < node->stun_count; i++) {
    if (node->stun_servers[i].family == uplink->interface.addr.family)
      servers[count++] = node->stun_servers[i];
  }
  warp_addr local = wg_addr_with_port(&uplink->interface.addr, wg_node_first_port(node));
  uplink->measure_awaited =
      count > 0 && wg_measure_start(node->env, &local, servers, count, node->conf.server_timeout_ms,
                                    on_measured, uplink, &uplink->measure) == WARP_OK;
  if (uplink->measure_awaited)
    wg_measure_on_first(uplink->measure, on_first);
  return uplink->measure_awaited;
}

static void resolved(warp_node *node) {
  bool any = false;
  wg_node_load_networks(node);
  for (size_t i = 0; i < node->uplink_count; i++)
    any = start_measuring(node, &node->uplinks[i]) || any;
  if (!any)
    wg_node_step_done(node, WARP_START_LOAD_P2P_STUN_CLIENTS, WARP_NO_SERVER, "%s",
                      !node->conf.enable_stun_clients ? "off"
                      : node->stun_unresolved         ? "the STUN servers' names were not found"
                                              : "no STUN server configured: the NAT is not known");
}

void wg_node_measure(warp_node *node) {
  wg_node_resolve_servers(node, resolved);
}
