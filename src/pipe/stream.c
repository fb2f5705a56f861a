/*
 * Pipes over a stream. The initiator's first four bytes nominate the pipe; from then on the
 * plaintext is the application's, byte for byte, and each side ends its own direction by
 * close_notify and the carrier's end of stream.
 */
#include "pipe/pipe_internal.h"
#include "wire/packet.h"

#include <string.h>

enum { RECORD_MAX = 16384 }; /* RFC 8446 section 5.1 */

static const uint8_t preamble[4] = {WG_MAGIC_0, WG_MAGIC_1, WG_PROTOCOL_VERSION, 1};

/* ---- sending --------------------------------------------------------------------------------- */

static void stream_output(warp_pipe *pipe, const uint8_t *data, size_t len) {
  if (pipe->send_status != WARP_OK) {
    return; /* a gap in the stream is worse than its end */
  }
  int status = pipe->unsent.len > 0 ? WARP_AGAIN : pipe->ops->send(pipe->carrier, data, len);
  if (status == WARP_AGAIN) {
    status = wg_queue_push(&pipe->unsent, data, len) ? WARP_OK : WARP_NOMEM;
  }
  if (status != WARP_OK) {
    pipe->send_status = status;
    wg_pipe_wake(pipe, 0);
  }
}

/* Gives the carrier what it did not take before, in pieces as large as it likes. */
static void flush(warp_pipe *pipe) {
  while (pipe->unsent.len > 0 && pipe->carrier != NULL) {
    size_t len = pipe->unsent.len < RECORD_MAX ? pipe->unsent.len : RECORD_MAX;
    int status = pipe->ops->send(pipe->carrier, wg_queue_front(&pipe->unsent), len);
    if (status == WARP_AGAIN) {
      return;
    }
    if (status != WARP_OK) {
      wg_pipe_end(pipe, status, "");
      return;
    }
    wg_queue_drop(&pipe->unsent, len);
  }
  if (pipe->fin_due && pipe->carrier != NULL) {
    pipe->fin_due = false;
    pipe->ops->shutdown(pipe->carrier);
  }
}

static int stream_send(warp_pipe *pipe, const void *data, size_t len) {
  if (len > WG_STREAM_SEND_MAX) {
    return WARP_TOO_BIG;
  }
  if (pipe->sent_end) {
    return WARP_CLOSED;
  }
  if (len == 0) {
    return WARP_OK;
  }
  if (pipe->ops->queued(pipe->carrier) + pipe->unsent.len >= WG_PIPE_QUEUE_FULL && !pipe->let_go) {
    pipe->want_drain = true;
    return WARP_AGAIN;
  }
  int status = wg_secure_write(pipe->secure, data, len);
  if (status != WARP_OK) {
    wg_pipe_end(pipe, status, wg_secure_detail(pipe->secure));
    return status;
  }
  return pipe->send_status;
}

static void end_sending(warp_pipe *pipe) {
  if (!pipe->sent_end) {
    pipe->sent_end = true;
    wg_secure_shutdown(pipe->secure);
  }
}

static int stream_shutdown(warp_pipe *pipe) {
  if (!pipe->sent_end) {
    end_sending(pipe);
    pipe->fin_due = true;
    flush(pipe);
    pipe->want_drain = true;
    wg_pipe_wake(pipe, 0); /* it may all be gone already */
  }
  return WARP_OK;
}

static bool stream_finish(warp_pipe *pipe) {
  end_sending(pipe);
  return pipe->unsent.len == 0;
}

static bool stream_has_room(warp_pipe *pipe) {
  return pipe->unsent.len == 0 && pipe->ops->queued(pipe->carrier) == 0;
}

static void stream_drained(warp_pipe *pipe) {
  flush(pipe);
  if (pipe->unsent.len > 0) {
    return;
  }
  if (pipe->state == WG_PIPE_CLOSING) {
    wg_pipe_finish(pipe);
  } else if (pipe->state == WG_PIPE_OPEN && pipe->want_drain && stream_has_room(pipe)) {
    wg_pipe_tell_drain(pipe);
  }
}

static void stream_nominate(warp_pipe *pipe) {
  int status = wg_secure_write(pipe->secure, preamble, sizeof preamble);
  if (status != WARP_OK) {
    wg_pipe_end(pipe, status, wg_secure_detail(pipe->secure));
  }
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* One read of the secure layer. True with bytes; false when there is nothing more for now. */
static bool read_some(warp_pipe *pipe, uint8_t *out, size_t cap, size_t *len) {
  int status = wg_secure_read(pipe->secure, out, cap, len);
  if (status == WARP_OK) {
    return true;
  }
  if (status == WARP_CLOSED && pipe->state == WG_PIPE_OPEN) {
    if (!pipe->peer_ended) {
      pipe->peer_ended = true; /* our direction stays open */
      pipe->end_status = WARP_CLOSED;
      wg_pipe_wake(pipe, 0);
    }
  } else if (status != WARP_AGAIN) {
    wg_pipe_end(pipe, status, wg_secure_detail(pipe->secure));
  }
  return false;
}

/* Secured: the responder waits for the preamble, the initiator for nothing but errors. */
static bool await_nomination(warp_pipe *pipe) {
  uint8_t *at = pipe->preamble + pipe->preamble_len;
  size_t len = 0;
  if (!read_some(pipe, at, sizeof preamble - pipe->preamble_len, &len)) {
    return false;
  }
  pipe->preamble_len = (uint8_t)(pipe->preamble_len + len);
  if (pipe->initiator) {
    wg_pipe_end(pipe, WARP_MALFORMED, "the peer sent data before the nomination");
  } else if (pipe->preamble_len == sizeof preamble) {
    if (memcmp(pipe->preamble, preamble, sizeof preamble) == 0) {
      wg_pipe_chosen(pipe);
    } else {
      wg_pipe_end(pipe, pipe->preamble[2] != preamble[2] ? WARP_VERSION : WARP_MALFORMED,
                  "the peer's nomination is not one");
    }
  }
  return true;
}

static bool deliver(warp_pipe *pipe) {
  uint8_t data[RECORD_MAX];
  size_t len = 0;
  if (!read_some(pipe, data, sizeof data, &len)) {
    return false;
  }
  wg_pipe_deliver(pipe, data, len, NULL);
  return true;
}

/* Reads as far as the state allows; callbacks on the way may change it. */
static void pump(warp_pipe *pipe) {
  bool more = true;
  while (more) {
    switch (pipe->state) {
    case WG_PIPE_HANDSHAKE:
      more = wg_pipe_handshake(pipe);
      break;
    case WG_PIPE_SECURED:
      more = await_nomination(pipe);
      break;
    case WG_PIPE_OPEN:
      more = pipe->delivering && deliver(pipe);
      break;
    default:
      more = false;
    }
  }
}

void wg_stream_set_paused(warp_pipe *pipe, bool paused) {
  if (pipe->paused != paused && pipe->carrier != NULL) {
    pipe->paused = paused;
    pipe->ops->pause(pipe->carrier, paused);
  }
}

/* Keeps what may not be read yet, and the carrier from bringing more. */
void wg_stream_hold(warp_pipe *pipe, const uint8_t *data, size_t len) {
  if (pipe->held.len + len > WG_STREAM_HELD_MAX) {
    wg_pipe_end(pipe, WARP_LIMIT, "the peer sent too much before it was taken");
  } else if (!wg_queue_push(&pipe->held, data, len)) {
    wg_pipe_end(pipe, WARP_NOMEM, "");
  } else {
    wg_stream_set_paused(pipe, pipe->held.len > 0);
  }
}

static bool is_reading(const warp_pipe *pipe) {
  return !pipe->peer_ended && (pipe->state == WG_PIPE_HANDSHAKE || wg_pipe_is_up(pipe));
}

static void stream_input(warp_pipe *pipe, const uint8_t *data, size_t len) {
  if (!is_reading(pipe)) {
    return;
  }
  if (pipe->held.len > 0) {
    wg_stream_hold(pipe, data, len);
    return;
  }
  wg_secure_feed(pipe->secure, data, len);
  pump(pipe);
  size_t left = wg_secure_unread(pipe->secure);
  wg_secure_feed(pipe->secure, NULL, 0);
  if (left > 0 && is_reading(pipe)) {
    wg_stream_hold(pipe, data + len - left, left);
  }
}

/* The carrier's end counts once all that came before it is delivered. */
static void settle_end(warp_pipe *pipe) {
  if (pipe->carrier_status == WARP_OK || pipe->state != WG_PIPE_OPEN) {
    return;
  }
  if (!pipe->peer_ended) {
    /* RFC 8446 section 6.1: without close_notify the stream may have been truncated. */
    wg_pipe_end(pipe, pipe->carrier_status == WARP_CLOSED ? WARP_RESET : pipe->carrier_status, "");
  } else if (pipe->carrier_status != WARP_CLOSED) {
    wg_pipe_end(pipe, pipe->carrier_status, ""); /* our direction is broken too */
  }
}

static void stream_deliver_held(warp_pipe *pipe) {
  /* Also with nothing held: a record may have begun with the preamble and gone on with data. */
  if (pipe->held.len > 0) {
    wg_secure_feed(pipe->secure, wg_queue_front(&pipe->held), pipe->held.len);
  }
  pump(pipe);
  size_t left = wg_secure_unread(pipe->secure);
  wg_secure_feed(pipe->secure, NULL, 0);
  if (!pipe->delivering && pipe->state == WG_PIPE_OPEN) {
    wg_queue_drop(&pipe->held, pipe->held.len - left);
    return; /* the application has had enough again */
  }
  wg_queue_free(&pipe->held); /* what is unread now follows the end of the stream */
  wg_stream_set_paused(pipe, false);
  settle_end(pipe);
}

static void stream_carrier_ended(warp_pipe *pipe, int status) {
  pipe->carrier_status = status;
  switch (pipe->state) {
  case WG_PIPE_HANDSHAKE:
  case WG_PIPE_SECURED:
    wg_pipe_end(pipe, status, "the connection ended before the pipe was nominated");
    break;
  case WG_PIPE_OPEN:
    if (pipe->delivering) {
      settle_end(pipe);
    }
    break;
  case WG_PIPE_CLOSING:
    if (status != WARP_CLOSED) {
      wg_pipe_finish(pipe);
    }
    break;
  default:
    break;
  }
}

/* ---- nothing to repeat, nothing to watch: TCP does both ---------------------------------------
 */

static void stream_nothing(warp_pipe *pipe) {
  (void)pipe;
}

const wg_pipe_kind_ops wg_stream_ops = {
    .output = stream_output,
    .input = stream_input,
    .deliver_held = stream_deliver_held,
    .carrier_ended = stream_carrier_ended,
    .drained = stream_drained,
    .has_room = stream_has_room,
    .secured = stream_nothing,
    .nominate = stream_nominate,
    .send = stream_send,
    .shutdown = stream_shutdown,
    .largest = WG_STREAM_SEND_MAX,
    .finish = stream_finish,
    .repeat = stream_nothing,
    .watch = stream_nothing,
};
