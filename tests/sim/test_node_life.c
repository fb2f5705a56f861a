/* A node over time, and what its functions make of wrong arguments and wrong moments. */
#include "peers.h"

#include "identity/identity.h"
#include "node/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;
static const char *const none[] = {NULL};

/* A record lives for a day; a node for as long as it likes. */
static void test_record_stays_fresh(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 1);
  both.a.conf.brokers = both.a.conf.stun_servers = both.a.conf.turn_servers = none;
  peer_start(&both.a);
  wg_env *env = sim_host_env(both.a.host);
  for (unsigned hour = 0; hour < 100; hour++) {
    wg_record record = peer_record(&both.a);
    assert_true(record.expires_ms - env->ops->wall_ms(env) >= INT64_C(12) * 3600000);
    assert_int_equal(sim_run_for(both.net.world, 3600 * second), WARP_OK);
  }
  peers_free(&both);
}

/* A broker that fails again and again says nothing of the other one, which takes longer to answer
 * than the first to refuse twice. */
static void test_one_of_two_brokers(void **state) {
  (void)state;
  static const char *const brokers[] = {"203.0.113.10:1", "203.0.113.10:1883", NULL};
  peers both;
  peers_build(&both, "open", "open", 2);
  both.a.conf.brokers = brokers;
  both.a.conf.sig_pipe_no = 2;
  both.a.conf.stun_servers = none;
  sim_network_set_link(both.net.site_server, &(sim_link){.latency_us = 150000});
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  for (size_t i = 0; i < both.a.phase_count; i++) {
    if (both.a.phases[i].phase == WARP_START_SETUP_ROUTER_AND_SIGNAL)
      assert_int_equal(both.a.phases[i].status, WARP_OK);
  }
  assert_int_equal(sim_broker_subscribers(both.net.broker), 1);
  peers_free(&both);
}

/* ---- the log --------------------------------------------------------------------------------- */

static void count_line(void *arg, warp_log_level level, const char *line) {
  (void)level;
  assert_non_null(line);
  ++*(unsigned *)arg;
}

static void mark(void *arg) {
  *(bool *)arg = true;
}

/* What a program logs to may be gone when its node is. */
static void test_log_ends_with_the_node(void **state) {
  (void)state;
  peers both;
  unsigned lines = 0;
  bool closed = false;
  peers_build(&both, "open", "open", 3);
  both.a.conf.on_log = count_line;
  both.a.conf.log_arg = &lines;
  peer_start(&both.a);
  assert_true(lines > 0);
  warp_node_close(both.a.node, mark, &closed);
  both.a.node = NULL;
  assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
  wg_env *env = sim_host_env(both.a.host);
  lines = 0;
  wg_logf(&env->log, WARP_LOG_ERROR, "of nobody");
  assert_int_equal(lines, 0);
  peers_free(&both);
}

typedef struct heard {
  unsigned lines, starts, strangers;
} heard;

static void hear(void *arg, warp_log_level level, const char *line) {
  (void)level;
  heard *self = arg;
  self->lines++;
  self->starts += strncmp(line, "load_machine_identity", 21) == 0 ? 1 : 0;
  self->strangers += strcmp(line, "of nobody") == 0 ? 1 : 0;
}

static void start_hearing(peer *self, heard *to, const char *key_name) {
  self->conf.key_name = key_name;
  self->conf.start_arg = self;
  self->conf.on_log = hear;
  self->conf.log_arg = to;
  peer_start(self);
  assert_int_equal(self->start_status, WARP_OK);
}

/* Several nodes of one loop: each one's lines go to its own log, and what belongs to none to all;
 * also when another one is closed. */
static void test_each_has_its_own_log(void **state) {
  (void)state;
  peers both;
  heard one = {0}, two = {0};
  bool closed = false;
  static const char *const unknown[] = {"stun.example:3478", NULL};
  static const char *const unreadable[] = {"turn.example", NULL};
  peers_build(&both, "open", "open", 3);
  both.a.conf.stun_servers = unknown; /* of which each says so */
  both.a.conf.turn_servers = unreadable;
  wg_env *env = sim_host_env(both.a.host);
  peer other = both.a;
  start_hearing(&both.a, &one, "first");
  unsigned before = one.lines;
  start_hearing(&other, &two, "second");
  assert_int_equal(one.starts, 1);
  assert_int_equal(two.starts, 1);
  assert_int_equal(one.lines, before);
  wg_logf(&env->log, WARP_LOG_ERROR, "of nobody");
  assert_int_equal(one.strangers, 1);
  assert_int_equal(two.strangers, 1);
  warp_node_close(other.node, mark, &closed);
  assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
  before = two.lines;
  wg_logf(&env->log, WARP_LOG_ERROR, "of nobody");
  assert_int_equal(one.strangers, 2);
  assert_int_equal(two.lines, before);
  peers_free(&both);
}

/* ---- arguments and moments ------------------------------------------------------------------- */

static void on_start(void *arg, warp_node *node, int status) {
  (void)node;
  *(int *)arg = status;
}

static void on_name(void *arg, int status, const uint8_t *record, size_t len) {
  (void)arg;
  (void)status;
  (void)record;
  (void)len;
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)arg;
  (void)pipe;
  (void)status;
  (void)report;
}

static void test_null(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 4);
  wg_env *env = sim_host_env(both.a.host);
  const warp_conf *conf = &both.a.conf;
  warp_node *node;
  warp_key key;
  uint8_t bytes[WARP_RECORD_MAX];
  size_t len = sizeof bytes;
  int status;
  assert_int_equal(warp_node_start(NULL, conf, on_start, &status, &node), WARP_INVALID);
  assert_int_equal(wg_node_start(env, NULL, on_start, &status, &node), WARP_INVALID);
  assert_int_equal(wg_node_start(env, conf, NULL, &status, &node), WARP_INVALID);
  assert_int_equal(wg_node_start(env, conf, on_start, &status, NULL), WARP_INVALID);
  warp_node_close(NULL, mark, NULL);
  assert_int_equal(warp_node_address(NULL, bytes, &len), WARP_INVALID);
  assert_int_equal(warp_node_key(NULL, &key), WARP_INVALID);
  assert_int_equal(warp_node_port(NULL), 0);
  assert_int_equal(warp_node_listen(NULL, NULL, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_auto_connect(NULL, bytes, 1, NULL, on_connect, NULL), WARP_INVALID);
  assert_int_equal(warp_node_register(NULL, "x", on_name, NULL), WARP_INVALID);
  assert_int_equal(warp_node_lookup(NULL, "x", on_name, NULL), WARP_INVALID);
  peer_start(&both.a);
  node = both.a.node;
  assert_int_equal(warp_node_address(node, NULL, &len), WARP_INVALID);
  assert_int_equal(warp_node_address(node, bytes, NULL), WARP_INVALID);
  assert_int_equal(warp_node_key(node, NULL), WARP_INVALID);
  assert_int_equal(warp_auto_connect(node, NULL, 1, NULL, on_connect, NULL), WARP_INVALID);
  assert_int_equal(warp_auto_connect(node, bytes, 1, NULL, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_node_register(node, NULL, on_name, NULL), WARP_INVALID);
  assert_int_equal(warp_node_register(node, "x", NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_node_register(node, "not a name", on_name, NULL), WARP_INVALID);
  assert_int_equal(warp_node_lookup(node, NULL, on_name, NULL), WARP_INVALID);
  assert_int_equal(warp_node_lookup(node, "x", NULL, NULL), WARP_INVALID);
  peers_free(&both);
}

static void test_connect_options(void **state) {
  (void)state;
  peers both;
  uint8_t bytes[WARP_RECORD_MAX];
  size_t len = sizeof bytes;
  peers_build(&both, "open", "open", 5);
  peers_start(&both);
  assert_int_equal(warp_node_address(both.b.node, bytes, &len), WARP_OK);
  assert_int_equal(warp_auto_connect(both.a.node, bytes, len,
                                     &(warp_connect_options){.transports = 4}, on_connect, NULL),
                   WARP_INVALID);
  assert_int_equal(warp_auto_connect(both.b.node, bytes, len, NULL, on_connect, NULL),
                   WARP_INVALID); /* that is itself */
  peers_free(&both);
}

/* What belongs to a started node is not to be had of one that starts, at whatever step it is, nor
 * of one that closes. */
static void test_before_and_after(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 6);
  peer *a = &both.a;
  static const char *const silent[] = {"203.0.113.77:4370", NULL};
  a->conf.name_servers = silent; /* a long last step but one: the record is there before the end */
  int status = 1;
  bool closed = false;
  uint8_t bytes[WARP_RECORD_MAX];
  assert_int_equal(wg_node_start(sim_host_env(a->host), &a->conf, on_start, &status, &a->node),
                   WARP_OK);
  while (status == 1) {
    size_t len = sizeof bytes;
    assert_int_equal(warp_node_address(a->node, bytes, &len), WARP_STATE);
    assert_int_equal(warp_node_port(a->node), 0);
    assert_int_equal(warp_node_listen(a->node, NULL, NULL, NULL), WARP_STATE);
    assert_int_equal(warp_node_lookup(a->node, "x", on_name, NULL), WARP_STATE);
    assert_int_equal(sim_run_for(both.net.world, 50000), WARP_OK);
  }
  assert_int_equal(status, WARP_OK);
  warp_node *node = a->node;
  a->node = NULL;
  warp_node_close(node, mark, &closed);
  size_t len = sizeof bytes;
  assert_int_equal(warp_node_address(node, bytes, &len), WARP_STATE);
  assert_int_equal(warp_node_port(node), 0);
  assert_int_equal(warp_node_register(node, "x", on_name, NULL), WARP_STATE);
  assert_int_equal(warp_auto_connect(node, bytes, len, NULL, on_connect, NULL), WARP_STATE);
  assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
  peers_free(&both);
}

static void test_pipe_arguments(void **state) {
  (void)state;
  peers both;
  warp_pipe_info info;
  static const uint8_t big[(1 << 20) + 1];
  assert_int_equal(warp_pipe_set_handlers(NULL, &(warp_pipe_handlers){0}), WARP_INVALID);
  assert_int_equal(warp_pipe_send(NULL, "x", 1), WARP_INVALID);
  assert_int_equal(warp_pipe_shutdown(NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_get_info(NULL, &info), WARP_INVALID);
  warp_pipe_close(NULL);
  static const char *const profiles[] = {"open", "port-restricted"};
  for (size_t i = 0; i < 2; i++) {
    peers_build(&both, profiles[i], profiles[i], 7);
    peers_start(&both);
    peers_connect(&both, NULL);
    warp_pipe *pipe = both.a.pipe;
    assert_int_equal(warp_pipe_set_handlers(pipe, NULL), WARP_INVALID);
    assert_int_equal(warp_pipe_get_info(pipe, NULL), WARP_INVALID);
    assert_int_equal(warp_pipe_send(pipe, NULL, 1), WARP_INVALID);
    assert_int_equal(warp_pipe_send(pipe, big, i == 0 ? sizeof big : (size_t)WARP_MESSAGE_MAX + 1),
                     WARP_TOO_BIG);
    assert_int_equal(warp_pipe_shutdown(pipe), i == 0 ? WARP_OK : WARP_UNSUPPORTED);
    peers_free(&both);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_record_stays_fresh),
      cmocka_unit_test(test_one_of_two_brokers),
      cmocka_unit_test(test_log_ends_with_the_node),
      cmocka_unit_test(test_each_has_its_own_log),
      cmocka_unit_test(test_null),
      cmocka_unit_test(test_connect_options),
      cmocka_unit_test(test_before_and_after),
      cmocka_unit_test(test_pipe_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
