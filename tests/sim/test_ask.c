/* Asking a peer for its present record: within a connect whose record is old, and without one. */
#include "connect/connect.h"
#include "node/internal.h"
#include "rogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

static void run(peers *both, uint64_t us) {
  assert_int_equal(sim_run_for(both->net.world, us), WARP_OK);
}

static size_t address(const peer *self, uint8_t record[WARP_RECORD_MAX]) {
  size_t len = WARP_RECORD_MAX;
  assert_int_equal(warp_node_address(self->node, record, &len), WARP_OK);
  return len;
}

static int resolve(peers *both, const uint8_t *record, size_t len, peer_answer *out) {
  *out = (peer_answer){0};
  int status = warp_node_resolve(both->a.node, record, len, on_peer_answer, out);
  if (status == WARP_OK) {
    assert_false(out->done);
    assert_int_equal(sim_run_until_set(both->net.world, &out->done, 70 * second), WARP_OK);
    assert_true((out->status == WARP_OK) == (out->len > 0));
    status = out->status;
  }
  return status;
}

/* b's router gets another outside address, and b's node notices. */
static void move(peers *both, const char *profile) {
  sim_nat nat;
  assert_int_equal(sim_nat_profile(profile, &nat), WARP_OK);
  sim_network_set_nat(both->net.site_b, "192.0.2.140", &nat);
  run(both, 90 * second);
  wg_node_renew(both->b.node); /* what it does by itself now and then */
}

/* ---- within a connect ------------------------------------------------------------------------ */

/* Row of the attempt that asked; NULL when nobody was asked. */
static const warp_report_row *asked(const peers *both) {
  return peer_row(&both->a, "get_addr", WARP_EXT_BIND);
}

static void test_an_old_record_still_leads_there(void **state) {
  (void)state;
  peers both;
  uint8_t old[WARP_RECORD_MAX];
  /* a has to send first, to where b is seen, and that is another address by now. */
  peers_build(&both, "symmetric", "full-cone", 1);
  peers_start(&both);
  size_t len = address(&both.b, old);
  move(&both, "full-cone");
  run(&both, 600 * second);
  peers_connect_to(&both, old, len,
                   &(warp_connect_options){.plugins = "udp_punch", .no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_non_null(asked(&both));
  assert_non_null(strstr(asked(&both)->detail, "newer record"));
  peers_echo(&both);
  peers_free(&both);
}

static void test_a_fresh_one_needs_no_asking(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", 2);
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_null(asked(&both));
  peers_free(&both);
}

/* Nothing is tried with the addresses of an expired one. */
static void test_an_expired_one_is_renewed_first(void **state) {
  (void)state;
  peers both;
  uint8_t old[WARP_RECORD_MAX];
  peers_build(&both, "port-restricted", "port-restricted", 3);
  peers_start(&both);
  size_t len = address(&both.b, old);
  run(&both, (uint64_t)26 * 3600 * second);
  peers_connect_to(&both, old, len, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  const warp_report_row *ask = asked(&both);
  assert_non_null(ask);
  for (size_t i = 0; i < both.a.row_count; i++) {
    const warp_report_row *row = &both.a.rows[i];
    assert_true(row == ask || row->start_ms < 0 || row->start_ms >= ask->elapsed_ms);
  }
  assert_false(both.a.info.relayed);
  peers_echo(&both);
  peers_free(&both);
}

/* The peer cannot be asked: that its record has expired is the reason, whatever else failed. */
static void test_an_expired_one_that_stays(void **state) {
  (void)state;
  peers both;
  uint8_t old[WARP_RECORD_MAX];
  peers_build(&both, "port-restricted", "open", 5);
  peers_start(&both);
  size_t len = address(&both.b, old);
  run(&both, (uint64_t)26 * 3600 * second);
  sim_broker_set_up(both.net.broker, false);
  run(&both, second);
  peers_connect_to(&both, old, len, NULL);
  assert_int_equal(both.a.connect_status, WARP_EXPIRED);
  peers_free(&both);
}

/* The broker is gone: what can be reached without is reached, and nothing waits for the answer. */
static void test_asking_holds_nothing_up(void **state) {
  (void)state;
  peers both;
  uint8_t old[WARP_RECORD_MAX];
  peers_build(&both, "port-restricted", "open", 4);
  peers_start(&both);
  size_t len = address(&both.b, old);
  run(&both, 700 * second);
  sim_broker_set_up(both.net.broker, false);
  run(&both, second);
  peers_connect_to(&both, old, len, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "direct_connect");
  assert_true(both.a.info.connect_ms < 200);
  peers_free(&both);
}

/* Where the peer cannot be dialled, punching begins at once, beside the asking. */
static void test_punching_does_not_wait(void **state) {
  (void)state;
  peers both;
  uint8_t old[WARP_RECORD_MAX];
  peers_build(&both, "port-restricted", "port-restricted", 5);
  peers_start(&both);
  size_t len = address(&both.b, old);
  run(&both, 700 * second);
  peers_connect_to(&both, old, len, &(warp_connect_options){.plugins = "direct_connect,udp_punch"});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_non_null(asked(&both));
  const warp_report_row *row = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_true(row->start_ms >= 0 && row->start_ms < 5);
  peers_free(&both);
}

/* ---- without a connect ----------------------------------------------------------------------- */

static void test_resolving(void **state) {
  (void)state;
  peers both;
  peer_answer got;
  uint8_t old[WARP_RECORD_MAX], now[WARP_RECORD_MAX];
  peers_build(&both, "port-restricted", "symmetric", 5);
  peers_start(&both);
  size_t len = address(&both.b, old);
  assert_int_equal(resolve(&both, old, len, &got), WARP_OK); /* it is the present one */
  assert_int_equal(got.len, len);
  assert_memory_equal(got.record, old, len);
  move(&both, "symmetric");
  size_t now_len = address(&both.b, now);
  assert_int_equal(resolve(&both, old, len, &got), WARP_OK);
  assert_int_equal(got.len, now_len);
  assert_memory_equal(got.record, now, now_len);
  run(&both, 10 * second);
  assert_false(both.b.miss_done); /* that was no connect */
  peers_free(&both);
}

static void test_who_does_not_answer(void **state) {
  (void)state;
  peers both;
  peer_answer got;
  uint8_t record[WARP_RECORD_MAX];
  peers_build(&both, "open", "open", 6);
  peers_start(&both);
  size_t len = address(&both.a, record);
  assert_int_equal(resolve(&both, record, len, &got), WARP_INVALID); /* ourselves */
  len = address(&both.b, record);
  assert_int_equal(resolve(&both, record, len - 1, &got), WARP_MALFORMED);
  assert_int_equal(warp_node_listen(both.b.node, NULL, NULL, NULL), WARP_OK);
  assert_int_equal(resolve(&both, record, len, &got), WARP_REFUSED);
  warp_node_close(both.b.node, NULL, NULL);
  both.b.node = NULL;
  assert_int_equal(resolve(&both, record, len, &got), WARP_TIMEOUT);
  got = (peer_answer){0};
  assert_int_equal(warp_node_resolve(both.a.node, record, len, on_peer_answer, &got), WARP_OK);
  peers_free(&both);
  assert_true(got.done);
  assert_int_equal(got.status, WARP_CANCELED);
}

static void test_without_a_broker(void **state) {
  (void)state;
  peers both;
  peer_answer got;
  uint8_t record[WARP_RECORD_MAX];
  peers_build(&both, "open", "open", 7);
  both.a.conf.sig_pipe_no = 0;
  peers_start(&both);
  size_t len = address(&both.b, record);
  assert_int_equal(resolve(&both, record, len, &got), WARP_NO_SERVER);
  peers_free(&both);
}

/* Both at once: one asks while the other connects to it. Neither takes the other for a crossing
 * connect. */
static void test_asking_who_connects(void **state) {
  (void)state;
  for (unsigned offset_ms = 0; offset_ms <= 100; offset_ms += 20) {
    peers both;
    peer_answer got = {0};
    uint8_t a[WARP_RECORD_MAX], b[WARP_RECORD_MAX];
    peers_build(&both, "port-restricted", "port-restricted", 8 + offset_ms);
    peers_start(&both);
    size_t a_len = address(&both.a, a), b_len = address(&both.b, b);
    peers_begin_connect(&both, b, b_len, NULL);
    run(&both, offset_ms * 1000);
    assert_int_equal(warp_node_resolve(both.b.node, a, a_len, on_peer_answer, &got), WARP_OK);
    peers_await_connect(&both);
    assert_int_equal(both.a.connect_status, WARP_OK);
    assert_int_equal(sim_run_until_set(both.net.world, &got.done, 70 * second), WARP_OK);
    assert_int_equal(got.status, WARP_REFUSED); /* a does not listen */
    peers_echo(&both);
    peers_free(&both);
  }
}

/* ---- hostile --------------------------------------------------------------------------------- */

typedef struct lie {
  int status; /* what comes of it */
  const uint8_t *data;
  size_t len;
} lie;

static void send_record(rogue *evil, const uint8_t *data, size_t len) {
  wg_message message = rogue_message(evil, 0);
  message.type = WG_MESSAGE_PLUGIN;
  message.session = evil->heard;
  message.plugin_type = 2;
  message.data = data;
  message.data_len = len;
  message.record = NULL;
  message.record_len = 0;
  rogue_send(evil, &message);
}

static void test_lies_do_no_harm(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  uint8_t own[WARP_RECORD_MAX], other[WARP_RECORD_MAX], older[WARP_RECORD_MAX],
      noise[WARP_RECORD_MAX];
  peers_build(&both, "open", "open", 20);
  peers_start(&both);
  rogue_open(&evil, &both, &both.a, "192.0.2.200/25");
  memcpy(older, evil.bytes, evil.len);
  size_t older_len = evil.len;
  evil.record.sequence = 9;
  rogue_sign(&evil);
  memset(noise, 0xe7, sizeof noise);
  lie lies[] = {{WARP_UNTRUSTED, own, address(&both.a, own)},
                {WARP_UNTRUSTED, other, address(&both.b, other)},
                {WARP_REPLAY, older, older_len},
                {WARP_MALFORMED, noise, sizeof noise},
                {WARP_MALFORMED, noise, 0},
                {WARP_BAD_SIGNATURE, evil.bytes, evil.len}};
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    peer_answer got = {0};
    bool spoilt = lies[i].data == evil.bytes;
    assert_int_equal(warp_node_resolve(both.a.node, evil.bytes, evil.len, on_peer_answer, &got),
                     WARP_OK);
    run(&both, second);
    assert_false(got.done);
    assert_int_equal(evil.got[WG_MESSAGE_OPEN], i + 1 + (i > 0 ? i : 0));
    evil.bytes[evil.len - 1] ^= spoilt ? 1 : 0;
    send_record(&evil, lies[i].data, lies[i].len);
    send_record(&evil, lies[i].data, lies[i].len); /* and nobody is there any more */
    assert_int_equal(sim_run_until_set(both.net.world, &got.done, 70 * second), WARP_OK);
    assert_int_equal(got.status, lies[i].status);
  }
  rogue_close(&evil);
  peers_free(&both);
}

static void ask(rogue *evil, uint16_t attempt, const char *plugin) {
  wg_message message = rogue_message(evil, attempt);
  snprintf(message.plugin, sizeof message.plugin, "%s", plugin);
  rogue_send(evil, &message);
}

static void test_what_may_be_asked(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  peers_build(&both, "open", "open", 21);
  peers_start(&both);
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  /* A session that only asks takes no technique, and answers once. */
  ask(&evil, 0, "return_addr");
  ask(&evil, 1, "udp_punch");
  ask(&evil, 2, "return_addr");
  run(&both, second / 2);
  assert_int_equal(evil.got[WG_MESSAGE_PLUGIN], 1);
  assert_int_equal(evil.got[WG_MESSAGE_FAIL], 2);
  run(&both, 10 * second);
  assert_int_equal(evil.got[WG_MESSAGE_PLUGIN], 3); /* said again while nothing was heard */
  /* Its other half is not for peers. */
  rogue_new_session(&evil);
  ask(&evil, 1, "get_addr");
  run(&both, second);
  assert_int_equal(evil.got[WG_MESSAGE_FAIL], 4);
  assert_int_equal(evil.status, WARP_UNSUPPORTED);
  run(&both, 20 * second);
  rogue_close(&evil);
  peers_free(&both);
}

/* Many sessions at once, all from one peer: what they cost has a limit, and others are answered. */
static void test_a_flood_is_cut_off(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  peer_answer got;
  uint8_t record[WARP_RECORD_MAX];
  peers_build(&both, "open", "open", 22);
  peers_start(&both);
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  for (unsigned i = 0; i < 1000; i++) {
    rogue_new_session(&evil);
    ask(&evil, 0, "return_addr");
    run(&both, second / 200);
  }
  size_t len = address(&both.b, record);
  assert_int_equal(resolve(&both, record, len, &got), WARP_OK);
  assert_true(evil.got[WG_MESSAGE_PLUGIN] >= WG_SESSIONS_PER_PEER);
  assert_true(evil.got[WG_MESSAGE_PLUGIN] <= 4 * WG_SESSIONS_PER_PEER);
  run(&both, 30 * second);
  rogue_close(&evil);
  peers_free(&both);
}

/* ---- records that come by themselves --------------------------------------------------------- */

/* Who goes by a record with other addresses is sent the present one, once in a session; who goes by
 * the present one, or does not say, is not. */
static void test_told_once(void **state) {
  (void)state;
  static rogue old_timer;
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", 9);
  peers_start(&both);
  rogue_open(&old_timer, &both, &both.b, "192.0.2.200/25");
  static const struct { bool says, is_old; } rows[] = {{false, false}, {true, false}, {true, true}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    rogue_new_session(&old_timer);
    for (uint16_t attempt = 1; attempt <= 3; attempt++) {
      wg_message message = rogue_message(&old_timer, attempt);
      if (rows[i].says)
        message.known = rows[i].is_old ? 1 : old_timer.victim.sequence;
      rogue_send(&old_timer, &message);
    }
    run(&both, second);
    assert_int_equal(old_timer.got[WG_MESSAGE_PLUGIN], rows[i].is_old ? 1 : 0);
    rogue_send_end(&old_timer, WARP_CANCELED);
  }
  rogue_close(&old_timer);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_old_record_still_leads_there),
      cmocka_unit_test(test_a_fresh_one_needs_no_asking),
      cmocka_unit_test(test_an_expired_one_is_renewed_first),
      cmocka_unit_test(test_an_expired_one_that_stays),
      cmocka_unit_test(test_asking_holds_nothing_up),
      cmocka_unit_test(test_punching_does_not_wait),
      cmocka_unit_test(test_resolving),
      cmocka_unit_test(test_who_does_not_answer),
      cmocka_unit_test(test_without_a_broker),
      cmocka_unit_test(test_asking_who_connects),
      cmocka_unit_test(test_lies_do_no_harm),
      cmocka_unit_test(test_what_may_be_asked),
      cmocka_unit_test(test_a_flood_is_cut_off),
      cmocka_unit_test(test_told_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
