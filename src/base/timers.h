/*
 * A set of timers over someone else's clock: a pairing heap of intrusive entries. The drivers run
 * it, so that a timer needs no allocation and can be stopped or restarted at any time, also from
 * its own callback. Timers of equal deadline fire in the order in which they were started.
 */
#ifndef WG_BASE_TIMERS_H
#define WG_BASE_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*wg_timer_cb)(void *arg);

/* Owned by the caller; zeroed it is a stopped timer. Must be stopped before its memory goes. */
typedef struct wg_timer {
  uint64_t deadline_us;
  uint64_t order;
  struct wg_timer *child, *next, *prev; /* prev: left sibling, or parent for the first child */
  bool running;
  bool at_once; /* to be set once started: a next step rather than an end of waiting */
  bool due;     /* picked by wg_timers_run, not fired yet */
  wg_timer_cb cb;
  void *arg;
} wg_timer;

typedef struct wg_timers {
  wg_timer *root;
  wg_timer *due; /* what wg_timers_run is firing now */
  uint64_t next_order;
  size_t running; /* started and neither fired nor stopped */
} wg_timers;

/* Starts, or restarts with another deadline. */
void wg_timers_start(wg_timers *timers, wg_timer *timer, uint64_t deadline_us, wg_timer_cb cb,
                     void *arg);
/* Harmless on a stopped timer. */
void wg_timers_stop(wg_timers *timers, wg_timer *timer);
/* The earliest deadline, or UINT64_MAX. */
uint64_t wg_timers_next(const wg_timers *timers);
/* Fires all that were due at `now_us` when it was called (those started meanwhile wait for the next
 * call, so that a zero-delay timer that restarts itself cannot starve the loop). Returns how many
 * fired. */
size_t wg_timers_run(wg_timers *timers, uint64_t now_us);

#endif
