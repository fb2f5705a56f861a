/* The plans of all pairs of NATs, against the tables that were found by experiment. */
#include "nat/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Rows and columns in the order ei-ei, ei-ad, ei-apd, ad-ei, ad-ad, ad-apd, apd-ei, apd-ad,
 * apd-apd. P plain, B one opens and the other guesses, 2 the same with a second round, . nothing.
 */
static const char *const random_reuse[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPPBBPBB", "PPPPPPPPP", "PPBPBBPBB",
    "PPBPB.PB.", "PPPPPPPPP", "PPBPBBPBB", "PPBPB.PB.",
};
static const char *const random_strict[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPBBBBBB", "PPBPPBPPB", "PPBPBBPBB",
    "PPBBB.22.", "PPBPP2PP.", "PPBPB2PB.", "PPBBB....",
};
/* W the next ports of a counter, K fixed and walker; V virgin sockets. */
static const char *const counting_reuse[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPPWWPWW", "PPPPPPPPP", "PPWPWWPWW",
    "PPWPWWPWW", "PPPPPPPPP", "PPWPWWPKK", "PPWPWWPKK",
};
static const char *const counting_strict[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPWWWWWW", "PPWPPWPPW", "PPWPWWPWW",
    "PPWWWWWWW", "PPWPPWPPK", "PPWPWWPKK", "PPWWWWKKK",
};

static warp_endpoint endpoint_of(size_t cell, warp_nat_allocation allocation,
                                 warp_nat_ability reuse) {
  warp_nat_axes axes = {.translation = WARP_TRANSLATION_NAT,
                        .mapping = (uint8_t)(cell / 3 + 1),
                        .filtering = (uint8_t)(cell % 3 + 1),
                        .allocation = (uint8_t)allocation,
                        .step = allocation == WARP_ALLOC_SEQUENTIAL ? 1 : 0,
                        .reuse = (uint8_t)reuse,
                        .confidence = 100};
  return (warp_endpoint){.udp = axes, .tcp = axes};
}

static char letter(const wg_plan *plan) {
  switch (plan->strategy) {
  case WG_STRATEGY_PLAIN:
    return 'P';
  case WG_STRATEGY_VIRGIN:
    return 'V';
  case WG_STRATEGY_WINDOW:
    return 'W';
  case WG_STRATEGY_WALK:
    return 'K';
  case WG_STRATEGY_BIRTHDAY:
    return plan->second_round ? '2' : 'B';
  default:
    return '.';
  }
}

static wg_plan_role other_role(wg_plan_role role) {
  static const wg_plan_role others[] = {
      [WG_ROLE_SAME] = WG_ROLE_SAME,     [WG_ROLE_FIXED] = WG_ROLE_WALKER,
      [WG_ROLE_WALKER] = WG_ROLE_FIXED,  [WG_ROLE_OPENER] = WG_ROLE_PROBER,
      [WG_ROLE_PROBER] = WG_ROLE_OPENER,
  };
  return others[role];
}

/* The plan of `a` that calls `b`; checked against the one that `b` makes. */
static wg_plan plan_of(const warp_endpoint *a, const warp_endpoint *b) {
  char why[WARP_DETAIL_LEN] = "";
  wg_plan ours = wg_nat_plan(a, b, WARP_UDP, true, why, sizeof why);
  wg_plan theirs = wg_nat_plan(b, a, WARP_UDP, false, NULL, 0);
  assert_int_not_equal(strlen(why), 0);
  assert_in_range(strlen(why), 1, sizeof why - 2);
  assert_int_equal(ours.strategy, theirs.strategy);
  assert_int_equal(ours.role, other_role(theirs.role));
  assert_int_equal(ours.second_round, theirs.second_round);
  assert_int_equal(ours.opener_one_socket, theirs.opener_one_socket);
  assert_int_equal(ours.fixed_spreads, theirs.fixed_spreads);
  assert_int_equal(ours.prober_aims, theirs.prober_aims);
  assert_int_equal(ours.certain, theirs.certain);
  assert_int_equal(ours.self_first, theirs.peer_first);
  assert_int_equal(ours.peer_first, theirs.self_first);
  assert_int_equal(ours.self_known, theirs.peer_known);
  assert_int_equal(ours.self_counts, theirs.peer_counts);
  assert_int_equal(ours.self_preserves, theirs.peer_preserves);
  assert_false(ours.self_first && ours.peer_first);
  return ours;
}

static void check_grid(const char *const grid[9], warp_nat_allocation allocation,
                       warp_nat_ability reuse, bool virgin, unsigned direct) {
  unsigned found = 0;
  for (size_t i = 0; i < 9; i++) {
    for (size_t j = 0; j < 9; j++) {
      warp_endpoint a = endpoint_of(i, allocation, reuse), b = endpoint_of(j, allocation, reuse);
      wg_plan plan = plan_of(&a, &b);
      char expected = grid[i][j];
      if (virgin && expected != 'P')
        expected = 'V';
      if (letter(&plan) != expected)
        fail_msg("cell %zu x %zu: %c, not %c", i, j, letter(&plan), expected);
      assert_true(plan.certain);
      found += plan.strategy != WG_STRATEGY_NONE;
    }
  }
  assert_int_equal(found, direct);
}

static void test_random(void **state) {
  (void)state;
  check_grid(random_reuse, WARP_ALLOC_RANDOM, WARP_ABILITY_YES, false, 77);
  check_grid(random_strict, WARP_ALLOC_RANDOM, WARP_ABILITY_NO, false, 73);
}

static void test_counting(void **state) {
  (void)state;
  check_grid(counting_reuse, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_YES, false, 81);
  check_grid(counting_strict, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_NO, false, 81);
}

static void test_preserving(void **state) {
  (void)state;
  check_grid(random_reuse, WARP_ALLOC_PRESERVING, WARP_ABILITY_YES, true, 81);
  check_grid(random_strict, WARP_ALLOC_PRESERVING, WARP_ABILITY_NO, true, 81);
}

/* Every pair of cells, allocations and abilities has a plan that both views agree on, and whoever
 * guesses does not guess what is known. */
static void check_mixed(const warp_endpoint *a, const warp_endpoint *b) {
  wg_plan plan = plan_of(a, b);
  if (plan.strategy == WG_STRATEGY_BIRTHDAY) {
    assert_true(plan.role == WG_ROLE_OPENER || plan.role == WG_ROLE_PROBER);
    assert_false(plan.role == WG_ROLE_OPENER ? plan.self_known : plan.peer_known);
  } else if (plan.strategy == WG_STRATEGY_WALK) {
    assert_true(plan.role == WG_ROLE_FIXED ? plan.peer_counts : plan.self_counts);
  } else {
    assert_int_equal(plan.role, WG_ROLE_SAME);
  }
}

static void test_all_mixed(void **state) {
  (void)state;
  enum { KINDS = 9 * 3 * 3 };
  for (size_t i = 0; i < KINDS; i++) {
    for (size_t j = 0; j < KINDS; j++) {
      warp_endpoint a =
          endpoint_of(i / 9, (warp_nat_allocation)(i / 3 % 3 + 1), (warp_nat_ability)(i % 3));
      warp_endpoint b =
          endpoint_of(j / 9, (warp_nat_allocation)(j / 3 % 3 + 1), (warp_nat_ability)(j % 3));
      check_mixed(&a, &b);
    }
  }
}

enum { EI_AD = 1, EI_APD = 2, AD_AD = 4, AD_APD = 5, APD_EI = 6, APD_AD = 7, APD_APD = 8 };

/* One side whose port is foretold acts like one with a known port; except where each guess of it
 * would take another port. */
static void test_one_side_foretold(void **state) {
  (void)state;
  for (size_t hard = AD_AD; hard <= APD_APD; hard++) {
    if (hard == APD_EI)
      continue;
    warp_endpoint chance = endpoint_of(hard, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
    for (size_t i = AD_AD; i <= APD_APD; i++) {
      if (i == APD_EI)
        continue;
      warp_endpoint counts = endpoint_of(i, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_YES);
      warp_endpoint keeps = endpoint_of(i, WARP_ALLOC_PRESERVING, WARP_ABILITY_YES);
      wg_plan counted = plan_of(&counts, &chance), kept = plan_of(&keeps, &chance);
      bool out = i == APD_APD && (hard == AD_APD || hard == APD_APD);
      bool guessed = i == AD_APD || i == APD_APD;
      assert_int_equal(letter(&counted), out ? '.' : guessed ? 'B' : 'W');
      assert_int_equal(letter(&kept), out ? '.' : guessed ? 'B' : 'V');
      assert_int_equal(counted.prober_aims, i == AD_APD && hard % 3 == 2);
    }
    warp_endpoint cone = endpoint_of(EI_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
    warp_endpoint counts = endpoint_of(hard, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_YES);
    wg_plan plan = plan_of(&cone, &counts);
    assert_int_equal(letter(&plan), 'W');
  }
}

static void test_roles(void **state) {
  (void)state;
  warp_endpoint cone = endpoint_of(EI_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  warp_endpoint ad_ad = endpoint_of(AD_AD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  warp_endpoint ad_apd = endpoint_of(AD_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  warp_endpoint apd_ad = endpoint_of(APD_AD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  /* From mapping where one side is endpoint-independent. */
  assert_int_equal(plan_of(&cone, &ad_ad).role, WG_ROLE_PROBER);
  assert_int_equal(plan_of(&ad_apd, &cone).role, WG_ROLE_OPENER);
  /* Else from filtering, not from who is the harder. */
  assert_int_equal(plan_of(&ad_apd, &apd_ad).role, WG_ROLE_PROBER);
  assert_int_equal(plan_of(&apd_ad, &ad_apd).role, WG_ROLE_OPENER);
  /* Both filter by address: the one that maps by it; of two equals the one that calls. */
  assert_int_equal(plan_of(&apd_ad, &ad_ad).role, WG_ROLE_PROBER);
  assert_int_equal(plan_of(&apd_ad, &apd_ad).role, WG_ROLE_OPENER);
  /* One socket with many destinations, where answers keep their port. */
  assert_true(plan_of(&apd_ad, &ad_apd).opener_one_socket);
  apd_ad.udp.reuse = WARP_ABILITY_NO;
  assert_false(plan_of(&apd_ad, &ad_apd).opener_one_socket);
}

static void test_mixed_predictions(void **state) {
  (void)state;
  warp_endpoint kept = endpoint_of(APD_APD, WARP_ALLOC_PRESERVING, WARP_ABILITY_YES);
  warp_endpoint counts = endpoint_of(APD_APD, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_YES);
  warp_endpoint one_port = endpoint_of(AD_APD, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_YES);
  /* What counts walks, whoever calls. */
  assert_int_equal(plan_of(&kept, &counts).role, WG_ROLE_FIXED);
  assert_int_equal(plan_of(&counts, &kept).role, WG_ROLE_WALKER);
  assert_false(plan_of(&counts, &kept).fixed_spreads);
  assert_true(plan_of(&one_port, &kept).fixed_spreads);
}

/* Over TCP one foretold side is enough where it lets in the other's whole address: then nobody
 * walks, and its SYN is the first. */
static void test_foretold_over_tcp(void **state) {
  (void)state;
  for (size_t i = 0; i < 9; i++) {
    for (size_t j = 0; j < 9; j++) {
      if (counting_reuse[i][j] == 'P' || i / 3 == 0 || j / 3 == 0)
        continue;
      warp_endpoint a = endpoint_of(i, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_NO);
      warp_endpoint b = endpoint_of(j, WARP_ALLOC_SEQUENTIAL, WARP_ABILITY_NO);
      wg_plan plan = wg_nat_plan(&a, &b, WARP_TCP, true, NULL, 0);
      wg_plan theirs = wg_nat_plan(&b, &a, WARP_TCP, false, NULL, 0);
      bool one = i % 3 == 1 || j % 3 == 1;
      assert_int_equal(letter(&plan), !one && i == APD_APD && j == APD_APD ? 'K' : 'W');
      assert_int_equal(plan.self_counts && plan.peer_counts, !one);
      assert_int_equal(plan.self_counts, theirs.peer_counts);
      assert_int_equal(plan.self_first, one && plan.self_counts);
      assert_int_equal(theirs.peer_first, plan.self_first);
    }
  }
}

static void test_first_syn(void **state) {
  (void)state;
  warp_endpoint restricted = endpoint_of(EI_AD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  for (size_t i = 0; i < 9; i++) {
    warp_endpoint other = endpoint_of(i, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
    bool hard = i / 3 != 0 && i % 3 != 0;
    assert_int_equal(plan_of(&restricted, &other).self_first, hard);
    assert_int_equal(plan_of(&other, &restricted).peer_first, hard);
  }
}

static void test_unknown_is_never_ruled_out(void **state) {
  (void)state;
  warp_endpoint nothing = {0}, hard = endpoint_of(APD_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  wg_plan plan = plan_of(&nothing, &hard);
  assert_int_equal(plan.strategy, WG_STRATEGY_PLAIN);
  assert_false(plan.certain);
  /* What is known is enough. */
  warp_endpoint open = endpoint_of(0, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  assert_true(plan_of(&nothing, &open).certain);
  /* How ports are given out is not known: then they are guessed. */
  warp_endpoint cone = endpoint_of(EI_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  hard.udp.allocation = WARP_ALLOC_UNKNOWN;
  plan = plan_of(&cone, &hard);
  assert_int_equal(plan.strategy, WG_STRATEGY_BIRTHDAY);
  assert_false(plan.certain);
  /* A pair that is plain only if answers keep their port, and nobody knows. */
  warp_endpoint lets_in = endpoint_of(APD_EI, WARP_ALLOC_RANDOM, WARP_ABILITY_UNKNOWN);
  plan = plan_of(&cone, &lets_in);
  assert_int_equal(plan.strategy, WG_STRATEGY_PLAIN);
  assert_false(plan.certain);
}

/* No translation: the mapping axis means nothing, a stateful firewall still filters. */
static void test_no_translation(void **state) {
  (void)state;
  warp_endpoint firewall = endpoint_of(APD_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  firewall.udp.translation = WARP_TRANSLATION_NONE;
  warp_endpoint cone = endpoint_of(EI_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  warp_endpoint hard = endpoint_of(APD_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES);
  assert_int_equal(plan_of(&firewall, &cone).strategy, WG_STRATEGY_PLAIN);
  assert_int_equal(plan_of(&firewall, &hard).strategy, WG_STRATEGY_BIRTHDAY);
  assert_int_equal(plan_of(&firewall, &hard).role, WG_ROLE_PROBER);
}

static void test_opened_by_the_router(void **state) {
  (void)state;
  warp_endpoint a = endpoint_of(APD_APD, WARP_ALLOC_RANDOM, WARP_ABILITY_YES), b = a;
  assert_int_equal(plan_of(&a, &b).strategy, WG_STRATEGY_NONE);
  a.port_mapped = WARP_TCP;
  assert_int_equal(plan_of(&a, &b).strategy, WG_STRATEGY_NONE);
  assert_int_equal(wg_nat_plan(&a, &b, WARP_TCP, true, NULL, 0).strategy, WG_STRATEGY_PLAIN);
}

/* A connection's answer comes from where it was dialled, or there is none. */
static void test_tcp_reuses(void **state) {
  (void)state;
  unsigned direct = 0;
  for (size_t i = 0; i < 9; i++) {
    for (size_t j = 0; j < 9; j++) {
      warp_endpoint a = endpoint_of(i, WARP_ALLOC_RANDOM, WARP_ABILITY_NO);
      warp_endpoint b = endpoint_of(j, WARP_ALLOC_RANDOM, WARP_ABILITY_NO);
      wg_plan plan = wg_nat_plan(&a, &b, WARP_TCP, true, NULL, 0);
      assert_int_equal(letter(&plan), random_reuse[i][j]);
      direct += plan.strategy != WG_STRATEGY_NONE;
    }
  }
  assert_int_equal(direct, 77);
}

static void test_predict(void **state) {
  (void)state;
  warp_nat_axes axes = {.step = 1};
  assert_int_equal(wg_nat_predict(&axes, 40000, 1), 40001);
  assert_int_equal(wg_nat_predict(&axes, 65535, 1), 1024);
  assert_int_equal(wg_nat_predict(&axes, 65530, 16), 1034);
  axes.step = -2;
  assert_int_equal(wg_nat_predict(&axes, 1030, 3), 1024);
  assert_int_equal(wg_nat_predict(&axes, 1024, 1), 65534);
  axes.step = INT16_MIN;
  for (unsigned ahead = 1; ahead < 100; ahead++)
    assert_in_range(wg_nat_predict(&axes, 2000, ahead), 1024, 65535);
}

/* ---- guessing -------------------------------------------------------------------------------- */

/* Each port once. */
static void check_walk(uint16_t low, uint16_t high, uint32_t key) {
  static bool seen[65536];
  memset(seen, 0, sizeof seen);
  wg_port_walk walk;
  wg_port_walk_start(&walk, low, high, (const uint32_t[4]){key, key * 3, ~key, 77});
  for (unsigned i = 0; i < (unsigned)high - low + 1; i++) {
    uint16_t port = wg_port_walk_next(&walk);
    assert_in_range(port, low, high);
    assert_false(seen[port]);
    seen[port] = true;
  }
  assert_int_equal(wg_port_walk_next(&walk), 0);
}

static void test_port_walk(void **state) {
  (void)state;
  check_walk(1024, 65535, 1);
  check_walk(1024, 65535, 0);
  check_walk(20000, 20000, 5);
  check_walk(20000, 20511, 6);
  check_walk(1, 65535, 7);
  wg_port_walk walk;
  wg_port_walk_start(&walk, 20, 10, (const uint32_t[4]){0});
  assert_int_equal(wg_port_walk_next(&walk), 0);
}

/* The walk guesses as well as chance does: of many walks the share that meets one of 256 ports
 * among the first 174 is a half. 0.5 +- 5 standard deviations of 4000 trials is 0.46 to 0.54. */
static void test_walk_is_random(void **state) {
  (void)state;
  unsigned hits = 0;
  for (uint32_t trial = 0; trial < 4000; trial++) {
    wg_port_walk walk;
    wg_port_walk_start(&walk, WG_PORT_FIRST, WG_PORT_LAST,
                       (const uint32_t[4]){trial, trial * 7 + 1, trial ^ 0x5555, trial + 9});
    bool hit = false;
    for (unsigned i = 0; i < 174; i++)
      hit |= wg_port_walk_next(&walk) % 252 == 7; /* one port in 252: 64512 / 256 */
    hits += hit;
  }
  assert_in_range(hits, 1840, 2160);
}

static void test_birthday_chance(void **state) {
  (void)state;
  const unsigned range = WG_PORT_LAST - WG_PORT_FIRST + 1;
  assert_int_equal((int)(wg_birthday_chance(256, 174, range) * 1000), 499);
  assert_int_equal((int)(wg_birthday_chance(256, 1024, range) * 1000), 983);
  assert_int_equal((int)(wg_birthday_chance(256, 2048, range) * 10000), 9997);
  assert_true(wg_birthday_chance(1, range, range) > 0.999999);
  assert_true(wg_birthday_chance(0, 100, range) < 0.000001);
  assert_true(wg_birthday_chance(100, 1, 10) > 0.999999);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_counting),
      cmocka_unit_test(test_preserving),
      cmocka_unit_test(test_all_mixed),
      cmocka_unit_test(test_one_side_foretold),
      cmocka_unit_test(test_roles),
      cmocka_unit_test(test_mixed_predictions),
      cmocka_unit_test(test_foretold_over_tcp),
      cmocka_unit_test(test_first_syn),
      cmocka_unit_test(test_unknown_is_never_ruled_out),
      cmocka_unit_test(test_no_translation),
      cmocka_unit_test(test_opened_by_the_router),
      cmocka_unit_test(test_tcp_reuses),
      cmocka_unit_test(test_predict),
      cmocka_unit_test(test_port_walk),
      cmocka_unit_test(test_walk_is_random),
      cmocka_unit_test(test_birthday_chance),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
