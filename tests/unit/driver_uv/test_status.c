#include "harness.h"

#include <errno.h>

static void test_system_errors_have_a_status(void **state) {
  (void)state;
  assert_int_equal(wg_uv_status(0), WARP_OK);
  assert_int_equal(wg_uv_status(ECONNREFUSED), WARP_CONN_REFUSED);
  assert_int_equal(wg_uv_status(ECONNRESET), WARP_RESET);
  assert_int_equal(wg_uv_status(EPIPE), WARP_CLOSED);
  assert_int_equal(wg_uv_status(EHOSTUNREACH), WARP_UNREACHABLE);
  assert_int_equal(wg_uv_status(EADDRINUSE), WARP_ADDR_IN_USE);
  assert_int_equal(wg_uv_status(EADDRNOTAVAIL), WARP_ADDR_NOT_AVAILABLE);
  assert_int_equal(wg_uv_status(EACCES), WARP_PERMISSION);
  assert_int_equal(wg_uv_status(ENOENT), WARP_NOT_FOUND);
  assert_int_equal(wg_uv_status(EMFILE), WARP_LIMIT);
  assert_int_equal(wg_uv_status(EMSGSIZE), WARP_TOO_BIG);
  assert_int_equal(wg_uv_status(EDOM), WARP_IO);
}

static void test_libuv_errors_are_negative_ones(void **state) {
  (void)state;
  assert_int_equal(wg_uv_status(UV_ECONNREFUSED), WARP_CONN_REFUSED);
  assert_int_equal(wg_uv_status(UV_ETIMEDOUT), WARP_TIMEOUT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_system_errors_have_a_status),
      cmocka_unit_test(test_libuv_errors_are_negative_ones),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
