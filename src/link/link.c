/* The life of a link: frames over a bearer, each direction with an end of its own. */
#include "link/link_internal.h"

#include <assert.h>
#include <stdlib.h>

enum {
  ROOM_AGAIN = WARP_LINK_QUEUE_MAX / 4, /* on_drain: enough is left to keep the bearer busy */
  WATCH_US = 200000, /* closing: how often to look whether the bearer has settled */
};

/* ---- states ---------------------------------------------------------------------------------- */

static const unsigned allowed[] = {
    [WG_LINK_OPEN] = 1 << WG_LINK_DOWN | 1 << WG_LINK_CLOSING | 1 << WG_LINK_ENDED,
    [WG_LINK_DOWN] = 1 << WG_LINK_ENDED,
    [WG_LINK_CLOSING] = 1 << WG_LINK_ENDED,
    [WG_LINK_ENDED] = 1 << WG_LINK_GONE,
    [WG_LINK_GONE] = 0,
};

static void on_soon(void *arg);

static void wake(warp_link *link) {
  wg_timer_start(link->env, &link->soon, 0, on_soon, link);
}

static void stop_timer(warp_link *link, wg_timer *timer) {
  if (timer->running) { /* a link that is down may outlive its environment: it has none running */
    wg_timer_stop(link->env, timer);
  }
}

static void let_pipe_go(warp_link *link) {
  warp_pipe *pipe = link->pipe;
  if (pipe != NULL) {
    link->bearer->close(link);
    link->pipe = NULL;
    warp_pipe_close(pipe);
  }
}

static void move(warp_link *link, wg_link_state to) {
  bool is_allowed = (allowed[link->state] & 1u << to) != 0;
  assert(is_allowed);
  if (!is_allowed) {
    return;
  }
  link->state = to;
  switch (to) {
  case WG_LINK_DOWN:
    stop_timer(link, &link->soon);
    let_pipe_go(link);
    wg_queue_free(&link->in);
    wg_queue_free(&link->out);
    break;
  case WG_LINK_ENDED:
    stop_timer(link, &link->watch);
    let_pipe_go(link);
    wake(link);
    break;
  case WG_LINK_OPEN:
  case WG_LINK_CLOSING:
  case WG_LINK_GONE:
    break;
  }
}

void wg_link_enter(warp_link *link) {
  link->busy++;
}

void wg_link_leave(warp_link *link) {
  if (--link->busy > 0 || link->state != WG_LINK_GONE) {
    return;
  }
  wg_queue_free(&link->in);
  wg_queue_free(&link->out);
  if (link->on_closed != NULL) {
    link->on_closed(link->closed_arg, link->status);
  }
  free(link);
}

/* Of the end of the peer's direction (WARP_OK), or of the whole. */
static void report_end(warp_link *link, int status) {
  if (link->reported || link->state == WG_LINK_CLOSING) {
    return;
  }
  link->reported = status != WARP_OK;
  if (link->on_end != NULL) {
    link->on_end(link->end_arg, link, status);
  }
}

static void report_drain(warp_link *link) {
  if (link->want_drain && (link->state == WG_LINK_OPEN || link->state == WG_LINK_DOWN)) {
    link->want_drain = false;
    if (link->on_drain != NULL) {
      link->on_drain(link->drain_arg, link);
    }
  }
}

static void end(warp_link *link, int status) {
  link->status = status;
  move(link, WG_LINK_ENDED);
}

/* The pipe or the association is gone: was that the end that the peer's link had announced? */
static int how_it_went(const warp_link *link, int status) {
  if (status != WARP_CLOSED && status != WARP_RESET) {
    return status;
  }
  return link->got_close ? WARP_CLOSED : WARP_RESET;
}

void wg_link_break(warp_link *link, int status) {
  status = how_it_went(link, status);
  if (link->state == WG_LINK_CLOSING) {
    end(link, link->got_done ? WARP_OK : status);
  } else if (link->state == WG_LINK_OPEN) {
    link->status = status;
    move(link, WG_LINK_DOWN);
    report_end(link, status);
    report_drain(link);
  }
}

void wg_link_settle(warp_link *link) {
  bool answered = link->got_done || !link->sent_end;
  if (link->state == WG_LINK_CLOSING && answered && link->out.len == 0 &&
      link->bearer->unsettled(link) == 0) {
    end(link, link->got_done ? WARP_OK : WARP_CLOSED);
  }
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Through with what waits, as far as the bearer takes it. */
static void push_out(warp_link *link) {
  while (link->out.len > 0) {
    size_t taken = 0;
    int status = link->bearer->write(link, wg_queue_front(&link->out), link->out.len, &taken);
    wg_queue_drop(&link->out, taken);
    link->moved += taken;
    if (status != WARP_OK && link->pipe_status == WARP_OK) {
      link->pipe_status = status; /* told from a timer: this may be the application's call */
      wake(link);
    }
    if (status != WARP_OK || taken == 0) {
      return;
    }
  }
}

void wg_link_flush(warp_link *link) {
  if (link->state != WG_LINK_OPEN && link->state != WG_LINK_CLOSING) {
    return;
  }
  wg_link_enter(link);
  push_out(link);
  if (!link->sent_end && link->out.len <= ROOM_AGAIN) {
    report_drain(link);
  }
  wg_link_settle(link);
  wg_link_leave(link);
}

static int queue_frame(warp_link *link, wg_frame_type type, const void *body, size_t len) {
  uint8_t head[WG_FRAME_HEAD_LEN];
  wg_frame_head_write(head, type, len);
  if (!wg_queue_push(&link->out, head, sizeof head)) {
    return WARP_NOMEM;
  }
  if (!wg_queue_push(&link->out, body, len)) {
    link->out.len -= sizeof head;
    return WARP_NOMEM;
  }
  push_out(link);
  return WARP_OK;
}

/* A frame of the library's own: without it the peer would wait for ever. */
static void say(warp_link *link, wg_frame_type type) {
  if (queue_frame(link, type, NULL, 0) != WARP_OK) {
    link->pipe_status = WARP_NOMEM;
    wake(link);
  }
}

/* ---- receiving ------------------------------------------------------------------------------- */

bool wg_link_reads(const warp_link *link) {
  return (link->state == WG_LINK_OPEN && !link->paused) || link->state == WG_LINK_CLOSING;
}

static void take_end(warp_link *link) {
  if (!link->got_end) {
    link->got_end = true;
    say(link, WG_FRAME_DONE);
    report_end(link, WARP_OK);
  }
}

static void take_close(warp_link *link) {
  if (!link->got_end) {
    link->got_end = true;
    say(link, WG_FRAME_DONE);
  }
  link->got_close = true;
  report_end(link, WARP_CLOSED);
  report_drain(link); /* who waits for room waits in vain */
  wg_link_settle(link);
}

static void take_frame(warp_link *link, const wg_frame *frame) {
  switch (frame->type) {
  case WG_FRAME_MESSAGE:
    if (link->got_end) {
      wg_link_break(link, WARP_MALFORMED);
    } else if (link->state == WG_LINK_OPEN && link->on_message != NULL) {
      link->on_message(link->message_arg, link, frame->body, frame->len);
    }
    break;
  case WG_FRAME_END:
    take_end(link);
    break;
  case WG_FRAME_CLOSE:
    take_close(link);
    break;
  case WG_FRAME_DONE:
    if (!link->sent_end) {
      wg_link_break(link, WARP_MALFORMED);
      break;
    }
    link->got_done = true;
    report_drain(link);
    wg_link_settle(link);
    break;
  default:
    break; /* of a later version */
  }
}

/* True when something was parsed. */
static bool parse_next(warp_link *link) {
  wg_frame frame;
  if (!link->greeted) {
    int status = wg_link_header_read(wg_queue_front(&link->in), link->in.len);
    if (status == WARP_OK) {
      link->greeted = true;
      wg_queue_drop(&link->in, WG_LINK_HEADER_LEN);
      return true;
    }
    if (status != WARP_AGAIN) {
      wg_link_break(link, status);
    }
    return false;
  }
  int status = wg_frame_read(wg_queue_front(&link->in), link->in.len, &frame);
  if (status == WARP_OK) {
    wg_queue taken = link->in; /* so that its bytes stay whatever the callback does */
    link->in = (wg_queue){0};
    take_frame(link, &frame);
    wg_queue_drop(&taken, WG_FRAME_HEAD_LEN + frame.len);
    link->in = taken;
    return true;
  }
  if (status != WARP_AGAIN) {
    wg_link_break(link, status);
  }
  return false;
}

static void deliver(warp_link *link) {
  while (link->in.len > 0 && wg_link_reads(link) && parse_next(link)) {
  }
}

void wg_link_input(warp_link *link, const uint8_t *data, size_t len) {
  wg_link_enter(link);
  if (link->state == WG_LINK_OPEN || link->state == WG_LINK_CLOSING) {
    link->moved += len;
    if (wg_queue_push(&link->in, data, len)) {
      deliver(link);
    } else {
      wg_link_break(link, WARP_NOMEM);
    }
  }
  wg_link_leave(link);
}

/* ---- the pipe -------------------------------------------------------------------------------- */

/* The pipe has ended, and what came before is handed over. */
static void pipe_is_over(warp_link *link) {
  wg_link_break(link, link->pipe_status);
}

static void on_pipe_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)pipe;
  warp_link *link = arg;
  link->bearer->on_data(link, data, len);
}

static void on_pipe_drain(void *arg, warp_pipe *pipe) {
  (void)pipe;
  warp_link *link = arg;
  link->bearer->on_drain(link);
}

static void on_pipe_end(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  warp_link *link = arg;
  wg_link_enter(link);
  link->pipe_status = status;
  if (status != WARP_CLOSED || !link->paused || link->state != WG_LINK_OPEN) {
    pipe_is_over(link);
  }
  wg_link_leave(link);
}

static void on_soon(void *arg) {
  warp_link *link = arg;
  wg_link_enter(link);
  deliver(link);
  if (link->state == WG_LINK_ENDED) {
    move(link, WG_LINK_GONE);
  } else if (link->pipe_status != WARP_OK && (link->pipe_status != WARP_CLOSED || !link->paused)) {
    pipe_is_over(link);
  } else {
    wg_link_settle(link);
  }
  wg_link_leave(link);
}

/* ---- closing --------------------------------------------------------------------------------- */

/* All that is left is that the peer, which has closed, hears that what it sent has come. Once it
 * has, it is gone, and over a plain pipe nothing repeats what it said last. */
static bool is_farewell(const warp_link *link) {
  return link->got_close && (link->got_done || !link->sent_end) && link->out.len == 0;
}

static void on_watch(void *arg) {
  warp_link *link = arg;
  uint64_t now_us = wg_now_us(link->env);
  uint64_t moved = link->moved - link->bearer->unsettled(link);
  if (moved != link->moved_before) {
    link->moved_before = moved;
    link->moved_at_us = now_us;
  }
  uint64_t still_ms = (now_us - link->moved_at_us) / 1000;
  wg_link_enter(link);
  if (is_farewell(link) && still_ms >= WARP_LINK_FAREWELL_MS) {
    wg_link_break(link, WARP_CLOSED);
  } else if (still_ms >= WARP_LINK_STALL_MS) {
    wg_link_break(link, WARP_TIMEOUT);
  } else {
    wg_timer_start(link->env, &link->watch, WATCH_US, on_watch, link);
    wg_link_settle(link);
  }
  wg_link_leave(link);
}

static void begin_closing(warp_link *link) {
  if (!link->got_close) { /* else nobody reads any more */
    say(link, WG_FRAME_CLOSE);
    link->sent_end = true;
  }
  if (link->paused) {
    link->paused = false;
    link->bearer->pause(link, false);
  }
  move(link, WG_LINK_CLOSING);
  link->moved_at_us = wg_now_us(link->env);
  wg_timer_start(link->env, &link->watch, WATCH_US, on_watch, link);
  wake(link);
}

void warp_link_close(warp_link *link, warp_link_closed_cb cb, void *arg) {
  if (link == NULL || link->state > WG_LINK_DOWN) {
    return;
  }
  wg_link_enter(link);
  link->on_closed = cb;
  link->closed_arg = arg;
  if (link->state == WG_LINK_DOWN) {
    end(link, link->got_done ? WARP_OK : link->status);
  } else {
    begin_closing(link);
  }
  wg_link_leave(link);
}

/* Without a CLOSE the peer takes the end of what is below for a break. */
void warp_link_abort(warp_link *link, warp_link_closed_cb cb, void *arg) {
  if (link == NULL || link->state > WG_LINK_DOWN) {
    return;
  }
  wg_link_enter(link);
  link->on_closed = cb;
  link->closed_arg = arg;
  int status = link->state == WG_LINK_DOWN ? link->status : WARP_CANCELED;
  end(link, link->got_done ? WARP_OK : status);
  wg_link_leave(link);
}

/* ---- for applications ------------------------------------------------------------------------ */

static int make(warp_pipe *pipe, warp_link **out) {
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  warp_link *link = calloc(1, sizeof *link);
  if (link == NULL) {
    return WARP_NOMEM;
  }
  link->env = wg_pipe_env(pipe);
  link->pipe = pipe;
  link->bearer = info.kind == WARP_STREAM ? &wg_stream_bearer : &wg_sctp_bearer;
  uint8_t header[WG_LINK_HEADER_LEN];
  wg_link_header_write(header);
  int status = wg_queue_push(&link->out, header, sizeof header) ? WARP_OK : WARP_NOMEM;
  if (status == WARP_OK) {
    status = link->bearer->open(link);
  }
  if (status != WARP_OK) {
    wg_queue_free(&link->out);
    free(link);
    return status;
  }
  warp_pipe_handlers handlers = {
      .on_data = on_pipe_data, .on_end = on_pipe_end, .on_drain = on_pipe_drain, .arg = link};
  wg_pipe_unshare(pipe);
  warp_pipe_set_handlers(pipe, &handlers);
  push_out(link);
  *out = link;
  return WARP_OK;
}

int warp_link_open(warp_pipe *pipe, warp_link **out) {
  if (pipe == NULL || out == NULL) {
    return WARP_INVALID;
  }
  int status = wg_pipe_claim(pipe);
  if (status == WARP_OK && (status = make(pipe, out)) != WARP_OK) {
    wg_pipe_disclaim(pipe);
  }
  return status;
}

int warp_link_on_message(warp_link *link, warp_link_message_cb cb, void *arg) {
  if (link == NULL) {
    return WARP_INVALID;
  }
  link->on_message = cb;
  link->message_arg = arg;
  return WARP_OK;
}

int warp_link_on_end(warp_link *link, warp_link_end_cb cb, void *arg) {
  if (link == NULL) {
    return WARP_INVALID;
  }
  link->on_end = cb;
  link->end_arg = arg;
  return WARP_OK;
}

int warp_link_on_drain(warp_link *link, warp_link_drain_cb cb, void *arg) {
  if (link == NULL) {
    return WARP_INVALID;
  }
  link->on_drain = cb;
  link->drain_arg = arg;
  return WARP_OK;
}

int warp_link_send(warp_link *link, const void *data, size_t len) {
  if (link == NULL || (data == NULL && len > 0)) {
    return WARP_INVALID;
  }
  if (len > WARP_LINK_MESSAGE_MAX) {
    return WARP_TOO_BIG;
  }
  if (link->state != WG_LINK_OPEN || link->sent_end || link->got_close ||
      link->pipe_status != WARP_OK) {
    return WARP_CLOSED;
  }
  if (link->out.len > 0 && link->out.len + WG_FRAME_HEAD_LEN + len > WARP_LINK_QUEUE_MAX) {
    link->want_drain = true;
    return WARP_AGAIN;
  }
  return queue_frame(link, WG_FRAME_MESSAGE, data, len);
}

int warp_link_shutdown(warp_link *link) {
  if (link == NULL) {
    return WARP_INVALID;
  }
  if (link->state != WG_LINK_OPEN || link->got_close || link->pipe_status != WARP_OK) {
    return WARP_CLOSED;
  }
  if (link->sent_end) {
    return WARP_OK;
  }
  int status = queue_frame(link, WG_FRAME_END, NULL, 0);
  if (status == WARP_OK) {
    link->sent_end = true;
    link->want_drain = true;
  }
  return status;
}

int warp_link_pause(warp_link *link, bool paused) {
  if (link == NULL) {
    return WARP_INVALID;
  }
  if (link->state == WG_LINK_OPEN && link->paused != paused) {
    link->paused = paused;
    link->bearer->pause(link, paused);
    if (!paused) {
      wake(link);
    }
  }
  return WARP_OK;
}

warp_pipe *warp_link_pipe(warp_link *link) {
  return link != NULL ? link->pipe : NULL;
}
