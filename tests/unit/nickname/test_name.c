/* Names as text. */
#include "nickname/names.h"
#include "unit/identity/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

#define SIXTY_THREE "abcdefghij0123456789abcdefghij0123456789abcdefghij0123456789abc"

static void test_normalize(void **state) {
  (void)state;
  static const struct {
    const char *in, *out; /* NULL: not a name */
  } cases[] = {
      {"alice", "alice"},
      {"Alice.P2P", "alice"},
      {"a", "a"},
      {"a.p2p", "a"},
      {"p2p", "p2p"},
      {"a-b--c", "a-b--c"},
      {"0", "0"},
      {SIXTY_THREE, SIXTY_THREE},
      {SIXTY_THREE ".p2p", SIXTY_THREE},
      {"", NULL},
      {".p2p", NULL},
      {"-a", NULL},
      {"a-", NULL},
      {"a-.p2p", NULL},
      {"a.b", NULL},
      {"a.p2p.p2p", NULL},
      {"a_b", NULL},
      {"a b", NULL},
      {"\xc3\xa4", NULL},
      {SIXTY_THREE "d", NULL},
      {SIXTY_THREE "d.p2p", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char out[WARP_NAME_MAX + 1] = "untouched";
    int status = wg_name_normalize(cases[i].in, out);
    assert_int_equal(status, cases[i].out == NULL ? WARP_INVALID : WARP_OK);
    assert_string_equal(out, cases[i].out == NULL ? "untouched" : cases[i].out);
  }
}

static void test_derive(void **state) {
  (void)state;
  warp_key key, other = {{2, 1}};
  char name[WARP_NAME_MAX + 1], plain[WARP_NAME_MAX + 1];
  assert_true(wg_hex_decode(KEY_A, key.bytes, sizeof key.bytes));
  wg_name_derive(&key, name);
  assert_string_equal(name, NAME_A);
  assert_int_equal(wg_name_normalize(name, plain), WARP_OK);
  assert_true(wg_name_may_belong(name, &key));
  assert_false(wg_name_may_belong(name, &other));
  assert_true(wg_name_may_belong("alice", &other));
  assert_true(wg_name_may_belong("n-short", &other));
  assert_true(wg_name_may_belong("n-0000000000000000000a", &other));  /* 0 is no such digit */
  assert_true(wg_name_may_belong("n-aaaaaaaaaaaaaaaaaaaaa", &other)); /* one too many */
  assert_false(wg_name_may_belong("n-aaaaaaaaaaaaaaaaaaaa", &other));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_normalize),
      cmocka_unit_test(test_derive),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
