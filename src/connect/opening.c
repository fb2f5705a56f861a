/*
 * What an attempt says to its peer through brokers.
 *
 * Its first message, OPEN, begins the attempt at the peer, so nothing comes of the attempt when it
 * is lost: a broker may die with it, or have lost the peer for a moment. Nothing confirms it but
 * what the peer does, so it is said again until anything was heard of the attempt. The peer knows
 * the number by then and takes no notice. What followed it meanwhile found no attempt at the peer
 * either, so the latest of that is said again with it.
 */
#include "connect/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct said {
  uint8_t type;
  uint8_t data[WARP_ATTEMPT_MESSAGE_MAX];
  size_t len;
} said;

struct wg_opening {
  wg_timer timer;
  unsigned tries;
  bool sent; /* a broker took it */
  bool followed;
  said first, latest;
};

static void keep(said *kept, uint8_t type, const void *data, size_t len) {
  kept->type = type;
  kept->len = len;
  if (len > 0)
    memcpy(kept->data, data, len);
}

static wg_router *router_of(const warp_attempt *attempt) {
  return attempt->session->connect->config.router;
}

void wg_opening_end(warp_attempt *attempt) {
  if (attempt->opening == NULL)
    return;
  wg_timer_stop(attempt->session->connect->config.env, &attempt->opening->timer);
  free(attempt->opening);
  attempt->opening = NULL;
}

bool wg_opening_unsent(const warp_attempt *attempt) {
  return attempt->opening != NULL && !attempt->opening->sent;
}

/* Said here, so that no plugin's note of what it meant to do stands for the reason. */
static int no_broker(warp_attempt *attempt) {
  warp_attempt_note(attempt, "no broker to ask the peer through");
  return WARP_NO_SERVER;
}

static int send(warp_attempt *attempt, wg_message_type type, uint8_t plugin_type, const void *data,
                size_t len) {
  wg_session *session = attempt->session;
  const wg_connect *connect = session->connect;
  wg_message message = {.type = (uint8_t)type,
                        .session = session->id,
                        .attempt = attempt->number,
                        .family = attempt->combo.family,
                        .route_type = attempt->combo.route_type,
                        .transport = attempt->combo.transport,
                        .endpoint_self = attempt->self_index,
                        .endpoint_peer = attempt->peer_index,
                        .plugin_type = plugin_type,
                        .data = data,
                        .data_len = len};
  const warp_plugin *plugin = attempt->plugin;
  snprintf(message.plugin, sizeof message.plugin, "%s",
           plugin->answered_by != NULL ? plugin->answered_by : plugin->name);
  if (type == WG_MESSAGE_OPEN) {
    message.record = connect->record_bytes;
    message.record_len = connect->record_len;
    message.apart = session->apart;
    message.known = session->peer_record.sequence;
  }
  return wg_router_send(router_of(attempt), &session->peer_record, &message);
}

/* ---- the first message ----------------------------------------------------------------------- */

static void say_again(void *arg);

static void plan_again(warp_attempt *attempt) {
  wg_opening *opening = attempt->opening;
  unsigned doubled = opening->tries < WG_OPEN_DOUBLED ? opening->tries : WG_OPEN_DOUBLED;
  uint64_t delay_us = (uint64_t)WG_OPEN_REPEAT_MS * 1000 << doubled;
  opening->tries++;
  wg_timer_start(attempt->session->connect->config.env, &opening->timer, delay_us, say_again,
                 attempt);
}

static void say_again(void *arg) {
  warp_attempt *attempt = arg;
  wg_opening *opening = attempt->opening;
  const said *first = &opening->first, *latest = &opening->latest;
  int status = send(attempt, WG_MESSAGE_OPEN, first->type, first->data, first->len);
  opening->sent = opening->sent || status == WARP_OK;
  if (opening->followed && status == WARP_OK)
    (void)send(attempt, WG_MESSAGE_PLUGIN, latest->type, latest->data, latest->len);
  if (!opening->sent && opening->tries >= WG_OPEN_UNSENT)
    warp_attempt_fail(attempt, WARP_NO_SERVER, "no broker to ask the peer through");
  else if (opening->tries < WG_OPEN_REPEATS)
    plan_again(attempt);
  else
    wg_opening_end(attempt);
}

/* A broker that both know and that is not there at the moment may be back in time. */
static int open_peer(warp_attempt *attempt, uint8_t type, const void *data, size_t len) {
  wg_session *session = attempt->session;
  wg_opening *opening = calloc(1, sizeof *opening);
  if (opening == NULL)
    return WARP_NOMEM; /* and the peer has not been bothered */
  int status = send(attempt, WG_MESSAGE_OPEN, type, data, len);
  bool later =
      status == WARP_NO_SERVER && wg_router_knows(router_of(attempt), &session->peer_record);
  if (status != WARP_OK && !later) {
    free(opening);
    return status == WARP_NO_SERVER ? no_broker(attempt) : status;
  }
  opening->sent = status == WARP_OK;
  keep(&opening->first, type, data, len);
  attempt->opening = opening;
  attempt->opened = session->peer_told = true;
  plan_again(attempt);
  return WARP_OK;
}

/* ---- messages -------------------------------------------------------------------------------- */

int warp_attempt_signal(warp_attempt *attempt, uint8_t type, const void *data, size_t len) {
  if (attempt == NULL || (data == NULL && len > 0))
    return WARP_INVALID;
  if (attempt->state != WG_ATTEMPT_RUNNING || attempt == attempt->session->runner)
    return WARP_STATE; /* what runs a phase is no attempt at the peer */
  if (len > WARP_ATTEMPT_MESSAGE_MAX)
    return WARP_TOO_BIG;
  if (router_of(attempt) == NULL)
    return no_broker(attempt);
  if (attempt->session->role == WARP_INITIATOR && !attempt->opened)
    return open_peer(attempt, type, data, len);
  if (attempt->opening != NULL) {
    attempt->opening->followed = true;
    keep(&attempt->opening->latest, type, data, len);
  }
  int status = send(attempt, WG_MESSAGE_PLUGIN, type, data, len);
  return status == WARP_NO_SERVER ? no_broker(attempt) : status;
}

void wg_attempt_tell_failed(warp_attempt *attempt) {
  wg_session *session = attempt->session;
  if (attempt->told || router_of(attempt) == NULL)
    return;
  if (session->role == WARP_INITIATOR && !attempt->opened)
    return;
  wg_message message = {.type = WG_MESSAGE_FAIL,
                        .session = session->id,
                        .attempt = attempt->number,
                        .status = attempt->row.status};
  memcpy(message.detail, attempt->row.detail, sizeof message.detail);
  /* Best effort: without a broker the peer's own timeout ends its side. */
  (void)wg_router_send(router_of(attempt), &session->peer_record, &message);
}
