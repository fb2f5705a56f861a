#include "machine/turn_internal.h"

#include "base/addr.h"

#include <string.h>

bool wg_turn_alive(const wg_turn_client *client) {
  return client->state == WG_TURN_ALLOCATING || client->state == WG_TURN_ALLOCATED ||
         client->state == WG_TURN_CLOSING;
}

/* ---- ends ------------------------------------------------------------------------------------ */

void wg_turn_set_state(wg_turn_client *client, wg_turn_state state) {
  client->state = state;
  client->told = false;
}

void wg_turn_set_peer_state(wg_turn_peer *peer, wg_turn_peer_state state) {
  peer->state = state;
  peer->told = false;
}

void wg_turn_end(wg_turn_client *client, int status) {
  client->request.status = status;
  wg_stun_retry_stop(&client->request.retry);
  for (size_t i = 0; i < WG_TURN_PEERS; i++) {
    wg_stun_retry_stop(&client->peers[i].request.retry);
  }
  wg_turn_set_state(client, WG_TURN_ENDED);
}

void wg_turn_lose_peer(wg_turn_peer *peer, int status) {
  peer->request.status = status;
  wg_stun_retry_stop(&peer->request.retry);
  wg_turn_set_peer_state(peer, WG_TURN_PEER_LOST);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* A new transaction for a request, sent with the next output. */
int wg_turn_start_request(wg_turn_client *client, wg_turn_request *request, uint64_t now_us) {
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
  int status = wg_turn_start_request(client, &client->request, now_us);
  if (status != WARP_OK) {
    wg_turn_end(client, status);
  }
}

void wg_turn_start_peer(wg_turn_client *client, wg_turn_peer *peer, uint64_t now_us) {
  int status = wg_turn_start_request(client, &peer->request, now_us);
  if (status != WARP_OK) {
    wg_turn_lose_peer(peer, status);
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
    wg_turn_end(client, client->state == WG_TURN_CLOSING ? WARP_OK : WARP_TIMEOUT);
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
    wg_turn_start_peer(client, peer, now_us);
  }
  switch (wg_stun_retry_poll(&peer->request.retry, now_us)) {
  case WG_STUN_DUE_SEND:
    *len = encode_peer(client, peer);
    return *len > 0;
  case WG_STUN_DUE_TIMEOUT:
    wg_turn_lose_peer(peer, WARP_TIMEOUT);
    return false;
  case WG_STUN_DUE_NOTHING:
    return false;
  }
  return false;
}

bool wg_turn_client_output(wg_turn_client *client, uint64_t now_us, const uint8_t **bytes,
                           size_t *len) {
  int encoded = 0;
  if (!wg_turn_alive(client)) {
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
  if (!wg_turn_alive(client)) {
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
  wg_turn_set_state(client, WG_TURN_ALLOCATING);
  if (client->random(client->random_arg, client->indication.bytes, WG_STUN_TXID_LEN) != WARP_OK ||
      wg_turn_start_request(client, &client->request, now_us) != WARP_OK) {
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
  wg_turn_set_peer_state(peer, WG_TURN_PEER_ASKING);
  if (client->state == WG_TURN_ALLOCATED) {
    wg_turn_start_peer(client, peer, now_us);
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

const wg_turn_peer *wg_turn_find_permitted(const wg_turn_client *client, const warp_addr *addr) {
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

bool wg_turn_client_permitted(const wg_turn_client *client, const warp_addr *peer) {
  return wg_turn_find_permitted(client, peer) != NULL;
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

static int pad(uint8_t *out, int len, size_t cap) {
  if (len < 0) {
    return len;
  }
  size_t padded = ((size_t)len + 3) & ~(size_t)3;
  if (padded > cap) {
    return WARP_TOO_BIG;
  }
  memset(out + len, 0, padded - (size_t)len);
  return (int)padded;
}

int wg_turn_client_send(wg_turn_client *client, const warp_addr *peer, const void *data, size_t len,
                        uint8_t *out, size_t cap) {
  const wg_turn_peer *permitted = wg_turn_find_permitted(client, peer);
  if (client->state != WG_TURN_ALLOCATED || permitted == NULL) {
    return WARP_STATE;
  }
  if (permitted->channel != 0 && permitted->addr.port == peer->port) {
    int written = wg_turn_channel_encode(permitted->channel, data, len, out, cap);
    return client->timing.reliable ? pad(out, written, cap) : written;
  }
  return wg_turn_indication_encode(WG_TURN_SEND, next_indication(client), peer, data, len, out,
                                   cap);
}

void wg_turn_client_check(wg_turn_client *client, uint64_t now_us) {
  if (client->state == WG_TURN_ALLOCATED) {
    client->refresh_us = now_us;
  }
}

void wg_turn_client_close(wg_turn_client *client, uint64_t now_us) {
  switch (client->state) {
  case WG_TURN_ALLOCATING:
    if (!client->has_key) { /* only the request without credentials went out, which makes nothing */
      client->request.code = 0;
      client->request.reason[0] = '\0';
      wg_turn_end(client, WARP_OK);
      break;
    }
    /* The answer may be on its way: give back what was perhaps made. */
    /* fall through */
  case WG_TURN_ALLOCATED:
    wg_turn_set_state(client, WG_TURN_CLOSING);
    client->request.nonces = 0;
    start_main(client, now_us);
    break;
  case WG_TURN_IDLE:
  case WG_TURN_CLOSING:
  case WG_TURN_ENDED:
    break;
  }
}
