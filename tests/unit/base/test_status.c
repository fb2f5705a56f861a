/* Every status and enumeration has a name of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <warpgate/warpgate.h>

#include <cmocka.h>

static void test_statuses(void **state) {
  (void)state;
  for (int status = WARP_OK; status >= WARP_ALL_FAILED; status--) {
    assert_string_not_equal(warp_err_name(status), "WARP_UNKNOWN");
    assert_memory_equal(warp_err_name(status), "WARP_", 5);
    assert_true(strlen(warp_strerror(status)) > 3);
    for (int other = WARP_OK; other > status; other--) {
      assert_string_not_equal(warp_err_name(status), warp_err_name(other));
      assert_string_not_equal(warp_strerror(status), warp_strerror(other));
    }
  }
  assert_string_equal(warp_err_name(WARP_OK), "WARP_OK");
  assert_string_equal(warp_err_name(WARP_TIMEOUT), "WARP_TIMEOUT");
  assert_string_equal(warp_err_name(WARP_NAME_TAKEN), "WARP_NAME_TAKEN");
  static const int unknown[] = {1, WARP_ALL_FAILED - 1, -1000000, 1000000};
  for (size_t i = 0; i < 4; i++) {
    assert_string_equal(warp_err_name(unknown[i]), "WARP_UNKNOWN");
    assert_non_null(warp_strerror(unknown[i]));
  }
}

static void test_names(void **state) {
  (void)state;
  assert_string_equal(warp_start_phase_name(WARP_START_LOAD_NETWORK_INTERFACES),
                      "load_network_interfaces");
  assert_string_equal(warp_start_phase_name(WARP_START_SETUP_TRAVERSAL_PLUGINS),
                      "setup_traversal_plugins");
  for (int phase = WARP_START_LOAD_NETWORK_INTERFACES; phase <= WARP_START_SETUP_TRAVERSAL_PLUGINS;
       phase++) {
    assert_string_not_equal(warp_start_phase_name((warp_start_phase)phase), "unknown");
  }
  assert_string_equal(warp_start_phase_name((warp_start_phase)99), "unknown");
  static const char *const phases[] = {"none", "direct", "punch", "spray", "relay", "unknown"};
  for (int phase = WARP_PHASE_NONE; phase <= WARP_PHASE_RELAY + 1; phase++) {
    assert_string_equal(warp_phase_name((warp_phase)phase), phases[phase]);
  }
  assert_string_equal(warp_transport_name(WARP_TCP), "tcp");
  assert_string_equal(warp_transport_name(WARP_UDP), "udp");
  assert_string_equal(warp_transport_name((warp_transport)9), "unknown");
  assert_string_equal(warp_version(), WARPGATE_VERSION);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_statuses), cmocka_unit_test(test_names)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
