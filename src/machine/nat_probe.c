#include "machine/nat_probe.h"

#include "base/addr.h"
#include "machine/nat_infer.h"

#include <string.h>

enum {
  SENDS = 3,              /* with one packet in ten lost each way, all are lost in 0.7 % */
  SENDS_UNDER_LOSS = 6,   /* of what usually stays silent, once a loss was seen */
  FIRST_SPACING_MS = 100, /* doubled while no round trip is known */
  SPACING_MIN_MS = 50,    /* between sends once it is known: 1.5 of it, within these */
  SPACING_MAX_MS = 200,
  SILENCE_MIN_MS = 300, /* after the last send */
  SILENCE_ROUND_TRIPS = 4,
  SPACING_DOUBLINGS_MAX = 4,
  /* Of what usually stays silent: a quarter of a round trip between sends. */
  QUIET_SPACING_MIN_MS = 5,
  QUIET_SILENCE_MIN_MS = 60,
  HAIRPIN_SILENCE_MIN_MS = 50,
  PORT_MIN = 1024, /* of external addresses that we send to: below are services */
};

/* ---- tests ----------------------------------------------------------------------------------- */

static void add_test(wg_nat_probe *probe, wg_probe_socket socket, wg_probe_kind kind,
                     const warp_addr *server, unsigned owner) {
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
  *test = (wg_probe_test){.socket = socket,
                          .kind = kind,
                          .local = probe->local[socket],
                          .server = *server,
                          .owner = owner};
  if (probe->random(probe->random_arg, test->txid.bytes, WG_STUN_TXID_LEN) == WARP_OK) {
    probe->count++;
  }
}

int wg_nat_probe_start(wg_nat_probe *probe, const wg_probe_options *options, uint64_t now_us) {
  uint32_t timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : WG_PROBE_TIMEOUT_MS;
  *probe = (wg_nat_probe){
      .random = options->random,
      .random_arg = options->random_arg,
      .give_up_us = now_us + (uint64_t)timeout_ms * 1000,
  };
  memcpy(probe->local, options->local, sizeof probe->local);
  if (options->random == NULL || options->server_count == 0 ||
      options->server_count > WG_PROBE_SERVERS) {
    return WARP_INVALID;
  }
  for (size_t i = 0; i < options->server_count; i++) {
    if (wg_addr_ip_len(&options->servers[i]) == 0 ||
        options->servers[i].family != options->servers[0].family) {
      return WARP_INVALID;
    }
    add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, &options->servers[i], (unsigned)i);
  }
  if (probe->count == 0) {
    return WARP_IO;
  }
  probe->server_count = probe->count;
  probe->running = true;
  return WARP_OK;
}

/* More of the kind, as soon as one server is known to answer. */
static void add_samples(wg_nat_probe *probe, const wg_probe_test *answered) {
  bool translated = !wg_addr_equal(&answered->mapped, &answered->local);
  bool preserved = answered->mapped.port == answered->local.port;
  probe->sampling = true;
  if (!translated) {
    return;
  }
  add_test(probe, WG_PROBE_HAIRPIN_A, WG_PROBE_PLAIN, &answered->server, answered->owner);
  add_test(probe, WG_PROBE_HAIRPIN_B, WG_PROBE_PLAIN, &answered->server, answered->owner);
  for (unsigned i = WG_PROBE_SAMPLE; i < WG_PROBE_SOCKETS && !preserved; i++) {
    add_test(probe, (wg_probe_socket)i, WG_PROBE_PLAIN, &answered->server, answered->owner);
  }
}

static void add_change_test(wg_nat_probe *probe, wg_probe_kind kind, const warp_addr *server,
                            unsigned owner, const warp_addr *expected) {
  size_t before = probe->count;
  add_test(probe, WG_PROBE_FILTERING, kind, server, owner);
  if (probe->count > before) {
    probe->tests[before].from = *expected;
  }
}

/* What needs another address, as soon as a server has told one. */
static void add_other_tests(wg_nat_probe *probe, const wg_probe_test *answered,
                            const warp_addr *other) {
  warp_addr server = answered->server;
  unsigned owner = answered->owner;
  warp_addr same_ip = wg_addr_with_port(&server, other->port);
  warp_addr same_port = wg_addr_with_port(other, server.port);
  add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, &same_port, owner);
  add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, other, owner);
  add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, &same_ip, owner);
  add_test(probe, WG_PROBE_FILTERING, WG_PROBE_PLAIN, &server, owner);
  add_change_test(probe, WG_PROBE_CHANGE_PORT, &server, owner, &same_ip);
  add_change_test(probe, WG_PROBE_CHANGE_BOTH, &server, owner, other);
  probe->filtering = true;
  probe->other = *other;
  probe->owner = owner;
}

static const wg_probe_test *answered_of(const wg_nat_probe *probe, wg_probe_socket socket) {
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *test = &probe->tests[i];
    if (test->socket == socket && test->kind == WG_PROBE_PLAIN &&
        test->outcome == WG_PROBE_ANSWERED) {
      return test;
    }
  }
  return NULL;
}

/* An external address that a server told is sent to only when it can be ours: as far out as the
 * server, and no service's. */
static bool usable_external(const wg_probe_test *test) {
  return wg_addr_get_scope(&test->mapped) == wg_addr_get_scope(&test->server) &&
         test->mapped.port >= PORT_MIN;
}

/* Both send at once, because a NAT that filters wants to have seen a packet of each. */
static void add_hairpin_tests(wg_nat_probe *probe) {
  const wg_probe_test *a = answered_of(probe, WG_PROBE_HAIRPIN_A);
  const wg_probe_test *b = answered_of(probe, WG_PROBE_HAIRPIN_B);
  if (probe->hairpin || a == NULL || b == NULL) {
    return;
  }
  probe->hairpin = true;
  if (usable_external(a) && usable_external(b) && wg_addr_same_ip(&a->mapped, &b->mapped)) {
    add_test(probe, WG_PROBE_HAIRPIN_A, WG_PROBE_HAIRPIN, &b->mapped, b->owner);
    add_test(probe, WG_PROBE_HAIRPIN_B, WG_PROBE_HAIRPIN, &a->mapped, a->owner);
  }
}

/* ---- timing ---------------------------------------------------------------------------------- */

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high) {
  return value < low ? low : value > high ? high : value;
}

static uint64_t at_least_ms(uint64_t value_us, unsigned ms) {
  return clamp(value_us, (uint64_t)ms * 1000, UINT64_MAX);
}

/* Is silence a usual outcome? */
static bool is_quiet(const wg_probe_test *test) {
  return test->kind == WG_PROBE_CHANGE_PORT || test->kind == WG_PROBE_CHANGE_BOTH ||
         test->kind == WG_PROBE_HAIRPIN;
}

static bool asks_for_change(const wg_probe_test *test) {
  return test->kind == WG_PROBE_CHANGE_PORT || test->kind == WG_PROBE_CHANGE_BOTH;
}

static bool sent_out(const wg_nat_probe *probe, const wg_probe_test *test) {
  unsigned sends = is_quiet(test) && probe->loss ? SENDS_UNDER_LOSS : SENDS;
  return probe->result.rtt_us != 0 && test->sent >= sends;
}

/* Is it still open whether the address answers at all, that an answer to a change would come from?
 */
static bool source_is_open(const wg_nat_probe *probe, const wg_probe_test *change) {
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *test = &probe->tests[i];
    if (test->socket == WG_PROBE_MAPPING && test->outcome == WG_PROBE_RUNNING &&
        wg_addr_equal(&test->server, &change->from)) {
      return true;
    }
  }
  return false;
}

/* Since when an answer to a request for a change is awaited: since it was sent, or would have been
 * for its answer to come with the witness's. UINT64_MAX: the server may not have come to it yet. */
static uint64_t awaited_since_us(const wg_nat_probe *probe, const wg_probe_test *change) {
  const wg_probe_test *witness = NULL;
  for (size_t i = 0; i < probe->count && witness == NULL; i++) {
    witness = probe->tests[i].kind == WG_PROBE_WITNESS ? &probe->tests[i] : NULL;
  }
  if (witness == NULL || witness->outcome == WG_PROBE_RUNNING) {
    return witness == NULL ? change->last_us : UINT64_MAX;
  }
  uint64_t like_us = witness->rtt_us > probe->rtt_least_us
                         ? witness->first_us + witness->rtt_us - probe->rtt_least_us
                         : 0;
  return like_us > change->last_us ? like_us : change->last_us;
}

/* When all requests for a change were sent that are without an answer. */
static void call_witness(wg_nat_probe *probe) {
  const wg_probe_test *change = NULL;
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *test = &probe->tests[i];
    if (!asks_for_change(test) || test->outcome != WG_PROBE_RUNNING) {
      continue;
    }
    if (!sent_out(probe, test)) {
      return;
    }
    change = test;
  }
  if (change != NULL) {
    add_test(probe, WG_PROBE_FILTERING, WG_PROBE_WITNESS, &change->server, change->owner);
  }
}

static uint64_t quiet_deadline(const wg_nat_probe *probe, const wg_probe_test *test) {
  uint64_t rtt_us = probe->result.rtt_us, spread_us = rtt_us - probe->rtt_least_us;
  if (!sent_out(probe, test)) {
    return test->last_us + clamp(rtt_us / 4, QUIET_SPACING_MIN_MS * 1000, SPACING_MAX_MS * 1000);
  }
  if (test->kind == WG_PROBE_HAIRPIN) { /* no farther than the NAT */
    return test->last_us + at_least_ms(rtt_us, HAIRPIN_SILENCE_MIN_MS);
  }
  uint64_t since_us = awaited_since_us(probe, test);
  if (source_is_open(probe, test) || since_us == UINT64_MAX) {
    return UINT64_MAX;
  }
  return since_us + at_least_ms(2 * (rtt_us + spread_us), QUIET_SILENCE_MIN_MS);
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
  if (is_quiet(test)) {
    return quiet_deadline(probe, test);
  }
  if (sent_out(probe, test)) {
    return test->last_us + at_least_ms(SILENCE_ROUND_TRIPS * rtt_us, SILENCE_MIN_MS);
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

/* Which server to go on with, after those that are outvoted were taken out. */
static void choose_server(wg_nat_probe *probe) {
  for (size_t i = probe->server_count; i-- > 0;) {
    const wg_probe_test *test = &probe->tests[i];
    if (test->outcome == WG_PROBE_ANSWERED) {
      probe->result.server = test->owner;
      probe->result.external = test->mapped;
    }
  }
}

static void finish(wg_nat_probe *probe) {
  probe->running = false;
  probe->done = true;
  probe->result.status = probe->result.rtt_us != 0 ? WARP_OK : WARP_TIMEOUT;
  for (size_t i = 0; i < probe->server_count; i++) {
    probe->result.server_rtt_us[probe->tests[i].owner] = probe->tests[i].rtt_us;
  }
  probe->result.axes = wg_nat_infer(probe->tests, probe->count);
  choose_server(probe);
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
  if (asks_for_change(test)) {
    uint32_t change = test->kind == WG_PROBE_CHANGE_PORT ? WG_STUN_CHANGE_PORT
                                                         : WG_STUN_CHANGE_PORT | WG_STUN_CHANGE_IP;
    wg_stun_attr_u32(&writer, WG_STUN_CHANGE_REQUEST, change);
  }
  return (size_t)wg_stun_end(&writer);
}

/* Was this end of waiting noticed so late that it is to be waited for once more? */
static bool rests(uint64_t due_us, uint64_t now_us, unsigned *rests) {
  return now_us > due_us && now_us - due_us > WG_PROBE_LATE_MS * UINT64_C(1000) &&
         (*rests)++ < WG_PROBE_RESTS;
}

/* What was waited for long enough is silent. Again, because some wait for the end of others. */
static void end_waiting(wg_nat_probe *probe, uint64_t now_us) {
  bool any;
  do {
    any = false;
    for (size_t i = 0; i < probe->count; i++) {
      wg_probe_test *test = &probe->tests[i];
      uint64_t due_us = test_deadline(probe, test);
      if (now_us < due_us || !sent_out(probe, test)) {
        continue;
      }
      if (rests(due_us, now_us, &test->rests)) {
        test->last_us = now_us;
      } else {
        test->outcome = WG_PROBE_SILENT;
        any = true;
      }
    }
  } while (any);
}

bool wg_nat_probe_output(wg_nat_probe *probe, uint64_t now_us, wg_probe_packet *out) {
  if (!probe->running) {
    return false;
  }
  if (probe->result.rtt_us == 0 && now_us >= probe->give_up_us) {
    if (!rests(probe->give_up_us, now_us, &probe->rests)) {
      finish(probe);
      return false;
    }
    probe->give_up_us = now_us + SILENCE_MIN_MS * UINT64_C(1000);
  }
  end_waiting(probe, now_us);
  call_witness(probe);
  for (size_t i = 0; i < probe->count; i++) {
    wg_probe_test *test = &probe->tests[i];
    if (now_us < test_deadline(probe, test) || sent_out(probe, test)) {
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

static wg_probe_test *find_test(wg_nat_probe *probe, wg_probe_socket socket, bool hairpin,
                                const wg_stun_message *message) {
  for (size_t i = 0; i < probe->count; i++) {
    wg_probe_test *test = &probe->tests[i];
    if (test->socket == socket && (test->kind == WG_PROBE_HAIRPIN) == hairpin &&
        test->outcome == WG_PROBE_RUNNING && test->sent > 0 &&
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
  bool changes = asks_for_change(test);
  if (!changes && !from_asked) {
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
  test->outcome = changes && from_asked ? WG_PROBE_REFUSED : WG_PROBE_ANSWERED;
  return true;
}

bool wg_nat_probe_may_ask(const warp_addr *server, const warp_addr *other) {
  bool service = other->port < PORT_MIN && server->port >= PORT_MIN;
  return other->family == server->family && !wg_addr_same_ip(other, server) &&
         other->port != server->port && other->port != 0 && !service &&
         wg_addr_get_scope(other) == wg_addr_get_scope(server);
}

static void note_round_trip(wg_nat_probe *probe, wg_probe_test *test, uint64_t now_us) {
  wg_probe_result *result = &probe->result;
  test->rtt_us = (uint32_t)clamp(now_us - test->first_us, 1, UINT32_MAX);
  if (test->kind == WG_PROBE_WITNESS) {
    return; /* what it waited for is no measure of the path */
  }
  if (result->rtt_us == 0 || test->rtt_us < probe->rtt_least_us) {
    probe->rtt_least_us = test->rtt_us;
  }
  result->rtt_us = test->rtt_us > result->rtt_us ? test->rtt_us : result->rtt_us;
  probe->loss |= !is_quiet(test) && test->sent > 1;
}

/* Starts what an answer makes possible. */
static void follow_up(wg_nat_probe *probe, const wg_probe_test *test,
                      const wg_stun_message *message) {
  warp_addr other;
  if (asks_for_change(test)) {
    /* Only where it said that it would answer from: a source that it forged is somebody else's. */
    warp_addr same_ip = wg_addr_with_port(&test->server, probe->other.port);
    const warp_addr *told = test->kind == WG_PROBE_CHANGE_PORT ? &same_ip : &probe->other;
    if (!wg_addr_equal(&test->mapped, &test->local) && wg_addr_equal(&test->from, told)) {
      add_test(probe, WG_PROBE_FILTERING, WG_PROBE_REUSE, &test->from, test->owner);
    }
    return;
  }
  if (!probe->sampling) {
    add_samples(probe, test);
  }
  if (!probe->filtering && wg_stun_find_addr(message, WG_STUN_OTHER_ADDRESS, &other) &&
      wg_nat_probe_may_ask(&test->server, &other)) {
    add_other_tests(probe, test, &other);
  }
  add_hairpin_tests(probe);
}

/* Our own request, back from the NAT. */
static bool take_hairpin(wg_nat_probe *probe, wg_probe_socket socket,
                         const wg_stun_message *message, const warp_addr *from) {
  wg_probe_socket sender = socket == WG_PROBE_HAIRPIN_A ? WG_PROBE_HAIRPIN_B : WG_PROBE_HAIRPIN_A;
  wg_probe_test *test = find_test(probe, sender, true, message);
  const wg_probe_test *plain = answered_of(probe, sender);
  if (test == NULL || plain == NULL) {
    return false;
  }
  test->from = *from;
  test->outcome = wg_addr_same_ip(from, &plain->mapped) ? WG_PROBE_ANSWERED : WG_PROBE_REFUSED;
  return true;
}

bool wg_nat_probe_input(wg_nat_probe *probe, wg_probe_socket socket, const uint8_t *bytes,
                        size_t len, const warp_addr *from, uint64_t now_us) {
  wg_stun_message message;
  if (!probe->running || wg_stun_decode(bytes, len, &message) != WARP_OK ||
      message.method != WG_STUN_BINDING) {
    return false;
  }
  if (message.class == WG_STUN_REQUEST) {
    return take_hairpin(probe, socket, &message, from);
  }
  wg_probe_test *test = find_test(probe, socket, false, &message);
  if (test == NULL || !take_answer(test, &message, from)) {
    return false;
  }
  if (test->outcome == WG_PROBE_ANSWERED) {
    note_round_trip(probe, test, now_us);
    follow_up(probe, test, &message);
  }
  return true;
}

/* ---- what is known before the end ------------------------------------------------------------ */

bool wg_nat_probe_first(const wg_nat_probe *probe, warp_addr *external) {
  const wg_probe_test *first = NULL;
  bool all = true, again = false;
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *test = &probe->tests[i];
    bool answered = test->outcome == WG_PROBE_ANSWERED;
    if (i >= probe->server_count) {
      again |= answered;
      continue;
    }
    all &= test->outcome != WG_PROBE_RUNNING;
    first = first == NULL && answered ? test : first;
  }
  if (first == NULL || !(all || again)) {
    return false;
  }
  *external = first->mapped;
  return true;
}

/* Should two destinations be seen to have the same mapping? */
static bool expects_same(const warp_nat_axes *axes, const warp_addr *a, const warp_addr *b) {
  return axes->mapping == WARP_NAT_ENDPOINT_INDEPENDENT ||
         (axes->mapping == WARP_NAT_ADDRESS_DEPENDENT && wg_addr_same_ip(a, b));
}

bool wg_nat_probe_agrees(const wg_nat_probe *probe, const warp_nat_axes *axes) {
  bool preserved = false, translated = false;
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *a = &probe->tests[i];
    if (a->socket != WG_PROBE_MAPPING || a->outcome != WG_PROBE_ANSWERED) {
      continue;
    }
    preserved |= a->mapped.port == a->local.port;
    translated |= !wg_addr_equal(&a->mapped, &a->local);
    for (size_t j = 0; j < i; j++) {
      const wg_probe_test *b = &probe->tests[j];
      if (b->socket == WG_PROBE_MAPPING && b->outcome == WG_PROBE_ANSWERED &&
          wg_addr_equal(&a->mapped, &b->mapped) != expects_same(axes, &a->server, &b->server)) {
        return false;
      }
    }
  }
  return preserved == (axes->allocation == WARP_ALLOC_PRESERVING) &&
         translated == (axes->translation == WARP_TRANSLATION_NAT);
}
