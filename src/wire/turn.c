#include "wire/turn.h"

#include "base/addr.h"

#include <string.h>

enum { TRANSPORT_UDP = 17 }; /* IANA's protocol number */

void wg_turn_attr_transport_udp(wg_writer *writer) {
  wg_stun_attr_u32(writer, WG_TURN_REQUESTED_TRANSPORT, (uint32_t)TRANSPORT_UDP << 24);
}

void wg_turn_attr_family(wg_writer *writer, int family) {
  uint32_t number = family == WARP_IP4 ? 1 : 2;
  wg_stun_attr_u32(writer, WG_TURN_REQUESTED_ADDRESS_FAMILY, number << 24);
}

static bool channel_valid(uint32_t channel) {
  return channel >= WG_TURN_CHANNEL_MIN && channel <= WG_TURN_CHANNEL_MAX;
}

void wg_turn_attr_channel(wg_writer *writer, uint16_t channel) {
  wg_stun_attr_u32(writer, WG_TURN_CHANNEL_NUMBER, (uint32_t)channel << 16);
}

bool wg_turn_find_channel(const wg_stun_message *message, uint16_t *out) {
  uint32_t value;
  if (!wg_stun_find_u32(message, WG_TURN_CHANNEL_NUMBER, &value) || !channel_valid(value >> 16)) {
    return false;
  }
  *out = (uint16_t)(value >> 16);
  return true;
}

int wg_turn_indication_encode(wg_turn_method method, const wg_stun_txid *txid,
                              const warp_addr *peer, const void *data, size_t len, uint8_t *out,
                              size_t cap) {
  wg_writer writer = wg_writer_init(out, cap);
  wg_stun_begin(&writer, WG_STUN_INDICATION, (uint16_t)method, txid);
  wg_stun_attr_addr(&writer, WG_TURN_XOR_PEER_ADDRESS, peer);
  wg_stun_attr_bytes(&writer, WG_TURN_DATA_ATTR, data, len);
  return wg_stun_end(&writer);
}

int wg_turn_indication_decode(const wg_stun_message *message, wg_turn_method method,
                              warp_addr *peer, const uint8_t **data, size_t *len) {
  wg_stun_attr attr;
  *data = NULL;
  *len = 0;
  if (message->class != WG_STUN_INDICATION || message->method != method ||
      !wg_stun_find_addr(message, WG_TURN_XOR_PEER_ADDRESS, peer) ||
      !wg_stun_find(message, WG_TURN_DATA_ATTR, &attr)) {
    return WARP_MALFORMED;
  }
  *data = attr.value;
  *len = attr.len;
  return WARP_OK;
}

int wg_turn_channel_encode(uint16_t channel, const void *data, size_t len, uint8_t *out,
                           size_t cap) {
  if (!channel_valid(channel)) {
    return WARP_INVALID;
  }
  if (len > WG_STUN_MAX - WG_TURN_CHANNEL_HEADER_LEN) {
    return WARP_TOO_BIG;
  }
  wg_writer writer = wg_writer_init(out, cap);
  wg_write_u16(&writer, channel);
  wg_write_u16(&writer, (uint16_t)len);
  wg_write_bytes(&writer, data, len);
  return writer.failed ? WARP_TOO_BIG : (int)writer.len;
}

int wg_turn_channel_decode(const uint8_t *bytes, size_t len, uint16_t *channel,
                           const uint8_t **data, size_t *data_len) {
  wg_reader reader = wg_reader_init(bytes, len);
  *channel = wg_read_u16(&reader);
  *data_len = wg_read_u16(&reader);
  *data = wg_read_bytes(&reader, *data_len);
  if (reader.failed || !channel_valid(*channel)) {
    *data = NULL;
    *data_len = 0;
    return WARP_MALFORMED;
  }
  return WARP_OK;
}

/* The length of the frame that begins with these four bytes; 0: none does. */
static size_t frame_length(const uint8_t head[WG_TURN_CHANNEL_HEADER_LEN]) {
  wg_reader reader = wg_reader_init(head, WG_TURN_CHANNEL_HEADER_LEN);
  uint16_t type = wg_read_u16(&reader);
  size_t len = wg_read_u16(&reader);
  if (channel_valid(type))
    return WG_TURN_CHANNEL_HEADER_LEN + ((len + 3) & ~(size_t)3);
  return type < WG_TURN_CHANNEL_MIN && len % 4 == 0 ? WG_STUN_HEADER_LEN + len : 0;
}

static void take(wg_turn_deframer *deframer, const uint8_t **data, size_t *len, size_t upto) {
  size_t count = upto - deframer->have < *len ? upto - deframer->have : *len;
  if (count == 0)
    return;
  memcpy(deframer->bytes + deframer->have, *data, count);
  deframer->have += count;
  *data += count;
  *len -= count;
}

static void skip(wg_turn_deframer *deframer, const uint8_t **data, size_t *len) {
  size_t count = deframer->skip < *len ? deframer->skip : *len;
  deframer->skip -= count;
  *data += count;
  *len -= count;
}

int wg_turn_deframe(wg_turn_deframer *deframer, const uint8_t **data, size_t *len,
                    const uint8_t **frame, size_t *frame_len) {
  while (*len > 0) {
    skip(deframer, data, len);
    if (deframer->have < WG_TURN_CHANNEL_HEADER_LEN)
      take(deframer, data, len, WG_TURN_CHANNEL_HEADER_LEN);
    if (deframer->skip > 0 || deframer->have < WG_TURN_CHANNEL_HEADER_LEN)
      return WARP_AGAIN;
    size_t wanted = frame_length(deframer->bytes);
    if (wanted == 0)
      return WARP_MALFORMED;
    if (wanted > WG_STUN_MAX) {
      deframer->skip = wanted - deframer->have;
      deframer->have = 0;
      continue;
    }
    take(deframer, data, len, wanted);
    if (deframer->have == wanted) {
      deframer->have = 0;
      *frame = deframer->bytes;
      *frame_len = wanted;
      return WARP_OK;
    }
  }
  return WARP_AGAIN;
}
