/*
 * random_probe: one side opens many ports, the other guesses one of them. README.md beside this
 * file says when that works, and how.
 */
#include "random_probe.h"

#include <stdio.h>
#include <stdlib.h>

enum {
  SOCKETS = 256,
  PROBES = 2048, /* by theory one in 4000 tries has no hit among as many, with 256 open ports */
  RATE = 100,
};

static const warp_setting settings[] = {
    {"sockets", SOCKETS, 1, 1024, "ports that the opening side opens"},
    {"probes", 0, 0, 65535,
     "ports that the guessing side tries, over the whole range and in one round; 0: 2048, where "
     "they are likeliest"},
    {"rate", RATE, 1, 100000, "guesses a second"},
    {NULL, 0, 0, 0, NULL},
};

typedef struct guess {
  wg_plan plan;
  void *own; /* of the half */
} guess;

/* ---- shared by the halves -------------------------------------------------------------------- */

void *wg_guess_own(warp_attempt *attempt) {
  guess *state = warp_attempt_state(attempt);
  return state->own;
}

const wg_plan *wg_guess_plan(warp_attempt *attempt) {
  const guess *state = warp_attempt_state(attempt);
  return &state->plan;
}

wg_guess_policy wg_guess_policy_of(const warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  const warp_nat_axes *axes = combo->transport == WARP_TCP ? &combo->peer->tcp : &combo->peer->udp;
  wg_guess_policy policy = {.sockets = (unsigned)warp_attempt_setting(attempt, "sockets"),
                            .probes = (unsigned)warp_attempt_setting(attempt, "probes"),
                            .rate = (unsigned)warp_attempt_setting(attempt, "rate"),
                            .low = WG_PORT_FIRST,
                            .high = WG_PORT_LAST};
  policy.exact = policy.probes != 0;
  if (policy.exact || axes->port_high <= axes->port_low || axes->port_low < WG_PORT_FIRST) {
    policy.probes = policy.exact ? policy.probes : PROBES;
    return policy;
  }
  /* Of a block some ports were seen; with eight of them an eighth may lie beyond on each side. */
  unsigned margin = (unsigned)(axes->port_high - axes->port_low) / 8 + 1;
  policy.low =
      axes->port_low < WG_PORT_FIRST + margin ? WG_PORT_FIRST : (uint16_t)(axes->port_low - margin);
  policy.high =
      axes->port_high > WG_PORT_LAST - margin ? WG_PORT_LAST : (uint16_t)(axes->port_high + margin);
  policy.probes = PROBES;
  return policy;
}

int wg_guess_tell(warp_attempt *attempt, uint8_t type, const uint16_t *ports, unsigned count) {
  wg_offer offer = {.plan = *wg_guess_plan(attempt), .round = 1, .port_count = (uint8_t)count};
  for (unsigned i = 0; i < count && i < WG_OFFER_PORTS; i++)
    offer.ports[i] = ports[i];
  uint8_t bytes[WG_OFFER_MAX];
  int len = wg_offer_encode(&offer, bytes, sizeof bytes);
  return len < 0 ? len : warp_attempt_signal(attempt, type, bytes, (size_t)len);
}

void wg_guesses_start(wg_guesses *guesses, warp_attempt *attempt, const wg_guess_policy *policy) {
  for (size_t i = 0; i < 4; i++)
    guesses->key[i] = warp_attempt_random(attempt, UINT32_MAX);
  guesses->everywhere = policy->low == WG_PORT_FIRST && policy->high == WG_PORT_LAST;
  wg_port_walk_start(&guesses->walk, policy->low, policy->high, guesses->key);
}

uint16_t wg_guesses_next(wg_guesses *guesses) {
  uint16_t port = wg_port_walk_next(&guesses->walk);
  if (port == 0 && !guesses->everywhere) {
    guesses->everywhere = true;
    wg_port_walk_start(&guesses->walk, WG_PORT_FIRST, WG_PORT_LAST, guesses->key);
    port = wg_port_walk_next(&guesses->walk);
  }
  return port;
}

/* ---- the plugin ------------------------------------------------------------------------------ */

static int check(const warp_combo *combo, char *why, size_t room) {
  const warp_addr *target =
      combo->transport == WARP_TCP ? &combo->peer->external_tcp : &combo->peer->external_udp;
  if (target->family == 0) {
    snprintf(why, room, "the peer's external %s address is not known",
             combo->transport == WARP_TCP ? "TCP" : "UDP");
    return WARP_RULED_OUT;
  }
  char reason[WARP_DETAIL_LEN];
  wg_plan plan = wg_nat_plan(combo->self, combo->peer, (warp_transport)combo->transport, true,
                             reason, sizeof reason);
  if (plan.strategy == WG_STRATEGY_BIRTHDAY)
    return WARP_OK;
  if (plan.strategy == WG_STRATEGY_NONE)
    snprintf(why, room, "%s", reason);
  else
    snprintf(why, room, "nothing to guess: %.140s", reason);
  return WARP_RULED_OUT;
}

static const wg_guess_half *half_of(const warp_attempt *attempt) {
  return warp_attempt_combo(attempt)->transport == WARP_TCP ? &wg_guess_tcp : &wg_guess_udp;
}

static int begin_half(warp_attempt *attempt, const wg_plan *plan, const wg_offer *begin) {
  guess *state = warp_attempt_state(attempt);
  state->plan = *plan;
  state->own = calloc(1, half_of(attempt)->state_size);
  return state->own == NULL ? WARP_NOMEM : half_of(attempt)->run(attempt, begin);
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  if (warp_attempt_role(attempt) == WARP_INITIATOR) {
    wg_plan plan =
        wg_nat_plan(combo->self, combo->peer, (warp_transport)combo->transport, true, NULL, 0);
    return begin_half(attempt, &plan, NULL);
  }
  wg_offer offer;
  int status = wg_offer_decode(message, len, &offer);
  if (status != WARP_OK)
    return status;
  if (type != WG_GUESS_BEGIN || offer.plan.strategy != WG_STRATEGY_BIRTHDAY)
    return WARP_UNSUPPORTED;
  wg_plan plan = wg_plan_turned(&offer.plan);
  return begin_half(attempt, &plan, &offer);
}

static void message(warp_attempt *attempt, uint8_t type, const uint8_t *bytes, size_t len) {
  wg_offer offer;
  if (wg_guess_own(attempt) != NULL && wg_offer_decode(bytes, len, &offer) == WARP_OK)
    half_of(attempt)->message(attempt, type, &offer);
}

static void stop(warp_attempt *attempt) {
  guess *state = warp_attempt_state(attempt);
  free(state->own);
  state->own = NULL;
}

const warp_plugin warp_plugin_random_probe = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "random_probe",
    .phase = WARP_PHASE_SPRAY,
    .transports = WARP_TCP | WARP_UDP,
    .route_types = WARP_EXT_BIND,
    .timeout_ms = 150000,
    .state_size = sizeof(guess),
    .settings = settings,
    .check = check,
    .run = run,
    .message = message,
    .stop = stop,
};
