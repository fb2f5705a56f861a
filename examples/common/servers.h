/*
 * The configuration of the examples. Without any server in the environment nodes stay on loopback;
 * with WARPGATE_BROKERS, WARPGATE_STUN, WARPGATE_TURN or WARPGATE_NAMES ("host:port", several
 * separated by commas) they go out to the world, as the `warpgate` command does with the same
 * words.
 */
#ifndef EXAMPLE_SERVERS_H
#define EXAMPLE_SERVERS_H

#include <warpgate/warpgate.h>

/* The lists stay ours; to be called once. */
warp_conf example_conf(void);

#endif
