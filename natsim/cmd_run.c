#include "natsim/commands.h"

#include "natsim/experiment.h"

#include <stdio.h>

static void help(void) {
  fputs("natsim run --a PROFILE --b PROFILE [options]\n"
        "Lets the peer behind a connect to the peer behind b.\n\n",
        stdout);
  sim_options_help(SIM_RUN);
  fputs("\nExamples:\n"
        "  natsim run --a full-cone --b symmetric\n"
        "  natsim run --a map=ad,filter=apd,alloc=sequential:2 --b open --trials 20 --json\n"
        "  natsim run --a symmetric --b symmetric --no-relay --loss 2 --out results\n"
        "  natsim run --a open --b open --endpoint 'python3 my_peer.py'\n"
        "  natsim run --a full-cone --b symmetric --event 200:reboot-a --neighbours 50/s\n",
        stdout);
}

int sim_cmd_run(int argc, char **argv) {
  sim_options options;
  ns_error error;
  if (sim_options_parse(SIM_RUN, argc, argv, &options, &error)) {
    fprintf(stderr, "natsim run: %s\n", error.text);
    return SIM_EXIT_USAGE;
  }
  if (options.help) {
    help();
    return SIM_EXIT_OK;
  }
  return sim_experiment(SIM_RUN, &options);
}
