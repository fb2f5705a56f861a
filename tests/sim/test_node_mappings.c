/* What keeps the mappings of the listen port: a NAT that forgot them tells nobody. */
#include "peers.h"
#include "testing.h"

#include "identity/identity.h"

enum { REFRESH_S = 20, AND_A_BIT_S = 3 };

static const warp_addr *external(const wg_record *record, int transport) {
  const warp_endpoint *endpoint = &record->endpoints[0];
  return transport == WARP_TCP ? &endpoint->external_tcp : &endpoint->external_udp;
}

/* A node that has been up for a minute. */
static void build(peers *both, const char *profile, uint64_t seed) {
  peers_build(both, profile, "open", seed);
  peer_start(&both->a);
  assert_int_equal(both->a.start_status, WARP_OK);
  assert_int_equal(sim_run_for(both->net.world, 60 * SIM_SECOND), WARP_OK);
}

static void replace_nat(peers *both, const char *profile, const char *address) {
  sim_nat nat;
  assert_int_equal(sim_nat_profile(profile, &nat), WARP_OK);
  sim_network_set_nat(both->net.site_a, address, &nat);
}

/* After so long the record says where the node is now, on both transports. */
static void assert_moved(peers *both, unsigned within_s, const char *address_now) {
  assert_int_equal(sim_run_for(both->net.world, within_s * SIM_SECOND), WARP_OK);
  wg_record record = peer_record(&both->a);
  warp_addr expected = address(address_now);
  for (int transport = WARP_TCP; transport <= WARP_UDP; transport++) {
    warp_addr said = wg_addr_with_port(external(&record, transport), 0);
    assert_true(wg_addr_equal(&said, &expected));
  }
}

static void test_nat_replaced(void **state) {
  (void)state;
  static const char *const profiles[] = {"apd-apd", "apd-apd+reset", "ei-ei", "ei-apd+preserving"};
  for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
    peers both;
    build(&both, profiles[i], 1 + i);
    replace_nat(&both, profiles[i], "192.0.2.3");
    assert_moved(&both, REFRESH_S + AND_A_BIT_S, "192.0.2.3");
    peers_free(&both);
  }
}

/* The same address, but ports of their own: what was told to peers leads nowhere. */
static void test_nat_rebooted(void **state) {
  (void)state;
  peers both;
  build(&both, "ei-apd", 5);
  wg_record before = peer_record(&both.a);
  sim_network_reboot_nat(both.net.site_a);
  assert_int_equal(sim_run_for(both.net.world, (REFRESH_S + AND_A_BIT_S) * SIM_SECOND), WARP_OK);
  wg_record after = peer_record(&both.a);
  assert_true(after.sequence > before.sequence);
  for (int transport = WARP_TCP; transport <= WARP_UDP; transport++)
    assert_false(wg_addr_equal(external(&before, transport), external(&after, transport)));
  peers_free(&both);
}

/* Nothing comes back at all, not even a reset; later the network is another one. */
static void test_silence(void **state) {
  (void)state;
  peers both;
  build(&both, "apd-apd", 6);
  sim_network_set_up(both.net.site_a, false);
  assert_int_equal(sim_run_for(both.net.world, 50 * SIM_SECOND), WARP_OK);
  replace_nat(&both, "apd-apd", "192.0.2.3");
  sim_network_set_up(both.net.site_a, true);
  assert_moved(&both, REFRESH_S + AND_A_BIT_S, "192.0.2.3");
  peers_free(&both);
}

/* A server that hangs up again and again is not dialled more often than it would be asked. */
static void test_server_hangs_up(void **state) {
  (void)state;
  peers both;
  build(&both, "apd-apd", 7);
  size_t before = sim_stun_answered(both.net.stun);
  for (unsigned s = 0; s < 5 * REFRESH_S; s++) {
    sim_stun_set_up(both.net.stun, false);
    sim_stun_set_up(both.net.stun, true);
    assert_int_equal(sim_run_for(both.net.world, SIM_SECOND), WARP_OK);
  }
  assert_in_range(sim_stun_answered(both.net.stun) - before, 1, 2 * (5 + 1));
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nat_replaced),
      cmocka_unit_test(test_nat_rebooted),
      cmocka_unit_test(test_silence),
      cmocka_unit_test(test_server_hangs_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
