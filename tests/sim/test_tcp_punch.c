/* tcp_punch alone, through every pair of mapping x filtering, in virtual time. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CELLS = 9 };
static const char *const cells[CELLS] = {"ei-ei",  "ei-ad",  "ei-apd", "ad-ei",  "ad-ad",
                                         "ad-apd", "apd-ei", "apd-ad", "apd-apd"};

/* The rule found in kernel NATs, for two sides that foretell nothing. */
static bool plain(size_t a, size_t b) {
  bool ei_map_a = a < 3, ei_map_b = b < 3;
  bool ei_filter = a % 3 == 0 || b % 3 == 0;
  return ei_filter || (ei_map_a && ei_map_b) || a == 1 || b == 1;
}

static const warp_connect_options only_punch = {
    .plugins = "tcp_punch", .transports = WARP_TCP, .no_relay = true};

static void print_rows(const peer *self, const char *who) {
  for (size_t i = 0; i < self->row_count; i++)
    print_error("%s: %s: %s: %s\n", who, self->rows[i].plugin, warp_strerror(self->rows[i].status),
                self->rows[i].detail);
}

/* One connect; the milliseconds it took, or -1. */
static int connect_cell(const char *a, const char *b, const char *change, uint64_t seed) {
  peers both;
  char name_a[64], name_b[64];
  snprintf(name_a, sizeof name_a, "%s%s", a, change);
  snprintf(name_b, sizeof name_b, "%s%s", b, change);
  peers_build(&both, name_a, name_b, seed);
  peers_start(&both);
  peers_connect(&both, &only_punch);
  int took = -1;
  if (both.a.connect_status == WARP_OK) {
    took = (int)((both.a.connected_us - both.a.asked_us) / 1000);
    assert_string_equal(both.a.info.plugin, "tcp_punch");
    assert_int_equal(both.a.info.transport, WARP_TCP);
    peers_echo(&both);
    print_message("%s x %s%s: %d ms: %s\n", a, b, change, took, both.a.rows[0].detail);
  } else {
    print_rows(&both.a, "a");
  }
  peers_free(&both);
  return took;
}

static unsigned connect_grid(const char *change, bool (*expected)(size_t a, size_t b),
                             int most_ms) {
  unsigned count = 0;
  for (size_t i = 0; i < CELLS * CELLS; i++) {
    size_t a = i / CELLS, b = i % CELLS;
    int took = connect_cell(cells[a], cells[b], change, 1000 + i);
    if ((took >= 0) != (expected == NULL || expected(a, b)) || took > most_ms)
      fail_msg("%s x %s%s: %d ms", cells[a], cells[b], change, took);
    count += took >= 0;
  }
  return count;
}

/* 40 ms a round trip: the message (1), the SYN (1, or 1 1/2 where the initiator's was lost or had
 * to wait for a word of the peer, 1), TLS (1). */
static void test_plain(void **state) {
  (void)state;
  assert_int_equal(connect_grid("", plain, 200), 57);
}

static void test_plain_resets(void **state) {
  (void)state;
  assert_int_equal(connect_grid("+reset", plain, 240), 57);
}

/* The messages and two round trips to a STUN server come before. */
static void test_sequential(void **state) {
  (void)state;
  assert_int_equal(connect_grid("+sequential", NULL, 320), 81);
}

static void test_sequential_resets(void **state) {
  (void)state;
  assert_int_equal(connect_grid("+sequential+reset", NULL, 400), 81);
}

static void test_preserving(void **state) {
  (void)state;
  assert_int_equal(connect_grid("+preserving", NULL, 320), 81);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),      cmocka_unit_test(test_plain_resets),
      cmocka_unit_test(test_sequential), cmocka_unit_test(test_sequential_resets),
      cmocka_unit_test(test_preserving),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
