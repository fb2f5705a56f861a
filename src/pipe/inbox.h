/* Who gets what arrives at a pipe: callbacks, subscriptions with their queues, linked pipes. */
#ifndef WG_PIPE_INBOX_H
#define WG_PIPE_INBOX_H

#include "base/list.h"
#include <warpgate/warpgate.h>

typedef struct wg_inbox {
  wg_list messages, ends; /* callbacks */
  wg_list subscriptions;
  wg_list links, sources; /* to other pipes, and from them */
  unsigned message_count, end_count, subscription_count, link_count;
  bool consumed; /* somebody has asked for what arrives */
  bool dirty;    /* some of the above are dead, to be freed when no call is on the stack */
  warp_subscription *everything; /* of receives without a subscription */
} wg_inbox;

void wg_inbox_init(wg_inbox *inbox);
/* Somebody asks for what arrives. */
void wg_inbox_consumed(warp_pipe *pipe);
/* Tells everybody of the end, whose pipe's `reported` is set. The pipe may be closed by it. */
void wg_inbox_tell_end(warp_pipe *pipe, int status);
/* The application closes the pipe, or it is killed: end callbacks that do not know of an end yet,
 * and receives that wait, get the status; links end. */
void wg_inbox_let_go(warp_pipe *pipe, int status);
/* Frees what is dead; all of it. Only while no call of the pipe is on the stack. */
void wg_inbox_purge(warp_pipe *pipe);
void wg_inbox_free(warp_pipe *pipe);
/* Stops or resumes a pipe whose subscriptions, or whose server's, are full or no longer full. */
void wg_inbox_settle(warp_pipe *pipe);

/* ---- subscribe.c ----------------------------------------------------------------------------- */

/* Gives what arrived at `via` (the pipe itself or a client of it) to the subscriptions. */
void wg_subscriptions_take(warp_pipe *pipe, warp_pipe *via, const uint8_t *data, size_t len,
                           const warp_addr *from);
/* Is there one with a queue that is full and makes a stream wait? */
bool wg_subscriptions_full(const warp_pipe *pipe);
/* Receives that can be answered now are. */
void wg_subscriptions_serve(warp_pipe *pipe);
/* All receives end with the status. */
void wg_subscriptions_cancel(warp_pipe *pipe, int status);
void wg_subscriptions_purge(warp_pipe *pipe, bool all);

/* ---- relay.c --------------------------------------------------------------------------------- */

void wg_links_forward(warp_pipe *pipe, const uint8_t *data, size_t len);
/* The pipe has room again: what its sources have for it goes on. */
void wg_links_drained(warp_pipe *pipe);
/* What arrives at it has ended with the status. */
void wg_links_ended(warp_pipe *pipe, int status);
/* The pipe goes: its links end, but for what they still have to say. */
void wg_links_let_go(warp_pipe *pipe);

#endif
