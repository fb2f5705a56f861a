/* How a NAT behaves, as records and the file of known networks write it: two parts, because the
 * second one came later. */
#ifndef WG_WIRE_AXES_H
#define WG_WIRE_AXES_H

#include "base/bytes.h"
#include <warpgate/plugin.h>

enum { WG_AXES_LEN = 4, WG_AXES_MORE_LEN = 9 };

/* Mapping, filtering, allocation and confidence. */
void wg_axes_write(wg_writer *writer, const warp_nat_axes *axes);
/* Hairpin, reuse, ports, lifetime and age. */
void wg_axes_write_more(wg_writer *writer, const warp_nat_axes *axes);
/* Fill the fields of their part. What makes no sense is found by wg_axes_valid. */
void wg_axes_read(wg_reader *reader, warp_nat_axes *axes);
void wg_axes_read_more(wg_reader *reader, warp_nat_axes *axes);
/* Are all values ones that mean something? */
bool wg_axes_valid(const warp_nat_axes *axes);

#endif
