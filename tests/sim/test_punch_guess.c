/* Guessed ports between two nodes: budgets, ageing mappings, who may begin when, and what is said
 * when no guess met a port. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const warp_connect_options only_guess = {
    .plugins = "random_probe", .transports = WARP_UDP, .timeout_ms = 150000};

static uint64_t took_ms(const peers *both) {
  return (both->a.connected_us - both->a.asked_us) / 1000;
}

static void start(peers *both, const char *a, const char *b, uint64_t seed,
                  const char *const *settings) {
  peers_build(both, a, b, seed);
  both->a.conf.settings = both->b.conf.settings = settings;
  peers_start(both);
}

/* The whole budget, and not one packet more; the failure comes when an answer to the last one could
 * not come any more. */
static void test_budget_is_spent(void **state) {
  (void)state;
  static const char *const settings[] = {"random_probe.sockets=1", "random_probe.probes=50", NULL};
  peers both;
  start(&both, "port-restricted", "symmetric", 1, settings);
  size_t before = sim_network_mappings(both.net.site_a);
  peers_connect(&both, &only_guess);
  const warp_report_row *row = peer_row(&both.a, "random_probe", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_TIMEOUT);
  assert_non_null(strstr(row->detail, "guessed 50 of the ports 1024-65535 of 192.0.2.130"));
  assert_non_null(strstr(row->detail, "0 answered"));
  /* To the opener and back, half a second of guesses, and a second of grace. */
  assert_in_range(took_ms(&both), 1500, 1700);
  /* One session for each guess, and what the node itself keeps. */
  assert_in_range(sim_network_mappings(both.net.site_a) - before, 50, 52);
  assert_int_equal(sim_run_for(both.net.world, SIM_SECOND), WARP_OK);
  row = peer_row(&both.b, "random_probe", WARP_EXT_BIND);
  assert_non_null(row);
  peers_free(&both);
}

/* At 100,000 a second all guesses are spent in the time of one burst of the opener: they are of use
 * only because none leaves before the last port is open. By theory one of 10^14 tries fails. */
static void test_nobody_guesses_before_the_ports_are_open(void **state) {
  (void)state;
  static const char *const settings[] = {"random_probe.sockets=1024", "random_probe.probes=2048",
                                         "random_probe.rate=100000", "node.flows=1024", NULL};
  for (uint64_t seed = 1; seed <= 4; seed++) {
    peers both;
    bool opener_calls = seed % 2 == 0;
    start(&both, opener_calls ? "symmetric" : "port-restricted",
          opener_calls ? "port-restricted" : "symmetric", seed, settings);
    peers_connect(&both, &only_guess);
    assert_int_equal(both.a.connect_status, WARP_OK);
    assert_in_range(took_ms(&both), 200, 500);
    peers_echo(&both);
    peers_free(&both);
  }
}

/* Mappings that live 12 s and guesses for up to two minutes: the opener keeps its ports open. */
static void test_ports_are_kept_open(void **state) {
  (void)state;
  static const char *const settings[] = {"random_probe.rate=5", NULL};
  sim_nat nat;
  assert_int_equal(sim_nat_profile("symmetric", &nat), WARP_OK);
  nat.udp_timeout_ms = 12000;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    peers both;
    start(&both, "port-restricted", "symmetric", seed, settings);
    sim_network_set_nat(both.net.site_b, "192.0.2.130", &nat);
    assert_int_equal(sim_run_for(both.net.world, 60 * SIM_SECOND), WARP_OK);
    peers_connect(&both, &only_guess);
    assert_int_equal(both.a.connect_status, WARP_OK);
    peers_echo(&both);
    peers_free(&both);
  }
}

/* The gateway's policy spares flows: fewer ports are open, and guessing goes on. */
static void test_fewer_flows(void **state) {
  (void)state;
  static const char *const settings[] = {"node.flows=16", "random_probe.probes=20", NULL};
  peers both;
  start(&both, "symmetric", "port-restricted", 3, settings);
  peers_connect(&both, &only_guess);
  const warp_report_row *row = peer_row(&both.a, "random_probe", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_TIMEOUT);
  assert_non_null(strstr(row->detail, "guessed 20"));
  peers_free(&both);
}

/* One socket with many destinations, where the opener maps by port and filters by address. */
static void test_one_socket(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    peers both;
    start(&both, "apd-ad", "apd-apd", seed, NULL);
    peers_connect(&both, &only_guess);
    assert_int_equal(both.a.connect_status, WARP_OK);
    peers_echo(&both);
    peers_free(&both);
  }
}

/* A strict NAT answers from another port than the one that was met: both go on until the prober's
 * one port and one of the new ports meet. */
static void test_second_round(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 6; seed++) {
    peers both;
    bool opener_calls = seed % 2 == 0;
    start(&both, opener_calls ? "apd-ad+strict" : "ad-apd+strict",
          opener_calls ? "ad-apd+strict" : "apd-ad+strict", seed, NULL);
    peers_connect(&both, &only_guess);
    assert_int_equal(both.a.connect_status, WARP_OK);
    peers_echo(&both);
    peers_free(&both);
  }
}

/* Where punching does, nothing is guessed. */
static void test_ruled_out(void **state) {
  (void)state;
  peers both;
  start(&both, "port-restricted", "port-restricted", 1, NULL);
  peers_connect(&both, &only_guess);
  const warp_report_row *row = peer_row(&both.a, "random_probe", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_RULED_OUT);
  assert_non_null(strstr(row->detail, "nothing to guess: both ports are known"));
  peers_free(&both);
}

static void begin_without_server(peers *both, bool prober_calls, uint64_t silent_us) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  start(both, prober_calls ? "ad-apd+sequential" : "apd-apd+random",
        prober_calls ? "apd-apd+random" : "ad-apd+sequential", 1, NULL);
  sim_stun_set_up(both->net.stun, false);
  assert_int_equal(warp_node_address(both->b.node, record, &len), WARP_OK);
  peers_begin_connect(both, record, len, &only_guess);
  assert_int_equal(sim_run_for(both->net.world, silent_us), WARP_OK);
}

/* A prober whose port is counted needs a server's answer: it is asked for again. */
static void test_server_comes_back(void **state) {
  (void)state;
  for (int prober_calls = 0; prober_calls < 2; prober_calls++) {
    peers both;
    begin_without_server(&both, prober_calls, 3 * SIM_SECOND);
    sim_stun_set_up(both.net.stun, true);
    peers_await_connect(&both);
    if (both.a.connect_status != WARP_OK)
      fail_msg("%s", peer_row(&both.a, "random_probe", WARP_EXT_BIND)->detail);
    peers_echo(&both);
    peers_free(&both);
  }
}

static void test_silent_server(void **state) {
  (void)state;
  peers both;
  begin_without_server(&both, true, SIM_SECOND);
  peers_await_connect(&both);
  const warp_report_row *row = peer_row(&both.a, "random_probe", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_TIMEOUT);
  assert_non_null(strstr(row->detail, "no answer from a STUN server"));
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_budget_is_spent),
      cmocka_unit_test(test_nobody_guesses_before_the_ports_are_open),
      cmocka_unit_test(test_ports_are_kept_open),
      cmocka_unit_test(test_fewer_flows),
      cmocka_unit_test(test_one_socket),
      cmocka_unit_test(test_second_round),
      cmocka_unit_test(test_ruled_out),
      cmocka_unit_test(test_server_comes_back),
      cmocka_unit_test(test_silent_server),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
