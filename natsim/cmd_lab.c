#include "natsim/commands.h"

#include "natsim/files.h"
#include "natsim/lab.h"
#include "natsim/visit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int complain(int status, const char *text) {
  fprintf(stderr, "natsim lab: %s\n", text);
  return status;
}

static void help(void) {
  fputs("natsim lab --a PROFILE --b PROFILE [options]\n"
        "Brings a laboratory up, draws who is where, and keeps it until Ctrl-C.\n\n"
        "natsim lab exec [--name NAME] HOST -- CMD [ARGUMENT...]\n"
        "Runs a command on a, b, server, router-a or router-b of it, from another terminal, and\n"
        "ends with its exit status (126 it cannot be run, 127 it is not there).\n\n",
        stdout);
  sim_options_help(SIM_LAB);
  fputs(
      "\nExamples:\n"
      "  natsim lab --a port-restricted --b symmetric\n"
      "  natsim lab --a full-cone --b full-cone --place one-carrier --name carrier --pcap packets\n"
      "  natsim lab exec a -- sh\n"
      "  natsim lab exec --name carrier router-b -- nft list ruleset\n",
      stdout);
}

/* ---- exec ------------------------------------------------------------------------------------ */

static int exec_usage(const char *text) {
  fprintf(stderr, "natsim lab exec: %s: it takes [--name NAME] HOST -- CMD\n", text);
  return SIM_EXIT_USAGE;
}

static int visit(int argc, char **argv) {
  const char *name = "default";
  int i = 0;
  if (i < argc && !strncmp(argv[i], "--name=", 7))
    name = argv[i++] + 7;
  else if (i + 1 < argc && !strcmp(argv[i], "--name"))
    name = argv[i + 1], i += 2;
  if (i < argc && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
    help();
    return SIM_EXIT_OK;
  }
  if (!sim_lab_name_ok(name))
    return exec_usage("that is no name of a laboratory");
  if (i == argc || argv[i][0] == '-')
    return exec_usage("on which host");
  const char *host = argv[i++];
  if (i < argc && !strcmp(argv[i], "--"))
    i++;
  if (i == argc)
    return exec_usage("which command");
  return sim_visit(name, host, argv + i);
}

/* ---- a laboratory ---------------------------------------------------------------------------- */

static int open_packets(const char *folder, int *out, ns_error *error) {
  *out = -1;
  if (!folder)
    return 0;
  if (sim_make_folder(folder, error))
    return -1;
  *out = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *out < 0 ? sim_fail(error, -1, "cannot open %s: %s", folder, strerror(errno)) : 0;
}

static int run(const sim_options *options, const sim_trial *trial) {
  ns_error error;
  static sim_programs programs;
  sim_lab_setup setup = {.options = options, .trial = trial, .programs = &programs};
  if (sim_programs_find(options, &programs, &error) ||
      open_packets(options->pcap_folder, &setup.pcap_fd, &error))
    return complain(SIM_EXIT_NO_LAB, error.text);
  /* Before the sandbox, whose network namespace nobody outside could reach. */
  setup.door_fd = sim_lab_listen(options->name, &error);
  int status = setup.door_fd < 0 ? -1 : ns_sandbox_run(sim_lab_stand, &setup, &error);
  return status < 0 ? complain(SIM_EXIT_NO_LAB, error.text) : status;
}

int sim_cmd_lab(int argc, char **argv) {
  sim_options options;
  sim_plan plan;
  ns_error error;
  if (argc && !strcmp(argv[0], "exec"))
    return visit(argc - 1, argv + 1);
  if (sim_options_parse(SIM_LAB, argc, argv, &options, &error))
    return complain(SIM_EXIT_USAGE, error.text);
  if (options.help) {
    help();
    return SIM_EXIT_OK;
  }
  options.endpoint = "true"; /* a person is the peer: ours is not needed */
  if (!sim_lab_name_ok(options.name))
    return complain(SIM_EXIT_USAGE, "--name takes letters, digits, - and _, 31 at most");
  if (sim_plan_make(&options, &plan, &error))
    return complain(SIM_EXIT_USAGE, error.text);
  int status = run(&options, &plan.trials[0]);
  sim_plan_free(&plan);
  return status;
}
