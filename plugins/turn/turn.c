/*
 * turn: through a relay (RFC 8656). README.md says when it works and how the two sides agree.
 *
 * Each side has at most one way to the other (turn_way), chosen anew by choose() whenever something
 * was learned, until the peer is heard. One allocation is enough where the other side gets out by
 * UDP; where it does not, both allocate and the two relays talk to each other.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

enum {
  /* The first flight of the handshake opens the way; probes only repeat it where it was lost. */
  PROBE_MS = 100,
  /* Nothing came back from the peer's relay for so long, which is two round trips of any usual
   * path: the way there may be closed. */
  FALLBACK_MS = 1500,
  WATCH_MS = 5000,
};

static turn_state *state_of(warp_attempt *attempt) {
  return warp_attempt_state(attempt);
}

/* ---- who can do what ------------------------------------------------------------------------- */

/* Can this end of the attempt come to the other's relay by itself? Over UDP only, and from an
 * address that the other one knows, so that the relay lets it in. */
static bool comes_directly(const warp_combo *combo, const warp_endpoint *end) {
  return (combo->transport & WARP_UDP) != 0 && end->external_udp.family == combo->family &&
         !wg_turn_udp_blocked(end);
}

static bool we_come(warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  return comes_directly(combo, combo->self);
}

static bool peer_comes(warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  return comes_directly(combo, combo->peer);
}

/* ---- the path -------------------------------------------------------------------------------- */

static int path_send(void *arg, const warp_addr *to, const void *data, size_t len) {
  turn_state *state = state_of(arg);
  switch (state->way) {
  case WAY_NONE:
    return WARP_AGAIN;
  case WAY_DIRECT:
    return state->direct != NULL ? warp_udp_socket_send(state->direct, to, data, len) : WARP_CLOSED;
  case WAY_RELAY:
    break;
  }
  return state->legs.ready != NULL ? wg_leg_send(state->legs.ready, to, data, len) : WARP_CLOSED;
}

static void watch(warp_attempt *attempt) {
  wg_legs_check(attempt);
  warp_attempt_timer(attempt, SLOT_WATCH, WATCH_MS, watch);
}

/* The way is right: it stays. */
static void on_heard(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                     const warp_addr *from, bool acknowledged) {
  (void)path;
  (void)socket;
  (void)acknowledged;
  turn_state *state = state_of(attempt);
  state->heard = true;
  warp_attempt_timer_stop(attempt, SLOT_PROBE);
  if (state->way == WAY_DIRECT) {
    warp_attempt_timer_stop(attempt, SLOT_WATCH);
    wg_legs_close(attempt);
    return;
  }
  if (state->legs.ready == NULL)
    return;
  /* Saves 32 bytes a datagram; who has no channel is served all the same. */
  (void)wg_turn_client_bind(&state->legs.ready->client, from, warp_attempt_now_us(attempt));
  wg_legs_pump(attempt);
  warp_attempt_timer(attempt, SLOT_WATCH, WATCH_MS, watch);
}

static void on_direct(warp_attempt *attempt, warp_udp_socket *socket, const uint8_t *data,
                      size_t len, const warp_addr *from) {
  turn_state *state = state_of(attempt);
  if (socket == state->direct)
    warp_path_input(state->path, data, len, from);
}

void wg_turn_received(warp_attempt *attempt, const uint8_t *data, size_t len,
                      const warp_addr *from) {
  turn_state *state = state_of(attempt);
  if (state->way == WAY_RELAY)
    warp_path_input(state->path, data, len, from);
}

static void probe(warp_attempt *attempt) {
  warp_path_probe(state_of(attempt)->path);
  warp_attempt_timer(attempt, SLOT_PROBE, PROBE_MS, probe);
}

/* ---- our allocation -------------------------------------------------------------------------- */

/* Lets the peer in: its own address, its relayed one when that is known, and before it is known the
 * one that it likely has, on the same relay. */
static int let_in(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  wg_turn_client *client = &state->legs.ready->client;
  const warp_addr *peer = &warp_attempt_combo(attempt)->peer->external_udp;
  uint64_t now = warp_attempt_now_us(attempt);
  int status = WARP_OK;
  if (state->theirs.family != 0)
    status = wg_turn_client_permit(client, &state->theirs, now);
  else if (!peer_comes(attempt) && !state->peer_in_need)
    status = wg_turn_client_permit(client, &client->relayed, now);
  if (status == WARP_OK && peer_comes(attempt))
    status = wg_turn_client_permit(client, peer, now);
  return status;
}

static int tell_relayed(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  uint8_t message[TURN_MESSAGE_MAX];
  size_t len = wg_turn_write_relayed(&state->legs.ready->client.relayed, message);
  state->told = true;
  return warp_attempt_signal(attempt, TURN_RELAYED, message, len);
}

/* Has the peer allocate; `in_need`: we cannot. */
static int ask_peer(warp_attempt *attempt, bool in_need) {
  turn_state *state = state_of(attempt);
  uint8_t message[TURN_MESSAGE_MAX];
  size_t len = wg_turn_write_wanted(in_need, message);
  state->asked_in_need = in_need;
  return warp_attempt_signal(attempt, TURN_WANTED, message, len);
}

/* ---- the way --------------------------------------------------------------------------------- */

static void give_way(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  if (!state->heard)
    wg_legs_seek(attempt);
}

static int go_directly(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  char text[WARP_ADDR_STRLEN];
  int status = warp_attempt_udp(attempt, on_direct, &state->direct);
  if (status != WARP_OK)
    return status;
  state->way = WAY_DIRECT;
  warp_path_set_relayed(state->path, WARP_UDP, &state->theirs);
  warp_attempt_note(attempt, "shook hands with the relayed address %s, no answer",
                    warp_addr_format(&state->theirs, text));
  if (!state->legs.sought)
    warp_attempt_timer(attempt, SLOT_WATCH, FALLBACK_MS, give_way);
  return WARP_OK;
}

static void go_by_relay(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  const leg *ready = state->legs.ready;
  char text[WARP_ADDR_STRLEN];
  state->way = WAY_RELAY;
  if (state->direct != NULL)
    warp_udp_socket_close(state->direct);
  state->direct = NULL;
  warp_path_set_relayed(state->path, ready->transport, &ready->relay.addr);
  warp_attempt_note(attempt, "allocated %s by %s, the peer did not come",
                    warp_addr_format(&ready->client.relayed, text),
                    warp_transport_name(ready->transport));
}

/* The responder's first flight must not be lost at a relay that does not let us through yet. */
static bool may_secure(warp_attempt *attempt) {
  const turn_state *state = state_of(attempt);
  if (state->way != WAY_RELAY || warp_attempt_role(attempt) == WARP_INITIATOR ||
      state->peer_in_need)
    return state->way != WAY_NONE;
  return state->theirs.family != 0 &&
         wg_turn_client_permitted(&state->legs.ready->client, &state->theirs);
}

static int secure(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  if (state->secured || !may_secure(attempt))
    return WARP_OK;
  state->secured = true;
  warp_attempt_keep(attempt);
  int status = warp_path_secure(state->path);
  if (status == WARP_OK)
    warp_attempt_timer(attempt, SLOT_PROBE, PROBE_MS, probe);
  return status;
}

/* No relay is left on our side: the peer's may do, if we can come there. */
static int do_without(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  char why[WARP_DETAIL_LEN];
  int status = wg_legs_explain(&state->legs, why, sizeof why);
  warp_attempt_note(attempt, "%s", why);
  if (!we_come(attempt) || state->peer_in_need)
    return status;
  warp_attempt_blame(attempt, status);
  if (warp_attempt_role(attempt) == WARP_RESPONDER || state->asked_in_need)
    return WARP_OK; /* the peer's relayed address is to come */
  status = ask_peer(attempt, true);
  if (status == WARP_OK)
    warp_attempt_note(attempt, "%.100s; asked the peer for its own", why);
  return status;
}

/* The transitions of `way`, and what follows from each. */
static int choose(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  int status = WARP_OK;
  if (state->legs.ready != NULL && !state->heard) {
    status = let_in(attempt);
    if (status == WARP_OK && !state->told)
      status = tell_relayed(attempt);
    if (status == WARP_OK && state->way != WAY_RELAY)
      go_by_relay(attempt);
  } else if (state->way == WAY_NONE && state->theirs.family != 0 && we_come(attempt)) {
    status = go_directly(attempt);
  } else if (state->way == WAY_NONE && wg_legs_exhausted(&state->legs)) {
    status = do_without(attempt);
  }
  return status == WARP_OK ? secure(attempt) : status;
}

void wg_turn_changed(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  if (state->over || state->heard)
    return;
  int status = choose(attempt);
  if (status != WARP_OK) {
    char why[WARP_DETAIL_LEN];
    (void)wg_legs_explain(&state->legs, why, sizeof why);
    /* With a relay at hand it is a message that could not be sent. */
    const char *after =
        status == WARP_NO_SERVER ? "no broker to tell the peer through" : warp_strerror(status);
    if (state->legs.ready != NULL)
      snprintf(why, sizeof why, "allocated at a relay, then: %s", after);
    warp_attempt_fail(attempt, status, "%s", why);
  }
}

void wg_turn_lost(warp_attempt *attempt, const leg *one) {
  char text[WARP_ADDR_STRLEN];
  warp_attempt_fail(attempt, one->status, "relay %s: %s", warp_addr_format(&one->relay.addr, text),
                    one->why);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* The first one counts. */
static int take_relayed(warp_attempt *attempt, const uint8_t *message, size_t len) {
  turn_state *state = state_of(attempt);
  warp_addr relayed;
  int status = wg_turn_read_relayed(message, len, &relayed);
  if (status != WARP_OK || state->theirs.family != 0)
    return status;
  status = warp_path_add(state->path, &relayed);
  if (status != WARP_OK)
    return status;
  state->theirs = relayed;
  if (state->legs.ready != NULL)
    status = let_in(attempt); /* also when the peer was heard from elsewhere */
  if (status == WARP_OK && !we_come(attempt))
    wg_legs_seek(attempt);
  return status;
}

static int take_message(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  turn_state *state = state_of(attempt);
  bool in_need;
  int status = WARP_MALFORMED;
  if (type == TURN_RELAYED) {
    status = take_relayed(attempt, message, len);
  } else if (type == TURN_WANTED) {
    status = wg_turn_read_wanted(message, len, &in_need);
    if (status == WARP_OK) {
      state->peer_in_need = in_need;
      wg_legs_seek(attempt);
    }
  }
  if (status != WARP_OK || state->over)
    return status;
  status = choose(attempt);
  if (status == WARP_OK)
    wg_legs_pump(attempt);
  return status;
}

static void on_message(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  int status = take_message(attempt, type, message, len);
  if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "a message of the peer: %s", warp_strerror(status));
}

/* ---- the plugin ------------------------------------------------------------------------------ */

/* One broker's round trip is won when the peer is asked at once for what it will need anyway. */
static int begin(warp_attempt *attempt) {
  int status = peer_comes(attempt) ? WARP_OK : ask_peer(attempt, false);
  if (status == WARP_OK)
    wg_legs_seek(attempt);
  return status;
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  turn_state *state = state_of(attempt);
  warp_path_socket socket = {.send = path_send, .arg = attempt};
  int status = warp_attempt_path(attempt, &socket, on_heard, &state->path);
  if (status != WARP_OK)
    return status;
  return warp_attempt_role(attempt) == WARP_INITIATOR ? begin(attempt)
                                                      : take_message(attempt, type, message, len);
}

static void stop(warp_attempt *attempt) {
  turn_state *state = state_of(attempt);
  state->over = true;
  wg_legs_close(attempt);
  state->direct = NULL; /* the context closes it */
}

const warp_plugin warp_plugin_turn = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "turn",
    .phase = WARP_PHASE_RELAY,
    .transports = WARP_TCP | WARP_UDP,
    .route_types = WARP_EXT_BIND,
    .timeout_ms = 60000,
    .relays = true,
    .state_size = sizeof(turn_state),
    .run = run,
    .message = on_message,
    .stop = stop,
};
