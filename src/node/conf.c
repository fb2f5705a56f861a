/* Configurations: the two presets, and the node's own copy. */
#include "node/internal.h"

#include <stdlib.h>
#include <string.h>

/* Entries of one list that are copied; more than any limit of the parts that use them. */
enum { WG_CONF_LIST_MAX = WG_SETTINGS_MAX };

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

static bool copy_list(warp_node *node, const char *const **list) {
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
            copy_string(node, &copy->plugin_dir) && copy_list(node, &copy->interfaces) &&
            copy_list(node, &copy->stun_servers) && copy_list(node, &copy->turn_servers) &&
            copy_list(node, &copy->brokers) && copy_list(node, &copy->name_servers) &&
            copy_list(node, &copy->default_name_servers) && copy_list(node, &copy->ntp_servers) &&
            copy_list(node, &copy->settings);
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
