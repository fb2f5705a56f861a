/* A TURN server for UDP and TCP with the long-term credential mechanism, made of our own codecs. */
#include "internal.h"
#include "wire/turn.h"

#include <stdlib.h>
#include <string.h>

/* RFC 8656 sections 3.2, 9, 12. */
enum { ALLOCATION_S = 600, ALLOCATION_MAX_S = 3600, PERMISSION_S = 300, CHANNEL_S = 600 };
enum { BAD_REQUEST = 400, UNSUPPORTED_TRANSPORT = 442, PEERS_MAX = 32, NONCE_LEN = 16 };

static const char realm[] = "sim";

typedef struct permission {
  warp_addr peer; /* its address; the port counts for channels only */
  uint64_t until_us, channel_until_us;
  uint16_t channel; /* 0: none */
} permission;

/* A connection of a client. */
typedef struct stream {
  wg_list item;
  sim_turn_server *server;
  wg_tcp *tcp;
  warp_addr from;
  wg_turn_deframer in;
} stream;

/* Who sent something: over UDP when there is no stream. */
typedef struct client {
  warp_addr addr;
  stream *stream;
} client;

typedef struct allocation {
  wg_list item;
  sim_turn_server *server;
  client client;
  warp_addr relayed;
  wg_stun_txid txid; /* of the request that made it, to know its repetition */
  wg_udp *relay;
  wg_timer expiry;
  uint32_t lifetime_s;
  permission peers[PEERS_MAX];
  size_t peer_count;
} allocation;

struct sim_turn_server {
  sim_service service;
  sim_host *host;
  warp_addr addr;
  wg_udp *udp; /* NULL while it is down */
  wg_tcp_listener *listener;
  wg_list streams;
  char user[WG_CREDENTIAL_LEN];
  uint8_t key[WG_STUN_LONG_TERM_KEY_LEN];
  char nonce[NONCE_LEN + 1];
  unsigned nonces;
  wg_list allocations;
  size_t count, quota, relayed;
};

static uint64_t now_us(const sim_turn_server *server) {
  return server->host->world->now_us;
}

static uint64_t after_s(const sim_turn_server *server, uint32_t seconds) {
  return now_us(server) + (uint64_t)seconds * 1000000;
}

/* ---- allocations ----------------------------------------------------------------------------- */

static void free_allocation(allocation *entry) {
  wg_timers_stop(&entry->server->host->world->events, &entry->expiry);
  sim_udp_close(entry->relay);
  wg_list_remove(&entry->item);
  entry->server->count--;
  free(entry);
}

static void expired(void *arg) {
  free_allocation(arg);
}

static void set_lifetime(allocation *entry, uint32_t wanted_s) {
  entry->lifetime_s = wanted_s < ALLOCATION_S ? ALLOCATION_S : wanted_s;
  entry->lifetime_s = entry->lifetime_s < ALLOCATION_MAX_S ? entry->lifetime_s : ALLOCATION_MAX_S;
  sim_event_start(entry->server->host->world, &entry->expiry, (uint64_t)entry->lifetime_s * 1000000,
                  expired, entry);
}

static void send_to_client(sim_turn_server *server, const client *to, uint8_t *bytes, size_t len) {
  if (to->stream == NULL) {
    sim_udp_send(server->udp, &to->addr, bytes, len);
    return;
  }
  while (len % 4 != 0) { /* ChannelData: RFC 8656 section 12.5 */
    bytes[len++] = 0;
  }
  sim_tcp_send(to->stream->tcp, bytes, len);
}

static allocation *find_allocation(sim_turn_server *server, const client *of) {
  for (wg_list *item = server->allocations.next; item != &server->allocations; item = item->next) {
    allocation *entry = WG_CONTAINER(item, allocation, item);
    if (wg_addr_equal(&entry->client.addr, &of->addr) && entry->client.stream == of->stream) {
      return entry;
    }
  }
  return NULL;
}

/* The living permission of a peer's address; of its address and port when `exact`. */
static permission *find_peer(allocation *entry, const warp_addr *peer, bool exact) {
  for (size_t i = 0; i < entry->peer_count; i++) {
    permission *item = &entry->peers[i];
    if (item->until_us > now_us(entry->server) && wg_addr_same_ip(&item->peer, peer) &&
        (!exact || item->peer.port == peer->port)) {
      return item;
    }
  }
  return NULL;
}

static permission *find_channel(allocation *entry, uint16_t channel) {
  for (size_t i = 0; i < entry->peer_count; i++) {
    permission *item = &entry->peers[i];
    if (item->channel == channel && item->channel_until_us > now_us(entry->server)) {
      return item;
    }
  }
  return NULL;
}

/* Installs or renews a permission. NULL when there are too many. */
static permission *permit(allocation *entry, const warp_addr *peer) {
  permission *item = NULL;
  for (size_t i = 0; i < entry->peer_count && item == NULL; i++) {
    item = wg_addr_equal(&entry->peers[i].peer, peer) ? &entry->peers[i] : NULL;
  }
  if (item == NULL && entry->peer_count < PEERS_MAX) {
    item = &entry->peers[entry->peer_count++];
    item->peer = *peer;
  }
  if (item == NULL) {
    return NULL;
  }
  item->until_us = after_s(entry->server, PERMISSION_S);
  return item;
}

/* ---- relaying -------------------------------------------------------------------------------- */

static void send_to_peer(allocation *entry, const warp_addr *peer, const uint8_t *data,
                         size_t len) {
  if (find_peer(entry, peer, false) != NULL) {
    entry->server->relayed++;
    sim_udp_send(entry->relay, peer, data, len);
  }
}

static void on_relayed(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  allocation *entry = arg;
  sim_turn_server *server = entry->server;
  uint8_t out[WG_STUN_MAX + 3];
  if (find_peer(entry, from, false) == NULL) {
    return;
  }
  const permission *exact = find_peer(entry, from, true);
  int written;
  if (exact != NULL && exact->channel_until_us > now_us(server)) {
    written = wg_turn_channel_encode(exact->channel, data, len, out, WG_STUN_MAX);
  } else {
    wg_stun_txid txid;
    server->host->env.ops->random(&server->host->env, txid.bytes, sizeof txid.bytes);
    written = wg_turn_indication_encode(WG_TURN_DATA, &txid, from, data, len, out, WG_STUN_MAX);
  }
  if (written > 0) {
    server->relayed++;
    send_to_client(server, &entry->client, out, (size_t)written);
  }
}

static void got_channel_data(sim_turn_server *server, const uint8_t *bytes, size_t size,
                             const client *from) {
  uint16_t channel;
  const uint8_t *data;
  size_t len;
  allocation *entry = find_allocation(server, from);
  if (entry == NULL || wg_turn_channel_decode(bytes, size, &channel, &data, &len) != WARP_OK) {
    return;
  }
  const permission *item = find_channel(entry, channel);
  if (item != NULL) {
    send_to_peer(entry, &item->peer, data, len);
  }
}

static void got_indication(sim_turn_server *server, const wg_stun_message *message,
                           const client *from) {
  warp_addr peer;
  const uint8_t *data;
  size_t len;
  allocation *entry = find_allocation(server, from);
  if (entry != NULL &&
      wg_turn_indication_decode(message, WG_TURN_SEND, &peer, &data, &len) == WARP_OK) {
    send_to_peer(entry, &peer, data, len);
  }
}

/* ---- answers --------------------------------------------------------------------------------- */

typedef struct exchange {
  sim_turn_server *server;
  const wg_stun_message *request;
  const client *from;
  uint8_t out[WG_STUN_MAX];
  wg_writer writer;
} exchange;

static void send_answer(exchange *ex) {
  int len = wg_stun_end(&ex->writer);
  if (len < 0) {
    sim_fail("a TURN answer that cannot be written");
  }
  send_to_client(ex->server, ex->from, ex->out, (size_t)len);
}

static void begin(exchange *ex, wg_stun_class class) {
  ex->writer = wg_writer_init(ex->out, sizeof ex->out);
  wg_stun_begin(&ex->writer, class, ex->request->method, &ex->request->txid);
}

static void send_signed(exchange *ex) {
  wg_stun_integrity(&ex->writer, ex->server->key, sizeof ex->server->key);
  send_answer(ex);
}

static void refuse(exchange *ex, unsigned code, const char *reason) {
  begin(ex, WG_STUN_ERROR);
  wg_stun_attr_error(&ex->writer, code, reason);
  send_signed(ex);
}

/* Asks for credentials (RFC 8489 section 9.2.4): unsigned, for the client may have no key yet. */
static void challenge(exchange *ex, unsigned code, const char *reason) {
  begin(ex, WG_STUN_ERROR);
  wg_stun_attr_error(&ex->writer, code, reason);
  wg_stun_attr_text(&ex->writer, WG_STUN_REALM, realm);
  wg_stun_attr_text(&ex->writer, WG_STUN_NONCE, ex->server->nonce);
  send_answer(ex);
}

/* Checks the credentials; has answered when false. */
static bool authorized(exchange *ex) {
  sim_turn_server *server = ex->server;
  char user[WG_CREDENTIAL_LEN], nonce[NONCE_LEN + 1], named[sizeof realm];
  if (!wg_stun_find_text(ex->request, WG_STUN_USERNAME, user, sizeof user) ||
      !wg_stun_find_text(ex->request, WG_STUN_REALM, named, sizeof named) ||
      !wg_stun_find_text(ex->request, WG_STUN_NONCE, nonce, sizeof nonce) ||
      strcmp(user, server->user) != 0 || strcmp(named, realm) != 0 ||
      wg_stun_check_integrity(ex->request, server->key, sizeof server->key) != WARP_OK) {
    challenge(ex, WG_TURN_ERROR_UNAUTHORIZED, "Unauthorized");
    return false;
  }
  if (strcmp(nonce, server->nonce) != 0) {
    challenge(ex, WG_TURN_ERROR_STALE_NONCE, "Stale Nonce");
    return false;
  }
  return true;
}

/* ---- requests -------------------------------------------------------------------------------- */

static uint32_t wanted_lifetime_s(const exchange *ex) {
  uint32_t lifetime_s;
  return wg_stun_find_u32(ex->request, WG_TURN_LIFETIME, &lifetime_s) ? lifetime_s : ALLOCATION_S;
}

static allocation *new_allocation(const exchange *ex) {
  sim_turn_server *server = ex->server;
  allocation *entry = sim_alloc(sizeof *entry);
  warp_addr local = wg_addr_with_port(&server->addr, 0);
  entry->server = server;
  entry->client = *ex->from;
  entry->txid = ex->request->txid;
  if (sim_udp_open(&server->host->env, &local, 0, on_relayed, entry, &entry->relay) != WARP_OK) {
    sim_fail("no port is left for the TURN server");
  }
  sim_udp_local(entry->relay, &entry->relayed);
  wg_list_push(&server->allocations, &entry->item);
  server->count++;
  set_lifetime(entry, wanted_lifetime_s(ex));
  return entry;
}

static void got_allocate(exchange *ex, allocation *entry) {
  uint32_t transport = 0;
  if (entry != NULL && memcmp(&entry->txid, &ex->request->txid, sizeof entry->txid) != 0) {
    refuse(ex, WG_TURN_ERROR_ALLOCATION_MISMATCH, "Allocation Mismatch");
    return;
  }
  if (!wg_stun_find_u32(ex->request, WG_TURN_REQUESTED_TRANSPORT, &transport)) {
    refuse(ex, BAD_REQUEST, "Bad Request");
    return;
  }
  if (transport >> 24 != 17) { /* UDP's protocol number */
    refuse(ex, UNSUPPORTED_TRANSPORT, "Unsupported Transport Protocol");
    return;
  }
  if (entry == NULL) {
    if (ex->server->count >= ex->server->quota) {
      refuse(ex, WG_TURN_ERROR_QUOTA, "Allocation Quota Reached");
      return;
    }
    entry = new_allocation(ex);
  }
  begin(ex, WG_STUN_SUCCESS);
  wg_stun_attr_addr(&ex->writer, WG_TURN_XOR_RELAYED_ADDRESS, &entry->relayed);
  wg_stun_attr_addr(&ex->writer, WG_STUN_XOR_MAPPED_ADDRESS, &ex->from->addr);
  wg_stun_attr_u32(&ex->writer, WG_TURN_LIFETIME, entry->lifetime_s);
  send_signed(ex);
}

static void got_refresh(exchange *ex, allocation *entry) {
  uint32_t lifetime_s = wanted_lifetime_s(ex);
  begin(ex, WG_STUN_SUCCESS);
  if (lifetime_s == 0) {
    free_allocation(entry);
  } else {
    set_lifetime(entry, lifetime_s);
    lifetime_s = entry->lifetime_s;
  }
  wg_stun_attr_u32(&ex->writer, WG_TURN_LIFETIME, lifetime_s);
  send_signed(ex);
}

/* One of several XOR-PEER-ADDRESS attributes (RFC 8489 section 14.2), of which the codec finds the
 * first only. */
static bool read_peer(const wg_stun_attr *attr, warp_addr *out) {
  wg_reader reader = wg_reader_init(attr->value, attr->len);
  bool ip4 = wg_read_u16(&reader) == 1;
  *out = wg_addr_any(WARP_IP4, wg_read_u16(&reader) ^ (WG_STUN_COOKIE >> 16));
  uint32_t ip = wg_read_u32(&reader) ^ WG_STUN_COOKIE;
  wg_writer writer = wg_writer_init(out->ip, 4);
  wg_write_u32(&writer, ip);
  return ip4 && !reader.failed && wg_reader_left(&reader) == 0;
}

static void got_create_permission(exchange *ex, allocation *entry) {
  wg_stun_iter iter = wg_stun_attrs(ex->request);
  wg_stun_attr attr;
  size_t count = 0;
  bool good = true;
  while (good && wg_stun_next(&iter, &attr)) {
    warp_addr peer;
    if (attr.type == WG_TURN_XOR_PEER_ADDRESS) {
      good = read_peer(&attr, &peer) && permit(entry, &peer) != NULL;
      count++;
    }
  }
  if (!good || count == 0) {
    refuse(ex, BAD_REQUEST, "Bad Request");
    return;
  }
  begin(ex, WG_STUN_SUCCESS);
  send_signed(ex);
}

static void got_channel_bind(exchange *ex, allocation *entry) {
  uint16_t channel;
  warp_addr peer;
  if (!wg_turn_find_channel(ex->request, &channel) ||
      !wg_stun_find_addr(ex->request, WG_TURN_XOR_PEER_ADDRESS, &peer)) {
    refuse(ex, BAD_REQUEST, "Bad Request");
    return;
  }
  const permission *other = find_channel(entry, channel);
  permission *item = permit(entry, &peer);
  if (item == NULL || (other != NULL && other != item) ||
      (item->channel != 0 && item->channel != channel)) {
    refuse(ex, BAD_REQUEST, "Bad Request"); /* bound otherwise: RFC 8656 section 12.2 */
    return;
  }
  item->channel = channel;
  item->channel_until_us = after_s(ex->server, CHANNEL_S);
  begin(ex, WG_STUN_SUCCESS);
  send_signed(ex);
}

static void got_request(exchange *ex) {
  static const struct {
    uint16_t method;
    void (*handle)(exchange *ex, allocation *entry);
  } methods[] = {
      {WG_TURN_ALLOCATE, got_allocate},
      {WG_TURN_REFRESH, got_refresh},
      {WG_TURN_CREATE_PERMISSION, got_create_permission},
      {WG_TURN_CHANNEL_BIND, got_channel_bind},
  };
  if (!authorized(ex)) {
    return;
  }
  allocation *entry = find_allocation(ex->server, ex->from);
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    if (methods[i].method != ex->request->method) {
      continue;
    }
    if (entry == NULL && ex->request->method != WG_TURN_ALLOCATE) {
      refuse(ex, WG_TURN_ERROR_ALLOCATION_MISMATCH, "Allocation Mismatch");
    } else {
      methods[i].handle(ex, entry);
    }
    return;
  }
  refuse(ex, BAD_REQUEST, "Bad Request");
}

static void on_packet(sim_turn_server *server, const uint8_t *data, size_t len,
                      const client *from) {
  wg_stun_message message;
  if (!wg_stun_is(data, len)) {
    got_channel_data(server, data, len, from);
  } else if (wg_stun_decode(data, len, &message) != WARP_OK) {
    return;
  } else if (message.class == WG_STUN_INDICATION) {
    got_indication(server, &message, from);
  } else if (message.class == WG_STUN_REQUEST) {
    exchange ex = {.server = server, .request = &message, .from = from};
    got_request(&ex);
  }
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  on_packet(arg, data, len, &(client){.addr = *from});
}

/* ---- streams --------------------------------------------------------------------------------- */

/* With its connection a client loses its allocation. */
static void end_stream(stream *entry, void (*end)(wg_tcp *tcp)) {
  allocation *held = find_allocation(entry->server, &(client){entry->from, entry});
  if (held != NULL) {
    free_allocation(held);
  }
  end(entry->tcp);
  wg_list_remove(&entry->item);
  free(entry);
}

static void on_end(void *arg, int status) {
  (void)status;
  end_stream(arg, sim_tcp_close);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  stream *entry = arg;
  const uint8_t *frame;
  size_t size;
  int status;
  while ((status = wg_turn_deframe(&entry->in, &data, &len, &frame, &size)) == WARP_OK) {
    on_packet(entry->server, frame, size, &(client){entry->from, entry});
  }
  if (status != WARP_AGAIN) {
    end_stream(entry, sim_tcp_reset);
  }
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers handlers = {.on_data = on_data, .on_end = on_end};
  stream *entry = sim_alloc(sizeof *entry);
  *entry = (stream){.server = arg, .tcp = tcp, .from = *from};
  wg_list_push(&entry->server->streams, &entry->item);
  sim_tcp_set_handlers(tcp, &handlers, entry);
}

/* ---- the server ------------------------------------------------------------------------------ */

void sim_turn_change_nonce(sim_turn_server *server) {
  snprintf(server->nonce, sizeof server->nonce, "nonce-%u", ++server->nonces);
}

void sim_turn_set_quota(sim_turn_server *server, size_t allocations) {
  server->quota = allocations;
}

size_t sim_turn_allocations(const sim_turn_server *server) {
  return server->count;
}

size_t sim_turn_relayed(const sim_turn_server *server) {
  return server->relayed;
}

void sim_turn_set_up(sim_turn_server *server, bool up) {
  if (up == (server->udp != NULL)) {
    return;
  }
  if (!up) {
    while (!wg_list_empty(&server->allocations)) {
      free_allocation(WG_CONTAINER(server->allocations.next, allocation, item));
    }
    while (!wg_list_empty(&server->streams)) {
      end_stream(WG_CONTAINER(server->streams.next, stream, item), sim_tcp_reset);
    }
    sim_udp_close(server->udp);
    sim_tcp_listener_close(server->listener);
    server->udp = NULL;
    return;
  }
  wg_env *env = &server->host->env;
  if (sim_udp_open(env, &server->addr, 0, on_datagram, server, &server->udp) != WARP_OK ||
      sim_tcp_listen(env, &server->addr, 0, on_accept, server, &server->listener) != WARP_OK) {
    sim_fail("port %u of %s is taken", server->addr.port, server->host->name);
  }
  sim_turn_change_nonce(server);
}

static void destroy(sim_service *service) {
  sim_turn_server *server = WG_CONTAINER(service, sim_turn_server, service);
  sim_turn_set_up(server, false);
  free(server);
}

sim_turn_server *sim_turn_start(sim_host *host, uint16_t port, const char *user,
                                const char *password) {
  sim_turn_server *server = sim_alloc(sizeof *server);
  server->host = host;
  server->quota = SIZE_MAX;
  server->addr = wg_addr_with_port(&host->addresses[0].addr, port);
  if (server->addr.family != WARP_IP4) {
    sim_fail("a TURN server on %s needs an IPv4 address first", host->name);
  }
  snprintf(server->user, sizeof server->user, "%s", user);
  if (wg_stun_long_term_key(user, realm, password, server->key) != WARP_OK) {
    sim_fail("no key for the TURN server on %s", host->name);
  }
  wg_list_init(&server->allocations);
  wg_list_init(&server->streams);
  sim_service_add(host->world, &server->service, destroy);
  sim_turn_set_up(server, true);
  return server;
}
