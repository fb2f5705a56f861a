/* Which messages were seen lately, so that those that come again can be dropped. */
#ifndef WG_PIPE_REPEATS_H
#define WG_PIPE_REPEATS_H

#include <stdbool.h>
#include <warpgate/warpgate.h>

enum { WG_REPEATS_MAX = 10000, WG_REPEAT_ID = 16 };

/* Zeroed it remembers nothing and nothing is a repetition. */
typedef struct wg_repeats {
  uint8_t (*ids)[WG_REPEAT_ID]; /* a ring of digests */
  size_t cap, count, next;
} wg_repeats;

/* Remembers the last `max` (1 to WG_REPEATS_MAX). False when out of memory. */
bool wg_repeats_init(wg_repeats *repeats, size_t max);
void wg_repeats_free(wg_repeats *repeats);
/* Did this sender send these bytes among the last ones? If not it is remembered. */
bool wg_repeats_seen(wg_repeats *repeats, const void *data, size_t len, const warp_addr *from);

#endif
