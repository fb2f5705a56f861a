/* Configurations: the two presets, and the node's own copy. */
#include "node/internal.h"

#include <stdlib.h>
#include <string.h>

/* Entries of one list that are copied: more than any limit of the parts that use them, so that
 * those see when there is one too many. */
enum { WG_CONF_LIST_MAX = WG_SETTINGS_MAX + 1 };

warp_conf warp_conf_default(void) {
  return (warp_conf){
      .enable_stun_clients = true,
      .init_clock_skew = true,
      .enable_upnp = true,
      .enable_punching = true,
      .enable_nickname = true,
      .sig_pipe_no = 1,
      .server_timeout_ms = 2000,
  };
}

warp_conf warp_conf_test(void) {
  return (warp_conf){.enable_punching = true, .loopback_only = true, .server_timeout_ms = 500};
}

/* Every string of the copy is freed through this list. */
typedef struct wg_block {
  wg_list link;
  void *bytes;
} wg_block;

static void *keep(warp_node *node, void *bytes) {
  wg_block *block = malloc(sizeof *block);
  if (block == NULL || bytes == NULL) {
    free(block);
    free(bytes);
    return NULL;
  }
  block->bytes = bytes;
  wg_list_push(&node->strings, &block->link);
  return bytes;
}

static bool copy_string(warp_node *node, const char **text) {
  if (*text == NULL)
    return true;
  *text = keep(node, strdup(*text));
  return *text != NULL;
}

/* A node that keeps to loopback asks no server that is elsewhere, nor anybody for its address. What
 * is no server's name at all is left to who reads it, and says so. */
static bool is_elsewhere(const warp_node *node, const char *text) {
  wg_relay_name relay;
  wg_server_name server;
  const char *host = NULL;
  if (wg_relay_name_parse(text, &relay) == WARP_OK)
    host = relay.server.host;
  else if (wg_server_name_parse_usual(text, WG_NTP_PORT, &server) == WARP_OK)
    host = server.host;
  if (!node->conf.loopback_only || host == NULL || wg_host_is_loopback(host))
    return false;
  wg_logf(&node->log, WARP_LOG_WARN, "server %s is left out: it is not on loopback", host);
  return true;
}

static void drop_elsewhere(const warp_node *node, const char **list) {
  size_t kept = 0;
  for (size_t i = 0; list[i] != NULL; i++) {
    if (!is_elsewhere(node, list[i]))
      list[kept++] = list[i];
  }
  list[kept] = NULL;
}

static bool copy_list(warp_node *node, const char *const **list, bool of_servers) {
  size_t count = 0;
  while (*list != NULL && count < WG_CONF_LIST_MAX && (*list)[count] != NULL)
    count++;
  const char **copy = keep(node, calloc(count + 1, sizeof *copy));
  if (copy == NULL)
    return false;
  for (size_t i = 0; i < count; i++) {
    copy[i] = (*list)[i];
    if (!copy_string(node, &copy[i]))
      return false;
  }
  if (of_servers)
    drop_elsewhere(node, copy);
  *list = copy;
  return true;
}

int wg_node_copy_conf(warp_node *node, const warp_conf *conf) {
  wg_list_init(&node->strings);
  node->conf = *conf;
  warp_conf *copy = &node->conf;
  if (copy->server_timeout_ms == 0)
    copy->server_timeout_ms = warp_conf_default().server_timeout_ms;
  bool ok = copy_string(node, &copy->data_dir) && copy_string(node, &copy->key_name) &&
            copy_string(node, &copy->machine_id) && copy_string(node, &copy->ca_file) &&
            copy_string(node, &copy->plugin_dir) && copy_list(node, &copy->interfaces, false) &&
            copy_list(node, &copy->stun_servers, true) &&
            copy_list(node, &copy->turn_servers, true) && copy_list(node, &copy->brokers, true) &&
            copy_list(node, &copy->ntp_servers, true) &&
            copy_list(node, &copy->name_servers, false) && /* the names' suffix is that of all */
            copy_list(node, &copy->default_name_servers, false) &&
            copy_list(node, &copy->settings, false);
  return ok ? WARP_OK : WARP_NOMEM;
}

void wg_node_free_conf(warp_node *node) {
  while (!wg_list_empty(&node->strings)) {
    wg_block *block = WG_CONTAINER(node->strings.next, wg_block, link);
    wg_list_remove(&block->link);
    free(block->bytes);
    free(block);
  }
}
