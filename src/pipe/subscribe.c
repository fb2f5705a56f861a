#include "pipe/subscribe.h"
#include "base/addr.h"
#include "pipe/open.h"

#include <stdlib.h>
#include <string.h>

/* While somebody waits for many bytes of a stream, small pieces share memory. */
enum { SHARED_PIECE = 4096 };

/* ---- queues ---------------------------------------------------------------------------------- */

static const wg_waiter *first_waiter(const warp_subscription *sub) {
  return wg_list_empty(&sub->waiters) ? NULL : WG_CONTAINER(sub->waiters.next, wg_waiter, item);
}

bool wg_subscription_full(const warp_subscription *sub) {
  const wg_waiter *first = first_waiter(sub);
  if (first != NULL && sub->bytes < first->n) {
    return false; /* the limits must not keep it from ever getting them */
  }
  return sub->count >= sub->max_messages || sub->bytes >= WARP_QUEUE_BYTES;
}

wg_piece *wg_subscription_pop(warp_subscription *sub) {
  if (wg_list_empty(&sub->queue)) {
    return NULL;
  }
  wg_piece *piece = WG_CONTAINER(sub->queue.next, wg_piece, item);
  wg_list_remove(&piece->item);
  sub->count--;
  sub->bytes -= piece->end - piece->begin;
  return piece;
}

/* Adds to the last piece. False when there is none that it may be added to. */
static bool append(warp_subscription *sub, const warp_pipe *via, const uint8_t *data, size_t len) {
  const wg_waiter *first = first_waiter(sub);
  if (first == NULL || first->n == 0 || wg_list_empty(&sub->queue)) {
    return false;
  }
  wg_piece *last = WG_CONTAINER(sub->queue.prev, wg_piece, item);
  if (last->via != via || last->cap - last->end < len) {
    return false;
  }
  memcpy(last->bytes + last->end, data, len);
  last->end += len;
  sub->bytes += len;
  return true;
}

static bool push(warp_subscription *sub, warp_pipe *via, const uint8_t *data, size_t len,
                 const warp_addr *from) {
  if (append(sub, via, data, len)) {
    return true;
  }
  const wg_waiter *first = first_waiter(sub);
  size_t cap = first != NULL && first->n > 0 && len < SHARED_PIECE ? SHARED_PIECE : len;
  wg_piece *piece = malloc(sizeof *piece + cap);
  if (piece == NULL) {
    return false;
  }
  piece->via = via;
  piece->from = *from;
  piece->begin = 0;
  piece->end = len;
  piece->cap = cap;
  if (len > 0) {
    memcpy(piece->bytes, data, len);
  }
  wg_list_push(&sub->queue, &piece->item);
  sub->count++;
  sub->bytes += len;
  return true;
}

static void enqueue(warp_subscription *sub, warp_pipe *via, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  bool may_wait = sub->when_full == WARP_FULL_WAIT && via->kind == WARP_STREAM;
  while (!may_wait && wg_subscription_full(sub) && sub->when_full == WARP_FULL_DROP_OLDEST) {
    free(wg_subscription_pop(sub));
    sub->dropped++;
  }
  bool room = may_wait || !wg_subscription_full(sub);
  if (room && push(sub, via, data, len, from)) {
    wg_subscription_serve(sub);
    return;
  }
  sub->dropped++;
  if (may_wait) {
    wg_pipe_end(via, WARP_NOMEM, ""); /* rather none than a stream with a hole */
  }
}

/* ---- what arrives ---------------------------------------------------------------------------- */

static bool wants(const warp_subscription *sub, const uint8_t *data, size_t len,
                  const warp_addr *from) {
  if (sub->sender.family != 0 && (!wg_addr_same_ip(&sub->sender, from) ||
                                  (sub->sender.port != 0 && sub->sender.port != from->port))) {
    return false;
  }
  return sub->pattern == NULL || wg_pattern_matches(sub->pattern, data, len);
}

void wg_subscriptions_take(warp_pipe *pipe, warp_pipe *via, const uint8_t *data, size_t len,
                           const warp_addr *from) {
  wg_list *list = &pipe->inbox.subscriptions;
  for (wg_list *item = list->next; item != list; item = item->next) {
    warp_subscription *sub = WG_CONTAINER(item, warp_subscription, item);
    if (pipe->let_go || via->let_go) {
      return;
    }
    if (sub->dead || !wants(sub, data, len, from)) {
      continue;
    }
    if (sub->handler != NULL) {
      sub->handler(sub->arg, via, data, len, from);
    } else {
      enqueue(sub, via, data, len, from);
    }
  }
}

bool wg_subscriptions_full(const warp_pipe *pipe) {
  const wg_list *list = &pipe->inbox.subscriptions;
  for (const wg_list *item = list->next; item != list; item = item->next) {
    const warp_subscription *sub = WG_CONTAINER(item, warp_subscription, item);
    if (!sub->dead && sub->handler == NULL && sub->when_full == WARP_FULL_WAIT &&
        wg_subscription_full(sub)) {
      return true;
    }
  }
  return false;
}

void wg_subscriptions_serve(warp_pipe *pipe) {
  wg_list *list = &pipe->inbox.subscriptions;
  for (wg_list *item = list->next; item != list; item = item->next) {
    wg_subscription_serve(WG_CONTAINER(item, warp_subscription, item));
  }
}

void wg_subscriptions_cancel(warp_pipe *pipe, int status) {
  wg_list *list = &pipe->inbox.subscriptions;
  for (wg_list *item = list->next; item != list; item = item->next) {
    wg_subscription_cancel(WG_CONTAINER(item, warp_subscription, item), status);
  }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_subscription(warp_subscription *sub) {
  wg_list_remove(&sub->item);
  for (wg_piece *piece; (piece = wg_subscription_pop(sub)) != NULL;) {
    free(piece);
  }
  wg_pattern_free(sub->pattern);
  free(sub);
}

void wg_subscriptions_purge(warp_pipe *pipe, bool all) {
  wg_list *list = &pipe->inbox.subscriptions;
  for (wg_list *item = list->next, *next; item != list; item = next) {
    next = item->next;
    warp_subscription *sub = WG_CONTAINER(item, warp_subscription, item);
    if (sub->dead || all) {
      free_subscription(sub);
    }
  }
}

static int make(warp_pipe *pipe, const warp_subscribe_options *options, warp_subscription **out) {
  warp_subscription *sub = calloc(1, sizeof *sub);
  if (sub == NULL) {
    return WARP_NOMEM;
  }
  if (options->pattern != NULL) {
    size_t len = options->pattern_len > 0 ? options->pattern_len : strlen(options->pattern);
    int status = wg_pattern_new(options->pattern, len, &sub->pattern);
    if (status != WARP_OK) {
      free(sub);
      return status;
    }
  }
  size_t usual = pipe->opened != NULL ? pipe->opened->conf.max_qsize : 0;
  sub->pipe = pipe;
  sub->sender = options->sender != NULL ? *options->sender : (warp_addr){0};
  sub->handler = options->handler;
  sub->arg = options->arg;
  sub->when_full = options->when_full;
  sub->max_messages = options->max_messages > 0 ? options->max_messages
                      : usual > 0               ? usual
                                                : WARP_QUEUE_MESSAGES;
  wg_list_init(&sub->queue);
  wg_list_init(&sub->waiters);
  *out = sub;
  return WARP_OK;
}

int warp_pipe_subscribe(warp_pipe *pipe, const warp_subscribe_options *options,
                        warp_subscription **out) {
  static const warp_subscribe_options everything = {0};
  options = options != NULL ? options : &everything;
  if (pipe == NULL || out == NULL || options->when_full < WARP_FULL_WAIT ||
      options->when_full > WARP_FULL_DROP_OLDEST ||
      options->max_messages > WARP_QUEUE_MESSAGES_MAX) {
    return WARP_INVALID;
  }
  if (pipe->let_go || pipe->killed || pipe->state == WG_PIPE_DOWN || pipe->state == WG_PIPE_GONE) {
    return WARP_CLOSED;
  }
  if (pipe->inbox.subscription_count == WARP_PIPE_CALLBACKS_MAX) {
    return WARP_LIMIT;
  }
  warp_subscription *sub = NULL;
  int status = make(pipe, options, &sub);
  if (status != WARP_OK) {
    return status;
  }
  wg_list_push(&pipe->inbox.subscriptions, &sub->item);
  pipe->inbox.subscription_count++;
  *out = sub;
  wg_inbox_consumed(pipe);
  return WARP_OK;
}

int warp_pipe_unsubscribe(warp_pipe *pipe, warp_subscription *sub) {
  if (pipe == NULL || sub == NULL || sub->pipe != pipe || sub->dead) {
    return WARP_INVALID;
  }
  wg_pipe_enter(pipe);
  sub->dead = pipe->inbox.dirty = true;
  pipe->inbox.subscription_count--;
  if (pipe->inbox.everything == sub) {
    pipe->inbox.everything = NULL;
  }
  wg_subscription_cancel(sub, WARP_CANCELED);
  wg_inbox_settle(pipe);
  wg_pipe_leave(pipe);
  return WARP_OK;
}

unsigned long warp_subscription_dropped(const warp_subscription *sub) {
  return sub != NULL ? sub->dropped : 0;
}
