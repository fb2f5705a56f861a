/* A TCP connection as the carrier of a pipe. */
#include "connect/session.h"

#include <stdlib.h>

static void on_data(void *arg, const uint8_t *data, size_t len) {
  wg_stream *stream = arg;
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
