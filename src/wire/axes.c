#include "wire/axes.h"

bool wg_axes_valid(const warp_nat_axes *axes) {
  return axes->translation <= WARP_TRANSLATION_NAT &&
         axes->mapping <= WARP_NAT_ADDRESS_AND_PORT_DEPENDENT &&
         axes->filtering <= WARP_NAT_ADDRESS_AND_PORT_DEPENDENT &&
         axes->allocation <= WARP_ALLOC_RANDOM && axes->confidence <= 100 &&
         axes->hairpin <= WARP_ABILITY_YES && axes->reuse <= WARP_ABILITY_YES &&
         axes->port_low <= axes->port_high;
}

void wg_axes_write(wg_writer *writer, const warp_nat_axes *axes) {
  wg_write_u8(writer, (uint8_t)(axes->translation << 6 | axes->mapping << 4 | axes->filtering << 2 |
                                axes->allocation));
  wg_write_u8(writer, axes->confidence);
  wg_write_u16(writer, (uint16_t)axes->step);
}

void wg_axes_read(wg_reader *reader, warp_nat_axes *axes) {
  uint8_t packed = wg_read_u8(reader);
  axes->translation = packed >> 6;
  axes->mapping = packed >> 4 & 3;
  axes->filtering = packed >> 2 & 3;
  axes->allocation = packed & 3;
  axes->confidence = wg_read_u8(reader);
  axes->step = (int16_t)wg_read_u16(reader);
}

enum { ABILITY_BITS = 2, ABILITY_MASK = 3 };

void wg_axes_write_more(wg_writer *writer, const warp_nat_axes *axes) {
  wg_write_u8(writer, (uint8_t)(axes->hairpin | axes->reuse << ABILITY_BITS));
  wg_write_u16(writer, axes->port_low);
  wg_write_u16(writer, axes->port_high);
  wg_write_u16(writer, axes->lifetime_s);
  wg_write_u16(writer, axes->age_s);
}

void wg_axes_read_more(wg_reader *reader, warp_nat_axes *axes) {
  uint8_t packed = wg_read_u8(reader);
  axes->hairpin = packed & ABILITY_MASK;
  axes->reuse = packed >> ABILITY_BITS & ABILITY_MASK;
  axes->port_low = wg_read_u16(reader);
  axes->port_high = wg_read_u16(reader);
  axes->lifetime_s = wg_read_u16(reader);
  axes->age_s = wg_read_u16(reader);
}
