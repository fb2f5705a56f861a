/*
 * One connect from one side's view: racing until a candidate wins or nothing is left, then as long
 * as its pipe.
 *
 * The initiator decides: it nominates the first secured candidate (a relayed one only when nothing
 * direct can come any more, or after a grace) and tells the peer when it gives up. The responder
 * runs what the initiator's messages ask for, and takes what is nominated.
 */
#include "connect/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A responder's session ends by then whatever happens: longer than the longest attempt of any
 * plugin. */
enum { RESPONDER_DEADLINE_MS = 200000 };

static wg_env *env_of(const wg_session *session) {
  return session->connect->config.env;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_deadline(void *arg) {
  wg_session_fail(arg, WARP_TIMEOUT, true);
}

static void on_linger(void *arg) {
  wg_session_fail(arg, WARP_TIMEOUT, false);
}

/* A peer's session in which nothing runs waits a little for what the peer tries next. */
static void wait_for_more(wg_session *session) {
  wg_timer_start(env_of(session), &session->phase_timer, (uint64_t)WG_RESPONDER_LINGER_MS * 1000,
                 on_linger, session);
}

wg_session *wg_session_new(wg_connect *connect, const wg_session_id *id, warp_role role,
                           const wg_record *peer_record) {
  wg_session *session = calloc(1, sizeof *session);
  if (session == NULL)
    return NULL;
  session->connect = connect;
  session->id = *id;
  session->role = role;
  session->peer = peer_record->key;
  session->peer_record = *peer_record;
  session->begun_us = wg_now_us(connect->config.env);
  session->peer_told = role == WARP_RESPONDER;
  wg_list_push(&connect->sessions, &session->link);
  connect->racing_count++;
  if (role == WARP_RESPONDER) {
    wg_timer_start(connect->config.env, &session->deadline, (uint64_t)RESPONDER_DEADLINE_MS * 1000,
                   on_deadline, session);
    wait_for_more(session);
  }
  return session;
}

static bool under_way(wg_session_state state) {
  return state == WG_SESSION_RACING || state == WG_SESSION_YIELDED;
}

void wg_session_move(wg_session *session, wg_session_state to) {
  if (under_way(session->state) && !under_way(to))
    session->connect->racing_count--;
  session->state = to;
}

void wg_session_free(wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++)
    wg_attempt_free(session->attempts[i]);
  if (session->runner != NULL)
    wg_attempt_free(session->runner);
  free(session->plugins);
  free(session->explanation);
  free(session);
}

warp_attempt *wg_session_attempt(wg_session *session, uint16_t number) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    if (session->attempts[i]->number == number)
      return session->attempts[i];
  }
  return NULL;
}

static void stop_timers(wg_session *session) {
  wg_timer_stop(env_of(session), &session->deadline);
  wg_timer_stop(env_of(session), &session->phase_timer);
  wg_timer_stop(env_of(session), &session->grace);
}

void wg_session_cancel_attempts(wg_session *session, const warp_attempt *but, const char *why) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (attempt == but)
      continue;
    if (attempt->state == WG_ATTEMPT_WAITING)
      warp_attempt_note(attempt, "%s", why);
    wg_attempt_end(attempt, WARP_CANCELED, NULL);
  }
  if (session->runner != NULL)
    wg_attempt_end(session->runner, WARP_CANCELED, NULL);
}

static const char not_its_turn[] = "its turn did not come";

void wg_session_forget_attempts(wg_session *session) {
  size_t kept = 0;
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (attempt->row.start_ms >= 0)
      session->attempts[kept++] = attempt;
    else
      wg_attempt_free(attempt);
  }
  session->attempt_count = kept;
  session->first_number = session->last_number;
}

static void send_end(wg_session *session, int status, const wg_session_id *by) {
  wg_router *router = session->connect->config.router;
  if (router == NULL || !session->peer_told)
    return;
  wg_message message = {.type = WG_MESSAGE_END,
                        .session = session->id,
                        .status = status,
                        .data = by != NULL ? by->bytes : NULL,
                        .data_len = by != NULL ? sizeof by->bytes : 0,
                        .asks = by == NULL && session->options.on_explained != NULL};
  /* Best effort: the peer's own timers end its side too. */
  (void)wg_router_send(router, &session->peer_record, &message);
}

void wg_session_send_end(wg_session *session, int status) {
  send_end(session, status, NULL);
}

void wg_session_send_overtaken(wg_session *session, const wg_session_id *by) {
  send_end(session, WARP_CANCELED, by);
}

/* A peer's session is no news for the program when a connect of its own goes on in its place. */
static void peer_missed(wg_session *session, int status, const warp_report *report) {
  wg_connect *connect = session->connect;
  bool crossing = wg_crossing_ended(connect, &session->peer, &session->id);
  if (connect->on_miss != NULL && !crossing && !session->overtaken && !session->only_asks)
    connect->on_miss(connect->listen_arg, &session->peer, status, report);
}

void wg_session_fail(wg_session *session, int status, bool tell_peer) {
  if (!under_way(session->state))
    return;
  wg_connect *connect = session->connect;
  wg_session_move(session, WG_SESSION_DEAD);
  stop_timers(session);
  wg_session_cancel_attempts(session, NULL, not_its_turn);
  if (tell_peer)
    wg_session_send_end(session, status);
  if (session->report_asked)
    wg_explain_answer(session);
  wg_connect_bury(connect, session);
  warp_report_row rows[WG_ATTEMPTS_MAX];
  warp_report report = wg_session_report(session, rows);
  if (session->role == WARP_INITIATOR) {
    /* Nothing could be tried with its addresses, and it gave no newer ones: that is the reason. */
    if (session->expired && status == WARP_ALL_FAILED)
      status = WARP_EXPIRED;
    wg_explain_begin(session, session, &report, tell_peer && session->peer_told);
    session->cb(session->cb_arg, NULL, status, &report);
  } else {
    peer_missed(session, status, &report);
  }
}

/* ---- winning --------------------------------------------------------------------------------- */

static void dismantle(wg_session *session) {
  wg_session_move(session, WG_SESSION_DEAD);
  wg_connect_bury(session->connect, session);
  for (size_t i = 0; i < session->attempt_count; i++)
    wg_attempt_release(session->attempts[i]);
}

static void on_pipe_closed(void *arg, warp_pipe *pipe) {
  (void)pipe;
  dismantle(arg);
}

/* The session goes first: the program, told of the end, may close the node. */
void wg_session_lose(wg_session *session, int status) {
  warp_pipe *pipe = session->pipe;
  if (session->state != WG_SESSION_CONNECTED)
    return;
  dismantle(session);
  wg_pipe_kill(pipe, status);
}

static void note_winner(warp_attempt *attempt, const warp_pipe *pipe) {
  warp_pipe_info info;
  char text[WARP_ADDR_STRLEN];
  if (warp_pipe_get_info(pipe, &info) == WARP_OK)
    snprintf(attempt->row.detail, sizeof attempt->row.detail, "won, with %s at the other end",
             warp_addr_format(&info.remote, text));
}

/* Hands the pipe out: to our caller, to the caller of a connect that the peer's crossed, or to who
 * listens. */
static void hand_out(wg_session *session, wg_session *heir) {
  wg_connect *connect = session->connect;
  wg_session *caller = session->role == WARP_INITIATOR ? session : heir;
  warp_report_row rows[2 * WG_ATTEMPTS_MAX];
  warp_report report = wg_session_report(session, rows);
  if (heir != NULL)
    report.count += wg_session_report(heir, rows + report.count).count;
  if (caller != NULL && caller->options.on_explained != NULL)
    wg_explain_begin(session, caller, &report, wg_explain_ask(session));
  if (session->report_asked)
    wg_explain_answer(session);
  if (caller != NULL) {
    caller->cb(caller->cb_arg, session->pipe, WARP_OK, &report);
  } else {
    wg_pipe_share(session->pipe);
    wg_pipe_set_tap(session->pipe, connect->tap, connect->tap_arg);
    connect->on_pipe(connect->listen_arg, session->pipe, &report);
  }
}

/* The connect that waited ends with the peer's session's pipe. */
static void end_heir(wg_session *heir) {
  stop_timers(heir);
  wg_session_cancel_attempts(heir, NULL, "the peer's own connect came first");
  wg_session_move(heir, WG_SESSION_DEAD);
  wg_connect_bury(heir->connect, heir);
}

void wg_session_win(wg_session *session, wg_candidate *candidate) {
  warp_attempt *attempt = candidate->attempt;
  warp_pipe *pipe = candidate->pipe;
  wg_session *heir = wg_crossing_heir(session, candidate);
  uint64_t begun_us = heir != NULL ? heir->begun_us : session->begun_us;
  wg_session_move(session, WG_SESSION_CONNECTED);
  session->pipe = pipe;
  stop_timers(session);
  if (session->role == WARP_INITIATOR)
    wg_pipe_nominate(pipe);
  warp_pipe_info info = {.transport = candidate->transport,
                         .family = attempt->combo.family,
                         .relayed = candidate->relayed,
                         .plugin = attempt->plugin->name,
                         .phase = attempt->plugin->phase,
                         .connect_ms = (double)(wg_now_us(env_of(session)) - begun_us) / 1000.0};
  memcpy(info.id.bytes, session->id.bytes, sizeof info.id.bytes);
  wg_session_cancel_attempts(session, attempt, not_its_turn);
  wg_attempt_end(attempt, WARP_OK, candidate);
  wg_candidate_free(candidate);
  wg_pipe_adopt(pipe, &info, on_pipe_closed, session);
  note_winner(attempt, pipe);
  if (heir != NULL)
    end_heir(heir);
  /* Another connect that waited, or one that may not have this pipe, goes on by itself. */
  if (session->role == WARP_RESPONDER)
    (void)wg_crossing_ended(session->connect, &session->peer, &session->id);
  hand_out(session, heir);
}

/* Looked for when it is needed, because a peer or a relay server may end the attempt at any time.
 */
wg_candidate *wg_session_relay(const wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    const wg_list *candidates = &session->attempts[i]->candidates;
    for (const wg_list *item = candidates->next; item != candidates; item = item->next) {
      wg_candidate *candidate = WG_CONTAINER(item, wg_candidate, link);
      if (candidate->relayed && candidate->secured)
        return candidate;
    }
  }
  return NULL;
}

static void on_grace(void *arg) {
  wg_session *session = arg;
  wg_candidate *relay = wg_session_relay(session);
  if (relay != NULL)
    wg_session_win(session, relay);
}

void wg_session_secured(wg_session *session, wg_candidate *candidate) {
  if (session->role != WARP_INITIATOR || session->state != WG_SESSION_RACING)
    return;
  if (candidate->relayed && wg_race_direct_alive(session)) {
    warp_attempt_note(candidate->attempt, "ready, waiting for direct attempts");
    if (!session->grace.running)
      wg_timer_start(env_of(session), &session->grace, (uint64_t)session->options.grace_ms * 1000,
                     on_grace, session);
    return;
  }
  wg_session_win(session, candidate);
}

void wg_session_nominated(wg_session *session, wg_candidate *candidate) {
  if (session->role != WARP_RESPONDER || session->state != WG_SESSION_RACING)
    return;
  if (wg_connect_wanted(session->connect, &session->peer, &session->id) ||
      wg_crossing_heir(session, candidate) != NULL)
    wg_session_win(session, candidate);
  else
    wg_session_fail(session, WARP_REFUSED, true); /* nobody listens any more */
}

/* ---- attempts that end ----------------------------------------------------------------------- */

static void responder_attempt_ended(wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    if (wg_attempt_alive(session->attempts[i]))
      return;
  }
  wait_for_more(session);
}

void wg_session_attempt_ended(wg_session *session) {
  if (session->state != WG_SESSION_RACING)
    return;
  if (session->role == WARP_RESPONDER) {
    responder_attempt_ended(session);
    return;
  }
  bool going_on = wg_race_continue(session);
  if (wg_session_relay(session) != NULL && !wg_race_direct_alive(session))
    wg_timer_start(env_of(session), &session->grace, 0, on_grace, session);
  else if (!going_on && session->connect->unsettled == 0 && !wg_crossing_hold_on(session))
    wg_session_fail(session, session->apart && session->crossed ? WARP_STATE : WARP_ALL_FAILED,
                    true);
}

static void on_same_id(void *arg) {
  wg_session_fail(arg, WARP_STATE, true);
}

/* A handshake of the peer's may be on the stack, so it is not ended here. What the peer says again,
 * before it has heard of this, must not begin a session here. */
void wg_session_same_id(wg_session *session) {
  if (session->state != WG_SESSION_RACING)
    return;
  session->peer_told = true;
  wg_connect_remember(session->connect, &session->peer, &session->id);
  wg_timer_start(env_of(session), &session->deadline, 0, on_same_id, session);
}

/* ---- messages -------------------------------------------------------------------------------- */

static const warp_endpoint *endpoint_at(const wg_record *record, uint8_t index, uint8_t family) {
  if (index >= record->endpoint_count || record->endpoints[index].family != family)
    return NULL;
  return &record->endpoints[index];
}

/* The initiator tries each combination once at a time, and again when it had an old record of ours;
 * more would multiply what we send on its word. */
static bool may_try(const wg_session *session, const warp_plugin *plugin, const warp_combo *combo) {
  unsigned tries = 0;
  for (size_t i = 0; i < session->attempt_count; i++) {
    if (!wg_attempt_is_for(session->attempts[i], plugin, combo))
      continue;
    if (wg_attempt_alive(session->attempts[i]) || ++tries == WG_COMBINATION_TRIES)
      return false;
  }
  return true;
}

/* A relay may have the peer come from an endpoint of another family than ours. */
static const warp_endpoint *peer_endpoint(const wg_session *session, const warp_plugin *plugin,
                                          const wg_message *message) {
  const wg_record *record = &session->peer_record;
  uint8_t family = message->family;
  if (plugin->relays && message->endpoint_self < record->endpoint_count)
    family = record->endpoints[message->endpoint_self].family;
  return endpoint_at(record, message->endpoint_self, family);
}

/* Everything in the message is the peer's claim: it must name things that exist on our side. */
static int check_technique(const wg_session *session, const warp_plugin *plugin,
                           const wg_message *message, warp_combo *out) {
  const wg_record *own = &session->connect->record;
  *out = (warp_combo){.family = message->family,
                      .route_type = message->route_type,
                      .transport = message->transport,
                      .self = endpoint_at(own, message->endpoint_peer, message->family),
                      .peer = peer_endpoint(session, plugin, message)};
  bool several = message->transport == (WARP_TCP | WARP_UDP);
  if (session->only_asks || out->self == NULL || out->peer == NULL ||
      (out->transport & ~plugin->transports) != 0 || (several && !plugin->relays) ||
      (plugin->route_types & out->route_type) == 0 || !may_try(session, plugin, out))
    return WARP_INVALID;
  return WARP_OK;
}

/* Who asks for our record has an old one, whose endpoints may be gone: any of ours will do. Once in
 * a session. */
static int check_asking(const wg_session *session, const warp_plugin *plugin,
                        const wg_message *message, warp_combo *out) {
  const wg_record *own = &session->connect->record, *peer = &session->peer_record;
  for (size_t i = 0; i < session->attempt_count; i++) {
    if (session->attempts[i]->plugin == plugin)
      return WARP_LIMIT;
  }
  if (own->endpoint_count == 0 || peer->endpoint_count == 0)
    return WARP_INVALID;
  *out = (warp_combo){.family = own->endpoints[0].family,
                      .route_type = message->route_type,
                      .transport = message->transport,
                      .self = &own->endpoints[0],
                      .peer = &peer->endpoints[0]};
  return WARP_OK;
}

int wg_session_open_attempt(wg_session *session, const wg_message *message, warp_attempt **out) {
  warp_attempt *known = wg_session_attempt(session, message->attempt);
  if (known != NULL) {
    *out = known;
    return WARP_OK;
  }
  if (session->role != WARP_RESPONDER || session->state != WG_SESSION_RACING)
    return WARP_STATE;
  const warp_plugin *plugin = wg_plugin_find(session->connect->config.plugins, message->plugin);
  if (plugin == NULL || !wg_plugin_allowed(session->connect, plugin))
    return WARP_UNSUPPORTED;
  warp_combo combo;
  int status = wg_plugin_connects(plugin) ? check_technique(session, plugin, message, &combo)
                                          : check_asking(session, plugin, message, &combo);
  if (status != WARP_OK)
    return status;
  warp_attempt *attempt = wg_attempt_add(session, plugin, message->attempt, &combo);
  if (attempt == NULL)
    return WARP_LIMIT;
  attempt->opened = true;
  attempt->self_index = message->endpoint_peer;
  attempt->peer_index = message->endpoint_self;
  wg_timer_stop(env_of(session), &session->phase_timer);
  *out = attempt;
  wg_attempt_run(attempt, message);
  return WARP_OK;
}

/* A status of the peer's as one of ours: it may be no error, or one that this build does not know,
 * and what the peer cancelled was not cancelled here. */
static int status_of_peer(int32_t status) {
  if (status == WARP_OK || status == WARP_CANCELED)
    return WARP_CLOSED;
  return status < 0 && status >= WARP_ALL_FAILED ? (int)status : WARP_IO;
}

static void peer_attempt_failed(warp_attempt *attempt, const wg_message *message) {
  int status = status_of_peer(message->status);
  bool here = attempt->row.detail[0] != '\0';
  char own[WARP_DETAIL_LEN];
  memcpy(own, attempt->row.detail, sizeof own);
  attempt->told = true;
  if (attempt->blamed != WARP_OK)
    status = attempt->blamed;
  warp_attempt_fail(attempt, status, here ? "at the peer: %.72s; here: %s" : "at the peer: %s%s",
                    message->detail[0] != '\0' ? message->detail : warp_strerror(status), own);
}

static void open_attempt(wg_session *session, const wg_message *message) {
  warp_attempt *attempt = wg_session_attempt(session, message->attempt);
  if (attempt != NULL) { /* said again: what we answered may have been lost */
    if (session->role == WARP_RESPONDER && attempt->state == WG_ATTEMPT_ENDED)
      wg_attempt_tell_failed(attempt);
    return;
  }
  int status = wg_session_open_attempt(session, message, &attempt);
  if (status == WARP_OK)
    return;
  wg_message answer = {.type = WG_MESSAGE_FAIL,
                       .session = session->id,
                       .attempt = message->attempt,
                       .status = status};
  snprintf(answer.detail, sizeof answer.detail, "not accepted: %s", warp_strerror(status));
  (void)wg_router_send(session->connect->config.router, &session->peer_record, &answer);
}

/* A session of ours that the peer's overtakes waits for that one. */
static void take_end(wg_session *session, const wg_message *message) {
  wg_session_id by;
  session->overtaken = wg_crossing_overtaken(message, &by);
  session->report_asked = message->asks && session->state == WG_SESSION_RACING;
  if (session->overtaken && session->role == WARP_INITIATOR && !session->apart)
    wg_crossing_yield(session, &by);
  else if (session->state == WG_SESSION_RACING)
    wg_session_fail(session, status_of_peer(message->status), false);
}

void wg_session_message(wg_session *session, const wg_message *message) {
  if (message->type == WG_MESSAGE_END) {
    take_end(session, message);
    return;
  }
  wg_session_heed_records(session, message);
  warp_attempt *attempt = wg_session_attempt(session, message->attempt);
  if (session->state == WG_SESSION_CONNECTED && message->type == WG_MESSAGE_FAIL &&
      attempt != NULL && attempt->state == WG_ATTEMPT_KEPT)
    peer_attempt_failed(attempt, message); /* its relay is gone */
  if (session->state != WG_SESSION_RACING)
    return;
  if (message->type == WG_MESSAGE_OPEN && session->role == WARP_INITIATOR) {
    wg_session_same_id(session);
    return;
  }
  if (message->type == WG_MESSAGE_OPEN) {
    open_attempt(session, message);
    return;
  }
  if (attempt == NULL || attempt->state != WG_ATTEMPT_RUNNING)
    return;
  wg_opening_end(attempt);
  if (message->type == WG_MESSAGE_FAIL)
    peer_attempt_failed(attempt, message);
  else if (message->type == WG_MESSAGE_PLUGIN && attempt->plugin->message != NULL)
    attempt->plugin->message(attempt, message->plugin_type, message->data, message->data_len);
}
