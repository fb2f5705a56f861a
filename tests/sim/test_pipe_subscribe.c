/* Subscriptions, their queues and the receives from them. */
#include "hand_pipes.h"

#include <stdlib.h>

/* A server on `b` and a client on `a` that says things. */
typedef struct talk {
  pair p;
  hand server, client;
} talk;

static void talk_open_with(talk *t, warp_transport transport, const warp_net_conf *conf) {
  *t = (talk){0};
  build(&t->p);
  warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
  warp_pipe_options options = {.transport = transport,
                               .route = &route,
                               .on_up = on_hand_up,
                               .arg = &t->server,
                               .conf = conf};
  hand_open(&t->p, &t->server, t->p.b, &options);
  pass(&t->p, 1);
  dial(&t->p, &t->client, transport, "192.0.2.129:7", NULL);
}

static void talk_open(talk *t, warp_transport transport) {
  talk_open_with(t, transport, NULL);
}

static void talk_close(talk *t) {
  hand_free(&t->client);
  pass(&t->p, 100);
  hand_free(&t->server);
  pass(&t->p, 3000);
  destroy(&t->p);
}

static void tell(talk *t, const char *text) {
  say(t->client.pipe, text);
  pass(&t->p, 100);
}

static warp_subscription *subscribe(warp_pipe *pipe, const warp_subscribe_options *options) {
  warp_subscription *sub = NULL;
  assert_int_equal(warp_pipe_subscribe(pipe, options, &sub), WARP_OK);
  return sub;
}

/* Takes what is there, or waits 50 ms for it; "" when there was nothing. */
static void expect(talk *t, warp_subscription *sub, const char *text) {
  hand *h = &t->server;
  h->received = 0;
  wg_queue_drop(&h->taken, h->taken.len);
  assert_int_equal(warp_pipe_recv(h->pipe, sub, 50, on_hand_recv, h), WARP_OK);
  assert_int_equal(h->received, 0);
  pass(&t->p, 60);
  assert_int_equal(h->received, 1);
  assert_int_equal(h->recv_status, text[0] != '\0' ? WARP_OK : WARP_TIMEOUT);
  assert_bytes(&h->taken, text);
}

static void each_gets_what_it_asked_for(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_UDP);
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(t.client.pipe, &info), WARP_OK);
  warp_addr me = address("192.0.2.1"), other = address("192.0.2.2"), exact = me;
  exact.port = info.local.port;
  warp_addr wrong_port = exact;
  wrong_port.port ^= 1;
  hand handled = {0};
  warp_subscription *all = subscribe(t.server.pipe, NULL);
  warp_subscription *get = subscribe(
      t.server.pipe, &(warp_subscribe_options){.pattern = "^GET [a-z]+\\0", .pattern_len = 13});
  warp_subscription *mine = subscribe(t.server.pipe, &(warp_subscribe_options){.sender = &me});
  warp_subscription *his = subscribe(t.server.pipe, &(warp_subscribe_options){.sender = &other});
  warp_subscription *port = subscribe(t.server.pipe, &(warp_subscribe_options){.sender = &exact});
  warp_subscription *no =
      subscribe(t.server.pipe, &(warp_subscribe_options){.sender = &wrong_port});
  subscribe(t.server.pipe,
            &(warp_subscribe_options){.pattern = "two", .handler = on_hand_msg, .arg = &handled});
  assert_int_equal(warp_pipe_send(t.client.pipe, "GET one\0x", 9), WARP_OK);
  pass(&t.p, 100);
  tell(&t, "GET two");
  hand *h = &t.server;
  assert_int_equal(warp_pipe_recv(h->pipe, get, 50, on_hand_recv, h), WARP_OK);
  pass(&t.p, 10);
  assert_int_equal(h->taken.len, 9);
  expect(&t, get, "");
  assert_bytes(&handled.heard, "GET two");
  expect(&t, his, "");
  expect(&t, no, "");
  warp_subscription *both[] = {all, mine, port};
  for (int i = 0; i < 3; i++) {
    h->received = 0;
    assert_int_equal(warp_pipe_recv(h->pipe, both[i], 50, on_hand_recv, h), WARP_OK);
    pass(&t.p, 10);
    assert_int_equal(h->recv_status, WARP_OK);
    assert_true(wg_addr_equal(&h->from, &exact));
    expect(&t, both[i], "GET two");
    expect(&t, both[i], "");
  }
  wg_queue_free(&handled.heard);
  talk_close(&t);
}

/* Of "1", "2" and "3", by queues of two. */
static void one_was_dropped(talk *t, warp_subscription *newest, warp_subscription *oldest) {
  expect(t, newest, "1");
  expect(t, newest, "2");
  expect(t, newest, "");
  expect(t, oldest, "2");
  expect(t, oldest, "3");
  expect(t, oldest, "");
  assert_int_equal(warp_subscription_dropped(newest), 1);
  assert_int_equal(warp_subscription_dropped(oldest), 1);
}

static void a_full_queue_does_as_it_was_told(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_UDP);
  warp_subscribe_options options = {.max_messages = 2, .when_full = WARP_FULL_DROP_NEWEST};
  warp_subscription *newest = subscribe(t.server.pipe, &options);
  options.when_full = WARP_FULL_DROP_OLDEST;
  warp_subscription *oldest = subscribe(t.server.pipe, &options);
  options.when_full = WARP_FULL_WAIT; /* messages cannot */
  warp_subscription *waits = subscribe(t.server.pipe, &options);
  tell(&t, "1");
  tell(&t, "2");
  tell(&t, "3");
  one_was_dropped(&t, newest, oldest);
  expect(&t, waits, "1");
  expect(&t, waits, "2");
  expect(&t, waits, "");
  assert_int_equal(warp_subscription_dropped(waits), 1);
  talk_close(&t);
}

/* Who would rather lose pieces of a stream than wait does not hold its peer back. */
static void a_stream_may_drop_as_well(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_TCP);
  warp_subscribe_options options = {.max_messages = 2, .when_full = WARP_FULL_DROP_NEWEST};
  warp_subscription *newest = subscribe(t.server.pipe, &options);
  options.when_full = WARP_FULL_DROP_OLDEST;
  warp_subscription *oldest = subscribe(t.server.pipe, &options);
  hand all = {0};
  subscribe(t.server.pipe, &(warp_subscribe_options){.handler = on_hand_msg, .arg = &all});
  tell(&t, "1");
  tell(&t, "2");
  tell(&t, "3");
  assert_bytes(&all.heard, "123"); /* nothing waits for the queues */
  one_was_dropped(&t, newest, oldest);
  wg_queue_free(&all.heard);
  talk_close(&t);
}

static void max_qsize_is_the_usual_length(void **state) {
  (void)state;
  talk t;
  warp_net_conf conf = warp_net_conf_default();
  conf.max_qsize = 1;
  talk_open_with(&t, WARP_UDP, &conf);
  warp_subscription *sub = subscribe(t.server.pipe, NULL);
  tell(&t, "1");
  tell(&t, "2");
  expect(&t, sub, "1");
  expect(&t, sub, "");
  talk_close(&t);
}

static size_t send_until_full(warp_pipe *pipe) {
  static uint8_t bytes[65536];
  size_t sent = 0;
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(i * 7);
  }
  while (warp_pipe_send(pipe, bytes, sizeof bytes) == WARP_OK) {
    sent += sizeof bytes;
    assert_in_range(sent, 0, 64 << 20);
  }
  return sent;
}

/* The peer of a stream feels a full queue, and nothing of it is lost; also of one at the server. */
static void a_stream_waits_for_its_queue(void **state) {
  (void)state;
  for (int at_client = 0; at_client < 2; at_client++) {
    talk t;
    talk_open(&t, WARP_TCP);
    warp_pipe *pipe = at_client ? t.server.client : t.server.pipe;
    warp_subscription *sub =
        subscribe(pipe, &(warp_subscribe_options){.max_messages = 3, .pattern = NULL});
    size_t sent = 0;
    for (int i = 0; i < 20; i++) {
      sent += send_until_full(t.client.pipe);
      pass(&t.p, 500);
    }
    assert_int_equal(warp_pipe_send(t.client.pipe, "x", 1), WARP_AGAIN);
    assert_in_range(sent, WG_PIPE_QUEUE_FULL, 8 << 20);
    while (t.server.taken.len < sent) {
      size_t before = t.server.taken.len;
      assert_int_equal(warp_pipe_recv(pipe, sub, 1000, on_hand_recv, &t.server), WARP_OK);
      pass(&t.p, 100);
      assert_int_equal(t.server.recv_status, WARP_OK);
      assert_true(t.server.taken.len > before);
    }
    for (size_t i = 0; i < sent; i++) {
      assert_int_equal(wg_queue_front(&t.server.taken)[i], (uint8_t)(i % 65536 * 7));
    }
    talk_close(&t);
  }
}

static void exactly_n_bytes(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_TCP);
  hand *h = &t.server;
  warp_subscription *sub = subscribe(h->client, &(warp_subscribe_options){.max_messages = 2});
  assert_int_equal(warp_pipe_recv_n(h->client, sub, 5, 0, on_hand_recv, h), WARP_OK);
  tell(&t, "ab");
  tell(&t, "cd");
  assert_int_equal(h->received, 0);
  tell(&t, "efg");
  assert_bytes(&h->taken, "abcde");
  assert_int_equal(warp_pipe_recv_n(h->client, sub, 3, 100, on_hand_recv, h), WARP_OK);
  pass(&t.p, 200); /* what came stays */
  assert_int_equal(h->recv_status, WARP_TIMEOUT);
  assert_int_equal(warp_pipe_recv_n(h->client, sub, 3, 0, on_hand_recv, h), WARP_OK);
  tell(&t, "h");
  assert_bytes(&h->taken, "abcdefgh");
  /* Far more than the queue is long. */
  size_t n = WARP_RECV_N_MAX, sent = 0;
  wg_queue_drop(&h->taken, h->taken.len);
  assert_int_equal(warp_pipe_recv_n(h->client, sub, n, WARP_FOREVER, on_hand_recv, h), WARP_OK);
  while (sent < n) {
    sent += send_until_full(t.client.pipe);
    pass(&t.p, 500);
  }
  pass(&t.p, 60000);
  assert_int_equal(h->recv_status, WARP_OK);
  assert_int_equal(h->taken.len, n);
  assert_int_equal(wg_queue_front(&h->taken)[n - 1], (uint8_t)((n - 1) % 65536 * 7));
  talk_close(&t);
}

static void receives_end_with_the_pipe(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_TCP);
  hand *h = &t.server;
  warp_subscription *sub = subscribe(h->client, NULL);
  tell(&t, "last words");
  assert_int_equal(warp_pipe_recv_n(h->client, sub, 100, WARP_FOREVER, on_hand_recv, h), WARP_OK);
  hand_close(&t.client);
  pass(&t.p, 100);
  assert_int_equal(h->received, 1);
  assert_int_equal(h->recv_status, WARP_CLOSED);
  assert_int_equal(warp_pipe_recv(h->client, sub, 0, on_hand_recv, h), WARP_OK);
  pass(&t.p, 1);
  assert_bytes(&h->taken, "last words");
  assert_int_equal(warp_pipe_recv(h->client, sub, 0, on_hand_recv, h), WARP_CLOSED);
  talk_close(&t);
}

/* A receive's own callback may end its subscription, ask again, or close the pipe. */
static void on_recv_unsubscribe(void *arg, warp_pipe *pipe, int status, const uint8_t *data,
                                size_t len, const warp_addr *from) {
  warp_subscription **sub = arg;
  (void)data, (void)len, (void)from;
  assert_int_equal(status, WARP_OK);
  assert_int_equal(warp_pipe_unsubscribe(pipe, *sub), WARP_OK);
  *sub = NULL;
}

static void on_recv_again(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                          const warp_addr *from) {
  on_hand_recv(arg, pipe, status, data, len, from);
  if (status == WARP_OK) {
    assert_int_equal(warp_pipe_recv(pipe, NULL, WARP_FOREVER, on_recv_again, arg), WARP_OK);
  } else {
    assert_int_equal(warp_pipe_recv(pipe, NULL, WARP_FOREVER, on_recv_again, arg), WARP_CLOSED);
  }
}

static void receives_from_inside_a_receive(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_UDP);
  hand *h = &t.server;
  warp_subscription *sub = subscribe(h->pipe, NULL);
  assert_int_equal(warp_pipe_recv(h->pipe, sub, 0, on_recv_unsubscribe, &sub), WARP_OK);
  assert_int_equal(warp_pipe_recv(h->pipe, sub, WARP_FOREVER, on_hand_recv, h), WARP_OK);
  tell(&t, "one");
  assert_null(sub);
  assert_int_equal(h->received, 1);
  assert_int_equal(h->recv_status, WARP_CANCELED);
  assert_int_equal(warp_pipe_recv(h->pipe, NULL, WARP_FOREVER, on_recv_again, h), WARP_OK);
  tell(&t, "two");
  tell(&t, "three");
  assert_bytes(&h->taken, "twothree");
  hand_close(h);
  assert_int_equal(h->received, 4);
  assert_int_equal(h->recv_status, WARP_CANCELED);
  talk_close(&t);
}

static void repeated_messages_are_dropped(void **state) {
  (void)state;
  talk t;
  warp_net_conf conf = warp_net_conf_default();
  conf.enable_msg_ids = true;
  conf.max_msg_ids = 2;
  talk_open_with(&t, WARP_UDP, &conf);
  assert_int_equal(warp_pipe_add_msg_cb(t.server.pipe, on_hand_msg, &t.server), WARP_OK);
  static const char *const said[] = {"1", "1", "2", "1", "3", "1"};
  for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
    tell(&t, said[i]);
  }
  assert_bytes(&t.server.heard, "1231"); /* the first is forgotten when there are two others */
  hand second = {0};
  dial(&t.p, &second, WARP_UDP, "192.0.2.129:7", NULL);
  say(second.pipe, "1"); /* another sender's */
  pass(&t.p, 100);
  assert_bytes(&t.server.heard, "12311");
  hand_free(&second);
  talk_close(&t);
}

/* A question is sent again as often as it was said, and answered by the first reply. */
static void a_question_is_repeated(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_UDP);
  assert_int_equal(warp_pipe_add_msg_cb(t.server.pipe, on_hand_msg, &t.server), WARP_OK);
  hand *h = &t.client;
  assert_int_equal(warp_pipe_ask(h->pipe, NULL, "ping", 4, 500, on_hand_recv, h), WARP_OK);
  pass(&t.p, 1600);
  assert_int_equal(h->recv_status, WARP_TIMEOUT);
  assert_int_equal(t.server.messages, 3);
  assert_int_equal(warp_pipe_ask(h->pipe, NULL, "ping", 4, 500, on_hand_recv, h), WARP_OK);
  pass(&t.p, 300);
  t.server.echo = true;
  pass(&t.p, 1300);
  assert_int_equal(h->recv_status, WARP_OK);
  assert_bytes(&h->taken, "ping");
  assert_int_equal(t.server.messages, 5);
  talk_close(&t);
}

static void misuse(void **state) {
  (void)state;
  talk t;
  talk_open(&t, WARP_TCP);
  warp_pipe *pipe = t.client.pipe;
  warp_subscription *sub = NULL, *handled = NULL;
  assert_int_equal(warp_pipe_subscribe(NULL, NULL, &sub), WARP_INVALID);
  assert_int_equal(warp_pipe_subscribe(pipe, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_subscribe(pipe, &(warp_subscribe_options){.when_full = 9}, &sub),
                   WARP_INVALID);
  assert_int_equal(warp_pipe_subscribe(pipe, &(warp_subscribe_options){.pattern = "("}, &sub),
                   WARP_INVALID);
  char *big = malloc(WARP_PATTERN_MAX + 2);
  assert_non_null(big);
  memset(big, 'a', WARP_PATTERN_MAX + 1);
  big[WARP_PATTERN_MAX + 1] = '\0';
  assert_int_equal(warp_pipe_subscribe(pipe, &(warp_subscribe_options){.pattern = big}, &sub),
                   WARP_TOO_BIG);
  free(big);
  handled = subscribe(pipe, &(warp_subscribe_options){.handler = on_hand_msg, .arg = &t.client});
  assert_int_equal(warp_pipe_recv(pipe, handled, 0, on_hand_recv, &t.client), WARP_STATE);
  assert_int_equal(warp_pipe_recv(t.server.pipe, handled, 0, on_hand_recv, &t.client),
                   WARP_INVALID);
  assert_int_equal(warp_pipe_recv(NULL, NULL, 0, on_hand_recv, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_recv(pipe, NULL, 0, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_recv_n(pipe, NULL, 0, 0, on_hand_recv, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_recv_n(pipe, NULL, WARP_RECV_N_MAX + 1, 0, on_hand_recv, NULL),
                   WARP_TOO_BIG);
  assert_int_equal(warp_pipe_recv_n(t.server.pipe, NULL, 1, 0, on_hand_recv, NULL),
                   WARP_UNSUPPORTED);
  assert_int_equal(warp_pipe_ask(pipe, NULL, NULL, 1, 0, on_hand_recv, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_unsubscribe(t.server.pipe, handled), WARP_INVALID);
  assert_int_equal(warp_pipe_unsubscribe(pipe, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_unsubscribe(NULL, handled), WARP_INVALID);
  assert_int_equal(warp_subscription_dropped(NULL), 0);
  assert_int_equal(warp_pipe_add_msg_cb(pipe, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_del_msg_cb(pipe, on_hand_msg, &t), WARP_NOT_FOUND);
  assert_int_equal(warp_pipe_add_end_cb(NULL, on_hand_end, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_del_end_cb(pipe, on_hand_end, &t), WARP_NOT_FOUND);
  for (int i = 0; i < WARP_PIPE_CALLBACKS_MAX; i++) {
    assert_int_equal(warp_pipe_add_msg_cb(pipe, on_hand_msg, &t.client), WARP_OK);
    assert_int_equal(warp_pipe_recv(pipe, NULL, WARP_FOREVER, on_hand_recv, &t.client), WARP_OK);
  }
  assert_int_equal(warp_pipe_add_msg_cb(pipe, on_hand_msg, &t.client), WARP_LIMIT);
  assert_int_equal(warp_pipe_recv(pipe, NULL, 0, on_hand_recv, &t.client), WARP_LIMIT);
  assert_int_equal(warp_pipe_del_msg_cb(pipe, on_hand_msg, &t.client), WARP_OK);
  assert_int_equal(warp_pipe_add_msg_cb(pipe, on_hand_msg, &t.client), WARP_OK);
  for (int i = 2; i < WARP_PIPE_CALLBACKS_MAX; i++) { /* one is the receives' own */
    subscribe(pipe, NULL);
  }
  assert_int_equal(warp_pipe_subscribe(pipe, NULL, &sub), WARP_LIMIT);
  talk_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_gets_what_it_asked_for),
      cmocka_unit_test(a_full_queue_does_as_it_was_told),
      cmocka_unit_test(a_stream_may_drop_as_well),
      cmocka_unit_test(max_qsize_is_the_usual_length),
      cmocka_unit_test(a_stream_waits_for_its_queue),
      cmocka_unit_test(exactly_n_bytes),
      cmocka_unit_test(receives_end_with_the_pipe),
      cmocka_unit_test(receives_from_inside_a_receive),
      cmocka_unit_test(repeated_messages_are_dropped),
      cmocka_unit_test(a_question_is_repeated),
      cmocka_unit_test(misuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
