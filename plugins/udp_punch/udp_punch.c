/*
 * udp_punch: both sides send to each other's address at once, so that each NAT takes the other's
 * packets for answers. README.md beside this file says when that works, and how.
 */
#include "punch.h"

#include <stdio.h>

static const warp_addr *target(const warp_combo *combo) {
  return combo->route_type == WARP_NIC_BIND ? &combo->peer->nic : &combo->peer->external_udp;
}

static int check(const warp_combo *combo, char *why, size_t room) {
  if (target(combo)->family == 0) {
    snprintf(why, room, "the peer's external UDP address is not known");
    return WARP_RULED_OUT;
  }
  if (combo->route_type == WARP_NIC_BIND)
    return WARP_OK;
  wg_plan plan = wg_nat_plan(combo->self, combo->peer, WARP_UDP, true, why, room);
  bool guessing = plan.strategy == WG_STRATEGY_BIRTHDAY || plan.strategy == WG_STRATEGY_NONE;
  return guessing ? WARP_RULED_OUT : WARP_OK;
}

static int begin(warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  if (combo->route_type == WARP_NIC_BIND)
    return wg_punch_plain(attempt);
  wg_plan plan = wg_nat_plan(combo->self, combo->peer, WARP_UDP, true, NULL, 0);
  return plan.strategy == WG_STRATEGY_PLAIN ? wg_punch_plain(attempt)
                                            : wg_foretell_begin(attempt, &plan);
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  wg_offer offer;
  if (warp_attempt_role(attempt) == WARP_INITIATOR)
    return begin(attempt);
  if (type == WG_PUNCH_PLAIN)
    return wg_punch_plain(attempt);
  if (type != WG_PUNCH_OFFER)
    return WARP_UNSUPPORTED;
  int status = wg_offer_decode(message, len, &offer);
  return status == WARP_OK ? wg_foretell_join(attempt, &offer) : status;
}

static void message(warp_attempt *attempt, uint8_t type, const uint8_t *bytes, size_t len) {
  wg_offer offer;
  if (type == WG_PUNCH_OFFER && wg_offer_decode(bytes, len, &offer) == WARP_OK)
    wg_foretell_take(attempt, &offer);
}

const warp_plugin warp_plugin_udp_punch = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "udp_punch",
    .phase = WARP_PHASE_SPRAY,
    .transports = WARP_UDP,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 150000,
    .state_size = sizeof(wg_punch),
    .check = check,
    .run = run,
    .message = message,
};
