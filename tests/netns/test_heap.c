#include "support.h"

#include "netns/heap.h"

static void push(ns_heap *heap, uint64_t due_ns, int port) {
  assert_true(ns_heap_push(heap, &(ns_waiting){.due_ns = due_ns, .port = port}));
}

static void is_empty_at_first(void **state) {
  (void)state;
  ns_heap heap = {0};
  assert_null(ns_heap_first(&heap));
}

static void gives_out_by_time(void **state) {
  (void)state;
  ns_heap heap = {0};
  const uint64_t times[] = {50, 10, 40, 30, 20, 60, 0};
  for (size_t i = 0; i < sizeof times / sizeof *times; i++)
    push(&heap, times[i], 0);
  for (uint64_t expected = 0; expected <= 60; expected += 10) {
    assert_int_equal(ns_heap_first(&heap)->due_ns, expected);
    assert_int_equal(ns_heap_pop(&heap).due_ns, expected);
  }
  assert_null(ns_heap_first(&heap));
  ns_heap_free(&heap);
}

static void keeps_the_order_of_equal_times(void **state) {
  (void)state;
  ns_heap heap = {0};
  for (int i = 0; i < 1000; i++)
    push(&heap, (uint64_t)(i % 2), i);
  for (int i = 0; i < 1000; i += 2)
    assert_int_equal(ns_heap_pop(&heap).port, i);
  for (int i = 1; i < 1000; i += 2)
    assert_int_equal(ns_heap_pop(&heap).port, i);
  ns_heap_free(&heap);
}

/* Pushes and pops mixed: what comes out never goes back in time below what was popped, as long as
 * nothing earlier was pushed. */
static void stays_ordered_when_mixed(void **state) {
  (void)state;
  ns_heap heap = {0};
  uint64_t random = 1, last = 0;
  for (int i = 0; i < 5000; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    push(&heap, last + (random >> 50), 0);
    if (i % 3 == 2) {
      uint64_t due = ns_heap_pop(&heap).due_ns;
      assert_true(due >= last);
      last = due;
    }
  }
  while (heap.len) {
    uint64_t due = ns_heap_pop(&heap).due_ns;
    assert_true(due >= last);
    last = due;
  }
  ns_heap_free(&heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(is_empty_at_first),
      cmocka_unit_test(gives_out_by_time),
      cmocka_unit_test(keeps_the_order_of_equal_times),
      cmocka_unit_test(stays_ordered_when_mixed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
