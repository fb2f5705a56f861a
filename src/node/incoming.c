/* Pipes that peers open: who gets each, and the callbacks that hear what arrives at them. */
#include "node/internal.h"

#include <stdlib.h>
#include <string.h>

/* A pipe that nobody took but the message callbacks: it is the node's. */
typedef struct kept_pipe {
  wg_list item;
  warp_node *node;
  warp_pipe *pipe;
  warp_key peer;
} kept_pipe;

/* ---- pipes of the node's own ----------------------------------------------------------------- */

static void forget(kept_pipe *kept) {
  wg_list_remove(&kept->item);
  kept->node->kept_count--;
  free(kept);
}

/* A pipe that became a link is that one's to close. */
static void on_end(void *arg, warp_pipe *pipe, int status) {
  (void)status;
  forget(arg);
  if (wg_pipe_is_shared(pipe))
    warp_pipe_close(pipe);
}

/* Nobody must fill the table for others. */
static bool has_room(const warp_node *node, const warp_key *peer) {
  size_t of_peer = 0;
  for (const wg_list *item = node->kept.next; item != &node->kept; item = item->next)
    of_peer += wg_key_equal(&WG_CONTAINER(item, const kept_pipe, item)->peer, peer) ? 1 : 0;
  return node->kept_count < WARP_NODE_PIPES_MAX && of_peer < WARP_NODE_PIPES_OF_PEER_MAX;
}

static void keep(warp_node *node, warp_pipe *pipe, const warp_key *peer) {
  int status = has_room(node, peer) ? WARP_OK : WARP_LIMIT;
  kept_pipe *kept = status == WARP_OK ? calloc(1, sizeof *kept) : NULL;
  if (kept != NULL)
    status = warp_pipe_add_end_cb(pipe, on_end, kept);
  if (kept == NULL || status != WARP_OK) {
    wg_logf(&node->log, WARP_LOG_WARN, "a peer's pipe is closed again: %s",
            warp_strerror(status != WARP_OK ? status : WARP_NOMEM));
    free(kept);
    warp_pipe_close(pipe);
    return;
  }
  *kept = (kept_pipe){.node = node, .pipe = pipe, .peer = *peer};
  wg_list_push(&node->kept, &kept->item);
  node->kept_count++;
}

void wg_node_give_up_pipe(warp_node *node, warp_pipe *pipe) {
  for (wg_list *item = node->kept.next; item != &node->kept; item = item->next) {
    kept_pipe *kept = WG_CONTAINER(item, kept_pipe, item);
    if (kept->pipe == pipe) {
      (void)warp_pipe_del_end_cb(pipe, on_end, kept);
      forget(kept);
      return;
    }
  }
}

/* Nobody is left who would hear what arrives. */
static void close_kept(warp_node *node) {
  while (!wg_list_empty(&node->kept)) {
    kept_pipe *kept = WG_CONTAINER(node->kept.next, kept_pipe, item);
    warp_pipe *pipe = kept->pipe;
    (void)warp_pipe_del_end_cb(pipe, on_end, kept);
    forget(kept);
    if (wg_pipe_is_shared(pipe))
      warp_pipe_close(pipe);
  }
}

/* ---- message callbacks ----------------------------------------------------------------------- */

static size_t callback_count(const warp_node *node) {
  size_t count = 0;
  for (size_t i = 0; i < node->msg_slots; i++)
    count += node->msg_cbs[i].cb != NULL ? 1 : 0;
  return count;
}

/* Closes the gaps of those that were taken away, in order, when none of them is being called. */
static void compact(warp_node *node) {
  size_t kept = 0;
  if (node->telling > 0)
    return;
  for (size_t i = 0; i < node->msg_slots; i++) {
    if (node->msg_cbs[i].cb != NULL)
      node->msg_cbs[kept++] = node->msg_cbs[i];
  }
  node->msg_slots = kept;
}

/* A callback may close the pipe, or the node with all its pipes. */
static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  warp_node *node = arg;
  node->telling++;
  for (size_t i = 0; i < node->msg_slots && wg_pipe_is_open(pipe); i++) {
    wg_msg_cb to = node->msg_cbs[i];
    if (to.cb != NULL)
      to.cb(to.arg, pipe, data, len, from);
  }
  node->telling--;
  compact(node);
}

int warp_node_add_msg_cb(warp_node *node, warp_pipe_on_msg cb, void *arg) {
  if (node == NULL || cb == NULL)
    return WARP_INVALID;
  if (node->state == WG_NODE_CLOSING)
    return WARP_STATE;
  if (node->msg_slots == WARP_NODE_CALLBACKS_MAX)
    return WARP_LIMIT;
  node->msg_cbs[node->msg_slots++] = (wg_msg_cb){.cb = cb, .arg = arg};
  if (node->connect != NULL && callback_count(node) == 1)
    wg_connect_set_tap(node->connect, on_data, node);
  return WARP_OK;
}

int warp_node_del_msg_cb(warp_node *node, warp_pipe_on_msg cb, void *arg) {
  if (node == NULL || cb == NULL)
    return WARP_INVALID;
  for (size_t i = 0; i < node->msg_slots; i++) {
    wg_msg_cb *found = &node->msg_cbs[i];
    if (found->cb == cb && found->arg == arg) {
      *found = (wg_msg_cb){0};
      compact(node);
      if (callback_count(node) == 0 && node->connect != NULL) {
        wg_connect_set_tap(node->connect, NULL, NULL);
        close_kept(node);
      }
      return WARP_OK;
    }
  }
  return WARP_NOT_FOUND;
}

/* ---- who gets a pipe ------------------------------------------------------------------------- */

static bool wants(void *arg, const warp_key *peer, const warp_pipe_id *id) {
  const warp_node *node = arg;
  bool awaited_of_peer;
  if (wg_awaited_is(node, id, peer, &awaited_of_peer))
    return awaited_of_peer;
  return node->on_pipe != NULL || callback_count(node) > 0;
}

static void on_pipe(void *arg, warp_pipe *pipe, const warp_report *report) {
  warp_node *node = arg;
  warp_pipe_info info;
  if (warp_pipe_get_info(pipe, &info) != WARP_OK || wg_awaited_take(node, pipe, &info))
    return;
  if (node->on_pipe != NULL)
    node->on_pipe(node->listen_arg, node, pipe, report);
  else
    keep(node, pipe, &info.peer); /* else it would not have been wanted */
}

static void on_miss(void *arg, const warp_key *peer, int status, const warp_report *report) {
  warp_node *node = arg;
  if (node->on_miss != NULL)
    node->on_miss(node->listen_arg, node, peer, status, report);
}

void wg_node_take_incoming(warp_node *node) {
  wg_connect_listen(node->connect, wants, on_pipe, on_miss, node);
  if (callback_count(node) > 0)
    wg_connect_set_tap(node->connect, on_data, node);
}

int warp_node_listen(warp_node *node, warp_node_on_pipe pipe_cb, warp_node_on_miss miss_cb,
                     void *arg) {
  if (node == NULL)
    return WARP_INVALID;
  if (node->state != WG_NODE_RUNNING)
    return WARP_STATE;
  node->on_pipe = pipe_cb;
  node->on_miss = miss_cb;
  node->listen_arg = arg;
  return WARP_OK;
}
