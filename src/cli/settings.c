#include "cli/settings.h"

#include "base/addr.h"
#include "base/conf.h"
#include "wire/ntp.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { LINE_LEN = 4096 };

static const struct kind {
  const char *name, *variable, *title, *form, *example;
  uint16_t usual_port; /* 0: it must be said */
} kinds[CLI_KINDS] = {
    [CLI_BROKER] = {"broker", "WARPGATE_BROKERS", "MQTT broker", "host:port",
                    "broker = broker.example.net:1883", 0},
    [CLI_STUN] = {"stun", "WARPGATE_STUN", "STUN server", "host:port",
                  "stun = stun.example.net:3478", 0},
    [CLI_TURN] = {"turn", "WARPGATE_TURN", "TURN server", "user:password@host:port",
                  "turn = user:password@turn.example.net:3478", 0},
    [CLI_NAMES] = {"names", "WARPGATE_NAMES", "name server", "host:port",
                   "names = names.example.net:4370", 0},
    [CLI_NTP] = {"ntp", "WARPGATE_NTP", "NTP server", "host or host:port",
                 "ntp = pool.ntp.example.net", WG_NTP_PORT},
};

const char *cli_kind_name(cli_kind kind) {
  return kinds[kind].name;
}

const char *cli_kind_title(cli_kind kind) {
  return kinds[kind].title;
}

const char *cli_kind_example(cli_kind kind) {
  return kinds[kind].example;
}

/* ---- one value ------------------------------------------------------------------------------- */

static int add_server(cli_servers *servers, cli_kind kind, const char *item, size_t len,
                      char why[CLI_WHY_LEN]) {
  const struct kind *of = &kinds[kind];
  char *text = servers->text[servers->count];
  if (servers->count == CLI_SERVERS_MAX) {
    snprintf(why, CLI_WHY_LEN, "more than %d servers of one kind", CLI_SERVERS_MAX);
    return WARP_INVALID;
  }
  wg_relay_name relay = {.transports = 0};
  bool fits = len < CLI_SERVER_LEN;
  snprintf(text, CLI_SERVER_LEN, "%.*s", (int)(fits ? len : 0), item);
  int status = kind == CLI_TURN ? wg_relay_name_parse(text, &relay)
                                : wg_server_name_parse_usual(text, of->usual_port, &relay.server);
  if (!fits || status != WARP_OK) {
    /* The text is not repeated: it may hold a password. */
    snprintf(why, CLI_WHY_LEN, "not a server: write it as %s, with a port from 1 to 65535",
             of->form);
    return WARP_INVALID;
  }
  if (kind == CLI_TURN && relay.server.user[0] == '\0') {
    snprintf(why, CLI_WHY_LEN, "%.260s has no user and password: write it as %s", text, of->form);
    return WARP_INVALID;
  }
  servers->count++;
  return WARP_OK;
}

static int take_servers(cli_servers *servers, cli_kind kind, const char *value,
                        char why[CLI_WHY_LEN]) {
  servers->given = true;
  if (strcmp(value, "none") == 0) {
    servers->count = 0;
    return WARP_OK;
  }
  for (const char *item = value;; item++) {
    item += strspn(item, " \t");
    size_t len = strcspn(item, ",");
    size_t used = len;
    while (used > 0 && isspace((unsigned char)item[used - 1])) {
      used--;
    }
    int status = add_server(servers, kind, item, used, why);
    if (status != WARP_OK) {
      return status;
    }
    item += len;
    if (*item == '\0') {
      return WARP_OK;
    }
  }
}

static int take_path(char out[PATH_MAX], const char *value, const char *what,
                     char why[CLI_WHY_LEN]) {
  size_t len = strlen(value);
  if (len == 0 || len >= PATH_MAX) {
    snprintf(why, CLI_WHY_LEN, "the %s is a path", what);
    return WARP_INVALID;
  }
  memcpy(out, value, len + 1);
  return WARP_OK;
}

/* Which plugins there are, and what they let be set, the node knows. */
static int take_number(cli_settings *settings, const char *value, char why[CLI_WHY_LEN]) {
  size_t len = strlen(value);
  if (len >= CLI_NUMBER_LEN || strchr(value, '.') == NULL || strchr(value, '=') == NULL) {
    snprintf(why, CLI_WHY_LEN, "takes PLUGIN.NAME=NUMBER, as random_probe.rate=50");
    return WARP_INVALID;
  }
  if (settings->number_count == CLI_NUMBERS_MAX) {
    snprintf(why, CLI_WHY_LEN, "more than %d of them", CLI_NUMBERS_MAX);
    return WARP_INVALID;
  }
  memcpy(settings->numbers[settings->number_count++], value, len + 1);
  return WARP_OK;
}

static int take_key(cli_settings *settings, const char *value, char why[CLI_WHY_LEN]) {
  size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-");
  if (len == 0 || value[len] != '\0' || len >= sizeof settings->key) {
    snprintf(why, CLI_WHY_LEN, "a key's name has 1 to %d letters a-z, digits and hyphens",
             CLI_KEY_NAME_LEN - 1);
    return WARP_INVALID;
  }
  memcpy(settings->key, value, len + 1);
  return WARP_OK;
}

static int take_port(cli_settings *settings, const char *value, char why[CLI_WHY_LEN]) {
  char *end;
  unsigned long port = strtoul(value, &end, 10);
  if (!isdigit((unsigned char)value[0]) || *end != '\0' || port == 0 || port > UINT16_MAX) {
    snprintf(why, CLI_WHY_LEN, "a port is a number from 1 to 65535");
    return WARP_INVALID;
  }
  settings->port = (uint16_t)port;
  return WARP_OK;
}

int cli_settings_take(cli_settings *settings, const char *name, const char *value,
                      char why[CLI_WHY_LEN]) {
  for (cli_kind kind = 0; kind < CLI_KINDS; kind++) {
    if (strcmp(name, kinds[kind].name) == 0) {
      return take_servers(&settings->servers[kind], kind, value, why);
    }
  }
  if (strcmp(name, "data") == 0) {
    return take_path(settings->data, value, "data folder", why);
  }
  if (strcmp(name, "plugin-dir") == 0) {
    return take_path(settings->plugin_dir, value, "plugins' folder", why);
  }
  if (strcmp(name, "set") == 0) {
    return take_number(settings, value, why);
  }
  if (strcmp(name, "key") == 0) {
    return take_key(settings, value, why);
  }
  return strcmp(name, "port") == 0 ? take_port(settings, value, why) : WARP_NOT_FOUND;
}

void cli_settings_overlay(cli_settings *settings, const cli_settings *over) {
  for (cli_kind kind = 0; kind < CLI_KINDS; kind++) {
    if (over->servers[kind].given) {
      settings->servers[kind] = over->servers[kind];
    }
  }
  if (over->data[0] != '\0') {
    memcpy(settings->data, over->data, sizeof over->data);
  }
  if (over->key[0] != '\0') {
    memcpy(settings->key, over->key, sizeof over->key);
  }
  if (over->port != 0) {
    settings->port = over->port;
  }
  if (over->plugin_dir[0] != '\0') {
    memcpy(settings->plugin_dir, over->plugin_dir, sizeof over->plugin_dir);
  }
  /* Of one that is set twice the later value counts. */
  for (size_t i = 0; i < over->number_count && settings->number_count < CLI_NUMBERS_MAX; i++) {
    memcpy(settings->numbers[settings->number_count++], over->numbers[i], CLI_NUMBER_LEN);
  }
}

/* ---- the environment ------------------------------------------------------------------------- */

static int take_variable(cli_settings *settings, const char *variable, const char *name,
                         char why[CLI_WHY_LEN]) {
  const char *value = getenv(variable);
  char reason[CLI_WHY_LEN];
  if (value == NULL || *value == '\0' ||
      cli_settings_take(settings, name, value, reason) == WARP_OK) {
    return WARP_OK;
  }
  snprintf(why, CLI_WHY_LEN, "%s: %.300s", variable, reason);
  return WARP_INVALID;
}

int cli_settings_from_environment(cli_settings *settings, char why[CLI_WHY_LEN]) {
  int status = WARP_OK;
  for (cli_kind kind = 0; kind < CLI_KINDS && status == WARP_OK; kind++) {
    status = take_variable(settings, kinds[kind].variable, kinds[kind].name, why);
  }
  return status == WARP_OK ? take_variable(settings, "WARPGATE_DATA", "data", why) : status;
}

/* ---- the file -------------------------------------------------------------------------------- */

void cli_config_path(char out[PATH_MAX]) {
  static const char name[] = "warpgate/warpgate.conf";
  const char *config_home = getenv("XDG_CONFIG_HOME");
  char home[PATH_MAX];
  size_t home_len = sizeof home;
  int len = 0;
  out[0] = '\0';
  /* XDG base directory specification: a relative path is to be ignored. */
  if (config_home != NULL && config_home[0] == '/') {
    len = snprintf(out, PATH_MAX, "%s/%s", config_home, name);
  } else if (uv_os_homedir(home, &home_len) == 0) {
    len = snprintf(out, PATH_MAX, "%s/.config/%s", home, name);
  }
  if (len >= PATH_MAX) {
    out[0] = '\0';
  }
}

static int take_line(cli_settings *settings, char *line, char why[CLI_WHY_LEN]) {
  char *name, *value;
  int status = wg_conf_line(line, &name, &value);
  if (status == WARP_NOT_FOUND) {
    return WARP_OK;
  }
  if (status != WARP_OK) {
    snprintf(why, CLI_WHY_LEN, "not a line 'name = value', as '%s'", kinds[CLI_BROKER].example);
    return WARP_INVALID;
  }
  status = cli_settings_take(settings, name, value, why);
  if (status == WARP_NOT_FOUND) {
    snprintf(why, CLI_WHY_LEN,
             "no setting '%.60s': there are broker, stun, turn, names, ntp, data, key, port, "
             "plugin-dir and set",
             name);
    status = WARP_INVALID;
  }
  return status;
}

static int take_lines(cli_settings *settings, FILE *file, const char *path, char why[CLI_WHY_LEN]) {
  char line[LINE_LEN], reason[CLI_WHY_LEN] = "";
  int status = WARP_OK;
  for (unsigned number = 1; status == WARP_OK && fgets(line, sizeof line, file) != NULL; number++) {
    if (strlen(line) == sizeof line - 1 && line[sizeof line - 2] != '\n') {
      snprintf(reason, sizeof reason, "longer than %d bytes", LINE_LEN - 2);
      status = WARP_INVALID;
    } else {
      status = take_line(settings, line, reason);
    }
    if (status != WARP_OK) {
      snprintf(why, CLI_WHY_LEN, "%.150s line %u: %.220s", path, number, reason);
    }
  }
  if (status == WARP_OK && ferror(file)) {
    snprintf(why, CLI_WHY_LEN, "%.300s: %s", path, strerror(errno));
    status = WARP_IO;
  }
  return status;
}

int cli_settings_from_file(cli_settings *settings, const char *path, char why[CLI_WHY_LEN]) {
  FILE *file = fopen(path, "re");
  if (file == NULL) {
    snprintf(why, CLI_WHY_LEN, "%.300s: %s", path, strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? WARP_NOT_FOUND : WARP_IO;
  }
  int status = take_lines(settings, file, path, why);
  fclose(file);
  return status;
}
