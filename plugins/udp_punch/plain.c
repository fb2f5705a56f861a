/*
 * PLAIN: one socket each, the node's shared one, and the addresses of the two records.
 *
 * The initiator sends its message and begins to probe in the same moment, which opens its own
 * filter before the answer can arrive; the responder's first handshake flight is its punching
 * packet, and the path sends it again to wherever a probe of the peer comes from (a peer-reflexive
 * candidate, RFC 8445 section 7.3.1.3). Between two restricting NATs the pipe is usable one way
 * through the broker, half a round trip and one round trip after the call.
 */
#include "punch.h"

static void probe(warp_attempt *attempt) {
  wg_punch *state = warp_attempt_state(attempt);
  const warp_combo *combo = warp_attempt_combo(attempt);
  if (combo->route_type == WARP_NIC_BIND && !state->heard &&
      state->probes == WG_PUNCH_NEAR_PROBES) {
    char text[WARP_ADDR_STRLEN];
    warp_attempt_fail(attempt, WARP_UNREACHABLE,
                      "nothing of the peer came from %s: not the same network",
                      warp_addr_format(&combo->peer->nic, text));
    return;
  }
  warp_path_probe(state->path);
  state->probes++;
  warp_attempt_timer(attempt, WG_PUNCH_SLOT_PROBE,
                     state->probes < WG_PUNCH_FAST_PROBES ? WG_PUNCH_FAST_MS : WG_PUNCH_SLOW_MS,
                     probe);
}

static void heard(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                  const warp_addr *from, bool acknowledged) {
  (void)path;
  (void)socket;
  (void)acknowledged;
  wg_punch *state = warp_attempt_state(attempt);
  char text[WARP_ADDR_STRLEN];
  state->heard = true;
  warp_attempt_note(attempt, "heard the peer from %s after %u probes, securing",
                    warp_addr_format(from, text), state->probes);
}

int wg_punch_plain(warp_attempt *attempt) {
  wg_punch *state = warp_attempt_state(attempt);
  const warp_combo *combo = warp_attempt_combo(attempt);
  const warp_addr *to =
      combo->route_type == WARP_NIC_BIND ? &combo->peer->nic : &combo->peer->external_udp;
  int status = warp_attempt_path(attempt, NULL, heard, &state->path);
  if (status == WARP_OK)
    status = warp_path_add(state->path, to);
  if (status != WARP_OK)
    return status;
  if (warp_attempt_role(attempt) == WARP_INITIATOR)
    status = warp_attempt_signal(attempt, WG_PUNCH_PLAIN, NULL, 0);
  if (status == WARP_OK)
    status = warp_path_secure(state->path);
  if (status != WARP_OK)
    return status;
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(attempt, "probed %s, nothing came back", warp_addr_format(to, text));
  probe(attempt);
  return WARP_OK;
}
