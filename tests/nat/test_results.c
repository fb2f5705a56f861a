/* Records of trials, the table of expectations, the closing table. */
#include "natsim/expect.h"
#include "natsim/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static sim_profile profiles[] = {{.name = "open"}, {.name = "symmetric"}};
static const sim_plan plan = {
    .a_profiles = profiles, .b_profiles = profiles, .a_count = 2, .b_count = 2};

/* ---- records --------------------------------------------------------------------------------- */

static json_t *record_of(const sim_result *result) {
  sim_trial trial = {.a = &profiles[0], .b = &profiles[1], .trial = 3, .seed = 99};
  json_t *record = sim_result_json(&trial, "auto", result);
  assert_non_null(record);
  return record;
}

static const char *text(const json_t *record, const char *key) {
  return json_string_value(json_object_get(record, key));
}

static void a_record_has_every_key(void **state) {
  (void)state;
  static const char *const keys[] = {
      "a",         "b",      "plugin", "trial",  "seed",    "outcome",    "winner",  "phase",
      "transport", "family", "path",   "reason", "echo_ok", "connect_ms", "packets", "attempts"};
  sim_result result = sim_result_new();
  json_t *record = record_of(&result);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!json_object_get(record, keys[i]))
      fail_msg("%s is missing", keys[i]);
  assert_string_equal(text(record, "outcome"), "error");
  assert_true(json_is_null(json_object_get(record, "connect_ms")));
  assert_true(json_is_array(json_object_get(json_object_get(record, "attempts"), "b")));
  assert_null(json_object_get(record, "lookup_ms"));
  json_decref(record);
}

static void a_record_reads_back(void **state) {
  (void)state;
  sim_result result = sim_result_new();
  result.outcome = SIM_CONNECTED;
  snprintf(result.winner, sizeof result.winner, "turn");
  snprintf(result.path, sizeof result.path, "relay");
  snprintf(result.transport, sizeof result.transport, "udp");
  result.family = 4;
  result.connect_ms = 83.12345678;
  result.lookup_ms = 40;
  result.echo_ok = result.counted = true;
  result.packets[SIM_A] = 7;
  json_t *record = record_of(&result);
  char *line = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(15));
  assert_non_null(strstr(line, "\"connect_ms\":83.123,"));
  assert_non_null(strstr(line, "\"packets\":{\"a\":7,\"b\":0}"));
  json_t *again = json_loads(line, 0, NULL);
  sim_summary summary;
  assert_int_equal(sim_summary_read(again, &summary), 0);
  assert_int_equal(summary.outcome, SIM_CONNECTED);
  assert_string_equal(summary.winner, "turn");
  assert_string_equal(summary.path, "relay");
  assert_true(summary.connect_ms > 83.12 && summary.connect_ms < 83.13);
  free(line);
  json_decref(again);
  json_decref(record);
}

static void words_that_are_no_text_do_not_spoil_a_record(void **state) {
  (void)state;
  sim_result result = sim_result_new();
  snprintf(result.reason, sizeof result.reason, "said \xff\xfe");
  json_t *record = record_of(&result);
  assert_string_equal(text(record, "reason"), "said ??");
  json_decref(record);
}

static void what_is_no_record_is_refused(void **state) {
  (void)state;
  sim_summary summary;
  json_t *strange = json_pack("{s:s}", "outcome", "perhaps");
  assert_int_equal(sim_summary_read(strange, &summary), -1);
  assert_int_equal(sim_summary_read(NULL, &summary), -1);
  json_decref(strange);
}

/* ---- expectations ---------------------------------------------------------------------------- */

static int read_table(const char *content, sim_expectations *out, ns_error *error) {
  FILE *in = fmemopen((void *)(uintptr_t)content, strlen(content), "r");
  int status = sim_expect_read(in, "table", out, error);
  fclose(in);
  return status;
}

static void expect_refused(const char *content, const char *line) {
  sim_expectations table;
  ns_error error = {.text = ""};
  assert_int_equal(read_table(content, &table, &error), -1);
  if (!strstr(error.text, line))
    fail_msg("gave '%s', not '%s'", error.text, line);
}

#define HEAD "a\tb\toutcome\tpath\treason\n"

static void both_forms_of_a_table_are_read(void **state) {
  (void)state;
  sim_expectations table;
  assert_int_equal(read_table("# why\n\npath\ta\tb\treason\toutcome\n"
                              "relay\topen\tsymmetric\tso it is\tconnected\n"
                              "-\topen\topen\tnothing works\tfailed\n"
                              "{\"a\":\"symmetric\",\"b\":\"open\",\"outcome\":\"failed\","
                              "\"path\":null,\"reason\":\"no\"}\n",
                              &table, NULL),
                   0);
  assert_int_equal(table.count, 3);
  assert_string_equal(table.rows[0].b, "symmetric");
  assert_string_equal(table.rows[0].path, "relay");
  assert_string_equal(table.rows[1].path, "");
  assert_int_equal(table.rows[2].outcome, SIM_FAILED);
  sim_expect_free(&table);
}

static void bad_tables_are_refused_with_their_line(void **state) {
  (void)state;
  expect_refused("", "no row");
  expect_refused(HEAD, "no row");
  expect_refused("a\tb\n", "table:1: the first line names the columns");
  expect_refused(HEAD "open\topen\tconnected\tdirect\n", "table:2: a row needs");
  expect_refused(HEAD "open\topen\tconnected\tdirect\t\n", "table:2: a row needs");
  expect_refused(HEAD "open\topen\tfine\tdirect\tr\n", "outcome is");
  expect_refused(HEAD "open\topen\tconnected\t-\tr\n", "path is");
  expect_refused(HEAD "open\topen\tfailed\trelay\tr\n", "path is");
  expect_refused(HEAD "open\topen\tfailed\t-\tr\tmore\n", "more than five");
  expect_refused(HEAD "o\to\tfailed\t-\tr\no\to\tfailed\t-\tr\n", "table:3: this pair");
  expect_refused("{\"a\":1}\n", "table:1: a row needs");
  expect_refused("{broken\n", "table:1:");
}

static sim_summary trial_of(size_t a, size_t b, enum sim_outcome outcome, const char *path) {
  sim_summary summary = {.a = a, .b = b, .trial = 1, .outcome = outcome, .connect_ms = 80};
  snprintf(summary.path, sizeof summary.path, "%s", path);
  snprintf(summary.winner, sizeof summary.winner, "%s", "udp_punch");
  return summary;
}

static size_t check(const sim_summary *trials, size_t count, char out[1024]) {
  sim_expectations table;
  assert_int_equal(read_table(HEAD "open\topen\tconnected\tdirect\tr\n"
                                   "open\tsymmetric\tconnected\trelay\tbecause\n"
                                   "symmetric\tsymmetric\tfailed\t-\tr\n",
                              &table, NULL),
                   0);
  memset(out, 0, 1024);
  FILE *stream = fmemopen(out, 1024, "w");
  size_t differing = sim_expect_check(&table, &plan, trials, count, stream);
  fclose(stream);
  sim_expect_free(&table);
  return differing;
}

static void cells_as_expected_pass(void **state) {
  (void)state;
  char out[1024];
  sim_summary trials[] = {trial_of(0, 0, SIM_CONNECTED, "direct"),
                          trial_of(0, 1, SIM_CONNECTED, "relay"), trial_of(1, 1, SIM_FAILED, "")};
  assert_int_equal(check(trials, 3, out), 0);
  assert_string_equal(out, "");
}

static void cells_that_differ_either_way_are_named(void **state) {
  (void)state;
  char out[1024];
  sim_summary better = trial_of(0, 1, SIM_CONNECTED, "direct");
  assert_int_equal(check(&better, 1, out), 1);
  assert_string_equal(out, "open x symmetric, trial 1: better than expected: connected relay "
                           "(because), was connected direct\n");
  sim_summary worse = trial_of(0, 0, SIM_CONNECTED, "relay");
  assert_int_equal(check(&worse, 1, out), 1);
  assert_non_null(strstr(out, "worse than expected"));
  sim_summary error = trial_of(1, 1, SIM_ERROR, "");
  assert_int_equal(check(&error, 1, out), 1);
  assert_non_null(strstr(out, "worse than expected"));
  sim_summary connects = trial_of(1, 1, SIM_CONNECTED, "relay");
  assert_int_equal(check(&connects, 1, out), 1);
  assert_non_null(strstr(out, "better than expected"));
}

static void cells_the_table_does_not_know_are_named(void **state) {
  (void)state;
  char out[1024];
  sim_summary unknown = trial_of(1, 0, SIM_CONNECTED, "direct");
  assert_int_equal(check(&unknown, 1, out), 1);
  assert_non_null(strstr(out, "not in the table"));
}

/* The table of this landing: five by five, sixteen plus six direct, three by relay. */
static void the_kept_table_is_whole(void **state) {
  (void)state;
  sim_expectations table;
  ns_error error;
  assert_int_equal(sim_expect_load(NATSIM_TEST_TABLE, &table, &error), 0);
  size_t relayed = 0;
  for (size_t i = 0; i < table.count; i++) {
    assert_int_equal(table.rows[i].outcome, SIM_CONNECTED);
    relayed += !strcmp(table.rows[i].path, "relay");
  }
  assert_int_equal(table.count, 25);
  assert_int_equal(relayed, 1);
  sim_expect_free(&table);
}

/* ---- the closing table ----------------------------------------------------------------------- */

static void the_table_shows_winner_median_and_path(void **state) {
  (void)state;
  sim_summary trials[] = {
      trial_of(0, 0, SIM_CONNECTED, "direct"), trial_of(0, 0, SIM_CONNECTED, "direct"),
      trial_of(0, 0, SIM_FAILED, ""),          trial_of(0, 1, SIM_CONNECTED, "relay"),
      trial_of(1, 0, SIM_FAILED, ""),          trial_of(1, 1, SIM_ERROR, "")};
  trials[1].connect_ms = 90;
  char out[2048] = "";
  FILE *stream = fmemopen(out, sizeof out, "w");
  sim_table_print(stream, &plan, trials, 6);
  fclose(stream);
  static const char expected[] = "a \\ b      open                symmetric\n"
                                 "open       udp_punch 85 (2/3)  udp_punch* 80\n"
                                 "symmetric  failed              error\n";
  assert_memory_equal(out, expected, sizeof expected - 1);
  assert_non_null(strstr(out, "6 trials: 3 connected (2 direct, 1 relay), 2 failed, 1 errors"));
}

static void medians_are_medians(void **state) {
  (void)state;
  double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2};
  assert_true(sim_median(odd, 3) == 2);
  assert_true(sim_median(even, 4) == 2.5);
  assert_true(sim_median(odd, 0) < 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_record_has_every_key),
      cmocka_unit_test(a_record_reads_back),
      cmocka_unit_test(words_that_are_no_text_do_not_spoil_a_record),
      cmocka_unit_test(what_is_no_record_is_refused),
      cmocka_unit_test(both_forms_of_a_table_are_read),
      cmocka_unit_test(bad_tables_are_refused_with_their_line),
      cmocka_unit_test(cells_as_expected_pass),
      cmocka_unit_test(cells_that_differ_either_way_are_named),
      cmocka_unit_test(cells_the_table_does_not_know_are_named),
      cmocka_unit_test(the_kept_table_is_whole),
      cmocka_unit_test(the_table_shows_winner_median_and_path),
      cmocka_unit_test(medians_are_medians),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
