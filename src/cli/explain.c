#include "cli/explain.h"

#include "cli/report.h"
#include "cli/say.h"
#include "signal/router.h"

#include <stdio.h>

enum { HOSTS_LEN = CLI_SERVERS_MAX * (WG_HINT_LEN + 2) };

/* The servers of a kind without credentials, for a person. */
static const char *hosts(const cli_options *options, cli_kind kind, char out[HOSTS_LEN]) {
  const cli_servers *servers = &options->settings.servers[kind];
  size_t len = 0;
  out[0] = '\0';
  for (size_t i = 0; i < servers->count; i++) {
    char hint[WG_HINT_LEN];
    const char *text = wg_broker_hint(servers->text[i], hint) == WARP_OK ? hint : "a long name";
    len += (size_t)snprintf(out + len, HOSTS_LEN - len, "%s%s", i > 0 ? ", " : "", text);
  }
  return out;
}

/* ---- servers --------------------------------------------------------------------------------- */

bool cli_has_server(const cli_options *options, cli_kind kind) {
  return options->settings.servers[kind].count > 0;
}

int cli_explain_missing(const cli_options *options, cli_kind kind) {
  return cli_error(CLI_NO_SERVER, "no %s is configured: write the line '%s' into %s, or use --%s",
                   cli_kind_title(kind), cli_kind_example(kind),
                   options->config_path[0] != '\0' ? options->config_path : "a file for --config",
                   cli_kind_name(kind));
}

int cli_check_broker(const cli_options *options) {
  if (options->settings.servers[CLI_BROKER].given || options->loopback) {
    return -1;
  }
  return cli_explain_missing(options, CLI_BROKER);
}

/* A server that was asked for does not do its work. */
static int server_trouble(const cli_options *options, cli_kind kind, int status) {
  char list[HOSTS_LEN];
  return cli_error(CLI_NO_SERVER, "%s %s: %s%s", cli_kind_title(kind), hosts(options, kind, list),
                   status == WARP_NO_SERVER ? "not found, or no answer" : warp_strerror(status),
                   status == WARP_AUTH ? ": write it as user:password@host:port" : "");
}

int cli_explain_broker(const cli_run *run) {
  if (!cli_has_server(run->options, CLI_BROKER) || run->broker_status == WARP_OK) {
    return -1;
  }
  return server_trouble(run->options, CLI_BROKER, run->broker_status);
}

void cli_warn_stun(const cli_run *run) {
  const cli_options *options = run->options;
  char list[HOSTS_LEN];
  if (options->loopback || run->stun_status == WARP_OK) {
    return;
  }
  if (cli_has_server(options, CLI_STUN)) {
    cli_note("no answer from the STUN server (%s): NATs stay unknown, few connects will work",
             hosts(options, CLI_STUN, list));
  } else if (!options->settings.servers[CLI_STUN].given) {
    cli_note("no STUN server is configured: NATs stay unknown, few connects will work");
  }
}

/* What is no name at all was refused before anything began. */
static int other_servers(const char *name) {
  return cli_error(CLI_USAGE, "%s is a name at other name servers than those that are set", name);
}

static bool is_absence(int status) {
  return status == WARP_NO_SERVER || status == WARP_TIMEOUT || status == WARP_LIMIT;
}

/* ---- the start ------------------------------------------------------------------------------- */

int cli_explain_start(const cli_run *run, int status) {
  const cli_settings *settings = &run->options->settings;
  switch (status) {
  case WARP_NAME_TAKEN:
    return cli_error(CLI_FAILED,
                     "the name %s belongs to another key: choose another, or use its key (--key)",
                     run->gate_name);
  case WARP_QUOTA:
    return cli_error(CLI_FAILED, "the name server takes no more names from this network");
  case WARP_ADDR_IN_USE:
    return settings->port != 0
               ? cli_error(CLI_FAILED, "port %u is in use: choose another with --port",
                           settings->port)
               : cli_error(CLI_FAILED, "all ports tried are in use: choose one with --port");
  case WARP_UNREACHABLE:
    return cli_error(CLI_FAILED, "no network interface to use; between programs of this machine "
                                 "--loopback does");
  case WARP_INVALID: /* a setting or a server: the log says which */
    if (run->trouble[0] != '\0') {
      return cli_error(CLI_USAGE, "%s", run->trouble);
    }
    if (run->gate_name != NULL) {
      return other_servers(run->gate_name);
    }
    break;
  default:
    break;
  }
  if (run->gate_name != NULL && is_absence(status)) {
    return server_trouble(run->options, CLI_NAMES, status);
  }
  return cli_error(CLI_FAILED, "cannot start: %s",
                   run->trouble[0] != '\0' ? run->trouble : warp_strerror(status));
}

/* ---- records and names ----------------------------------------------------------------------- */

int cli_explain_address(int status) {
  switch (status) {
  case WARP_MALFORMED:
    return cli_error(CLI_USAGE, "the address is damaged or cut off: copy all of it");
  case WARP_VERSION:
    return cli_error(CLI_USAGE, "the address is of another version of warpgate");
  case WARP_BAD_SIGNATURE:
    return cli_error(CLI_USAGE, "the address is forged or damaged: it is not signed by its key");
  case WARP_EXPIRED:
    return cli_error(CLI_USAGE, "the address has expired: get a new one from its owner");
  case WARP_NOMEM:
    return cli_error(CLI_FAILED, "the address cannot be used: %s", warp_strerror(status));
  default:
    return cli_error(CLI_USAGE, "the address cannot be used: %s", warp_strerror(status));
  }
}

int cli_explain_lookup(const cli_run *run, const char *name, int status) {
  if (status == WARP_NOT_FOUND) {
    return cli_error(CLI_FAILED, "nobody is registered as %s", name);
  }
  if (status == WARP_INVALID) {
    return other_servers(name);
  }
  if (is_absence(status)) {
    return server_trouble(run->options, CLI_NAMES, status);
  }
  if (status == WARP_NOMEM) {
    return cli_error(CLI_FAILED, "cannot look up %s: %s", name, warp_strerror(status));
  }
  return cli_error(CLI_FAILED, "what the name server has for %s cannot be used: %s", name,
                   warp_strerror(status));
}

/* ---- connects -------------------------------------------------------------------------------- */

/* Did an attempt end like this, in the phase of the relay or in another one? */
static bool any_row(const warp_report *report, int status, bool of_relay) {
  for (size_t i = 0; i < report->count; i++) {
    const warp_report_row *row = &report->rows[i];
    if (row->status == status && (row->phase == WARP_PHASE_RELAY) == of_relay) {
      return true;
    }
  }
  return false;
}

static int summary(const cli_run *run, const char *to, int status) {
  switch (status) {
  case WARP_ALL_FAILED:
    return cli_error(CLI_FAILED, "could not connect to %s: every attempt failed", to);
  case WARP_TIMEOUT:
    return cli_error(CLI_FAILED, "could not connect to %s within %u s", to,
                     run->options->timeout_s);
  case WARP_INVALID:
    return cli_error(CLI_USAGE, "%s is this node itself", to);
  default:
    return cli_error(CLI_FAILED, "could not connect to %s: %s", to, warp_strerror(status));
  }
}

/* A server that would have helped. -1: none, or more memory would have. */
static int missing_help(const cli_run *run, const warp_report *report) {
  if (any_row(report, WARP_NOMEM, false) || any_row(report, WARP_NOMEM, true)) {
    return -1;
  }
  int broker = cli_explain_broker(run);
  if (broker >= 0) {
    return broker;
  }
  if (!cli_has_server(run->options, CLI_BROKER) && any_row(report, WARP_NO_SERVER, false)) {
    return cli_explain_missing(run->options, CLI_BROKER);
  }
  if (!cli_has_server(run->options, CLI_BROKER) && run->options->loopback) {
    return -1; /* within a machine nobody needs a relay: the other program is not there */
  }
  /* First: of another family there may be no relay at all, and that is not what went wrong. */
  if (any_row(report, WARP_AUTH, true)) {
    return server_trouble(run->options, CLI_TURN, WARP_AUTH);
  }
  return any_row(report, WARP_NO_SERVER, true) ? cli_explain_missing(run->options, CLI_TURN) : -1;
}

int cli_explain_connect(const cli_run *run, const char *to, int status, const warp_report *report) {
  int exit_status = summary(run, to, status);
  cli_report_failed(status, report, run->options->verbose > 0);
  bool unheard = status == WARP_ALL_FAILED || status == WARP_TIMEOUT;
  int server = unheard && !any_row(report, WARP_REFUSED, false) ? missing_help(run, report) : -1;
  return server >= 0 ? server : exit_status;
}
