/*
 * Packets to and from a name server, over UDP or, behind a two-byte length each, over TCP.
 *
 * Nobody but the owner of a key can register, renew or delete its names: REGISTER and DELETE are
 * signed by the key, over all their bytes before the signature. The server takes them only
 * - with a cookie that it gave to the same network address lately, so that a forged source cannot
 *   use up another address's quota and a request is worth nothing at another server;
 * - for a name that is free or the same key's; and
 * - with a sequence that is not below the stored record's (REGISTER: of the new record; DELETE: of
 *   its own field), and for REGISTER above that of a DELETE within the cookie's lifetime. So
 * nothing that was recorded can be played again to undo what came later. A LOOKUP needs no cookie:
 * it is padded to the length of the largest reply, and a server never answers with more bytes than
 * it was asked with over UDP.
 */
#ifndef WG_WIRE_NAMES_H
#define WG_WIRE_NAMES_H

#include "wire/packet.h"
#include <warpgate/warpgate.h>

enum {
  WG_NAME_NONCE_LEN = 16,
  WG_NAME_COOKIE_LEN = 16,
  /* A LOOKUP is as long as the largest reply: a reply with a record of WARP_RECORD_MAX fits. */
  WG_NAME_REPLY_MAX = 1232,
  /* A REGISTER with a record of WARP_RECORD_MAX and the longest name fits. */
  WG_NAME_REQUEST_MAX = 1408,
  WG_NAME_FRAME_LEN = 2, /* the length before each packet on TCP */
};

typedef enum wg_name_op {
  WG_NAME_LOOKUP = 1,
  WG_NAME_REGISTER = 2, /* also renews, with the same or a newer record */
  WG_NAME_DELETE = 3,
} wg_name_op;

typedef enum wg_name_status {
  WG_NAME_OK = 0,
  WG_NAME_NOT_FOUND = 1,     /* LOOKUP, DELETE: no such name */
  WG_NAME_TAKEN = 2,         /* it belongs to another key */
  WG_NAME_QUOTA = 3,         /* this network address has as many names as it may */
  WG_NAME_COOKIE = 4,        /* ask again with the cookie of this reply */
  WG_NAME_STALE = 5,         /* the sequence is below what is known */
  WG_NAME_BAD_SIGNATURE = 6, /* of the request or of the record in it */
  WG_NAME_EXPIRED = 7,       /* the record in the request is */
  WG_NAME_BUSY = 8,          /* over the server's rate limit, or its disk's: try later */
  WG_NAME_FAILED = 9,        /* the server could not store or read it */
  WG_NAME_TOO_SHORT = 10,    /* the reply would be longer than the request: pad it, or use TCP */
} wg_name_status;

/* One request. `record` borrows the encoded buffer after decoding. Fields that an operation does
 * not have are zero. */
typedef struct wg_name_request {
  uint8_t op; /* wg_name_op */
  uint8_t nonce[WG_NAME_NONCE_LEN];
  char name[WARP_NAME_MAX + 1]; /* without suffix */
  bool has_cookie;
  uint8_t cookie[WG_NAME_COOKIE_LEN];
  uint32_t lifetime_s;   /* REGISTER: how long it is to stay */
  const uint8_t *record; /* REGISTER: the signed record, whose key signs the request */
  size_t record_len;
  warp_key key;      /* DELETE: the owner's, which signs the request */
  uint64_t sequence; /* DELETE: at least the stored record's */
} wg_name_request;

/* True for 1 to WARP_NAME_MAX of a-z, 0-9 and inner hyphens. */
bool wg_name_valid(const char *name);

/* Encodes all but the signature; a LOOKUP is complete, with its padding. Returns the length, or
 * WARP_TOO_BIG (`cap`, or the record), or WARP_INVALID (operation, name, no record). */
int wg_name_request_encode(const wg_name_request *request, uint8_t *out, size_t cap);
/* Appends the signature to an encoded REGISTER or DELETE. Returns the new length or WARP_TOO_BIG.
 */
int wg_name_request_attach(uint8_t *bytes, size_t len, size_t cap,
                           const uint8_t signature[WG_SIGNATURE_LEN]);
/* `*signed_len`: how many leading bytes the signature covers, 0 (and no signature) for a LOOKUP.
 * WARP_MALFORMED, WARP_VERSION. Says nothing about the signature's truth, nor the record's. */
int wg_name_request_decode(const uint8_t *bytes, size_t len, wg_name_request *out,
                           size_t *signed_len, uint8_t signature[WG_SIGNATURE_LEN]);

/* One reply. `record` borrows the encoded buffer after decoding. */
typedef struct wg_name_reply {
  uint8_t status;                   /* wg_name_status, or one of a later version */
  uint8_t nonce[WG_NAME_NONCE_LEN]; /* the request's */
  uint32_t lifetime_s;              /* REGISTER: granted; LOOKUP: left; else 0 */
  bool has_cookie;
  uint8_t cookie[WG_NAME_COOKIE_LEN]; /* to REGISTER and DELETE: for the next request */
  const uint8_t *record;              /* LOOKUP: the owner's signed record, else NULL */
  size_t record_len;
} wg_name_reply;

/* Returns the length, WARP_TOO_BIG (`cap`, or the record). */
int wg_name_reply_encode(const wg_name_reply *reply, uint8_t *out, size_t cap);
/* WARP_MALFORMED, WARP_VERSION. */
int wg_name_reply_decode(const uint8_t *bytes, size_t len, wg_name_reply *out);

/* What a status means to a caller: WARP_OK, WARP_NOT_FOUND, WARP_NAME_TAKEN, WARP_QUOTA, WARP_AGAIN
 * (COOKIE, BUSY, TOO_SHORT), WARP_REPLAY (STALE), WARP_BAD_SIGNATURE, WARP_EXPIRED, WARP_IO (FAILED
 * and what is not known). */
int wg_name_status_result(uint8_t status);
/* "name taken" and the like, static storage. */
const char *wg_name_status_text(uint8_t status);

/* The first packet in bytes from a TCP stream, each behind WG_NAME_FRAME_LEN bytes of length:
 * WARP_OK with the packet's length when it is complete, WARP_AGAIN when more bytes are needed,
 * WARP_MALFORMED when it is empty or longer than `max`: the stream is lost then. */
int wg_name_frame_next(const uint8_t *bytes, size_t len, size_t max, size_t *packet_len);

#endif
