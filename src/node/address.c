/* The node's signed address record. */
#include "node/internal.h"

#include "base/addr.h"
#include <stdio.h>
#include <string.h>

static void fill_endpoint(const warp_node *node, const wg_uplink *uplink, warp_endpoint *endpoint) {
  endpoint->family = (uint8_t)uplink->interface.addr.family;
  endpoint->prefix_bits = (uint8_t)uplink->interface.prefix_bits;
  endpoint->nic = wg_addr_with_port(&uplink->interface.addr, node->port);
  endpoint->external_udp = uplink->external_udp;
  endpoint->external_tcp = uplink->external_tcp;
  if (uplink->measured) {
    int64_t age_s = (wg_utc_ms(node->env, &node->clock) - uplink->measured_ms) / 1000;
    age_s = age_s < 0 ? 0 : age_s;
    endpoint->udp = uplink->found.udp;
    endpoint->tcp = uplink->found.tcp;
    endpoint->udp.age_s = endpoint->tcp.age_s = (uint16_t)(age_s < UINT16_MAX ? age_s : UINT16_MAX);
  }
  bool global = wg_addr_get_scope(&endpoint->nic) == WG_SCOPE_GLOBAL;
  if (global && endpoint->external_udp.family == 0)
    endpoint->external_udp = endpoint->nic;
  if (global && endpoint->external_tcp.family == 0)
    endpoint->external_tcp = endpoint->nic;
  for (size_t i = 0; i < WG_NODE_OPENINGS; i++) {
    const wg_opening *opening = &uplink->openings[i];
    const warp_addr *external = wg_opening_address(opening);
    if (external == NULL)
      continue;
    *(opening->transport == WARP_TCP ? &endpoint->external_tcp : &endpoint->external_udp) =
        *external;
    endpoint->port_mapped |= (uint8_t)opening->transport;
  }
}

/* Hosts and ports, never the credentials: the record is public. */
static size_t copy_hints(char out[WG_RECORD_HINTS][WG_HINT_LEN], const char *const *servers,
                         size_t most) {
  size_t count = 0;
  for (size_t i = 0; i < most && servers[i] != NULL && count < WG_RECORD_HINTS; i++) {
    if (wg_broker_hint(servers[i], out[count]) == WARP_OK)
      count++;
  }
  return count;
}

int wg_node_issue_record(warp_node *node) {
  wg_record *record = &node->record;
  int64_t now = wg_utc_ms(node->env, &node->clock);
  record->key = *wg_identity_key(node->identity);
  wg_machine_tag(node->machine, &record->key, record->machine);
  /* Grows over restarts too, without being stored: milliseconds, or one more than the last. */
  uint64_t by_clock = now > 0 ? (uint64_t)now : 1;
  record->sequence = by_clock > record->sequence ? by_clock : record->sequence + 1;
  record->issued_ms = now;
  node->record_issued_us = wg_now_us(node->env);
  record->expires_ms = now + (int64_t)WG_RECORD_LIFETIME_S * 1000;
  memset(record->endpoints, 0, sizeof record->endpoints);
  record->endpoint_count = 0;
  for (size_t i = 0; i < node->uplink_count; i++) {
    fill_endpoint(node, node->uplinks[i], &record->endpoints[record->endpoint_count++]);
  }
  record->broker_count =
      copy_hints(record->brokers, node->conf.brokers, wg_node_broker_count(node));
  record->relay_count = copy_hints(record->relays, node->conf.turn_servers, WG_RECORD_HINTS);
  int len = wg_record_sign(node->identity, record, node->record_bytes, sizeof node->record_bytes);
  if (len < 0)
    return len;
  node->record_len = (size_t)len;
  node->record_stale = false;
  wg_connect_set_record(node->connect, record, node->record_bytes, node->record_len);
  return WARP_OK;
}

static int new_connect(warp_node *node) {
  wg_connect_config config = {.env = node->env,
                              .log = &node->log,
                              .clock = &node->clock,
                              .identity = node->identity,
                              .router = node->router,
                              .loopback_only = node->conf.loopback_only,
                              .seed = node->conf.seed,
                              .policy = node->conf.contact_policy,
                              .policy_arg = node->conf.contact_arg,
                              .settings = node->settings,
                              .stun_servers = node->stun_servers,
                              .stun_count = node->stun_count,
                              .ca_file = node->conf.ca_file,
                              .relays = node->relays,
                              .relay_count = node->relay_count,
                              .no_punching = !node->conf.enable_punching};
  for (size_t i = 0; i < node->uplink_count; i++)
    config.muxes[i] = &node->uplinks[i]->mux;
  memcpy(config.machine, node->machine, sizeof config.machine);
  return wg_connect_new(&config, &node->connect);
}

/* Half of the lifetime is left for as many tries as it takes. */
static void plan_renewal(warp_node *node);

static void on_renew(void *arg) {
  warp_node *node = arg;
  plan_renewal(node);
  wg_node_renew(node);
}

static void plan_renewal(warp_node *node) {
  wg_timer_start(node->env, &node->renew, (uint64_t)WG_RECORD_LIFETIME_S * 500000, on_renew, node);
}

void wg_node_renew_later(warp_node *node) {
  wg_timer_start(node->env, &node->renew, (uint64_t)WG_RECORD_AGAIN_MS * 1000, on_renew, node);
}

void wg_node_build_address(warp_node *node) {
  int status = new_connect(node);
  if (status == WARP_OK) {
    wg_node_take_incoming(node);
    wg_node_expect_mappings(node);
    status = wg_node_issue_record(node);
  }
  if (status != WARP_OK) {
    wg_node_start_failed(node, status);
    return;
  }
  plan_renewal(node);
  wg_node_step_done(node, WARP_START_BUILD_NODE_ADDRESS, WARP_OK,
                    "record of %zu bytes, %zu endpoint%s", node->record_len,
                    node->record.endpoint_count, node->record.endpoint_count == 1 ? "" : "s");
}
