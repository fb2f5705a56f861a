/* The `warpgate` command. */
#include "cli/cli.h"
#include "cli/say.h"

#include "driver_uv/driver.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cli_command *const commands[] = {&cli_listen, &cli_connect,       &cli_address,
                                              &cli_name,   &cli_check_command, &cli_plugins};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void help(void) {
  fputs("warpgate: connects two programs directly, whatever NATs stand between them.\n\n"
        "Usage: warpgate COMMAND [options]\n\n",
        stdout);
  for (size_t i = 0; i < COMMANDS; i++) {
    char left[40];
    snprintf(left, sizeof left, "%s %s", commands[i]->name, commands[i]->arguments);
    printf("  %-22s %s\n", left, commands[i]->summary);
  }
  fputs("\nwarpgate COMMAND --help tells more; warpgate --version\n\n"
        "Examples:\n"
        "  warpgate listen alice                 echoes what peers send, under the name alice\n"
        "  warpgate connect alice                standard input and output to alice and back\n"
        "  warpgate listen alice --exec 'cat /etc/motd'\n"
        "                                        runs a command for each peer\n"
        "  warpgate check                        what NAT is this, and what will work?\n"
        "  warpgate listen --loopback            a first try, without any server: prints an\n"
        "  warpgate connect --loopback ADDRESS   address that the second one connects to\n\n"
        "Exit status: 0 fine, 1 it did not work (and why), 2 usage, 3 a server that is needed is\n"
        "missing, 128 + N ended by signal N.\n",
        stdout);
}

/* Descriptors 0 to 2 are taken for what they are named after: where one is closed, a socket of ours
 * must not become it. */
static void keep_standard_descriptors(void) {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) {
    close(fd);
  }
}

static const cli_command *find(const char *name) {
  for (size_t i = 0; i < COMMANDS; i++) {
    if (strcmp(name, commands[i]->name) == 0) {
      return commands[i];
    }
  }
  return NULL;
}

static int unknown(const char *name) {
  if (*name == '\0') {
    return cli_error(
        CLI_USAGE,
        "which command? listen, connect, address, name, check or plugins: see warpgate --help");
  }
  if (*name == '-') {
    return cli_error(CLI_USAGE,
                     "'%s' comes before the command: options follow it, see "
                     "warpgate --help",
                     name);
  }
  return cli_error(CLI_USAGE, "unknown command '%s': see warpgate --help", name);
}

int main(int argc, char **argv) {
  static cli_options options;
  const char *name = argc > 1 ? argv[1] : "";
  keep_standard_descriptors();
  wg_uv_raise_file_limit();
  signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error of one write */
  const cli_command *command = find(name);
  if (command != NULL) {
    int status = cli_options_read(command, argc - 1, argv + 1, &options);
    return status >= 0 ? status : command->run(&options);
  }
  bool asks = strcmp(name, "help") == 0;
  if (asks && argc > 2) {
    command = find(argv[2]);
    if (command == NULL) {
      return unknown(argv[2]);
    }
    cli_help(command);
    return CLI_OK;
  }
  if (asks || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
    help();
    return CLI_OK;
  }
  if (strcmp(name, "--version") == 0) {
    printf("warpgate %s\n", warp_version());
    return CLI_OK;
  }
  return unknown(name);
}
