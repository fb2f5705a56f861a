/* Pipes that peers open: message callbacks of a node, and what is refused. */
#include "incoming.h"

#include "bad_input.h"

/* ---- message callbacks ----------------------------------------------------------------------- */

static void test_message_callbacks(void **state) {
  (void)state;
  peers both;
  char order[16] = "";
  start(&both);
  listener first = {.both = &both, .name = '1', .order = order, .answers = true};
  listener second_one = {.both = &both, .name = '2', .order = order, .leaves = true};
  listener third = {.both = &both, .name = '3', .order = order};
  connect_again(&both, &directly);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED); /* refused, and nothing else to try */
  warp_node *b = both.b.node;
  assert_int_equal(warp_node_add_msg_cb(b, on_message, &first), WARP_OK);
  assert_int_equal(warp_node_add_msg_cb(b, on_message, &second_one), WARP_OK);
  assert_int_equal(warp_node_add_msg_cb(b, on_message, &third), WARP_OK);
  connect_again(&both, &directly);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(warp_pipe_send(both.a.pipe, "hello", 5), WARP_OK);
  run(&both, second);
  assert_int_equal(both.a.inbox_len, 5);
  assert_string_equal(order, "123");
  assert_int_equal(warp_pipe_send(both.a.pipe, " again", 6), WARP_OK);
  run(&both, second);
  assert_string_equal(order, "12313");
  assert_int_equal(third.heard_len, 11);
  assert_memory_equal(third.heard, "hello again", 11);
  /* With the last one the pipe goes, and nobody gets in any more. */
  assert_int_equal(warp_node_del_msg_cb(b, on_message, &first), WARP_OK);
  run(&both, second);
  assert_false(both.a.end_done);
  assert_int_equal(warp_node_del_msg_cb(b, on_message, &third), WARP_OK);
  run(&both, 5 * second);
  assert_true(both.a.end_done);
  assert_int_equal(both.a.end_status, WARP_CLOSED);
  connect_again(&both, &directly);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  peers_free(&both);
}

static void on_early_start(void *arg, warp_node *node, int status) {
  early *self = arg;
  assert_non_null(node);
  assert_int_equal(status, WARP_OK);
  self->started = true;
}

/* From the moment when the start has begun: also a peer who knows the node from yesterday. */
static void test_set_before_the_start_completes(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 2);
  peer_start(&both.a);
  listener heard = {.both = &both, .answers = true};
  early starting = {.both = &both};
  assert_int_equal(wg_node_start(sim_host_env(both.b.host), &both.b.conf, on_early_start, &starting,
                                 &both.b.node),
                   WARP_OK);
  assert_int_equal(warp_node_add_msg_cb(both.b.node, on_message, &heard), WARP_OK);
  assert_int_equal(sim_run_until_set(both.net.world, &starting.started, LIMIT_US), WARP_OK);
  connect_again(&both, &directly);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(warp_pipe_send(both.a.pipe, "first", 5), WARP_OK);
  run(&both, second);
  assert_int_equal(both.a.inbox_len, 5);
  assert_int_equal(heard.calls, 1);
  peers_free(&both);
}

/* Who listens has the pipe, and the callbacks hear it too: also one that is added later, and then
 * what nobody had taken yet. */
static void test_beside_a_listener(void **state) {
  (void)state;
  peers both;
  start(&both);
  listener heard = {.both = &both}, owner = {.both = &both};
  assert_int_equal(warp_node_listen(both.b.node, on_pipe, NULL, &owner), WARP_OK);
  connect_again(&both, &directly);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(warp_pipe_send(both.a.pipe, "held", 4), WARP_OK);
  run(&both, second);
  assert_int_equal(owner.calls, 1);
  assert_int_equal(warp_node_add_msg_cb(both.b.node, on_message, &heard), WARP_OK);
  run(&both, second);
  assert_int_equal(heard.heard_len, 4);
  warp_pipe_handlers handlers = {.on_data = on_own_data, .arg = &owner};
  assert_int_equal(warp_pipe_set_handlers(owner.pipe, &handlers), WARP_OK);
  assert_int_equal(warp_pipe_send(both.a.pipe, " both", 5), WARP_OK);
  run(&both, second);
  assert_int_equal(owner.heard_len, 5);
  assert_int_equal(heard.heard_len, 9);
  /* Taken away, it hears no more, and the pipe is its owner's as before. */
  assert_int_equal(warp_node_del_msg_cb(both.b.node, on_message, &heard), WARP_OK);
  assert_int_equal(warp_pipe_send(both.a.pipe, "x", 1), WARP_OK);
  run(&both, second);
  assert_int_equal(owner.heard_len, 6);
  assert_int_equal(heard.heard_len, 9);
  warp_pipe_close(owner.pipe);
  peers_free(&both);
}

static void test_pipes_of_one_peer_are_limited(void **state) {
  (void)state;
  peers both;
  start(&both);
  listener heard = {.both = &both}, mine[WARP_NODE_PIPES_OF_PEER_MAX + 1];
  assert_int_equal(warp_node_add_msg_cb(both.b.node, on_message, &heard), WARP_OK);
  for (size_t i = 0; i <= WARP_NODE_PIPES_OF_PEER_MAX; i++) {
    mine[i] = (listener){.both = &both};
    begin_connect(&both.a, &both.b, &directly, &mine[i], WARP_OK);
    run(&both, second);
    assert_int_equal(mine[i].status, WARP_OK);
  }
  for (size_t i = 0; i < WARP_NODE_PIPES_OF_PEER_MAX; i++)
    assert_int_equal(warp_pipe_send(mine[i].pipe, "x", 1), WARP_OK);
  (void)warp_pipe_send(mine[WARP_NODE_PIPES_OF_PEER_MAX].pipe, "y", 1);
  run(&both, second);
  assert_int_equal(heard.calls, WARP_NODE_PIPES_OF_PEER_MAX);
  /* One that ends makes room. */
  warp_pipe_close(mine[0].pipe);
  run(&both, second);
  warp_pipe_close(mine[WARP_NODE_PIPES_OF_PEER_MAX].pipe);
  begin_connect(&both.a, &both.b, &directly, &mine[0], WARP_OK);
  run(&both, second);
  assert_int_equal(warp_pipe_send(mine[0].pipe, "z", 1), WARP_OK);
  run(&both, second);
  assert_int_equal(heard.calls, WARP_NODE_PIPES_OF_PEER_MAX + 1);
  for (size_t i = 0; i < WARP_NODE_PIPES_OF_PEER_MAX; i++)
    warp_pipe_close(mine[i].pipe);
  peers_free(&both);
}

static void test_closing_from_a_message_callback(void **state) {
  (void)state;
  for (unsigned node = 0; node < 2; node++) {
    peers both;
    char order[16] = "";
    start(&both);
    listener first = {.both = &both, .name = '1', .order = order};
    listener last = {.both = &both, .name = '2', .order = order};
    first.closes_pipe = node == 0;
    first.closes_node = node == 1;
    assert_int_equal(warp_node_add_msg_cb(both.b.node, on_message, &first), WARP_OK);
    assert_int_equal(warp_node_add_msg_cb(both.b.node, on_message, &last), WARP_OK);
    connect_again(&both, &directly);
    assert_int_equal(warp_pipe_send(both.a.pipe, "end", 3), WARP_OK);
    run(&both, 5 * second);
    assert_string_equal(order, "1"); /* nothing of a closed pipe is told */
    assert_true(both.a.end_done);
    assert_int_equal(both.b.closed, node == 1);
    peers_free(&both);
  }
}

/* ---- families and bad input ------------------------------------------------------------------ */

static void test_supported(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 1);
  sim_host_add_address(both.net.b, "2001:db8:2::2/64");
  peer_start(&both.a);
  peer_start(&both.b);
  assert_int_equal(warp_node_supported(both.a.node, WARP_IP4), WARP_OK);
  REFUSES(WARP_UNSUPPORTED, warp_node_supported, both.a.node, WARP_IP6);
  assert_int_equal(warp_node_supported(both.b.node, WARP_IP4), WARP_OK);
  assert_int_equal(warp_node_supported(both.b.node, WARP_IP6), WARP_OK);
  REFUSES(WARP_INVALID, warp_node_supported, both.b.node, 0);
  REFUSES(WARP_INVALID, warp_node_supported, NULL, WARP_IP4);
  peers_free(&both);
}

static void test_bad_input(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 1);
  early starting = {.both = &both};
  listener nobody = {.both = &both}, owner = {.both = &both};
  warp_pipe_id id = id_of(1), none = {{0}};
  warp_connect_options options = {.id = &none};
  peer_start(&both.a);
  assert_int_equal(wg_node_start(sim_host_env(both.b.host), &both.b.conf, on_early_start, &starting,
                                 &both.b.node),
                   WARP_OK);
  warp_node *b = both.b.node;
  REFUSES(WARP_STATE, warp_node_supported, b, WARP_IP4);
  assert_int_equal(warp_node_pipe_future(b, &id, NULL, 1000, on_future, &nobody), WARP_OK);
  assert_int_equal(sim_run_until_set(both.net.world, &starting.started, LIMIT_US), WARP_OK);

  REFUSES(WARP_INVALID, warp_node_add_msg_cb, NULL, on_message, &nobody);
  REFUSES(WARP_INVALID, warp_node_add_msg_cb, b, NULL, &nobody);
  REFUSES(WARP_INVALID, warp_node_del_msg_cb, NULL, on_message, &nobody);
  REFUSES(WARP_INVALID, warp_node_del_msg_cb, b, NULL, &nobody);
  REFUSES(WARP_NOT_FOUND, warp_node_del_msg_cb, b, on_message, &nobody);
  for (unsigned i = 0; i < WARP_NODE_CALLBACKS_MAX; i++)
    assert_int_equal(warp_node_add_msg_cb(b, on_message, &nobody), WARP_OK);
  REFUSES(WARP_LIMIT, warp_node_add_msg_cb, b, on_message, &nobody);
  for (unsigned i = 0; i < WARP_NODE_CALLBACKS_MAX; i++)
    assert_int_equal(warp_node_del_msg_cb(b, on_message, &nobody), WARP_OK);

  REFUSES(WARP_INVALID, warp_node_pipe_future, NULL, &id, NULL, 0, on_future, &nobody);
  REFUSES(WARP_INVALID, warp_node_pipe_future, b, NULL, NULL, 0, on_future, &nobody);
  REFUSES(WARP_INVALID, warp_node_pipe_future, b, &none, NULL, 0, on_future, &nobody);
  REFUSES(WARP_INVALID, warp_node_pipe_future, b, &id, NULL, 0, NULL, &nobody);
  for (unsigned i = 1; i < WARP_NODE_FUTURES_MAX; i++) {
    warp_pipe_id more = id_of((uint8_t)i);
    more.bytes[1] = 99;
    assert_int_equal(warp_node_pipe_future(b, &more, NULL, 1000, on_future, &nobody), WARP_OK);
  }
  id = id_of(2);
  REFUSES(WARP_LIMIT, warp_node_pipe_future, b, &id, NULL, 0, on_future, &nobody);
  run(&both, 2 * second);
  assert_int_equal(nobody.calls, WARP_NODE_FUTURES_MAX);

  assert_int_equal(warp_node_listen(b, on_pipe, NULL, &owner), WARP_OK);
  connect_again(&both, &directly);
  run(&both, second);
  REFUSES(WARP_INVALID, warp_node_pipe_ready, NULL, &id, owner.pipe);
  REFUSES(WARP_INVALID, warp_node_pipe_ready, b, NULL, owner.pipe);
  REFUSES(WARP_INVALID, warp_node_pipe_ready, b, &none, owner.pipe);
  REFUSES(WARP_INVALID, warp_node_pipe_ready, b, &id, NULL);
  REFUSES(WARP_INVALID, warp_node_pipe_ready, b, &id, both.a.pipe); /* another loop's */
  warp_pipe_close(both.a.pipe);
  both.a.pipe = NULL;
  warp_pipe_handlers handlers = {.on_data = on_own_data, .arg = &owner};
  assert_int_equal(warp_pipe_set_handlers(owner.pipe, &handlers), WARP_OK);
  run(&both, second);
  begin_connect(&both.a, &both.b, &options, &nobody, WARP_INVALID);
  warp_pipe_close(owner.pipe);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_message_callbacks),
      cmocka_unit_test(test_set_before_the_start_completes),
      cmocka_unit_test(test_beside_a_listener),
      cmocka_unit_test(test_pipes_of_one_peer_are_limited),
      cmocka_unit_test(test_closing_from_a_message_callback),
      cmocka_unit_test(test_supported),
      cmocka_unit_test(test_bad_input),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
