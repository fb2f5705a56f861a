/* The plugins that a node has: the built-in ones, and those of its plugin directory that keep the
 * contract of plugin.h as far as that can be seen without running them. */
#ifndef WG_CONNECT_PLUGIN_SET_H
#define WG_CONNECT_PLUGIN_SET_H

#include "connect/plugin_table.h"
#include "env/env.h"

enum {
  WG_PLUGINS_MAX = 64,         /* in all: each one makes attempts, and a session has room for 96 */
  WG_PLUGIN_SETTINGS_MAX = 64, /* of one plugin: a table without an end must not be read on */
  WG_PLUGIN_STATE_MAX = 16 << 20, /* bytes of an attempt, of which there may be 96 */
  WG_PLUGIN_WHY_LEN = 200,
};

typedef struct wg_plugin_set {
  size_t count, built_in;
  const warp_plugin *list[WG_PLUGINS_MAX + 1]; /* ends with NULL */
} wg_plugin_set;

/* A file or plugin (`what`) is left out: the status and one line that says why. */
typedef void (*wg_plugin_refused)(void *arg, const char *what, int status, const char *why);

/* All that are built in, and no others. */
void wg_plugin_set_init(wg_plugin_set *set);
/* Adds those of a folder; what is refused is told. What env's modules_load says of the folder. */
int wg_plugin_set_load(wg_plugin_set *set, wg_env *env, const char *dir, wg_plugin_refused refused,
                       void *arg);
/* Calls `setup` of each; the ones that fail are told and taken out. */
void wg_plugin_set_setup(wg_plugin_set *set, wg_plugin_refused refused, void *arg);
/* Does the descriptor keep the contract, and is its name free in `taken`? WARP_OK; WARP_VERSION,
 * WARP_NAME_TAKEN or WARP_INVALID with one line in `why`. Of another version nothing else is read.
 */
int wg_plugin_check(const warp_plugin *plugin, wg_plugin_list taken, char *why, size_t room);

#endif
