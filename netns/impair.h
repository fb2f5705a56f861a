/*
 * What happens to the packets of one direction of a link: from the time a packet arrives and its
 * size to the times its copies are due. Pure: the same seed and packets give the same fates.
 */
#ifndef NETNS_IMPAIR_H
#define NETNS_IMPAIR_H

#include "netns/netns.h"

typedef struct ns_direction {
  ns_impairment what;
  uint64_t random;       /* state of the generator */
  uint64_t wire_free_ns; /* when a limited rate lets the next packet begin */
} ns_direction;

typedef enum ns_verdict { NS_PASSES, NS_LOST, NS_QUEUE_FULL } ns_verdict;

typedef struct ns_fate {
  ns_verdict verdict;
  unsigned copies; /* 1 or 2 when it passes, else 0 */
  uint64_t due_ns[2];
} ns_fate;

/* Starts the direction's generator. */
void ns_direction_seed(ns_direction *direction, uint64_t seed, int from, int to);
/* Takes new values from the next packet on. What makes no sense (negative, not a number) counts as
 * 0, delays end at an hour. */
void ns_direction_set(ns_direction *direction, const ns_impairment *what);
/* Decides about the next packet, `bytes` long on the wire. Every packet takes the same number of
 * random draws, whatever is set, so that changing one impairment does not shift the others. */
ns_fate ns_direction_decide(ns_direction *direction, uint64_t now_ns, size_t bytes);

#endif
