/* The built-in plugins and the lists that choose among them. */
#include "connect/plugin_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_every_plugin_keeps_the_contract(void **state) {
  (void)state;
  size_t count = 0;
  for (; wg_plugin_table[count] != NULL; count++) {
    const warp_plugin *plugin = wg_plugin_table[count];
    assert_int_equal(plugin->interface_version, WARP_PLUGIN_VERSION);
    assert_true(strlen(plugin->name) > 0 && strlen(plugin->name) < 24);
    assert_int_equal(strspn(plugin->name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                     strlen(plugin->name));
    assert_true((plugin->transports & ~(unsigned)(WARP_TCP | WARP_UDP)) == 0);
    assert_true(plugin->transports != 0 || plugin->phase == WARP_PHASE_NONE);
    assert_true(plugin->route_types != 0);
    assert_true(plugin->timeout_ms > 0);
    assert_non_null(plugin->run);
    assert_ptr_equal(wg_plugin_find(wg_plugin_table, plugin->name), plugin);
  }
  assert_true(count >= 4);
}

static void test_lists(void **state) {
  (void)state;
  const warp_plugin *direct = wg_plugin_find(wg_plugin_table, "direct_connect");
  const warp_plugin *punch = wg_plugin_find(wg_plugin_table, "udp_punch");
  assert_non_null(direct);
  assert_non_null(punch);
  assert_true(wg_plugin_selected(NULL, direct));
  assert_true(wg_plugin_selected("auto", punch));
  assert_true(wg_plugin_selected("udp_punch", punch));
  assert_false(wg_plugin_selected("udp_punch", direct));
  assert_true(wg_plugin_selected("direct_connect,udp_punch", punch));
  assert_false(wg_plugin_selected("udp_punc", punch));
  assert_false(wg_plugin_selected("udp_punch2", punch));
  assert_false(wg_plugin_selected("", punch));
}

static void test_unknown_names_are_found_out(void **state) {
  (void)state;
  assert_int_equal(wg_plugin_names_check(wg_plugin_table, NULL), WARP_OK);
  assert_int_equal(wg_plugin_names_check(wg_plugin_table, "auto"), WARP_OK);
  assert_int_equal(wg_plugin_names_check(wg_plugin_table, "turn,udp_punch"), WARP_OK);
  assert_int_equal(wg_plugin_names_check(wg_plugin_table, "turn,magic"), WARP_NOT_FOUND);
  assert_int_equal(wg_plugin_names_check(wg_plugin_table, "turn,"), WARP_OK);
  assert_int_equal(wg_plugin_names_check(wg_plugin_table, ",turn"), WARP_NOT_FOUND);
  assert_int_equal(wg_plugin_names_check(wg_plugin_table, ""), WARP_NOT_FOUND);
  assert_null(wg_plugin_find(wg_plugin_table, "magic"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_plugin_keeps_the_contract),
      cmocka_unit_test(test_lists),
      cmocka_unit_test(test_unknown_names_are_found_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
