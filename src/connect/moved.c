/* What becomes of connects and pipes when the node's own addresses change. */
#include "connect/session.h"

#include "base/addr.h"
#include <stdio.h>

/* What a move goes by. */
typedef struct move {
  wg_connect *connect;
  wg_connect_is_here is_here;
  void *arg;
} move;

/* ---- attempts -------------------------------------------------------------------------------- */

/* Which of our endpoints has the address; WG_RECORD_ENDPOINTS: none. The muxes say it, because a
 * record that could not be issued is the one of before. */
static size_t endpoint_of(const wg_connect *connect, const warp_addr *nic) {
  size_t i = 0;
  while (i < WG_RECORD_ENDPOINTS && (connect->config.muxes[i] == NULL ||
                                     !wg_addr_same_ip(&connect->config.muxes[i]->local, nic)))
    i++;
  return i;
}

static void end_attempt(warp_attempt *attempt) {
  char text[WARP_ADDR_STRLEN];
  warp_addr nic = attempt->self.nic;
  nic.port = 0;
  warp_attempt_note(attempt, "our address %s is gone", warp_addr_format(&nic, text));
  attempt->row.status = WARP_ADDR_NOT_AVAILABLE;
  if (attempt->state == WG_ATTEMPT_RUNNING)
    wg_attempt_tell_failed(attempt);
  wg_attempt_end(attempt, WARP_ADDR_NOT_AVAILABLE, NULL);
}

/* Asking for a record goes by brokers, from wherever. */
static bool end_stranded(wg_session *session) {
  const wg_connect *connect = session->connect;
  bool ended = false;
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    size_t place = endpoint_of(connect, &attempt->self.nic);
    if (place < WG_RECORD_ENDPOINTS) {
      attempt->self_index = (uint8_t)place;
    } else if (wg_attempt_alive(attempt) && wg_plugin_connects(attempt->plugin)) {
      end_attempt(attempt);
      ended = true;
    }
  }
  return ended;
}

static bool is_race(const wg_session *session) {
  return session->state == WG_SESSION_RACING && session->role == WARP_INITIATOR &&
         session->asking == NULL;
}

/* Out of memory, it goes on with what there is. */
static void widen(wg_session *session) {
  (void)wg_race_build(session);
  wg_race_renewed(session);
}

void wg_connect_unsettle(wg_connect *connect, wg_unsettled why) {
  connect->unsettled |= why;
}

void wg_connect_settle(wg_connect *connect, wg_unsettled why) {
  connect->unsettled &= ~(unsigned)why;
  if (connect->unsettled != 0)
    return;
  for (wg_list *item = connect->sessions.next; item != &connect->sessions; item = item->next) {
    wg_session *session = WG_CONTAINER(item, wg_session, link);
    if (is_race(session))
      wg_race_renewed(session);
  }
}

void wg_connect_widen(wg_connect *connect) {
  for (wg_list *item = connect->sessions.next; item != &connect->sessions; item = item->next) {
    wg_session *session = WG_CONTAINER(item, wg_session, link);
    if (is_race(session))
      widen(session);
  }
}

/* The session of what we began is told with the next turn of the loop if nothing is left. */
static void move_attempts(wg_connect *connect) {
  for (wg_list *item = connect->sessions.next; item != &connect->sessions; item = item->next) {
    wg_session *session = WG_CONTAINER(item, wg_session, link);
    bool ended = end_stranded(session);
    if (is_race(session))
      widen(session);
    else if (ended && session->role == WARP_RESPONDER)
      wg_session_attempt_ended(session);
  }
}

/* ---- pipes ----------------------------------------------------------------------------------- */

/* What the session's pipe stands on: the path that carries it, or the attempt that is kept for it,
 * or NULL: a stream. */
static warp_attempt *bearer(const wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (attempt->state == WG_ATTEMPT_KEPT ||
        (attempt->path != NULL && wg_path_carries(attempt->path, session->pipe)))
      return attempt;
  }
  return NULL;
}

static bool is_open(const wg_connect *connect, const wg_mux *mux) {
  for (size_t i = 0; i < WG_RECORD_ENDPOINTS; i++) {
    if (connect->config.muxes[i] == mux)
      return true;
  }
  return false;
}

static bool move_path(const wg_connect *connect, warp_path *path, const wg_mux *from) {
  for (size_t i = 0; i < WG_RECORD_ENDPOINTS; i++) {
    wg_mux *to = connect->config.muxes[i];
    if (to != NULL && to->local.family == from->local.family && wg_path_move(path, to))
      return true;
  }
  return false;
}

/* Does the pipe lose the ground it stands on? A path may move instead. */
static bool is_stranded(const move *how, const wg_session *session) {
  const warp_attempt *attempt = bearer(session);
  const wg_mux *mux = attempt != NULL && attempt->path != NULL ? wg_path_mux(attempt->path) : NULL;
  if (mux != NULL)
    return !is_open(how->connect, mux) && !move_path(how->connect, attempt->path, mux);
  warp_pipe_info info;
  if (warp_pipe_get_info(session->pipe, &info) != WARP_OK)
    return false;
  if (info.local.family != 0)
    return !how->is_here(how->arg, &info.local);
  return attempt != NULL && !how->is_here(how->arg, &attempt->self.nic);
}

static wg_session *first_stranded(const move *how) {
  wg_list *sessions = &how->connect->sessions;
  for (wg_list *item = sessions->next; item != sessions; item = item->next) {
    wg_session *session = WG_CONTAINER(item, wg_session, link);
    if (session->state == WG_SESSION_CONNECTED && is_stranded(how, session))
      return session;
  }
  return NULL;
}

/* Each that ends may have the program end others, or all. */
static void move_pipes(const move *how) {
  wg_session *session;
  while (!how->connect->closing && (session = first_stranded(how)) != NULL)
    wg_session_lose(session, WARP_ADDR_NOT_AVAILABLE);
}

void wg_connect_move(wg_connect *connect, wg_mux *const muxes[WG_RECORD_ENDPOINTS],
                     wg_connect_is_here is_here, void *arg) {
  move how = {.connect = connect, .is_here = is_here, .arg = arg};
  for (size_t i = 0; i < WG_RECORD_ENDPOINTS; i++)
    connect->config.muxes[i] = muxes[i];
  move_attempts(connect);
  move_pipes(&how);
}
