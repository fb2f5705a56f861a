#include "machine/stun_client.h"

#include "base/addr.h"

/* RFC 8489 section 6.2: RTO, Rc and Rm over UDP, and Ti over TCP. */
enum { DEFAULT_RTO_MS = 500, DEFAULT_SENDS = 7, DEFAULT_RM = 16, DEFAULT_TIMEOUT_MS = 39500 };

/* ---- timing ---------------------------------------------------------------------------------- */

static uint32_t or_default(uint32_t value, uint32_t instead) {
  return value != 0 ? value : instead;
}

void wg_stun_retry_start(wg_stun_retry *retry, const wg_stun_timing *timing, uint64_t now_us) {
  wg_stun_timing wanted = timing != NULL ? *timing : (wg_stun_timing){0};
  wanted.rto_ms = or_default(wanted.rto_ms, DEFAULT_RTO_MS);
  wanted.sends = or_default(wanted.sends, DEFAULT_SENDS);
  wanted.rm = or_default(wanted.rm, DEFAULT_RM);
  wanted.timeout_ms = or_default(wanted.timeout_ms, DEFAULT_TIMEOUT_MS);
  *retry = (wg_stun_retry){
      .timing = wanted,
      .running = true,
      .first_us = now_us,
      .next_us = now_us,
      .end_us = now_us + (uint64_t)wanted.timeout_ms * 1000,
  };
}

/* How long to wait after the send that made `sent` of them. */
static uint64_t interval_us(const wg_stun_timing *timing, uint32_t sent) {
  uint64_t rto_us = (uint64_t)timing->rto_ms * 1000;
  if (timing->reliable) {
    return (uint64_t)timing->timeout_ms * 1000;
  }
  if (sent >= timing->sends) {
    return rto_us * timing->rm;
  }
  uint32_t doublings = sent - 1 < 16 ? sent - 1 : 16; /* nobody waits longer than that */
  return rto_us << doublings;
}

wg_stun_due wg_stun_retry_poll(wg_stun_retry *retry, uint64_t now_us) {
  if (!retry->running || now_us < wg_stun_retry_deadline(retry)) {
    return WG_STUN_DUE_NOTHING;
  }
  uint32_t sends = retry->timing.reliable ? 1 : retry->timing.sends;
  if (now_us >= retry->end_us || retry->sent >= sends) {
    retry->running = false;
    return WG_STUN_DUE_TIMEOUT;
  }
  retry->sent++;
  /* From now on, not from when it was due: a host that was suspended must not send in a burst. */
  retry->next_us = now_us + interval_us(&retry->timing, retry->sent);
  return WG_STUN_DUE_SEND;
}

uint64_t wg_stun_retry_deadline(const wg_stun_retry *retry) {
  if (!retry->running) {
    return UINT64_MAX;
  }
  return retry->next_us < retry->end_us ? retry->next_us : retry->end_us;
}

void wg_stun_retry_stop(wg_stun_retry *retry) {
  retry->running = false;
}

/* ---- Binding --------------------------------------------------------------------------------- */

void wg_stun_client_start(wg_stun_client *client, const wg_stun_timing *timing,
                          const warp_addr *server, const wg_stun_txid *txid, uint64_t now_us) {
  *client = (wg_stun_client){
      .state = WG_STUN_CLIENT_WAITING,
      .server = *server,
      .txid = *txid,
  };
  wg_writer writer = wg_writer_init(client->request, sizeof client->request);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, txid);
  wg_stun_end(&writer);
  wg_stun_retry_start(&client->retry, timing, now_us);
}

static void finish(wg_stun_client *client, int status, uint64_t now_us) {
  client->state = WG_STUN_CLIENT_DONE;
  client->result.status = status;
  client->result.sent = client->retry.sent;
  client->result.rtt_us = (uint32_t)(now_us - client->retry.first_us);
  wg_stun_retry_stop(&client->retry);
}

bool wg_stun_client_output(wg_stun_client *client, uint64_t now_us, const uint8_t **bytes,
                           size_t *len) {
  switch (wg_stun_retry_poll(&client->retry, now_us)) {
  case WG_STUN_DUE_SEND:
    *bytes = client->request;
    *len = sizeof client->request;
    return true;
  case WG_STUN_DUE_TIMEOUT:
    finish(client, WARP_TIMEOUT, now_us);
    return false;
  case WG_STUN_DUE_NOTHING:
    return false;
  }
  return false;
}

bool wg_stun_client_input(wg_stun_client *client, const uint8_t *bytes, size_t len,
                          const warp_addr *from, uint64_t now_us) {
  wg_stun_message message;
  char reason[1];
  if (client->state != WG_STUN_CLIENT_WAITING || !wg_addr_equal(from, &client->server) ||
      wg_stun_decode(bytes, len, &message) != WARP_OK || message.method != WG_STUN_BINDING ||
      !wg_bytes_equal_ct(message.txid.bytes, client->txid.bytes, WG_STUN_TXID_LEN)) {
    return false;
  }
  if (message.class == WG_STUN_ERROR &&
      wg_stun_find_error(&message, &client->result.code, reason, sizeof reason)) {
    finish(client, WARP_REFUSED, now_us);
    return true;
  }
  if (message.class != WG_STUN_SUCCESS || wg_stun_unknown(&message, NULL, 0) > 0 ||
      !wg_stun_find_mapped(&message, &client->result.mapped)) {
    return false;
  }
  wg_stun_find_addr(&message, WG_STUN_OTHER_ADDRESS, &client->result.other);
  finish(client, WARP_OK, now_us);
  return true;
}

uint64_t wg_stun_client_deadline(const wg_stun_client *client) {
  return wg_stun_retry_deadline(&client->retry);
}
