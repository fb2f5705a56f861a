/* Connects that are refused, fail, are cut short or attacked: each ends once, says why, and leaves
 * nothing behind. */
#include "peers.h"

#include "identity/identity.h"
#include "node/node.h"
#include "signal/router.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

/* ---- refused --------------------------------------------------------------------------------- */

typedef struct doorman {
  warp_contact answer;
  unsigned asked;
  warp_key last;
} doorman;

static warp_contact ask_doorman(void *arg, const warp_key *key) {
  doorman *self = arg;
  self->asked++;
  self->last = *key;
  return self->answer;
}

static void with_doorman(peers *both, doorman *self, warp_contact answer, const char *a,
                         const char *b) {
  peers_build(both, a, b, 3);
  *self = (doorman){.answer = answer};
  both->b.conf.contact_policy = ask_doorman;
  both->b.conf.contact_arg = self;
  peers_start(both);
}

static void test_refused_by_message(void **state) {
  (void)state;
  peers both;
  doorman door;
  with_doorman(&both, &door, WARP_CONTACT_REFUSE, "port-restricted", "port-restricted");
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_REFUSED);
  assert_int_equal(door.asked, 1);
  warp_key key;
  assert_int_equal(warp_node_key(both.a.node, &key), WARP_OK);
  assert_memory_equal(&door.last, &key, sizeof key);
  assert_false(both.b.pipe_done);
  peers_free(&both);
}

/* The policy speaks before the server's first handshake byte: the dialler learns it after one round
 * trip of TLS. */
static void test_refused_in_the_hello(void **state) {
  (void)state;
  peers both;
  doorman door;
  with_doorman(&both, &door, WARP_CONTACT_REFUSE, "open", "open");
  peers_connect(&both, &(warp_connect_options){.plugins = "direct_connect"});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "direct_connect", WARP_EXT_BIND);
  assert_non_null(row);
  assert_int_equal(row->status, WARP_REFUSED);
  assert_true(door.asked >= 1);
  assert_false(both.b.pipe_done);
  peers_free(&both);
}

static void test_ignored(void **state) {
  (void)state;
  peers both;
  doorman door;
  with_doorman(&both, &door, WARP_CONTACT_IGNORE, "port-restricted", "port-restricted");
  peers_connect(&both, &(warp_connect_options){.timeout_ms = 5000});
  assert_int_equal(both.a.connect_status, WARP_TIMEOUT);
  assert_in_range(both.a.connected_us - both.a.asked_us, 5 * second, 5 * second + 1000);
  assert_false(both.b.pipe_done);
  peers_free(&both);
}

static void test_nobody_listens(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", 4);
  peer_start(&both.a);
  peer_start(&both.b);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_REFUSED);
  peers_free(&both);
}

/* ---- missing servers ------------------------------------------------------------------------- */

static void test_no_broker(void **state) {
  (void)state;
  peers both;
  static const char *const none[] = {NULL};
  peers_build(&both, "port-restricted", "port-restricted", 5);
  both.a.conf.brokers = none;
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(peer_row(&both.a, "udp_punch", WARP_EXT_BIND)->status, WARP_NO_SERVER);
  peers_free(&both);
}

static void test_direct_needs_no_broker(void **state) {
  (void)state;
  peers both;
  static const char *const none[] = {NULL};
  peers_build(&both, "symmetric", "open", 6);
  both.a.conf.brokers = none;
  both.b.conf.brokers = none;
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "direct_connect");
  peers_echo(&both);
  peers_free(&both);
}

static void test_no_relay(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 7);
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_RULED_OUT);
  assert_true(row->start_ms < 0);
  assert_non_null(strstr(row->detail, "guess"));
  assert_null(peer_row(&both.a, "turn", WARP_EXT_BIND));
  peers_free(&both);
}

static void test_no_turn_server(void **state) {
  (void)state;
  peers both;
  static const char *const none[] = {NULL};
  peers_build(&both, "symmetric", "symmetric", 8);
  both.a.conf.turn_servers = both.b.conf.turn_servers = none;
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "turn", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_NO_SERVER);
  assert_non_null(strstr(row->detail, "no TURN server configured"));
  peers_free(&both);
}

static void test_turn_credentials(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 9);
  char text[128];
  snprintf(text, sizeof text, "somebody:wrong%s", strchr(both.net.turn_servers[0], '@'));
  const char *const wrong[] = {text, NULL};
  both.a.conf.turn_servers = both.b.conf.turn_servers = wrong;
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "turn", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_AUTH);
  assert_non_null(strstr(row->detail, "at the peer: relay 203.0.113.10:3480 UDP: Unauthorized"));
  assert_non_null(strstr(row->detail, "here: relay 203.0.113.10:3480 UDP: Unauthorized"));
  peers_free(&both);
}

static void test_dead_turn_server(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 10);
  peers_start(&both);
  sim_turn_set_up(both.net.turn, false);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(peer_row(&both.a, "turn", WARP_EXT_BIND)->status, WARP_TIMEOUT);
  peers_free(&both);
}

static void test_broker_dies_before_the_call(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", 11);
  peers_start(&both);
  sim_broker_set_up(both.net.broker, false);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  peers_connect(&both, &(warp_connect_options){.timeout_ms = 4000});
  assert_true(both.a.connect_status == WARP_ALL_FAILED || both.a.connect_status == WARP_TIMEOUT);
  sim_broker_set_up(both.net.broker, true);
  both.a.connect_done = false;
  assert_int_equal(sim_run_for(both.net.world, 10 * second), WARP_OK);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_free(&both);
}

/* ---- bad records ----------------------------------------------------------------------------- */

static void never_called(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)arg;
  (void)pipe;
  (void)status;
  (void)report;
  fail_msg("a connect that was refused at once must not call back");
}

static int connect_to(peers *both, const uint8_t *record, size_t len) {
  return warp_auto_connect(both->a.node, record, len, NULL, never_called, NULL);
}

static void test_bad_records(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 12);
  both.a.conf.sig_pipe_no = 0; /* nobody can be asked for a newer one */
  peers_start(&both);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  assert_int_equal(connect_to(&both, record, 0), WARP_MALFORMED);
  assert_int_equal(connect_to(&both, record, len - 1), WARP_MALFORMED);
  record[len - 1] ^= 1; /* inside the signature, which is last */
  assert_int_equal(connect_to(&both, record, len), WARP_BAD_SIGNATURE);
  record[len - 1] ^= 1;
  record[2]++;
  assert_int_equal(connect_to(&both, record, len), WARP_VERSION);
  record[2]--;
  assert_int_equal(sim_run_for(both.net.world, (uint64_t)26 * 3600 * second), WARP_OK);
  assert_int_equal(connect_to(&both, record, len), WARP_EXPIRED);
  len = sizeof record;
  assert_int_equal(warp_node_address(both.a.node, record, &len), WARP_OK);
  assert_int_equal(connect_to(&both, record, len), WARP_INVALID); /* ourselves */
  peers_free(&both);
}

static void on_closed(void *arg) {
  *(bool *)arg = true;
}

/* A node ends, another one of the same host takes its port and calls the old record: it must not
 * call itself. */
static void test_an_address_that_became_ours(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 14);
  both.b.host = both.a.host;
  both.b.conf.key_name = "old";
  both.b.conf.listen_port = both.a.conf.listen_port = 31000;
  peer_start(&both.b);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  bool closed = false;
  warp_node_close(both.b.node, on_closed, &closed);
  both.b.node = NULL;
  assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  peers_connect_to(&both, record, len,
                   &(warp_connect_options){.timeout_ms = 3000, .no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "direct_connect", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_RULED_OUT);
  assert_non_null(strstr(row->detail, "ours by now"));
  peers_free(&both);
}

static void test_unknown_plugin(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 13);
  peers_start(&both);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  assert_int_equal(warp_auto_connect(both.a.node, record, len,
                                     &(warp_connect_options){.plugins = "magic"}, never_called,
                                     NULL),
                   WARP_NOT_FOUND);
  peers_free(&both);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void on_canceled(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)report;
  int *got = arg;
  assert_null(pipe);
  *got = status;
}

/* At every moment of a connect the caller may close its node: the connect completes with
 * WARP_CANCELED (or was done), the peer's side ends too, nothing is left. */
static void test_close_at_any_moment(void **state) {
  (void)state;
  for (uint64_t at_ms = 0; at_ms <= 260; at_ms += 20) {
    peers both;
    peers_build(&both, "port-restricted", at_ms % 40 == 0 ? "port-restricted" : "symmetric",
                20 + at_ms);
    peers_start(&both);
    uint8_t record[WARP_RECORD_MAX];
    size_t len = sizeof record;
    assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
    int status = 1;
    assert_int_equal(warp_auto_connect(both.a.node, record, len,
                                       &(warp_connect_options){.plugins = "udp_punch,turn"},
                                       on_canceled, &status),
                     WARP_OK);
    if (at_ms < 100)
      assert_int_equal(sim_run_for(both.net.world, at_ms * 1000), WARP_OK);
    bool closed = false;
    warp_node_close(both.a.node, on_closed, &closed);
    both.a.node = NULL;
    assert_int_equal(status, WARP_CANCELED);
    assert_false(closed);
    assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
    peers_free(&both);
  }
}

static void peer_started(void *arg, warp_node *node, int status) {
  (void)node;
  *(int *)arg = status;
}

static void test_close_while_starting(void **state) {
  (void)state;
  for (uint64_t at_ms = 0; at_ms < 1200; at_ms += 50) {
    peers both;
    peers_build(&both, "restricted", "open", 40 + at_ms);
    peer *a = &both.a;
    peer_start(&both.b);
    int status = 1;
    assert_int_equal(
        wg_node_start(sim_host_env(a->host), &a->conf, peer_started, &status, &a->node), WARP_OK);
    assert_int_equal(sim_run_for(both.net.world, at_ms * 1000), WARP_OK);
    bool closed = false;
    bool done = status == WARP_OK;
    warp_node_close(a->node, on_closed, &closed);
    a->node = NULL;
    assert_int_equal(status, done ? WARP_OK : WARP_CANCELED);
    assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
    peers_free(&both);
  }
}

/* The peer closes its node while a pipe is open: it ends here, once. */
static void test_peer_goes_away(void **state) {
  (void)state;
  static const char *const pairs[3][2] = {
      {"open", "open"}, {"port-restricted", "port-restricted"}, {"symmetric", "symmetric"}};
  for (size_t i = 0; i < 3; i++) {
    peers both;
    peers_build(&both, pairs[i][0], pairs[i][1], 60 + i);
    peers_start(&both);
    peers_connect(&both, NULL);
    assert_int_equal(both.a.connect_status, WARP_OK);
    peers_echo(&both);
    bool closed = false;
    warp_node_close(both.b.node, on_closed, &closed);
    both.b.node = NULL;
    assert_true(both.b.end_done);
    assert_int_equal(both.b.end_status, WARP_CANCELED);
    assert_int_equal(sim_run_until_set(both.net.world, &both.a.end_done, 120 * second), WARP_OK);
    assert_true(closed);
    peers_free(&both);
  }
}

/* A tenth of the packets of each link lost: slower, but it always comes. */
static void test_lost_packets(void **state) {
  (void)state;
  unsigned connected = 0;
  for (uint64_t seed = 0; seed < 20; seed++) {
    peers both;
    peers_build(&both, "port-restricted", "port-restricted", 70 + seed);
    peers_start(&both);
    sim_link lossy = {.latency_us = 10000, .jitter_us = 3000, .loss = 0.1, .duplicate = 0.05};
    sim_network_set_link(both.net.site_a, &lossy);
    sim_network_set_link(both.net.site_b, &lossy);
    peers_connect(&both, NULL);
    connected += both.a.connect_status == WARP_OK;
    peers_free(&both);
  }
  assert_int_equal(connected, 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refused_by_message),
      cmocka_unit_test(test_refused_in_the_hello),
      cmocka_unit_test(test_ignored),
      cmocka_unit_test(test_nobody_listens),
      cmocka_unit_test(test_no_broker),
      cmocka_unit_test(test_direct_needs_no_broker),
      cmocka_unit_test(test_no_relay),
      cmocka_unit_test(test_no_turn_server),
      cmocka_unit_test(test_turn_credentials),
      cmocka_unit_test(test_dead_turn_server),
      cmocka_unit_test(test_broker_dies_before_the_call),
      cmocka_unit_test(test_bad_records),
      cmocka_unit_test(test_an_address_that_became_ours),
      cmocka_unit_test(test_unknown_plugin),
      cmocka_unit_test(test_close_at_any_moment),
      cmocka_unit_test(test_close_while_starting),
      cmocka_unit_test(test_peer_goes_away),
      cmocka_unit_test(test_lost_packets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
