/* Regular expressions over bytes, and what they may not cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "pipe/pattern.h"
#include <warpgate/warpgate.h>

static bool matches(const char *text, const char *data, size_t len) {
  wg_pattern *pattern = NULL;
  assert_int_equal(wg_pattern_new(text, strlen(text), &pattern), WARP_OK);
  bool found = wg_pattern_matches(pattern, data, len);
  wg_pattern_free(pattern);
  return found;
}

static void bytes_are_matched_anywhere(void **state) {
  (void)state;
  assert_true(matches("b+", "abc", 3));
  assert_false(matches("^b", "abc", 3));
  assert_true(matches("", "", 0));
  assert_false(matches(".", NULL, 0));
  assert_true(matches("a.c", "a\nc", 3));
  assert_true(matches("\\xff\\x00[\\x80-\\x8f]$", "\xff\0\x81", 3)); /* no UTF-8 */
  assert_false(matches("abc", "ab\0c", 4));
}

static void what_is_none_is_refused(void **state) {
  (void)state;
  static const char *const wrong[] = {"(",      "[a", "*",   "(?<n>a)(?<n>b)",
                                      "a{2,1}", "\\", "\\C", "(*UTF)a"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    wg_pattern *pattern;
    assert_int_equal(wg_pattern_new(wrong[i], strlen(wrong[i]), &pattern), WARP_INVALID);
  }
  char deep[WARP_PATTERN_MAX];
  memset(deep, '(', sizeof deep / 2);
  memset(deep + sizeof deep / 2, ')', sizeof deep / 2);
  wg_pattern *pattern;
  assert_int_equal(wg_pattern_new(deep, sizeof deep, &pattern), WARP_INVALID);
  assert_int_equal(wg_pattern_new(deep, sizeof deep + 1, &pattern), WARP_TOO_BIG);
  wg_pattern_free(NULL);
}

/* Without limits these would take longer than the age of the universe. */
static void catastrophes_are_cut_short(void **state) {
  (void)state;
  static char data[65536];
  memset(data, 'a', sizeof data);
  clock_t begun = clock();
  assert_false(matches(
      "^(a+)+$", strcpy(data + sizeof data - 41, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), 40));
  memset(data, 'a', sizeof data);
  assert_false(matches("(a|aa)+b", data, sizeof data));
  assert_false(matches("(.*)(.*)(.*)(.*)(.*)b", data, sizeof data));
  assert_in_range((clock() - begun) * 1000 / CLOCKS_PER_SEC, 0, 2000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_are_matched_anywhere),
      cmocka_unit_test(what_is_none_is_refused),
      cmocka_unit_test(catastrophes_are_cut_short),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
