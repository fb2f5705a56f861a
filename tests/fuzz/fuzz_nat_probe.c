/*
 * What STUN servers can say to a node that looks at its NAT.
 *
 * Pieces follow each other. The first byte's lower four bits choose the request that is answered,
 * counted back from the last one sent, the upper four say how long it takes. The second byte's
 * lower two bits choose from where the answer comes (where the request went to, the server's other
 * port, the other server, nobody who was asked), bit 2 that it is an error, bit 3 that the request
 * itself comes back. Then come a length in one byte, and the attributes of the answer.
 */
#include "base/addr.h"
#include "base/bytes.h"
#include "base/rng.h"
#include "fuzz_target.h"
#include "machine/nat_probe.h"

#include <stdlib.h>
#include <string.h>

enum {
  SERVERS = 2,
  SENT_MAX = WG_PROBE_TESTS * 6, /* each request is sent that often where packets are lost */
  LIMIT_MS = 60000,              /* by then it must be over whatever is said */
  STUN_HEADER = 20,
};

typedef struct sent_packet {
  wg_probe_socket socket;
  warp_addr to;
  uint8_t bytes[WG_PROBE_PACKET_LEN];
  size_t len;
} sent_packet;

typedef struct scene {
  wg_nat_probe probe;
  wg_rng rng;
  uint64_t now_us;
  sent_packet sent[SENT_MAX];
  size_t count;
} scene;

static void must(bool holds) {
  if (!holds)
    abort();
}

static int draw(void *arg, void *out, size_t len) {
  scene *self = arg;
  uint8_t *bytes = out;
  for (size_t i = 0; i < len; i++)
    bytes[i] = (uint8_t)wg_rng_next(&self->rng);
  return WARP_OK;
}

static warp_addr address(uint8_t last, uint16_t port) {
  return (warp_addr){.family = WARP_IP4, .ip = {192, 0, 2, last}, .port = port};
}

/* ---- the node -------------------------------------------------------------------------------- */

/* Of the addresses that only a server named, none may be further in than its own is, and its word
 * for our own external address leads to no port of a service. */
static bool may_be_asked(const warp_addr *to) {
  warp_addr server = address(1, 3478);
  bool as_far = wg_addr_get_scope(to) == wg_addr_get_scope(&server);
  return to->port >= 1024 || (as_far && to->port != 0);
}

static void drive(scene *self) {
  wg_probe_packet packet;
  while (wg_nat_probe_output(&self->probe, self->now_us, &packet)) {
    must(self->count < SENT_MAX && packet.len <= WG_PROBE_PACKET_LEN);
    must(packet.socket < WG_PROBE_SOCKETS && may_be_asked(&packet.to));
    sent_packet *kept = &self->sent[self->count++];
    *kept = (sent_packet){.socket = packet.socket, .to = packet.to, .len = packet.len};
    memcpy(kept->bytes, packet.bytes, packet.len);
  }
}

static void pass(scene *self, uint64_t until_us) {
  while (!self->probe.done && wg_nat_probe_deadline(&self->probe) <= until_us) {
    uint64_t next_us = wg_nat_probe_deadline(&self->probe);
    self->now_us = next_us > self->now_us ? next_us : self->now_us;
    drive(self);
    must(self->probe.done || wg_nat_probe_deadline(&self->probe) > self->now_us);
  }
  self->now_us = until_us > self->now_us ? until_us : self->now_us;
}

static void begin(scene *self) {
  memset(self, 0, sizeof *self);
  wg_rng_seed(&self->rng, 1, "fuzz");
  self->now_us = 1;
  wg_probe_options options = {.servers = {address(1, 3478), address(2, 3478)},
                              .server_count = SERVERS,
                              .random = draw,
                              .random_arg = self};
  for (uint16_t i = 0; i < WG_PROBE_SOCKETS; i++)
    options.local[i] =
        (warp_addr){.family = WARP_IP4, .ip = {10, 0, 0, 2}, .port = (uint16_t)(40000 + i * 1000)};
  must(wg_nat_probe_start(&self->probe, &options, self->now_us) == WARP_OK);
  drive(self);
}

/* Whatever was said, it ends, and says what can be said. */
static void finish(scene *self) {
  pass(self, self->now_us + LIMIT_MS * UINT64_C(1000));
  must(self->probe.done && wg_nat_probe_deadline(&self->probe) == UINT64_MAX);
  const wg_probe_result *result = &self->probe.result;
  must(result->status == WARP_OK || result->status == WARP_TIMEOUT);
  must(result->status != WARP_OK || result->server < SERVERS);
  must(result->axes.confidence <= 100);
}

/* ---- the servers ----------------------------------------------------------------------------- */

static void answer(scene *self, const sent_packet *request, uint8_t how, const uint8_t *attributes,
                   size_t len) {
  uint8_t packet[STUN_HEADER + UINT8_MAX + 3];
  wg_writer writer = wg_writer_init(packet, sizeof packet);
  bool back = (how & 8) != 0, error = (how & 4) != 0;
  size_t padded = (len + 3) / 4 * 4;
  memset(packet, 0, sizeof packet);
  wg_write_u16(&writer, back ? 0x0001 : error ? 0x0111 : 0x0101);
  wg_write_u16(&writer, (uint16_t)padded);
  wg_write_bytes(&writer, request->bytes + 4, STUN_HEADER - 4); /* cookie and transaction id */
  wg_write_bytes(&writer, attributes, len);
  const warp_addr from[] = {request->to, address(1, 3479), address(2, 3479), address(9, 9)};
  uint8_t *copy = malloc(STUN_HEADER + padded); /* exactly its size, for the sanitizer */
  must(copy != NULL);
  memcpy(copy, packet, STUN_HEADER + padded);
  (void)wg_nat_probe_input(&self->probe, request->socket, copy, STUN_HEADER + padded,
                           &from[how & 3], self->now_us);
  free(copy);
  drive(self);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static scene self;
  begin(&self);
  wg_reader reader = wg_reader_init(data, size);
  while (wg_reader_left(&reader) >= 3) {
    uint8_t which = wg_read_u8(&reader), how = wg_read_u8(&reader);
    size_t len = wg_read_u8(&reader), back = which & 15;
    len = len < wg_reader_left(&reader) ? len : wg_reader_left(&reader);
    pass(&self, self.now_us + (UINT64_C(250) << (which >> 4)));
    const sent_packet *request = &self.sent[self.count - 1 - (back < self.count ? back : 0)];
    answer(&self, request, how, wg_read_bytes(&reader, len), len);
  }
  finish(&self);
  return 0;
}
