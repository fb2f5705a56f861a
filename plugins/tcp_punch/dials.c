/*
 * The SYNs of a round.
 *
 * A SYN that is dropped is left to the kernel, which repeats it: closing the socket would kill a
 * connection that is half open already. One that is refused, by a NAT that answers strangers with a
 * reset, is sent anew at once from a new socket: then the period is the round trip itself, and the
 * two sides' SYNs cross whatever their start was apart. With a fixed pause they could miss each
 * other for ever.
 */
#include "internal.h"

#include "base/addr.h"
#include <stdio.h>

enum {
  /* A refusal that comes sooner is from somebody near, whom a loop without a pause would flood. */
  NEAR_US = 20000,
  /* Of many ports that are dialled, all but one are the wrong ones: their refusals are final. This
   * many round trips are enough for SYNs that are to cross, whatever the clocks were wrong by. */
  REDIALS = 4,
  TAKEN_US = 300000, /* until a connection that was accepted has been secured, or is gone */
  TAKEN_MAX = 2,
  LIMIT_US = 100000, /* until one of other attempts' SYNs may have ended */
};

static punch *state_of(warp_attempt *attempt) {
  return warp_attempt_state(attempt);
}

static void describe(warp_attempt *attempt, char line[WARP_DETAIL_LEN]) {
  const punch *state = state_of(attempt);
  const char *strategy = wg_strategy_name(state->plan.strategy);
  char to[WARP_ADDR_STRLEN], more[14] = "";
  if (state->dial_count == 0) {
    snprintf(line, WARP_DETAIL_LEN, "%s: %s", strategy,
             state->own_count == 0 ? "measuring a fresh port"
                                   : "told the peer our port, it did not tell its own");
    return;
  }
  const punch_dial *first = &state->dials[0];
  uint16_t from = warp_tcp_port_number(first->port);
  warp_addr_format(&first->to, to);
  if (first->state == DIAL_OPEN) {
    snprintf(line, WARP_DETAIL_LEN, "%s: connected to %s from port %u, securing", strategy, to,
             from);
    return;
  }
  if (state->peer_count > 1)
    snprintf(more, sizeof more, " and %u more", (uint8_t)(state->peer_count - 1));
  snprintf(line, WARP_DETAIL_LEN,
           "%.8s: dialled %.52s%s from port %u: %u SYNs, %u refused, %u unanswered", strategy, to,
           more, from, state->sent, state->refused, state->sent - state->refused);
}

void wg_tcp_punch_note(warp_attempt *attempt) {
  char line[WARP_DETAIL_LEN];
  describe(attempt, line);
  warp_attempt_note(attempt, "%s", line);
}

void wg_tcp_punch_fail(warp_attempt *attempt, int status) {
  char line[WARP_DETAIL_LEN];
  if (status == WARP_NO_SERVER) /* what was meant to be done is not why it came to nothing */
    snprintf(line, sizeof line, "no broker to ask the peer through");
  else
    describe(attempt, line);
  warp_attempt_fail(attempt, status, "%s", line);
}

/* ---- one dial -------------------------------------------------------------------------------- */

static void dialled(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to, int status);
static void redial(warp_attempt *attempt);

static void wait_until(punch_dial *dial, uint64_t at_us) {
  dial->state = DIAL_WAITING;
  dial->again_us = at_us;
}

static void send_syn(warp_attempt *attempt, punch_dial *dial) {
  punch *state = state_of(attempt);
  uint64_t now = warp_attempt_now_us(attempt);
  uint32_t retry_ms = 0;
  if (warp_attempt_take(attempt, WARP_BUDGET_SYNS, 1, &retry_ms) == 0) {
    wait_until(dial, now + (uint64_t)retry_ms * 1000);
    return;
  }
  int status = warp_tcp_port_dial(dial->port, &dial->to, dialled);
  if (status == WARP_OK) {
    dial->state = DIAL_SENT;
    dial->sent_us = now;
    state->sent++;
    return;
  }
  warp_attempt_give(attempt, WARP_BUDGET_SYNS, 1);
  if (status == WARP_ADDR_NOT_AVAILABLE && ++dial->taken < TAKEN_MAX) {
    wait_until(dial, now + TAKEN_US);
  } else if (status == WARP_LIMIT) {
    wait_until(dial, now + LIMIT_US);
  } else {
    dial->state = DIAL_OVER;
    if (status == WARP_ADDR_NOT_AVAILABLE)
      wg_tcp_punch_port_taken(attempt);
  }
}

static void arm(warp_attempt *attempt) {
  const punch *state = state_of(attempt);
  uint64_t first = UINT64_MAX, now = warp_attempt_now_us(attempt);
  for (unsigned i = 0; i < state->dial_count; i++) {
    const punch_dial *dial = &state->dials[i];
    if (dial->state == DIAL_WAITING && dial->again_us < first)
      first = dial->again_us;
  }
  if (first == UINT64_MAX)
    return;
  uint64_t wait_us = first > now ? first - now : 0;
  warp_attempt_timer(attempt, SLOT_REDIAL, (uint32_t)((wait_us + 999) / 1000), redial);
}

static void redial(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  uint64_t now = warp_attempt_now_us(attempt);
  uint8_t round = state->round;
  for (unsigned i = 0; i < state->dial_count && state->round == round; i++) {
    punch_dial *dial = &state->dials[i];
    if (dial->state == DIAL_WAITING && dial->again_us <= now)
      send_syn(attempt, dial);
  }
  arm(attempt);
  wg_tcp_punch_note(attempt);
}

static punch_dial *find(punch *state, const warp_tcp_port *port, const warp_addr *to) {
  for (unsigned i = 0; i < state->dial_count; i++) {
    if (state->dials[i].port == port && wg_addr_equal(&state->dials[i].to, to))
      return &state->dials[i];
  }
  return NULL;
}

/* WARP_LIMIT: it was open, but enough others are. */
static void ended(warp_attempt *attempt, punch_dial *dial, int status) {
  punch *state = state_of(attempt);
  uint64_t now = warp_attempt_now_us(attempt);
  dial->refused++;
  if (state->dials[0].state == DIAL_OPEN || status == WARP_LIMIT ||
      (state->dial_count > 1 && dial->refused > REDIALS))
    dial->state = DIAL_OVER;
  else if (now - dial->sent_us < NEAR_US)
    wait_until(dial, now + warp_attempt_random(attempt, NEAR_US));
  else
    send_syn(attempt, dial);
}

static void dialled(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to, int status) {
  punch *state = state_of(attempt);
  punch_dial *dial = find(state, port, to);
  if (dial == NULL)
    return; /* of a round that is over */
  if (status == WARP_OK) {
    dial->state = DIAL_OPEN;
    punch_dial first = state->dials[0];
    state->dials[0] = *dial; /* what the report names */
    *dial = first;
  } else {
    state->refused++;
    ended(attempt, dial, status);
    arm(attempt);
  }
  wg_tcp_punch_note(attempt);
}

/* ---- all of a round -------------------------------------------------------------------------- */

int wg_tcp_punch_dial_all(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  warp_addr ip = wg_tcp_punch_peer_ip(attempt);
  unsigned count = state->port_count > state->peer_count ? state->port_count : state->peer_count;
  unsigned taken = 0;
  state->dial_count = count;
  for (unsigned i = 0; i < count; i++) {
    punch_dial *dial = &state->dials[i];
    *dial = (punch_dial){.port = state->ports[i % state->port_count],
                         .to = wg_addr_with_port(&ip, state->peer[i % state->peer_count])};
    send_syn(attempt, dial);
    taken += dial->taken;
  }
  arm(attempt);
  wg_tcp_punch_note(attempt);
  return taken == count ? WARP_ADDR_NOT_AVAILABLE : WARP_OK;
}

void wg_tcp_punch_dial_again(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  for (unsigned i = 0; i < state->dial_count; i++) {
    punch_dial *dial = &state->dials[i];
    if (dial->state != DIAL_OVER || dial->refused == 0)
      continue;
    dial->refused = 0;
    send_syn(attempt, dial);
  }
  arm(attempt);
}
