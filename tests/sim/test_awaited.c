/* Pipes of a node that are awaited by their id. */
#include "incoming.h"

#include "bad_input.h"

/* ---- pipes by their id ----------------------------------------------------------------------- */

static void test_future(void **state) {
  (void)state;
  peers both;
  start(&both);
  warp_pipe_id id = id_of(7), other = id_of(8);
  warp_key a = key_of(&both.a);
  listener awaits = {.both = &both}, late = {.both = &both}, owner = {.both = &both};
  warp_connect_options options = {.plugins = "direct_connect", .id = &id};
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, &a, 0, on_future, &awaits), WARP_OK);
  assert_int_equal(warp_node_pipe_future(both.b.node, &other, NULL, 5000, on_future, &late),
                   WARP_OK);
  REFUSES(WARP_STATE, warp_node_pipe_future, both.b.node, &other, NULL, 0, on_future, &late);
  /* Without the id nobody gets in, with it who has it; not who listens. */
  connect_again(&both, &directly);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
  connect_again(&both, &options);
  assert_int_equal(both.a.connect_status, WARP_OK);
  run(&both, second);
  assert_int_equal(awaits.calls, 1);
  assert_int_equal(awaits.status, WARP_OK);
  assert_int_equal(owner.calls, 0);
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(awaits.pipe, &info), WARP_OK);
  assert_memory_equal(&info.id, &id, sizeof id);
  assert_memory_equal(&both.a.info.id, &id, sizeof id);
  /* As long as the pipe lives there is no other one with its id. */
  begin_connect(&both.a, &both.b, &options, &late, WARP_STATE);
  run(&both, 6 * second);
  assert_int_equal(late.calls, 1);
  assert_int_equal(late.status, WARP_TIMEOUT);
  warp_pipe_close(awaits.pipe);
  peers_free(&both);
}

/* Through brokers too, where the session comes by a message. */
static void test_future_behind_nats(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "symmetric", 3);
  peer_start(&both.a);
  peer_start(&both.b);
  warp_pipe_id id = id_of(9);
  warp_key a = key_of(&both.a);
  listener awaits = {.both = &both};
  warp_connect_options options = {.id = &id};
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, &a, 0, on_future, &awaits), WARP_OK);
  connect_again(&both, &options);
  assert_int_equal(both.a.connect_status, WARP_OK);
  run(&both, second);
  assert_int_equal(awaits.status, WARP_OK);
  assert_non_null(awaits.pipe);
  warp_pipe_close(awaits.pipe);
  peers_free(&both);
}

/* Who only knows the id gets nothing by it, and nobody else gets in by it either. */
static void test_future_of_another_peer(void **state) {
  (void)state;
  peers both;
  start(&both);
  warp_pipe_id id = id_of(7);
  warp_key b = key_of(&both.b);
  listener awaits = {.both = &both}, owner = {.both = &both};
  warp_connect_options options = {.plugins = "direct_connect", .id = &id};
  assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, &b, 30000, on_future, &awaits), WARP_OK);
  connect_again(&both, &options);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(owner.calls, 0);
  run(&both, 31 * second);
  assert_int_equal(awaits.calls, 1);
  assert_int_equal(awaits.status, WARP_TIMEOUT);
  /* Now that nobody awaits it, the id says nothing. */
  id = id_of(8);
  connect_again(&both, &options);
  assert_int_equal(both.a.connect_status, WARP_OK);
  run(&both, second);
  assert_int_equal(owner.calls, 1);
  warp_pipe_close(owner.pipe);
  peers_free(&both);
}

/* A pipe of the program's finds who awaits it, whichever comes first. */
static void test_ready(void **state) {
  (void)state;
  for (unsigned first = 0; first < 2; first++) {
    peers both;
    start(&both);
    warp_pipe_id id = id_of(1);
    warp_key a = key_of(&both.a), b = key_of(&both.b);
    listener awaits = {.both = &both}, owner = {.both = &both};
    assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
    connect_again(&both, &directly);
    run(&both, second);
    if (first == 0)
      assert_int_equal(warp_node_pipe_ready(both.b.node, &id, owner.pipe), WARP_OK);
    else
      assert_int_equal(warp_node_pipe_future(both.b.node, &id, &a, 0, on_future, &awaits), WARP_OK);
    assert_int_equal(warp_pipe_send(both.a.pipe, "held", 4), WARP_OK);
    run(&both, second);
    if (first == 0) {
      REFUSES(WARP_STATE, warp_node_pipe_ready, both.b.node, &id, owner.pipe);
      REFUSES(WARP_UNTRUSTED, warp_node_pipe_future, both.b.node, &id, &b, 0, on_future, &awaits);
      assert_int_equal(warp_node_pipe_future(both.b.node, &id, &a, 0, on_future, &awaits), WARP_OK);
    } else {
      assert_int_equal(warp_node_pipe_ready(both.b.node, &id, owner.pipe), WARP_OK);
    }
    assert_int_equal(awaits.calls, 0); /* never from inside */
    run(&both, 1000);
    assert_int_equal(awaits.calls, 1);
    assert_ptr_equal(awaits.pipe, owner.pipe);
    warp_pipe_handlers handlers = {.on_data = on_own_data, .arg = &awaits};
    assert_int_equal(warp_pipe_set_handlers(awaits.pipe, &handlers), WARP_OK);
    run(&both, second);
    assert_int_equal(awaits.heard_len, 4); /* nothing was lost while it waited */
    warp_pipe_close(awaits.pipe);
    peers_free(&both);
  }
}

/* A stream's end waits with what came before it for who takes the pipe. */
static void test_ready_keeps_the_end(void **state) {
  (void)state;
  peers both;
  start(&both);
  warp_pipe_id id = id_of(1);
  listener awaits = {.both = &both}, owner = {.both = &both};
  assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
  connect_again(&both, &directly);
  run(&both, second);
  assert_int_equal(warp_node_pipe_ready(both.b.node, &id, owner.pipe), WARP_OK);
  assert_int_equal(warp_pipe_send(both.a.pipe, "last", 4), WARP_OK);
  warp_pipe_close(both.a.pipe);
  both.a.pipe = NULL;
  run(&both, 2 * second);
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, NULL, 0, on_future, &awaits), WARP_OK);
  run(&both, second);
  assert_int_equal(awaits.status, WARP_OK);
  warp_pipe_handlers handlers = {.on_data = on_own_data, .on_end = on_own_end, .arg = &awaits};
  assert_int_equal(warp_pipe_set_handlers(awaits.pipe, &handlers), WARP_OK);
  run(&both, second);
  assert_int_equal(awaits.heard_len, 4);
  assert_int_equal(awaits.status, WARP_CLOSED);
  warp_pipe_close(awaits.pipe);
  peers_free(&both);
}

/* Nobody comes for it, or it ends before somebody does. */
static void test_ready_in_vain(void **state) {
  (void)state;
  static const warp_connect_options by_messages = {.plugins = "udp_punch"};
  for (unsigned ends = 0; ends < 3; ends++) {
    peers both;
    start(&both);
    warp_pipe_id id = id_of(1);
    listener awaits = {.both = &both}, owner = {.both = &both};
    assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
    connect_again(&both, ends == 0 ? &by_messages : &directly);
    run(&both, second);
    assert_int_equal(warp_node_pipe_ready(both.b.node, &id, owner.pipe), WARP_OK);
    if (ends == 0) {
      warp_pipe_close(both.a.pipe); /* and the other end goes with it */
      both.a.pipe = NULL;
      run(&both, 2 * second);
    } else if (ends == 1) {
      run(&both, (uint64_t)WARP_NODE_READY_MS * 1000 + second);
      assert_true(both.a.end_done);
      assert_int_equal(both.a.end_status, WARP_CLOSED);
    } else {
      warp_pipe_close(owner.pipe); /* by the program, to which it does not belong any more */
    }
    assert_int_equal(warp_node_pipe_future(both.b.node, &id, NULL, 2000, on_future, &awaits),
                     WARP_OK);
    run(&both, 3 * second);
    assert_int_equal(awaits.status, WARP_TIMEOUT);
    peers_free(&both);
  }
}

/* A message on a pipe of the node's own says whose it is. */
static void test_ready_from_a_message_callback(void **state) {
  (void)state;
  peers both;
  start(&both);
  warp_pipe_id id = id_of(1);
  listener awaits = {.both = &both}, heard = {.both = &both};
  assert_int_equal(warp_node_add_msg_cb(both.b.node, on_message, &heard), WARP_OK);
  connect_again(&both, &directly);
  assert_int_equal(warp_pipe_send(both.a.pipe, "for 1", 5), WARP_OK);
  run(&both, second);
  assert_int_equal(heard.calls, 1);
  assert_int_equal(warp_node_pipe_ready(both.b.node, &id, heard.pipe), WARP_OK);
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, NULL, 0, on_future, &awaits), WARP_OK);
  run(&both, second);
  assert_ptr_equal(awaits.pipe, heard.pipe);
  /* It is not the node's any more: it stays when the last callback goes. */
  assert_int_equal(warp_node_del_msg_cb(both.b.node, on_message, &heard), WARP_OK);
  run(&both, 3 * second);
  assert_false(both.a.end_done);
  warp_pipe_close(awaits.pipe);
  peers_free(&both);
}

static void test_close_cancels(void **state) {
  (void)state;
  peers both;
  start(&both);
  warp_pipe_id id = id_of(1), met = id_of(2), kept = id_of(3);
  listener awaits = {.both = &both}, meets = {.both = &both}, owner = {.both = &both};
  assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, NULL, 0, on_future, &awaits), WARP_OK);
  assert_int_equal(warp_node_pipe_future(both.b.node, &met, NULL, 0, on_future, &meets), WARP_OK);
  connect_again(&both, &directly);
  run(&both, second);
  assert_int_equal(warp_node_pipe_ready(both.b.node, &met, owner.pipe), WARP_OK);
  listener other = {.both = &both};
  begin_connect(&both.a, &both.b, &directly, &other, WARP_OK);
  sim_run_for(both.net.world, 0);
  warp_pipe *one = owner.pipe;
  run(&both, second);
  assert_ptr_equal(meets.pipe, one);
  assert_ptr_not_equal(owner.pipe, one);
  assert_int_equal(warp_node_pipe_ready(both.b.node, &kept, owner.pipe), WARP_OK);
  warp_pipe_close(meets.pipe);
  warp_node_close(both.b.node, node_closed, &both.b);
  assert_int_equal(awaits.calls, 1);
  assert_int_equal(awaits.status, WARP_CANCELED);
  REFUSES(WARP_STATE, warp_node_pipe_future, both.b.node, &id, NULL, 0, on_future, &awaits);
  REFUSES(WARP_STATE, warp_node_add_msg_cb, both.b.node, on_message, &awaits);
  run(&both, 5 * second);
  assert_true(both.b.closed);
  assert_int_equal(awaits.calls, 1);
  warp_pipe_close(other.pipe);
  peers_free(&both);
}

/* A node that cannot start tells so whoever awaits something of it. */
static void on_no_start(void *arg, warp_node *node, int status) {
  early *self = arg;
  assert_null(node);
  assert_int_equal(status, WARP_UNREACHABLE);
  self->started = true;
}

static void test_a_failed_start_cancels(void **state) {
  (void)state;
  static const char *const nowhere[] = {"none0", NULL};
  peers both;
  peers_build(&both, "open", "open", 1);
  both.b.conf.interfaces = nowhere;
  early starting = {.both = &both};
  listener awaits = {.both = &both};
  warp_pipe_id id = id_of(1);
  warp_node *node;
  assert_int_equal(
      wg_node_start(sim_host_env(both.b.host), &both.b.conf, on_no_start, &starting, &node),
      WARP_OK);
  assert_int_equal(warp_node_pipe_future(node, &id, NULL, 0, on_future, &awaits), WARP_OK);
  assert_int_equal(sim_run_until_set(both.net.world, &starting.started, LIMIT_US), WARP_OK);
  assert_int_equal(awaits.calls, 1);
  assert_int_equal(awaits.status, WARP_CANCELED);
  peers_free(&both);
}

static void test_closing_from_a_future(void **state) {
  (void)state;
  peers both;
  start(&both);
  warp_pipe_id id = id_of(7);
  listener awaits = {.both = &both, .closes_node = true};
  warp_connect_options options = {.plugins = "direct_connect", .id = &id};
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, NULL, 0, on_future, &awaits), WARP_OK);
  connect_again(&both, &options);
  run(&both, 5 * second);
  assert_int_equal(awaits.calls, 1);
  assert_true(both.b.closed);
  assert_true(both.a.end_done);
  warp_pipe_close(awaits.pipe);
  peers_free(&both);
}

/* ---- named connects and those that cross ----------------------------------------------------- */

/* Both connect at the same moment; a's names its id. Two pipes come of it, where two connects
 * without an id come to one. Whoever has the smaller key: the profiles' seeds give both orders. */
static void test_a_named_connect_crosses_none(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 6; seed++) {
    peers both;
    peers_build(&both, "port-restricted", "port-restricted", seed);
    peer_start(&both.a);
    peer_start(&both.b);
    warp_pipe_id id = id_of(7);
    warp_key a = key_of(&both.a);
    listener awaits = {.both = &both}, at_a = {.both = &both}, of_a = {.both = &both},
             of_b = {.both = &both};
    warp_connect_options options = {.id = &id};
    assert_int_equal(warp_node_listen(both.a.node, on_pipe, NULL, &at_a), WARP_OK);
    assert_int_equal(warp_node_pipe_future(both.b.node, &id, &a, 0, on_future, &awaits), WARP_OK);
    begin_connect(&both.a, &both.b, &options, &of_a, WARP_OK);
    begin_connect(&both.b, &both.a, NULL, &of_b, WARP_OK);
    run(&both, 20 * second);
    assert_int_equal(of_a.status, WARP_OK);
    assert_int_equal(of_b.status, WARP_OK);
    assert_int_equal(awaits.status, WARP_OK);
    assert_int_equal(awaits.calls, 1);
    assert_int_equal(at_a.calls, 1);
    warp_pipe_info info;
    assert_int_equal(warp_pipe_get_info(of_a.pipe, &info), WARP_OK);
    assert_memory_equal(&info.id, &id, sizeof id);
    assert_int_equal(warp_pipe_get_info(of_b.pipe, &info), WARP_OK);
    assert_memory_not_equal(&info.id, &id, sizeof id);
    warp_pipe *all[] = {of_a.pipe, of_b.pipe, awaits.pipe, at_a.pipe};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
      warp_pipe_close(all[i]);
    peers_free(&both);
  }
}

/* Both name the same id and connect: nobody awaits, so neither gets a pipe, although both listen,
 * and both are told so at once. */
static void test_the_same_id_from_both_ends(void **state) {
  (void)state;
  static const struct way {
    const char *profile, *plugins;
  } ways[] = {{"open", "direct_connect"},
              {"open", "udp_punch"},
              {"open", NULL},
              {"port-restricted", "udp_punch"},
              {"port-restricted", "tcp_punch"},
              {"port-restricted", NULL},
              {"symmetric", "turn"},
              {"symmetric", NULL}};
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    peers both;
    peers_build(&both, ways[i].profile, ways[i].profile, i);
    peer_start(&both.a);
    peer_start(&both.b);
    warp_pipe_id id = id_of(7);
    listener of_a = {.both = &both}, of_b = {.both = &both}, owner = {.both = &both};
    warp_connect_options options = {.plugins = ways[i].plugins, .id = &id};
    assert_int_equal(warp_node_listen(both.a.node, on_pipe, NULL, &owner), WARP_OK);
    assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
    begin_connect(&both.a, &both.b, &options, &of_a, WARP_OK);
    begin_connect(&both.b, &both.a, &options, &of_b, WARP_OK);
    run(&both, second);
    assert_int_equal(of_a.calls, 1);
    assert_int_equal(of_b.calls, 1);
    assert_int_equal(of_a.status, WARP_STATE);
    assert_int_equal(of_b.status, WARP_STATE);
    run(&both, 70 * second);
    assert_int_equal(owner.calls, 0);
    peers_free(&both);
  }
}

/* Without a broker, who began earlier hears of it by the alert that its dialling ends with. */
static void test_the_same_id_without_brokers(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 1);
  both.a.conf.brokers = both.b.conf.brokers = NULL;
  peer_start(&both.a);
  peer_start(&both.b);
  warp_pipe_id id = id_of(7);
  listener of_a = {.both = &both}, of_b = {.both = &both};
  warp_connect_options options = {.plugins = "direct_connect", .id = &id};
  begin_connect(&both.a, &both.b, &options, &of_a, WARP_OK);
  run(&both, 25000);
  begin_connect(&both.b, &both.a, &options, &of_b, WARP_OK);
  run(&both, second);
  assert_int_equal(of_b.status, WARP_STATE);
  assert_int_equal(of_a.status, WARP_STATE);
  peers_free(&both);
}

/* A second connect of the same node, while the first one is under way: it is refused at once, and
 * the first one does not notice. */
static void test_the_same_id_twice(void **state) {
  (void)state;
  peers both;
  start(&both);
  warp_pipe_id id = id_of(7);
  warp_key a = key_of(&both.a);
  listener first = {.both = &both}, second_one = {.both = &both}, awaits = {.both = &both};
  warp_connect_options options = {.id = &id};
  assert_int_equal(warp_node_pipe_future(both.b.node, &id, &a, 0, on_future, &awaits), WARP_OK);
  begin_connect(&both.a, &both.b, &options, &first, WARP_OK);
  begin_connect(&both.a, &both.b, &options, &second_one, WARP_STATE);
  run(&both, 70 * second);
  assert_int_equal(first.status, WARP_OK);
  assert_int_equal(awaits.status, WARP_OK);
  assert_int_equal(second_one.calls, 0);
  warp_pipe_close(first.pipe);
  warp_pipe_close(awaits.pipe);
  peers_free(&both);
}

/* Two peers connect to a third by the same id: who comes first gets the pipe, the other one is told
 * that the id is in use. */
static void test_the_same_id_from_two_peers(void **state) {
  (void)state;
  static const char *const ways[] = {"direct_connect", "udp_punch", NULL};
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    peers both;
    start(&both);
    peer c = {.world = both.net.world,
              .host = sim_host_new(both.net.site_a, "c", "192.0.2.3/25"),
              .conf = both.a.conf};
    c.conf.start_arg = &c;
    peer_start(&c);
    warp_pipe_id id = id_of(7);
    listener of_a = {.both = &both}, of_c = {.both = &both}, owner = {.both = &both};
    warp_connect_options options = {.plugins = ways[i], .id = &id};
    assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
    begin_connect(&both.a, &both.b, &options, &of_a, WARP_OK);
    run(&both, 50000); /* a's is there, and c's will be before the pipe is usable at b */
    begin_connect(&c, &both.b, &options, &of_c, WARP_OK);
    run(&both, 2 * second);
    assert_int_equal(of_a.status, WARP_OK);
    assert_int_equal(of_c.calls, 1);
    assert_int_equal(of_c.status, WARP_STATE);
    assert_int_equal(owner.calls, 1);
    run(&both, 70 * second);
    assert_int_equal(owner.calls, 1);
    assert_int_equal(warp_pipe_send(of_a.pipe, "still here", 10), WARP_OK);
    warp_pipe_close(of_a.pipe);
    warp_pipe_close(owner.pipe);
    warp_node_close(c.node, node_closed, &c);
    run(&both, 5 * second);
    peers_free(&both);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_future),
      cmocka_unit_test(test_future_behind_nats),
      cmocka_unit_test(test_future_of_another_peer),
      cmocka_unit_test(test_ready),
      cmocka_unit_test(test_ready_keeps_the_end),
      cmocka_unit_test(test_ready_in_vain),
      cmocka_unit_test(test_ready_from_a_message_callback),
      cmocka_unit_test(test_close_cancels),
      cmocka_unit_test(test_a_failed_start_cancels),
      cmocka_unit_test(test_closing_from_a_future),
      cmocka_unit_test(test_a_named_connect_crosses_none),
      cmocka_unit_test(test_the_same_id_from_both_ends),
      cmocka_unit_test(test_the_same_id_without_brokers),
      cmocka_unit_test(test_the_same_id_twice),
      cmocka_unit_test(test_the_same_id_from_two_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
