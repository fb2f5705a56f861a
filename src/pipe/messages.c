/*
 * Pipes over datagrams. Every record of the application phase begins with its kind: data, or one of
 * the controls below. Records may be lost, repeated or reordered; what must arrive is repeated
 * until it is answered. DTLS drops records that arrive twice.
 */
#include "pipe/pipe_internal.h"

#include <string.h>

typedef enum record_kind {
  RECORD_DATA = 1,
  RECORD_NOMINATE = 2, /* initiator: this is the one; answered by CONFIRM */
  RECORD_CONFIRM = 3,
  RECORD_KEEPALIVE = 4, /* answered by KEEPALIVE_REPLY */
  RECORD_KEEPALIVE_REPLY = 5,
  RECORD_CLOSE = 6, /* answered by CLOSE, unless it is one */
} record_kind;

/* Content types of RFC 5246 section 6.2.1. */
enum { CONTENT_CHANGE_CIPHER_SPEC = 20, CONTENT_HANDSHAKE = 22 };

/* ---- sending --------------------------------------------------------------------------------- */

static void messages_output(warp_pipe *pipe, const uint8_t *data, size_t len) {
  int status = pipe->ops->send(pipe->carrier, data, len);
  if (status != WARP_OK) {
    pipe->send_status = status; /* the datagram is lost, as datagrams may be */
  }
}

/* Returns what the carrier said: WARP_AGAIN when its buffer was full. */
static int write_record(warp_pipe *pipe, record_kind kind, const void *data, size_t len) {
  uint8_t record[1 + WARP_MESSAGE_MAX];
  record[0] = (uint8_t)kind;
  if (len > 0) {
    memcpy(record + 1, data, len);
  }
  pipe->send_status = WARP_OK;
  pipe->sent_us = wg_now_us(pipe->env);
  int status = wg_secure_write(pipe->secure, record, 1 + len);
  if (status != WARP_OK) {
    wg_pipe_end(pipe, status, wg_secure_detail(pipe->secure));
    return status;
  }
  return pipe->send_status;
}

static void write_control(warp_pipe *pipe, record_kind kind) {
  write_record(pipe, kind, NULL, 0);
}

static int messages_send(warp_pipe *pipe, const void *data, size_t len) {
  if (len > WARP_MESSAGE_MAX) {
    return WARP_TOO_BIG;
  }
  int status = write_record(pipe, RECORD_DATA, data, len);
  if (status == WARP_AGAIN) {
    /* Nothing tells when the system's buffer has room again, so ask a little later. */
    pipe->want_drain = true;
    wg_pipe_wake(pipe, WG_MESSAGES_DRAIN_MS);
    return WARP_AGAIN;
  }
  return pipe->state == WG_PIPE_DOWN ? status : WARP_OK;
}

/* Perhaps: the next send tells. */
static bool messages_have_room(warp_pipe *pipe) {
  (void)pipe;
  return true;
}

static void messages_drained(warp_pipe *pipe) {
  if (pipe->state == WG_PIPE_OPEN && pipe->want_drain) {
    wg_pipe_tell_drain(pipe);
  }
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Data or a close, in the order of arrival, once the application is there. */
static void give(warp_pipe *pipe, const uint8_t *record, size_t len) {
  if (record[0] == RECORD_CLOSE) {
    write_control(pipe, RECORD_CLOSE);
    wg_pipe_end(pipe, WARP_CLOSED, "");
  } else {
    wg_pipe_deliver(pipe, record + 1, len - 1, NULL);
  }
}

static void give_or_hold(warp_pipe *pipe, const uint8_t *record, size_t len) {
  /* An end that nothing came before need not wait for somebody who takes it. */
  bool bare_end = record[0] == RECORD_CLOSE && pipe->held.len == 0 && pipe->adopted;
  if (pipe->delivering || bare_end) {
    give(pipe, record, len);
    return;
  }
  uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};
  if (pipe->held.len + sizeof head + len > WG_MESSAGES_HELD_MAX ||
      !wg_queue_push(&pipe->held, head, sizeof head)) {
    pipe->dropped++;
  } else if (!wg_queue_push(&pipe->held, record, len)) {
    pipe->held.len -= sizeof head;
    pipe->dropped++;
  }
}

static void messages_deliver_held(warp_pipe *pipe) {
  while (pipe->held.len > 0 && pipe->delivering && pipe->state == WG_PIPE_OPEN) {
    const uint8_t *head = wg_queue_front(&pipe->held);
    size_t len = (size_t)head[0] << 8 | head[1];
    give(pipe, head + 2, len);
    wg_queue_drop(&pipe->held, 2 + len);
  }
  if (pipe->held.len == 0 || pipe->state != WG_PIPE_OPEN) {
    wg_queue_free(&pipe->held);
  }
}

static void take_data(warp_pipe *pipe, const uint8_t *record, size_t len) {
  if (len - 1 > WARP_MESSAGE_MAX || (pipe->initiator && pipe->state == WG_PIPE_SECURED)) {
    pipe->dropped++; /* too big, or from a responder that was not chosen */
    return;
  }
  if (pipe->initiator) {
    pipe->confirmed = true;
  } else if (pipe->state == WG_PIPE_SECURED) {
    wg_pipe_chosen(pipe); /* the nomination was lost or is late: data says the same */
    if (wg_pipe_is_up(pipe)) {
      write_control(pipe, RECORD_CONFIRM);
    }
  }
  if (wg_pipe_is_up(pipe)) {
    give_or_hold(pipe, record, len);
  }
}

static void take_nomination(warp_pipe *pipe) {
  if (pipe->initiator) {
    pipe->dropped++;
    return;
  }
  if (pipe->state == WG_PIPE_SECURED) {
    wg_pipe_chosen(pipe);
  }
  if (wg_pipe_is_up(pipe)) {
    write_control(pipe, RECORD_CONFIRM);
  }
}

static void take_close(warp_pipe *pipe, const uint8_t *record, size_t len) {
  if (pipe->state == WG_PIPE_SECURED) {
    wg_pipe_end(pipe, WARP_CLOSED, "the peer did not choose this path");
  } else {
    give_or_hold(pipe, record, len);
  }
}

static void take_record(warp_pipe *pipe, const uint8_t *record, size_t len) {
  pipe->heard_us = wg_now_us(pipe->env);
  pipe->records++;
  if (pipe->state == WG_PIPE_CLOSING) {
    if (record[0] == RECORD_CLOSE) {
      wg_pipe_finish(pipe);
    }
    return;
  }
  switch (record[0]) {
  case RECORD_DATA:
    take_data(pipe, record, len);
    break;
  case RECORD_NOMINATE:
    take_nomination(pipe);
    break;
  case RECORD_CONFIRM:
    pipe->confirmed = pipe->confirmed || pipe->state != WG_PIPE_SECURED;
    break;
  case RECORD_KEEPALIVE:
    write_control(pipe, RECORD_KEEPALIVE_REPLY);
    break;
  case RECORD_KEEPALIVE_REPLY:
    break;
  case RECORD_CLOSE:
    take_close(pipe, record, len);
    break;
  default:
    pipe->dropped++; /* of a later version */
  }
}

/* True when a record was taken and there may be another in the datagram. */
static bool read_record(warp_pipe *pipe) {
  uint8_t record[WG_UDP_MAX];
  size_t len = 0;
  int status = wg_secure_read(pipe->secure, record, sizeof record, &len);
  if (status == WARP_OK && len > 0) {
    take_record(pipe, record, len);
    return wg_secure_has_more(pipe->secure);
  }
  if (status != WARP_OK && status != WARP_AGAIN) {
    wg_pipe_end(pipe, status, wg_secure_detail(pipe->secure));
  }
  return false;
}

static void messages_input(warp_pipe *pipe, const uint8_t *data, size_t len) {
  if (len == 0 || len > WG_UDP_MAX) {
    pipe->dropped++;
    return;
  }
  /* The server repeats its last flight until a record of ours shows that it arrived. A nomination
   * that is being repeated says it already, and so does what was just sent: anybody can say it
   * again, and is not to make us talk as often. */
  bool just_sent = wg_now_us(pipe->env) - pipe->sent_us < WG_DTLS_RTO_MS * 1000u / 2;
  bool repeated = pipe->client && wg_pipe_is_up(pipe) && !pipe->again.running && !just_sent &&
                  (data[0] == CONTENT_CHANGE_CIPHER_SPEC || data[0] == CONTENT_HANDSHAKE);
  wg_secure_feed(pipe->secure, data, len);
  bool more = true;
  while (more) {
    if (pipe->state == WG_PIPE_HANDSHAKE) {
      more = wg_pipe_handshake(pipe);
    } else {
      more = (wg_pipe_is_up(pipe) || pipe->state == WG_PIPE_CLOSING) && read_record(pipe);
    }
  }
  wg_secure_feed(pipe->secure, NULL, 0);
  if (repeated && wg_pipe_is_up(pipe)) {
    write_control(pipe, RECORD_KEEPALIVE_REPLY);
  }
}

static void messages_carrier_ended(warp_pipe *pipe, int status) {
  wg_pipe_end(pipe, status, "");
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void messages_watch(warp_pipe *pipe) {
  uint64_t now_us = wg_now_us(pipe->env);
  uint64_t dead_us = pipe->heard_us + WG_PIPE_DEAD_MS * 1000u;
  if (now_us >= dead_us) {
    wg_pipe_end(pipe, WARP_TIMEOUT, "nothing was heard of the peer for a minute");
    return;
  }
  if (now_us - pipe->sent_us >= WG_PIPE_KEEPALIVE_MS * 1000u) {
    write_control(pipe, RECORD_KEEPALIVE);
  }
  uint64_t next_us = pipe->sent_us + WG_PIPE_KEEPALIVE_MS * 1000u;
  if (pipe->state != WG_PIPE_DOWN) {
    wg_pipe_watch_in(pipe, (next_us < dead_us ? next_us : dead_us) - now_us);
  }
}

void wg_pipe_show(warp_pipe *pipe) {
  wg_pipe_enter(pipe);
  if (wg_pipe_is_up(pipe)) {
    write_control(pipe, RECORD_KEEPALIVE);
  }
  wg_pipe_leave(pipe);
}

static void messages_secured(warp_pipe *pipe) {
  pipe->heard_us = pipe->sent_us = wg_now_us(pipe->env);
  wg_pipe_watch_in(pipe, WG_PIPE_KEEPALIVE_MS * 1000u);
  if (pipe->client) {
    wg_pipe_repeat_stop(pipe); /* the server's last flight answers ours */
  }
}

static void messages_nominate(warp_pipe *pipe) {
  write_control(pipe, RECORD_NOMINATE);
  wg_pipe_repeat_from(pipe, WG_NOMINATE_RTO_MS);
}

static bool messages_finish(warp_pipe *pipe) {
  write_control(pipe, RECORD_CLOSE);
  wg_pipe_repeat_from(pipe, WG_NOMINATE_RTO_MS);
  return false;
}

static void messages_repeat(warp_pipe *pipe) {
  bool waiting = wg_secure_repeat(pipe->secure);
  if (pipe->state == WG_PIPE_CLOSING) {
    write_control(pipe, RECORD_CLOSE);
    waiting = true;
  } else if (pipe->initiator && !pipe->confirmed &&
             (pipe->state == WG_PIPE_CHOSEN || pipe->state == WG_PIPE_OPEN)) {
    write_control(pipe, RECORD_NOMINATE);
    waiting = true;
  }
  if (waiting && pipe->state != WG_PIPE_DOWN) {
    wg_pipe_repeat_later(pipe);
  }
}

const wg_pipe_kind_ops wg_messages_ops = {
    .output = messages_output,
    .input = messages_input,
    .deliver_held = messages_deliver_held,
    .carrier_ended = messages_carrier_ended,
    .drained = messages_drained,
    .has_room = messages_have_room,
    .secured = messages_secured,
    .nominate = messages_nominate,
    .send = messages_send,
    .largest = WARP_MESSAGE_MAX,
    .finish = messages_finish,
    .repeat = messages_repeat,
    .watch = messages_watch,
};
