/*
 * reverse_connect: asks the peer to dial our listener.
 *
 * Works where the outside can reach us unasked and the peer may not be reached: one message through
 * a broker, then one round trip for TCP and one for TLS.
 */
#include "nat/verdict.h"
#include <stdio.h>
#include <warpgate/plugin.h>

enum { MESSAGE_DIAL_ME = 1 };

static int check(const warp_combo *combo, char *why, size_t room) {
  if (combo->route_type == WARP_NIC_BIND)
    return WARP_OK;
  if (combo->self->external_tcp.family == 0) {
    snprintf(why, room, "our external TCP address is not known");
    return WARP_RULED_OUT;
  }
  return wg_nat_reachable(combo->self, WARP_TCP, "we", why, room) == WG_VERDICT_NO ? WARP_RULED_OUT
                                                                                   : WARP_OK;
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  if (warp_attempt_role(attempt) == WARP_INITIATOR) {
    warp_attempt_expect(attempt);
    int status = warp_attempt_signal(attempt, MESSAGE_DIAL_ME, NULL, 0);
    if (status == WARP_OK)
      warp_attempt_note(attempt, "asked the peer to dial us, nothing came");
    return status;
  }
  const warp_combo *combo = warp_attempt_combo(attempt);
  return warp_attempt_dial(
      attempt, combo->route_type == WARP_NIC_BIND ? &combo->peer->nic : &combo->peer->external_tcp);
}

const warp_plugin warp_plugin_reverse_connect = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "reverse_connect",
    .phase = WARP_PHASE_DIRECT,
    .transports = WARP_TCP,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 15000, /* as direct_connect, whose mirror it is */
    .check = check,
    .run = run,
};
