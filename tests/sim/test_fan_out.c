/* The plugin that starts the attempts of a phase: all at once, or with a pause between two. */
#include "plugins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void give_up(warp_attempt *attempt) {
  warp_attempt_fail(attempt, WARP_TIMEOUT, "gave up by itself");
}

static int run_a_while(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  warp_attempt_timer(attempt, 0, 1500, give_up);
  return WARP_OK;
}

static int run_refused(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)attempt;
  (void)type;
  (void)message;
  (void)len;
  return WARP_UNREACHABLE;
}

#define TRIES(plugin_name, plugin_run)                                                             \
  {                                                                                                \
    .interface_version = WARP_PLUGIN_VERSION, .name = plugin_name, .phase = WARP_PHASE_SPRAY,      \
    .transports = WARP_UDP, .route_types = WARP_EXT_BIND, .timeout_ms = 60000, .run = plugin_run   \
  }

static const warp_plugin first = TRIES("first", run_a_while), second = TRIES("second", run_refused),
                         third = TRIES("third", run_a_while), fourth = TRIES("fourth", run_a_while);

/* a races three techniques of one phase, then the relay, which wins. */
static void race(peers *both, const char *setting, const warp_connect_options *options) {
  const char *settings[] = {setting, NULL};
  const warp_plugin *list[] = {plugin_named("fan_out"), &first, &second, &third, &fourth,
                               plugin_named("turn"),    NULL};
  peers_build(both, "port-restricted", "port-restricted", 1);
  both->a.conf.settings = settings;
  peers_start(both);
  peer_set_plugins(&both->a, list);
  peers_connect(both, options);
  assert_int_equal(both->a.connect_status, WARP_OK);
  assert_string_equal(both->a.info.plugin, "turn");
}

static int started(const peers *both, const char *plugin) {
  const warp_report_row *row = peer_row(&both->a, plugin, WARP_EXT_BIND);
  assert_non_null(row);
  return (int)row->start_ms;
}

static void test_all_at_once(void **state) {
  (void)state;
  peers both;
  race(&both, NULL, NULL);
  assert_int_equal(started(&both, "first"), 0);
  assert_int_equal(started(&both, "second"), 0);
  assert_int_equal(started(&both, "third"), 0);
  assert_int_equal(started(&both, "turn"), 200);
  assert_null(peer_row(&both.a, "fan_out", WARP_EXT_BIND));
  peers_free(&both);
}

static void test_a_pause_between_two(void **state) {
  (void)state;
  peers both;
  race(&both, "fan_out.stagger_ms=30", NULL);
  assert_int_equal(started(&both, "first"), 0);
  assert_int_equal(started(&both, "second"), 30);
  assert_int_equal(started(&both, "third"), 60); /* though the second one failed at once */
  assert_int_equal(started(&both, "fourth"), 90);
  assert_int_equal(started(&both, "turn"), 200);
  peers_free(&both);
}

/* What still waits when the relay's turn has come starts then; in strict order there is time. */
static void test_a_pause_holds_nothing_up(void **state) {
  (void)state;
  peers both;
  race(&both, "fan_out.stagger_ms=150", NULL);
  assert_int_equal(started(&both, "second"), 150);
  assert_int_equal(started(&both, "third"), 200);
  assert_int_equal(started(&both, "fourth"), 200);
  assert_true(started(&both, "turn") <= 400);
  peers_free(&both);
  race(&both, "fan_out.stagger_ms=150", &(warp_connect_options){.strict = true});
  assert_int_equal(started(&both, "third"), 300);
  assert_int_equal(started(&both, "fourth"), 450);
  assert_int_equal(started(&both, "turn"), 1950);
  peers_free(&both);
}

static void test_it_is_no_technique(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 2);
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.plugins = "fan_out"});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "fan_out", WARP_EXT_BIND);
  assert_non_null(row);
  assert_int_equal(row->status, WARP_RULED_OUT);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_at_once),
      cmocka_unit_test(test_a_pause_between_two),
      cmocka_unit_test(test_a_pause_holds_nothing_up),
      cmocka_unit_test(test_it_is_no_technique),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
