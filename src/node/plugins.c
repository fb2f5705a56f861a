/* The plugins of a node: which there are, and the numbers that a person set for them. */
#include "node/internal.h"

#include <stdio.h>
#include <string.h>

static int read_settings(warp_node *node) {
  char why[WG_PLUGIN_WHY_LEN];
  int status =
      wg_settings_read(&node->settings, node->conf.settings, node->plugins.list, why, sizeof why);
  if (status != WARP_OK)
    wg_logf(&node->log, WARP_LOG_ERROR, "%s", why);
  return status;
}

static void on_refused(void *arg, const char *what, int status, const char *why) {
  warp_node *node = arg;
  wg_refusals *refused = &node->refusals;
  wg_logf(&node->log, WARP_LOG_WARN, "plugin %s is left out: %s", what, why);
  if (refused->count++ > 0)
    return;
  refused->status = status;
  snprintf(refused->first, sizeof refused->first, "%.40s is left out: %.120s", what, why);
}

int wg_node_load_plugins(warp_node *node) {
  const char *dir = node->conf.plugin_dir;
  wg_plugin_set_init(&node->plugins);
  int status = WARP_OK;
  if (dir != NULL)
    status = wg_plugin_set_load(&node->plugins, node->env, dir, on_refused, node);
  if (status == WARP_PERMISSION)
    on_refused(node, dir, status, "it is another user's, or others may write to it");
  else if (status != WARP_OK)
    on_refused(node, dir, status, warp_strerror(status));
  return read_settings(node);
}

void wg_node_check_plugins(warp_node *node) {
  int status = node->conf.plugin_dir != NULL ? wg_node_load_plugins(node) : WARP_OK;
  if (status != WARP_OK)
    wg_node_start_failed(node, status);
}

void wg_node_setup_plugins(warp_node *node) {
  const wg_plugin_set *set = &node->plugins;
  const wg_refusals *refused = &node->refusals;
  wg_plugin_set_setup(&node->plugins, on_refused, node);
  wg_connect_set_plugins(node->connect, node->plugins.list, &node->settings);
  size_t outside = set->count - set->built_in;
  char others[48] = "", more[48] = "";
  if (outside > 0)
    snprintf(others, sizeof others, " and %zu from outside", outside);
  if (refused->count > 1)
    snprintf(more, sizeof more, " (and %u more)", refused->count - 1);
  wg_node_step_done(node, WARP_START_SETUP_TRAVERSAL_PLUGINS, refused->status,
                    "%zu built-in plugins%s%s%s%s", set->built_in, others,
                    refused->count > 0 ? ", " : "", refused->first, more);
}
