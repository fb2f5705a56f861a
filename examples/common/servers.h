/*
 * The configuration of the examples, from the environment, with the words of the `warpgate`
 * command: WARPGATE_BROKERS, WARPGATE_STUN, WARPGATE_TURN and WARPGATE_NAMES ("host:port", several
 * separated by commas). Without a broker nodes stay on loopback; with one they go out to the world.
 */
#ifndef EXAMPLE_SERVERS_H
#define EXAMPLE_SERVERS_H

#include <warpgate/warpgate.h>

/* The lists stay ours; to be called once. */
warp_conf example_conf(void);

#endif
