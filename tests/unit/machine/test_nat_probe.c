/* The measurement in virtual time: every mapping x filtering x allocation, hairpin, reuse, ranges
 * of ports, slow paths and losses. */
#include "nat_probe_rig.h"

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_all_27(void **state) {
  (void)state;
  for (uint8_t mapping = 1; mapping <= 3; mapping++) {
    for (uint8_t filtering = 1; filtering <= 3; filtering++) {
      for (uint8_t allocation = 1; allocation <= 3; allocation++) {
        reset(mapping, filtering, allocation);
        unsigned ms = measure();
        check_axes(mapping, filtering, allocation);
        assert_true(w.probe.result.axes.confidence >= 90);
        assert_int_equal(w.probe.result.external.port, w.bindings[0].outside);
        assert_in_range(ms, 3 * RTT_MS, 4 * RTT_MS);
        /* Twenty tests at most, thrice the four that may stay silent. */
        assert_in_range(w.client_packets, 7, 20 + 8);
      }
    }
  }
}

static void test_no_nat(void **state) {
  (void)state;
  for (uint8_t filtering = 1; filtering <= 3; filtering++) {
    reset(1, filtering, WARP_ALLOC_PRESERVING);
    w.no_nat = true;
    measure();
    check_axes(1, filtering, WARP_ALLOC_PRESERVING);
    assert_int_equal(w.probe.result.axes.confidence, 100);
  }
}

static void test_socket_1_stays_virgin(void **state) {
  (void)state;
  reset(3, 3, WARP_ALLOC_RANDOM);
  warp_addr server = primary();
  measure();
  for (size_t i = 0; i < w.binding_count; i++) {
    if (w.bindings[i].inside == 30002) {
      assert_true(wg_addr_equal(&w.bindings[i].to, &server));
    }
  }
}

static void test_slow_paths_are_no_filters(void **state) {
  (void)state;
  for (unsigned rtt_ms = 200; rtt_ms <= 1600; rtt_ms += 350) {
    reset(3, 1, WARP_ALLOC_RANDOM);
    w.rtt_ms = rtt_ms;
    measure();
    check_axes(3, 1, WARP_ALLOC_RANDOM);
    reset(1, 2, WARP_ALLOC_PRESERVING);
    w.rtt_ms = rtt_ms;
    measure();
    check_axes(1, 2, WARP_ALLOC_PRESERVING);
    assert_in_range(w.probe.result.rtt_us, rtt_ms * MS, rtt_ms * MS);
  }
}

/* A computer that stands still finds its timers run out before it has read what came. */
static void test_standing_still_is_no_filter(void **state) {
  (void)state;
  static const unsigned stalls_ms[] = {100, 500, 2500};
  for (size_t i = 0; i < sizeof stalls_ms / sizeof stalls_ms[0]; i++) {
    for (unsigned at_ms = 0; at_ms < 4 * RTT_MS; at_ms += 3) {
      for (uint8_t filtering = 1; filtering <= 3; filtering++) {
        reset(3, filtering, WARP_ALLOC_RANDOM);
        w.hairpin = true;
        w.stall_at_us = w.now_us + at_ms * MS;
        w.stall_us = stalls_ms[i] * MS;
        measure();
        check_axes(3, filtering, WARP_ALLOC_RANDOM);
        if (filtering == 1) {
          assert_int_equal(w.probe.result.axes.hairpin, WARP_ABILITY_YES);
        }
      }
    }
  }
}

static void test_lost_packets(void **state) {
  (void)state;
  unsigned wrong = 0;
  for (unsigned seed = 0; seed < 200; seed++) {
    uint8_t mapping = (uint8_t)(1 + seed % 3), filtering = (uint8_t)(1 + seed / 3 % 3);
    reset(mapping, filtering, WARP_ALLOC_PRESERVING);
    wg_rng_seed(&w.rng, seed, "loss");
    w.loss_percent = 5;
    measure();
    const warp_nat_axes *axes = &w.probe.result.axes;
    assert_int_equal(w.probe.result.status, WARP_OK);
    wrong += axes->mapping != mapping || axes->filtering != filtering;
  }
  /* A test is lost altogether once in a thousand times, and several decide. */
  assert_in_range(wrong, 0, 3);
}

/* Neither a server's answer that is late because it has no processor, nor one that has come while
 * we had none, is taken for a filter. */
static void test_a_busy_machine_is_no_filter(void **state) {
  (void)state;
  for (uint8_t filtering = 1; filtering <= 3; filtering++) {
    for (unsigned stall_ms = 10; stall_ms <= 400; stall_ms += 30) {
      reset(1, filtering, WARP_ALLOC_PRESERVING);
      w.server_stall_ms = stall_ms;
      unsigned ms = measure();
      check_axes(1, filtering, WARP_ALLOC_PRESERVING);
      assert_in_range(ms, 0, 8 * RTT_MS + 5 * stall_ms);
    }
    for (unsigned stall_ms = 10; stall_ms <= 2000; stall_ms += 110) {
      reset(1, filtering, WARP_ALLOC_PRESERVING);
      w.own_stall_ms = stall_ms;
      measure();
      check_axes(1, filtering, WARP_ALLOC_PRESERVING);
    }
  }
}

static void test_the_first_packets_are_lost(void **state) {
  (void)state;
  reset(2, 2, WARP_ALLOC_RANDOM);
  w.drop_first = 3;
  measure();
  check_axes(2, 2, WARP_ALLOC_RANDOM);
}

/* ---- hairpin, reuse, ranges -------------------------------------------------------------------
 */

static void test_hairpin(void **state) {
  (void)state;
  for (uint8_t mapping = 1; mapping <= 3; mapping++) {
    for (uint8_t filtering = 1; filtering <= 3; filtering++) {
      reset(mapping, filtering, WARP_ALLOC_RANDOM);
      measure();
      bool tells = mapping == 1 || filtering == 1;
      assert_int_equal(w.probe.result.axes.hairpin, tells ? WARP_ABILITY_NO : WARP_ABILITY_UNKNOWN);
      reset(mapping, filtering, WARP_ALLOC_RANDOM);
      w.hairpin = true;
      unsigned ms = measure();
      if (tells) {
        assert_int_equal(w.probe.result.axes.hairpin, WARP_ABILITY_YES);
      }
      assert_in_range(ms, 3 * RTT_MS, 4 * RTT_MS);
    }
  }
}

static void test_reuse(void **state) {
  (void)state;
  static const uint8_t tells[4][4] = {
      [1] = {0, 1, 1, 1}, /* one mapping for all: always */
      [2] = {0, 1, 0, 0}, /* by the other IP, which only this filter lets in */
      [3] = {0, 1, 1, 0},
  };
  for (uint8_t mapping = 1; mapping <= 3; mapping++) {
    for (uint8_t filtering = 1; filtering <= 3; filtering++) {
      for (int reuse = 0; reuse < 2; reuse++) {
        reset(mapping, filtering, WARP_ALLOC_RANDOM);
        w.reuse = reuse != 0;
        measure();
        check_axes(mapping, filtering, WARP_ALLOC_RANDOM);
        assert_int_equal(w.probe.result.axes.reuse, !tells[mapping][filtering]
                                                        ? WARP_ABILITY_UNKNOWN
                                                    : reuse != 0 || mapping == 1 ? WARP_ABILITY_YES
                                                                                 : WARP_ABILITY_NO);
      }
    }
  }
}

static void test_counter_that_others_use(void **state) {
  (void)state;
  for (unsigned seed = 0; seed < 50; seed++) {
    for (uint8_t mapping = 1; mapping <= 3; mapping += 2) {
      reset(mapping, 3, WARP_ALLOC_SEQUENTIAL);
      wg_rng_seed(&w.rng, seed, "flows");
      w.foreign_flows = 4;
      measure();
      check_axes(mapping, 3, WARP_ALLOC_SEQUENTIAL);
    }
  }
}

static void test_block_of_ports(void **state) {
  (void)state;
  for (uint16_t block = 64; block <= 4096; block = (uint16_t)(block * 4)) {
    reset(1, 3, WARP_ALLOC_RANDOM);
    w.block = block;
    measure();
    const warp_nat_axes *axes = &w.probe.result.axes;
    check_axes(1, 3, WARP_ALLOC_RANDOM);
    for (size_t i = 0; i < w.binding_count; i++) {
      assert_in_range(w.bindings[i].outside, axes->port_low, axes->port_high);
    }
    assert_in_range(axes->port_high - axes->port_low, block / 4, 2 * block);
  }
  reset(1, 3, WARP_ALLOC_RANDOM);
  measure();
  assert_int_equal(w.probe.result.axes.port_high, 0);
}

static void test_much_loss_and_jitter_of_time(void **state) {
  (void)state;
  unsigned wrong = 0, unknown = 0;
  for (unsigned seed = 0; seed < 200; seed++) {
    uint8_t mapping = (uint8_t)(1 + seed % 3), filtering = (uint8_t)(1 + seed / 3 % 3);
    reset(mapping, filtering, WARP_ALLOC_RANDOM);
    wg_rng_seed(&w.rng, seed, "loss");
    w.loss_percent = 20;
    measure();
    const warp_nat_axes *axes = &w.probe.result.axes;
    wrong += axes->mapping != 0 && axes->mapping != mapping;
    wrong += axes->filtering != 0 && axes->filtering != filtering;
    unknown += axes->mapping == 0 || axes->filtering == 0;
  }
  assert_in_range(wrong, 0, 4);
  assert_in_range(unknown, 0, 30);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_27),
      cmocka_unit_test(test_no_nat),
      cmocka_unit_test(test_socket_1_stays_virgin),
      cmocka_unit_test(test_slow_paths_are_no_filters),
      cmocka_unit_test(test_standing_still_is_no_filter),
      cmocka_unit_test(test_lost_packets),
      cmocka_unit_test(test_a_busy_machine_is_no_filter),
      cmocka_unit_test(test_the_first_packets_are_lost),
      cmocka_unit_test(test_hairpin),
      cmocka_unit_test(test_reuse),
      cmocka_unit_test(test_counter_that_others_use),
      cmocka_unit_test(test_block_of_ports),
      cmocka_unit_test(test_much_loss_and_jitter_of_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
