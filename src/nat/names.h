/*
 * What NAT behaviour is called: short names of the axes, one line for all of them and back, and the
 * older summary as a kind of cone.
 */
#ifndef WG_NAT_NAMES_H
#define WG_NAT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <warpgate/plugin.h>

/* "ei", "ad", "apd", or "?" (not measured). Static storage. */
const char *wg_dependence_name(uint8_t value);
/* "endpoint-independent", "address-dependent", "address- and port-dependent", or "unknown". */
const char *wg_dependence_text(uint8_t value);
/* "preserving", "sequential", "random", or "?". */
const char *wg_allocation_name(uint8_t value);

/* Room for any formatted axes and the NUL. */
enum { WG_AXES_STRLEN = 40 };
/* Writes "ei/apd, random": mapping, filtering, allocation (a sequential one with its step, as
 * "sequential:1"). Without translation "none/apd": there is no mapping to speak of. Confidence is
 * left out. Returns out. */
const char *wg_axes_format(const warp_nat_axes *axes, char out[WG_AXES_STRLEN]);
/* Reads what wg_axes_format writes; the allocation may be missing (then unknown), spaces after the
 * comma too, and so may the step of "sequential" (then 1). Confidence becomes 0. WARP_INVALID. */
int wg_axes_parse(const char *text, warp_nat_axes *out);

/* Do both say the same of a NAT? Their ages do not count. */
bool wg_axes_equal(const warp_nat_axes *a, const warp_nat_axes *b);

/* The kind of cone as RFC 3489 named it: "open" (no translation, nothing filtered), "firewall" (no
 * translation, but filtered), "full-cone", "restricted", "port-restricted", "symmetric" (any
 * mapping that depends on the destination), or "unknown" when an axis that decides is not measured.
 * Static storage. */
const char *wg_axes_cone(const warp_nat_axes *axes);

#endif
