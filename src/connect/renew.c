/* Records of both ends, for the plugins that fetch a newer one of the peer while a connect is under
 * way. */
#include "connect/session.h"

#include <string.h>

int warp_attempt_own_record(const warp_attempt *attempt, uint8_t *buf, size_t *len) {
  if (attempt == NULL || buf == NULL || len == NULL)
    return WARP_INVALID;
  const wg_connect *connect = attempt->session->connect;
  if (*len < connect->record_len)
    return WARP_TOO_BIG;
  memcpy(buf, connect->record_bytes, connect->record_len);
  *len = connect->record_len;
  return WARP_OK;
}

uint64_t warp_attempt_peer_sequence(const warp_attempt *attempt) {
  return attempt != NULL ? attempt->session->peer_record.sequence : 0;
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
  if (out->sequence > session->peer_record.sequence || (same && session->asking != NULL))
    return WARP_OK;
  return same && wg_ask_is_early(session) ? WARP_AGAIN : WARP_REPLAY;
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

/* The session goes by this record from now on. WARP_NOMEM. */
static int take(wg_session *session, const wg_record *fresh) {
  session->peer_record = *fresh;
  session->expired = false;
  if (session->role == WARP_RESPONDER)
    return WARP_OK;
  end_outdated(session);
  return wg_race_build(session);
}

/* The router has checked that it is the sender's own, and good. */
static void take_newer(wg_session *session, const wg_message *message) {
  uint8_t signature[WG_SIGNATURE_LEN];
  size_t signed_len;
  wg_record fresh;
  if (message->record == NULL || session->asking != NULL ||
      session->renewals == WG_RECORD_RENEWALS ||
      wg_record_decode(message->record, message->record_len, &fresh, &signed_len, signature) !=
          WARP_OK ||
      !wg_key_equal(&fresh.key, &session->peer) || fresh.sequence <= session->peer_record.sequence)
    return;
  session->renewals++;
  (void)take(session, &fresh); /* out of memory, it goes on with what there is */
  if (session->role == WARP_INITIATOR)
    wg_race_renewed(session);
}

/* Of attempt 0, which is no attempt's number in a connect. */
static void tell_own(wg_session *session) {
  const wg_connect *connect = session->connect;
  wg_message answer = {.type = WG_MESSAGE_PLUGIN,
                       .session = session->id,
                       .record = connect->record_bytes,
                       .record_len = connect->record_len};
  session->record_told =
      wg_router_send(connect->config.router, &session->peer_record, &answer) == WARP_OK;
}

void wg_session_heed_records(wg_session *session, const wg_message *message) {
  if (session->state != WG_SESSION_RACING)
    return;
  take_newer(session, message);
  if (message->type == WG_MESSAGE_OPEN && message->known != 0 && !session->only_asks &&
      !session->record_told && message->known < session->connect->moved_sequence)
    tell_own(session);
}

int warp_attempt_refresh(warp_attempt *attempt, const uint8_t *record, size_t len) {
  if (attempt == NULL || (record == NULL && len > 0))
    return WARP_INVALID;
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
  session->renewer = attempt->plugin;
  status = take(session, &fresh);
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
