/* A small model of a NAT and of RFC 5780 servers in virtual time, for measuring. */
#ifndef TESTS_MACHINE_NAT_PROBE_RIG_H
#define TESTS_MACHINE_NAT_PROBE_RIG_H

#include "base/addr.h"
#include "base/rng.h"
#include "machine/nat_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000, FLIGHTS = 256, BINDINGS = 128, RTT_MS = 40, FIRST_PORT = 30001 };

typedef enum server_kind {
  FULL_SERVER,     /* RFC 5780 */
  PLAIN_SERVER,    /* ignores CHANGE-REQUEST, has no OTHER-ADDRESS */
  REFUSING_SERVER, /* tells of its other address, but answers CHANGE-REQUEST with error 420 */
  STUCK_SERVER,    /* tells of its other address, and answers CHANGE-REQUEST from the same one */
  HALF_SERVER,     /* nothing can reach nor leave its other IP */
  FORGING_SERVER,  /* answers CHANGE-REQUEST with the source of somebody else */
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
  bool no_nat, hairpin, reuse;
  unsigned foreign_flows; /* that others open between two of ours */
  uint16_t block;         /* random ports lie in a block of so many, from 20000 on */
  warp_addr liar, lie;    /* a server, and the address that it tells everybody */
  server_kind kind;
  unsigned rtt_ms, loss_percent,
      drop_first;                 /* drop_first: that many packets of the client are lost */
  uint64_t stall_at_us, stall_us; /* we stand still once: packets come, but timers run first */
  uint16_t next_port;
  uint64_t now_us;
  wg_rng rng;
  size_t binding_count, sent_count;
  binding bindings[BINDINGS];
  warp_addr sent_to[BINDINGS]; /* with sent_from: the filter's memory, by outside port */
  uint16_t sent_from[BINDINGS];
  flight flights[FLIGHTS];
  size_t client_packets;
  /* The server has no processor for so long as soon as a CHANGE-REQUEST comes; we have none for so
   * long as soon as one left. */
  unsigned server_stall_ms, own_stall_ms;
  uint64_t stalled_until_us, held_up;
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
static warp_addr victim(void) {
  return addr("192.0.2.66:53");
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
    w.next_port = (uint16_t)(w.next_port + 3 * (1 + wg_rng_below(&w.rng, w.foreign_flows + 1)));
    return w.next_port;
  default:
    break;
  }
  return (uint16_t)(w.block != 0 ? 20000 + wg_rng_below(&w.rng, w.block)
                                 : 1024 + wg_rng_below(&w.rng, 64512));
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

/* A session that began outside keeps its mapping, where the NAT reuses. */
static void remember(uint16_t inside, uint16_t outside, const warp_addr *from) {
  warp_addr key = relevant(w.mapping, from);
  for (size_t i = 0; i < w.binding_count; i++) {
    if (w.bindings[i].inside == inside && wg_addr_equal(&w.bindings[i].to, &key)) {
      return;
    }
  }
  if (w.reuse && !w.no_nat) {
    assert_true(w.binding_count < BINDINGS);
    w.bindings[w.binding_count++] = (binding){.inside = inside, .outside = outside, .to = key};
  }
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
  if (wg_addr_same_ip(to, &w.liar)) {
    return true;
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
    bool lies = wg_addr_same_ip(&w.liar, &request->to);
    wg_stun_attr_addr(&writer, WG_STUN_XOR_MAPPED_ADDRESS, lies ? &w.lie : &request->from);
    if (w.kind != PLAIN_SERVER && !lies) {
      warp_addr other = changed(&request->to, WG_STUN_CHANGE_IP | WG_STUN_CHANGE_PORT);
      wg_stun_attr_addr(&writer, WG_STUN_OTHER_ADDRESS, &other);
    }
    if (w.kind == FULL_SERVER || w.kind == HALF_SERVER) {
      from = changed(&request->to, change);
    }
    from = change != 0 && w.kind == FORGING_SERVER ? victim() : from;
  }
  int len = wg_stun_end(&writer);
  if (is_server(&from) || w.kind == FORGING_SERVER) {
    launch(&from, &request->from, true, bytes, (size_t)len);
  }
}

/* ---- running --------------------------------------------------------------------------------- */

static bool asks_for_change(const uint8_t *bytes, size_t len) {
  wg_stun_message message;
  uint32_t change = 0;
  assert_int_equal(wg_stun_decode(bytes, len, &message), WARP_OK);
  return wg_stun_find_u32(&message, WG_STUN_CHANGE_REQUEST, &change);
}

static void send_output(void) {
  wg_probe_packet packet;
  unsigned changes = 0;
  while (wg_nat_probe_output(&w.probe, w.now_us, &packet)) {
    warp_addr from = outside_host();
    from.port = map_out(w.probe.local[packet.socket].port, &packet.to);
    if (w.client_packets++ >= w.drop_first) {
      launch(&from, &packet.to, false, packet.bytes, packet.len);
    }
    changes += asks_for_change(packet.bytes, packet.len);
  }
  if (changes > 0 && w.own_stall_ms != 0) {
    w.now_us += (uint64_t)w.own_stall_ms * MS; /* and then timers come before what has arrived */
    w.own_stall_ms = 0;
    send_output();
  }
}

/* What arrives at a server that has no processor waits, in its order. */
static bool is_held_up(flight *landed) {
  if (landed->inward || w.server_stall_ms == 0) {
    return false;
  }
  if (w.stalled_until_us == 0 && asks_for_change(landed->bytes, landed->len)) {
    w.stalled_until_us = w.now_us + (uint64_t)w.server_stall_ms * MS;
  }
  if (w.now_us >= w.stalled_until_us) {
    return false;
  }
  landed->at_us = w.stalled_until_us + w.held_up++;
  return true;
}

static void land(flight *landed) {
  if (is_held_up(landed)) {
    return;
  }
  flight packet = *landed;
  landed->used = false;
  warp_addr outside = outside_host();
  bool turns = w.hairpin && wg_addr_same_ip(&packet.to, &outside);
  if (!packet.inward && !turns) {
    if (is_server(&packet.to)) {
      serve(&packet);
    }
    return;
  }
  uint16_t inside = map_in(packet.to.port);
  if (inside == 0 || !lets_in(packet.to.port, &packet.from)) {
    return;
  }
  remember(inside, packet.to.port, &packet.from);
  wg_probe_socket socket = (wg_probe_socket)(inside - FIRST_PORT);
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
  for (unsigned i = 0; i < WG_PROBE_SOCKETS; i++) {
    options.local[i] = wg_addr_with_port(&host, (uint16_t)(FIRST_PORT + i));
  }
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
    uint64_t wake_us = next != NULL && next->at_us < deadline_us ? next->at_us : deadline_us;
    if (w.stall_us != 0 && wake_us >= w.stall_at_us) {
      w.now_us = w.stall_at_us + w.stall_us;
      w.stall_us = 0;
    } else if (next != NULL && next->at_us <= deadline_us) {
      w.now_us = next->at_us > w.now_us ? next->at_us : w.now_us;
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

#endif
