/*
 * Which port a MAC address was last seen at. Pure.
 */
#ifndef NETNS_MACS_H
#define NETNS_MACS_H

#include <stdint.h>

enum {
  NS_MAC_BYTES = 6,
  /* Far more hosts than a lab has; a flood of invented senders overwrites the oldest. */
  NS_MACS = 256
};

typedef struct ns_macs {
  struct {
    uint8_t mac[NS_MAC_BYTES];
    int port;
  } entries[NS_MACS];
  unsigned used;
  unsigned oldest;
} ns_macs;

/* An empty table is a zeroed one. Group addresses are not learnt. */
void ns_macs_learn(ns_macs *macs, const uint8_t *mac, int port);
/* The port, or -1: unknown, or a group address. */
int ns_macs_find(const ns_macs *macs, const uint8_t *mac);
/* Forgets all that was seen at a port. */
void ns_macs_forget(ns_macs *macs, int port);

#endif
