/* The plugins of a node: which there are, and the numbers that a person set for them. */
#include "node/internal.h"

#include <stdio.h>
#include <string.h>

int wg_node_read_settings(warp_node *node) {
  char why[WG_PLUGIN_WHY_LEN];
  int status =
      wg_settings_read(&node->settings, node->conf.settings, node->plugins.list, why, sizeof why);
  if (status != WARP_OK)
    wg_logf(&node->log, WARP_LOG_ERROR, "%s", why);
  return status;
}

/* What was left out, for the start event: the first one with its reason, the others by number. */
typedef struct refusals {
  warp_node *node;
  unsigned count;
  int status;
  char first[WG_PLUGIN_WHY_LEN];
} refusals;

static void on_refused(void *arg, const char *what, int status, const char *why) {
  refusals *self = arg;
  wg_logf(&self->node->log, WARP_LOG_WARN, "plugin %s is left out: %s", what, why);
  if (self->count++ > 0)
    return;
  self->status = status;
  snprintf(self->first, sizeof self->first, "%.40s is left out: %.120s", what, why);
}

static void finish(warp_node *node, const refusals *refused) {
  const wg_plugin_set *set = &node->plugins;
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

void wg_node_setup_plugins(warp_node *node) {
  refusals refused = {.node = node};
  const char *dir = node->conf.plugin_dir;
  int status = WARP_OK;
  if (dir != NULL)
    status = wg_plugin_set_load(&node->plugins, node->env, dir, on_refused, &refused);
  if (status == WARP_PERMISSION)
    on_refused(&refused, dir, status, "it is another user's, or others may write to it");
  else if (status != WARP_OK)
    on_refused(&refused, dir, status, warp_strerror(status));
  wg_plugin_set_setup(&node->plugins, on_refused, &refused);
  if (dir != NULL && wg_node_read_settings(node) != WARP_OK) {
    wg_node_start_failed(node, WARP_INVALID);
    return;
  }
  wg_connect_set_plugins(node->connect, node->plugins.list, &node->settings);
  finish(node, &refused);
}
