/* The simplified TCP: queues, back-pressure, and what links do to it. */
#include "tcp_peer.h"

#include <stdlib.h>

static void test_queue_limit(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  uint8_t *data = calloc(1, WG_TCP_QUEUE_MAX);
  const wg_env_ops *ops = f.a.env->ops;
  f.b.env->ops->tcp_pause(f.b.tcp, true);
  assert_int_equal(ops->tcp_send(f.a.tcp, data, WG_TCP_QUEUE_MAX), WARP_OK);
  assert_int_equal(ops->tcp_queued(f.a.tcp), WG_TCP_QUEUE_MAX - SIM_TCP_WINDOW);
  assert_int_equal(ops->tcp_send(f.a.tcp, data, SIM_TCP_WINDOW + 1), WARP_AGAIN);
  assert_int_equal(ops->tcp_send(f.a.tcp, data, SIM_TCP_WINDOW), WARP_OK);
  assert_int_equal(ops->tcp_send(f.a.tcp, data, 1), WARP_AGAIN);
  run(&f, 60 * SIM_SECOND); /* a paused peer is alive: nothing times out */
  assert_int_equal(f.b.received, 0);
  assert_int_equal(f.a.ended + f.a.drained, 0);
  f.b.env->ops->tcp_pause(f.b.tcp, false);
  assert_int_equal(f.b.received, 0);
  run(&f, 10 * SIM_SECOND);
  assert_int_equal(f.b.received, WG_TCP_QUEUE_MAX + SIM_TCP_WINDOW);
  assert_int_equal(f.a.drained, 1);
  assert_int_equal(ops->tcp_queued(f.a.tcp), 0);
  free(data);
  finish(&f);
}

/* The end of the stream waits behind what a paused reader has not taken. */
static void test_pause_and_end(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  f.b.env->ops->tcp_pause(f.b.tcp, true);
  send_text(&f.a, "data");
  assert_int_equal(f.a.env->ops->tcp_shutdown(f.a.tcp), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.received + f.b.ended, 0);
  f.b.env->ops->tcp_pause(f.b.tcp, false);
  run(&f, SIM_MS);
  assert_int_equal(f.b.received, 4);
  assert_int_equal(f.b.end_status, WARP_CLOSED);
  finish(&f);
}

static void test_lossy_link(void **state) {
  (void)state;
  fixture f;
  static uint8_t data[2000000];
  build_connected(&f, 0.05);
  for (size_t i = 0; i < sizeof data; i++) {
    data[i] = (uint8_t)(i * 2654435761U >> 13);
  }
  assert_int_equal(f.a.env->ops->tcp_send(f.a.tcp, data, sizeof data), WARP_OK);
  assert_int_equal(f.b.env->ops->tcp_send(f.b.tcp, data, sizeof data / 2), WARP_OK);
  assert_int_equal(f.a.env->ops->tcp_shutdown(f.a.tcp), WARP_OK);
  run(&f, 300 * SIM_SECOND);
  assert_int_equal(f.b.received, sizeof data);
  assert_true(f.b.sum == sum_of(data, sizeof data, 0));
  assert_true(f.a.sum == sum_of(data, sizeof data / 2, 0));
  assert_int_equal(f.b.end_status, WARP_CLOSED);
  finish(&f);
}

/* Jitter alone brings nothing out of order: no segment has to be sent again. */
static void test_jitter(void **state) {
  (void)state;
  fixture f;
  static uint8_t data[1000000];
  const sim_link link = {.latency_us = 10000, .jitter_us = 8000};
  build_connected(&f, 0);
  sim_network_set_link(f.site_a, &link);
  sim_network_set_link(f.site_b, &link);
  uint64_t before = sim_world_trace(f.world).packets;
  assert_int_equal(f.a.env->ops->tcp_send(f.a.tcp, data, sizeof data), WARP_OK);
  run(&f, 2 * SIM_SECOND);
  assert_int_equal(f.b.received, sizeof data);
  /* One acknowledgement for each segment; some segments are cut short by the window. */
  assert_in_range(sim_world_trace(f.world).packets - before, 2 * sizeof data / SIM_TCP_SEGMENT,
                  140);
  finish(&f);
}

/* A path that dies is noticed by who sends, not by who only waits. */
static void test_dead_path(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  sim_network_set_up(f.site_b, false);
  send_text(&f.a, "hello?");
  run(&f, 600 * SIM_SECOND);
  assert_int_equal(f.a.ended, 1);
  assert_int_equal(f.a.end_status, WARP_TIMEOUT);
  assert_int_equal(f.b.ended, 0);
  finish(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_queue_limit), cmocka_unit_test(test_pause_and_end),
      cmocka_unit_test(test_lossy_link),  cmocka_unit_test(test_jitter),
      cmocka_unit_test(test_dead_path),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
