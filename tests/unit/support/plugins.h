/* Plugins of a test's own, and putting them into a node that has started. */
#ifndef TESTS_SUPPORT_PLUGINS_H
#define TESTS_SUPPORT_PLUGINS_H

#include "peers.h"
#include <warpgate/plugin.h>

/* The node uses this list (it ends with NULL) instead of the built-in plugins from now on. */
void peer_set_plugins(peer *self, const warp_plugin *const *plugins);
/* A built-in one. */
const warp_plugin *plugin_named(const char *name);

#endif
