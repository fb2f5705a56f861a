/* The plugins of a node: the built-in ones, from a table generated at build time (a constructor
 * vanishes from a static library), or a list that the node made of them and others. */
#ifndef WG_CONNECT_PLUGIN_TABLE_H
#define WG_CONNECT_PLUGIN_TABLE_H

#include <warpgate/plugin.h>

/* A list of plugins ends with NULL. */
typedef const warp_plugin *const *wg_plugin_list;

/* The built-in ones. */
extern const warp_plugin *const wg_plugin_table[];

/* The plugin of this name, or NULL. */
const warp_plugin *wg_plugin_find(wg_plugin_list plugins, const char *name);
/* Is `plugin` in a comma separated list of names? NULL and "auto" name every plugin that has a
 * phase. */
bool wg_plugin_selected(const char *names, const warp_plugin *plugin);
/* WARP_OK, or WARP_NOT_FOUND when one of the names is of no plugin, or there are none. */
int wg_plugin_names_check(wg_plugin_list plugins, const char *names);

#endif
