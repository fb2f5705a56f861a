/* A STUN server with behaviour discovery, made of our own codecs. */
#include "internal.h"
#include "wire/stun.h"

#include <stdlib.h>

/* Bits of an endpoint's number: which address, which port. */
enum { OTHER_PORT = 1, OTHER_IP = 2, ENDPOINTS = 4 };

typedef struct endpoint {
  sim_stun_server *server;
  unsigned number;
  warp_addr addr;
  wg_udp *udp;
  wg_tcp_listener *listener;
} endpoint;

typedef struct stream {
  wg_list item;
  endpoint *endpoint;
  wg_tcp *tcp;
  warp_addr from;
  sim_buffer in;
} stream;

struct sim_stun_server {
  sim_service service;
  sim_host *host;
  bool discovery, up;
  endpoint endpoints[ENDPOINTS];
  wg_list streams;
  size_t answered;
};

/* ---- requests -------------------------------------------------------------------------------- */

/* The endpoint that a request wants its answer from. */
static const endpoint *wanted(const endpoint *at, const wg_stun_message *request, bool udp) {
  uint32_t change = 0;
  unsigned number = at->number;
  if (udp && wg_stun_find_u32(request, WG_STUN_CHANGE_REQUEST, &change)) {
    number ^= (change & WG_STUN_CHANGE_PORT) ? OTHER_PORT : 0;
    number ^= (change & WG_STUN_CHANGE_IP) ? OTHER_IP : 0;
  }
  return &at->server->endpoints[number];
}

static int write_refusal(const wg_stun_message *request, const uint16_t *unknown, size_t count,
                         uint8_t out[WG_STUN_MAX]) {
  wg_writer writer = wg_writer_init(out, WG_STUN_MAX);
  wg_stun_begin(&writer, WG_STUN_ERROR, WG_STUN_BINDING, &request->txid);
  wg_stun_attr_error(&writer, 420, "Unknown Attribute");
  wg_stun_attr_unknown(&writer, unknown, count);
  return wg_stun_end(&writer);
}

static int write_success(const endpoint *at, const endpoint *origin, const wg_stun_message *request,
                         const warp_addr *from, uint8_t out[WG_STUN_MAX]) {
  const sim_stun_server *server = at->server;
  wg_writer writer = wg_writer_init(out, WG_STUN_MAX);
  wg_stun_begin(&writer, WG_STUN_SUCCESS, WG_STUN_BINDING, &request->txid);
  wg_stun_attr_addr(&writer, WG_STUN_XOR_MAPPED_ADDRESS, from);
  if (server->discovery) {
    const endpoint *other = &server->endpoints[at->number ^ (OTHER_IP | OTHER_PORT)];
    wg_stun_attr_addr(&writer, WG_STUN_RESPONSE_ORIGIN, &origin->addr);
    wg_stun_attr_addr(&writer, WG_STUN_OTHER_ADDRESS, &other->addr);
  }
  return wg_stun_end(&writer);
}

/* Writes the answer to a request and says from which endpoint it goes; its length, or 0 for none.
 */
static size_t answer(endpoint *at, const uint8_t *data, size_t len, const warp_addr *from, bool udp,
                     const endpoint **origin, uint8_t out[WG_STUN_MAX]) {
  wg_stun_message request;
  uint16_t unknown[8];
  if (wg_stun_decode(data, len, &request) != WARP_OK || request.class != WG_STUN_REQUEST ||
      request.method != WG_STUN_BINDING) {
    return 0;
  }
  *origin = at;
  size_t count = wg_stun_unknown(&request, unknown, sizeof unknown / sizeof unknown[0]);
  wg_stun_attr change;
  if (!at->server->discovery && wg_stun_find(&request, WG_STUN_CHANGE_REQUEST, &change)) {
    unknown[0] = WG_STUN_CHANGE_REQUEST; /* RFC 5780 section 6.1 */
    count = 1;
  }
  int written;
  if (count > 0) {
    count = count < sizeof unknown / sizeof unknown[0] ? count : sizeof unknown / sizeof unknown[0];
    written = write_refusal(&request, unknown, count, out);
  } else {
    *origin = wanted(at, &request, udp);
    written = write_success(at, *origin, &request, from, out);
  }
  if (written < 0) {
    sim_fail("a STUN answer that cannot be written");
  }
  at->server->answered++;
  return (size_t)written;
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  uint8_t out[WG_STUN_MAX];
  const endpoint *origin = NULL;
  size_t written = answer(arg, data, len, from, true, &origin, out);
  if (written > 0) {
    sim_udp_send(origin->udp, from, out, written);
  }
}

/* ---- streams --------------------------------------------------------------------------------- */

static void end_stream(stream *entry, void (*end)(wg_tcp *tcp)) {
  end(entry->tcp);
  sim_buffer_free(&entry->in);
  wg_list_remove(&entry->item);
  free(entry);
}

static void on_end(void *arg, int status) {
  (void)status;
  end_stream(arg, sim_tcp_close);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  stream *entry = arg;
  size_t size = 0;
  int status;
  sim_buffer_append(&entry->in, data, len);
  while ((status = wg_stun_frame_next(sim_buffer_bytes(&entry->in), sim_buffer_len(&entry->in),
                                      &size)) == WARP_OK) {
    uint8_t out[WG_STUN_MAX];
    const endpoint *origin = NULL;
    size_t written = answer(entry->endpoint, sim_buffer_bytes(&entry->in), size, &entry->from,
                            false, &origin, out);
    if (written > 0) {
      sim_tcp_send(entry->tcp, out, written);
    }
    sim_buffer_take(&entry->in, size);
  }
  if (status != WARP_AGAIN) {
    end_stream(entry, sim_tcp_reset);
  }
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers handlers = {.on_data = on_data, .on_end = on_end};
  stream *entry = sim_alloc(sizeof *entry);
  entry->endpoint = arg;
  entry->tcp = tcp;
  entry->from = *from;
  wg_list_push(&entry->endpoint->server->streams, &entry->item);
  sim_tcp_set_handlers(tcp, &handlers, entry);
}

/* ---- the server ------------------------------------------------------------------------------ */

static void open_endpoint(endpoint *at) {
  wg_env *env = &at->server->host->env;
  if (sim_udp_open(env, &at->addr, 0, on_datagram, at, &at->udp) != WARP_OK ||
      sim_tcp_listen(env, &at->addr, 0, on_accept, at, &at->listener) != WARP_OK) {
    sim_fail("port %u of %s is taken", at->addr.port, at->server->host->name);
  }
}

void sim_stun_set_up(sim_stun_server *server, bool up) {
  if (server->up == up) {
    return;
  }
  server->up = up;
  for (unsigned i = 0; i < (server->discovery ? ENDPOINTS : 1U); i++) {
    endpoint *at = &server->endpoints[i];
    if (up) {
      open_endpoint(at);
    } else {
      sim_udp_close(at->udp);
      sim_tcp_listener_close(at->listener);
    }
  }
  while (!up && !wg_list_empty(&server->streams)) {
    end_stream(WG_CONTAINER(server->streams.next, stream, item), sim_tcp_reset);
  }
}

static void destroy(sim_service *service) {
  sim_stun_server *server = WG_CONTAINER(service, sim_stun_server, service);
  sim_stun_set_up(server, false);
  free(server);
}

sim_stun_server *sim_stun_start(sim_host *host, uint16_t port, uint16_t other_port) {
  sim_stun_server *server = sim_alloc(sizeof *server);
  const warp_addr *ips[2] = {NULL, NULL};
  size_t count = 0;
  for (size_t i = 0; i < host->address_count && count < 2; i++) {
    if (host->addresses[i].addr.family == WARP_IP4) {
      ips[count++] = &host->addresses[i].addr;
    }
  }
  if (count == 0) {
    sim_fail("a STUN server on %s needs an IPv4 address", host->name);
  }
  server->host = host;
  server->discovery = count == 2 && other_port != 0;
  for (unsigned i = 0; i < (server->discovery ? ENDPOINTS : 1U); i++) {
    server->endpoints[i] = (endpoint){.server = server, .number = i};
    server->endpoints[i].addr =
        wg_addr_with_port(ips[i & OTHER_IP ? 1 : 0], i & OTHER_PORT ? other_port : port);
  }
  wg_list_init(&server->streams);
  sim_service_add(host->world, &server->service, destroy);
  sim_stun_set_up(server, true);
  return server;
}

size_t sim_stun_answered(const sim_stun_server *server) {
  return server->answered;
}
