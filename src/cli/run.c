#include "cli/run.h"

#include "cli/explain.h"
#include "cli/handles.h"
#include "cli/report.h"
#include "cli/say.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what the library tells ------------------------------------------------------------------ */

static void on_start_event(void *arg, const warp_start_event *event) {
  cli_run *run = arg;
  switch (event->phase) {
  case WARP_START_SETUP_ROUTER_AND_SIGNAL:
    run->broker_status = event->status;
    break;
  case WARP_START_LOAD_P2P_STUN_CLIENTS:
    run->stun_status = event->status;
    break;
  case WARP_START_SETUP_NICKNAME_SERVICE:
    run->names_status = event->status;
    break;
  case WARP_START_SETUP_TRAVERSAL_PLUGINS:
    if (event->status != WARP_OK && run->options->verbose == 0 && !run->options->json) {
      cli_note("%s", event->detail); /* who asks for plugins wants to know which are missing */
    }
    break;
  default:
    break;
  }
  if (run->on_event != NULL) {
    run->on_event(run, event);
  }
  cli_report_start(event, run->options->verbose > 0);
}

/* Which lines are worth showing: what a start logs is told by its events already. */
static bool worth_showing(const cli_run *run, warp_log_level level) {
  unsigned verbose = run->options->verbose;
  if (verbose >= 2) {
    return true;
  }
  if (run->state != CLI_RUNNING) {
    return false;
  }
  return level <= (verbose > 0 ? WARP_LOG_INFO : WARP_LOG_WARN) && (run->serves || verbose > 0);
}

static void on_log(void *arg, warp_log_level level, const char *line) {
  cli_run *run = arg;
  char clean[CLI_LINE_LEN];
  cli_clean(line, clean, sizeof clean);
  if (level == WARP_LOG_ERROR) {
    memcpy(run->trouble, clean, sizeof clean);
  }
  if (worth_showing(run, level)) {
    cli_note("%s", clean);
  }
}

/* ---- the configuration ----------------------------------------------------------------------- */

static void fill_conf(cli_run *run) {
  const cli_settings *settings = &run->options->settings;
  for (cli_kind kind = 0; kind < CLI_KINDS; kind++) {
    for (size_t i = 0; i < settings->servers[kind].count; i++) {
      run->lists[kind][i] = settings->servers[kind].text[i];
    }
  }
  for (size_t i = 0; i < settings->number_count; i++) {
    run->numbers[i] = settings->numbers[i];
  }
  const cli_servers *defaults = &run->options->default_names;
  for (size_t i = 0; i < defaults->count; i++) {
    run->default_names[i] = defaults->text[i];
  }
  warp_conf *conf = &run->conf;
  *conf = warp_conf_default();
  conf->brokers = run->lists[CLI_BROKER];
  conf->stun_servers = run->lists[CLI_STUN];
  conf->turn_servers = run->lists[CLI_TURN];
  conf->name_servers = run->lists[CLI_NAMES];
  conf->default_name_servers = run->default_names;
  conf->ntp_servers = run->lists[CLI_NTP];
  size_t brokers = settings->servers[CLI_BROKER].count;
  conf->sig_pipe_no = brokers > 0 ? (unsigned)brokers : 1; /* 0 says that none is wanted */
  conf->data_dir = settings->data[0] != '\0' ? settings->data : NULL;
  conf->key_name = settings->key[0] != '\0' ? settings->key : NULL;
  conf->listen_port = settings->port;
  conf->settings = run->numbers;
  conf->plugin_dir = settings->plugin_dir[0] != '\0' ? settings->plugin_dir : NULL;
  conf->loopback_only = run->options->loopback;
  conf->enable_upnp = !run->options->no_upnp;
  conf->on_start_event = on_start_event;
  conf->start_arg = run;
  conf->on_log = on_log;
  conf->log_arg = run;
}

int cli_run_init(cli_run *run, const cli_options *options) {
  run->options = options;
  run->signal_status = -1;
  fill_conf(run);
  if (uv_loop_init(&run->uv) == 0) {
    run->loop = warp_loop_wrap(&run->uv);
    if (run->loop != NULL) {
      return -1;
    }
    uv_loop_close(&run->uv);
  }
  return cli_error(CLI_FAILED, "out of memory or descriptors");
}

/* ---- the end --------------------------------------------------------------------------------- */

static void on_last(uv_timer_t *timer) {
  warp_loop_stop(timer->data);
}

static void on_node_closed(void *arg) {
  cli_run *run = arg;
  for (size_t i = 0; i < CLI_SIGNALS; i++) {
    uv_close((uv_handle_t *)&run->signals[i], NULL);
  }
  if (run->interrupted) {
    uv_timer_start(&run->last, on_last, CLI_LAST_MS, 0);
  }
}

void cli_run_stop(cli_run *run, int exit_status) {
  if (run->state == CLI_STOPPING) {
    return;
  }
  run->state = CLI_STOPPING;
  run->exit_status = exit_status;
  if (run->gate != NULL) {
    warp_gate_close(run->gate, on_node_closed, run);
  } else if (run->node != NULL) {
    warp_node_close(run->node, on_node_closed, run);
  } else {
    on_node_closed(run);
  }
  if (run->on_stop != NULL) {
    run->on_stop(run);
  }
}

static void on_signal(uv_signal_t *handle, int number) {
  cli_run *run = handle->data;
  if (run->state == CLI_STOPPING) { /* once more: no more patience */
    cli_handles_restore();
    _exit(CLI_SIGNAL + number);
  }
  run->interrupted = true;
  cli_run_stop(run, run->signal_status >= 0 ? run->signal_status : CLI_SIGNAL + number);
}

/* ---- the start ------------------------------------------------------------------------------- */

static void started(cli_run *run, int status) {
  if (run->state == CLI_STOPPING) {
    return; /* canceled by us */
  }
  if (status != WARP_OK) {
    run->gate = NULL;
    run->node = NULL;
    cli_run_stop(run, cli_explain_start(run, status));
    return;
  }
  run->state = CLI_RUNNING;
  run->on_started(run);
}

static void on_node_started(void *arg, warp_node *node, int status) {
  (void)node;
  started(arg, status);
}

static void on_gate_open(void *arg, warp_gate *gate, int status) {
  cli_run *run = arg;
  run->node = warp_gate_node(gate);
  started(run, status);
}

static int start(cli_run *run) {
  if (run->gate_name != NULL) {
    return warp_gate_open(run->loop, run->gate_name, &run->conf, on_gate_open, run, &run->gate);
  }
  return warp_node_start(run->loop, &run->conf, on_node_started, run, &run->node);
}

int cli_run_loop(cli_run *run) {
  static const int numbers[CLI_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
  for (size_t i = 0; i < CLI_SIGNALS; i++) {
    uv_signal_init(&run->uv, &run->signals[i]);
    run->signals[i].data = run;
    uv_signal_start(&run->signals[i], on_signal, numbers[i]);
  }
  uv_timer_init(&run->uv, &run->last);
  run->last.data = run->loop;
  uv_unref((uv_handle_t *)&run->last);
  int status = start(run);
  if (status != WARP_OK) {
    cli_run_stop(run, cli_explain_start(run, status));
  }
  warp_loop_run(run->loop);
  uv_close((uv_handle_t *)&run->last, NULL);
  uv_run(&run->uv, UV_RUN_NOWAIT);
  if (run->interrupted && uv_loop_alive(&run->uv)) {
    /* Connections that wait up to 2 s for their peer's end: the system closes them as well. */
    cli_handles_restore();
    _exit(run->exit_status);
  }
  (void)warp_loop_close(run->loop);
  uv_run(&run->uv, UV_RUN_DEFAULT); /* its last callbacks */
  uv_loop_close(&run->uv);
  cli_handles_restore();
  return run->exit_status;
}
