/*
 * How long a NAT keeps an idle UDP mapping (RFC 5780 section 4.6): one socket opens a mapping and
 * falls silent; after a while another one asks the server to answer to that mapping
 * (RESPONSE-PORT). If the answer arrives, it lives, and the silence is made longer. It takes
 * minutes and a handful of packets, so it is done once in a while, in the background.
 */
#ifndef WG_NODE_LIFETIME_H
#define WG_NODE_LIFETIME_H

#include "env/env.h"

typedef struct wg_lifetime wg_lifetime;
/* After each silence: mappings outlive `lived_s` (0: none that was tried) and are gone after
 * `died_s` (0: not seen yet). `last`: no more is to come, and it is freed when this returns; both 0
 * then: the server cannot, or went away. Otherwise it may be closed from here. */
typedef void (*wg_lifetime_cb)(void *arg, unsigned lived_s, unsigned died_s, bool last);
/* Begins after `delay_ms`, on the interface address `local` (port 0). WARP_NOMEM, and what the
 * environment says of sockets. */
int wg_lifetime_start(wg_env *env, const warp_addr *local, const warp_addr *server,
                      uint32_t delay_ms, wg_lifetime_cb cb, void *arg, wg_lifetime **out);
void wg_lifetime_close(wg_lifetime *lifetime);
/* What is published of a result: no longer than it was seen to be. 0: not known. */
unsigned wg_lifetime_known_s(unsigned lived_s, unsigned died_s);

#endif
