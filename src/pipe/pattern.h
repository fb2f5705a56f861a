/* Regular expressions over bytes, with bounds on what a match may cost. */
#ifndef WG_PIPE_PATTERN_H
#define WG_PIPE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wg_pattern wg_pattern;

/* WARP_INVALID: not a pattern; WARP_TOO_BIG: over WARP_PATTERN_MAX; WARP_NOMEM. */
int wg_pattern_new(const char *text, size_t len, wg_pattern **out);
void wg_pattern_free(wg_pattern *pattern); /* NULL is allowed */
/* Is it found somewhere in the bytes? False also when finding out would take too long. */
bool wg_pattern_matches(const wg_pattern *pattern, const void *data, size_t len);

#endif
