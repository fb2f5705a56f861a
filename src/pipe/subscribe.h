/* A subscription from the inside: what it takes, its queue, and who waits for it. */
#ifndef WG_PIPE_SUBSCRIBE_H
#define WG_PIPE_SUBSCRIBE_H

#include "pipe/pattern.h"
#include "pipe/pipe_internal.h"

/* One message or piece of a stream that waits. */
typedef struct wg_piece {
  wg_list item;
  warp_pipe *via; /* only to compare: which client's it is */
  warp_addr from;
  size_t begin, end, cap;
  uint8_t bytes[];
} wg_piece;

struct warp_subscription {
  wg_list item;
  warp_pipe *pipe;
  bool dead;
  wg_pattern *pattern; /* NULL: everything */
  warp_addr sender;    /* family 0: anybody */
  warp_pipe_on_msg handler;
  void *arg;
  warp_when_full when_full;
  size_t max_messages;
  wg_list queue;
  size_t count, bytes;
  unsigned long dropped;
  wg_list waiters;
  unsigned waiting;
  wg_timer serve; /* a receive was asked for what is there already */
};

/* A receive that waits. */
typedef struct wg_waiter {
  wg_list item;
  warp_subscription *subscription;
  size_t n; /* exactly so many bytes; 0: the next message */
  wg_timer timer;
  warp_pipe_on_recv cb;
  void *arg;
  /* Of warp_pipe_ask: what is sent again, how often, and when. */
  uint8_t *again;
  size_t again_len;
  unsigned retries;
  uint64_t timeout_us;
} wg_waiter;

/* Is it over its limits, or as full as the receive that waits first needs it? */
bool wg_subscription_full(const warp_subscription *sub);
/* Takes the first piece out of the queue; the caller frees it. NULL when empty. */
wg_piece *wg_subscription_pop(warp_subscription *sub);
/* Answers the receives that can be. */
void wg_subscription_serve(warp_subscription *sub);
/* Ends all of its receives. */
void wg_subscription_cancel(warp_subscription *sub, int status);

#endif
