/* Datagrams opened by hand: UDP as it is. */
#include "base/addr.h"
#include "pipe/open.h"

#include <string.h>

/* Before each datagram that waits for the application. */
typedef struct held_head {
  size_t len;
  warp_addr from;
} held_head;

static int send_to(warp_pipe *pipe, const void *data, size_t len, const warp_addr *dest) {
  wg_opened *opened = pipe->opened;
  if (opened->udp == NULL || opened->conf.sock_only) {
    return WARP_STATE;
  }
  if (len > WARP_DATAGRAM_MAX) {
    return WARP_TOO_BIG;
  }
  bool anybody = !opened->has_dest || opened->conf.broadcast;
  if (dest->port == 0 || (!anybody && !wg_addr_equal(dest, &opened->dest))) {
    return WARP_INVALID;
  }
  int status = pipe->env->ops->udp_send(opened->udp, dest, data, len);
  if (status == WARP_AGAIN) {
    /* Nothing tells when the system's buffer has room again, so ask a little later. */
    pipe->want_drain = true;
    wg_pipe_wake(pipe, WG_MESSAGES_DRAIN_MS);
  }
  return status;
}

static int plain_send(warp_pipe *pipe, const void *data, size_t len) {
  return pipe->opened->has_dest ? send_to(pipe, data, len, &pipe->opened->dest) : WARP_STATE;
}

static void hold(warp_pipe *pipe, const uint8_t *data, size_t len, const warp_addr *from) {
  held_head head = {.len = len, .from = *from};
  bool over = pipe->held.len + sizeof head + len > WG_MESSAGES_HELD_MAX;
  if ((over && pipe->held.len > 0) || /* the largest alone is over it */
      !wg_queue_push(&pipe->held, &head, sizeof head)) {
    pipe->dropped++;
  } else if (!wg_queue_push(&pipe->held, data, len)) {
    pipe->held.len -= sizeof head;
    pipe->dropped++;
  }
}

void wg_plain_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  wg_opened *opened = arg;
  warp_pipe *pipe = opened->pipe;
  if (opened->conf.sock_only || len > opened->conf.reader_limit ||
      (opened->has_dest && !opened->conf.broadcast && !wg_addr_equal(from, &opened->dest))) {
    pipe->dropped++;
    return;
  }
  wg_pipe_enter(pipe);
  if (pipe->state == WG_PIPE_OPEN && pipe->delivering) {
    wg_pipe_deliver(pipe, data, len, from);
  } else if (pipe->state == WG_PIPE_OPEN || pipe->state == WG_PIPE_HANDSHAKE) {
    hold(pipe, data, len, from);
  }
  wg_pipe_leave(pipe);
}

static void deliver_held(warp_pipe *pipe) {
  while (pipe->held.len > 0 && pipe->delivering && pipe->state == WG_PIPE_OPEN) {
    held_head head;
    memcpy(&head, wg_queue_front(&pipe->held), sizeof head);
    wg_pipe_deliver(pipe, wg_queue_front(&pipe->held) + sizeof head, head.len, &head.from);
    wg_queue_drop(&pipe->held, sizeof head + head.len);
  }
  if (pipe->held.len == 0) {
    wg_queue_free(&pipe->held);
  }
}

/* Perhaps: the next send tells. */
static bool has_room(warp_pipe *pipe) {
  (void)pipe;
  return true;
}

static bool finish(warp_pipe *pipe) {
  (void)pipe;
  return true;
}

const wg_pipe_kind_ops wg_plain_messages_ops = {
    .deliver_held = deliver_held,
    .has_room = has_room,
    .send = plain_send,
    .send_to = send_to,
    .largest = WARP_DATAGRAM_MAX,
    .finish = finish,
};

bool wg_takes_anybody(const warp_pipe *pipe) {
  return pipe->of_kind == &wg_plain_messages_ops && !pipe->opened->has_dest;
}
