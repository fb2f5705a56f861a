#include "natsim/commands.h"

#include "natsim/scripts.h"

#include <stdio.h>
#include <string.h>

static void help(void) {
  fputs(
      "natsim merge DIR... --out DIR\n"
      "Joins the shards of a run (--shard I/N) as if it had been made at once. They must be of\n"
      "the same version, options and seed.\n\n"
      "Examples:\n"
      "  natsim matrix --shard 1/2 --out one     on one machine\n"
      "  natsim matrix --shard 2/2 --out two     on another\n"
      "  natsim merge one two --out both\n\n"
      "Exit status: 0 the run is whole, 1 shards that do not go together or trials that are there\n"
      "twice (nothing is written), or trials that are missing or unreadable (the others are\n"
      "written); each is named; 2 usage or nothing to read, 3 python3 is missing.\n",
      stdout);
}

int sim_cmd_merge(int argc, char **argv) {
  static const sim_script script = {"merge", NULL, NULL};
  for (int i = 0; i < argc; i++)
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
      help();
      return SIM_EXIT_OK;
    }
  ns_error error;
  int status = sim_script_run(&script, argc, argv, &error);
  fprintf(stderr, "natsim merge: %s\n", error.text);
  return status;
}
