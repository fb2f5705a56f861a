/* Log lines go to a sink that the owner hands down; there is no process-global handler. */
#ifndef WG_BASE_LOG_H
#define WG_BASE_LOG_H

#include <warpgate/warpgate.h>

typedef struct wg_log {
  void (*sink)(void *arg, warp_log_level level, const char *line); /* NULL: silent */
  void *arg;
} wg_log;

enum { WG_LOG_LINE = 512 }; /* longer lines are cut */

/* Formats one line and hands it to the sink. Nothing is formatted when there is none. */
void wg_logf(const wg_log *log, warp_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
