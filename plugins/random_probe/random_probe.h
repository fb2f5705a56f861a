/* What the halves of random_probe share. */
#ifndef WG_RANDOM_PROBE_H
#define WG_RANDOM_PROBE_H

#include "nat/offer.h"

/* Messages of the plugin; each is an offer (nat/offer.h). */
enum {
  WG_GUESS_BEGIN = 1, /* the initiator's: the plan. From an opener that nobody has to aim for: its
                         ports are open. From a prober that aims: its ports */
  WG_GUESS_OPEN = 2,  /* the opener's: its ports are open */
  WG_GUESS_AIM = 3,   /* the prober's, as responder: its ports */
};

/* What is done over one transport. */
typedef struct wg_guess_half {
  size_t state_size; /* zeroed at first: wg_guess_own */
  /* `begin` is the initiator's offer on the responder, NULL on the initiator. */
  int (*run)(warp_attempt *attempt, const wg_offer *begin);
  void (*message)(warp_attempt *attempt, uint8_t type, const wg_offer *offer);
} wg_guess_half;

extern const wg_guess_half wg_guess_udp, wg_guess_tcp;

/* The state of the half. */
void *wg_guess_own(warp_attempt *attempt);
/* The plan as this side sees it: the initiator's. */
const wg_plan *wg_guess_plan(warp_attempt *attempt);

/* What a person or the measured axes have set. */
typedef struct wg_guess_policy {
  unsigned sockets, probes, rate;
  /* `probes` was set: they are spent over the whole range, without a second round. */
  bool exact;
  uint16_t low, high; /* where the peer's ports are guessed first; then everywhere */
} wg_guess_policy;
wg_guess_policy wg_guess_policy_of(const warp_attempt *attempt);

/* Sends the plan with these ports. The errors of warp_attempt_signal. */
int wg_guess_tell(warp_attempt *attempt, uint8_t type, const uint16_t *ports, unsigned count);

/* The ports that are guessed, in their order: first where they were seen, then everywhere. */
typedef struct wg_guesses {
  wg_port_walk walk;
  bool everywhere;
  uint32_t key[4];
} wg_guesses;
void wg_guesses_start(wg_guesses *guesses, warp_attempt *attempt, const wg_guess_policy *policy);
/* 0 when all were tried. */
uint16_t wg_guesses_next(wg_guesses *guesses);

#endif
