/* Streams opened by hand: TCP as it is, or with ordinary TLS above it. */
#include "pipe/open.h"

#include <stdio.h>
#include <string.h>

enum { TLS_RECORD = 16384 };

/* ---- sending --------------------------------------------------------------------------------- */

static void tls_output(void *arg, const uint8_t *data, size_t len) {
  wg_opened *opened = arg;
  if (opened->tcp == NULL) {
    return;
  }
  int status = opened->pipe->env->ops->tcp_send(opened->tcp, data, len);
  if (status != WARP_OK) {
    opened->pipe->send_status = status; /* a gap in the stream is worse than its end */
    wg_pipe_wake(opened->pipe, 0);
  }
}

static int plain_send(warp_pipe *pipe, const void *data, size_t len) {
  wg_opened *opened = pipe->opened;
  if (opened->tcp == NULL || opened->conf.sock_only) {
    return WARP_STATE;
  }
  if (len > WG_STREAM_SEND_MAX) {
    return WARP_TOO_BIG;
  }
  if (pipe->sent_end || pipe->carrier == NULL) {
    return WARP_CLOSED;
  }
  if (len == 0) {
    return WARP_OK;
  }
  const wg_env_ops *ops = pipe->env->ops;
  if (ops->tcp_queued(opened->tcp) >= WG_PIPE_QUEUE_FULL && !pipe->let_go) {
    pipe->want_drain = true;
    return WARP_AGAIN;
  }
  if (opened->tls == NULL) {
    return ops->tcp_send(opened->tcp, data, len);
  }
  int status = wg_tls_write(opened->tls, data, len);
  if (status != WARP_OK) {
    wg_pipe_end(pipe, status, wg_tls_detail(opened->tls));
    return status;
  }
  return pipe->send_status;
}

static int plain_shutdown(warp_pipe *pipe) {
  wg_opened *opened = pipe->opened;
  if (opened->tcp == NULL || opened->conf.sock_only) {
    return WARP_STATE;
  }
  if (!pipe->sent_end) {
    pipe->sent_end = true;
    if (opened->tls != NULL) {
      wg_tls_shutdown(opened->tls);
    }
    pipe->env->ops->tcp_shutdown(opened->tcp); /* what is wrong with it on_end tells */
    pipe->want_drain = true;
    wg_pipe_wake(pipe, 0); /* it may all be gone already */
  }
  return WARP_OK;
}

static bool plain_has_room(warp_pipe *pipe) {
  return pipe->ops->queued(pipe->carrier) == 0;
}

static void plain_drained(warp_pipe *pipe) {
  if (pipe->state == WG_PIPE_CLOSING) {
    wg_pipe_finish(pipe);
  } else if (pipe->state == WG_PIPE_OPEN && pipe->want_drain && plain_has_room(pipe)) {
    wg_pipe_tell_drain(pipe);
  }
}

/* The environment sends for 2 s what is queued, unless the program chose another time. */
static bool plain_finish(warp_pipe *pipe) {
  wg_opened *opened = pipe->opened;
  if (opened->tls != NULL && opened->tls_up && !pipe->sent_end) {
    wg_tls_shutdown(opened->tls);
  }
  pipe->sent_end = true;
  return opened->conf.linger_ms <= 0 || plain_has_room(pipe);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Hands out as much as is wanted; returns how much that was. */
static size_t hand_out(warp_pipe *pipe, const uint8_t *data, size_t len) {
  size_t done = 0;
  while (done < len && pipe->delivering && pipe->state == WG_PIPE_OPEN) {
    size_t limit = pipe->opened->conf.reader_limit;
    size_t part = len - done < limit ? len - done : limit;
    wg_pipe_deliver(pipe, data + done, part, NULL);
    done += part;
  }
  return done;
}

static void peer_ended(warp_pipe *pipe) {
  if (!pipe->peer_ended) {
    pipe->peer_ended = true; /* our direction stays open */
    pipe->end_status = WARP_CLOSED;
    wg_pipe_wake(pipe, 0);
  }
}

/* What is not wanted yet stays with OpenSSL, in memory that the paused carrier bounds. */
static void read_tls(warp_pipe *pipe) {
  uint8_t data[TLS_RECORD];
  size_t limit = pipe->opened->conf.reader_limit;
  while (pipe->delivering && pipe->state == WG_PIPE_OPEN && !pipe->peer_ended) {
    size_t len = 0;
    int status =
        wg_tls_read(pipe->opened->tls, data, limit < sizeof data ? limit : sizeof data, &len);
    if (status == WARP_OK) {
      wg_pipe_deliver(pipe, data, len, NULL);
    } else if (status == WARP_CLOSED) {
      peer_ended(pipe);
    } else {
      if (status != WARP_AGAIN) {
        wg_pipe_end(pipe, status, wg_tls_detail(pipe->opened->tls));
      }
      return;
    }
  }
}

static void ready(wg_opened *opened) {
  bool of_server = opened->of_server != NULL; /* else the program may close it */
  wg_opened_ready(opened);
  if (of_server) {
    wg_server_up(opened);
  }
}

static void shake_hands(wg_opened *opened) {
  int status = wg_tls_handshake(opened->tls);
  if (status == WARP_OK) {
    opened->tls_up = true;
    ready(opened);
  } else if (status != WARP_AGAIN) {
    wg_opened_fail(opened, status, wg_tls_detail(opened->tls));
  }
}

static void tls_input(warp_pipe *pipe, const uint8_t *data, size_t len) {
  wg_opened *opened = pipe->opened;
  if (wg_tls_feed(opened->tls, data, len) != WARP_OK) {
    wg_pipe_end(pipe, WARP_NOMEM, "");
  } else if (pipe->state == WG_PIPE_HANDSHAKE) {
    shake_hands(opened);
  } else {
    read_tls(pipe);
    if (!pipe->delivering) {
      wg_stream_set_paused(pipe, true);
    }
  }
}

static void plain_input(warp_pipe *pipe, const uint8_t *data, size_t len) {
  if (pipe->peer_ended || pipe->opened->conf.sock_only) {
    return;
  }
  if (pipe->opened->tls != NULL) {
    tls_input(pipe, data, len);
    return;
  }
  size_t done = pipe->held.len > 0 ? 0 : hand_out(pipe, data, len);
  if (done < len && (pipe->state == WG_PIPE_OPEN || pipe->state == WG_PIPE_HANDSHAKE)) {
    wg_stream_hold(pipe, data + done, len - done);
  }
}

/* The connection's end counts once all that came before it is handed out. */
static void settle_end(warp_pipe *pipe) {
  if (pipe->carrier_status == WARP_OK || pipe->state != WG_PIPE_OPEN) {
    return;
  }
  if (pipe->carrier_status != WARP_CLOSED) {
    wg_pipe_end(pipe, pipe->carrier_status, "");
  } else if (pipe->opened->tls != NULL && !pipe->peer_ended) {
    wg_pipe_end(pipe, WARP_RESET, "the stream may have been cut short"); /* RFC 8446 section 6.1 */
  } else {
    peer_ended(pipe);
  }
}

static void plain_deliver_held(warp_pipe *pipe) {
  if (pipe->opened->tls != NULL) {
    read_tls(pipe);
  } else if (pipe->held.len > 0) {
    wg_queue_drop(&pipe->held, hand_out(pipe, wg_queue_front(&pipe->held), pipe->held.len));
  }
  if (pipe->delivering && pipe->state == WG_PIPE_OPEN) {
    wg_queue_free(&pipe->held);
    wg_stream_set_paused(pipe, false);
    settle_end(pipe);
  }
}

static void plain_carrier_ended(warp_pipe *pipe, int status) {
  pipe->carrier_status = status;
  if (pipe->state == WG_PIPE_HANDSHAKE) {
    wg_opened_fail(pipe->opened, status, "the connection ended before TLS was up");
  } else if (pipe->state == WG_PIPE_CLOSING && status != WARP_CLOSED) {
    wg_pipe_finish(pipe);
  } else if (pipe->state == WG_PIPE_OPEN) {
    /* An end that nothing came before need not wait for somebody who takes it. */
    bool bare = pipe->held.len == 0 && pipe->opened->tls == NULL;
    if (pipe->delivering || bare || status != WARP_CLOSED) {
      settle_end(pipe);
    }
  }
}

static void nothing(warp_pipe *pipe) {
  (void)pipe;
}

const wg_pipe_kind_ops wg_plain_stream_ops = {
    .input = plain_input,
    .deliver_held = plain_deliver_held,
    .carrier_ended = plain_carrier_ended,
    .drained = plain_drained,
    .has_room = plain_has_room,
    .send = plain_send,
    .shutdown = plain_shutdown,
    .largest = WG_STREAM_SEND_MAX,
    .finish = plain_finish,
    .repeat = nothing,
    .watch = nothing,
};

/* ---- the connection -------------------------------------------------------------------------- */

static void on_tls_timeout(void *arg) {
  wg_opened_fail(arg, WARP_TIMEOUT, "the other side did not complete the TLS handshake in time");
}

void wg_plain_connected(wg_opened *opened) {
  if (opened->tls == NULL) {
    ready(opened);
    return;
  }
  wg_timer_start(opened->pipe->env, &opened->timer, opened->conf.ssl_handshake_ms * 1000ull,
                 on_tls_timeout, opened);
  shake_hands(opened);
}

int wg_plain_tls_new(wg_opened *opened, wg_tls_context *context) {
  char address[WARP_ADDR_STRLEN];
  warp_addr bare = opened->dest;
  bare.port = 0;
  const char *name =
      opened->name.host[0] != '\0' ? opened->name.host : warp_addr_format(&bare, address);
  wg_tls_options options = {.context = context,
                            .name = name,
                            .utc_ms = opened->pipe->env->ops->wall_ms(opened->pipe->env),
                            .output = tls_output,
                            .arg = opened};
  return wg_tls_new(&options, &opened->tls);
}

static void on_open(void *arg, int status) {
  wg_opened *opened = arg;
  warp_pipe *pipe = opened->pipe;
  wg_pipe_enter(pipe);
  wg_timer_stop(pipe->env, &opened->timer);
  if (status == WARP_OK) {
    wg_plain_connected(opened);
  } else {
    wg_opened_next(opened, status, "");
  }
  wg_pipe_leave(pipe);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  wg_pipe_input(((wg_opened *)arg)->pipe, data, len);
}

static void on_end(void *arg, int status) {
  wg_pipe_carrier_ended(((wg_opened *)arg)->pipe, status);
}

static void on_drain(void *arg) {
  wg_pipe_carrier_drained(((wg_opened *)arg)->pipe);
}

const wg_tcp_handlers wg_plain_tcp_handlers = {
    .on_open = on_open, .on_data = on_data, .on_end = on_end, .on_drain = on_drain};
