/* Pipes with bad arguments, in each of their states, and with sizes that nobody may have. */
#include "hand_pipes.h"

#include <stdlib.h>

#include "bad_input.h"

static void on_recv(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  (void)pipe, (void)data, (void)len, (void)from;
  if (arg != NULL) {
    *(int *)arg = status;
  }
}

static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  (void)arg, (void)pipe, (void)data, (void)len, (void)from;
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  (void)arg, (void)pipe, (void)status;
}

/* ---- no pipe --------------------------------------------------------------------------------- */

static void test_no_pipe(void **state) {
  (void)state;
  const warp_pipe_handlers handlers = {0};
  warp_addr to = address("192.0.2.1:7");
  warp_pipe_info info;
  warp_subscription *sub;
  int fd;
  REFUSES(WARP_INVALID, warp_pipe_set_handlers, NULL, &handlers);
  REFUSES(WARP_INVALID, warp_pipe_send, NULL, "x", 1);
  REFUSES(WARP_INVALID, warp_pipe_send_to, NULL, "x", 1, &to);
  REFUSES(WARP_INVALID, warp_pipe_send_to, NULL, "x", 1, NULL);
  REFUSES(WARP_INVALID, warp_pipe_shutdown, NULL);
  REFUSES(WARP_INVALID, warp_pipe_pause, NULL, true);
  REFUSES(WARP_INVALID, warp_pipe_get_info, NULL, &info);
  BADLY(warp_pipe_close, NULL);
  REFUSES(WARP_INVALID, warp_pipe_take_socket, NULL, &fd);
  REFUSES(WARP_INVALID, warp_pipe_add_msg_cb, NULL, on_msg, NULL);
  REFUSES(WARP_INVALID, warp_pipe_del_msg_cb, NULL, on_msg, NULL);
  REFUSES(WARP_INVALID, warp_pipe_add_end_cb, NULL, on_end, NULL);
  REFUSES(WARP_INVALID, warp_pipe_del_end_cb, NULL, on_end, NULL);
  REFUSES(WARP_INVALID, warp_pipe_subscribe, NULL, NULL, &sub);
  REFUSES(WARP_INVALID, warp_pipe_unsubscribe, NULL, NULL);
  assert_int_equal(BADLY(warp_subscription_dropped, NULL), 0);
  REFUSES(WARP_INVALID, warp_pipe_recv, NULL, NULL, 0, on_recv, NULL);
  REFUSES(WARP_INVALID, warp_pipe_recv_n, NULL, NULL, 1, 0, on_recv, NULL);
  REFUSES(WARP_INVALID, warp_pipe_ask, NULL, NULL, "x", 1, 0, on_recv, NULL);
  REFUSES(WARP_INVALID, warp_pipe_add_pipe, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_del_pipe, NULL, NULL);
}

/* A server on b and a client on a, both open. */
typedef struct both_ends {
  pair p;
  hand server, client;
} both_ends;

static void connect_ends(both_ends *on, warp_transport transport) {
  *on = (both_ends){.server = {.watch_client = true}};
  build(&on->p);
  serve(&on->p, &on->server, transport, WARP_IP4);
  dial(&on->p, &on->client, transport, "192.0.2.129:7", NULL);
}

static void end_ends(both_ends *on) {
  hand_free(&on->client);
  pass(&on->p, 100);
  hand_free(&on->server);
  pass(&on->p, 3000);
  destroy(&on->p);
}

static void test_no_arguments(void **state) {
  (void)state;
  both_ends on;
  connect_ends(&on, WARP_TCP);
  warp_pipe *pipe = on.client.pipe;
  warp_subscription *sub;
  REFUSES(WARP_INVALID, warp_pipe_set_handlers, pipe, NULL);
  REFUSES(WARP_INVALID, warp_pipe_send, pipe, NULL, 1);
  REFUSES(WARP_INVALID, warp_pipe_send_to, pipe, NULL, 1, NULL);
  REFUSES(WARP_INVALID, warp_pipe_get_info, pipe, NULL);
  REFUSES(WARP_INVALID, warp_pipe_take_socket, pipe, NULL);
  REFUSES(WARP_INVALID, warp_pipe_add_msg_cb, pipe, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_del_msg_cb, pipe, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_add_end_cb, pipe, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_del_end_cb, pipe, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_subscribe, pipe, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_unsubscribe, pipe, NULL);
  REFUSES(WARP_INVALID, warp_pipe_recv, pipe, NULL, 0, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_recv_n, pipe, NULL, 1, 0, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_ask, pipe, NULL, NULL, 1, 0, on_recv, NULL);
  REFUSES(WARP_INVALID, warp_pipe_ask, pipe, NULL, "x", 1, 0, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_add_pipe, pipe, NULL);
  REFUSES(WARP_INVALID, warp_pipe_add_pipe, pipe, pipe);
  REFUSES(WARP_INVALID, warp_pipe_del_pipe, pipe, NULL);
  REFUSES(WARP_NOT_FOUND, warp_pipe_del_pipe, pipe, pipe);
  REFUSES(WARP_NOT_FOUND, warp_pipe_del_msg_cb, pipe, on_msg, NULL);
  REFUSES(WARP_NOT_FOUND, warp_pipe_del_end_cb, pipe, on_end, NULL);
  /* Another pipe's subscription, and one that is gone. */
  assert_int_equal(warp_pipe_subscribe(on.server.pipe, NULL, &sub), WARP_OK);
  REFUSES(WARP_INVALID, warp_pipe_unsubscribe, pipe, sub);
  REFUSES(WARP_INVALID, warp_pipe_recv, pipe, sub, 0, on_recv, NULL);
  REFUSES(WARP_INVALID, warp_pipe_recv_n, pipe, sub, 1, 0, on_recv, NULL);
  REFUSES(WARP_INVALID, warp_pipe_ask, pipe, sub, "x", 1, 0, on_recv, NULL);
  pass(&on.p, 100);
  assert_int_equal(on.server.messages, 0); /* nothing was sent by any of these */
  end_ends(&on);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void test_sizes(void **state) {
  (void)state;
  both_ends on;
  static uint8_t bytes[(1 << 20) + 1];
  static char text[WARP_PATTERN_MAX + 2];
  warp_subscription *sub;
  warp_subscribe_options options = {.pattern = text};
  memset(text, 'a', sizeof text - 1);
  for (int i = 0; i < 2; i++) {
    warp_transport transport = i == 0 ? WARP_TCP : WARP_UDP;
    size_t most = i == 0 ? 1 << 20 : WARP_DATAGRAM_MAX;
    connect_ends(&on, transport);
    warp_pipe *pipe = on.client.pipe;
    const size_t sizes[] = {most + 1, SIZE_MAX, SIZE_MAX / 2 + 1};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
      REFUSES(WARP_TOO_BIG, warp_pipe_send, pipe, bytes, sizes[s]);
      REFUSES(WARP_TOO_BIG, warp_pipe_send_to, pipe, bytes, sizes[s], NULL);
      REFUSES(WARP_TOO_BIG, warp_pipe_ask, pipe, NULL, bytes, sizes[s], 0, on_recv, NULL);
    }
    options.pattern_len = 0;
    REFUSES(WARP_TOO_BIG, warp_pipe_subscribe, pipe, &options, &sub);
    options.pattern_len = SIZE_MAX;
    REFUSES(WARP_TOO_BIG, warp_pipe_subscribe, pipe, &options, &sub);
    size_t too_many = WARP_RECV_N_MAX + (size_t)1;
    REFUSES(WARP_TOO_BIG, warp_pipe_recv_n, pipe, NULL, too_many, 0, on_recv, NULL);
    REFUSES(WARP_TOO_BIG, warp_pipe_recv_n, pipe, NULL, SIZE_MAX, 0, on_recv, NULL);
    REFUSES(WARP_INVALID, warp_pipe_recv_n, pipe, NULL, 0, 0, on_recv, NULL);
    assert_int_equal(warp_pipe_send(pipe, bytes, most), WARP_OK);
    assert_int_equal(warp_pipe_send(pipe, NULL, 0), WARP_OK);
    pass(&on.p, 30000);
    assert_int_equal(on.server.heard.len, most);
    end_ends(&on);
  }
}

static void test_options_of_subscriptions(void **state) {
  (void)state;
  both_ends on;
  connect_ends(&on, WARP_UDP);
  warp_pipe *pipe = on.client.pipe;
  warp_subscription *subs[WARP_PIPE_CALLBACKS_MAX], *one_more;
  static const char *const patterns[] = {"(",    "[",   "*",       "a{2,1}", "(?P<",    "\\",
                                         "(?C1", "\\C", "(*UTF)a", "\xff(",  "(?<=a+)b"};
  for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
    const warp_subscribe_options options = {.pattern = patterns[i]};
    if (warp_pipe_subscribe(pipe, &options, &one_more) != WARP_INVALID) {
      fail_msg("the pattern %s was taken", patterns[i]);
    }
  }
  static const int when[] = {-1, 3, INT32_MAX};
  for (size_t i = 0; i < 3; i++) {
    const warp_subscribe_options options = {.when_full = (warp_when_full)when[i]};
    REFUSES(WARP_INVALID, warp_pipe_subscribe, pipe, &options, &one_more);
  }
  static const size_t lengths[] = {WARP_QUEUE_MESSAGES_MAX + 1, SIZE_MAX};
  for (size_t i = 0; i < 2; i++) {
    const warp_subscribe_options options = {.max_messages = lengths[i]};
    REFUSES(WARP_INVALID, warp_pipe_subscribe, pipe, &options, &one_more);
  }
  for (size_t i = 0; i < WARP_PIPE_CALLBACKS_MAX; i++) {
    assert_int_equal(warp_pipe_subscribe(pipe, NULL, &subs[i]), WARP_OK);
    assert_int_equal(warp_pipe_add_msg_cb(pipe, on_msg, NULL), WARP_OK);
    assert_int_equal(warp_pipe_add_end_cb(pipe, on_end, NULL), WARP_OK);
  }
  REFUSES(WARP_LIMIT, warp_pipe_subscribe, pipe, NULL, &one_more);
  REFUSES(WARP_LIMIT, warp_pipe_recv, pipe, NULL, 0, on_recv, NULL); /* needs one of its own */
  REFUSES(WARP_LIMIT, warp_pipe_add_msg_cb, pipe, on_msg, NULL);
  REFUSES(WARP_LIMIT, warp_pipe_add_end_cb, pipe, on_end, NULL);
  for (size_t i = 0; i < WARP_PIPE_CALLBACKS_MAX; i++) {
    assert_int_equal(warp_pipe_recv(pipe, subs[0], WARP_FOREVER, on_recv, NULL), WARP_OK);
  }
  REFUSES(WARP_LIMIT, warp_pipe_recv, pipe, subs[0], 0, on_recv, NULL);
  REFUSES(WARP_LIMIT, warp_pipe_ask, pipe, subs[0], "x", 1, 0, on_recv, NULL);
  pass(&on.p, 100);
  assert_int_equal(on.server.messages, 0); /* what could not be asked was not sent either */
  end_ends(&on);
}

/* ---- states ---------------------------------------------------------------------------------- */

/* What each kind of call says in a state. */
typedef struct answers {
  int send, send_to, shutdown, pause, recv, recv_n, ask, add, subscribe, link_from, link_to;
} answers;

static const warp_addr *somebody(void) {
  static warp_addr addr;
  addr = address("192.0.2.1:99");
  return &addr;
}

/* `other` is open, and none of the pipe's peers. What is done is taken back. */
static void try_all(warp_pipe *pipe, warp_pipe *other, answers want) {
  warp_pipe_info info;
  warp_subscription *sub = NULL;
  int fd;
  assert_int_equal(warp_pipe_get_info(pipe, &info), WARP_OK);
  assert_non_null(info.plugin);
  REFUSES(WARP_STATE, warp_pipe_take_socket, pipe, &fd);
  assert_int_equal(warp_pipe_send(pipe, "", 0), want.send);
  assert_int_equal(warp_pipe_send_to(pipe, "x", 1, somebody()), want.send_to);
  assert_int_equal(warp_pipe_pause(pipe, true), want.pause);
  assert_int_equal(warp_pipe_pause(pipe, false), want.pause);
  assert_int_equal(warp_pipe_add_msg_cb(pipe, on_msg, other), want.add);
  assert_int_equal(warp_pipe_del_msg_cb(pipe, on_msg, other),
                   want.add == WARP_OK ? WARP_OK : WARP_NOT_FOUND);
  assert_int_equal(warp_pipe_add_end_cb(pipe, on_end, other), want.add);
  assert_int_equal(warp_pipe_del_end_cb(pipe, on_end, other),
                   want.add == WARP_OK ? WARP_OK : WARP_NOT_FOUND);
  assert_int_equal(warp_pipe_subscribe(pipe, NULL, &sub), want.subscribe);
  int status = 1;
  assert_int_equal(warp_pipe_recv(pipe, sub, 1, on_recv, &status), want.recv);
  assert_int_equal(warp_pipe_recv_n(pipe, sub, 1, 1, on_recv, &status), want.recv_n);
  assert_int_equal(warp_pipe_ask(pipe, sub, "", 0, 1, on_recv, &status), want.ask);
  assert_int_equal(status, 1); /* never from inside the call */
  if (sub != NULL) {
    assert_int_equal(warp_pipe_unsubscribe(pipe, sub), WARP_OK);
    bool waited = want.recv == WARP_OK || want.recv_n == WARP_OK || want.ask == WARP_OK;
    assert_int_equal(status, waited ? WARP_CANCELED : 1);
  }
  assert_int_equal(warp_pipe_add_pipe(pipe, other), want.link_from);
  assert_int_equal(warp_pipe_add_pipe(other, pipe), want.link_to);
  int none = other != NULL ? WARP_NOT_FOUND : WARP_INVALID;
  assert_int_equal(warp_pipe_del_pipe(pipe, other), want.link_from == WARP_OK ? WARP_OK : none);
  assert_int_equal(warp_pipe_del_pipe(other, pipe), want.link_to == WARP_OK ? WARP_OK : none);
  assert_int_equal(warp_pipe_shutdown(pipe), want.shutdown);
}

static const answers over = {.send = WARP_CLOSED,
                             .send_to = WARP_CLOSED,
                             .shutdown = WARP_CLOSED,
                             .pause = WARP_CLOSED,
                             .recv = WARP_CLOSED,
                             .recv_n = WARP_CLOSED,
                             .ask = WARP_CLOSED,
                             .add = WARP_CLOSED,
                             .subscribe = WARP_CLOSED,
                             .link_from = WARP_CLOSED,
                             .link_to = WARP_CLOSED};

static void test_before_it_is_open(void **state) {
  (void)state;
  both_ends on;
  connect_ends(&on, WARP_TCP);
  hand early = {0};
  const warp_pipe_options options = {.transport = WARP_TCP, .dest = "192.0.2.129:7"};
  hand_open(&on.p, &early, on.p.a, &options);
  try_all(early.pipe, on.client.pipe,
          (answers){.send = WARP_STATE,
                    .send_to = WARP_STATE,
                    .shutdown = WARP_STATE,
                    .pause = WARP_STATE,
                    .ask = WARP_STATE,
                    .link_to = WARP_STATE});
  hand_free(&early);
  assert_int_equal(early.opened, 1);
  assert_int_equal(early.open_status, WARP_CANCELED);
  end_ends(&on);
}

static void test_while_it_is_open(void **state) {
  (void)state;
  both_ends on, udp;
  connect_ends(&on, WARP_TCP);
  hand second = {0}, server_udp = {0}, client_udp = {0};
  dial(&on.p, &second, WARP_TCP, "192.0.2.129:7", NULL);
  try_all(second.pipe, on.client.pipe, (answers){.send_to = WARP_INVALID});
  assert_int_equal(warp_pipe_shutdown(second.pipe), WARP_OK); /* twice is harmless */
  try_all(second.pipe, on.client.pipe,
          (answers){.send = WARP_CLOSED, .send_to = WARP_INVALID, .ask = WARP_CLOSED});
  try_all(on.server.pipe, on.server.client,
          (answers){.send = WARP_STATE,
                    .send_to = WARP_NOT_FOUND,
                    .shutdown = WARP_UNSUPPORTED,
                    .pause = WARP_UNSUPPORTED,
                    .recv_n = WARP_UNSUPPORTED,
                    .ask = WARP_STATE,
                    .link_from = WARP_UNSUPPORTED,
                    .link_to = WARP_UNSUPPORTED});
  connect_ends(&udp, WARP_UDP);
  dial(&udp.p, &client_udp, WARP_UDP, "192.0.2.129:7", NULL);
  try_all(
      client_udp.pipe, udp.client.pipe,
      (answers){.send_to = WARP_INVALID, .shutdown = WARP_UNSUPPORTED, .recv_n = WARP_UNSUPPORTED});
  try_all(udp.server.pipe, udp.server.pipe,
          (answers){.send = WARP_STATE,
                    .shutdown = WARP_UNSUPPORTED,
                    .recv_n = WARP_UNSUPPORTED,
                    .ask = WARP_STATE,
                    .link_from = WARP_INVALID,
                    .link_to = WARP_INVALID});
  REFUSES(WARP_INVALID, warp_pipe_add_pipe, udp.client.pipe, on.client.pipe); /* another loop's */
  warp_addr nobody = {0}, no_port = address("192.0.2.1"), six = address("[2001:db8::1]:7");
  assert_int_not_equal(BADLY(warp_pipe_send_to, udp.server.pipe, "x", 1, &nobody), WARP_OK);
  assert_int_not_equal(BADLY(warp_pipe_send_to, udp.server.pipe, "x", 1, &no_port), WARP_OK);
  assert_int_not_equal(BADLY(warp_pipe_send_to, udp.server.pipe, "x", 1, &six), WARP_OK);
  hand_free(&client_udp);
  hand_free(&server_udp);
  end_ends(&udp);
  hand_free(&second);
  end_ends(&on);
}

typedef struct last_words {
  warp_pipe *other;
  unsigned calls;
  int status;
} last_words;

static void on_last(void *arg, warp_pipe *pipe, int status) {
  last_words *self = arg;
  self->calls++;
  self->status = status;
  answers want = over;
  if (self->other == NULL) { /* none of this loop */
    want.link_from = want.link_to = WARP_INVALID;
  }
  try_all(pipe, self->other, want);
  warp_pipe_close(pipe); /* once more from inside, or for the first time */
}

/* Inside the close that cancels, and after the peer broke it. */
static void test_when_it_is_over(void **state) {
  (void)state;
  for (int broken = 0; broken < 2; broken++) {
    both_ends on;
    hand second = {0};
    connect_ends(&on, WARP_TCP);
    warp_net_conf conf = warp_net_conf_default();
    conf.linger_ms = 0; /* its peer sees a reset */
    dial(&on.p, &second, WARP_TCP, "192.0.2.129:7", &conf);
    last_words self = {.other = on.client.pipe};
    if (broken) {
      warp_pipe *far = on.server.client;
      self.other = NULL;
      assert_int_equal(warp_pipe_add_end_cb(far, on_last, &self), WARP_OK);
    } else {
      assert_int_equal(warp_pipe_add_end_cb(second.pipe, on_last, &self), WARP_OK);
    }
    hand_close(&second);
    pass(&on.p, 100);
    assert_int_equal(self.calls, 1);
    assert_int_equal(self.status, broken ? WARP_RESET : WARP_CANCELED);
    end_ends(&on);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_pipe),
      cmocka_unit_test(test_no_arguments),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_options_of_subscriptions),
      cmocka_unit_test(test_before_it_is_open),
      cmocka_unit_test(test_while_it_is_open),
      cmocka_unit_test(test_when_it_is_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
