/* TCP ports of attempts: who dials whom, how the other side knows what it has, and what strangers
 * may cost. */
#include "port_rig.h"
#include "testing.h"

enum { WAIT_US = 1000000 };

static void run(port_rig *rig, uint64_t us) {
  assert_int_equal(sim_run_for(rig->net.world, us), WARP_OK);
}

static warp_tcp_port *fresh(port_side *side, bool listen) {
  warp_tcp_port *port;
  assert_int_equal(warp_attempt_tcp_port(side->attempt, listen, &port), WARP_OK);
  assert_int_not_equal(warp_tcp_port_number(port), 0);
  return port;
}

static warp_tcp_port *listening(port_side *side) {
  warp_tcp_port *port;
  assert_int_equal(warp_attempt_listen_port(side->attempt, &port), WARP_OK);
  assert_int_equal(warp_tcp_port_number(port), PORT_RIG_LISTEN);
  return port;
}

static int dial(warp_tcp_port *port, const port_side *peer, uint16_t number) {
  warp_addr to = port_side_addr(peer, number);
  return warp_tcp_port_dial(port, &to, port_rig_dialled);
}

/* ---- who dials ------------------------------------------------------------------------------- */

static void test_initiator_dials_the_listener(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  listening(&rig.b);
  warp_tcp_port *port = fresh(&rig.a, false);
  assert_int_equal(dial(port, &rig.b, PORT_RIG_LISTEN), WARP_OK);
  assert_int_equal(dial(port, &rig.b, PORT_RIG_LISTEN), WARP_STATE);
  uint16_t number = warp_tcp_port_number(port);
  port_rig_connected(&rig);
  assert_int_equal(rig.a.dialled, 1);
  assert_int_equal(rig.a.dial_status, WARP_OK);
  assert_int_equal(rig.b.info.remote.port, number);
  assert_string_equal(rig.a.info.plugin, "rig");
  port_rig_close(&rig);
}

/* What arrives at the initiator's listener names its attempt by the preamble. */
static void test_responder_dials_the_listener(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  listening(&rig.a);
  assert_int_equal(dial(listening(&rig.b), &rig.a, PORT_RIG_LISTEN), WARP_OK);
  port_rig_connected(&rig);
  assert_int_equal(rig.a.info.remote.port, PORT_RIG_LISTEN);
  port_rig_close(&rig);
}

static void test_responder_dials_a_fresh_port(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  uint16_t number = warp_tcp_port_number(fresh(&rig.a, true));
  assert_int_equal(dial(fresh(&rig.b, false), &rig.a, number), WARP_OK);
  port_rig_connected(&rig);
  assert_int_equal(rig.b.info.remote.port, number);
  port_rig_close(&rig);
}

static void test_initiator_dials_a_fresh_port(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  uint16_t number = warp_tcp_port_number(fresh(&rig.b, true));
  assert_int_equal(dial(fresh(&rig.a, false), &rig.b, number), WARP_OK);
  port_rig_connected(&rig);
  port_rig_close(&rig);
}

/* One connection that both dialled: neither accepted, and the preamble comes to who does not need
 * it. */
static void test_both_dial(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "port-restricted");
  warp_tcp_port *a = fresh(&rig.a, false), *b = fresh(&rig.b, false);
  warp_addr to_a = port_side_outside(&rig.a, warp_tcp_port_number(a)),
            to_b = port_side_outside(&rig.b, warp_tcp_port_number(b));
  assert_int_equal(warp_tcp_port_dial(a, &to_b, port_rig_dialled), WARP_OK);
  assert_int_equal(warp_tcp_port_dial(b, &to_a, port_rig_dialled), WARP_OK);
  port_rig_connected(&rig);
  assert_int_equal(rig.a.dial_status, WARP_OK);
  assert_int_equal(rig.b.dial_status, WARP_OK);
  assert_int_equal(rig.a.info.remote.port, to_b.port);
  assert_int_equal(rig.b.info.remote.port, to_a.port);
  port_rig_close(&rig);
}

/* Several come up at once: one is nominated, the others are reset on both sides. */
static void test_several_at_once(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  listening(&rig.a);
  listening(&rig.b);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(dial(fresh(&rig.a, false), &rig.b, PORT_RIG_LISTEN), WARP_OK);
    assert_int_equal(dial(fresh(&rig.b, false), &rig.a, PORT_RIG_LISTEN), WARP_OK);
  }
  port_rig_connected(&rig);
  assert_int_equal(rig.a.info.local.port, rig.b.info.remote.port);
  assert_int_equal(rig.b.info.local.port, rig.a.info.remote.port);
  run(&rig, WAIT_US);
  assert_int_equal(sim_host_handles(rig.net.a), 3); /* shared socket, listener and pipe */
  assert_int_equal(sim_host_handles(rig.net.b), 3);
  port_rig_close(&rig);
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* A dial that is refused leaves the attempt alive, and the same address may be dialled again. */
static void test_refused_and_again(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  warp_tcp_port *port = fresh(&rig.a, true);
  warp_tcp_port *kept = fresh(&rig.b, false);
  uint16_t number = warp_tcp_port_number(kept);
  assert_int_equal(dial(port, &rig.b, number), WARP_OK);
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.dialled, 1);
  assert_int_equal(rig.a.dial_status, WARP_CONN_REFUSED); /* kept, but nobody listens */
  assert_true(wg_attempt_alive(rig.a.attempt));
  assert_int_equal(dial(port, &rig.b, number), WARP_OK);
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.dialled, 2);
  assert_int_equal(dial(kept, &rig.a, warp_tcp_port_number(port)), WARP_OK);
  port_rig_connected(&rig);
  port_rig_close(&rig);
}

static void test_abort_and_close(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "port-restricted");
  size_t before = sim_host_handles(rig.net.a);
  warp_tcp_port *port = fresh(&rig.a, true);
  warp_addr to = address("192.0.2.130:20002"), other = address("192.0.2.130:20003");
  assert_int_equal(warp_tcp_port_dial(port, &to, port_rig_dialled), WARP_OK);
  assert_int_equal(warp_tcp_port_dial(port, &other, NULL), WARP_OK);
  warp_tcp_port_abort(port, &to);
  warp_tcp_port_abort(port, &to);
  assert_int_equal(warp_tcp_port_dial(port, &to, port_rig_dialled), WARP_OK);
  run(&rig, WAIT_US);
  warp_tcp_port_close(port);
  assert_int_equal(sim_host_handles(rig.net.a), before);
  run(&rig, 200 * SIM_SECOND);
  assert_int_equal(rig.a.dialled, 0);
  port_rig_close(&rig);
}

/* The attempt ends: its ports go, and nothing of them can be used from `stop` on. */
static void test_attempt_ends(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  warp_tcp_port *port = fresh(&rig.a, true);
  fresh(&rig.a, false);
  assert_int_equal(dial(port, &rig.b, 20009), WARP_OK);
  warp_attempt_fail(rig.a.attempt, WARP_TIMEOUT, "enough");
  warp_tcp_port *none;
  assert_int_equal(warp_attempt_tcp_port(rig.a.attempt, true, &none), WARP_STATE);
  assert_int_equal(warp_attempt_listen_port(rig.a.attempt, &none), WARP_STATE);
  assert_int_equal(sim_host_handles(rig.net.a), 3); /* the node's two sockets, and a timer */
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.dialled, 0);
  port_rig_close(&rig);
}

static void test_what_may_not_be(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  warp_tcp_port *port = listening(&rig.a), *again;
  assert_int_equal(warp_attempt_listen_port(rig.a.attempt, &again), WARP_STATE);
  warp_addr loopback = address("127.0.0.1:20001"), lan = address("192.168.1.1:20001"),
            six = address("[2001:db8::1]:20001");
  assert_int_equal(warp_tcp_port_dial(port, &loopback, NULL), WARP_UNTRUSTED);
  assert_int_equal(warp_tcp_port_dial(port, &lan, NULL), WARP_UNTRUSTED);
  assert_int_equal(warp_tcp_port_dial(port, &six, NULL), WARP_UNTRUSTED);
  port_rig_close(&rig);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void test_measure(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "full-cone");
  warp_tcp_port *port = fresh(&rig.a, true);
  warp_addr server = address("203.0.113.10:3478");
  assert_int_equal(warp_tcp_port_measure(port, &server, port_rig_measured), WARP_OK);
  assert_int_equal(warp_tcp_port_measure(port, &server, port_rig_measured), WARP_STATE);
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.measured, 1);
  assert_int_equal(rig.a.measure_status, WARP_OK);
  assert_int_equal(rig.a.external.port, warp_tcp_port_number(port));
  /* The mapping is kept by the connection, and open to the peer. */
  assert_int_equal(sim_network_mappings(rig.net.site_a), 1);
  assert_int_equal(warp_tcp_port_dial(fresh(&rig.b, false), &rig.a.external, NULL), WARP_OK);
  port_rig_connected(&rig);
  port_rig_close(&rig);
}

static void test_measure_by_a_dead_server(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  sim_stun_set_up(rig.net.stun, false);
  warp_tcp_port *port = fresh(&rig.a, false);
  warp_addr server = address("203.0.113.10:3478");
  assert_int_equal(warp_tcp_port_measure(port, &server, port_rig_measured), WARP_OK);
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.measure_status, WARP_CONN_REFUSED);
  sim_stun_set_up(rig.net.stun, true);
  assert_int_equal(warp_tcp_port_measure(port, &server, port_rig_measured), WARP_OK);
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.measured, 2);
  assert_int_equal(rig.a.measure_status, WARP_OK);
  assert_int_equal(rig.a.external.port, warp_tcp_port_number(port));
  port_rig_close(&rig);
}

/* ---- strangers ------------------------------------------------------------------------------- */

typedef struct stranger {
  wg_env *env;
  wg_tcp *tcp;
  uint8_t say[64];
  size_t say_len, heard;
  bool one_by_one; /* a byte at a time */
  int end_status;
  bool ended;
  wg_timer timer;
} stranger;

static void speak(void *arg) {
  stranger *self = arg;
  size_t len = self->one_by_one && self->say_len > 0 ? 1 : self->say_len;
  if (len == 0 || self->ended)
    return;
  (void)self->env->ops->tcp_send(self->tcp, self->say, len);
  memmove(self->say, self->say + len, self->say_len -= len);
  wg_timer_start(self->env, &self->timer, 10 * SIM_MS, speak, self);
}

static void stranger_open(void *arg, int status) {
  assert_int_equal(status, WARP_OK);
  speak(arg);
}

static void stranger_data(void *arg, const uint8_t *data, size_t len) {
  (void)data;
  ((stranger *)arg)->heard += len;
}

static void stranger_end(void *arg, int status) {
  stranger *self = arg;
  self->ended = true;
  self->end_status = status;
}

static void stranger_dial(stranger *self, sim_host *host, const port_side *victim) {
  static const wg_tcp_handlers handlers = {
      .on_open = stranger_open, .on_data = stranger_data, .on_end = stranger_end};
  self->env = sim_host_env(host);
  warp_addr to = port_side_addr(victim, PORT_RIG_LISTEN);
  assert_int_equal(
      self->env->ops->tcp_connect(self->env, NULL, &to, 0, &handlers, self, &self->tcp), WARP_OK);
}

static void stranger_close(stranger *self) {
  wg_timer_stop(self->env, &self->timer);
  self->env->ops->tcp_reset(self->tcp);
}

static void say_preamble(stranger *self, const uint8_t tag[WG_TAG_LEN]) {
  wg_preamble_write(self->say, tag);
  self->say_len = WG_PREAMBLE_LEN;
}

static void test_wrong_preambles(void **state) {
  (void)state;
  static const uint8_t wrong[WG_TAG_LEN] = {1, 2, 3};
  port_rig rig;
  port_rig_open(&rig, "open");
  listening(&rig.a);
  stranger tag = {0}, version = {0}, probe = {0}, outgoing = {0}, one = {.one_by_one = true};
  stranger *all[] = {&tag, &version, &probe, &outgoing, &one};
  say_preamble(&tag, wrong);
  say_preamble(&version, rig.a.attempt->stream_tag_in);
  version.say[2]++;
  say_preamble(&probe, rig.a.attempt->stream_tag_in);
  probe.say[3] = WG_PACKET_PROBE;
  say_preamble(&outgoing, rig.a.attempt->stream_tag_out);
  say_preamble(&one, wrong);
  for (size_t i = 0; i < 5; i++)
    stranger_dial(all[i], rig.net.b, &rig.a);
  run(&rig, WAIT_US);
  for (size_t i = 0; i < 5; i++) {
    assert_true(all[i]->ended);
    assert_int_equal(all[i]->end_status, WARP_RESET);
    assert_int_equal(all[i]->heard, 0);
    stranger_close(all[i]);
  }
  assert_true(wg_attempt_alive(rig.a.attempt));
  assert_int_equal(rig.a.connect->inbound_count, 0);
  port_rig_close(&rig);
}

/* Half a preamble, or nothing, is given the time of a handshake. */
static void test_silence(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  stranger half = {0}, nothing = {0};
  say_preamble(&half, rig.a.attempt->stream_tag_in);
  half.say_len = WG_PREAMBLE_LEN - 1;
  stranger_dial(&half, rig.net.b, &rig.a);
  stranger_dial(&nothing, rig.net.b, &rig.a);
  run(&rig, 9 * SIM_SECOND);
  assert_false(half.ended || nothing.ended);
  assert_int_equal(rig.a.connect->inbound_count, 2);
  run(&rig, 2 * SIM_SECOND);
  assert_true(half.ended && nothing.ended);
  assert_int_equal(rig.a.connect->inbound_count, 0);
  stranger_close(&half);
  stranger_close(&nothing);
  port_rig_close(&rig);
}

/* The right tag a byte at a time, seen on the wire by somebody: he gets a ClientHello and no
 * further, and the true peer still comes through. So does it when he takes all the room. */
static void test_copied_preambles(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  listening(&rig.a);
  static stranger copies[WG_STREAMS_PUNCHED + 2];
  memset(copies, 0, sizeof copies);
  for (size_t i = 0; i < WG_STREAMS_PUNCHED + 2; i++) {
    say_preamble(&copies[i], rig.a.attempt->stream_tag_in);
    memcpy(copies[i].say + WG_PREAMBLE_LEN, "no tls at all", 13);
    copies[i].say_len += 13;
    copies[i].one_by_one = i == 0;
    stranger_dial(&copies[i], rig.net.b, &rig.a);
  }
  run(&rig, WAIT_US);
  for (size_t i = 0; i < WG_STREAMS_PUNCHED + 2; i++) {
    assert_true(copies[i].ended);
    stranger_close(&copies[i]);
  }
  assert_true(copies[0].heard > 0);
  assert_true(wg_attempt_alive(rig.a.attempt));
  assert_int_equal(dial(fresh(&rig.b, false), &rig.a, PORT_RIG_LISTEN), WARP_OK);
  port_rig_connected(&rig);
  port_rig_close(&rig);
}

/* What a stranger at the other end says first. */
static void say_first(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers handlers = {.on_data = stranger_data, .on_end = stranger_end};
  (void)from;
  stranger *self = arg;
  self->tcp = tcp;
  self->env->ops->tcp_set_handlers(tcp, &handlers, self);
  speak(self);
}

static void check_wrong_answer(const uint8_t *bytes, size_t len, bool one_by_one) {
  port_rig rig;
  port_rig_open(&rig, "open");
  stranger server = {.env = sim_host_env(rig.net.b), .say_len = len, .one_by_one = one_by_one};
  memcpy(server.say, bytes, len);
  warp_addr local = port_side_addr(&rig.b, 20005);
  wg_tcp_listener *listener;
  assert_int_equal(
      server.env->ops->tcp_listen(server.env, &local, 0, say_first, &server, &listener), WARP_OK);
  assert_int_equal(dial(fresh(&rig.a, false), &rig.b, 20005), WARP_OK);
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.dial_status, WARP_OK);
  assert_true(server.ended);
  assert_true(server.heard > 0); /* the initiator's hello goes out at once */
  assert_true(wg_attempt_alive(rig.a.attempt));
  assert_true(wg_list_empty(&rig.a.attempt->candidates));
  stranger_close(&server);
  server.env->ops->tcp_listener_close(listener);
  /* The true one still comes through. */
  listening(&rig.b);
  assert_int_equal(dial(fresh(&rig.a, false), &rig.b, PORT_RIG_LISTEN), WARP_OK);
  port_rig_connected(&rig);
  port_rig_close(&rig);
}

/* The initiator dialled, and what answers is not the peer. */
static void test_wrong_answers(void **state) {
  (void)state;
  static const uint8_t tag[WG_TAG_LEN] = {9, 8, 7};
  uint8_t preamble[WG_PREAMBLE_LEN];
  wg_preamble_write(preamble, tag);
  check_wrong_answer(preamble, sizeof preamble, false);
  check_wrong_answer(preamble, sizeof preamble, true);
  preamble[3] = WG_PACKET_CARRY;
  check_wrong_answer(preamble, sizeof preamble, false);
  check_wrong_answer((const uint8_t *)"SSH-2.0-x\r\n", 11, false);
}

/* The peer's node has no attempt that punches: its listener takes no such hello. */
static void test_peer_that_does_not_punch(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  assert_int_equal(dial(fresh(&rig.a, false), &rig.b, PORT_RIG_LISTEN), WARP_OK);
  run(&rig, WAIT_US);
  assert_int_equal(rig.a.dial_status, WARP_OK);
  assert_true(wg_attempt_alive(rig.a.attempt));
  assert_true(wg_list_empty(&rig.a.attempt->candidates));
  assert_int_equal(rig.b.connect->inbound_count, 0);
  port_rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_initiator_dials_the_listener),
      cmocka_unit_test(test_responder_dials_the_listener),
      cmocka_unit_test(test_responder_dials_a_fresh_port),
      cmocka_unit_test(test_initiator_dials_a_fresh_port),
      cmocka_unit_test(test_both_dial),
      cmocka_unit_test(test_several_at_once),
      cmocka_unit_test(test_refused_and_again),
      cmocka_unit_test(test_abort_and_close),
      cmocka_unit_test(test_attempt_ends),
      cmocka_unit_test(test_what_may_not_be),
      cmocka_unit_test(test_measure),
      cmocka_unit_test(test_measure_by_a_dead_server),
      cmocka_unit_test(test_wrong_preambles),
      cmocka_unit_test(test_silence),
      cmocka_unit_test(test_copied_preambles),
      cmocka_unit_test(test_wrong_answers),
      cmocka_unit_test(test_peer_that_does_not_punch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
