/* Receives: what waits in a subscription's queue, given out one by one or by the byte. */
#include "pipe/open.h"
#include "pipe/subscribe.h"

#include <stdlib.h>
#include <string.h>

static void free_waiter(wg_waiter *waiter) {
  warp_pipe *pipe = waiter->subscription->pipe;
  if (waiter->timer.running) {
    wg_timer_stop(pipe->env, &waiter->timer);
  }
  wg_list_remove(&waiter->item);
  waiter->subscription->waiting--;
  free(waiter->again);
  free(waiter);
}

static void answer(wg_waiter *waiter, int status, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  warp_pipe *pipe = waiter->subscription->pipe;
  warp_pipe_on_recv cb = waiter->cb;
  void *arg = waiter->arg;
  free_waiter(waiter);
  cb(arg, pipe, status, data, len, from);
}

/* ---- answering ------------------------------------------------------------------------------- */

/* Moves `n` bytes, which are there, from the queue. Returns who sent the first of them. */
static warp_addr gather(warp_subscription *sub, uint8_t *out, size_t n) {
  warp_addr from = WG_CONTAINER(sub->queue.next, wg_piece, item)->from;
  while (n > 0) {
    wg_piece *piece = WG_CONTAINER(sub->queue.next, wg_piece, item);
    size_t len = piece->end - piece->begin;
    size_t part = len < n ? len : n;
    memcpy(out, piece->bytes + piece->begin, part);
    out += part;
    n -= part;
    if (part == len) {
      free(wg_subscription_pop(sub));
    } else {
      piece->begin += part;
      sub->bytes -= part;
    }
  }
  return from;
}

static void answer_bytes(wg_waiter *waiter) {
  warp_subscription *sub = waiter->subscription;
  size_t n = waiter->n;
  uint8_t *bytes = malloc(n);
  if (bytes == NULL) {
    answer(waiter, WARP_NOMEM, NULL, 0, NULL);
    return;
  }
  warp_addr from = gather(sub, bytes, n);
  answer(waiter, WARP_OK, bytes, n, &from);
  free(bytes);
}

static void answer_message(wg_waiter *waiter) {
  wg_piece *piece = wg_subscription_pop(waiter->subscription);
  answer(waiter, WARP_OK, piece->bytes + piece->begin, piece->end - piece->begin, &piece->from);
  free(piece);
}

/* Has it ended, so that nothing more will be put into queues? */
static bool is_over(const warp_pipe *pipe) {
  return pipe->reported || pipe->let_go || pipe->killed;
}

void wg_subscription_serve(warp_subscription *sub) {
  warp_pipe *pipe = sub->pipe;
  while (!sub->dead && !wg_list_empty(&sub->waiters)) {
    wg_waiter *first = WG_CONTAINER(sub->waiters.next, wg_waiter, item);
    if (first->n == 0 && sub->count > 0) {
      answer_message(first);
    } else if (first->n > 0 && sub->bytes >= first->n) {
      answer_bytes(first);
    } else if (is_over(pipe)) {
      answer(first, pipe->end_status != WARP_OK ? pipe->end_status : WARP_CANCELED, NULL, 0, NULL);
    } else {
      break;
    }
  }
  if (!is_over(pipe)) {
    wg_inbox_settle(pipe);
  }
}

void wg_subscription_cancel(warp_subscription *sub, int status) {
  if (sub->serve.running) {
    wg_timer_stop(sub->pipe->env, &sub->serve);
  }
  while (!wg_list_empty(&sub->waiters)) {
    answer(WG_CONTAINER(sub->waiters.next, wg_waiter, item), status, NULL, 0, NULL);
  }
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void on_serve(void *arg) {
  warp_subscription *sub = arg;
  warp_pipe *pipe = sub->pipe;
  wg_pipe_enter(pipe);
  wg_subscription_serve(sub);
  wg_pipe_leave(pipe);
}

static void on_timeout(void *arg) {
  wg_waiter *waiter = arg;
  warp_pipe *pipe = waiter->subscription->pipe;
  wg_pipe_enter(pipe);
  if (waiter->retries > 0 && warp_pipe_send(pipe, waiter->again, waiter->again_len) == WARP_OK) {
    waiter->retries--;
    wg_timer_start(pipe->env, &waiter->timer, waiter->timeout_us, on_timeout, waiter);
  } else {
    answer(waiter, WARP_TIMEOUT, NULL, 0, NULL);
    if (!is_over(pipe)) {
      wg_inbox_settle(pipe); /* it may have wanted more than the limits */
    }
  }
  wg_pipe_leave(pipe);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int find(warp_pipe *pipe, warp_subscription **sub) {
  if (*sub != NULL) {
    return (*sub)->pipe == pipe && !(*sub)->dead ? WARP_OK : WARP_INVALID;
  }
  int status = WARP_OK;
  if (pipe->inbox.everything == NULL) {
    status = warp_pipe_subscribe(pipe, NULL, &pipe->inbox.everything);
  }
  *sub = pipe->inbox.everything;
  return status;
}

static int check(warp_pipe *pipe, warp_subscription **sub, size_t n) {
  int status = find(pipe, sub);
  if (status != WARP_OK) {
    return status;
  }
  if ((*sub)->handler != NULL) {
    return WARP_STATE;
  }
  bool enough = n > 0 ? (*sub)->bytes >= n : (*sub)->count > 0;
  if (pipe->let_go || pipe->killed || (pipe->reported && !enough)) {
    return WARP_CLOSED;
  }
  return (*sub)->waiting < WARP_PIPE_CALLBACKS_MAX ? WARP_OK : WARP_LIMIT;
}

static uint64_t timeout_us(const warp_pipe *pipe, uint32_t timeout_ms) {
  if (timeout_ms == 0) {
    timeout_ms = pipe->opened != NULL ? pipe->opened->conf.recv_timeout_ms
                                      : warp_net_conf_default().recv_timeout_ms;
  }
  return timeout_ms * 1000ull;
}

static int start(warp_pipe *pipe, warp_subscription *sub, size_t n, uint32_t timeout_ms,
                 warp_pipe_on_recv cb, void *arg, wg_waiter **out) {
  wg_waiter *waiter = calloc(1, sizeof *waiter);
  if (waiter == NULL) {
    return WARP_NOMEM;
  }
  waiter->subscription = sub;
  waiter->n = n;
  waiter->cb = cb;
  waiter->arg = arg;
  waiter->timeout_us = timeout_us(pipe, timeout_ms);
  wg_list_push(&sub->waiters, &waiter->item);
  sub->waiting++;
  if (timeout_ms != WARP_FOREVER) {
    wg_timer_start(pipe->env, &waiter->timer, waiter->timeout_us, on_timeout, waiter);
  }
  /* Also when nothing is there yet: with it the limits of the queue may have changed. */
  wg_timer_start(pipe->env, &sub->serve, 0, on_serve, sub);
  *out = waiter;
  return WARP_OK;
}

int warp_pipe_recv(warp_pipe *pipe, warp_subscription *sub, uint32_t timeout_ms,
                   warp_pipe_on_recv cb, void *arg) {
  if (pipe == NULL || cb == NULL) {
    return WARP_INVALID;
  }
  wg_waiter *waiter;
  int status = check(pipe, &sub, 0);
  return status == WARP_OK ? start(pipe, sub, 0, timeout_ms, cb, arg, &waiter) : status;
}

int warp_pipe_recv_n(warp_pipe *pipe, warp_subscription *sub, size_t n, uint32_t timeout_ms,
                     warp_pipe_on_recv cb, void *arg) {
  if (pipe == NULL || cb == NULL || n == 0) {
    return WARP_INVALID;
  }
  if (n > WARP_RECV_N_MAX) {
    return WARP_TOO_BIG;
  }
  if (pipe->kind != WARP_STREAM || wg_is_server(pipe)) {
    return WARP_UNSUPPORTED;
  }
  wg_waiter *waiter;
  int status = check(pipe, &sub, n);
  return status == WARP_OK ? start(pipe, sub, n, timeout_ms, cb, arg, &waiter) : status;
}

int warp_pipe_ask(warp_pipe *pipe, warp_subscription *sub, const void *data, size_t len,
                  uint32_t timeout_ms, warp_pipe_on_recv cb, void *arg) {
  if (pipe == NULL || cb == NULL || (data == NULL && len > 0)) {
    return WARP_INVALID;
  }
  if (len > pipe->of_kind->largest) {
    return WARP_TOO_BIG;
  }
  int status = check(pipe, &sub, 0);
  uint8_t *again = NULL;
  unsigned retries = 0;
  if (status == WARP_OK && pipe->kind == WARP_MESSAGES && timeout_ms != WARP_FOREVER) {
    retries =
        pipe->opened != NULL ? pipe->opened->conf.send_retry : warp_net_conf_default().send_retry;
    again = malloc(len > 0 ? len : 1);
    status = again != NULL ? WARP_OK : WARP_NOMEM;
  }
  if (again != NULL && len > 0) {
    memcpy(again, data, len);
  }
  wg_waiter *waiter = NULL;
  if (status == WARP_OK) {
    status = start(pipe, sub, 0, timeout_ms, cb, arg, &waiter);
  }
  if (status != WARP_OK) {
    free(again);
    return status;
  }
  waiter->again = again;
  waiter->again_len = len;
  waiter->retries = retries;
  status = warp_pipe_send(pipe, data, len);
  if (status != WARP_OK) {
    free_waiter(waiter);
  }
  return status;
}
