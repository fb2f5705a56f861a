/*
 * tcp_punch: both sides dial each other from one port each that also listens, so that each NAT
 * takes the other's SYN for an answer, and the two SYNs make one connection (RFC 9293 section 3.5,
 * RFC 5382 REQ-2). README.md beside this file says when it works and why.
 *
 * The attempt goes through rounds, which the initiator begins. In the first one of two sides whose
 * ports the records tell, both dial at once: the initiator with its message, the responder when the
 * message comes. Every other round needs ports that no record tells: both open and measure fresh
 * ones, tell each other, and dial at an instant that the responder names.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

enum {
  /* A round: three lost SYNs of one side (1, 2 and 4 s in most kernels), or on a path of 600 ms
   * everything that an exchange takes. Two of them leave a relay that waits 12 s for us its turn.
   */
  ROUND_MS = 5000,
  SILENCE_MS = 15000, /* a responder that hears of no further round has been forgotten */
  /* The instant B of a round is as far ahead as the peer's last message took, and a little more for
   * the way through the loop. What was refused then is dialled again at B+1, one window later. */
  MARGIN_US = 10000,
  DELAY_MAX_US = 2000000,
  WINDOW_MS = 500,
  /* Clocks that are this far off make SYNs meet later than dialling on receipt does. */
  SKEW_MAX_US = 100000,
  /* The second of two that have an order dials this much after the instant; without a common clock
   * it waits to be told, but no longer than a lost SYN would cost. */
  ORDER_LAG_MS = 20,
  ORDER_WAIT_MS = 1000,
};

static punch *state_of(warp_attempt *attempt) {
  return warp_attempt_state(attempt);
}

static bool initiates(const warp_attempt *attempt) {
  return warp_attempt_role(attempt) == WARP_INITIATOR;
}

static int check(const warp_combo *combo, char *why, size_t room) {
  if (combo->route_type == WARP_NIC_BIND)
    return WARP_OK;
  if (combo->self->external_tcp.family == 0 || combo->peer->external_tcp.family == 0) {
    snprintf(why, room, "%s external TCP address is not known",
             combo->self->external_tcp.family == 0 ? "our" : "the peer's");
    return WARP_RULED_OUT;
  }
  wg_plan plan = wg_nat_plan(combo->self, combo->peer, WARP_TCP, true, why, room);
  return plan.strategy == WG_STRATEGY_NONE || plan.strategy == WG_STRATEGY_BIRTHDAY ? WARP_RULED_OUT
                                                                                    : WARP_OK;
}

/* The initiator's; the responder follows the one that it is told. */
static wg_plan plan_of(const warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  if (combo->route_type == WARP_NIC_BIND)
    return (wg_plan){.strategy = WG_STRATEGY_PLAIN, .self_known = true, .peer_known = true};
  return wg_nat_plan(combo->self, combo->peer, WARP_TCP, true, NULL, 0);
}

/* ---- time and words -------------------------------------------------------------------------- */

/* 0 when nobody should rely on it. */
static int64_t common_time_us(const warp_attempt *attempt) {
  uint32_t uncertainty_us;
  int64_t now = warp_attempt_utc_us(attempt, &uncertainty_us);
  return uncertainty_us <= SKEW_MAX_US ? now : 0;
}

static int tell(warp_attempt *attempt, punch_type type) {
  const punch *state = state_of(attempt);
  punch_message message = {.go = state->go,
                           .dialled = state->stage == STAGE_DIALLING,
                           .sent_us = common_time_us(attempt),
                           .instant_us = state->instant_us,
                           .offer = {.plan = state->plan, .round = state->round}};
  if (wg_tcp_punch_exchanges(attempt)) {
    message.offer.port_count = state->own_count;
    memcpy(message.offer.ports, state->own, sizeof message.offer.ports);
  }
  uint8_t bytes[PUNCH_MESSAGE_MAX];
  size_t len = wg_tcp_punch_write(&message, bytes);
  return warp_attempt_signal(attempt, (uint8_t)type, bytes, len);
}

/* What cannot be told may still come to be by what the peer does. */
static void try_tell(warp_attempt *attempt, punch_type type) {
  (void)tell(attempt, type);
}

/* As soon as the message that names it can be there. */
static int64_t choose_instant(const warp_attempt *attempt, const punch *state) {
  int64_t now = common_time_us(attempt);
  return now == 0 || state->peer_sent_us == 0 ? 0 : now + state->peer_delay_us + MARGIN_US;
}

/* Until our own SYN is due. */
static uint32_t wait_ms(const warp_attempt *attempt, const punch *state) {
  bool second = state->plan.peer_first && !state->peer_dialled;
  int64_t now = common_time_us(attempt);
  if (state->instant_us == 0 || now == 0)
    return second ? ORDER_WAIT_MS : 0;
  int64_t wait_us = state->instant_us - now + (second ? ORDER_LAG_MS * 1000 : 0);
  int64_t longest_us = 2 * DELAY_MAX_US;
  wait_us = wait_us < longest_us ? wait_us : longest_us;
  return wait_us > 0 ? (uint32_t)((wait_us + 500) / 1000) : 0;
}

/* ---- dialling -------------------------------------------------------------------------------- */

static int begin(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  state->stage = STAGE_DIALLING;
  warp_attempt_timer_stop(attempt, SLOT_BEGIN);
  int status = wg_tcp_punch_dial_all(attempt);
  if (wg_tcp_punch_exchanges(attempt))
    warp_attempt_timer(attempt, SLOT_WINDOW, WINDOW_MS, wg_tcp_punch_dial_again);
  return status;
}

static void begin_now(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  (void)begin(attempt); /* a port that is taken is tried again */
  if (state->plan.self_first && state->instant_us == 0)
    try_tell(attempt, PUNCH_GO);
}

/* Goes on as far as what is known allows. */
static void advance(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  if (!state->begun || state->stage == STAGE_DIALLING || state->own_count == 0 ||
      state->peer_count == 0)
    return;
  if (wg_tcp_punch_exchanges(attempt) && !state->go) {
    if (initiates(attempt))
      return;
    state->go = true;
    state->instant_us = choose_instant(attempt, state);
    try_tell(attempt, PUNCH_GO);
  }
  state->stage = STAGE_WAITING;
  uint32_t wait = wait_ms(attempt, state);
  if (wait == 0)
    begin_now(attempt);
  else
    warp_attempt_timer(attempt, SLOT_BEGIN, wait, begin_now);
}

void wg_tcp_punch_ready(warp_attempt *attempt) {
  if (!state_of(attempt)->begun)
    return;
  if (initiates(attempt))
    try_tell(attempt, PUNCH_PORTS_ARE);
  advance(attempt);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void reset_round(warp_attempt *attempt, uint8_t round) {
  punch *state = state_of(attempt);
  for (unsigned slot = SLOT_BEGIN; slot <= SLOT_WINDOW; slot++)
    warp_attempt_timer_stop(attempt, slot);
  state->round = round;
  state->stage = STAGE_PREPARING;
  state->begun = state->go = state->peer_dialled = state->asked_again = state->prolonged = false;
  state->instant_us = 0;
  state->dial_count = 0;
  state->stun_index = 0;
  state->peer_count = 0;
  if (!wg_tcp_punch_exchanges(attempt)) {
    const warp_combo *combo = warp_attempt_combo(attempt);
    state->peer[0] =
        combo->route_type == WARP_NIC_BIND ? combo->peer->nic.port : combo->peer->external_tcp.port;
    state->peer_count = 1;
  }
}

static void round_over(warp_attempt *attempt);

static int open_round(warp_attempt *attempt, uint8_t round) {
  punch *state = state_of(attempt);
  reset_round(attempt, round);
  int status = wg_tcp_punch_ports_open(attempt);
  /* Our SYN opens our filter before the peer's can come. */
  if (status == WARP_OK && !wg_tcp_punch_exchanges(attempt) && !state->plan.peer_first)
    status = begin(attempt);
  if (status != WARP_OK)
    return status;
  status = tell(attempt, PUNCH_OPEN);
  if (status != WARP_OK)
    return status;
  state->begun = true;
  warp_attempt_timer(attempt, SLOT_ROUND, ROUND_MS, round_over);
  advance(attempt);
  return WARP_OK;
}

static unsigned rounds_of(const punch *state) {
  return state->plan.strategy == WG_STRATEGY_PLAIN ? PUNCH_ROUNDS - 1 : PUNCH_ROUNDS;
}

/* The initiator's: begins a round; a listen port that cannot dial the peer, because a connection of
 * both lived there a moment ago, makes way for fresh ports at once. */
static int start_round(warp_attempt *attempt, uint8_t round) {
  int status = open_round(attempt, round);
  if (status == WARP_ADDR_NOT_AVAILABLE && round == 1)
    status = open_round(attempt, 2);
  return status;
}

static void next_round(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  unsigned round = state->round + 1U;
  if (round > rounds_of(state)) {
    wg_tcp_punch_fail(attempt, WARP_TIMEOUT);
    return;
  }
  int status = start_round(attempt, (uint8_t)round);
  if (status != WARP_OK)
    wg_tcp_punch_fail(attempt, status);
}

static void round_over(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  bool open = state->dial_count > 0 && state->dials[0].state == DIAL_OPEN;
  if (open && !state->prolonged) {
    state->prolonged = true; /* it is being secured: once more, but not for ever */
    warp_attempt_timer(attempt, SLOT_ROUND, ROUND_MS, round_over);
    return;
  }
  next_round(attempt);
}

static void forgotten(warp_attempt *attempt) {
  wg_tcp_punch_fail(attempt, WARP_TIMEOUT);
}

/* The responder's. */
static int join_round(warp_attempt *attempt, uint8_t round) {
  punch *state = state_of(attempt);
  reset_round(attempt, round);
  int status = wg_tcp_punch_ports_open(attempt);
  state->begun = status == WARP_OK;
  return status;
}

void wg_tcp_punch_port_taken(warp_attempt *attempt) {
  punch *state = state_of(attempt);
  if (initiates(attempt) || state->asked_again || state->round > 1)
    return;
  state->asked_again = true;
  try_tell(attempt, PUNCH_AGAIN);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void take_ports(punch *state, const wg_offer *offer) {
  if (offer->port_count == 0 || state->stage == STAGE_DIALLING)
    return;
  memcpy(state->peer, offer->ports, sizeof state->peer);
  state->peer_count = offer->port_count;
}

static void take_time(warp_attempt *attempt, const punch_message *message) {
  punch *state = state_of(attempt);
  int64_t now = common_time_us(attempt);
  if (now == 0 || message->sent_us == 0)
    return;
  int64_t delay = now - message->sent_us;
  delay = delay > 0 ? delay : 0;
  state->peer_sent_us = message->sent_us;
  state->peer_delay_us = delay < DELAY_MAX_US ? delay : DELAY_MAX_US;
}

/* Of the present round. */
static void take(warp_attempt *attempt, const punch_message *message) {
  punch *state = state_of(attempt);
  take_time(attempt, message);
  take_ports(state, &message->offer);
  state->peer_dialled = state->peer_dialled || message->dialled;
  if (initiates(attempt) && message->go && !state->go) {
    state->go = true;
    state->instant_us = message->instant_us;
  }
  advance(attempt);
}

static int respond(warp_attempt *attempt, const punch_message *message) {
  punch *state = state_of(attempt);
  uint8_t round = message->offer.round;
  if (round > PUNCH_ROUNDS)
    return WARP_MALFORMED;
  if (!state->begun || round > state->round) {
    int status = join_round(attempt, round);
    if (status != WARP_OK)
      return status;
  }
  warp_attempt_timer(attempt, SLOT_ROUND, SILENCE_MS, forgotten);
  if (round == state->round)
    take(attempt, message);
  return WARP_OK;
}

static void on_message(warp_attempt *attempt, uint8_t type, const uint8_t *bytes, size_t len) {
  punch_message message;
  const punch *state = state_of(attempt);
  if (wg_tcp_punch_read(bytes, len, &message) != WARP_OK)
    return; /* whoever sent it counts on nothing */
  if (!initiates(attempt)) {
    int status = respond(attempt, &message);
    if (status != WARP_OK && status != WARP_MALFORMED)
      wg_tcp_punch_fail(attempt, status);
  } else if (message.offer.round == state->round) {
    if (type == PUNCH_AGAIN)
      next_round(attempt);
    else
      take(attempt, &message);
  }
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *bytes, size_t len) {
  (void)type;
  punch *state = state_of(attempt);
  if (initiates(attempt)) {
    state->plan = plan_of(attempt);
    return start_round(attempt, 1);
  }
  punch_message message;
  int status = wg_tcp_punch_read(bytes, len, &message);
  if (status != WARP_OK)
    return status;
  state->plan = wg_plan_turned(&message.offer.plan);
  return respond(attempt, &message);
}

const warp_plugin warp_plugin_tcp_punch = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "tcp_punch",
    .phase = WARP_PHASE_PUNCH,
    .transports = WARP_TCP,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 180000,
    .state_size = sizeof(punch),
    .check = check,
    .run = run,
    .message = on_message,
};
