/* Interfaces and addresses that come and go while a node runs: what it has of them, its record and
 * its names, connects under way, and the pipes that stood on what is gone. */
#include "peers.h"
#include "registry.h"

#include "base/addr.h"
#include "node/internal.h"
#include "node/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = SIM_SECOND;
/* What a change takes to be in the record, with all that is known of the new network: it settles,
 * and its servers are a few round trips away. */
static const uint64_t noticed_us = 2 * SIM_SECOND;
static const uint64_t lost_us = (uint64_t)(WG_CHANGE_LOST_MS + 2 * WG_CHANGE_SETTLE_MS) * SIM_MS;

static void run(peers *both, uint64_t us) {
  assert_int_equal(sim_run_for(both->net.world, us), WARP_OK);
}

/* Another network that a may be in, 10.0.3.0/24 behind 192.0.2.66. */
static sim_network *other_site(peers *both, const char *profile) {
  sim_link link = {.latency_us = 10000};
  sim_network *site = sim_network_new(both->net.world, "other", &link);
  sim_nat nat;
  assert_int_equal(sim_nat_profile(profile, &nat), WARP_OK);
  sim_network_set_nat(site, "192.0.2.66", &nat);
  return site;
}

/* The socket is taken out of one network and put into another, as from Wi-Fi to a cable. */
static void change_network(peers *both, sim_network *to) {
  sim_host_remove_address(both->net.a, "10.0.1.2");
  sim_host_join(both->net.a, to, "10.0.3.2/24");
}

static unsigned told;

static void on_address(void *arg, warp_node *node) {
  const peer *self = arg;
  assert_ptr_equal(node, self->node);
  told++;
}

static void start(peers *both, const char *profile_a, const char *profile_b) {
  peers_build(both, profile_a, profile_b, 1);
  told = 0;
  both->a.conf.on_address = on_address;
  both->a.conf.address_arg = &both->a;
  peers_start(both);
  assert_int_equal(told, 0);
}

/* ---- the record ------------------------------------------------------------------------------ */

/* Everything that the start finds out is found out again. */
static void test_another_network(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "open");
  sim_network *site = other_site(&both, "symmetric");
  static const sim_router router = {.protocol = "NAT-PMP", .delay_ms = 2};
  sim_network_set_router(site, &router);
  wg_record before = peer_record(&both.a);
  change_network(&both, site);
  run(&both, noticed_us);
  wg_record after = peer_record(&both.a);
  assert_true(after.sequence > before.sequence);
  assert_true(told > 0);
  assert_int_equal(after.endpoint_count, 1);
  const warp_endpoint *endpoint = &after.endpoints[0];
  assert_ip(&endpoint->nic, "10.0.3.2");
  assert_int_equal(endpoint->nic.port, before.endpoints[0].nic.port);
  assert_int_equal(endpoint->nic.port, warp_node_port(both.a.node));
  assert_int_equal(endpoint->udp.mapping, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_ip(&endpoint->external_udp, "192.0.2.66");
  assert_int_equal(endpoint->port_mapped, WARP_TCP | WARP_UDP);
  peers_connect(&both, &(warp_connect_options){.plugins = "udp_punch"}); /* through the broker */
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_ip(&both.a.info.local, "10.0.3.2");
  peers_echo(&both);
  peers_free(&both);
}

/* A second interface comes and is there beside the first, and goes again. */
static void test_added_and_removed(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "port-restricted");
  peers_connect(&both, NULL); /* what stands on the first stays */
  sim_host_join(both.net.a, other_site(&both, "full-cone"), "10.0.3.2/24");
  run(&both, noticed_us);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 2);
  assert_ip(&record.endpoints[0].nic, "10.0.1.2");
  assert_ip(&record.endpoints[1].external_udp, "192.0.2.66");
  size_t handles = sim_host_handles(both.net.a);
  sim_host_remove_address(both.net.a, "10.0.3.2");
  run(&both, lost_us);
  record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 1);
  assert_ip(&record.endpoints[0].nic, "10.0.1.2");
  assert_true(sim_host_handles(both.net.a) < handles);
  peers_echo(&both);
  peers_free(&both);
}

/* Nothing is left for a while: the node lives on, says so, and is back when an address is. */
static void test_removed_and_back(void **state) {
  (void)state;
  peers both;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  start(&both, "port-restricted", "port-restricted");
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  sim_host_remove_address(both.net.a, "10.0.1.2");
  run(&both, 60 * second);
  assert_int_equal(peer_record(&both.a).endpoint_count, 0);
  peers_connect_to(&both, record, len, NULL);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  sim_host_add_address(both.net.a, "10.0.1.2/24");
  run(&both, 6 * second); /* the broker is tried every 5 s at least */
  assert_int_equal(peer_record(&both.a).endpoint_count, 1);
  assert_ip(&peer_record(&both.a).endpoints[0].external_udp, "192.0.2.2");
  both.a.connect_done = false;
  peers_connect(&both, &(warp_connect_options){.no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_echo(&both);
  peers_free(&both);
}

/* A cable that is plugged in again, or the next radio cell: nothing ends by it. */
static void test_back_at_once(void **state) {
  (void)state;
  peers both;
  start(&both, "open", "open");
  peers_connect(&both, NULL);
  assert_int_equal(both.a.info.transport, WARP_TCP);
  uint64_t sequence = peer_record(&both.a).sequence;
  sim_host_remove_address(both.net.a, "192.0.2.2");
  run(&both, 2 * second);
  sim_host_add_address(both.net.a, "192.0.2.2/25");
  run(&both, 60 * second);
  assert_false(both.a.end_done);
  assert_int_equal(peer_record(&both.a).sequence, sequence);
  assert_int_equal(told, 0);
  peers_echo(&both);
  peers_free(&both);
}

static void test_only_ipv6_changes(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "open", 2);
  sim_host_add_address(both.net.a, "2001:db8::2/64");
  sim_host_add_address(both.net.b, "2001:db8:1::2/64");
  peers_start(&both);
  assert_int_equal(peer_record(&both.a).endpoint_count, 2);
  peers_connect(&both, &(warp_connect_options){.plugins = "reverse_connect"});
  assert_int_equal(both.a.info.family, WARP_IP6);
  both.a.connect_done = false;
  sim_host_remove_address(both.net.a, "2001:db8::2");
  sim_host_add_address(both.net.a, "2001:db8::99/64");
  run(&both, noticed_us);
  assert_true(both.a.end_done);
  assert_int_equal(both.a.end_status, WARP_ADDR_NOT_AVAILABLE);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 2);
  assert_ip(&record.endpoints[0].nic, "10.0.1.2");
  assert_ip(&record.endpoints[1].nic, "2001:db8::99");
  peers_free(&both);
}

/* An address that comes beside one in use, as the temporary ones of IPv6 (RFC 8981) do every day,
 * changes nothing until that one goes. */
static void test_one_of_an_interface_is_kept(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "open");
  uint64_t sequence = peer_record(&both.a).sequence;
  sim_host_add_address(both.net.a, "10.0.1.3/24");
  run(&both, 10 * second);
  assert_int_equal(peer_record(&both.a).sequence, sequence);
  sim_host_remove_address(both.net.a, "10.0.1.2");
  run(&both, noticed_us);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 1);
  assert_ip(&record.endpoints[0].nic, "10.0.1.3");
  assert_ip(&record.endpoints[0].external_udp, "192.0.2.2");
  peers_free(&both);
}

/* Also from the outside alone: nothing of the machine changes, only the router's address. */
static void test_another_outside(void **state) {
  (void)state;
  peers both;
  sim_nat nat;
  start(&both, "port-restricted", "open");
  uint64_t sequence = peer_record(&both.a).sequence;
  assert_int_equal(sim_nat_profile("symmetric", &nat), WARP_OK);
  sim_network_set_nat(both.net.site_a, "192.0.2.66", &nat);
  run(&both, (WG_MAPPING_REFRESH_S + 10) * second);
  wg_record record = peer_record(&both.a);
  assert_true(record.sequence > sequence);
  assert_ip(&record.endpoints[0].nic, "10.0.1.2");
  assert_ip(&record.endpoints[0].external_udp, "192.0.2.66");
  assert_int_equal(record.endpoints[0].udp.mapping, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_true(told > 0);
  peers_free(&both);
}

/* The same private address in another network: the mappings are asked for at once. */
static void test_the_same_address_elsewhere(void **state) {
  (void)state;
  peers both;
  sim_nat nat;
  start(&both, "port-restricted", "open");
  run(&both, second); /* between two refreshes */
  assert_int_equal(sim_nat_profile("port-restricted", &nat), WARP_OK);
  sim_network_set_nat(both.net.site_a, "192.0.2.66", &nat);
  sim_host_remove_address(both.net.a, "10.0.1.2");
  sim_host_add_address(both.net.a, "10.0.1.2/24");
  run(&both, noticed_us);
  assert_ip(&peer_record(&both.a).endpoints[0].external_udp, "192.0.2.66");
  peers_free(&both);
}

/* From Wi-Fi to a cable, in two networks that number alike; or the address goes to a bridge. */
static void test_the_same_address_of_another_interface(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "open");
  sim_host_remove_address(both.net.a, "10.0.1.2");
  sim_host_join(both.net.a, other_site(&both, "symmetric"), "10.0.1.2/24");
  run(&both, 30 * second);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 1);
  assert_ip(&record.endpoints[0].nic, "10.0.1.2");
  assert_ip(&record.endpoints[0].external_udp, "192.0.2.66");
  assert_int_equal(record.endpoints[0].udp.mapping, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  peers_connect(&both, &(warp_connect_options){.no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_echo(&both);
  peers_free(&both);
}

/* A second change while the servers are asked about the first. */
static void test_changes_that_overlap(void **state) {
  (void)state;
  for (uint64_t at_ms = 0; at_ms < 1000; at_ms += 20) {
    peers both;
    sim_nat nat;
    start(&both, "port-restricted", "open");
    sim_host_join(both.net.a, other_site(&both, "full-cone"), "10.0.3.2/24");
    run(&both, at_ms * SIM_MS);
    assert_int_equal(sim_nat_profile("port-restricted", &nat), WARP_OK);
    sim_network_set_nat(both.net.site_a, "192.0.2.67", &nat);
    sim_host_remove_address(both.net.a, "10.0.1.2");
    sim_host_add_address(both.net.a, "10.0.1.2/24");
    run(&both, noticed_us);
    wg_record record = peer_record(&both.a);
    assert_int_equal(record.endpoint_count, 2);
    for (size_t i = 0; i < 2; i++) {
      bool first = record.endpoints[i].nic.ip[2] == 1;
      assert_ip(&record.endpoints[i].external_udp, first ? "192.0.2.67" : "192.0.2.66");
    }
    peers_free(&both);
  }
}

/* ---- work and moments ------------------------------------------------------------------------ */

/* Ten times a second for ten seconds: it costs what two looks a second cost. */
static void test_flapping(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "open");
  sim_network *site = other_site(&both, "port-restricted");
  uint64_t packets = sim_world_trace(both.net.world).packets;
  for (unsigned i = 0; i < 100; i++) {
    if (i % 2 == 0)
      sim_host_join(both.net.a, site, "10.0.3.2/24");
    else
      sim_host_remove_address(both.net.a, "10.0.3.2");
    run(&both, 100 * SIM_MS);
  }
  run(&both, lost_us);
  assert_int_equal(peer_record(&both.a).endpoint_count, 1);
  assert_true(told < 100);
  assert_true(sim_world_trace(both.net.world).packets - packets < 2000);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_free(&both);
}

static void on_start(void *arg, warp_node *node, int status) {
  (void)node;
  *(int *)arg = status;
}

static void on_closed(void *arg) {
  *(bool *)arg = true;
}

/* At every moment of a start: it ends with the new address. */
static void test_during_a_start(void **state) {
  (void)state;
  for (uint64_t at_ms = 0; at_ms < 400; at_ms += 10) {
    peers both;
    peers_build(&both, "port-restricted", "open", 3);
    sim_network *site = other_site(&both, "port-restricted");
    int status = 1;
    bool closed = false;
    peer *a = &both.a;
    assert_int_equal(wg_node_start(sim_host_env(a->host), &a->conf, on_start, &status, &a->node),
                     WARP_OK);
    run(&both, at_ms * SIM_MS);
    change_network(&both, site);
    run(&both, 30 * second);
    assert_int_equal(status, WARP_OK);
    wg_record record = peer_record(a);
    assert_int_equal(record.endpoint_count, 1);
    assert_ip(&record.endpoints[0].nic, "10.0.3.2");
    assert_ip(&record.endpoints[0].external_udp, "192.0.2.66");
    warp_node_close(a->node, on_closed, &closed);
    a->node = NULL;
    assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
    peers_free(&both);
  }
}

/* At every moment of a connect: it goes on from the new address. */
static void during_a_connect(const char *profile_b, uint64_t at_ms) {
  peers both;
  start(&both, "port-restricted", profile_b);
  sim_network *site = other_site(&both, "port-restricted");
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  peers_begin_connect(&both, record, len, NULL);
  run(&both, at_ms * SIM_MS);
  change_network(&both, site);
  peers_await_connect(&both);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_true(both.a.connected_us - both.a.asked_us < 30 * second);
  run(&both, noticed_us);
  if (both.a.end_done) { /* it had been through before the change */
    assert_int_equal(both.a.end_status, WARP_ADDR_NOT_AVAILABLE);
  } else {
    peers_echo(&both);
  }
  peers_free(&both);
}

static void test_during_a_connect(void **state) {
  (void)state;
  for (uint64_t at_ms = 0; at_ms < 200; at_ms += 20) {
    during_a_connect("open", at_ms);
    during_a_connect("port-restricted", at_ms);
  }
}

/* Whatever is under way after a change, the end comes through. */
static void test_closed_while_it_looks_around(void **state) {
  (void)state;
  for (uint64_t at_ms = 0; at_ms < 1200; at_ms += 25) {
    peers both;
    start(&both, "port-restricted", "open");
    change_network(&both, other_site(&both, "port-restricted"));
    run(&both, at_ms * SIM_MS);
    peers_free(&both);
  }
}

/* The port is another program's there: the address is left out, and the others serve. */
static void test_port_taken_there(void **state) {
  (void)state;
  peers both;
  wg_udp *other;
  start(&both, "port-restricted", "open");
  sim_network *site = other_site(&both, "port-restricted");
  sim_host_join(both.net.a, site, "10.0.3.2/24");
  wg_env *env = sim_host_env(both.net.a);
  warp_addr local;
  assert_int_equal(warp_addr_parse("10.0.3.2", &local), WARP_OK);
  local.port = warp_node_port(both.a.node);
  assert_int_equal(env->ops->udp_open(env, &local, 0, NULL, NULL, &other), WARP_OK);
  run(&both, noticed_us);
  assert_int_equal(peer_record(&both.a).endpoint_count, 1);
  env->ops->udp_close(other);
  sim_host_add_address(both.net.a, "10.0.1.77/24"); /* the next change finds it free */
  run(&both, noticed_us);
  assert_int_equal(peer_record(&both.a).endpoint_count, 2);
  peers_free(&both);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static void connect_by(peers *both, const char *plugin) {
  peers_connect(both, &(warp_connect_options){.plugins = plugin});
  assert_int_equal(both->a.connect_status, WARP_OK);
}

/* A stream has the address in it; datagrams, where the peer's NAT lets in strangers only if it was
 * asked to; a relay knows the address too. Each ends at once, and says why. */
static void ends_typed(const char *profile_b, const char *plugin) {
  peers both;
  start(&both, "port-restricted", profile_b);
  connect_by(&both, plugin);
  change_network(&both, other_site(&both, "port-restricted"));
  run(&both, second);
  assert_true(both.a.end_done);
  assert_int_equal(both.a.end_status, WARP_ADDR_NOT_AVAILABLE);
  peers_free(&both);
}

static void test_pipes_end_with_their_address(void **state) {
  (void)state;
  ends_typed("open", "direct_connect");
  ends_typed("port-restricted", "tcp_punch");
  ends_typed("port-restricted", "udp_punch");
  ends_typed("symmetric", "turn");
}

static bool has_five(void *arg) {
  return ((const peer *)arg)->inbox_len >= 5;
}

/* Datagrams go on where the peer can be reached from anywhere. */
static void test_a_path_moves(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "full-cone");
  connect_by(&both, "udp_punch");
  peers_echo(&both);
  change_network(&both, other_site(&both, "port-restricted"));
  run(&both, 10 * second);
  assert_false(both.a.end_done);
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(both.a.pipe, &info), WARP_OK);
  assert_ip(&info.local, "10.0.3.2");
  /* b speaks first: it has learned where a is. */
  both.a.inbox_len = 0;
  assert_int_equal(warp_pipe_send(both.b.pipe, "again", 5), WARP_OK);
  assert_int_equal(sim_run_until(both.net.world, has_five, &both.a, second), WARP_OK);
  both.a.inbox_len = both.b.inbox_len = 0;
  peers_echo(&both);
  run(&both, 300 * second);
  assert_false(both.a.end_done);
  assert_false(both.b.end_done);
  peers_free(&both);
}

static void close_node(void *arg, warp_pipe *pipe, int status) {
  peer *self = arg;
  assert_int_equal(status, WARP_ADDR_NOT_AVAILABLE);
  warp_pipe_close(pipe);
  self->pipe = NULL;
  warp_node_close(self->node, on_closed, &self->closed);
  self->node = NULL;
}

/* The program closes its node when it hears of the first pipe that ends. */
static void test_node_closed_by_an_end(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "open");
  connect_by(&both, "direct_connect");
  warp_pipe_handlers handlers = {.on_end = close_node, .arg = &both.a};
  assert_int_equal(warp_pipe_set_handlers(both.a.pipe, &handlers), WARP_OK);
  change_network(&both, other_site(&both, "port-restricted"));
  assert_int_equal(sim_run_until_set(both.net.world, &both.a.closed, 5 * second), WARP_OK);
  peers_free(&both);
}

/* ---- who has the old record ------------------------------------------------------------------ */

/* The change is b's, and a knows nothing of it. */
static void with_the_old_record(const char *profile_a, const char *profile_b, const char *after) {
  peers both;
  uint8_t old[WARP_RECORD_MAX];
  size_t len = sizeof old;
  start(&both, profile_a, profile_b);
  assert_int_equal(warp_node_address(both.b.node, old, &len), WARP_OK);
  sim_network *site = other_site(&both, after);
  sim_host_remove_address(both.net.b, strcmp(profile_b, "open") == 0 ? "192.0.2.130" : "10.0.2.2");
  sim_host_join(both.net.b, site, "10.0.3.2/24");
  run(&both, noticed_us);
  peers_connect_to(&both, old, len, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_true(both.a.connected_us - both.a.asked_us < 15 * second);
  peers_echo(&both);
  peers_free(&both);
}

static void test_the_old_record_leads_there(void **state) {
  (void)state;
  with_the_old_record("open", "open", "port-restricted");
  with_the_old_record("port-restricted", "port-restricted", "port-restricted");
  with_the_old_record("symmetric", "port-restricted", "symmetric");
}

/* ---- who goes by a name ---------------------------------------------------------------------- */

/* Two seconds after the change the name leads to the new address. */
static void test_the_name_follows(void **state) {
  (void)state;
  peers both;
  registry server;
  peer_answer registered = {0}, found = {0};
  peers_build(&both, "symmetric", "port-restricted", 4);
  start_registry(&server, both.net.server);
  both.a.conf.name_servers = both.b.conf.name_servers = names;
  peers_start(&both);
  assert_int_equal(warp_node_register(both.b.node, "bob", on_peer_answer, &registered), WARP_OK);
  assert_int_equal(sim_run_until_set(both.net.world, &registered.done, 5 * second), WARP_OK);
  assert_int_equal(registered.status, WARP_OK);
  sim_host_remove_address(both.net.b, "10.0.2.2");
  sim_host_join(both.net.b, other_site(&both, "full-cone"), "10.0.3.2/24");
  run(&both, noticed_us);
  assert_int_equal(warp_node_lookup(both.a.node, "bob", on_peer_answer, &found), WARP_OK);
  assert_int_equal(sim_run_until_set(both.net.world, &found.done, 5 * second), WARP_OK);
  assert_int_equal(found.status, WARP_OK);
  peers_connect_to(&both, found.record, found.len, &(warp_connect_options){.plugins = "udp_punch"});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_ip(&both.a.info.remote, "192.0.2.66");
  assert_true(both.a.connected_us - both.a.asked_us < second);
  peers_echo(&both);
  stop_registry(&server);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_another_network),
      cmocka_unit_test(test_added_and_removed),
      cmocka_unit_test(test_removed_and_back),
      cmocka_unit_test(test_back_at_once),
      cmocka_unit_test(test_only_ipv6_changes),
      cmocka_unit_test(test_one_of_an_interface_is_kept),
      cmocka_unit_test(test_another_outside),
      cmocka_unit_test(test_the_same_address_elsewhere),
      cmocka_unit_test(test_the_same_address_of_another_interface),
      cmocka_unit_test(test_changes_that_overlap),
      cmocka_unit_test(test_flapping),
      cmocka_unit_test(test_during_a_start),
      cmocka_unit_test(test_during_a_connect),
      cmocka_unit_test(test_closed_while_it_looks_around),
      cmocka_unit_test(test_port_taken_there),
      cmocka_unit_test(test_pipes_end_with_their_address),
      cmocka_unit_test(test_a_path_moves),
      cmocka_unit_test(test_node_closed_by_an_end),
      cmocka_unit_test(test_the_old_record_leads_there),
      cmocka_unit_test(test_the_name_follows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
