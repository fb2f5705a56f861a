/* Log lines go to a sink that the owner hands down; there is no process-global handler. */
#ifndef WG_BASE_LOG_H
#define WG_BASE_LOG_H

#include <warpgate/warpgate.h>

typedef struct wg_log wg_log;
struct wg_log {
  void (*sink)(void *arg, warp_log_level level, const char *line); /* NULL: silent */
  void *arg;
  wg_log *next; /* who hears the same lines; NULL: nobody else */
};

enum { WG_LOG_LINE = 512 }; /* longer lines are cut */

/* Has `also` hear what is said to `log` from now on, once where both hand lines to the same sink
 * with the same argument; until it leaves. */
void wg_log_join(wg_log *log, wg_log *also);
/* Does nothing when it did not join. */
void wg_log_leave(wg_log *log, const wg_log *also);

/* Formats one line and hands it to the sinks. Nothing is formatted when there is none. */
void wg_logf(const wg_log *log, warp_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
