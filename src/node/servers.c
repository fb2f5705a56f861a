/* Looking up STUN and TURN servers: at the start, and those whose names were not found then again
 * and again, because the network may have had no name server yet. (Brokers, name servers and NTP
 * servers are looked up whenever they are asked.) */
#include "node/internal.h"

#include <string.h>

/* ---- what was found -------------------------------------------------------------------------- */

static void take_stun(warp_node *node, const warp_addr *addrs, size_t count) {
  for (size_t i = 0; i < count && node->stun_count < WG_NODE_STUN_SERVERS; i++)
    node->stun_servers[node->stun_count++] = addrs[i];
}

static void take_relay(warp_node *node, const wg_relay_name *name, const warp_addr *addrs,
                       size_t count) {
  for (size_t i = 0; i < count && node->relay_count < WG_RELAYS_MAX; i++)
    node->relays[node->relay_count++] =
        (warp_relay){.addr = addrs[i],
                     .user = name->server.user,
                     .password = name->server.password,
                     .transports = name->transports,
                     .tls_name = name->tls ? name->server.host : NULL};
}

static const wg_server_name *name_of(const wg_lookup *lookup) {
  return lookup->relay != NULL ? &lookup->relay->server : &lookup->stun;
}

static void ended(warp_node *node) {
  if (--node->lookups_pending == 0)
    node->lookups_done(node);
}

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  wg_lookup *lookup = arg;
  warp_node *node = lookup->node;
  lookup->resolve = NULL;
  lookup->found = status == WARP_OK;
  if (lookup->relay != NULL)
    take_relay(node, lookup->relay, addrs, count);
  else
    take_stun(node, addrs, count);
  if (node->state == WG_NODE_STARTING && !lookup->found)
    wg_logf(&node->log, WARP_LOG_WARN, "%s server %s: %s", lookup->relay != NULL ? "TURN" : "STUN",
            name_of(lookup)->host, warp_strerror(status));
  ended(node);
}

/* ---- looking up ------------------------------------------------------------------------------ */

static void look_up_all(warp_node *node, void (*done)(warp_node *node)) {
  wg_env *env = node->env;
  node->lookups_done = done;
  node->lookups_pending = 1; /* this call: nothing is done before all are started */
  for (size_t i = 0; i < node->lookup_count; i++) {
    wg_lookup *lookup = &node->lookups[i];
    const wg_server_name *name = name_of(lookup);
    if (lookup->found)
      continue;
    if (env->ops->resolve(env, name->host, name->port, 0, on_resolved, lookup, &lookup->resolve) ==
        WARP_OK)
      node->lookups_pending++;
    else
      lookup->resolve = NULL;
  }
  ended(node);
}

static wg_lookup *new_lookup(warp_node *node) {
  wg_lookup *lookup = &node->lookups[node->lookup_count++];
  *lookup = (wg_lookup){.node = node};
  return lookup;
}

void wg_node_resolve_servers(warp_node *node, void (*done)(warp_node *node)) {
  wg_server_name stun;
  for (size_t i = 0; node->conf.enable_stun_clients && node->conf.stun_servers[i] != NULL &&
                     i < WG_NODE_STUN_SERVERS;
       i++) {
    if (wg_server_name_parse(node->conf.stun_servers[i], &stun) == WARP_OK)
      new_lookup(node)->stun = stun;
  }
  for (size_t i = 0; node->conf.turn_servers[i] != NULL && i < WG_RELAYS_MAX; i++) {
    if (wg_relay_name_parse(node->conf.turn_servers[i], &node->relay_names[i]) == WARP_OK)
      new_lookup(node)->relay = &node->relay_names[i];
    else /* its text is not said: there may be a password in it */
      wg_logf(&node->log, WARP_LOG_WARN,
              "relay number %zu is not written as user:password@host:port", i + 1);
  }
  look_up_all(node, done);
}

void wg_node_cancel_lookups(warp_node *node) {
  wg_timer_stop(node->env, &node->lookup_timer);
  for (size_t i = 0; i < node->lookup_count; i++) {
    if (node->lookups[i].resolve != NULL)
      node->env->ops->resolve_cancel(node->lookups[i].resolve);
    node->lookups[i].resolve = NULL;
  }
}

/* ---- again ----------------------------------------------------------------------------------- */

static bool any_missing(const warp_node *node) {
  for (size_t i = 0; i < node->lookup_count; i++) {
    if (!node->lookups[i].found)
      return true;
  }
  return false;
}

static void on_again(void *arg);

/* Each time later, because a name that is written wrongly is never found. */
static void plan_again(warp_node *node) {
  if (!any_missing(node))
    return;
  wg_timer_start(node->env, &node->lookup_timer, (uint64_t)node->lookup_again_ms * 1000, on_again,
                 node);
  bool last = node->lookup_again_ms >= WG_LOOKUP_AGAIN_MAX_MS / 2;
  node->lookup_again_ms = last ? WG_LOOKUP_AGAIN_MAX_MS : 2 * node->lookup_again_ms;
}

/* Uplinks that asked the others in vain are not held up once more for nothing. */
static void found_later(warp_node *node) {
  if (node->stun_count + node->relay_count > node->servers_before) {
    wg_connect_set_servers(node->connect, node->stun_count, node->relay_count);
    wg_node_servers_came(node);
  }
  plan_again(node);
}

static void on_again(void *arg) {
  warp_node *node = arg;
  if (node->state != WG_NODE_RUNNING)
    plan_again(node); /* a start that takes long */
  else if (node->lookups_pending == 0) {
    node->servers_before = node->stun_count + node->relay_count;
    look_up_all(node, found_later);
  }
}

void wg_node_keep_looking_up(warp_node *node) {
  node->lookup_again_ms = WG_LOOKUP_AGAIN_MS;
  plan_again(node);
}

void wg_node_look_up_again(warp_node *node) {
  node->lookup_again_ms = WG_LOOKUP_AGAIN_MS;
  on_again(node);
}
