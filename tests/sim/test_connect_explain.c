/* The whole story of a connect: what the NATs are, and both ends' rows. */
#include "peers.h"
#include "rogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

/* on_explained gets the argument of on_connect, which is the peer of the support library. */
static struct {
  unsigned calls;
  uint64_t at_us;
  warp_report report;
  warp_report_row rows[PEER_ROWS], peer_rows[PEER_ROWS];
} told;

static void on_explained(void *arg, const warp_report *report) {
  const peer *self = arg;
  assert_true(self->connect_done);
  told.calls++;
  told.at_us = sim_now_us(self->world);
  told.report = *report;
  if (report->count > 0)
    memcpy(told.rows, report->rows, report->count * sizeof told.rows[0]);
  if (report->peer_count > 0)
    memcpy(told.peer_rows, report->peer_rows, report->peer_count * sizeof told.peer_rows[0]);
}

static const warp_report_row *peer_says(const char *plugin) {
  for (size_t i = 0; i < told.report.peer_count; i++) {
    if (strcmp(told.peer_rows[i].plugin, plugin) == 0)
      return &told.peer_rows[i];
  }
  return NULL;
}

static const warp_report_row *own_row(unsigned attempt) {
  for (size_t i = 0; i < told.report.count; i++) {
    if (told.rows[i].attempt == attempt)
      return &told.rows[i];
  }
  return NULL;
}

static void connect_and_wait(peers *both, warp_connect_options options) {
  memset(&told, 0, sizeof told);
  both->a.connect_done = false;
  options.on_explained = on_explained;
  peers_connect(both, &options);
  assert_int_equal(told.calls, 0); /* after the connect's own callback */
  assert_int_equal(sim_run_for(both->net.world, 3 * second), WARP_OK);
  assert_int_equal(told.calls, 1);
}

static uint64_t waited_ms(const peers *both) {
  return (told.at_us - both->a.connected_us) / 1000;
}

static void test_won(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "restricted", 1);
  peers_start(&both);
  connect_and_wait(&both, (warp_connect_options){.transports = WARP_UDP});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_in_range(waited_ms(&both), 79, 90); /* a question and an answer through the broker */
  assert_non_null(strstr(told.report.nat_self, "port-restricted (ei/apd"));
  assert_non_null(strstr(told.report.nat_peer, "restricted (ei/ad"));
  assert_non_null(strstr(told.report.nat_peer, "can be punched"));
  const warp_report_row *row = peer_says("udp_punch");
  assert_non_null(row);
  assert_int_equal(row->status, WARP_OK);
  assert_non_null(strstr(row->detail, "won, with"));
  assert_int_equal(own_row(row->attempt)->status, WARP_OK);
  assert_string_equal(own_row(row->attempt)->plugin, "udp_punch");
  peers_free(&both);
}

/* b is believed to be easier than it is: both ends say what they did in vain. */
static void test_failed(void **state) {
  (void)state;
  peers both;
  sim_nat nat;
  peers_build(&both, "port-restricted", "port-restricted", 2);
  peers_start(&both);
  assert_int_equal(sim_nat_profile("symmetric", &nat), WARP_OK);
  sim_network_set_nat(both.net.site_b, "192.0.2.130", &nat);
  assert_int_equal(sim_run_for(both.net.world, 60 * second), WARP_OK);
  connect_and_wait(&both, (warp_connect_options){.plugins = "udp_punch", .timeout_ms = 4000});
  assert_int_equal(both.a.connect_status, WARP_TIMEOUT);
  assert_true(told.report.count > 0);
  const warp_report_row *row = peer_says("udp_punch");
  assert_non_null(row);
  assert_true(row->status != WARP_OK && row->start_ms >= 0 && row->elapsed_ms > 3000);
  assert_true(row->detail[0] != '\0');
  peers_free(&both);
}

/* Nobody to ask: the story ends with this side's rows. */
static void test_peer_that_never_heard(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  peers both;
  peers_build(&both, "open", "open", 3);
  both.a.conf.brokers = none;
  peers_start(&both);
  connect_and_wait(&both, (warp_connect_options){.plugins = "udp_punch"});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_true(waited_ms(&both) <= 1);
  assert_int_equal(told.report.peer_count, 0);
  connect_and_wait(&both, (warp_connect_options){.plugins = "direct_connect"});
  assert_int_equal(told.report.peer_count, 0);
  assert_int_equal(told.report.count, both.a.row_count);
  peers_free(&both);
}

static bool lose_all(void *arg, const char *topic, const uint8_t *data, size_t len) {
  (void)arg;
  (void)topic;
  (void)data;
  (void)len;
  return false;
}

static void test_answer_that_does_not_come(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 4);
  peers_start(&both);
  sim_broker_set_tap(both.net.broker, lose_all, NULL);
  connect_and_wait(&both, (warp_connect_options){.plugins = "direct_connect"});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_in_range(waited_ms(&both), WARP_EXPLAIN_MS, WARP_EXPLAIN_MS + 1);
  assert_int_equal(told.report.peer_count, 0);
  peers_free(&both);
}

static void test_closed_before(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 5);
  peers_start(&both);
  memset(&told, 0, sizeof told);
  peers_connect(&both, &(warp_connect_options){.on_explained = on_explained});
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_free(&both);
  assert_int_equal(told.calls, 0);
}

/* The relay's own story, and why it was needed. */
static void test_relayed(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 6);
  peers_start(&both);
  connect_and_wait(&both, (warp_connect_options){.plugins = "udp_punch,turn"});
  assert_true(both.a.info.relayed);
  assert_non_null(strstr(told.report.nat_self, "has to be guessed"));
  assert_int_equal(peer_says("turn")->status, WARP_OK);
  const warp_report_row *punch = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_int_equal(punch->status, WARP_RULED_OUT);
  peers_free(&both);
}

/* ---- who asks too much ----------------------------------------------------------------------- */

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  (void)report;
  *(warp_pipe **)arg = pipe;
}

static void ask(rogue *evil, unsigned times) {
  wg_message message = {.type = WG_MESSAGE_REPORT, .session = evil->session, .asks = true};
  for (unsigned i = 0; i < times; i++)
    rogue_send(evil, &message);
}

static void test_asked_often(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  warp_pipe *pipe = NULL;
  peers_build(&both, "open", "open", 7);
  peer_start(&both.b);
  assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &pipe), WARP_OK);
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  ask(&evil, 3); /* about what there is not */
  wg_message message = rogue_message(&evil, 1);
  message.type = WG_MESSAGE_INVITE;
  strcpy(message.plugin, "direct_connect");
  message.transport = WARP_TCP;
  rogue_stream *stream = rogue_dial(&evil, &message);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_true(stream->secured);
  ask(&evil, 1); /* before it is over: is answered then */
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_int_equal(evil.got[WG_MESSAGE_REPORT], 0);
  wg_pipe_nominate(stream->pipe);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_non_null(pipe);
  assert_int_equal(evil.got[WG_MESSAGE_REPORT], 1);
  ask(&evil, 10);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_int_equal(evil.got[WG_MESSAGE_REPORT], 2);
  /* Rows that nobody asked for. */
  message = (wg_message){.type = WG_MESSAGE_REPORT, .session = evil.session};
  rogue_send(&evil, &message);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  warp_pipe_close(pipe);
  rogue_close(&evil);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_won),
      cmocka_unit_test(test_failed),
      cmocka_unit_test(test_peer_that_never_heard),
      cmocka_unit_test(test_answer_that_does_not_come),
      cmocka_unit_test(test_closed_before),
      cmocka_unit_test(test_relayed),
      cmocka_unit_test(test_asked_often),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
