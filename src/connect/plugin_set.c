#include "connect/plugin_set.h"

#include "connect/connect.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- what can be seen of a descriptor -------------------------------------------------------- */

static int refuse(int status, char *why, size_t room, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(int status, char *why, size_t room, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(why, room, format, args);
  va_end(args);
  return status;
}

static bool is_name(const char *name) {
  size_t len = name != NULL ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;
  return len > 0 && len < WG_PLUGIN_NAME_LEN && name[len] == '\0';
}

/* Words that mean something else where plugins are named. */
static bool is_reserved(const char *name) {
  return strcmp(name, "auto") == 0 || strcmp(name, "node") == 0;
}

static bool is_named_before(const warp_setting *table, size_t index) {
  for (size_t i = 0; i < index; i++) {
    if (strcmp(table[i].name, table[index].name) == 0)
      return true;
  }
  return false;
}

static int check_settings(const warp_setting *table, char *why, size_t room) {
  for (size_t i = 0; table != NULL && table[i].name != NULL; i++) {
    const warp_setting *setting = &table[i];
    if (i == WG_PLUGIN_SETTINGS_MAX)
      return refuse(WARP_INVALID, why, room, "more than %d settings: is the last one NULL?",
                    WG_PLUGIN_SETTINGS_MAX);
    if (!is_name(setting->name) || is_named_before(table, i))
      return refuse(WARP_INVALID, why, room,
                    "setting %zu has no name of its own of up to %d characters a-z, 0-9 and _", i,
                    WG_PLUGIN_NAME_LEN - 1);
    if (setting->least > setting->fallback || setting->fallback > setting->most)
      return refuse(WARP_INVALID, why, room, "setting %s: its fallback is out of its own range",
                    setting->name);
    if (setting->help == NULL)
      return refuse(WARP_INVALID, why, room, "setting %s has no help", setting->name);
  }
  return WARP_OK;
}

static int check_numbers(const warp_plugin *plugin, char *why, size_t room) {
  const unsigned transports = WARP_TCP | WARP_UDP, routes = WARP_NIC_BIND | WARP_EXT_BIND;
  if ((int)plugin->phase < WARP_PHASE_NONE || plugin->phase > WARP_PHASE_RELAY)
    return refuse(WARP_INVALID, why, room, "there is no phase %d", (int)plugin->phase);
  if ((plugin->transports & ~transports) != 0)
    return refuse(WARP_INVALID, why, room, "transports 0x%x: unknown ones", plugin->transports);
  if (plugin->route_types == 0 || (plugin->route_types & ~routes) != 0)
    return refuse(WARP_INVALID, why, room, "route types 0x%x: none, or unknown ones",
                  plugin->route_types);
  if (plugin->timeout_ms == 0 || plugin->timeout_ms > WG_ATTEMPT_TIMEOUT_MS)
    return refuse(WARP_INVALID, why, room, "a timeout of %u ms, where 1 to %d may be",
                  (unsigned)plugin->timeout_ms, WG_ATTEMPT_TIMEOUT_MS);
  if (plugin->state_size > WG_PLUGIN_STATE_MAX)
    return refuse(WARP_INVALID, why, room, "%zu bytes of state, where %d may be",
                  plugin->state_size, WG_PLUGIN_STATE_MAX);
  return WARP_OK;
}

int wg_plugin_check(const warp_plugin *plugin, wg_plugin_list taken, char *why, size_t room) {
  if (plugin == NULL)
    return refuse(WARP_INVALID, why, room, "%s gave no plugin", WARP_PLUGIN_ENTRY);
  if (plugin->interface_version != WARP_PLUGIN_VERSION)
    return refuse(WARP_VERSION, why, room, "made for version %u of the interface, this is %d",
                  (unsigned)plugin->interface_version, WARP_PLUGIN_VERSION);
  if (!is_name(plugin->name) || is_reserved(plugin->name))
    return refuse(WARP_INVALID, why, room,
                  "its name is none: up to %d characters a-z, 0-9 and _, not auto or node",
                  WG_PLUGIN_NAME_LEN - 1);
  if (wg_plugin_find(taken, plugin->name) != NULL)
    return refuse(WARP_NAME_TAKEN, why, room, "there is a plugin %s already", plugin->name);
  if (plugin->run == NULL)
    return refuse(WARP_INVALID, why, room, "%s cannot run: `run` is NULL", plugin->name);
  if (plugin->answered_by != NULL && !is_name(plugin->answered_by))
    return refuse(WARP_INVALID, why, room, "what answers it at the peer is no name of a plugin");
  int status = check_numbers(plugin, why, room);
  return status == WARP_OK ? check_settings(plugin->settings, why, room) : status;
}

/* ---- the set --------------------------------------------------------------------------------- */

void wg_plugin_set_init(wg_plugin_set *set) {
  *set = (wg_plugin_set){0};
  while (set->count < WG_PLUGINS_MAX && wg_plugin_table[set->count] != NULL) {
    set->list[set->count] = wg_plugin_table[set->count];
    set->count++;
  }
  set->built_in = set->count;
}

typedef struct loading {
  wg_plugin_set *set;
  wg_plugin_refused refused;
  void *arg;
} loading;

static void on_module(void *arg, const char *file, void *entry, const char *error) {
  loading *self = arg;
  if (entry == NULL) {
    self->refused(self->arg, file, WARP_INVALID, error);
    return;
  }
  warp_plugin_entry_fn get;
  memcpy(&get, &entry, sizeof get); /* ISO C has no cast between these two kinds of pointers */
  const warp_plugin *plugin = get();
  char why[WG_PLUGIN_WHY_LEN] = "";
  int status = wg_plugin_check(plugin, self->set->list, why, sizeof why);
  if (status == WARP_OK && self->set->count == WG_PLUGINS_MAX)
    status = refuse(WARP_LIMIT, why, sizeof why, "more than %d plugins", WG_PLUGINS_MAX);
  if (status == WARP_OK)
    self->set->list[self->set->count++] = plugin;
  else
    self->refused(self->arg, file, status, why);
}

int wg_plugin_set_load(wg_plugin_set *set, wg_env *env, const char *dir, wg_plugin_refused refused,
                       void *arg) {
  loading self = {.set = set, .refused = refused, .arg = arg};
  return env->ops->modules_load(env, dir, WARP_PLUGIN_ENTRY, on_module, &self);
}

void wg_plugin_set_setup(wg_plugin_set *set, wg_plugin_refused refused, void *arg) {
  size_t kept = 0, built_in = 0;
  for (size_t i = 0; i < set->count; i++) {
    const warp_plugin *plugin = set->list[i];
    int status = plugin->setup != NULL ? plugin->setup() : WARP_OK;
    if (status == WARP_OK) {
      built_in += i < set->built_in ? 1 : 0;
      set->list[kept++] = plugin;
      continue;
    }
    char why[WG_PLUGIN_WHY_LEN];
    snprintf(why, sizeof why, "its setup failed: %s (%d)", warp_strerror(status), status);
    refused(arg, plugin->name, status < 0 ? status : WARP_INVALID, why);
  }
  set->count = kept;
  set->built_in = built_in;
  set->list[kept] = NULL;
}
