/* Connects whose peer stops in the middle: a relay that was ready and is gone, a listener that no
 * longer listens, packets that come after the end. */
#include "peers.h"

#include "connect/session.h"
#include "node/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

static void run(peers *both, uint64_t us) {
  assert_int_equal(sim_run_for(both->net.world, us), WARP_OK);
}

/* ---- nodes that misbehave -------------------------------------------------------------------- */

static wg_session *session_of(const peer *self) {
  wg_list *sessions = &self->node->connect->sessions;
  assert_false(wg_list_empty(sessions));
  return WG_CONTAINER(sessions->next, wg_session, link);
}

static warp_attempt *attempt_of(const wg_session *session, const char *plugin) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    if (strcmp(session->attempts[i]->plugin->name, plugin) == 0)
      return session->attempts[i];
  }
  return NULL;
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)report;
  peer *self = arg;
  self->connect_done = true;
  self->connect_status = status;
  self->pipe = pipe;
  self->connected_us = sim_now_us(self->world);
}

/* b is believed to be punchable and is not, so that a's relay waits for the grace. */
static void start_with_lie(peers *both, uint32_t grace_ms) {
  peers_build(both, "port-restricted", "port-restricted", 4);
  peers_start(both);
  sim_nat nat;
  assert_int_equal(sim_nat_profile("symmetric", &nat), WARP_OK);
  sim_network_set_nat(both->net.site_b, "192.0.2.130", &nat);
  run(both, 60 * second);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both->b.node, record, &len), WARP_OK);
  both->a.asked_us = sim_now_us(both->net.world);
  assert_int_equal(warp_auto_connect(both->a.node, record, len,
                                     &(warp_connect_options){.grace_ms = grace_ms}, on_connect,
                                     &both->a),
                   WARP_OK);
}

/* A relay that is ready, and then the peer says that its side of it failed: what waited is gone. */
static void test_ready_relay_is_taken_away(void **state) {
  (void)state;
  peers both;
  start_with_lie(&both, 5000);
  run(&both, 3 * second);
  assert_non_null(wg_session_relay(session_of(&both.a)));
  wg_session *session = session_of(&both.b);
  warp_attempt *turn = attempt_of(session, "turn");
  wg_message message = {
      .type = WG_MESSAGE_FAIL, .session = session->id, .attempt = turn->number, .status = WARP_IO};
  assert_int_equal(wg_router_send(both.b.node->router, &session->peer_record, &message), WARP_OK);
  run(&both, 10 * second);
  assert_false(both.a.connect_done);
  assert_null(wg_session_relay(session_of(&both.a)));
  assert_int_equal(sim_run_until_set(both.net.world, &both.a.connect_done, 60 * second), WARP_OK);
  assert_int_equal(both.a.connect_status, WARP_TIMEOUT);
  peers_free(&both);
}

/* The program stops listening while a peer's connect is on its way. */
static void test_nobody_listens_any_more(void **state) {
  (void)state;
  static const char *const profiles[] = {"open", "port-restricted"};
  for (size_t i = 0; i < 2; i++) {
    peers both;
    peers_build(&both, "port-restricted", profiles[i], 9);
    peers_start(&both);
    uint8_t record[WARP_RECORD_MAX];
    size_t len = sizeof record;
    assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
    assert_int_equal(warp_auto_connect(both.a.node, record, len, NULL, on_connect, &both.a),
                     WARP_OK);
    while (wg_list_empty(&both.b.node->connect->sessions))
      run(&both, 1000);
    assert_int_equal(warp_node_listen(both.b.node, NULL, NULL, NULL), WARP_OK);
    run(&both, 10 * second);
    assert_true(both.a.connect_done);
    assert_false(both.b.pipe_done);
    if (both.a.connect_status == WARP_OK) {
      assert_int_equal(warp_pipe_send(both.a.pipe, "x", 1), WARP_CLOSED);
      warp_pipe_close(both.a.pipe);
      both.a.pipe = NULL;
    }
    peers_free(&both);
  }
}

/* ---- packets that come after the end --------------------------------------------------------- */

static void ended(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  (void)status;
  *(bool *)arg = true;
}

static void nothing_received(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)arg;
  (void)data;
  (void)len;
  (void)from;
}

/* The peer ended a relayed pipe, ours is not closed yet: the relay goes on handing us what comes.
 */
static void test_relayed_packets_after_the_end(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 10);
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_echo(&both);
  bool done = false;
  warp_pipe_set_handlers(both.a.pipe, &(warp_pipe_handlers){.on_end = ended, .arg = &done});
  warp_addr relayed = both.b.info.remote;
  warp_pipe_close(both.b.pipe);
  both.b.pipe = NULL;
  assert_int_equal(sim_run_until_set(both.net.world, &done, 10 * second), WARP_OK);
  wg_env *env = sim_host_env(both.b.host);
  warp_addr any = {.family = WARP_IP4};
  wg_udp *udp;
  assert_int_equal(env->ops->udp_open(env, &any, 0, nothing_received, NULL, &udp), WARP_OK);
  uint8_t probe[WG_PROBE_LEN];
  static const uint8_t tag[WG_TAG_LEN] = {1};
  wg_probe_encode(probe, tag, 1, 0);
  assert_int_equal(env->ops->udp_send(udp, &relayed, probe, sizeof probe), WARP_OK);
  run(&both, second);
  env->ops->udp_close(udp);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ready_relay_is_taken_away),
      cmocka_unit_test(test_nobody_listens_any_more),
      cmocka_unit_test(test_relayed_packets_after_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
