/*
 * What a peer's word may have us send to one address before anything of the peer came from there.
 * A record names what addresses it likes, also somebody else's who never asked for anything, and
 * keys, sessions and attempts cost a peer nothing: all of them together share what one address may
 * get. A state machine without I/O: time is passed in.
 */
#ifndef WG_CONNECT_UNHEARD_H
#define WG_CONNECT_UNHEARD_H

#include <stdbool.h>
#include <stdint.h>
#include <warpgate/plugin.h>

enum {
  WG_UNHEARD_PLACES = 64, /* addresses fall into these: a whole record's worth, and strangers */
  /* Times the probes that a gateway is sent for a second: one session that tries all techniques
   * at once stays below. */
  WG_UNHEARD_TIMES = 4,
  WG_UNHEARD_BURST_S = 2, /* worth that may go at once: more than the sockets of an opener */
};

typedef struct wg_unheard {
  uint32_t per_s;
  struct {
    uint64_t tokens; /* millionths of a packet */
    uint64_t filled_us;
  } places[WG_UNHEARD_PLACES];
} wg_unheard;

/* `probes_per_s` as in the budget of a gateway (at least 1). All addresses have their burst. */
void wg_unheard_start(wg_unheard *unheard, uint32_t probes_per_s, uint64_t now_us);
/* May one more packet or connection go there? Ports do not matter, nor does the half of an IPv6
 * address that its owner chooses freely. */
bool wg_unheard_take(wg_unheard *unheard, const warp_addr *to, uint64_t now_us);

#endif
