/* The clock of a node: put right at the start, kept right, and what wrong clocks and wrong servers
 * do to a connect. */
#include "peers.h"

#include "identity/identity.h"
#include "node/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;
static const int64_t day_ms = 86400000;
static const char *const none[] = {NULL};

static const warp_start_event *phase_of(const peer *self, warp_start_phase phase) {
  for (size_t i = 0; i < self->phase_count; i++) {
    if (self->phases[i].phase == phase)
      return &self->phases[i];
  }
  fail_msg("phase %d was not reported", phase);
  return NULL;
}

static const warp_start_event *clock_phase(const peer *self) {
  return phase_of(self, WARP_START_INITIALIZE_SYSTEM_CLOCK);
}

/* What the node's record says when it was issued, against the time of the servers. */
static int64_t record_error_ms(const peers *both, const peer *self) {
  uint8_t bytes[WARP_RECORD_MAX];
  size_t len = sizeof bytes;
  wg_record record;
  wg_env *env = sim_host_env(both->net.server);
  int64_t now_ms = env->ops->wall_ms(env);
  assert_int_equal(warp_node_address(self->node, bytes, &len), WARP_OK);
  assert_int_equal(wg_record_verify(bytes, len, now_ms, &record), WARP_OK);
  return llabs(now_ms - record.issued_ms);
}

static void start(peers *both, peer *self) {
  peer_start(self);
  assert_int_equal(self->start_status, WARP_OK);
  (void)both;
}

/* One round trip for the first exchange, one for the second. */
static void test_two_round_trips(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "open", 1);
  sim_host_set_clock_skew_ms(both.net.a, -5000);
  start(&both, &both.a);
  const warp_start_event *event = clock_phase(&both.a);
  assert_int_equal(event->status, WARP_OK);
  assert_in_range((int)event->elapsed_ms, 80, 82);
  assert_int_equal(phase_of(&both.a, WARP_START_INITIALIZE_PUNCH_COORDINATION)->status, WARP_OK);
  assert_int_equal(phase_of(&both.a, WARP_START_START_MAINTENANCE_TASKS)->status, WARP_OK);
  peers_free(&both);
}

/* Letters and records are timed by UTC: nodes whose clocks are wrong by days find each other. */
static void test_clocks_off_by_days(void **state) {
  (void)state;
  static const int64_t skews_ms[][2] = {{2 * 86400000, 0},
                                        {-2 * (int64_t)86400000, 0},
                                        {0, -2 * (int64_t)86400000},
                                        {5000, -5000},
                                        {-400 * (int64_t)86400000, 400 * (int64_t)86400000}};
  for (size_t i = 0; i < sizeof skews_ms / sizeof skews_ms[0]; i++) {
    peers both;
    peers_build(&both, "port-restricted", "port-restricted", i + 1);
    sim_host_set_clock_skew_ms(both.net.a, skews_ms[i][0]);
    sim_host_set_clock_skew_ms(both.net.b, skews_ms[i][1]);
    peers_start(&both);
    assert_in_range(record_error_ms(&both, &both.a), 0, 1000);
    assert_in_range(record_error_ms(&both, &both.b), 0, 1000);
    peers_connect(&both, NULL);
    assert_int_equal(both.a.connect_status, WARP_OK);
    peers_echo(&both);
    peers_free(&both);
  }
}

/* The same without servers fails, or the test above would show nothing. */
static void test_off_by_days_without_servers(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", 3);
  both.a.conf.ntp_servers = both.b.conf.ntp_servers = none;
  sim_host_set_clock_skew_ms(both.net.b, -2 * day_ms);
  peers_start(&both);
  assert_int_equal(clock_phase(&both.b)->status, WARP_NO_SERVER);
  uint8_t bytes[WARP_RECORD_MAX];
  size_t len = sizeof bytes;
  wg_record record;
  wg_env *env = sim_host_env(both.net.a);
  assert_int_equal(warp_node_address(both.b.node, bytes, &len), WARP_OK);
  assert_int_equal(wg_record_verify(bytes, len, env->ops->wall_ms(env), &record), WARP_EXPIRED);
  peers_free(&both);
}

static void test_switched_off(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 4);
  both.a.conf.init_clock_skew = false;
  start(&both, &both.a);
  assert_int_equal(clock_phase(&both.a)->status, WARP_OK);
  assert_int_equal(sim_ntp_answered(both.net.ntp[0]), 0);
  peers_free(&both);
}

static void test_wrong_server_is_outvoted(void **state) {
  (void)state;
  for (unsigned liar = 0; liar < SIM_NTP_SERVERS; liar++) {
    peers both;
    peers_build(&both, "open", "open", 5 + liar);
    sim_ntp_set_lie_ms(both.net.ntp[liar], liar == 0 ? 700 : 30 * day_ms);
    start(&both, &both.a);
    assert_int_equal(clock_phase(&both.a)->status, WARP_OK);
    assert_in_range(record_error_ms(&both, &both.a), 0, 500);
    peers_free(&both);
  }
}

/* Two that contradict each other: neither is believed. */
static void test_no_majority(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 9);
  const char *two[] = {both.net.ntp_servers[0], both.net.ntp_servers[1], NULL};
  both.a.conf.ntp_servers = two;
  sim_ntp_set_lie_ms(both.net.ntp[1], 30 * day_ms);
  start(&both, &both.a);
  assert_int_equal(clock_phase(&both.a)->status, WARP_UNTRUSTED);
  assert_in_range(record_error_ms(&both, &both.a), 0, 500);
  peers_free(&both);
}

/* One dead of three: the others are a majority, nobody waits. All dead: the timeout, and on. */
static void test_dead_servers(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 10);
  sim_ntp_set_up(both.net.ntp[0], false);
  start(&both, &both.a);
  assert_int_equal(clock_phase(&both.a)->status, WARP_OK);
  assert_in_range((int)clock_phase(&both.a)->elapsed_ms, 80, 82);
  sim_ntp_set_up(both.net.ntp[1], false);
  sim_ntp_set_up(both.net.ntp[2], false);
  both.b.conf.server_timeout_ms = 1000;
  start(&both, &both.b);
  assert_int_equal(clock_phase(&both.b)->status, WARP_TIMEOUT);
  assert_in_range((int)clock_phase(&both.b)->elapsed_ms, 1000, 1001);
  peers_free(&both);
}

/* A name that is not to be found, or is not one, costs half of the timeout at most. */
static void test_names_that_are_not_found(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 11);
  const char *servers[] = {"dead.example", "no port:x", both.net.ntp_servers[2], NULL};
  sim_add_name(both.net.world, "dead.example", NULL);
  both.a.conf.ntp_servers = servers;
  both.a.conf.server_timeout_ms = 1000;
  start(&both, &both.a);
  assert_int_equal(clock_phase(&both.a)->status, WARP_OK);
  assert_in_range((int)clock_phase(&both.a)->elapsed_ms, 580, 582);
  peers_free(&both);
}

/* The same server twice has one vote. */
static void test_one_vote_each(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 12);
  const char *servers[] = {"203.0.113.10:125", "203.0.113.10:125", "203.0.113.10:124", NULL};
  both.a.conf.ntp_servers = servers;
  sim_ntp_set_lie_ms(both.net.ntp[2], 30 * day_ms);
  start(&both, &both.a);
  assert_int_equal(clock_phase(&both.a)->status, WARP_UNTRUSTED);
  peers_free(&both);
}

/* Asked again every quarter of an hour; a machine that was asleep asks as soon as it notices. */
static void test_kept_right(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 13);
  start(&both, &both.a);
  size_t at_start = sim_ntp_answered(both.net.ntp[0]);
  sim_run_for(both.net.world, 14 * 60 * second);
  assert_int_equal(sim_ntp_answered(both.net.ntp[0]), at_start);
  sim_run_for(both.net.world, 2 * 60 * second);
  assert_int_equal(sim_ntp_answered(both.net.ntp[0]), at_start + WG_CLOCK_SAMPLES_MAX);
  sim_run_for(both.net.world, 2 * 60 * second);
  sim_host_set_clock_skew_ms(both.net.a, 3600000);
  sim_run_for(both.net.world, 60 * second);
  assert_int_equal(sim_ntp_answered(both.net.ntp[0]), at_start + 2 * WG_CLOCK_SAMPLES_MAX);
  peers_free(&both);
}

/* Servers that were away at the start: the record is timed anew when they are back. */
static void test_servers_come_back(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 14);
  for (size_t i = 0; i < SIM_NTP_SERVERS; i++)
    sim_ntp_set_up(both.net.ntp[i], false);
  sim_host_set_clock_skew_ms(both.net.a, -2 * day_ms);
  start(&both, &both.a);
  for (size_t i = 0; i < SIM_NTP_SERVERS; i++)
    sim_ntp_set_up(both.net.ntp[i], true);
  sim_run_for(both.net.world, 120 * second);
  assert_in_range(record_error_ms(&both, &both.a), 0, 120000);
  peers_free(&both);
}

/* Kiss codes: one server never wants to be asked again, one less often. */
static void test_kisses_are_obeyed(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 15);
  sim_ntp_set_kiss(both.net.ntp[0], WG_NTP_KISS_DENY);
  start(&both, &both.a);
  assert_int_equal(clock_phase(&both.a)->status, WARP_OK);
  assert_int_equal(sim_ntp_answered(both.net.ntp[0]), 1);
  sim_ntp_set_kiss(both.net.ntp[1], WG_NTP_KISS_RATE);
  size_t before = sim_ntp_answered(both.net.ntp[1]);
  sim_run_for(both.net.world, 16 * 60 * second);
  assert_int_equal(sim_ntp_answered(both.net.ntp[0]), 1);
  assert_int_equal(sim_ntp_answered(both.net.ntp[1]), before + 1);
  sim_run_for(both.net.world, 50 * 60 * second);
  assert_int_equal(sim_ntp_answered(both.net.ntp[1]), before + 1);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_two_round_trips),
      cmocka_unit_test(test_clocks_off_by_days),
      cmocka_unit_test(test_off_by_days_without_servers),
      cmocka_unit_test(test_switched_off),
      cmocka_unit_test(test_wrong_server_is_outvoted),
      cmocka_unit_test(test_no_majority),
      cmocka_unit_test(test_dead_servers),
      cmocka_unit_test(test_names_that_are_not_found),
      cmocka_unit_test(test_one_vote_each),
      cmocka_unit_test(test_kept_right),
      cmocka_unit_test(test_servers_come_back),
      cmocka_unit_test(test_kisses_are_obeyed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
