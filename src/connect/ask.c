/*
 * Asking the peer itself, through a broker, for its present record: beside the attempts of a
 * connect whose record of the peer is old, before them when it has expired, or without a connect at
 * all.
 */
#include "connect/session.h"

#include <stdlib.h>
#include <string.h>

/* Somebody waits for the peer's record, and for no pipe. */
struct wg_asking {
  warp_on_name cb;
  void *arg;
  size_t len; /* 0: it has not come */
  uint8_t record[WARP_RECORD_MAX];
};

/* ---- the attempt that asks ------------------------------------------------------------------- */

static int64_t age_ms(const wg_session *session) {
  const wg_connect_config *config = &session->connect->config;
  return wg_utc_ms(config->env, config->clock) - session->peer_record.issued_ms;
}

/* Does the peer know from outside where it is over UDP, and not over TCP? */
static bool lacks_address(const wg_session *session) {
  const wg_record *record = &session->peer_record;
  for (size_t i = 0; i < record->endpoint_count; i++) {
    const warp_endpoint *endpoint = &record->endpoints[i];
    if (endpoint->external_udp.family != 0 && endpoint->external_tcp.family == 0)
      return true;
  }
  return false;
}

bool wg_ask_is_early(const wg_session *session) {
  return lacks_address(session) && age_ms(session) < WG_RECORD_EARLY_MS;
}

static bool is_wanted(const wg_session *session) {
  return session->asking != NULL || session->expired || age_ms(session) > WG_RECORD_FRESH_MS ||
         lacks_address(session);
}

static bool is_asked(const wg_session *session, const warp_plugin *plugin) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    const warp_attempt *attempt = session->attempts[i];
    if (attempt->plugin == plugin &&
        (attempt->number > session->first_number || session->asking != NULL))
      return true;
  }
  return session->renewer == plugin;
}

/* It goes through brokers, so one for the whole session is enough; which endpoints it names means
 * nothing. */
static int add_asking(wg_session *session, const warp_plugin *plugin) {
  const wg_connect *connect = session->connect;
  if (connect->record.endpoint_count == 0 || session->peer_record.endpoint_count == 0)
    return WARP_UNREACHABLE;
  warp_combo combo = {.family = connect->record.endpoints[0].family,
                      .route_type = WARP_EXT_BIND,
                      .transport = WARP_TCP, /* to the broker */
                      .self = &connect->record.endpoints[0],
                      .peer = &session->peer_record.endpoints[0]};
  uint16_t number = session->asking != NULL ? WG_ATTEMPT_ASKS : ++session->last_number;
  return wg_attempt_add(session, plugin, number, &combo) != NULL ? WARP_OK : WARP_NOMEM;
}

int wg_ask_build(wg_session *session) {
  const wg_connect_config *config = &session->connect->config;
  const warp_plugin *plugin = wg_plugin_find(config->plugins, "get_addr");
  if (!is_wanted(session) || (plugin != NULL && is_asked(session, plugin)))
    return WARP_OK;
  if (plugin != NULL && config->router != NULL &&
      wg_router_knows(config->router, &session->peer_record))
    return add_asking(session, plugin);
  if (session->expired)
    return WARP_EXPIRED;
  return session->asking != NULL ? WARP_NO_SERVER : WARP_OK;
}

/* ---- without a connect ----------------------------------------------------------------------- */

void wg_asking_answered(wg_session *session, const uint8_t *record, size_t len) {
  memcpy(session->asking->record, record, len);
  session->asking->len = len;
  wg_session_fail(session, WARP_CLOSED, true);
}

/* The session is over: that its only attempt failed says less than why it did. */
static void on_over(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  struct wg_asking asking = *(struct wg_asking *)arg;
  (void)pipe;
  free(arg);
  if (status == WARP_ALL_FAILED && report->count > 0)
    status = report->rows[0].status;
  if (asking.len > 0)
    asking.cb(asking.arg, WARP_OK, asking.record, asking.len);
  else
    asking.cb(asking.arg, status, NULL, 0);
}

int wg_connect_resolve(wg_connect *connect, const uint8_t *record, size_t len, warp_on_name cb,
                       void *arg) {
  struct wg_asking *asking = calloc(1, sizeof *asking);
  if (asking == NULL)
    return WARP_NOMEM;
  *asking = (struct wg_asking){.cb = cb, .arg = arg};
  wg_connect_pin pin = {.asking = asking};
  int status = wg_connect_start(connect, record, len, pin, NULL, on_over, asking);
  if (status != WARP_OK)
    free(asking);
  return status;
}
