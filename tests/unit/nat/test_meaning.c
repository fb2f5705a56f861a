/* What a person is told of a NAT. */
#include "nat/meaning.h"

#include "nat/names.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static warp_nat_axes axes(const char *text) {
  warp_nat_axes out;
  assert_int_equal(wg_axes_parse(text, &out), WARP_OK);
  return out;
}

static void test_meanings(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"none/ei", "anybody can dial it"},
      {"none/apd", "can be punched, not dialled"},
      {"none/?", "no NAT; what it lets in is not known"},
      {"ei/ei, random", "anybody can dial its mapped address"},
      {"ei/ad, random", "lets in hosts that it has sent to"},
      {"ei/apd, preserving", "lets in only what it has sent to"},
      {"ei/?", "one port for all destinations"},
      {"apd/apd, random", "has to be guessed"},
      {"ad/apd, sequential:1", "can be foretold"},
      {"apd/ei, preserving", "keeps the port of a fresh socket"},
      {"apd/apd", "a new port for each destination"},
      {"?/?", ""},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    warp_nat_axes parsed = axes(rows[i][0]);
    const char *said = wg_axes_meaning(&parsed);
    if (strstr(said, rows[i][1]) == NULL || (rows[i][1][0] == '\0') != (said[0] == '\0'))
      fail_msg("%s: %s", rows[i][0], said);
  }
}

static void test_endpoints(void **state) {
  (void)state;
  char out[WARP_NAT_LEN];
  warp_endpoint endpoint = {.family = WARP_IP4};
  assert_string_equal(wg_endpoint_describe(&endpoint, out, sizeof out), "");
  endpoint.tcp = axes("ei/apd, random");
  assert_string_equal(wg_endpoint_describe(&endpoint, out, sizeof out),
                      "port-restricted (ei/apd, random): lets in only what it has sent to: can be "
                      "punched");
  endpoint.udp = endpoint.tcp;
  assert_null(strstr(wg_endpoint_describe(&endpoint, out, sizeof out), "TCP"));
  endpoint.udp = axes("apd/apd, random");
  wg_endpoint_describe(&endpoint, out, sizeof out);
  assert_memory_equal(out, "symmetric (apd/apd, random): ", 29);
  assert_non_null(strstr(out, "; over TCP port-restricted (ei/apd, random)"));
  /* The longest there is has room; with less it is cut. */
  assert_true(strlen(out) < sizeof out - 1);
  assert_int_equal(strlen(wg_endpoint_describe(&endpoint, out, 20)), 19);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_meanings),
      cmocka_unit_test(test_endpoints),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
