/* What the files of the `warpgate` command share: exit statuses and the table of subcommands. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/options.h"

/* Exit statuses, as docs/warpgate.1 lists them. Ended by signal N is 128 + N. */
enum {
  CLI_OK = 0,
  CLI_FAILED = 1,    /* it was tried and did not work */
  CLI_USAGE = 2,     /* the command line, the configuration or a given address is wrong */
  CLI_NO_SERVER = 3, /* a server that is needed is not configured, not there or refuses us */
  CLI_SIGNAL = 128,
};

typedef struct cli_command {
  const char *name;
  const char *arguments; /* after the name, as the usage shows them */
  const char *summary;   /* one line */
  const char *help;      /* what it does and examples; the list of options follows it */
  unsigned options;      /* groups of options it takes (cli_option_group) */
  const char *argument;  /* what its argument is called, NULL: takes none */
  bool needs_argument;
  /* Runs it; returns the exit status. */
  int (*run)(const cli_options *options);
} cli_command;

extern const cli_command cli_listen, cli_connect, cli_address, cli_name, cli_check_command,
    cli_plugins;

#endif
