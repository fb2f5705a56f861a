/* Nodes with bad arguments: to each function, in each state of the node, and in the configuration.
 */
#include "peers.h"

#include "node/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bad_input.h"

static const uint64_t second = 1000000;

typedef struct told {
  unsigned calls;
  int status;
} told;

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  told *self = arg;
  assert_null(pipe);
  assert_non_null(report);
  self->calls++;
  self->status = status;
}

static void on_name(void *arg, int status, const uint8_t *record, size_t len) {
  told *self = arg;
  assert_true((record == NULL) == (len == 0));
  self->calls++;
  self->status = status;
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)arg, (void)node, (void)report;
  warp_pipe_close(pipe);
}

static void on_started(void *arg, warp_node *node, int status) {
  told *self = arg;
  assert_true(status == WARP_OK || status == WARP_CANCELED || node == NULL);
  self->calls++;
  self->status = status;
}

static void on_closed(void *arg) {
  *(bool *)arg = true;
}

/* ---- no node --------------------------------------------------------------------------------- */

static void test_no_node(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  warp_key key;
  BADLY(warp_node_close, NULL, on_closed, NULL);
  REFUSES(WARP_INVALID, warp_node_address, NULL, record, &len);
  REFUSES(WARP_INVALID, warp_node_key, NULL, &key);
  assert_int_equal(BADLY(warp_node_port, NULL), 0);
  REFUSES(WARP_INVALID, warp_node_listen, NULL, on_pipe, NULL, NULL);
  REFUSES(WARP_INVALID, warp_auto_connect, NULL, record, 1, NULL, on_connect, NULL);
  REFUSES(WARP_INVALID, warp_node_connect, NULL, 0, 0, record, 1, "turn", NULL, on_connect, NULL);
  REFUSES(WARP_INVALID, warp_node_register, NULL, "alice", on_name, NULL);
  REFUSES(WARP_INVALID, warp_node_lookup, NULL, "alice", on_name, NULL);
  REFUSES(WARP_INVALID, warp_node_unregister, NULL, "alice", on_name, NULL);
  REFUSES(WARP_INVALID, warp_node_resolve, NULL, record, 1, on_name, NULL);
  assert_string_equal(BADLY(warp_node_nickname, NULL), "");
}

static void test_nothing_to_start_with(void **state) {
  (void)state;
  peers both;
  warp_node *node;
  told self = {0};
  peers_build(&both, "open", "open", 1);
  wg_env *env = sim_host_env(both.a.host);
  assert_int_equal(wg_node_start(NULL, &both.a.conf, on_started, &self, &node), WARP_INVALID);
  assert_int_equal(wg_node_start(env, NULL, on_started, &self, &node), WARP_INVALID);
  assert_int_equal(wg_node_start(env, &both.a.conf, NULL, &self, &node), WARP_INVALID);
  assert_int_equal(wg_node_start(env, &both.a.conf, on_started, &self, NULL), WARP_INVALID);
  assert_int_equal(sim_run_for(both.net.world, second), WARP_OK);
  assert_int_equal(self.calls, 0);
  peers_free(&both);
}

/* ---- states ---------------------------------------------------------------------------------- */

/* All that wants a node that runs. */
static void try_all(warp_node *node, const uint8_t *record, size_t record_len, int status) {
  uint8_t buf[WARP_RECORD_MAX];
  size_t len = sizeof buf;
  assert_int_equal(warp_node_port(node), 0);
  assert_non_null(warp_node_nickname(node));
  REFUSES(status, warp_node_address, node, buf, &len);
  REFUSES(status, warp_node_listen, node, on_pipe, NULL, NULL);
  REFUSES(status, warp_auto_connect, node, record, record_len, NULL, on_connect, NULL);
  REFUSES(status, warp_node_connect, node, 0, 0, record, record_len, "turn", NULL, on_connect,
          NULL);
  REFUSES(status, warp_node_register, node, "alice", on_name, NULL);
  REFUSES(status, warp_node_lookup, node, "alice", on_name, NULL);
  REFUSES(status, warp_node_unregister, node, "alice", on_name, NULL);
  REFUSES(status, warp_node_resolve, node, record, record_len, on_name, NULL);
}

typedef struct starter {
  warp_node *node;
  const uint8_t *record;
  size_t len;
  unsigned events, starts;
} starter;

static void on_event(void *arg, const warp_start_event *event) {
  starter *self = arg;
  (void)event;
  self->events++;
  try_all(self->node, self->record, self->len, WARP_STATE);
}

static void on_canceled_start(void *arg, warp_node *node, int status) {
  starter *self = arg;
  self->starts++;
  assert_int_equal(status, WARP_CANCELED);
  try_all(node, self->record, self->len, WARP_STATE);
  warp_node_close(node, NULL, NULL); /* once more, from inside */
}

static void test_before_the_start_completed(void **state) {
  (void)state;
  peers both;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  peers_build(&both, "restricted", "open", 2);
  peer_start(&both.b);
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  starter self = {.record = record, .len = len};
  warp_conf conf = both.a.conf;
  conf.on_start_event = on_event;
  conf.start_arg = &self;
  warp_key key;
  assert_int_equal(
      wg_node_start(sim_host_env(both.a.host), &conf, on_canceled_start, &self, &self.node),
      WARP_OK);
  REFUSES(WARP_STATE, warp_node_key, self.node, &key);
  try_all(self.node, record, len, WARP_STATE);
  while (self.events < 8)
    assert_int_equal(sim_run_for(both.net.world, 1000), WARP_OK);
  bool closed = false;
  warp_node_close(self.node, on_closed, &closed);
  assert_int_equal(self.starts, 1);
  try_all(self.node, record, len, WARP_STATE); /* until the closing callback */
  BADLY(warp_node_close, self.node, NULL, NULL);
  assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
  assert_int_equal(self.starts, 1);
  peers_free(&both);
}

static void test_arguments(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 3);
  peers_start(&both);
  warp_node *node = both.a.node;
  uint8_t record[WARP_RECORD_MAX], own[WARP_RECORD_MAX];
  size_t len = sizeof record, own_len = sizeof own;
  told self = {0};
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  assert_int_equal(warp_node_address(node, own, &own_len), WARP_OK);
  REFUSES(WARP_INVALID, warp_node_address, node, NULL, &len);
  REFUSES(WARP_INVALID, warp_node_address, node, own, NULL);
  size_t room = own_len - 1;
  REFUSES(WARP_TOO_BIG, warp_node_address, node, own, &room);
  REFUSES(WARP_INVALID, warp_node_key, node, NULL);
  REFUSES(WARP_INVALID, warp_auto_connect, node, NULL, len, NULL, on_connect, &self);
  REFUSES(WARP_INVALID, warp_auto_connect, node, record, len, NULL, NULL, &self);
  REFUSES(WARP_INVALID, warp_auto_connect, node, own, own_len, NULL, on_connect, &self);
  REFUSES(WARP_INVALID, warp_node_connect, node, 0, 0, NULL, len, NULL, NULL, on_connect, &self);
  REFUSES(WARP_INVALID, warp_node_connect, node, 0, 0, record, len, NULL, NULL, NULL, &self);
  static const int families[] = {-1, 1, 5, 7, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    REFUSES(WARP_INVALID, warp_node_connect, node, families[i], 0, record, len, NULL, NULL,
            on_connect, &self);
  static const int routes[] = {-1, 3, 4, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
    REFUSES(WARP_INVALID, warp_node_connect, node, 0, routes[i], record, len, NULL, NULL,
            on_connect, &self);
  REFUSES(WARP_INVALID, warp_node_register, node, NULL, on_name, &self);
  REFUSES(WARP_INVALID, warp_node_register, node, "alice", NULL, &self);
  REFUSES(WARP_INVALID, warp_node_lookup, node, NULL, on_name, &self);
  REFUSES(WARP_INVALID, warp_node_lookup, node, "alice", NULL, &self);
  REFUSES(WARP_INVALID, warp_node_unregister, node, NULL, on_name, &self);
  REFUSES(WARP_INVALID, warp_node_unregister, node, "alice", NULL, &self);
  REFUSES(WARP_INVALID, warp_node_resolve, node, NULL, len, on_name, &self);
  REFUSES(WARP_INVALID, warp_node_resolve, node, record, len, NULL, &self);
  REFUSES(WARP_INVALID, warp_node_resolve, node, own, own_len, on_name, &self);
  assert_int_equal(BADLY(warp_node_listen, node, NULL, NULL, NULL), WARP_OK); /* refuses peers */
  assert_int_equal(sim_run_for(both.net.world, 5 * second), WARP_OK);
  assert_int_equal(self.calls, 0);
  peers_free(&both);
}

/* ---- what a caller hands over ---------------------------------------------------------------- */

static void test_records(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 4);
  peers_start(&both);
  warp_node *node = both.a.node;
  uint8_t record[WARP_RECORD_MAX + 1] = {0};
  size_t len = WARP_RECORD_MAX;
  told self = {0};
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  const size_t lengths[] = {
      0, 1, len - 1, len + 1, WARP_RECORD_MAX, WARP_RECORD_MAX + 1, SIZE_MAX / 2, SIZE_MAX};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    int status = warp_auto_connect(node, record, lengths[i], NULL, on_connect, &self);
    assert_true(status == WARP_MALFORMED || status == WARP_BAD_SIGNATURE);
    REFUSES(status, warp_node_resolve, node, record, lengths[i], on_name, &self);
  }
  for (size_t i = 0; i < len; i++) { /* any byte of it */
    record[i] ^= 0x81;
    assert_int_not_equal(warp_auto_connect(node, record, len, NULL, on_connect, &self), WARP_OK);
    record[i] ^= 0x81;
  }
  memset(record, 0xff, sizeof record);
  assert_int_not_equal(warp_auto_connect(node, record, len, NULL, on_connect, &self), WARP_OK);
  assert_int_equal(sim_run_for(both.net.world, 5 * second), WARP_OK);
  assert_int_equal(self.calls, 0);
  peers_free(&both);
}

static void test_options(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", 5);
  peers_start(&both);
  warp_node *node = both.a.node;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  told self = {0};
  char longest[5000];
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  static const char *const lists[] = {
      "",       ",",    ",turn",    "turn,,turn",       " ", "TURN", "no such",
      "turn\n", "%s%n", "\xff\xfe", "auto,turn,no_such"};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
    warp_connect_options options = {.plugins = lists[i]};
    REFUSES(WARP_NOT_FOUND, warp_auto_connect, node, record, len, &options, on_connect, &self);
  }
  warp_connect_options options = {.plugins = longest};
  REFUSES(WARP_NOT_FOUND, warp_auto_connect, node, record, len, &options, on_connect, &self);
  REFUSES(WARP_NOT_FOUND, warp_node_connect, node, 0, 0, record, len, longest, NULL, on_connect,
          &self);
  REFUSES(WARP_INVALID, warp_node_connect, node, 0, 0, record, len, "turn,turn", NULL, on_connect,
          &self);
  static const unsigned transports[] = {4, 8, 1u << 31, UINT32_MAX};
  for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
    options = (warp_connect_options){.transports = transports[i]};
    REFUSES(WARP_INVALID, warp_auto_connect, node, record, len, &options, on_connect, &self);
  }
  assert_int_equal(self.calls, 0);
  /* As large as can be: it is a long call, no wrong one. */
  options = (warp_connect_options){.timeout_ms = UINT32_MAX,
                                   .head_start_ms = UINT32_MAX,
                                   .grace_ms = UINT32_MAX,
                                   .turn_limit = UINT32_MAX};
  peers_connect(&both, &options);
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_free(&both);
}

static void test_names(void **state) {
  (void)state;
  static const char *const servers[] = {"203.0.113.10:4370", NULL};
  peers both;
  peers_build(&both, "open", "open", 6);
  both.a.conf.name_servers = servers; /* nobody answers there */
  both.a.conf.enable_nickname = false;
  peers_start(&both);
  warp_node *node = both.a.node;
  told self = {0};
  char name[WARP_NAME_MAX + 200];
  memset(name, 'a', sizeof name);
  static const char *const bad[] = {"",         "-",    "-a",        "a-",       "a b",  "a_b",
                                    "a.b",      ".p2p", "a.p2p.p2p", "a..p2p",   "a.p2", "a.p2p.",
                                    "\xc3\xa4", "%s%n", "a\n",       "a.aaaaaa", "*"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    REFUSES(WARP_INVALID, warp_node_register, node, bad[i], on_name, &self);
    REFUSES(WARP_INVALID, warp_node_lookup, node, bad[i], on_name, &self);
    REFUSES(WARP_INVALID, warp_node_unregister, node, bad[i], on_name, &self);
  }
  name[WARP_NAME_MAX + 1] = '\0';
  REFUSES(WARP_INVALID, warp_node_register, node, name, on_name, &self);
  name[WARP_NAME_MAX + 1] = 'a';
  name[sizeof name - 1] = '\0';
  REFUSES(WARP_INVALID, warp_node_lookup, node, name, on_name, &self);
  REFUSES(WARP_INVALID, warp_node_unregister, node, name, on_name, &self);
  assert_int_equal(self.calls, 0);
  unsigned asked = 0;
  int status = WARP_OK;
  while (status == WARP_OK) {
    status = warp_node_lookup(node, "alice", on_name, &self);
    asked += status == WARP_OK;
  }
  assert_int_equal(status, WARP_LIMIT);
  assert_int_equal(asked, 64);
  assert_int_equal(sim_run_for(both.net.world, 20 * second), WARP_OK);
  assert_int_equal(self.calls, asked);
  assert_int_equal(self.status, WARP_TIMEOUT);
  peers_free(&both);
}

/* ---- configurations -------------------------------------------------------------------------- */

/* Starts with a configuration, and ends whatever came of it. What the start said. */
static int start_with(const warp_conf *change, size_t offset, const void *value, size_t len) {
  peers both;
  peers_build(&both, "open", "open", 7);
  warp_conf conf = change != NULL ? *change : both.a.conf;
  conf.on_start_event = NULL;
  conf.server_timeout_ms = 300;
  memcpy((char *)&conf + offset, value, len);
  told self = {0};
  warp_node *node = NULL;
  int status = wg_node_start(sim_host_env(both.a.host), &conf, on_started, &self, &node);
  if (status == WARP_OK) {
    assert_int_equal(self.calls, 0);
    assert_int_equal(sim_run_for(both.net.world, 30 * second), WARP_OK);
    assert_int_equal(self.calls, 1);
    status = self.status;
  }
  if (status == WARP_OK)
    warp_node_close(node, NULL, NULL);
  peers_free(&both);
  return status;
}

#define STARTED_WITH(field, value)                                                                 \
  start_with(NULL, offsetof(warp_conf, field), &(value), sizeof(value))

static void test_lists_of_servers(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",           ":",       "host",    "host:",  ":1",     "host:0",
      "host:65536", "host:-1", "ho st:1", "\xff:1", "[::1:1", "u:p@"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    const char *const list[] = {bad[i], NULL}, *const *value = list;
    assert_int_equal(STARTED_WITH(brokers, value), WARP_INVALID);
    assert_int_equal(STARTED_WITH(name_servers, value), WARP_INVALID);
    /* What the node can do without is named in the start event, and left out. */
    assert_int_equal(STARTED_WITH(stun_servers, value), WARP_OK);
    assert_int_equal(STARTED_WITH(turn_servers, value), WARP_OK);
  }
  char text[3000];
  memset(text, 'h', sizeof text);
  memcpy(text + sizeof text - 3, ":1", 3);
  const char *const longest[] = {text, NULL}, *const *value = longest;
  assert_int_equal(STARTED_WITH(brokers, value), WARP_INVALID);
  assert_int_equal(STARTED_WITH(stun_servers, value), WARP_OK);
  assert_int_equal(STARTED_WITH(ntp_servers, value), WARP_OK);
  assert_int_equal(STARTED_WITH(interfaces, value), WARP_UNREACHABLE);
}

static void test_lists_that_are_too_long(void **state) {
  (void)state;
  static const char *servers[1001], *settings[66];
  static char texts[65][32];
  for (size_t i = 0; i < 1000; i++)
    servers[i] = "203.0.113.10:1883";
  const char *const *value = servers;
  assert_int_equal(STARTED_WITH(brokers, value), WARP_OK);
  assert_int_equal(STARTED_WITH(stun_servers, value), WARP_OK);
  assert_int_equal(STARTED_WITH(ntp_servers, value), WARP_OK);
  assert_int_equal(STARTED_WITH(name_servers, value), WARP_OK);
  for (size_t i = 0; i < 65; i++) {
    snprintf(texts[i], sizeof texts[i], "node.flows=%zu", i + 1);
    settings[i] = texts[i];
  }
  value = settings;
  assert_int_equal(STARTED_WITH(settings, value), WARP_INVALID);
  settings[64] = NULL;
  assert_int_equal(STARTED_WITH(settings, value), WARP_OK);
}

static void test_settings(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "=",
                                    ".",
                                    "node",
                                    "node.flows",
                                    "node.flows=",
                                    "node.flows=0",
                                    "node.flows=-1",
                                    "node.flows=65536",
                                    "node.flows=1x",
                                    "node.flows= 1",
                                    "node.=1",
                                    ".flows=1",
                                    "no_such.rate=1",
                                    "node.no_such=1",
                                    "node.flows=18446744073709551616",
                                    "%s%n.%s=%n",
                                    "\xff.\xff=1"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    const char *const list[] = {bad[i], NULL}, *const *value = list;
    assert_int_equal(STARTED_WITH(settings, value), WARP_INVALID);
  }
}

static void test_other_fields(void **state) {
  (void)state;
  const unsigned many = UINT32_MAX;
  const uint32_t longest = UINT32_MAX;
  static const char *const keys[] = {"../../etc/passwd", "a/b", ".", "..", "a\nb", "\xff"};
  assert_int_equal(STARTED_WITH(sig_pipe_no, many), WARP_OK);
  assert_int_equal(STARTED_WITH(server_timeout_ms, longest), WARP_OK);
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    assert_int_equal(STARTED_WITH(key_name, keys[i]), WARP_INVALID);
  const char *folder = "/no/such/folder/\xff", *empty = "";
  assert_int_equal(STARTED_WITH(plugin_dir, folder), WARP_OK); /* said in the start event */
  assert_int_equal(STARTED_WITH(plugin_dir, empty), WARP_OK);
  assert_int_equal(STARTED_WITH(ca_file, folder), WARP_OK); /* read when it is needed */
  assert_int_equal(STARTED_WITH(machine_id, empty), WARP_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_node),
      cmocka_unit_test(test_nothing_to_start_with),
      cmocka_unit_test(test_before_the_start_completed),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_records),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_lists_of_servers),
      cmocka_unit_test(test_lists_that_are_too_long),
      cmocka_unit_test(test_settings),
      cmocka_unit_test(test_other_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
