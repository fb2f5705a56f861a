/*
 * A small TCP (RFC 9293): handshake with simultaneous open, ordered data within a fixed window,
 * retransmission from the first lost byte on, half close and reset. Left out are congestion control
 * and TIME-WAIT: random initial sequence numbers keep late duplicates out.
 */
#include "internal.h"

#include <string.h>

enum {
  SYN_RTO_US = 1000000, /* RFC 6298 section 2.1 */
  SYN_TRIES = 7,        /* the first and six more, as Linux does */
  RTO_MIN_US = 200000,
  RTO_MAX_US = 60000000,
  DATA_TRIES = 10,
};

/* ---- sending --------------------------------------------------------------------------------- */

static void send_segment(wg_tcp *tcp, uint8_t flags, uint64_t seq, const void *data, size_t len) {
  size_t waiting = sim_buffer_len(&tcp->in);
  sim_segment segment = {
      .flags = flags,
      .seq = seq,
      .ack = flags & SIM_ACK ? tcp->expected : 0,
      .window = waiting < SIM_TCP_WINDOW ? (uint32_t)(SIM_TCP_WINDOW - waiting) : 0,
  };
  sim_send(tcp->host, WARP_TCP, &tcp->local, &tcp->remote, &segment, data, len, &tcp->order_us);
}

/* Moves on what is counted as sent. */
static void advance(wg_tcp *tcp, uint64_t next) {
  tcp->next = next;
  tcp->peak = tcp->peak < next ? next : tcp->peak;
}

void sim_tcp_send_ack(wg_tcp *tcp) {
  send_segment(tcp, SIM_ACK, tcp->next, NULL, 0);
}

void sim_tcp_send_reset(wg_tcp *tcp) {
  send_segment(tcp, SIM_RST | SIM_ACK, tcp->peak, NULL, 0);
}

/* The round trip is that of the last SYN, as timestamps (RFC 7323 section 4) show it: one that a
 * filter swallowed long before says nothing of the path. */
static void send_syn(wg_tcp *tcp) {
  tcp->begun_us = tcp->host->world->now_us;
  uint8_t flags = tcp->state == SIM_TCP_SYN_SENT ? SIM_SYN : SIM_SYN | SIM_ACK;
  send_segment(tcp, flags, tcp->iss, NULL, 0);
  advance(tcp, tcp->iss + 1);
}

/* The sequence number after the last byte that waits: the FIN's. */
static uint64_t end_of_data(const wg_tcp *tcp) {
  return tcp->una + sim_buffer_len(&tcp->out);
}

static void retransmit(void *arg);

/* The timer runs while something is not acknowledged, or waits for the peer's window to open. */
static void arm_retransmit(wg_tcp *tcp) {
  sim_world *world = tcp->host->world;
  if (tcp->una < tcp->next || sim_buffer_len(&tcp->out) > 0) {
    sim_event_start(world, &tcp->retransmit, tcp->rto_us, retransmit, tcp);
  }
}

void sim_tcp_start(wg_tcp *tcp) {
  tcp->rto_us = SYN_RTO_US;
  tcp->tries = 1;
  send_syn(tcp);
  arm_retransmit(tcp);
}

void sim_tcp_push(wg_tcp *tcp) {
  if (tcp->state != SIM_TCP_OPEN) {
    return;
  }
  uint64_t end = end_of_data(tcp);
  uint64_t allowed = tcp->una + tcp->peer_window;
  allowed = allowed < end ? allowed : end;
  while (tcp->next < allowed) {
    uint64_t len = allowed - tcp->next;
    len = len < SIM_TCP_SEGMENT ? len : SIM_TCP_SEGMENT;
    const uint8_t *data = sim_buffer_bytes(&tcp->out) + (tcp->next - tcp->una);
    send_segment(tcp, SIM_ACK, tcp->next, data, (size_t)len);
    advance(tcp, tcp->next + len);
  }
  if (tcp->fin_queued && !tcp->fin_acked && tcp->next == end) {
    send_segment(tcp, SIM_FIN | SIM_ACK, tcp->next, NULL, 0);
    advance(tcp, end + 1);
  }
  if (!tcp->retransmit.running) {
    arm_retransmit(tcp);
  }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The connection is no more: tells its owner, or frees it when it has none. */
static void die(wg_tcp *tcp, int status) {
  bool opening = tcp->state != SIM_TCP_OPEN;
  bool told = tcp->ended;
  if (!tcp->owned) {
    sim_tcp_free(tcp);
    return;
  }
  wg_timers_stop(&tcp->host->world->events, &tcp->retransmit);
  wg_timers_stop(&tcp->host->world->events, &tcp->resume);
  tcp->state = SIM_TCP_DEAD;
  tcp->ended = true;
  void (*tell)(void *arg, int status) = opening ? tcp->handlers.on_open : tcp->handlers.on_end;
  if (tell != NULL && !told) {
    tell(tcp->arg, status);
  }
}

/* Closed by its owner, and nothing is left to be said by either side. */
static bool finished(const wg_tcp *tcp) {
  return !tcp->owned && tcp->listener == NULL && tcp->fin_acked && tcp->peer_fin;
}

static void retransmit(void *arg) {
  wg_tcp *tcp = arg;
  bool opening = tcp->state != SIM_TCP_OPEN;
  if (tcp->tries >= (opening ? SYN_TRIES : DATA_TRIES)) {
    die(tcp, WARP_TIMEOUT);
    return;
  }
  tcp->tries++;
  tcp->rto_us = tcp->rto_us * 2 < RTO_MAX_US || opening ? tcp->rto_us * 2 : RTO_MAX_US;
  if (opening) {
    send_syn(tcp);
  } else if (tcp->una == tcp->next) {
    send_segment(tcp, SIM_ACK | SIM_PROBE, tcp->next, NULL, 0);
  } else {
    tcp->next = tcp->una;
    sim_tcp_push(tcp);
  }
  arm_retransmit(tcp);
}

/* ---- handing up ------------------------------------------------------------------------------ */

static void drained(void *arg) {
  wg_tcp *tcp = arg;
  if (tcp->state == SIM_TCP_OPEN && sim_tcp_queued(tcp) == 0 && tcp->handlers.on_drain != NULL) {
    tcp->handlers.on_drain(tcp->arg);
  }
}

void sim_tcp_deliver(wg_tcp *tcp) {
  while (tcp->owned && !tcp->paused && sim_buffer_len(&tcp->in) > 0) {
    uint8_t chunk[SIM_TCP_SEGMENT]; /* a copy: the handle may be closed by the callback */
    size_t len = sim_buffer_len(&tcp->in);
    len = len < sizeof chunk ? len : sizeof chunk;
    memcpy(chunk, sim_buffer_bytes(&tcp->in), len);
    sim_buffer_take(&tcp->in, len);
    if (tcp->handlers.on_data != NULL) {
      tcp->handlers.on_data(tcp->arg, chunk, len);
    }
  }
  if (tcp->owned && !tcp->paused && tcp->peer_fin && !tcp->ended) {
    tcp->ended = true;
    if (tcp->handlers.on_end != NULL) {
      tcp->handlers.on_end(tcp->arg, WARP_CLOSED);
    }
  }
}

static void hand_out(wg_tcp *tcp) {
  wg_tcp_listener *listener = tcp->listener;
  tcp->listener = NULL;
  tcp->owned = true;
  listener->cb(listener->arg, tcp, &tcp->remote);
  if (tcp->owned && !tcp->handled) {
    sim_fail("an accepted connection of %s got no handlers", tcp->host->name);
  }
}

/* The handshake is complete. The handle may be gone afterwards. */
static void open_up(wg_tcp *tcp, const sim_segment *segment) {
  uint64_t round_trip_us = tcp->host->world->now_us - tcp->begun_us;
  wg_timers_stop(&tcp->host->world->events, &tcp->retransmit);
  tcp->state = SIM_TCP_OPEN;
  tcp->una = segment->ack;
  tcp->peer_window = segment->window;
  tcp->tries = 1;
  tcp->rto_us = tcp->rto_base_us = RTO_MIN_US + 2 * round_trip_us;
  if (!tcp->dialled) {
    hand_out(tcp);
  } else if (tcp->handlers.on_open != NULL) {
    tcp->handlers.on_open(tcp->arg, WARP_OK);
  }
  if (!tcp->freed) {
    sim_tcp_push(tcp); /* what was queued before */
  }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void answer_with_reset(sim_host *host, const sim_packet *packet) {
  const sim_segment *got = &packet->segment;
  if (got->flags & SIM_RST) {
    return;
  }
  uint64_t length = packet->len + ((got->flags & SIM_SYN) != 0) + ((got->flags & SIM_FIN) != 0);
  sim_segment reset = {.flags = SIM_RST | SIM_ACK, .seq = got->ack, .ack = got->seq + length};
  sim_send(host, WARP_TCP, &packet->dst, &packet->src, &reset, NULL, 0, NULL);
}

static void take_syn(wg_tcp *tcp, const sim_segment *segment) {
  tcp->expected = segment->seq + 1;
  tcp->peer_window = segment->window;
}

static bool acks_syn(const wg_tcp *tcp, const sim_segment *segment) {
  return (segment->flags & SIM_ACK) && segment->ack == tcp->iss + 1;
}

static void input_syn_sent(wg_tcp *tcp, const sim_packet *packet) {
  const sim_segment *segment = &packet->segment;
  bool acked = acks_syn(tcp, segment);
  if (segment->flags & SIM_RST) {
    if (acked) {
      die(tcp, WARP_CONN_REFUSED);
    }
  } else if ((segment->flags & SIM_ACK) && !acked) {
    answer_with_reset(tcp->host, packet);
  } else if ((segment->flags & SIM_SYN) && acked) {
    take_syn(tcp, segment);
    sim_tcp_send_ack(tcp);
    open_up(tcp, segment);
  } else if (segment->flags & SIM_SYN) {
    /* Both dialled at once: RFC 9293 figure 7. */
    take_syn(tcp, segment);
    tcp->state = SIM_TCP_SYN_RECEIVED;
    send_syn(tcp);
  }
}

/* True when the connection is open now and the segment is to be looked at on. */
static bool input_syn_received(wg_tcp *tcp, const sim_packet *packet) {
  const sim_segment *segment = &packet->segment;
  if (segment->flags & SIM_RST) {
    /* RFC 9293 section 3.10.7.4: one that answers our SYN is stale once the peer's has come. */
    if (segment->seq == tcp->expected) {
      die(tcp, WARP_CONN_REFUSED);
    }
  } else if (acks_syn(tcp, segment)) {
    open_up(tcp, segment);
    return !tcp->freed;
  }
  return false; /* a repeated SYN: our answer is repeated by its timer */
}

/* Forgets what is acknowledged, sends what may be sent now. */
static void take_ack(wg_tcp *tcp, const sim_segment *segment) {
  uint64_t end = end_of_data(tcp) + (tcp->fin_queued && !tcp->fin_acked);
  tcp->peer_window = segment->window;
  tcp->tries = 1; /* the peer is there */
  if (segment->ack > tcp->una && segment->ack <= end) {
    uint64_t freed = segment->ack - tcp->una;
    size_t waiting = sim_buffer_len(&tcp->out);
    tcp->fin_acked = tcp->fin_acked || freed > waiting;
    sim_buffer_take(&tcp->out, freed < waiting ? (size_t)freed : waiting);
    tcp->una = segment->ack;
    tcp->next = tcp->next < tcp->una ? tcp->una : tcp->next;
    tcp->rto_us = tcp->rto_base_us;
    wg_timers_stop(&tcp->host->world->events, &tcp->retransmit);
  }
  sim_tcp_push(tcp);
  if (tcp->owned && tcp->draining && sim_tcp_queued(tcp) == 0) {
    tcp->draining = false;
    sim_event_start(tcp->host->world, &tcp->drain, 0, drained, tcp);
  }
}

/* Data and FIN, as far as they are in order and fit. What comes for a closed handle is dropped, so
 * that what it still sends is not lost by a reset; once that is sent, nobody reads any more. */
static void take_data(wg_tcp *tcp, const sim_packet *packet) {
  const sim_segment *segment = &packet->segment;
  uint64_t old = tcp->expected - segment->seq;
  bool in_order = segment->seq <= tcp->expected && old <= packet->len && !tcp->peer_fin;
  size_t fresh = in_order ? packet->len - (size_t)old : 0;
  if (in_order && fresh <= SIM_TCP_WINDOW - sim_buffer_len(&tcp->in)) {
    if (!tcp->owned && tcp->fin_acked && fresh > 0) {
      sim_tcp_send_reset(tcp); /* RFC 9293 section 3.6.1 */
      sim_tcp_free(tcp);
      return;
    }
    if (tcp->owned) {
      sim_buffer_append(&tcp->in, packet->data + old, fresh);
    }
    tcp->peer_fin = (segment->flags & SIM_FIN) != 0;
    tcp->expected += fresh + tcp->peer_fin;
  }
  sim_tcp_send_ack(tcp);
  sim_tcp_deliver(tcp);
}

static void input_open(wg_tcp *tcp, const sim_packet *packet) {
  const sim_segment *segment = &packet->segment;
  if (segment->flags & SIM_RST) {
    if (segment->seq >= tcp->expected && segment->seq <= tcp->expected + SIM_TCP_WINDOW) {
      die(tcp, WARP_RESET);
    }
    return;
  }
  if (segment->flags & SIM_SYN) {
    sim_tcp_send_ack(tcp); /* to a repetition, or as a challenge: RFC 9293 section 3.10.7.4 */
    return;
  }
  take_ack(tcp, segment);
  if (packet->len > 0 || (segment->flags & (SIM_FIN | SIM_PROBE)) != 0) {
    take_data(tcp, packet);
  }
  if (!tcp->freed && finished(tcp)) {
    sim_tcp_free(tcp);
  }
}

/* ---- finding whose it is --------------------------------------------------------------------- */

static wg_tcp *find_connection(const sim_host *host, const sim_packet *packet) {
  for (wg_list *item = host->tcp.next; item != &host->tcp; item = item->next) {
    wg_tcp *tcp = WG_CONTAINER(item, wg_tcp, item);
    if (tcp->state != SIM_TCP_DEAD && wg_addr_equal(&tcp->local, &packet->dst) &&
        wg_addr_equal(&tcp->remote, &packet->src)) {
      return tcp;
    }
  }
  return NULL;
}

static wg_tcp_listener *find_listener(const sim_host *host, const sim_packet *packet) {
  wg_tcp_listener *best = NULL;
  for (wg_list *item = host->listeners.next; item != &host->listeners; item = item->next) {
    wg_tcp_listener *listener = WG_CONTAINER(item, wg_tcp_listener, item);
    bool exact = wg_addr_same_ip(&listener->local, &packet->dst);
    if (listener->cb != NULL && sim_bound_matches(&listener->local, &packet->dst) &&
        (best == NULL || (exact && !wg_addr_same_ip(&best->local, &packet->dst)))) {
      best = listener;
    }
  }
  return best;
}

static void input_new(sim_host *host, const sim_packet *packet) {
  wg_tcp_listener *listener = packet->segment.flags == SIM_SYN ? find_listener(host, packet) : NULL;
  if (listener == NULL) {
    answer_with_reset(host, packet);
    return;
  }
  wg_tcp *tcp = sim_tcp_new(host, &packet->dst, &packet->src);
  tcp->state = SIM_TCP_SYN_RECEIVED;
  tcp->listener = listener;
  take_syn(tcp, &packet->segment);
  sim_tcp_start(tcp);
}

void sim_tcp_input(sim_host *host, const sim_packet *packet) {
  wg_tcp *tcp = find_connection(host, packet);
  if (tcp == NULL) {
    input_new(host, packet);
  } else if (tcp->state == SIM_TCP_SYN_SENT) {
    input_syn_sent(tcp, packet);
  } else if (tcp->state == SIM_TCP_OPEN || input_syn_received(tcp, packet)) {
    input_open(tcp, packet);
  }
}
