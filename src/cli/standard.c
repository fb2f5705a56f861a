#include "cli/standard.h"

#include "cli/say.h"

#include <signal.h>
#include <unistd.h>

static void on_bridge(void *arg, cli_bridge_end end, int status) {
  cli_standard *standard = arg;
  int exit_status = CLI_OK;
  switch (end) {
  case CLI_BRIDGE_DONE:
    break;
  case CLI_BRIDGE_BROKE:
    exit_status = cli_error(CLI_FAILED, "the connection broke: %s", warp_strerror(status));
    break;
  case CLI_BRIDGE_NO_READER:
    if (standard->bridge.writer.error == UV_EPIPE) {
      exit_status = CLI_SIGNAL + SIGPIPE;
    } else {
      exit_status = cli_error(CLI_FAILED, "cannot write to standard output: %s",
                              uv_strerror(standard->bridge.writer.error));
    }
    break;
  case CLI_BRIDGE_NO_INPUT:
    exit_status = cli_error(CLI_FAILED, "cannot read standard input: %s",
                            uv_strerror(standard->bridge.reader.error));
    break;
  case CLI_BRIDGE_NO_MEMORY:
    exit_status = cli_error(CLI_FAILED, "cannot send: %s", warp_strerror(WARP_NOMEM));
  }
  cli_run_stop(standard->run, exit_status);
}

void cli_standard_start(cli_standard *standard, cli_run *run, warp_link *link) {
  cli_bridge *bridge = &standard->bridge;
  standard->run = run;
  int error = cli_handle_open(&bridge->reader.handle, &run->uv, STDIN_FILENO);
  if (error == 0) {
    error = cli_handle_open(&bridge->writer.handle, &run->uv, STDOUT_FILENO);
  }
  if (error != 0) {
    warp_link_abort(link, NULL, NULL);
    cli_run_stop(
        run, cli_error(CLI_FAILED, "cannot use standard input and output: %s", uv_strerror(error)));
    return;
  }
  standard->started = true;
  cli_progress_start(&standard->progress, &run->uv, &bridge->reader, &bridge->writer);
  cli_bridge_start(bridge, &run->uv, link, on_bridge, standard);
}

void cli_standard_stop(cli_standard *standard) {
  if (standard->started) {
    cli_progress_stop(&standard->progress);
    cli_bridge_close(&standard->bridge, NULL, NULL);
  }
}
