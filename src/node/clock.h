/*
 * Keeps a node's clock right by NTP: once when it opens, and again every quarter of an hour for as
 * long as it is open. The protocol is machine/clock_sync.h's; this looks the servers' names up and
 * feeds the machine with the environment's packets and time.
 */
#ifndef WG_NODE_CLOCK_H
#define WG_NODE_CLOCK_H

#include "env/clock.h"
#include "machine/clock_sync.h"

enum {
  WG_CLOCK_AGAIN_S = 900,       /* a clock that nobody disciplines drifts by 15 ms in it */
  WG_CLOCK_AGAIN_BUSY_S = 3600, /* when a server asked to be asked less often */
  WG_CLOCK_RETRY_S = 64,        /* after a round without a result: MINPOLL of RFC 5905 */
  WG_CLOCK_SPACING_MS = 2000,   /* between requests to one server in the background: BTIME */
};

typedef struct wg_timekeeper wg_timekeeper;

/* A round ended; the clock was written before, if `result->status` is WARP_OK. `asked`: servers.
 * Besides what the machine says: WARP_NO_SERVER (none is configured, or no name was found),
 * WARP_AGAIN (the machine slept, or its clock was set, meanwhile). The keeper may be
 * closed from within. */
typedef void (*wg_timekeeper_cb)(void *arg, const wg_clock_result *result, size_t asked);

typedef struct wg_timekeeper_options {
  wg_env *env;
  const wg_log *log; /* borrowed */
  wg_clock *clock;   /* written; must outlive the keeper */
  /* Addresses to ask from, port 0; family 0: not. */
  warp_addr local4, local6;
  /* "host" or "host:port", NULL-terminated; the first WG_CLOCK_SERVERS are used. Each has one vote,
   * whatever number of addresses it has, but a single one (a pool) has one for each. Borrowed. */
  const char *const *servers;
  uint32_t timeout_ms; /* of the first round, half of it for looking names up */
  wg_timekeeper_cb cb;
  void *arg;
} wg_timekeeper_options;

/* Starts the first round. WARP_NOMEM. */
int wg_timekeeper_open(const wg_timekeeper_options *options, wg_timekeeper **out);
/* Asks from these addresses from the next round on; NULL: not over that family. */
void wg_timekeeper_move(wg_timekeeper *keeper, const warp_addr *local4, const warp_addr *local6);
/* Goes on with the further rounds; without it there is only the first. */
void wg_timekeeper_go_on(wg_timekeeper *keeper);
/* NULL is allowed. Nothing of it runs afterwards. */
void wg_timekeeper_close(wg_timekeeper *keeper);

#endif
