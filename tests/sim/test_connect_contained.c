/* Plugins that break the contract cost their own attempt and nothing else, and are named. */
#include "plugins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char logged[4096];
static unsigned stops;

static void on_log(void *arg, warp_log_level level, const char *line) {
  (void)arg;
  if (level == WARP_LOG_WARN && strlen(logged) + strlen(line) + 2 < sizeof logged)
    sprintf(logged + strlen(logged), "%s\n", line);
}

static void on_stop(warp_attempt *attempt) {
  (void)attempt;
  stops++;
}

#define BAD_PLUGIN                                                                                 \
  .interface_version = WARP_PLUGIN_VERSION, .phase = WARP_PHASE_DIRECT, .transports = WARP_UDP,    \
  .route_types = WARP_EXT_BIND, .stop = on_stop

/* Each runs alone before the relay, which has to be reached in spite of it. */
static const warp_report_row *run_with(peers *both, const warp_plugin *bad, uint64_t seed,
                                       const warp_connect_options *options) {
  const warp_plugin *list[] = {bad, plugin_named("turn"), NULL};
  logged[0] = '\0';
  stops = 0;
  peers_build(both, "port-restricted", "port-restricted", seed);
  both->a.conf.on_log = on_log;
  peers_start(both);
  peer_set_plugins(&both->a, list);
  peers_connect(both, options);
  return peer_row(&both->a, bad->name, WARP_EXT_BIND);
}

static void check(const warp_plugin *bad, uint64_t seed, int status, const char *said) {
  peers both;
  const warp_report_row *row = run_with(&both, bad, seed, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "turn");
  assert_int_equal(row->status, status);
  if (strstr(row->detail, said) == NULL)
    fail_msg("\"%s\" is not in \"%s\"", said, row->detail);
  assert_int_equal(stops, 1);
  peers_echo(&both);
  peers_free(&both);
}

/* ---- returning what is no status ---------------------------------------------------------------
 */

static int run_seven(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)attempt;
  (void)type;
  (void)message;
  (void)len;
  return 7;
}

static void test_unknown_status(void **state) {
  (void)state;
  static const warp_plugin bad = {BAD_PLUGIN, .name = "bad_status", .run = run_seven};
  check(&bad, 1, WARP_IO, "the plugin gave 7 to its run");
  assert_non_null(strstr(logged, "bad_status gave 7"));
}

static int run_fails_well(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  warp_attempt_fail(attempt, WARP_OK, "all is well");
  return WARP_OK;
}

static void test_failing_with_ok(void **state) {
  (void)state;
  static const warp_plugin bad = {BAD_PLUGIN, .name = "bad_ok", .run = run_fails_well};
  check(&bad, 2, WARP_IO, "gave 0 to warp_attempt_fail");
}

static int check_nine(const warp_combo *combo, char *why, size_t room) {
  (void)combo;
  (void)why;
  (void)room;
  return -999;
}

static void test_unknown_verdict(void **state) {
  (void)state;
  static const warp_plugin bad = {BAD_PLUGIN, .name = "bad_check", .check = check_nine,
                                  .run = run_seven};
  peers both;
  const warp_report_row *row = run_with(&both, &bad, 3, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(row->status, WARP_RULED_OUT);
  assert_non_null(strstr(row->detail, "-999"));
  assert_int_equal(stops, 0);
  peers_free(&both);
}

/* ---- ending too often, and going on after the end ----------------------------------------------
 */

static int run_twice(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  warp_attempt_fail(attempt, WARP_REFUSED, "the first reason");
  warp_attempt_fail(attempt, WARP_TIMEOUT, "the second reason");
  return WARP_RESET;
}

static void test_completes_twice(void **state) {
  (void)state;
  static const warp_plugin bad = {BAD_PLUGIN, .name = "bad_twice", .run = run_twice};
  check(&bad, 4, WARP_REFUSED, "the first reason; the plugin ended it a second time");
  assert_non_null(strstr(logged, "bad_twice ended it a second time"));
}

static void never(warp_attempt *attempt) {
  (void)attempt;
  fail_msg("a timer of an attempt that has ended");
}

static int run_on(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  warp_udp_socket *socket;
  warp_tcp_port *port;
  warp_path *path;
  warp_addr to = warp_attempt_combo(attempt)->peer->external_udp;
  warp_attempt_fail(attempt, WARP_REFUSED, "over");
  warp_attempt_note(attempt, "not over");
  warp_attempt_timer(attempt, 0, 1, never);
  assert_int_equal(warp_attempt_signal(attempt, 1, "x", 1), WARP_STATE);
  assert_int_equal(warp_attempt_udp(attempt, NULL, &socket), WARP_STATE);
  assert_int_equal(warp_attempt_tcp_port(attempt, true, &port), WARP_STATE);
  assert_int_equal(warp_attempt_path(attempt, NULL, NULL, &path), WARP_STATE);
  assert_int_equal(warp_attempt_dial(attempt, &to), WARP_STATE);
  assert_int_equal(warp_attempt_refresh(attempt, (const uint8_t *)"", 0), WARP_STATE);
  assert_false(warp_attempt_start_next(attempt));
  return WARP_OK;
}

static void test_goes_on_after_the_end(void **state) {
  (void)state;
  static const warp_plugin bad = {BAD_PLUGIN, .name = "bad_end", .run = run_on};
  check(&bad, 5, WARP_REFUSED, "over");
}

/* ---- never ending ------------------------------------------------------------------------------
 */

static int run_nothing(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)attempt;
  (void)type;
  (void)message;
  (void)len;
  return WARP_OK;
}

static void test_never_completes(void **state) {
  (void)state;
  static const warp_plugin brief = {BAD_PLUGIN, .name = "bad_idle", .timeout_ms = 1500,
                                    .run = run_nothing},
                           endless = {BAD_PLUGIN, .name = "bad_endless", .run = run_nothing};
  peers both;
  /* Its ceiling ends it, and the relay need not wait for the whole grace. */
  const warp_report_row *row = run_with(&both, &brief, 6, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(row->status, WARP_TIMEOUT);
  assert_in_range((both.a.connected_us - both.a.asked_us) / 1000, 1500, 1510);
  peers_free(&both);
  /* Without one, the call's own time does; the relay comes after the grace. */
  row = run_with(&both, &endless, 7, &(warp_connect_options){.grace_ms = 3000});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(row->status, WARP_CANCELED);
  assert_int_equal(stops, 1);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unknown_status),        cmocka_unit_test(test_failing_with_ok),
      cmocka_unit_test(test_unknown_verdict),       cmocka_unit_test(test_completes_twice),
      cmocka_unit_test(test_goes_on_after_the_end), cmocka_unit_test(test_never_completes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
