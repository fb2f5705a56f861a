#include "natsim/commands.h"

#include "natsim/experiment.h"

#include <stdio.h>

static void help(void) {
  fputs("natsim matrix [--profiles P,P,... | --grid rfc4787] [options]\n"
        "Lets every profile connect to every profile and prints a table.\n\n",
        stdout);
  sim_options_help(SIM_MATRIX);
  fputs("\nExamples:\n"
        "  natsim matrix\n"
        "  natsim matrix --profiles open,symmetric --trials 10 --seed 7 --out results\n"
        "  natsim matrix --grid rfc4787 --plugin udp_punch --no-relay --shard 1/4\n"
        "  natsim matrix --expect expected.tsv\n",
        stdout);
}

int sim_cmd_matrix(int argc, char **argv) {
  sim_options options;
  ns_error error;
  if (sim_options_parse(SIM_MATRIX, argc, argv, &options, &error)) {
    fprintf(stderr, "natsim matrix: %s\n", error.text);
    return SIM_EXIT_USAGE;
  }
  if (options.help) {
    help();
    return SIM_EXIT_OK;
  }
  return sim_experiment(SIM_MATRIX, &options);
}
