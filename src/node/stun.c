/* Measuring the NAT with the STUN servers. */
#include "node/internal.h"

#include "nat/names.h"
#include <stdio.h>
#include <string.h>

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

static void measured(const wg_uplink *arrived) {
  warp_node *node = arrived->node;
  if (node->state != WG_NODE_STARTING) {
    wg_node_arrived(node, arrived);
    return;
  }
  enum { ROOM = 2 * WG_AXES_STRLEN + 16 };
  char text[WG_NODE_UPLINKS * ROOM] = "";
  size_t len = 0;
  for (size_t i = 0; i < node->uplink_count; i++) {
    const wg_uplink *uplink = node->uplinks[i];
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
  if (wg_node_uplink(node, family) != uplink)
    return;
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
  if (heard && node->state == WG_NODE_RUNNING)
    (void)wg_uplink_ask_router(uplink);
  if (first) {
    if (found->udp_status == WARP_OK)
      prefer_server(uplink, found->server);
    measured(uplink);
  } else if (changed) {
    wg_node_renew(node);
  }
}

static void on_first(void *arg, const warp_addr *external, const wg_nat_probe *probe) {
  wg_uplink *uplink = arg;
  if (uplink->measured || !wg_node_recall(uplink, external, probe))
    return;
  bool awaited = uplink->measure_awaited;
  uplink->measured = uplink->recalled = true;
  uplink->measure_awaited = false;
  if (awaited)
    measured(uplink);
}

bool wg_uplink_measure(wg_uplink *uplink) {
  warp_node *node = uplink->node;
  warp_addr servers[WG_NODE_STUN_SERVERS];
  size_t count = 0;
  for (size_t i = 0; i < node->stun_count; i++) {
    if (node->stun_servers[i].family == uplink->interface.addr.family)
      servers[count++] = node->stun_servers[i];
  }
  warp_addr local = wg_addr_with_port(&uplink->interface.addr, wg_node_first_port(node));
  bool started =
      count > 0 && wg_measure_start(node->env, &local, servers, count, node->conf.server_timeout_ms,
                                    on_measured, uplink, &uplink->measure) == WARP_OK;
  uplink->measure_awaited = started && node->state == WG_NODE_STARTING;
  if (started)
    wg_measure_on_first(uplink->measure, on_first);
  return started;
}

static void resolved(warp_node *node) {
  bool any = false;
  wg_node_load_networks(node);
  for (size_t i = 0; i < node->uplink_count; i++)
    any = wg_uplink_measure(node->uplinks[i]) || any;
  bool off = !node->conf.enable_stun_clients;
  if (!any)
    wg_node_step_done(node, WARP_START_LOAD_P2P_STUN_CLIENTS, off ? WARP_OK : WARP_NO_SERVER, "%s",
                      off ? "off"
                      : node->conf.stun_servers[0] == NULL
                          ? "no STUN server configured: the NAT is not known"
                          : "the STUN servers' names were not found");
}

void wg_node_measure(warp_node *node) {
  wg_node_resolve_servers(node, resolved);
}
