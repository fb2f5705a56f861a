#include "harness.h"

#include "driver_uv/sendq.h"

/* Takes everything out, in pieces of at most `step` bytes, and compares it with a counting
 * sequence that starts at `value`. */
static void drain(wg_sendq *queue, size_t step, uint8_t value) {
  size_t len;
  const uint8_t *data;
  while ((data = wg_sendq_peek(queue, &len)), len > 0) {
    size_t take = len < step ? len : step;
    for (size_t i = 0; i < take; i++) {
      assert_int_equal(data[i], value);
      value++;
    }
    wg_sendq_pop(queue, take);
  }
  assert_int_equal(queue->len, 0);
}

static void test_keeps_order_over_chunks(void **state) {
  (void)state;
  wg_sendq queue = {0};
  uint8_t piece[700];
  uint8_t next = 0;
  for (int i = 0; i < 100; i++) { /* 70,000 bytes: several chunks, pieces across their borders */
    for (size_t k = 0; k < sizeof piece; k++) {
      piece[k] = next++;
    }
    assert_true(wg_sendq_push(&queue, piece, sizeof piece));
  }
  assert_int_equal(queue.len, 70000);
  drain(&queue, 333, 0);
}

static void test_takes_more_than_a_chunk_at_once(void **state) {
  (void)state;
  wg_sendq queue = {0};
  static uint8_t big[200000];
  for (size_t i = 0; i < sizeof big; i++) {
    big[i] = (uint8_t)(i + 5);
  }
  uint8_t first[5] = {0, 1, 2, 3, 4};
  assert_true(wg_sendq_push(&queue, first, sizeof first));
  assert_true(wg_sendq_push(&queue, big, sizeof big));
  drain(&queue, SIZE_MAX, 0);
}

static void test_works_again_after_running_empty(void **state) {
  (void)state;
  wg_sendq queue = {0};
  size_t len = 1;
  wg_sendq_peek(&queue, &len);
  assert_int_equal(len, 0);
  for (int round = 0; round < 3; round++) {
    assert_true(wg_sendq_push(&queue, "\1\2\3", 3));
    assert_true(wg_sendq_push(&queue, "", 0));
    drain(&queue, 1, 1);
  }
}

static void test_clear_drops_all(void **state) {
  (void)state;
  wg_sendq queue = {0};
  static uint8_t big[50000];
  assert_true(wg_sendq_push(&queue, big, sizeof big));
  assert_true(wg_sendq_push(&queue, big, sizeof big));
  wg_sendq_clear(&queue);
  assert_int_equal(queue.len, 0);
  assert_true(wg_sendq_push(&queue, "\7", 1));
  drain(&queue, 1, 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keeps_order_over_chunks),
      cmocka_unit_test(test_takes_more_than_a_chunk_at_once),
      cmocka_unit_test(test_works_again_after_running_empty),
      cmocka_unit_test(test_clear_drops_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
