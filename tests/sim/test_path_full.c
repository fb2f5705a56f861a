/* Where the system takes no datagrams for a while, a sender over a path is told, as over a stream,
 * and waits: what it wanted to send is not lost. */
#include "peers.h"
#include "testing.h"

enum { MESSAGES = 100, MESSAGE = 10000 };

typedef struct stage {
  peers both;
  unsigned drained, received;
  bool ready; /* there is room again */
  warp_link *link, *at_b;
  bool closed;
} stage;

static void set_up(stage *on) {
  *on = (stage){0};
  peers_build(&on->both, "port-restricted", "port-restricted", 7);
  peers_start(&on->both);
  on->both.b.echo = false;
  peers_connect(&on->both, &(warp_connect_options){.plugins = "udp_punch"});
  assert_int_equal(on->both.a.connect_status, WARP_OK);
  assert_int_equal(on->both.a.info.kind, WARP_MESSAGES);
  assert_int_equal(sim_run_until_set(on->both.net.world, &on->both.b.pipe_done, SIM_SECOND),
                   WARP_OK);
}

static void pass(stage *on, unsigned ms) {
  assert_int_equal(sim_run_for(on->both.net.world, ms * SIM_MS), WARP_OK);
}

static void on_pipe_drain(void *arg, warp_pipe *pipe) {
  stage *on = arg;
  on->drained++;
  on->ready = on->ready || warp_pipe_send(pipe, "later", 5) == WARP_OK;
}

static void test_a_pipe_is_told(void **state) {
  (void)state;
  stage on;
  set_up(&on);
  warp_pipe *pipe = on.both.a.pipe;
  const warp_pipe_handlers handlers = {.on_drain = on_pipe_drain, .arg = &on};
  assert_int_equal(warp_pipe_set_handlers(pipe, &handlers), WARP_OK);
  assert_int_equal(warp_pipe_send(pipe, "first", 5), WARP_OK);
  sim_host_set_udp_full(on.both.a.host, true);
  assert_int_equal(warp_pipe_send(pipe, "never", 5), WARP_AGAIN);
  pass(&on, 200);
  assert_int_not_equal(on.drained, 0); /* it asks now and then */
  assert_false(on.ready);
  sim_host_set_udp_full(on.both.a.host, false);
  pass(&on, 200);
  assert_true(on.ready);
  assert_int_equal(on.both.b.inbox_len, 10);
  assert_memory_equal(on.both.b.inbox, "firstlater", 10);
  peers_free(&on.both);
}

/* ---- links ----------------------------------------------------------------------------------- */

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  stage *on = arg;
  (void)link, (void)data;
  assert_int_equal(len, MESSAGE);
  on->received++;
}

static void on_closed(void *arg, int status) {
  stage *on = arg;
  assert_int_equal(status, WARP_OK);
  on->closed = true;
}

static void on_end(void *arg, warp_link *link, int status) {
  (void)arg;
  assert_int_equal(status, WARP_CLOSED);
  warp_link_close(link, NULL, NULL);
}

/* Half of the time nothing is taken. What waits goes out when it is, without a retransmission,
 * which would halve the rate each time. */
static void test_a_link_waits(void **state) {
  (void)state;
  static uint8_t message[MESSAGE];
  stage on;
  set_up(&on);
  assert_int_equal(warp_link_open(on.both.a.pipe, &on.link), WARP_OK);
  assert_int_equal(warp_link_open(on.both.b.pipe, &on.at_b), WARP_OK);
  on.both.a.pipe = on.both.b.pipe = NULL; /* the links' */
  assert_int_equal(warp_link_on_message(on.at_b, on_message, &on), WARP_OK);
  assert_int_equal(warp_link_on_end(on.at_b, on_end, &on), WARP_OK);
  for (unsigned i = 0; i < MESSAGES; i++) {
    assert_int_equal(warp_link_send(on.link, message, sizeof message), WARP_OK);
  }
  warp_link_close(on.link, on_closed, &on);
  unsigned rounds = 0;
  for (; !on.closed; rounds++) {
    sim_host_set_udp_full(on.both.a.host, rounds % 2 == 1);
    pass(&on, 5);
    assert_in_range(rounds, 0, 400); /* it needs 65 */
  }
  sim_host_set_udp_full(on.both.a.host, false);
  assert_int_equal(on.received, MESSAGES);
  pass(&on, 3000);
  peers_free(&on.both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_pipe_is_told),
      cmocka_unit_test(test_a_link_waits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
