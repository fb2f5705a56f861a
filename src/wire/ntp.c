#include "wire/ntp.h"

#include <warpgate/warpgate.h>

#define SECONDS_1900_TO_1970 INT64_C(2208988800)
#define MICRO                INT64_C(1000000)

enum { VERSION_OLDEST = 3, LEAP_SHIFT = 6, VERSION_SHIFT = 3, THREE_BITS = 7 };

void wg_ntp_encode(const wg_ntp_packet *packet, uint8_t out[WG_NTP_LEN]) {
  wg_writer writer = wg_writer_init(out, WG_NTP_LEN);
  wg_write_u8(&writer, (uint8_t)(packet->leap << LEAP_SHIFT |
                                 (packet->version & THREE_BITS) << VERSION_SHIFT |
                                 (packet->mode & THREE_BITS)));
  wg_write_u8(&writer, packet->stratum);
  wg_write_u8(&writer, (uint8_t)packet->poll);
  wg_write_u8(&writer, (uint8_t)packet->precision);
  wg_write_u32(&writer, packet->root_delay);
  wg_write_u32(&writer, packet->root_dispersion);
  wg_write_u32(&writer, packet->reference_id);
  wg_write_u64(&writer, packet->reference);
  wg_write_u64(&writer, packet->origin);
  wg_write_u64(&writer, packet->receive);
  wg_write_u64(&writer, packet->transmit);
}

int wg_ntp_decode(const uint8_t *bytes, size_t len, wg_ntp_packet *out) {
  wg_reader reader = wg_reader_init(bytes, len);
  uint8_t first = wg_read_u8(&reader);
  *out = (wg_ntp_packet){.leap = (uint8_t)(first >> LEAP_SHIFT),
                         .version = (uint8_t)(first >> VERSION_SHIFT & THREE_BITS),
                         .mode = first & THREE_BITS};
  out->stratum = wg_read_u8(&reader);
  out->poll = (int8_t)wg_read_u8(&reader);
  out->precision = (int8_t)wg_read_u8(&reader);
  out->root_delay = wg_read_u32(&reader);
  out->root_dispersion = wg_read_u32(&reader);
  out->reference_id = wg_read_u32(&reader);
  out->reference = wg_read_u64(&reader);
  out->origin = wg_read_u64(&reader);
  out->receive = wg_read_u64(&reader);
  out->transmit = wg_read_u64(&reader);
  bool known = out->version == VERSION_OLDEST || out->version == WG_NTP_VERSION;
  return !reader.failed && known ? WARP_OK : WARP_MALFORMED;
}

int64_t wg_ntp_to_utc_us(uint64_t timestamp) {
  uint64_t seconds = timestamp >> 32;
  if ((seconds & UINT64_C(0x80000000)) == 0)
    seconds += UINT64_C(1) << 32;
  uint64_t micro = (timestamp & UINT32_MAX) * (uint64_t)MICRO >> 32;
  return ((int64_t)seconds - SECONDS_1900_TO_1970) * MICRO + (int64_t)micro;
}

uint64_t wg_ntp_from_utc_us(int64_t utc_us) {
  uint64_t since_1900_us = (uint64_t)(utc_us + SECONDS_1900_TO_1970 * MICRO);
  uint64_t fraction = (since_1900_us % (uint64_t)MICRO << 32) / (uint64_t)MICRO;
  return since_1900_us / (uint64_t)MICRO << 32 | fraction;
}

uint64_t wg_ntp_short_us(uint32_t value) {
  return (uint64_t)value * (uint64_t)MICRO >> 16;
}
