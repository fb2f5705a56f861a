#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void wg_logf(const wg_log *log, warp_log_level level, const char *format, ...) {
  if (log->sink == NULL) {
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
  log->sink(log->arg, level, line);
}
