/* Records of both ends, for the plugins that fetch a newer one of the peer while a connect is under
 * way. */
#include "connect/session.h"

#include <string.h>

int warp_attempt_own_record(const warp_attempt *attempt, uint8_t *buf, size_t *len) {
  const wg_connect *connect = attempt->session->connect;
  if (*len < connect->record_len)
    return WARP_TOO_BIG;
  memcpy(buf, connect->record_bytes, connect->record_len);
  *len = connect->record_len;
  return WARP_OK;
}

uint64_t warp_attempt_peer_sequence(const warp_attempt *attempt) {
  return attempt->session->peer_record.sequence;
}

/* Is this a newer record of the same node? */
static int check_newer(const wg_session *session, const uint8_t *record, size_t len,
                       wg_record *out) {
  const wg_connect_config *config = &session->connect->config;
  int status = wg_record_verify(record, len, wg_utc_ms(config->env, config->clock), out);
  if (status != WARP_OK)
    return status;
  if (!wg_key_equal(&out->key, &session->peer))
    return WARP_UNTRUSTED;
  return out->sequence > session->peer_record.sequence ? WARP_OK : WARP_REPLAY;
}

int warp_attempt_refresh(warp_attempt *attempt, const uint8_t *record, size_t len) {
  wg_session *session = attempt->session;
  wg_record fresh;
  if (attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  int status = check_newer(session, record, len, &fresh);
  if (status != WARP_OK)
    return status;
  session->peer_record = fresh;
  session->renewer = attempt->plugin;
  if (session->role == WARP_INITIATOR)
    status = wg_race_build(session);
  if (status != WARP_OK)
    return status;
  warp_attempt_note(attempt, "brought a newer record of the peer");
  attempt->row.status = WARP_CANCELED;
  wg_attempt_tell_failed(attempt);
  wg_attempt_end(attempt, WARP_CANCELED, NULL);
  if (session->role == WARP_INITIATOR)
    wg_race_renewed(session);
  else
    wg_session_attempt_ended(session);
  return WARP_OK;
}
