/* The simulated broker and the signal transport to it. */
#include "testing.h"

enum { MESSAGES = 300 };

typedef struct client {
  sim_world *world;
  wg_env *env;
  wg_broker *broker;
  unsigned states, failures;
  int state;
  uint64_t state_us, message_us;
  size_t received;
  uint8_t numbers[MESSAGES]; /* first byte of each message */
  size_t last_len;
  bool close_on_message, close_on_state;
} client;

static void on_state(void *arg, int status) {
  client *self = arg;
  self->states++;
  self->failures += status != WARP_OK;
  self->state = status;
  self->state_us = sim_now_us(self->world);
  if (self->close_on_state) {
    self->env->ops->broker_close(self->broker);
  }
}

static void on_message(void *arg, const uint8_t *data, size_t len) {
  client *self = arg;
  assert_true(self->received < MESSAGES);
  self->numbers[self->received++] = len > 0 ? data[0] : 0;
  self->last_len = len;
  self->message_us = sim_now_us(self->world);
  if (self->close_on_message) {
    self->env->ops->broker_close(self->broker);
  }
}

static void open_client(client *self, sim_host *host, const char *server, const char *topic) {
  static const wg_broker_handlers handlers = {on_state, on_message};
  wg_broker_options options = {.server = server, .client_id = "c", .topic = topic};
  *self = (client){.world = sim_host_world(host), .env = sim_host_env(host), .state = -99};
  assert_int_equal(self->env->ops->broker_open(self->env, &options, &handlers, self, &self->broker),
                   WARP_OK);
}

static int publish(client *self, const char *topic, uint8_t number) {
  return self->env->ops->broker_publish(self->broker, topic, &number, 1);
}

static void close_client(client *self) {
  self->env->ops->broker_close(self->broker);
}

static const char server[] = "203.0.113.10:1883";

typedef struct fixture {
  sim_topology net;
  client a, b;
} fixture;

static void build(fixture *f) {
  sim_topology_options options = {.profile_a = "port-restricted", .profile_b = "symmetric"};
  sim_topology_new(&options, &f->net);
  open_client(&f->a, f->net.a, f->net.brokers[0], "topic/a");
  open_client(&f->b, f->net.b, f->net.brokers[0], "topic/b");
}

static void run(fixture *f, uint64_t duration_us) {
  assert_int_equal(sim_run_for(f->net.world, duration_us), WARP_OK);
}

static void finish(fixture *f) {
  assert_int_equal(sim_world_free(f->net.world), 0);
}

static void test_publish(void **state) {
  (void)state;
  fixture f;
  build(&f);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.states, 1);
  assert_int_equal(f.a.state, WARP_OK);
  assert_int_equal(f.a.state_us, 120 * SIM_MS); /* connection, greeting, subscription */
  assert_int_equal(sim_broker_subscribers(f.net.broker), 2);
  assert_int_equal(publish(&f.a, "topic/b", 1), WARP_OK);
  assert_int_equal(publish(&f.a, "topic/nobody", 2), WARP_OK);
  assert_int_equal(publish(&f.a, "topic/b", 3), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.received, 0);
  assert_int_equal(f.b.received, 2);
  assert_int_equal(f.b.numbers[0], 1);
  assert_int_equal(f.b.numbers[1], 3);
  assert_int_equal(f.b.message_us, SIM_SECOND + 40 * SIM_MS); /* one way up and one way down */
  close_client(&f.a);
  close_client(&f.b);
  finish(&f);
}

static void test_limits(void **state) {
  (void)state;
  fixture f;
  static uint8_t large[WG_BROKER_MESSAGE_MAX + 1];
  build(&f);
  const wg_env_ops *ops = f.a.env->ops;
  assert_int_equal(ops->broker_publish(f.a.broker, "topic/b", large, sizeof large), WARP_TOO_BIG);
  assert_int_equal(ops->broker_publish(f.a.broker, "topic/b", large, sizeof large - 1), WARP_OK);
  for (size_t i = 1; i < WG_BROKER_QUEUE; i++) {
    assert_int_equal(publish(&f.a, "topic/b", (uint8_t)i), WARP_OK);
  }
  assert_int_equal(publish(&f.a, "topic/b", 0), WARP_LIMIT);
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.received, WG_BROKER_QUEUE);
  assert_int_equal(f.b.numbers[255], 255);
  assert_int_equal(publish(&f.a, "topic/b", 0), WARP_OK);
  close_client(&f.a);
  close_client(&f.b);
  finish(&f);
}

/* Down, tried again with backoff, up again with what was queued meanwhile. */
static void test_outage(void **state) {
  (void)state;
  fixture f;
  build(&f);
  run(&f, SIM_SECOND);
  sim_broker_set_up(f.net.broker, false);
  run(&f, 25 * SIM_MS);
  assert_int_equal(f.a.state, WARP_RESET);
  for (uint8_t i = 0; i < 10; i++) {
    assert_int_equal(publish(&f.a, "topic/b", i), WARP_OK);
  }
  run(&f, 20 * SIM_SECOND);
  assert_int_equal(f.a.state, WARP_CONN_REFUSED);
  assert_in_range(f.a.failures, 6, 10); /* 0.2 0.4 0.8 1.6 3.2 5 5 5 s, and jitter */
  assert_int_equal(f.b.received, 0);
  sim_broker_set_up(f.net.broker, true);
  run(&f, 7 * SIM_SECOND);
  assert_int_equal(f.a.state, WARP_OK);
  assert_int_equal(f.b.state, WARP_OK);
  close_client(&f.a);
  close_client(&f.b);
  finish(&f);
}

/* What the broker never acknowledged is sent again after the reconnect. */
static void test_queue_survives(void **state) {
  (void)state;
  fixture f;
  build(&f);
  run(&f, SIM_SECOND);
  close_client(&f.b);
  sim_broker_set_up(f.net.broker, false);
  for (uint8_t i = 0; i < 10; i++) {
    assert_int_equal(publish(&f.a, "topic/a", i), WARP_OK);
  }
  run(&f, 100 * SIM_MS);
  sim_broker_set_up(f.net.broker, true);
  run(&f, 10 * SIM_SECOND);
  assert_int_equal(f.a.received, 10);
  for (uint8_t i = 0; i < 10; i++) {
    assert_int_equal(f.a.numbers[i], i);
  }
  close_client(&f.a);
  finish(&f);
}

/* A path that dies without a word is noticed by pings. */
static void test_silence(void **state) {
  (void)state;
  fixture f;
  build(&f);
  run(&f, SIM_SECOND);
  sim_network_set_up(f.net.site_server, false);
  run(&f, 4 * SIM_SECOND);
  assert_int_equal(f.a.state, WARP_OK);
  run(&f, 7 * SIM_SECOND);
  assert_int_equal(f.a.state, WARP_TIMEOUT);
  assert_int_equal(f.a.failures, 1);
  run(&f, 30 * SIM_SECOND);
  assert_in_range(f.a.failures, 3, 4); /* each try ends after 10 s */
  sim_network_set_up(f.net.site_server, true);
  run(&f, 20 * SIM_SECOND);
  assert_int_equal(f.a.state, WARP_OK);
  close_client(&f.a);
  close_client(&f.b);
  finish(&f);
}

static void test_credentials(void **state) {
  (void)state;
  fixture f;
  build(&f);
  close_client(&f.a);
  close_client(&f.b);
  sim_broker_set_credentials(f.net.broker, "alice", "secret");
  open_client(&f.a, f.net.a, "alice:secret@203.0.113.10:1883", "topic/a");
  open_client(&f.b, f.net.b, "alice:guess@203.0.113.10:1883", "topic/b");
  run(&f, 5 * SIM_SECOND);
  assert_int_equal(f.a.state, WARP_OK);
  assert_int_equal(f.b.state, WARP_AUTH);
  assert_true(f.b.failures > 2);
  close_client(&f.b);
  open_client(&f.b, f.net.b, server, "topic/b");
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.state, WARP_AUTH);
  sim_broker_set_credentials(f.net.broker, NULL, NULL);
  run(&f, 10 * SIM_SECOND);
  assert_int_equal(f.b.state, WARP_OK);
  close_client(&f.a);
  close_client(&f.b);
  finish(&f);
}

static void test_server_names(void **state) {
  (void)state;
  fixture f;
  build(&f);
  close_client(&f.a);
  close_client(&f.b);
  sim_add_name(f.net.world, "broker.example", "203.0.113.10");
  open_client(&f.a, f.net.a, "broker.example:1883", "topic/a");
  open_client(&f.b, f.net.b, "nowhere.example:1883", "topic/b");
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.state, WARP_OK);
  assert_int_equal(f.b.state, WARP_NOT_FOUND);
  wg_broker_options bad = {.server = "no port", .client_id = "c", .topic = "t"};
  wg_broker_handlers none = {0};
  wg_broker *broker = NULL;
  assert_int_equal(f.a.env->ops->broker_open(f.a.env, &bad, &none, NULL, &broker), WARP_INVALID);
  close_client(&f.a);
  close_client(&f.b);
  finish(&f);
}

static void test_close_in_callbacks(void **state) {
  (void)state;
  fixture f;
  build(&f);
  run(&f, SIM_SECOND);
  f.b.close_on_message = true;
  for (uint8_t i = 0; i < 5; i++) {
    assert_int_equal(publish(&f.a, "topic/b", i), WARP_OK);
  }
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.received, 1);
  f.a.close_on_state = true;
  sim_broker_set_up(f.net.broker, false);
  run(&f, 10 * SIM_SECOND);
  assert_int_equal(f.a.states, 2);
  assert_int_equal(sim_host_handles(f.net.a) + sim_host_handles(f.net.b), 0);
  finish(&f);
}

typedef struct thief {
  size_t seen;
  uint8_t last;
  bool deliver;
} thief;

static bool tap(void *arg, const char *topic, const uint8_t *data, size_t len) {
  thief *self = arg;
  assert_string_equal(topic, "topic/b");
  assert_int_equal(len, 1);
  self->seen++;
  self->last = data[0];
  return self->deliver;
}

static void test_tap_and_inject(void **state) {
  (void)state;
  fixture f;
  thief self = {0};
  build(&f);
  run(&f, SIM_SECOND);
  sim_broker_set_tap(f.net.broker, tap, &self);
  assert_int_equal(publish(&f.a, "topic/b", 9), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(self.seen, 1);
  assert_int_equal(f.b.received, 0);
  sim_broker_inject(f.net.broker, "topic/b", &self.last, 1);
  sim_broker_inject(f.net.broker, "topic/b", &self.last, 1);
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.received, 2);
  assert_int_equal(f.b.numbers[1], 9);
  close_client(&f.a);
  close_client(&f.b);
  finish(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_publish),        cmocka_unit_test(test_limits),
      cmocka_unit_test(test_outage),         cmocka_unit_test(test_queue_survives),
      cmocka_unit_test(test_silence),        cmocka_unit_test(test_credentials),
      cmocka_unit_test(test_server_names),   cmocka_unit_test(test_close_in_callbacks),
      cmocka_unit_test(test_tap_and_inject),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
