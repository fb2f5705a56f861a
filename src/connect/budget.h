/*
 * What all attempts together may put on the way to one gateway. A state machine without I/O: time
 * is passed in.
 *
 * Home routers track few flows and call a fast sequence of packets to many ports a scan: about 100
 * packets a second and 256 new flows at once are safe.
 */
#ifndef WG_CONNECT_BUDGET_H
#define WG_CONNECT_BUDGET_H

#include <warpgate/plugin.h>

/* A person changes them by the settings node.probes_per_s, node.flows and node.syns. */
enum {
  WG_BUDGET_PROBES_PER_S = 100,
  WG_BUDGET_FLOWS = 512, /* two openers of 256 sockets each, for instance for UDP and for TCP */
  WG_BUDGET_SYNS =
      384, /* the 256 of an opener, and the 100 of a prober that leaves each a second */
  /* Flows, and SYNs, only for attempts of our own connects, whatever strangers begin; where a
   * person allows less than twice as many, none. */
  WG_BUDGET_OWN = 128,
  WG_BUDGET_BURST = 10,    /* probes at once, when none were sent before */
  WG_BUDGET_BURST_MS = 20, /* or so many milliseconds' worth: timers are not finer under load */
  WG_BUDGET_RETRY_MS = 50, /* when flows or SYNs are used up: they come back at any time */
};

typedef struct wg_budget_limits {
  uint32_t probes_per_s, flows, syns;
} wg_budget_limits;

typedef struct wg_budget_count {
  uint32_t own, peers; /* alive: of attempts that we began, that peers began */
} wg_budget_count;

/* A token bucket for probes, counts of what is alive for the others. */
typedef struct wg_budget {
  wg_budget_limits limits;
  uint64_t tokens; /* millionths of a probe */
  uint64_t filled_us;
  wg_budget_count flows, syns;
} wg_budget;

void wg_budget_start(wg_budget *budget, const wg_budget_limits *limits, uint64_t now_us);
/* Grants up to `want` to an attempt that we began (`own`) or a peer, and returns how many. When
 * fewer, `*retry_ms` (may be NULL) is when there will be one more; 0 otherwise. */
unsigned wg_budget_take(wg_budget *budget, warp_budget which, bool own, unsigned want,
                        uint64_t now_us, uint32_t *retry_ms);
/* What was taken and not used, or is not alive any more. */
void wg_budget_give(wg_budget *budget, warp_budget which, bool own, unsigned count);

#endif
