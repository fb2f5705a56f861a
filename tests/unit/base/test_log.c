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
  wg_log log = {keep, &lines};
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
  wg_log log = {NULL, NULL};
  wg_logf(&log, WARP_LOG_ERROR, "%s", "nobody listens");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_silent)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
