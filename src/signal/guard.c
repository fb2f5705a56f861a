#include "signal/guard.h"

#include "base/list.h"
#include "signal/router.h"

#include <stdlib.h>

/* ---- buckets --------------------------------------------------------------------------------- */

bool wg_bucket_take(wg_bucket *bucket, uint64_t now_us, unsigned per_s, unsigned burst) {
  uint64_t token_us = 1000000 / per_s;
  uint64_t from_us = bucket->full_us > now_us ? bucket->full_us : now_us;
  if (from_us + token_us > now_us + burst * token_us) {
    return false;
  }
  bucket->full_us = from_us + token_us;
  return true;
}

/* ---- windows --------------------------------------------------------------------------------- */

bool wg_window_repeats(const wg_window *window, uint64_t sequence) {
  if (sequence > window->newest) {
    return false;
  }
  uint64_t behind = window->newest - sequence;
  return behind == 0 || behind > WG_REPLAY_WINDOW || (window->seen >> (behind - 1) & 1) != 0;
}

void wg_window_mark(wg_window *window, uint64_t sequence) {
  if (sequence <= window->newest) {
    window->seen |= UINT64_C(1) << (window->newest - sequence - 1);
    return;
  }
  uint64_t ahead = sequence - window->newest;
  window->seen = ahead < WG_REPLAY_WINDOW ? window->seen << ahead : 0;
  if (ahead <= WG_REPLAY_WINDOW) {
    window->seen |= UINT64_C(1) << (ahead - 1);
  }
  window->newest = sequence;
}

/* ---- senders --------------------------------------------------------------------------------- */

typedef struct sender {
  wg_list link;
  warp_key key;
  wg_window window;
  wg_bucket bucket;
} sender;

struct wg_guard {
  wg_bucket all;
  wg_list senders; /* the most recently heard one last */
  size_t used;
  sender pool[WG_REPLAY_SENDERS];
};

wg_guard *wg_guard_new(void) {
  wg_guard *guard = calloc(1, sizeof *guard);
  if (guard != NULL) {
    wg_list_init(&guard->senders);
  }
  return guard;
}

void wg_guard_free(wg_guard *guard) {
  free(guard);
}

int wg_guard_admit(wg_guard *guard, uint64_t now_us) {
  return wg_bucket_take(&guard->all, now_us, WG_RATE_ALL_PER_S, WG_RATE_ALL_PER_S) ? WARP_OK
                                                                                   : WARP_LIMIT;
}

/* A walk over all senders is some microseconds, the signature check before it over a hundred: a
 * table that can be looked up faster would gain nothing. */
static sender *find(wg_guard *guard, const warp_key *key) {
  for (wg_list *link = guard->senders.prev; link != &guard->senders; link = link->prev) {
    sender *known = WG_CONTAINER(link, sender, link);
    if (wg_key_equal(&known->key, key)) {
      return known;
    }
  }
  return NULL;
}

static sender *add(wg_guard *guard, const warp_key *key) {
  sender *fresh;
  if (guard->used < WG_REPLAY_SENDERS) {
    fresh = &guard->pool[guard->used++];
  } else {
    fresh = WG_CONTAINER(guard->senders.next, sender, link);
    wg_list_remove(&fresh->link);
  }
  *fresh = (sender){.key = *key};
  wg_list_push(&guard->senders, &fresh->link);
  return fresh;
}

int wg_guard_accept(wg_guard *guard, const warp_key *key, uint64_t sequence, uint64_t now_us) {
  sender *known = find(guard, key);
  if (known == NULL) {
    known = add(guard, key);
  } else {
    wg_list_remove(&known->link);
    wg_list_push(&guard->senders, &known->link);
  }
  if (wg_window_repeats(&known->window, sequence)) {
    return WARP_REPLAY;
  }
  if (!wg_bucket_take(&known->bucket, now_us, WG_RATE_SENDER_PER_S, WG_RATE_SENDER_PER_S)) {
    return WARP_LIMIT;
  }
  wg_window_mark(&known->window, sequence);
  return WARP_OK;
}
