#include "connect/settings.h"

#include <stdio.h>
#include <string.h>

static const warp_setting node_settings[] = {
    {"probes_per_s", WG_BUDGET_PROBES_PER_S, 1, 100000,
     "packets to guessed ports, for each gateway and second"},
    {"flows", WG_BUDGET_FLOWS, 1, 65535, "mappings opened by plugins, for each gateway at once"},
    {"syns", WG_BUDGET_SYNS, 1, 65535, "connections not open yet, for each gateway at once"},
    {NULL, 0, 0, 0, NULL},
};

static const warp_setting *find(const warp_setting *table, const char *name, size_t len) {
  for (; table != NULL && table->name != NULL; table++) {
    if (strlen(table->name) == len && memcmp(table->name, name, len) == 0)
      return table;
  }
  return NULL;
}

/* Digits only; false when there are none, others, or too many. */
static bool read_number(const char *text, uint64_t *out) {
  uint64_t value = 0;
  if (*text == '\0')
    return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9' || value > (UINT64_MAX - 9) / 10)
      return false;
    value = value * 10 + (uint64_t)(*text - '0');
  }
  *out = value;
  return true;
}

static bool is_plugin(const char *name, size_t len, const char *text) {
  return strlen(name) == len && memcmp(name, text, len) == 0;
}

static int fail(char *why, size_t room, const char *text, const char *reason) {
  snprintf(why, room, "setting \"%s\": %s", text, reason);
  return WARP_INVALID;
}

static void store(wg_settings *out, const warp_setting *setting, uint64_t value) {
  for (size_t i = 0; i < out->count; i++) {
    if (out->values[i].setting == setting) {
      out->values[i].value = value;
      return;
    }
  }
  out->values[out->count].setting = setting;
  out->values[out->count++].value = value;
}

static int read_one(wg_settings *out, const char *text, wg_plugin_list plugins, char *why,
                    size_t room) {
  const char *dot = strchr(text, '.'), *equals = strchr(text, '=');
  if (dot == NULL || equals == NULL || dot > equals)
    return fail(why, room, text, "not PLUGIN.NAME=VALUE");
  size_t owner_len = (size_t)(dot - text);
  bool known = is_plugin("node", owner_len, text);
  const warp_setting *table = known ? node_settings : NULL;
  for (; !known && *plugins != NULL; plugins++) {
    known = is_plugin((*plugins)->name, owner_len, text);
    table = known ? (*plugins)->settings : NULL;
  }
  if (!known)
    return fail(why, room, text, "there is no such plugin");
  const warp_setting *setting = find(table, dot + 1, (size_t)(equals - dot - 1));
  if (setting == NULL)
    return fail(why, room, text, "the plugin has no such setting");
  uint64_t value;
  if (!read_number(equals + 1, &value) || value < setting->least || value > setting->most) {
    char range[64];
    snprintf(range, sizeof range, "not a number from %llu to %llu",
             (unsigned long long)setting->least, (unsigned long long)setting->most);
    return fail(why, room, text, range);
  }
  store(out, setting, value);
  return WARP_OK;
}

int wg_settings_read(wg_settings *out, const char *const *list, wg_plugin_list plugins, char *why,
                     size_t room) {
  *out = (wg_settings){0};
  int status = WARP_OK;
  for (size_t i = 0; list != NULL && list[i] != NULL && status == WARP_OK; i++)
    status = i < WG_SETTINGS_MAX ? read_one(out, list[i], plugins, why, room)
                                 : fail(why, room, list[i], "one too many");
  return status;
}

/* The value that was set, or NULL. */
static const uint64_t *lookup(const wg_settings *settings, const warp_setting *setting) {
  for (size_t i = 0; settings != NULL && i < settings->count; i++) {
    if (settings->values[i].setting == setting)
      return &settings->values[i].value;
  }
  return NULL;
}

uint64_t wg_settings_get(const wg_settings *settings, const warp_setting *table, const char *name) {
  const warp_setting *setting = find(table, name, strlen(name));
  const uint64_t *value = setting != NULL ? lookup(settings, setting) : NULL;
  if (value != NULL)
    return *value;
  return setting != NULL ? setting->fallback : 0;
}

wg_budget_limits wg_settings_limits(const wg_settings *settings) {
  wg_budget_limits limits = {
      .probes_per_s = (uint32_t)wg_settings_get(settings, node_settings, "probes_per_s"),
      .flows = (uint32_t)wg_settings_get(settings, node_settings, "flows"),
      .syns = (uint32_t)wg_settings_get(settings, node_settings, "syns"),
  };
  if (settings == NULL || lookup(settings, &node_settings[0]) != NULL)
    return limits;
  for (size_t i = 0; i < settings->count; i++) {
    uint64_t value = settings->values[i].value;
    if (strcmp(settings->values[i].setting->name, "rate") == 0 && value > limits.probes_per_s)
      limits.probes_per_s =
          value < node_settings[0].most ? (uint32_t)value : (uint32_t)node_settings[0].most;
  }
  return limits;
}
