/*
 * The measurement against a small model of a NAT and of RFC 5780 servers, in virtual time: every
 * mapping x filtering x allocation, slow paths, losses, servers that cannot do it, and servers that
 * lie.
 */
#include "base/addr.h"
#include "base/rng.h"
#include "machine/nat_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000, FLIGHTS = 256, BINDINGS = 64, RTT_MS = 40 };

typedef enum server_kind {
  FULL_SERVER,     /* RFC 5780 */
  PLAIN_SERVER,    /* ignores CHANGE-REQUEST, has no OTHER-ADDRESS */
  REFUSING_SERVER, /* tells of its other address, but answers CHANGE-REQUEST with error 420 */
  STUCK_SERVER,    /* tells of its other address, and answers CHANGE-REQUEST from the same one */
  HALF_SERVER,     /* nothing can reach nor leave its other IP */
} server_kind;

/* A datagram on its way. `inward`: from a server's address to the outside of the NAT. */
typedef struct flight {
  bool used, inward;
  uint64_t at_us;
  warp_addr from, to;
  uint8_t bytes[160];
  size_t len;
} flight;

typedef struct binding {
  uint16_t inside, outside;
  warp_addr to; /* what the mapping depends on: the parts that do not count are zero */
} binding;

typedef struct world {
  uint8_t mapping, filtering, allocation;
  bool no_nat;
  server_kind kind;
  unsigned rtt_ms, loss_percent,
      drop_first; /* drop_first: that many packets of the client are lost */
  uint16_t next_port;
  uint64_t now_us;
  wg_rng rng;
  size_t binding_count, sent_count;
  binding bindings[BINDINGS];
  warp_addr sent_to[BINDINGS]; /* with sent_from: the filter's memory, by outside port */
  uint16_t sent_from[BINDINGS];
  flight flights[FLIGHTS];
  size_t client_packets;
  wg_nat_probe probe;
} world;

static world w;

static warp_addr addr(const char *text) {
  warp_addr out;
  assert_int_equal(warp_addr_parse(text, &out), WARP_OK);
  return out;
}

static warp_addr primary(void) {
  return addr("192.0.2.1:3478");
}
static warp_addr secondary(void) {
  return addr("192.0.2.2:3479");
}
static warp_addr inside_host(void) {
  return w.no_nat ? addr("203.0.113.7") : addr("192.168.1.10");
}
static warp_addr outside_host(void) {
  return addr("203.0.113.7");
}

static int draw(void *arg, void *out, size_t len) {
  wg_rng *rng = arg;
  uint8_t *bytes = out;
  for (size_t i = 0; i < len; i++) {
    bytes[i] = (uint8_t)wg_rng_next(rng);
  }
  return WARP_OK;
}

/* ---- the NAT --------------------------------------------------------------------------------- */

/* What of a destination a behaviour looks at. */
static warp_addr relevant(uint8_t dependence, const warp_addr *to) {
  warp_addr key = *to;
  if (dependence == WARP_NAT_ENDPOINT_INDEPENDENT) {
    return (warp_addr){0};
  }
  if (dependence == WARP_NAT_ADDRESS_DEPENDENT) {
    key.port = 0;
  }
  return key;
}

static uint16_t allocate(uint16_t inside) {
  bool taken = false;
  for (size_t i = 0; i < w.binding_count; i++) {
    taken |= w.bindings[i].outside == inside;
  }
  switch (w.allocation) {
  case WARP_ALLOC_PRESERVING:
    if (!taken) {
      return inside;
    }
    break;
  case WARP_ALLOC_SEQUENTIAL:
    w.next_port = (uint16_t)(w.next_port + 3);
    return w.next_port;
  default:
    break;
  }
  return (uint16_t)(1024 + wg_rng_below(&w.rng, 64512));
}

static uint16_t map_out(uint16_t inside, const warp_addr *to) {
  warp_addr key = relevant(w.mapping, to);
  uint16_t outside = inside;
  if (!w.no_nat) {
    size_t i = 0;
    while (i < w.binding_count &&
           (w.bindings[i].inside != inside || !wg_addr_equal(&w.bindings[i].to, &key))) {
      i++;
    }
    if (i == w.binding_count) {
      assert_true(i < BINDINGS);
      w.bindings[i] = (binding){.inside = inside, .outside = allocate(inside), .to = key};
      w.binding_count++;
    }
    outside = w.bindings[i].outside;
  }
  assert_true(w.sent_count < BINDINGS);
  w.sent_to[w.sent_count] = *to;
  w.sent_from[w.sent_count++] = outside;
  return outside;
}

static bool lets_in(uint16_t outside, const warp_addr *from) {
  warp_addr key = relevant(w.filtering, from);
  for (size_t i = 0; i < w.sent_count; i++) {
    warp_addr sent = relevant(w.filtering, &w.sent_to[i]);
    if (w.sent_from[i] == outside && wg_addr_equal(&sent, &key)) {
      return true;
    }
  }
  return false;
}

/* The inside port of an outside one; 0: no mapping. */
static uint16_t map_in(uint16_t outside) {
  if (w.no_nat) {
    return outside;
  }
  for (size_t i = 0; i < w.binding_count; i++) {
    if (w.bindings[i].outside == outside) {
      return w.bindings[i].inside;
    }
  }
  return 0;
}

/* ---- links and servers ----------------------------------------------------------------------- */

static void launch(const warp_addr *from, const warp_addr *to, bool inward, const uint8_t *bytes,
                   size_t len) {
  if (wg_rng_below(&w.rng, 100) < w.loss_percent) {
    return;
  }
  for (size_t i = 0; i < FLIGHTS; i++) {
    if (!w.flights[i].used) {
      w.flights[i] = (flight){.used = true, .inward = inward, .from = *from, .to = *to, .len = len};
      w.flights[i].at_us = w.now_us + (uint64_t)w.rtt_ms * MS / 2;
      memcpy(w.flights[i].bytes, bytes, len);
      return;
    }
  }
  fail_msg("too many packets under way");
}

static bool is_server(const warp_addr *to) {
  warp_addr first = primary(), second = secondary();
  if (w.kind == HALF_SERVER && wg_addr_same_ip(to, &second)) {
    return false;
  }
  return (wg_addr_same_ip(to, &first) || wg_addr_same_ip(to, &second)) &&
         (to->port == first.port || to->port == second.port);
}

/* The server's address that differs in what a CHANGE-REQUEST asks for. */
static warp_addr changed(const warp_addr *at, uint32_t change) {
  warp_addr first = primary(), second = secondary();
  warp_addr out = *at;
  if (change & WG_STUN_CHANGE_IP) {
    out = wg_addr_same_ip(at, &first) ? second : first;
    out.port = at->port;
  }
  if (change & WG_STUN_CHANGE_PORT) {
    out.port = at->port == first.port ? second.port : first.port;
  }
  return out;
}

static void serve(const flight *request) {
  wg_stun_message message;
  uint8_t bytes[160];
  uint32_t change = 0;
  assert_int_equal(wg_stun_decode(request->bytes, request->len, &message), WARP_OK);
  assert_int_equal(message.method, WG_STUN_BINDING);
  wg_stun_find_u32(&message, WG_STUN_CHANGE_REQUEST, &change);
  warp_addr from = request->to;
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  if (change != 0 && w.kind == REFUSING_SERVER) {
    wg_stun_begin(&writer, WG_STUN_ERROR, WG_STUN_BINDING, &message.txid);
    wg_stun_attr_error(&writer, 420, "Unknown Attribute");
  } else {
    wg_stun_begin(&writer, WG_STUN_SUCCESS, WG_STUN_BINDING, &message.txid);
    wg_stun_attr_addr(&writer, WG_STUN_XOR_MAPPED_ADDRESS, &request->from);
    if (w.kind != PLAIN_SERVER) {
      warp_addr other = changed(&request->to, WG_STUN_CHANGE_IP | WG_STUN_CHANGE_PORT);
      wg_stun_attr_addr(&writer, WG_STUN_OTHER_ADDRESS, &other);
    }
    if (w.kind == FULL_SERVER || w.kind == HALF_SERVER) {
      from = changed(&request->to, change);
    }
  }
  int len = wg_stun_end(&writer);
  if (is_server(&from)) {
    launch(&from, &request->from, true, bytes, (size_t)len);
  }
}

/* ---- running --------------------------------------------------------------------------------- */

static void send_output(void) {
  wg_probe_packet packet;
  while (wg_nat_probe_output(&w.probe, w.now_us, &packet)) {
    warp_addr from = outside_host();
    from.port = map_out(w.probe.local[packet.socket].port, &packet.to);
    if (w.client_packets++ >= w.drop_first) {
      launch(&from, &packet.to, false, packet.bytes, packet.len);
    }
  }
}

static void land(flight *landed) {
  flight packet = *landed;
  landed->used = false;
  if (!packet.inward) {
    if (is_server(&packet.to)) {
      serve(&packet);
    }
    return;
  }
  uint16_t inside = map_in(packet.to.port);
  if (inside == 0 || !lets_in(packet.to.port, &packet.from)) {
    return;
  }
  wg_probe_socket socket =
      inside == w.probe.local[WG_PROBE_MAPPING].port ? WG_PROBE_MAPPING : WG_PROBE_FILTERING;
  wg_nat_probe_input(&w.probe, socket, packet.bytes, packet.len, &packet.from, w.now_us);
}

static flight *next_flight(void) {
  flight *next = NULL;
  for (size_t i = 0; i < FLIGHTS; i++) {
    if (w.flights[i].used && (next == NULL || w.flights[i].at_us < next->at_us)) {
      next = &w.flights[i];
    }
  }
  return next;
}

static void reset(uint8_t mapping, uint8_t filtering, uint8_t allocation) {
  memset(&w, 0, sizeof w);
  w.mapping = mapping;
  w.filtering = filtering;
  w.allocation = allocation;
  w.rtt_ms = RTT_MS;
  w.next_port = 20000;
  w.now_us = 1000000;
  wg_rng_seed(&w.rng, 1, "test");
}

/* Measures with the given servers; returns the milliseconds it took. */
static unsigned measure_with(const warp_addr *servers, size_t count) {
  wg_probe_options options = {.server_count = count, .random = draw, .random_arg = &w.rng};
  memcpy(options.servers, servers, count * sizeof servers[0]);
  warp_addr host = inside_host();
  options.local[0] = wg_addr_with_port(&host, 30001);
  options.local[1] = wg_addr_with_port(&host, 30002);
  uint64_t start_us = w.now_us;
  assert_int_equal(wg_nat_probe_start(&w.probe, &options, w.now_us), WARP_OK);
  for (int steps = 0; !w.probe.done; steps++) {
    assert_true(steps < 10000);
    send_output();
    flight *next = next_flight();
    uint64_t deadline_us = wg_nat_probe_deadline(&w.probe);
    if (w.probe.done) {
      break;
    }
    if (next != NULL && next->at_us <= deadline_us) {
      w.now_us = next->at_us;
      land(next);
    } else {
      assert_true(deadline_us >= w.now_us && deadline_us != UINT64_MAX);
      w.now_us = deadline_us;
    }
  }
  assert_true(wg_nat_probe_deadline(&w.probe) == UINT64_MAX);
  return (unsigned)((w.now_us - start_us) / MS);
}

static unsigned measure(void) {
  warp_addr server = primary();
  return measure_with(&server, 1);
}

static void check_axes(uint8_t mapping, uint8_t filtering, uint8_t allocation) {
  const warp_nat_axes *axes = &w.probe.result.axes;
  assert_int_equal(w.probe.result.status, WARP_OK);
  assert_int_equal(axes->translation, w.no_nat ? WARP_TRANSLATION_NONE : WARP_TRANSLATION_NAT);
  assert_int_equal(axes->mapping, mapping);
  assert_int_equal(axes->filtering, filtering);
  assert_int_equal(axes->allocation, allocation);
  assert_int_equal(axes->step, allocation == WARP_ALLOC_SEQUENTIAL ? 3 : 0);
}

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
        /* Two round trips where all is answered, else the silence after the third send. */
        assert_int_equal(ms, filtering == 1 ? 2 * RTT_MS : RTT_MS + 2 * 60 + 300);
        /* Ten tests at most, thrice the two that may stay silent. */
        assert_in_range(w.client_packets, 7, 7 + 4);
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

static void test_the_first_packets_are_lost(void **state) {
  (void)state;
  reset(2, 2, WARP_ALLOC_RANDOM);
  w.drop_first = 3;
  measure();
  check_axes(2, 2, WARP_ALLOC_RANDOM);
}

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
    assert_int_equal(measure_with(servers, 2), RTT_MS);
    /* Two addresses cannot tell the two harder behaviours apart: the hardest is taken. */
    check_axes(mapping == 1 ? 1 : 3, WARP_NAT_UNKNOWN, WARP_ALLOC_RANDOM);
  }
  reset(3, 1, WARP_ALLOC_RANDOM);
  w.kind = PLAIN_SERVER;
  assert_int_equal(measure(), RTT_MS);
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
                                    "192.0.2.2:0"};
  wg_probe_packet packet;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    answer_with_other(bad[i]);
    assert_false(wg_nat_probe_output(&w.probe, w.now_us, &packet));
    assert_true(w.probe.done);
  }
  answer_with_other("192.0.2.2:3479");
  assert_true(wg_nat_probe_output(&w.probe, w.now_us, &packet));
}

static int no_entropy(void *arg, void *out, size_t len) {
  (void)arg, (void)out, (void)len;
  return WARP_IO;
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
      cmocka_unit_test(test_all_27),
      cmocka_unit_test(test_no_nat),
      cmocka_unit_test(test_socket_1_stays_virgin),
      cmocka_unit_test(test_slow_paths_are_no_filters),
      cmocka_unit_test(test_lost_packets),
      cmocka_unit_test(test_the_first_packets_are_lost),
      cmocka_unit_test(test_dead_server),
      cmocka_unit_test(test_one_of_two_servers_is_dead),
      cmocka_unit_test(test_both_addresses_given),
      cmocka_unit_test(test_plain_servers),
      cmocka_unit_test(test_servers_that_cannot_change),
      cmocka_unit_test(test_other_addresses_that_are_not_asked),
      cmocka_unit_test(test_bad_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
