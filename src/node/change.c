/*
 * What a running node makes of interfaces and addresses that come and go.
 *
 * A change is looked at when it has settled. An address that is new gets the listen port, a look at
 * its NAT, mappings and the router's help, as at the start; when its servers have answered it takes
 * its place among those in use. What the machine has lost is closed with that, and what stood on
 * it; then there is a new record, which is registered again, and connects under way go on with it.
 * A change that alters none of the addresses in use may still have put the node behind another NAT
 * (the same private address in another network), so the mappings are asked for.
 */
#include "node/internal.h"

#include "base/addr.h"
#include <stdio.h>
#include <string.h>

/* Those that are to be in use, in their order. */
typedef struct line_up {
  wg_uplink *uplinks[WG_NODE_UPLINKS];
  size_t count;
  bool again; /* one that is wanted could not be had, which need not stay so */
} line_up;

static bool is_in(wg_uplink *const *uplinks, size_t count, const wg_uplink *uplink) {
  for (size_t i = 0; i < count; i++) {
    if (uplinks[i] == uplink)
      return true;
  }
  return false;
}

static bool is_used(const warp_node *node, const wg_uplink *uplink) {
  return is_in(node->uplinks, node->uplink_count, uplink);
}

/* In use, or on the way to that. */
static wg_uplink *find(warp_node *node, const wg_interface *interface) {
  for (wg_uplink *uplink = node->places; uplink < node->places + WG_NODE_PLACES; uplink++) {
    if (uplink->node != NULL && wg_interface_same(&uplink->interface, interface))
      return uplink;
  }
  return NULL;
}

/* ---- addresses that come --------------------------------------------------------------------- */

static void log_addr(const warp_node *node, warp_log_level level, const warp_addr *addr,
                     const char *what) {
  char text[WARP_ADDR_STRLEN];
  wg_logf(&node->log, level, "address %s %s", warp_addr_format(addr, text), what);
}

/* As at the start. */
static void look_around(wg_uplink *uplink) {
  uplink->measure_awaited = wg_uplink_measure(uplink);
  wg_uplink_start_mappings(uplink);
  (void)wg_uplink_ask_router(uplink);
}

static bool is_awaited(const wg_uplink *uplink) {
  return uplink->measure_awaited || uplink->udp_awaited || uplink->tcp_awaited;
}

/* What is in use is in use: only what is on the way to that is waited for. */
void wg_node_servers_came(warp_node *node) {
  for (wg_uplink *uplink = node->places; uplink < node->places + WG_NODE_PLACES; uplink++) {
    if (uplink->node == NULL)
      continue;
    bool waits = !is_used(node, uplink);
    if (uplink->measure == NULL && !uplink->measured)
      uplink->measure_awaited = wg_uplink_measure(uplink) && waits;
    if (uplink->udp_mapping == NULL && uplink->tcp_mapping == NULL) {
      wg_uplink_start_mappings(uplink);
      uplink->udp_awaited &= waits;
      uplink->tcp_awaited &= waits;
    }
  }
}

/* Opens the listen port on an address that is new. NULL when it cannot be. A port that is another
 * program's stays that: of its end nobody tells, and to try it now and then would fill the log. */
static wg_uplink *arrive(warp_node *node, const wg_interface *interface, bool *again) {
  wg_uplink *uplink = wg_uplink_new(node, interface);
  int status = wg_uplink_listen(uplink);
  if (status == WARP_OK) {
    log_addr(node, WARP_LOG_INFO, &interface->addr, "is new");
    look_around(uplink);
    return uplink;
  }
  char what[96];
  snprintf(what, sizeof what, "is new, but is not used: its port %u: %s", node->port,
           warp_strerror(status));
  log_addr(node, WARP_LOG_WARN, &interface->addr, what);
  *again |= status != WARP_ADDR_IN_USE;
  wg_uplink_close(uplink);
  return NULL;
}

/* Has the uplinks ready for what the interfaces are now. WARP_OK, or what the environment says. */
static int line_up_for(warp_node *node, line_up *out) {
  wg_interface chosen[WG_NODE_UPLINKS];
  int count = wg_node_choose(node, chosen);
  *out = (line_up){.again = count < 0};
  if (count < 0)
    return count;
  for (wg_uplink *uplink = node->places; uplink < node->places + WG_NODE_PLACES; uplink++) {
    bool wanted = false;
    for (int i = 0; i < count && uplink->node != NULL; i++)
      wanted |= wg_interface_same(&uplink->interface, &chosen[i]);
    if (uplink->node != NULL && !wanted && !is_used(node, uplink))
      wg_uplink_close(uplink); /* it came and went */
  }
  for (int i = 0; i < count; i++) {
    wg_uplink *uplink = find(node, &chosen[i]);
    if (uplink == NULL)
      uplink = arrive(node, &chosen[i], &out->again);
    if (uplink == NULL)
      continue;
    uplink->interface = chosen[i]; /* the prefix may be another one */
    out->uplinks[out->count++] = uplink;
  }
  return WARP_OK;
}

/* ---- the new order --------------------------------------------------------------------------- */

static void tell_timekeeper(const warp_node *node) {
  const wg_uplink *v4 = wg_node_uplink(node, WARP_IP4), *v6 = wg_node_uplink(node, WARP_IP6);
  if (node->timekeeper != NULL)
    wg_timekeeper_move(node->timekeeper, v4 != NULL ? &v4->interface.addr : NULL,
                       v6 != NULL ? &v6->interface.addr : NULL);
}

/* All addresses of the machine, whether the node uses them or not. */
typedef struct machine {
  int count;
  wg_interface all[WG_INTERFACES_MAX];
} machine;

static bool is_here(void *arg, const warp_addr *addr) {
  const machine *here = arg;
  for (int i = 0; i < here->count; i++) {
    if (wg_addr_same_ip(&here->all[i].addr, addr))
      return true;
  }
  return false;
}

/* The program may close the node when a pipe of its ends: then the rest is the end's work. */
static void apply(warp_node *node, const line_up *to) {
  wg_uplink *before[WG_NODE_UPLINKS];
  size_t before_count = node->uplink_count;
  wg_mux *muxes[WG_RECORD_ENDPOINTS] = {NULL};
  machine here;
  memcpy(before, node->uplinks, sizeof before);
  for (size_t i = 0; i < to->count; i++) {
    node->uplinks[i] = to->uplinks[i];
    muxes[i] = &to->uplinks[i]->mux;
  }
  node->uplink_count = to->count;
  tell_timekeeper(node);
  here.count = node->env->ops->interfaces(node->env, here.all, WG_INTERFACES_MAX);
  wg_node_renew(node);
  wg_connect_move(node->connect, muxes, is_here, &here);
  for (size_t i = 0; i < before_count && node->state == WG_NODE_RUNNING; i++) {
    if (is_used(node, before[i]))
      continue;
    log_addr(node, WARP_LOG_WARN, &before[i]->interface.addr, "is gone");
    wg_uplink_close(before[i]);
  }
}

static void ask_mappings(const warp_node *node) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    const wg_uplink *uplink = node->uplinks[i];
    if (uplink->udp_mapping != NULL)
      wg_mapping_ask(uplink->udp_mapping);
    if (uplink->tcp_mapping != NULL)
      wg_mapping_ask(uplink->tcp_mapping);
  }
}

/* ---- when ------------------------------------------------------------------------------------ */

static void look(void *arg);

/* Has what is only gone been so for long enough? Looks again otherwise. */
static bool is_lost(warp_node *node) {
  uint64_t now = wg_now_us(node->env);
  if (node->lost_us == 0)
    node->lost_us = now;
  uint64_t since_us = now - node->lost_us, wait_us = (uint64_t)WG_CHANGE_LOST_MS * 1000;
  if (since_us < wait_us)
    wg_timer_start(node->env, &node->settle, wait_us - since_us, look, node);
  return since_us >= wait_us;
}

static bool differs(const warp_node *node, const line_up *to) {
  if (to->count != node->uplink_count)
    return true;
  for (size_t i = 0; i < to->count; i++) {
    if (to->uplinks[i] != node->uplinks[i] ||
        to->uplinks[i]->interface.prefix_bits != node->record.endpoints[i].prefix_bits)
      return true;
  }
  return false;
}

/* False while something is awaited. */
static bool is_settled(warp_node *node, const line_up *to) {
  bool comes = false, goes = false;
  for (size_t i = 0; i < to->count; i++) {
    comes |= !is_used(node, to->uplinks[i]);
    if (is_awaited(to->uplinks[i]))
      return false; /* wg_node_arrived goes on */
  }
  for (size_t i = 0; i < node->uplink_count; i++)
    goes |= !is_in(to->uplinks, to->count, node->uplinks[i]);
  return !goes || comes || is_lost(node);
}

static void settle(warp_node *node) {
  line_up to;
  int status = line_up_for(node, &to);
  if (status != WARP_OK)
    wg_logf(&node->log, WARP_LOG_WARN, "the interfaces cannot be listed: %s",
            warp_strerror(status));
  else if (!is_settled(node, &to))
    return;
  node->lost_us = 0;
  if (status == WARP_OK && differs(node, &to))
    apply(node, &to);
  if (node->state != WG_NODE_RUNNING)
    return;
  if (to.again)
    wg_timer_start(node->env, &node->settle, (uint64_t)WG_CHANGE_AGAIN_MS * 1000, look, node);
  wg_connect_settle(node->connect, WG_UNSETTLED_INTERFACES);
}

static void look(void *arg) {
  warp_node *node = arg;
  node->change_pending = false;
  wg_router_renew(node->router);
  ask_mappings(node);
  wg_node_look_up_again(node);
  settle(node);
}

/* A change that waits for its look shares the timer with what has arrived, and is not lost. */
static void on_arrived(void *arg) {
  warp_node *node = arg;
  if (node->change_pending)
    look(node);
  else
    settle(node);
}

void wg_node_arrived(warp_node *node, const wg_uplink *uplink) {
  if (!is_awaited(uplink))
    wg_timer_start(node->env, &node->settle, 0, on_arrived, node);
}

/* One look at the end of the time, however many changes come within it. */
static void on_change(void *arg) {
  warp_node *node = arg;
  uint64_t delay_us = (uint64_t)WG_CHANGE_SETTLE_MS * 1000;
  node->change_pending = true;
  if (node->state == WG_NODE_STARTING)
    return;
  wg_connect_unsettle(node->connect, WG_UNSETTLED_INTERFACES);
  if (!node->settle.running || node->settle.deadline_us > wg_now_us(node->env) + delay_us)
    wg_timer_start(node->env, &node->settle, delay_us, look, node);
}

void wg_node_watch(warp_node *node) {
  if (node->conf.loopback_only)
    return;
  int status = node->env->ops->netwatch_open(node->env, on_change, node, &node->netwatch);
  if (status != WARP_OK)
    wg_logf(&node->log, WARP_LOG_WARN, "changes of the interfaces will not be noticed: %s",
            warp_strerror(status));
}

void wg_node_unwatch(warp_node *node) {
  wg_timer_stop(node->env, &node->settle);
  if (node->netwatch != NULL)
    node->env->ops->netwatch_close(node->netwatch);
  node->netwatch = NULL;
}

void wg_node_watch_started(warp_node *node) {
  if (node->change_pending)
    wg_timer_start(node->env, &node->settle, 0, look, node);
}
