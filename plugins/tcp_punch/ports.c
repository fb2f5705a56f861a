/* The local ports of a round, and under which external ones the peer will find them. */
#include "internal.h"

#include "base/addr.h"

static punch *state_of(warp_attempt *attempt) {
  return warp_attempt_state(attempt);
}

/* How the outside sees our ports. */
typedef enum port_kind {
  PORT_LISTEN,   /* the node's listen port; the record tells its external address */
  PORT_MEASURED, /* a fresh one, as a STUN server sees it */
  PORT_VIRGIN,   /* fresh ones that sent nothing yet, under their own number */
  PORT_COUNTED,  /* the next ones of a counter, after the one that a STUN server has just seen */
} port_kind;

static port_kind kind_of(warp_attempt *attempt) {
  const punch *state = state_of(attempt);
  const wg_plan *plan = &state->plan;
  if (warp_attempt_combo(attempt)->route_type == WARP_NIC_BIND)
    return state->round == 1 ? PORT_LISTEN : PORT_VIRGIN;
  bool foretold = plan->strategy != WG_STRATEGY_PLAIN && !plan->self_known;
  if (foretold && plan->self_preserves)
    return PORT_VIRGIN;
  if (foretold && plan->self_counts)
    return PORT_COUNTED;
  /* An offer names no well-known port, at which a node stands only for those who dial it. */
  bool told = plan->strategy == WG_STRATEGY_PLAIN ||
              warp_attempt_combo(attempt)->self->external_tcp.port >= WG_PORT_FIRST;
  return state->round == 1 && told ? PORT_LISTEN : PORT_MEASURED;
}

bool wg_tcp_punch_exchanges(warp_attempt *attempt) {
  const punch *state = state_of(attempt);
  return state->round > 1 || state->plan.strategy != WG_STRATEGY_PLAIN;
}

warp_addr wg_tcp_punch_peer_ip(const warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  return wg_addr_with_port(
      combo->route_type == WARP_NIC_BIND ? &combo->peer->nic : &combo->peer->external_tcp, 0);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_port(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  if (warp_attempt_take(attempt, WARP_BUDGET_FLOWS, 1, NULL) == 0)
    return WARP_LIMIT;
  int status = warp_attempt_tcp_port(attempt, true, &state->ports[state->port_count]);
  if (status == WARP_OK)
    state->port_count++;
  else
    warp_attempt_give(attempt, WARP_BUDGET_FLOWS, 1);
  return status;
}

static void close_ports(punch *state) {
  for (unsigned i = 0; i < state->port_count; i++) {
    if (state->ports[i] != state->listen)
      warp_tcp_port_close(state->ports[i]);
  }
  /* The listen port's object is closed once, when it is not dialled from any more. */
  if (state->listen != NULL)
    warp_tcp_port_close(state->listen);
  state->listen = NULL;
  state->port_count = 0;
  state->own_count = 0;
}

static int use_listen_port(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  const warp_combo *combo = warp_attempt_combo(attempt);
  int status = warp_attempt_listen_port(attempt, &state->listen);
  if (status != WARP_OK)
    return status;
  state->ports[0] = state->listen;
  state->port_count = 1;
  state->own_count = 1;
  state->own[0] =
      combo->route_type == WARP_NIC_BIND ? combo->self->nic.port : combo->self->external_tcp.port;
  return WARP_OK;
}

/* As many as the plan wants, or as the budget has: a few less only make the walk shorter. */
static int open_rest(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  unsigned wanted = state->plan.role == WG_ROLE_FIXED ? PUNCH_WALK : 1;
  int status = WARP_OK;
  while (state->port_count < wanted && status == WARP_OK)
    status = open_port(attempt);
  return state->port_count > 0 ? WARP_OK : status;
}

static int open_virgins(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  int status = open_rest(attempt);
  for (unsigned i = 0; i < state->port_count; i++)
    state->own[i] = warp_tcp_port_number(state->ports[i]);
  state->own_count = (uint8_t)state->port_count;
  return status;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static int ask(warp_attempt *attempt);

/* Which of the next ports of our counter the peer shall dial. The walker is met at one of them by
 * all sockets of the other side, or, where it sends everything from one port, at any. */
static void foretell(warp_attempt *attempt, uint16_t seen) {
  punch *state = state_of(attempt);
  const warp_nat_axes *axes = &warp_attempt_combo(attempt)->self->tcp;
  const wg_plan *plan = &state->plan;
  unsigned first = 1, count = plan->strategy == WG_STRATEGY_WALK ? PUNCH_WALK : PUNCH_WINDOW;
  if (plan->role == WG_ROLE_WALKER && !plan->fixed_spreads) {
    first = PUNCH_WALK_AIM;
    count = 1;
  }
  for (unsigned i = 0; i < count; i++)
    state->own[i] = wg_nat_predict(axes, seen, first + i);
  state->own_count = (uint8_t)count;
}

static void measured(warp_attempt *attempt, warp_tcp_port *port, int status,
                     const warp_addr *external) {
  punch *state = state_of(attempt);
  const warp_addr *known = &warp_attempt_combo(attempt)->self->external_tcp;
  if (state->port_count == 0 || port != state->ports[0])
    return; /* of a round that is over */
  if (status != WARP_OK) {
    state->stun_index++;
    status = ask(attempt);
    if (status != WARP_OK)
      warp_attempt_fail(attempt, status, "no STUN server told how port %u is seen",
                        warp_tcp_port_number(port));
    return;
  }
  if (!wg_addr_same_ip(external, known)) {
    char text[WARP_ADDR_STRLEN];
    warp_attempt_fail(attempt, WARP_UNREACHABLE,
                      "a fresh port is seen at %s, another address than in our record",
                      warp_addr_format(external, text));
    return;
  }
  if (kind_of(attempt) == PORT_COUNTED) {
    foretell(attempt, external->port);
    (void)open_rest(attempt); /* there is one at least */
  } else {
    state->own[0] = external->port;
    state->own_count = 1;
  }
  wg_tcp_punch_ready(attempt);
}

/* One server after the other, until one can be asked. */
static int ask(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  warp_addr server;
  for (;; state->stun_index++) {
    int status = warp_attempt_stun_server(attempt, state->stun_index, &server);
    if (status != WARP_OK)
      return status;
    status = warp_tcp_port_measure(state->ports[0], &server, measured);
    if (status == WARP_OK)
      return WARP_OK;
  }
}

int wg_tcp_punch_ports_open(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  close_ports(state);
  int status;
  switch (kind_of(attempt)) {
  case PORT_LISTEN:
    status = use_listen_port(attempt);
    break;
  case PORT_VIRGIN:
    status = open_virgins(attempt);
    break;
  default:
    status = open_port(attempt);
    return status == WARP_OK ? ask(attempt) : status;
  }
  if (status == WARP_OK)
    wg_tcp_punch_ready(attempt);
  return status;
}
