/* Gates, names and links while memory runs out. */
#include "nodes.h"

#include "base/addr.h"
#include "gate/gate.h"
#include "server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { NAMES_PORT = 5300, MESSAGES = 3, MESSAGE_LEN = 5000, LIMIT_S = 90 };

/* One end of a link. */
typedef struct end {
  warp_link *link;
  unsigned sent, received;
  bool over, half_ended, closing, closed;
  int closed_status;
  bool echoes;
} end;

typedef struct keeper {
  oom_node *on;
  warp_gate *gate;
  bool opening, connecting, closed;
  unsigned owed; /* answers about names */
  bool knows_not;
  int status;
  end link;
} keeper;

typedef struct town {
  oom_nodes both;
  name_store *store;
  name_service *service;
  name_server *server;
  keeper alice, bob;
} town;

static void pass(town *t, uint64_t seconds) {
  assert_int_equal(sim_run_for(t->both.net.world, seconds * SIM_SECOND), WARP_OK);
}

/* ---- the name server ------------------------------------------------------------------------- */

static void build(town *t, const char *profile) {
  static const char *const names[] = {"203.0.113.10:5300", NULL};
  memset(t, 0, sizeof *t);
  oom_nodes_build(&t->both, profile, profile);
  t->both.a.conf.name_servers = t->both.b.conf.name_servers = names;
  t->alice.on = &t->both.a;
  t->bob.on = &t->both.b;
  t->bob.link.echoes = true;
  name_service_config config = {
      .quota_v4 = 8, .rate_per_s = NAME_RATE_DEFAULT, .lifetime_max_s = 7200, .secret = {9}};
  char why[NAME_STORE_WHY];
  size_t failed;
  warp_addr listen = wg_addr_any(WARP_IP4, NAMES_PORT);
  oom_hold(true);
  assert_int_equal(name_store_open(":memory:", &t->store, why), WARP_OK);
  assert_int_equal(name_service_new(&config, t->store, &t->service), WARP_OK);
  name_server_options options = {.env = sim_host_env(t->both.net.server),
                                 .service = t->service,
                                 .store = t->store,
                                 .listen = &listen,
                                 .listen_count = 1};
  assert_int_equal(name_server_open(&options, &t->server, &failed), WARP_OK);
  oom_hold(false);
}

/* ---- links ----------------------------------------------------------------------------------- */

/* The peers tell a message by its first byte, which counts them. */
static void send_next(end *self) {
  uint8_t message[MESSAGE_LEN];
  memset(message, 'm', sizeof message);
  message[0] = (uint8_t)self->sent;
  int status = warp_link_send(self->link, message, sizeof message);
  if (oom_hit() && status == WARP_CLOSED)
    return;
  self->sent += oom_ok(status) ? 1 : 0;
}

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  end *self = arg;
  assert_ptr_equal(link, self->link);
  assert_false(self->over || self->half_ended || self->closing);
  assert_int_equal(len, MESSAGE_LEN);
  assert_int_equal(data[0], self->received); /* all before it have come */
  self->received++;
  if (self->echoes)
    send_next(self);
}

static void on_link_closed(void *arg, int status) {
  end *self = arg;
  assert_true(self->closing);
  assert_false(self->closed);
  self->closed = true;
  self->closed_status = status;
}

static void on_link_end(void *arg, warp_link *link, int status) {
  end *self = arg;
  assert_ptr_equal(link, self->link);
  assert_false(self->over || self->closing);
  if (status == WARP_OK) {
    assert_false(self->half_ended);
    self->half_ended = true;
    return;
  }
  self->over = true;
}

static void close_link(end *self) {
  if (self->link == NULL || self->closing)
    return;
  self->closing = true;
  warp_link_close(self->link, on_link_closed, self);
}

static void hold(end *self, warp_link *link) {
  self->link = link;
  assert_int_equal(warp_link_on_message(link, on_message, self), WARP_OK);
  assert_int_equal(warp_link_on_end(link, on_link_end, self), WARP_OK);
}

static void on_gate_link(void *arg, warp_gate *gate, warp_link *link, const warp_report *report) {
  keeper *self = arg;
  assert_ptr_equal(gate, self->gate);
  assert_non_null(report);
  assert_null(self->link.link);
  hold(&self->link, link);
}

static void on_linked(void *arg, warp_link *link, int status, const warp_report *report) {
  keeper *self = arg;
  assert_true(self->connecting);
  assert_non_null(report);
  assert_int_equal(link != NULL, status == WARP_OK);
  self->connecting = false;
  self->status = status;
  if (link != NULL)
    hold(&self->link, link);
}

/* ---- gates ----------------------------------------------------------------------------------- */

static void on_open(void *arg, warp_gate *gate, int status) {
  keeper *self = arg;
  assert_true(self->opening);
  self->opening = false;
  self->status = status;
  if (status == WARP_OK)
    assert_ptr_equal(gate, self->gate);
  else
    self->gate = NULL;
}

static void on_closed(void *arg) {
  keeper *self = arg;
  assert_false(self->closed || self->opening || self->connecting);
  assert_int_equal(self->owed, 0);
  self->closed = true;
}

static bool open_gate(town *t, keeper *self, const char *name) {
  self->opening = true;
  if (!oom_ok(wg_gate_open(self->on->env, name, &self->on->conf, on_open, self, &self->gate))) {
    self->opening = false;
    self->gate = NULL;
    return false;
  }
  pass(t, LIMIT_S);
  assert_false(self->opening);
  oom_unless_hit(self->status == WARP_OK);
  return self->status == WARP_OK;
}

static void close_gate(keeper *self) {
  if (self->gate != NULL)
    warp_gate_close(self->gate, on_closed, self);
  else
    self->closed = true;
}

static void destroy(town *t) {
  close_link(&t->alice.link);
  pass(t, LIMIT_S);
  close_link(&t->bob.link);
  pass(t, LIMIT_S);
  const end *a = &t->alice.link, *b = &t->bob.link;
  assert_int_equal(a->closed, a->closing);
  assert_int_equal(b->closed, b->closing);
  close_gate(&t->alice);
  close_gate(&t->bob);
  pass(t, LIMIT_S);
  assert_true(t->alice.closed && t->bob.closed);
  name_server_close(t->server);
  name_service_free(t->service);
  name_store_close(t->store);
  oom_nodes_free(&t->both);
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static void open_gates(void *arg) {
  (void)arg;
  town t;
  build(&t, "open");
  open_gate(&t, &t.alice, "alice");
  open_gate(&t, &t.bob, NULL); /* a name of the machine's own */
  destroy(&t);
}

static bool ready(town *t, const char *profile) {
  build(t, profile);
  oom_hold(true);
  bool up = open_gate(t, &t->alice, "alice") && open_gate(t, &t->bob, "bob");
  assert_true(up);
  assert_int_equal(warp_gate_listen(t->bob.gate, on_gate_link, &t->bob), WARP_OK);
  oom_hold(false);
  return up;
}

/* Alice's messages come back to her as Bob's link brings them. */
static void link_up(void *arg) {
  const char *plugin = arg;
  town t;
  ready(&t, strcmp(plugin, "direct_connect") == 0 ? "open" : "port-restricted");
  warp_connect_options options = {.plugins = plugin};
  end *a = &t.alice.link, *b = &t.bob.link;
  t.alice.connecting = true;
  if (!oom_ok(warp_gate_connect_link(t.alice.gate, "bob", &options, on_linked, &t.alice)))
    t.alice.connecting = false;
  pass(&t, LIMIT_S);
  assert_false(t.alice.connecting);
  oom_unless_hit(a->link != NULL && b->link != NULL);
  for (unsigned i = 0; i < MESSAGES && a->link != NULL; i++)
    send_next(a);
  pass(&t, LIMIT_S);
  /* What was sent is there, or the link says that it is not. */
  if (a->link != NULL && !a->over) {
    assert_int_equal(b->received, a->sent);
    if (b->link != NULL && !b->over)
      assert_int_equal(a->received, b->sent);
  }
  oom_unless_hit(a->received == MESSAGES && !a->over && !b->over);
  if (a->link != NULL)
    warp_link_shutdown(a->link);
  pass(&t, 10);
  oom_unless_hit(b->half_ended);
  destroy(&t);
  if (a->closed && a->closed_status == WARP_OK)
    assert_int_equal(b->received, a->sent);
  oom_unless_hit(a->closed_status == WARP_OK);
}

static void on_name(void *arg, int status, const uint8_t *record, size_t len) {
  keeper *self = arg;
  assert_true(self->owed > 0);
  assert_true(record != NULL || len == 0);
  self->owed--;
  oom_unless_hit(status == (self->knows_not ? WARP_NAME_TAKEN : WARP_OK));
}

static void owe(town *t, keeper *self, int status) {
  self->owed += oom_ok(status) ? 1 : 0;
  pass(t, LIMIT_S);
  assert_int_equal(self->owed, 0);
}

static void use_names(void *arg) {
  (void)arg;
  town t;
  ready(&t, "open");
  warp_node *node = warp_gate_node(t.alice.gate);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(warp_gate_node(t.bob.gate), record, &len), WARP_OK);
  owe(&t, &t.alice, warp_node_lookup(node, "bob", on_name, &t.alice));
  owe(&t, &t.alice, warp_node_register(node, "carol", on_name, &t.alice));
  owe(&t, &t.alice, warp_node_resolve(node, record, len, on_name, &t.alice));
  if (!oom_hit()) {
    owe(&t, &t.alice, warp_node_unregister(node, "carol", on_name, &t.alice));
    t.alice.knows_not = true; /* it is another's, which is looked up first */
    owe(&t, &t.alice, warp_node_unregister(node, "bob", on_name, &t.alice));
  }
  destroy(&t);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_gates(void **state) {
  (void)state;
  oom_run(&(oom_walk){.name = "gates", .scenario = open_gates});
}

static void test_links(void **state) {
  (void)state;
  static char direct[] = "direct_connect", punch[] = "udp_punch";
  oom_run(&(oom_walk){.name = "link over a stream", .scenario = link_up, .arg = direct});
  oom_run(&(oom_walk){.name = "link over datagrams", .scenario = link_up, .arg = punch});
}

static void test_names(void **state) {
  (void)state;
  oom_run(&(oom_walk){.name = "names", .scenario = use_names});
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gates),
      cmocka_unit_test(test_links),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests_name("gates", tests, NULL, NULL);
}
