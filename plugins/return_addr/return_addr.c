/*
 * return_addr: answers get_addr with this node's present address record.
 *
 * The record is public, and what it costs is bounded: one answer for a session, sent again while
 * the asker is not heard of, because a broker may lose it.
 */
#include <warpgate/plugin.h>

enum {
  MESSAGE_RECORD = 2,
  SLOT_AGAIN = 0,
  ANSWERS = 3,
  AGAIN_MS = 1000, /* a round trip through a slow broker, or its restart */
};

typedef struct answer {
  unsigned sent;
} answer;

static int send(warp_attempt *attempt) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  int status = warp_attempt_own_record(attempt, record, &len);
  return status == WARP_OK ? warp_attempt_signal(attempt, MESSAGE_RECORD, record, len) : status;
}

static void again(warp_attempt *attempt) {
  answer *state = warp_attempt_state(attempt);
  int status = state->sent < ANSWERS ? send(attempt) : WARP_TIMEOUT;
  state->sent++;
  if (status == WARP_OK)
    warp_attempt_timer(attempt, SLOT_AGAIN, AGAIN_MS, again);
  else
    warp_attempt_fail(attempt, status, "sent our record %u times, and heard nothing",
                      state->sent - 1);
}

/* It ends when the asker says that its own side has. */
static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  if (warp_attempt_role(attempt) == WARP_INITIATOR)
    return WARP_UNSUPPORTED; /* that is get_addr's part */
  warp_attempt_note(attempt, "sent our present record");
  again(attempt);
  return WARP_OK;
}

const warp_plugin warp_plugin_return_addr = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "return_addr",
    .phase = WARP_PHASE_NONE,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 15000, /* as get_addr, whose other half it is */
    .state_size = sizeof(answer),
    .run = run,
};
