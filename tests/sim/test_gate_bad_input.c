/* Gates with bad arguments and in each of their states; what keeps one from opening; and gates that
 * are closed while something is under way. */
#include "peers.h"

#include "gate/gate.h"
#include "registry.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bad_input.h"

static const uint64_t second = 1000000;

/* A gate, or what became of it. */
typedef struct keeper {
  peers *both;
  warp_gate *gate;
  unsigned opened, closed, connected, linked;
  int open_status, connect_status, link_status;
  bool close_in_open, close_in_connect;
} keeper;

static void on_closed(void *arg) {
  keeper *self = arg;
  assert_int_equal(self->opened, 1); /* what was pending came before */
  self->closed++;
}

static void close_now(keeper *self) {
  warp_gate *gate = self->gate;
  self->gate = NULL;
  warp_gate_close(gate, on_closed, self);
}

static void on_open(void *arg, warp_gate *gate, int status) {
  keeper *self = arg;
  self->opened++;
  self->open_status = status;
  assert_ptr_equal(gate, status == WARP_OK ? self->gate : NULL);
  if (status != WARP_OK)
    self->gate = NULL;
  else if (self->close_in_open)
    close_now(self);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  keeper *self = arg;
  assert_non_null(report);
  self->connected++;
  self->connect_status = status;
  if (pipe != NULL)
    warp_pipe_close(pipe);
  if (self->close_in_connect && self->gate != NULL)
    close_now(self);
}

static void on_link(void *arg, warp_link *link, int status, const warp_report *report) {
  keeper *self = arg;
  assert_non_null(report);
  self->linked++;
  self->link_status = status;
  if (link != NULL)
    warp_link_close(link, NULL, NULL);
  if (self->close_in_connect && self->gate != NULL)
    close_now(self);
}

static void on_peer(void *arg, warp_gate *gate, warp_link *link, const warp_report *report) {
  (void)arg, (void)gate, (void)report;
  warp_link_close(link, NULL, NULL);
}

static void run(peers *both, uint64_t us) {
  assert_int_equal(sim_run_for(both->net.world, us), WARP_OK);
}

static int try_open(keeper *self, peers *both, peer *on, const char *name) {
  *self = (keeper){.both = both};
  on->conf.on_start_event = NULL; /* which counts the phases of one start */
  return wg_gate_open(sim_host_env(on->host), name, &on->conf, on_open, self, &self->gate);
}

static void open_gate(keeper *self, peers *both, peer *on, const char *name) {
  assert_int_equal(try_open(self, both, on, name), WARP_OK);
  assert_int_equal(self->opened, 0);
}

static void close_gate(keeper *self) {
  if (self->gate != NULL)
    close_now(self);
  run(self->both, 5 * second);
  assert_int_equal(self->closed, 1);
}

/* ---- arguments and states -------------------------------------------------------------------- */

static void test_no_gate(void **state) {
  (void)state;
  warp_peer found;
  BADLY(warp_gate_close, NULL, on_closed, NULL);
  assert_null(BADLY(warp_gate_node, NULL));
  assert_string_equal(BADLY(warp_gate_name, NULL), "");
  REFUSES(WARP_INVALID, warp_gate_connect, NULL, "alice", NULL, on_connect, NULL);
  REFUSES(WARP_INVALID, warp_gate_connect_link, NULL, "alice", NULL, on_link, NULL);
  REFUSES(WARP_INVALID, warp_gate_listen, NULL, on_peer, NULL);
  REFUSES(WARP_INVALID, warp_peer_find, NULL, "-", &found);
}

static void explained(void *arg, const warp_report *report) {
  (void)arg, (void)report;
  fail_msg("a connect that was refused");
}

/* As long as it is not open, and when it is being closed. */
static void try_all(warp_gate *gate, int status) {
  warp_peer found;
  REFUSES(status, warp_gate_connect, gate, "bob", NULL, on_connect, NULL);
  REFUSES(status, warp_gate_connect_link, gate, "bob", NULL, on_link, NULL);
  REFUSES(status, warp_gate_listen, gate, on_peer, NULL);
  assert_int_equal(warp_peer_find(gate, "bob", &found), WARP_OK); /* asks nobody */
  assert_string_equal(warp_gate_name(gate), "alice.p2p");
}

static void test_arguments(void **state) {
  (void)state;
  static const char *const bad[] = {"",        "-",    "a b",  "al_ice",       ".p2p",
                                    "a.b.p2p", "\xff", "%s%n", "alice.aaaaaa", "alice.p2p\n"};
  const warp_connect_options wants_story = {.on_explained = explained};
  peers both;
  registry server;
  keeper alice, none;
  warp_peer found;
  peers_build(&both, "open", "open", 1);
  start_registry(&server, both.net.server);
  both.a.conf.name_servers = names;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(try_open(&none, &both, &both.a, bad[i]), WARP_INVALID);
  open_gate(&alice, &both, &both.a, "alice");
  try_all(alice.gate, WARP_STATE);
  run(&both, 10 * second);
  assert_int_equal(alice.open_status, WARP_OK);
  warp_gate *gate = alice.gate;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    REFUSES(WARP_INVALID, warp_gate_connect, gate, bad[i], NULL, on_connect, &alice);
    REFUSES(WARP_INVALID, warp_gate_connect_link, gate, bad[i], NULL, on_link, &alice);
    REFUSES(WARP_INVALID, warp_peer_find, gate, bad[i], &found);
  }
  REFUSES(WARP_INVALID, warp_gate_connect, gate, NULL, NULL, on_connect, &alice);
  REFUSES(WARP_INVALID, warp_gate_connect, gate, "bob", NULL, NULL, &alice);
  REFUSES(WARP_INVALID, warp_gate_connect_link, gate, NULL, NULL, on_link, &alice);
  REFUSES(WARP_INVALID, warp_gate_connect_link, gate, "bob", NULL, NULL, &alice);
  REFUSES(WARP_INVALID, warp_gate_connect_link, gate, "bob", &wants_story, on_link, &alice);
  REFUSES(WARP_INVALID, warp_peer_find, gate, NULL, &found);
  REFUSES(WARP_INVALID, warp_peer_find, gate, "bob", NULL);
  assert_int_equal(BADLY(warp_gate_listen, gate, NULL, NULL), WARP_OK); /* peers are refused */
  close_now(&alice);
  try_all(gate, WARP_STATE);
  BADLY(warp_gate_close, gate, NULL, NULL);
  run(&both, 5 * second);
  assert_int_equal(alice.closed, 1);
  assert_int_equal(alice.connected + alice.linked, 0);
  stop_registry(&server);
  peers_free(&both);
}

/* ---- what keeps a gate from opening ---------------------------------------------------------- */

/* The gate of `name` does not open, says so once, and is gone. */
static void fails(keeper *self, peers *both, peer *on, const char *name, int status) {
  open_gate(self, both, on, name);
  run(both, 30 * second);
  assert_int_equal(self->opened, 1);
  assert_int_equal(self->open_status, status);
  assert_null(self->gate);
  run(both, 600 * second); /* and nothing comes after it */
  assert_int_equal(self->opened, 1);
}

static void test_name_taken_then_another(void **state) {
  (void)state;
  peers both;
  registry server;
  keeper alice, thief;
  peers_build(&both, "open", "open", 2);
  start_registry(&server, both.net.server);
  both.a.conf.name_servers = both.b.conf.name_servers = names;
  open_gate(&alice, &both, &both.a, "alice");
  run(&both, 10 * second);
  fails(&thief, &both, &both.b, "alice", WARP_NAME_TAKEN);
  open_gate(&thief, &both, &both.b, "bob");
  run(&both, 10 * second);
  assert_int_equal(thief.open_status, WARP_OK);
  close_gate(&thief);
  close_gate(&alice);
  stop_registry(&server);
  peers_free(&both);
}

static void test_quota_is_full(void **state) {
  (void)state;
  peers both;
  registry server;
  keeper first, second_gate;
  peers_build(&both, "open", "open", 3);
  start_registry_with_quota(&server, both.net.server, 1);
  both.a.conf.name_servers = both.b.conf.name_servers = names;
  both.a.conf.enable_nickname = both.b.conf.enable_nickname = false;
  open_gate(&first, &both, &both.a, "alice");
  run(&both, 10 * second);
  assert_int_equal(first.open_status, WARP_OK);
  fails(&second_gate, &both, &both.a, "bob", WARP_QUOTA);
  /* With the name it has, or from another address, the quota is no obstacle. */
  open_gate(&second_gate, &both, &both.b, "bob");
  run(&both, 10 * second);
  assert_int_equal(second_gate.open_status, WARP_OK);
  close_gate(&second_gate);
  close_gate(&first);
  stop_registry(&server);
  peers_free(&both);
}

static void test_no_name_server(void **state) {
  (void)state;
  static const char *const unknown[] = {"no-such-host.test:4370", NULL};
  peers both;
  registry server;
  keeper alice;
  peers_build(&both, "open", "open", 4);
  both.a.conf.server_timeout_ms = 700;
  fails(&alice, &both, &both.a, "alice", WARP_NO_SERVER); /* none is configured */
  both.a.conf.name_servers = unknown;
  fails(&alice, &both, &both.a, "alice", WARP_NO_SERVER);
  both.a.conf.name_servers = names; /* nobody is there */
  fails(&alice, &both, &both.a, "alice", WARP_TIMEOUT);
  start_registry(&server, both.net.server);
  open_gate(&alice, &both, &both.a, "alice");
  run(&both, 10 * second);
  assert_int_equal(alice.open_status, WARP_OK);
  close_gate(&alice);
  stop_registry(&server);
  peers_free(&both);
}

/* Links are up at both gates; one of them is closed in the callback that hands out its link, the
 * link before, after, or never. */
typedef enum order { GATE_ONLY, LINK_FIRST, GATE_FIRST, ORDERS } order;

typedef struct giver {
  keeper *at;
  order how;
  bool acts;
  unsigned calls;
  warp_link *link; /* NULL once closed */
} giver;

static void close_given(giver *self) {
  warp_link *link = self->link;
  self->link = NULL;
  warp_link_close(link, NULL, NULL);
}

static void given(giver *self, warp_link *link) {
  self->calls++;
  self->link = link;
  if (!self->acts)
    return;
  if (self->how == LINK_FIRST)
    close_given(self);
  close_now(self->at);
  if (self->how == GATE_FIRST)
    close_given(self);
}

static void on_own(void *arg, warp_link *link, int status, const warp_report *report) {
  (void)report;
  assert_int_equal(status, WARP_OK);
  given(arg, link);
}

static void on_theirs(void *arg, warp_gate *gate, warp_link *link, const warp_report *report) {
  (void)report;
  assert_ptr_equal(gate, ((giver *)arg)->at->gate);
  given(arg, link);
}

static void test_closed_with_a_link(void **state) {
  (void)state;
  for (int i = 0; i < 2 * ORDERS; i++) {
    peers both;
    registry server;
    keeper alice, bob;
    giver own = {.at = &alice, .how = (order)(i / 2), .acts = i % 2 == 0};
    giver theirs = {.at = &bob, .how = (order)(i / 2), .acts = i % 2 != 0};
    peers_build(&both, "open", "port-restricted", 60 + (uint64_t)i);
    start_registry(&server, both.net.server);
    both.a.conf.name_servers = both.b.conf.name_servers = names;
    open_gate(&alice, &both, &both.a, "alice");
    open_gate(&bob, &both, &both.b, "bob");
    run(&both, 10 * second);
    assert_int_equal(warp_gate_listen(bob.gate, on_theirs, &theirs), WARP_OK);
    assert_int_equal(warp_gate_connect_link(alice.gate, "bob", NULL, on_own, &own), WARP_OK);
    run(&both, 30 * second);
    assert_int_equal(own.calls, 1);
    if (theirs.acts)
      assert_int_equal(theirs.calls, 1);
    close_given(&own);
    close_given(&theirs);
    close_gate(&alice);
    close_gate(&bob);
    stop_registry(&server);
    peers_free(&both);
  }
}

/* ---- closed at any moment -------------------------------------------------------------------- */

static void test_closed_in_its_callbacks(void **state) {
  (void)state;
  peers both;
  registry server;
  keeper alice;
  peers_build(&both, "open", "open", 5);
  start_registry(&server, both.net.server);
  both.a.conf.name_servers = names;
  open_gate(&alice, &both, &both.a, "alice");
  alice.close_in_open = true;
  run(&both, 15 * second);
  assert_int_equal(alice.open_status, WARP_OK);
  assert_int_equal(alice.closed, 1);
  for (int link = 0; link < 2; link++) {
    open_gate(&alice, &both, &both.a, "alice");
    run(&both, 10 * second);
    alice.close_in_connect = true;
    assert_int_equal(link ? warp_gate_connect_link(alice.gate, "nobody", NULL, on_link, &alice)
                          : warp_gate_connect(alice.gate, "nobody", NULL, on_connect, &alice),
                     WARP_OK);
    run(&both, 15 * second);
    assert_int_equal(link ? alice.link_status : alice.connect_status, WARP_NOT_FOUND);
    assert_int_equal(alice.closed, 1);
  }
  stop_registry(&server);
  peers_free(&both);
}

static void on_taken(void *arg, warp_gate *gate, warp_link *link, const warp_report *report) {
  (void)gate, (void)report;
  *(warp_link **)arg = link;
}

/* A connect by name, with and without a link, whose gate is closed after so many ms: it ends with
 * WARP_CANCELED, or had ended before. */
static void close_after(uint64_t ms, bool link, bool other_side) {
  peers both;
  registry server;
  keeper alice, bob;
  warp_link *at_bob = NULL;
  peers_build(&both, "port-restricted", "port-restricted", 6 + ms);
  start_registry(&server, both.net.server);
  both.a.conf.name_servers = both.b.conf.name_servers = names;
  open_gate(&alice, &both, &both.a, "alice");
  open_gate(&bob, &both, &both.b, "bob");
  run(&both, 10 * second);
  assert_int_equal(warp_gate_listen(bob.gate, on_taken, &at_bob), WARP_OK);
  assert_int_equal(link ? warp_gate_connect_link(alice.gate, "bob", NULL, on_link, &alice)
                        : warp_gate_connect(alice.gate, "bob", NULL, on_connect, &alice),
                   WARP_OK);
  run(&both, ms * 1000);
  unsigned before = alice.connected + alice.linked;
  close_now(other_side ? &bob : &alice);
  if (!other_side) {
    assert_int_equal(alice.connected + alice.linked, 1);
    if (before == 0)
      assert_int_equal(link ? alice.link_status : alice.connect_status, WARP_CANCELED);
  }
  run(&both, 90 * second);
  assert_int_equal(alice.connected + alice.linked, 1);
  warp_link_close(at_bob, NULL, NULL);
  close_gate(&alice);
  close_gate(&bob);
  stop_registry(&server);
  peers_free(&both);
}

static void test_closed_while_connecting(void **state) {
  (void)state;
  for (uint64_t ms = 0; ms <= 400; ms += 20) {
    close_after(ms, false, false);
    close_after(ms, true, false);
    close_after(ms, ms % 40 == 0, true);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_gate),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_name_taken_then_another),
      cmocka_unit_test(test_quota_is_full),
      cmocka_unit_test(test_no_name_server),
      cmocka_unit_test(test_closed_in_its_callbacks),
      cmocka_unit_test(test_closed_while_connecting),
      cmocka_unit_test(test_closed_with_a_link),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
