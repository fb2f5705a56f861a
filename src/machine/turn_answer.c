/* What a TURN client makes of its server's packets. */
#include "machine/turn_internal.h"

#include "base/addr.h"

#include <string.h>

/* A server whose nonces are stale the moment it hands them out must not keep us in a loop. */
enum { STALE_NONCES_MAX = 3 };

static uint64_t seconds(uint64_t s) {
  return s * 1000000;
}

/* ---- answers --------------------------------------------------------------------------------- */

static int status_of_code(unsigned code) {
  switch (code) {
  case WG_TURN_ERROR_UNAUTHORIZED:
    return WARP_AUTH;
  case WG_TURN_ERROR_FORBIDDEN:
    return WARP_UNTRUSTED;
  case WG_TURN_ERROR_QUOTA:
  case WG_TURN_ERROR_CAPACITY:
    return WARP_QUOTA;
  default:
    return WARP_REFUSED;
  }
}

/* Takes realm and nonce of a challenge. WARP_OK when the request can be made again with them. */
static int take_challenge(wg_turn_client *client, const wg_stun_message *message,
                          wg_turn_request *request) {
  char realm[WG_TURN_REALM_MAX];
  bool stale = request->code == WG_TURN_ERROR_STALE_NONCE;
  if (stale ? !client->has_key || request->nonces++ >= STALE_NONCES_MAX : client->has_key) {
    return status_of_code(request->code); /* the credentials were there, and refused */
  }
  if (!wg_stun_find_text(message, WG_STUN_NONCE, client->nonce, sizeof client->nonce)) {
    return WARP_REFUSED;
  }
  if (stale && !wg_stun_find_text(message, WG_STUN_REALM, realm, sizeof realm)) {
    return WARP_OK; /* some servers repeat only the nonce */
  }
  if (!wg_stun_find_text(message, WG_STUN_REALM, client->realm, sizeof client->realm)) {
    return WARP_REFUSED;
  }
  int status = wg_stun_long_term_key(client->user, client->realm, client->password, client->key);
  client->has_key = status == WARP_OK;
  return status;
}

/* An error response to a request. WARP_OK when the request goes on with a new transaction. */
static int take_error(wg_turn_client *client, const wg_stun_message *message,
                      wg_turn_request *request, uint64_t now_us) {
  if (request->code != WG_TURN_ERROR_UNAUTHORIZED && request->code != WG_TURN_ERROR_STALE_NONCE) {
    return status_of_code(request->code);
  }
  int status = take_challenge(client, message, request);
  return status == WARP_OK ? wg_turn_start_request(client, request, now_us) : status;
}

static void schedule_refresh(wg_turn_client *client, uint32_t lifetime_s, uint64_t now_us) {
  uint64_t after_s =
      lifetime_s > 2 * WG_TURN_MARGIN_S ? lifetime_s - WG_TURN_MARGIN_S : lifetime_s / 2;
  client->refresh_us = now_us + seconds(after_s > 0 ? after_s : 1);
}

static void take_main_success(wg_turn_client *client, const wg_stun_message *message,
                              uint64_t now_us) {
  uint32_t lifetime_s = client->lifetime_s;
  wg_stun_find_u32(message, WG_TURN_LIFETIME, &lifetime_s);
  if (client->state == WG_TURN_CLOSING) {
    wg_turn_end(client, WARP_OK);
    return;
  }
  if (client->state == WG_TURN_ALLOCATING) {
    if (!wg_stun_find_addr(message, WG_TURN_XOR_RELAYED_ADDRESS, &client->relayed)) {
      wg_turn_end(client, WARP_MALFORMED);
      return;
    }
    wg_stun_find_mapped(message, &client->mapped);
    wg_turn_set_state(client, WG_TURN_ALLOCATED);
    for (size_t i = 0; i < WG_TURN_PEERS; i++) {
      if (client->peers[i].state == WG_TURN_PEER_ASKING) {
        wg_turn_start_peer(client, &client->peers[i], now_us);
      }
    }
  }
  wg_stun_retry_stop(&client->request.retry);
  schedule_refresh(client, lifetime_s, now_us);
}

static void take_main(wg_turn_client *client, const wg_stun_message *message, uint64_t now_us) {
  if (message->class == WG_STUN_SUCCESS) {
    take_main_success(client, message, now_us);
    return;
  }
  int status = take_error(client, message, &client->request, now_us);
  if (status != WARP_OK) {
    /* The server knows of no allocation that could be given back: closed all the same. */
    wg_turn_end(client, client->state == WG_TURN_CLOSING ? WARP_OK : status);
  }
}

static void take_peer(wg_turn_client *client, wg_turn_peer *peer, const wg_stun_message *message,
                      uint64_t now_us) {
  if (message->class == WG_STUN_SUCCESS) {
    wg_stun_retry_stop(&peer->request.retry);
    peer->refresh_us = now_us + seconds(WG_TURN_PEER_REFRESH_S);
    if (peer->state != WG_TURN_PEER_READY) {
      wg_turn_set_peer_state(peer, WG_TURN_PEER_READY);
    }
    return;
  }
  int status = take_error(client, message, &peer->request, now_us);
  if (status != WARP_OK) {
    wg_turn_lose_peer(peer, status);
  }
}

/* ---- input ----------------------------------------------------------------------------------- */

static bool answers(const wg_turn_request *request, const wg_stun_message *message) {
  return request->retry.running &&
         wg_bytes_equal_ct(request->txid.bytes, message->txid.bytes, WG_STUN_TXID_LEN);
}

static wg_turn_peer *peer_of_answer(wg_turn_client *client, const wg_stun_message *message) {
  for (size_t i = 0; i < WG_TURN_PEERS; i++) {
    if (answers(&client->peers[i].request, message)) {
      return &client->peers[i];
    }
  }
  return NULL;
}

/* Is the error response one that may be believed? It may lack integrity (401 and 438 always do, and
 * servers differ for the others): whoever could make one up sees our packets and could as well drop
 * them. */
static int check_error(const wg_stun_message *message, int integrity, wg_turn_request *request) {
  unsigned code;
  char reason[WG_TURN_REASON_LEN];
  if (!wg_stun_find_error(message, &code, reason, sizeof reason)) {
    return WARP_MALFORMED;
  }
  bool challenge = code == WG_TURN_ERROR_UNAUTHORIZED || code == WG_TURN_ERROR_STALE_NONCE;
  if (!challenge && integrity != WARP_NOT_FOUND && integrity != WARP_OK) {
    return integrity;
  }
  request->code = code;
  memcpy(request->reason, reason, sizeof reason);
  return WARP_OK;
}

/* A success may not lack integrity, unless the server never asked for credentials: then it has no
 * key to sign with. */
static int check_response(const wg_turn_client *client, const wg_stun_message *message,
                          wg_turn_request *request) {
  int integrity = client->has_key
                      ? wg_stun_check_integrity(message, client->key, sizeof client->key)
                      : WARP_NOT_FOUND;
  if (message->class == WG_STUN_ERROR) {
    return check_error(message, integrity, request);
  }
  if (wg_stun_unknown(message, NULL, 0) > 0) {
    return WARP_MALFORMED;
  }
  if (!client->has_key) {
    return WARP_OK;
  }
  return integrity == WARP_NOT_FOUND ? WARP_BAD_SIGNATURE : integrity;
}

static int input_response(wg_turn_client *client, const wg_stun_message *message, uint64_t now_us) {
  wg_turn_peer *peer = NULL;
  wg_turn_request *request = &client->request;
  if (!answers(request, message)) {
    peer = peer_of_answer(client, message);
    if (peer == NULL) {
      return WARP_NOT_FOUND;
    }
    request = &peer->request;
  }
  int status = check_response(client, message, request);
  if (status != WARP_OK) {
    return status;
  }
  if (peer == NULL) {
    take_main(client, message, now_us);
  } else {
    take_peer(client, peer, message, now_us);
  }
  return WARP_OK;
}

static const wg_turn_peer *find_channel(const wg_turn_client *client, uint16_t channel) {
  for (size_t i = 0; i < WG_TURN_PEERS; i++) {
    const wg_turn_peer *peer = &client->peers[i];
    if (peer->channel == channel && peer->state == WG_TURN_PEER_READY) {
      return peer;
    }
  }
  return NULL;
}

int wg_turn_client_input(wg_turn_client *client, const uint8_t *bytes, size_t len,
                         const warp_addr *from, uint64_t now_us, warp_addr *peer,
                         const uint8_t **data, size_t *data_len) {
  wg_stun_message message;
  uint16_t channel;
  *data = NULL;
  *data_len = 0;
  if (!wg_turn_alive(client) || !wg_addr_equal(from, &client->server)) {
    return WARP_NOT_FOUND;
  }
  if (wg_turn_channel_decode(bytes, len, &channel, data, data_len) == WARP_OK) {
    const wg_turn_peer *bound = find_channel(client, channel);
    if (bound == NULL) {
      *data = NULL;
      return WARP_NOT_FOUND;
    }
    *peer = bound->addr;
    return WARP_OK;
  }
  if (wg_stun_decode(bytes, len, &message) != WARP_OK) {
    return WARP_MALFORMED;
  }
  if (message.class == WG_STUN_SUCCESS || message.class == WG_STUN_ERROR) {
    return input_response(client, &message, now_us);
  }
  int status = wg_turn_indication_decode(&message, WG_TURN_DATA, peer, data, data_len);
  if (status == WARP_OK && wg_turn_find_permitted(client, peer) == NULL) {
    *data = NULL;
    return WARP_NOT_FOUND;
  }
  return status;
}
