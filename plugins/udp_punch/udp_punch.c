/*
 * udp_punch: both sides send to each other's address at once, so that each NAT takes the other's
 * packets for answers.
 *
 * The initiator sends its message and begins to probe in the same moment, which opens its own
 * filter before the answer can arrive; the responder's first handshake flight is its punching
 * packet, and the path sends it again to wherever a probe of the peer comes from (a peer-reflexive
 * candidate, RFC 8445 section 7.3.1.3). Between two restricting NATs the pipe is usable one way
 * through the broker, half a round trip and one round trip after the call.
 */
#include "nat/plan.h"
#include <stdio.h>
#include <warpgate/plugin.h>

enum {
  MESSAGE_PUNCH = 1,
  SLOT_PROBE = 0,
  /* 50 probes a second while an answer is due, under the 100 packets a second that home routers put
   * up with; a tenth of that later, when only a lost packet or a slow broker can still make a
   * difference. */
  PROBE_FAST_MS = 20,
  PROBE_SLOW_MS = 200,
  PROBES_FAST = 100,
};

typedef struct punch {
  warp_path *path;
  unsigned probes;
} punch;

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
  return plan.strategy == WG_STRATEGY_PLAIN ? WARP_OK : WARP_RULED_OUT;
}

static void probe(warp_attempt *attempt) {
  punch *state = warp_attempt_state(attempt);
  warp_path_probe(state->path);
  state->probes++;
  warp_attempt_timer(attempt, SLOT_PROBE,
                     state->probes < PROBES_FAST ? PROBE_FAST_MS : PROBE_SLOW_MS, probe);
}

static void heard(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                  const warp_addr *from, bool acknowledged) {
  (void)path;
  (void)socket;
  (void)acknowledged;
  const punch *state = warp_attempt_state(attempt);
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(attempt, "heard the peer from %s after %u probes, securing",
                    warp_addr_format(from, text), state->probes);
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  punch *state = warp_attempt_state(attempt);
  const warp_addr *to = target(warp_attempt_combo(attempt));
  int status = warp_attempt_path(attempt, NULL, heard, &state->path);
  if (status == WARP_OK)
    status = warp_path_add(state->path, to);
  if (status != WARP_OK)
    return status;
  if (warp_attempt_role(attempt) == WARP_INITIATOR)
    status = warp_attempt_signal(attempt, MESSAGE_PUNCH, NULL, 0);
  if (status == WARP_OK)
    status = warp_path_secure(state->path);
  if (status != WARP_OK)
    return status;
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(attempt, "probed %s, nothing came back", warp_addr_format(to, text));
  probe(attempt);
  return WARP_OK;
}

const warp_plugin warp_plugin_udp_punch = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "udp_punch",
    .phase = WARP_PHASE_SPRAY,
    .transports = WARP_UDP,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 150000,
    .state_size = sizeof(punch),
    .check = check,
    .run = run,
};
