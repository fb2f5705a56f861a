/*
 * Pipes by their id: somebody awaits one, somebody else hands it over, in whichever order. An entry
 * begins with one of the two; when it has both it ends with the next turn of the loop, because no
 * callback runs from inside the call that starts it.
 */
#include "node/internal.h"

#include <stdlib.h>
#include <string.h>

enum { FUTURE_MS = 60000 }; /* unless the program says otherwise: as long as a connect */

typedef enum awaited_state {
  AWAITS, /* has a callback */
  READY,  /* has a pipe */
  MET,    /* has both; or the pipe ended meanwhile, with `ended` */
} awaited_state;

typedef struct awaited {
  wg_list item;
  warp_node *node;
  awaited_state state;
  warp_pipe_id id;
  bool of_anybody;
  warp_key peer;   /* unless of anybody */
  warp_pipe *pipe; /* ours while it waits here */
  int ended;
  wg_timer timer;
  warp_node_on_future cb;
  void *arg;
} awaited;

static awaited *find(const warp_node *node, const warp_pipe_id *id) {
  for (wg_list *item = node->awaited.next; item != &node->awaited; item = item->next) {
    awaited *entry = WG_CONTAINER(item, awaited, item);
    if (memcmp(&entry->id, id, sizeof *id) == 0)
      return entry;
  }
  return NULL;
}

static size_t count_of(const warp_node *node, bool with_pipe) {
  size_t count = 0;
  for (const wg_list *item = node->awaited.next; item != &node->awaited; item = item->next)
    count += (WG_CONTAINER(item, const awaited, item)->pipe != NULL) == with_pipe ? 1 : 0;
  return count;
}

static bool waits_here(const warp_node *node, const warp_pipe *pipe) {
  for (const wg_list *item = node->awaited.next; item != &node->awaited; item = item->next) {
    if (WG_CONTAINER(item, const awaited, item)->pipe == pipe)
      return true;
  }
  return false;
}

static bool is_of(const awaited *entry, const warp_key *peer) {
  return entry->of_anybody || wg_key_equal(&entry->peer, peer);
}

/* ---- the life of an entry -------------------------------------------------------------------- */

static void on_end(void *arg, warp_pipe *pipe, int status);

/* Ends it: the pipe goes to who awaits it, or is closed. */
static void finish(awaited *entry, int status) {
  awaited last = *entry;
  wg_timer_stop(entry->node->env, &entry->timer);
  wg_list_remove(&entry->item);
  if (last.pipe != NULL)
    (void)warp_pipe_del_end_cb(last.pipe, on_end, entry);
  free(entry);
  if (last.pipe != NULL && status != WARP_OK) {
    warp_pipe_close(last.pipe);
    last.pipe = NULL;
  }
  if (last.cb != NULL)
    last.cb(last.arg, last.node, last.pipe, status);
}

static void on_timer(void *arg) {
  awaited *entry = arg;
  finish(entry, entry->state == MET ? entry->ended : WARP_TIMEOUT);
}

static void start_timer(awaited *entry, uint32_t delay_ms) {
  wg_timer_start(entry->node->env, &entry->timer, (uint64_t)delay_ms * 1000, on_timer, entry);
}

/* The only place where the state changes. */
static void move(awaited *entry, awaited_state to, uint32_t timeout_ms) {
  entry->state = to;
  start_timer(entry, to == MET ? 0 : timeout_ms);
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  awaited *entry = arg;
  entry->pipe = NULL;
  entry->ended = status;
  warp_pipe_close(pipe);
  if (entry->state == READY)
    finish(entry, status);
}

static awaited *new_entry(warp_node *node, const warp_pipe_id *id) {
  awaited *entry = calloc(1, sizeof *entry);
  if (entry != NULL) {
    entry->node = node;
    entry->id = *id;
    wg_list_push(&node->awaited, &entry->item);
  }
  return entry;
}

void wg_awaited_cancel(warp_node *node) {
  while (!wg_list_empty(&node->awaited))
    finish(WG_CONTAINER(node->awaited.next, awaited, item), WARP_CANCELED);
}

/* ---- pipes of peers -------------------------------------------------------------------------- */

bool wg_awaited_is(const warp_node *node, const warp_pipe_id *id, const warp_key *peer,
                   bool *of_peer) {
  const awaited *entry = find(node, id);
  bool found = entry != NULL && entry->state == AWAITS;
  *of_peer = found && is_of(entry, peer);
  return found;
}

bool wg_awaited_take(warp_node *node, warp_pipe *pipe, const warp_pipe_info *info) {
  awaited *entry = find(node, &info->id);
  if (entry == NULL || entry->state != AWAITS || !is_of(entry, &info->peer))
    return false;
  awaited last = *entry;
  wg_timer_stop(node->env, &entry->timer);
  wg_list_remove(&entry->item);
  free(entry);
  last.cb(last.arg, node, pipe, WARP_OK);
  return true;
}

/* ---- the two calls --------------------------------------------------------------------------- */

static int check(const warp_node *node, const warp_pipe_id *id) {
  static const warp_pipe_id none = {{0}};
  if (node == NULL || id == NULL || memcmp(id, &none, sizeof none) == 0)
    return WARP_INVALID;
  return node->state == WG_NODE_CLOSING ? WARP_STATE : WARP_OK;
}

int warp_node_pipe_future(warp_node *node, const warp_pipe_id *id, const warp_key *peer,
                          uint32_t timeout_ms, warp_node_on_future cb, void *arg) {
  int status = check(node, id);
  if (status != WARP_OK || cb == NULL)
    return status != WARP_OK ? status : WARP_INVALID;
  awaited *entry = find(node, id);
  bool ready = entry != NULL;
  if (ready) {
    warp_pipe_info info;
    if (entry->state != READY || warp_pipe_get_info(entry->pipe, &info) != WARP_OK)
      return WARP_STATE;
    if (peer != NULL && !wg_key_equal(&info.peer, peer))
      return WARP_UNTRUSTED;
  } else {
    if (count_of(node, false) >= WARP_NODE_FUTURES_MAX)
      return WARP_LIMIT;
    entry = new_entry(node, id);
    if (entry == NULL)
      return WARP_NOMEM;
  }
  entry->of_anybody = peer == NULL;
  if (peer != NULL)
    entry->peer = *peer;
  entry->cb = cb;
  entry->arg = arg;
  move(entry, ready ? MET : AWAITS, timeout_ms != 0 ? timeout_ms : FUTURE_MS);
  return WARP_OK;
}

int warp_node_pipe_ready(warp_node *node, const warp_pipe_id *id, warp_pipe *pipe) {
  int status = check(node, id);
  warp_pipe_info info;
  if (status != WARP_OK)
    return status;
  if (warp_pipe_get_info(pipe, &info) != WARP_OK || wg_pipe_env(pipe) != node->env)
    return WARP_INVALID;
  if (!wg_pipe_is_open(pipe))
    return WARP_CLOSED;
  awaited *entry = find(node, id);
  bool awaits = entry != NULL;
  if ((awaits && entry->state != AWAITS) || waits_here(node, pipe))
    return WARP_STATE;
  if (awaits && !is_of(entry, &info.peer))
    return WARP_UNTRUSTED;
  if (!awaits && count_of(node, true) >= WARP_NODE_READY_MAX)
    return WARP_LIMIT;
  if (!awaits && (entry = new_entry(node, id)) == NULL)
    return WARP_NOMEM;
  status = warp_pipe_add_end_cb(pipe, on_end, entry);
  if (status != WARP_OK) {
    if (!awaits) {
      wg_list_remove(&entry->item);
      free(entry);
    }
    return status;
  }
  wg_node_give_up_pipe(node, pipe);
  entry->pipe = pipe;
  move(entry, awaits ? MET : READY, WARP_NODE_READY_MS);
  return WARP_OK;
}
