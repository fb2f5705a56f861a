/* The public face of a node, and its end. */
#include "node/internal.h"

#include "env/loop.h"
#include <stdlib.h>
#include <string.h>

int wg_node_start(wg_env *env, const warp_conf *conf, warp_node_on_start cb, void *arg,
                  warp_node **out) {
  if (env == NULL || conf == NULL || cb == NULL || out == NULL)
    return WARP_INVALID;
  warp_node *node = calloc(1, sizeof *node);
  if (node == NULL)
    return WARP_NOMEM;
  node->env = env;
  node->on_start = cb;
  node->on_start_arg = arg;
  node->heard = (wg_log){.sink = conf->on_log, .arg = conf->log_arg};
  node->log =
      conf->on_log != NULL ? node->heard : (wg_log){.sink = env->log.sink, .arg = env->log.arg};
  int status = wg_node_copy_conf(node, conf);
  if (status == WARP_OK && node->conf.seed == 0)
    status = env->ops->random(env, &node->conf.seed, sizeof node->conf.seed);
  wg_list_init(&node->kept);
  wg_list_init(&node->awaited);
  if (status == WARP_OK && conf->plugin_dir == NULL)
    status = wg_node_load_plugins(node);
  if (status != WARP_OK) {
    wg_node_free_conf(node);
    free(node);
    return status;
  }
  wg_log_join(&env->log, &node->heard);
  wg_node_begin_start(node);
  *out = node;
  return WARP_OK;
}

int warp_node_start(warp_loop *loop, const warp_conf *conf, warp_node_on_start cb, void *arg,
                    warp_node **out) {
  return loop == NULL ? WARP_INVALID : wg_node_start(warp_loop_env(loop), conf, cb, arg, out);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void free_node(void *arg) {
  warp_node *node = arg;
  void (*closed)(void *) = node->on_close;
  void *closed_arg = node->on_close_arg;
  if (node->router != NULL)
    wg_router_close(node->router);
  for (size_t i = 0; i < WG_NODE_PLACES; i++) {
    if (node->places[i].node != NULL)
      wg_uplink_close(&node->places[i]);
  }
  wg_log_leave(&node->env->log, &node->heard);
  wg_identity_free(node->identity);
  wg_node_free_conf(node);
  free(node);
  if (closed != NULL)
    closed(closed_arg);
}

/* The switchboard goes first: its sessions tell their peers through the router. The sockets it
 * stands on, and all other memory, go when it is gone. */
static void tear_down(warp_node *node) {
  node->state = WG_NODE_CLOSING;
  wg_timer_stop(node->env, &node->step_timer);
  wg_timer_stop(node->env, &node->signal_timer);
  wg_timer_stop(node->env, &node->renew);
  wg_timer_stop(node->env, &node->tell);
  wg_timer_stop(node->env, &node->late);
  wg_node_unwatch(node);
  wg_timer_stop(node->env, &node->router_timer);
  node->signal_waiting = node->nickname_pending = node->router_awaited = false;
  wg_node_cancel_lookups(node);
  wg_awaited_cancel(node);
  wg_timekeeper_close(node->timekeeper);
  node->timekeeper = NULL;
  if (node->names != NULL)
    wg_names_close(node->names);
  node->names = NULL;
  if (node->connect != NULL) {
    wg_connect *connect = node->connect;
    node->connect = NULL;
    wg_connect_close(connect, free_node, node);
  } else {
    wg_timer_start(node->env, &node->step_timer, 0, free_node, node);
  }
}

void warp_node_close(warp_node *node, void (*cb)(void *arg), void *arg) {
  if (node == NULL || node->state == WG_NODE_CLOSING)
    return;
  bool starting = node->state == WG_NODE_STARTING;
  node->on_close = cb;
  node->on_close_arg = arg;
  tear_down(node);
  if (starting)
    node->on_start(node->on_start_arg, node, WARP_CANCELED);
}

void wg_node_start_failed(warp_node *node, int status) {
  if (node->state != WG_NODE_STARTING)
    return;
  tear_down(node);
  node->on_start(node->on_start_arg, NULL, status);
}

/* ---- questions ------------------------------------------------------------------------------- */

int warp_node_address(const warp_node *node, uint8_t *buf, size_t *len) {
  if (node == NULL || buf == NULL || len == NULL)
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  if (*len < node->record_len)
    return WARP_TOO_BIG;
  memcpy(buf, node->record_bytes, node->record_len);
  *len = node->record_len;
  return WARP_OK;
}

int warp_node_key(const warp_node *node, warp_key *out) {
  if (node == NULL || out == NULL)
    return WARP_INVALID;
  if (node->identity == NULL)
    return WARP_STATE;
  *out = *wg_identity_key(node->identity);
  return WARP_OK;
}

uint16_t warp_node_port(const warp_node *node) {
  return node != NULL && node->state == WG_NODE_RUNNING ? node->port : 0;
}

int warp_node_supported(const warp_node *node, int family) {
  if (node == NULL || (family != WARP_IP4 && family != WARP_IP6))
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  return wg_node_uplink(node, family) != NULL ? WARP_OK : WARP_UNSUPPORTED;
}

/* ---- connecting ------------------------------------------------------------------------------ */

int warp_node_connect(warp_node *node, int family, int route_type, const uint8_t *record,
                      size_t len, const char *plugin_name, const warp_connect_options *options,
                      warp_on_connect cb, void *arg) {
  if (node == NULL || record == NULL || cb == NULL ||
      (plugin_name != NULL && strchr(plugin_name, ',') != NULL))
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  warp_connect_options pinned = {0};
  if (options != NULL)
    pinned = *options;
  if (plugin_name != NULL)
    pinned.plugins = plugin_name;
  return wg_connect_start(node->connect, record, len,
                          (wg_connect_pin){.family = family, .route_type = route_type}, &pinned, cb,
                          arg);
}

int warp_auto_connect(warp_node *node, const uint8_t *record, size_t len,
                      const warp_connect_options *options, warp_on_connect cb, void *arg) {
  return warp_node_connect(node, 0, 0, record, len, NULL, options, cb, arg);
}

static void tell_program(void *arg) {
  warp_node *node = arg;
  node->conf.on_address(node->conf.address_arg, node);
}

void wg_node_renew(warp_node *node) {
  node->record_stale = node->state == WG_NODE_STARTING && node->record_len > 0;
  if (node->state != WG_NODE_RUNNING)
    return;
  if (wg_node_issue_record(node) != WARP_OK) {
    wg_node_renew_later(node); /* the old record still tells the truth of a moment ago */
    return;
  }
  /* Without an address there is no way to the servers either; what they have leads to a broker. */
  if (node->names != NULL && node->uplink_count > 0)
    wg_names_update(node->names, node->record_bytes, node->record_len);
  if (node->conf.on_address != NULL)
    wg_timer_start(node->env, &node->tell, 0, tell_program, node);
}
