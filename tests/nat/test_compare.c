/* What the prober's findings are compared with, and when they agree: words only. */
#include "natsim/prober/compare.h"
#include "natsim/prober/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static sim_profile profile_of(const char *text) {
  sim_profile profile;
  ns_error error = {.text = ""};
  if (sim_profile_parse(text, NULL, &profile, &error))
    fail_msg("%s", error.text);
  return profile;
}

static sim_finding finding_of(const char *transport, const char *axis, const char *measured) {
  sim_finding finding = {.transport = transport, .axis = axis};
  snprintf(finding.measured, sizeof finding.measured, "%s", measured);
  return finding;
}

/* NULL is written as "-". */
static void check_declared(const char *nat, const char *transport, const char *axis,
                           const char *expected) {
  sim_profile profile = profile_of(nat);
  sim_finding finding = finding_of(transport, axis, "");
  char buf[SIM_MEASURED_LEN];
  const char *declared = sim_declared(&profile, &finding, buf);
  assert_string_equal(declared ? declared : "-", expected);
}

static bool agrees(const char *nat, const char *axis, const char *measured) {
  sim_profile profile = profile_of(nat);
  sim_finding finding = finding_of("udp", axis, measured);
  char buf[SIM_MEASURED_LEN];
  return sim_agrees(&profile, &finding, sim_declared(&profile, &finding, buf));
}

static void a_nat_declares_its_axes(void **state) {
  (void)state;
  const char *nat = "map=ad,filter=apd,alloc=sequential:3,range=2000-2999,hairpin=on,"
                    "unsolicited=reset,strays=reject,reuse=off,udp-lifetime=9,tcp-lifetime=90";
  static const char *const rows[][3] = {{"outbound", "passes", "passes"},
                                        {"map", "ad", "ad"},
                                        {"filter", "apd", "apd"},
                                        {"alloc", "sequential:3", "sequential:3"},
                                        {"range", "2000-2999", "2000-2999"},
                                        {"hairpin", "on", "on"},
                                        {"unsolicited", "drop", "reset"},
                                        {"strays", "reject", "reject"},
                                        {"reuse", "off", "on"},
                                        {"clash", "separate", "separate"},
                                        {"udp-lifetime", "9", "9"},
                                        {"tcp-lifetime", "90", "90"},
                                        {"parity", "-", "-"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    check_declared(nat, "udp", rows[i][0], rows[i][1]);
    check_declared(nat, "tcp", rows[i][0], rows[i][2]);
  }
}

static void what_is_no_nat_declares_little(void **state) {
  (void)state;
  check_declared("open", "udp", "map", "none");
  check_declared("open", "udp", "filter", "none");
  check_declared("open", "tcp", "unsolicited", "-");
  check_declared("firewall6", "tcp", "map", "none");
  check_declared("firewall6", "tcp", "filter", "apd");
  check_declared("udp-blocked", "udp", "outbound", "blocked");
  check_declared("udp-blocked", "tcp", "outbound", "passes");
}

static void two_nats_in_a_row_show_the_outer_one(void **state) {
  (void)state;
  sim_profile profile = profile_of("cgnat");
  ns_error error;
  assert_int_equal(sim_nat_set(&profile.nat, "map=ei,filter=apd,udp-lifetime=30", &error), 0);
  assert_int_equal(sim_nat_set(&profile.carrier_nat,
                               "map=apd,filter=ad,alloc=random,hairpin=on,udp-lifetime=60,"
                               "tcp-lifetime=100",
                               &error),
                   0);
  static const char *const rows[][2] = {{"map", "apd"},         {"filter", "apd"},
                                        {"alloc", "random"},    {"hairpin", "on"},
                                        {"udp-lifetime", "30"}, {"tcp-lifetime", "100"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    sim_finding finding = finding_of("udp", rows[i][0], "");
    char buf[SIM_MEASURED_LEN];
    assert_string_equal(sim_declared(&profile, &finding, buf), rows[i][1]);
  }
}

static void words_agree_when_they_are_the_same(void **state) {
  (void)state;
  assert_true(agrees("full-cone", "map", "ei"));
  assert_false(agrees("full-cone", "map", "apd"));
  assert_false(agrees("full-cone", "map", "mixed"));
  assert_false(agrees("full-cone", "map", ""));
  assert_true(agrees("full-cone", "unsolicited", "hidden"));
  assert_true(agrees("full-cone", "parity", "free")); /* declared nowhere */
  assert_true(agrees("strays=reject", "strays", "answered"));
  assert_true(agrees("strays=accept", "strays", "answered"));
  assert_false(agrees("strays=drop", "strays", "answered"));
  assert_false(agrees("alloc=sequential:2", "alloc", "sequential:1"));
}

static void ranges_agree_where_the_ports_lie_in_them(void **state) {
  (void)state;
  assert_true(agrees("alloc=random", "range", "2000-60000"));
  assert_false(agrees("alloc=random", "range", "30000-40000")); /* a corner of it */
  assert_false(agrees("alloc=random,range=3000-3999", "range", "2999-3900"));
  assert_false(agrees("alloc=random,range=3000-3999", "range", "3100-4000"));
  assert_true(agrees("alloc=random,range=3000-3999", "range", "3001-3997"));
  assert_true(agrees("alloc=sequential", "range", "30000-30040")); /* shows no more */
  assert_true(agrees("alloc=preserving", "range", "1024-65535"));
  assert_false(agrees("alloc=preserving", "range", "20000-30000")); /* its ends were tried */
  assert_true(agrees("alloc=preserving,range=9000-30000", "range", "20000-20100"));
  assert_false(agrees("alloc=preserving", "range", "none"));
}

static void lifetimes_agree_to_the_second_that_is_cut_off(void **state) {
  (void)state;
  assert_true(agrees("udp-lifetime=30", "udp-lifetime", "30"));
  assert_true(agrees("udp-lifetime=30", "udp-lifetime", "29"));
  assert_false(agrees("udp-lifetime=30", "udp-lifetime", "28"));
  assert_false(agrees("udp-lifetime=30", "udp-lifetime", "31"));
  assert_false(agrees("udp-lifetime=30", "udp-lifetime", "over 30"));
  assert_false(agrees("udp-lifetime=30", "udp-lifetime", "30 to 60"));
}

/* Each axis of the text form becomes another word. */
static void sabotage_changes_what_it_names(void **state) {
  (void)state;
  static const char *const axes[] = {"map",          "filter",      "alloc",  "range",
                                     "hairpin",      "unsolicited", "strays", "reuse",
                                     "udp-lifetime", "tcp-lifetime"};
  static const char *const nats[] = {"full-cone", "symmetric", "symmetric-seq", "cgnat",
                                     "hairpin=on,unsolicited=icmp,strays=reject"};
  for (size_t i = 0; i < sizeof axes / sizeof *axes; i++)
    for (size_t n = 0; n < sizeof nats / sizeof *nats; n++) {
      sim_profile built = profile_of(nats[n]), declared = built;
      ns_error error;
      char before[SIM_NAT_STRLEN], after[SIM_NAT_STRLEN];
      assert_int_equal(sim_sabotage(&built, axes[i], &error), 0);
      sim_nat_format(declared.carrier ? &declared.carrier_nat : &declared.nat, before);
      sim_nat_format(built.carrier ? &built.carrier_nat : &built.nat, after);
      assert_string_not_equal(before, after);
    }
  sim_profile open = profile_of("open");
  assert_int_equal(sim_sabotage(&open, "alloc", NULL), -1);
  assert_int_equal(sim_sabotage(&open, "colour", NULL), -1);
}

static void the_default_set_can_be_built(void **state) {
  (void)state;
  size_t count = 0;
  for (const char *text; (text = sim_verify_default(count)); count++)
    profile_of(text);
  assert_true(count > 27);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_nat_declares_its_axes),
      cmocka_unit_test(what_is_no_nat_declares_little),
      cmocka_unit_test(two_nats_in_a_row_show_the_outer_one),
      cmocka_unit_test(words_agree_when_they_are_the_same),
      cmocka_unit_test(ranges_agree_where_the_ports_lie_in_them),
      cmocka_unit_test(lifetimes_agree_to_the_second_that_is_cut_off),
      cmocka_unit_test(sabotage_changes_what_it_names),
      cmocka_unit_test(the_default_set_can_be_built),
  };
  return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
