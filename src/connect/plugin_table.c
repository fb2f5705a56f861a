#include "connect/plugin_table.h"

#include <string.h>

const warp_plugin *wg_plugin_find(const char *name) {
  for (size_t i = 0; wg_plugin_table[i] != NULL; i++) {
    if (strcmp(wg_plugin_table[i]->name, name) == 0)
      return wg_plugin_table[i];
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

bool wg_plugin_selected(const char *list, const warp_plugin *plugin) {
  if (list == NULL || strcmp(list, "auto") == 0)
    return plugin->phase != WARP_PHASE_NONE;
  size_t len;
  for (const char *item; (item = next_item(&list, &len)) != NULL;) {
    if (item_is(item, len, plugin->name))
      return true;
  }
  return false;
}

int wg_plugin_list_check(const char *list) {
  if (list == NULL || strcmp(list, "auto") == 0)
    return WARP_OK;
  if (*list == '\0')
    return WARP_NOT_FOUND;
  size_t len;
  for (const char *item; (item = next_item(&list, &len)) != NULL;) {
    bool found = false;
    for (size_t i = 0; wg_plugin_table[i] != NULL; i++)
      found = found || item_is(item, len, wg_plugin_table[i]->name);
    if (!found)
      return WARP_NOT_FOUND;
  }
  return WARP_OK;
}
