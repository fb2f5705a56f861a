#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

void wg_log_join(wg_log *log, wg_log *also) {
  also->next = log->next;
  log->next = also;
}

void wg_log_leave(wg_log *log, const wg_log *also) {
  while (log != NULL && log->next != also) {
    log = log->next;
  }
  if (log != NULL) {
    log->next = also->next;
  }
}

static bool is_silent(const wg_log *log) {
  while (log != NULL && log->sink == NULL) {
    log = log->next;
  }
  return log == NULL;
}

/* Does one before it hand lines to the same sink with the same argument? */
static bool is_repeated(const wg_log *first, const wg_log *log) {
  while (first != log && (first->sink != log->sink || first->arg != log->arg)) {
    first = first->next;
  }
  return first != log;
}

void wg_logf(const wg_log *log, warp_log_level level, const char *format, ...) {
  if (is_silent(log)) {
    return;
  }
  char line[WG_LOG_LINE];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (len < 0) {
    return;
  }
  /* Text of strangers ends up in lines: a control character must not move a terminal's cursor nor
   * fake a second line. */
  for (char *c = line; *c != '\0'; c++) {
    if ((unsigned char)*c < 0x20 || *c == 0x7f) {
      *c = '?';
    }
  }
  for (const wg_log *to = log; to != NULL; to = to->next) {
    if (to->sink != NULL && !is_repeated(log, to)) {
      to->sink(to->arg, level, line);
    }
  }
}
