/* What the answers of a measurement say about the NAT: the reasoning of machine/nat_probe.h. */
#ifndef WG_MACHINE_NAT_INFER_H
#define WG_MACHINE_NAT_INFER_H

#include "machine/nat_probe.h"

/* The axes that follow from finished tests, in the order in which they were first sent. */
warp_nat_axes wg_nat_infer(const wg_probe_test *tests, size_t count,
                           const warp_addr local[WG_PROBE_SOCKETS]);

#endif
