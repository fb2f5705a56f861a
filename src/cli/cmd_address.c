/* warpgate address: prints the signed record that a node of ours has now. */
#include "cli/explain.h"
#include "cli/report.h"
#include "cli/say.h"

#include "base/bytes.h"
#include <stdio.h>

static void on_started(cli_run *run) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  char text[4 * ((WARP_RECORD_MAX + 2) / 3) + 1];
  int status = cli_explain_broker(run);
  if (status < 0) {
    status = warp_node_address(run->node, record, &len) == WARP_OK ? CLI_OK : CLI_FAILED;
    wg_base64url_encode(record, len, text);
    if (printf("%s\n", text) < 0 || fflush(stdout) != 0) {
      status = cli_error(CLI_FAILED, "cannot write to standard output");
    }
  }
  cli_run_stop(run, status);
}

static int run_address(const cli_options *options) {
  cli_run run = {.on_started = on_started};
  int status = cli_check_broker(options);
  if (status < 0) {
    status = cli_run_init(&run, options);
  }
  if (status >= 0) {
    return status;
  }
  run.conf.enable_nickname = false;
  return cli_run_loop(&run);
}

const cli_command cli_address = {
    .name = "address",
    .arguments = "",
    .summary = "prints this node's address",
    .help =
        "Starts a node, prints its address (a signed record, as base64url) and ends. The address\n"
        "is good while a node with the same key is up at the same port: as a rule, while\n"
        "`warpgate listen` runs, which prints its own.\n"
        "\n"
        "Examples:\n"
        "  warpgate address                  of the key \"default\"\n"
        "  warpgate address --key alice      of the key that `warpgate listen alice` uses\n",
    .options = CLI_GROUP_ALL | CLI_GROUP_NODE,
    .run = run_address,
};
