/* warpgate connect: a link to a peer on standard input and output. */
#include "cli/explain.h"
#include "cli/report.h"
#include "cli/say.h"
#include "cli/standard.h"
#include "cli/target.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct dialling {
  cli_target target;
  warp_connect_options connect;
  uint64_t asked_ns; /* when the look-up began */
  double lookup_ms;  /* negative: none */
  cli_standard standard;
  int status;         /* of the connect */
  bool unexplained;   /* it is over, and the other end's report has not come */
  warp_report report; /* a copy until then, its rows our own */
} dialling;

static const char *whom(const dialling *dial) {
  return dial->target.is_name ? dial->target.name : "the address";
}

/* The other end takes a moment for its side of the story, which a failure waits for. */
static void keep_report(dialling *dial, int status, const warp_report *report) {
  size_t len = report->count * sizeof *report->rows;
  warp_report_row *rows = malloc(len > 0 ? len : 1);
  dial->report = *report;
  dial->report.count = rows != NULL ? report->count : 0;
  dial->report.rows = rows;
  if (rows != NULL && len > 0) {
    memcpy(rows, report->rows, len);
  }
  dial->status = status;
  dial->unexplained = true;
}

static void forget_report(dialling *dial) {
  dial->unexplained = false;
  free((void *)dial->report.rows);
  dial->report = (warp_report){0};
}

static void fail(cli_run *run, int status, const warp_report *report) {
  cli_run_stop(run, cli_explain_connect(run, whom(run->arg), status, report));
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  cli_run *run = arg;
  dialling *dial = run->arg;
  if (run->state == CLI_STOPPING) {
    if (pipe != NULL) {
      warp_pipe_close(pipe);
    }
    return;
  }
  if (dial->connect.on_explained != NULL) {
    keep_report(dial, status, report);
  } else if (status != WARP_OK) {
    fail(run, status, report);
  }
  if (status != WARP_OK) {
    return;
  }
  cli_report_connected(pipe, report, dial->lookup_ms, run->options->verbose > 0,
                       run->options->verbose > 1);
  warp_link *link;
  status = warp_link_open(pipe, &link);
  if (status != WARP_OK) {
    warp_pipe_close(pipe);
    cli_run_stop(run,
                 cli_error(CLI_FAILED, "cannot use the connection: %s", warp_strerror(status)));
    return;
  }
  cli_standard_start(&dial->standard, run, link);
}

static void on_explained(void *arg, const warp_report *report) {
  cli_run *run = arg;
  dialling *dial = run->arg;
  if (!dial->unexplained) {
    return; /* told without, at the end */
  }
  int status = dial->status;
  forget_report(dial);
  if (status != WARP_OK) {
    fail(run, status, report);
  } else {
    cli_report_explained(report, run->options->verbose > 0);
  }
}

static void start_connect(cli_run *run, const uint8_t *record, size_t len) {
  static const warp_report nothing = {0};
  dialling *dial = run->arg;
  int status = warp_auto_connect(run->node, record, len, &dial->connect, on_connect, run);
  if (status == WARP_NOT_FOUND) {
    cli_run_stop(run, cli_error(CLI_USAGE,
                                "--plugin: one of '%.100s' is no plugin: see "
                                "warpgate plugins",
                                run->options->plugins));
  } else if (status != WARP_OK) {
    fail(run, status, &nothing);
  }
}

static void on_found(void *arg, int status, const uint8_t *record, size_t len) {
  cli_run *run = arg;
  dialling *dial = run->arg;
  if (run->state == CLI_STOPPING) {
    return;
  }
  dial->lookup_ms = (double)(uv_hrtime() - dial->asked_ns) / 1e6;
  if (status == WARP_OK) {
    start_connect(run, record, len);
  } else {
    cli_run_stop(run, cli_explain_lookup(run, dial->target.name, status));
  }
}

static void on_started(cli_run *run) {
  cli_warn_stun(run);
  dialling *dial = run->arg;
  if (!dial->target.is_name) {
    start_connect(run, dial->target.record, dial->target.record_len);
    return;
  }
  dial->asked_ns = uv_hrtime();
  int status = warp_node_lookup(run->node, dial->target.name, on_found, run);
  if (status != WARP_OK) {
    cli_run_stop(run, cli_explain_lookup(run, dial->target.name, status));
  }
}

static void on_stop(cli_run *run) {
  dialling *dial = run->arg;
  if (dial->unexplained && dial->status == WARP_OK) { /* the pipe was done before the story came */
    cli_report_explained(&dial->report, run->options->verbose > 0);
  }
  if (dial->unexplained) {
    forget_report(dial);
  }
  cli_standard_stop(&dial->standard);
}

/* -1 when everything that is needed for a start is there. */
static int prepare(const cli_options *options, cli_target *target) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int status = cli_target_parse(options->argument,
                                (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, target);
  if (status == WARP_INVALID) {
    return cli_error(CLI_USAGE, "'%s' is neither a name (as alice) nor an address",
                     options->argument);
  }
  if (status != WARP_OK) {
    return cli_explain_address(status);
  }
  if (target->is_name && !cli_has_server(options, CLI_NAMES)) {
    return cli_explain_missing(options, CLI_NAMES);
  }
  return cli_check_broker(options);
}

static int run_connect(const cli_options *options) {
  static dialling dial = {.lookup_ms = -1};
  cli_run run = {.on_started = on_started, .on_stop = on_stop, .arg = &dial};
  int status = prepare(options, &dial.target);
  if (status < 0) {
    status = cli_run_init(&run, options);
  }
  if (status >= 0) {
    return status;
  }
  dial.connect = (warp_connect_options){.timeout_ms = options->timeout_s * 1000,
                                        .plugins = options->plugins,
                                        .transports = options->transports,
                                        .no_relay = options->no_relay,
                                        .strict = options->strict};
  if (options->verbose > 0 || options->json) {
    dial.connect.on_explained = on_explained;
  }
  run.conf.enable_nickname = false;
  if (run.conf.key_name == NULL) {
    /* Several at once with one key would look like replays to the peer. */
    run.conf.key_name = "";
  }
  return cli_run_loop(&run);
}

const cli_command cli_connect = {
    .name = "connect",
    .arguments = "NAME|ADDRESS",
    .summary = "standard input and output to a peer and back",
    .help =
        "Connects to the node that is registered as NAME, or whose ADDRESS is given. What comes "
        "on\n"
        "standard input goes to the peer, what the peer sends goes to standard output; the end of\n"
        "the one is the end of the other, each direction by itself. All of it arrives, over TCP, "
        "UDP\n"
        "and relays alike.\n"
        "\n"
        "Examples:\n"
        "  echo hello | warpgate connect alice\n"
        "  warpgate connect alice < file\n"
        "  warpgate connect alice -v --plugin udp_punch --no-relay\n"
        "  warpgate connect \"$(cat alice.address)\"\n",
    .options = CLI_GROUP_ALL | CLI_GROUP_NODE | CLI_GROUP_CONNECT,
    .argument = "NAME or ADDRESS",
    .needs_argument = true,
    .run = run_connect,
};
