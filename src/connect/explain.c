/*
 * What a connect was like: this side's report, the one that the other end asks for, and both
 * together for a caller who wants the whole story.
 */
#include "connect/session.h"

#include "nat/meaning.h"
#include <stdlib.h>
#include <string.h>

/* A connect that is over and whose caller waits for the other end's report. */
struct wg_explanation {
  wg_list link;
  wg_connect *connect;
  wg_session_id session;
  warp_key peer;
  warp_explained cb;
  void *arg;
  wg_timer timer;
  warp_report report; /* its rows are the two arrays below */
  size_t numbered;    /* of our rows, the leading ones that the session's numbers are of */
  warp_report_row rows[2 * WG_ATTEMPTS_MAX], peer_rows[WG_ATTEMPTS_MAX];
};

/* ---- our side -------------------------------------------------------------------------------- */

/* Whose NATs the report tells of: those between which it was won, or else tried from outside. */
static const warp_attempt *most_telling(const wg_session *session) {
  const warp_attempt *best = NULL;
  for (size_t i = 0; i < session->attempt_count; i++) {
    const warp_attempt *attempt = session->attempts[i];
    if (attempt->row.status == WARP_OK && !wg_attempt_alive(attempt))
      return attempt;
    if (best == NULL ||
        (best->combo.route_type == WARP_NIC_BIND && attempt->combo.route_type == WARP_EXT_BIND))
      best = attempt;
  }
  return best;
}

warp_report wg_session_report(const wg_session *session, warp_report_row *rows) {
  warp_report report = {.count = session->attempt_count, .rows = rows};
  for (size_t i = 0; i < session->attempt_count; i++)
    rows[i] = session->attempts[i]->row;
  const warp_attempt *telling = most_telling(session);
  if (telling != NULL) {
    wg_endpoint_describe(&telling->self, report.nat_self, sizeof report.nat_self);
    wg_endpoint_describe(&telling->peer, report.nat_peer, sizeof report.nat_peer);
  }
  return report;
}

/* ---- for the other end ----------------------------------------------------------------------- */

/* The less, the more it tells. */
static int rank(const warp_attempt *attempt) {
  if (attempt->row.start_ms < 0)
    return 3;
  return attempt->row.status == WARP_OK ? 0 : attempt->row.status != WARP_CANCELED ? 1 : 2;
}

/* More than a peer's number may be: a connect takes minutes. */
static uint32_t whole_ms(double ms) {
  return ms <= 0 ? 0 : ms < INT32_MAX ? (uint32_t)ms : INT32_MAX;
}

static bool write_row(wg_writer *writer, const warp_attempt *attempt) {
  const warp_report_row *from = &attempt->row;
  wg_row row = {.attempt = attempt->number,
                .status = from->status,
                .start_ms = from->start_ms < 0 ? -1 : (int32_t)whole_ms(from->start_ms),
                .elapsed_ms = whole_ms(from->elapsed_ms)};
  memcpy(row.detail, from->detail, sizeof row.detail);
  return wg_row_write(writer, &row, WG_REPORT_DETAIL);
}

void wg_explain_answer(wg_session *session) {
  uint8_t rows[WG_MESSAGE_ROWS_MAX];
  wg_writer writer = wg_writer_init(rows, sizeof rows);
  wg_router *router = session->connect->config.router;
  session->report_asked = false;
  if (router == NULL || session->reports_sent >= WG_REPORT_ANSWERS)
    return;
  session->reports_sent++;
  bool room = true;
  for (int wanted = 0; wanted <= 3; wanted++) {
    for (size_t i = 0; room && i < session->attempt_count; i++) {
      if (rank(session->attempts[i]) == wanted)
        room = write_row(&writer, session->attempts[i]);
    }
  }
  wg_message message = {
      .type = WG_MESSAGE_REPORT, .session = session->id, .rows = rows, .rows_len = writer.len};
  (void)wg_router_send(router, &session->peer_record, &message); /* the asker waits for a while */
}

/* ---- from the other end ---------------------------------------------------------------------- */

static void finish(void *arg) {
  wg_explanation *self = arg;
  wg_list_remove(&self->link);
  wg_timer_stop(self->connect->config.env, &self->timer);
  self->cb(self->arg, &self->report);
  free(self);
}

/* The peer's row belongs to an attempt of ours, which says what it was an attempt at. */
static void take_row(wg_explanation *self, const wg_row *row) {
  const warp_report_row *ours = NULL;
  for (size_t i = 0; i < self->numbered && ours == NULL; i++)
    ours = self->rows[i].attempt == row->attempt ? &self->rows[i] : NULL;
  if (ours == NULL || self->report.peer_count == WG_ATTEMPTS_MAX)
    return;
  warp_report_row *out = &self->peer_rows[self->report.peer_count++];
  *out = *ours;
  out->start_ms = row->start_ms;
  out->elapsed_ms = row->elapsed_ms;
  out->status = row->status >= WARP_ALL_FAILED ? (int)row->status : WARP_IO;
  memcpy(out->detail, row->detail, sizeof out->detail);
}

static wg_explanation *find(wg_connect *connect, const warp_key *sender, const wg_session_id *id) {
  wg_list *all = &connect->explanations;
  for (wg_list *item = all->next; item != all; item = item->next) {
    wg_explanation *self = WG_CONTAINER(item, wg_explanation, link);
    if (memcmp(&self->session, id, sizeof *id) == 0 && wg_key_equal(&self->peer, sender))
      return self;
  }
  return NULL;
}

static void asked(wg_connect *connect, const warp_key *sender, const wg_session_id *id) {
  wg_session *session = wg_connect_find(connect, id);
  if (session == NULL || !wg_key_equal(&session->peer, sender))
    return;
  session->report_asked = true;
  if (session->state == WG_SESSION_CONNECTED)
    wg_explain_answer(session); /* else when it is over: the question overtook the nomination */
}

void wg_explain_message(wg_connect *connect, const warp_key *sender, const wg_message *message) {
  if (message->asks) {
    asked(connect, sender, &message->session);
    return;
  }
  wg_explanation *self = find(connect, sender, &message->session);
  if (self == NULL)
    return;
  wg_reader reader = wg_reader_init(message->rows, message->rows_len);
  wg_row row;
  while (wg_row_read(&reader, &row))
    take_row(self, &row);
  finish(self);
}

/* ---- both ------------------------------------------------------------------------------------ */

bool wg_explain_ask(wg_session *session) {
  wg_router *router = session->connect->config.router;
  wg_message message = {.type = WG_MESSAGE_REPORT, .session = session->id, .asks = true};
  return router != NULL && wg_router_send(router, &session->peer_record, &message) == WARP_OK;
}

int wg_explain_promise(wg_session *session) {
  if (session->options.on_explained != NULL)
    session->explanation = calloc(1, sizeof *session->explanation);
  return session->options.on_explained == NULL || session->explanation != NULL ? WARP_OK
                                                                               : WARP_NOMEM;
}

void wg_explain_begin(const wg_session *session, wg_session *caller, const warp_report *report,
                      bool comes) {
  wg_connect *connect = session->connect;
  wg_explanation *self = caller->explanation;
  if (self == NULL)
    return;
  caller->explanation = NULL;
  self->connect = connect;
  self->session = session->id;
  self->peer = session->peer;
  self->cb = caller->options.on_explained;
  self->arg = caller->cb_arg;
  self->report = *report;
  self->numbered = session->attempt_count;
  memcpy(self->rows, report->rows, report->count * sizeof self->rows[0]);
  self->report.rows = self->rows;
  self->report.peer_rows = self->peer_rows;
  wg_list_push(&connect->explanations, &self->link);
  wg_timer_start(connect->config.env, &self->timer, comes ? (uint64_t)WARP_EXPLAIN_MS * 1000 : 0,
                 finish, self);
}

void wg_explain_cancel(wg_connect *connect) {
  while (!wg_list_empty(&connect->explanations)) {
    wg_explanation *self = WG_CONTAINER(connect->explanations.next, wg_explanation, link);
    wg_list_remove(&self->link);
    wg_timer_stop(connect->config.env, &self->timer);
    free(self);
  }
}
