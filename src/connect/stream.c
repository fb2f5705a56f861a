/* A TCP connection as the carrier of a pipe. */
#include "connect/session.h"

#include <stdlib.h>
#include <string.h>

/* Takes what belongs to the preamble off the data; false when it was not the peer's. */
static bool strip(wg_stream *stream, const uint8_t **data, size_t *len) {
  if (stream->head_len == 0 && **data != WG_MAGIC_0) {
    stream->strips = false;
    return true;
  }
  size_t room = WG_PREAMBLE_LEN - stream->head_len, take = *len < room ? *len : room;
  memcpy(stream->head + stream->head_len, *data, take);
  stream->head_len += take;
  *data += take;
  *len -= take;
  if (stream->head_len < WG_PREAMBLE_LEN)
    return true;
  stream->strips = false;
  uint8_t tag[WG_TAG_LEN];
  return wg_preamble_read(stream->head, WG_PREAMBLE_LEN, tag) == WARP_OK &&
         wg_bytes_equal_ct(tag, stream->tag, WG_TAG_LEN);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  wg_stream *stream = arg;
  if (stream->strips && len > 0 && !strip(stream, &data, &len))
    wg_pipe_carrier_ended(stream->pipe, WARP_UNTRUSTED);
  else if (len > 0)
    wg_pipe_input(stream->pipe, data, len);
}

static void on_end(void *arg, int status) {
  wg_stream *stream = arg;
  wg_pipe_carrier_ended(stream->pipe, status);
}

static void on_drain(void *arg) {
  wg_stream *stream = arg;
  wg_pipe_carrier_drained(stream->pipe);
}

static const wg_tcp_handlers handlers = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_drain};

wg_stream *wg_stream_new(wg_env *env, wg_tcp *tcp) {
  wg_stream *stream = calloc(1, sizeof *stream);
  if (stream == NULL) {
    env->ops->tcp_reset(tcp);
    return NULL;
  }
  stream->env = env;
  stream->tcp = tcp;
  env->ops->tcp_set_handlers(tcp, &handlers, stream);
  return stream;
}

void wg_stream_strip_preamble(wg_stream *stream, const uint8_t tag[WG_TAG_LEN]) {
  stream->strips = true;
  memcpy(stream->tag, tag, WG_TAG_LEN);
}

static int stream_send(void *carrier, const void *data, size_t len) {
  wg_stream *stream = carrier;
  return stream->env->ops->tcp_send(stream->tcp, data, len);
}

static size_t stream_queued(void *carrier) {
  wg_stream *stream = carrier;
  return stream->env->ops->tcp_queued(stream->tcp);
}

static int stream_shutdown(void *carrier) {
  wg_stream *stream = carrier;
  return stream->env->ops->tcp_shutdown(stream->tcp);
}

static void stream_pause(void *carrier, bool paused) {
  wg_stream *stream = carrier;
  stream->env->ops->tcp_pause(stream->tcp, paused);
}

static void stream_close(void *carrier) {
  wg_stream *stream = carrier;
  stream->env->ops->tcp_close(stream->tcp);
  free(stream);
}

static void stream_reset(void *carrier) {
  wg_stream *stream = carrier;
  stream->env->ops->tcp_reset(stream->tcp);
  free(stream);
}

static void stream_addrs(void *carrier, warp_addr *local, warp_addr *remote) {
  wg_stream *stream = carrier;
  stream->env->ops->tcp_addrs(stream->tcp, local, remote);
}

const wg_carrier_ops wg_stream_carrier = {
    .send = stream_send,
    .queued = stream_queued,
    .shutdown = stream_shutdown,
    .pause = stream_pause,
    .close = stream_close,
    .reset = stream_reset,
    .addrs = stream_addrs,
};
