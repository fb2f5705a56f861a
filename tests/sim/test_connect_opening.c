/* The first message of an attempt is lost, or its broker is gone for a moment: it is said again,
 * and the call is not lost with it. */
#include "peers.h"
#include "rogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

/* Keeps messages back. */
typedef struct tap {
  unsigned lose, seen;
} tap;

static bool on_message(void *arg, const char *topic, const uint8_t *data, size_t len) {
  (void)topic;
  (void)data;
  (void)len;
  tap *self = arg;
  return self->seen++ >= self->lose;
}

static void build(peers *both, tap *self, unsigned lose) {
  peers_build(both, "port-restricted", "port-restricted", 21);
  peers_start(both);
  *self = (tap){.lose = lose};
  sim_broker_set_tap(both->net.broker, on_message, self);
}

static uint64_t took_ms(const peers *both) {
  return (both->a.connected_us - both->a.asked_us) / 1000;
}

static void test_lost_messages(void **state) {
  (void)state;
  static const uint64_t expected_ms[] = {100, 1100, 3100};
  static const warp_connect_options punch = {.plugins = "udp_punch", .transports = WARP_UDP};
  for (unsigned lose = 0; lose < 3; lose++) {
    peers both;
    tap wire;
    build(&both, &wire, lose);
    peers_connect(&both, &punch);
    assert_int_equal(both.a.connect_status, WARP_OK);
    assert_in_range(took_ms(&both), expected_ms[lose], expected_ms[lose] + 30);
    peers_echo(&both);
    /* Heard once, it is not said again. */
    unsigned said = wire.seen;
    assert_int_equal(sim_run_for(both.net.world, 40 * second), WARP_OK);
    assert_int_equal(wire.seen, said);
    assert_int_equal(both.b.row_count, 1);
    peers_free(&both);
  }
}

/* With it, what followed it: neither side of these can do without the other's relayed address. */
static void test_lost_with_what_followed(void **state) {
  (void)state;
  static const warp_connect_options relay = {.plugins = "turn"};
  peers both;
  tap wire = {.lose = 2};
  peers_build(&both, "symmetric+no-udp", "symmetric+no-udp", 22);
  peers_start(&both);
  sim_broker_set_tap(both.net.broker, on_message, &wire);
  peers_connect(&both, &relay);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_in_range(took_ms(&both), 1100, 1400);
  peers_echo(&both);
  peers_free(&both);
}

static void bring_back(void *arg) {
  sim_broker_set_up(arg, true);
}

/* The broker is away when the call begins, and is back before it has to be given up. */
static void test_broker_comes_back(void **state) {
  (void)state;
  peers both;
  tap wire;
  build(&both, &wire, 0);
  wg_env *env = sim_host_env(both.net.server);
  wg_timer timer = {0};
  sim_broker_set_up(both.net.broker, false);
  wg_timer_start(env, &timer, second / 2, bring_back, both.net.broker);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "udp_punch");
  assert_in_range(took_ms(&both), 500, 4000);
  peers_free(&both);
}

static void test_broker_stays_away(void **state) {
  (void)state;
  peers both;
  tap wire;
  build(&both, &wire, 0);
  sim_broker_set_up(both.net.broker, false);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_in_range(took_ms(&both), 3000, 4000);
  const warp_report_row *row = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_NO_SERVER);
  assert_non_null(strstr(row->detail, "no broker"));
  peers_free(&both);
}

static void nobody(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)arg;
  (void)node;
  (void)report;
  warp_pipe_close(pipe);
}

/* What is known is not begun again; what has failed is told again. */
static void test_said_again(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  peers_build(&both, "open", "open", 5);
  peer_start(&both.b);
  assert_int_equal(warp_node_listen(both.b.node, nobody, NULL, NULL), WARP_OK);
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  wg_message message = rogue_message(&evil, 1);
  for (unsigned i = 0; i < 5; i++)
    rogue_send(&evil, &message);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_int_equal(evil.got[WG_MESSAGE_FAIL], 0);
  wg_message broken = rogue_message(&evil, 2);
  strcpy(broken.plugin, "turn");
  for (unsigned i = 0; i < 3; i++)
    rogue_send(&evil, &broken);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_int_equal(evil.got[WG_MESSAGE_FAIL], 3);
  assert_int_equal(evil.status, WARP_MALFORMED);
  rogue_close(&evil);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lost_messages),     cmocka_unit_test(test_lost_with_what_followed),
      cmocka_unit_test(test_broker_comes_back), cmocka_unit_test(test_broker_stays_away),
      cmocka_unit_test(test_said_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
