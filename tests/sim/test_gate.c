/* Gates in the simulated internet, with the real name server. */
#include "gatekeeper.h"

#include "bad_input.h"

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
  REFUSES(WARP_INVALID, warp_peer_find, alice.gate, "no name", &found);
  REFUSES(WARP_INVALID, warp_peer_find, alice.gate, "bob.abcdef", &found);
  REFUSES(WARP_INVALID, warp_peer_find, alice.gate, NULL, &found);
  REFUSES(WARP_INVALID, warp_peer_find, alice.gate, "bob", NULL);
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

/* By the bytes of its address alone; a name that both know is not needed. What goes over the links
 * is theirs: a message callback of the node hears nothing of it. */
static void on_any_message(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                           const warp_addr *from) {
  (void)pipe;
  (void)data;
  (void)len;
  (void)from;
  ++*(unsigned *)arg;
}

static void test_by_record(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice, bob;
  linked at_alice = {0}, at_bob = {0};
  uint8_t record[WARP_RECORD_MAX], message[50000];
  size_t len = sizeof record;
  unsigned overheard = 0;
  warp_pipe_id none = {{0}}, id = {{7}};
  warp_connect_options options = {.id = &none};
  peers_build(&both, "port-restricted", "port-restricted", 7);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  open_gate(&bob, &both, &both.b, "bob");
  REFUSES(WARP_STATE, warp_gate_connect_record, alice.gate, record, len, NULL, on_connect, &alice);
  run(&alice, 10 * second);
  warp_node *b = warp_gate_node(bob.gate);
  assert_int_equal(warp_gate_listen(bob.gate, on_gate_link, &at_bob), WARP_OK);
  assert_int_equal(warp_node_add_msg_cb(b, on_any_message, &overheard), WARP_OK);
  assert_int_equal(warp_node_address(b, record, &len), WARP_OK);

  warp_gate *gate = alice.gate;
  REFUSES(WARP_INVALID, warp_gate_connect_record, NULL, record, len, NULL, on_connect, &alice);
  REFUSES(WARP_INVALID, warp_gate_connect_record, gate, NULL, len, NULL, on_connect, &alice);
  REFUSES(WARP_INVALID, warp_gate_connect_record, gate, record, len, NULL, NULL, &alice);
  REFUSES(WARP_MALFORMED, warp_gate_connect_record, gate, record, len - 1, NULL, on_connect,
          &alice);
  REFUSES(WARP_INVALID, warp_gate_connect_record, gate, record, len, &options, on_connect, &alice);
  REFUSES(WARP_INVALID, warp_gate_connect_link_record, gate, NULL, len, NULL, on_linked, &at_alice);
  REFUSES(WARP_INVALID, warp_gate_connect_link_record, gate, record, len, NULL, NULL, &at_alice);
  REFUSES(WARP_INVALID, warp_gate_connect_link_record, NULL, record, len, NULL, on_linked,
          &at_alice);

  options.id = &id;
  assert_int_equal(warp_gate_connect_link_record(gate, record, len, &options, on_linked, &at_alice),
                   WARP_OK);
  run(&alice, 5 * second);
  assert_int_equal(at_alice.status, WARP_OK);
  memset(message, 'b', sizeof message);
  assert_int_equal(warp_link_send(at_alice.link, message, sizeof message), WARP_OK);
  run(&alice, 5 * second);
  assert_int_equal(at_bob.messages, 1);
  assert_int_equal(at_alice.messages, 1);
  assert_int_equal(overheard, 0);
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(warp_link_pipe(at_bob.link), &info), WARP_OK);
  assert_memory_equal(&info.id, &id, sizeof id);
  warp_link_close(at_alice.link, NULL, NULL);
  run(&alice, 5 * second);
  assert_int_equal(at_bob.ended, 1);
  close_gate(&alice);
  close_gate(&bob);
  stop_registry(&names_server);
  peers_free(&both);
}

/* Without a gate a name is completed as for the default servers. */
static void test_peers_of_the_default_set(void **state) {
  (void)state;
  warp_peer found;
  assert_int_equal(warp_peer_find(NULL, "Bob", &found), WARP_OK);
  assert_string_equal(found.name, "bob.p2p");
  assert_int_equal(warp_peer_find(NULL, "bob.p2p", &found), WARP_OK);
  assert_string_equal(found.name, "bob.p2p");
  REFUSES(WARP_INVALID, warp_peer_find, NULL, "bob.abcdef", &found);
  REFUSES(WARP_INVALID, warp_peer_find, NULL, "-", &found);
  REFUSES(WARP_INVALID, warp_peer_find, NULL, NULL, &found);
  REFUSES(WARP_INVALID, warp_peer_find, NULL, "bob", NULL);
}

/* A gate without a name has the same one tomorrow, with a card more or less; and then the key. */
static void test_unnamed_gate(void **state) {
  (void)state;
  static const wg_mac cards[] = {{{0, 0x1b, 0x21, 0, 0, 9}}, {{0, 0x1b, 0x21, 0, 0, 1}}};
  peers both;
  registry names_server;
  gatekeeper alice;
  char first[WARP_PEER_NAME_LEN];
  warp_key key, again;
  peers_build(&both, "open", "open", 2);
  start_registry(&names_server, both.net.server);
  sim_host_set_macs(both.a.host, cards, 1);
  for (size_t count = 1; count <= 2; count++) {
    both.a.phase_count = 0;
    open_gate(&alice, &both, &both.a, NULL);
    run(&alice, 10 * second);
    assert_int_equal(alice.open_status, WARP_OK);
    assert_int_equal(warp_node_key(warp_gate_node(alice.gate), count == 1 ? &key : &again),
                     WARP_OK);
    if (count == 1)
      snprintf(first, sizeof first, "%s", warp_gate_name(alice.gate));
    else
      assert_string_equal(warp_gate_name(alice.gate), first);
    close_gate(&alice);
    sim_host_set_macs(both.a.host, cards, 2); /* a lower one is added */
  }
  assert_memory_equal(&again, &key, sizeof key);
  stop_registry(&names_server);
  peers_free(&both);
}

/* Started means reachable: who hears that the start has completed can be looked up by the derived
 * name, and connected to, at that moment. */
static void test_reachable_by_its_own_name_when_started(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice, bob = {.both = &both};
  peers_build(&both, "port-restricted", "port-restricted", 3);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  run(&alice, 10 * second);
  both.b.conf.name_servers = names;
  peer_start(&both.b); /* returns in the moment of its callback */
  assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &bob), WARP_OK);
  assert_int_equal(
      warp_gate_connect(alice.gate, warp_node_nickname(both.b.node), NULL, on_connect, &alice),
      WARP_OK);
  while (alice.connected == 0)
    run(&alice, 10000);
  assert_int_equal(alice.connect_status, WARP_OK);
  run(&alice, second);
  assert_non_null(bob.pipe);
  warp_pipe_close(bob.pipe);
  close_gate(&alice);
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
      cmocka_unit_test(test_by_record),
      cmocka_unit_test(test_peers_of_the_default_set),
      cmocka_unit_test(test_unnamed_gate),
      cmocka_unit_test(test_reachable_by_its_own_name_when_started),
      cmocka_unit_test(test_names_that_are_none),
      cmocka_unit_test(test_unregister),
      cmocka_unit_test(test_suffix_of_other_servers),
      cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
