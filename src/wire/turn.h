/*
 * What TURN (RFC 8656) adds to STUN: methods, attributes, indications and ChannelData.
 */
#ifndef WG_WIRE_TURN_H
#define WG_WIRE_TURN_H

#include "wire/stun.h"

typedef enum wg_turn_method {
  WG_TURN_ALLOCATE = 0x003,
  WG_TURN_REFRESH = 0x004,
  WG_TURN_SEND = 0x006,
  WG_TURN_DATA = 0x007,
  WG_TURN_CREATE_PERMISSION = 0x008,
  WG_TURN_CHANNEL_BIND = 0x009,
} wg_turn_method;

typedef enum wg_turn_attr_type {
  WG_TURN_CHANNEL_NUMBER = 0x000C,
  WG_TURN_LIFETIME = 0x000D,
  WG_TURN_XOR_PEER_ADDRESS = 0x0012,
  WG_TURN_DATA_ATTR = 0x0013,
  WG_TURN_XOR_RELAYED_ADDRESS = 0x0016,
  WG_TURN_REQUESTED_ADDRESS_FAMILY = 0x0017,
  WG_TURN_EVEN_PORT = 0x0018,
  WG_TURN_REQUESTED_TRANSPORT = 0x0019,
  WG_TURN_DONT_FRAGMENT = 0x001A,
  WG_TURN_RESERVATION_TOKEN = 0x0022,
} wg_turn_attr_type;

/* Error codes that a client treats in a way of their own (RFC 8656 section 19). */
enum {
  WG_TURN_ERROR_TRY_ALTERNATE = 300,
  WG_TURN_ERROR_UNAUTHORIZED = 401,
  WG_TURN_ERROR_FORBIDDEN = 403,
  WG_TURN_ERROR_ALLOCATION_MISMATCH = 437,
  WG_TURN_ERROR_STALE_NONCE = 438,
  WG_TURN_ERROR_QUOTA = 486,
  WG_TURN_ERROR_CAPACITY = 508,
};

/* Channel numbers (RFC 8656 section 12). */
enum {
  WG_TURN_CHANNEL_MIN = 0x4000,
  WG_TURN_CHANNEL_MAX = 0x4FFF,
  WG_TURN_CHANNEL_HEADER_LEN = 4,
};

/* REQUESTED-TRANSPORT: UDP, the only one. */
void wg_turn_attr_transport_udp(wg_writer *writer);
/* REQUESTED-ADDRESS-FAMILY of WARP_IP4 or WARP_IP6. */
void wg_turn_attr_family(wg_writer *writer, int family);
void wg_turn_attr_channel(wg_writer *writer, uint16_t channel);
/* The number of a CHANNEL-NUMBER attribute. False when it is missing, malformed or out of range. */
bool wg_turn_find_channel(const wg_stun_message *message, uint16_t *out);

/* A whole Send (client to server) or Data (server to client) indication. Returns the length or
 * WARP_TOO_BIG. */
int wg_turn_indication_encode(wg_turn_method method, const wg_stun_txid *txid,
                              const warp_addr *peer, const void *data, size_t len, uint8_t *out,
                              size_t cap);
/* The peer and the data (borrowed) of a Send or Data indication. WARP_MALFORMED when it is none or
 * lacks one of the two. */
int wg_turn_indication_decode(const wg_stun_message *message, wg_turn_method method,
                              warp_addr *peer, const uint8_t **data, size_t *len);

/* ChannelData for a datagram. Returns the length, WARP_TOO_BIG, or WARP_INVALID (channel). */
int wg_turn_channel_encode(uint16_t channel, const void *data, size_t len, uint8_t *out,
                           size_t cap);
/* WARP_MALFORMED when this is no ChannelData or shorter than it says. Padding is left out; `*data`
 * borrows. */
int wg_turn_channel_decode(const uint8_t *bytes, size_t len, uint16_t *channel,
                           const uint8_t **data, size_t *data_len);

/* Cuts a stream into STUN messages and ChannelData, which is padded to four bytes there (RFC 8656
 * section 12.5). What is longer than WG_STUN_MAX is skipped: anybody behind an address that was
 * permitted can have a relay send it, and it must not cost the connection. Zeroed to begin with. */
typedef struct wg_turn_deframer {
  uint8_t bytes[WG_STUN_MAX];
  size_t have, skip;
} wg_turn_deframer;
/* Takes bytes from `*data`, of which `*len` are there, up to the end of a frame. WARP_OK with the
 * frame, borrowed until the next call; WARP_AGAIN when all are taken and the frame goes on;
 * WARP_MALFORMED when this is neither: the stream is lost then. */
int wg_turn_deframe(wg_turn_deframer *deframer, const uint8_t **data, size_t *len,
                    const uint8_t **frame, size_t *frame_len);

#endif
