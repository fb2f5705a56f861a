/* Numbers that a person sets. */
#include "connect/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const warp_setting table_a[] = {
    {"sockets", 256, 1, 1024, "sockets"}, {"rate", 100, 1, 100000, "probes a second"}, {0}};
static const warp_setting table_b[] = {{"rate", 7, 0, 50, "of b"}, {0}};
static const warp_plugin plugin_a = {.name = "random", .settings = table_a};
static const warp_plugin plugin_b = {.name = "punch", .settings = table_b};
static const warp_plugin plugin_c = {.name = "plain"};
static const warp_plugin *const plugins[] = {&plugin_a, &plugin_b, &plugin_c, NULL};

static wg_settings settings;
static char why[160];

static int read_list(const char *const *list) {
  return wg_settings_read(&settings, list, plugins, why, sizeof why);
}

static void test_values(void **state) {
  (void)state;
  const char *const list[] = {"random.sockets=64", "punch.rate=0", "random.sockets=65", NULL};
  assert_int_equal(read_list(list), WARP_OK);
  assert_int_equal(wg_settings_get(&settings, table_a, "sockets"), 65); /* the later one */
  assert_int_equal(wg_settings_get(&settings, table_a, "rate"), 100);
  assert_int_equal(wg_settings_get(&settings, table_b, "rate"), 0);
  assert_int_equal(wg_settings_get(&settings, table_a, "socket"), 0);
  assert_int_equal(wg_settings_get(&settings, NULL, "rate"), 0);
  assert_int_equal(wg_settings_get(NULL, table_b, "rate"), 7);
  assert_int_equal(read_list(NULL), WARP_OK);
  assert_int_equal(wg_settings_get(&settings, table_a, "sockets"), 256);
}

static void test_refused(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "random",
      "random.sockets",
      "random=sockets.5",
      "random.sockets=",
      "random.sockets=0",
      "random.sockets=1025",
      "random.sockets=5 ",
      "random.sockets=-5",
      "random.sockets=0x10",
      "random.sockets=18446744073709551617",
      "random.socket=5",
      "random.socketss=5",
      "rando.sockets=5",
      "plain.rate=5",
      ".rate=5",
      "node.rate=5",
      "node.flows=0",
      "other.rate=5",
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    const char *const list[] = {"punch.rate=5", bad[i], NULL};
    why[0] = '\0';
    assert_int_equal(read_list(list), WARP_INVALID);
    assert_non_null(strstr(why, bad[i]));
  }
}

static wg_budget_limits limits_of(const char *first, const char *second) {
  const char *const list[] = {first, second, NULL};
  assert_int_equal(read_list(list), WARP_OK);
  return wg_settings_limits(&settings);
}

static void test_limits(void **state) {
  (void)state;
  wg_budget_limits limits = limits_of(NULL, NULL);
  assert_int_equal(limits.probes_per_s, 100);
  assert_int_equal(limits.flows, 512);
  assert_int_equal(limits.syns, 384);
  assert_int_equal(wg_settings_limits(NULL).probes_per_s, 100);
  /* Asking a plugin for more is a wish, for less it concerns only the plugin. */
  assert_int_equal(limits_of("random.rate=1000", NULL).probes_per_s, 1000);
  assert_int_equal(limits_of("random.rate=20", NULL).probes_per_s, 100);
  assert_int_equal(limits_of("random.rate=1000", "node.probes_per_s=200").probes_per_s, 200);
  assert_int_equal(limits_of("node.flows=9", "node.syns=8").flows, 9);
  assert_int_equal(limits_of("node.flows=9", "node.syns=8").syns, 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
