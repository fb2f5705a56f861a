/* Connects through relays: over TCP where UDP does not get out, by the relay of either side or of
 * both, for hours, and to their end. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;
static const char *const none[] = {NULL};

static void run(peers *both, uint64_t us) {
  assert_int_equal(sim_run_for(both->net.world, us), WARP_OK);
}

/* What happened to the pipes of a test. */
typedef struct ends {
  bool a, b;
  int status_a, status_b;
} ends;

static void a_ended(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  ends *at = arg;
  at->a = true;
  at->status_a = status;
}

static void b_ended(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  ends *at = arg;
  at->b = true;
  at->status_b = status;
}

static void watch_ends(peers *both, ends *at) {
  *at = (ends){.a = false};
  warp_pipe_set_handlers(both->a.pipe, &(warp_pipe_handlers){.on_end = a_ended, .arg = at});
  warp_pipe_set_handlers(both->b.pipe, &(warp_pipe_handlers){.on_end = b_ended, .arg = at});
}

static void explain(const peers *both) {
  for (size_t i = 0; i < both->a.row_count; i++)
    print_error("%s: %s: %s\n", both->a.rows[i].plugin, warp_err_name(both->a.rows[i].status),
                both->a.rows[i].detail);
}

static uint64_t connect_ms(peers *both, const warp_connect_options *options) {
  static const warp_connect_options only_turn = {.plugins = "turn"};
  peers_connect(both, options != NULL ? options : &only_turn);
  if (both->a.connect_status != WARP_OK)
    explain(both);
  assert_int_equal(both->a.connect_status, WARP_OK);
  assert_true(both->a.info.relayed);
  peers_echo(both);
  return (both->a.connected_us - both->a.asked_us) / 1000;
}

static void build(peers *both, const char *a, const char *b, uint64_t seed) {
  peers_build(both, a, b, seed);
  peers_start(both);
}

/* ---- which transport, whose relay ------------------------------------------------------------ */

/* Two round trips for the allocation, one for the message, one for the first flight, which goes
 * there and on from there, two for the rest of the handshake. */
static void test_plain(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric", "symmetric", 1);
  assert_in_range(connect_ms(&both, NULL), 240, 242);
  assert_int_equal(both.a.info.transport, WARP_UDP);
  assert_int_equal(sim_turn_allocations(both.net.turn), 1);
  peers_free(&both);
}

/* A side without UDP goes to the relay by TCP, at once, and the other side needs nothing of the
 * kind. */
static void test_initiator_without_udp(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric+no-udp", "symmetric", 2);
  assert_in_range(connect_ms(&both, NULL), 280, 283);
  assert_int_equal(both.a.info.transport, WARP_TCP);
  assert_int_equal(both.b.info.transport, WARP_UDP);
  assert_int_equal(peer_row(&both.a, "turn", WARP_EXT_BIND)->transport, WARP_TCP);
  assert_int_equal(sim_turn_allocations(both.net.turn), 1);
  peers_free(&both);
}

/* A responder without UDP allocates too, at the same time. */
static void test_sides_without_udp(void **state) {
  (void)state;
  static const char *const a[] = {"symmetric", "symmetric+no-udp"};
  for (size_t i = 0; i < 2; i++) {
    peers both;
    build(&both, a[i], "symmetric+no-udp", 3 + i);
    assert_in_range(connect_ms(&both, NULL), 280, 325);
    assert_int_equal(both.b.info.transport, WARP_TCP);
    assert_int_equal(sim_turn_allocations(both.net.turn), 2);
    peers_free(&both);
  }
}

static void test_transport_asked_for(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric", "symmetric", 5);
  connect_ms(&both, &(warp_connect_options){.plugins = "turn", .transports = WARP_TCP});
  assert_int_equal(both.a.info.transport, WARP_TCP);
  assert_int_equal(both.b.info.transport, WARP_TCP);
  assert_int_equal(both.a.info.kind, WARP_MESSAGES);
  peers_free(&both);
  build(&both, "symmetric+no-udp", "symmetric", 6);
  peers_connect(&both, &(warp_connect_options){.plugins = "turn", .transports = WARP_UDP});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_non_null(strstr(peer_row(&both.a, "turn", WARP_EXT_BIND)->detail, "UDP: timed out"));
  peers_free(&both);
}

/* UDP was measured to work, and then it does not get to the relay any more: TCP half a second
 * later, and for the peer, who cannot come, when nothing came back to it. */
static void test_udp_stops_working(void **state) {
  (void)state;
  static const char *const later[][2] = {{"symmetric+no-udp", "symmetric"},
                                         {"symmetric", "symmetric+no-udp"}};
  for (size_t i = 0; i < 2; i++) {
    peers both;
    build(&both, "symmetric", "symmetric", 7 + i);
    sim_nat nat;
    assert_int_equal(sim_nat_profile(later[i][0], &nat), WARP_OK);
    sim_network_set_nat(both.net.site_a, "192.0.2.2", &nat);
    assert_int_equal(sim_nat_profile(later[i][1], &nat), WARP_OK);
    sim_network_set_nat(both.net.site_b, "192.0.2.130", &nat);
    run(&both, 60 * second); /* brokers are found again */
    uint64_t took_ms = connect_ms(&both, NULL);
    assert_in_range(took_ms, 600, i == 0 ? 900 : 2600);
    assert_int_equal((i == 0 ? &both.a : &both.b)->info.transport, WARP_TCP);
    peers_free(&both);
  }
}

/* Whoever has a relay brings it in. */
static void test_relay_of_the_peer(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 9);
  both.a.conf.turn_servers = none;
  peers_start(&both);
  connect_ms(&both, NULL);
  assert_int_equal(sim_turn_allocations(both.net.turn), 1);
  peers_free(&both);
}

/* The initiator has none and cannot come to the peer's: nothing is left, and that is said at
 * once. */
static void test_no_way(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric+no-udp", "symmetric", 10);
  both.a.conf.turn_servers = none;
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.plugins = "turn"});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(peer_row(&both.a, "turn", WARP_EXT_BIND)->status, WARP_NO_SERVER);
  assert_in_range((sim_now_us(both.net.world) - both.a.asked_us) / 1000, 0, 500);
  peers_free(&both);
}

/* ---- several relays -------------------------------------------------------------------------- */

/* The first one is dead: the second one follows after half a second, and `turn_limit` 1 means that
 * it is not tried. */
static void test_dead_relay_before_a_living_one(void **state) {
  (void)state;
  for (unsigned limit = 1; limit <= 2; limit++) {
    peers both;
    peers_build(&both, "symmetric", "symmetric", 11);
    const char *const two[] = {"user:password@203.0.113.77:3478", both.net.turn_servers[0], NULL};
    both.a.conf.turn_servers = two;
    both.b.conf.turn_servers = none;
    peers_start(&both);
    warp_connect_options options = {.plugins = "turn", .turn_limit = limit};
    if (limit == 2) {
      assert_in_range(connect_ms(&both, &options), 740, 745);
    } else {
      peers_connect(&both, &options);
      assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
      const warp_report_row *row = peer_row(&both.a, "turn", WARP_EXT_BIND);
      assert_non_null(strstr(row->detail, "203.0.113.77:3478 UDP: timed out"));
    }
    peers_free(&both);
  }
}

static void test_text_of_a_relay(void **state) {
  (void)state;
  static const struct {
    const char *query;
    warp_transport transport;
  } texts[] = {{"?transport=udp", WARP_UDP}, {"?transport=tcp", WARP_TCP}};
  for (size_t i = 0; i < 2; i++) {
    peers both;
    char text[128];
    peers_build(&both, "symmetric", "symmetric", 20 + i);
    snprintf(text, sizeof text, "%s%s", both.net.turn_servers[0], texts[i].query);
    const char *const one[] = {text, NULL};
    both.a.conf.turn_servers = one;
    peers_start(&both);
    connect_ms(&both, NULL);
    assert_int_equal(both.a.info.transport, texts[i].transport);
    peers_free(&both);
  }
}

/* ---- how long -------------------------------------------------------------------------------- */

/* Two hours: the allocation is refreshed a dozen times, permissions and channels thirty times, and
 * the server's nonce changes in between. */
static void test_two_hours(void **state) {
  (void)state;
  static const char *const profiles[] = {"symmetric", "symmetric+no-udp"};
  for (size_t i = 0; i < 2; i++) {
    peers both;
    ends at;
    build(&both, profiles[i], profiles[i], 30 + i);
    connect_ms(&both, NULL);
    for (unsigned minute = 0; minute < 120; minute += 4) {
      run(&both, 240 * second);
      if (minute % 40 == 0)
        sim_turn_change_nonce(both.net.turn);
      both.a.inbox_len = both.b.inbox_len = 0;
      peers_echo(&both);
    }
    watch_ends(&both, &at);
    run(&both, 240 * second);
    assert_false(at.a || at.b);
    peers_free(&both);
  }
}

/* The relay forgets the allocation, or is gone: who holds it finds out when it has been silent for
 * 20 s, or at once by TCP, and tells the peer. */
static void test_lost_allocation(void **state) {
  (void)state;
  static const struct {
    const char *a;
    bool back;
    unsigned most_s;
    int status;
  } losses[] = {{"symmetric", true, 30, WARP_REFUSED},
                {"symmetric", false, 35, WARP_TIMEOUT},
                {"symmetric+no-udp", true, 1, WARP_RESET}};
  for (size_t i = 0; i < 3; i++) {
    peers both;
    ends at;
    build(&both, losses[i].a, "symmetric", 40 + i);
    connect_ms(&both, NULL);
    run(&both, 7 * second);
    watch_ends(&both, &at);
    sim_turn_set_up(both.net.turn, false);
    sim_turn_set_up(both.net.turn, losses[i].back);
    run(&both, losses[i].most_s * second);
    assert_true(at.a && at.b);
    assert_int_equal(at.status_a, losses[i].status);
    assert_int_equal(at.status_b, losses[i].status);
    peers_free(&both);
  }
}

/* A relayed pipe that is closed gives the allocation back. */
static void test_given_back(void **state) {
  (void)state;
  static const char *const profiles[] = {"symmetric", "symmetric+no-udp"};
  for (size_t i = 0; i < 2; i++) {
    peers both;
    build(&both, profiles[i], profiles[i], 50 + i);
    connect_ms(&both, NULL);
    warp_pipe_close(both.a.pipe);
    warp_pipe_close(both.b.pipe);
    both.a.pipe = both.b.pipe = NULL;
    run(&both, 5 * second);
    assert_int_equal(sim_turn_allocations(both.net.turn), 0);
    peers_free(&both);
  }
}

/* Lossy ways to the relay, UDP and TCP. */
static void test_loss(void **state) {
  (void)state;
  static const sim_link lossy = {.latency_us = 10000, .jitter_us = 5000, .loss = 0.05};
  static const char *const profiles[] = {"symmetric", "symmetric+no-udp"};
  for (size_t i = 0; i < 10; i++) {
    peers both;
    build(&both, profiles[i % 2], profiles[i / 2 % 2], 60 + i);
    sim_network_set_link(both.net.site_a, &lossy);
    sim_network_set_link(both.net.site_b, &lossy);
    peers_connect(&both, &(warp_connect_options){.plugins = "turn"});
    if (both.a.connect_status != WARP_OK)
      explain(&both);
    assert_int_equal(both.a.connect_status, WARP_OK);
    peers_free(&both);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),
      cmocka_unit_test(test_initiator_without_udp),
      cmocka_unit_test(test_sides_without_udp),
      cmocka_unit_test(test_transport_asked_for),
      cmocka_unit_test(test_udp_stops_working),
      cmocka_unit_test(test_relay_of_the_peer),
      cmocka_unit_test(test_no_way),
      cmocka_unit_test(test_dead_relay_before_a_living_one),
      cmocka_unit_test(test_text_of_a_relay),
      cmocka_unit_test(test_two_hours),
      cmocka_unit_test(test_lost_allocation),
      cmocka_unit_test(test_given_back),
      cmocka_unit_test(test_loss),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
