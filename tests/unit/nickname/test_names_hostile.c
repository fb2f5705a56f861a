/* The client where the network does not work, and against servers that answer what the test tells
 * them to. */
#include "names_rig.h"

/* ---- clients that do not read ---------------------------------------------------------------- */

static void on_stream_end(void *arg, int status) {
  (void)status;
  *(bool *)arg = true;
}

static void on_stream_open(void *arg, int status) {
  (void)arg;
  assert_int_equal(status, WARP_OK);
}

static void on_stream_data(void *arg, const uint8_t *data, size_t len) {
  (void)arg, (void)data, (void)len;
}

/* It asks and asks, and takes no answer: little of them is kept for it. */
static void test_a_client_that_does_not_read(void **state) {
  (void)state;
  enum { BURST = 100, ENOUGH = 400 }; /* a window of answers, and what the server keeps */
  static const wg_tcp_handlers handlers = {
      .on_open = on_stream_open, .on_data = on_stream_data, .on_end = on_stream_end};
  wg_env *env = sim_host_env(w.a);
  wg_name_request request = {.op = WG_NAME_LOOKUP, .name = "nobody"};
  uint8_t frame[WG_NAME_FRAME_LEN + WG_NAME_REQUEST_MAX];
  int len = wg_name_request_encode(&request, frame + WG_NAME_FRAME_LEN, WG_NAME_REQUEST_MAX);
  assert_true(len > 0);
  frame[0] = (uint8_t)(len >> 8);
  frame[1] = (uint8_t)len;
  warp_addr to;
  assert_int_equal(warp_addr_parse("203.0.113.10:5300", &to), WARP_OK);
  bool ended = false;
  wg_tcp *tcp;
  assert_int_equal(env->ops->tcp_connect(env, NULL, &to, 0, &handlers, &ended, &tcp), WARP_OK);
  assert_int_equal(sim_run_for(w.world, SECOND_US), WARP_OK);
  env->ops->tcp_pause(tcp, true);
  unsigned bursts = 0;
  for (; !ended && bursts < ENOUGH; bursts++) {
    for (unsigned i = 0; i < BURST; i++)
      (void)env->ops->tcp_send(tcp, frame, (size_t)len + WG_NAME_FRAME_LEN);
    assert_int_equal(sim_run_for(w.world, SECOND_US / 5), WARP_OK);
    name_server_counters counters;
    name_server_counters_get(w.one.server, &counters);
    ended |= counters.connections == 0;
  }
  assert_in_range(bursts, 10, ENOUGH - 1);
  env->ops->tcp_close(tcp);
}

/* ---- networks that do not work --------------------------------------------------------------- */

static void test_loss(void **state) {
  (void)state;
  sim_link link = {.latency_us = 20000, .jitter_us = 10000, .loss = 0.25, .duplicate = 0.2};
  sim_network_set_link(w.home, &link);
  w.names = open_names(w.a, w.alice, ONE);
  w.others = open_names(w.b, w.bob, ONE);
  result found;
  for (uint64_t i = 1; i <= 20; i++) {
    assert_int_equal(do_register(w.names, w.alice, "alice", i), WARP_OK);
    assert_int_equal(do_lookup(w.others, "alice", &found), WARP_OK);
    assert_int_equal(sequence_of(&found), i);
  }
}

static int drop_udp(wg_udp *udp, const warp_addr *to, const void *data, size_t len) {
  (void)udp;
  (void)to;
  (void)data;
  (void)len;
  return WARP_OK;
}

static void test_tcp_where_udp_does_not_pass(void **state) {
  (void)state;
  wg_env *env = sim_host_env(w.a);
  const wg_env_ops *before = env->ops;
  wg_env_ops no_udp = *before;
  no_udp.udp_send = drop_udp;
  env->ops = &no_udp;
  w.names = open_names(w.a, w.alice, ONE);
  uint64_t begun_us = sim_now_us(w.world);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  /* a third of the timeout, the connection, the cookie, the answer */
  assert_in_range(sim_now_us(w.world) - begun_us, 1240000, 1250000);
  result found;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_int_equal(sequence_of(&found), 5);
  wg_names_close(w.names);
  w.names = NULL;
  env->ops = before;
}

static void test_nobody_there(void **state) {
  (void)state;
  static const char *const closed[] = {"203.0.113.10:9", NULL};
  static const char *const unknown[] = {"unknown.example:5300", NULL};
  static const char *const none[] = {NULL};
  result found;
  w.names = open_names(w.a, w.alice, closed);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_TIMEOUT);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, unknown);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NO_SERVER);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, none);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NO_SERVER);
  assert_int_equal(do_register(w.names, w.alice, "alice", 1), WARP_NO_SERVER);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, NULL);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NO_SERVER);
}

static void test_dead_resolver(void **state) {
  (void)state;
  static const char *const dead[] = {"dead.example:5300", "198.51.100.20:5300", NULL};
  result found;
  w.names = open_names(w.a, w.alice, dead);
  uint64_t begun_us = sim_now_us(w.world);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_true(sim_now_us(w.world) - begun_us < SECOND_US);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_int_equal(do_lookup(w.names, "bob", &found), WARP_NOT_FOUND);
}

/* The name moved to another address: found out by asking again. */
static void test_server_moves(void **state) {
  (void)state;
  static const char *const by_name[] = {"names.example:5300", NULL};
  result found;
  w.names = open_names(w.a, w.alice, by_name);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  sim_network_set_up(w.site_one, false);
  sim_add_name(w.world, "names.example", "198.51.100.20");
  (void)do_lookup(w.names, "alice", &found);
  assert_int_equal(do_register(w.names, w.alice, "alice", 6), WARP_OK);
  assert_int_equal(stored(&w.two, "alice"), 6);
}

/* ---- servers that lie ------------------------------------------------------------------------ */

/* A server that does what the test wants. */
typedef struct liar {
  wg_env *env;
  wg_udp *udp;
  wg_name_reply reply;
  bool wrong_nonce, wrong_source;
  unsigned asked;
} liar;

static void liar_answers(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  liar *self = arg;
  wg_name_request request;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN], bytes[WG_NAME_REPLY_MAX];
  assert_int_equal(wg_name_request_decode(data, len, &request, &signed_len, signature), WARP_OK);
  self->asked++;
  wg_name_reply reply = self->reply;
  memcpy(reply.nonce, request.nonce, sizeof reply.nonce);
  reply.nonce[0] ^= self->wrong_nonce;
  int reply_len = wg_name_reply_encode(&reply, bytes, sizeof bytes);
  assert_true(reply_len > 0);
  wg_udp *udp = self->udp;
  if (self->wrong_source) {
    warp_addr any = wg_addr_any(WARP_IP4, 0);
    assert_int_equal(self->env->ops->udp_open(self->env, &any, 0, liar_answers, self, &udp),
                     WARP_OK);
  }
  self->env->ops->udp_send(udp, from, bytes, (size_t)reply_len);
  if (self->wrong_source) {
    self->env->ops->udp_close(udp);
  }
}

static void start_liar(liar *self, uint8_t status) {
  *self = (liar){.env = sim_host_env(w.one.host), .reply = {.status = status}};
  warp_addr any = wg_addr_any(WARP_IP4, PORT + 1);
  assert_int_equal(self->env->ops->udp_open(self->env, &any, 0, liar_answers, self, &self->udp),
                   WARP_OK);
}

static void stop_liar(liar *self) {
  self->env->ops->udp_close(self->udp);
}

static void test_bad_records(void **state) {
  (void)state;
  uint8_t good[WARP_RECORD_MAX], bad[WARP_RECORD_MAX], foreign[WARP_RECORD_MAX];
  liar self;
  result found;
  size_t len = make_record(w.alice, 5, good);
  memcpy(bad, good, len);
  bad[len - 1] ^= 1;
  start_liar(&self, WG_NAME_OK);
  w.names = open_names(w.a, w.alice, LIAR);
  self.reply.record = bad;
  self.reply.record_len = len;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_BAD_SIGNATURE);
  assert_int_equal(found.len, 0);
  self.reply.record = (const uint8_t *)"nonsense";
  self.reply.record_len = 8;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_MALFORMED);
  self.reply.record_len = 0;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_MALFORMED);
  /* Somebody's good record under a name that only Alice's key can have */
  char derived[WARP_NAME_MAX + 1];
  wg_name_derive(wg_identity_key(w.alice), derived);
  self.reply.record_len = make_record(w.bob, 5, foreign);
  self.reply.record = foreign;
  assert_int_equal(do_lookup(w.names, derived, &found), WARP_UNTRUSTED);
  /* and a server that is honest beside it wins */
  w.others = open_names(w.b, w.alice, LIAR_AND_ONE);
  self.reply.record = bad;
  self.reply.record_len = len;
  assert_int_equal(do_lookup(w.others, "alice", &found), WARP_NOT_FOUND);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, ONE);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_int_equal(do_lookup(w.others, "alice", &found), WARP_OK);
  stop_liar(&self);
}

/* A server that gives a name to somebody else, and is the quickest, against honest ones. */
static void test_another_owner(void **state) {
  (void)state;
  static const char *const three[] = {"203.0.113.10:5301", "203.0.113.10:5300",
                                      "198.51.100.20:5300", NULL};
  uint8_t foreign[WARP_RECORD_MAX];
  liar self;
  result found;
  sim_link slow = {.latency_us = 100000};
  sim_network_set_link(w.site_two, &slow);
  start_liar(&self, WG_NAME_OK);
  self.reply.record_len = make_record(w.bob, 99, foreign);
  self.reply.record = foreign;
  w.names = open_names(w.a, w.alice, three);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  sim_run_for(w.world, SECOND_US); /* all have it */
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_int_equal(sequence_of(&found), 5); /* two against one */
  w.others = open_names(w.b, w.bob, LIAR_AND_ONE);
  assert_int_equal(do_lookup(w.others, "alice", &found), WARP_UNTRUSTED);
  assert_int_equal(found.len, 0);
  stop_liar(&self);
}

/* A server that brings back what its owner has replaced. */
static void test_old_record(void **state) {
  (void)state;
  uint8_t old[WARP_RECORD_MAX];
  liar self;
  result found;
  start_liar(&self, WG_NAME_OK);
  self.reply.record_len = make_record(w.alice, 4, old);
  self.reply.record = old;
  w.names = open_names(w.a, w.alice, LIAR_AND_ONE);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  sim_run_for(w.world, SECOND_US);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_int_equal(sequence_of(&found), 5);
  stop_liar(&self);
}

/* A dead server is waited for once. */
static void test_dead_server_delays_once(void **state) {
  (void)state;
  static const char *const dead[] = {"203.0.113.10:9", "203.0.113.10:5300", NULL};
  result found;
  w.others = open_names(w.b, w.alice, ONE);
  assert_int_equal(do_register(w.others, w.alice, "alice", 5), WARP_OK);
  w.names = open_names(w.a, w.bob, dead);
  uint64_t begun_us = sim_now_us(w.world);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_in_range(sim_now_us(w.world) - begun_us, 500000, 700000);
  begun_us = sim_now_us(w.world);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_true(sim_now_us(w.world) - begun_us < 200000);
}

static void test_forged_replies(void **state) {
  (void)state;
  liar self;
  result found;
  start_liar(&self, WG_NAME_NOT_FOUND);
  w.names = open_names(w.a, w.alice, LIAR);
  self.wrong_nonce = true;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_TIMEOUT);
  assert_in_range(self.asked, 4, 5); /* at 0, 250, 750 and 1750 ms */
  self.wrong_nonce = false;
  self.wrong_source = true;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_TIMEOUT);
  self.wrong_source = false;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NOT_FOUND);
  stop_liar(&self);
}

static void test_statuses(void **state) {
  (void)state;
  static const struct {
    uint8_t status;
    int expected;
  } cases[] = {
      {WG_NAME_FAILED, WARP_IO},         {WG_NAME_BUSY, WARP_LIMIT},
      {WG_NAME_COOKIE, WARP_IO},         {200, WARP_IO},
      {WG_NAME_TOO_SHORT, WARP_TIMEOUT}, /* no TCP there */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    liar self;
    result found;
    start_liar(&self, cases[i].status);
    self.reply.has_cookie = true;
    w.names = open_names(w.a, w.alice, LIAR);
    assert_int_equal(do_lookup(w.names, "alice", &found), cases[i].expected);
    assert_in_range(self.asked, 1, 8);
    wg_names_close(w.names);
    w.names = NULL;
    stop_liar(&self);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_a_client_that_does_not_read),
      TEST(test_loss),
      TEST(test_tcp_where_udp_does_not_pass),
      TEST(test_nobody_there),
      TEST(test_dead_resolver),
      TEST(test_server_moves),
      TEST(test_bad_records),
      TEST(test_another_owner),
      TEST(test_old_record),
      TEST(test_dead_server_delays_once),
      TEST(test_forged_replies),
      TEST(test_statuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
