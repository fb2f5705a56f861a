/*
 * Guessing over UDP.
 *
 * The opener sends a packet from each of many sockets (or from one socket to many ports, where that
 * gives as many mappings) to the prober's address: those are the open ports. The prober sends from
 * one socket to distinct random ports of the opener's address. What hits an open port is answered
 * from there, and the path settles on that pair.
 */
#include "random_probe.h"

#include <string.h>

enum {
  SLOT_BURST = 0,
  SLOT_REFRESH = 1,
  SLOT_PROBE = 2,
  SLOT_GRACE = 3,
  /* 256 packets within 40 ms: at once they would overrun a socket's send buffer, or a router's
   * queue, and a port whose packet was lost is not open. */
  BURST_PACKETS = 32,
  BURST_MS = 5,
  /* An idle mapping lives 20 s or longer in all but the worst NATs; where that was measured, half
   * of it. */
  REFRESH_MS = 10000,
  REFRESH_MIN_MS = 1000,
  FLOWS_MS = 10000, /* to wait for flows that other attempts use */
  PROBE_MS = 10,    /* how often the budget is asked */
  GRACE_MS = 1000,  /* for answers under way when all probes are spent: a long round trip */
  KEEP_MS = 200,    /* while the handshake runs */
  AIM_PORTS = 8,    /* that others may have taken meanwhile, and ours */
  ASKED_MAX = 3,    /* tries to foretell a counted port, each within 4 s */
};

typedef struct guess_udp {
  wg_guess_policy policy;
  warp_path *path;
  bool opener, heard, proven;
  /* The opener: `open` of the policy's sockets (or ports of the only one) are open. */
  warp_udp_socket *sockets[WARP_UDP_SOCKETS];
  unsigned socket_count, open, burst;
  uint64_t began_us;
  bool ready;     /* all are open, and the prober was told */
  warp_addr back; /* second round: where the prober was heard from; family 0: not yet */
  uint16_t aims[WG_OFFER_PORTS];
  unsigned aim_count;
  /* The prober */
  warp_udp_socket *aimed; /* the socket that was foretold; NULL: the shared one */
  uint16_t counted;       /* where the counter was before it sent to the opener */
  unsigned asked;         /* times that a counted port was to be foretold */
  wg_guesses guesses;
  bool probing;
  unsigned sent, answers;
  uint64_t started_us;
} guess_udp;

static void note(warp_attempt *attempt) {
  const guess_udp *g = wg_guess_own(attempt);
  const warp_addr *peer = &warp_attempt_combo(attempt)->peer->external_udp;
  char text[WARP_ADDR_STRLEN];
  warp_addr_format(peer, text);
  if (g->opener)
    warp_attempt_note(attempt, "opened %u ports from %u socket%s towards %s%s, %s", g->open,
                      g->socket_count, g->socket_count == 1 ? "" : "s", text,
                      g->back.family != 0 ? ", and again towards the guess" : "",
                      g->heard ? "a guess met one, securing" : "no guess met one");
  else
    warp_attempt_note(attempt, "guessed %u of the ports %u-%u of %s, %u answered", g->sent,
                      g->policy.low, g->policy.high, text, g->answers);
}

static void keep_alive(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  warp_path_probe(g->path);
  warp_attempt_timer(attempt, SLOT_PROBE, KEEP_MS, keep_alive);
}

/* ---- the opener ------------------------------------------------------------------------------ */

/* Where the packet that opens port `i` goes: what matters is the address, and the port only where
 * the prober's is known or foretold. */
static warp_addr opening_target(warp_attempt *attempt, unsigned i) {
  const guess_udp *g = wg_guess_own(attempt);
  warp_addr to = warp_attempt_combo(attempt)->peer->external_udp;
  if (g->aim_count > 0)
    to.port = g->aims[i % g->aim_count];
  if (wg_guess_plan(attempt)->opener_one_socket) {
    unsigned port = to.port + i;
    to.port = (uint16_t)(port <= WG_PORT_LAST ? port : port - WG_PORT_LAST + WG_PORT_FIRST - 1);
  }
  return to;
}

static warp_udp_socket *socket_of(const guess_udp *g, unsigned i) {
  return g->sockets[i < g->socket_count ? i : 0];
}

static int open_port(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  if (g->socket_count == 0 || !wg_guess_plan(attempt)->opener_one_socket) {
    warp_udp_socket **socket = &g->sockets[g->socket_count];
    int status = warp_attempt_udp(attempt, NULL, socket);
    if (status == WARP_OK)
      status = warp_path_attach(g->path, *socket);
    if (status != WARP_OK)
      return status;
    g->socket_count++;
  }
  warp_addr to = opening_target(attempt, g->open);
  int status = warp_path_probe_to(g->path, socket_of(g, g->open), &to);
  g->open++;
  return status == WARP_UNTRUSTED ? status
                                  : WARP_OK; /* what is lost is sent again by the refresh */
}

/* Every port again, because mappings age; or, in the second round, from every socket to where the
 * prober was heard from. */
static void refresh(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  unsigned end = g->burst + BURST_PACKETS;
  for (; g->burst < end && g->burst < g->open; g->burst++) {
    warp_addr to = g->back.family != 0 ? g->back : opening_target(attempt, g->burst);
    (void)warp_path_probe_to(g->path, socket_of(g, g->burst), &to);
  }
  if (g->burst < g->open) {
    warp_attempt_timer(attempt, SLOT_BURST, BURST_MS, refresh);
    return;
  }
  g->burst = 0;
  uint32_t lifetime_ms = warp_attempt_combo(attempt)->self->udp.lifetime_s * UINT32_C(1000);
  uint32_t delay = lifetime_ms != 0 && lifetime_ms / 2 < REFRESH_MS ? lifetime_ms / 2 : REFRESH_MS;
  warp_attempt_timer(attempt, SLOT_REFRESH, delay < REFRESH_MIN_MS ? REFRESH_MIN_MS : delay,
                     refresh);
}

static void tell_open(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  bool begins = warp_attempt_role(attempt) == WARP_INITIATOR && g->aim_count == 0;
  g->ready = true;
  note(attempt);
  int status = wg_guess_tell(attempt, begins ? WG_GUESS_BEGIN : WG_GUESS_OPEN, NULL, 0);
  if (status != WARP_OK) {
    warp_attempt_fail(attempt, status, "opened %u ports, then: %s", g->open, warp_strerror(status));
    return;
  }
  g->burst = g->open;
  refresh(attempt);
}

/* Fewer ports than were asked for are better than none: the system may have no more sockets, or
 * other attempts use the flows. */
static void open_burst(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  unsigned left = g->policy.sockets - g->open;
  uint32_t retry_ms;
  unsigned granted = warp_attempt_take(attempt, WARP_BUDGET_FLOWS,
                                       left < BURST_PACKETS ? left : BURST_PACKETS, &retry_ms);
  int status = granted > 0 ? WARP_OK : WARP_LIMIT;
  for (unsigned i = 0; i < granted && status == WARP_OK; i++)
    status = open_port(attempt);
  bool waited = warp_attempt_now_us(attempt) - g->began_us > FLOWS_MS * UINT64_C(1000);
  if (status == WARP_UNTRUSTED || (status != WARP_OK && g->open == 0 && (granted > 0 || waited)))
    warp_attempt_fail(attempt, status, "no port could be opened: %s", warp_strerror(status));
  else if (status != WARP_OK && g->open == 0)
    warp_attempt_timer(attempt, SLOT_BURST, retry_ms, open_burst);
  else if (status != WARP_OK || g->open == g->policy.sockets)
    tell_open(attempt);
  else
    warp_attempt_timer(attempt, SLOT_BURST, BURST_MS, open_burst);
}

static void begin_opening(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  g->began_us = warp_attempt_now_us(attempt);
  open_burst(attempt);
}

/* ---- the prober ------------------------------------------------------------------------------ */

static void spent(warp_attempt *attempt) {
  const guess_udp *g = wg_guess_own(attempt);
  char text[WARP_ADDR_STRLEN];
  warp_attempt_fail(attempt, WARP_TIMEOUT, "guessed %u of the ports %u-%u of %s, %u answered",
                    g->sent, g->policy.low, g->policy.high,
                    warp_addr_format(&warp_attempt_combo(attempt)->peer->external_udp, text),
                    g->answers);
}

/* Guesses that were lost, or whose answers were, are not tried again: fresh ones are as good. */
static void probe(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  uint64_t due = 1 + (warp_attempt_now_us(attempt) - g->started_us) * g->policy.rate / 1000000;
  unsigned want = due > g->policy.probes ? g->policy.probes : (unsigned)due;
  unsigned granted =
      want > g->sent ? warp_attempt_take(attempt, WARP_BUDGET_PROBES, want - g->sent, NULL) : 0;
  warp_addr to = warp_attempt_combo(attempt)->peer->external_udp;
  for (unsigned i = 0; i < granted; i++) {
    to.port = wg_guesses_next(&g->guesses);
    if (to.port == 0)
      g->policy.probes = g->sent; /* all were tried */
    else if (warp_path_probe_to(g->path, g->aimed, &to) == WARP_UNTRUSTED)
      g->policy.probes = g->sent; /* none of them may be */
    else
      g->sent++;
    if (g->policy.probes == g->sent)
      break;
  }
  note(attempt);
  if (g->sent >= g->policy.probes)
    warp_attempt_timer(attempt, SLOT_GRACE, GRACE_MS, spent);
  else
    warp_attempt_timer(attempt, SLOT_PROBE, PROBE_MS, probe);
}

static void begin_probing(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  if (g->probing)
    return;
  g->probing = true;
  /* The second round needs as many again. */
  if (wg_guess_plan(attempt)->second_round && !g->policy.exact)
    g->policy.probes *= 2;
  g->started_us = warp_attempt_now_us(attempt);
  wg_guesses_start(&g->guesses, attempt, &g->policy);
  probe(attempt);
}

static int tell_aims(warp_attempt *attempt, const uint16_t *ports, unsigned count) {
  bool begins = warp_attempt_role(attempt) == WARP_INITIATOR;
  return wg_guess_tell(attempt, begins ? WG_GUESS_BEGIN : WG_GUESS_AIM, ports, count);
}

/* The packet to the opener's address takes the port that was foretold, before others do. */
static void take_port(warp_attempt *attempt) {
  const guess_udp *g = wg_guess_own(attempt);
  (void)warp_path_probe_to(g->path, g->aimed, &warp_attempt_combo(attempt)->peer->external_udp);
}

static void cannot_aim(warp_attempt *attempt, int status) {
  warp_attempt_fail(attempt, status, "our port could not be foretold: %s", warp_strerror(status));
}

static int aim(warp_attempt *attempt);

/* A server did not answer. The counter has gone on meanwhile: all anew, by the next server. */
static void aim_again(warp_attempt *attempt, int status) {
  guess_udp *g = wg_guess_own(attempt);
  warp_udp_socket_close(g->aimed);
  g->aimed = NULL;
  if (g->asked == ASKED_MAX) {
    warp_attempt_fail(attempt, status,
                      "our port could not be foretold: no answer from a STUN server");
    return;
  }
  status = aim(attempt);
  if (status != WARP_OK)
    cannot_aim(attempt, status);
}

/* The counter is at `external` now: the ports that it gave out since the first measuring, without
 * this one, are ours and those of others. Nearly always it is one. */
static void measured_after(warp_attempt *attempt, warp_udp_socket *socket, int status,
                           const warp_addr *external) {
  guess_udp *g = wg_guess_own(attempt);
  const warp_nat_axes *axes = &warp_attempt_combo(attempt)->self->udp;
  uint16_t ports[AIM_PORTS];
  unsigned count = 0;
  warp_udp_socket_close(socket);
  if (status != WARP_OK) {
    aim_again(attempt, status);
    return;
  }
  while (count < AIM_PORTS) {
    ports[count] = wg_nat_predict(axes, g->counted, count + 1);
    if (ports[count] == external->port)
      break;
    count++;
  }
  /* None: it does not count, the packet took no port. */
  status = count == 0 ? WARP_UNSUPPORTED : tell_aims(attempt, ports, count);
  if (status != WARP_OK)
    cannot_aim(attempt, status);
}

/* A socket of the prober's, which is one flow. */
static int open_counted(warp_attempt *attempt, warp_udp_socket **out) {
  if (warp_attempt_take(attempt, WARP_BUDGET_FLOWS, 1, NULL) == 0)
    return WARP_LIMIT;
  return warp_attempt_udp(attempt, NULL, out); /* what was not used goes back with the attempt */
}

static int measure(warp_attempt *attempt, warp_udp_socket *socket, warp_udp_measured then) {
  const guess_udp *g = wg_guess_own(attempt);
  warp_addr server;
  int status = warp_attempt_stun_server(attempt, g->asked - 1, &server);
  if (status == WARP_NOT_FOUND)
    status = warp_attempt_stun_server(attempt, 0, &server);
  return status == WARP_OK ? warp_udp_socket_measure(socket, &server, then) : status;
}

static void measured(warp_attempt *attempt, warp_udp_socket *socket, int status,
                     const warp_addr *external) {
  (void)socket;
  guess_udp *g = wg_guess_own(attempt);
  warp_udp_socket *after;
  if (status != WARP_OK) {
    aim_again(attempt, status);
    return;
  }
  g->counted = external->port;
  take_port(attempt);
  status = open_counted(attempt, &after);
  if (status == WARP_OK)
    status = measure(attempt, after, measured_after);
  if (status != WARP_OK)
    cannot_aim(attempt, status);
}

static int aim(warp_attempt *attempt) {
  guess_udp *g = wg_guess_own(attempt);
  warp_addr local;
  int status = open_counted(attempt, &g->aimed);
  g->asked++;
  if (status == WARP_OK)
    status = warp_path_attach(g->path, g->aimed);
  if (status != WARP_OK)
    return status;
  if (wg_guess_plan(attempt)->self_preserves) {
    warp_udp_socket_local(g->aimed, &local);
    take_port(attempt);
    return tell_aims(attempt, &local.port, 1);
  }
  return measure(attempt, g->aimed, measured);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void begin_second_round(warp_attempt *attempt, const warp_addr *from) {
  guess_udp *g = wg_guess_own(attempt);
  g->back = *from;
  g->burst = 0;
  warp_attempt_timer_stop(attempt, SLOT_REFRESH);
  refresh(attempt);
}

static void heard(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                  const warp_addr *from, bool acknowledged) {
  (void)socket;
  guess_udp *g = wg_guess_own(attempt);
  bool first = !g->heard;
  g->heard = true;
  g->answers++;
  note(attempt);
  if (acknowledged && !g->proven) {
    g->proven = true;
    warp_attempt_timer_stop(attempt, SLOT_BURST);
    warp_attempt_timer_stop(attempt, SLOT_REFRESH);
    warp_attempt_timer_stop(attempt, SLOT_GRACE);
    warp_attempt_timer(attempt, SLOT_PROBE, KEEP_MS, keep_alive);
  } else if (g->opener && first && !acknowledged && !g->policy.exact &&
             wg_guess_plan(attempt)->second_round) {
    begin_second_round(attempt, from);
  }
  /* The client's first flight is of no use before there is an address to send it to. */
  if (first && warp_attempt_role(attempt) == WARP_RESPONDER) {
    int status = warp_path_secure(path);
    if (status != WARP_OK)
      warp_attempt_fail(attempt, status, "a guess met a port, then: %s", warp_strerror(status));
  }
}

static void take_aims(warp_attempt *attempt, const wg_offer *offer) {
  guess_udp *g = wg_guess_own(attempt);
  if (g->began_us != 0 || offer->port_count == 0)
    return;
  memcpy(g->aims, offer->ports, sizeof g->aims);
  g->aim_count = offer->port_count;
  begin_opening(attempt);
}

static int run(warp_attempt *attempt, const wg_offer *begin) {
  guess_udp *g = wg_guess_own(attempt);
  const wg_plan *plan = wg_guess_plan(attempt);
  g->policy = wg_guess_policy_of(attempt);
  g->opener = plan->role == WG_ROLE_OPENER;
  int status = warp_attempt_path(attempt, NULL, heard, &g->path);
  if (status == WARP_OK && begin == NULL)
    status = warp_path_secure(g->path); /* as the server: it waits */
  if (status != WARP_OK)
    return status;
  note(attempt);
  if (g->opener && plan->prober_aims && begin == NULL)
    return wg_guess_tell(attempt, WG_GUESS_BEGIN, NULL, 0);
  if (g->opener && plan->prober_aims)
    take_aims(attempt, begin);
  else if (g->opener)
    begin_opening(attempt);
  else if (plan->prober_aims)
    return aim(attempt);
  else if (begin != NULL)
    begin_probing(attempt);
  else
    return wg_guess_tell(attempt, WG_GUESS_BEGIN, NULL, 0);
  return WARP_OK;
}

static void message(warp_attempt *attempt, uint8_t type, const wg_offer *offer) {
  const guess_udp *g = wg_guess_own(attempt);
  if (type == WG_GUESS_OPEN && !g->opener)
    begin_probing(attempt);
  else if (type == WG_GUESS_AIM && g->opener)
    take_aims(attempt, offer);
}

const wg_guess_half wg_guess_udp = {
    .state_size = sizeof(guess_udp), .run = run, .message = message};
