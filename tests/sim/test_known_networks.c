/* A node that starts again in a network it has measured before. */
#include "testing.h"

#include "peers.h"
#include "wire/record.h"

static void on_closed(void *arg) {
  bool *closed = arg;
  *closed = true;
}

static void stop(peer *self) {
  self->closed = false;
  warp_node_close(self->node, on_closed, &self->closed);
  assert_int_equal(sim_run_until_set(self->world, &self->closed, 10 * SIM_SECOND), WARP_OK);
  self->node = NULL;
  self->start_done = false;
  self->phase_count = 0;
}

/* Starts again; how long the measuring took, in milliseconds. */
static double start(peer *self) {
  peer_start(self);
  assert_int_equal(self->start_status, WARP_OK);
  for (size_t i = 0; i < self->phase_count; i++) {
    if (self->phases[i].phase == WARP_START_LOAD_P2P_STUN_CLIENTS)
      return self->phases[i].elapsed_ms;
  }
  fail_msg("nothing was measured");
  return 0;
}

static warp_endpoint endpoint_of(const peer *self) {
  uint8_t bytes[WARP_RECORD_MAX], signature[WG_SIGNATURE_LEN];
  size_t len = sizeof bytes, signed_len;
  wg_record record;
  assert_int_equal(warp_node_address(self->node, bytes, &len), WARP_OK);
  assert_int_equal(wg_record_decode(bytes, len, &record, &signed_len, signature), WARP_OK);
  return record.endpoints[0];
}

/* Starts for the first time and learns the network. */
static void learn(peers *both, const char *profile) {
  peers_build(both, profile, "open", 1);
  both->a.conf.key_name = NULL;
  double ms = start(&both->a);
  assert_true(ms > 100);
  assert_int_equal(sim_run_for(both->net.world, 10 * SIM_SECOND), WARP_OK);
  stop(&both->a);
}

static void set_nat(peers *both, const char *profile) {
  sim_nat nat;
  assert_int_equal(sim_nat_profile(profile, &nat), WARP_OK);
  sim_network_set_nat(both->net.site_a, "192.0.2.2", &nat);
}

static void test_a_known_network_takes_one_round_trip(void **state) {
  (void)state;
  peers both;
  learn(&both, "port-restricted");
  assert_int_equal(sim_run_for(both.net.world, 100 * SIM_SECOND), WARP_OK);
  assert_true(start(&both.a) < 45);
  warp_endpoint endpoint = endpoint_of(&both.a);
  assert_int_equal(endpoint.udp.filtering, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_in_range(endpoint.udp.age_s, 95, 115);
  peers_free(&both);
}

static void test_another_mapping_is_measured(void **state) {
  (void)state;
  peers both;
  learn(&both, "port-restricted");
  set_nat(&both, "apd-apd");
  assert_true(start(&both.a) > 75);
  warp_endpoint endpoint = endpoint_of(&both.a);
  assert_int_equal(endpoint.udp.mapping, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_in_range(endpoint.udp.age_s, 0, 1);
  peers_free(&both);
}

/* The first answers do not show it: the measurement in the background does. */
static void test_another_filter_is_found_later(void **state) {
  (void)state;
  peers both;
  learn(&both, "full-cone");
  set_nat(&both, "port-restricted");
  assert_true(start(&both.a) < 45);
  assert_int_equal(sim_run_for(both.net.world, 4 * SIM_SECOND), WARP_OK);
  assert_int_equal(endpoint_of(&both.a).udp.filtering, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  peers_free(&both);
}

static void test_what_is_older_than_a_day_is_measured(void **state) {
  (void)state;
  peers both;
  learn(&both, "port-restricted");
  assert_int_equal(sim_run_for(both.net.world, 25 * 3600 * SIM_SECOND), WARP_OK);
  assert_true(start(&both.a) > 100);
  peers_free(&both);
}

static void test_a_key_that_is_not_kept_leaves_nothing(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "open", 1);
  both.a.conf.key_name = "";
  for (int i = 0; i < 2; i++) {
    assert_true(start(&both.a) > 100);
    assert_int_equal(sim_run_for(both.net.world, 10 * SIM_SECOND), WARP_OK);
    if (i == 0)
      stop(&both.a);
  }
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_known_network_takes_one_round_trip),
      cmocka_unit_test(test_another_mapping_is_measured),
      cmocka_unit_test(test_another_filter_is_found_later),
      cmocka_unit_test(test_what_is_older_than_a_day_is_measured),
      cmocka_unit_test(test_a_key_that_is_not_kept_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
