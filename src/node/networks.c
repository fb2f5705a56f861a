/* What was measured of the networks that the node was in: a start in one of them need not wait for
 * all of it again. */
#include "node/internal.h"

#include "nat/names.h"

static const char file_name[] = "networks";

enum {
  /* Older than that it may be another router, or another firmware. */
  KEPT_MS = 24 * 3600 * 1000,
  /* What has not changed is not written again sooner: writing waits for the disk. */
  WRITTEN_MS = 3600 * 1000,
};

/* A key that is not kept, and what never leaves this machine, leave nothing behind. */
static bool is_kept(const warp_node *node) {
  bool named = node->conf.key_name == NULL || node->conf.key_name[0] != '\0';
  return named && !node->conf.loopback_only;
}

void wg_node_load_networks(warp_node *node) {
  uint8_t bytes[WG_NETWORKS_LEN];
  size_t len;
  node->networks = (wg_networks){0};
  if (is_kept(node) &&
      node->env->ops->file_read(node->env, node->conf.data_dir, file_name, bytes, sizeof bytes,
                                &len) == WARP_OK &&
      wg_networks_decode(bytes, len, &node->networks) != WARP_OK)
    node->networks = (wg_networks){0};
}

bool wg_node_recall(wg_uplink *uplink, const warp_addr *external, const wg_nat_probe *probe) {
  warp_node *node = uplink->node;
  const wg_interface *interface = &uplink->interface;
  const wg_network *known =
      wg_networks_find(&node->networks, &interface->addr, interface->prefix_bits, external);
  if (known == NULL || !known->over_udp)
    return false;
  int64_t age_ms = wg_utc_ms(node->env, &node->clock) - known->measured_ms;
  if (age_ms < 0 || age_ms > KEPT_MS || !wg_nat_probe_agrees(probe, &known->udp))
    return false;
  uplink->measured_ms = known->measured_ms;
  uplink->found = (wg_measured){.udp_status = WARP_OK,
                                .tcp_status = known->over_tcp ? WARP_OK : WARP_TIMEOUT,
                                .udp = known->udp,
                                .tcp = known->tcp,
                                .external = *external};
  return true;
}

static bool is_news(const warp_node *node, const wg_network *network) {
  const wg_network *known =
      wg_networks_find(&node->networks, &network->prefix, network->prefix_bits, &network->external);
  return known == NULL || !wg_axes_equal(&known->udp, &network->udp) ||
         !wg_axes_equal(&known->tcp, &network->tcp) ||
         network->measured_ms - known->measured_ms > WRITTEN_MS ||
         network->measured_ms < known->measured_ms;
}

void wg_node_remember(const wg_uplink *uplink) {
  warp_node *node = uplink->node;
  wg_network network = {.prefix_bits = (uint8_t)uplink->interface.prefix_bits,
                        .prefix = wg_addr_with_port(&uplink->interface.addr, 0),
                        .external = wg_addr_with_port(&uplink->found.external, 0),
                        .measured_ms = uplink->measured_ms,
                        .over_udp = uplink->found.udp_status == WARP_OK,
                        .over_tcp = uplink->found.tcp_status == WARP_OK,
                        .udp = uplink->found.udp,
                        .tcp = uplink->found.tcp};
  if (!is_kept(node) || !network.over_udp || !is_news(node, &network))
    return;
  uint8_t bytes[WG_NETWORKS_LEN];
  wg_networks_put(&node->networks, &network);
  int len = wg_networks_encode(&node->networks, bytes, sizeof bytes);
  if (len < 0 || node->env->ops->file_write(node->env, node->conf.data_dir, file_name, bytes,
                                            (size_t)len) != WARP_OK)
    wg_logf(&node->log, WARP_LOG_DEBUG, "the known networks could not be written");
}
