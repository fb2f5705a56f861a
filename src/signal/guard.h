/*
 * What keeps signalling from being flooded or replayed: a token bucket for all, and for each sender
 * a token bucket and a window over its sequence numbers.
 */
#ifndef WG_SIGNAL_GUARD_H
#define WG_SIGNAL_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <warpgate/warpgate.h>

/* A token bucket as one time stamp (the "generic cell rate algorithm" of ITU-T I.371): when the
 * bucket would be full again. Zeroed it is a full bucket. */
typedef struct wg_bucket {
  uint64_t full_us;
} wg_bucket;

/* Takes one token of a bucket that holds `burst` and gets `per_s` a second. False when it is empty:
 * nothing is taken then. `now_us` is monotonic. */
bool wg_bucket_take(wg_bucket *bucket, uint64_t now_us, unsigned per_s, unsigned burst);

/* The sequence numbers of one sender that were seen (as RFC 4303 section 3.4.3 does it). Zeroed it
 * has seen only the number 0, which nobody sends. */
typedef struct wg_window {
  uint64_t newest;
  uint64_t seen; /* bit i: newest - 1 - i */
} wg_window;

/* Was it seen before, or is it too old to know? */
bool wg_window_repeats(const wg_window *window, uint64_t sequence);
/* Marks a number that does not repeat. */
void wg_window_mark(wg_window *window, uint64_t sequence);

typedef struct wg_guard wg_guard;
/* NULL when out of memory. */
wg_guard *wg_guard_new(void);
void wg_guard_free(wg_guard *guard);
/* Before any costly check: WARP_OK, or WARP_LIMIT when WG_RATE_ALL_PER_S is used up. */
int wg_guard_admit(wg_guard *guard, uint64_t now_us);
/* After the signature was found good: WARP_OK and the number is marked; WARP_REPLAY, WARP_LIMIT
 * (the sender's rate). A sender heard for the first time takes the place of the one that was heard
 * least recently when WG_REPLAY_SENDERS are known. */
int wg_guard_accept(wg_guard *guard, const warp_key *sender, uint64_t sequence, uint64_t now_us);

#endif
