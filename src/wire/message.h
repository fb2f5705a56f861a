/* Signal messages (the plain text inside an envelope), and the envelope's layout. */
#ifndef WG_WIRE_MESSAGE_H
#define WG_WIRE_MESSAGE_H

#include "wire/record.h"
#include "wire/rows.h"

enum { WG_SESSION_LEN = 16, WG_PLUGIN_NAME_LEN = 24 };

typedef struct wg_session_id {
  uint8_t bytes[WG_SESSION_LEN];
} wg_session_id;

typedef enum wg_message_type {
  WG_MESSAGE_OPEN = 1,   /* starts an attempt at the peer; carries the sender's record */
  WG_MESSAGE_PLUGIN = 2, /* a later message of the plugin for an attempt */
  WG_MESSAGE_FAIL = 3,   /* the sender's side of an attempt ended: status and one line */
  WG_MESSAGE_END = 4,    /* the session ended at the sender: status */
  WG_MESSAGE_INVITE =
      5, /* travels in a TLS ClientHello: a session begun without a broker; carries the record */
  WG_MESSAGE_REPORT = 6, /* how the sender's attempts went, or a request for that */
} wg_message_type;

/* One message. Byte pointers borrow the encoded buffer after decoding. */
typedef struct wg_message {
  uint8_t type; /* wg_message_type */
  wg_session_id session;
  uint16_t attempt; /* the initiator's number */
  char plugin[WG_PLUGIN_NAME_LEN];
  uint8_t family, route_type, transport;
  uint8_t endpoint_self, endpoint_peer; /* indexes into the sender's and the receiver's record */
  uint8_t plugin_type;
  const uint8_t *data; /* the plugin's bytes */
  size_t data_len;
  int32_t status;
  char detail[WARP_DETAIL_LEN];
  const uint8_t *record; /* signed record bytes, or NULL */
  size_t record_len;
  const uint8_t *rows; /* of a report: wg_row_read each */
  size_t rows_len;
  bool asks;      /* for the receiver's report */
  bool apart;     /* the session's id was named by a program: it crosses no other */
  uint64_t known; /* sequence of the receiver's record that the sender goes by; 0: not said */
} wg_message;

/* The largest message: a record, a plugin's bytes and all other fields fit. */
enum { WG_MESSAGE_MAX = 2560, WG_MESSAGE_ROWS_MAX = 2400 };

/* Writes the fields that the type needs, and of the others those that are not zero. Needed are:
 * type and session always; OPEN: attempt, plugin, combination (family to endpoint_peer) and record;
 * PLUGIN: attempt and plugin_type; FAIL: attempt and status; END: status; INVITE: record. Returns
 * the length, or WARP_TOO_BIG (`cap`, data over WARP_ATTEMPT_MESSAGE_MAX, record over
 * WARP_RECORD_MAX, rows over WG_MESSAGE_ROWS_MAX), or WARP_INVALID (unknown type, a needed field
 * that is empty or makes no sense).
 */
int wg_message_encode(const wg_message *message, uint8_t *out, size_t cap);
/* WARP_OK, WARP_MALFORMED (also: an unknown type, or a needed field is missing), WARP_VERSION. What
 * was not sent is zero. The record is not looked into; the detail has no control characters; all
 * rows are well-formed. */
int wg_message_decode(const uint8_t *bytes, size_t len, wg_message *out);

/* ---- envelope -------------------------------------------------------------------------------- */

/* What is sealed: sender, recipient, order and time, the message, and a signature over all of it.
 */
typedef struct wg_letter {
  warp_key sender, recipient;
  uint64_t sequence;           /* of the sender; grows with every envelope */
  int64_t time_ms, expires_ms; /* since 1970 UTC */
  const uint8_t *message;
  size_t message_len;
} wg_letter;

enum { WG_AEAD_TAG_LEN = 16, WG_ENVELOPE_MAX = 3072 };
/* The plain text without the signature. Returns the length, WARP_TOO_BIG, or WARP_INVALID (no
 * message, one over WG_MESSAGE_MAX, a negative time, expiry before the time). */
int wg_letter_encode(const wg_letter *letter, uint8_t *out, size_t cap);
/* Appends the signature over the `len` bytes. Returns the new length or WARP_TOO_BIG. */
int wg_letter_attach(uint8_t *bytes, size_t len, size_t cap,
                     const uint8_t signature[WG_SIGNATURE_LEN]);
/* `*signed_len`: how many leading bytes the signature covers. The message borrows `bytes`.
 * WARP_MALFORMED. Says nothing about the signature's truth. */
int wg_letter_decode(const uint8_t *bytes, size_t len, wg_letter *out, size_t *signed_len,
                     uint8_t signature[WG_SIGNATURE_LEN]);

/* The outside: header, ephemeral key, then the sealed bytes with their tag to the end. The first
 * WG_ENVELOPE_HEADER_LEN bytes are what the sealing authenticates besides. Returns the length,
 * WARP_TOO_BIG (`cap` or WG_ENVELOPE_MAX), WARP_INVALID (no more than a tag is sealed). */
enum { WG_ENVELOPE_HEADER_LEN = WG_HEADER_LEN + WARP_KEY_LEN };
int wg_envelope_encode(const warp_key *ephemeral, const uint8_t *sealed, size_t sealed_len,
                       uint8_t *out, size_t cap);
/* `*sealed` borrows `bytes`. WARP_MALFORMED, WARP_VERSION. Whether the key is a point of the curve
 * is not checked here. */
int wg_envelope_decode(const uint8_t *bytes, size_t len, warp_key *ephemeral,
                       const uint8_t **sealed, size_t *sealed_len);

/* ---- probes and carried datagrams on a shared UDP socket ------------------------------------- */

enum { WG_TAG_LEN = 8, WG_CARRY_HEADER_LEN = WG_TAG_LEN + 4, WG_PROBE_LEN = 20 };

/* One packet of a path. Borrows the bytes it was opened from. */
typedef struct wg_carried {
  uint8_t tag[WG_TAG_LEN];
  /* A probe's own number, from 1 on; 0: a carried datagram. */
  uint32_t sequence;
  uint32_t acknowledged;  /* number of the probe that this one answers; 0: none */
  const uint8_t *payload; /* of a carried datagram, at least one byte; NULL: a probe */
  size_t payload_len;
} wg_carried;

/* Writes the header of a carried datagram, whose bytes follow; returns WG_CARRY_HEADER_LEN. */
size_t wg_carry_begin(uint8_t out[WG_CARRY_HEADER_LEN], const uint8_t tag[WG_TAG_LEN]);
/* A whole probe; `sequence` is not 0. Returns WG_PROBE_LEN. */
size_t wg_probe_encode(uint8_t out[WG_PROBE_LEN], const uint8_t tag[WG_TAG_LEN], uint32_t sequence,
                       uint32_t acknowledged);
/* WARP_OK, WARP_MALFORMED (also: a probe of another length or with the number 0), WARP_VERSION. */
int wg_carry_open(const uint8_t *bytes, size_t len, wg_carried *out);

/* ---- preamble of a punched stream ------------------------------------------------------------ */

enum { WG_PREAMBLE_LEN = WG_HEADER_LEN + WG_TAG_LEN };
/* Writes header and tag. */
void wg_preamble_write(uint8_t out[WG_PREAMBLE_LEN], const uint8_t tag[WG_TAG_LEN]);
/* WARP_OK with the tag, WARP_MALFORMED (also: another length), WARP_VERSION. */
int wg_preamble_read(const uint8_t *bytes, size_t len, uint8_t tag[WG_TAG_LEN]);

#endif
