/*
 * What may stand in the configuration file, in the environment and on the command line alike: the
 * servers, the data folder, the key and the port. Each of the three sources fills a set of its own;
 * the stronger one is laid over the weaker.
 */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include <limits.h>
#include <warpgate/warpgate.h>

/* Kinds of servers. */
typedef enum cli_kind { CLI_BROKER, CLI_STUN, CLI_TURN, CLI_NAMES, CLI_NTP, CLI_KINDS } cli_kind;

enum {
  CLI_SERVERS_MAX = 4,   /* of one kind: as many as the library uses */
  CLI_SERVER_LEN = 600,  /* user, password, host and port with what stands between them */
  CLI_KEY_NAME_LEN = 64, /* with its NUL, as the keystore allows */
  CLI_NUMBERS_MAX = 64,  /* settings of plugins: as many as the library takes */
  CLI_NUMBER_LEN = 72,   /* "PLUGIN.NAME=VALUE" with its NUL */
  CLI_WHY_LEN = 400,
};

typedef struct cli_servers {
  char text[CLI_SERVERS_MAX][CLI_SERVER_LEN];
  size_t count;
  bool given; /* also "none": without any, whatever a weaker source says */
} cli_servers;

typedef struct cli_settings {
  cli_servers servers[CLI_KINDS];
  char data[PATH_MAX]; /* empty: not given */
  char key[CLI_KEY_NAME_LEN];
  uint16_t port;
  char plugin_dir[PATH_MAX];                     /* empty: not given */
  char numbers[CLI_NUMBERS_MAX][CLI_NUMBER_LEN]; /* of plugins, the later ones stronger */
  size_t number_count;
} cli_settings;

/* The name of a kind in the configuration file and on the command line: "broker", ... */
const char *cli_kind_name(cli_kind kind);
/* What a kind of server is called in a sentence: "MQTT broker", ... */
const char *cli_kind_title(cli_kind kind);
/* A line for the configuration file, as an example. */
const char *cli_kind_example(cli_kind kind);

/* Takes one value: "broker", "stun", "turn", "names", "ntp" (added to what this source gave before;
 * several separated by commas, "none"), "data", "key", "port", "plugin-dir", "set" (a number of
 * a plugin, added to what was set before). WARP_NOT_FOUND: no such setting;
 * WARP_INVALID and one line in `why` that says what the value should be. */
int cli_settings_take(cli_settings *settings, const char *name, const char *value,
                      char why[CLI_WHY_LEN]);
/* What `over` gives replaces what `settings` has. */
void cli_settings_overlay(cli_settings *settings, const cli_settings *over);
/* Takes WARPGATE_BROKERS, WARPGATE_STUN, WARPGATE_TURN, WARPGATE_NAMES, WARPGATE_NTP and
 * WARPGATE_DATA. Empty ones count as not set. WARP_INVALID and one line. */
int cli_settings_from_environment(cli_settings *settings, char why[CLI_WHY_LEN]);
/* Reads lines `name = value`; lines that begin with # and what follows a blank and # are comments.
 * WARP_NOT_FOUND: there is no such file; WARP_INVALID (why: file, line and what is wrong), WARP_IO.
 */
int cli_settings_from_file(cli_settings *settings, const char *path, char why[CLI_WHY_LEN]);
/* Where the configuration file lies: $XDG_CONFIG_HOME/warpgate/warpgate.conf, or
 * ~/.config/warpgate/warpgate.conf. Empty when there is no home. */
void cli_config_path(char out[PATH_MAX]);

#endif
