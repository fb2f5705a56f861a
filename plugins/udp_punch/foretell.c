/*
 * VIRGIN, WINDOW and WALK: the external ports of fresh sockets are foretold and told to the peer.
 *
 * Both sides prepare at once: the initiator's offer goes out before its ports are known, so that
 * the peer measures while the initiator does, and each tells its ports as soon as it has them. Then
 * each sprays the ports that the other told, and what matches opens. Others behind the NATs take
 * ports of a counter meanwhile: therefore a window of ports, the measuring as the last thing before
 * the spraying, and up to three rounds, each with fresh sockets. The initiator says when a new
 * round begins.
 */
#include "punch.h"

#include <string.h>

enum {
  WINDOW = 16, /* ports of a counter that are tried; shifts of 4 flows were seen to be harmless */
  /* Sockets of the fixed side, and ports that are walked. The fixed side aims at three quarters:
   * pairs meet whenever the shifts of both counters add up to less. */
  WALK = WG_OFFER_PORTS,
  AIM = WALK * 3 / 4,
  ROUNDS = 3,
  /* A sweep of 32 packets every 400 ms stays under the 100 packets a second that home routers put
   * up with, and a lost packet has its second chance within a round. */
  SWEEP_MS = 400,
  /* A round lasts as long as the preparing took, twice, because both consist of round trips. */
  ROUND_MIN_MS = 500,
  ROUND_MAX_MS = 3000,
  PREPARE_MS = 10000, /* for the peer's ports; a broker that needs longer is of no use here */
  ASKED_MAX = 3,      /* sockets that are measured for a round, each within 2 s */
  AGAIN_MS = 250,     /* while the broker's connection is down */
};

static wg_foretell *foretell_of(warp_attempt *attempt) {
  wg_punch *state = warp_attempt_state(attempt);
  return &state->foretell;
}

static bool self_foretold(const wg_plan *plan) {
  return plan->self_preserves || plan->self_counts;
}

static bool peer_foretold(const wg_plan *plan) {
  return plan->peer_preserves || plan->peer_counts;
}

static bool is_fixed(const wg_foretell *f) {
  return f->plan.role == WG_ROLE_FIXED;
}

/* ---- what is sent where ---------------------------------------------------------------------- */

static unsigned sweep_count(const wg_foretell *f) {
  return is_fixed(f) ? f->socket_count : f->peer_count;
}

static int send_one(warp_attempt *attempt, unsigned i) {
  wg_punch *state = warp_attempt_state(attempt);
  wg_foretell *f = &state->foretell;
  unsigned aim = f->peer_count < AIM ? f->peer_count - 1 : AIM - 1;
  unsigned port = !is_fixed(f) ? i : f->plan.fixed_spreads ? i % f->peer_count : aim;
  warp_udp_socket *socket = f->socket_count == 0 ? NULL : f->sockets[is_fixed(f) ? i : 0];
  warp_addr to = warp_attempt_combo(attempt)->peer->external_udp;
  to.port = f->peer[port];
  f->sent++;
  return warp_path_probe_to(state->path, socket, &to);
}

static void sweep(warp_attempt *attempt) {
  wg_foretell *f = foretell_of(attempt);
  unsigned count = sweep_count(f);
  for (unsigned i = 0; i < count; i++) {
    int status = send_one(attempt, i);
    if (status == WARP_UNTRUSTED) {
      warp_attempt_fail(attempt, status, "the foretold ports are none that the peer may name");
      return;
    }
  }
  warp_attempt_timer(attempt, WG_PUNCH_SLOT_PROBE, count > 1 ? SWEEP_MS : WG_PUNCH_FAST_MS, sweep);
}

static void note_spraying(warp_attempt *attempt) {
  const wg_foretell *f = foretell_of(attempt);
  const uint16_t *peer = f->peer;
  warp_attempt_note(attempt,
                    "%s, round %u: sprayed %u of the peer's ports from %u on, from %u %s; %s",
                    wg_strategy_name(f->plan.strategy), f->round, f->peer_count, peer[0],
                    f->socket_count == 0 ? 1 : f->socket_count,
                    f->socket_count == 0 ? "shared socket" : "fresh sockets",
                    f->heard ? "the peer was heard" : "nothing came back");
}

static void keep_alive(warp_attempt *attempt) {
  wg_punch *state = warp_attempt_state(attempt);
  warp_path_probe(state->path);
  warp_attempt_timer(attempt, WG_PUNCH_SLOT_PROBE, WG_PUNCH_SLOW_MS, keep_alive);
}

static void heard(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                  const warp_addr *from, bool acknowledged) {
  (void)socket;
  wg_foretell *f = foretell_of(attempt);
  bool first = !f->heard;
  char text[WARP_ADDR_STRLEN];
  f->heard = true;
  warp_attempt_note(attempt, "%s, round %u: heard the peer from %s after %u probes, securing",
                    wg_strategy_name(f->plan.strategy), f->round, warp_addr_format(from, text),
                    f->sent);
  if (acknowledged && f->state != WG_FORETELL_PROVEN) {
    f->state = WG_FORETELL_PROVEN;
    warp_attempt_timer_stop(attempt, WG_PUNCH_SLOT_ROUND);
    warp_attempt_timer(attempt, WG_PUNCH_SLOT_PROBE, WG_PUNCH_SLOW_MS, keep_alive);
  }
  /* The client's first flight is of no use before there is an address to send it to. */
  if (first && warp_attempt_role(attempt) == WARP_RESPONDER) {
    int status = warp_path_secure(path);
    if (status != WARP_OK)
      warp_attempt_fail(attempt, status, "heard the peer, then: %s", warp_strerror(status));
  }
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static int begin_round(warp_attempt *attempt, unsigned round);

static const char *status_text(int status) {
  return status == WARP_LIMIT ? "too many flows through the gateway are in use (node.flows)"
                              : warp_strerror(status);
}

static void round_over(warp_attempt *attempt) {
  wg_foretell *f = foretell_of(attempt);
  if (f->round == ROUNDS || f->state == WG_FORETELL_PREPARING) {
    warp_attempt_fail(attempt, WARP_TIMEOUT, "%s: %u probes in %u rounds to ports %s, %s",
                      wg_strategy_name(f->plan.strategy), f->sent, f->round,
                      f->state == WG_FORETELL_PREPARING ? "that the peer did not tell"
                                                        : "foretold from those before",
                      f->heard ? "the peer was heard, but not the other way round"
                               : "nothing came back");
    return;
  }
  int status = begin_round(attempt, f->round + 1);
  if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "no fresh sockets for round %u: %s", f->round,
                      status_text(status));
}

static void spray_when_ready(warp_attempt *attempt) {
  wg_foretell *f = foretell_of(attempt);
  if (f->state != WG_FORETELL_PREPARING || !f->own_ready || !f->peer_ready)
    return;
  f->state = WG_FORETELL_SPRAYING;
  if (warp_attempt_role(attempt) == WARP_INITIATOR) {
    uint64_t ms = 2 * (warp_attempt_now_us(attempt) - f->begun_us) / 1000;
    warp_attempt_timer(attempt, WG_PUNCH_SLOT_ROUND,
                       ms < ROUND_MIN_MS   ? ROUND_MIN_MS
                       : ms > ROUND_MAX_MS ? ROUND_MAX_MS
                                           : (uint32_t)ms,
                       round_over);
  }
  note_spraying(attempt);
  sweep(attempt);
}

static int tell(warp_attempt *attempt) {
  const wg_foretell *f = foretell_of(attempt);
  uint8_t bytes[WG_OFFER_MAX];
  int len = wg_offer_encode(&f->own, bytes, sizeof bytes);
  return len < 0 ? len : warp_attempt_signal(attempt, WG_PUNCH_OFFER, bytes, (size_t)len);
}

/* ---- our own ports --------------------------------------------------------------------------- */

/* All of them or none: with fewer than it aims at the fixed side is never met. */
static int open_sockets(warp_attempt *attempt, unsigned count) {
  wg_punch *state = warp_attempt_state(attempt);
  wg_foretell *f = &state->foretell;
  unsigned want = count - f->socket_count;
  unsigned granted = warp_attempt_take(attempt, WARP_BUDGET_FLOWS, want, NULL);
  if (granted < want) {
    warp_attempt_give(attempt, WARP_BUDGET_FLOWS, granted);
    return WARP_LIMIT;
  }
  while (f->socket_count < count) {
    warp_udp_socket **socket = &f->sockets[f->socket_count];
    int status = warp_attempt_udp(attempt, NULL, socket);
    if (status == WARP_OK)
      status = warp_path_attach(state->path, *socket);
    if (status != WARP_OK)
      return status;
    f->socket_count++;
  }
  return WARP_OK;
}

static int measure(warp_attempt *attempt);

/* Tells our ports; again while no broker is there, as long as the peer may still want them. */
static void tell_ports(warp_attempt *attempt) {
  const wg_foretell *f = foretell_of(attempt);
  int status = tell(attempt);
  uint64_t waited_us = warp_attempt_now_us(attempt) - f->begun_us;
  bool again = status == WARP_NO_SERVER && waited_us < PREPARE_MS * UINT64_C(1000);
  if (again)
    warp_attempt_timer(attempt, WG_PUNCH_SLOT_AGAIN, AGAIN_MS, tell_ports);
  else if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "foretold our ports, then: %s", warp_strerror(status));
}

static void measured(warp_attempt *attempt, warp_udp_socket *socket, int status,
                     const warp_addr *external) {
  wg_foretell *f = foretell_of(attempt);
  const warp_nat_axes *axes = &warp_attempt_combo(attempt)->self->udp;
  if (status != WARP_OK) {
    /* Its packets may have been lost. The next socket is asked of the next server. */
    f->socket_count = 0;
    warp_udp_socket_close(socket);
    if (f->asked == ASKED_MAX || measure(attempt) != WARP_OK)
      warp_attempt_fail(attempt, status, "%u fresh sockets had no answer from a STUN server",
                        f->asked);
    return;
  }
  f->own.port_count = f->plan.strategy == WG_STRATEGY_WALK ? WALK : WINDOW;
  for (unsigned i = 0; i < f->own.port_count; i++)
    f->own.ports[i] = wg_nat_predict(axes, external->port, i + 1);
  if (is_fixed(f))
    status = open_sockets(attempt, WALK);
  if (status != WARP_OK) {
    warp_attempt_fail(attempt, status, "foretold our ports, then: %s", status_text(status));
    return;
  }
  f->own_ready = true;
  tell_ports(attempt);
  spray_when_ready(attempt);
}

static int measure(warp_attempt *attempt) {
  wg_foretell *f = foretell_of(attempt);
  warp_addr server;
  int status = warp_attempt_stun_server(attempt, f->asked, &server);
  if (status == WARP_NOT_FOUND)
    status = warp_attempt_stun_server(attempt, 0, &server);
  if (status == WARP_OK)
    status = open_sockets(attempt, 1);
  f->asked++;
  return status == WARP_OK ? warp_udp_socket_measure(f->sockets[0], &server, measured) : status;
}

/* A socket that sent nothing yet is seen under its own number. */
static void take_own_numbers(wg_foretell *f) {
  for (unsigned i = 0; i < f->socket_count; i++) {
    warp_addr local;
    warp_udp_socket_local(f->sockets[i], &local);
    f->own.ports[i] = local.port;
  }
  f->own.port_count = (uint8_t)f->socket_count;
}

static int prepare_own(warp_attempt *attempt) {
  wg_foretell *f = foretell_of(attempt);
  f->asked = 0;
  f->own.port_count = 0;
  f->own_ready = !f->plan.self_counts;
  if (!self_foretold(&f->plan))
    return WARP_OK; /* the shared socket, whose address is in the record */
  if (f->plan.self_counts)
    return measure(attempt);
  int status = open_sockets(attempt, is_fixed(f) ? WALK : 1);
  take_own_numbers(f);
  return status;
}

/* A port that is not foretold is the one of the record: it is known, or any of that address will
 * do. With a NAT that gives a port to each destination we need as many destinations as it is to
 * open ports. */
static void prepare_peer(warp_attempt *attempt) {
  wg_foretell *f = foretell_of(attempt);
  uint16_t port = warp_attempt_combo(attempt)->peer->external_udp.port;
  f->peer_ready = !peer_foretold(&f->plan);
  f->peer_count = f->plan.self_counts && !f->plan.peer_known ? WINDOW : 1;
  for (unsigned i = 0; i < f->peer_count; i++) {
    unsigned next = port + i <= WG_PORT_LAST ? port + i : WG_PORT_FIRST + i;
    f->peer[i] = (uint16_t)next;
  }
}

static int begin_round(warp_attempt *attempt, unsigned round) {
  wg_foretell *f = foretell_of(attempt);
  while (f->socket_count > 0)
    warp_udp_socket_close(f->sockets[--f->socket_count]);
  warp_attempt_timer_stop(attempt, WG_PUNCH_SLOT_PROBE);
  warp_attempt_timer_stop(attempt, WG_PUNCH_SLOT_AGAIN);
  f->state = WG_FORETELL_PREPARING;
  f->round = round;
  f->begun_us = warp_attempt_now_us(attempt);
  f->own = (wg_offer){.plan = f->plan, .round = (uint8_t)round};
  prepare_peer(attempt);
  int status = prepare_own(attempt);
  /* What is known goes out at once, and that we begin in any case. */
  bool initiator = warp_attempt_role(attempt) == WARP_INITIATOR;
  bool opens = initiator && round == 1;
  if (status == WARP_OK && opens)
    status = tell(attempt);
  if (status != WARP_OK)
    return status;
  if (!opens && (initiator || f->own.port_count > 0))
    tell_ports(attempt);
  if (initiator)
    warp_attempt_timer(attempt, WG_PUNCH_SLOT_ROUND, PREPARE_MS, round_over);
  spray_when_ready(attempt);
  return WARP_OK;
}

/* ---- entries --------------------------------------------------------------------------------- */

static int open_path(warp_attempt *attempt, const wg_plan *plan) {
  wg_punch *state = warp_attempt_state(attempt);
  state->foretell.plan = *plan;
  warp_attempt_note(attempt, "%s: ports were being foretold", wg_strategy_name(plan->strategy));
  return warp_attempt_path(attempt, NULL, heard, &state->path);
}

int wg_foretell_begin(warp_attempt *attempt, const wg_plan *plan) {
  wg_punch *state = warp_attempt_state(attempt);
  int status = open_path(attempt, plan);
  if (status == WARP_OK)
    status = warp_path_secure(state->path); /* as the server: it waits */
  return status == WARP_OK ? begin_round(attempt, 1) : status;
}

static void take_ports(warp_attempt *attempt, const wg_offer *offer) {
  wg_foretell *f = foretell_of(attempt);
  if (offer->port_count == 0 || !peer_foretold(&f->plan) || f->peer_ready)
    return;
  memcpy(f->peer, offer->ports, sizeof offer->ports);
  f->peer_count = offer->port_count;
  f->peer_ready = true;
  spray_when_ready(attempt);
}

int wg_foretell_join(warp_attempt *attempt, const wg_offer *offer) {
  wg_plan plan = wg_plan_turned(&offer->plan);
  bool ours = plan.strategy == WG_STRATEGY_VIRGIN || plan.strategy == WG_STRATEGY_WINDOW ||
              plan.strategy == WG_STRATEGY_WALK;
  if (!ours || offer->round > ROUNDS)
    return WARP_UNSUPPORTED;
  int status = open_path(attempt, &plan);
  if (status == WARP_OK)
    status = begin_round(attempt, offer->round);
  if (status == WARP_OK)
    take_ports(attempt, offer);
  return status;
}

void wg_foretell_take(warp_attempt *attempt, const wg_offer *offer) {
  wg_foretell *f = foretell_of(attempt);
  if (f->round == 0 || f->state == WG_FORETELL_PROVEN)
    return;
  if (warp_attempt_role(attempt) == WARP_RESPONDER && offer->round > f->round &&
      offer->round <= ROUNDS) {
    int status = begin_round(attempt, offer->round);
    if (status != WARP_OK) {
      warp_attempt_fail(attempt, status, "no fresh sockets for round %u: %s", f->round,
                        status_text(status));
      return;
    }
  }
  if (offer->round == f->round)
    take_ports(attempt, offer);
}
