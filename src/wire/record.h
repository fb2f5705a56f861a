/* The signed address record: who a node is and where it can be reached. Signing is identity's part.
 */
#ifndef WG_WIRE_RECORD_H
#define WG_WIRE_RECORD_H

#include "wire/packet.h"
#include <warpgate/plugin.h>

enum { WG_MACHINE_ID_LEN = 16 };
/* Limits of a record: more interfaces or hints than anyone needs. All of them at once stay under
 * WARP_RECORD_MAX as long as an endpoint's external addresses share one IP. */
enum { WG_RECORD_ENDPOINTS = 6, WG_RECORD_HINTS = 4, WG_HINT_LEN = 64 };

typedef struct wg_record {
  warp_key key;
  uint8_t machine[WG_MACHINE_ID_LEN]; /* wg_machine_tag of the machine id and the key */
  uint64_t sequence;                  /* grows with every issue */
  int64_t issued_ms, expires_ms;      /* since 1970 UTC */
  size_t endpoint_count;
  warp_endpoint endpoints[WG_RECORD_ENDPOINTS];
  size_t broker_count, relay_count;
  char brokers[WG_RECORD_HINTS][WG_HINT_LEN]; /* "host:port" */
  char relays[WG_RECORD_HINTS][WG_HINT_LEN];
} wg_record;

/* Encodes all but the signature. Scopes of addresses are left out: they mean nothing elsewhere.
 * Returns the length, or WARP_TOO_BIG (for `cap`, or for WARP_RECORD_MAX with the signature), or
 * WARP_INVALID (counts over limits, an endpoint that decoding would refuse, a hint that is no
 * "host:port", expiry before issue). */
int wg_record_encode(const wg_record *record, uint8_t *out, size_t cap);
/* Appends the signature field to an encoded record of `len` bytes. Returns the new length or
 * WARP_TOO_BIG (for `cap`, or for WARP_RECORD_MAX). */
int wg_record_attach(uint8_t *bytes, size_t len, size_t cap,
                     const uint8_t signature[WG_SIGNATURE_LEN]);
/* Decodes. `*signed_len` is how many leading bytes the signature covers (the signature field is
 * always last). WARP_MALFORMED, WARP_VERSION. Says nothing about the signature's truth. Endpoints
 * whose fields make no sense (unknown family, bad enum values) are malformed. */
int wg_record_decode(const uint8_t *bytes, size_t len, wg_record *out, size_t *signed_len,
                     uint8_t signature[WG_SIGNATURE_LEN]);

#endif
