/*
 * Accepted streams, by their first bytes: a ClientHello whose extension says which attempt it is
 * for, perhaps with an invitation, or the preamble of a peer that punches for an attempt of ours
 * (docs/protocol.md). Until the first byte there is a connection and nothing else.
 */
#include "connect/session.h"

#include <stdlib.h>
#include <string.h>

typedef struct wg_arrival {
  wg_candidate *candidate;
  wg_env *env;
  wg_tcp *tcp;
  wg_timer deadline;
  uint8_t head[WG_PREAMBLE_LEN];
  size_t head_len;
} wg_arrival;

/* ---- whom it is for -------------------------------------------------------------------------- */

/* The attempt that the hello of a stream belongs to: one that we began and that expects a stream,
 * or, with an invitation, one of a peer. */
static int attempt_of_hello(wg_connect *connect, const uint8_t *hello, size_t len,
                            warp_attempt **out) {
  wg_reader reader = wg_reader_init(hello, len);
  wg_session_id id;
  wg_read_copy(&reader, id.bytes, sizeof id.bytes);
  uint16_t number = wg_read_u16(&reader);
  if (reader.failed)
    return WARP_MALFORMED;
  wg_session *session = wg_connect_find(connect, &id);
  if (wg_reader_left(&reader) == 0) {
    *out = session != NULL ? wg_session_attempt(session, number) : NULL;
    return *out != NULL ? WARP_OK : WARP_UNTRUSTED;
  }
  if (connect->config.router == NULL)
    return WARP_UNSUPPORTED;
  uint8_t plain[WG_ENVELOPE_MAX];
  warp_key sender;
  wg_message message;
  size_t left = wg_reader_left(&reader);
  int status = wg_router_check(connect->config.router, wg_read_bytes(&reader, left), left, plain,
                               &sender, &message);
  if (status != WARP_OK)
    return status;
  if (message.type != WG_MESSAGE_INVITE || memcmp(&message.session, &id, sizeof id) != 0 ||
      message.attempt != number)
    return WARP_UNTRUSTED;
  bool known = session != NULL && wg_key_equal(&session->peer, &sender);
  if (known && session->role == WARP_INITIATOR) {
    wg_session_same_id(session);
    return WARP_STATE;
  }
  wg_record record;
  if (!known)
    status = wg_connect_admit(connect, &sender, &message, &record, &session);
  return status == WARP_OK ? wg_session_open_attempt(session, &message, out) : status;
}

static int inbound_hello(void *arg, warp_pipe *pipe, const uint8_t *hello, size_t len,
                         warp_key *expected) {
  (void)pipe;
  wg_candidate *candidate = arg;
  wg_connect *connect = candidate->connect;
  warp_attempt *attempt;
  int status = attempt_of_hello(connect, hello, len, &attempt);
  if (status != WARP_OK)
    return status;
  status = wg_attempt_take_stream(attempt, candidate);
  if (status != WARP_OK)
    return status;
  connect->inbound_count--;
  *expected = attempt->session->peer;
  return WARP_OK;
}

static void inbound_failed(void *arg, warp_pipe *pipe, int status, const char *detail) {
  (void)pipe;
  wg_candidate *candidate = arg;
  wg_logf(candidate->connect->config.log, WARP_LOG_DEBUG, "an accepted stream failed: %s (%s)",
          warp_strerror(status), detail);
  wg_inbound_drop(candidate);
}

/* The attempt of ours that punches and waits for a stream with this tag. */
static warp_attempt *attempt_of_tag(const wg_connect *connect, const uint8_t tag[WG_TAG_LEN]) {
  for (wg_list *item = connect->sessions.next; item != &connect->sessions; item = item->next) {
    const wg_session *session = WG_CONTAINER(item, wg_session, link);
    for (size_t i = 0; session->role == WARP_INITIATOR && i < session->attempt_count; i++) {
      warp_attempt *attempt = session->attempts[i];
      if (attempt->punches && attempt->state == WG_ATTEMPT_RUNNING &&
          wg_bytes_equal_ct(attempt->stream_tag_in, tag, WG_TAG_LEN))
        return attempt;
    }
  }
  return NULL;
}

/* ---- its first bytes ------------------------------------------------------------------------- */

/* Takes the connection out of the arrival, which ends. */
static wg_tcp *leave(wg_arrival *arrival) {
  wg_tcp *tcp = arrival->tcp;
  wg_timer_stop(arrival->env, &arrival->deadline);
  arrival->candidate->arrival = NULL;
  free(arrival);
  return tcp;
}

void wg_inbound_drop(wg_candidate *candidate) {
  wg_connect *connect = candidate->connect;
  if (candidate->arrival != NULL)
    connect->config.env->ops->tcp_reset(leave(candidate->arrival));
  else if (candidate->pipe != NULL)
    wg_pipe_discard(candidate->pipe);
  wg_candidate_free(candidate);
  connect->inbound_count--;
}

/* Not of our protocol's own: then it can only be TLS, and whose it is stands in its hello. */
static void serve(wg_candidate *candidate, const uint8_t *data, size_t len) {
  static const wg_pipe_callbacks callbacks = {.on_hello = inbound_hello,
                                              .on_failed = inbound_failed};
  wg_connect *connect = candidate->connect;
  wg_stream *stream = wg_stream_new(connect->config.env, leave(candidate->arrival));
  wg_pipe_options options = {.env = connect->config.env,
                             .identity = connect->config.identity,
                             .kind = WARP_STREAM,
                             .ops = &wg_stream_carrier,
                             .carrier = stream,
                             .callbacks = callbacks,
                             .arg = candidate};
  if (stream == NULL || wg_pipe_open(&options, &stream->pipe) != WARP_OK) {
    wg_inbound_drop(candidate);
    return;
  }
  candidate->pipe = stream->pipe;
  wg_pipe_input(stream->pipe, data, len);
}

/* The whole preamble is there: the peer dialled, but it is we who are the TLS client. */
static void claim(wg_candidate *candidate, const uint8_t *rest, size_t rest_len) {
  wg_connect *connect = candidate->connect;
  uint8_t tag[WG_TAG_LEN];
  warp_attempt *attempt = NULL;
  if (wg_preamble_read(candidate->arrival->head, WG_PREAMBLE_LEN, tag) == WARP_OK)
    attempt = attempt_of_tag(connect, tag);
  if (attempt == NULL || !wg_attempt_has_room(attempt)) {
    wg_inbound_drop(candidate);
    return;
  }
  wg_stream *stream = wg_stream_new(connect->config.env, leave(candidate->arrival));
  wg_inbound_drop(candidate);
  if (stream == NULL)
    return;
  int status = wg_attempt_secure(attempt, WARP_STREAM, true, &wg_stream_carrier, stream, false,
                                 &stream->pipe);
  if (status != WARP_OK)
    warp_attempt_note(attempt, "securing what the peer dialled: %s", warp_strerror(status));
  else if (rest_len > 0)
    wg_pipe_input(stream->pipe, rest, rest_len);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  wg_arrival *arrival = arg;
  if (len == 0)
    return;
  if (arrival->head_len == 0 && data[0] != WG_MAGIC_0) {
    serve(arrival->candidate, data, len);
    return;
  }
  size_t used = 0;
  while (used < len && arrival->head_len < WG_PREAMBLE_LEN)
    arrival->head[arrival->head_len++] = data[used++];
  if (arrival->head_len == WG_PREAMBLE_LEN)
    claim(arrival->candidate, data + used, len - used);
}

static void on_end(void *arg, int status) {
  (void)status;
  wg_arrival *arrival = arg;
  wg_inbound_drop(arrival->candidate);
}

static void on_deadline(void *arg) {
  wg_arrival *arrival = arg;
  wg_inbound_drop(arrival->candidate);
}

void wg_connect_on_stream(wg_connect *connect, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers handlers = {.on_data = on_data, .on_end = on_end};
  (void)from;
  wg_env *env = connect->config.env;
  wg_arrival *arrival = connect->closing ? NULL : calloc(1, sizeof *arrival);
  wg_candidate *candidate = arrival != NULL ? calloc(1, sizeof *candidate) : NULL;
  if (candidate == NULL) {
    free(arrival);
    env->ops->tcp_reset(tcp);
    return;
  }
  /* A peer says hello within a round trip; who only holds connections open must not keep it out. */
  if (connect->inbound_count >= WG_INBOUND_MAX)
    wg_inbound_drop(WG_CONTAINER(connect->inbound.next, wg_candidate, link));
  *arrival = (wg_arrival){.candidate = candidate, .env = env, .tcp = tcp};
  candidate->connect = connect;
  candidate->transport = WARP_TCP;
  candidate->arrival = arrival;
  env->ops->tcp_set_handlers(tcp, &handlers, arrival);
  wg_timer_start(env, &arrival->deadline, (uint64_t)WG_PIPE_HANDSHAKE_MS * 1000, on_deadline,
                 arrival);
  wg_list_push(&connect->inbound, &candidate->link);
  connect->inbound_count++;
}
