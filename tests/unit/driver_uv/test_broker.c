#include "fake_broker.h"

#include <signal.h>
#include <stdio.h>

typedef struct client {
  world *w;
  wg_broker *broker;
  int state; /* last told; 1 before the first */
  unsigned up_count, down_count;
  bool up, down;
  size_t messages, want;
  bool got; /* messages == want */
  char last[16];
  size_t last_len;
  bool close_in_state, close_in_message;
  const char *reply_to; /* publish there from the message callback */
} client;

static void close_client(client *c) {
  c->w->ops->broker_close(c->broker);
  c->broker = NULL;
}

static void on_state(void *arg, int status) {
  client *c = arg;
  assert_non_null(c->broker);
  assert_int_not_equal(status, c->state); /* changes only */
  c->state = status;
  c->up = status == WARP_OK;
  c->down = !c->up;
  c->up_count += c->up;
  c->down_count += c->down;
  if (c->close_in_state) {
    close_client(c);
  }
}

static void on_message(void *arg, const uint8_t *data, size_t len) {
  client *c = arg;
  assert_non_null(c->broker);
  c->messages++;
  c->got = c->messages == c->want;
  c->last_len = len;
  memcpy(c->last, data, len < sizeof c->last ? len : sizeof c->last);
  if (c->reply_to != NULL) {
    assert_int_equal(c->w->ops->broker_publish(c->broker, c->reply_to, "reply", 5), WARP_OK);
  }
  if (c->close_in_message) {
    close_client(c);
  }
}

static const wg_broker_handlers handlers = {on_state, on_message};

static void open_with(world *w, client *c, fake_broker *b, const char *credentials,
                      const char *topic) {
  char server[128];
  snprintf(server, sizeof server, "%s127.0.0.1:%u", credentials, b->local.port);
  c->w = w;
  c->state = 1;
  wg_broker_options options = {.server = server, .client_id = "me", .topic = topic};
  assert_int_equal(w->ops->broker_open(w->env, &options, &handlers, c, &c->broker), WARP_OK);
  assert_int_equal(c->state, 1); /* callbacks come from the loop only */
}

static void open_client(world *w, client *c, fake_broker *b, const char *topic) {
  open_with(w, c, b, "", topic);
}

static void publish(client *c, const char *topic, const char *text) {
  assert_int_equal(c->w->ops->broker_publish(c->broker, topic, text, strlen(text)), WARP_OK);
}

static void expect(client *c, size_t messages) {
  c->want = messages;
  c->got = c->messages == messages;
}

/* Until the fake broker has been told of so many messages. */
static void run_until_published(world *w, fake_broker *b, size_t count) {
  for (int i = 0; i < HARNESS_LIMIT_MS && b->published < count; i++) {
    run_for(w, 1);
  }
  assert_int_equal(b->published, count);
}

/* ---- up -------------------------------------------------------------------------------------- */

static void test_up_when_the_subscription_is_acknowledged(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  b->hold_suback = true;
  open_client(w, &c, b, "t/me");
  run_until(w, &b->subscribed);
  run_for(w, 20);
  assert_int_equal(c.state, 1);
  assert_string_equal(b->client_id, "me");
  assert_true(b->clean_session);
  assert_string_equal(b->sessions[0].topic, "t/me");
  fake_send_suback(&b->sessions[0], 1);
  run_until(w, &c.up);
  close_client(&c);
  run_until(w, &b->got_disconnect);
  fake_free(b);
}

static void test_messages_between_two(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client a = {0}, c = {0};
  open_client(w, &a, b, "t/a");
  open_client(w, &c, b, "t/c");
  run_until(w, &a.up);
  run_until(w, &c.up);
  c.reply_to = "t/a"; /* from inside a callback */
  expect(&a, 1);
  publish(&a, "t/c", "question");
  run_until(w, &a.got);
  assert_memory_equal(c.last, "question", 8);
  assert_memory_equal(a.last, "reply", 5);
  close_client(&a);
  close_client(&c);
  fake_free(b);
}

static void test_more_than_are_in_flight_at_once(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  open_client(w, &c, b, "t/c");
  run_until(w, &c.up);
  for (size_t i = 0; i < 2; i++) { /* the count goes down again with the acknowledgements */
    size_t before = c.messages;
    expect(&c, before + WG_BROKER_QUEUE);
    for (size_t k = 0; k < WG_BROKER_QUEUE; k++) {
      publish(&c, "t/c", "x");
    }
    assert_int_equal(w->ops->broker_publish(c.broker, "t/c", "x", 1), WARP_LIMIT);
    run_until(w, &c.got);
    run_for(w, 5);
  }
  assert_int_equal(b->duplicates, 0);
  close_client(&c);
  fake_free(b);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_bad_credentials(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  b->connack = 5;
  open_with(w, &c, b, "alice:wrong@", "t/me");
  run_until(w, &c.down);
  assert_int_equal(c.state, WARP_AUTH);
  assert_string_equal(b->user, "alice");
  assert_string_equal(b->password, "wrong");
  while (b->connects < 3) { /* it goes on trying, and says nothing new */
    run_for(w, 10);
  }
  assert_int_equal(c.down_count, 1);
  b->connack = 0;
  run_until(w, &c.up);
  close_client(&c);
  fake_free(b);
}

static void test_a_refused_subscription(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  b->suback = 0x80;
  open_client(w, &c, b, "t/forbidden");
  run_until(w, &c.down);
  assert_int_equal(c.state, WARP_AUTH);
  assert_int_equal(c.up_count, 0);
  close_client(&c);
  fake_free(b);
}

static void test_nothing_listens(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  fake_stop(b, true);
  open_client(w, &c, b, "t/me");
  run_until(w, &c.down);
  assert_int_equal(c.state, WARP_CONN_REFUSED);
  fake_start(b);
  run_until(w, &c.up);
  close_client(&c);
  fake_free(b);
}

static void test_a_silent_broker(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  b->silent = true;
  open_client(w, &c, b, "t/me");
  run_until(w, &c.down);
  assert_int_equal(c.state, WARP_TIMEOUT);
  b->silent = false;
  run_until(w, &c.up);
  close_client(&c);
  fake_free(b);
}

static void test_garbage(void **state) {
  world *w = *state;
  static const char *const garbage[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "\x20\xff\xff\xff\xff",
                                        "\x90\x01\x01", "\xf0\x02\x01\x01"};
  for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
    fake_broker *b = fake_new(w);
    client c = {0};
    b->silent = true;
    open_client(w, &c, b, "t/me");
    while (b->connects == 0) {
      run_for(w, 1);
    }
    assert_int_equal(w->ops->tcp_send(b->sessions[0].tcp, garbage[i], strlen(garbage[i])), WARP_OK);
    run_for(w, 20);
    assert_int_equal(c.up_count, 0);
    fake_drop(b, false);
    b->silent = false;
    run_until(w, &c.up);
    close_client(&c);
    fake_free(b);
  }
}

static void test_invalid_options(void **state) {
  world *w = *state;
  client c = {.w = w};
  char long_topic[WG_TOPIC_LEN + 1];
  memset(long_topic, 't', WG_TOPIC_LEN);
  long_topic[WG_TOPIC_LEN] = '\0';
  const wg_broker_options bad[] = {
      {.server = "no port", .client_id = "me", .topic = "t"},
      {.server = "127.0.0.1:0x", .client_id = "me", .topic = "t"},
      {.server = "127.0.0.1:1883", .client_id = "me", .topic = ""},
      {.server = "127.0.0.1:1883", .client_id = "me", .topic = long_topic},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(w->ops->broker_open(w->env, &bad[i], &handlers, &c, &c.broker), WARP_INVALID);
  }
}

/* ---- reconnecting ---------------------------------------------------------------------------- */

static void reconnect_after(world *w, bool reset) {
  fake_broker *b = fake_new(w);
  client c = {0};
  open_client(w, &c, b, "t/c");
  run_until(w, &c.up);
  fake_stop(b, reset);
  run_until(w, &c.down);
  expect(&c, 3);
  publish(&c, "t/c", "one");
  publish(&c, "t/c", "two");
  publish(&c, "t/c", "three");
  run_for(w, 20);
  fake_start(b);
  run_until(w, &c.got); /* they went, and the subscription is there again */
  assert_int_equal(b->published, 3);
  assert_int_equal(b->duplicates, 0);
  assert_string_equal(b->first_bytes[0], "one");
  assert_string_equal(b->first_bytes[1], "two");
  assert_string_equal(b->first_bytes[2], "three");
  assert_true(c.up);
  close_client(&c);
  fake_free(b);
}

static void test_the_queue_is_delivered_after_an_outage(void **state) {
  reconnect_after(*state, false);
}

static void test_the_queue_is_delivered_after_a_reset(void **state) {
  reconnect_after(*state, true);
}

static void test_what_was_not_acknowledged_goes_again(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  open_client(w, &c, b, "t/c");
  run_until(w, &c.up);
  b->hold_puback = true;
  publish(&c, "t/c", "lost?");
  run_until_published(w, b, 1);
  b->hold_puback = false;
  expect(&c, 1);
  fake_drop(b, true);
  run_until(w, &c.down);
  run_until(w, &c.got);
  assert_int_equal(b->published, 2);
  assert_int_equal(b->duplicates, 1); /* marked as such */
  close_client(&c);
  fake_free(b);
}

static void test_publishing_into_a_dead_connection(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  open_client(w, &c, b, "t/c");
  run_until(w, &c.up);
  /* Ended, then reset: the next write raises SIGPIPE. */
  assert_int_equal(w->ops->tcp_shutdown(b->sessions[0].tcp), WARP_OK);
  fake_drop(b, true);
  expect(&c, 1);
  publish(&c, "t/c", "kept");
  assert_true(c.up); /* told by the loop only */
  run_until(w, &c.down);
  run_until(w, &c.got);
  close_client(&c);
  fake_free(b);
  struct sigaction sigpipe;
  assert_int_equal(sigaction(SIGPIPE, NULL, &sigpipe), 0);
  assert_ptr_equal(sigpipe.sa_handler, SIG_DFL); /* the program's choice, not ours */
}

static void test_the_queue_is_bounded(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  fake_stop(b, true);
  open_client(w, &c, b, "t/c");
  for (size_t i = 0; i < WG_BROKER_QUEUE; i++) {
    publish(&c, "t/c", "x");
  }
  assert_int_equal(w->ops->broker_publish(c.broker, "t/c", "x", 1), WARP_LIMIT);
  run_until(w, &c.down);
  fake_start(b);
  expect(&c, WG_BROKER_QUEUE);
  run_until(w, &c.got);
  close_client(&c);
  fake_free(b);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void test_sizes(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  static uint8_t big[WG_BROKER_MESSAGE_MAX + 1];
  open_client(w, &c, b, "t/c");
  run_until(w, &c.up);
  assert_int_equal(w->ops->broker_publish(c.broker, "t/c", big, sizeof big), WARP_TOO_BIG);
  assert_int_equal(w->ops->broker_publish(c.broker, "", big, 1), WARP_INVALID);
  assert_int_equal(w->ops->broker_publish(c.broker, "t/#", big, 1), WARP_INVALID);
  assert_int_equal(w->ops->broker_publish(c.broker, "t/c", big, WG_BROKER_MESSAGE_MAX), WARP_OK);
  expect(&c, 1);
  run_until(w, &c.got);
  assert_int_equal(c.last_len, WG_BROKER_MESSAGE_MAX);
  /* Too long ones of others are dropped; what follows arrives. */
  expect(&c, 2);
  fake_publish(b, "t/c", big, sizeof big);
  fake_publish(b, "t/c", "next", 4);
  run_until(w, &c.got);
  assert_int_equal(c.last_len, 4);
  close_client(&c);
  fake_free(b);
}

/* A message that never ends is not taken into memory: the connection is made anew. */
static void test_a_message_without_end(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client c = {0};
  static const uint8_t head[] = {MQTT_PUBLISH << 4, 0x80, 0x80, 0x80, 0x40, 0, 3, 't', '/', 'c'};
  static const uint8_t part[4096];
  open_client(w, &c, b, "t/c");
  run_until(w, &c.up);
  fake_session *s = &b->sessions[0];
  assert_int_equal(w->ops->tcp_send(s->tcp, head, sizeof head), WARP_OK);
  size_t sent = 0;
  while (!c.down && sent < 1 << 17) {
    if (s->tcp != NULL && w->ops->tcp_send(s->tcp, part, sizeof part) == WARP_OK) {
      sent += sizeof part;
    }
    run_for(w, 1);
  }
  run_until(w, &c.down); /* without more of it */
  assert_int_equal(c.state, WARP_TOO_BIG);
  assert_true(sent >= WG_BROKER_MESSAGE_MAX);
  run_until(w, &c.up);
  fake_publish(b, "t/c", "next", 4);
  expect(&c, 1);
  run_until(w, &c.got);
  close_client(&c);
  fake_free(b);
}

/* ---- closing --------------------------------------------------------------------------------- */

static void test_closing_in_callbacks(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  client up = {.close_in_state = true};
  open_client(w, &up, b, "t/a");
  run_until(w, &up.up);
  assert_null(up.broker);
  run_until(w, &b->got_disconnect);

  client in_message = {.close_in_message = true};
  open_client(w, &in_message, b, "t/b");
  run_until(w, &in_message.up);
  expect(&in_message, 1);
  publish(&in_message, "t/b", "1");
  publish(&in_message, "t/b", "2");
  run_until(w, &in_message.got);
  run_for(w, 5);
  assert_int_equal(in_message.messages, 1);

  client down = {0};
  open_client(w, &down, b, "t/c");
  run_until(w, &down.up);
  down.close_in_state = true;
  fake_drop(b, true);
  run_until(w, &down.down);
  assert_null(down.broker);

  client refused = {.close_in_state = true};
  b->connack = 4;
  open_client(w, &refused, b, "t/d");
  run_until(w, &refused.down);
  assert_int_equal(refused.state, WARP_AUTH);
  fake_free(b);
}

static void test_closing_at_any_step(void **state) {
  world *w = *state;
  fake_broker *b = fake_new(w);
  b->hold_suback = true;
  for (int rounds = 0; rounds < 12; rounds++) {
    client c = {0};
    open_client(w, &c, b, "t/me");
    for (int i = 0; i < rounds; i++) {
      uv_run(&w->uv, UV_RUN_NOWAIT);
    }
    publish(&c, "t/x", "never mind");
    close_client(&c);
    assert_int_equal(c.state, 1);
  }
  fake_free(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_up_when_the_subscription_is_acknowledged),
      TEST(test_messages_between_two),
      TEST(test_more_than_are_in_flight_at_once),
      TEST(test_bad_credentials),
      TEST(test_a_refused_subscription),
      TEST(test_nothing_listens),
      TEST(test_a_silent_broker),
      TEST(test_garbage),
      TEST(test_invalid_options),
      TEST(test_the_queue_is_delivered_after_an_outage),
      TEST(test_the_queue_is_delivered_after_a_reset),
      TEST(test_what_was_not_acknowledged_goes_again),
      TEST(test_publishing_into_a_dead_connection),
      TEST(test_the_queue_is_bounded),
      TEST(test_sizes),
      TEST(test_a_message_without_end),
      TEST(test_closing_in_callbacks),
      TEST(test_closing_at_any_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
