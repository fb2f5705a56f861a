/* random_probe over TCP, in virtual time: who opens, who guesses, what it costs. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const warp_connect_options only_guess = {
    .plugins = "random_probe", .transports = WARP_TCP, .no_relay = true};

static void build(peers *both, const char *a, const char *b, const char *change, uint64_t seed) {
  char name_a[64], name_b[64];
  snprintf(name_a, sizeof name_a, "%s%s", a, change);
  snprintf(name_b, sizeof name_b, "%s%s", b, change);
  peers_build(both, name_a, name_b, seed);
  peers_start(both);
}

static void check_cell(const char *a, const char *b, const char *change, uint64_t seed) {
  peers both;
  build(&both, a, b, change, seed);
  uint64_t before = sim_world_trace(both.net.world).packets;
  peers_connect(&both, &only_guess);
  unsigned took = (unsigned)((both.a.connected_us - both.a.asked_us) / 1000);
  print_message("%s x %s%s: %s after %u ms\n", a, b, change, warp_strerror(both.a.connect_status),
                took);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "random_probe");
  assert_int_equal(both.a.info.transport, WARP_TCP);
  /* 2048 guesses at 100 a second, and a second and a half for messages and handshakes. */
  assert_in_range(took, 0, 22000);
  /* One packet a guess, one an open port every 8 s, and what filters answer. */
  uint64_t rounds = 1 + took / 8000;
  assert_in_range(sim_world_trace(both.net.world).packets - before, 256,
                  2 * (100 * (uint64_t)took / 1000 + 256 * rounds) + 300);
  peers_echo(&both);
  peers_free(&both);
}

static const char *const hard[] = {"ei-apd", "ad-ad", "ad-apd", "apd-ad", "apd-apd"};
enum { HARD = sizeof hard / sizeof hard[0] };

/* All 20 of the 25 pairs that are in reach and need a guess. */
static void check_grid(const char *change, uint64_t seed) {
  for (size_t i = 0; i < HARD * HARD; i++) {
    size_t a = i / HARD, b = i % HARD;
    bool plain = a == 0 && b == 0, out = (a == 2 || a == 4) && (b == 2 || b == 4);
    if (!plain && !out)
      check_cell(hard[a], hard[b], change, seed + i);
  }
}

static void test_grid(void **state) {
  (void)state;
  check_grid("", 100);
}

static void test_grid_resets(void **state) {
  (void)state;
  check_grid("+reset", 200);
}

static void test_budget_is_spent(void **state) {
  (void)state;
  static const char *const few[] = {"random_probe.sockets=1", "random_probe.probes=50", NULL};
  peers both;
  peers_build(&both, "ei-apd", "apd-apd", 5);
  both.a.conf.settings = both.b.conf.settings = few;
  peers_start(&both);
  peers_connect(&both, &only_guess);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_in_range((both.a.connected_us - both.a.asked_us) / 1000, 500, 4000);
  const warp_report_row *row = peer_row(&both.a, "random_probe", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_TIMEOUT);
  assert_non_null(strstr(row->detail, "guessed 50 of the ports 1024-65535"));
  peers_free(&both);
}

static void test_out_of_reach(void **state) {
  (void)state;
  peers both;
  build(&both, "apd-apd", "ad-apd", "", 6);
  peers_connect(&both, &only_guess);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_int_equal(peer_row(&both.a, "random_probe", WARP_EXT_BIND)->status, WARP_RULED_OUT);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_grid),
      cmocka_unit_test(test_grid_resets),
      cmocka_unit_test(test_budget_is_spent),
      cmocka_unit_test(test_out_of_reach),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
