#include "connect/stun_stream.h"

#include "wire/stun.h"
#include <stdlib.h>
#include <string.h>

enum { BUFFER_LEN = 512 /* a binding answer is about 100 bytes */ };

typedef enum stun_state { STUN_CONNECTING, STUN_ASKED, STUN_ANSWERED, STUN_OVER } stun_state;

struct wg_stun_stream {
  wg_env *env;
  wg_tcp *tcp;
  stun_state state;
  wg_timer timer;
  wg_stun_txid txid;
  wg_stun_stream_cb cb;
  void *arg;
  uint8_t buffer[BUFFER_LEN];
  size_t buffered;
};

/* The only place where the state changes, and where it is told. */
static void move(wg_stun_stream *stream, stun_state to, int status, const warp_addr *external) {
  stream->state = to;
  if (to == STUN_ASKED)
    return;
  wg_timer_stop(stream->env, &stream->timer);
  if (to == STUN_OVER) {
    stream->env->ops->tcp_reset(stream->tcp);
    stream->tcp = NULL;
  }
  stream->cb(stream->arg, status, external);
}

static void over(wg_stun_stream *stream, int status) {
  move(stream, STUN_OVER, status, NULL);
}

static void on_timeout(void *arg) {
  over(arg, WARP_TIMEOUT);
}

static int send_request(wg_stun_stream *stream) {
  uint8_t request[WG_STUN_HEADER_LEN];
  wg_writer writer = wg_writer_init(request, sizeof request);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &stream->txid);
  int len = wg_stun_end(&writer);
  return len < 0 ? len : stream->env->ops->tcp_send(stream->tcp, request, (size_t)len);
}

static void on_open(void *arg, int status) {
  wg_stun_stream *stream = arg;
  if (status == WARP_OK)
    status = send_request(stream);
  if (status == WARP_OK)
    move(stream, STUN_ASKED, WARP_OK, NULL);
  else
    over(stream, status);
}

static void answered(wg_stun_stream *stream, const wg_stun_message *message) {
  warp_addr external;
  if (stream->state != STUN_ASKED || message->class != WG_STUN_SUCCESS ||
      memcmp(&message->txid, &stream->txid, sizeof stream->txid) != 0)
    return;
  if (wg_stun_find_addr(message, WG_STUN_XOR_MAPPED_ADDRESS, &external))
    move(stream, STUN_ANSWERED, WARP_OK, &external);
  else
    over(stream, WARP_MALFORMED);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  wg_stun_stream *stream = arg;
  if (len > BUFFER_LEN - stream->buffered) {
    over(stream, WARP_MALFORMED);
    return;
  }
  memcpy(stream->buffer + stream->buffered, data, len);
  stream->buffered += len;
  size_t message_len;
  int status = wg_stun_frame_next(stream->buffer, stream->buffered, &message_len);
  if (status == WARP_AGAIN)
    return;
  wg_stun_message message;
  if (status != WARP_OK || wg_stun_decode(stream->buffer, message_len, &message) != WARP_OK) {
    over(stream, WARP_MALFORMED);
    return;
  }
  stream->buffered = 0; /* one answer was asked for; nothing else is of interest here */
  answered(stream, &message);
}

static void on_end(void *arg, int status) {
  over(arg, status);
}

int wg_stun_stream_open(wg_env *env, const warp_addr *local, const warp_addr *server,
                        uint32_t timeout_ms, wg_stun_stream_cb cb, void *arg,
                        wg_stun_stream **out) {
  static const wg_tcp_handlers handlers = {
      .on_open = on_open, .on_data = on_data, .on_end = on_end};
  wg_stun_stream *stream = calloc(1, sizeof *stream);
  if (stream == NULL)
    return WARP_NOMEM;
  stream->env = env;
  stream->cb = cb;
  stream->arg = arg;
  int status = env->ops->random(env, &stream->txid, sizeof stream->txid);
  if (status == WARP_OK)
    status =
        env->ops->tcp_connect(env, local, server, WG_SOCK_REUSE, &handlers, stream, &stream->tcp);
  if (status != WARP_OK) {
    free(stream);
    return status;
  }
  wg_timer_start(env, &stream->timer, (uint64_t)timeout_ms * 1000, on_timeout, stream);
  *out = stream;
  return WARP_OK;
}

int wg_stun_stream_ask(wg_stun_stream *stream, uint32_t timeout_ms) {
  wg_env *env = stream->env;
  if (stream->state != STUN_ANSWERED)
    return WARP_STATE;
  int status = env->ops->random(env, &stream->txid, sizeof stream->txid);
  if (status == WARP_OK)
    status = send_request(stream);
  if (status != WARP_OK)
    return status;
  move(stream, STUN_ASKED, WARP_OK, NULL);
  wg_timer_start(env, &stream->timer, (uint64_t)timeout_ms * 1000, on_timeout, stream);
  return WARP_OK;
}

void wg_stun_stream_close(wg_stun_stream *stream) {
  wg_timer_stop(stream->env, &stream->timer);
  if (stream->tcp != NULL)
    stream->env->ops->tcp_reset(stream->tcp);
  free(stream);
}
