/*
 * forwarded_port: a plugin from outside, as an example of one.
 *
 * Somebody has forwarded a port by hand, at the router before the peer, to the port that the peer's
 * node listens on. No server can know of it; who connects says which port it is:
 *
 *   warpgate connect ADDRESS --plugin-dir DIR --set forwarded_port.port=4433
 *
 * The peer needs the plugin too: its node takes part in an attempt only by a plugin of that name.
 */
#include <stdio.h>
#include <warpgate/plugin.h>

/* Where the peer is seen, or stands, with the port that was said. */
static warp_addr target(const warp_attempt *attempt) {
  const warp_combo *combo = warp_attempt_combo(attempt);
  warp_addr to = combo->peer->nic;
  if (combo->route_type == WARP_EXT_BIND)
    to = combo->peer->external_tcp.family != 0 ? combo->peer->external_tcp
                                               : combo->peer->external_udp;
  to.port = (uint16_t)warp_attempt_setting(attempt, "port");
  return to;
}

static int check(const warp_combo *combo, char *why, size_t room) {
  if (combo->route_type == WARP_NIC_BIND || combo->peer->external_tcp.family != 0 ||
      combo->peer->external_udp.family != 0)
    return WARP_OK;
  snprintf(why, room, "the peer's external address is not known");
  return WARP_RULED_OUT;
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  if (warp_attempt_role(attempt) == WARP_RESPONDER) {
    warp_attempt_note(attempt, "the peer dialled our forwarded port");
    warp_attempt_expect(attempt); /* the stream that brought us here may carry the attempt */
    return WARP_OK;
  }
  warp_addr to = target(attempt);
  if (to.port == 0) {
    warp_attempt_note(attempt, "forwarded_port.port is not set");
    return WARP_RULED_OUT;
  }
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(attempt, "dialled %s", warp_addr_format(&to, text));
  return warp_attempt_dial(attempt, &to); /* secured, it takes part in the race */
}

static const warp_setting settings[] = {
    {"port", 0, 0, 65535, "the peer's forwarded port; 0: it has none"},
    {NULL, 0, 0, 0, NULL},
};

static const warp_plugin forwarded_port = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "forwarded_port",
    .phase = WARP_PHASE_DIRECT,
    .transports = WARP_TCP,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 15000, /* SYNs repeated after 1, 3 and 7 s have had their chance by then */
    .settings = settings,
    .check = check,
    .run = run,
};

/* What a node asks the shared object for. */
WARP_API const warp_plugin *warp_plugin_entry(void);

const warp_plugin *warp_plugin_entry(void) {
  return &forwarded_port;
}
