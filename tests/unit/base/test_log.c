/* Log lines: cut, cleaned, and not made at all without a sink. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static char last[2 * WG_LOG_LINE];
static warp_log_level last_level;

static void keep(void *arg, warp_log_level level, const char *line) {
  ++*(int *)arg;
  last_level = level;
  strcpy(last, line);
}

static void test_lines(void **state) {
  (void)state;
  int lines = 0;
  wg_log log = {.sink = keep, .arg = &lines};
  wg_logf(&log, WARP_LOG_WARN, "%s has %d", "a", 7);
  assert_string_equal(last, "a has 7");
  assert_int_equal(last_level, WARP_LOG_WARN);
  wg_logf(&log, WARP_LOG_INFO, "%s", "one\ntwo\x1b[2J\x7f");
  assert_string_equal(last, "one?two?[2J?");
  wg_logf(&log, WARP_LOG_INFO, "%*s", 2 * WG_LOG_LINE, "x");
  assert_int_equal(strlen(last), WG_LOG_LINE - 1);
  assert_int_equal(lines, 3);
}

static void test_silent(void **state) {
  (void)state;
  wg_log log = {.sink = NULL};
  wg_logf(&log, WARP_LOG_ERROR, "%s", "nobody listens");
}

/* Each hears every line once, until it leaves; in whatever order they go. */
static void test_several(void **state) {
  (void)state;
  int first = 0, second = 0;
  wg_log log = {.sink = NULL}, silent = {.sink = NULL};
  wg_log a = {.sink = keep, .arg = &first}, b = {.sink = keep, .arg = &second}, b_again = b;
  wg_log_join(&log, &a);
  wg_log_join(&log, &b);
  wg_log_join(&log, &silent);
  wg_log_join(&log, &b_again);
  wg_logf(&log, WARP_LOG_INFO, "to both");
  assert_int_equal(first, 1);
  assert_int_equal(second, 1);
  wg_log_leave(&log, &b_again);
  wg_logf(&log, WARP_LOG_INFO, "to both");
  assert_int_equal(first, 2);
  assert_int_equal(second, 2);
  wg_log_leave(&log, &a);
  wg_log_leave(&log, &a);
  wg_logf(&log, WARP_LOG_INFO, "to the second");
  assert_int_equal(first, 2);
  assert_int_equal(second, 3);
  wg_log_leave(&log, &b);
  wg_logf(&log, WARP_LOG_INFO, "to nobody");
  wg_log_leave(&log, &silent);
  assert_null(log.next);
  assert_int_equal(first + second, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_silent),
                                     cmocka_unit_test(test_several)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
