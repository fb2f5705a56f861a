/* Every transition between phases, plugins that run a phase or renew the peer's record, and
 * connects that are narrowed to one plugin, family or route. */
#include "connect/session.h"
#include "node/internal.h"
#include "plugins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

static int run_nothing(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)attempt;
  (void)type;
  (void)message;
  (void)len;
  return WARP_OK;
}

static void give_up(warp_attempt *attempt) {
  warp_attempt_fail(attempt, WARP_TIMEOUT, "gave up by itself");
}

static int run_a_second(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  warp_attempt_timer(attempt, 0, 1000, give_up);
  return WARP_OK;
}

#define PLUGIN(plugin_name, plugin_phase, plugin_run)                                              \
  {                                                                                                \
    .interface_version = WARP_PLUGIN_VERSION, .name = plugin_name, .phase = plugin_phase,          \
    .transports = WARP_UDP, .route_types = WARP_EXT_BIND, .timeout_ms = 60000, .run = plugin_run   \
  }

static const warp_plugin slow_direct = PLUGIN("slow_direct", WARP_PHASE_DIRECT, run_nothing),
                         slow_punch = PLUGIN("slow_punch", WARP_PHASE_PUNCH, run_nothing),
                         slow_spray = PLUGIN("slow_spray", WARP_PHASE_SPRAY, run_nothing),
                         brief_direct = PLUGIN("brief_direct", WARP_PHASE_DIRECT, run_a_second),
                         brief_punch = PLUGIN("brief_punch", WARP_PHASE_PUNCH, run_a_second),
                         brief_spray = PLUGIN("brief_spray", WARP_PHASE_SPRAY, run_a_second);

static void connect_with(peers *both, const warp_plugin *const *list, uint64_t seed,
                         const warp_connect_options *options) {
  peers_build(both, "port-restricted", "port-restricted", seed);
  peers_start(both);
  peer_set_plugins(&both->a, list);
  peers_connect(both, options);
  assert_int_equal(both->a.connect_status, WARP_OK);
  assert_string_equal(both->a.info.plugin, "turn");
}

static int started(const peers *both, const char *plugin) {
  const warp_report_row *row = peer_row(&both->a, plugin, WARP_EXT_BIND);
  assert_non_null(row);
  return (int)row->start_ms;
}

/* One phase after the other, each for its share of the time. */
static void test_strict_shares(void **state) {
  (void)state;
  const warp_plugin *list[] = {plugin_named("turn"), &slow_spray, &slow_punch, &slow_direct, NULL};
  peers both;
  connect_with(&both, list, 1, &(warp_connect_options){.strict = true, .timeout_ms = 40000});
  assert_int_equal(started(&both, "slow_direct"), 0);
  assert_int_equal(started(&both, "slow_punch"), 10000);
  assert_int_equal(started(&both, "slow_spray"), 20000);
  assert_int_equal(started(&both, "turn"), 30000);
  static const char *const names[] = {"slow_direct", "slow_punch", "slow_spray"};
  for (size_t i = 0; i < 3; i++) {
    const warp_report_row *row = peer_row(&both.a, names[i], WARP_EXT_BIND);
    assert_int_equal(row->status, WARP_TIMEOUT);
    assert_non_null(strstr(row->detail, "its share of the time is used up"));
  }
  peers_free(&both);
}

/* What is looked at again, and changes nothing, leaves each phase its time: an interface that comes
 * and goes all the while would hold up the next one for ever. */
static void test_shares_while_addresses_settle(void **state) {
  (void)state;
  const warp_plugin *list[] = {plugin_named("turn"), &slow_spray, &slow_punch, &slow_direct, NULL};
  peers both;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  peers_build(&both, "port-restricted", "port-restricted", 1);
  peers_start(&both);
  peer_set_plugins(&both.a, list);
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  peers_begin_connect(&both, record, len,
                      &(warp_connect_options){.strict = true, .timeout_ms = 40000});
  for (unsigned i = 0; i < 78; i++) {
    assert_int_equal(sim_run_for(both.net.world, second / 2), WARP_OK);
    wg_connect_unsettle(both.a.node->connect, WG_UNSETTLED_INTERFACES);
    wg_connect_settle(both.a.node->connect, WG_UNSETTLED_INTERFACES);
  }
  peers_await_connect(&both);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(started(&both, "slow_punch"), 10000);
  assert_int_equal(started(&both, "slow_spray"), 20000);
  assert_int_equal(started(&both, "turn"), 30000);
  peers_free(&both);
}

/* Who has failed makes room at once, strict or not; and who has the head start of nobody. */
static void test_strict_early_ends(void **state) {
  (void)state;
  const warp_plugin *list[] = {&brief_spray, plugin_named("turn"), &brief_punch, &brief_direct,
                               NULL};
  peers both;
  connect_with(&both, list, 2, &(warp_connect_options){.strict = true, .timeout_ms = 40000});
  assert_int_equal(started(&both, "brief_direct"), 0);
  assert_int_equal(started(&both, "brief_punch"), 1000);
  assert_int_equal(started(&both, "brief_spray"), 2000);
  assert_int_equal(started(&both, "turn"), 3000);
  peers_free(&both);
}

static void test_head_starts(void **state) {
  (void)state;
  const warp_plugin *list[] = {&brief_spray, plugin_named("turn"), &brief_punch, &brief_direct,
                               NULL};
  peers both;
  connect_with(&both, list, 3, NULL);
  assert_int_equal(started(&both, "brief_direct"), 0);
  assert_int_equal(started(&both, "brief_punch"), 200);
  assert_int_equal(started(&both, "brief_spray"), 200);
  assert_int_equal(started(&both, "turn"), 400);
  /* The relay was ready long before and waited for the last of the others. */
  assert_in_range((both.a.connected_us - both.a.asked_us) / 1000, 1200, 1205);
  peers_free(&both);
}

/* Each transition alone: a phase that is missing is not waited for. */
static void test_missing_phases(void **state) {
  (void)state;
  const warp_plugin *turn = plugin_named("turn");
  static const warp_plugin *const only[] = {&brief_direct, &brief_punch, &brief_spray};
  for (size_t i = 0; i < 3; i++) {
    for (unsigned strict = 0; strict < 2; strict++) {
      const warp_plugin *list[] = {turn, only[i], NULL};
      peers both;
      connect_with(&both, list, 4 + i, &(warp_connect_options){.strict = strict != 0});
      assert_int_equal(started(&both, only[i]->name), 0);
      assert_int_equal(started(&both, "turn"), strict != 0 ? 1000 : 200);
      peers_free(&both);
    }
  }
}

/* ---- a plugin that runs a phase -------------------------------------------------------------- */

static unsigned fans, fan_stops;
static bool fan_runs_all;

static void fan_next(warp_attempt *attempt) {
  if (warp_attempt_start_next(attempt) && fan_runs_all)
    warp_attempt_timer(attempt, 0, 50, fan_next);
}

static int run_fan(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  fans++;
  assert_int_equal(warp_attempt_signal(attempt, 1, "", 0), WARP_STATE);
  fan_next(attempt);
  return WARP_OK;
}

static void stop_fan(warp_attempt *attempt) {
  (void)attempt;
  fan_stops++;
}

static const warp_plugin fan_out = {.interface_version = WARP_PLUGIN_VERSION,
                                    .name = "fan_out",
                                    .phase = WARP_PHASE_NONE,
                                    .transports = WARP_UDP,
                                    .route_types = WARP_EXT_BIND,
                                    .timeout_ms = 5000,
                                    .run = run_fan,
                                    .stop = stop_fan};

static void test_fan_out(void **state) {
  (void)state;
  const warp_plugin *list[] = {&fan_out, &brief_punch, &brief_spray, plugin_named("turn"), NULL};
  peers both;
  fans = fan_stops = 0;
  fan_runs_all = true;
  connect_with(&both, list, 10, NULL);
  assert_int_equal(started(&both, "brief_punch"), 0);
  assert_int_equal(started(&both, "brief_spray"), 50);
  assert_int_equal(started(&both, "turn"), 200);
  assert_null(peer_row(&both.a, "fan_out", WARP_EXT_BIND));
  assert_int_equal(fans, 2);
  assert_int_equal(fan_stops, 2);
  peers_echo(&both);
  peers_free(&both);
}

/* It leaves one of two attempts behind: nothing is lost, that one starts with the next phase. */
static void test_fan_out_that_forgets(void **state) {
  (void)state;
  const warp_plugin *list[] = {&fan_out, &brief_punch, &brief_spray, plugin_named("turn"), NULL};
  peers both;
  fans = fan_stops = 0;
  fan_runs_all = false;
  connect_with(&both, list, 11, NULL);
  assert_int_equal(started(&both, "brief_punch"), 0);
  assert_int_equal(started(&both, "brief_spray"), 200);
  assert_true(started(&both, "turn") >= 400);
  peers_free(&both);
  assert_int_equal(fan_stops, fans);
}

/* ---- a newer record -------------------------------------------------------------------------- */

static uint8_t newer[WARP_RECORD_MAX];
static size_t newer_len;

static void renew(warp_attempt *attempt) {
  uint8_t own[WARP_RECORD_MAX];
  size_t len = 4;
  assert_int_equal(warp_attempt_own_record(attempt, own, &len), WARP_TOO_BIG);
  len = sizeof own;
  assert_int_equal(warp_attempt_own_record(attempt, own, &len), WARP_OK);
  assert_int_equal(warp_attempt_refresh(attempt, own, len), WARP_UNTRUSTED);
  assert_int_equal(warp_attempt_refresh(attempt, own, len - 1), WARP_MALFORMED);
  uint64_t before = warp_attempt_peer_sequence(attempt);
  assert_int_equal(warp_attempt_refresh(attempt, newer, newer_len), WARP_OK);
  assert_true(warp_attempt_peer_sequence(attempt) > before);
  assert_int_equal(warp_attempt_refresh(attempt, newer, newer_len), WARP_STATE);
}

static int run_renew(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  warp_attempt_timer(attempt, 0, 500, renew);
  return WARP_OK;
}

static const warp_plugin renewing = PLUGIN("renewing", WARP_PHASE_DIRECT, run_renew);

/* b has moved to another outside since its record was made: only the newer one leads to it. */
static void test_renewed_record(void **state) {
  (void)state;
  const warp_plugin *list[] = {&renewing, plugin_named("udp_punch"), NULL};
  uint8_t old[WARP_RECORD_MAX];
  size_t old_len = sizeof old;
  sim_nat nat;
  peers both;
  for (unsigned strict = 0; strict < 2; strict++) {
    old_len = sizeof old;
    peers_build(&both, "port-restricted", "full-cone", 12);
    peers_start(&both);
    assert_int_equal(warp_node_address(both.b.node, old, &old_len), WARP_OK);
    assert_int_equal(sim_nat_profile("full-cone", &nat), WARP_OK);
    sim_network_set_nat(both.net.site_b, "192.0.2.140", &nat);
    assert_int_equal(sim_run_for(both.net.world, 90 * second), WARP_OK);
    wg_node_renew(both.b.node); /* what it does by itself now and then */
    newer_len = sizeof newer;
    assert_int_equal(warp_node_address(both.b.node, newer, &newer_len), WARP_OK);
    peer_set_plugins(&both.a, list);
    peers_connect_to(&both, old, old_len,
                     &(warp_connect_options){.strict = strict != 0, .no_relay = true});
    assert_int_equal(both.a.connect_status, WARP_OK);
    assert_true(both.a.connected_us - both.a.asked_us > second / 2);
    const warp_report_row *row = peer_row(&both.a, "renewing", WARP_EXT_BIND);
    assert_non_null(strstr(row->detail, "newer record"));
    peers_echo(&both);
    peers_free(&both);
  }
}

/* ---- narrowed connects ----------------------------------------------------------------------- */

static void keep_status(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  peer *self = arg;
  self->connect_done = true;
  self->connect_status = status;
  self->row_count = report->count;
  memcpy(self->rows, report->rows, report->count * sizeof self->rows[0]);
  if (pipe != NULL) {
    assert_int_equal(warp_pipe_get_info(pipe, &self->info), WARP_OK);
    warp_pipe_close(pipe);
  }
}

static int node_connect(peers *both, int family, int route_type, const char *plugin) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both->b.node, record, &len), WARP_OK);
  both->a.connect_done = false;
  int status = warp_node_connect(both->a.node, family, route_type, record, len, plugin, NULL,
                                 keep_status, &both->a);
  if (status == WARP_OK)
    assert_int_equal(sim_run_until_set(both->net.world, &both->a.connect_done, 70 * second),
                     WARP_OK);
  return status;
}

static void test_pinned(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 13);
  peers_start(&both);
  static const char *const names[] = {"direct_connect", "reverse_connect", "udp_punch", "turn"};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(node_connect(&both, 0, 0, names[i]), WARP_OK);
    assert_int_equal(both.a.connect_status, WARP_OK);
    assert_string_equal(both.a.info.plugin, names[i]);
    for (size_t row = 0; row < both.a.row_count; row++)
      assert_string_equal(both.a.rows[row].plugin, names[i]);
  }
  assert_int_equal(node_connect(&both, WARP_IP4, WARP_EXT_BIND, NULL), WARP_OK);
  assert_int_equal(both.a.connect_status, WARP_OK);
  for (size_t row = 0; row < both.a.row_count; row++)
    assert_int_equal(both.a.rows[row].route_type, WARP_EXT_BIND);
  assert_int_equal(node_connect(&both, WARP_IP6, 0, NULL), WARP_OK);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(both.a.row_count, 0);
  assert_int_equal(node_connect(&both, WARP_IP4, WARP_NIC_BIND, NULL), WARP_OK);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(node_connect(&both, 5, 0, NULL), WARP_INVALID);
  assert_int_equal(node_connect(&both, 0, 3, NULL), WARP_INVALID);
  assert_int_equal(node_connect(&both, 0, 0, "turn,udp_punch"), WARP_INVALID);
  assert_int_equal(node_connect(&both, 0, 0, "magic"), WARP_NOT_FOUND);
  peers_free(&both);
}

/* A plugin without a phase runs when it is pinned, and only then. */
static void test_pinned_without_a_phase(void **state) {
  (void)state;
  static const warp_plugin quiet = PLUGIN("quiet", WARP_PHASE_NONE, run_a_second);
  const warp_plugin *list[] = {&quiet, plugin_named("turn"), NULL};
  peers both;
  peers_build(&both, "open", "open", 14);
  peers_start(&both);
  peer_set_plugins(&both.a, list);
  assert_int_equal(node_connect(&both, 0, 0, "quiet"), WARP_OK);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_non_null(strstr(both.a.rows[0].detail, "gave up by itself"));
  assert_int_equal(node_connect(&both, 0, 0, NULL), WARP_OK);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_null(peer_row(&both.a, "quiet", WARP_EXT_BIND));
  peers_free(&both);
}

static void test_punching_switched_off(void **state) {
  (void)state;
  for (unsigned which = 0; which < 2; which++) {
    peers both;
    peers_build(&both, "port-restricted", "port-restricted", 15);
    (which == 0 ? &both.a : &both.b)->conf.enable_punching = false;
    peers_start(&both);
    peers_connect(&both, NULL);
    assert_int_equal(both.a.connect_status, WARP_OK);
    assert_string_equal(both.a.info.plugin, "turn");
    const warp_report_row *row = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
    assert_int_equal(row->status, which == 0 ? WARP_RULED_OUT : WARP_UNSUPPORTED);
    peers_free(&both);
  }
}

/* ---- what there is to try -------------------------------------------------------------------- */

/* Many interfaces at both ends: the relay has its places, and the numbers are in order. */
static void test_many_interfaces(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 16);
  peers_start(&both);
  wg_connect *connect = both.a.node->connect;
  wg_record *own = &connect->record;
  for (size_t i = 1; i < WG_RECORD_ENDPOINTS; i++) {
    own->endpoints[i] = own->endpoints[0];
    own->endpoints[i].nic.ip[3] = (uint8_t)(100 + i);
    own->endpoints[i].external_udp.ip[3] = own->endpoints[i].external_tcp.ip[3] =
        (uint8_t)(100 + i);
  }
  own->endpoint_count = WG_RECORD_ENDPOINTS;
  wg_session session = {.connect = connect,
                        .role = WARP_INITIATOR,
                        .peer_record = *own,
                        .route_types = WARP_NIC_BIND | WARP_EXT_BIND};
  session.options.transports = WARP_TCP | WARP_UDP;
  for (size_t i = 0; i < own->endpoint_count; i++)
    session.peer_record.endpoints[i].external_udp.ip[3] += 50;
  assert_int_equal(wg_race_build(&session), WARP_OK);
  assert_int_equal(session.attempt_count, WG_ATTEMPTS_MAX);
  size_t relays = 0, ruled_out = 0;
  for (size_t i = 0; i < session.attempt_count; i++) {
    const warp_attempt *attempt = session.attempts[i];
    relays += attempt->plugin->phase == WARP_PHASE_RELAY;
    ruled_out += attempt->state == WG_ATTEMPT_RULED_OUT;
    if (i > 0) {
      assert_true(attempt->number > session.attempts[i - 1]->number);
      assert_true(attempt->plugin->phase >= session.attempts[i - 1]->plugin->phase);
    }
  }
  assert_int_equal(relays, WG_ATTEMPTS_RELAY);
  assert_true(ruled_out <= WG_ATTEMPTS_MAX / 2);
  for (size_t i = 0; i < session.attempt_count; i++)
    wg_attempt_free(session.attempts[i]);
  own->endpoint_count = 1;
  peers_free(&both);
}

/* Both behind one NAT that does not hairpin: nothing between its outsides can work, and the relay
 * does not wait for it. */
static void test_no_hairpin(void **state) {
  (void)state;
  for (unsigned ability = WARP_ABILITY_UNKNOWN; ability <= WARP_ABILITY_YES; ability++) {
    peers both;
    peers_build(&both, "full-cone", "full-cone", 17);
    peers_start(&both);
    wg_connect *connect = both.a.node->connect;
    wg_record theirs = both.b.node->record;
    warp_endpoint *self = &connect->record.endpoints[0];
    self->udp.hairpin = self->tcp.hairpin = (uint8_t)ability;
    theirs.endpoints[0].udp.hairpin = theirs.endpoints[0].tcp.hairpin = WARP_ABILITY_UNKNOWN;
    memcpy(theirs.endpoints[0].external_udp.ip, self->external_udp.ip, 16);
    memcpy(theirs.endpoints[0].external_tcp.ip, self->external_tcp.ip, 16);
    wg_session session = {.connect = connect,
                          .role = WARP_INITIATOR,
                          .peer_record = theirs,
                          .route_types = WARP_NIC_BIND | WARP_EXT_BIND};
    session.options.transports = WARP_TCP | WARP_UDP;
    assert_int_equal(wg_race_build(&session), WARP_OK);
    for (size_t i = 0; i < session.attempt_count; i++) {
      const warp_attempt *attempt = session.attempts[i];
      bool outside =
          attempt->combo.route_type == WARP_EXT_BIND && attempt->plugin->phase != WARP_PHASE_RELAY;
      bool said = strstr(attempt->row.detail, "hairpin") != NULL;
      if (said != (outside && ability == WARP_ABILITY_NO))
        fail_msg("%u, %s: %s", ability, attempt->plugin->name, attempt->row.detail);
      wg_attempt_free(session.attempts[i]);
    }
    peers_free(&both);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_strict_shares),
      cmocka_unit_test(test_shares_while_addresses_settle),
      cmocka_unit_test(test_strict_early_ends),
      cmocka_unit_test(test_head_starts),
      cmocka_unit_test(test_missing_phases),
      cmocka_unit_test(test_fan_out),
      cmocka_unit_test(test_fan_out_that_forgets),
      cmocka_unit_test(test_renewed_record),
      cmocka_unit_test(test_pinned),
      cmocka_unit_test(test_pinned_without_a_phase),
      cmocka_unit_test(test_punching_switched_off),
      cmocka_unit_test(test_many_interfaces),
      cmocka_unit_test(test_no_hairpin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
