/* tcp_punch where something is in its way: ports that are taken, counters that others move, packets
 * that are lost, clocks that are wrong, a peer that is gone. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const warp_connect_options only_punch = {
    .plugins = "tcp_punch", .transports = WARP_TCP, .no_relay = true};

static unsigned took_ms(const peers *both) {
  return (unsigned)((both->a.connected_us - both->a.asked_us) / 1000);
}

static void assert_connected(const peers *both) {
  if (both->a.connect_status == WARP_OK)
    return;
  for (size_t i = 0; i < both->a.row_count; i++)
    print_error("%s: %s\n", both->a.rows[i].plugin, both->a.rows[i].detail);
  fail_msg("%s", warp_strerror(both->a.connect_status));
}

/* A pipe between the two listen ports is up: a second one must leave from others. */
static void test_port_taken(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "ei-apd", "ei-apd", 1);
  peers_start(&both);
  peers_connect(&both, &only_punch);
  assert_connected(&both);
  unsigned first_ms = took_ms(&both);
  warp_pipe *first = both.a.pipe;
  warp_addr first_port = both.a.info.remote;
  both.a.connect_done = both.b.pipe_done = false;
  peers_connect(&both, &only_punch);
  assert_connected(&both);
  assert_int_not_equal(both.a.info.remote.port, first_port.port);
  /* Two round trips to a STUN server, and the ports have to be told. */
  assert_in_range(took_ms(&both), first_ms + 80, first_ms + 240);
  peers_echo(&both);
  warp_pipe_close(first);
  peers_free(&both);
}

/* Between measuring and dialling others behind both NATs take ports of the counters. */
typedef struct crowd {
  sim_host *hosts[2];
  wg_tcp *flows[64];
  size_t count;
} crowd;

static void on_open(void *arg, int status) {
  (void)arg;
  (void)status;
}

static const wg_tcp_handlers ignored = {.on_open = on_open};

static void open_flow(crowd *self, sim_host *host) {
  warp_addr to;
  assert_int_equal(warp_addr_parse("203.0.113.10:9", &to), WARP_OK);
  to.port = (uint16_t)(10000 + self->count);
  wg_env *env = sim_host_env(host);
  assert_int_equal(
      env->ops->tcp_connect(env, NULL, &to, 0, &ignored, self, &self->flows[self->count++]),
      WARP_OK);
}

static void check_crowd(const char *a, const char *b) {
  peers both;
  crowd others = {.count = 0};
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  peers_build(&both, a, b, 7);
  others.hosts[0] = sim_host_new(both.net.site_a, "other a", "10.0.1.9/24");
  others.hosts[1] = sim_host_new(both.net.site_b, "other b", "10.0.2.9/24");
  peers_start(&both);
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  /* The exchange takes about 160 ms: four flows each while it lasts, one every 40 ms. */
  both.a.asked_us = sim_now_us(both.net.world);
  peers_begin_connect(&both, record, len, &only_punch);
  for (size_t i = 0; i < 8; i++) {
    open_flow(&others, others.hosts[i % 2]);
    assert_int_equal(sim_run_for(both.net.world, 20 * SIM_MS), WARP_OK);
  }
  peers_await_connect(&both);
  assert_connected(&both);
  peers_echo(&both);
  for (size_t i = 0; i < others.count; i++)
    sim_host_env(others.hosts[i % 2])->ops->tcp_reset(others.flows[i]);
  peers_free(&both);
}

static void test_counters_move(void **state) {
  (void)state;
  static const char *const hard[] = {"ei-apd+sequential", "ad-ad+sequential", "ad-apd+sequential",
                                     "apd-ad+sequential", "apd-apd+sequential"};
  enum { COUNT = sizeof hard / sizeof hard[0] };
  for (size_t i = 0; i < COUNT * COUNT; i++) {
    if (i != 0) /* both ei: nothing to count */
      check_crowd(hard[i / COUNT], hard[i % COUNT]);
  }
}

/* Whatever a clock says, it only moves the moment of dialling. */
static void test_wrong_clock(void **state) {
  (void)state;
  static const int64_t skews_ms[] = {-3000, -150, 150, 3000};
  for (size_t i = 0; i < sizeof skews_ms / sizeof skews_ms[0]; i++) {
    peers both;
    peers_build(&both, "apd-apd+sequential+reset", "apd-apd+sequential+reset", 20 + i);
    peers_start(&both);
    sim_host_set_clock_skew_ms(both.net.b, skews_ms[i]);
    peers_connect(&both, &only_punch);
    assert_connected(&both);
    peers_echo(&both);
    peers_free(&both);
  }
}

/* Lost SYNs are the kernel's to repeat; lost messages, and measurements, cost a round. */
static void test_loss(void **state) {
  (void)state;
  static const char *const cells[] = {"ei-apd", "apd-apd+sequential", "ad-apd+preserving"};
  for (size_t i = 0; i < 30; i++) {
    peers both;
    const char *cell = cells[i % 3];
    peers_build(&both, cell, cell, 300 + i);
    peers_start(&both);
    const sim_link bad = {.latency_us = 10000, .jitter_us = 5000, .loss = 0.05};
    sim_network_set_link(both.net.site_a, &bad);
    sim_network_set_link(both.net.site_b, &bad);
    peers_connect(&both, &only_punch);
    assert_connected(&both);
    peers_echo(&both);
    peers_free(&both);
  }
}

/* The peer's NAT was restarted since the record was made. As long as the peer has not noticed,
 * nothing comes of its listen port's old address, but fresh ports are told by message; when it has,
 * it says so at once. */
static void mapping_is_gone(uint64_t since_s, uint64_t least_ms, uint64_t most_ms) {
  peers both;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  peers_build(&both, "ei-apd", "ei-apd", 40);
  peers_start(&both);
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  sim_network_reboot_nat(both.net.site_b);
  assert_int_equal(sim_run_for(both.net.world, since_s * SIM_SECOND), WARP_OK);
  peers_connect_to(&both, record, len, &only_punch);
  assert_connected(&both);
  assert_in_range(took_ms(&both), least_ms, most_ms);
  peers_echo(&both);
  peers_free(&both);
}

static void test_mapping_is_gone(void **state) {
  (void)state;
  mapping_is_gone(15, 5000, 5400); /* b has found its broker again */
  mapping_is_gone(90, 0, 400);
}

static void test_peer_is_gone(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "ei-apd", "ei-apd+reset", 41);
  peers_start(&both);
  sim_network_set_up(both.net.site_b, false);
  peers_connect(&both, &only_punch);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "tcp_punch", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_TIMEOUT);
  assert_non_null(strstr(row->detail, "plain: "));
  sim_network_set_up(both.net.site_b, true);
  peers_free(&both);
}

static void test_ruled_out(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "port-restricted", 42);
  peers_start(&both);
  peers_connect(&both, &only_punch);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "tcp_punch", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_RULED_OUT);
  assert_non_null(strstr(row->detail, "guess"));
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_port_taken),      cmocka_unit_test(test_counters_move),
      cmocka_unit_test(test_wrong_clock),     cmocka_unit_test(test_loss),
      cmocka_unit_test(test_mapping_is_gone), cmocka_unit_test(test_peer_is_gone),
      cmocka_unit_test(test_ruled_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
