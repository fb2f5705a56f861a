/* A node with several interfaces: which it uses, each with its own NAT, and what one that works is
 * good for when another does not. */
#include "peers.h"

#include "base/addr.h"
#include "node/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

/* a behind a NAT of profile_a; its second interface leads through another one, of profile_second.
 */
static sim_network *build(peers *both, const char *profile_a, const char *profile_second,
                          const char *profile_b) {
  peers_build(both, profile_a, profile_b, 1);
  sim_link link = {.latency_us = 10000};
  sim_network *site = sim_network_new(both->net.world, "second", &link);
  sim_nat nat;
  assert_int_equal(sim_nat_profile(profile_second, &nat), WARP_OK);
  sim_network_set_nat(site, "192.0.2.66", &nat);
  sim_host_join(both->net.a, site, "10.0.3.2/24");
  return site;
}

/* Each has its measurement and its mappings, the default one comes first. */
static void test_every_uplink_is_in_the_record(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric", "full-cone", "open");
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 2);
  const warp_endpoint *first = &record.endpoints[0], *other = &record.endpoints[1];
  assert_ip(&first->nic, "10.0.1.2");
  assert_ip(&first->external_udp, "192.0.2.2");
  assert_int_equal(first->udp.mapping, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_ip(&other->nic, "10.0.3.2");
  assert_ip(&other->external_udp, "192.0.2.66");
  assert_ip(&other->external_tcp, "192.0.2.66");
  assert_int_equal(other->udp.mapping, WARP_NAT_ENDPOINT_INDEPENDENT);
  assert_int_equal(other->udp.filtering, WARP_NAT_ENDPOINT_INDEPENDENT);
  assert_int_equal(first->nic.port, other->nic.port);
  peers_free(&both);
}

/* Only the second one can be reached: it is. */
static void connect_by_the_second(const char *first, const char *other, const char *far,
                                  const char *local) {
  peers both;
  build(&both, first, other, far);
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_ip(&both.a.info.local, local);
  peers_echo(&both);
  peers_free(&both);
}

static void test_the_second_connects(void **state) {
  (void)state;
  connect_by_the_second("symmetric", "full-cone", "symmetric", "10.0.3.2");
}

/* One is dead when the connect begins: its mapping is known, but nothing passes. The broker is lost
 * with the default one, and whoever can be dialled is dialled by the other. */
static void one_is_dead(bool first, const char *plugin, const char *local) {
  peers both;
  sim_network *other =
      build(&both, "port-restricted", "port-restricted", first ? "open" : "port-restricted");
  peers_start(&both);
  sim_network_set_up(first ? both.net.site_a : other, false);
  peers_connect(&both, &(warp_connect_options){.plugins = plugin});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_ip(&both.a.info.local, local);
  peers_echo(&both);
  peers_free(&both);
}

static void test_one_is_dead(void **state) {
  (void)state;
  one_is_dead(false, "udp_punch", "10.0.1.2");
  one_is_dead(true, "direct_connect", "10.0.3.2");
}

/* Dead from the start: that costs the time of its servers, and the other one is used. */
static void test_started_with_a_dead_uplink(void **state) {
  (void)state;
  peers both;
  sim_network *other = build(&both, "port-restricted", "port-restricted", "port-restricted");
  sim_network_set_up(other, false);
  uint64_t begun = sim_now_us(both.net.world);
  peers_start(&both);
  assert_true(sim_now_us(both.net.world) - begun < 4 * second);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 2);
  assert_int_equal(record.endpoints[1].external_udp.family, 0);
  peers_connect(&both, &(warp_connect_options){.no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_echo(&both);
  peers_free(&both);
}

static void assert_uses(const char *const *interfaces, const char *first, const char *other) {
  peers both;
  build(&both, "port-restricted", "port-restricted", "open");
  sim_host_add_address(both.net.a, "10.0.1.9/24"); /* one more of the first interface */
  both.a.conf.interfaces = interfaces;
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, other != NULL ? 2 : 1);
  assert_ip(&record.endpoints[0].nic, first);
  if (other != NULL)
    assert_ip(&record.endpoints[1].nic, other);
  peers_free(&both);
}

static void test_chosen_interfaces(void **state) {
  (void)state;
  static const char *const second_one[] = {"eth1", NULL}, *const by_address[] = {"10.0.1.9", NULL},
                           *const both_ones[] = {"10.0.3.2", "eth0", NULL};
  assert_uses(NULL, "10.0.1.2", "10.0.3.2");
  assert_uses(second_one, "10.0.3.2", NULL);
  assert_uses(by_address, "10.0.1.9", NULL);
  assert_uses(both_ones, "10.0.1.2", "10.0.3.2");
}

static void test_no_such_interface(void **state) {
  (void)state;
  static const char *const nowhere[] = {"wlan7", NULL};
  peers both;
  peers_build(&both, "open", "open", 2);
  both.a.conf.interfaces = nowhere;
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_UNREACHABLE);
  peers_free(&both);
}

/* The router of the second one opens the port. */
static void test_each_asks_its_own_router(void **state) {
  (void)state;
  peers both;
  static const sim_router router = {.protocol = "NAT-PMP", .delay_ms = 2};
  sim_network *other = build(&both, "port-restricted", "port-restricted", "symmetric");
  sim_network_set_router(other, &router);
  peers_start(&both);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoints[0].port_mapped, 0);
  assert_int_equal(record.endpoints[1].port_mapped, WARP_TCP | WARP_UDP);
  peers_connect(&both, NULL);
  assert_string_equal(both.a.info.plugin, "reverse_connect");
  assert_ip(&both.a.info.local, "10.0.3.2");
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_uplink_is_in_the_record),
      cmocka_unit_test(test_the_second_connects),
      cmocka_unit_test(test_one_is_dead),
      cmocka_unit_test(test_started_with_a_dead_uplink),
      cmocka_unit_test(test_chosen_interfaces),
      cmocka_unit_test(test_no_such_interface),
      cmocka_unit_test(test_each_asks_its_own_router),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
