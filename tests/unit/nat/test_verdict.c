/* Which of the nine kinds of NAT a stranger reaches. */
#include "nat/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static warp_nat_axes axes_of(size_t index) {
  return (warp_nat_axes){.translation = WARP_TRANSLATION_NAT,
                         .mapping = (uint8_t)(index / 3 + 1),
                         .filtering = (uint8_t)(index % 3 + 1),
                         .confidence = 100};
}

static void test_unknown_is_never_ruled_out(void **state) {
  (void)state;
  warp_endpoint unmeasured = {0};
  char why[WARP_DETAIL_LEN] = "";
  assert_int_equal(wg_nat_reachable(&unmeasured, WARP_UDP, "we", why, sizeof why),
                   WG_VERDICT_MAYBE);
  assert_string_equal(why, "");
}

static void test_reachable(void **state) {
  (void)state;
  for (size_t i = 0; i < 9; i++) {
    warp_endpoint endpoint = {.tcp = axes_of(i)};
    char why[WARP_DETAIL_LEN] = "";
    assert_int_equal(wg_nat_reachable(&endpoint, WARP_TCP, "the peer", why, sizeof why),
                     i == 0 ? WG_VERDICT_YES : WG_VERDICT_NO);
    assert_int_equal(strncmp(why, "the peer cannot be dialled", 26) == 0, i != 0);
  }
}

/* What the router was asked to let in comes in, whatever the NAT does to everything else. */
static void test_opened_by_the_router(void **state) {
  (void)state;
  warp_endpoint endpoint = {.udp = axes_of(8), .tcp = axes_of(8), .port_mapped = WARP_TCP};
  char why[WARP_DETAIL_LEN] = "";
  assert_int_equal(wg_nat_reachable(&endpoint, WARP_TCP, "we", why, sizeof why), WG_VERDICT_YES);
  assert_string_equal(why, "");
  assert_int_equal(wg_nat_reachable(&endpoint, WARP_UDP, "we", why, sizeof why), WG_VERDICT_NO);
}

/* No translation: the mapping axis means nothing, a stateful firewall still filters. */
static void test_firewall_without_translation(void **state) {
  (void)state;
  warp_nat_axes firewall = axes_of(8);
  firewall.translation = WARP_TRANSLATION_NONE;
  warp_endpoint behind = {.udp = firewall}, outside = {.udp = axes_of(0)};
  char why[WARP_DETAIL_LEN] = "";
  assert_int_equal(wg_nat_reachable(&behind, WARP_UDP, "we", why, sizeof why), WG_VERDICT_NO);
  outside.udp.translation = WARP_TRANSLATION_NONE;
  assert_int_equal(wg_nat_reachable(&outside, WARP_UDP, "we", why, sizeof why), WG_VERDICT_YES);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unknown_is_never_ruled_out),
      cmocka_unit_test(test_reachable),
      cmocka_unit_test(test_opened_by_the_router),
      cmocka_unit_test(test_firewall_without_translation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
