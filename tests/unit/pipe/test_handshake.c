/* Who becomes a pipe, and who does not: both kinds, over a perfect wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "pipe/pipe_internal.h"
#include "pipe/secure_internal.h"
#include "pipe_rig.h"

static const warp_pipe_kind kinds[] = {WARP_STREAM, WARP_MESSAGES};

static void exchange(pipe_rig *rig) {
  assert_int_equal(warp_pipe_send(rig->client.pipe, "ping", 4), WARP_OK);
  assert_int_equal(warp_pipe_send(rig->server.pipe, "pong!", 5), WARP_OK);
  rig_run(rig, 100);
  assert_int_equal(rig->server.received.len, 4);
  assert_memory_equal(wg_queue_front(&rig->server.received), "ping", 4);
  assert_int_equal(rig->client.received.len, 5);
  assert_memory_equal(wg_queue_front(&rig->client.received), "pong!", 5);
}

static void connects_and_tells_who_is_there(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig_connect(&rig, RIG_HELLO_LEN);
    exchange(&rig);
    const warp_pipe_info *info = &rig.client.info;
    assert_int_equal(info->kind, kinds[i]);
    assert_string_equal(info->plugin, "rig");
    assert_int_equal(info->remote.ip[3], 2);
    assert_true(wg_key_equal(&info->peer, wg_identity_key(rig.server.identity)));
    assert_true(wg_key_equal(&rig.server.info.peer, wg_identity_key(rig.client.identity)));
    rig_free(&rig);
  }
}

/* Round trips are what a connect is made of; 20 ms each way. */
static void takes_no_more_round_trips_than_the_protocol(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig_connect(&rig, RIG_HELLO_LEN);
  assert_in_range(rig.client.secured_us, 1040000, 1045000);
  assert_in_range(rig.server.secured_us, 1060000, 1065000);
  rig_run(&rig, 1000);
  assert_int_equal(rig.server.out.sent, 1); /* its flight, and no tickets after it */
  rig_free(&rig);
  rig_init(&rig, WARP_MESSAGES);
  rig_connect(&rig, RIG_HELLO_LEN);
  assert_int_equal(rig.server.secured_us, 1060000);
  assert_int_equal(rig.client.secured_us, 1080000);
  /* Three datagrams of the client: hello, its last flight, the nomination. */
  assert_int_equal(rig.client.out.sent, 3);
  assert_in_range(rig.client.out.largest, 300, WG_DTLS_MTU);
  assert_in_range(rig.server.out.largest, 300, WG_DTLS_MTU);
  rig_free(&rig);
}

/* What repeating flights byte for byte rests on (secure.h): those with a ChangeCipherSpec, the
 * client's second and the server's second, are one datagram each. */
static void last_flights_are_one_datagram(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.client.nominate = false;
  rig_open(&rig, WG_HELLO_MAX);
  rig_run(&rig, 150);
  assert_int_equal(rig.client.secured, 1);
  assert_int_equal(rig.client.out.sent, 3 + 1); /* the largest hello takes three */
  assert_int_equal(rig.server.out.sent, 1 + 1);
  assert_in_range(rig.client.out.captured_len[3], 400, WG_DTLS_MTU * 3 / 4);
  assert_int_equal(rig.server.out.captured[1][0], 20);
  rig_free(&rig);
}

/* What keeps OpenSSL from acting on its own. */
static void nothing_happens_unasked(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig_open(&rig, RIG_HELLO_LEN);
  struct timeval left;
  assert_int_equal(DTLSv1_get_timeout(rig.client.pipe->secure->ssl, &left), 1);
  assert_in_range(left.tv_sec, 3500, 3600); /* its timer is not the one that repeats flights */
  rig_run(&rig, 500);
  assert_int_equal(SSL_renegotiate(rig.client.pipe->secure->ssl), 0);
  rig_free(&rig);
}

static void hello_arrives_intact(void **state) {
  (void)state;
  static const size_t lengths[] = {1, RIG_HELLO_LEN, 1000, 3000, WG_HELLO_MAX};
  for (int i = 0; i < 2; i++) {
    for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
      pipe_rig rig;
      rig_init(&rig, kinds[i]);
      rig_connect(&rig, lengths[j]);
      assert_int_equal(rig.server.hellos, 1);
      assert_int_equal(rig.server.hello_len, lengths[j]);
      for (size_t k = 0; k < lengths[j]; k++) {
        assert_int_equal(rig.server.hello[k], (uint8_t)(k * 7 + k / 256));
      }
      assert_in_range(rig.client.out.largest, 0, WG_DTLS_MTU);
      exchange(&rig);
      rig_free(&rig);
    }
  }
}

static void server_may_be_the_initiator(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig.client.nominate = false;
    rig.server.nominate = true;
    rig_connect(&rig, RIG_HELLO_LEN);
    assert_int_equal(rig.client.nominated, 1);
    exchange(&rig);
    rig_free(&rig);
  }
}

static void become_initiator(rig_end *end) {
  wg_pipe_set_initiator(end->pipe, true);
}

static void server_may_learn_from_the_hello_that_it_is(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig.client.nominate = false;
  rig.server.on_hello = become_initiator;
  rig_open(&rig, RIG_HELLO_LEN);
  rig.server.nominate = true; /* told too late for the options */
  assert_true(rig_run_until(&rig, &rig.client.nominated, 1000));
  exchange(&rig);
  rig_free(&rig);
}

static unsigned secured_elsewhere;
static void secured_in_session(void *arg, warp_pipe *pipe) {
  assert_non_null(pipe);
  secured_elsewhere += *(const unsigned *)arg;
}
static void move_to_session(rig_end *end) {
  static unsigned weight = 3;
  wg_pipe_callbacks callbacks = {.on_secured = secured_in_session};
  wg_pipe_set_callbacks(end->pipe, &callbacks, &weight);
}

static void hello_decides_whose_pipe_it_is(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig.server.on_hello = move_to_session;
  secured_elsewhere = 0;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 200);
  assert_int_equal(secured_elsewhere, 3);
  assert_int_equal(rig.server.secured, 0);
  rig_free(&rig);
}

static void server_may_know_the_key_before(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig_open_end(&rig, &rig.server, wg_identity_key(rig.client.identity), 0);
    rig_open_end(&rig, &rig.client, wg_identity_key(rig.server.identity), RIG_HELLO_LEN);
    assert_true(rig_run_until(&rig, &rig.server.nominated, 1000));
    rig_free(&rig);
  }
}

/* ---- wrong keys ------------------------------------------------------------------------------ */

static void server_with_another_key_is_no_pipe(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig_open_end(&rig, &rig.server, NULL, 0);
    rig_open_end(&rig, &rig.client, wg_identity_key(rig.client.identity), RIG_HELLO_LEN);
    rig_run(&rig, 5000);
    assert_int_equal(rig.client.secured + rig.server.secured, 0);
    assert_int_equal(rig.client.failed, 1);
    assert_int_equal(rig.client.fail_status, WARP_UNTRUSTED);
    assert_string_equal(rig.client.detail, "the peer proved another key");
    assert_int_equal(rig.server.failed, 1);
    assert_int_equal(rig.server.fail_status, WARP_UNTRUSTED);
    assert_string_equal(rig.server.detail, "the peer expected another key than ours");
    rig_free(&rig);
  }
}

/* Over TLS 1.3 the client has finished when the server sees its key: the end comes afterwards. */
static void client_with_another_key_is_no_pipe(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i / 2]);
    rig.client.nominate = i % 2 == 1;
    rig.server.hello_expects = *wg_identity_key(rig.server.identity);
    rig_open(&rig, RIG_HELLO_LEN);
    rig_run(&rig, 5000);
    assert_int_equal(rig.server.secured + rig.server.nominated, 0);
    assert_int_equal(rig.server.failed, 1);
    assert_int_equal(rig.server.fail_status, WARP_UNTRUSTED);
    assert_string_equal(rig.server.detail, "the peer proved another key");
    if (rig.client.ended > 0) {
      assert_int_equal(rig.kind, WARP_STREAM);
      assert_int_equal(rig.client.end_status, WARP_UNTRUSTED);
    } else {
      assert_int_equal(rig.client.failed, 1);
      assert_int_equal(rig.client.fail_status, WARP_UNTRUSTED);
      assert_string_equal(rig.client.detail, "the peer expected another key than ours");
    }
    rig_free(&rig);
  }
}

/* A key that differs in the sign of y only is another key. */
static void mirrored_key_is_another_key(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  warp_key mirrored = *wg_identity_key(rig.server.identity);
  mirrored.bytes[0] ^= 1;
  rig_open_end(&rig, &rig.server, NULL, 0);
  rig_open_end(&rig, &rig.client, &mirrored, RIG_HELLO_LEN);
  rig_run(&rig, 1000);
  assert_int_equal(rig.client.fail_status, WARP_UNTRUSTED);
  rig_free(&rig);
}

/* ---- hellos that are refused ----------------------------------------------------------------- */

static void refused(int answer, int at_client, const char *detail) {
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig.server.hello_answer = answer;
    rig_open(&rig, RIG_HELLO_LEN);
    rig_run(&rig, 5000);
    assert_int_equal(rig.client.secured + rig.server.secured, 0);
    assert_int_equal(rig.server.hellos, 1);
    assert_int_equal(rig.server.fail_status, answer);
    assert_int_equal(rig.client.failed, 1);
    assert_int_equal(rig.client.fail_status, at_client);
    assert_string_equal(rig.client.detail, detail);
    assert_int_equal(rig.server.out.sent, 1); /* the alert alone, nothing of a flight */
    assert_in_range(rig.server.out.captured_len[0], 1, 20);
    rig_free(&rig);
  }
}

static void refusals_are_told(void **state) {
  (void)state;
  refused(WARP_REFUSED, WARP_REFUSED, "the peer refused the connection");
  refused(WARP_NOT_FOUND, WARP_NOT_FOUND, "the peer knows no such session");
  refused(WARP_REPLAY, WARP_TLS,
          "the other end did not take us: another node perhaps, clocks that differ, or too many "
          "connects");
}

static void ignored_hello_is_not_answered(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig.server.hello_answer = WARP_CANCELED;
    rig_open(&rig, RIG_HELLO_LEN);
    rig_run(&rig, 5000);
    assert_int_equal(rig.server.out.sent, 0);
    assert_int_equal(rig.server.resets, 1);
    assert_int_equal(rig.server.fail_status, WARP_CANCELED);
    assert_int_equal(rig.client.failed, kinds[i] == WARP_STREAM);
    rig_free(&rig);
  }
}

static void discard_now(rig_end *end) {
  warp_pipe *pipe = end->pipe;
  end->pipe = NULL;
  wg_pipe_discard(pipe);
}

static void may_be_discarded_in_every_callback(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    for (int where = 0; where < 4; where++) {
      pipe_rig rig;
      rig_init(&rig, kinds[i]);
      rig.client.adopt = rig.server.adopt = false;
      rig.server.on_hello = where == 0 ? discard_now : NULL;
      rig.server.on_secured = where == 1 ? discard_now : NULL;
      rig.client.on_secured = where == 2 ? discard_now : NULL;
      rig.server.on_nominated = where == 3 ? discard_now : NULL;
      rig.server.hello_answer = where == 0 ? WARP_REFUSED : WARP_OK;
      rig_open(&rig, RIG_HELLO_LEN);
      rig_run(&rig, 3000);
      rig_end *end = where == 2 ? &rig.client : &rig.server;
      assert_null(end->pipe);
      assert_int_equal(end->resets, 1);
      assert_int_equal(end->failed, 0);
      rig_free(&rig);
    }
  }
}

/* ---- before and after ------------------------------------------------------------------------ */

static void silent_connection_is_closed(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, WARP_STREAM);
    rig_end *end = i == 0 ? &rig.server : &rig.client;
    rig_end *gone = end->other;
    rig_open(&rig, RIG_HELLO_LEN);
    discard_now(gone);
    gone->out.reset = false; /* and nobody hears of it */
    gone->out.bytes.len = 0;
    rig_run(&rig, WG_PIPE_HANDSHAKE_MS - 1);
    assert_int_equal(end->failed, 0);
    rig_run(&rig, 1);
    assert_int_equal(end->failed, 1);
    assert_int_equal(end->fail_status, WARP_TIMEOUT);
    rig_free(&rig);
  }
}

static void wrong_options_are_refused(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig_open(&rig, RIG_HELLO_LEN);
  for (int i = 0; i < 4; i++) {
    static const int expected[] = {WARP_INVALID, WARP_TOO_BIG, WARP_INVALID, WARP_INVALID};
    rig_end spare = {.of = &rig, .other = &rig.client};
    uint8_t hello[WG_HELLO_MAX + 1] = {0};
    wg_pipe_options options = {
        .env = &rig.env,
        .identity = rig.client.identity,
        .kind = WARP_STREAM,
        .client = i < 3,
        .expected = i < 2 ? wg_identity_key(rig.server.identity) : NULL,
        .hello = hello,
        .hello_len = (size_t[]){0, WG_HELLO_MAX + 1, 1, 0}[i],
        .ops = rig_carrier_ops(),
        .carrier = &spare,
    };
    warp_pipe *pipe = NULL;
    assert_int_equal(wg_pipe_open(&options, &pipe), expected[i]);
    assert_int_equal(spare.closed, 1);
    wg_timer_stop(&rig.env, &spare.out.timer);
  }
  rig_free(&rig);
}

/* Contexts live with the key, so that only the first pipe of a node pays for them; a copy of the
 * key or the end of it must not upset that. */
static void many_pipes_share_an_identity(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  for (int i = 0; i < 20; i++) {
    rig_connect(&rig, RIG_HELLO_LEN);
    exchange(&rig);
    for (int j = 0; j < 2; j++) {
      rig_end *end = j == 0 ? &rig.client : &rig.server;
      wg_pipe_kill(end->pipe, WARP_CANCELED);
      assert_int_equal(end->end_status, WARP_CANCELED);
      warp_pipe_close(end->pipe);
    }
    rig_reset(&rig);
  }
  rig_connect(&rig, RIG_HELLO_LEN);
  rig_free(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(connects_and_tells_who_is_there),
      cmocka_unit_test(takes_no_more_round_trips_than_the_protocol),
      cmocka_unit_test(last_flights_are_one_datagram),
      cmocka_unit_test(nothing_happens_unasked),
      cmocka_unit_test(hello_arrives_intact),
      cmocka_unit_test(server_may_be_the_initiator),
      cmocka_unit_test(server_may_learn_from_the_hello_that_it_is),
      cmocka_unit_test(hello_decides_whose_pipe_it_is),
      cmocka_unit_test(server_may_know_the_key_before),
      cmocka_unit_test(server_with_another_key_is_no_pipe),
      cmocka_unit_test(client_with_another_key_is_no_pipe),
      cmocka_unit_test(mirrored_key_is_another_key),
      cmocka_unit_test(refusals_are_told),
      cmocka_unit_test(ignored_hello_is_not_answered),
      cmocka_unit_test(may_be_discarded_in_every_callback),
      cmocka_unit_test(silent_connection_is_closed),
      cmocka_unit_test(wrong_options_are_refused),
      cmocka_unit_test(many_pipes_share_an_identity),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
