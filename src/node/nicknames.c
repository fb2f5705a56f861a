/* Names of a node: the derived one at start, and those the program registers. */
#include "node/internal.h"

#include <stdio.h>

static void on_derived(void *arg, int status, const uint8_t *record, size_t len) {
  (void)record;
  (void)len;
  warp_node *node = arg;
  if (!node->nickname_pending)
    return;
  node->nickname_pending = false;
  node->nickname_kept = status == WARP_OK;
  wg_node_step_done(node, WARP_START_SETUP_NICKNAME_SERVICE, status, "%s: %s",
                    warp_node_nickname(node),
                    status == WARP_OK ? "registered" : warp_strerror(status));
}

void wg_node_also_register(warp_node *node, const char *name, warp_on_name cb, void *arg) {
  node->also_name = name;
  node->also_cb = cb;
  node->also_arg = arg;
}

bool wg_node_has_nickname(const warp_node *node) {
  return node->nickname_kept;
}

bool wg_node_also_stands(const warp_node *node) {
  return node->also_sequence == node->record.sequence;
}

/* Before the derived one: where a quota has room for one more, it is this one. */
static void register_also(warp_node *node) {
  if (node->also_name == NULL)
    return;
  node->also_sequence = node->record.sequence;
  int status = wg_names_register(node->names, node->also_name, node->record_bytes, node->record_len,
                                 node->also_cb, node->also_arg);
  if (status != WARP_OK)
    node->also_cb(node->also_arg, status, NULL, 0);
}

void wg_node_setup_names(warp_node *node) {
  wg_names_options options = {.env = node->env,
                              .clock = &node->clock,
                              .identity = node->identity,
                              .servers = node->conf.name_servers,
                              .defaults = node->conf.default_name_servers,
                              .timeout_ms = node->conf.server_timeout_ms,
                              .loopback_only = node->conf.loopback_only};
  int status = wg_names_open(&options, &node->names);
  if (status != WARP_OK) {
    wg_logf(&node->log, WARP_LOG_ERROR, "the name servers cannot be used: %s",
            warp_strerror(status));
    wg_node_start_failed(node, status);
    return;
  }
  char derived[WARP_NAME_MAX + 1];
  wg_name_derive(wg_identity_key(node->identity), derived);
  snprintf(node->nickname, sizeof node->nickname, "%s%s", derived,
           wg_names_set(node->names)->suffix);
  register_also(node);
  if (node->conf.name_servers[0] == NULL || !node->conf.enable_nickname) {
    bool off = !node->conf.enable_nickname;
    wg_node_step_done(node, WARP_START_SETUP_NICKNAME_SERVICE, off ? WARP_OK : WARP_NO_SERVER, "%s",
                      off ? "no name of its own wanted"
                          : "no name server configured: reachable by address only");
    return;
  }
  node->nickname_pending = true;
  status = wg_names_register(node->names, node->nickname, node->record_bytes, node->record_len,
                             on_derived, node);
  if (status != WARP_OK)
    on_derived(node, status, NULL, 0);
}

int warp_node_register(warp_node *node, const char *name, warp_on_name cb, void *arg) {
  if (node == NULL || name == NULL || cb == NULL)
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  return wg_names_register(node->names, name, node->record_bytes, node->record_len, cb, arg);
}

int warp_node_resolve(warp_node *node, const uint8_t *record, size_t len, warp_on_name cb,
                      void *arg) {
  if (node == NULL || record == NULL || cb == NULL)
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  return wg_connect_resolve(node->connect, record, len, cb, arg);
}

int warp_node_lookup(warp_node *node, const char *name, warp_on_name cb, void *arg) {
  if (node == NULL || name == NULL || cb == NULL)
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  return wg_names_lookup(node->names, name, cb, arg);
}

int warp_node_unregister(warp_node *node, const char *name, warp_on_name cb, void *arg) {
  if (node == NULL || name == NULL || cb == NULL)
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  return wg_names_delete(node->names, name, cb, arg);
}

const char *warp_node_nickname(const warp_node *node) {
  return node != NULL ? node->nickname : "";
}
