#include "machine/nat_probe.h"

#include "base/addr.h"
#include "machine/nat_infer.h"

enum {
  SENDS = 3,              /* with one packet in ten lost each way, all are lost in 0.7 % */
  FIRST_SPACING_MS = 100, /* doubled while no round trip is known */
  SPACING_MIN_MS = 50,    /* between sends once it is known: 1.5 of it, within these */
  SPACING_MAX_MS = 200,
  SILENCE_MIN_MS = 300, /* after the last send */
  SILENCE_ROUND_TRIPS = 4,
  SPACING_DOUBLINGS_MAX = 4,
};

/* ---- tests ----------------------------------------------------------------------------------- */

static void add_test(wg_nat_probe *probe, wg_probe_socket socket, wg_probe_kind kind,
                     const warp_addr *server) {
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *test = &probe->tests[i];
    if (test->socket == socket && test->kind == kind && wg_addr_equal(&test->server, server)) {
      return;
    }
  }
  if (probe->count == WG_PROBE_TESTS) {
    return;
  }
  wg_probe_test *test = &probe->tests[probe->count];
  *test = (wg_probe_test){.socket = socket, .kind = kind, .server = *server};
  if (probe->random(probe->random_arg, test->txid.bytes, WG_STUN_TXID_LEN) == WARP_OK) {
    probe->count++;
  }
}

int wg_nat_probe_start(wg_nat_probe *probe, const wg_probe_options *options, uint64_t now_us) {
  uint32_t timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : WG_PROBE_TIMEOUT_MS;
  *probe = (wg_nat_probe){
      .local = {options->local[0], options->local[1]},
      .random = options->random,
      .random_arg = options->random_arg,
      .give_up_us = now_us + (uint64_t)timeout_ms * 1000,
  };
  if (options->random == NULL || options->server_count == 0 ||
      options->server_count > WG_PROBE_SERVERS) {
    return WARP_INVALID;
  }
  for (size_t i = 0; i < options->server_count; i++) {
    if (wg_addr_ip_len(&options->servers[i]) == 0 ||
        options->servers[i].family != options->servers[0].family) {
      return WARP_INVALID;
    }
    add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, &options->servers[i]);
  }
  if (probe->count == 0) {
    return WARP_IO;
  }
  probe->running = true;
  return WARP_OK;
}

/* The rest of the tests, as soon as a server has told its other address. */
static void add_other_tests(wg_nat_probe *probe, const warp_addr *server, const warp_addr *other) {
  warp_addr same_ip = wg_addr_with_port(server, other->port);
  warp_addr same_port = wg_addr_with_port(other, server->port);
  add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, &same_port);
  add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, other);
  add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, &same_ip);
  add_test(probe, WG_PROBE_FILTERING, WG_PROBE_PLAIN, server);
  add_test(probe, WG_PROBE_FILTERING, WG_PROBE_CHANGE_PORT, server);
  add_test(probe, WG_PROBE_FILTERING, WG_PROBE_CHANGE_BOTH, server);
  probe->filtering = true;
}

/* ---- timing ---------------------------------------------------------------------------------- */

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high) {
  return value < low ? low : value > high ? high : value;
}

static bool sent_out(const wg_nat_probe *probe, const wg_probe_test *test) {
  return probe->result.rtt_us != 0 && test->sent >= SENDS;
}

/* When something is to be done about a test: sending it (again), or taking it for silent. */
static uint64_t test_deadline(const wg_nat_probe *probe, const wg_probe_test *test) {
  uint64_t rtt_us = probe->result.rtt_us;
  if (test->outcome != WG_PROBE_RUNNING) {
    return UINT64_MAX;
  }
  if (test->sent == 0) {
    return 0;
  }
  if (sent_out(probe, test)) {
    uint64_t silence_us = SILENCE_ROUND_TRIPS * rtt_us;
    return test->last_us + clamp(silence_us, SILENCE_MIN_MS * 1000, UINT64_MAX);
  }
  if (rtt_us != 0) {
    return test->last_us + clamp(rtt_us + rtt_us / 2, SPACING_MIN_MS * 1000, SPACING_MAX_MS * 1000);
  }
  unsigned doublings = test->sent - 1;
  doublings = doublings < SPACING_DOUBLINGS_MAX ? doublings : SPACING_DOUBLINGS_MAX;
  return test->last_us + ((uint64_t)FIRST_SPACING_MS * 1000 << doublings);
}

uint64_t wg_nat_probe_deadline(const wg_nat_probe *probe) {
  if (!probe->running) {
    return UINT64_MAX;
  }
  uint64_t deadline_us = probe->result.rtt_us == 0 ? probe->give_up_us : UINT64_MAX;
  for (size_t i = 0; i < probe->count; i++) {
    uint64_t at_us = test_deadline(probe, &probe->tests[i]);
    deadline_us = at_us < deadline_us ? at_us : deadline_us;
  }
  return deadline_us;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void finish(wg_nat_probe *probe) {
  probe->running = false;
  probe->done = true;
  probe->result.status = probe->result.rtt_us != 0 ? WARP_OK : WARP_TIMEOUT;
  probe->result.axes = wg_nat_infer(probe->tests, probe->count, probe->local);
}

static void finish_if_decided(wg_nat_probe *probe) {
  for (size_t i = 0; i < probe->count; i++) {
    if (probe->tests[i].outcome == WG_PROBE_RUNNING) {
      return;
    }
  }
  finish(probe);
}

static size_t encode(wg_nat_probe *probe, const wg_probe_test *test) {
  wg_writer writer = wg_writer_init(probe->out, sizeof probe->out);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &test->txid);
  if (test->kind != WG_PROBE_PLAIN) {
    uint32_t change = test->kind == WG_PROBE_CHANGE_PORT ? WG_STUN_CHANGE_PORT
                                                         : WG_STUN_CHANGE_PORT | WG_STUN_CHANGE_IP;
    wg_stun_attr_u32(&writer, WG_STUN_CHANGE_REQUEST, change);
  }
  return (size_t)wg_stun_end(&writer);
}

bool wg_nat_probe_output(wg_nat_probe *probe, uint64_t now_us, wg_probe_packet *out) {
  if (!probe->running) {
    return false;
  }
  if (probe->result.rtt_us == 0 && now_us >= probe->give_up_us) {
    finish(probe);
    return false;
  }
  for (size_t i = 0; i < probe->count; i++) {
    wg_probe_test *test = &probe->tests[i];
    if (now_us < test_deadline(probe, test)) {
      continue;
    }
    if (sent_out(probe, test)) {
      test->outcome = WG_PROBE_SILENT;
      continue;
    }
    test->first_us = test->sent == 0 ? now_us : test->first_us;
    test->last_us = now_us;
    test->sent++;
    *out = (wg_probe_packet){.socket = test->socket,
                             .to = test->server,
                             .bytes = probe->out,
                             .len = encode(probe, test)};
    return true;
  }
  finish_if_decided(probe);
  return false;
}

/* ---- input ----------------------------------------------------------------------------------- */

static wg_probe_test *find_test(wg_nat_probe *probe, wg_probe_socket socket,
                                const wg_stun_message *message) {
  for (size_t i = 0; i < probe->count; i++) {
    wg_probe_test *test = &probe->tests[i];
    if (test->socket == socket && test->outcome == WG_PROBE_RUNNING && test->sent > 0 &&
        wg_bytes_equal_ct(test->txid.bytes, message->txid.bytes, WG_STUN_TXID_LEN)) {
      return test;
    }
  }
  return NULL;
}

/* An answer to a plain test is only one from where it was asked. One to a change request says
 * something by where it comes from: from the address that was asked, the server cannot change. */
static bool take_answer(wg_probe_test *test, const wg_stun_message *message,
                        const warp_addr *from) {
  bool from_asked = wg_addr_equal(from, &test->server);
  if (test->kind == WG_PROBE_PLAIN && !from_asked) {
    return false;
  }
  if (message->class == WG_STUN_ERROR) {
    test->outcome = WG_PROBE_REFUSED;
    return true;
  }
  if (wg_stun_unknown(message, NULL, 0) > 0 || !wg_stun_find_mapped(message, &test->mapped) ||
      test->mapped.family != test->server.family) {
    return false;
  }
  test->from = *from;
  test->outcome = test->kind != WG_PROBE_PLAIN && from_asked ? WG_PROBE_REFUSED : WG_PROBE_ANSWERED;
  return true;
}

/* May the address that a server names as its other one be asked? It must be as far out as the
 * server's own: nobody sends us into a private network by that. */
static bool usable_other(const warp_addr *server, const warp_addr *other) {
  return other->family == server->family && !wg_addr_same_ip(other, server) &&
         other->port != server->port && other->port != 0 &&
         wg_addr_get_scope(other) == wg_addr_get_scope(server);
}

bool wg_nat_probe_input(wg_nat_probe *probe, wg_probe_socket socket, const uint8_t *bytes,
                        size_t len, const warp_addr *from, uint64_t now_us) {
  wg_stun_message message;
  warp_addr other;
  if (!probe->running || wg_stun_decode(bytes, len, &message) != WARP_OK ||
      message.method != WG_STUN_BINDING ||
      (message.class != WG_STUN_SUCCESS && message.class != WG_STUN_ERROR)) {
    return false;
  }
  wg_probe_test *test = find_test(probe, socket, &message);
  if (test == NULL || !take_answer(test, &message, from)) {
    return false;
  }
  if (test->outcome != WG_PROBE_ANSWERED) {
    return true;
  }
  if (probe->result.rtt_us == 0) {
    probe->result.external = test->mapped;
  }
  uint64_t rtt_us = clamp(now_us - test->first_us, 1, UINT32_MAX);
  if (rtt_us > probe->result.rtt_us) {
    probe->result.rtt_us = (uint32_t)rtt_us;
  }
  if (!probe->filtering && test->kind == WG_PROBE_PLAIN &&
      wg_stun_find_addr(&message, WG_STUN_OTHER_ADDRESS, &other) && usable_other(from, &other)) {
    add_other_tests(probe, from, &other);
  }
  return true;
}
