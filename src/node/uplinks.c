/*
 * Which of the machine's addresses the node uses: one of each interface and family that leads to
 * the internet, the default interface first. Bridges of containers and the like lead nowhere, and
 * are used only when the configuration names them.
 */
#include "node/internal.h"

#include "base/addr.h"
#include <stdio.h>
#include <string.h>

static bool named(const warp_node *node, const wg_interface *interface) {
  warp_addr addr;
  for (const char *const *name = node->conf.interfaces; *name != NULL; name++) {
    if (strcmp(*name, interface->name) == 0 ||
        (warp_addr_parse(*name, &addr) == WARP_OK && wg_addr_same_ip(&addr, &interface->addr)))
      return true;
  }
  return false;
}

/* The better of an interface's addresses comes first, the default one before all. */
typedef enum rank { DEFAULT, GLOBAL, INSIDE, LINK, UNUSABLE } rank;

static rank rank_of(const warp_node *node, const wg_interface *interface) {
  wg_addr_scope scope = wg_addr_get_scope(&interface->addr);
  if (node->conf.loopback_only)
    return interface->loopback ? DEFAULT : UNUSABLE;
  bool chosen = node->conf.interfaces[0] != NULL;
  if (interface->loopback || scope == WG_SCOPE_INVALID ||
      (chosen ? !named(node, interface) : !interface->routed))
    return UNUSABLE;
  if (interface->is_default)
    return DEFAULT;
  return scope == WG_SCOPE_GLOBAL ? GLOBAL : scope == WG_SCOPE_LINK ? LINK : INSIDE;
}

/* One address of an interface and family is enough: IPv6 has several that come and go. */
static bool is_taken(const warp_node *node, const wg_interface *interface) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    const wg_interface *other = &node->uplinks[i].interface;
    if (other->addr.family == interface->addr.family &&
        (node->conf.loopback_only || strcmp(other->name, interface->name) == 0))
      return true;
  }
  return false;
}

static void add(warp_node *node, const wg_interface *interface) {
  wg_uplink *uplink = &node->uplinks[node->uplink_count++];
  *uplink = (wg_uplink){.node = node, .interface = *interface};
  for (size_t i = 0; i < WG_NODE_OPENINGS; i++)
    uplink->openings[i] = (wg_opening){.uplink = uplink, .transport = i == 0 ? WARP_TCP : WARP_UDP};
}

void wg_node_load_interfaces(warp_node *node) {
  wg_interface all[WG_INTERFACES_MAX];
  int count = node->env->ops->interfaces(node->env, all, WG_INTERFACES_MAX);
  /* Link-local addresses are better than nothing, and of no use beside others. */
  for (int turn = DEFAULT; turn <= LINK && (turn < LINK || node->uplink_count == 0); turn++) {
    for (int i = 0; i < count && node->uplink_count < WG_NODE_UPLINKS; i++) {
      if ((int)rank_of(node, &all[i]) == turn && !is_taken(node, &all[i]))
        add(node, &all[i]);
    }
  }
  if (node->uplink_count == 0) {
    wg_logf(&node->env->log, WARP_LOG_ERROR, "no network interface that %s",
            node->conf.interfaces[0] != NULL ? "the configuration names" : "leads anywhere");
    wg_node_start_failed(node, count < 0 ? count : WARP_UNREACHABLE);
    return;
  }
  char text[WG_NODE_UPLINKS * (WARP_ADDR_STRLEN + 2)] = "", addr[WARP_ADDR_STRLEN];
  size_t len = 0;
  for (size_t i = 0; i < node->uplink_count; i++)
    len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i > 0 ? ", " : "",
                            warp_addr_format(&node->uplinks[i].interface.addr, addr));
  wg_node_step_done(node, WARP_START_LOAD_NETWORK_INTERFACES, WARP_OK, "%s", text);
}

const wg_uplink *wg_node_uplink(const warp_node *node, int family) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    if (node->uplinks[i].interface.addr.family == family)
      return &node->uplinks[i];
  }
  return NULL;
}
