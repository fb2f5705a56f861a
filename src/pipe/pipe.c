/* The life of a pipe: handshake, nomination, adoption, end. */
#include "pipe/open.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- states ---------------------------------------------------------------------------------- */

void wg_pipe_enter(warp_pipe *pipe) {
  pipe->busy++;
}

void wg_pipe_leave(warp_pipe *pipe) {
  if (--pipe->busy > 0) {
    return;
  }
  if (pipe->state != WG_PIPE_GONE) {
    wg_inbox_purge(pipe);
    return;
  }
  wg_inbox_free(pipe);
  wg_opened_free(pipe->opened);
  wg_secure_free(pipe->secure);
  wg_queue_free(&pipe->held);
  wg_queue_free(&pipe->unsent);
  if (pipe->on_closed != NULL) {
    pipe->on_closed(pipe->closed_arg, pipe);
  }
  free(pipe);
}

bool wg_pipe_is_up(const warp_pipe *pipe) {
  return pipe->state == WG_PIPE_SECURED || pipe->state == WG_PIPE_CHOSEN ||
         pipe->state == WG_PIPE_OPEN;
}

static void stop_timer(warp_pipe *pipe, wg_timer *timer) {
  if (timer->running) { /* a killed pipe may outlive its environment: it has none running */
    wg_timer_stop(pipe->env, timer);
  }
}

static void close_carrier(warp_pipe *pipe, void (*how)(void *carrier)) {
  void *carrier = pipe->carrier;
  pipe->carrier = NULL;
  if (carrier != NULL) {
    how(carrier);
  }
}

static const unsigned allowed[] = {
    [WG_PIPE_HANDSHAKE] =
        1 << WG_PIPE_SECURED | 1 << WG_PIPE_OPEN | 1 << WG_PIPE_DOWN | 1 << WG_PIPE_GONE,
    [WG_PIPE_SECURED] = 1 << WG_PIPE_CHOSEN | 1 << WG_PIPE_DOWN | 1 << WG_PIPE_GONE,
    [WG_PIPE_CHOSEN] = 1 << WG_PIPE_OPEN | 1 << WG_PIPE_DOWN | 1 << WG_PIPE_GONE,
    [WG_PIPE_OPEN] = 1 << WG_PIPE_DOWN | 1 << WG_PIPE_CLOSING | 1 << WG_PIPE_GONE,
    [WG_PIPE_DOWN] = 1 << WG_PIPE_GONE,
    [WG_PIPE_CLOSING] = 1 << WG_PIPE_GONE,
    [WG_PIPE_GONE] = 0,
};

void wg_pipe_move(warp_pipe *pipe, wg_pipe_state to) {
  bool is_allowed = (allowed[pipe->state] & 1u << to) != 0;
  assert(is_allowed);
  if (!is_allowed) {
    return;
  }
  pipe->state = to;
  switch (to) {
  case WG_PIPE_SECURED:
    stop_timer(pipe, &pipe->alive);
    pipe->of_kind->secured(pipe);
    break;
  case WG_PIPE_OPEN:
    wg_pipe_wake(pipe, 0);
    break;
  case WG_PIPE_DOWN:
    stop_timer(pipe, &pipe->again);
    stop_timer(pipe, &pipe->alive);
    close_carrier(pipe, pipe->ops->close); /* not reset: an alert may be on its way */
    wg_pipe_wake(pipe, 0);
    break;
  case WG_PIPE_CLOSING:
    wg_pipe_watch_in(pipe, pipe->linger_ms * 1000ull);
    break;
  case WG_PIPE_GONE:
    stop_timer(pipe, &pipe->soon);
    stop_timer(pipe, &pipe->again);
    stop_timer(pipe, &pipe->alive);
    close_carrier(pipe, pipe->ops->close);
    break;
  case WG_PIPE_HANDSHAKE:
  case WG_PIPE_CHOSEN:
    break;
  }
}

bool wg_pipe_handshake(warp_pipe *pipe) {
  int status = wg_secure_handshake(pipe->secure);
  if (pipe->state != WG_PIPE_HANDSHAKE) {
    return false; /* on_hello discarded it */
  }
  if (pipe->flights != wg_secure_flights(pipe->secure)) {
    pipe->flights = wg_secure_flights(pipe->secure);
    wg_pipe_repeat_from(pipe, WG_DTLS_RTO_MS);
  }
  if (status == WARP_AGAIN) {
    return false;
  }
  if (status != WARP_OK) {
    if (status == WARP_CANCELED) {
      close_carrier(pipe, pipe->ops->reset); /* as if nobody were here */
    }
    wg_pipe_end(pipe, status, wg_secure_detail(pipe->secure));
    return false;
  }
  wg_pipe_move(pipe, WG_PIPE_SECURED);
  if (pipe->callbacks.on_secured != NULL) {
    pipe->callbacks.on_secured(pipe->arg, pipe);
  }
  return wg_pipe_is_up(pipe);
}

void wg_pipe_chosen(warp_pipe *pipe) {
  wg_pipe_move(pipe, WG_PIPE_CHOSEN);
  if (pipe->callbacks.on_nominated != NULL) {
    pipe->callbacks.on_nominated(pipe->arg, pipe);
  }
}

void wg_pipe_end(warp_pipe *pipe, int status, const char *detail) {
  if (pipe->state == WG_PIPE_CLOSING) {
    wg_pipe_finish(pipe);
    return;
  }
  if (pipe->state == WG_PIPE_DOWN || pipe->state == WG_PIPE_GONE) {
    return;
  }
  /* Only a sender that has already heard of the peer's end still waits for room. */
  pipe->want_drain = pipe->want_drain && pipe->reported;
  if (pipe->end_status == WARP_OK) {
    pipe->end_status = status;
    snprintf(pipe->detail, sizeof pipe->detail, "%s",
             detail[0] != '\0' ? detail : warp_strerror(status));
    wg_logf(&pipe->env->log, WARP_LOG_DEBUG, "pipe: ended with %s: %s", warp_err_name(status),
            pipe->detail);
  }
  wg_pipe_move(pipe, WG_PIPE_DOWN);
}

void wg_pipe_finish(warp_pipe *pipe) {
  if (pipe->state != WG_PIPE_GONE) {
    wg_pipe_move(pipe, WG_PIPE_GONE);
  }
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void report_end(warp_pipe *pipe) {
  if (pipe->end_status == WARP_OK || pipe->reported) {
    return;
  }
  if (!pipe->adopted) {
    if (pipe->state == WG_PIPE_DOWN) {
      pipe->reported = true;
      if (pipe->callbacks.on_failed != NULL) {
        pipe->callbacks.on_failed(pipe->arg, pipe, pipe->end_status, pipe->detail);
      }
    }
    return;
  }
  if (pipe->state == WG_PIPE_OPEN || pipe->state == WG_PIPE_DOWN) {
    pipe->reported = true;
    wg_inbox_tell_end(pipe, pipe->end_status);
  }
}

static void on_soon(void *arg) {
  warp_pipe *pipe = arg;
  wg_pipe_enter(pipe);
  if (pipe->adopted && pipe->stopped == 0 && !pipe->delivering) {
    pipe->delivering = true;
    if (pipe->state == WG_PIPE_OPEN) {
      pipe->of_kind->deliver_held(pipe);
    }
  }
  if (pipe->kind == WARP_STREAM && pipe->send_status != WARP_OK) {
    wg_pipe_end(pipe, pipe->send_status, "");
  }
  report_end(pipe);
  bool now_or_never =
      pipe->state == WG_PIPE_DOWN || (pipe->state == WG_PIPE_OPEN && pipe->of_kind->has_room(pipe));
  if (pipe->want_drain && now_or_never) {
    wg_pipe_tell_drain(pipe);
  }
  wg_pipe_leave(pipe);
}

static void on_again(void *arg) {
  warp_pipe *pipe = arg;
  wg_pipe_enter(pipe);
  pipe->of_kind->repeat(pipe);
  wg_pipe_leave(pipe);
}

static void on_alive(void *arg) {
  warp_pipe *pipe = arg;
  wg_pipe_enter(pipe);
  switch (pipe->state) {
  case WG_PIPE_HANDSHAKE:
    wg_pipe_end(pipe, WARP_TIMEOUT, "the peer did not complete the secure handshake in time");
    break;
  case WG_PIPE_CLOSING:
    close_carrier(pipe, pipe->ops->reset);
    wg_pipe_finish(pipe);
    break;
  default:
    pipe->of_kind->watch(pipe);
  }
  wg_pipe_leave(pipe);
}

void wg_pipe_wake(warp_pipe *pipe, uint32_t delay_ms) {
  if (delay_ms == 0 || !pipe->soon.running) {
    wg_timer_start(pipe->env, &pipe->soon, (uint64_t)delay_ms * 1000, on_soon, pipe);
  }
}

void wg_pipe_repeat_from(warp_pipe *pipe, uint32_t delay_ms) {
  pipe->again_ms = delay_ms;
  wg_timer_start(pipe->env, &pipe->again, (uint64_t)delay_ms * 1000, on_again, pipe);
}

void wg_pipe_repeat_later(warp_pipe *pipe) {
  uint32_t delay_ms = pipe->again_ms * 2;
  wg_pipe_repeat_from(pipe, delay_ms < WG_REPEAT_MAX_MS ? delay_ms : WG_REPEAT_MAX_MS);
}

void wg_pipe_repeat_stop(warp_pipe *pipe) {
  stop_timer(pipe, &pipe->again);
}

void wg_pipe_watch_in(warp_pipe *pipe, uint64_t delay_us) {
  wg_timer_start(pipe->env, &pipe->alive, delay_us, on_alive, pipe);
}

/* ---- for sessions and carriers --------------------------------------------------------------- */

static void on_output(void *arg, const uint8_t *data, size_t len) {
  warp_pipe *pipe = arg;
  if (pipe->carrier != NULL) {
    pipe->of_kind->output(pipe, data, len);
  }
}

static int on_hello(void *arg, const uint8_t *hello, size_t len, warp_key *expected) {
  warp_pipe *pipe = arg;
  return pipe->callbacks.on_hello(pipe->arg, pipe, hello, len, expected);
}

void wg_pipe_init(warp_pipe *pipe, wg_env *env, warp_pipe_kind kind,
                  const wg_pipe_kind_ops *of_kind) {
  pipe->env = env;
  pipe->kind = kind;
  pipe->of_kind = of_kind;
  pipe->state = WG_PIPE_HANDSHAKE;
  pipe->stopped = WG_STOP_IDLE;
  pipe->info.plugin = ""; /* until there is something to tell */
  pipe->linger_ms = WG_PIPE_LINGER_MS;
  wg_inbox_init(&pipe->inbox);
}

void wg_pipe_stop(warp_pipe *pipe, unsigned why) {
  pipe->stopped |= why;
  pipe->delivering = false;
}

void wg_pipe_resume(warp_pipe *pipe, unsigned why) {
  if ((pipe->stopped & why) != 0) {
    pipe->stopped &= ~why;
    if (pipe->stopped == 0 && pipe->adopted && !pipe->killed) {
      wg_pipe_wake(pipe, 0);
    }
  }
}

static int new_pipe(const wg_pipe_options *options, warp_pipe **out) {
  warp_pipe *pipe = calloc(1, sizeof *pipe);
  if (pipe == NULL) {
    return WARP_NOMEM;
  }
  wg_pipe_init(pipe, options->env, options->kind,
               options->kind == WARP_STREAM ? &wg_stream_ops : &wg_messages_ops);
  pipe->client = options->client;
  pipe->initiator = options->initiator;
  pipe->ops = options->ops;
  pipe->carrier = options->carrier;
  pipe->callbacks = options->callbacks;
  pipe->arg = options->arg;
  wg_secure_options secure = {
      .identity = options->identity,
      .datagrams = options->kind == WARP_MESSAGES,
      .client = options->client,
      .expected = options->expected,
      .hello = options->hello,
      .hello_len = options->hello_len,
      .output = on_output,
      .on_hello = options->callbacks.on_hello != NULL ? on_hello : NULL,
      .arg = pipe,
  };
  int status = wg_secure_new(&secure, &pipe->secure);
  if (status != WARP_OK) {
    free(pipe);
    return status;
  }
  *out = pipe;
  return WARP_OK;
}

int wg_pipe_open(const wg_pipe_options *options, warp_pipe **out) {
  warp_pipe *pipe = NULL;
  int status = new_pipe(options, &pipe);
  if (status != WARP_OK) {
    options->ops->close(options->carrier);
    return status;
  }
  if (pipe->kind == WARP_STREAM) {
    wg_pipe_watch_in(pipe, WG_PIPE_HANDSHAKE_MS * 1000u);
  }
  wg_pipe_enter(pipe);
  if (pipe->client) {
    wg_pipe_handshake(pipe); /* cannot complete yet */
  }
  if (pipe->state == WG_PIPE_DOWN) {
    status = pipe->end_status;
    wg_pipe_finish(pipe); /* the carrier is gone, and the caller must hear so at once */
  } else {
    *out = pipe;
  }
  wg_pipe_leave(pipe);
  return status;
}

void wg_pipe_set_callbacks(warp_pipe *pipe, const wg_pipe_callbacks *callbacks, void *arg) {
  pipe->callbacks = *callbacks;
  pipe->arg = arg;
}

void wg_pipe_set_initiator(warp_pipe *pipe, bool initiator) {
  pipe->initiator = initiator;
}

void wg_pipe_input(warp_pipe *pipe, const uint8_t *data, size_t len) {
  wg_pipe_enter(pipe);
  pipe->of_kind->input(pipe, data, len);
  wg_pipe_leave(pipe);
}

void wg_pipe_carrier_ended(warp_pipe *pipe, int status) {
  wg_pipe_enter(pipe);
  pipe->of_kind->carrier_ended(pipe, status);
  wg_pipe_leave(pipe);
}

void wg_pipe_carrier_drained(warp_pipe *pipe) {
  wg_pipe_enter(pipe);
  pipe->of_kind->drained(pipe);
  wg_pipe_leave(pipe);
}

void wg_pipe_retransmit(warp_pipe *pipe) {
  wg_pipe_enter(pipe);
  if (pipe->again.running) {
    pipe->of_kind->repeat(pipe);
  }
  if (pipe->again.running) {
    wg_pipe_repeat_from(pipe, WG_DTLS_RTO_MS); /* the new address has its first try behind it */
  }
  wg_pipe_leave(pipe);
}

void wg_pipe_nominate(warp_pipe *pipe) {
  if (pipe->state == WG_PIPE_SECURED) { /* else it is down, and its owner is about to hear of it */
    wg_pipe_enter(pipe);
    wg_pipe_move(pipe, WG_PIPE_CHOSEN);
    pipe->of_kind->nominate(pipe);
    wg_pipe_leave(pipe);
  }
}

void wg_pipe_discard(warp_pipe *pipe) {
  wg_pipe_enter(pipe);
  if (pipe->kind == WARP_MESSAGES && wg_pipe_is_up(pipe)) {
    pipe->of_kind->finish(pipe); /* a stream's peer sees the reset */
  }
  close_carrier(pipe, pipe->ops->reset);
  wg_pipe_finish(pipe);
  wg_pipe_leave(pipe);
}

unsigned long wg_pipe_dropped(const warp_pipe *pipe) {
  return pipe->dropped;
}

unsigned long wg_pipe_records(const warp_pipe *pipe) {
  return pipe->records;
}

wg_env *wg_pipe_env(const warp_pipe *pipe) {
  return pipe->env;
}

size_t wg_pipe_queued(const warp_pipe *pipe) {
  return pipe->carrier != NULL ? pipe->ops->queued(pipe->carrier) + pipe->unsent.len : 0;
}

void wg_pipe_adopt(warp_pipe *pipe, const warp_pipe_info *info,
                   void (*on_closed)(void *arg, warp_pipe *pipe), void *arg) {
  pipe->info = *info;
  pipe->info.kind = pipe->kind;
  pipe->info.peer = *wg_secure_peer(pipe->secure);
  if (pipe->carrier != NULL) {
    pipe->ops->addrs(pipe->carrier, &pipe->info.local, &pipe->info.remote);
  }
  pipe->on_closed = on_closed;
  pipe->closed_arg = arg;
  pipe->adopted = true;
  if (pipe->state == WG_PIPE_CHOSEN) {
    wg_pipe_move(pipe, WG_PIPE_OPEN);
  } else {
    wg_pipe_wake(pipe, 0); /* it went down meanwhile: the application is told */
  }
}

void wg_pipe_moved(warp_pipe *pipe) {
  if (pipe->carrier != NULL) {
    pipe->ops->addrs(pipe->carrier, &pipe->info.local, &pipe->info.remote);
  }
}

void wg_pipe_kill(warp_pipe *pipe, int status) {
  wg_pipe_enter(pipe);
  pipe->on_closed = NULL;
  if (pipe->state == WG_PIPE_CLOSING) {
    wg_pipe_finish(pipe);
  } else if (pipe->state == WG_PIPE_OPEN) {
    pipe->of_kind->finish(pipe);
    wg_pipe_end(pipe, status, "");
  }
  if (pipe->state == WG_PIPE_DOWN) {
    stop_timer(pipe, &pipe->soon);
    pipe->want_drain = false;
    pipe->killed = true; /* before the callbacks, which may start receives */
    report_end(pipe);
    wg_inbox_let_go(pipe, status);
  }
  wg_pipe_leave(pipe);
}
