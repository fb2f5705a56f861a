/*
 * The SCTP stack, of which a process has one, whatever the number of loops and threads. Everything
 * that calls it stands between enter and leave. The packets it sends wait in the port of the
 * association they are of, because it may send them in the thread of another loop.
 */
#ifndef WG_LINK_STACK_H
#define WG_LINK_STACK_H

#include "base/list.h"
#include "pipe/queue.h"

/* Where the packets of one association go. */
typedef struct wg_stack_port {
  wg_list link;
  void *address;      /* its name in the stack: a number that no other ever had */
  uint64_t offset_us; /* of its loop's clock to the stack's */
  wg_queue packets;   /* each with its length in two bytes before it */
} wg_stack_port;

/* Starts the stack, when it is the first one. */
void wg_stack_add(wg_stack_port *port, uint64_t now_us);
/* Drops what waits; the stack knows it no more. */
void wg_stack_remove(wg_stack_port *port);

void wg_stack_enter(void);
void wg_stack_leave(void);

/* The time at the port's loop: timers of the stack run. */
void wg_stack_advance(wg_stack_port *port, uint64_t now_us);

/* Exchanges the packets that wait for `out`, which is empty. */
void wg_stack_take(wg_stack_port *port, wg_queue *out);
/* The first packet of those, at most WARP_MESSAGE_MAX bytes; returns its length, 0 without one. */
size_t wg_stack_packet(const wg_queue *packets, const uint8_t **out);
/* Forgets that packet. */
void wg_stack_drop(wg_queue *packets);
/* Bytes that wait. */
size_t wg_stack_waiting(wg_stack_port *port);

#endif
