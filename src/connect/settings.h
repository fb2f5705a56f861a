/* Numbers that a person sets, as "PLUGIN.NAME=VALUE" or "node.NAME=VALUE". */
#ifndef WG_CONNECT_SETTINGS_H
#define WG_CONNECT_SETTINGS_H

#include "connect/budget.h"
#include "connect/plugin_table.h"

enum { WG_SETTINGS_MAX = 64 }; /* ten plugins with six each */

/* The values that were set; the others have their fallback. Zeroed: none. */
typedef struct wg_settings {
  size_t count;
  struct {
    const warp_setting *setting; /* in the plugin's table */
    uint64_t value;
  } values[WG_SETTINGS_MAX];
} wg_settings;

/* Reads a list that ends with NULL (or is NULL). Of a setting that is named twice the later value
 * counts. WARP_INVALID with one line in `why`: no such plugin or name, no number, or out of range.
 */
int wg_settings_read(wg_settings *out, const char *const *list, wg_plugin_list plugins, char *why,
                     size_t room);
/* The value of a setting of a plugin's table (may be NULL), or its fallback; 0 when the table has
 * none of this name. `settings` NULL: nothing was set. */
uint64_t wg_settings_get(const wg_settings *settings, const warp_setting *table, const char *name);
/* The budget of each gateway. A plugin's setting "rate" that was set raises the probes for a second
 * to it, unless node.probes_per_s was set too: who asks a plugin for a rate wants it. */
wg_budget_limits wg_settings_limits(const wg_settings *settings);

#endif
