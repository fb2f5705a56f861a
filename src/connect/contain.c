/*
 * Plugins that break the contract: what they do is put right, said in the log and in the report,
 * and costs nothing but their own attempt.
 */
#include "connect/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void wg_attempt_breach(warp_attempt *attempt, const char *format, ...) {
  static const char prefix[] = "; the plugin ";
  char what[80];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  wg_connect *connect = attempt->session->connect;
  wg_logf(connect->config.log, WARP_LOG_WARN, "the plugin %s %s", attempt->plugin->name, what);
  if (attempt->breached)
    return; /* the first one is the one to look for */
  attempt->breached = true;
  char *detail = attempt->row.detail;
  size_t room = WARP_DETAIL_LEN - sizeof prefix - strlen(what);
  size_t len = strnlen(detail, room); /* rather the end of what stood there than this */
  snprintf(detail + len, WARP_DETAIL_LEN - len, "%s%s", prefix, what);
}

int wg_attempt_status(warp_attempt *attempt, int status, const char *from) {
  if (status < WARP_OK && status >= WARP_ALL_FAILED)
    return status;
  wg_attempt_breach(attempt, "gave %d to %s, which is no error", status, from);
  return WARP_IO;
}

uint32_t wg_plugin_timeout_ms(const warp_plugin *plugin) {
  bool sane = plugin->timeout_ms > 0 && plugin->timeout_ms <= WG_ATTEMPT_TIMEOUT_MS;
  return sane ? plugin->timeout_ms : WG_ATTEMPT_TIMEOUT_MS;
}
