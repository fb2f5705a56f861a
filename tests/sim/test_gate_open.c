/* Gates that open: what that means, what keeps them from it, and those that are closed before. */
#include "gatekeeper.h"

#include <stdio.h>

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

/* The name is asked for together with the derived one: a dead server is waited for once. */
static void test_a_dead_server_is_waited_for_once(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  peers both;
  gatekeeper alice;
  peers_build(&both, "open", "open", 4);
  both.a.conf.brokers = both.a.conf.stun_servers = both.a.conf.ntp_servers = none;
  both.a.conf.turn_servers = none;
  both.a.conf.server_timeout_ms = 2000;
  assert_true(both.a.conf.enable_nickname);
  open_gate(&alice, &both, &both.a, "alice"); /* no server is there */
  run(&alice, 2 * second + second / 2);
  assert_int_equal(alice.opened, 1);
  assert_int_equal(alice.open_status, WARP_TIMEOUT);
  peers_free(&both);
}

typedef struct found_record {
  int status;
  size_t len;
  uint8_t bytes[WARP_RECORD_MAX];
} found_record;

static void on_found_record(void *arg, int status, const uint8_t *record, size_t len) {
  found_record *self = arg;
  self->status = status;
  self->len = len;
  if (status == WARP_OK)
    memcpy(self->bytes, record, len);
}

static int look_up(gatekeeper *by, const char *name) {
  found_record found = {.status = 1};
  assert_int_equal(warp_node_lookup(warp_gate_node(by->gate), name, on_found_record, &found),
                   WARP_OK);
  run(by, 5 * second);
  return found.status;
}

/* What can be seen to be wrong is seen before anybody is told of the name. */
static void test_a_wrong_setting_registers_nothing(void **state) {
  (void)state;
  static const char *const wrong[] = {"udp_punch.nothing=1", NULL};
  peers both;
  registry names_server;
  gatekeeper alice, bob;
  peers_build(&both, "open", "open", 3);
  start_registry(&names_server, both.net.server);
  open_gate(&bob, &both, &both.b, "bob");
  run(&bob, 10 * second);
  both.a.conf.plugin_dir = "plugins"; /* so that the start has to look */
  both.a.conf.settings = wrong;
  sim_host_set_modules(both.a.host, NULL, 0);
  open_gate(&alice, &both, &both.a, "alice");
  run(&alice, 10 * second);
  assert_int_equal(alice.opened, 1);
  assert_int_equal(alice.open_status, WARP_INVALID);
  assert_int_equal(look_up(&bob, "alice"), WARP_NOT_FOUND);
  close_gate(&bob);
  stop_registry(&names_server);
  peers_free(&both);
}

/* A gate that cannot open has its node's own name registered already, which goes with it. */
static void test_what_was_registered_is_taken_back(void **state) {
  (void)state;
  peers both;
  registry names_server;
  gatekeeper alice, thief;
  char nickname[WARP_PEER_NAME_LEN];
  peers_build(&both, "open", "open", 3);
  start_registry(&names_server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  run(&alice, 10 * second);
  assert_true(both.b.conf.enable_nickname);
  open_gate(&thief, &both, &both.b, "alice");
  while (thief.opened == 0 && warp_node_port(warp_gate_node(thief.gate)) == 0)
    run(&thief, 1000);
  assert_int_equal(thief.opened, 0); /* it is about to fail */
  snprintf(nickname, sizeof nickname, "%s", warp_node_nickname(warp_gate_node(thief.gate)));
  run(&thief, 10 * second);
  assert_int_equal(thief.open_status, WARP_NAME_TAKEN);
  assert_int_equal(look_up(&alice, nickname), WARP_NOT_FOUND);
  assert_int_equal(look_up(&alice, "alice"), WARP_OK); /* and not what is another's */
  close_gate(&alice);
  stop_registry(&names_server);
  peers_free(&both);
}

/* The server is gone when the name is to be registered once more, and cannot be asked to forget it:
 * that takes no longer than asking a server may. Closed meanwhile, it is closed at once. */
static void test_taking_back_has_its_time(void **state) {
  (void)state;
  for (unsigned closed = 0; closed < 2; closed++) {
    peers both;
    registry names_server;
    gatekeeper alice;
    peers_build(&both, "port-restricted", "open", 3);
    sim_router router = {.protocol = "NAT-PMP", .delay_ms = 400};
    sim_network_set_router(both.net.site_a, &router);
    both.a.conf.server_timeout_ms = 2000;
    start_registry(&names_server, both.net.server);
    open_gate(&alice, &both, &both.a, "alice");
    while (alice.opened == 0 && warp_node_port(warp_gate_node(alice.gate)) == 0)
      run(&alice, 1000);
    assert_int_equal(alice.opened, 0); /* it registers what the router has opened */
    stop_registry(&names_server);
    run(&alice, 2 * second + second / 2);
    assert_int_equal(alice.opened, 0);
    if (closed != 0)
      close_gate(&alice);
    run(&alice, 2 * second);
    assert_int_equal(alice.opened, 1);
    assert_int_equal(alice.open_status, closed != 0 ? WARP_CANCELED : WARP_TIMEOUT);
    peers_free(&both);
  }
}

/* Open means registered with what is true then, whenever in the start the router has opened the
 * port: nothing else is registered afterwards. */
static void test_open_means_registered_as_it_is(void **state) {
  (void)state;
  for (uint32_t delay_ms = 0; delay_ms <= 400; delay_ms += 20) {
    peers both;
    registry names_server;
    gatekeeper alice, bob;
    found_record found = {.status = 1};
    uint8_t record[WARP_RECORD_MAX];
    size_t len = sizeof record;
    peers_build(&both, "port-restricted", "open", 3);
    sim_router router = {.protocol = "NAT-PMP", .delay_ms = delay_ms};
    sim_network_set_router(both.net.site_a, &router);
    start_registry(&names_server, both.net.server);
    open_gate(&bob, &both, &both.b, "bob");
    run(&bob, 10 * second);
    open_gate(&alice, &both, &both.a, "alice");
    while (alice.opened == 0)
      run(&alice, 1000);
    assert_int_equal(alice.open_status, WARP_OK);
    assert_int_equal(warp_node_address(warp_gate_node(alice.gate), record, &len), WARP_OK);
    assert_int_equal(warp_node_lookup(warp_gate_node(bob.gate), "alice", on_found_record, &found),
                     WARP_OK);
    run(&alice, second);
    assert_int_equal(found.status, WARP_OK);
    assert_int_equal(found.len, len);
    assert_memory_equal(found.bytes, record, len);
    close_gate(&alice);
    close_gate(&bob);
    stop_registry(&names_server);
    peers_free(&both);
  }
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_name_taken),
      cmocka_unit_test(test_a_dead_server_is_waited_for_once),
      cmocka_unit_test(test_a_wrong_setting_registers_nothing),
      cmocka_unit_test(test_what_was_registered_is_taken_back),
      cmocka_unit_test(test_taking_back_has_its_time),
      cmocka_unit_test(test_open_means_registered_as_it_is),
      cmocka_unit_test(test_closed_while_opening),
      cmocka_unit_test(test_closed_while_failing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
