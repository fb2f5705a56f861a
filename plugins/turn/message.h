/* What the two sides of turn say to each other; docs/protocol.md has the bytes. */
#ifndef PLUGINS_TURN_MESSAGE_H
#define PLUGINS_TURN_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <warpgate/plugin.h>

typedef enum turn_message_type {
  TURN_RELAYED = 1, /* the sender's relayed address; the recipient's address is let in there */
  TURN_WANTED,      /* the recipient is to allocate one too */
} turn_message_type;
enum { TURN_MESSAGE_MAX = 19 };
/* Return the length. */
size_t wg_turn_write_relayed(const warp_addr *relayed, uint8_t out[TURN_MESSAGE_MAX]);
size_t wg_turn_write_wanted(bool in_need, uint8_t out[TURN_MESSAGE_MAX]);
/* WARP_MALFORMED: too short, no known family, a port 0. What follows is of a later version and not
 * looked at. */
int wg_turn_read_relayed(const uint8_t *data, size_t len, warp_addr *out);
/* `in_need`: the sender has no allocation and can have none. WARP_MALFORMED: empty. */
int wg_turn_read_wanted(const uint8_t *data, size_t len, bool *in_need);

#endif
