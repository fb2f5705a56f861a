/* Settings: one value, a file, the environment, and which of them counts. */
#include "cli/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char why[CLI_WHY_LEN];

static int take(cli_settings *settings, const char *name, const char *value) {
  why[0] = '\0';
  return cli_settings_take(settings, name, value, why);
}

static void servers_are_lists(void **state) {
  (void)state;
  cli_settings settings = {.port = 0};
  cli_servers *stun = &settings.servers[CLI_STUN];
  assert_false(stun->given);
  assert_int_equal(take(&settings, "stun", "a.example:1, [2001:db8::1]:2 ,b:3"), WARP_OK);
  assert_int_equal(take(&settings, "stun", "c:4"), WARP_OK);
  assert_true(stun->given);
  assert_int_equal(stun->count, 4);
  assert_string_equal(stun->text[1], "[2001:db8::1]:2");
  assert_string_equal(stun->text[3], "c:4");
  assert_int_equal(take(&settings, "stun", "d:5"), WARP_INVALID);
  assert_int_equal(take(&settings, "stun", "none"), WARP_OK);
  assert_true(stun->given);
  assert_int_equal(stun->count, 0);
}

static void turn_needs_credentials(void **state) {
  (void)state;
  cli_settings settings = {.port = 0};
  assert_int_equal(take(&settings, "turn", "a:1"), WARP_INVALID);
  assert_non_null(strstr(why, "user:password@host:port"));
  assert_int_equal(take(&settings, "turn", "user:pass@word@a:1"), WARP_OK);
  assert_string_equal(settings.servers[CLI_TURN].text[0], "user:pass@word@a:1");
  assert_int_equal(take(&settings, "broker", "user:password@a:1"), WARP_OK);
}

static void bad_values_are_refused(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"broker", ""},        {"broker", "host"},  {"broker", "host:0"}, {"broker", "a:1,"},
      {"broker", "host:x"},  {"names", "::1:80"}, {"port", ""},         {"port", "0"},
      {"port", "65536"},     {"port", "-1"},      {"port", "1 2"},      {"key", ""},
      {"key", "with/slash"}, {"key", "Capital"},  {"data", ""},         {"turn", ":@a:1"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    cli_settings settings = {.port = 0};
    assert_int_equal(take(&settings, bad[i][0], bad[i][1]), WARP_INVALID);
    assert_true(why[0] != '\0');
  }
  cli_settings settings = {.port = 0};
  char name[600];
  memset(name, 'k', sizeof name);
  name[CLI_KEY_NAME_LEN] = '\0';
  assert_int_equal(take(&settings, "key", name), WARP_INVALID);
  assert_int_equal(take(&settings, "key", name + 1), WARP_OK);
  memset(name, 'h', sizeof name);
  strcpy(name + sizeof name - 3, ":1");
  assert_int_equal(take(&settings, "broker", name), WARP_INVALID);
  assert_int_equal(take(&settings, "brokers", "a:1"), WARP_NOT_FOUND);
}

static void stronger_sources_replace(void **state) {
  (void)state;
  cli_settings weak = {.port = 0}, strong = {.port = 0};
  take(&weak, "broker", "weak:1,weak:2");
  take(&weak, "stun", "weak:3");
  take(&weak, "ntp", "weak");
  take(&weak, "turn", "u:p@weak:4");
  take(&weak, "key", "weak");
  take(&weak, "port", "1111");
  take(&strong, "broker", "strong:1");
  take(&strong, "turn", "none");
  take(&strong, "data", "/strong");
  cli_settings_overlay(&weak, &strong);
  assert_int_equal(weak.servers[CLI_BROKER].count, 1);
  assert_string_equal(weak.servers[CLI_BROKER].text[0], "strong:1");
  assert_string_equal(weak.servers[CLI_STUN].text[0], "weak:3");
  assert_string_equal(weak.servers[CLI_NTP].text[0], "weak");
  assert_int_equal(weak.servers[CLI_TURN].count, 0);
  assert_true(weak.servers[CLI_TURN].given);
  assert_string_equal(weak.data, "/strong");
  assert_string_equal(weak.key, "weak");
  assert_int_equal(weak.port, 1111);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int read_text(cli_settings *settings, const char *text, char path[64]) {
  strcpy(path, "/tmp/warpgate-settings-XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), strlen(text));
  close(fd);
  why[0] = '\0';
  int status = cli_settings_from_file(settings, path, why);
  unlink(path);
  return status;
}

static void files_are_read(void **state) {
  (void)state;
  cli_settings settings = {.port = 0};
  char path[64];
  assert_int_equal(read_text(&settings,
                             "# a comment\r\n"
                             "\n"
                             "  broker=a:1,b:2   # two of them\n"
                             "broker = user:pass#word@c:3\n"
                             "\tnames\t=\td:4\n"
                             "key = mine\n"
                             "port = 12345",
                             path),
                   WARP_OK);
  const cli_servers *brokers = &settings.servers[CLI_BROKER];
  assert_int_equal(brokers->count, 3);
  assert_string_equal(brokers->text[1], "b:2");
  assert_string_equal(brokers->text[2], "user:pass#word@c:3");
  assert_string_equal(settings.servers[CLI_NAMES].text[0], "d:4");
  assert_string_equal(settings.key, "mine");
  assert_int_equal(settings.port, 12345);
}

static void wrong_lines_are_named(void **state) {
  (void)state;
  cli_settings settings = {.port = 0};
  char path[64], expected[128];
  assert_int_equal(read_text(&settings, "\n#\nbroker a:1\n", path), WARP_INVALID);
  snprintf(expected, sizeof expected, "%s line 3: not a line", path);
  assert_memory_equal(why, expected, strlen(expected));
  assert_int_equal(read_text(&settings, "server = a:1\n", path), WARP_INVALID);
  assert_non_null(strstr(why, "line 1: no setting 'server'"));
  assert_int_equal(read_text(&settings, "= a:1\n", path), WARP_INVALID);
  assert_int_equal(read_text(&settings, "broker =\n", path), WARP_INVALID);
}

static void files_may_be_missing_or_no_files(void **state) {
  (void)state;
  cli_settings settings = {.port = 0};
  assert_int_equal(cli_settings_from_file(&settings, "/nonexistent/file", why), WARP_NOT_FOUND);
  assert_int_equal(cli_settings_from_file(&settings, "/", why), WARP_IO);
  assert_int_equal(cli_settings_from_file(&settings, "/dev/null", why), WARP_OK);
}

/* ---- the environment ------------------------------------------------------------------------- */

static void environment_is_read(void **state) {
  (void)state;
  cli_settings settings = {.port = 0};
  setenv("WARPGATE_BROKERS", "a:1,b:2", 1);
  setenv("WARPGATE_STUN", "", 1);
  setenv("WARPGATE_DATA", "/data", 1);
  assert_int_equal(cli_settings_from_environment(&settings, why), WARP_OK);
  assert_int_equal(settings.servers[CLI_BROKER].count, 2);
  assert_false(settings.servers[CLI_STUN].given);
  assert_string_equal(settings.data, "/data");
  setenv("WARPGATE_NAMES", "wrong", 1);
  assert_int_equal(cli_settings_from_environment(&settings, why), WARP_INVALID);
  assert_memory_equal(why, "WARPGATE_NAMES: ", 16);
  unsetenv("WARPGATE_NAMES");
}

static void configuration_path_follows_the_environment(void **state) {
  (void)state;
  char path[PATH_MAX];
  setenv("HOME", "/home/somebody", 1);
  unsetenv("XDG_CONFIG_HOME");
  cli_config_path(path);
  assert_string_equal(path, "/home/somebody/.config/warpgate/warpgate.conf");
  setenv("XDG_CONFIG_HOME", "relative", 1); /* to be ignored, says the specification */
  cli_config_path(path);
  assert_string_equal(path, "/home/somebody/.config/warpgate/warpgate.conf");
  setenv("XDG_CONFIG_HOME", "/etc/xdg", 1);
  cli_config_path(path);
  assert_string_equal(path, "/etc/xdg/warpgate/warpgate.conf");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(servers_are_lists),
      cmocka_unit_test(turn_needs_credentials),
      cmocka_unit_test(bad_values_are_refused),
      cmocka_unit_test(stronger_sources_replace),
      cmocka_unit_test(files_are_read),
      cmocka_unit_test(wrong_lines_are_named),
      cmocka_unit_test(files_may_be_missing_or_no_files),
      cmocka_unit_test(environment_is_read),
      cmocka_unit_test(configuration_path_follows_the_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
