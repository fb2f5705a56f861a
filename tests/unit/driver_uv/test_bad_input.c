/* The real loop, and what is started on it, with bad arguments and from inside its callbacks. */
#include "harness.h"

#include "bad_input.h"

static void no_call(void *arg) {
  (void)arg;
  fail_msg("a callback of something that did not start");
}

static void on_start(void *arg, warp_node *node, int status) {
  (void)node, (void)status;
  no_call(arg);
}

static void on_gate(void *arg, warp_gate *gate, int status) {
  (void)gate, (void)status;
  no_call(arg);
}

static void on_open(void *arg, warp_pipe *pipe, int status) {
  (void)pipe, (void)status;
  no_call(arg);
}

static void test_no_loop(void **state) {
  (void)state;
  const warp_conf conf = warp_conf_test();
  const warp_pipe_options udp = {.transport = WARP_UDP};
  warp_interface one;
  warp_node *node;
  warp_gate *gate;
  warp_pipe *pipe;
  assert_null(BADLY(warp_loop_wrap, NULL));
  REFUSES(WARP_INVALID, warp_loop_run, NULL);
  BADLY(warp_loop_stop, NULL);
  REFUSES(WARP_INVALID, warp_loop_post, NULL, no_call, NULL);
  REFUSES(WARP_INVALID, warp_loop_close, NULL);
  REFUSES(WARP_INVALID, warp_interface_list, NULL, &one, 1);
  REFUSES(WARP_INVALID, warp_interface_load, NULL, NULL, &one);
  REFUSES(WARP_INVALID, warp_node_start, NULL, &conf, on_start, NULL, &node);
  REFUSES(WARP_INVALID, warp_gate_open, NULL, "alice", &conf, on_gate, NULL, &gate);
  REFUSES(WARP_INVALID, warp_pipe_open, NULL, &udp, on_open, NULL, &pipe);
}

static void test_nothing_to_start(void **state) {
  world *w = *state;
  const warp_conf conf = warp_conf_test();
  const warp_pipe_options udp = {.transport = WARP_UDP};
  warp_interface one;
  warp_node *node;
  warp_gate *gate;
  warp_pipe *pipe;
  REFUSES(WARP_INVALID, warp_loop_post, w->loop, NULL, NULL);
  REFUSES(WARP_INVALID, warp_interface_list, w->loop, NULL, 4);
  REFUSES(WARP_INVALID, warp_interface_list, w->loop, &one, 0);
  assert_in_range(BADLY(warp_interface_list, w->loop, &one, 1), 1, 1);
  REFUSES(WARP_INVALID, warp_interface_load, w->loop, NULL, NULL);
  REFUSES(WARP_NOT_FOUND, warp_interface_load, w->loop, "", &one);
  REFUSES(WARP_NOT_FOUND, warp_interface_load, w->loop, "no such interface \xff%n", &one);
  REFUSES(WARP_INVALID, warp_node_start, w->loop, NULL, on_start, NULL, &node);
  REFUSES(WARP_INVALID, warp_node_start, w->loop, &conf, NULL, NULL, &node);
  REFUSES(WARP_INVALID, warp_node_start, w->loop, &conf, on_start, NULL, NULL);
  REFUSES(WARP_INVALID, warp_gate_open, w->loop, "alice", NULL, on_gate, NULL, &gate);
  REFUSES(WARP_INVALID, warp_gate_open, w->loop, "alice", &conf, NULL, NULL, &gate);
  REFUSES(WARP_INVALID, warp_gate_open, w->loop, "alice", &conf, on_gate, NULL, NULL);
  REFUSES(WARP_INVALID, warp_pipe_open, w->loop, NULL, on_open, NULL, &pipe);
  REFUSES(WARP_INVALID, warp_pipe_open, w->loop, &udp, NULL, NULL, &pipe);
  REFUSES(WARP_INVALID, warp_pipe_open, w->loop, &(warp_pipe_options){0}, on_open, NULL, NULL);
}

/* ---- from inside ----------------------------------------------------------------------------- */

typedef struct inside {
  warp_loop *loop;
  warp_node *node;
  warp_pipe *pipe;
  unsigned calls, opened, started, closed;
  int status;
} inside;

static void use_the_loop(void *arg) {
  inside *self = arg;
  REFUSES(WARP_STATE, warp_loop_run, self->loop);
  REFUSES(WARP_STATE, warp_loop_close, self->loop);
  if (self->calls++ == 0)
    assert_int_equal(warp_loop_post(self->loop, use_the_loop, self), WARP_OK);
  else
    warp_loop_stop(self->loop);
}

static void test_the_loop_from_inside(void **state) {
  (void)state;
  inside self = {.loop = warp_loop_new()};
  assert_int_equal(warp_loop_post(self.loop, use_the_loop, &self), WARP_OK);
  REFUSES(WARP_STATE, warp_loop_close, self.loop); /* the call waits */
  assert_int_equal(warp_loop_run(self.loop), WARP_OK);
  assert_int_equal(self.calls, 2);
  warp_loop_stop(self.loop); /* it does not run: the next run is not shortened by it */
  assert_int_equal(warp_loop_run(self.loop), WARP_OK);
  assert_int_equal(warp_loop_close(self.loop), WARP_OK);
}

static void on_closed(void *arg) {
  inside *self = arg;
  self->closed++;
}

static void node_started(void *arg, warp_node *node, int status) {
  inside *self = arg;
  self->started++;
  self->status = status;
  REFUSES(WARP_STATE, warp_loop_close, self->loop);
  warp_loop_stop(self->loop);
  if (status == WARP_OK)
    warp_node_close(node, on_closed, self);
}

static void gate_opened(void *arg, warp_gate *gate, int status) {
  inside *self = arg;
  assert_null(gate);
  self->started++;
  self->status = status;
}

static void pipe_opened(void *arg, warp_pipe *pipe, int status) {
  inside *self = arg;
  self->opened++;
  self->status = status;
  REFUSES(WARP_STATE, warp_loop_close, self->loop);
  warp_loop_stop(self->loop);
  warp_pipe_close(pipe);
}

/* The loop is not to be had while something is open on it, and stops where it is told to. */
static void test_the_loop_under_open_objects(void **state) {
  (void)state;
  inside self = {.loop = warp_loop_new()};
  const warp_addr loopback = wg_addr_loopback(WARP_IP4, 0);
  const warp_route route = {.addr = loopback};
  const warp_pipe_options udp = {.transport = WARP_UDP, .route = &route};
  assert_int_equal(warp_pipe_open(self.loop, &udp, pipe_opened, &self, &self.pipe), WARP_OK);
  REFUSES(WARP_STATE, warp_loop_close, self.loop);
  assert_int_equal(warp_loop_run(self.loop), WARP_OK);
  assert_int_equal(self.opened, 1);
  assert_int_equal(self.status, WARP_OK);
  warp_conf conf = warp_conf_test();
  conf.key_name = "";
  assert_int_equal(warp_node_start(self.loop, &conf, node_started, &self, &self.node), WARP_OK);
  REFUSES(WARP_STATE, warp_loop_close, self.loop);
  assert_int_equal(warp_loop_run(self.loop), WARP_OK); /* until it is stopped */
  assert_int_equal(self.started, 1);
  assert_int_equal(self.status, WARP_OK);
  assert_int_equal(warp_loop_run(self.loop), WARP_OK); /* until nothing is left */
  assert_int_equal(self.closed, 1);
  assert_int_equal(warp_loop_close(self.loop), WARP_OK);
}

/* Closed before the loop ran at all: what was pending is told within. */
static void test_closed_at_once(void **state) {
  (void)state;
  inside self = {.loop = warp_loop_new()};
  const warp_pipe_options tcp = {.transport = WARP_TCP, .dest = "127.0.0.1:1"};
  warp_conf conf = warp_conf_test();
  conf.key_name = "";
  assert_int_equal(warp_node_start(self.loop, &conf, node_started, &self, &self.node), WARP_OK);
  warp_node_close(self.node, on_closed, &self);
  assert_int_equal(self.started, 1);
  assert_int_equal(self.status, WARP_CANCELED);
  assert_int_equal(self.closed, 0); /* never from inside the call */
  warp_node_close(self.node, no_call, NULL);
  conf.machine_id = "a machine"; /* a gate without a name has one by that */
  warp_gate *gate;
  assert_int_equal(BADLY(warp_gate_open, self.loop, NULL, &conf, gate_opened, &self, &gate),
                   WARP_OK);
  warp_gate_close(gate, on_closed, &self);
  assert_int_equal(warp_pipe_open(self.loop, &tcp, pipe_opened, &self, &self.pipe), WARP_OK);
  warp_pipe_close(self.pipe);
  assert_int_equal(self.opened, 1);
  assert_int_equal(self.status, WARP_CANCELED);
  assert_int_equal(warp_loop_run(self.loop), WARP_OK);
  assert_int_equal(self.closed, 2);
  assert_int_equal(self.started, 2);
  assert_int_equal(warp_loop_close(self.loop), WARP_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_loop),
      cmocka_unit_test_setup_teardown(test_nothing_to_start, world_up, world_down),
      cmocka_unit_test(test_the_loop_from_inside),
      cmocka_unit_test(test_the_loop_under_open_objects),
      cmocka_unit_test(test_closed_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
