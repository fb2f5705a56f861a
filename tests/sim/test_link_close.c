/* The end of a link over plain UDP, where nothing but the link tells the other side that a pipe is
 * gone, and what becomes of it when the last packets are lost. */
#include "hand_pipes.h"

typedef struct end {
  warp_link *link;
  unsigned messages, ended;
  int end_status;
  bool close_at_end; /* as soon as the peer has closed */
  bool closed;
  int closed_status;
} end;

typedef struct stage {
  pair p;
  end a, b;
} stage;

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  (void)link, (void)data, (void)len;
  ((end *)arg)->messages++;
}

static void on_closed(void *arg, int status) {
  end *self = arg;
  assert_false(self->closed);
  self->closed = true;
  self->closed_status = status;
}

static void on_end(void *arg, warp_link *link, int status) {
  end *self = arg;
  self->ended++;
  self->end_status = status;
  if (self->close_at_end) {
    warp_link_close(link, on_closed, self);
  }
}

static void on_open(void *arg, warp_pipe *pipe, int status) {
  end *self = arg;
  assert_int_equal(status, WARP_OK);
  assert_int_equal(warp_link_open(pipe, &self->link), WARP_OK);
  assert_int_equal(warp_link_on_message(self->link, on_message, self), WARP_OK);
  assert_int_equal(warp_link_on_end(self->link, on_end, self), WARP_OK);
}

static void open_end(end *self, sim_host *host, const char *from, const char *to) {
  const warp_route route = {.addr = address(from)};
  const warp_pipe_options options = {.transport = WARP_UDP, .route = &route, .dest = to};
  warp_pipe *pipe;
  *self = (end){.close_at_end = true};
  assert_int_equal(wg_pipe_open_by_hand(sim_host_env(host), &options, on_open, self, &pipe),
                   WARP_OK);
}

/* Two programs with a link, and a message that has come. */
static void set_up(stage *on) {
  build(&on->p);
  open_end(&on->a, on->p.a, "192.0.2.1:8", "192.0.2.129:7");
  open_end(&on->b, on->p.b, "192.0.2.129:7", "192.0.2.1:8");
  pass(&on->p, 5000); /* the first packets of both met nobody */
  assert_int_equal(warp_link_send(on->a.link, "hello", 5), WARP_OK);
  pass(&on->p, 1000);
  assert_int_equal(on->b.messages, 1);
}

static void tear_down(stage *on) {
  pass(&on->p, 1000);
  destroy(&on->p);
}

static void cut(stage *on) {
  sim_network_set_up(on->p.one, false);
  sim_network_set_up(on->p.two, false);
}

static uint32_t ms_until(stage *on, bool *flag) {
  uint64_t begun_us = sim_now_us(on->p.world);
  assert_int_equal(sim_run_until_set(on->p.world, flag, 100 * SIM_SECOND), WARP_OK);
  return (uint32_t)((sim_now_us(on->p.world) - begun_us) / SIM_MS);
}

/* The peer is told, and waits for nothing: a packet's way later it is gone as well. */
static void test_who_closes_says_so_last(void **state) {
  (void)state;
  stage on;
  set_up(&on);
  warp_link_close(on.a.link, on_closed, &on.a);
  assert_in_range(ms_until(&on, &on.a.closed), 1, 200);
  assert_int_equal(on.a.closed_status, WARP_OK);
  assert_int_equal(on.b.end_status, WARP_CLOSED);
  assert_in_range(ms_until(&on, &on.b.closed), 1, 2 * SIM_LATENCY_US / 1000 + 1);
  assert_int_equal(on.b.closed_status, WARP_CLOSED);
  tear_down(&on);
}

/* The last packet is lost, and nobody is there who could repeat it. */
static void test_the_last_packet_is_lost(void **state) {
  (void)state;
  stage on;
  set_up(&on);
  warp_link_close(on.a.link, on_closed, &on.a);
  (void)ms_until(&on, &on.a.closed);
  cut(&on);
  assert_in_range(ms_until(&on, &on.b.closed), WARP_LINK_FAREWELL_MS - 500,
                  WARP_LINK_FAREWELL_MS + 500);
  assert_int_equal(on.b.ended, 1);
  assert_int_equal(on.b.closed_status, WARP_CLOSED);
  tear_down(&on);
}

/* A program that does not close at once has until then heard that nothing more comes. */
static void test_a_program_that_takes_its_time(void **state) {
  (void)state;
  for (int lost = 0; lost < 2; lost++) {
    stage on;
    set_up(&on);
    on.b.close_at_end = false;
    warp_link_close(on.a.link, on_closed, &on.a);
    (void)ms_until(&on, &on.a.closed);
    if (lost) {
      cut(&on);
    }
    pass(&on.p, 60000);
    assert_int_equal(on.b.ended, 1);
    assert_int_equal(on.b.end_status, WARP_CLOSED);
    assert_int_equal(warp_link_send(on.b.link, "x", 1), WARP_CLOSED);
    warp_link_close(on.b.link, on_closed, &on.b);
    assert_in_range(ms_until(&on, &on.b.closed), 0, WARP_LINK_FAREWELL_MS + 500);
    assert_int_equal(on.b.closed_status, WARP_CLOSED);
    tear_down(&on);
  }
}

/* The peer hears at once that this was no close, though nothing below the link has an end. */
static void test_an_abort_is_heard(void **state) {
  (void)state;
  stage on;
  set_up(&on);
  warp_link_abort(on.a.link, on_closed, &on.a);
  assert_false(on.a.closed);
  (void)ms_until(&on, &on.a.closed);
  assert_int_equal(on.a.closed_status, WARP_CANCELED);
  assert_in_range(ms_until(&on, &on.b.closed), 1, 2 * SIM_LATENCY_US / 1000 + 1);
  assert_int_equal(on.b.end_status, WARP_RESET);
  assert_int_equal(on.b.closed_status, WARP_RESET);
  tear_down(&on);
}

/* Both at once: each has said that it closes before it heard the same. */
static void test_both_close_at_once(void **state) {
  (void)state;
  stage on;
  set_up(&on);
  warp_link_close(on.a.link, on_closed, &on.a);
  warp_link_close(on.b.link, on_closed, &on.b);
  assert_in_range(ms_until(&on, &on.a.closed), 1, 500);
  assert_in_range(ms_until(&on, &on.b.closed), 0, 500);
  assert_int_equal(on.a.closed_status, WARP_OK);
  assert_int_equal(on.b.closed_status, WARP_OK);
  tear_down(&on);
}

/* What the one who closes waits for is more than a good-bye: its word is lost on the way, then the
 * answer, and it is all repeated until it has come. */
static void test_what_is_lost_before_comes_again(void **state) {
  (void)state;
  for (unsigned after_ms = 10; after_ms < 100; after_ms += 10) {
    stage on;
    set_up(&on);
    warp_link_close(on.a.link, on_closed, &on.a);
    pass(&on.p, after_ms);
    if (!on.a.closed) {
      cut(&on);
      pass(&on.p, 1000);
      sim_network_set_up(on.p.one, true);
      sim_network_set_up(on.p.two, true);
    }
    (void)ms_until(&on, &on.a.closed);
    (void)ms_until(&on, &on.b.closed);
    assert_int_equal(on.a.closed_status, WARP_OK);
    assert_int_equal(on.b.closed_status, WARP_CLOSED);
    tear_down(&on);
  }
}

/* The path is gone for good: nobody waits for ever, and who cannot know says so. */
static void test_the_path_is_cut(void **state) {
  (void)state;
  stage on;
  set_up(&on);
  cut(&on);
  warp_link_close(on.a.link, on_closed, &on.a);
  uint32_t waited_ms = ms_until(&on, &on.a.closed);
  assert_in_range(waited_ms, WARP_LINK_STALL_MS, WARP_LINK_STALL_MS + 2000);
  assert_int_equal(on.a.closed_status, WARP_TIMEOUT);
  assert_int_equal(on.b.ended, 0);
  warp_link_close(on.b.link, on_closed, &on.b);
  (void)ms_until(&on, &on.b.closed);
  tear_down(&on);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_who_closes_says_so_last),
      cmocka_unit_test(test_the_last_packet_is_lost),
      cmocka_unit_test(test_a_program_that_takes_its_time),
      cmocka_unit_test(test_an_abort_is_heard),
      cmocka_unit_test(test_both_close_at_once),
      cmocka_unit_test(test_what_is_lost_before_comes_again),
      cmocka_unit_test(test_the_path_is_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
