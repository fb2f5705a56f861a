/* warpgate check: what NAT this is, which servers answer, and what will work. */
#include "cli/check.h"
#include "cli/explain.h"
#include "cli/say.h"

#include "env/loop.h"
#include <stdio.h>
#include <string.h>

enum {
  /* A server that dials back over TCP says after two seconds that it could not: only then the
   * silence of a filter is certain. */
  SETTLE_MS = 2700,
  SURE = 85, /* with that much confidence nothing is waited for */
};

static cli_check *check_of(cli_run *run) {
  return run->arg;
}

/* ---- what the start tells -------------------------------------------------------------------- */

static void on_event(cli_run *run, const warp_start_event *event) {
  if ((int)event->phase > CLI_STEPS) {
    return;
  }
  cli_step *step = &check_of(run)->steps[event->phase];
  step->seen = true;
  step->status = event->status;
  step->ms = event->elapsed_ms;
  cli_clean(event->detail, step->detail, sizeof step->detail);
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool read_record(cli_check *check) {
  uint8_t bytes[WARP_RECORD_MAX], signature[WG_SIGNATURE_LEN];
  size_t len = sizeof bytes, signed_len;
  return warp_node_address(check->run.node, bytes, &len) == WARP_OK &&
         wg_record_decode(bytes, len, &check->record, &signed_len, signature) == WARP_OK;
}

/* What is missing is said by the results; the status is for scripts. */
static int judge(const cli_check *check) {
  const cli_options *options = check->run.options;
  size_t count;
  const cli_answer *answers = cli_asks_answers(check->asks, &count);
  if (!cli_has_server(options, CLI_STUN)) {
    return cli_explain_missing(options, CLI_STUN);
  }
  for (size_t i = 0; i < count; i++) {
    bool silent = answers[i].status == WARP_TIMEOUT;
    if (answers[i].status != WARP_OK && !(silent && answers[i].tcp_ms >= 0)) {
      return CLI_NO_SERVER;
    }
  }
  return check->run.stun_status == WARP_OK ? CLI_OK : CLI_FAILED;
}

static bool lifetime_is_due(cli_check *check);

static void finish_if_known(cli_check *check) {
  if (!check->asked || !check->settled || check->run.state != CLI_RUNNING ||
      lifetime_is_due(check)) {
    return;
  }
  int status = CLI_OK;
  if (!read_record(check)) {
    status = CLI_FAILED;
  }
  if (check->lifetime_endpoint < check->record.endpoint_count && check->lifetime_s != 0) {
    check->record.endpoints[check->lifetime_endpoint].udp.lifetime_s = (uint16_t)check->lifetime_s;
  }
  if (status != CLI_OK) {
    cli_note("the node has no record");
  } else if (check->run.options->json) {
    status =
        cli_check_print_json(check) == WARP_OK ? CLI_OK : cli_error(CLI_FAILED, "out of memory");
  } else {
    cli_check_print(check);
  }
  if (fflush(stdout) != 0) {
    status = cli_error(CLI_FAILED, "cannot write to standard output");
  }
  cli_run_stop(&check->run, status == CLI_OK ? judge(check) : status);
}

/* ---- the lifetime of mappings ---------------------------------------------------------------- */

static void on_lifetime(void *arg, unsigned lived_s, unsigned died_s, bool last) {
  cli_check *check = arg;
  check->lifetime_s = wg_lifetime_known_s(lived_s, died_s);
  if (!last) {
    cli_note(died_s == 0 ? "idle mappings live %u s, trying longer"
                         : "idle mappings do not live %u s, trying shorter",
             died_s == 0 ? lived_s : died_s);
    return;
  }
  check->lifetime = NULL;
  check->lifetime_over = true;
  if (check->lifetime_s == 0) {
    cli_note("how long idle mappings live could not be learned: the STUN server does not answer to "
             "another port (RFC 5780)");
  }
  finish_if_known(check);
}

/* Begins with the first STUN server that answered, and the first NAT. */
static bool lifetime_is_due(cli_check *check) {
  size_t count;
  const cli_answer *answers = cli_asks_answers(check->asks, &count);
  if (!check->run.options->lifetime || check->lifetime_over) {
    return false;
  }
  for (size_t i = 0; i < count && check->lifetime == NULL && read_record(check); i++) {
    const cli_answer *answer = &answers[i];
    for (size_t k = 0; k < check->record.endpoint_count && check->lifetime == NULL; k++) {
      const warp_endpoint *endpoint = &check->record.endpoints[k];
      check->lifetime_endpoint = k;
      if (answer->kind == CLI_STUN && answer->status == WARP_OK &&
          endpoint->udp.translation == WARP_TRANSLATION_NAT &&
          answer->addr.family == endpoint->family &&
          wg_lifetime_start(warp_loop_env(check->run.loop), &endpoint->nic, &answer->addr, 0,
                            on_lifetime, check, &check->lifetime) == WARP_OK) {
        cli_note("asking how long idle mappings live: that takes minutes");
      }
    }
  }
  check->lifetime_over = check->lifetime == NULL;
  return !check->lifetime_over;
}

static void on_settled(uv_timer_t *timer) {
  cli_check *check = timer->data;
  check->settled = true;
  finish_if_known(check);
}

static void on_asked(void *arg) {
  cli_check *check = arg;
  check->asked = true;
  finish_if_known(check);
}

static bool is_sure(cli_check *check) {
  if (!read_record(check)) {
    return true;
  }
  for (size_t i = 0; i < check->record.endpoint_count; i++) {
    const warp_nat_axes *tcp = &check->record.endpoints[i].tcp;
    if (tcp->confidence > 0 && tcp->confidence < SURE) {
      return false;
    }
  }
  return true;
}

static void on_started(cli_run *run) {
  cli_check *check = check_of(run);
  check->settled = is_sure(check);
  if (!check->settled) {
    uv_timer_start(&check->settle, on_settled, SETTLE_MS, 0);
  }
  check->asks = cli_asks_start(warp_loop_env(run->loop), &run->options->settings, on_asked, check);
  if (check->asks == NULL) {
    cli_run_stop(run, cli_error(CLI_FAILED, "out of memory"));
  }
}

static void on_stop(cli_run *run) {
  cli_check *check = check_of(run);
  cli_asks_free(check->asks);
  check->asks = NULL;
  if (check->lifetime != NULL) {
    wg_lifetime_close(check->lifetime);
  }
  check->lifetime = NULL;
  uv_close((uv_handle_t *)&check->settle, NULL);
}

static int run_check(const cli_options *options) {
  static cli_check check;
  cli_run *run = &check.run;
  *run =
      (cli_run){.on_started = on_started, .on_stop = on_stop, .on_event = on_event, .arg = &check};
  int status = cli_run_init(run, options);
  if (status >= 0) {
    return status;
  }
  uv_timer_init(&run->uv, &check.settle);
  check.settle.data = &check;
  run->conf.enable_nickname = false;
  run->conf.key_name = ""; /* nobody is to find this one */
  return cli_run_loop(run);
}

const cli_command cli_check_command = {
    .name = "check",
    .arguments = "",
    .summary = "says what NAT this is, which servers answer, and what will work",
    .help =
        "Starts a node, measures the NAT before each interface over UDP and TCP, asks every\n"
        "configured server, and says what follows: which peers can be reached directly and how.\n"
        "Results go to standard output; with --json as one object.\n"
        "\n"
        "Examples:\n"
        "  warpgate check                              with the configured servers\n"
        "  warpgate check -v                           and why\n"
        "  warpgate check --stun stun.example.net:3478 with this STUN server alone\n"
        "  warpgate check --lifetime                   and how long idle mappings are kept\n"
        "  warpgate check --json | jq '.interfaces[0].udp.nat'\n"
        "\n"
        "Exit status: 0 the NAT is known and every configured server answers, 1 the NAT could not\n"
        "be measured, 3 no STUN server is configured, or a configured server does not answer.\n",
    .options = CLI_GROUP_ALL | CLI_GROUP_NODE | CLI_GROUP_CHECK,
    .run = run_check,
};
