/* Pipes linked to pipes: what arrives at one is sent on the other. Nothing here runs a callback. */
#include "pipe/open.h"

#include <stdlib.h>

typedef struct link {
  wg_list of_from, of_to;
  warp_pipe *from; /* NULL: it is gone, and only its rest is still to be sent */
  warp_pipe *to;
  wg_queue pending; /* what a full `to` did not take; of streams only */
  bool ended;       /* after that the sending side of `to` ends */
} link;

static void wake_source(warp_pipe *from) {
  for (wg_list *item = from->inbox.links.next; item != &from->inbox.links; item = item->next) {
    if (WG_CONTAINER(item, link, of_from)->pending.len > 0) {
      return;
    }
  }
  wg_pipe_resume(from, WG_STOP_LINK);
}

static void unlink_from(link *one) {
  warp_pipe *from = one->from;
  if (from != NULL) {
    one->from = NULL;
    wg_list_remove(&one->of_from);
    from->inbox.link_count--;
    wake_source(from);
  }
}

static void end_link(link *one) {
  wg_queue_free(&one->pending);
  unlink_from(one);
  wg_list_remove(&one->of_to);
  free(one);
}

/* Sends in pieces that the pipe takes. Returns how much it took; `*status` says why not all. */
static size_t send_some(warp_pipe *to, const uint8_t *data, size_t len, int *status) {
  size_t sent = 0;
  *status = WARP_OK;
  do {
    size_t part = len - sent < to->of_kind->largest ? len - sent : to->of_kind->largest;
    *status = warp_pipe_send(to, data + sent, part);
    sent += *status == WARP_OK ? part : 0;
  } while (*status == WARP_OK && sent < len);
  return sent;
}

/* It cannot go on. Out of memory `to` ends too, whose program is told so: rather none than a stream
 * with a hole. */
static void break_link(link *one, int status) {
  warp_pipe *to = one->to;
  end_link(one);
  if (status == WARP_NOMEM) {
    wg_pipe_enter(to);
    wg_pipe_end(to, status, "");
    wg_pipe_leave(to);
  }
}

/* May end the link. */
static void flush(link *one) {
  int status = WARP_OK;
  if (one->pending.len > 0) {
    size_t sent = send_some(one->to, wg_queue_front(&one->pending), one->pending.len, &status);
    wg_queue_drop(&one->pending, sent);
  }
  if (status == WARP_AGAIN) {
    return;
  }
  if (status == WARP_OK && one->ended) {
    warp_pipe_shutdown(one->to);
  }
  if (status != WARP_OK || one->ended || one->from == NULL) {
    break_link(one, status);
  } else {
    wake_source(one->from);
  }
}

static void forward(link *one, const uint8_t *data, size_t len) {
  int status;
  if (one->from->kind == WARP_MESSAGES && one->to->kind == WARP_MESSAGES &&
      len > one->to->of_kind->largest) {
    one->from->dropped++; /* half a message is none */
    return;
  }
  size_t sent = send_some(one->to, data, len, &status);
  bool stream = one->from->kind == WARP_STREAM;
  if (status == WARP_AGAIN && stream) {
    if (!wg_queue_push(&one->pending, data + sent, len - sent)) {
      break_link(one, WARP_NOMEM);
      return;
    }
    wg_pipe_stop(one->from, WG_STOP_LINK);
  } else if (status == WARP_AGAIN || status == WARP_TOO_BIG || (status == WARP_NOMEM && !stream)) {
    one->from->dropped++; /* messages may be lost */
  } else if (status != WARP_OK) {
    break_link(one, status);
  }
}

void wg_links_forward(warp_pipe *pipe, const uint8_t *data, size_t len) {
  wg_list *list = &pipe->inbox.links;
  for (wg_list *item = list->next, *next; item != list; item = next) {
    next = item->next;
    forward(WG_CONTAINER(item, link, of_from), data, len);
  }
}

void wg_links_drained(warp_pipe *pipe) {
  wg_list *list = &pipe->inbox.sources;
  for (wg_list *item = list->next, *next; item != list; item = next) {
    next = item->next;
    link *one = WG_CONTAINER(item, link, of_to);
    if (one->pending.len > 0) {
      flush(one);
    }
  }
}

/* Who closes a stream in an orderly way wants sent what was given to it, also what it had no room
 * for: of each link that is no more than one read. */
static void take_the_rest(warp_pipe *to) {
  if (to->kind != WARP_STREAM || to->state != WG_PIPE_OPEN) {
    return;
  }
  wg_list *list = &to->inbox.sources;
  for (wg_list *item = list->next; item != list; item = item->next) {
    link *one = WG_CONTAINER(item, link, of_to);
    if (one->pending.len > 0) {
      (void)to->of_kind->send(to, wg_queue_front(&one->pending), one->pending.len);
    }
  }
}

static void end_sources(warp_pipe *pipe) {
  while (!wg_list_empty(&pipe->inbox.sources)) {
    end_link(WG_CONTAINER(pipe->inbox.sources.next, link, of_to));
  }
}

void wg_links_ended(warp_pipe *pipe, int status) {
  wg_list *list = &pipe->inbox.links;
  for (wg_list *item = list->next, *next; item != list; item = next) {
    next = item->next;
    link *one = WG_CONTAINER(item, link, of_from);
    if (pipe->kind == WARP_STREAM && status == WARP_CLOSED) {
      one->ended = true;
      flush(one);
    } else {
      end_link(one);
    }
  }
  if (pipe->state != WG_PIPE_OPEN) { /* else our direction goes on */
    end_sources(pipe);
  }
}

void wg_links_let_go(warp_pipe *pipe) {
  wg_list *list = &pipe->inbox.links;
  for (wg_list *item = list->next, *next; item != list; item = next) {
    next = item->next;
    link *one = WG_CONTAINER(item, link, of_from);
    if (one->pending.len > 0) {
      unlink_from(one); /* what it gave us is still sent */
    } else {
      end_link(one);
    }
  }
  take_the_rest(pipe);
  end_sources(pipe);
}

/* ---- for the application --------------------------------------------------------------------- */

static link *find(warp_pipe *pipe, const warp_pipe *to) {
  for (wg_list *item = pipe->inbox.links.next; item != &pipe->inbox.links; item = item->next) {
    link *one = WG_CONTAINER(item, link, of_from);
    if (one->to == to) {
      return one;
    }
  }
  return NULL;
}

static bool is_gone(const warp_pipe *pipe) {
  return pipe->let_go || pipe->state == WG_PIPE_DOWN || pipe->state == WG_PIPE_GONE;
}

int warp_pipe_add_pipe(warp_pipe *pipe, warp_pipe *to) {
  if (pipe == NULL || to == NULL || pipe == to || pipe->env != to->env) {
    return WARP_INVALID;
  }
  if (is_gone(pipe) || is_gone(to)) {
    return WARP_CLOSED;
  }
  if (wg_is_server(pipe) || wg_is_server(to) || wg_takes_anybody(to)) {
    return WARP_UNSUPPORTED;
  }
  if (to->state != WG_PIPE_OPEN || find(pipe, to) != NULL) {
    return WARP_STATE;
  }
  if (pipe->inbox.link_count == WARP_PIPE_CALLBACKS_MAX) {
    return WARP_LIMIT;
  }
  link *one = calloc(1, sizeof *one);
  if (one == NULL) {
    return WARP_NOMEM;
  }
  one->from = pipe;
  one->to = to;
  wg_list_push(&pipe->inbox.links, &one->of_from);
  wg_list_push(&to->inbox.sources, &one->of_to);
  pipe->inbox.link_count++;
  wg_inbox_consumed(pipe);
  return WARP_OK;
}

int warp_pipe_del_pipe(warp_pipe *pipe, warp_pipe *to) {
  if (pipe == NULL || to == NULL) {
    return WARP_INVALID;
  }
  link *one = find(pipe, to);
  if (one == NULL) {
    return WARP_NOT_FOUND;
  }
  end_link(one);
  return WARP_OK;
}
