/*
 * Connects that cross: both nodes connect to each other at the same moment, and one pipe must come
 * of it, the same one at both ends.
 *
 * The session of the node with the smaller key has the right of way. That node takes no part in the
 * other's session while its own races, so of two sessions at most one can ever be secured, without
 * any agreement at the moment of winning. (When its own has raced for long it gives way too: the
 * other one may have what it lacks.) The other node gives way: its attempts are cancelled, and
 * its connect waits for what comes of the peer's session. It gets that pipe if its options allow
 * it; it goes on by itself when the peer's session ends without a pipe, brings one that it may not
 * take, or does not come: what one side cannot do, for want of a relay or by its options, the other
 * one may. A connect that begins while the peer's session runs here already waits for it in the
 * same way, on either side.
 *
 * A session whose id a program named stands apart from all this: somebody waits for that very pipe.
 */
#include "connect/session.h"

#include <stdio.h>
#include <string.h>

static bool same_id(const wg_session_id *a, const wg_session_id *b) {
  return memcmp(a, b, sizeof *a) == 0;
}

static bool has_smaller_key(const wg_session *own) {
  return memcmp(own->connect->record.key.bytes, own->peer.bytes, WARP_KEY_LEN) < 0;
}

bool wg_crossing_goes_first(const wg_session *own) {
  uint64_t raced_us = wg_now_us(own->connect->config.env) - own->tried_us;
  return own->state == WG_SESSION_RACING && has_smaller_key(own) &&
         raced_us < (uint64_t)WG_CROSSING_WAIT_MS * 1000;
}

static wg_session *next_session(const wg_connect *connect, const wg_list *item) {
  return item == &connect->sessions ? NULL : WG_CONTAINER(item, wg_session, link);
}

static bool waits_for(const wg_session *own, const warp_key *peer, const wg_session_id *id) {
  return own->state == WG_SESSION_YIELDED && wg_key_equal(&own->peer, peer) &&
         same_id(&own->awaited, id);
}

/* The connect of ours that waits for this session of a peer, or NULL. */
static wg_session *waiting_for(wg_connect *connect, const warp_key *peer, const wg_session_id *id) {
  for (wg_session *own = next_session(connect, connect->sessions.next); own != NULL;
       own = next_session(connect, own->link.next)) {
    if (waits_for(own, peer, id))
      return own;
  }
  return NULL;
}

/* Does the peer's session that a connect waits for exist here? */
static bool awaited_is_here(wg_session *own) {
  const wg_session *awaited = wg_connect_find(own->connect, &own->awaited);
  return awaited != NULL && awaited != own;
}

/* A connect of ours to the peer that has no pipe yet; with `open` not one that waits for a session
 * which is here. */
static wg_session *find_own(wg_connect *connect, const warp_key *peer, bool open) {
  for (wg_session *own = next_session(connect, connect->sessions.next); own != NULL;
       own = next_session(connect, own->link.next)) {
    bool fits = own->state == WG_SESSION_RACING ||
                (own->state == WG_SESSION_YIELDED && !(open && awaited_is_here(own)));
    if (own->role == WARP_INITIATOR && own->asking == NULL && !own->apart && fits &&
        wg_key_equal(&own->peer, peer))
      return own;
  }
  return NULL;
}

wg_session *wg_crossing_find(wg_connect *connect, const warp_key *peer) {
  return find_own(connect, peer, true);
}

/* ---- going on -------------------------------------------------------------------------------- */

/* The peer's session that still runs here must not become a second pipe: where ours goes first, it
 * ends. Where it does not, the peer decides. */
static void clear_the_way(wg_session *own) {
  wg_session *awaited = wg_connect_find(own->connect, &own->awaited);
  if (awaited == NULL || awaited == own || !has_smaller_key(own))
    return;
  wg_session_send_overtaken(awaited, &own->id);
  wg_session_fail(awaited, WARP_CANCELED, false);
}

/* Is a pipe of the awaited session in the making, over a stream that is open or a path on which the
 * peer was heard? The peer may have chosen it already, while its last flight is lost on the way. */
static bool in_the_making(const wg_session *own) {
  const wg_session *awaited = wg_connect_find(own->connect, &own->awaited);
  for (size_t i = 0; awaited != NULL && awaited != own && i < awaited->attempt_count; i++) {
    const warp_attempt *attempt = awaited->attempts[i];
    bool open =
        attempt->path != NULL ? wg_path_heard(attempt->path) : !wg_list_empty(&attempt->candidates);
    if (wg_attempt_alive(attempt) && open)
      return true;
  }
  return false;
}

/* A new id: the peer remembers the old one as ended. */
static void on_resume(void *arg) {
  wg_session *own = arg;
  wg_env *env = own->connect->config.env;
  if (!own->patient && in_the_making(own)) {
    own->patient = true; /* once: a path may be open one way only */
    wg_timer_start(env, &own->phase_timer, (uint64_t)WG_CROSSING_WAIT_MS * 1000, on_resume, own);
    return;
  }
  wg_session_id id;
  int status = env->ops->random(env, id.bytes, sizeof id.bytes);
  if (status == WARP_OK) {
    own->id = id;
    clear_the_way(own);
    wg_session_move(own, WG_SESSION_RACING);
    wg_session_forget_attempts(own);
    status = wg_race_build(own);
  }
  if (status == WARP_OK)
    wg_race_start(own);
  else
    wg_session_fail(own, status, false);
}

void wg_crossing_resume(wg_session *own) {
  wg_timer_start(own->connect->config.env, &own->phase_timer, 0, on_resume, own);
}

/* ---- giving way ------------------------------------------------------------------------------ */

static void wait_for(wg_session *own, const wg_session_id *id) {
  own->awaited = *id;
  wg_timer_start(own->connect->config.env, &own->phase_timer, (uint64_t)WG_CROSSING_WAIT_MS * 1000,
                 on_resume, own);
}

void wg_crossing_yield(wg_session *own, const wg_session_id *to) {
  if (own->state == WG_SESSION_RACING) {
    wg_session_send_overtaken(own, to);
    own->peer_told = own->crossed = false;
    wg_session_move(own, WG_SESSION_YIELDED);
    wg_timer_stop(own->connect->config.env, &own->grace);
    wg_session_cancel_attempts(own, NULL, "gave way to the peer's own connect");
  }
  if (own->state == WG_SESSION_YIELDED)
    wait_for(own, to);
}

/* Does something run in a session of the peer's that nobody waits for yet? */
static bool worth_waiting_for(const wg_session *session, const warp_key *peer) {
  if (session->role != WARP_RESPONDER || session->state != WG_SESSION_RACING ||
      session->only_asks || session->apart || !wg_key_equal(&session->peer, peer) ||
      waiting_for(session->connect, peer, &session->id) != NULL)
    return false;
  for (size_t i = 0; i < session->attempt_count; i++) {
    if (wg_attempt_alive(session->attempts[i]))
      return true;
  }
  return false;
}

bool wg_crossing_join(wg_session *own) {
  wg_connect *connect = own->connect;
  for (wg_session *session = next_session(connect, connect->sessions.next); session != NULL;
       session = next_session(connect, session->link.next)) {
    if (worth_waiting_for(session, &own->peer)) {
      wg_session_move(own, WG_SESSION_YIELDED);
      wait_for(own, &session->id);
      return true;
    }
  }
  return false;
}

bool wg_crossing_hold_on(wg_session *own) {
  static const wg_session_id any = {{0}};
  if (!own->crossed || own->apart)
    return false;
  wg_crossing_yield(own, &any);
  return true;
}

/* ---- what comes of the peer's session -------------------------------------------------------- */

void wg_crossing_refuse(wg_session *own, const wg_session_id *theirs) {
  wg_message message = {.type = WG_MESSAGE_END,
                        .session = *theirs,
                        .status = WARP_CANCELED,
                        .data = own->id.bytes,
                        .data_len = sizeof own->id.bytes};
  if (own->connect->config.router == NULL)
    return;
  own->peer_told = true; /* it waits for ours from now on, and has to hear of its end */
  (void)wg_router_send(own->connect->config.router, &own->peer_record, &message);
}

bool wg_crossing_overtaken(const wg_message *message, wg_session_id *by) {
  if (message->type != WG_MESSAGE_END || message->data_len != sizeof by->bytes)
    return false;
  memcpy(by->bytes, message->data, sizeof by->bytes);
  return true;
}

bool wg_crossing_ended(wg_connect *connect, const warp_key *peer, const wg_session_id *id) {
  bool found = false;
  for (wg_session *own = next_session(connect, connect->sessions.next); own != NULL;
       own = next_session(connect, own->link.next)) {
    if (waits_for(own, peer, id)) {
      wg_crossing_resume(own);
      found = true;
    }
  }
  return found;
}

/* Did the caller allow a pipe like this one? */
static bool suits(const wg_session *own, const wg_candidate *candidate) {
  const warp_attempt *attempt = candidate->attempt;
  return wg_plugin_selected(own->plugins, attempt->plugin) &&
         (own->options.transports & (unsigned)candidate->transport) != 0 &&
         !(own->options.no_relay && candidate->relayed) &&
         (own->family == 0 || own->family == attempt->combo.family) &&
         (own->route_types & attempt->combo.route_type) != 0;
}

wg_session *wg_crossing_heir(const wg_session *session, const wg_candidate *candidate) {
  if (session->role != WARP_RESPONDER || session->apart)
    return NULL;
  wg_session *own = waiting_for(session->connect, &session->peer, &session->id);
  if (own == NULL) /* one that did not wait any longer, or for an earlier one */
    own = find_own(session->connect, &session->peer, false);
  return own != NULL && suits(own, candidate) ? own : NULL;
}
