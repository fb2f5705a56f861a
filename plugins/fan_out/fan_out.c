/*
 * fan_out: starts the attempts of a phase, all at once or one after the other.
 *
 * It has no phase, no peer and no row in the report: the race gives it an attempt for each phase
 * that has something to try. The attempts of a phase are tried in the order in which the race lists
 * them.
 */
#include <stdio.h>
#include <warpgate/plugin.h>

enum {
  SLOT_NEXT = 0,
  STAGGER_MOST_MS = 10000, /* more than that is not one race any more */
};

static void start_more(warp_attempt *attempt) {
  uint32_t stagger_ms = (uint32_t)warp_attempt_setting(attempt, "stagger_ms");
  while (warp_attempt_start_next(attempt)) {
    if (stagger_ms > 0) {
      warp_attempt_timer(attempt, SLOT_NEXT, stagger_ms, start_more);
      return;
    }
  }
}

/* Asked only when somebody names it as a technique. */
static int check(const warp_combo *combo, char *why, size_t room) {
  (void)combo;
  snprintf(why, room, "it starts what others try, and tries nothing itself");
  return WARP_RULED_OUT;
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  if (warp_attempt_role(attempt) == WARP_RESPONDER)
    return WARP_UNSUPPORTED; /* a peer has nothing to ask of it */
  start_more(attempt);
  return WARP_OK;
}

static const warp_setting settings[] = {
    {"stagger_ms", 0, 0, STAGGER_MOST_MS, "pause between two starts within a phase, milliseconds"},
    {NULL, 0, 0, 0, NULL},
};

const warp_plugin warp_plugin_fan_out = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "fan_out",
    .phase = WARP_PHASE_NONE,
    .transports = WARP_TCP | WARP_UDP,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 180000, /* as long as the longest attempt */
    .settings = settings,
    .check = check,
    .run = run,
};
