/*
 * direct_connect: dials the peer's listener.
 *
 * Works where the outside can reach the peer unasked: a public address without a filter, a NAT
 * whose mapping and filtering are both endpoint-independent (RFC 4787) and whose mapping of the
 * listen port is kept alive, a router that opened the port, or a shared network. One round
 * trip for TCP, one for TLS; no signalling: the invitation travels in the ClientHello.
 */
#include "nat/verdict.h"
#include <stdio.h>
#include <warpgate/plugin.h>

static const warp_addr *target(const warp_combo *combo) {
  return combo->route_type == WARP_NIC_BIND ? &combo->peer->nic : &combo->peer->external_tcp;
}

static int check(const warp_combo *combo, char *why, size_t room) {
  if (target(combo)->family == 0) {
    snprintf(why, room, "the peer's external TCP address is not known");
    return WARP_RULED_OUT;
  }
  if (combo->route_type == WARP_NIC_BIND)
    return WARP_OK;
  return wg_nat_reachable(combo->peer, WARP_TCP, "the peer", why, room) == WG_VERDICT_NO
             ? WARP_RULED_OUT
             : WARP_OK;
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  if (warp_attempt_role(attempt) == WARP_INITIATOR)
    return warp_attempt_dial(attempt, target(warp_attempt_combo(attempt)));
  /* The invitation came in the hello of the stream that is to carry it. */
  warp_attempt_note(attempt, "the peer dialled us");
  warp_attempt_expect(attempt);
  return WARP_OK;
}

const warp_plugin warp_plugin_direct_connect = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "direct_connect",
    .phase = WARP_PHASE_DIRECT,
    .transports = WARP_TCP,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms =
        15000, /* the kernel's SYN retransmissions at 1, 3 and 7 s have had their chance by then */
    .check = check,
    .run = run,
};
