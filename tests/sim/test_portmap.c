/* Port forwarding: what the router opens is published and reached, and nothing waits for a router
 * that is not there. */
#include "peers.h"

#include "base/addr.h"
#include "wire/record.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;
static const sim_router nat_pmp = {.protocol = "NAT-PMP", .delay_ms = 2};

static const warp_start_event *end_of(const peer *self) {
  for (size_t i = 0; i < self->phase_count; i++) {
    if (self->phases[i].phase == WARP_START_FINALIZE_PORT_FORWARDING)
      return &self->phases[i];
  }
  fail_msg("the start did not end");
  return NULL;
}

static void build(peers *both, const char *profile_a, const char *profile_b, uint64_t seed) {
  peers_build(both, profile_a, profile_b, seed);
  both->a.conf.enable_upnp = both->b.conf.enable_upnp = true;
}

static void start_with(peers *both, const char *profile, const sim_router *router) {
  build(both, profile, "symmetric", 1);
  sim_network_set_router(both->net.site_a, router);
  peer_start(&both->a);
  assert_int_equal(both->a.start_status, WARP_OK);
}

static void assert_opened(const peer *self, const char *ip, uint16_t port) {
  wg_record record = peer_record(self);
  const warp_endpoint *endpoint = &record.endpoints[0];
  assert_int_equal(endpoint->port_mapped, WARP_TCP | WARP_UDP);
  warp_addr expected;
  assert_int_equal(warp_addr_parse(ip, &expected), WARP_OK);
  expected.port = port;
  assert_true(wg_addr_equal(&endpoint->external_tcp, &expected));
  assert_true(wg_addr_equal(&endpoint->external_udp, &expected));
}

static void assert_closed(const peer *self) {
  wg_record record = peer_record(self);
  assert_int_equal(record.endpoints[0].port_mapped, 0);
}

static void test_started_means_published(void **state) {
  (void)state;
  peers both;
  start_with(&both, "port-restricted", &nat_pmp);
  assert_int_equal(end_of(&both.a)->status, WARP_OK);
  assert_opened(&both.a, "192.0.2.2", warp_node_port(both.a.node));
  assert_int_equal(sim_network_openings(both.net.site_a), 2);
  warp_node_close(both.a.node, NULL, NULL);
  both.a.node = NULL;
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_int_equal(sim_network_openings(both.net.site_a), 0);
  peers_free(&both);
}

/* The port is another's: the router gives the next one, and that is what is published. */
static void test_another_port_is_granted(void **state) {
  (void)state;
  peers both;
  sim_router router = nat_pmp;
  router.taken = 3;
  start_with(&both, "port-restricted", &router);
  assert_opened(&both.a, "192.0.2.2", (uint16_t)(warp_node_port(both.a.node) + 3));
  peers_free(&both);
}

/* Whoever has the open port: it is dialled. */
static void connect_with_router_at(bool initiator, const char *plugin) {
  peers both;
  build(&both, initiator ? "port-restricted" : "symmetric",
        initiator ? "symmetric" : "port-restricted", 3);
  sim_network_set_router(initiator ? both.net.site_a : both.net.site_b, &nat_pmp);
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, plugin);
  peers_echo(&both);
  peers_free(&both);
}

static void test_connects_by_the_open_port(void **state) {
  (void)state;
  connect_with_router_at(true, "reverse_connect");
  connect_with_router_at(false, "direct_connect");
}

/* What the router says of itself is not where the outside sees us: one more NAT stands there. */
static void test_a_nat_outside_of_the_router(void **state) {
  (void)state;
  static const char *const externals[] = {"10.9.8.7", "100.64.3.2", "198.51.100.77"};
  for (size_t i = 0; i < sizeof externals / sizeof externals[0]; i++) {
    peers both;
    sim_router router = nat_pmp;
    assert_int_equal(warp_addr_parse(externals[i], &router.external), WARP_OK);
    start_with(&both, "port-restricted", &router);
    assert_int_equal(end_of(&both.a)->status, WARP_UNREACHABLE);
    assert_closed(&both.a);
    peers_free(&both);
  }
}

/* Without a STUN server the router's word is all there is. */
static void test_without_stun(void **state) {
  (void)state;
  peers both;
  build(&both, "port-restricted", "symmetric", 4);
  sim_network_set_router(both.net.site_a, &nat_pmp);
  both.a.conf.enable_stun_clients = false;
  peer_start(&both.a);
  assert_opened(&both.a, "192.0.2.2", warp_node_port(both.a.node));
  peers_free(&both);
}

/* No router that can be asked costs a start less than half a second; one that comes later is found,
 * and the record says so. */
static void test_a_router_that_comes_later(void **state) {
  (void)state;
  peers both;
  start_with(&both, "port-restricted", NULL);
  assert_int_equal(end_of(&both.a)->status, WARP_TIMEOUT);
  assert_true(end_of(&both.a)->elapsed_ms < 500);
  assert_closed(&both.a);
  sim_network_set_router(both.net.site_a, &nat_pmp);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_opened(&both.a, "192.0.2.2", warp_node_port(both.a.node));
  sim_network_set_router(both.net.site_a, NULL);
  assert_int_equal(sim_run_for(both.net.world, 2 * second), WARP_OK);
  assert_closed(&both.a);
  peers_free(&both);
}

static void test_a_slow_router_is_not_waited_for(void **state) {
  (void)state;
  peers both;
  sim_router router = nat_pmp;
  router.delay_ms = 2000;
  start_with(&both, "port-restricted", &router);
  assert_int_equal(end_of(&both.a)->status, WARP_TIMEOUT);
  assert_closed(&both.a);
  uint64_t sequence = peer_record(&both.a).sequence;
  assert_int_equal(sim_run_for(both.net.world, 2 * second), WARP_OK);
  assert_opened(&both.a, "192.0.2.2", warp_node_port(both.a.node));
  assert_true(peer_record(&both.a).sequence > sequence);
  peers_free(&both);
}

static void test_a_router_that_refuses(void **state) {
  (void)state;
  peers both;
  sim_router router = nat_pmp;
  router.refuses = true;
  start_with(&both, "port-restricted", &router);
  assert_int_equal(end_of(&both.a)->status, WARP_REFUSED);
  assert_closed(&both.a);
  peers_free(&both);
}

/* Who is not translated has nobody to ask, and who does not want to does not ask. */
static void test_nobody_is_asked(void **state) {
  (void)state;
  for (int off = 0; off < 2; off++) {
    peers both;
    build(&both, off ? "port-restricted" : "open", "symmetric", 5);
    sim_network_set_router(both.net.site_a, &nat_pmp);
    both.a.conf.enable_upnp = !off;
    peer_start(&both.a);
    assert_int_equal(end_of(&both.a)->status, WARP_OK);
    assert_int_equal(sim_network_openings(both.net.site_a), 0);
    assert_closed(&both.a);
    peers_free(&both);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_started_means_published),
      cmocka_unit_test(test_another_port_is_granted),
      cmocka_unit_test(test_connects_by_the_open_port),
      cmocka_unit_test(test_a_nat_outside_of_the_router),
      cmocka_unit_test(test_without_stun),
      cmocka_unit_test(test_a_router_that_comes_later),
      cmocka_unit_test(test_a_slow_router_is_not_waited_for),
      cmocka_unit_test(test_a_router_that_refuses),
      cmocka_unit_test(test_nobody_is_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
