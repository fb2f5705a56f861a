#include "pipe/open.h"

#include <stdlib.h>

typedef struct hook {
  wg_list item;
  bool dead;
  warp_pipe_on_msg on_msg; /* one of these */
  warp_pipe_on_end on_end;
  void *arg;
} hook;

void wg_inbox_init(wg_inbox *inbox) {
  wg_list_init(&inbox->messages);
  wg_list_init(&inbox->ends);
  wg_list_init(&inbox->subscriptions);
  wg_list_init(&inbox->links);
  wg_list_init(&inbox->sources);
}

void wg_inbox_consumed(warp_pipe *pipe) {
  pipe->inbox.consumed = true;
  wg_pipe_resume(pipe, WG_STOP_IDLE);
  for (warp_pipe *client = wg_first_client(pipe); client != NULL;
       client = wg_next_client(pipe, client)) {
    wg_pipe_resume(client, WG_STOP_IDLE);
  }
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static int add_hook(warp_pipe *pipe, wg_list *list, unsigned *count, const hook *from) {
  if (pipe->let_go || pipe->state == WG_PIPE_DOWN || pipe->state == WG_PIPE_GONE) {
    return WARP_CLOSED;
  }
  if (*count == WARP_PIPE_CALLBACKS_MAX) {
    return WARP_LIMIT;
  }
  hook *added = malloc(sizeof *added);
  if (added == NULL) {
    return WARP_NOMEM;
  }
  *added = *from;
  wg_list_push(list, &added->item);
  (*count)++;
  return WARP_OK;
}

static int del_hook(warp_pipe *pipe, wg_list *list, unsigned *count, const hook *like) {
  for (wg_list *item = list->next; item != list; item = item->next) {
    hook *found = WG_CONTAINER(item, hook, item);
    if (!found->dead && found->on_msg == like->on_msg && found->on_end == like->on_end &&
        found->arg == like->arg) {
      wg_pipe_enter(pipe);
      found->dead = pipe->inbox.dirty = true;
      (*count)--;
      wg_pipe_leave(pipe);
      return WARP_OK;
    }
  }
  return WARP_NOT_FOUND;
}

int warp_pipe_add_msg_cb(warp_pipe *pipe, warp_pipe_on_msg cb, void *arg) {
  if (pipe == NULL || cb == NULL) {
    return WARP_INVALID;
  }
  hook added = {.on_msg = cb, .arg = arg};
  int status = add_hook(pipe, &pipe->inbox.messages, &pipe->inbox.message_count, &added);
  if (status == WARP_OK) {
    wg_inbox_consumed(pipe);
  }
  return status;
}

int warp_pipe_del_msg_cb(warp_pipe *pipe, warp_pipe_on_msg cb, void *arg) {
  if (pipe == NULL || cb == NULL) {
    return WARP_INVALID;
  }
  hook like = {.on_msg = cb, .arg = arg};
  return del_hook(pipe, &pipe->inbox.messages, &pipe->inbox.message_count, &like);
}

int warp_pipe_add_end_cb(warp_pipe *pipe, warp_pipe_on_end cb, void *arg) {
  if (pipe == NULL || cb == NULL) {
    return WARP_INVALID;
  }
  hook added = {.on_end = cb, .arg = arg};
  return add_hook(pipe, &pipe->inbox.ends, &pipe->inbox.end_count, &added);
}

int warp_pipe_del_end_cb(warp_pipe *pipe, warp_pipe_on_end cb, void *arg) {
  if (pipe == NULL || cb == NULL) {
    return WARP_INVALID;
  }
  hook like = {.on_end = cb, .arg = arg};
  return del_hook(pipe, &pipe->inbox.ends, &pipe->inbox.end_count, &like);
}

/* ---- what arrives ---------------------------------------------------------------------------- */

bool wg_pipe_is_open(const warp_pipe *pipe) {
  return pipe->state == WG_PIPE_OPEN && !pipe->let_go;
}

void wg_pipe_share(warp_pipe *pipe) {
  pipe->shared = true;
}

void wg_pipe_unshare(warp_pipe *pipe) {
  pipe->shared = false;
  pipe->tap = NULL;
}

bool wg_pipe_is_shared(const warp_pipe *pipe) {
  return pipe->shared;
}

void wg_pipe_set_tap(warp_pipe *pipe, warp_pipe_on_msg tap, void *arg) {
  if (!pipe->shared) {
    return;
  }
  pipe->tap = tap;
  pipe->tap_arg = arg;
  if (tap != NULL) {
    wg_inbox_consumed(pipe);
  }
}

/* To the callbacks and subscriptions of a pipe: `via` itself, or its server. */
static void tell(warp_pipe *pipe, warp_pipe *via, const uint8_t *data, size_t len,
                 const warp_addr *from) {
  wg_list *list = &pipe->inbox.messages;
  for (wg_list *item = list->next; item != list && wg_pipe_is_open(pipe) && wg_pipe_is_open(via);
       item = item->next) {
    hook *to = WG_CONTAINER(item, hook, item);
    if (!to->dead) {
      to->on_msg(to->arg, via, data, len, from);
    }
  }
  if (wg_pipe_is_open(pipe) && wg_pipe_is_open(via)) {
    wg_subscriptions_take(pipe, via, data, len, from);
  }
}

void wg_pipe_deliver(warp_pipe *pipe, const uint8_t *data, size_t len, const warp_addr *from) {
  warp_addr remote = from != NULL ? *from : pipe->info.remote;
  if (pipe->opened != NULL && wg_repeats_seen(&pipe->opened->repeats, data, len, &remote)) {
    pipe->dropped++;
    return;
  }
  if (pipe->handlers.on_data != NULL) {
    pipe->handlers.on_data(pipe->handlers.arg, pipe, data, len);
  }
  if (wg_pipe_is_open(pipe)) {
    tell(pipe, pipe, data, len, &remote);
  }
  if (wg_pipe_is_open(pipe) && pipe->tap != NULL) {
    pipe->tap(pipe->tap_arg, pipe, data, len, &remote);
  }
  if (wg_pipe_is_open(pipe)) {
    wg_links_forward(pipe, data, len);
  }
  warp_pipe *server = wg_server_of(pipe);
  if (server != NULL && wg_pipe_is_open(pipe)) {
    wg_pipe_enter(server);
    tell(server, pipe, data, len, &remote);
    wg_inbox_settle(server);
    wg_pipe_leave(server);
  }
  if (wg_pipe_is_open(pipe)) {
    wg_inbox_settle(pipe);
  }
}

static void settle_one(warp_pipe *pipe, bool full) {
  if (pipe->kind == WARP_STREAM) {
    if (full) {
      wg_pipe_stop(pipe, WG_STOP_FULL);
    } else {
      wg_pipe_resume(pipe, WG_STOP_FULL);
    }
  }
}

void wg_inbox_settle(warp_pipe *pipe) {
  warp_pipe *server = wg_server_of(pipe);
  bool full = wg_subscriptions_full(pipe);
  settle_one(pipe, full || (server != NULL && wg_subscriptions_full(server)));
  for (warp_pipe *client = wg_first_client(pipe); client != NULL;
       client = wg_next_client(pipe, client)) {
    settle_one(client, full || wg_subscriptions_full(client));
  }
}

void wg_pipe_tell_drain(warp_pipe *pipe) {
  pipe->want_drain = false;
  if (pipe->let_go) {
    return;
  }
  if (pipe->handlers.on_drain != NULL) {
    pipe->handlers.on_drain(pipe->handlers.arg, pipe);
  }
  wg_links_drained(pipe);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void tell_ends(warp_pipe *pipe, int status) {
  wg_list *list = &pipe->inbox.ends;
  for (wg_list *item = list->next; item != list; item = item->next) {
    hook *to = WG_CONTAINER(item, hook, item);
    if (!to->dead) {
      to->dead = pipe->inbox.dirty = true; /* once */
      pipe->inbox.end_count--;
      to->on_end(to->arg, pipe, status);
    }
  }
}

void wg_inbox_tell_end(warp_pipe *pipe, int status) {
  if (pipe->handlers.on_end != NULL) {
    pipe->handlers.on_end(pipe->handlers.arg, pipe, status);
  }
  if (!pipe->let_go) {
    tell_ends(pipe, status);
  }
  if (!pipe->let_go) {
    wg_subscriptions_serve(pipe);
    wg_links_ended(pipe, status);
  }
  bool in_use = pipe->inbox.subscription_count > 0 || pipe->inbox.link_count > 0 ||
                !wg_list_empty(&pipe->inbox.sources) || pipe->claimed;
  if (wg_server_of(pipe) != NULL && !in_use) {
    warp_pipe_close(pipe);
  }
}

void wg_inbox_let_go(warp_pipe *pipe, int status) {
  tell_ends(pipe, pipe->reported ? pipe->end_status : status);
  wg_subscriptions_cancel(pipe, status);
  wg_links_let_go(pipe);
}

static void purge_hooks(wg_list *list, bool all) {
  for (wg_list *item = list->next, *next; item != list; item = next) {
    next = item->next;
    hook *one = WG_CONTAINER(item, hook, item);
    if (one->dead || all) {
      wg_list_remove(item);
      free(one);
    }
  }
}

void wg_inbox_purge(warp_pipe *pipe) {
  if (pipe->inbox.dirty) {
    pipe->inbox.dirty = false;
    purge_hooks(&pipe->inbox.messages, false);
    purge_hooks(&pipe->inbox.ends, false);
    wg_subscriptions_purge(pipe, false);
  }
}

void wg_inbox_free(warp_pipe *pipe) {
  purge_hooks(&pipe->inbox.messages, true);
  purge_hooks(&pipe->inbox.ends, true);
  wg_subscriptions_purge(pipe, true);
}
