/* Seeded streams: the published algorithm, apart for each name, and without bias. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_known_answers(void **state) {
  (void)state;
  /* xoshiro256** from the state 1, 2, 3, 4, as the authors' C code gives it. */
  static const uint64_t expected[] = {
      11520,
      0,
      1509978240,
      UINT64_C(1215971899390074240),
      UINT64_C(1216172134540287360),
      UINT64_C(607988272756665600),
      UINT64_C(16172922978634559625),
      UINT64_C(8476171486693032832),
  };
  wg_rng rng = {{1, 2, 3, 4}};
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    assert_true(wg_rng_next(&rng) == expected[i]);
  }
  /* FNV-1a, 64 bits. */
  assert_true(wg_hash_string("") == UINT64_C(0xcbf29ce484222325));
  assert_true(wg_hash_string("a") == UINT64_C(0xaf63dc4c8601ec8c));
  assert_true(wg_hash_string("foobar") == UINT64_C(0x85944171f73967e8));
}

static void test_streams_are_apart(void **state) {
  (void)state;
  wg_rng a, same, other_name, other_seed;
  wg_rng_seed(&a, 7, "ports");
  wg_rng_seed(&same, 7, "ports");
  wg_rng_seed(&other_name, 7, "jitter");
  wg_rng_seed(&other_seed, 8, "ports");
  for (int i = 0; i < 100; i++) {
    uint64_t value = wg_rng_next(&a);
    assert_true(value == wg_rng_next(&same));
    assert_true(value != wg_rng_next(&other_name));
    assert_true(value != wg_rng_next(&other_seed));
  }
}

static void test_below_is_even(void **state) {
  (void)state;
  wg_rng rng;
  wg_rng_seed(&rng, 1, "test");
  unsigned counts[7] = {0};
  for (int i = 0; i < 70000; i++) {
    uint32_t value = wg_rng_below(&rng, 7);
    assert_true(value < 7);
    counts[value]++;
  }
  for (size_t i = 0; i < 7; i++) {
    assert_in_range(counts[i], 9600, 10400); /* four standard deviations */
  }
  assert_int_equal(wg_rng_below(&rng, 0), 0);
  assert_int_equal(wg_rng_below(&rng, 1), 0);
}

static void test_unit(void **state) {
  (void)state;
  wg_rng rng;
  wg_rng_seed(&rng, 1, "test");
  double sum = 0;
  for (int i = 0; i < 10000; i++) {
    double value = wg_rng_unit(&rng);
    assert_true(value >= 0 && value < 1);
    sum += value;
  }
  assert_true(sum > 4850 && sum < 5150);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_answers),
      cmocka_unit_test(test_streams_are_apart),
      cmocka_unit_test(test_below_is_even),
      cmocka_unit_test(test_unit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
