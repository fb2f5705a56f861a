/* What the answers of a measurement say about the NAT: the reasoning of machine/nat_probe.h. */
#ifndef WG_MACHINE_NAT_INFER_H
#define WG_MACHINE_NAT_INFER_H

#include "machine/nat_probe.h"

/* The axes that follow from finished tests, in the order in which they were first sent; lifetime
 * and age stay 0. Those of servers that are outvoted become
 * WG_PROBE_RUNNING first, as if they had not been made. Over TCP a test
 * that changes the address may stand there several times, from other local ports. */
warp_nat_axes wg_nat_infer(wg_probe_test *tests, size_t count);
/* The block that UDP has shown is TCP's too, when the ports `low` to `high` of the few TCP
 * connections lie in it or so close to it that both together are still a block; then it reaches
 * over them. Does nothing for a TCP that is not random or has shown a block of its own. */
void wg_nat_share_block(warp_nat_axes *tcp, const warp_nat_axes *udp, uint16_t low, uint16_t high);
/* A NAT that counts over UDP counts over TCP too, when those few ports are in no order but lie
 * close together: then some connections overtook each other. */
void wg_nat_share_counter(warp_nat_axes *tcp, const warp_nat_axes *udp, uint16_t low,
                          uint16_t high);

#endif
