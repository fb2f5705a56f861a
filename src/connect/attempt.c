/* One attempt: its life, its candidates, and the part of the plugin contract that is about itself.
 */
#include "connect/proof.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wg_env *env_of(const warp_attempt *attempt) {
  return attempt->session->connect->config.env;
}

/* ---- life ------------------------------------------------------------------------------------ */

bool wg_attempt_alive(const warp_attempt *attempt) {
  return attempt->state == WG_ATTEMPT_WAITING || attempt->state == WG_ATTEMPT_RUNNING;
}

/* The fixed part of its row in the report. */
static void describe(warp_attempt *attempt) {
  warp_report_row *row = &attempt->row;
  row->plugin = attempt->plugin->name;
  row->phase = attempt->plugin->phase;
  row->transport = (attempt->combo.transport & WARP_UDP) != 0 ? WARP_UDP : WARP_TCP;
  row->family = attempt->combo.family;
  row->route_type = attempt->combo.route_type;
  row->attempt = attempt->number;
}

warp_attempt *wg_attempt_new(wg_session *session, const warp_plugin *plugin, uint16_t number,
                             const warp_combo *combo) {
  warp_attempt *attempt = calloc(1, sizeof *attempt);
  if (attempt == NULL)
    return NULL;
  attempt->plugin_state = calloc(1, plugin->state_size > 0 ? plugin->state_size : 1);
  if (attempt->plugin_state == NULL) {
    free(attempt);
    return NULL;
  }
  attempt->session = session;
  attempt->plugin = plugin;
  attempt->number = number;
  attempt->state = WG_ATTEMPT_WAITING;
  attempt->self = *combo->self;
  attempt->peer = *combo->peer;
  attempt->combo = *combo;
  attempt->combo.self = &attempt->self;
  attempt->combo.peer = &attempt->peer;
  attempt->row.start_ms = -1;
  wg_list_init(&attempt->candidates);
  wg_list_init(&attempt->dials);
  wg_list_init(&attempt->sockets);
  wg_list_init(&attempt->ports);
  wg_list_init(&attempt->server_streams);
  wg_rng_seed(&attempt->rng, session->connect->config.seed ^ number, plugin->name);
  describe(attempt);
  attempt->gateway = wg_connect_gateway(session->connect, &attempt->self.nic);
  attempt->gateway->attempts++;
  return attempt;
}

warp_attempt *wg_attempt_add(wg_session *session, const warp_plugin *plugin, uint16_t number,
                             const warp_combo *combo) {
  if (session->attempt_count == WG_ATTEMPTS_MAX)
    return NULL;
  warp_attempt *attempt = wg_attempt_new(session, plugin, number, combo);
  if (attempt != NULL)
    session->attempts[session->attempt_count++] = attempt;
  return attempt;
}

static void on_deadline(void *arg) {
  warp_attempt *attempt = arg;
  warp_attempt_fail(attempt, WARP_TIMEOUT, "nothing worked within %u s; last: %s",
                    wg_plugin_timeout_ms(attempt->plugin) / 1000,
                    attempt->row.detail[0] != '\0' ? attempt->row.detail : "no answer");
}

/* Who came with an invitation has dialled us already. */
static int begin_proof(warp_attempt *attempt, const wg_message *message) {
  if (message != NULL && message->type != WG_MESSAGE_OPEN)
    return WARP_OK;
  int status = wg_proof_begin(attempt);
  if (status != WARP_OK)
    warp_attempt_note(attempt, "cannot ask for proof that the peer is in our network: %s",
                      warp_strerror(status));
  return status;
}

/* The peer can only answer for an attempt that it knows of, even if the plugin has nothing to say.
 */
static bool wants_opening(const warp_attempt *attempt) {
  return attempt->session->role == WARP_INITIATOR && attempt->state == WG_ATTEMPT_RUNNING &&
         !attempt->opened && wg_proof_pending(attempt);
}

void wg_attempt_run(warp_attempt *attempt, const wg_message *message) {
  wg_env *env = env_of(attempt);
  attempt->state = WG_ATTEMPT_RUNNING;
  attempt->started_us = wg_now_us(env);
  attempt->row.start_ms = (double)(attempt->started_us - attempt->session->begun_us) / 1000.0;
  wg_timer_start(env, &attempt->deadline, (uint64_t)wg_plugin_timeout_ms(attempt->plugin) * 1000,
                 on_deadline, attempt);
  int status = begin_proof(attempt, message);
  if (status == WARP_OK)
    status = attempt->plugin->run(attempt, message != NULL ? message->plugin_type : 0,
                                  message != NULL ? message->data : NULL,
                                  message != NULL ? message->data_len : 0);
  if (status == WARP_OK && wants_opening(attempt))
    status = warp_attempt_signal(attempt, 0, NULL, 0);
  if (status == WARP_OK || attempt->state != WG_ATTEMPT_RUNNING)
    return;
  status = wg_attempt_status(attempt, status, "its run");
  warp_attempt_fail(attempt, status, "%s",
                    attempt->row.detail[0] != '\0' ? attempt->row.detail : "could not start");
}

int wg_attempt_may_contact(const warp_attempt *attempt, warp_transport transport,
                           const warp_addr *to) {
  const wg_session *session = attempt->session;
  if (to->family != attempt->combo.family)
    return WARP_UNTRUSTED;
  int status = wg_may_contact(&session->connect->self, &session->peer_record, transport, to);
  if (status == WARP_OK || transport == WARP_UDP || !wg_proof_holds(session, to))
    return status;
  return wg_may_contact(&session->connect->self, &session->peer_record, WARP_UDP, to);
}

static void stop_timers(warp_attempt *attempt) {
  for (size_t i = 0; i < WARP_ATTEMPT_TIMERS; i++)
    wg_timer_stop(env_of(attempt), &attempt->timers[i].timer);
}

/* The plugin stops first, so that it never sees what it opened half closed. */
static void stop_plugin(warp_attempt *attempt) {
  wg_connect *connect = attempt->session->connect;
  stop_timers(attempt);
  connect->stopping++;
  if (attempt->plugin->stop != NULL)
    attempt->plugin->stop(attempt);
  connect->stopping--;
  attempt->stopped = true;
  wg_ports_close(attempt);
  wg_server_streams_close(attempt);
  wg_attempt_give_all(attempt);
}

static void discard_candidates(warp_attempt *attempt, const wg_candidate *but) {
  for (wg_list *item = attempt->candidates.next; item != &attempt->candidates;) {
    wg_candidate *candidate = WG_CONTAINER(item, wg_candidate, link);
    item = item->next;
    if (candidate != but) {
      wg_pipe_discard(candidate->pipe);
      wg_candidate_free(candidate);
    }
  }
}

void wg_attempt_end(warp_attempt *attempt, int status, const wg_candidate *winner) {
  if (!wg_attempt_alive(attempt))
    return;
  wg_env *env = env_of(attempt);
  bool ran = attempt->state == WG_ATTEMPT_RUNNING;
  bool kept = winner != NULL && attempt->keep;
  attempt->state = kept ? WG_ATTEMPT_KEPT : WG_ATTEMPT_ENDED;
  wg_timer_stop(env, &attempt->deadline);
  wg_opening_end(attempt);
  wg_proof_end(attempt);
  attempt->row.status = status;
  if (ran)
    attempt->row.elapsed_ms = (double)(wg_now_us(env) - attempt->started_us) / 1000.0;
  discard_candidates(attempt, winner); /* their last words may go through what the plugin holds */
  if (ran && !kept)
    stop_plugin(attempt);
  wg_dials_abort(attempt);
  wg_ports_shut(attempt);
  bool path_won = attempt->path != NULL && wg_path_won(attempt->path);
  if (path_won && !kept)
    wg_sockets_keep(attempt, attempt->path);
  else if (!kept)
    wg_sockets_close(attempt);
  if (attempt->path != NULL)
    wg_path_close(attempt->path);
}

void wg_attempt_release(warp_attempt *attempt) {
  if (attempt->state != WG_ATTEMPT_KEPT)
    return;
  attempt->state = WG_ATTEMPT_ENDED;
  stop_plugin(attempt);
  wg_sockets_close(attempt);
}

void wg_attempt_free(warp_attempt *attempt) {
  attempt->gateway->attempts--;
  if (attempt->path != NULL)
    wg_path_free(attempt->path);
  free(attempt->plugin_state);
  free(attempt);
}

/* ---- candidates: pipes before they are nominated --------------------------------------------- */

static int candidate_hello(void *arg, warp_pipe *pipe, const uint8_t *hello, size_t len,
                           warp_key *expected) {
  (void)pipe;
  /* On a path the tags have shown already whose packets these are; the hello binds session and
   * attempt into the handshake's transcript. */
  const wg_candidate *candidate = arg;
  const warp_attempt *attempt = candidate->attempt;
  wg_reader reader = wg_reader_init(hello, len);
  const uint8_t *session = wg_read_bytes(&reader, WG_SESSION_LEN);
  uint16_t number = wg_read_u16(&reader);
  if (reader.failed || memcmp(session, attempt->session->id.bytes, WG_SESSION_LEN) != 0 ||
      number != attempt->number)
    return WARP_UNTRUSTED;
  *expected = attempt->session->peer;
  return WARP_OK;
}

static void candidate_secured(void *arg, warp_pipe *pipe) {
  (void)pipe;
  wg_candidate *candidate = arg;
  candidate->secured = true;
  wg_opening_end(candidate->attempt);
  wg_session_secured(candidate->attempt->session, candidate);
}

static void candidate_nominated(void *arg, warp_pipe *pipe) {
  (void)pipe;
  wg_candidate *candidate = arg;
  wg_session_nominated(candidate->attempt->session, candidate);
}

static void candidate_failed(void *arg, warp_pipe *pipe, int status, const char *detail) {
  wg_candidate *candidate = arg;
  warp_attempt *attempt = candidate->attempt;
  wg_pipe_discard(pipe);
  wg_candidate_free(candidate);
  if (status == WARP_STATE) /* an alert proves nobody's key: other attempts go on */
    attempt->session->crossed = true;
  /* Of several streams that came for an attempt, one may still be good, and who punches decides
   * himself when to give up. */
  if (attempt->punches)
    warp_attempt_note(attempt, "%s", detail);
  else if (wg_list_empty(&attempt->candidates))
    warp_attempt_fail(attempt, status, "%s", detail);
}

const wg_pipe_callbacks wg_candidate_callbacks = {
    .on_hello = candidate_hello,
    .on_secured = candidate_secured,
    .on_nominated = candidate_nominated,
    .on_failed = candidate_failed,
};

void wg_candidate_free(wg_candidate *candidate) {
  wg_list_remove(&candidate->link);
  free(candidate);
}

bool wg_attempt_has_room(const warp_attempt *attempt) {
  size_t count = 0;
  for (const wg_list *item = attempt->candidates.next; item != &attempt->candidates;
       item = item->next)
    count++;
  return count < (attempt->punches ? WG_STREAMS_PUNCHED : WG_STREAMS_MAX);
}

int wg_attempt_take_stream(warp_attempt *attempt, wg_candidate *candidate) {
  if (attempt->state != WG_ATTEMPT_RUNNING || !(attempt->expecting || attempt->punches))
    return WARP_UNTRUSTED;
  if (!wg_attempt_has_room(attempt))
    return WARP_LIMIT;
  candidate->attempt = attempt;
  wg_opening_end(attempt);
  wg_list_remove(&candidate->link);
  wg_list_push(&attempt->candidates, &candidate->link);
  wg_pipe_set_callbacks(candidate->pipe, &wg_candidate_callbacks, candidate);
  wg_pipe_set_initiator(candidate->pipe, attempt->session->role == WARP_INITIATOR);
  return WARP_OK;
}

/* A dialler that begins a session puts its invitation into the hello, so that the other side knows
 * whom it has before it answers and a direct connect needs no broker. Who punches has told the peer
 * of the attempt before. */
static int build_hello(warp_attempt *attempt, bool invite, uint8_t hello[WG_HELLO_MAX],
                       size_t *len) {
  wg_session *session = attempt->session;
  wg_connect *connect = session->connect;
  wg_writer writer = wg_writer_init(hello, WG_HELLO_MAX);
  wg_write_bytes(&writer, session->id.bytes, WG_SESSION_LEN);
  wg_write_u16(&writer, attempt->number);
  *len = writer.len;
  if (!invite || connect->config.router == NULL)
    return WARP_OK;
  wg_message message = {.type = WG_MESSAGE_INVITE,
                        .session = session->id,
                        .attempt = attempt->number,
                        .family = attempt->combo.family,
                        .route_type = attempt->combo.route_type,
                        .transport = attempt->combo.transport,
                        .endpoint_self = attempt->self_index,
                        .endpoint_peer = attempt->peer_index,
                        .apart = session->apart,
                        .record = connect->record_bytes,
                        .record_len = connect->record_len};
  snprintf(message.plugin, sizeof message.plugin, "%s", attempt->plugin->name);
  int sealed = wg_router_seal(connect->config.router, &session->peer, &message, hello + *len,
                              WG_HELLO_MAX - *len);
  if (sealed < 0)
    return sealed;
  *len += (size_t)sealed;
  return WARP_OK;
}

int wg_attempt_secure(warp_attempt *attempt, warp_pipe_kind kind, bool client,
                      const wg_carrier_ops *ops, void *carrier, bool relayed, warp_pipe **out) {
  wg_session *session = attempt->session;
  uint8_t hello[WG_HELLO_MAX];
  size_t hello_len = 0;
  wg_candidate *candidate = calloc(1, sizeof *candidate);
  int status = candidate == NULL ? WARP_NOMEM : WARP_OK;
  if (status == WARP_OK && client)
    status = build_hello(
        attempt, kind == WARP_STREAM && session->role == WARP_INITIATOR && !attempt->punches, hello,
        &hello_len);
  if (status != WARP_OK) {
    ops->reset(carrier);
    free(candidate);
    return status;
  }
  candidate->connect = session->connect;
  candidate->attempt = attempt;
  candidate->transport = kind == WARP_STREAM ? WARP_TCP : WARP_UDP;
  candidate->relayed = relayed;
  wg_pipe_options options = {.env = env_of(attempt),
                             .identity = session->connect->config.identity,
                             .kind = kind,
                             .client = client,
                             .initiator = session->role == WARP_INITIATOR,
                             .expected = &session->peer,
                             .hello = hello,
                             .hello_len = hello_len,
                             .ops = ops,
                             .carrier = carrier,
                             .callbacks = wg_candidate_callbacks,
                             .arg = candidate};
  status = wg_pipe_open(&options, &candidate->pipe);
  if (status != WARP_OK) {
    free(candidate);
    return status;
  }
  wg_list_push(&attempt->candidates, &candidate->link);
  *out = candidate->pipe;
  return WARP_OK;
}

/* ---- the plugin contract: the attempt itself ------------------------------------------------- */

void *warp_attempt_state(warp_attempt *attempt) {
  return attempt != NULL ? attempt->plugin_state : NULL;
}

warp_role warp_attempt_role(const warp_attempt *attempt) {
  return attempt != NULL ? attempt->session->role : (warp_role)0;
}

const warp_combo *warp_attempt_combo(const warp_attempt *attempt) {
  return attempt != NULL ? &attempt->combo : NULL;
}

uint64_t warp_attempt_now_us(const warp_attempt *attempt) {
  return attempt != NULL ? wg_now_us(env_of(attempt)) : 0;
}

uint32_t warp_attempt_random(warp_attempt *attempt, uint32_t bound) {
  return attempt != NULL ? wg_rng_below(&attempt->rng, bound) : 0;
}

int warp_attempt_entropy(warp_attempt *attempt, void *out, size_t len) {
  if (attempt == NULL || out == NULL)
    return WARP_INVALID;
  wg_env *env = env_of(attempt);
  return env->ops->random(env, out, len);
}

static void on_slot(void *arg) {
  wg_attempt_timer *slot = arg;
  slot->cb(slot->attempt);
}

void warp_attempt_timer(warp_attempt *attempt, unsigned slot, uint32_t delay_ms,
                        warp_attempt_cb cb) {
  if (attempt == NULL || cb == NULL)
    return;
  bool live = attempt->state == WG_ATTEMPT_RUNNING || attempt->state == WG_ATTEMPT_KEPT;
  if (slot >= WARP_ATTEMPT_TIMERS || !live)
    return;
  wg_attempt_timer *entry = &attempt->timers[slot];
  entry->cb = cb;
  entry->attempt = attempt;
  wg_timer_start(env_of(attempt), &entry->timer, (uint64_t)delay_ms * 1000, on_slot, entry);
}

void warp_attempt_timer_stop(warp_attempt *attempt, unsigned slot) {
  if (attempt != NULL && slot < WARP_ATTEMPT_TIMERS)
    wg_timer_stop(env_of(attempt), &attempt->timers[slot].timer);
}

void warp_attempt_blame(warp_attempt *attempt, int status) {
  if (attempt == NULL)
    return;
  attempt->blamed =
      status == WARP_OK ? status : wg_attempt_status(attempt, status, "warp_attempt_blame");
}

void warp_attempt_note(warp_attempt *attempt, const char *format, ...) {
  if (attempt == NULL || format == NULL || attempt->stopped)
    return; /* what ended it stands there */
  va_list args;
  va_start(args, format);
  vsnprintf(attempt->row.detail, sizeof attempt->row.detail, format, args);
  va_end(args);
}

void warp_attempt_fail(warp_attempt *attempt, int status, const char *format, ...) {
  if (attempt == NULL)
    return;
  if (attempt->stopped)
    wg_attempt_breach(attempt, "ended it a second time");
  bool kept = attempt->state == WG_ATTEMPT_KEPT;
  if (attempt->state != WG_ATTEMPT_RUNNING && !kept)
    return;
  char line[WARP_DETAIL_LEN];
  if (format != NULL) { /* else what was noted stands */
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    memcpy(attempt->row.detail, line, sizeof line);
  }
  status = wg_attempt_status(attempt, status, "warp_attempt_fail");
  attempt->row.status = status;
  wg_attempt_tell_failed(attempt);
  if (kept) {
    wg_session_lose(attempt->session, status);
    return;
  }
  wg_attempt_end(attempt, status, NULL);
  wg_session_attempt_ended(attempt->session);
}

void warp_attempt_expect(warp_attempt *attempt) {
  if (attempt != NULL)
    attempt->expecting = true;
}

void warp_attempt_keep(warp_attempt *attempt) {
  if (attempt != NULL)
    attempt->keep = true;
}

unsigned warp_attempt_turn_limit(const warp_attempt *attempt) {
  if (attempt == NULL)
    return 0;
  const wg_session *session = attempt->session;
  return session->role == WARP_INITIATOR ? session->options.turn_limit : WG_TURN_LIMIT;
}
