/* Nodes that start and connect while memory runs out. */
#include "nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct meeting {
  const char *profile_a, *profile_b;
  warp_connect_options options;
} meeting;

static void build(oom_nodes *both, const meeting *how) {
  oom_nodes_build(both, how->profile_a, how->profile_b);
}

static void start(void *arg) {
  oom_nodes both;
  build(&both, arg);
  oom_node_start(&both.a);
  oom_nodes_free(&both);
}

static void explained(void *arg, const warp_report *report) {
  oom_node *self = arg;
  assert_non_null(report);
  assert_false(self->connecting);
  self->explained++;
}

static void meet(void *arg) {
  meeting how = *(const meeting *)arg;
  oom_nodes both;
  build(&both, &how);
  oom_hold(true);
  assert_true(oom_nodes_start(&both));
  oom_hold(false);
  how.options.on_explained = explained;
  oom_nodes_connect(&both, &how.options);
  assert_int_equal(sim_run_for(both.net.world, 3 * SIM_SECOND), WARP_OK);
  assert_int_equal(both.a.explained, both.a.connects);
  oom_nodes_free(&both);
}

static void start_and_meet(void *arg) {
  const meeting *how = arg;
  oom_nodes both;
  build(&both, how);
  if (oom_nodes_start(&both))
    oom_nodes_connect(&both, &how->options);
  oom_nodes_free(&both);
}

/* The address changes meanwhile. */
static void change(void *arg) {
  const meeting *how = arg;
  oom_nodes both;
  build(&both, how);
  oom_hold(true);
  assert_true(oom_nodes_start(&both));
  oom_hold(false);
  sim_host_remove_address(both.net.a, "192.0.2.2");
  sim_host_add_address(both.net.a, "192.0.2.3/25");
  assert_int_equal(sim_run_for(both.net.world, 3 * SIM_SECOND), WARP_OK);
  oom_nodes_connect(&both, &how->options);
  oom_nodes_free(&both);
}

static void cross(void *arg) {
  const meeting *how = arg;
  oom_nodes both;
  build(&both, how);
  oom_hold(true);
  assert_true(oom_nodes_start(&both));
  oom_hold(false);
  oom_nodes_cross(&both, &how->options);
  oom_nodes_free(&both);
}

static void rendezvous(void *arg) {
  oom_nodes both;
  build(&both, arg);
  oom_hold(true);
  assert_true(oom_nodes_start(&both));
  oom_hold(false);
  oom_nodes_rendezvous(&both);
  oom_nodes_free(&both);
}

/* One network for both: each has to prove that it is where it says. */
static void meet_at_home(void *arg) {
  const meeting *how = arg;
  oom_nodes both;
  build(&both, how);
  oom_hold(true);
  sim_host_join(both.net.b, both.net.site_a, "10.0.1.9/24");
  assert_true(oom_nodes_start(&both));
  oom_hold(false);
  oom_nodes_connect(&both, &how->options);
  oom_nodes_free(&both);
}

static void walk(const char *name, void (*scenario)(void *), const char *a, const char *b,
                 const warp_connect_options *options, unsigned most) {
  meeting how = {.profile_a = a, .profile_b = b};
  if (options != NULL)
    how.options = *options;
  oom_run(&(oom_walk){.name = name, .scenario = scenario, .arg = &how, .most = most});
}

static void test_start(void **state) {
  (void)state;
  walk("start", start, "port-restricted", "open", NULL, 0);
}

static void test_direct(void **state) {
  (void)state;
  static const warp_connect_options direct = {.plugins = "direct_connect"},
                                    reverse = {.plugins = "reverse_connect"};
  walk("direct_connect", meet, "open", "open", &direct, 0);
  walk("reverse_connect", meet, "open", "port-restricted", &reverse, 0);
  walk("an awaited pipe", rendezvous, "open", "open", NULL, 0);
  walk("in one network", meet_at_home, "symmetric", "symmetric", &direct, 0);
}

static void test_punch(void **state) {
  (void)state;
  static const warp_connect_options udp = {.plugins = "udp_punch"}, tcp = {.plugins = "tcp_punch"};
  static const char *const profile = "port-restricted", *const foretold = "apd-apd+sequential";
  walk("tcp_punch", meet, profile, profile, &tcp, 0);
  walk("udp_punch", meet, profile, profile, &udp, 0);
  walk("tcp_punch, foretold", meet, foretold, profile, &tcp, 0);
  walk("udp_punch, foretold", meet, foretold, profile, &udp, 0);
}

static void test_guesses(void **state) {
  (void)state;
  static const warp_connect_options udp = {.plugins = "random_probe", .transports = WARP_UDP},
                                    tcp = {.plugins = "random_probe", .transports = WARP_TCP};
  walk("random_probe, UDP", meet, "symmetric", "port-restricted", &udp, 60);
  walk("random_probe, TCP", meet, "symmetric", "port-restricted", &tcp, 60);
}

static void test_relays(void **state) {
  (void)state;
  static const warp_connect_options relay = {.plugins = "turn"};
  walk("turn, UDP", meet, "symmetric", "symmetric", &relay, 0);
  walk("turn, TCP", meet, "symmetric+no-udp", "symmetric+no-udp", &relay, 0);
}

static void test_race(void **state) {
  (void)state;
  static const warp_connect_options soon = {.grace_ms = 300};
  walk("race", start_and_meet, "port-restricted", "port-restricted", NULL, 0);
  walk("race to a relay", start_and_meet, "symmetric", "symmetric", &soon, 100);
}

static void test_change(void **state) {
  (void)state;
  static const warp_connect_options direct = {.plugins = "direct_connect"};
  walk("another address", change, "open", "open", &direct, 0);
}

static void test_crossing(void **state) {
  (void)state;
  static const warp_connect_options udp = {.plugins = "udp_punch"};
  walk("crossing", cross, "open", "open", NULL, 0);
  walk("crossing, punched", cross, "port-restricted", "port-restricted", &udp, 0);
}

/* A failed allocation inside OpenSSL may show as anything that a broken handshake shows as. */
static void test_openssl(void **state) {
  (void)state;
  static const struct {
    const char *name, *plugin, *profile;
    void (*scenario)(void *);
  } cases[] = {
      {"start, inside OpenSSL", NULL, "open", start},
      {"direct_connect, inside OpenSSL", "direct_connect", "open", meet},
      {"udp_punch, inside OpenSSL", "udp_punch", "port-restricted", meet},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    meeting how = {.profile_a = cases[i].profile, .profile_b = cases[i].profile};
    how.options.plugins = cases[i].plugin;
    oom_run(&(oom_walk){.name = cases[i].name,
                        .scenario = cases[i].scenario,
                        .arg = &how,
                        .kinds = OOM_OPENSSL,
                        .most = 100});
  }
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_start),   cmocka_unit_test(test_direct),
      cmocka_unit_test(test_punch),   cmocka_unit_test(test_guesses),
      cmocka_unit_test(test_relays),  cmocka_unit_test(test_race),
      cmocka_unit_test(test_change),  cmocka_unit_test(test_crossing),
      cmocka_unit_test(test_openssl),
  };
  return cmocka_run_group_tests_name("connects", tests, NULL, NULL);
}
