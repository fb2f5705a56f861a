/* warpgate name: looks a name up and prints the address behind it. */
#include "cli/explain.h"
#include "cli/say.h"

#include "base/bytes.h"
#include "nickname/names.h"
#include <stdio.h>

static void on_found(void *arg, int status, const uint8_t *record, size_t len) {
  cli_run *run = arg;
  char text[4 * ((WARP_RECORD_MAX + 2) / 3) + 1];
  if (run->state == CLI_STOPPING) {
    return;
  }
  int exit_status = CLI_OK;
  if (status != WARP_OK) {
    exit_status = cli_explain_lookup(run, run->options->argument, status);
  } else {
    wg_base64url_encode(record, len, text);
    if (printf("%s\n", text) < 0 || fflush(stdout) != 0) {
      exit_status = cli_error(CLI_FAILED, "cannot write to standard output");
    }
  }
  cli_run_stop(run, exit_status);
}

static void on_started(cli_run *run) {
  int status = warp_node_lookup(run->node, run->options->argument, on_found, run);
  if (status != WARP_OK) {
    cli_run_stop(run, cli_explain_lookup(run, run->options->argument, status));
  }
}

static int run_name(const cli_options *options) {
  cli_run run = {.on_started = on_started};
  char name[WARP_NAME_MAX + 1], suffix[WG_NAME_SUFFIX_LEN];
  if (wg_name_split(options->argument, name, suffix) != WARP_OK) {
    return cli_error(CLI_USAGE,
                     "'%s' is no name: up to %d letters a-z, digits and hyphens inside, as alice",
                     options->argument, WARP_NAME_MAX);
  }
  if (!cli_has_server(options, CLI_NAMES)) {
    return cli_explain_missing(options, CLI_NAMES);
  }
  int status = cli_run_init(&run, options);
  if (status >= 0) {
    return status;
  }
  /* A question to one server: no broker, no measurement, nobody who has to know us again. */
  run.conf.sig_pipe_no = 0;
  run.conf.enable_stun_clients = false;
  run.conf.enable_nickname = false;
  run.conf.key_name = "";
  return cli_run_loop(&run);
}

const cli_command cli_name = {
    .name = "name",
    .arguments = "NAME",
    .summary = "looks a name up and prints its address",
    .help = "Asks the name servers for NAME (with or without .p2p), checks the signature of what\n"
            "they answer and prints it: an address, as `warpgate connect` takes it.\n"
            "\n"
            "Examples:\n"
            "  warpgate name alice\n"
            "  warpgate name alice.p2p --names names.example.net:4370\n",
    .options = CLI_GROUP_ALL,
    .argument = "NAME",
    .needs_argument = true,
    .run = run_name,
};
