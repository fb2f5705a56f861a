/* The verdicts against the 9 x 9 grid of mapping x filtering, cell by cell. */
#include "nat/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Rows and columns in the order ei-ei, ei-ad, ei-apd, ad-ei, ad-ad, ad-apd, apd-ei, apd-ad,
 * apd-apd. `P`: plain punching was seen to work between such NATs in the kernel, `.`: ports have to
 * be guessed. */
static const char *const grid[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPP..P..", "PPPPPPPPP", "PP.P..P..",
    "PP.P..P..", "PPPPPPPPP", "PP.P..P..", "PP.P..P..",
};

static warp_nat_axes axes_of(size_t index) {
  return (warp_nat_axes){.translation = WARP_TRANSLATION_NAT,
                         .mapping = (uint8_t)(index / 3 + 1),
                         .filtering = (uint8_t)(index % 3 + 1),
                         .confidence = 100};
}

static void test_grid(void **state) {
  (void)state;
  unsigned plain = 0;
  for (size_t a = 0; a < 9; a++) {
    for (size_t b = 0; b < 9; b++) {
      warp_nat_axes self = axes_of(a), peer = axes_of(b);
      char why[WARP_DETAIL_LEN] = "";
      wg_verdict verdict = wg_nat_punchable(&self, &peer, why, sizeof why);
      assert_int_equal(verdict, grid[a][b] == 'P' ? WG_VERDICT_YES : WG_VERDICT_NO);
      assert_int_equal(why[0] == '\0', verdict == WG_VERDICT_YES);
      plain += verdict == WG_VERDICT_YES;
    }
  }
  assert_int_equal(plain, 57);
}

static void test_unknown_is_never_ruled_out(void **state) {
  (void)state;
  warp_nat_axes nothing = {0}, hard = axes_of(8);
  warp_endpoint unmeasured = {0};
  char why[WARP_DETAIL_LEN] = "";
  assert_int_equal(wg_nat_punchable(&nothing, &hard, why, sizeof why), WG_VERDICT_MAYBE);
  assert_int_equal(wg_nat_punchable(&hard, &nothing, why, sizeof why), WG_VERDICT_MAYBE);
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
  warp_nat_axes restricted = axes_of(2);
  assert_int_equal(wg_nat_punchable(&firewall, &restricted, why, sizeof why), WG_VERDICT_YES);
  outside.udp.translation = WARP_TRANSLATION_NONE;
  assert_int_equal(wg_nat_reachable(&outside, WARP_UDP, "we", why, sizeof why), WG_VERDICT_YES);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_grid),
      cmocka_unit_test(test_unknown_is_never_ruled_out),
      cmocka_unit_test(test_reachable),
      cmocka_unit_test(test_opened_by_the_router),
      cmocka_unit_test(test_firewall_without_translation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
