/* What the node and its peers agree upon before they meet: the time. */
#include "node/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
  OFFSET_STRLEN = 40,
  /* A record that says it was issued then is still good anywhere; by more it may not be. */
  MOVED_LEAST_MS = 60000,
};

/* How far this machine's clock is off, as "this machine's clock is 5.003 s behind". */
static void describe_offset(warp_node *node, char out[OFFSET_STRLEN]) {
  int64_t off_ms = wg_utc_ms(node->env, &node->clock) - node->env->ops->wall_ms(node->env);
  snprintf(out, OFFSET_STRLEN, "%.3f s %s", (double)llabs(off_ms) / 1000.0,
           off_ms < 0 ? "ahead" : "behind");
}

static const char *explain(int status) {
  switch (status) {
  case WARP_NO_SERVER:
    return "no NTP server configured, or none was found";
  case WARP_TIMEOUT:
    return "no NTP server answered";
  case WARP_REFUSED:
    return "the NTP servers that answered do not tell the time";
  case WARP_UNTRUSTED:
    return "the NTP servers contradict each other";
  default:
    return warp_strerror(status);
  }
}

static void report_first(warp_node *node, const wg_clock_result *result, size_t asked) {
  if (result->status != WARP_OK) {
    wg_node_step_done(node, WARP_START_INITIALIZE_SYSTEM_CLOCK, result->status,
                      "%s: this machine's clock is taken", explain(result->status));
    return;
  }
  char offset[OFFSET_STRLEN];
  describe_offset(node, offset);
  wg_node_step_done(node, WARP_START_INITIALIZE_SYSTEM_CLOCK, WARP_OK,
                    "this machine's clock is %s, to within %.1f ms, by %u of %zu servers", offset,
                    (double)result->uncertainty_us / 1000.0, result->agreed, asked);
}

/* A later round: the record is timed anew when the time it was issued at turns out to be wrong. */
static void on_round(void *arg, const wg_clock_result *result, size_t asked) {
  warp_node *node = arg;
  if (node->state == WG_NODE_STARTING) {
    report_first(node, result, asked);
    return;
  }
  wg_logf(&node->log, result->status == WARP_OK ? WARP_LOG_DEBUG : WARP_LOG_WARN,
          "clock: %s, %u of %zu servers agree",
          result->status == WARP_OK ? "measured again" : explain(result->status), result->agreed,
          asked);
  int64_t now_ms = wg_utc_ms(node->env, &node->clock);
  int64_t then_ms =
      node->record.issued_ms + (int64_t)(wg_now_us(node->env) - node->record_issued_us) / 1000;
  if (llabs(now_ms - then_ms) > MOVED_LEAST_MS)
    wg_node_renew(node);
}

void wg_node_init_clock(warp_node *node) {
  if (!node->conf.init_clock_skew) {
    wg_node_step_done(node, WARP_START_INITIALIZE_SYSTEM_CLOCK, WARP_OK,
                      "off: this machine's clock is taken");
    return;
  }
  const wg_uplink *v4 = wg_node_uplink(node, WARP_IP4), *v6 = wg_node_uplink(node, WARP_IP6);
  wg_timekeeper_options options = {.env = node->env,
                                   .log = &node->log,
                                   .clock = &node->clock,
                                   .servers = node->conf.ntp_servers,
                                   .timeout_ms = node->conf.server_timeout_ms,
                                   .cb = on_round,
                                   .arg = node};
  if (v4 != NULL)
    options.local4 = v4->interface.addr;
  if (v6 != NULL)
    options.local6 = v6->interface.addr;
  int status = wg_timekeeper_open(&options, &node->timekeeper);
  if (status != WARP_OK)
    wg_node_start_failed(node, status);
}

void wg_node_init_punching(warp_node *node) {
  uint32_t uncertainty_us;
  (void)wg_utc_us(node->env, &node->clock, &uncertainty_us);
  if (!node->conf.enable_punching)
    wg_node_step_done(node, WARP_START_INITIALIZE_PUNCH_COORDINATION, WARP_OK, "off");
  else if (uncertainty_us == UINT32_MAX)
    wg_node_step_done(node, WARP_START_INITIALIZE_PUNCH_COORDINATION, WARP_OK,
                      "without a common time: it goes by when messages arrive");
  else
    wg_node_step_done(node, WARP_START_INITIALIZE_PUNCH_COORDINATION, WARP_OK,
                      "agreed instants are met to within %.1f ms", (double)uncertainty_us / 1000.0);
}

void wg_node_start_maintenance(warp_node *node) {
  bool asks = node->timekeeper != NULL && node->conf.ntp_servers[0] != NULL;
  if (asks)
    wg_timekeeper_go_on(node->timekeeper);
  wg_node_keep_looking_up(node);
  wg_node_step_done(node, WARP_START_START_MAINTENANCE_TASKS, WARP_OK, "%srecord every %d h",
                    asks ? "clock every 15 min, " : "", WG_RECORD_LIFETIME_S / 2 / 3600);
}
