/*
 * turn: through a relay (RFC 8656).
 *
 * The initiator allocates, permits the peer's external address and tells the peer the relayed one;
 * the peer shakes hands with it from its shared socket as if it were the initiator's. One
 * allocation is enough, whatever stands before the peer: the permission is for its IP address, not
 * for a port that its NAT may choose anew. The allocation lives as long as the pipe.
 */
#include "base/bytes.h"
#include "machine/turn_client.h"
#include <stdio.h>
#include <string.h>
#include <warpgate/plugin.h>

enum {
  MESSAGE_RELAYED = 1,
  SLOT_MACHINE = 0,
  SLOT_PROBE = 1,
  /* The first flight of the handshake opens the way; probes only repeat it where it was lost. */
  PROBE_MS = 100,
};

/* Five tries within five seconds: a relay that is not there by then leaves its share of the time to
 * others. */
static const wg_stun_timing timing = {.rto_ms = 250, .sends = 5, .rm = 4, .timeout_ms = 5000};

typedef struct relay_state {
  wg_turn_client client;
  warp_udp_socket *socket;
  warp_path *path;
  warp_addr server;
} relay_state;

static int check(const warp_combo *combo, char *why, size_t room) {
  if (combo->peer->external_udp.family != 0)
    return WARP_OK;
  snprintf(why, room, "the peer's external address is not known: the relay could not let it in");
  return WARP_RULED_OUT;
}

/* ---- the responder --------------------------------------------------------------------------- */

static void probe(warp_attempt *attempt) {
  relay_state *state = warp_attempt_state(attempt);
  warp_path_probe(state->path);
  warp_attempt_timer(attempt, SLOT_PROBE, PROBE_MS, probe);
}

static int read_relayed(const uint8_t *message, size_t len, warp_addr *out) {
  wg_reader reader = wg_reader_init(message, len);
  memset(out, 0, sizeof *out);
  out->family = wg_read_u8(&reader);
  out->port = wg_read_u16(&reader);
  wg_read_copy(&reader, out->ip, out->family == WARP_IP4 ? 4 : 16);
  bool known = out->family == WARP_IP4 || out->family == WARP_IP6;
  return !reader.failed && known ? WARP_OK : WARP_MALFORMED;
}

static int respond(warp_attempt *attempt, const uint8_t *message, size_t len) {
  relay_state *state = warp_attempt_state(attempt);
  warp_addr relayed;
  int status = read_relayed(message, len, &relayed);
  if (status == WARP_OK)
    status = warp_attempt_path(attempt, NULL, NULL, &state->path);
  if (status == WARP_OK)
    status = warp_path_add(state->path, &relayed);
  if (status != WARP_OK)
    return status;
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(attempt, "shook hands with the relayed address %s, no answer",
                    warp_addr_format(&relayed, text));
  warp_path_set_relayed(state->path);
  status = warp_path_secure(state->path);
  if (status == WARP_OK)
    warp_attempt_timer(attempt, SLOT_PROBE, PROBE_MS, probe);
  return status;
}

/* ---- the initiator --------------------------------------------------------------------------- */

static void pump(warp_attempt *attempt);

static int path_send(void *arg, const warp_addr *to, const void *data, size_t len) {
  relay_state *state = warp_attempt_state(arg);
  uint8_t wrapped[WG_STUN_MAX];
  int wrapped_len = wg_turn_client_send(&state->client, to, data, len, wrapped, sizeof wrapped);
  if (wrapped_len < 0)
    return wrapped_len;
  return warp_udp_socket_send(state->socket, &state->server, wrapped, (size_t)wrapped_len);
}

static int tell_peer(warp_attempt *attempt, const warp_addr *relayed) {
  uint8_t message[32];
  wg_writer writer = wg_writer_init(message, sizeof message);
  wg_write_u8(&writer, relayed->family);
  wg_write_u16(&writer, relayed->port);
  wg_write_bytes(&writer, relayed->ip, relayed->family == WARP_IP4 ? 4 : 16);
  return warp_attempt_signal(attempt, MESSAGE_RELAYED, message, writer.len);
}

static void allocated(warp_attempt *attempt) {
  relay_state *state = warp_attempt_state(attempt);
  const warp_addr *relayed = &state->client.relayed;
  warp_path_socket socket = {
      .send = path_send, .arg = attempt, .relayed = true, .remote = state->server};
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(attempt, "allocated %s, the peer did not come",
                    warp_addr_format(relayed, text));
  int status = tell_peer(attempt, relayed);
  if (status == WARP_OK)
    status = warp_attempt_path(attempt, &socket, NULL, &state->path);
  if (status == WARP_OK) {
    warp_attempt_keep(attempt);
    status = warp_path_secure(state->path);
  }
  if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "allocated %s, then: %s", text, warp_strerror(status));
}

static void take_event(warp_attempt *attempt, const wg_turn_event *event) {
  const relay_state *state = warp_attempt_state(attempt);
  char text[WARP_ADDR_STRLEN];
  warp_addr_format(&state->server, text);
  switch (event->type) {
  case WG_TURN_EVENT_ALLOCATED:
    allocated(attempt);
    break;
  case WG_TURN_EVENT_PERMITTED:
    break;
  case WG_TURN_EVENT_FORBIDDEN:
  case WG_TURN_EVENT_ENDED:
    warp_attempt_fail(attempt, event->status, "relay %s: %s%s%.60s", text,
                      warp_strerror(event->status), event->reason[0] != '\0' ? ": " : "",
                      event->reason);
    break;
  }
}

static void pump(warp_attempt *attempt) {
  relay_state *state = warp_attempt_state(attempt);
  const uint8_t *bytes;
  size_t len;
  wg_turn_event event;
  uint64_t now = warp_attempt_now_us(attempt);
  do {
    while (wg_turn_client_output(&state->client, now, &bytes, &len))
      (void)warp_udp_socket_send(state->socket, &state->server, bytes,
                                 len); /* a lost one is sent again */
    if (!wg_turn_client_event(&state->client, &event))
      break;
    take_event(attempt, &event);
  } while (state->client.state != WG_TURN_ENDED && state->client.state != WG_TURN_CLOSING);
  uint64_t deadline = wg_turn_client_deadline(&state->client);
  if (deadline != UINT64_MAX)
    warp_attempt_timer(attempt, SLOT_MACHINE,
                       deadline > now ? (uint32_t)((deadline - now + 999) / 1000) : 0, pump);
}

static void received(warp_attempt *attempt, warp_udp_socket *socket, const uint8_t *bytes,
                     size_t len, const warp_addr *from) {
  (void)socket;
  relay_state *state = warp_attempt_state(attempt);
  warp_addr peer;
  const uint8_t *data = NULL;
  size_t data_len;
  int status = wg_turn_client_input(&state->client, bytes, len, from, warp_attempt_now_us(attempt),
                                    &peer, &data, &data_len);
  if (status != WARP_OK)
    return;
  if (data == NULL)
    pump(attempt);
  else if (state->path != NULL)
    warp_path_input(state->path, data, data_len, &peer);
}

static int entropy(void *arg, void *out, size_t len) {
  return warp_attempt_entropy(arg, out, len);
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  if (warp_attempt_role(attempt) == WARP_RESPONDER)
    return type == MESSAGE_RELAYED ? respond(attempt, message, len) : WARP_MALFORMED;
  relay_state *state = warp_attempt_state(attempt);
  const warp_combo *combo = warp_attempt_combo(attempt);
  warp_relay relay;
  if (warp_attempt_relay(attempt, 0, &relay) != WARP_OK) {
    warp_attempt_note(attempt, "no TURN server configured");
    return WARP_NO_SERVER;
  }
  state->server = relay.addr;
  wg_turn_options options = {.server = relay.addr,
                             .user = relay.user,
                             .password = relay.password,
                             .family = combo->family,
                             .timing = timing,
                             .random = entropy,
                             .random_arg = attempt};
  uint64_t now = warp_attempt_now_us(attempt);
  int status = warp_attempt_udp(attempt, received, &state->socket);
  if (status == WARP_OK)
    status = wg_turn_client_start(&state->client, &options, now);
  if (status == WARP_OK)
    status = wg_turn_client_permit(&state->client, &combo->peer->external_udp, now);
  if (status != WARP_OK)
    return status;
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(attempt, "relay %s: no answer", warp_addr_format(&relay.addr, text));
  pump(attempt);
  return WARP_OK;
}

/* Gives the allocation back with one datagram; where that is lost it ends by itself within its
 * lifetime. */
static void stop(warp_attempt *attempt) {
  relay_state *state = warp_attempt_state(attempt);
  if (state->socket == NULL)
    return;
  uint64_t now = warp_attempt_now_us(attempt);
  const uint8_t *bytes;
  size_t len;
  wg_turn_client_close(&state->client, now);
  if (wg_turn_client_output(&state->client, now, &bytes, &len))
    (void)warp_udp_socket_send(state->socket, &state->server, bytes, len);
}

const warp_plugin warp_plugin_turn = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "turn",
    .phase = WARP_PHASE_RELAY,
    .transports = WARP_UDP,
    .route_types = WARP_EXT_BIND,
    .timeout_ms = 60000,
    .state_size = sizeof(relay_state),
    .check = check,
    .run = run,
    .stop = stop,
};
