/*
 * Getting one allocation: the relays of the configuration over UDP and over TCP, one after the
 * other with a short lead (RFC 8305 does so for TCP alone), and whichever allocates first is taken;
 * the others are given back.
 */
#include "internal.h"

#include "base/addr.h"
#include <stdio.h>
#include <string.h>

enum {
  /* Of a leg before the next one: relays answer within two round trips, and one more allocation
   * that is given back costs little. */
  LEAD_MS = 500,
  /* The pipe keeps alive every 15 s, and the peer answers that: silence for longer means that the
   * peer or the relay is gone. */
  SILENCE_US = 20000000,
  /* Datagrams that wait for a slow stream are late when they come: over this they are dropped,
   * like at any other narrow hop. Room for a round trip of 0.5 s at 1 Mbit/s. */
  QUEUE_MAX = 65536,
};

/* Five tries within five seconds: a relay that is not there by then leaves its share of the time to
 * others. */
static const wg_stun_timing by_udp = {.rto_ms = 250, .sends = 5, .rm = 4, .timeout_ms = 5000};
/* TCP repeats by itself, and must not be given up while it does, above all not under a pipe. */
static const wg_stun_timing by_stream = {.reliable = true, .timeout_ms = 15000};

static legs *legs_of(warp_attempt *attempt) {
  turn_state *state = warp_attempt_state(attempt);
  return &state->legs;
}

static bool in_use(const leg *one) {
  return one->state == LEG_CONNECTING || one->state == LEG_ALLOCATING || one->state == LEG_READY;
}

bool wg_turn_udp_blocked(const warp_endpoint *end) {
  return end->udp.confidence == 0 && end->tcp.confidence > 0;
}

/* ---- the order ------------------------------------------------------------------------------- */

static void add(legs *all, const warp_relay *relay, warp_transport transport) {
  if ((relay->transports & transport) != 0 && all->count < LEGS_MAX)
    all->all[all->count++] = (leg){.relay = *relay, .transport = transport};
}

/* UDP first, unless it was measured not to get out. Where it does, a relay that is silent is likely
 * dead, and the next one is better than the same over TCP. */
static void list(warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  const warp_endpoint *self = combo->self;
  legs *all = legs_of(attempt);
  warp_relay relay;
  unsigned count = 0, limit = warp_attempt_turn_limit(attempt);
  while (count < limit && warp_attempt_relay(attempt, count, &relay) == WARP_OK)
    count++;
  bool blocked = wg_turn_udp_blocked(self);
  bool known = self->udp.confidence > 0 || blocked;
  warp_transport order[] = {blocked ? WARP_TCP : WARP_UDP, blocked ? WARP_UDP : WARP_TCP};
  for (unsigned i = 0; i < 2 * count; i++) {
    unsigned server = known ? i % count : i / 2;
    warp_transport transport = order[known ? i / count : i % 2];
    (void)warp_attempt_relay(attempt, server, &relay);
    if ((combo->transport & transport) != 0)
      add(all, &relay, transport);
  }
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void to_relay(leg *one, const uint8_t *data, size_t len) {
  if (one->socket != NULL)
    (void)warp_udp_socket_send(one->socket, &one->relay.addr, data, len); /* lost, it is repeated */
  else if (one->stream != NULL)
    (void)warp_server_stream_send(one->stream, data, len); /* its end tells what went wrong */
}

/* Gives the allocation back with one message; where that is lost it ends by itself within its
 * lifetime. */
static void close_leg(warp_attempt *attempt, leg *one) {
  const uint8_t *bytes;
  size_t len;
  uint64_t now = warp_attempt_now_us(attempt);
  if (one->state == LEG_ALLOCATING || one->state == LEG_READY) {
    wg_turn_client_close(&one->client, now);
    if (wg_turn_client_output(&one->client, now, &bytes, &len))
      to_relay(one, bytes, len);
  }
  one->state = LEG_OVER;
  if (one->socket != NULL)
    warp_udp_socket_close(one->socket);
  if (one->stream != NULL)
    warp_server_stream_close(one->stream);
  one->socket = NULL;
  one->stream = NULL;
}

static void start_more(warp_attempt *attempt);

static void fail_leg(warp_attempt *attempt, leg *one, int status, const char *why) {
  legs *all = legs_of(attempt);
  bool was_ready = one->state == LEG_READY;
  one->status = status;
  snprintf(one->why, sizeof one->why, "%s", why);
  close_leg(attempt, one);
  if (was_ready) {
    all->ready = NULL;
    wg_turn_lost(attempt, one);
    return;
  }
  for (size_t i = 0; i < all->count; i++) {
    if (in_use(&all->all[i]))
      return;
  }
  start_more(attempt);
}

static void take_ready(warp_attempt *attempt, leg *one) {
  legs *all = legs_of(attempt);
  one->state = LEG_READY;
  all->ready = one;
  warp_attempt_timer_stop(attempt, SLOT_NEXT);
  for (size_t i = 0; i < all->count; i++) {
    if (&all->all[i] != one)
      close_leg(attempt, &all->all[i]);
  }
  wg_turn_changed(attempt);
}

/* ---- the machine ----------------------------------------------------------------------------- */

/* Is it the address at which the peer is expected? The permission of another one may be refused. */
static bool is_needed(warp_attempt *attempt, const warp_addr *peer) {
  const turn_state *state = warp_attempt_state(attempt);
  const warp_addr *needed = &warp_attempt_combo(attempt)->peer->external_udp;
  return wg_addr_same_ip(peer, state->theirs.family != 0 ? &state->theirs : needed);
}

static void take_event(warp_attempt *attempt, leg *one, const wg_turn_event *event) {
  const char *why = event->reason[0] != '\0' ? event->reason : warp_strerror(event->status);
  switch (event->type) {
  case WG_TURN_EVENT_ALLOCATED:
    take_ready(attempt, one);
    break;
  case WG_TURN_EVENT_PERMITTED:
    wg_turn_changed(attempt);
    break;
  case WG_TURN_EVENT_FORBIDDEN: /* without a channel it goes on by indications */
    if (event->channel == 0 && is_needed(attempt, &event->peer))
      fail_leg(attempt, one, event->status, why);
    break;
  case WG_TURN_EVENT_ENDED:
    fail_leg(attempt, one, event->status, why);
    break;
  }
}

static void pump_leg(warp_attempt *attempt, leg *one, uint64_t now) {
  const uint8_t *bytes;
  size_t len;
  wg_turn_event event;
  while (one->state == LEG_ALLOCATING || one->state == LEG_READY) {
    while (wg_turn_client_output(&one->client, now, &bytes, &len))
      to_relay(one, bytes, len);
    if (!wg_turn_client_event(&one->client, &event))
      return;
    take_event(attempt, one, &event);
  }
}

void wg_legs_pump(warp_attempt *attempt) {
  legs *all = legs_of(attempt);
  uint64_t now = warp_attempt_now_us(attempt), deadline = UINT64_MAX;
  for (size_t i = 0; i < all->count; i++)
    pump_leg(attempt, &all->all[i], now);
  for (size_t i = 0; i < all->count; i++) {
    const leg *one = &all->all[i];
    bool driven = one->state == LEG_ALLOCATING || one->state == LEG_READY;
    uint64_t next = driven ? wg_turn_client_deadline(&one->client) : UINT64_MAX;
    deadline = next < deadline ? next : deadline;
  }
  if (deadline != UINT64_MAX)
    warp_attempt_timer(attempt, SLOT_MACHINE,
                       deadline > now ? (uint32_t)((deadline - now + 999) / 1000) : 0,
                       wg_legs_pump);
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void input(warp_attempt *attempt, leg *one, const uint8_t *bytes, size_t len,
                  const warp_addr *from) {
  warp_addr peer;
  const uint8_t *data;
  size_t data_len;
  uint64_t now = warp_attempt_now_us(attempt);
  if (wg_turn_client_input(&one->client, bytes, len, from, now, &peer, &data, &data_len) != WARP_OK)
    return;
  one->heard_us = now;
  if (data == NULL)
    wg_legs_pump(attempt);
  else if (one->state == LEG_READY)
    wg_turn_received(attempt, data, data_len, &peer);
}

static void on_datagram(warp_attempt *attempt, warp_udp_socket *socket, const uint8_t *bytes,
                        size_t len, const warp_addr *from) {
  legs *all = legs_of(attempt);
  for (size_t i = 0; i < all->count; i++) {
    if (all->all[i].socket == socket)
      input(attempt, &all->all[i], bytes, len, from);
  }
}

static leg *leg_of(warp_attempt *attempt, const warp_server_stream *stream) {
  legs *all = legs_of(attempt);
  for (size_t i = 0; i < all->count; i++) {
    if (all->all[i].stream == stream)
      return &all->all[i];
  }
  return NULL;
}

static void on_data(warp_attempt *attempt, warp_server_stream *stream, const uint8_t *data,
                    size_t len) {
  const uint8_t *frame;
  size_t frame_len;
  leg *one = leg_of(attempt, stream);
  while (one != NULL && one->stream == stream) { /* a frame may end the leg */
    int status = wg_turn_deframe(&one->in, &data, &len, &frame, &frame_len);
    if (status == WARP_OK) {
      input(attempt, one, frame, frame_len, &one->relay.addr);
      continue;
    }
    if (status != WARP_AGAIN)
      fail_leg(attempt, one, status, "it does not speak TURN");
    return;
  }
}

static void on_end(warp_attempt *attempt, warp_server_stream *stream, int status) {
  leg *one = leg_of(attempt, stream);
  if (one != NULL)
    fail_leg(attempt, one, status, warp_strerror(status));
}

/* ---- starting -------------------------------------------------------------------------------- */

static int entropy(void *arg, void *out, size_t len) {
  return warp_attempt_entropy(arg, out, len);
}

static int allocate(warp_attempt *attempt, leg *one) {
  wg_turn_options options = {.server = one->relay.addr,
                             .user = one->relay.user,
                             .password = one->relay.password,
                             .family = warp_attempt_combo(attempt)->family,
                             .timing = one->stream != NULL ? by_stream : by_udp,
                             .random = entropy,
                             .random_arg = attempt};
  int status = wg_turn_client_start(&one->client, &options, warp_attempt_now_us(attempt));
  if (status == WARP_OK)
    one->state = LEG_ALLOCATING;
  return status;
}

static void on_open(warp_attempt *attempt, warp_server_stream *stream, int status) {
  leg *one = leg_of(attempt, stream);
  if (one == NULL)
    return;
  if (status == WARP_OK)
    status = allocate(attempt, one);
  if (status == WARP_OK)
    wg_legs_pump(attempt);
  else
    fail_leg(attempt, one, status,
             status == WARP_UNTRUSTED ? "its certificate is not trusted" : warp_strerror(status));
}

static int start_leg(warp_attempt *attempt, leg *one) {
  static const warp_server_handlers handlers = {
      .on_open = on_open, .on_data = on_data, .on_end = on_end};
  if (one->transport == WARP_TCP) {
    one->state = LEG_CONNECTING;
    return warp_attempt_server_stream(attempt, &one->relay.addr, one->relay.tls_name, &handlers,
                                      &one->stream);
  }
  int status = warp_attempt_udp(attempt, on_datagram, &one->socket);
  return status == WARP_OK ? allocate(attempt, one) : status;
}

/* The next leg that starts; those that cannot are over at once. */
static void start_more(warp_attempt *attempt) {
  legs *all = legs_of(attempt);
  size_t i = 0;
  for (; i < all->count; i++) {
    leg *one = &all->all[i];
    if (one->state != LEG_WAITING)
      continue;
    one->status = start_leg(attempt, one);
    if (one->status == WARP_OK)
      break;
    snprintf(one->why, sizeof one->why, "%s", warp_strerror(one->status));
    close_leg(attempt, one);
  }
  if (i == all->count)
    warp_attempt_timer_stop(attempt, SLOT_NEXT);
  else
    warp_attempt_timer(attempt, SLOT_NEXT, LEAD_MS, start_more);
  if (wg_legs_exhausted(all))
    wg_turn_changed(attempt);
  else
    wg_legs_pump(attempt);
}

void wg_legs_seek(warp_attempt *attempt) {
  legs *all = legs_of(attempt);
  if (all->sought)
    return;
  all->sought = true;
  list(attempt);
  start_more(attempt);
}

/* ---- what the other half asks ---------------------------------------------------------------- */

bool wg_legs_exhausted(const legs *all) {
  for (size_t i = 0; i < all->count; i++) {
    if (all->all[i].state != LEG_OVER)
      return false;
  }
  return all->sought;
}

int wg_legs_explain(const legs *all, char *out, size_t room) {
  size_t len = 0;
  snprintf(out, room, "no TURN server configured");
  for (size_t i = 0; i < all->count && len < room; i++) {
    const leg *one = &all->all[i];
    char text[WARP_ADDR_STRLEN];
    const char *by = one->transport == WARP_UDP ? "UDP" : one->relay.tls_name ? "TLS" : "TCP";
    int more = snprintf(out + len, room - len, "%s%s %s: %s", i > 0 ? "; " : "relay ",
                        warp_addr_format(&one->relay.addr, text), by, one->why);
    len += more > 0 ? (size_t)more : 0;
  }
  return all->count > 0 ? all->all[0].status : WARP_NO_SERVER;
}

int wg_leg_send(leg *one, const warp_addr *to, const void *data, size_t len) {
  uint8_t wrapped[WG_STUN_MAX];
  if (one->stream != NULL && warp_server_stream_queued(one->stream) > QUEUE_MAX)
    return WARP_AGAIN;
  int wrapped_len = wg_turn_client_send(&one->client, to, data, len, wrapped, sizeof wrapped);
  if (wrapped_len < 0)
    return wrapped_len == WARP_STATE ? WARP_AGAIN : wrapped_len;
  if (one->stream != NULL)
    return warp_server_stream_send(one->stream, wrapped, (size_t)wrapped_len);
  return warp_udp_socket_send(one->socket, &one->relay.addr, wrapped, (size_t)wrapped_len);
}

void wg_legs_check(warp_attempt *attempt) {
  legs *all = legs_of(attempt);
  uint64_t now = warp_attempt_now_us(attempt);
  if (all->ready == NULL || now - all->ready->heard_us < SILENCE_US)
    return;
  wg_turn_client_check(&all->ready->client, now);
  wg_legs_pump(attempt);
}

void wg_legs_close(warp_attempt *attempt) {
  legs *all = legs_of(attempt);
  all->ready = NULL;
  warp_attempt_timer_stop(attempt, SLOT_NEXT);
  for (size_t i = 0; i < all->count; i++)
    close_leg(attempt, &all->all[i]);
}
