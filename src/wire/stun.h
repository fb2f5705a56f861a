/*
 * STUN messages (RFC 8489) with the attributes of NAT behaviour discovery (RFC 5780). TURN's are in
 * wire/turn.h.
 *
 * Reading: wg_stun_decode checks the whole structure once and borrows the bytes; attributes are
 * then found by type. Writing: wg_stun_begin, attributes, and for the end integrity, fingerprint
 * and wg_stun_end, in this order.
 */
#ifndef WG_WIRE_STUN_H
#define WG_WIRE_STUN_H

#include "base/bytes.h"
#include <warpgate/warpgate.h>

enum {
  WG_STUN_HEADER_LEN = 20,
  WG_STUN_TXID_LEN = 12,
  WG_STUN_COOKIE = 0x2112A442,
  WG_STUN_PORT = 3478,
  /* The largest message that we take or make: a TURN Data indication around a whole datagram. */
  WG_STUN_MAX = 2048,
};

typedef enum wg_stun_class {
  WG_STUN_REQUEST = 0,
  WG_STUN_INDICATION = 1,
  WG_STUN_SUCCESS = 2,
  WG_STUN_ERROR = 3,
} wg_stun_class;

enum { WG_STUN_BINDING = 0x001 };

typedef enum wg_stun_attr_type {
  WG_STUN_MAPPED_ADDRESS = 0x0001,
  WG_STUN_CHANGE_REQUEST = 0x0003, /* RFC 5780 section 7.2 */
  WG_STUN_USERNAME = 0x0006,
  WG_STUN_MESSAGE_INTEGRITY = 0x0008,
  WG_STUN_ERROR_CODE = 0x0009,
  WG_STUN_UNKNOWN_ATTRIBUTES = 0x000A,
  WG_STUN_REALM = 0x0014,
  WG_STUN_NONCE = 0x0015,
  WG_STUN_MESSAGE_INTEGRITY_SHA256 = 0x001C,
  WG_STUN_XOR_MAPPED_ADDRESS = 0x0020,
  WG_STUN_RESPONSE_PORT = 0x0027, /* RFC 5780 section 7.5 */
  WG_STUN_SOFTWARE = 0x8022,
  WG_STUN_ALTERNATE_SERVER = 0x8023,
  WG_STUN_FINGERPRINT = 0x8028,
  WG_STUN_RESPONSE_ORIGIN = 0x802B, /* RFC 5780 section 7.3 */
  WG_STUN_OTHER_ADDRESS = 0x802C,   /* RFC 5780 section 7.4 */
} wg_stun_attr_type;

/* Bits of CHANGE-REQUEST. */
enum { WG_STUN_CHANGE_PORT = 0x02, WG_STUN_CHANGE_IP = 0x04 };

/* Longest texts, in bytes: USERNAME 508, REALM and NONCE 127 characters of up to 6 bytes each, the
 * reason phrase of an ERROR-CODE and SOFTWARE likewise. */
enum { WG_STUN_TEXT_MAX = 763 };

typedef struct wg_stun_txid {
  uint8_t bytes[WG_STUN_TXID_LEN];
} wg_stun_txid;

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct wg_stun_message {
  const uint8_t *bytes; /* all of it; borrowed */
  size_t len;
  uint16_t method;
  wg_stun_class class;
  wg_stun_txid txid;
} wg_stun_message;

typedef struct wg_stun_attr {
  uint16_t type;
  uint16_t len;
  const uint8_t *value; /* borrowed */
  size_t offset;        /* of the attribute's header in the message */
} wg_stun_attr;

/* True when bytes look like STUN: for telling protocols on one socket apart (RFC 7983). */
bool wg_stun_is(const uint8_t *bytes, size_t len);
/* WARP_OK, or WARP_MALFORMED: not STUN, a wrong length, an attribute that runs over the end, longer
 * than WG_STUN_MAX, or a FINGERPRINT that is wrong or not last. */
int wg_stun_decode(const uint8_t *bytes, size_t len, wg_stun_message *out);

/* Walks the attributes. What follows the integrity attributes and may not be trusted is left out
 * (RFC 8489 sections 14.5 and 14.6). */
typedef struct wg_stun_iter {
  const wg_stun_message *message;
  size_t offset;
  bool after_sha1, after_sha256; /* an integrity attribute of this kind was passed */
} wg_stun_iter;
wg_stun_iter wg_stun_attrs(const wg_stun_message *message);
/* False at the end. */
bool wg_stun_next(wg_stun_iter *iter, wg_stun_attr *out);
/* The first attribute of a type. */
bool wg_stun_find(const wg_stun_message *message, uint16_t type, wg_stun_attr *out);
/* The first attribute of a type as an address; the XOR of those types that have one is undone.
 * False when it is missing or malformed. */
bool wg_stun_find_addr(const wg_stun_message *message, uint16_t type, warp_addr *out);
/* Our address as a server saw it: XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of servers that know no
 * other.
 */
bool wg_stun_find_mapped(const wg_stun_message *message, warp_addr *out);
bool wg_stun_find_u32(const wg_stun_message *message, uint16_t type, uint32_t *out);
/* Copies a text and its NUL. False when it is missing, too long for `room`, or has a NUL inside. */
bool wg_stun_find_text(const wg_stun_message *message, uint16_t type, char *out, size_t room);
/* The error code (300 to 699) and the reason phrase, cut to `room` and without control characters.
 */
bool wg_stun_find_error(const wg_stun_message *message, unsigned *code, char *reason, size_t room);
/* Comprehension-required attributes that this codec does not know: fills at most `max`, returns how
 * many there are. A request with any is answered by error 420, a response with any is discarded. */
size_t wg_stun_unknown(const wg_stun_message *message, uint16_t *out, size_t max);

/* The key of the long-term credential mechanism: MD5 of user:realm:password (RFC 8489 section
 * 9.2.2). The texts are taken as they are: who needs the OpaqueString profile (RFC 8265) applies it
 * before. The short-term key is the password itself. WARP_UNSUPPORTED. */
enum { WG_STUN_LONG_TERM_KEY_LEN = 16 };
int wg_stun_long_term_key(const char *user, const char *realm, const char *password,
                          uint8_t out[WG_STUN_LONG_TERM_KEY_LEN]);
/* Checks MESSAGE-INTEGRITY, or MESSAGE-INTEGRITY-SHA256, with a key. WARP_NOT_FOUND when there is
 * none, WARP_BAD_SIGNATURE, WARP_UNSUPPORTED. */
int wg_stun_check_integrity(const wg_stun_message *message, const void *key, size_t key_len);
int wg_stun_check_integrity_sha256(const wg_stun_message *message, const void *key, size_t key_len);

/* ---- writing --------------------------------------------------------------------------------- */

void wg_stun_begin(wg_writer *writer, wg_stun_class class, uint16_t method,
                   const wg_stun_txid *txid);
/* One attribute, padded with zeros. */
void wg_stun_attr_bytes(wg_writer *writer, uint16_t type, const void *value, size_t len);
void wg_stun_attr_text(wg_writer *writer, uint16_t type, const char *text);
void wg_stun_attr_u32(wg_writer *writer, uint16_t type, uint32_t value);
/* An address of WARP_IP4 or WARP_IP6 (others make the writer fail); XORed for the types that are.
 */
void wg_stun_attr_addr(wg_writer *writer, uint16_t type, const warp_addr *addr);
void wg_stun_attr_error(wg_writer *writer, unsigned code, const char *reason);
void wg_stun_attr_unknown(wg_writer *writer, const uint16_t *types, size_t count);
/* HMAC over what is written so far. The writer fails when the platform has no such digest. */
void wg_stun_integrity(wg_writer *writer, const void *key, size_t key_len);
void wg_stun_integrity_sha256(wg_writer *writer, const void *key, size_t key_len);
void wg_stun_fingerprint(wg_writer *writer);
/* Sets the length. Returns the message's length, or WARP_TOO_BIG when the writer failed. The writer
 * must have begun at its first byte. */
int wg_stun_end(wg_writer *writer);

/* ---- TCP ------------------------------------------------------------------------------------- */

/* The first message in bytes from a stream, by its length field (RFC 8489 section 6.2.2): WARP_OK
 * with the message's length when it is complete, WARP_AGAIN when more bytes are needed,
 * WARP_MALFORMED when this is no STUN or too long: the stream is lost then. */
int wg_stun_frame_next(const uint8_t *bytes, size_t len, size_t *message_len);

#endif
