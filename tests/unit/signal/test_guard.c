/* Rates, replay windows and which senders are remembered. */
#include "signal/guard.h"
#include "signal/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t SECOND_US = 1000000;

static warp_key key_of(unsigned number) {
  warp_key key = {{2}};
  key.bytes[1] = (uint8_t)(number >> 8);
  key.bytes[2] = (uint8_t)number;
  return key;
}

static void test_bucket(void **state) {
  (void)state;
  wg_bucket bucket = {0};
  uint64_t now_us = 5 * SECOND_US;
  for (int i = 0; i < 10; i++) {
    assert_true(wg_bucket_take(&bucket, now_us, 10, 10));
  }
  assert_false(wg_bucket_take(&bucket, now_us, 10, 10));
  assert_false(wg_bucket_take(&bucket, now_us + 99999, 10, 10));
  assert_true(wg_bucket_take(&bucket, now_us + 100000, 10, 10));
  assert_false(wg_bucket_take(&bucket, now_us + 100000, 10, 10));
  now_us += 100 * SECOND_US; /* it never holds more than its burst */
  for (int i = 0; i < 10; i++) {
    assert_true(wg_bucket_take(&bucket, now_us, 10, 10));
  }
  assert_false(wg_bucket_take(&bucket, now_us, 10, 10));
}

static void test_window(void **state) {
  (void)state;
  wg_window window = {0};
  assert_true(wg_window_repeats(&window, 0)); /* nobody sends 0 */
  assert_false(wg_window_repeats(&window, 1000));
  wg_window_mark(&window, 1000);
  assert_true(wg_window_repeats(&window, 1000));
  /* what came before the first one may still come by another broker */
  assert_false(wg_window_repeats(&window, 1000 - WG_REPLAY_WINDOW));
  assert_true(wg_window_repeats(&window, 1000 - WG_REPLAY_WINDOW - 1));
  wg_window_mark(&window, 997);
  assert_true(wg_window_repeats(&window, 997));
  assert_false(wg_window_repeats(&window, 998));
  wg_window_mark(&window, 1003);
  assert_true(wg_window_repeats(&window, 1000));
  assert_true(wg_window_repeats(&window, 997));
  assert_false(wg_window_repeats(&window, 1002));
  /* a step of the window's size keeps just the newest one, a larger one nothing */
  wg_window_mark(&window, 1003 + WG_REPLAY_WINDOW);
  assert_true(wg_window_repeats(&window, 1003));
  assert_false(wg_window_repeats(&window, 1004));
  wg_window_mark(&window, 5000);
  assert_false(wg_window_repeats(&window, 5000 - WG_REPLAY_WINDOW));
  wg_window_mark(&window, UINT64_MAX);
  assert_true(wg_window_repeats(&window, UINT64_MAX));
  assert_true(wg_window_repeats(&window, 5000));
  assert_false(wg_window_repeats(&window, UINT64_MAX - 1));
}

/* Compared with a table of everything seen, over all small steps. */
static void test_window_against_a_table(void **state) {
  (void)state;
  bool seen[2000] = {false};
  wg_window window = {0};
  uint64_t newest = 0;
  unsigned number = 12345;
  for (int i = 0; i < 20000; i++) {
    number = number * 1103515245 + 12345;
    uint64_t base = (uint64_t)i / 12 + 1;
    uint64_t sequence = base + (number >> 16) % 100;
    bool expected = seen[sequence] || (newest > sequence && newest - sequence > WG_REPLAY_WINDOW);
    assert_int_equal(wg_window_repeats(&window, sequence), expected);
    if (!expected) {
      wg_window_mark(&window, sequence);
      seen[sequence] = true;
      newest = sequence > newest ? sequence : newest;
    }
  }
}

static void test_senders_apart(void **state) {
  (void)state;
  wg_guard *guard = wg_guard_new();
  warp_key a = key_of(1), b = key_of(2);
  assert_int_equal(wg_guard_accept(guard, &a, 100, SECOND_US), WARP_OK);
  assert_int_equal(wg_guard_accept(guard, &b, 100, SECOND_US), WARP_OK);
  assert_int_equal(wg_guard_accept(guard, &a, 100, SECOND_US), WARP_REPLAY);
  assert_int_equal(wg_guard_accept(guard, &b, 100, SECOND_US), WARP_REPLAY);
  assert_int_equal(wg_guard_accept(guard, &a, 99, SECOND_US), WARP_OK);
  wg_guard_free(guard);
  wg_guard_free(NULL);
}

static void test_sender_rate(void **state) {
  (void)state;
  wg_guard *guard = wg_guard_new();
  warp_key a = key_of(1), b = key_of(2);
  uint64_t sequence = 1000;
  for (int i = 0; i < WG_RATE_SENDER_PER_S; i++) {
    assert_int_equal(wg_guard_accept(guard, &a, ++sequence, SECOND_US), WARP_OK);
  }
  assert_int_equal(wg_guard_accept(guard, &a, sequence + 1, SECOND_US), WARP_LIMIT);
  /* a copy of what was taken is a replay, not a message over the rate */
  assert_int_equal(wg_guard_accept(guard, &a, sequence, SECOND_US), WARP_REPLAY);
  assert_int_equal(wg_guard_accept(guard, &b, 1, SECOND_US), WARP_OK);
  /* what was over the rate may be sent again later */
  assert_int_equal(wg_guard_accept(guard, &a, sequence + 1, 2 * SECOND_US), WARP_OK);
  wg_guard_free(guard);
}

static void test_all_rate(void **state) {
  (void)state;
  wg_guard *guard = wg_guard_new();
  for (int i = 0; i < WG_RATE_ALL_PER_S; i++) {
    assert_int_equal(wg_guard_admit(guard, SECOND_US), WARP_OK);
  }
  assert_int_equal(wg_guard_admit(guard, SECOND_US), WARP_LIMIT);
  assert_int_equal(wg_guard_admit(guard, SECOND_US + 1000), WARP_OK);
  wg_guard_free(guard);
}

static void test_least_recent_is_forgotten(void **state) {
  (void)state;
  wg_guard *guard = wg_guard_new();
  for (unsigned i = 0; i < WG_REPLAY_SENDERS; i++) {
    warp_key key = key_of(i);
    assert_int_equal(wg_guard_accept(guard, &key, 100, SECOND_US), WARP_OK);
  }
  warp_key first = key_of(0), second = key_of(1), fresh = key_of(WG_REPLAY_SENDERS);
  /* also what is refused shows that the sender is there */
  assert_int_equal(wg_guard_accept(guard, &first, 100, SECOND_US), WARP_REPLAY);
  assert_int_equal(wg_guard_accept(guard, &fresh, 100, SECOND_US), WARP_OK);
  assert_int_equal(wg_guard_accept(guard, &first, 100, SECOND_US), WARP_REPLAY);
  for (unsigned i = 2; i <= WG_REPLAY_SENDERS; i++) {
    warp_key key = key_of(i);
    assert_int_equal(wg_guard_accept(guard, &key, 100, SECOND_US), WARP_REPLAY);
  }
  assert_int_equal(wg_guard_accept(guard, &second, 100, SECOND_US), WARP_OK); /* it was the one */
  wg_guard_free(guard);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bucket),
      cmocka_unit_test(test_window),
      cmocka_unit_test(test_window_against_a_table),
      cmocka_unit_test(test_senders_apart),
      cmocka_unit_test(test_sender_rate),
      cmocka_unit_test(test_all_rate),
      cmocka_unit_test(test_least_recent_is_forgotten),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
