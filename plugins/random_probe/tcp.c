/*
 * Guessing over TCP.
 *
 * The opener listens on many ports and dials the prober's address from each (or from one port to
 * many of the prober's, where that gives as many mappings): its NAT then lets the prober in there.
 * The prober dials distinct random ports of the opener's address from one port. What hits meets the
 * opener's SYN, which makes one connection of both (RFC 9293 section 3.5), or its listener.
 */
#include "random_probe.h"

#include <stdio.h>
#include <string.h>

enum {
  SLOT_BURST = 0,
  SLOT_REFRESH = 1,
  SLOT_PROBE = 2,
  SLOT_GRACE = 3,
  BURST_PORTS = 32, /* within 5 ms each: 256 SYNs at once would overrun a router's queue */
  BURST_MS = 5,
  /* Some NATs remember a flow that was refused for 10 s only (Linux's tracker: TCP_CLOSE). */
  REFRESH_MS = 8000,
  FLOWS_MS = 10000, /* to wait for flows and SYNs that other attempts use */
  PROBE_MS = 10,    /* how often the budget is asked */
  /* A guess is given up before the kernel repeats its SYN (after 1 s, RFC 6298 section 2.1), so
   * that one guess is one packet; no round trip on Earth is longer. */
  DIAL_MS = 900,
  GRACE_MS = 2000,      /* for what is being secured when all guesses are spent */
  HIT_MS = 5000,        /* a connection that has not won by then is not going to */
  GUESSES_ALIVE = 1024, /* a full second at ten times the polite rate */
  AIM_PORTS = 4, /* where the prober counts: others behind its NAT take a port now and then */
};

typedef struct alive_guess {
  uint16_t port;
  uint64_t until_us;
} alive_guess;

typedef struct guess_tcp {
  wg_guess_policy policy;
  bool opener;
  unsigned hits, refused;
  /* The opener: `open` of the policy's ports are open, or dials of the only one. */
  warp_tcp_port *ports[WARP_TCP_PORTS];
  unsigned port_count, open, burst;
  uint64_t began_us;
  uint16_t aims[WG_OFFER_PORTS];
  unsigned aim_count;
  /* The prober */
  warp_tcp_port *from;
  unsigned stun_index;
  wg_guesses guesses;
  bool probing;
  unsigned sent;
  uint64_t credit_us;               /* time since which guesses may be sent by the rate */
  alive_guess alive[GUESSES_ALIVE]; /* a ring, the oldest first */
  unsigned alive_first, alive_count;
} guess_tcp;

static const warp_addr *peer_of(warp_attempt *attempt) {
  return &warp_attempt_combo(attempt)->peer->external_tcp;
}

static void describe(warp_attempt *attempt, char line[WARP_DETAIL_LEN]) {
  const guess_tcp *g = wg_guess_own(attempt);
  char text[WARP_ADDR_STRLEN];
  warp_addr_format(peer_of(attempt), text);
  if (g->opener)
    snprintf(line, WARP_DETAIL_LEN, "opened %u ports, %u listening, towards %s, %s", g->open,
             g->port_count, text, g->hits > 0 ? "a guess met one, securing" : "no guess met one");
  else
    snprintf(line, WARP_DETAIL_LEN, "guessed %u of the ports %u-%u of %s: %u refused, %u met one",
             g->sent, g->policy.low, g->policy.high, text, g->refused, g->hits);
}

static void note(warp_attempt *attempt) {
  char line[WARP_DETAIL_LEN];
  describe(attempt, line);
  warp_attempt_note(attempt, "%s", line);
}

/* A SYN from a port, of the budget. */
static int send_syn(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to,
                    warp_tcp_dialled cb, uint32_t *retry_ms) {
  if (warp_attempt_take(attempt, WARP_BUDGET_SYNS, 1, retry_ms) == 0)
    return WARP_LIMIT;
  int status = warp_tcp_port_dial(port, to, cb);
  if (status != WARP_OK)
    warp_attempt_give(attempt, WARP_BUDGET_SYNS, 1);
  return status;
}

static int fresh_port(warp_attempt *attempt, warp_tcp_port **out, uint32_t *retry_ms) {
  if (warp_attempt_take(attempt, WARP_BUDGET_FLOWS, 1, retry_ms) == 0)
    return WARP_LIMIT;
  int status = warp_attempt_tcp_port(attempt, true, out);
  if (status != WARP_OK)
    warp_attempt_give(attempt, WARP_BUDGET_FLOWS, 1);
  return status;
}

/* ---- the opener ------------------------------------------------------------------------------ */

/* Does our NAT let in whatever comes from the prober's address? Then the SYNs that open ports go to
 * another port of it than the prober's own, and are given up after one packet: the guess meets the
 * listener. A filter that wants the port wants the prober's own, and the guess then meets the very
 * SYN that opened it: a listener's answer would carry another sequence number than the one that the
 * NAT's connection tracker has seen, and be dropped. So there the SYN has to stay. */
static bool any_port_opens(warp_attempt *attempt) {
  return warp_attempt_combo(attempt)->self->tcp.filtering == WARP_NAT_ADDRESS_DEPENDENT;
}

/* Where the SYN that opens port `i` goes. */
static warp_addr opening_target(warp_attempt *attempt, unsigned i) {
  const guess_tcp *g = wg_guess_own(attempt);
  warp_addr to = *peer_of(attempt);
  if (g->aim_count > 0)
    to.port = g->aims[i % g->aim_count];
  if (wg_guess_plan(attempt)->opener_one_socket) {
    unsigned port = to.port + 1 + i;
    to.port = (uint16_t)(port <= WG_PORT_LAST ? port : port - WG_PORT_LAST + WG_PORT_FIRST - 1);
  } else if (any_port_opens(attempt)) {
    to.port = (uint16_t)(to.port < WG_PORT_LAST ? to.port + 1 : to.port - 1);
  }
  return to;
}

static warp_tcp_port *port_of(const guess_tcp *g, unsigned i) {
  return g->ports[i < g->port_count ? i : 0];
}

static void opened(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to, int status) {
  (void)port;
  (void)to;
  guess_tcp *g = wg_guess_own(attempt);
  g->hits += status == WARP_OK;
  g->refused += status != WARP_OK;
  note(attempt);
}

static int open_port(warp_attempt *attempt, uint32_t *retry_ms) {
  guess_tcp *g = wg_guess_own(attempt);
  int status = WARP_OK;
  if (g->port_count == 0 ||
      (!wg_guess_plan(attempt)->opener_one_socket && g->port_count == g->open)) {
    status = fresh_port(attempt, &g->ports[g->port_count], retry_ms);
    if (status != WARP_OK)
      return status;
    g->port_count++;
  }
  warp_addr to = opening_target(attempt, g->open);
  status = send_syn(attempt, port_of(g, g->open), &to, opened, retry_ms);
  g->open += status == WARP_OK;
  return status;
}

static void withdraw(warp_attempt *attempt) {
  const guess_tcp *g = wg_guess_own(attempt);
  for (unsigned i = 0; i < g->open; i++) {
    warp_addr to = opening_target(attempt, i);
    warp_tcp_port_abort(port_of(g, i), &to);
  }
}

static void refresh(warp_attempt *attempt);

/* All that are to be open are, for now. */
static void wait_for_guess(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  g->burst = 0;
  if (any_port_opens(attempt))
    warp_attempt_timer(attempt, SLOT_GRACE, DIAL_MS, withdraw);
  warp_attempt_timer(attempt, SLOT_REFRESH, REFRESH_MS, refresh);
}

/* Every port again, because what NATs remember of an unanswered SYN ages. */
static void refresh(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  unsigned end = g->burst + BURST_PORTS;
  for (; g->burst < end && g->burst < g->open; g->burst++) {
    warp_addr to = opening_target(attempt, g->burst);
    (void)send_syn(attempt, port_of(g, g->burst), &to, opened, NULL);
  }
  if (g->burst < g->open)
    warp_attempt_timer(attempt, SLOT_BURST, BURST_MS, refresh);
  else
    wait_for_guess(attempt);
}

static void tell_open(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  bool begins = warp_attempt_role(attempt) == WARP_INITIATOR && g->aim_count == 0;
  note(attempt);
  int status = wg_guess_tell(attempt, begins ? WG_GUESS_BEGIN : WG_GUESS_OPEN, NULL, 0);
  if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "opened %u ports, then: %s", g->open, warp_strerror(status));
  else
    wait_for_guess(attempt);
}

/* Fewer ports than were asked for are better than none: the system may have no more sockets, or
 * other attempts use the flows. */
static void open_burst(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  uint32_t retry_ms = 0;
  int status = WARP_OK;
  for (unsigned i = 0; i < BURST_PORTS && g->open < g->policy.sockets && status == WARP_OK; i++)
    status = open_port(attempt, &retry_ms);
  bool waited = warp_attempt_now_us(attempt) - g->began_us > FLOWS_MS * UINT64_C(1000);
  if (status == WARP_UNTRUSTED ||
      (status != WARP_OK && g->open == 0 && (status != WARP_LIMIT || waited)))
    warp_attempt_fail(attempt, status, "no port could be opened: %s", warp_strerror(status));
  else if (status != WARP_OK && g->open == 0)
    warp_attempt_timer(attempt, SLOT_BURST, retry_ms > 0 ? retry_ms : BURST_MS, open_burst);
  else if (status != WARP_OK || g->open == g->policy.sockets)
    tell_open(attempt);
  else
    warp_attempt_timer(attempt, SLOT_BURST, BURST_MS, open_burst);
}

static void begin_opening(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  if (g->began_us != 0)
    return;
  g->began_us = warp_attempt_now_us(attempt);
  open_burst(attempt);
}

static void take_aims(warp_attempt *attempt, const wg_offer *offer) {
  guess_tcp *g = wg_guess_own(attempt);
  if (g->began_us != 0 || offer->port_count == 0)
    return;
  memcpy(g->aims, offer->ports, sizeof g->aims);
  g->aim_count = offer->port_count;
  begin_opening(attempt);
}

/* ---- the prober ------------------------------------------------------------------------------ */

static void probe(warp_attempt *attempt);

static void spent(warp_attempt *attempt) {
  char line[WARP_DETAIL_LEN];
  describe(attempt, line);
  warp_attempt_fail(attempt, WARP_TIMEOUT, "%s", line);
}

static void guessed(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to, int status) {
  (void)port;
  (void)to;
  guess_tcp *g = wg_guess_own(attempt);
  g->refused += status != WARP_OK;
  if (status == WARP_OK && g->hits++ == 0) {
    /* More guesses would be for nothing, unless it is somebody else who answered. */
    warp_attempt_timer_stop(attempt, SLOT_GRACE);
    warp_attempt_timer(attempt, SLOT_PROBE, HIT_MS, probe);
  }
  note(attempt);
}

static void give_up_old(warp_attempt *attempt, uint64_t now) {
  guess_tcp *g = wg_guess_own(attempt);
  warp_addr to = *peer_of(attempt);
  while (g->alive_count > 0 && g->alive[g->alive_first].until_us <= now) {
    to.port = g->alive[g->alive_first].port;
    warp_tcp_port_abort(g->from, &to);
    g->alive_first = (g->alive_first + 1) % GUESSES_ALIVE;
    g->alive_count--;
  }
}

/* False when no more may be sent now. */
static bool send_guess(warp_attempt *attempt, uint64_t now) {
  guess_tcp *g = wg_guess_own(attempt);
  warp_addr to = *peer_of(attempt);
  if (g->alive_count == GUESSES_ALIVE || warp_attempt_take(attempt, WARP_BUDGET_SYNS, 1, NULL) == 0)
    return false;
  int status = WARP_UNTRUSTED;
  to.port = wg_guesses_next(&g->guesses);
  if (to.port != 0)
    status = warp_tcp_port_dial(g->from, &to, guessed);
  if (status != WARP_OK)
    warp_attempt_give(attempt, WARP_BUDGET_SYNS, 1);
  if (status == WARP_UNTRUSTED) {
    g->policy.probes = g->sent; /* all were tried, or none may be */
    return false;
  }
  g->sent++;
  if (status == WARP_OK) {
    alive_guess *guess = &g->alive[(g->alive_first + g->alive_count++) % GUESSES_ALIVE];
    *guess = (alive_guess){.port = to.port, .until_us = now + DIAL_MS * UINT64_C(1000)};
  }
  return true;
}

/* As many as the rate allows since the last one, and the gateway's budget now. */
static void send_guesses(warp_attempt *attempt, uint64_t now) {
  guess_tcp *g = wg_guess_own(attempt);
  uint64_t gap_us = 1000000 / g->policy.rate;
  while (g->sent < g->policy.probes && g->credit_us <= now) {
    if (warp_attempt_take(attempt, WARP_BUDGET_PROBES, 1, NULL) == 0)
      return;
    if (!send_guess(attempt, now)) {
      warp_attempt_give(attempt, WARP_BUDGET_PROBES, 1);
      return;
    }
    g->credit_us += gap_us;
  }
}

static void wait_for_the_last(warp_attempt *attempt) {
  const guess_tcp *g = wg_guess_own(attempt);
  give_up_old(attempt, warp_attempt_now_us(attempt));
  if (g->alive_count > 0)
    warp_attempt_timer(attempt, SLOT_PROBE, PROBE_MS, wait_for_the_last);
  else
    warp_attempt_timer(attempt, SLOT_GRACE, GRACE_MS, spent);
}

static void probe(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  uint64_t now = warp_attempt_now_us(attempt);
  give_up_old(attempt, now);
  send_guesses(attempt, now);
  note(attempt);
  if (g->sent < g->policy.probes)
    warp_attempt_timer(attempt, SLOT_PROBE, PROBE_MS, probe);
  else
    wait_for_the_last(attempt);
}

static void begin_probing(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  if (g->probing || g->from == NULL)
    return;
  g->probing = true;
  g->credit_us = warp_attempt_now_us(attempt);
  wg_guesses_start(&g->guesses, attempt, &g->policy);
  probe(attempt);
}

/* Tells where the opener has to aim. The SYN to its address takes the port that was foretold,
 * before others do. */
static int tell_aims(warp_attempt *attempt, const uint16_t *ports, unsigned count) {
  guess_tcp *g = wg_guess_own(attempt);
  bool begins = warp_attempt_role(attempt) == WARP_INITIATOR;
  (void)send_syn(attempt, g->from, peer_of(attempt), guessed, NULL);
  return wg_guess_tell(attempt, begins ? WG_GUESS_BEGIN : WG_GUESS_AIM, ports, count);
}

static int ask(warp_attempt *attempt);

static void measured(warp_attempt *attempt, warp_tcp_port *port, int status,
                     const warp_addr *external) {
  (void)port;
  guess_tcp *g = wg_guess_own(attempt);
  const warp_nat_axes *axes = &warp_attempt_combo(attempt)->self->tcp;
  uint16_t ports[AIM_PORTS];
  if (status != WARP_OK) {
    g->stun_index++;
    status = ask(attempt);
  } else {
    for (unsigned i = 0; i < AIM_PORTS; i++)
      ports[i] = wg_nat_predict(axes, external->port, i + 1);
    status = tell_aims(attempt, ports, AIM_PORTS);
  }
  if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "our port could not be foretold: %s", warp_strerror(status));
}

/* One server after the other, until one can be asked. */
static int ask(warp_attempt *attempt) {
  guess_tcp *g = wg_guess_own(attempt);
  warp_addr server;
  for (;; g->stun_index++) {
    int status = warp_attempt_stun_server(attempt, g->stun_index, &server);
    if (status != WARP_OK)
      return status;
    status = warp_tcp_port_measure(g->from, &server, measured);
    if (status == WARP_OK)
      return WARP_OK;
  }
}

static int aim(warp_attempt *attempt) {
  const guess_tcp *g = wg_guess_own(attempt);
  if (!wg_guess_plan(attempt)->self_preserves)
    return ask(attempt);
  uint16_t number = warp_tcp_port_number(g->from);
  return tell_aims(attempt, &number, 1);
}

static int run_prober(warp_attempt *attempt, const wg_offer *begin) {
  guess_tcp *g = wg_guess_own(attempt);
  const wg_plan *plan = wg_guess_plan(attempt);
  int status = plan->self_known ? warp_attempt_listen_port(attempt, &g->from)
                                : fresh_port(attempt, &g->from, NULL);
  if (status != WARP_OK)
    return status;
  if (plan->prober_aims)
    return aim(attempt);
  if (begin == NULL)
    return wg_guess_tell(attempt, WG_GUESS_BEGIN, NULL, 0);
  begin_probing(attempt);
  return WARP_OK;
}

/* ---- both ------------------------------------------------------------------------------------ */

static int run(warp_attempt *attempt, const wg_offer *begin) {
  guess_tcp *g = wg_guess_own(attempt);
  const wg_plan *plan = wg_guess_plan(attempt);
  g->policy = wg_guess_policy_of(attempt);
  g->opener = plan->role == WG_ROLE_OPENER;
  note(attempt);
  if (!g->opener)
    return run_prober(attempt, begin);
  if (!plan->prober_aims)
    begin_opening(attempt);
  else if (begin != NULL)
    take_aims(attempt, begin);
  else
    return wg_guess_tell(attempt, WG_GUESS_BEGIN, NULL, 0);
  return WARP_OK;
}

static void message(warp_attempt *attempt, uint8_t type, const wg_offer *offer) {
  const guess_tcp *g = wg_guess_own(attempt);
  if (type == WG_GUESS_OPEN && !g->opener)
    begin_probing(attempt);
  else if (type == WG_GUESS_AIM && g->opener)
    take_aims(attempt, offer);
}

const wg_guess_half wg_guess_tcp = {
    .state_size = sizeof(guess_tcp), .run = run, .message = message};
