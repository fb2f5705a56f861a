/* Gates in the simulated internet, with the real name server. */
#include "gate/gate.h"
#include "peers.h"
#include "server.h"

#include "base/addr.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { NAMES_PORT = 5300 };
static const uint64_t second = 1000000;
static const char *const names[] = {"203.0.113.10:5300", NULL};

typedef struct gatekeeper {
  peers *both;
  peer *on;
  warp_gate *gate;
  unsigned opened, closed, connected;
  int open_status, connect_status;
  warp_pipe *pipe;
} gatekeeper;

typedef struct registry {
  name_store *store;
  name_service *service;
  name_server *server;
} registry;

static void start_registry(registry *self, sim_host *host) {
  name_service_config config = {
      .quota_v4 = 8, .rate_per_s = NAME_RATE_DEFAULT, .lifetime_max_s = 7200, .secret = {9}};
  char why[NAME_STORE_WHY];
  size_t failed;
  warp_addr listen = wg_addr_any(WARP_IP4, NAMES_PORT);
  assert_int_equal(name_store_open(":memory:", &self->store, why), WARP_OK);
  assert_int_equal(name_service_new(&config, self->store, &self->service), WARP_OK);
  name_server_options options = {.env = sim_host_env(host),
                                 .service = self->service,
                                 .store = self->store,
                                 .listen = &listen,
                                 .listen_count = 1};
  assert_int_equal(name_server_open(&options, &self->server, &failed), WARP_OK);
}

static void stop_registry(registry *self) {
  name_server_close(self->server);
  name_service_free(self->service);
  name_store_close(self->store);
}

static void on_open(void *arg, warp_gate *gate, int status) {
  gatekeeper *self = arg;
  self->opened++;
  self->open_status = status;
  if (status == WARP_OK)
    assert_ptr_equal(gate, self->gate);
  else
    self->gate = NULL;
}

static void on_closed(void *arg) {
  gatekeeper *self = arg;
  assert_int_equal(self->opened, 1); /* what was pending came before */
  self->closed++;
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  gatekeeper *self = arg;
  assert_non_null(report);
  self->connected++;
  self->connect_status = status;
  self->pipe = pipe;
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  (void)report;
  gatekeeper *self = arg;
  self->pipe = pipe;
}

static void run(gatekeeper *self, uint64_t us) {
  assert_int_equal(sim_run_for(self->both->net.world, us), WARP_OK);
}

static void open_gate(gatekeeper *self, peers *both, peer *on, const char *name) {
  *self = (gatekeeper){.both = both, .on = on};
  on->conf.name_servers = names;
  assert_int_equal(
      wg_gate_open(sim_host_env(on->host), name, &on->conf, on_open, self, &self->gate), WARP_OK);
  assert_int_equal(self->opened, 0);
}

static void close_gate(gatekeeper *self) {
  if (self->pipe != NULL)
    warp_pipe_close(self->pipe);
  warp_gate_close(self->gate, on_closed, self);
  run(self, 5 * second);
  assert_int_equal(self->closed, 1);
}

static void test_connect_by_name(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice, bob;
  peers_build(&both, "port-restricted", "port-restricted", 1);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  open_gate(&bob, &both, &both.b, "Bob.p2p");
  run(&alice, 10 * second);
  assert_int_equal(alice.open_status, WARP_OK);
  assert_int_equal(bob.open_status, WARP_OK);
  assert_string_equal(warp_gate_name(bob.gate), "bob.p2p");
  assert_int_equal(warp_node_listen(warp_gate_node(bob.gate), on_pipe, NULL, &bob), WARP_OK);
  assert_int_equal(warp_gate_connect(alice.gate, "bob", NULL, on_connect, &alice), WARP_OK);
  assert_int_equal(alice.connected, 0);
  run(&alice, 2 * second);
  assert_int_equal(alice.connected, 1);
  assert_int_equal(alice.connect_status, WARP_OK);
  assert_non_null(bob.pipe);
  close_gate(&alice);
  close_gate(&bob);
  stop_registry(&names_server);
  peers_free(&both);
}

/* Alice's message comes back to her as a link of Bob's gate brings it, over UDP; all of it. */
typedef struct linked {
  warp_link *link;
  unsigned messages, ended, closed;
  int status, end_status;
} linked;

static void link_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  linked *self = arg;
  self->messages++;
  assert_int_equal(len, 50000);
  if (data[0] == 'b') {
    uint8_t *answer = test_malloc(len);
    memset(answer, 'a', len);
    assert_int_equal(warp_link_send(link, answer, len), WARP_OK);
    test_free(answer);
  }
}

static void link_end(void *arg, warp_link *link, int status) {
  linked *self = arg;
  self->ended++;
  self->end_status = status;
  warp_link_close(link, NULL, NULL);
}

static void hold_link(linked *self, warp_link *link) {
  self->link = link;
  warp_link_on_message(link, link_message, self);
  warp_link_on_end(link, link_end, self);
}

static void on_gate_link(void *arg, warp_gate *gate, warp_link *link, const warp_report *report) {
  (void)gate;
  assert_non_null(report);
  hold_link(arg, link);
}

static void on_linked(void *arg, warp_link *link, int status, const warp_report *report) {
  linked *self = arg;
  assert_non_null(report);
  self->status = status;
  hold_link(self, link);
}

static void on_link_closed(void *arg, int status) {
  linked *self = arg;
  self->closed++;
  assert_int_equal(status, WARP_OK);
}

static void test_links_between_gates(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice, bob;
  linked at_alice = {0}, at_bob = {0};
  warp_connect_options options = {.plugins = "udp_punch"};
  warp_peer found;
  uint8_t message[50000];
  peers_build(&both, "port-restricted", "port-restricted", 7);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  open_gate(&bob, &both, &both.b, "bob");
  assert_int_equal(warp_gate_listen(bob.gate, on_gate_link, &at_bob), WARP_STATE);
  run(&alice, 10 * second);
  assert_int_equal(warp_gate_listen(bob.gate, on_gate_link, &at_bob), WARP_OK);
  assert_int_equal(warp_peer_find(alice.gate, "Bob", &found), WARP_OK);
  assert_string_equal(found.name, warp_gate_name(bob.gate));
  assert_int_equal(warp_peer_find(alice.gate, "no name", &found), WARP_INVALID);
  assert_int_equal(warp_peer_find(NULL, "bob", &found), WARP_INVALID);
  assert_int_equal(warp_gate_connect_link(alice.gate, found.name, &options, on_linked, &at_alice),
                   WARP_OK);
  run(&alice, 5 * second);
  assert_int_equal(at_alice.status, WARP_OK);
  assert_non_null(at_alice.link);
  assert_non_null(at_bob.link);
  memset(message, 'b', sizeof message);
  for (unsigned i = 0; i < 20; i++)
    assert_int_equal(warp_link_send(at_alice.link, message, sizeof message), WARP_OK);
  run(&alice, 20 * second);
  assert_int_equal(at_bob.messages, 20);
  assert_int_equal(at_alice.messages, 20);
  warp_link_close(at_alice.link, on_link_closed, &at_alice);
  run(&alice, 5 * second);
  assert_int_equal(at_alice.closed, 1);
  assert_int_equal(at_alice.ended, 0);
  assert_int_equal(at_bob.ended, 1);
  assert_int_equal(at_bob.end_status, WARP_CLOSED);
  close_gate(&alice);
  close_gate(&bob);
  stop_registry(&names_server);
  peers_free(&both);
}

static void test_names_that_are_none(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice;
  peers_build(&both, "open", "open", 2);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, NULL); /* a name of the machine's own */
  run(&alice, 10 * second);
  assert_int_equal(alice.open_status, WARP_OK);
  assert_memory_equal(warp_gate_name(alice.gate), "m-", 2);
  assert_int_equal(warp_gate_connect(alice.gate, "-", NULL, on_connect, &alice), WARP_INVALID);
  assert_int_equal(warp_gate_connect(alice.gate, "nobody", NULL, on_connect, &alice), WARP_OK);
  run(&alice, 5 * second);
  assert_int_equal(alice.connected, 1);
  assert_int_equal(alice.connect_status, WARP_NOT_FOUND);
  close_gate(&alice);
  stop_registry(&names_server);
  peers_free(&both);
}

typedef struct named {
  unsigned calls;
  int status;
} named;

static void on_named(void *arg, int status, const uint8_t *record, size_t len) {
  (void)record;
  (void)len;
  named *self = arg;
  self->calls++;
  self->status = status;
}

static int do_unregister(gatekeeper *self, const char *name) {
  named result = {0};
  int status = warp_node_unregister(warp_gate_node(self->gate), name, on_named, &result);
  if (status != WARP_OK)
    return status;
  assert_int_equal(result.calls, 0);
  run(self, 10 * second);
  assert_int_equal(result.calls, 1);
  return result.status;
}

static int do_lookup(gatekeeper *self, const char *name) {
  named result = {0};
  int status = warp_node_lookup(warp_gate_node(self->gate), name, on_named, &result);
  if (status != WARP_OK)
    return status;
  run(self, 10 * second);
  assert_int_equal(result.calls, 1);
  return result.status;
}

/* A name that is taken back is free for others, and nobody can take back another's. */
static void test_unregister(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice, bob;
  peers_build(&both, "open", "open", 6);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  open_gate(&bob, &both, &both.b, "bob");
  run(&alice, 10 * second);
  assert_int_equal(do_unregister(&bob, "alice"), WARP_NAME_TAKEN);
  assert_int_equal(do_lookup(&bob, "alice.p2p"), WARP_OK);
  assert_int_equal(do_unregister(&alice, "Alice.p2p"), WARP_OK);
  assert_int_equal(do_lookup(&bob, "alice"), WARP_NOT_FOUND);
  assert_int_equal(do_unregister(&alice, "alice"), WARP_NOT_FOUND);
  assert_int_equal(do_unregister(&alice, "no name"), WARP_INVALID);
  assert_int_equal(warp_node_unregister(NULL, "alice", on_named, NULL), WARP_INVALID);
  named result = {0};
  warp_node *node = warp_gate_node(bob.gate);
  assert_int_equal(warp_node_register(node, "alice", on_named, &result), WARP_OK);
  run(&alice, 4 * 3600 * second); /* and nothing renews what was hers */
  assert_int_equal(result.status, WARP_OK);
  assert_int_equal(do_unregister(&alice, "alice"), WARP_NAME_TAKEN);
  assert_int_equal(do_lookup(&alice, "alice"), WARP_OK);
  close_gate(&bob);
  close_gate(&alice);
  stop_registry(&names_server);
  peers_free(&both);
}

/* The full name says at which servers it is one. */
static void test_suffix_of_other_servers(void **state) {
  (void)state;
  static const char *const defaults[] = {"names.example.net:4370", NULL};
  peers both;
  registry names_server;
  gatekeeper alice, bob, none;
  peers_build(&both, "open", "open", 7);
  start_registry(&names_server, both.net.server);
  both.a.conf.default_name_servers = defaults;
  both.a.conf.enable_nickname = true;
  open_gate(&alice, &both, &both.a, "alice");
  open_gate(&bob, &both, &both.b, "bob");
  run(&alice, 10 * second);
  const char *full = warp_gate_name(alice.gate);
  const char *nickname = warp_node_nickname(warp_gate_node(alice.gate));
  assert_int_equal(strlen(full), strlen("alice.xxxxxx"));
  assert_memory_equal(full, "alice.", 6);
  assert_memory_equal(nickname, "n-", 2);
  assert_string_equal(strchr(nickname, '.'), strchr(full, '.'));
  assert_string_equal(warp_node_nickname(NULL), "");
  assert_int_equal(do_lookup(&alice, full), WARP_OK);
  assert_int_equal(do_lookup(&alice, nickname), WARP_OK);
  assert_int_equal(do_lookup(&alice, "bob"), WARP_OK);
  assert_int_equal(do_lookup(&alice, "bob.p2p"), WARP_INVALID);
  assert_string_equal(warp_gate_name(bob.gate), "bob.p2p");
  assert_int_equal(do_lookup(&bob, "alice.p2p"), WARP_OK);
  assert_int_equal(do_lookup(&bob, full), WARP_OK); /* the same servers, by default or not */
  assert_int_equal(do_lookup(&bob, "alice.aaaaaa"), WARP_INVALID);
  none = (gatekeeper){.both = &both, .on = &both.b};
  assert_int_equal(wg_gate_open(sim_host_env(both.b.host), "alice.aaaaaa", &both.b.conf, on_open,
                                &none, &none.gate),
                   WARP_INVALID);
  close_gate(&bob);
  close_gate(&alice);
  stop_registry(&names_server);
  peers_free(&both);
}

/* The name belongs to another key: the gate does not open. */
static void test_name_taken(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice, thief;
  peers_build(&both, "open", "open", 3);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  run(&alice, 10 * second);
  open_gate(&thief, &both, &both.b, "alice");
  run(&alice, 10 * second);
  assert_int_equal(alice.open_status, WARP_OK);
  assert_int_equal(thief.opened, 1);
  assert_int_equal(thief.open_status, WARP_NAME_TAKEN);
  close_gate(&alice);
  stop_registry(&names_server);
  peers_free(&both);
}

/* Closed at any moment of its opening, also of one that is about to fail: both callbacks run. */
static void test_closed_while_opening(void **state) {
  (void)state;
  for (unsigned with_server = 0; with_server < 2; with_server++) {
    for (uint64_t ms = 0; ms < 8000; ms += 100) {
      peers both;
      registry names_server;
      gatekeeper alice;
      peers_build(&both, "open", "open", 4);
      both.a.conf.server_timeout_ms = 700;
      if (with_server != 0)
        start_registry(&names_server, both.net.server);
      open_gate(&alice, &both, &both.a, "alice");
      run(&alice, ms * 1000);
      if (alice.gate != NULL)
        close_gate(&alice);
      assert_int_equal(alice.opened, 1);
      if (with_server != 0)
        stop_registry(&names_server);
      peers_free(&both);
    }
  }
}

/* The program closes the gate inside a callback that runs because the gate could not open. */
static void close_in_lookup(void *arg, int status, const uint8_t *record, size_t len) {
  (void)record;
  (void)len;
  gatekeeper *self = arg;
  assert_int_equal(status, WARP_CANCELED);
  warp_gate_close(self->gate, on_closed, self);
}

static void test_closed_while_failing(void **state) {
  (void)state;
  peers both;
  gatekeeper alice;
  peers_build(&both, "open", "open", 5);
  both.a.conf.enable_nickname = false;
  both.a.conf.server_timeout_ms = 1000;
  open_gate(&alice, &both, &both.a, "alice"); /* and no server answers */
  while (warp_node_port(warp_gate_node(alice.gate)) == 0)
    run(&alice, 10000);
  run(&alice, second / 2);
  assert_int_equal(warp_node_lookup(warp_gate_node(alice.gate), "bob", close_in_lookup, &alice),
                   WARP_OK);
  run(&alice, 5 * second);
  assert_int_equal(alice.opened, 1);
  assert_int_not_equal(alice.open_status, WARP_OK);
  assert_int_equal(alice.closed, 1);
  peers_free(&both);
}

static void test_arguments(void **state) {
  (void)state;
  peers both;
  gatekeeper alice = {.both = &both};
  warp_gate *gate;
  peers_build(&both, "open", "open", 6);
  wg_env *env = sim_host_env(both.a.host);
  const warp_conf *conf = &both.a.conf;
  assert_int_equal(warp_gate_open(NULL, "alice", conf, on_open, &alice, &gate), WARP_INVALID);
  assert_int_equal(wg_gate_open(env, "alice", NULL, on_open, &alice, &gate), WARP_INVALID);
  assert_int_equal(wg_gate_open(env, "alice", conf, NULL, &alice, &gate), WARP_INVALID);
  assert_int_equal(wg_gate_open(env, "alice", conf, on_open, &alice, NULL), WARP_INVALID);
  assert_int_equal(wg_gate_open(env, "no such name", conf, on_open, &alice, &gate), WARP_INVALID);
  warp_gate_close(NULL, on_closed, &alice);
  assert_null(warp_gate_node(NULL));
  assert_string_equal(warp_gate_name(NULL), "");
  assert_int_equal(warp_gate_connect(NULL, "x", NULL, on_connect, &alice), WARP_INVALID);
  assert_int_equal(warp_gate_listen(NULL, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_gate_connect_link(NULL, "x", NULL, on_linked, &alice), WARP_INVALID);
  open_gate(&alice, &both, &both.a, "alice");
  assert_int_equal(warp_gate_connect(alice.gate, "bob", NULL, on_connect, &alice), WARP_STATE);
  assert_int_equal(warp_gate_connect(alice.gate, NULL, NULL, on_connect, &alice), WARP_INVALID);
  assert_int_equal(warp_gate_connect(alice.gate, "bob", NULL, NULL, &alice), WARP_INVALID);
  close_gate(&alice);
  assert_int_equal(alice.open_status, WARP_CANCELED);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_links_between_gates),
      cmocka_unit_test(test_connect_by_name),
      cmocka_unit_test(test_names_that_are_none),
      cmocka_unit_test(test_unregister),
      cmocka_unit_test(test_suffix_of_other_servers),
      cmocka_unit_test(test_name_taken),
      cmocka_unit_test(test_closed_while_opening),
      cmocka_unit_test(test_closed_while_failing),
      cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
