/*
 * What a node knows of the time of day. Time servers are asked against the monotonic clock, so
 * that a step of this machine's wall clock changes nothing.
 */
#ifndef WG_ENV_CLOCK_H
#define WG_ENV_CLOCK_H

#include "env/env.h"

/* Written by who asks the time servers (node/clock.c); zeroed it knows nothing, and the time is
 * that of this machine's clock. */
typedef struct wg_clock {
  bool known;
  int64_t epoch_us;        /* UTC since 1970 when the monotonic clock was 0 */
  int64_t wall_epoch_us;   /* the same by this machine's clock, when it was measured */
  uint32_t uncertainty_us; /* either way, when it was measured */
  uint64_t measured_us;    /* monotonic */
} wg_clock;

/* Takes a measurement: `epoch_us` was right within `uncertainty_us` at `measured_us`. */
void wg_clock_set(wg_env *env, wg_clock *clock, int64_t epoch_us, uint32_t uncertainty_us,
                  uint64_t measured_us);
/* Has this machine slept, or its clock been set, by more than a second since the measurement? Then
 * which of its two clocks tells the truth is not known until the servers are asked again. */
bool wg_clock_stale(wg_env *env, const wg_clock *clock);
/* Microseconds since 1970 UTC; `clock` NULL, or one that knows nothing: by this machine's clock.
 * `*uncertainty_us` (may be NULL) is how far it may be off either way; UINT32_MAX: nobody knows. */
int64_t wg_utc_us(wg_env *env, const wg_clock *clock, uint32_t *uncertainty_us);
/* The same in milliseconds, for the times in records and letters. */
int64_t wg_utc_ms(wg_env *env, const wg_clock *clock);

#endif
