#include "natsim/commands.h"

#include "natsim/scripts.h"

#include <stdio.h>
#include <string.h>

static void help(void) {
  fputs(
      "natsim report DIR... [--html FILE] [--markdown FILE] [--json]\n"
      "Tells what the trials of one or more folders (--out of run and matrix) came to: success\n"
      "rates with 95 % Wilson intervals, times to connect, winners, paths, and why trials failed.\n"
      "Folders that were run with the same options are taken together, others apart.\n\n"
      "  --html FILE        one page with a heat map of the pairs; needs nothing but a browser\n"
      "  --markdown FILE    the tables as Markdown; - is the standard output\n"
      "  --json             the figures as one JSON object, no tables\n"
      "  --colour WHEN      auto (on a terminal, unless NO_COLOR is set), always, never\n\n"
      "Examples:\n"
      "  natsim report results\n"
      "  natsim report results --html results.html\n"
      "  natsim report with-relay without-relay --markdown - >compared.md\n\n"
      "Exit status: 0 all was read, 1 lines that are no results were named and left out,\n"
      "2 usage or nothing to read, 3 a Python package is missing.\n",
      stdout);
}

int sim_cmd_report(int argc, char **argv) {
  static const sim_script script = {"report", "scipy", "python3-scipy"};
  for (int i = 0; i < argc; i++)
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
      help();
      return SIM_EXIT_OK;
    }
  ns_error error;
  int status = sim_script_run(&script, argc, argv, &error);
  fprintf(stderr, "natsim report: %s\n", error.text);
  return status;
}
