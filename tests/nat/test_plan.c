/* Options, plans and seeds. */
#include "natsim/plan.h"
#include "natsim/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Parses a command line of words separated by blanks. The words live as long as the test. */
static int parse(enum sim_command command, const char *line, sim_options *out, ns_error *error) {
  static char words[8][1024];
  static int round;
  char *argv[32];
  int argc = 0;
  char *rest = words[round++ % 8];
  snprintf(rest, sizeof words[0], "%s", line);
  for (char *word; (word = strsep(&rest, " "));)
    if (*word)
      argv[argc++] = word;
  return sim_options_parse(command, argc, argv, out, error);
}

static void expect_refused(enum sim_command command, const char *line, const char *reason) {
  sim_options options;
  sim_plan plan;
  ns_error error = {.text = ""};
  int status = parse(command, line, &options, &error);
  if (!status)
    status = sim_plan_make(&options, &plan, &error);
  assert_int_equal(status, -1);
  if (!strstr(error.text, reason))
    fail_msg("'%s' gave '%s', not '%s'", line, error.text, reason);
}

static void plan_of(enum sim_command command, const char *line, sim_plan *out) {
  sim_options options;
  ns_error error = {.text = ""};
  if (parse(command, line, &options, &error) || sim_plan_make(&options, out, &error))
    fail_msg("%s: %s", line, error.text);
}

static void options_have_the_stated_defaults(void **state) {
  (void)state;
  sim_options o;
  assert_int_equal(parse(SIM_MATRIX, "", &o, NULL), 0);
  assert_string_equal(o.plugin, "auto");
  assert_string_equal(o.transport, "any");
  assert_int_equal(o.trials, 1);
  assert_int_equal(o.timeout_s, 60);
  assert_true(o.rtt_ms == 40 && o.jitter_ms == 0 && o.loss_pct == 0 && o.rate_mbit == 0);
  assert_false(o.no_relay || o.strict || o.by_name || o.json);
}

static void options_are_read(void **state) {
  (void)state;
  sim_options o;
  assert_int_equal(parse(SIM_RUN,
                         "--a open --b=full-cone --plugin udp_punch,turn --transport udp "
                         "--no-relay --strict --by-name --trials 3 --seed 7 --rtt 12.5 --loss 2 "
                         "--jobs 2 --timeout 9 --shard 2/3 --set x.y=1 --set z.w=2 "
                         "--without names,turn --json",
                         &o, NULL),
                   0);
  assert_string_equal(o.b, "full-cone");
  assert_string_equal(o.plugin, "udp_punch,turn");
  assert_true(o.no_relay && o.strict && o.by_name && o.json);
  assert_int_equal(o.seed, 7);
  assert_true(o.rtt_ms == 12.5 && o.loss_pct == 2);
  assert_int_equal(o.shard, 2);
  assert_int_equal(o.shards, 3);
  assert_string_equal(o.set, "x.y=1,z.w=2");
  assert_int_equal(o.without, SIM_NAMES | SIM_TURN);
  assert_int_equal(parse(SIM_RUN, "--bogus --help", &o, NULL), -1);
  assert_int_equal(parse(SIM_RUN, "--help --bogus", &o, NULL), 0);
  assert_true(o.help);
}

static void bad_options_are_refused_with_their_reason(void **state) {
  (void)state;
  expect_refused(SIM_RUN, "", "--a PROFILE and --b PROFILE");
  expect_refused(SIM_RUN, "--a open", "--a PROFILE and --b PROFILE");
  expect_refused(SIM_RUN, "--a open --b", "--b needs a value");
  expect_refused(SIM_RUN, "--a open --b open --profiles open", "unknown option '--profiles'");
  expect_refused(SIM_MATRIX, "--a open", "unknown option '--a'");
  expect_refused(SIM_MATRIX, "--jason", "unknown option '--jason'");
  expect_refused(SIM_MATRIX, "--json=1", "takes no value");
  expect_refused(SIM_MATRIX, "word", "unexpected argument");
  expect_refused(SIM_MATRIX, "--pcap", "--pcap needs --out DIR");
  expect_refused(SIM_MATRIX, "--place cafe", "unknown place 'cafe'");
  expect_refused(SIM_MATRIX, "--place /nowhere/x.place", "cannot read the place");
  expect_refused(SIM_RUN, "--a open --b symmetric --place same-lan", "must be the same");
  expect_refused(SIM_MATRIX, "--place ipv6-only", "exclude each other: it has no IPv4");
  expect_refused(SIM_MATRIX, "--loss 101", "a number from 0 to 100");
  expect_refused(SIM_MATRIX, "--loss nan", "a number from 0 to 100");
  expect_refused(SIM_MATRIX, "--rtt -1", "a number from");
  expect_refused(SIM_MATRIX, "--trials 0", "a whole number");
  expect_refused(SIM_MATRIX, "--trials 1x", "a whole number");
  expect_refused(SIM_MATRIX, "--seed 9007199254740992", "a whole number");
  expect_refused(SIM_MATRIX, "--shard 0/2", "1 <= I <= N");
  expect_refused(SIM_MATRIX, "--shard 3/2", "1 <= I <= N");
  expect_refused(SIM_MATRIX, "--shard 1/2x", "1 <= I <= N");
  expect_refused(SIM_MATRIX, "--set nodot=1", "PLUGIN.KEY=VALUE");
  expect_refused(SIM_MATRIX, "--set a.b=1,c.d=2", "PLUGIN.KEY=VALUE");
  expect_refused(SIM_MATRIX, "--without dns", "broker, turn, names, stun, ntp");
  expect_refused(SIM_MATRIX, "--clock-skew 5s", "--clock-skew takes a number");
  expect_refused(SIM_MATRIX, "--clock-skew 5,", "--clock-skew takes a number");
  expect_refused(SIM_MATRIX, "--clock-skew 5,6,7", "--clock-skew takes a number");
  expect_refused(SIM_MATRIX, "--wrong-ntp 1e12", "--wrong-ntp takes a number");
  expect_refused(SIM_MATRIX, "--transport sctp", "any, udp or tcp");
  expect_refused(SIM_MATRIX, "--plugin Turn;rm", "names separated by commas");
  expect_refused(SIM_MATRIX, "--profiles open --grid rfc4787", "exclude each other");
  expect_refused(SIM_MATRIX, "--grid rfc1918", "unknown grid");
  expect_refused(SIM_MATRIX, "--profiles open,nope", "unknown profile 'nope'");
  expect_refused(SIM_MATRIX, "--profiles open --nat map=x", "map takes");
  expect_refused(SIM_MATRIX, "--profiles open --alloc best", "alloc takes");
}

static void the_default_matrix_is_five_by_five(void **state) {
  (void)state;
  sim_plan plan;
  plan_of(SIM_MATRIX, "", &plan);
  assert_int_equal(plan.count, 25);
  assert_string_equal(plan.trials[1].a->name, "open");
  assert_string_equal(plan.trials[1].b->name, "full-cone");
  assert_string_equal(plan.trials[24].a->name, "symmetric");
  sim_plan_free(&plan);
  plan_of(SIM_MATRIX, "--grid rfc4787 --trials 2", &plan);
  assert_int_equal(plan.count, 162);
  assert_int_equal(plan.trials[81].trial, 2);
  sim_plan_free(&plan);
}

static void one_router_pairs_with_itself(void **state) {
  (void)state;
  sim_plan plan;
  plan_of(SIM_MATRIX, "--place same-lan --trials 2", &plan);
  assert_int_equal(plan.count, 10);
  for (size_t i = 0; i < plan.count; i++) {
    assert_string_equal(plan.trials[i].a->name, plan.trials[i].b->name);
    assert_string_equal(plan.trials[i].place->name, "same-lan");
  }
  sim_plan_free(&plan);
}

static void spelled_out_nats_stand_in_lists(void **state) {
  (void)state;
  sim_plan plan;
  plan_of(SIM_MATRIX, "--profiles open,map=ad,filter=ei,map=apd,alloc=random,symmetric", &plan);
  assert_int_equal(plan.a_count, 4);
  assert_string_equal(plan.a_profiles[1].name, "map=ad,filter=ei");
  assert_string_equal(plan.a_profiles[2].name, "map=apd,alloc=random");
  assert_string_equal(plan.a_profiles[3].name, "symmetric");
  sim_plan_free(&plan);
}

/* Shards together are the whole, each trial once and with the seed it has there. */
static void shards_change_no_seed(void **state) {
  (void)state;
  sim_plan whole, part;
  plan_of(SIM_MATRIX, "--trials 2 --seed 5", &whole);
  size_t found = 0;
  for (int shard = 1; shard <= 3; shard++) {
    char line[64];
    snprintf(line, sizeof line, "--trials 2 --seed 5 --shard %d/3", shard);
    plan_of(SIM_MATRIX, line, &part);
    for (size_t i = 0; i < part.count; i++)
      for (size_t j = 0; j < whole.count; j++)
        found += part.trials[i].trial == whole.trials[j].trial &&
                 !strcmp(part.trials[i].a->name, whole.trials[j].a->name) &&
                 !strcmp(part.trials[i].b->name, whole.trials[j].b->name) &&
                 part.trials[i].seed == whole.trials[j].seed;
    sim_plan_free(&part);
  }
  assert_int_equal(found, whole.count);
  plan_of(SIM_RUN, "--a symmetric --b open --seed 5 --only 2", &part);
  assert_int_equal(part.count, 1);
  assert_int_equal(part.trials[0].trial, 2);
  assert_int_equal(part.trials[0].seed, whole.trials[25 + 20].seed);
  sim_plan_free(&part);
  sim_plan_free(&whole);
}

static void seeds_depend_on_everything(void **state) {
  (void)state;
  uint64_t seed = sim_trial_seed(1, "open", "open", "auto", 1);
  assert_int_equal(seed, sim_trial_seed(1, "open", "open", "auto", 1));
  assert_int_not_equal(seed, sim_trial_seed(2, "open", "open", "auto", 1));
  assert_int_not_equal(seed, sim_trial_seed(1, "open", "openo", "auto", 1));
  assert_int_not_equal(sim_trial_seed(1, "ab", "c", "auto", 1),
                       sim_trial_seed(1, "a", "bc", "auto", 1));
  assert_int_not_equal(seed, sim_trial_seed(1, "open", "open", "turn", 1));
  assert_int_not_equal(seed, sim_trial_seed(1, "open", "open", "auto", 2));
  assert_true(seed <= SIM_SEED_MAX);
  assert_int_not_equal(sim_derive(seed, "a"), sim_derive(seed, "b"));
}

/* A seed written down in a bug report must mean the same in later versions. */
static void seeds_stay_what_they_were(void **state) {
  (void)state;
  assert_int_equal(sim_trial_seed(7, "full-cone", "symmetric", "auto", 1),
                   UINT64_C(0xffd729a860fda));
}

static void mac_addresses_are_local_unicast(void **state) {
  (void)state;
  uint8_t one[6], other[6];
  for (uint64_t seed = 0; seed < 100; seed++) {
    sim_mac(seed, "a eth0", one);
    assert_int_equal(one[0] & 3, 2);
  }
  sim_mac(1, "a eth0", one);
  sim_mac(1, "b eth0", other);
  assert_memory_not_equal(one, other, 6);
}

static void options_are_told_in_json(void **state) {
  (void)state;
  sim_options o;
  assert_int_equal(parse(SIM_RUN, "--a open --b open --without stun --shard 1/2", &o, NULL), 0);
  json_t *all = sim_options_json(SIM_RUN, &o);
  assert_string_equal(json_string_value(json_object_get(all, "a")), "open");
  assert_string_equal(json_string_value(json_object_get(all, "shard")), "1/2");
  assert_string_equal(json_string_value(json_array_get(json_object_get(all, "without"), 0)),
                      "stun");
  assert_true(json_is_null(json_object_get(all, "out")));
  assert_null(json_object_get(all, "profiles"));
  assert_int_equal(json_integer_value(json_object_get(all, "timeout")), 60);
  json_decref(all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(options_have_the_stated_defaults),
      cmocka_unit_test(options_are_read),
      cmocka_unit_test(bad_options_are_refused_with_their_reason),
      cmocka_unit_test(the_default_matrix_is_five_by_five),
      cmocka_unit_test(one_router_pairs_with_itself),
      cmocka_unit_test(spelled_out_nats_stand_in_lists),
      cmocka_unit_test(shards_change_no_seed),
      cmocka_unit_test(seeds_depend_on_everything),
      cmocka_unit_test(seeds_stay_what_they_were),
      cmocka_unit_test(mac_addresses_are_local_unicast),
      cmocka_unit_test(options_are_told_in_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
