/* warpgate listen: waits for peers. */
#include "cli/explain.h"
#include "cli/peers.h"
#include "cli/report.h"
#include "cli/say.h"
#include "cli/standard.h"

#include "nickname/names.h"
#include <stdio.h>

typedef struct listening {
  cli_run run;
  wg_list echoes;
  cli_children children;
  bool taken; /* --pipe: the first peer is here */
  cli_standard standard;
} listening;

/* ---- peers ----------------------------------------------------------------------------------- */

/* With --pipe there is one peer, with --exec there are as many as commands may run. */
static bool is_full(const listening *self) {
  const cli_options *options = self->run.options;
  return options->pipe ? self->taken
                       : options->exec != NULL && self->children.count >= options->commands;
}

/* Those for whom there is no room are told at once. */
static warp_contact on_stranger(void *arg, const warp_key *peer) {
  (void)peer;
  return is_full(arg) ? WARP_CONTACT_REFUSE : WARP_CONTACT_ACCEPT;
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  listening *self = arg;
  const cli_options *options = self->run.options;
  if (self->run.state == CLI_STOPPING || is_full(self)) {
    warp_pipe_close(pipe); /* several were under way at once */
    return;
  }
  cli_report_connected(pipe, report, -1, true, options->verbose > 0);
  warp_link *link;
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  int status = warp_link_open(pipe, &link);
  if (status != WARP_OK) { /* one that is over already has not said the link's last word */
    cli_report_ended(&info.peer, status == WARP_CLOSED ? WARP_RESET : status);
    warp_pipe_close(pipe);
  } else if (options->pipe) {
    self->taken = true;
    cli_standard_start(&self->standard, &self->run, link);
  } else if (options->exec != NULL) {
    cli_child_start(&self->children, &self->run, options->exec, link);
  } else {
    cli_echo_start(&self->echoes, link);
  }
}

static void on_miss(void *arg, warp_node *node, const warp_key *peer, int status,
                    const warp_report *report) {
  (void)node;
  const listening *self = arg;
  if (self->run.state != CLI_STOPPING) {
    cli_report_missed(peer, status, report, self->run.options->verbose > 0);
  }
}

/* ---- start and end --------------------------------------------------------------------------- */

/* The name we are registered under, or NULL. */
static const char *registered_name(const cli_run *run) {
  if (run->gate != NULL) {
    return warp_gate_name(run->gate);
  }
  return run->names_status == WARP_OK ? warp_node_nickname(run->node) : NULL;
}

static void on_started(cli_run *run) {
  listening *self = run->arg;
  int status = cli_explain_broker(run);
  if (status >= 0) {
    cli_run_stop(run, status);
    return;
  }
  cli_warn_stun(run);
  if (cli_has_server(run->options, CLI_NAMES) && run->gate == NULL &&
      run->names_status != WARP_OK) {
    cli_note("no name server answers: reachable by address only");
  }
  warp_node_listen(run->node, on_pipe, on_miss, self);
  cli_report_ready(run->node, registered_name(run), true);
}

/* Whoever was given the old address can still come by the broker, but it is not good for ever. */
static void on_address(void *arg, warp_node *node) {
  const listening *self = arg;
  if (self->run.state != CLI_STOPPING) {
    cli_report_address(node);
  }
}

static void on_stop(cli_run *run) {
  listening *self = run->arg;
  cli_echo_stop(&self->echoes);
  cli_child_stop(&self->children);
  cli_standard_stop(&self->standard);
}

/* -1 when everything that is needed for a start is there. */
static int prepare(const cli_options *options) {
  char name[WARP_NAME_MAX + 1], suffix[WG_NAME_SUFFIX_LEN];
  if (options->argument != NULL && wg_name_split(options->argument, name, suffix) != WARP_OK) {
    return cli_error(CLI_USAGE,
                     "'%s' is no name: up to %d letters a-z, digits and hyphens inside, as alice",
                     options->argument, WARP_NAME_MAX);
  }
  if (options->argument != NULL && !cli_has_server(options, CLI_NAMES)) {
    return cli_explain_missing(options, CLI_NAMES);
  }
  return cli_check_broker(options);
}

static int run_listen(const cli_options *options) {
  static listening self;
  cli_run *run = &self.run;
  wg_list_init(&self.echoes);
  wg_list_init(&self.children.list);
  *run = (cli_run){.on_started = on_started,
                   .on_stop = on_stop,
                   .arg = &self,
                   .gate_name = options->argument,
                   .serves = true};
  int status = prepare(options);
  if (status < 0) {
    status = cli_run_init(run, options);
  }
  if (status >= 0) {
    return status;
  }
  /* The name that was asked for is enough. */
  run->conf.enable_nickname = options->argument == NULL;
  run->conf.contact_policy = on_stranger;
  run->conf.contact_arg = &self;
  run->conf.on_address = on_address;
  run->conf.address_arg = &self;
  run->signal_status = options->pipe ? -1 : CLI_OK;
  return cli_run_loop(run);
}

const cli_command cli_listen = {
    .name = "listen",
    .arguments = "[NAME]",
    .summary = "waits for peers: echoes, or as --pipe and --exec say",
    .help =
        "Starts a node, registers NAME with the name servers and waits for peers. Its name and\n"
        "address are said on standard error. Without NAME it has the name that follows from its "
        "key,\n"
        "if there is a name server. Every peer gets back what it sends; with --exec it gets a "
        "command\n"
        "of its own, with --pipe the first one gets standard input and output.\n"
        "\n"
        "Examples:\n"
        "  warpgate listen alice\n"
        "  warpgate listen backup --exec 'cat > \"$WARPGATE_PEER.tar\"'\n"
        "  tar c photos | warpgate listen alice --pipe\n"
        "  warpgate listen --loopback         without any server, for peers on this machine\n",
    .options = CLI_GROUP_ALL | CLI_GROUP_NODE | CLI_GROUP_LISTEN,
    .argument = "NAME",
    .run = run_listen,
};
