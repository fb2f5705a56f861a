/* The tags by which the packets and streams of an attempt are known. */
#include "connect/session.h"

#include <string.h>

/* Static ECDH, so that they exist before any message has been exchanged, salted by session and
 * attempt. */
int wg_attempt_tags(const warp_attempt *attempt, uint8_t in[WG_TAG_LEN], uint8_t out[WG_TAG_LEN]) {
  const wg_session *session = attempt->session;
  uint8_t salt[WG_SESSION_LEN + 2], tags[2 * WG_TAG_LEN];
  memcpy(salt, session->id.bytes, WG_SESSION_LEN);
  salt[WG_SESSION_LEN] = (uint8_t)(attempt->number >> 8);
  salt[WG_SESSION_LEN + 1] = (uint8_t)attempt->number;
  int status = wg_identity_agree(session->connect->config.identity, &session->peer,
                                 "warpgate tags v1", salt, sizeof salt, tags, sizeof tags);
  bool initiator = session->role == WARP_INITIATOR;
  memcpy(out, tags + (initiator ? 0 : WG_TAG_LEN), WG_TAG_LEN);
  memcpy(in, tags + (initiator ? WG_TAG_LEN : 0), WG_TAG_LEN);
  return status;
}
