/*
 * Large SCTP packets cut into packets that fit the pipe, between chunks: a receiver sees no
 * difference to a sender that never put so many chunks into one packet. Why it is done: sctp.c.
 */
#ifndef WG_LINK_SPLIT_H
#define WG_LINK_SPLIT_H

#include "base/bytes.h"

typedef struct wg_split {
  const uint8_t *head; /* the common header; NULL when there is none */
  wg_reader chunks;    /* those that are left */
} wg_split;

/* `packet` is borrowed until the last piece is taken. */
wg_split wg_split_begin(const uint8_t *packet, size_t len);
/* Writes the next packet of at most `cap` bytes, room for a header and a chunk without a body at
 * least, and returns its length, 0 at the end. A selective acknowledgement that is too large
 * reports fewer gaps; another chunk that is too large is left out, as is what is no chunk. */
size_t wg_split_next(wg_split *split, uint8_t *out, size_t cap);

#endif
