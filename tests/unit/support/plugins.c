#include "plugins.h"

#include "connect/session.h"
#include "node/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void peer_set_plugins(peer *self, const warp_plugin *const *plugins) {
  self->node->connect->config.plugins = plugins;
}

const warp_plugin *plugin_named(const char *name) {
  const warp_plugin *found = wg_plugin_find(wg_plugin_table, name);
  assert_non_null(found);
  return found;
}
