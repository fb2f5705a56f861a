/* Names as text. */
#include "nickname/names.h"
#include "unit/identity/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

/* Of SHA-256 over "192.0.2.1:4370\nnames.example.net:4370\n", by another implementation. */
#define SUFFIX_OF_TWO ".np3iad"
#define SIXTY_THREE   "abcdefghij0123456789abcdefghij0123456789abcdefghij0123456789abc"

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
    wg_name_set set;
    assert_int_equal(wg_name_set_init(&set, NULL, NULL), WARP_OK);
    int status = wg_name_normalize(cases[i].in, &set, out);
    assert_int_equal(status, cases[i].out == NULL ? WARP_INVALID : WARP_OK);
    assert_string_equal(out, cases[i].out == NULL ? "untouched" : cases[i].out);
  }
}

static wg_name_set set_of(const char *const *servers, const char *const *defaults) {
  wg_name_set set;
  assert_int_equal(wg_name_set_init(&set, servers, defaults), WARP_OK);
  return set;
}

/* The suffix follows from the servers, however they are written. */
static void test_sets(void **state) {
  (void)state;
  static const char *const two[] = {"names.example.net:4370", "192.0.2.1:4370", NULL};
  static const char *const again[] = {"192.0.2.1:4370", "Names.Example.net:4370",
                                      "names.example.net:4370", NULL};
  static const char *const other[] = {"names.example.net:4371", NULL};
  static const char *const none[] = {NULL};
  static const char *const wrong[] = {"names.example.net", NULL};
  wg_name_set set = set_of(two, NULL);
  assert_string_equal(set.suffix, ".p2p");
  assert_string_equal(set.own, SUFFIX_OF_TWO);
  assert_string_equal(set_of(two, none).suffix, ".p2p");
  assert_string_equal(set_of(again, two).suffix, ".p2p");
  assert_string_equal(set_of(again, two).own, SUFFIX_OF_TWO);
  assert_string_equal(set_of(two, other).suffix, SUFFIX_OF_TWO);
  assert_string_equal(set_of(other, two).suffix, set_of(other, NULL).own);
  assert_string_not_equal(set_of(other, two).suffix, SUFFIX_OF_TWO);
  assert_int_equal(wg_name_set_init(&set, wrong, NULL), WARP_INVALID);
  assert_int_equal(wg_name_set_init(&set, two, wrong), WARP_INVALID);
}

/* A name of other servers is somebody else's: it is not taken for one of ours. */
static void test_suffixes(void **state) {
  (void)state;
  static const char *const two[] = {"names.example.net:4370", "192.0.2.1:4370", NULL};
  static const char *const other[] = {"names.example.net:4371", NULL};
  wg_name_set ours = set_of(two, NULL), foreign = set_of(other, two);
  char plain[WARP_NAME_MAX + 1], suffix[WG_NAME_SUFFIX_LEN];
  assert_int_equal(wg_name_normalize("Alice" SUFFIX_OF_TWO, &ours, plain), WARP_OK);
  assert_string_equal(plain, "alice");
  assert_int_equal(wg_name_normalize("alice.p2p", &ours, plain), WARP_OK);
  assert_int_equal(wg_name_normalize("alice.p2p", &foreign, plain), WARP_INVALID);
  assert_int_equal(wg_name_normalize("alice" SUFFIX_OF_TWO, &foreign, plain), WARP_INVALID);
  assert_int_equal(wg_name_normalize("alice", &foreign, plain), WARP_OK);
  assert_int_equal(wg_name_split("Alice" SUFFIX_OF_TWO, plain, suffix), WARP_OK);
  assert_string_equal(suffix, SUFFIX_OF_TWO);
  static const char *const bad[] = {"a.p2", "a.p2px", "a.abcde", "a.abcdefg", "a.abcde1", "a."};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(wg_name_split(bad[i], plain, suffix), WARP_INVALID);
  }
}

static void test_derive(void **state) {
  (void)state;
  warp_key key, other = {{2, 1}};
  char name[WARP_NAME_MAX + 1], plain[WARP_NAME_MAX + 1], suffix[WG_NAME_SUFFIX_LEN];
  assert_true(wg_hex_decode(KEY_A, key.bytes, sizeof key.bytes));
  wg_name_derive(&key, name);
  assert_string_equal(name, NAME_A);
  assert_int_equal(wg_name_split(name, plain, suffix), WARP_OK);
  assert_string_equal(plain, name);
  assert_string_equal(suffix, "");
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
      cmocka_unit_test(test_sets),
      cmocka_unit_test(test_suffixes),
      cmocka_unit_test(test_derive),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
