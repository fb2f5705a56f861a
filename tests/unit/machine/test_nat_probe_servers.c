/* The measurement with servers that are dead, that cannot do it, and that lie. */
#include "nat_probe_rig.h"

/* ---- servers that cannot ----------------------------------------------------------------------
 */

static void test_dead_server(void **state) {
  (void)state;
  reset(1, 1, WARP_ALLOC_PRESERVING);
  warp_addr nobody = addr("192.0.2.99:3478");
  assert_int_equal(measure_with(&nobody, 1), WG_PROBE_TIMEOUT_MS);
  assert_int_equal(w.probe.result.status, WARP_TIMEOUT);
  assert_int_equal(w.probe.result.axes.confidence, 0);
  assert_int_equal(w.probe.result.axes.mapping, WARP_NAT_UNKNOWN);
  assert_int_equal(w.probe.result.external.family, 0);
  assert_in_range(w.client_packets, 3, 8);
}

static void test_one_of_two_servers_is_dead(void **state) {
  (void)state;
  reset(3, 2, WARP_ALLOC_PRESERVING);
  const warp_addr servers[] = {addr("192.0.2.99:3478"), primary()};
  unsigned ms = measure_with(servers, 2);
  check_axes(3, 2, WARP_ALLOC_PRESERVING);
  assert_in_range(ms, 400, 700);
}

/* Both addresses of one server in the list: socket 1 must still talk to one only. */
static void test_both_addresses_given(void **state) {
  (void)state;
  for (uint8_t filtering = 1; filtering <= 3; filtering++) {
    reset(2, filtering, WARP_ALLOC_RANDOM);
    const warp_addr servers[] = {primary(), addr("192.0.2.2:3478"), secondary(), primary()};
    measure_with(servers, 4);
    check_axes(2, filtering, WARP_ALLOC_RANDOM);
  }
}

static void test_plain_servers(void **state) {
  (void)state;
  const warp_addr servers[] = {primary(), addr("192.0.2.2:3478")};
  for (uint8_t mapping = 1; mapping <= 3; mapping++) {
    reset(mapping, 1, WARP_ALLOC_RANDOM);
    w.kind = PLAIN_SERVER;
    assert_in_range(measure_with(servers, 2), RTT_MS, 4 * RTT_MS);
    /* Two addresses cannot tell the two harder behaviours apart: the hardest is taken. */
    check_axes(mapping == 1 ? 1 : 3, WARP_NAT_UNKNOWN, WARP_ALLOC_RANDOM);
  }
  reset(3, 1, WARP_ALLOC_RANDOM);
  w.kind = PLAIN_SERVER;
  assert_in_range(measure(), RTT_MS, 4 * RTT_MS);
  check_axes(WARP_NAT_UNKNOWN, WARP_NAT_UNKNOWN, WARP_ALLOC_RANDOM);
}

static void test_servers_that_cannot_change(void **state) {
  (void)state;
  static const server_kind kinds[] = {REFUSING_SERVER, STUCK_SERVER, HALF_SERVER};
  for (size_t i = 0; i < 3; i++) {
    for (uint8_t filtering = 1; filtering <= 3; filtering++) {
      reset(3, filtering, WARP_ALLOC_RANDOM);
      w.kind = kinds[i];
      measure();
      /* Silence, or an answer from the wrong place, must never pass for a filter. */
      check_axes(3, WARP_NAT_UNKNOWN, WARP_ALLOC_RANDOM);
    }
  }
}

/* ---- lies and mistakes ----------------------------------------------------------------------- */

/* Takes the next packet of a started probe and answers it with another address as OTHER-ADDRESS. */
static void answer_with_other(const char *other_text) {
  warp_addr server = primary(), seen = outside_host(), other = addr(other_text);
  wg_probe_options options = {.server_count = 1, .random = draw, .random_arg = &w.rng};
  options.servers[0] = server;
  options.local[0] = addr("192.168.1.10:30001");
  options.local[1] = addr("192.168.1.10:30002");
  wg_probe_packet packet;
  wg_stun_message message;
  uint8_t bytes[160];
  reset(1, 1, WARP_ALLOC_PRESERVING);
  assert_int_equal(wg_nat_probe_start(&w.probe, &options, w.now_us), WARP_OK);
  assert_true(wg_nat_probe_output(&w.probe, w.now_us, &packet));
  assert_int_equal(wg_stun_decode(packet.bytes, packet.len, &message), WARP_OK);
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_SUCCESS, WG_STUN_BINDING, &message.txid);
  seen.port = 5;
  wg_stun_attr_addr(&writer, WG_STUN_XOR_MAPPED_ADDRESS, &seen);
  wg_stun_attr_addr(&writer, WG_STUN_OTHER_ADDRESS, &other);
  int len = wg_stun_end(&writer);
  /* Not from another socket, not from another address, not twice. */
  warp_addr stranger = wg_addr_with_port(&server, 1);
  assert_false(
      wg_nat_probe_input(&w.probe, WG_PROBE_FILTERING, bytes, (size_t)len, &server, w.now_us));
  assert_false(
      wg_nat_probe_input(&w.probe, WG_PROBE_MAPPING, bytes, (size_t)len, &stranger, w.now_us));
  assert_true(
      wg_nat_probe_input(&w.probe, WG_PROBE_MAPPING, bytes, (size_t)len, &server, w.now_us));
  assert_false(
      wg_nat_probe_input(&w.probe, WG_PROBE_MAPPING, bytes, (size_t)len, &server, w.now_us));
}

static void test_other_addresses_that_are_not_asked(void **state) {
  (void)state;
  static const char *const bad[] = {"127.0.0.1:3479", "192.168.1.1:3479", "224.0.0.1:3479",
                                    "192.0.2.1:3479", "192.0.2.2:3478",   "[2001:db8::1]:3479",
                                    "192.0.2.2:0",    "192.0.2.2:53",     "192.0.2.2:1023"};
  wg_probe_packet packet;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    answer_with_other(bad[i]);
    warp_addr server = primary();
    while (wg_nat_probe_output(&w.probe, w.now_us, &packet)) {
      assert_true(wg_addr_equal(&packet.to, &server));
    }
    assert_false(w.probe.filtering);
  }
  answer_with_other("192.0.2.2:3479");
  assert_true(w.probe.filtering);
  /* Who configures a server at such a port means it. */
  warp_addr low = addr("192.0.2.1:443"), other = addr("192.0.2.2:80");
  assert_true(wg_nat_probe_may_ask(&low, &other));
}

static void test_liars(void **state) {
  (void)state;
  static const char *const lies[] = {"203.0.113.99:4000", "192.168.1.10:30001", "203.0.113.7:4000"};
  warp_addr servers[] = {addr("192.0.2.66:3478"), primary(), addr("192.0.2.67:3478")};
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    for (uint8_t filtering = 1; filtering <= 3; filtering++) {
      /* One against one: which of them lies is not to be known. */
      reset(1, filtering, WARP_ALLOC_PRESERVING);
      w.liar = servers[0];
      w.lie = addr(lies[i]);
      measure_with(servers, 2);
      const warp_nat_axes *axes = &w.probe.result.axes;
      assert_int_equal(axes->translation, WARP_TRANSLATION_UNKNOWN);
      assert_int_equal(axes->mapping, WARP_NAT_UNKNOWN);
      assert_true(axes->filtering == WARP_NAT_UNKNOWN || axes->filtering == filtering);
      assert_in_range(axes->confidence, 0, 25);
      /* Two against one. */
      reset(1, filtering, WARP_ALLOC_PRESERVING);
      w.liar = servers[0];
      w.lie = addr(lies[i]);
      warp_addr three[] = {servers[0], servers[1], addr("192.0.2.2:3478")};
      measure_with(three, 3);
      assert_int_equal(axes->mapping, WARP_NAT_ENDPOINT_INDEPENDENT);
      assert_int_equal(axes->allocation, WARP_ALLOC_PRESERVING);
      assert_int_equal(axes->translation, WARP_TRANSLATION_NAT);
      assert_in_range(axes->confidence, 25, 50);
      assert_int_equal(w.probe.result.server, 1);
      assert_int_equal(w.probe.result.external.port, FIRST_PORT);
    }
  }
}

static int no_entropy(void *arg, void *out, size_t len) {
  (void)arg, (void)out, (void)len;
  return WARP_IO;
}

/* An answer that seems to come from somebody else has nobody send there. */
static void test_forged_sources(void **state) {
  (void)state;
  for (uint8_t mapping = 1; mapping <= 3; mapping++) {
    reset(mapping, 1, WARP_ALLOC_RANDOM);
    w.kind = FORGING_SERVER;
    measure();
    warp_addr other = victim();
    for (size_t i = 0; i < w.sent_count; i++) {
      assert_false(wg_addr_same_ip(&w.sent_to[i], &other));
    }
  }
}

static void test_bad_options(void **state) {
  (void)state;
  wg_nat_probe probe;
  wg_probe_options options = {.server_count = 1, .random = draw, .random_arg = &w.rng};
  options.servers[0] = primary();
  options.random = NULL;
  assert_int_equal(wg_nat_probe_start(&probe, &options, 0), WARP_INVALID);
  options.random = no_entropy;
  assert_int_equal(wg_nat_probe_start(&probe, &options, 0), WARP_IO);
  options.random = draw;
  options.server_count = 0;
  assert_int_equal(wg_nat_probe_start(&probe, &options, 0), WARP_INVALID);
  options.server_count = WG_PROBE_SERVERS + 1;
  assert_int_equal(wg_nat_probe_start(&probe, &options, 0), WARP_INVALID);
  options.server_count = 2;
  options.servers[1] = addr("[2001:db8::1]:3478");
  assert_int_equal(wg_nat_probe_start(&probe, &options, 0), WARP_INVALID);
  options.servers[1] = (warp_addr){0};
  assert_int_equal(wg_nat_probe_start(&probe, &options, 0), WARP_INVALID);
  wg_nat_probe idle = {.done = false};
  wg_probe_packet packet;
  assert_false(wg_nat_probe_output(&idle, 0, &packet));
  assert_true(wg_nat_probe_deadline(&idle) == UINT64_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dead_server),
      cmocka_unit_test(test_one_of_two_servers_is_dead),
      cmocka_unit_test(test_both_addresses_given),
      cmocka_unit_test(test_plain_servers),
      cmocka_unit_test(test_servers_that_cannot_change),
      cmocka_unit_test(test_other_addresses_that_are_not_asked),
      cmocka_unit_test(test_liars),
      cmocka_unit_test(test_forged_sources),
      cmocka_unit_test(test_bad_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
