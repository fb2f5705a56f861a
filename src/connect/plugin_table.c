#include "connect/plugin_table.h"

#include <string.h>

const warp_plugin *wg_plugin_find(wg_plugin_list plugins, const char *name) {
  for (; *plugins != NULL; plugins++) {
    if (strcmp((*plugins)->name, name) == 0)
      return *plugins;
  }
  return NULL;
}

/* Steps through a comma separated list: the next item's start and length, or NULL at the end. */
static const char *next_item(const char **list, size_t *len) {
  const char *item = *list;
  if (item == NULL || *item == '\0')
    return NULL;
  *len = strcspn(item, ",");
  *list = item[*len] == ',' ? item + *len + 1 : item + *len;
  return item;
}

static bool item_is(const char *item, size_t len, const char *name) {
  return strlen(name) == len && memcmp(item, name, len) == 0;
}

bool wg_plugin_selected(const char *names, const warp_plugin *plugin) {
  if (names == NULL || strcmp(names, "auto") == 0)
    return plugin->phase != WARP_PHASE_NONE;
  size_t len;
  for (const char *item; (item = next_item(&names, &len)) != NULL;) {
    if (item_is(item, len, plugin->name))
      return true;
  }
  return false;
}

int wg_plugin_names_check(wg_plugin_list plugins, const char *names) {
  if (names == NULL || strcmp(names, "auto") == 0)
    return WARP_OK;
  if (*names == '\0')
    return WARP_NOT_FOUND;
  size_t len;
  for (const char *item; (item = next_item(&names, &len)) != NULL;) {
    bool found = false;
    for (size_t i = 0; plugins[i] != NULL; i++)
      found = found || item_is(item, len, plugins[i]->name);
    if (!found)
      return WARP_NOT_FOUND;
  }
  return WARP_OK;
}
