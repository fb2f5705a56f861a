/*
 * get_addr: asks the peer for its present address record; return_addr answers.
 *
 * The race adds it when the record in hand is old, or lacks an address. It goes through a broker
 * that both records name, to the topic of the peer's key, which does not change when the peer's
 * addresses do.
 */
#include <warpgate/plugin.h>

enum { MESSAGE_ASK = 1, MESSAGE_RECORD = 2 };

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type;
  (void)message;
  (void)len;
  if (warp_attempt_role(attempt) == WARP_RESPONDER)
    return WARP_UNSUPPORTED; /* that is return_addr's part */
  int status = warp_attempt_signal(attempt, MESSAGE_ASK, NULL, 0);
  if (status == WARP_OK)
    warp_attempt_note(attempt, "asked the peer for its present record, no answer came");
  return status;
}

/* Who it is from is proven, that it is the peer's own newer record is not: the session checks. */
static void message(warp_attempt *attempt, uint8_t type, const uint8_t *record, size_t len) {
  if (type != MESSAGE_RECORD)
    return;
  int status = warp_attempt_refresh(attempt, record, len);
  if (status == WARP_AGAIN) /* it is sent again, and then it may be another one */
    warp_attempt_note(attempt, "the peer does not know its outside TCP address yet");
  else if (status == WARP_REPLAY)
    warp_attempt_fail(attempt, status, "the peer has no newer record than ours");
  else if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "the peer's answer is no good record of its own: %s",
                      warp_strerror(status));
}

const warp_plugin warp_plugin_get_addr = {
    .interface_version = WARP_PLUGIN_VERSION,
    .name = "get_addr",
    .phase = WARP_PHASE_NONE,
    .route_types = WARP_NIC_BIND | WARP_EXT_BIND,
    .timeout_ms = 15000, /* a broker that both know is back by then, or the peer is not there */
    .run = run,
    .message = message,
    .answered_by = "return_addr",
};
