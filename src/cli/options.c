#include "cli/options.h"

#include "base/bytes.h"
#include "cli/cli.h"
#include "cli/say.h"
#include "connect/plugin_table.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MAX_S = 86400, TIMEOUT_DEFAULT_S = 60, LIST_LEN = 400 };
/* Strangers may connect, and each command is a process or more. */
enum { COMMANDS_MAX = 10000, COMMANDS_DEFAULT = 64 };

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct line_reader {
  const cli_command *command;
  cli_options *options;
  cli_settings given; /* on the command line */
  const char *config;
} line_reader;

typedef struct option_entry {
  const char *name;
  char letter; /* or 0 */
  unsigned group;
  const char *argument; /* NULL: takes none */
  const char *help;
  /* WARP_OK, or WARP_INVALID and why. NULL: a value that settings know by the same name, or without
   * argument a flag. */
  int (*take)(line_reader *reading, const char *value, char why[CLI_WHY_LEN]);
  size_t flag; /* where in cli_options */
} option_entry;

static int take_number(const char *value, const char *what, unsigned low, unsigned high,
                       unsigned *out, char why[CLI_WHY_LEN]) {
  char *end;
  unsigned long number = strtoul(value, &end, 10);
  if (!isdigit((unsigned char)value[0]) || *end != '\0' || number < low || number > high) {
    snprintf(why, CLI_WHY_LEN, "takes %s from %u to %u", what, low, high);
    return WARP_INVALID;
  }
  *out = (unsigned)number;
  return WARP_OK;
}

static int take_config(line_reader *reading, const char *value, char why[CLI_WHY_LEN]) {
  (void)why;
  reading->config = value;
  return WARP_OK;
}

static int take_verbose(line_reader *reading, const char *value, char why[CLI_WHY_LEN]) {
  (void)value;
  (void)why;
  reading->options->verbose++;
  return WARP_OK;
}

/* The names of all plugins that are techniques, separated by commas. */
static void list_plugins(char out[LIST_LEN]) {
  size_t len = 0;
  out[0] = '\0';
  for (size_t i = 0; wg_plugin_table[i] != NULL && len < LIST_LEN; i++) {
    if (wg_plugin_table[i]->phase != WARP_PHASE_NONE) {
      len += (size_t)snprintf(out + len, LIST_LEN - len, "%s%s", len > 0 ? ", " : "",
                              wg_plugin_table[i]->name);
    }
  }
}

static int take_plugin(line_reader *reading, const char *value, char why[CLI_WHY_LEN]) {
  (void)why;
  reading->options->plugins = value;
  return WARP_OK;
}

static int take_transport(line_reader *reading, const char *value, char why[CLI_WHY_LEN]) {
  static const struct {
    const char *name;
    unsigned bits;
  } transports[] = {{"any", 0}, {"tcp", WARP_TCP}, {"udp", WARP_UDP}};
  for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
    if (strcmp(value, transports[i].name) == 0) {
      reading->options->transports = transports[i].bits;
      return WARP_OK;
    }
  }
  snprintf(why, CLI_WHY_LEN, "takes tcp, udp or any");
  return WARP_INVALID;
}

static int take_timeout(line_reader *reading, const char *value, char why[CLI_WHY_LEN]) {
  return take_number(value, "whole seconds", 1, TIMEOUT_MAX_S, &reading->options->timeout_s, why);
}

static int take_commands(line_reader *reading, const char *value, char why[CLI_WHY_LEN]) {
  return take_number(value, "a number", 1, COMMANDS_MAX, &reading->options->commands, why);
}

static int take_exec(line_reader *reading, const char *value, char why[CLI_WHY_LEN]) {
  if (*value == '\0') {
    snprintf(why, CLI_WHY_LEN, "takes a command for sh");
    return WARP_INVALID;
  }
  reading->options->exec = value;
  return WARP_OK;
}

static const option_entry entries[] = {
    {"pipe", 0, CLI_GROUP_LISTEN, NULL, "standard input and output for the first peer, then end",
     NULL, offsetof(cli_options, pipe)},
    {"exec", 0, CLI_GROUP_LISTEN, "CMD", "run CMD for each peer, its input and output on the pipe",
     take_exec, 0},
    {"commands", 0, CLI_GROUP_LISTEN, "N", "with --exec, so many at once (64); more are refused",
     take_commands, 0},
    {"plugin", 0, CLI_GROUP_CONNECT, "NAME,...", "only these techniques (auto: all)", take_plugin,
     0},
    {"transport", 0, CLI_GROUP_CONNECT, "tcp|udp", "only TCP (a stream) or only UDP (messages)",
     take_transport, 0},
    {"strict", 0, CLI_GROUP_CONNECT, NULL, "one phase after the other instead of a race", NULL,
     offsetof(cli_options, strict)},
    {"no-relay", 0, CLI_GROUP_CONNECT, NULL, "directly or not at all", NULL,
     offsetof(cli_options, no_relay)},
    {"timeout", 0, CLI_GROUP_CONNECT, "S", "seconds until connecting is given up (60)",
     take_timeout, 0},
    {"lifetime", 0, CLI_GROUP_CHECK, NULL, "how long are idle mappings kept? takes minutes", NULL,
     offsetof(cli_options, lifetime)},
    {"key", 0, CLI_GROUP_NODE, "NAME", "the key in the data folder, made when there is none", NULL,
     0},
    {"port", 0, CLI_GROUP_NODE, "N", "listen on this port, TCP and UDP", NULL, 0},
    {"broker", 0, CLI_GROUP_ALL, "HOST:PORT", "MQTT broker that signals go through", NULL, 0},
    {"stun", 0, CLI_GROUP_ALL, "HOST:PORT", "STUN server; two tell more", NULL, 0},
    {"turn", 0, CLI_GROUP_ALL, "USER:PASSWORD@HOST:PORT", "TURN server, the relay", NULL, 0},
    {"names", 0, CLI_GROUP_ALL, "HOST:PORT", "name server", NULL, 0},
    {"ntp", 0, CLI_GROUP_ALL, "HOST[:PORT]", "time server; three outvote a wrong one", NULL, 0},
    {"config", 0, CLI_GROUP_ALL, "FILE", "configuration instead of the usual file", take_config, 0},
    {"data", 0, CLI_GROUP_ALL, "DIR", "data folder, where keys lie", NULL, 0},
    {"plugin-dir", 0, CLI_GROUP_ALL, "DIR", "also the plugins (*.so) of this folder", NULL, 0},
    {"set", 0, CLI_GROUP_ALL, "PLUGIN.NAME=N", "a number of a plugin: see warpgate plugins", NULL,
     0},
    {"loopback", 0, CLI_GROUP_ALL, NULL, "only between programs on this machine", NULL,
     offsetof(cli_options, loopback)},
    {"no-upnp", 0, CLI_GROUP_ALL, NULL, "do not ask the router to open the port", NULL,
     offsetof(cli_options, no_upnp)},
    {"json", 0, CLI_GROUP_ALL, NULL, "events as JSON lines on standard error", NULL,
     offsetof(cli_options, json)},
    {"verbose", 'v', CLI_GROUP_ALL, NULL, "say what happens; twice: everything", take_verbose, 0},
};
enum { ENTRIES = sizeof entries / sizeof entries[0] };
enum { VALUE_ENTRY = 1000, VALUE_HELP = 2000, VALUE_VERSION };

/* ---- help ------------------------------------------------------------------------------------ */

void cli_help(const cli_command *command) {
  printf("warpgate %s: %s\n\nUsage: warpgate %s [options]%s%s\n\n%s\nOptions:\n", command->name,
         command->summary, command->name, command->arguments[0] != '\0' ? " " : "",
         command->arguments, command->help);
  for (size_t i = 0; i < ENTRIES; i++) {
    const option_entry *entry = &entries[i];
    if ((entry->group & command->options) == 0) {
      continue;
    }
    char left[64];
    snprintf(left, sizeof left, "%s--%s%s%s", entry->letter != 0 ? "-v, " : "", entry->name,
             entry->argument != NULL ? " " : "", entry->argument != NULL ? entry->argument : "");
    printf("  %-30s %s\n", left, entry->help);
  }
  printf("  %-30s this text\n\n"
         "Servers may be given several times or separated by commas; \"none\" means none. They\n"
         "also come from the configuration file and the environment; see warpgate(1).\n",
         "-h, --help");
}

/* ---- the command line ------------------------------------------------------------------------ */

static int usage(const line_reader *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int usage(const line_reader *reading, const char *format, ...) {
  char text[CLI_WHY_LEN + 200];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return cli_error(CLI_USAGE, "%s: see warpgate %s --help", text, reading->command->name);
}

static int take_entry(line_reader *reading, const option_entry *entry, const char *value) {
  char why[CLI_WHY_LEN] = "";
  if ((entry->group & reading->command->options) == 0) {
    return usage(reading, "--%s is not for %s", entry->name, reading->command->name);
  }
  int status = WARP_OK;
  if (entry->take != NULL) {
    status = entry->take(reading, value, why);
  } else if (entry->argument != NULL) {
    status = cli_settings_take(&reading->given, entry->name, value, why);
  } else {
    *(bool *)((char *)reading->options + entry->flag) = true;
  }
  return status == WARP_OK ? -1 : cli_error(CLI_USAGE, "--%s: %s", entry->name, why);
}

static void fill_getopt(struct option options[ENTRIES + 3]) {
  size_t count = 0;
  for (; count < ENTRIES; count++) {
    options[count] = (struct option){.name = entries[count].name,
                                     .has_arg = entries[count].argument != NULL ? required_argument
                                                                                : no_argument,
                                     .val = VALUE_ENTRY + (int)count};
  }
  options[count++] = (struct option){.name = "help", .val = VALUE_HELP};
  options[count++] = (struct option){.name = "version", .val = VALUE_VERSION};
  options[count] = (struct option){.name = NULL};
}

/* The entry of a short option, as an index. */
static size_t entry_of_letter(int letter) {
  size_t i = 0;
  while (i < ENTRIES && entries[i].letter != letter) {
    i++;
  }
  return i;
}

static int bad_option(const line_reader *reading, char **argv, int code) {
  /* With a long option optopt is its value, or 0 when there is none of that name. */
  if (code == ':' && optopt >= VALUE_ENTRY) {
    const option_entry *entry = &entries[optopt - VALUE_ENTRY];
    return usage(reading, "--%s needs %s", entry->name, entry->argument);
  }
  if (optopt >= VALUE_ENTRY) {
    return usage(reading, "'%s' takes no value", argv[optind - 1]);
  }
  if (optopt != 0) {
    return usage(reading, "unknown option '-%c'", optopt);
  }
  return usage(reading, "unknown option '%s'", argv[optind - 1]);
}

/* -1 to go on, or the exit status. */
static int read_arguments(line_reader *reading, int argc, char **argv) {
  struct option options[ENTRIES + 3];
  fill_getopt(options);
  opterr = 0;
  optind = 1;
  int code, result = -1;
  while (result < 0 && (code = getopt_long(argc, argv, ":hv", options, NULL)) != -1) {
    if (code == VALUE_HELP || code == 'h') {
      cli_help(reading->command);
      result = CLI_OK;
    } else if (code == VALUE_VERSION) {
      printf("warpgate %s\n", warp_version());
      result = CLI_OK;
    } else if (code == ':' || code == '?') {
      result = bad_option(reading, argv, code);
    } else {
      size_t i = code >= VALUE_ENTRY ? (size_t)(code - VALUE_ENTRY) : entry_of_letter(code);
      result = take_entry(reading, &entries[i], optarg);
    }
  }
  if (result >= 0) {
    return result;
  }
  if (optind < argc && reading->command->argument != NULL) {
    reading->options->argument = argv[optind++];
  }
  if (optind < argc) {
    return usage(reading, "'%s' is one argument too many", argv[optind]);
  }
  if (reading->options->argument == NULL && reading->command->needs_argument) {
    return usage(reading, "%s is missing", reading->command->argument);
  }
  return -1;
}

/* ---- all sources ----------------------------------------------------------------------------- */

static int read_config(const line_reader *reading, char why[CLI_WHY_LEN]) {
  cli_options *options = reading->options;
  if (reading->config == NULL) {
    cli_config_path(options->config_path);
    if (options->config_path[0] == '\0') {
      return WARP_OK;
    }
    int status = cli_settings_from_file(&options->settings, options->config_path, why);
    return status == WARP_NOT_FOUND ? WARP_OK : status;
  }
  snprintf(options->config_path, sizeof options->config_path, "%s", reading->config);
  return cli_settings_from_file(&options->settings, options->config_path, why);
}

/* Before anything is parsed: what is wrong with the rest is to be said in JSON, too. */
static bool wants_json(int argc, char **argv) {
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--json") == 0) {
      return true;
    }
  }
  return false;
}

static int check_together(const line_reader *reading) {
  const cli_options *options = reading->options;
  if (options->pipe && options->exec != NULL) {
    return usage(reading, "--pipe and --exec exclude each other");
  }
  if (options->commands > 0 && options->exec == NULL) {
    return usage(reading, "--commands needs --exec");
  }
  return -1;
}

/* With plugins from outside the node knows which there are. */
static int check_plugins(const cli_options *options) {
  if (options->settings.plugin_dir[0] != '\0' ||
      wg_plugin_names_check(wg_plugin_table, options->plugins) == WARP_OK) {
    return -1;
  }
  char all[LIST_LEN];
  list_plugins(all);
  return cli_error(CLI_USAGE, "--plugin: no plugin '%.60s': there are auto, %.280s",
                   options->plugins, all);
}

int cli_options_read(const cli_command *command, int argc, char **argv, cli_options *out) {
  line_reader reading = {.command = command, .options = out};
  char why[CLI_WHY_LEN];
  *out = (cli_options){.timeout_s = TIMEOUT_DEFAULT_S};
  cli_say_in_json(wants_json(argc, argv));
  int result = read_arguments(&reading, argc, argv);
  if (result < 0) {
    result = check_together(&reading);
  }
  if (result >= 0) {
    return result;
  }
  out->commands = out->commands > 0 ? out->commands : COMMANDS_DEFAULT;
  cli_settings environment = {.port = 0};
  if (read_config(&reading, why) != WARP_OK ||
      cli_settings_from_environment(&environment, why) != WARP_OK) {
    return cli_error(CLI_USAGE, "%s", why);
  }
  out->default_names = out->settings.servers[CLI_NAMES];
  cli_settings_overlay(&out->settings, &environment);
  cli_settings_overlay(&out->settings, &reading.given);
  return check_plugins(out);
}
