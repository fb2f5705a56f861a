/*
 * One run of a command: the loop, the node, what is learned while it starts, signals, the end.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli/cli.h"

#include <uv.h>

enum {
  CLI_SIGNALS = 3,
  CLI_LINE_LEN = 400,
  CLI_LAST_MS = 300, /* after a signal: for the router to close the port */
};

typedef enum cli_run_state { CLI_STARTING, CLI_RUNNING, CLI_STOPPING } cli_run_state;

typedef struct cli_run cli_run;
struct cli_run {
  const cli_options *options;
  warp_conf conf; /* cli_run_init fills it; the command changes what it likes */
  const char *lists[CLI_KINDS][CLI_SERVERS_MAX + 1];
  const char *default_names[CLI_SERVERS_MAX + 1];
  const char *numbers[CLI_NUMBERS_MAX + 1];
  const char *gate_name; /* a gate of this name instead of a bare node, or NULL */

  /* Of the command. `on_started`: the node is up. `on_stop`: close what you have open. The node is
   * being closed already, so that links which did not come to their end have broken, and peers can
   * tell that something is missing. May be NULL. */
  void (*on_started)(cli_run *run);
  void (*on_stop)(cli_run *run);
  void (*on_event)(cli_run *run, const warp_start_event *event); /* of the start; may be NULL */
  void *arg;
  int signal_status; /* exit status after SIGINT, SIGTERM and SIGHUP; -1: 128 and the signal */
  bool serves;       /* what happens after the start is worth a line */

  uv_loop_t uv;
  warp_loop *loop;
  uv_signal_t signals[CLI_SIGNALS];
  uv_timer_t last; /* how long what is left is waited for after a signal */
  warp_gate *gate;
  warp_node *node;
  cli_run_state state;
  bool interrupted; /* by a signal */
  int exit_status;
  int broker_status, stun_status, names_status; /* how the start step of each went */
  char trouble[CLI_LINE_LEN];                   /* the library's last error line */
};

/* Prepares a zeroed run: the configuration and the loop. -1, or an exit status (said why). */
int cli_run_init(cli_run *run, const cli_options *options);
/* Starts the node (or gate), runs until the end, frees everything, returns the exit status. */
int cli_run_loop(cli_run *run);
/* Begins the end, once: what was said first is what counts. */
void cli_run_stop(cli_run *run, int exit_status);

#endif
