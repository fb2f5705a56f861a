/* The built-in plugins, from a table generated at build time (a constructor vanishes from a static
 * library). */
#ifndef WG_CONNECT_PLUGIN_TABLE_H
#define WG_CONNECT_PLUGIN_TABLE_H

#include <warpgate/plugin.h>

/* Ends with NULL. */
extern const warp_plugin *const wg_plugin_table[];

/* The plugin of this name, or NULL. */
const warp_plugin *wg_plugin_find(const char *name);
/* Is `name` in a comma separated list? A NULL list and "auto" hold every plugin that has a phase.
 */
bool wg_plugin_selected(const char *list, const warp_plugin *plugin);
/* WARP_OK, or WARP_NOT_FOUND when the list names a plugin that does not exist, or none. */
int wg_plugin_list_check(const char *list);

#endif
