/* The messages of turn: golden bytes both ways, and what strangers send. */
#include "plugins/turn/message.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void check_relayed(const char *name, const char *text) {
  vector golden = vector_load(name);
  warp_addr addr;
  char said[WARP_ADDR_STRLEN];
  uint8_t bytes[TURN_MESSAGE_MAX];
  assert_int_equal(wg_turn_read_relayed(golden.bytes, golden.len, &addr), WARP_OK);
  assert_string_equal(warp_addr_format(&addr, said), text);
  assert_int_equal(wg_turn_write_relayed(&addr, bytes), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  for (size_t len = 0; len < golden.len; len++)
    assert_int_equal(wg_turn_read_relayed(golden.bytes, len, &addr), WARP_MALFORMED);
  golden.bytes[golden.len] = 7; /* of a later version */
  assert_int_equal(wg_turn_read_relayed(golden.bytes, golden.len + 1, &addr), WARP_OK);
  golden.bytes[1] = golden.bytes[2] = 0;
  assert_int_equal(wg_turn_read_relayed(golden.bytes, golden.len, &addr), WARP_MALFORMED);
  golden.bytes[0] = 5;
  golden.bytes[1] = 1;
  assert_int_equal(wg_turn_read_relayed(golden.bytes, golden.len, &addr), WARP_MALFORMED);
}

static void test_relayed(void **state) {
  (void)state;
  check_relayed("turn_relayed4", "203.0.113.10:50000");
  check_relayed("turn_relayed6", "[2001:db8:9::10]:50000");
}

static void test_wanted(void **state) {
  (void)state;
  vector golden = vector_load("turn_wanted");
  uint8_t bytes[TURN_MESSAGE_MAX];
  bool in_need = false;
  assert_int_equal(wg_turn_read_wanted(golden.bytes, golden.len, &in_need), WARP_OK);
  assert_true(in_need);
  assert_int_equal(wg_turn_write_wanted(in_need, bytes), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  assert_int_equal(wg_turn_write_wanted(false, bytes), 1);
  assert_int_equal(wg_turn_read_wanted(bytes, 1, &in_need), WARP_OK);
  assert_false(in_need);
  assert_int_equal(wg_turn_read_wanted(bytes, 0, &in_need), WARP_MALFORMED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_relayed),
      cmocka_unit_test(test_wanted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
