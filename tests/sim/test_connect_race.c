/* The race: what starts when, what waits for what, and that losers end on both sides. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

static uint64_t took_ms(const peers *both) {
  return (both->a.connected_us - both->a.asked_us) / 1000;
}

/* Gives a site another NAT after the nodes have measured the first one: what they believe is wrong
 * from then on. */
static void change_nat(sim_network *network, const char *external, const char *profile) {
  sim_nat nat;
  assert_int_equal(sim_nat_profile(profile, &nat), WARP_OK);
  sim_network_set_nat(network, external, &nat);
}

static void build_with_lie(peers *both, const char *believed, const char *real, uint64_t seed) {
  peers_build(both, "port-restricted", believed, seed);
  peers_start(both);
  change_nat(both->net.site_b, "192.0.2.130", real);
  /* The broker's connections broke with the mappings: wait until b is subscribed again. */
  assert_int_equal(sim_run_for(both->net.world, 60 * second), WARP_OK);
}

/* A phase with nothing before it does not wait, and what comes after it never starts. */
static void test_no_head_start_for_nobody(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "full-cone", 1);
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.transports = WARP_UDP});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "udp_punch");
  assert_in_range(took_ms(&both), 100, 102);
  const warp_report_row *turn = peer_row(&both.a, "turn", WARP_EXT_BIND);
  assert_true(turn->start_ms < 0);
  assert_int_equal(turn->status, WARP_CANCELED);
  peers_free(&both);
}

/* b is believed to be a full cone and is port-restricted: the dialled SYN vanishes, and punching
 * starts 200 ms later. */
static void test_direct_that_does_not_come(void **state) {
  (void)state;
  peers both;
  build_with_lie(&both, "full-cone", "port-restricted", 3);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "udp_punch");
  const warp_report_row *direct = peer_row(&both.a, "direct_connect", WARP_EXT_BIND);
  const warp_report_row *punch = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_int_equal(direct->status, WARP_CANCELED);
  assert_true(direct->start_ms >= 0 && direct->start_ms < 1);
  assert_true(punch->start_ms >= 200 && punch->start_ms < 202);
  peers_echo(&both);
  peers_free(&both);
}

/* Punching seems possible and is not: the relay is ready early and waits out the grace. */
static void relay_after_grace(uint32_t grace_ms, uint64_t least_ms) {
  peers both;
  build_with_lie(&both, "port-restricted", "symmetric", 4);
  peers_connect(&both, &(warp_connect_options){.grace_ms = grace_ms});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "turn");
  assert_true(both.a.info.relayed && both.b.info.relayed == both.b.pipe_done);
  assert_in_range(took_ms(&both), least_ms, least_ms + 1000);
  const warp_report_row *punch = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_int_equal(punch->status, WARP_CANCELED);
  assert_non_null(strstr(punch->detail, "nothing came back"));
  peers_echo(&both);
  peers_free(&both);
}

static void test_grace(void **state) {
  (void)state;
  relay_after_grace(0, 12000);
  relay_after_grace(1000, 1000);
}

/* Without a broker reverse_connect fails in the moment it starts: the next phase need not wait for
 * a head start, let alone for a share of the time. */
static void test_phase_that_fails_at_once(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  for (unsigned strict = 0; strict < 2; strict++) {
    peers both;
    peers_build(&both, "open", "open", 9);
    both.a.conf.brokers = none;
    peers_start(&both);
    peers_connect(&both, &(warp_connect_options){.plugins = "reverse_connect,udp_punch,turn",
                                                 .strict = strict != 0});
    assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
    assert_int_equal(peer_row(&both.a, "reverse_connect", WARP_EXT_BIND)->status, WARP_NO_SERVER);
    assert_true(peer_row(&both.a, "udp_punch", WARP_EXT_BIND)->start_ms < 1);
    assert_in_range((int)peer_row(&both.a, "turn", WARP_EXT_BIND)->start_ms, 0, 1);
    peers_free(&both);
  }
}

/* Nobody told b where it is seen from outside: it can still dial us. */
static void test_peer_that_knows_no_outside(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  peers both;
  peers_build(&both, "open", "symmetric", 10);
  both.b.conf.stun_servers = none;
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "reverse_connect");
  const warp_report_row *direct = peer_row(&both.a, "direct_connect", WARP_EXT_BIND);
  assert_int_equal(direct->status, WARP_RULED_OUT);
  assert_non_null(strstr(direct->detail, "not known"));
  peers_free(&both);
}

static void test_strict_order(void **state) {
  (void)state;
  peers both;
  build_with_lie(&both, "port-restricted", "symmetric", 5);
  peers_connect(&both, &(warp_connect_options){.strict = true, .timeout_ms = 30000});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "turn");
  const warp_report_row *punch = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  const warp_report_row *turn = peer_row(&both.a, "turn", WARP_EXT_BIND);
  assert_int_equal(punch->status, WARP_TIMEOUT);
  assert_true(turn->start_ms >= punch->start_ms + punch->elapsed_ms);
  assert_true(turn->start_ms < 20001); /* its share is left to it */
  peers_free(&both);
}

static void test_timeout_says_what_was_tried(void **state) {
  (void)state;
  peers both;
  build_with_lie(&both, "port-restricted", "symmetric", 6);
  peers_connect(&both, &(warp_connect_options){.no_relay = true, .timeout_ms = 3000});
  assert_int_equal(both.a.connect_status, WARP_TIMEOUT);
  assert_int_equal(took_ms(&both), 3000);
  const warp_report_row *punch = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_non_null(strstr(punch->detail, "probed 192.0.2.130:"));
  /* The peer hears of the end and reports its own attempts. */
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_true(both.b.miss_done);
  assert_int_equal(both.b.miss_status, WARP_TIMEOUT);
  assert_non_null(peer_row(&both.b, "udp_punch", WARP_EXT_BIND));
  peers_free(&both);
}

/* The winner's nomination ends the responder's other attempts, without a message. */
static void test_losers_end_on_both_sides(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "restricted", 7);
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.head_start_ms = 1});
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_echo(&both);
  assert_true(both.b.row_count >= 2); /* reverse_connect and udp_punch were both begun */
  unsigned won = 0;
  for (size_t i = 0; i < both.b.row_count; i++) {
    won += both.b.rows[i].status == WARP_OK;
    assert_true(both.b.rows[i].status == WARP_OK || both.b.rows[i].status == WARP_CANCELED);
  }
  assert_int_equal(won, 1);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_head_start_for_nobody),
      cmocka_unit_test(test_direct_that_does_not_come),
      cmocka_unit_test(test_grace),
      cmocka_unit_test(test_phase_that_fails_at_once),
      cmocka_unit_test(test_peer_that_knows_no_outside),
      cmocka_unit_test(test_strict_order),
      cmocka_unit_test(test_timeout_says_what_was_tried),
      cmocka_unit_test(test_losers_end_on_both_sides),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
