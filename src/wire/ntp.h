/* The packet header of NTP version 4 (RFC 5905 section 7.3), as clients and servers send it. */
#ifndef WG_WIRE_NTP_H
#define WG_WIRE_NTP_H

#include "base/bytes.h"

enum { WG_NTP_LEN = 48, WG_NTP_PORT = 123, WG_NTP_VERSION = 4 };
enum { WG_NTP_CLIENT = 3, WG_NTP_SERVER = 4 }; /* modes */
enum {
  WG_NTP_LEAP_UNKNOWN = 3,            /* the sender's clock is not synchronized */
  WG_NTP_STRATUM_KISS = 0,            /* the reference is a kiss code (RFC 5905 section 7.4) */
  WG_NTP_STRATUM_UNSYNCHRONIZED = 16, /* and what lies above is reserved */
};
/* Kiss codes that a client must obey. */
#define WG_NTP_KISS_DENY UINT32_C(0x44454E59) /* "DENY": never ask again */
#define WG_NTP_KISS_RSTR UINT32_C(0x52535452) /* "RSTR": the same */
#define WG_NTP_KISS_RATE UINT32_C(0x52415445) /* "RATE": ask less often */

/* Timestamps are seconds since 1900 (32 bits) and their fraction (32 bits); 0: not known. */
typedef struct wg_ntp_packet {
  uint8_t leap, version, mode, stratum;
  int8_t poll, precision;   /* log2 of seconds */
  uint32_t root_delay;      /* seconds, 16 bits of them after the point */
  uint32_t root_dispersion; /* the same */
  uint32_t reference_id;
  uint64_t reference, origin, receive, transmit;
} wg_ntp_packet;

/* Of leap, version and mode the low 2, 3 and 3 bits are written. */
void wg_ntp_encode(const wg_ntp_packet *packet, uint8_t out[WG_NTP_LEN]);
/* What follows the header (extension fields, a MAC) is not read. WARP_MALFORMED when it is shorter
 * than that, or of a version other than 3 and 4. Whether what it says makes sense is not looked at.
 */
int wg_ntp_decode(const uint8_t *bytes, size_t len, wg_ntp_packet *out);

/* Microseconds since 1970 UTC of a timestamp: one between 1968 and 2104, because seconds with the
 * first bit clear are of the next era (RFC 4330 section 3). */
int64_t wg_ntp_to_utc_us(uint64_t timestamp);
/* The timestamp of a time in these years, rounded down. */
uint64_t wg_ntp_from_utc_us(int64_t utc_us);
/* Microseconds of a root delay or dispersion. */
uint64_t wg_ntp_short_us(uint32_t value);

#endif
