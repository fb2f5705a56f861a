/*
 * What all packets of our own protocol have in common: two magic bytes, a version, a type, then
 * fields of type, length, value, big-endian. Unknown fields are skipped. See docs/protocol.md.
 */
#ifndef WG_WIRE_PACKET_H
#define WG_WIRE_PACKET_H

#include "base/bytes.h"

/* The first byte lies outside the ranges of STUN, DTLS, TURN channels and RTP (RFC 7983), so that
 * one UDP socket can carry all of them. */
enum { WG_MAGIC_0 = 0xE7, WG_MAGIC_1 = 0x57, WG_PROTOCOL_VERSION = 1, WG_HEADER_LEN = 4 };

typedef enum wg_packet_type {
  WG_PACKET_RECORD = 1,
  WG_PACKET_ENVELOPE = 2,
  WG_PACKET_MESSAGE = 3,
  WG_PACKET_NAME_REQUEST = 4,
  WG_PACKET_NAME_REPLY = 5,
  WG_PACKET_PROBE = 6,
  WG_PACKET_CARRY = 7,
  WG_PACKET_KEYSTORE = 8,
} wg_packet_type;

void wg_packet_begin(wg_writer *writer, wg_packet_type type);
/* Checks magic, version and type: WARP_OK, WARP_MALFORMED, WARP_VERSION. The reader stands at the
 * fields. */
int wg_packet_open(wg_reader *reader, wg_packet_type type);

/* One field. wg_field_next returns false at the end, or when the rest is malformed
 * (reader->failed). */
typedef struct wg_field {
  uint16_t type;
  wg_reader value;
} wg_field;
bool wg_field_next(wg_reader *reader, wg_field *out);
void wg_field_bytes(wg_writer *writer, uint16_t type, const void *data, size_t len);
void wg_field_u8(wg_writer *writer, uint16_t type, uint8_t value);
void wg_field_u16(wg_writer *writer, uint16_t type, uint16_t value);
void wg_field_u64(wg_writer *writer, uint16_t type, uint64_t value);
/* For nested fields: begin returns the position that end patches with the length. */
size_t wg_field_begin(wg_writer *writer, uint16_t type);
void wg_field_end(wg_writer *writer, size_t begun);

#endif
