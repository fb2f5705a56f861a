/* The course of a trial, fed with lines and times. */
#include "natsim/course.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TIMEOUT_S = 10 };

static int setup(void **state) {
  sim_course *course = calloc(1, sizeof *course);
  sim_course_init(course, (sim_course_options){0}, TIMEOUT_S, 1000);
  *state = course;
  return course ? 0 : -1;
}

static int teardown(void **state) {
  sim_course *course = *state;
  sim_result_free(&course->result);
  sim_course_free(course);
  free(course);
  return 0;
}

static void both_ready(sim_course *course) {
  sim_course_line(course, SIM_B, "{\"event\":\"ready\",\"address\":\"B\",\"name\":\"bob\"}", 1100);
  assert_int_equal(course->state, SIM_STARTING);
  sim_course_line(course, SIM_A, "{\"event\":\"ready\",\"address\":\"A\"}", 1200);
  assert_int_equal(course->state, SIM_CONNECTING);
}

static const char connected[] =
    "{\"event\":\"connected\",\"path\":\"direct\",\"transport\":\"udp\",\"winner\":\"udp_punch\","
    "\"phase\":\"spray\",\"family\":4,\"report\":[{\"plugin\":\"udp_punch\"}]}";

static void expect_end(const sim_course *course, enum sim_outcome outcome, const char *reason) {
  assert_int_equal(course->state, SIM_ENDING);
  assert_int_equal(course->result.outcome, outcome);
  if (!strstr(course->result.reason, reason))
    fail_msg("the reason is '%s'", course->result.reason);
}

static void a_good_course_connects(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_line(course, SIM_B, connected, 1250); /* b's word decides nothing */
  assert_int_equal(course->state, SIM_CONNECTING);
  sim_course_line(course, SIM_A, connected, 1283.5);
  assert_int_equal(course->state, SIM_ECHOING);
  sim_course_line(course, SIM_A, "{\"event\":\"echo\",\"ok\":true}", 1325);
  expect_end(course, SIM_CONNECTED, "");
  assert_true(course->result.connect_ms == 83.5);
  assert_true(course->result.lookup_ms < 0);
  assert_string_equal(course->result.winner, "udp_punch");
  assert_string_equal(course->result.phase, "spray");
  assert_int_equal(course->result.family, 4);
  assert_int_equal(json_array_size(course->result.attempts[SIM_A]), 1);
  /* What b still has to say is kept, and the outcome stays. */
  sim_course_line(course, SIM_B, "{\"event\":\"report\",\"report\":[1,2]}", 1400);
  sim_course_ended(course, SIM_B, "exit status 0", "");
  assert_int_equal(json_array_size(course->result.attempts[SIM_B]), 2);
  expect_end(course, SIM_CONNECTED, "");
}

static void each_is_told_the_other(void **state) {
  sim_course *course = *state;
  both_ready(course);
  char *to_a = sim_course_word(course, SIM_A), *to_b = sim_course_word(course, SIM_B);
  assert_string_equal(to_a, "{\"go\":true,\"peer\":\"B\"}\n");
  assert_string_equal(to_b, "{\"go\":true,\"peer\":\"A\"}\n");
  free(to_a);
  free(to_b);
}

static void by_name_a_is_told_the_name(void **state) {
  sim_course *course = *state;
  course->how.by_name = true;
  both_ready(course);
  char *to_a = sim_course_word(course, SIM_A);
  assert_string_equal(to_a, "{\"go\":true,\"peer\":\"bob\"}\n");
  free(to_a);
}

static void by_name_b_must_have_one(void **state) {
  sim_course *course = *state;
  course->how.by_name = true;
  sim_course_line(course, SIM_B, "{\"event\":\"ready\",\"address\":\"B\"}", 1100);
  expect_end(course, SIM_ERROR, "b was ready without telling its name");
}

static void an_echo_that_differs_is_a_failure(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_line(course, SIM_A, connected, 1300);
  sim_course_line(course, SIM_A, "{\"event\":\"echo\",\"ok\":false}", 1325);
  expect_end(course, SIM_FAILED, "the echo came back wrong");
  assert_false(course->result.echo_ok);
}

static void an_echo_that_never_comes_is_a_failure(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_line(course, SIM_A, connected, 1300);
  sim_course_time(course, 1300 + SIM_ECHO_LIMIT_MS - 1);
  assert_int_equal(course->state, SIM_ECHOING);
  sim_course_time(course, 1300 + SIM_ECHO_LIMIT_MS);
  expect_end(course, SIM_FAILED, "no echo within");
}

static void an_echo_before_the_connection_is_none(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_line(course, SIM_A, "{\"event\":\"echo\",\"ok\":true}", 1325);
  assert_int_equal(course->state, SIM_CONNECTING);
}

static void failures_keep_their_reason_and_report(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_line(course, SIM_A,
                  "{\"event\":\"failed\",\"reason\":\"WARP_ALL_FAILED\",\"report\":[{}]}", 1500);
  expect_end(course, SIM_FAILED, "WARP_ALL_FAILED");
  assert_int_equal(json_array_size(course->result.attempts[SIM_A]), 1);
}

static void a_peer_that_cannot_start_is_a_failure(void **state) {
  sim_course *course = *state;
  sim_course_line(course, SIM_B, "{\"event\":\"failed\",\"reason\":\"no broker\"}", 1100);
  expect_end(course, SIM_FAILED, "b: no broker (before it was ready)");
}

static void nobody_ready_is_an_error(void **state) {
  sim_course *course = *state;
  sim_course_line(course, SIM_A, "{\"event\":\"ready\",\"address\":\"A\"}", 1200);
  sim_course_time(course, 1000 + SIM_READY_LIMIT_MS);
  expect_end(course, SIM_ERROR, "b was not ready");
}

static void a_silent_peer_runs_out_of_time(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_time(course, 1200 + TIMEOUT_S * 1000); /* its own timeout; it may still speak */
  assert_int_equal(course->state, SIM_CONNECTING);
  sim_course_time(course, 1200 + TIMEOUT_S * 1000 + SIM_MARGIN_MS);
  expect_end(course, SIM_FAILED, "timeout of 10 s");
}

static void a_peer_that_ends_is_an_error(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_ended(course, SIM_B, "signal 11, Segmentation fault", "last words");
  expect_end(course, SIM_ERROR,
             "b ended while connecting (signal 11, Segmentation fault): last words");
}

static void malformed_lines_are_errors(void **state) {
  static const char *const lines[] = {"no JSON",
                                      "[]",
                                      "{}",
                                      "{\"event\":5}",
                                      "{\"event\":\"\"}",
                                      "\"event\"",
                                      "{\"event\":\"ready\"",
                                      "\xff\xfe"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    sim_course *course = *state;
    course->state = SIM_STARTING;
    sim_course_line(course, SIM_A, lines[i], 1100);
    expect_end(course, SIM_ERROR, "a printed what is no event");
  }
}

static void incomplete_connections_are_errors(void **state) {
  static const char *const lines[] = {
      "{\"event\":\"connected\"}",
      "{\"event\":\"connected\",\"path\":\"magic\",\"transport\":\"udp\",\"family\":4}",
      "{\"event\":\"connected\",\"path\":\"direct\",\"transport\":\"sctp\",\"family\":4}",
      "{\"event\":\"connected\",\"path\":\"direct\",\"transport\":\"udp\",\"family\":5}",
      "{\"event\":\"connected\",\"path\":\"direct\",\"transport\":\"udp\",\"family\":\"4\"}"};
  sim_course *course = *state;
  both_ready(course);
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    course->state = SIM_CONNECTING;
    sim_course_line(course, SIM_A, lines[i], 1300);
    expect_end(course, SIM_ERROR, "without telling path, transport and family");
  }
}

static void unknown_events_are_passed_over(void **state) {
  sim_course *course = *state;
  sim_course_line(course, SIM_A, "{\"event\":\"start_phase\",\"ms\":3}", 1100);
  assert_int_equal(course->state, SIM_STARTING);
}

static void a_lookup_is_told_apart(void **state) {
  sim_course *course = *state;
  both_ready(course);
  sim_course_line(course, SIM_A,
                  "{\"event\":\"connected\",\"path\":\"relay\",\"transport\":\"tcp\",\"family\":6,"
                  "\"winner\":\"turn\",\"lookup_ms\":41.5}",
                  1400);
  assert_int_equal(course->state, SIM_ECHOING);
  assert_true(course->result.lookup_ms == 41.5);
  assert_string_equal(course->result.path, "relay");
}

static void crossing_connects_must_both_echo(void **state) {
  sim_course *course = *state;
  course->how.cross = true;
  both_ready(course);
  sim_course_line(course, SIM_B, "{\"event\":\"echo\",\"ok\":true}", 1290);
  sim_course_line(course, SIM_A, connected, 1300);
  assert_int_equal(course->state, SIM_ECHOING);
  sim_course_line(course, SIM_A, "{\"event\":\"echo\",\"ok\":true}", 1310);
  expect_end(course, SIM_CONNECTED, "");
  assert_true(course->result.echo_ok);
  sim_course_line(course, SIM_A, "{\"event\":\"pipes\",\"count\":1}", 1320);
  expect_end(course, SIM_CONNECTED, "");
}

static void crossing_connects_must_come_to_one_pipe(void **state) {
  sim_course *course = *state;
  course->how.cross = true;
  both_ready(course);
  sim_course_line(course, SIM_A, connected, 1300);
  sim_course_line(course, SIM_A, "{\"event\":\"echo\",\"ok\":true}", 1310);
  assert_int_equal(course->state, SIM_ECHOING);
  sim_course_line(course, SIM_B, "{\"event\":\"echo\",\"ok\":true}", 1320);
  expect_end(course, SIM_CONNECTED, "");
  sim_course_line(course, SIM_B, "{\"event\":\"pipes\",\"count\":2}", 1330);
  expect_end(course, SIM_FAILED, "b came to 2 pipes");
}

#define COURSE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      COURSE_TEST(a_good_course_connects),
      COURSE_TEST(each_is_told_the_other),
      COURSE_TEST(by_name_a_is_told_the_name),
      COURSE_TEST(by_name_b_must_have_one),
      COURSE_TEST(an_echo_that_differs_is_a_failure),
      COURSE_TEST(an_echo_that_never_comes_is_a_failure),
      COURSE_TEST(an_echo_before_the_connection_is_none),
      COURSE_TEST(failures_keep_their_reason_and_report),
      COURSE_TEST(a_peer_that_cannot_start_is_a_failure),
      COURSE_TEST(nobody_ready_is_an_error),
      COURSE_TEST(a_silent_peer_runs_out_of_time),
      COURSE_TEST(a_peer_that_ends_is_an_error),
      COURSE_TEST(malformed_lines_are_errors),
      COURSE_TEST(incomplete_connections_are_errors),
      COURSE_TEST(unknown_events_are_passed_over),
      COURSE_TEST(a_lookup_is_told_apart),
      COURSE_TEST(crossing_connects_must_both_echo),
      COURSE_TEST(crossing_connects_must_come_to_one_pipe),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
