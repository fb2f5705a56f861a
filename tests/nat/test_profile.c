/* Profiles and the text form of a NAT. */
#include "natsim/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_nat(const char *text, const char *axes) {
  sim_profile profile;
  ns_error error = {.text = ""};
  if (sim_profile_parse(text, NULL, &profile, &error))
    fail_msg("%s: %s", text, error.text);
  char got[SIM_NAT_STRLEN];
  assert_string_equal(profile.name, text);
  assert_true(profile.translated);
  assert_string_equal(sim_nat_format(&profile.nat, got), axes);
}

static void expect_refused(const char *text, const char *line) {
  sim_profile profile;
  ns_error error = {.text = ""};
  assert_int_equal(sim_profile_parse(text, NULL, &profile, &error), -1);
  if (!strstr(error.text, line))
    fail_msg("'%s' gave '%s', not '%s'", text, error.text, line);
}

#define REST ",hairpin=off,unsolicited=drop,strays=drop,reuse=on,udp-lifetime=120,tcp-lifetime=7200"

static void names_stand_for_their_axes(void **state) {
  (void)state;
  expect_nat("full-cone", "map=ei,filter=ei,alloc=preserving,range=1024-65535" REST);
  expect_nat("restricted", "map=ei,filter=ad,alloc=preserving,range=1024-65535" REST);
  expect_nat("port-restricted", "map=ei,filter=apd,alloc=preserving,range=1024-65535" REST);
  expect_nat("symmetric", "map=apd,filter=apd,alloc=random,range=1024-65535" REST);
  expect_nat("symmetric-seq", "map=apd,filter=apd,alloc=sequential:1,range=1024-65535" REST);
  expect_nat("ad-apd", "map=ad,filter=apd,alloc=random,range=1024-65535" REST);
  expect_nat("apd-ei", "map=apd,filter=ei,alloc=random,range=1024-65535" REST);
  sim_profile open;
  assert_int_equal(sim_profile_parse("open", NULL, &open, NULL), 0);
  assert_false(open.translated);
}

static void every_listed_profile_parses(void **state) {
  (void)state;
  const char *summary, *name;
  size_t count = 0;
  for (; (name = sim_profile_name(count, &summary)); count++) {
    sim_profile profile;
    assert_int_equal(sim_profile_parse(name, NULL, &profile, NULL), 0);
    assert_true(*summary);
  }
  assert_int_equal(count, 6 + 5 + 5 + 9);
}

static void axes_come_in_any_order(void **state) {
  (void)state;
  expect_nat("map=ad", "map=ad,filter=apd,alloc=preserving,range=1024-65535" REST);
  expect_nat("filter=ei,alloc=sequential,map=apd,range=2000-2999",
             "map=apd,filter=ei,alloc=sequential:1,range=2000-2999" REST);
  expect_nat("tcp-lifetime=60,udp-lifetime=30,strays=accept,unsolicited=icmp,hairpin=on,reuse=on",
             "map=ei,filter=apd,alloc=preserving,range=1024-65535,hairpin=on,unsolicited=icmp,"
             "strays=accept,reuse=on,udp-lifetime=30,tcp-lifetime=60");
}

static void what_is_written_reads_back(void **state) {
  (void)state;
  sim_nat nat = sim_nat_default(), again = sim_nat_default();
  assert_int_equal(sim_nat_set(&nat, "map=apd,filter=ad,alloc=sequential:7,hairpin=on", NULL), 0);
  char text[SIM_NAT_STRLEN], second[SIM_NAT_STRLEN];
  assert_int_equal(sim_nat_set(&again, sim_nat_format(&nat, text), NULL), 0);
  assert_string_equal(sim_nat_format(&again, second), text);
}

static void nonsense_is_refused_with_its_reason(void **state) {
  (void)state;
  expect_refused("half-cone", "unknown profile 'half-cone'");
  expect_refused("", "unknown profile");
  expect_refused("map=xx", "map takes ei, ad or apd");
  expect_refused("map=", "map takes ei, ad or apd");
  expect_refused("mapp=ei", "'mapp' is no axis");
  expect_refused("map=ei,", "not KEY=VALUE");
  expect_refused("map=ei,map=ei", "'map' is given twice");
  expect_refused("map=ei,filter=ad,map=apd", "'map' is given twice");
  expect_refused("alloc=sequential:0", "alloc takes");
  expect_refused("alloc=random:2", "alloc takes");
  expect_refused("alloc=sequential:40000", "alloc takes");
  expect_refused("alloc=sequential:4,range=10-13", "does not fit");
  expect_refused("range=2000-1999", "range takes");
  expect_refused("range=0-10", "range takes");
  expect_refused("range=1-65536", "range takes");
  expect_refused("range=1024", "range takes");
  expect_refused("range= 1-2", "range takes");
  expect_refused("udp-lifetime=0", "seconds from");
  expect_refused("udp-lifetime=1e9", "seconds from");
  expect_refused("udp-lifetime=99999999999999999999", "seconds from");
  expect_refused("hairpin=yes", "on or off");
  char long_text[400];
  memset(long_text, 'x', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = 0;
  expect_refused(long_text, "longer than");
  memcpy(long_text, "map=", 4);
  long_text[120] = 0;
  expect_refused(long_text, "map takes");
}

static void what_excludes_each_other_is_refused(void **state) {
  (void)state;
  expect_refused("map=ei,reuse=off", "map=ei has one mapping for all");
  expect_refused("unsolicited=reset,filter=ei", "unsolicited=reset answers nothing");
  /* Added to whatever there is, it may mean nothing. */
  sim_profile_changes changes = {.nat = "reuse=off,unsolicited=icmp"};
  sim_profile profile;
  assert_int_equal(sim_profile_parse("full-cone", &changes, &profile, NULL), 0);
  assert_false(profile.nat.reuse);
  assert_int_equal(profile.nat.unsolicited, SIM_UNSOLICITED_ICMP);
}

static void names_stand_for_more_than_axes(void **state) {
  (void)state;
  sim_profile p;
  assert_int_equal(sim_profile_parse("cgnat", NULL, &p, NULL), 0);
  assert_true(p.carrier && p.translated && p.carrier_nat.hairpin);
  assert_int_equal(p.nat.filter, SIM_APD);
  assert_int_equal(p.carrier_nat.filter, SIM_EI);
  sim_profile_changes changes = {.nat = "hairpin=off"};
  assert_int_equal(sim_profile_parse("cgnat", &changes, &p, NULL), 0);
  assert_false(p.carrier_nat.hairpin);
  assert_int_equal(sim_profile_parse("udp-blocked", NULL, &p, NULL), 0);
  assert_int_equal(p.filters, SIM_BLOCK_UDP);
  assert_int_equal(sim_profile_parse("web-only", NULL, &p, NULL), 0);
  assert_int_equal(p.filters, SIM_WEB_ONLY);
  assert_int_equal(sim_profile_parse("upnp", NULL, &p, NULL), 0);
  assert_int_equal(p.filters, SIM_UPNP);
  assert_int_equal(sim_profile_parse("firewall6", NULL, &p, NULL), 0);
  assert_true(p.ip6_only && !p.translated);
  assert_int_equal(p.filters, SIM_FIREWALL6);
}

static void models_name_their_source(void **state) {
  (void)state;
  const char *summary, *name;
  int models = 0;
  for (size_t i = 0; (name = sim_profile_name(i, &summary)); i++) {
    bool model = strstr(name, "linux") || strstr(name, "rfc");
    assert_int_equal(sim_profile_source(i) != NULL, model);
    models += model;
  }
  assert_int_equal(models, 5);
}

static void a_refused_change_changes_nothing(void **state) {
  (void)state;
  sim_nat nat = sim_nat_default();
  char before[SIM_NAT_STRLEN], after[SIM_NAT_STRLEN];
  sim_nat_format(&nat, before);
  assert_int_equal(sim_nat_set(&nat, "map=apd,filter=wrong", NULL), -1);
  assert_string_equal(sim_nat_format(&nat, after), before);
}

static void a_run_adds_to_its_profiles(void **state) {
  (void)state;
  sim_profile_changes changes = {.grid_alloc = "sequential:2", .nat = "hairpin=on,map=ad"};
  sim_profile profile;
  assert_int_equal(sim_profile_parse("apd-ei", &changes, &profile, NULL), 0);
  assert_int_equal(profile.nat.alloc, SIM_SEQUENTIAL);
  assert_int_equal(profile.nat.step, 2);
  assert_int_equal(profile.nat.map, SIM_AD);
  assert_true(profile.nat.hairpin);
  assert_int_equal(sim_profile_parse("full-cone", &changes, &profile, NULL), 0);
  assert_int_equal(profile.nat.alloc, SIM_PRESERVING);
  assert_int_equal(sim_profile_parse("open", &changes, &profile, NULL), 0);
  assert_false(profile.nat.hairpin);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_stand_for_their_axes),
      cmocka_unit_test(every_listed_profile_parses),
      cmocka_unit_test(axes_come_in_any_order),
      cmocka_unit_test(what_is_written_reads_back),
      cmocka_unit_test(nonsense_is_refused_with_its_reason),
      cmocka_unit_test(what_excludes_each_other_is_refused),
      cmocka_unit_test(names_stand_for_more_than_axes),
      cmocka_unit_test(models_name_their_source),
      cmocka_unit_test(a_refused_change_changes_nothing),
      cmocka_unit_test(a_run_adds_to_its_profiles),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
