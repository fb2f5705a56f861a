/* From axes to the text of nftables, and how ports are drawn. The kernel's word on them is in
 * test_behaviour.c. */
#include "natsim/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text_of(const char *axes) {
  sim_nat nat = sim_nat_default();
  assert_int_equal(sim_nat_set(&nat, axes, NULL), 0);
  char *text = sim_rules_text(&nat, "203.0.113.101", 7, true);
  assert_non_null(text);
  return text;
}

/* `words` are separated by '|'; those after a '!' must not be there. */
static void expect_words(const char *axes, const char *words) {
  char *text = text_of(axes), *copy = strdup(words), *rest = copy;
  for (char *word; (word = strsep(&rest, "|"));) {
    bool absent = *word == '!';
    if (!strstr(text, word + absent) != absent)
      fail_msg("%s: '%s' is %s", axes, word + absent, absent ? "there" : "missing");
  }
  free(copy);
  free(text);
}

static void the_mapping_key_is_what_it_depends_on(void **state) {
  (void)state;
  expect_words("map=ei",
               "meta l4proto . ip saddr . th sport map @mapping|!. ip daddr map @mapping");
  expect_words("map=ad", "meta l4proto . ip saddr . th sport . ip daddr map @mapping");
  expect_words("map=apd", "!@mapping|jump allocate");
}

static void the_filter_key_is_what_it_depends_on(void **state) {
  (void)state;
  expect_words("filter=ei", "ct status dnat accept|!@permitted");
  expect_words("filter=ad", ". ip saddr @permitted accept|!th sport @permitted");
  expect_words("filter=apd", ". ip saddr . th sport @permitted accept");
}

static void ports_come_from_the_range(void **state) {
  (void)state;
  expect_words("range=2000-2999", "th sport 2000-2999");
  expect_words("alloc=random", "!!= @used|    jump allocate\n    jump walk_64\n");
  expect_words("alloc=sequential", "    jump allocate_64\n    jump walk_64\n");
  expect_words("alloc=sequential:5", "map steps|!!= @used");
  expect_words("alloc=sequential", "!map steps");
}

static void other_axes_have_their_rules(void **state) {
  (void)state;
  expect_words("hairpin=on",
               "!iifname \"wan0\" ip daddr|oifname \"lan*\" ct status dnat jump map_flow");
  expect_words("hairpin=off", "iifname \"wan0\" ip daddr|!oifname \"lan*\"");
  expect_words("unsolicited=reset", "reject with tcp reset|!icmp port-unreachable");
  expect_words("unsolicited=icmp", "reject with icmp port-unreachable|!tcp reset");
  expect_words("unsolicited=drop", "!reject");
  expect_words("strays=reject", "reject with tcp reset|reject with icmp port-unreachable");
  expect_words("strays=accept", "update @used { meta l4proto . th dport timeout 120s }");
  expect_words("map=apd,filter=ei,reuse=off", "ct zone set 1|update @begun");
  expect_words("map=apd,filter=ei,reuse=on", "!ct zone|!@begun");
  expect_words("map=apd,filter=apd,reuse=off", "!ct zone|!@begun");
  expect_words("udp-lifetime=33,tcp-lifetime=44", "timeout 33s|timeout 44s");
}

static void equal_seeds_draw_alike(void **state) {
  (void)state;
  sim_nat nat = sim_nat_default();
  assert_int_equal(sim_nat_set(&nat, "alloc=random", NULL), 0);
  sim_draw one = sim_draw_of(&nat, 7), same = sim_draw_of(&nat, 7), other = sim_draw_of(&nat, 8);
  assert_memory_equal(one.seeds, same.seeds, sizeof one.seeds);
  assert_memory_not_equal(one.seeds, other.seeds, sizeof one.seeds);
  assert_int_not_equal(one.seeds[0], one.seeds[1]);
  assert_int_equal(one.first, 1024);
  assert_int_equal(one.count, 64512);
}

static void sequences_stay_in_the_range(void **state) {
  (void)state;
  static const char *const axes[] = {"alloc=sequential", "alloc=sequential:9",
                                     "alloc=sequential,range=5000-5127",
                                     "alloc=sequential:100,range=5000-5127"};
  for (size_t i = 0; i < 4; i++) {
    sim_nat nat = sim_nat_default();
    assert_int_equal(sim_nat_set(&nat, axes[i], NULL), 0);
    for (uint64_t seed = 0; seed < 200; seed++) {
      sim_draw draw = sim_draw_of(&nat, seed);
      assert_true(draw.sequential);
      assert_true(draw.count > 0);
      assert_true(draw.first >= nat.port_low);
      assert_true(draw.first + (draw.count - 1) * nat.step <= nat.port_high);
    }
  }
  sim_nat block = sim_nat_default();
  assert_int_equal(sim_nat_set(&block, "alloc=sequential,range=5000-5127", NULL), 0);
  sim_draw draw = sim_draw_of(&block, 3);
  assert_int_equal(draw.first, 5000); /* a small block is used whole */
  assert_int_equal(draw.count, 128);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_mapping_key_is_what_it_depends_on),
      cmocka_unit_test(the_filter_key_is_what_it_depends_on),
      cmocka_unit_test(ports_come_from_the_range),
      cmocka_unit_test(other_axes_have_their_rules),
      cmocka_unit_test(equal_seeds_draw_alike),
      cmocka_unit_test(sequences_stay_in_the_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
