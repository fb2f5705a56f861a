/* Plugins from outside: which of a folder are taken, and why the others are not. */
#include "testing.h"

#include "peers.h"
#include <stdio.h>
#include <warpgate/plugin.h>

/* ---- a good one ------------------------------------------------------------------------------ */

static uint64_t port_seen; /* what the setting was when the attempt ran */

static int knock(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  if (warp_attempt_role(attempt) == WARP_RESPONDER) {
    warp_attempt_expect(attempt);
    return WARP_OK;
  }
  port_seen = warp_attempt_setting(attempt, "port");
  return warp_attempt_dial(attempt, &warp_attempt_combo(attempt)->peer->external_tcp);
}

static const warp_setting knock_settings[] = {
    {"port", 7, 0, 65535, "a port"},
    {NULL, 0, 0, 0, NULL},
};

static unsigned setups;

static int count_setup(void) {
  setups++;
  return WARP_OK;
}

static const warp_plugin good = {.interface_version = WARP_PLUGIN_VERSION,
                                 .name = "knock",
                                 .phase = WARP_PHASE_DIRECT,
                                 .transports = WARP_TCP,
                                 .route_types = WARP_EXT_BIND,
                                 .timeout_ms = 5000,
                                 .settings = knock_settings,
                                 .setup = count_setup,
                                 .run = knock};

static const warp_plugin *get_good(void) {
  return &good;
}

/* ---- the rig --------------------------------------------------------------------------------- */

static char last_error[WG_LOG_LINE];

static void on_log(void *arg, warp_log_level level, const char *line) {
  (void)arg;
  if (level <= WARP_LOG_WARN && strncmp(line, "plugin ", 7) == 0)
    snprintf(last_error, sizeof last_error, "%s", line);
}

static void build(peers *both, const sim_module *modules, size_t count) {
  last_error[0] = '\0';
  peers_build(both, "port-restricted", "open", 1);
  peer *sides[] = {&both->a, &both->b};
  for (size_t i = 0; i < 2; i++) {
    sides[i]->conf.plugin_dir = "plugins";
    sides[i]->conf.on_log = on_log;
    sim_host_set_modules(sides[i]->host, modules, count);
  }
}

/* The status of the start step, whose line is not kept. */
static int step_status(const peer *self) {
  for (size_t i = 0; i < self->phase_count; i++) {
    if (self->phases[i].phase == WARP_START_SETUP_TRAVERSAL_PLUGINS)
      return self->phases[i].status;
  }
  return 1;
}

/* Both start with these modules, connect by `plugins` and echo. */
static void assert_connects(const sim_module *modules, size_t count, const char *plugins) {
  peers both;
  build(&both, modules, count);
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.plugins = plugins});
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_echo(&both);
  peers_free(&both);
}

/* ---- loading --------------------------------------------------------------------------------- */

static void test_a_good_one_wins(void **state) {
  (void)state;
  static const sim_module modules[] = {{"knock.so", (void *)get_good, NULL}};
  static const char *const settings[] = {"knock.port=4711", NULL};
  peers both;
  setups = 0;
  build(&both, modules, 1);
  both.a.conf.settings = settings;
  peers_start(&both);
  assert_int_equal(step_status(&both.a), WARP_OK);
  assert_int_equal(setups, 2); /* once for each node */
  peers_connect(&both, &(warp_connect_options){.plugins = "knock"});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "knock");
  assert_int_equal(port_seen, 4711);
  peers_echo(&both);
  peers_free(&both);
}

/* It takes part in the race like any other, and its peer need not have it. */
static void test_a_peer_without_it(void **state) {
  (void)state;
  static const sim_module modules[] = {{"knock.so", (void *)get_good, NULL}};
  peers both;
  build(&both, modules, 1);
  sim_host_set_modules(both.b.host, modules, 0);
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "direct_connect");
  assert_non_null(peer_row(&both.a, "knock", WARP_EXT_BIND));
  peers_free(&both);
}

static void test_settings_wait_for_their_plugins(void **state) {
  (void)state;
  static const sim_module modules[] = {{"knock.so", (void *)get_good, NULL}};
  static const char *const wrong[] = {"knock.port=70000", NULL};
  peers both;
  build(&both, modules, 1);
  both.a.conf.settings = wrong;
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_INVALID);
  peers_free(&both);
}

static void test_no_folder(void **state) {
  (void)state;
  peers both;
  build(&both, NULL, 0);
  peers_start(&both);
  assert_int_equal(step_status(&both.a), WARP_NOT_FOUND);
  assert_non_null(strstr(last_error, "plugins"));
  peers_free(&both);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static int fail_setup(void) {
  return WARP_UNSUPPORTED;
}

#define NO_MORE                                                                                    \
  { NULL, 0, 0, 0, NULL }
static const warp_setting endless[] = {{"a", 0, 0, 1, "same"}, {"a", 0, 0, 1, "same"}, NO_MORE};
static const warp_setting off_range[] = {{"a", 5, 0, 1, "five"}, NO_MORE};
static const warp_setting helpless[] = {{"a", 0, 0, 1, NULL}, NO_MORE};

#define LIKE_GOOD(...)                                                                             \
  {                                                                                                \
    .interface_version = WARP_PLUGIN_VERSION, .name = "bad", .phase = WARP_PHASE_DIRECT,           \
    .transports = WARP_TCP, .route_types = WARP_EXT_BIND, .timeout_ms = 1000, .run = knock,        \
    __VA_ARGS__                                                                                    \
  }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#endif
static const struct {
  const char *why; /* part of what is said */
  int status;
  warp_plugin plugin;
} refused[] = {
    {"version 1 of the interface", WARP_VERSION, LIKE_GOOD(.interface_version = 1)},
    {"its name is none", WARP_INVALID, LIKE_GOOD(.name = NULL)},
    {"its name is none", WARP_INVALID, LIKE_GOOD(.name = "")},
    {"its name is none", WARP_INVALID, LIKE_GOOD(.name = "Bad-One")},
    {"its name is none", WARP_INVALID, LIKE_GOOD(.name = "auto")},
    {"its name is none", WARP_INVALID, LIKE_GOOD(.name = "a234567890123456789012_4")},
    {"a plugin turn already", WARP_NAME_TAKEN, LIKE_GOOD(.name = "turn")},
    {"`run` is NULL", WARP_INVALID, LIKE_GOOD(.run = NULL)},
    {"no phase 9", WARP_INVALID, LIKE_GOOD(.phase = (warp_phase)9)},
    {"transports 0x4", WARP_INVALID, LIKE_GOOD(.transports = 4)},
    {"what answers it at the peer", WARP_INVALID, LIKE_GOOD(.answered_by = "A")},
    {"route types 0x0", WARP_INVALID, LIKE_GOOD(.route_types = 0)},
    {"timeout of 0 ms", WARP_INVALID, LIKE_GOOD(.timeout_ms = 0)},
    {"timeout of 180001 ms", WARP_INVALID, LIKE_GOOD(.timeout_ms = 180001)},
    {"bytes of state", WARP_INVALID, LIKE_GOOD(.state_size = SIZE_MAX)},
    {"setting 1 has no name of its own", WARP_INVALID, LIKE_GOOD(.settings = endless)},
    {"out of its own range", WARP_INVALID, LIKE_GOOD(.settings = off_range)},
    {"has no help", WARP_INVALID, LIKE_GOOD(.settings = helpless)},
    {"its setup failed", WARP_UNSUPPORTED, LIKE_GOOD(.setup = fail_setup)},
};
#pragma GCC diagnostic pop

static const warp_plugin *to_refuse;

static const warp_plugin *get_refused(void) {
  return to_refuse;
}

static void assert_refused(const sim_module *module, int status, const char *why) {
  peers both;
  build(&both, module, 1);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  assert_int_equal(step_status(&both.a), status);
  assert_non_null(strstr(last_error, why));
  peers_free(&both);
}

static void test_what_is_no_plugin_of_ours_is_left_out(void **state) {
  (void)state;
  static const sim_module module = {"bad.so", (void *)get_refused, NULL};
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    to_refuse = &refused[i].plugin;
    assert_refused(&module, refused[i].status, refused[i].why);
  }
  to_refuse = NULL;
  assert_refused(&module, WARP_INVALID, "gave no plugin");
  static const sim_module broken = {"bad.so", NULL, "file too short"};
  assert_refused(&broken, WARP_INVALID, "bad.so is left out: file too short");
}

/* The others of the folder are taken all the same, the first of two with one name. */
static void test_one_bad_apple(void **state) {
  (void)state;
  static const sim_module modules[] = {{"a.so", NULL, "file too short"},
                                       {"b.so", (void *)get_good, NULL},
                                       {"c.so", (void *)get_good, NULL}};
  assert_connects(modules, 3, "knock");
  assert_non_null(strstr(last_error, "c.so is left out: there is a plugin knock already"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_good_one_wins),
      cmocka_unit_test(test_a_peer_without_it),
      cmocka_unit_test(test_settings_wait_for_their_plugins),
      cmocka_unit_test(test_no_folder),
      cmocka_unit_test(test_what_is_no_plugin_of_ours_is_left_out),
      cmocka_unit_test(test_one_bad_apple),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
