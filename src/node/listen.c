/* Listening: one port for TCP and UDP on the node's addresses, and its mapping through the NAT. */
#include "node/internal.h"

#include "base/addr.h"
#include <stdio.h>

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  warp_node *node = arg;
  if (node->connect != NULL)
    wg_connect_on_stream(node->connect, tcp, from);
  else
    node->env->ops->tcp_reset(tcp); /* the start is not that far */
}

static void on_stun(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  wg_uplink *uplink = arg;
  if (uplink->udp_mapping != NULL)
    wg_mapping_input(uplink->udp_mapping, data, len, from);
}

static void close_listening(wg_uplink *uplink) {
  wg_mux_close(&uplink->mux);
  if (uplink->listener != NULL)
    uplink->node->env->ops->tcp_listener_close(uplink->listener);
  uplink->listener = NULL;
}

/* The port is shared (WG_SOCK_REUSE) only on TCP, where the connection that keeps its mapping
 * leaves from it. */
int wg_uplink_listen(wg_uplink *uplink) {
  warp_node *node = uplink->node;
  warp_addr local = wg_addr_with_port(&uplink->interface.addr, node->port);
  int status =
      wg_mux_open(&uplink->mux, node->env, &local, node->conf.reuse_addr ? WG_SOCK_REUSE : 0);
  if (status == WARP_OK)
    status = node->env->ops->tcp_listen(node->env, &local, WG_SOCK_REUSE, on_accept, node,
                                        &uplink->listener);
  uplink->mux.on_stun = on_stun;
  uplink->mux.stun_arg = uplink;
  if (status != WARP_OK)
    close_listening(uplink);
  return status;
}

/* The same number on TCP and UDP and every address, or nothing; an address that went while the node
 * started is none. */
static int open_port(warp_node *node, uint16_t port) {
  int status = WARP_OK;
  node->port = port;
  for (size_t i = 0; i < node->uplink_count && status == WARP_OK; i++) {
    status = wg_uplink_listen(node->uplinks[i]);
    if (status == WARP_ADDR_NOT_AVAILABLE)
      status = WARP_OK;
  }
  for (size_t i = 0; i < node->uplink_count && status != WARP_OK; i++)
    close_listening(node->uplinks[i]);
  return status;
}

/* If they come back, they are new. */
static void leave_out_gone(warp_node *node) {
  size_t kept = 0;
  for (size_t i = 0; i < node->uplink_count; i++) {
    if (node->uplinks[i]->listener != NULL)
      node->uplinks[kept++] = node->uplinks[i];
    else
      wg_uplink_close(node->uplinks[i]);
  }
  node->uplink_count = kept;
}

uint16_t wg_node_first_port(const warp_node *node) {
  return node->conf.listen_port != 0 ? node->conf.listen_port : wg_listen_port(node->machine, 0);
}

static int choose_port(warp_node *node) {
  if (node->conf.listen_port != 0)
    return open_port(node, node->conf.listen_port);
  int status = WARP_ADDR_IN_USE;
  for (unsigned turn = 0; turn < WG_NODE_PORT_TURNS && status == WARP_ADDR_IN_USE; turn++)
    status = open_port(node, wg_listen_port(node->machine, turn));
  return status;
}

static void listening(warp_node *node) {
  if (node->uplink_count == 0) {
    wg_node_step_done(node, WARP_START_LISTEN_ON_IFS, WARP_ADDR_NOT_AVAILABLE,
                      "port %u, but every address is gone since the start began", node->port);
    return;
  }
  const wg_uplink *uplink = node->uplinks[0];
  char udp[WARP_ADDR_STRLEN] = "not known", tcp[WARP_ADDR_STRLEN] = "not known";
  if (uplink->external_udp.family != 0)
    warp_addr_format(&uplink->external_udp, udp);
  if (uplink->external_tcp.family != 0)
    warp_addr_format(&uplink->external_tcp, tcp);
  wg_node_step_done(node, WARP_START_LISTEN_ON_IFS, WARP_OK, "port %u, outside UDP %s, TCP %s",
                    node->port, udp, tcp);
}

/* ---- mappings -------------------------------------------------------------------------------- */

/* The server has answered over TCP before, so a loss is likely what kept it from answering now. */
static bool is_late(const wg_uplink *uplink) {
  return uplink->tcp_mapping != NULL && uplink->external_tcp.family == 0 && uplink->measured &&
         uplink->found.tcp_status == WARP_OK;
}

static bool any_late(const warp_node *node) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    if (is_late(node->uplinks[i]))
      return true;
  }
  return false;
}

static void give_up_late(void *arg) {
  warp_node *node = arg;
  wg_connect_settle(node->connect, WG_UNSETTLED_MAPPINGS);
}

void wg_node_expect_mappings(warp_node *node) {
  if (!any_late(node))
    return;
  wg_connect_unsettle(node->connect, WG_UNSETTLED_MAPPINGS);
  wg_timer_start(node->env, &node->late, (uint64_t)WG_MAPPING_LATE_MS * 1000, give_up_late, node);
}

static void mapping_known(const wg_uplink *uplink, bool *awaited) {
  warp_node *node = uplink->node;
  *awaited = false;
  if (node->state != WG_NODE_STARTING)
    wg_node_arrived(node, uplink);
  else if (--node->mappings_pending == 0)
    listening(node);
}

/* The uplink is seen under another address now: what is being measured is what was before it,
 * unless the other transport's mapping has told of it already. */
static void measure_there(wg_uplink *uplink, const warp_addr *external) {
  bool under_way = uplink->measure != NULL;
  if (uplink->measure_awaited || (under_way && wg_addr_same_ip(&uplink->measured_at, external)))
    return;
  if (under_way)
    wg_measure_cancel(uplink->measure);
  uplink->measure = NULL;
  uplink->measured_at = *external;
  (void)wg_uplink_measure(uplink);
}

/* Later changes mean that the NAT moved us: the record has to say so. Another address, not only
 * another port, may be another NAT. */
static void on_mapping(wg_uplink *uplink, warp_addr *known, bool *awaited, int status,
                       const warp_addr *external) {
  warp_node *node = uplink->node;
  bool changed = status == WARP_OK && !wg_addr_equal(known, external);
  bool first = known->family == 0;
  bool elsewhere = changed && !first && !wg_addr_same_ip(known, external);
  if (changed)
    *known = *external;
  if (*awaited) {
    mapping_known(uplink, awaited);
    return;
  }
  if (!changed)
    return;
  if (elsewhere && node->state == WG_NODE_RUNNING)
    measure_there(uplink, external);
  wg_node_renew(node);
  if (first && node->state == WG_NODE_RUNNING)
    wg_connect_widen(node->connect);
  if (node->late.running && !any_late(node))
    wg_timer_start(node->env, &node->late, 0, give_up_late, node);
}

static void on_udp_mapping(void *arg, int status, const warp_addr *external) {
  wg_uplink *uplink = arg;
  on_mapping(uplink, &uplink->external_udp, &uplink->udp_awaited, status, external);
}

static void on_tcp_mapping(void *arg, int status, const warp_addr *external) {
  wg_uplink *uplink = arg;
  on_mapping(uplink, &uplink->external_tcp, &uplink->tcp_awaited, status, external);
}

/* A server that did not answer the measurement is not waited for once more: if it comes to life,
 * the record is renewed. */
void wg_uplink_start_mappings(wg_uplink *uplink) {
  warp_node *node = uplink->node;
  const warp_addr *server = wg_node_stun_server(node, uplink->interface.addr.family);
  bool starting = node->state == WG_NODE_STARTING;
  if (server == NULL)
    return;
  warp_addr local = wg_addr_with_port(&uplink->interface.addr, node->port);
  if (wg_mapping_udp(node->env, &uplink->mux, server, wg_node_refresh_s(uplink), on_udp_mapping,
                     uplink, &uplink->udp_mapping) == WARP_OK)
    uplink->udp_awaited = !starting || uplink->measured;
  if (wg_mapping_tcp(node->env, &local, server, WG_MAPPING_REFRESH_S, on_tcp_mapping, uplink,
                     &uplink->tcp_mapping) == WARP_OK)
    uplink->tcp_awaited = !starting || uplink->measured;
  if (starting)
    node->mappings_pending += (uplink->udp_awaited ? 1U : 0U) + (uplink->tcp_awaited ? 1U : 0U);
}

void wg_node_take_port(warp_node *node) {
  int status = choose_port(node);
  if (status != WARP_OK) {
    wg_logf(&node->log, WARP_LOG_ERROR, "cannot listen on port %u: %s", node->port,
            warp_strerror(status));
    wg_node_start_failed(node, status);
    return;
  }
  leave_out_gone(node);
  for (size_t i = 0; i < node->uplink_count; i++)
    wg_uplink_ask_router(node->uplinks[i]);
}

void wg_node_listen_on_ifs(warp_node *node) {
  for (size_t i = 0; i < node->uplink_count; i++)
    wg_uplink_start_mappings(node->uplinks[i]);
  if (node->mappings_pending == 0)
    listening(node);
}
