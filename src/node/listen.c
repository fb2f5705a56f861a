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

static void close_port(warp_node *node) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    wg_uplink *uplink = &node->uplinks[i];
    wg_mux_close(&uplink->mux);
    if (uplink->listener != NULL)
      node->env->ops->tcp_listener_close(uplink->listener);
    uplink->listener = NULL;
  }
}

/* The same number on TCP and UDP and every address, or nothing. The port is shared (WG_SOCK_REUSE)
 * only on TCP, where the connection that keeps its mapping leaves from it. */
static int open_port(warp_node *node, uint16_t port) {
  int status = WARP_OK;
  for (size_t i = 0; i < node->uplink_count && status == WARP_OK; i++) {
    wg_uplink *uplink = &node->uplinks[i];
    warp_addr local = wg_addr_with_port(&uplink->interface.addr, port);
    status =
        wg_mux_open(&uplink->mux, node->env, &local, node->conf.reuse_addr ? WG_SOCK_REUSE : 0);
    if (status == WARP_OK)
      status = node->env->ops->tcp_listen(node->env, &local, WG_SOCK_REUSE, on_accept, node,
                                          &uplink->listener);
    uplink->mux.on_stun = on_stun;
    uplink->mux.stun_arg = uplink;
  }
  if (status != WARP_OK)
    close_port(node);
  return status;
}

uint16_t wg_node_first_port(const warp_node *node) {
  return node->conf.listen_port != 0 ? node->conf.listen_port : wg_listen_port(node->machine, 0);
}

static int choose_port(warp_node *node) {
  if (node->conf.listen_port != 0) {
    node->port = wg_node_first_port(node);
    return open_port(node, node->port);
  }
  int status = WARP_ADDR_IN_USE;
  for (unsigned turn = 0; turn < WG_NODE_PORT_TURNS && status == WARP_ADDR_IN_USE; turn++) {
    node->port = wg_listen_port(node->machine, turn);
    status = open_port(node, node->port);
  }
  return status;
}

static void listening(warp_node *node) {
  const wg_uplink *uplink = &node->uplinks[0];
  char udp[WARP_ADDR_STRLEN] = "not known", tcp[WARP_ADDR_STRLEN] = "not known";
  if (uplink->external_udp.family != 0)
    warp_addr_format(&uplink->external_udp, udp);
  if (uplink->external_tcp.family != 0)
    warp_addr_format(&uplink->external_tcp, tcp);
  wg_node_step_done(node, WARP_START_LISTEN_ON_IFS, WARP_OK, "port %u, outside UDP %s, TCP %s",
                    node->port, udp, tcp);
}

static void mapping_known(warp_node *node, bool *awaited) {
  *awaited = false;
  if (--node->mappings_pending == 0)
    listening(node);
}

/* Later changes mean that the NAT moved us: the record has to say so. */
static void on_mapping(wg_uplink *uplink, warp_addr *known, bool *awaited, int status,
                       const warp_addr *external) {
  warp_node *node = uplink->node;
  bool changed = status == WARP_OK && !wg_addr_equal(known, external);
  if (changed)
    *known = *external;
  if (*awaited)
    mapping_known(node, awaited);
  else if (changed)
    wg_node_renew(node);
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
static void start_mappings(warp_node *node, wg_uplink *uplink) {
  const warp_addr *server = wg_node_stun_server(node, uplink->interface.addr.family);
  if (server == NULL)
    return;
  warp_addr local = wg_addr_with_port(&uplink->interface.addr, node->port);
  if (wg_mapping_udp(node->env, &uplink->mux, server, wg_node_refresh_s(uplink), on_udp_mapping,
                     uplink, &uplink->udp_mapping) == WARP_OK)
    uplink->udp_awaited = uplink->measured;
  if (wg_mapping_tcp(node->env, &local, server, WG_MAPPING_REFRESH_S, on_tcp_mapping, uplink,
                     &uplink->tcp_mapping) == WARP_OK)
    uplink->tcp_awaited = uplink->measured;
  node->mappings_pending += (uplink->udp_awaited ? 1U : 0U) + (uplink->tcp_awaited ? 1U : 0U);
}

void wg_node_listen_on_ifs(warp_node *node) {
  int status = choose_port(node);
  if (status != WARP_OK) {
    wg_logf(&node->env->log, WARP_LOG_ERROR, "cannot listen on port %u: %s", node->port,
            warp_strerror(status));
    wg_node_start_failed(node, status);
    return;
  }
  for (size_t i = 0; i < node->uplink_count; i++)
    start_mappings(node, &node->uplinks[i]);
  if (node->mappings_pending == 0)
    listening(node);
}

void wg_node_close_sockets(warp_node *node) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    wg_uplink *uplink = &node->uplinks[i];
    if (uplink->measure != NULL)
      wg_measure_cancel(uplink->measure);
    if (uplink->lifetime != NULL)
      wg_lifetime_close(uplink->lifetime);
    if (uplink->udp_mapping != NULL)
      wg_mapping_close(uplink->udp_mapping);
    if (uplink->tcp_mapping != NULL)
      wg_mapping_close(uplink->tcp_mapping);
    uplink->measure = NULL;
    uplink->lifetime = NULL;
    uplink->udp_mapping = uplink->tcp_mapping = NULL;
  }
  wg_node_close_openings(node);
  close_port(node);
}
