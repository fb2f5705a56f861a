/* Whole connects between two nodes through every ordered pair of the five NAT profiles, in virtual
 * time: who wins, over which path, and after how many round trips. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const profiles[5] = {"open", "full-cone", "restricted", "port-restricted",
                                        "symmetric"};

/* D direct_connect: the peer can be dialled. R reverse_connect: we can. P udp_punch. G
 * random_probe: one port is known and the other has to be guessed. T turn: both would have to be.
 */
static const char *const expected[5] = {"DDRRR", "DDRRR", "DDPPP", "DDPPG", "DDPGT"};

static const char *plugin_of(char letter) {
  switch (letter) {
  case 'D':
    return "direct_connect";
  case 'R':
    return "reverse_connect";
  case 'P':
    return "udp_punch";
  case 'G':
    return "random_probe";
  default:
    return "turn";
  }
}

static void check_pair(size_t i, size_t j) {
  peers both;
  peers_build(&both, profiles[i], profiles[j], 200 + i * 5 + j);
  peers_start(&both);
  peers_connect(&both, NULL);
  if (both.a.connect_status != WARP_OK) {
    for (size_t row = 0; row < both.a.row_count; row++)
      print_error("%s: %s: %s\n", both.a.rows[row].plugin, warp_strerror(both.a.rows[row].status),
                  both.a.rows[row].detail);
    fail_msg("%s x %s: %s", profiles[i], profiles[j], warp_strerror(both.a.connect_status));
  }
  print_message("%s x %s: %s after %llu ms\n", profiles[i], profiles[j], both.a.info.plugin,
                (unsigned long long)(both.a.connected_us - both.a.asked_us) / 1000);
  assert_string_equal(both.a.info.plugin, plugin_of(expected[i][j]));
  assert_int_equal(both.a.info.relayed, expected[i][j] == 'T');
  peers_echo(&both);
  assert_string_equal(both.b.info.plugin, both.a.info.plugin);
  assert_int_equal(both.b.info.relayed, both.a.info.relayed);
  peers_free(&both);
}

static void test_pairs(void **state) {
  (void)state;
  for (size_t i = 0; i < 5; i++) {
    for (size_t j = 0; j < 5; j++)
      check_pair(i, j);
  }
}

/* Virtual time is exact: 40 ms a round trip, site to site and site to server. */
static uint64_t connect_us(const char *a, const char *b) {
  peers both;
  peers_build(&both, a, b, 1);
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  uint64_t took = both.a.connected_us - both.a.asked_us;
  peers_free(&both);
  return took / 1000;
}

static void test_round_trips(void **state) {
  (void)state;
  /* One for TCP, one for TLS. */
  assert_in_range(connect_us("open", "open"), 80, 82);
  /* The message through the broker (half a round trip to it, half from it), the first flight
   * (half), and the rest of the handshake (one). */
  assert_in_range(connect_us("port-restricted", "port-restricted"), 100, 102);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_round_trips),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
