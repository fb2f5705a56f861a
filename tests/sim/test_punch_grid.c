/* All 81 pairs of mapping x filtering, for each way in which NATs give out ports: who connects, by
 * which plugin, and why the others do not. The tables are those of tests/unit/nat/test_plan.c. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const kinds[9] = {"ei-ei",  "ei-ad",  "ei-apd", "ad-ei",  "ad-ad",
                                     "ad-apd", "apd-ei", "apd-ad", "apd-apd"};

/* P udp_punch, G random_probe, . nothing direct. */
static const char *const random_reuse[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPPGGPGG", "PPPPPPPPP", "PPGPGGPGG",
    "PPGPG.PG.", "PPPPPPPPP", "PPGPGGPGG", "PPGPG.PG.",
};
static const char *const random_strict[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPGGGGGG", "PPGPPGPPG", "PPGPGGPGG",
    "PPGGG.GG.", "PPGPPGPP.", "PPGPGGPG.", "PPGGG....",
};
static const char *const all_punched[9] = {
    "PPPPPPPPP", "PPPPPPPPP", "PPPPPPPPP", "PPPPPPPPP", "PPPPPPPPP",
    "PPPPPPPPP", "PPPPPPPPP", "PPPPPPPPP", "PPPPPPPPP",
};

static void explain(const peers *both) {
  for (size_t i = 0; i < both->a.row_count; i++)
    print_error("a: %s: %s\n", both->a.rows[i].plugin, both->a.rows[i].detail);
  for (size_t i = 0; i < both->b.row_count; i++)
    print_error("b: %s: %s\n", both->b.rows[i].plugin, both->b.rows[i].detail);
}

static uint64_t check_cell(const char *a, const char *b, char expected, uint64_t seed) {
  peers both;
  peers_build(&both, a, b, seed);
  peers_start(&both);
  peers_connect(
      &both, &(warp_connect_options){.plugins = "udp_punch,random_probe", .transports = WARP_UDP});
  uint64_t took_ms = (both.a.connected_us - both.a.asked_us) / 1000;
  if ((both.a.connect_status == WARP_OK) != (expected != '.')) {
    explain(&both);
    fail_msg("%s x %s: %s", a, b, warp_strerror(both.a.connect_status));
  }
  if (expected != '.') {
    assert_string_equal(both.a.info.plugin, expected == 'P' ? "udp_punch" : "random_probe");
    peers_echo(&both);
  } else {
    const warp_report_row *row = peer_row(&both.a, "random_probe", WARP_EXT_BIND);
    assert_int_equal(row->status, WARP_RULED_OUT);
    assert_non_null(strstr(row->detail, "both sides would have to guess: about 10^5 packets"));
  }
  peers_free(&both);
  return took_ms;
}

static void check_grid(const char *const grid[9], const char *suffix, unsigned punched_ms) {
  for (size_t i = 0; i < 9; i++) {
    for (size_t j = 0; j < 9; j++) {
      char a[48], b[48];
      snprintf(a, sizeof a, "%s%s", kinds[i], suffix);
      snprintf(b, sizeof b, "%s%s", kinds[j], suffix);
      uint64_t took_ms = check_cell(a, b, grid[i][j], 500 + i * 9 + j);
      if (grid[i][j] == 'P')
        assert_in_range(took_ms, 0, punched_ms);
    }
  }
}

/* 2.5 round trips where nothing has to be foretold. */
static void test_random(void **state) {
  (void)state;
  check_grid(random_reuse, "+random", 101);
}

static void test_random_strict(void **state) {
  (void)state;
  check_grid(random_strict, "+random+strict", 101);
}

/* Three round trips until both know where to send (to the peer, its measuring, and back), half a
 * round trip, and one and a half for the handshake. In two strict pairs the first packet that comes
 * through is one whose answer is lost. */
static void test_sequential(void **state) {
  (void)state;
  check_grid(all_punched, "+sequential", 202);
  check_grid(all_punched, "+sequential+strict", 242);
}

static void test_preserving(void **state) {
  (void)state;
  check_grid(all_punched, "+preserving", 161);
  check_grid(all_punched, "+preserving+strict", 161);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_random_strict),
      cmocka_unit_test(test_sequential),
      cmocka_unit_test(test_preserving),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
