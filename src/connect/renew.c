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
  bool same = out->sequence == session->peer_record.sequence;
  return out->sequence > session->peer_record.sequence || (same && session->asking != NULL)
             ? WARP_OK
             : WARP_REPLAY;
}

static bool names_still(const wg_record *record, const warp_endpoint *endpoint) {
  for (size_t i = 0; i < record->endpoint_count; i++) {
    if (wg_endpoint_same(&record->endpoints[i], endpoint))
      return true;
  }
  return false;
}

/* What goes on towards addresses that are not the peer's any more makes room, also at the peer, for
 * the same over the new ones. */
static void end_outdated(wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (!wg_attempt_alive(attempt) || !wg_plugin_connects(attempt->plugin) ||
        names_still(&session->peer_record, &attempt->peer))
      continue;
    warp_attempt_note(attempt, "the peer's newer record names other addresses");
    attempt->row.status = WARP_CANCELED;
    if (attempt->state == WG_ATTEMPT_RUNNING)
      wg_attempt_tell_failed(attempt);
    wg_attempt_end(attempt, WARP_CANCELED, NULL);
  }
}

int warp_attempt_refresh(warp_attempt *attempt, const uint8_t *record, size_t len) {
  wg_session *session = attempt->session;
  wg_record fresh;
  if (attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  int status = check_newer(session, record, len, &fresh);
  if (status != WARP_OK)
    return status;
  if (session->asking != NULL) {
    wg_asking_answered(session, record, len);
    return WARP_OK;
  }
  session->peer_record = fresh;
  session->expired = false;
  session->renewer = attempt->plugin;
  if (session->role == WARP_INITIATOR) {
    end_outdated(session);
    status = wg_race_build(session);
  }
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
