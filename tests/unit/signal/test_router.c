/* The router over brokers that exist in this file only: what is sent waits in a queue until the
 * test delivers, repeats, reorders or changes it. */
#include "signal/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/list.h"

static const int64_t START_MS = INT64_C(1700000000000);

/* ---- the world ------------------------------------------------------------------------------- */

struct wg_broker {
  bool open;
  char server[80], topic[WG_TOPIC_LEN], client_id[32];
  const wg_broker_handlers *handlers;
  void *arg;
};

typedef struct sent {
  char server[80], topic[WG_TOPIC_LEN];
  uint8_t data[WG_ENVELOPE_MAX];
  size_t len;
} sent;

enum { BROKERS_MAX = 12, SENT_MAX = 128 };

static struct {
  wg_env env;
  uint64_t now_us;
  int64_t wall_ms;
  uint8_t random;
  int open_error, publish_error, random_error;
  struct wg_broker brokers[BROKERS_MAX];
  size_t broker_count;
  sent queue[SENT_MAX];
  size_t sent_count;
} world;

static uint64_t world_now_us(wg_env *env) {
  (void)env;
  return world.now_us;
}

static int64_t world_wall_ms(wg_env *env) {
  (void)env;
  return world.wall_ms;
}

static int world_random(wg_env *env, void *out, size_t len) {
  (void)env;
  memset(out, ++world.random, len);
  return world.random_error;
}

static int world_broker_open(wg_env *env, const wg_broker_options *options,
                             const wg_broker_handlers *handlers, void *arg, wg_broker **out) {
  (void)env;
  if (world.open_error != WARP_OK) {
    return world.open_error;
  }
  assert_true(world.broker_count < BROKERS_MAX);
  struct wg_broker *broker = &world.brokers[world.broker_count++];
  broker->open = true;
  snprintf(broker->server, sizeof broker->server, "%s", options->server);
  snprintf(broker->topic, sizeof broker->topic, "%s", options->topic);
  snprintf(broker->client_id, sizeof broker->client_id, "%s", options->client_id);
  broker->handlers = handlers;
  broker->arg = arg;
  *out = broker;
  return WARP_OK;
}

static int world_broker_publish(wg_broker *broker, const char *topic, const void *data,
                                size_t len) {
  assert_true(broker->open);
  if (world.publish_error != WARP_OK) {
    return world.publish_error;
  }
  assert_true(world.sent_count < SENT_MAX && len <= WG_ENVELOPE_MAX);
  sent *entry = &world.queue[world.sent_count++];
  snprintf(entry->server, sizeof entry->server, "%s", broker->server);
  snprintf(entry->topic, sizeof entry->topic, "%s", topic);
  memcpy(entry->data, data, len);
  entry->len = len;
  return WARP_OK;
}

static void world_broker_close(wg_broker *broker) {
  assert_true(broker->open);
  broker->open = false;
}

static const wg_env_ops ops = {
    .now_us = world_now_us,
    .wall_ms = world_wall_ms,
    .random = world_random,
    .broker_open = world_broker_open,
    .broker_publish = world_broker_publish,
    .broker_close = world_broker_close,
};

static void set_state(const char *server, int status) {
  for (size_t i = 0; i < world.broker_count; i++) {
    struct wg_broker *broker = &world.brokers[i];
    if (broker->open && strcmp(broker->server, server) == 0) {
      broker->handlers->on_state(broker->arg, status);
    }
  }
}

static void deliver(const sent *entry) {
  for (size_t i = 0; i < world.broker_count; i++) {
    struct wg_broker *broker = &world.brokers[i];
    if (broker->open && strcmp(broker->server, entry->server) == 0 &&
        strcmp(broker->topic, entry->topic) == 0) {
      broker->handlers->on_message(broker->arg, entry->data, entry->len);
    }
  }
}

/* ---- two nodes ------------------------------------------------------------------------------- */

typedef struct node {
  wg_identity *identity;
  wg_router *router;
  wg_record record;
  unsigned received, state_changes;
  int last_state;
  char last_server[80];
  warp_key sender;
  uint8_t data[64];
  size_t data_len;
  bool close_on_message;
} node;

static node alice, bob;

static void on_message(void *arg, const warp_key *sender, const wg_message *message) {
  node *self = arg;
  self->received++;
  self->sender = *sender;
  self->data_len = message->data_len;
  assert_true(message->data_len <= sizeof self->data);
  if (message->data_len > 0) {
    memcpy(self->data, message->data, message->data_len);
  }
  if (self->close_on_message) {
    wg_router_close(self->router);
    self->router = NULL;
  }
}

static void on_state(void *arg, const char *server, int status) {
  node *self = arg;
  self->state_changes++;
  self->last_state = status;
  snprintf(self->last_server, sizeof self->last_server, "%s", server);
}

static int open_router(node *self, const char *const *brokers) {
  wg_router_options options = {
      .env = &world.env,
      .identity = self->identity,
      .brokers = brokers,
      .on_message = on_message,
      .on_state = on_state,
      .arg = self,
  };
  return wg_router_open(&options, &self->router);
}

static void open_node(node *self, const char *const *brokers) {
  memset(self, 0, sizeof *self);
  assert_int_equal(wg_identity_generate(&self->identity), WARP_OK);
  self->record.key = *wg_identity_key(self->identity);
  self->record.expires_ms = START_MS + 3600000;
  for (size_t i = 0; brokers[i] != NULL; i++) {
    assert_int_equal(wg_broker_hint(brokers[i], self->record.brokers[i]), WARP_OK);
    self->record.broker_count++;
  }
  assert_int_equal(open_router(self, brokers), WARP_OK);
}

static void close_node(node *self) {
  wg_router_close(self->router);
  wg_identity_free(self->identity);
}

static const char *const ONE[] = {"one:1883", NULL};
static const char *const ONE_TWO[] = {"one:1883", "two:1883", NULL};
static const char *const ONE_TWO_THREE[] = {"one:1883", "two:1883", "three:1883", NULL};
static const char *const TWO[] = {"two:1883", NULL};
static const char *const NO_BROKER[] = {NULL};

static int set_up(void **state) {
  (void)state;
  memset(&world, 0, sizeof world);
  world.env.ops = &ops;
  world.now_us = 1000000;
  world.wall_ms = START_MS;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  close_node(&alice);
  close_node(&bob);
  for (size_t i = 0; i < world.broker_count; i++) {
    assert_false(world.brokers[i].open);
  }
  memset(&alice, 0, sizeof alice);
  memset(&bob, 0, sizeof bob);
  return 0;
}

static wg_message hello(const char *text) {
  return (wg_message){
      .type = WG_MESSAGE_PLUGIN,
      .session = {{1, 2, 3}},
      .attempt = 1,
      .plugin_type = 1,
      .data = (const uint8_t *)text,
      .data_len = strlen(text),
  };
}

static int send_text(node *from, const node *to, const char *text) {
  wg_message message = hello(text);
  return wg_router_send(from->router, &to->record, &message);
}

static wg_router_counters counters_of(const node *self) {
  wg_router_counters counters;
  wg_router_counters_get(self->router, &counters);
  return counters;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void test_send_and_receive(void **state) {
  (void)state;
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  assert_int_equal(send_text(&alice, &bob, "early"), WARP_NO_SERVER);
  set_state("one:1883", WARP_OK);
  assert_int_equal(alice.last_state, WARP_OK);
  assert_string_equal(alice.last_server, "one:1883");
  assert_int_equal(send_text(&alice, &bob, "hello"), WARP_OK);
  assert_int_equal(world.sent_count, 1);
  deliver(&world.queue[0]);
  assert_int_equal(alice.received, 0);
  assert_int_equal(bob.received, 1);
  assert_true(wg_key_equal(&bob.sender, wg_identity_key(alice.identity)));
  assert_memory_equal(bob.data, "hello", 5);
  set_state("one:1883", WARP_CONN_REFUSED);
  assert_int_equal(send_text(&alice, &bob, "late"), WARP_NO_SERVER);
}

static void test_which_brokers(void **state) {
  (void)state;
  open_node(&alice, ONE_TWO_THREE);
  open_node(&bob, TWO);
  set_state("one:1883", WARP_OK);
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_NO_SERVER); /* up, but not shared */
  set_state("two:1883", WARP_OK);
  set_state("three:1883", WARP_OK);
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  assert_int_equal(world.sent_count, 1);
  assert_string_equal(world.queue[0].server, "two:1883");
  /* all three shared: two copies, the same bytes */
  bob.record.broker_count = 3;
  memcpy(bob.record.brokers, alice.record.brokers, sizeof bob.record.brokers);
  world.sent_count = 0;
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  assert_int_equal(world.sent_count, 2);
  assert_string_equal(world.queue[0].server, "one:1883");
  assert_string_equal(world.queue[1].server, "two:1883");
  assert_int_equal(world.queue[0].len, world.queue[1].len);
  assert_memory_equal(world.queue[0].data, world.queue[1].data, world.queue[0].len);
  /* host names are the same however they are written */
  strcpy(bob.record.brokers[0], "ONE:1883");
  bob.record.broker_count = 1;
  world.sent_count = 0;
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  /* a record without brokers: our first one that is up */
  bob.record.broker_count = 0;
  set_state("one:1883", WARP_TIMEOUT);
  world.sent_count = 0;
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  assert_int_equal(world.sent_count, 1);
  assert_string_equal(world.queue[0].server, "two:1883");
  world.publish_error = WARP_LIMIT;
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_LIMIT);
}

static void test_no_brokers(void **state) {
  (void)state;
  open_node(&alice, NO_BROKER);
  open_node(&bob, ONE);
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_NO_SERVER);
  wg_router_close(alice.router);
  assert_int_equal(open_router(&alice, NULL), WARP_OK);
}

static void test_hints(void **state) {
  (void)state;
  char hint[WG_HINT_LEN];
  assert_int_equal(wg_broker_hint("user:secret@Broker.Example:1883", hint), WARP_OK);
  assert_string_equal(hint, "Broker.Example:1883");
  assert_int_equal(wg_broker_hint("[2001:DB8::1]:1883", hint), WARP_OK);
  assert_string_equal(hint, "[2001:DB8::1]:1883");
  assert_int_equal(wg_broker_hint("no-port", hint), WARP_INVALID);
  char text[120];
  memset(text, 'a', 70);
  strcpy(text + 70, ":1883");
  assert_int_equal(wg_broker_hint(text, hint), WARP_TOO_BIG);
  open_node(&alice, ONE);
  open_node(&bob, ONE);
}

static void test_open_errors(void **state) {
  (void)state;
  static const char *const bad[] = {"one:1883", "nonsense", NULL};
  static const char *const five[] = {"a:1", "b:1", "c:1", "d:1", "e:1", NULL};
  open_node(&alice, ONE);
  open_node(&bob, five);
  assert_int_equal(world.broker_count, 1 + WG_ROUTER_BROKERS);
  assert_string_not_equal(world.brokers[1].client_id, world.brokers[2].client_id);
  node third = {.identity = alice.identity};
  assert_int_equal(open_router(&third, bad), WARP_INVALID);
  assert_false(world.brokers[world.broker_count - 1].open); /* the good one is closed again */
  world.open_error = WARP_NOMEM;
  assert_int_equal(open_router(&third, ONE), WARP_NOMEM);
  world.random_error = WARP_IO;
  assert_int_equal(open_router(&third, ONE), WARP_IO);
}

/* ---- what is not handed up ------------------------------------------------------------------- */

static void test_copies_and_replays(void **state) {
  (void)state;
  open_node(&alice, ONE_TWO);
  open_node(&bob, ONE_TWO);
  set_state("one:1883", WARP_OK);
  set_state("two:1883", WARP_OK);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  }
  assert_int_equal(world.sent_count, 10);
  for (size_t i = world.sent_count; i-- > 0;) { /* the other way round, each twice */
    deliver(&world.queue[i]);
    deliver(&world.queue[i]);
  }
  assert_int_equal(bob.received, 5);
  assert_int_equal(counters_of(&bob).accepted, 5);
  assert_int_equal(counters_of(&bob).replayed, 15);
}

static void test_restart_goes_on(void **state) {
  (void)state;
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  set_state("one:1883", WARP_OK);
  assert_int_equal(send_text(&alice, &bob, "before"), WARP_OK);
  deliver(&world.queue[0]);
  wg_router_close(alice.router);
  world.wall_ms += 50;
  assert_int_equal(open_router(&alice, ONE), WARP_OK);
  set_state("one:1883", WARP_OK);
  assert_int_equal(send_text(&alice, &bob, "after"), WARP_OK);
  deliver(&world.queue[1]);
  assert_int_equal(bob.received, 2);
}

static void test_junk(void **state) {
  (void)state;
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  set_state("one:1883", WARP_OK);
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  sent good = world.queue[0];
  for (size_t i = 0; i < good.len; i += 7) {
    sent bad = good;
    bad.data[i] ^= 1;
    deliver(&bad);
  }
  sent cut = good;
  for (cut.len = 0; cut.len < good.len; cut.len += 11) {
    deliver(&cut);
  }
  assert_int_equal(bob.received, 0);
  wg_router_counters counters = counters_of(&bob);
  assert_true(counters.untrusted > 10 && counters.malformed > 3);
  /* to somebody else, who subscribed to our topic */
  sent misled = good;
  wg_topic(wg_identity_key(alice.identity), misled.topic);
  deliver(&misled);
  assert_int_equal(alice.received, 0);
  assert_int_equal(counters_of(&alice).untrusted, 1);
  deliver(&good);
  assert_int_equal(bob.received, 1);
}

static void test_expired(void **state) {
  (void)state;
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  set_state("one:1883", WARP_OK);
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  world.wall_ms += WG_SIGNAL_LIFETIME_MS + WG_CLOCK_TOLERANCE_MS + 1;
  deliver(&world.queue[0]);
  assert_int_equal(bob.received, 0);
  assert_int_equal(counters_of(&bob).expired, 1);
  world.wall_ms -= 1;
  deliver(&world.queue[0]);
  assert_int_equal(bob.received, 1);
}

static void test_rate(void **state) {
  (void)state;
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  set_state("one:1883", WARP_OK);
  for (int i = 0; i < WG_RATE_SENDER_PER_S + 5; i++) {
    world.sent_count = 0;
    assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
    deliver(&world.queue[0]);
  }
  assert_int_equal(bob.received, WG_RATE_SENDER_PER_S);
  assert_int_equal(counters_of(&bob).rate_limited, 5);
  world.now_us += 1000000;
  deliver(&world.queue[0]);
  assert_int_equal(bob.received, WG_RATE_SENDER_PER_S + 1);
}

/* A record in a message must be good, and the sender's own. */
static void test_record_inside(void **state) {
  (void)state;
  uint8_t own[WARP_RECORD_MAX], foreign[WARP_RECORD_MAX];
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  set_state("one:1883", WARP_OK);
  int own_len = wg_record_sign(alice.identity, &alice.record, own, sizeof own);
  int foreign_len = wg_record_sign(bob.identity, &bob.record, foreign, sizeof foreign);
  wg_message message = {
      .type = WG_MESSAGE_INVITE, .session = {{1}}, .record = own, .record_len = (size_t)own_len};
  assert_int_equal(wg_router_send(alice.router, &bob.record, &message), WARP_OK);
  deliver(&world.queue[0]);
  assert_int_equal(bob.received, 1);
  message.record = foreign;
  message.record_len = (size_t)foreign_len;
  assert_int_equal(wg_router_send(alice.router, &bob.record, &message), WARP_OK);
  deliver(&world.queue[1]);
  assert_int_equal(bob.received, 1);
  assert_int_equal(counters_of(&bob).untrusted, 1);
  own[own_len - 1] ^= 1;
  message.record = own;
  message.record_len = (size_t)own_len;
  assert_int_equal(wg_router_send(alice.router, &bob.record, &message), WARP_OK);
  deliver(&world.queue[2]);
  assert_int_equal(bob.received, 1);
  assert_int_equal(counters_of(&bob).bad_signature, 1);
}

/* What came another way is checked by the same rules, replays included. */
static void test_check(void **state) {
  (void)state;
  uint8_t bytes[WG_ENVELOPE_MAX], plain[WG_ENVELOPE_MAX];
  warp_key sender;
  wg_message message = hello("by hand"), got;
  open_node(&alice, NO_BROKER);
  open_node(&bob, ONE);
  int len = wg_router_seal(alice.router, &bob.record.key, &message, bytes, sizeof bytes);
  assert_true(len > 0);
  assert_int_equal(wg_router_check(bob.router, bytes, (size_t)len, plain, &sender, &got), WARP_OK);
  assert_true(wg_key_equal(&sender, wg_identity_key(alice.identity)));
  assert_memory_equal(got.data, "by hand", 7);
  assert_int_equal(wg_router_check(bob.router, bytes, (size_t)len, plain, &sender, &got),
                   WARP_REPLAY);
  assert_int_equal(wg_router_seal(alice.router, &bob.record.key, &message, bytes, 10),
                   WARP_TOO_BIG);
  message.type = 99;
  assert_int_equal(wg_router_seal(alice.router, &bob.record.key, &message, bytes, sizeof bytes),
                   WARP_INVALID);
  assert_int_equal(wg_router_send(bob.router, &alice.record, &message), WARP_NO_SERVER);
}

static void test_close_in_callback(void **state) {
  (void)state;
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  set_state("one:1883", WARP_OK);
  bob.close_on_message = true;
  assert_int_equal(send_text(&alice, &bob, "x"), WARP_OK);
  deliver(&world.queue[0]);
  assert_int_equal(bob.received, 1);
  assert_null(bob.router);
}

static void test_topic(void **state) {
  (void)state;
  char topic[WG_TOPIC_LEN];
  uint8_t hash[32];
  char hex[65];
  open_node(&alice, ONE);
  open_node(&bob, ONE);
  wg_topic(wg_identity_key(alice.identity), topic);
  wg_key_hash(wg_identity_key(alice.identity), hash);
  wg_hex_encode(hash, sizeof hash, hex);
  assert_int_equal(strlen(topic), 7 + 32);
  assert_memory_equal(topic, "warp/1/", 7);
  assert_memory_equal(topic + 7, hex, 32);
  assert_string_equal(topic, world.brokers[0].topic);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_send_and_receive),  TEST(test_which_brokers),
      TEST(test_no_brokers),        TEST(test_hints),
      TEST(test_open_errors),       TEST(test_copies_and_replays),
      TEST(test_restart_goes_on),   TEST(test_junk),
      TEST(test_expired),           TEST(test_rate),
      TEST(test_record_inside),     TEST(test_check),
      TEST(test_close_in_callback), TEST(test_topic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
