/*
 * What waits in a switch, ordered by when it is due; of two due at the same time the one pushed
 * first comes first. Pure: no clock, no I/O.
 */
#ifndef NETNS_HEAP_H
#define NETNS_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ns_waiting {
  uint64_t due_ns;
  uint64_t order; /* set by ns_heap_push */
  int port;
  uint32_t life; /* of the port when it was pushed */
  void *packet;
} ns_waiting;

typedef struct ns_heap {
  ns_waiting *items;
  size_t len, capacity;
  uint64_t pushed;
} ns_heap;

/* An empty heap is a zeroed one. Takes a copy of `item`. False: no memory. */
bool ns_heap_push(ns_heap *heap, const ns_waiting *item);
/* The first due, or NULL; valid until the next push or pop. */
const ns_waiting *ns_heap_first(const ns_heap *heap);
/* Takes the first due out; the heap must not be empty. */
ns_waiting ns_heap_pop(ns_heap *heap);
/* Frees the heap itself, not the packets in it. Leaves an empty one. */
void ns_heap_free(ns_heap *heap);

#endif
