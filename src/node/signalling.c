/* Signalling: the router over the configured brokers. */
#include "node/internal.h"

#include <stdio.h>
#include <string.h>

static void finish(warp_node *node, int status) {
  if (!node->signal_waiting)
    return;
  node->signal_waiting = false;
  wg_timer_stop(node->env, &node->signal_timer);
  if (status == WARP_OK)
    wg_node_step_done(node, WARP_START_SETUP_ROUTER_AND_SIGNAL, WARP_OK, "%s", node->signal_detail);
  else
    wg_node_step_done(node, WARP_START_SETUP_ROUTER_AND_SIGNAL, status,
                      "no broker: only peers that can be reached directly (%s)",
                      node->signal_detail);
}

size_t wg_node_broker_count(const warp_node *node) {
  size_t count = 0;
  while (count < WG_ROUTER_BROKERS && count < node->conf.sig_pipe_no &&
         node->conf.brokers[count] != NULL)
    count++;
  return count;
}

/* A broker failed: is there none left that may still come? Each tries again by itself, so one may
 * fail several times while another has not answered yet. */
static bool all_failed(warp_node *node, const char *server) {
  size_t count = wg_node_broker_count(node);
  unsigned failed = 0;
  for (size_t i = 0; i < count; i++) {
    char hint[WG_HINT_LEN];
    if (wg_broker_hint(node->conf.brokers[i], hint) == WARP_OK && strcmp(hint, server) == 0)
      node->signal_failed[i] = true;
    failed += node->signal_failed[i] ? 1 : 0;
  }
  return failed == count;
}

static void on_state(void *arg, const char *server, int status) {
  warp_node *node = arg;
  wg_logf(&node->log, status == WARP_OK ? WARP_LOG_INFO : WARP_LOG_WARN, "broker %s: %s", server,
          status == WARP_OK ? "subscribed" : warp_strerror(status));
  if (!node->signal_waiting)
    return;
  snprintf(node->signal_detail, sizeof node->signal_detail, "broker %.40s: %.40s", server,
           status == WARP_OK ? "subscribed" : warp_strerror(status));
  if (status == WARP_OK)
    finish(node, WARP_OK);
  else if (all_failed(node, server))
    finish(node, status);
}

static void on_message(void *arg, const warp_key *sender, const wg_message *message) {
  warp_node *node = arg;
  if (node->connect != NULL)
    wg_connect_on_message(node->connect, sender, message);
}

static void on_timeout(void *arg) {
  warp_node *node = arg;
  finish(node, WARP_TIMEOUT);
}

void wg_node_setup_signal(warp_node *node) {
  size_t count = wg_node_broker_count(node);
  const char *brokers[WG_ROUTER_BROKERS + 1] = {NULL};
  for (size_t i = 0; i < count; i++)
    brokers[i] = node->conf.brokers[i];
  wg_router_options options = {.env = node->env,
                               .log = &node->log,
                               .clock = &node->clock,
                               .identity = node->identity,
                               .brokers = brokers,
                               .on_message = on_message,
                               .on_state = on_state,
                               .arg = node};
  int status = wg_router_open(&options, &node->router);
  if (status != WARP_OK) {
    wg_logf(&node->log, WARP_LOG_ERROR, "signalling cannot be set up: %s", warp_strerror(status));
    wg_node_start_failed(node, status);
    return;
  }
  if (count == 0) {
    bool off = node->conf.sig_pipe_no == 0;
    wg_node_step_done(node, WARP_START_SETUP_ROUTER_AND_SIGNAL, off ? WARP_OK : WARP_NO_SERVER,
                      "%s: only peers that can be reached directly",
                      off ? "off" : "no broker configured");
    return;
  }
  node->signal_waiting = true;
  snprintf(node->signal_detail, sizeof node->signal_detail, "broker %.60s: no answer", brokers[0]);
  wg_timer_start(node->env, &node->signal_timer, (uint64_t)node->conf.server_timeout_ms * 1000,
                 on_timeout, node);
}
