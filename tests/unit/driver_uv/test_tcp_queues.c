/* Bounded queues of a connection, back-pressure, and what closing does with the rest. */
#include "tcp_sides.h"

#include <stdlib.h>

enum { PIECE = 256 * 1024 };

static uint8_t *make_piece(void) {
  uint8_t *piece = malloc(PIECE);
  assert_non_null(piece);
  for (size_t i = 0; i < PIECE; i++) {
    piece[i] = (uint8_t)(i * 7 + i / 256);
  }
  return piece;
}

/* Sends until the queue is full; returns the bytes taken and adds them up. */
static size_t fill(side *s, const uint8_t *piece, unsigned *sum) {
  size_t total = 0;
  int status;
  while ((status = s->w->ops->tcp_send(s->tcp, piece, PIECE)) == WARP_OK) {
    total += PIECE;
    *sum = add_up(*sum, piece, PIECE);
    assert_in_range(total, 1, 64 << 20);
  }
  assert_int_equal(status, WARP_AGAIN);
  return total;
}

static void test_pause_and_a_full_queue(void **state) {
  world *w = *state;
  side a, b;
  uint8_t *piece = make_piece();
  make_pair(w, &a, &b);
  w->ops->tcp_pause(b.tcp, true);
  unsigned sum = 0;
  size_t total = fill(&a, piece, &sum);
  size_t queued = w->ops->tcp_queued(a.tcp);
  assert_in_range(queued, WG_TCP_QUEUE_MAX - PIECE + 1, WG_TCP_QUEUE_MAX);
  run_for(w, 10);
  assert_int_equal(b.received, 0);
  assert_false(a.drained);

  expect(&b, total);
  w->ops->tcp_pause(b.tcp, false);
  run_until(w, &b.got);
  run_until(w, &a.drained);
  assert_int_equal(b.sum, sum);
  assert_int_equal(w->ops->tcp_send(a.tcp, piece, WG_TCP_QUEUE_MAX + (size_t)1), WARP_TOO_BIG);
  close_side(&a);
  close_side(&b);
  free(piece);
}

static void test_close_sends_the_rest(void **state) {
  world *w = *state;
  side a, b;
  uint8_t *piece = make_piece();
  make_pair(w, &a, &b);
  w->ops->tcp_pause(b.tcp, true);
  unsigned sum = 0;
  size_t total = fill(&a, piece, &sum);
  /* Unread bytes on our side must not turn the close into a reset, which would cost the rest. */
  assert_int_equal(w->ops->tcp_send(b.tcp, piece, PIECE), WARP_OK);
  close_side(&a);
  expect(&b, total);
  w->ops->tcp_pause(b.tcp, false);
  run_until(w, &b.ended);
  assert_int_equal(b.end_status, WARP_CLOSED);
  assert_int_equal(b.received, total);
  assert_int_equal(b.sum, sum);
  close_side(&b);
  free(piece);
}

/* A program that computes for longer than the rest may take loses none of it: the loop did not run
 * meanwhile. */
static void test_standing_still_does_not_cost_the_rest(void **state) {
  world *w = *state;
  side a, b;
  uint8_t *piece = make_piece();
  make_pair(w, &a, &b);
  unsigned sum = 0;
  size_t total = fill(&a, piece, &sum);
  close_side(&a);
  uv_sleep(2100);
  run_until(w, &b.ended);
  assert_int_equal(b.end_status, WARP_CLOSED);
  assert_int_equal(b.received, total);
  assert_int_equal(b.sum, sum);
  close_side(&b);
  free(piece);
}

/* The system answers a close before everything is read with a reset, as it does bytes that come
 * after a close; the peer must see neither. */
static void test_close_with_unread_bytes_is_no_reset(void **state) {
  world *w = *state;
  side a, b;
  make_pair(w, &a, &b);
  w->ops->tcp_pause(a.tcp, true);
  assert_int_equal(w->ops->tcp_send(b.tcp, "unread", 6), WARP_OK);
  run_for(w, 2);
  expect(&b, 3);
  assert_int_equal(w->ops->tcp_send(a.tcp, "bye", 3), WARP_OK);
  close_side(&a);
  assert_int_equal(w->ops->tcp_send(b.tcp, "late", 4), WARP_OK);
  run_until(w, &b.ended);
  assert_true(b.got);
  assert_int_equal(b.end_status, WARP_CLOSED);
  assert_int_equal(w->ops->tcp_send(b.tcp, "later", 5), WARP_OK);
  run_for(w, 2);
  assert_int_equal(w->ops->tcp_send(b.tcp, "still no reset", 14), WARP_OK);
  close_side(&b);
}

static void test_close_in_the_drain_callback(void **state) {
  world *w = *state;
  side a, b;
  uint8_t *piece = make_piece();
  make_pair(w, &a, &b);
  a.close_in = IN_DRAIN;
  unsigned sum = 0;
  size_t total = fill(&a, piece, &sum);
  run_until(w, &b.ended);
  assert_int_equal(b.received, total);
  assert_int_equal(b.sum, sum);
  close_side(&b);
  free(piece);
}

/* The peer never reads: the rest is given up after 2 s, and the environment waits that long. */
static void test_close_gives_up_after_two_seconds(void **state) {
  world *w = *state;
  side a, b;
  uint8_t *piece = make_piece();
  make_pair(w, &a, &b);
  w->ops->tcp_pause(b.tcp, true);
  unsigned sum = 0;
  fill(&a, piece, &sum);
  uint64_t before_us = wg_now_us(w->env);
  close_side(&a);
  /* b's descriptor is not read from, so only the limit can end the connection. */
  uv_run(&w->uv, UV_RUN_DEFAULT);
  uint64_t took_ms = (wg_now_us(w->env) - before_us) / 1000;
  assert_in_range(took_ms, 1900, 60000); /* late on a busy machine, but not never */
  w->ops->tcp_reset(b.tcp);
  free(piece);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_pause_and_a_full_queue),
      TEST(test_close_sends_the_rest),
      TEST(test_standing_still_does_not_cost_the_rest),
      TEST(test_close_with_unread_bytes_is_no_reset),
      TEST(test_close_in_the_drain_callback),
      TEST(test_close_gives_up_after_two_seconds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
