#include "natsim/commands.h"
#include "natsim/fail.h"

#include <stdio.h>
#include <string.h>

static const struct command {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *help;
} commands[] = {
    {"profiles", sim_cmd_profiles, "list the NAT profiles and their axes"},
    {"places", sim_cmd_places, "list how two hosts may lie to each other"},
    {"verify", sim_cmd_verify, "measure NATs and compare with what is declared"},
    {"run", sim_cmd_run, "trials of one ordered pair"},
    {"matrix", sim_cmd_matrix, "trials of all ordered pairs, and a table"},
    {"lab", sim_cmd_lab, "stand inside a laboratory"},
    {"report", sim_cmd_report, "tables, figures and a page of what trials came to"},
    {"merge", sim_cmd_merge, "join the results of shards"},
    {"bench", sim_cmd_bench, "measure the laboratory itself: its links, how fast it is built"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(void) {
  fputs("natsim: a laboratory of NATs. Two programs behind two NATs of this machine's kernel try "
        "to\nconnect, with real STUN, TURN, MQTT and name servers, without touching the "
        "internet.\n\nnatsim COMMAND [options]\n",
        stdout);
  for (size_t i = 0; i < COMMANDS; i++)
    printf("  %-10s %s\n", commands[i].name, commands[i].help);
  fputs("natsim COMMAND --help tells more; natsim --version\n\n"
        "Examples:\n"
        "  natsim matrix                                    the 25 pairs of five NATs\n"
        "  natsim run --a port-restricted --b symmetric     one pair\n"
        "  natsim lab --a port-restricted --b symmetric     look around in one\n"
        "  natsim profiles                                  what NATs there are\n\n"
        "Exit status: 0 all trials came to an end, 1 a check failed or a trial was an error,\n"
        "2 usage, 3 the laboratory could not be built, 128 + N ended by signal N.\n",
        stdout);
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
    help();
    return SIM_EXIT_OK;
  }
  if (!strcmp(name, "--version")) {
    puts("natsim " WARPGATE_VERSION);
    return SIM_EXIT_OK;
  }
  for (size_t i = 0; i < COMMANDS; i++)
    if (!strcmp(name, commands[i].name))
      return commands[i].run(argc - 2, argv + 2);
  if (*name)
    fprintf(stderr, "natsim: unknown command '%s': see natsim --help\n", name);
  else
    fputs("natsim: which command? run, matrix, lab and so on: see natsim --help\n", stderr);
  return SIM_EXIT_USAGE;
}
