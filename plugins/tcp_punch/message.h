/* What the two sides of tcp_punch say to each other; docs/protocol.md has the bytes. */
#ifndef PLUGINS_TCP_PUNCH_MESSAGE_H
#define PLUGINS_TCP_PUNCH_MESSAGE_H

#include "nat/offer.h"

enum { PUNCH_MESSAGE_MAX = 17 + WG_OFFER_MAX };

typedef enum punch_type {
  PUNCH_OPEN = 1,  /* the initiator begins a round */
  PUNCH_PORTS_ARE, /* the ports of the sender in this round */
  PUNCH_GO,        /* both sides' ports are known, or the sender's SYN is out */
  PUNCH_AGAIN,     /* the responder's port cannot be used: it wants another round */
} punch_type;

typedef struct punch_message {
  bool go;            /* dial at `instant_us`, or on receipt when that is 0 */
  bool dialled;       /* the sender's SYN is out already */
  int64_t sent_us;    /* UTC when it was sent; 0 when the sender's clock cannot be relied on */
  int64_t instant_us; /* UTC */
  wg_offer offer;     /* without ports as long as there are none, or where the records tell them */
} punch_message;

/* Returns the length. */
size_t wg_tcp_punch_write(const punch_message *message, uint8_t out[PUNCH_MESSAGE_MAX]);
/* WARP_MALFORMED: too short, a time before 1970, an offer that is malformed, or of a strategy that
 * guesses. */
int wg_tcp_punch_read(const uint8_t *data, size_t len, punch_message *out);

#endif
