#include "machine/turn_client.h"

#include "base/addr.h"

#include <string.h>

/* A server whose nonces are stale the moment it hands them out must not keep us in a loop. */
enum { STALE_NONCES_MAX = 3 };

static uint64_t seconds(uint64_t s) {
  return s * 1000000;
}

static bool alive(const wg_turn_client *client) {
  return client->state == WG_TURN_ALLOCATING || client->state == WG_TURN_ALLOCATED ||
         client->state == WG_TURN_CLOSING;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void set_state(wg_turn_client *client, wg_turn_state state) {
  client->state = state;
  client->told = false;
}

static void set_peer_state(wg_turn_peer *peer, wg_turn_peer_state state) {
  peer->state = state;
  peer->told = false;
}

static void end(wg_turn_client *client, int status) {
  client->request.status = status;
  wg_stun_retry_stop(&client->request.retry);
  for (size_t i = 0; i < WG_TURN_PEERS; i++) {
    wg_stun_retry_stop(&client->peers[i].request.retry);
  }
  set_state(client, WG_TURN_ENDED);
}

static void lose_peer(wg_turn_peer *peer, int status) {
  peer->request.status = status;
  wg_stun_retry_stop(&peer->request.retry);
  set_peer_state(peer, WG_TURN_PEER_LOST);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* A new transaction for a request, sent with the next output. */
static int start_request(wg_turn_client *client, wg_turn_request *request, uint64_t now_us) {
  if (client->random(client->random_arg, request->txid.bytes, WG_STUN_TXID_LEN) != WARP_OK) {
    return WARP_IO;
  }
  request->status = WARP_OK;
  request->code = 0;
  request->reason[0] = '\0';
  wg_stun_retry_start(&request->retry, &client->timing, now_us);
  return WARP_OK;
}

static void start_main(wg_turn_client *client, uint64_t now_us) {
  int status = start_request(client, &client->request, now_us);
  if (status != WARP_OK) {
    end(client, status);
  }
}

static void start_peer(wg_turn_client *client, wg_turn_peer *peer, uint64_t now_us) {
  int status = start_request(client, &peer->request, now_us);
  if (status != WARP_OK) {
    lose_peer(peer, status);
  }
}

static int finish_request(wg_turn_client *client, wg_writer *writer) {
  if (client->has_key) {
    wg_stun_attr_text(writer, WG_STUN_USERNAME, client->user);
    wg_stun_attr_text(writer, WG_STUN_REALM, client->realm);
    wg_stun_attr_text(writer, WG_STUN_NONCE, client->nonce);
    wg_stun_integrity(writer, client->key, sizeof client->key);
  }
  return wg_stun_end(writer);
}

static int encode_main(wg_turn_client *client) {
  wg_writer writer = wg_writer_init(client->out, sizeof client->out);
  bool allocate = client->state == WG_TURN_ALLOCATING;
  wg_stun_begin(&writer, WG_STUN_REQUEST, allocate ? WG_TURN_ALLOCATE : WG_TURN_REFRESH,
                &client->request.txid);
  wg_stun_attr_u32(&writer, WG_TURN_LIFETIME,
                   client->state == WG_TURN_CLOSING ? 0 : client->lifetime_s);
  if (allocate) {
    wg_turn_attr_transport_udp(&writer);
    if (client->family == WARP_IP6) { /* IPv4 is the default, and older servers know no other */
      wg_turn_attr_family(&writer, WARP_IP6);
    }
  }
  return finish_request(client, &writer);
}

static int encode_peer(wg_turn_client *client, const wg_turn_peer *peer) {
  wg_writer writer = wg_writer_init(client->out, sizeof client->out);
  wg_stun_begin(&writer, WG_STUN_REQUEST,
                peer->channel != 0 ? WG_TURN_CHANNEL_BIND : WG_TURN_CREATE_PERMISSION,
                &peer->request.txid);
  if (peer->channel != 0) {
    wg_turn_attr_channel(&writer, peer->channel);
  }
  wg_stun_attr_addr(&writer, WG_TURN_XOR_PEER_ADDRESS, &peer->addr);
  return finish_request(client, &writer);
}

/* ---- output ---------------------------------------------------------------------------------- */

static bool output_main(wg_turn_client *client, uint64_t now_us, int *len) {
  if (client->state == WG_TURN_ALLOCATED && !client->request.retry.running &&
      now_us >= client->refresh_us) {
    client->request.nonces = 0;
    start_main(client, now_us);
  }
  switch (wg_stun_retry_poll(&client->request.retry, now_us)) {
  case WG_STUN_DUE_SEND:
    *len = encode_main(client);
    return *len > 0;
  case WG_STUN_DUE_TIMEOUT:
    /* A close that nobody acknowledges is one too: the allocation ends by itself. */
    end(client, client->state == WG_TURN_CLOSING ? WARP_OK : WARP_TIMEOUT);
    return false;
  case WG_STUN_DUE_NOTHING:
    return false;
  }
  return false;
}

static bool output_peer(wg_turn_client *client, wg_turn_peer *peer, uint64_t now_us, int *len) {
  if (peer->state == WG_TURN_PEER_READY && !peer->request.retry.running &&
      now_us >= peer->refresh_us) {
    peer->request.nonces = 0;
    start_peer(client, peer, now_us);
  }
  switch (wg_stun_retry_poll(&peer->request.retry, now_us)) {
  case WG_STUN_DUE_SEND:
    *len = encode_peer(client, peer);
    return *len > 0;
  case WG_STUN_DUE_TIMEOUT:
    lose_peer(peer, WARP_TIMEOUT);
    return false;
  case WG_STUN_DUE_NOTHING:
    return false;
  }
  return false;
}

bool wg_turn_client_output(wg_turn_client *client, uint64_t now_us, const uint8_t **bytes,
                           size_t *len) {
  int encoded = 0;
  if (!alive(client)) {
    return false;
  }
  bool some = output_main(client, now_us, &encoded);
  for (size_t i = 0; !some && client->state == WG_TURN_ALLOCATED && i < WG_TURN_PEERS; i++) {
    some = output_peer(client, &client->peers[i], now_us, &encoded);
  }
  *bytes = client->out;
  *len = some ? (size_t)encoded : 0;
  return some;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

uint64_t wg_turn_client_deadline(const wg_turn_client *client) {
  if (!alive(client)) {
    return UINT64_MAX;
  }
  uint64_t deadline_us = wg_stun_retry_deadline(&client->request.retry);
  if (client->state != WG_TURN_ALLOCATED) {
    return deadline_us;
  }
  if (!client->request.retry.running) {
    deadline_us = client->refresh_us;
  }
  for (size_t i = 0; i < WG_TURN_PEERS; i++) {
    const wg_turn_peer *peer = &client->peers[i];
    if (peer->request.retry.running) {
      deadline_us = earlier(deadline_us, wg_stun_retry_deadline(&peer->request.retry));
    } else if (peer->state == WG_TURN_PEER_READY) {
      deadline_us = earlier(deadline_us, peer->refresh_us);
    }
  }
  return deadline_us;
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
  return status == WARP_OK ? start_request(client, request, now_us) : status;
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
    end(client, WARP_OK);
    return;
  }
  if (client->state == WG_TURN_ALLOCATING) {
    if (!wg_stun_find_addr(message, WG_TURN_XOR_RELAYED_ADDRESS, &client->relayed)) {
      end(client, WARP_MALFORMED);
      return;
    }
    wg_stun_find_mapped(message, &client->mapped);
    set_state(client, WG_TURN_ALLOCATED);
    for (size_t i = 0; i < WG_TURN_PEERS; i++) {
      if (client->peers[i].state == WG_TURN_PEER_ASKING) {
        start_peer(client, &client->peers[i], now_us);
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
    end(client, client->state == WG_TURN_CLOSING ? WARP_OK : status);
  }
}

static void take_peer(wg_turn_client *client, wg_turn_peer *peer, const wg_stun_message *message,
                      uint64_t now_us) {
  if (message->class == WG_STUN_SUCCESS) {
    wg_stun_retry_stop(&peer->request.retry);
    peer->refresh_us = now_us + seconds(WG_TURN_PEER_REFRESH_S);
    if (peer->state != WG_TURN_PEER_READY) {
      set_peer_state(peer, WG_TURN_PEER_READY);
    }
    return;
  }
  int status = take_error(client, message, &peer->request, now_us);
  if (status != WARP_OK) {
    lose_peer(peer, status);
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

/* The peer whose permission or channel lets datagrams of an address through; a channel is preferred
 * where its port is right too. */
static const wg_turn_peer *find_permitted(const wg_turn_client *client, const warp_addr *addr) {
  const wg_turn_peer *found = NULL;
  for (size_t i = 0; i < WG_TURN_PEERS; i++) {
    const wg_turn_peer *peer = &client->peers[i];
    if (peer->state != WG_TURN_PEER_READY || !wg_addr_same_ip(&peer->addr, addr)) {
      continue;
    }
    if (peer->channel != 0 && peer->addr.port == addr->port) {
      return peer;
    }
    found = peer;
  }
  return found;
}

int wg_turn_client_input(wg_turn_client *client, const uint8_t *bytes, size_t len,
                         const warp_addr *from, uint64_t now_us, warp_addr *peer,
                         const uint8_t **data, size_t *data_len) {
  wg_stun_message message;
  uint16_t channel;
  *data = NULL;
  *data_len = 0;
  if (!alive(client) || !wg_addr_equal(from, &client->server)) {
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
  if (status == WARP_OK && find_permitted(client, peer) == NULL) {
    *data = NULL;
    return WARP_NOT_FOUND;
  }
  return status;
}

/* ---- events ---------------------------------------------------------------------------------- */

static wg_turn_event event_of(wg_turn_event_type type, const wg_turn_request *request) {
  return (wg_turn_event){
      .type = type,
      .status = request->status,
      .code = request->code,
      .reason = request->reason,
  };
}

bool wg_turn_client_event(wg_turn_client *client, wg_turn_event *out) {
  if (!client->told && (client->state == WG_TURN_ALLOCATED || client->state == WG_TURN_ENDED)) {
    client->told = true;
    *out = event_of(client->state == WG_TURN_ENDED ? WG_TURN_EVENT_ENDED : WG_TURN_EVENT_ALLOCATED,
                    &client->request);
    return true;
  }
  for (size_t i = 0; client->state == WG_TURN_ALLOCATED && i < WG_TURN_PEERS; i++) {
    wg_turn_peer *peer = &client->peers[i];
    if (!peer->told && (peer->state == WG_TURN_PEER_READY || peer->state == WG_TURN_PEER_LOST)) {
      peer->told = true;
      *out = event_of(peer->state == WG_TURN_PEER_READY ? WG_TURN_EVENT_PERMITTED
                                                        : WG_TURN_EVENT_FORBIDDEN,
                      &peer->request);
      out->peer = peer->addr;
      out->channel = peer->channel;
      return true;
    }
  }
  return false;
}

/* ---- what the caller asks -------------------------------------------------------------------- */

static bool copy_text(const char *text, char *out, size_t room) {
  size_t len = text != NULL ? strlen(text) : room;
  if (len >= room) {
    return false;
  }
  memcpy(out, text, len + 1);
  return true;
}

int wg_turn_client_start(wg_turn_client *client, const wg_turn_options *options, uint64_t now_us) {
  *client = (wg_turn_client){
      .server = options->server,
      .family = options->family == WARP_IP6 ? WARP_IP6 : WARP_IP4,
      .lifetime_s = options->lifetime_s != 0 ? options->lifetime_s : WG_TURN_LIFETIME_S,
      .timing = options->timing,
      .random = options->random,
      .random_arg = options->random_arg,
  };
  if (options->random == NULL || wg_addr_ip_len(&options->server) == 0 ||
      !copy_text(options->user, client->user, sizeof client->user) ||
      !copy_text(options->password, client->password, sizeof client->password)) {
    return WARP_INVALID;
  }
  set_state(client, WG_TURN_ALLOCATING);
  if (client->random(client->random_arg, client->indication.bytes, WG_STUN_TXID_LEN) != WARP_OK ||
      start_request(client, &client->request, now_us) != WARP_OK) {
    client->state = WG_TURN_IDLE;
    return WARP_IO;
  }
  return WARP_OK;
}

/* The entry of a permission or channel; a new one when there is none. NULL: all are taken. */
static wg_turn_peer *entry_for(wg_turn_client *client, const warp_addr *addr, bool channel) {
  wg_turn_peer *usable = NULL;
  for (size_t i = 0; i < WG_TURN_PEERS; i++) {
    wg_turn_peer *peer = &client->peers[i];
    bool same = peer->state != WG_TURN_PEER_FREE && (peer->channel != 0) == channel &&
                wg_addr_same_ip(&peer->addr, addr) && (!channel || peer->addr.port == addr->port);
    if (same) {
      return peer;
    }
    /* A number whose channel was lost may be bound to another peer only after ten minutes (RFC 8656
     * section 12): such an entry is not used again. */
    if (usable == NULL && (peer->state == WG_TURN_PEER_FREE ||
                           (peer->state == WG_TURN_PEER_LOST && peer->channel == 0))) {
      usable = peer;
    }
  }
  if (usable != NULL) {
    *usable = (wg_turn_peer){.addr = *addr};
    usable->channel =
        channel ? (uint16_t)(WG_TURN_CHANNEL_MIN + (size_t)(usable - client->peers)) : 0;
  }
  return usable;
}

static int ask(wg_turn_client *client, const warp_addr *addr, bool channel, uint64_t now_us) {
  if (client->state != WG_TURN_ALLOCATING && client->state != WG_TURN_ALLOCATED) {
    return WARP_STATE;
  }
  if (addr->family != client->family) {
    return WARP_INVALID;
  }
  wg_turn_peer *peer = entry_for(client, addr, channel);
  if (peer == NULL) {
    return WARP_LIMIT;
  }
  if (peer->state == WG_TURN_PEER_ASKING || peer->state == WG_TURN_PEER_READY) {
    return WARP_OK;
  }
  peer->request.nonces = 0;
  set_peer_state(peer, WG_TURN_PEER_ASKING);
  if (client->state == WG_TURN_ALLOCATED) {
    start_peer(client, peer, now_us);
  }
  if (peer->state == WG_TURN_PEER_LOST) {
    peer->told = true; /* by what is returned */
    return peer->request.status;
  }
  return WARP_OK;
}

int wg_turn_client_permit(wg_turn_client *client, const warp_addr *peer, uint64_t now_us) {
  return ask(client, peer, false, now_us);
}

int wg_turn_client_bind(wg_turn_client *client, const warp_addr *peer, uint64_t now_us) {
  return ask(client, peer, true, now_us);
}

/* A transaction id of its own for each indication. */
static const wg_stun_txid *next_indication(wg_turn_client *client) {
  for (size_t i = WG_STUN_TXID_LEN; i-- > 0;) {
    if (++client->indication.bytes[i] != 0) {
      break;
    }
  }
  return &client->indication;
}

int wg_turn_client_send(wg_turn_client *client, const warp_addr *peer, const void *data, size_t len,
                        uint8_t *out, size_t cap) {
  const wg_turn_peer *permitted = find_permitted(client, peer);
  if (client->state != WG_TURN_ALLOCATED || permitted == NULL) {
    return WARP_STATE;
  }
  if (permitted->channel != 0 && permitted->addr.port == peer->port) {
    return wg_turn_channel_encode(permitted->channel, data, len, out, cap);
  }
  return wg_turn_indication_encode(WG_TURN_SEND, next_indication(client), peer, data, len, out,
                                   cap);
}

void wg_turn_client_close(wg_turn_client *client, uint64_t now_us) {
  switch (client->state) {
  case WG_TURN_ALLOCATING:
    if (!client->has_key) { /* only the request without credentials went out, which makes nothing */
      client->request.code = 0;
      client->request.reason[0] = '\0';
      end(client, WARP_OK);
      break;
    }
    /* The answer may be on its way: give back what was perhaps made. */
    /* fall through */
  case WG_TURN_ALLOCATED:
    set_state(client, WG_TURN_CLOSING);
    client->request.nonces = 0;
    start_main(client, now_us);
    break;
  case WG_TURN_IDLE:
  case WG_TURN_CLOSING:
  case WG_TURN_ENDED:
    break;
  }
}
