/* The command line of a subcommand, together with what the configuration and environment say. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/settings.h"

#include <stdbool.h>

struct cli_command;

/* Which options a subcommand takes. Servers, data folder and what is said where are for all. */
typedef enum cli_option_group {
  CLI_GROUP_ALL = 1,
  CLI_GROUP_NODE = 2,    /* the identity and port of a node that others see */
  CLI_GROUP_CONNECT = 4, /* how to connect */
  CLI_GROUP_LISTEN = 8,  /* what to do with peers */
  CLI_GROUP_CHECK = 16,  /* what to look at */
} cli_option_group;

typedef struct cli_options {
  cli_settings settings;
  cli_servers default_names;  /* the name servers of the configuration file */
  char config_path[PATH_MAX]; /* the file that was read, or that could be written */
  bool json, loopback, no_upnp;
  unsigned verbose; /* times -v was given */
  const char *plugins;
  unsigned transports; /* bits of warp_transport; 0: all */
  bool strict, no_relay;
  unsigned timeout_s; /* of a connect */
  bool pipe;          /* listen: standard input and output */
  const char *exec;   /* listen: a command for each peer */
  unsigned commands;  /* listen: so many at once */
  bool lifetime;      /* check: also how long idle mappings live */
  const char *argument;
} cli_options;

/* Reads the command line (argv[0] is the subcommand), the environment and the configuration file.
 * -1: go on; else the exit status: --help and --version were answered, or it was said what is
 * wrong.
 */
int cli_options_read(const struct cli_command *command, int argc, char **argv, cli_options *out);
/* Writes a subcommand's help to standard output. */
void cli_help(const struct cli_command *command);

#endif
