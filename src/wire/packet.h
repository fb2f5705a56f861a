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
  WG_PACKET_PREAMBLE = 9,
  WG_PACKET_NETWORKS = 10,
  WG_PACKET_LINK = 11,
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
/* Values of exactly one size. False, and zeros, when the field has another one. */
bool wg_field_get_u8(wg_field *field, uint8_t *out);
bool wg_field_get_u16(wg_field *field, uint16_t *out);
bool wg_field_get_u64(wg_field *field, uint64_t *out);
bool wg_field_get_bytes(wg_field *field, void *out, size_t len);
/* A time or sequence that must fit a positive int64_t. */
bool wg_field_get_i64(wg_field *field, int64_t *out);
/* Printable ASCII without spaces, 1 to room - 1 bytes; `out` gets a NUL. */
bool wg_field_get_text(wg_field *field, char *out, size_t room);
/* Notes a field type below 64 as seen; false when it was before. For fields that must not repeat:
 * two readers that took different ones of them would see different packets. */
bool wg_field_once(uint64_t *seen, uint16_t type);
void wg_field_bytes(wg_writer *writer, uint16_t type, const void *data, size_t len);
void wg_field_u8(wg_writer *writer, uint16_t type, uint8_t value);
void wg_field_u16(wg_writer *writer, uint16_t type, uint16_t value);
void wg_field_u64(wg_writer *writer, uint16_t type, uint64_t value);
/* For nested fields: begin returns the position that end patches with the length. */
size_t wg_field_begin(wg_writer *writer, uint16_t type);
void wg_field_end(wg_writer *writer, size_t begun);
/* ---- signatures ------------------------------------------------------------------------------ */

/* ECDSA P-256 as r || s (RFC 7518 section 3.4), in a field that is always the last of its packet
 * and covers all bytes before it. */
enum {
  WG_SIGNATURE_LEN = 64,
  WG_FIELD_SIGNATURE = 0xffff,
  WG_SIGNATURE_FIELD_LEN = 4 + WG_SIGNATURE_LEN,
};

/* Appends the field to `len` encoded bytes. Returns the new length or WARP_TOO_BIG. */
int wg_signature_attach(uint8_t *bytes, size_t len, size_t cap,
                        const uint8_t signature[WG_SIGNATURE_LEN]);
/* Takes the field off the reader's end. False when there is none. `*signed_len` is how many leading
 * bytes of the reader's data it covers. */
bool wg_signature_split(wg_reader *reader, size_t *signed_len, uint8_t signature[WG_SIGNATURE_LEN]);

/* How a codec ends: the writer's length, or WARP_TOO_BIG when the room did not suffice. */
int wg_writer_result(const wg_writer *writer);

#endif
