#include "base/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <warpgate/warpgate.h>

#include <cmocka.h>

static void test_lines(void **state) {
  (void)state;
  static const struct {
    const char *line;
    int status;
    const char *name, *value;
  } cases[] = {
      {"name = value\n", WARP_OK, "name", "value"},
      {"name=value", WARP_OK, "name", "value"},
      {"\t name  =  a value \r\n", WARP_OK, "name", "a value"},
      {"name = value # comment", WARP_OK, "name", "value"},
      {"name = a#b", WARP_OK, "name", "a#b"},
      {"a = b = c", WARP_OK, "a", "b = c"},
      {"name =", WARP_OK, "name", ""},
      {"= value", WARP_OK, "", "value"},
      {"", WARP_NOT_FOUND, NULL, NULL},
      {" \t\n", WARP_NOT_FOUND, NULL, NULL},
      {"# name = value", WARP_NOT_FOUND, NULL, NULL},
      {"  # name = value", WARP_NOT_FOUND, NULL, NULL},
      {"name # = value", WARP_INVALID, NULL, NULL},
      {"name value", WARP_INVALID, NULL, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char line[64];
    char *name = NULL, *value = NULL;
    snprintf(line, sizeof line, "%s", cases[i].line);
    assert_int_equal(wg_conf_line(line, &name, &value), cases[i].status);
    if (cases[i].status == WARP_OK) {
      assert_string_equal(name, cases[i].name);
      assert_string_equal(value, cases[i].value);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
