/*
 * What a peer with a good key can say on a link, which is at most what a stranger can say where the
 * pipe below is plain.
 *
 * The first byte says what there is and what the program does: bit 0 a stream or messages, bit 1
 * the peer opens the SCTP association as it should, bit 2 the program sends, bit 3 it pauses for a
 * while, bits 4 and 5 after how many pieces it closes the link (0: at the end). Pieces follow: a
 * byte of which the upper four bits say how long to wait before, a length in two bytes, and what
 * comes then. With messages that is the chunks of a packet, whose header the peer makes right, or
 * with bit 0 of the piece's first byte the whole packet.
 */
#include "base/bytes.h"
#include "fuzz_target.h"
#include "pipe/open.h"
#include "sim.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

enum {
  PORT = 7,
  WAIT_MAX_MS = 20000,
  SCTP_PORT = 5000,
  SCTP_HEADER = 12, /* RFC 9260 section 3.1 */
  SCTP_INIT = 1,
  SCTP_INIT_ACK = 2,
  SCTP_COOKIE_ACK = 11,
  OWN_TAG = 0x01020304, /* the peer's */
};
enum { MESSAGES = 1, ESTABLISHED = 2, SENDS = 4, PAUSES = 8 };

typedef struct meeting {
  sim_world *world;
  warp_pipe *server, *client; /* the peer's; client: of a stream */
  warp_pipe *pipe;            /* the link's */
  warp_link *link;
  warp_addr from;    /* where the link's packets come from */
  uint8_t tag[4];    /* that packets to the link must carry */
  bool known, ended; /* tag */
  unsigned closed;
} meeting;

static volatile uint8_t last_byte; /* read, so that AddressSanitizer sees whose it is */

static void must(bool holds) {
  if (!holds)
    abort();
}

static void run_ms(meeting *self, uint64_t ms) {
  must(sim_run_for(self->world, ms * SIM_MS) == WARP_OK);
}

/* ---- the peer -------------------------------------------------------------------------------- */

/* A packet to the link: the header, and `chunks`. */
static void send_packet(meeting *self, const uint8_t *chunks, size_t len) {
  uint8_t packet[WARP_MESSAGE_MAX];
  wg_writer writer = wg_writer_init(packet, sizeof packet);
  wg_write_u16(&writer, SCTP_PORT);
  wg_write_u16(&writer, SCTP_PORT);
  wg_write_bytes(&writer, self->tag, sizeof self->tag);
  wg_write_u32(&writer, 0); /* the checksum, which the pipe stands for */
  len = len < sizeof packet - SCTP_HEADER ? len : sizeof packet - SCTP_HEADER;
  wg_write_bytes(&writer, chunks, len);
  if (self->from.family != 0)
    (void)warp_pipe_send_to(self->server, packet, SCTP_HEADER + len, &self->from);
}

/* Takes the link's tag from its first packet, an INIT. */
static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  (void)pipe;
  meeting *self = arg;
  self->from = *from;
  if (!self->known && len >= SCTP_HEADER + 8 && data[SCTP_HEADER] == SCTP_INIT) {
    memcpy(self->tag, data + SCTP_HEADER + 4, sizeof self->tag);
    self->known = true;
  }
}

/* A client is the server's, and gone after this. */
static void on_client_end(void *arg, warp_pipe *client, int status) {
  (void)client;
  (void)status;
  ((meeting *)arg)->client = NULL;
}

static void on_up(void *arg, warp_pipe *server, warp_pipe *client) {
  (void)server;
  ((meeting *)arg)->client = client;
  must(warp_pipe_add_end_cb(client, on_client_end, arg) == WARP_OK);
}

/* RFC 9260 section 5.1: what the link waits for until its association is there. */
static void establish(meeting *self) {
  static const uint8_t cookie_ack[] = {SCTP_COOKIE_ACK, 0, 0, 4};
  uint8_t chunk[28];
  wg_writer writer = wg_writer_init(chunk, sizeof chunk);
  wg_write_u8(&writer, SCTP_INIT_ACK);
  wg_write_u8(&writer, 0);
  wg_write_u16(&writer, sizeof chunk);
  wg_write_u32(&writer, OWN_TAG);
  wg_write_u32(&writer, 1 << 20); /* the window */
  wg_write_u16(&writer, 1);       /* streams */
  wg_write_u16(&writer, 1);
  wg_write_u32(&writer, 1); /* the first TSN */
  wg_write_u16(&writer, 7); /* the cookie */
  wg_write_u16(&writer, 8);
  wg_write_u32(&writer, 0);
  send_packet(self, chunk, sizeof chunk);
  run_ms(self, 50);
  send_packet(self, cookie_ack, sizeof cookie_ack);
  run_ms(self, 50);
}

/* ---- the program ----------------------------------------------------------------------------- */

static void on_opened(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  must(status == WARP_OK);
  *(bool *)arg = true;
}

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  meeting *self = arg;
  must(link == self->link && !self->ended && self->closed == 0);
  must(len <= WARP_LINK_MESSAGE_MAX);
  if (len > 0)
    last_byte = data[len - 1];
}

static void on_end(void *arg, warp_link *link, int status) {
  meeting *self = arg;
  must(link == self->link && status <= WARP_OK && self->closed == 0);
  must(!self->ended || status != WARP_OK);
  self->ended = true;
}

static void on_closed(void *arg, int status) {
  meeting *self = arg;
  must(status <= WARP_OK);
  self->closed++;
  self->link = NULL;
}

static void open_link(meeting *self, sim_host *host, warp_transport transport) {
  bool opened = false;
  warp_addr to;
  must(warp_addr_parse("192.0.2.129:7", &to) == WARP_OK);
  warp_pipe_options options = {.transport = transport, .dest_addr = &to};
  must(wg_pipe_open_by_hand(sim_host_env(host), &options, on_opened, &opened, &self->pipe) ==
       WARP_OK);
  must(sim_run_until_set(self->world, &opened, SIM_SECOND) == WARP_OK);
  must(warp_link_open(self->pipe, &self->link) == WARP_OK);
  must(warp_link_on_message(self->link, on_message, self) == WARP_OK);
  must(warp_link_on_end(self->link, on_end, self) == WARP_OK);
  run_ms(self, 200); /* until the peer has heard of it */
  must(self->client != NULL || self->known);
}

static void begin(meeting *self, uint8_t control) {
  *self = (meeting){.world = sim_world_new(1)};
  bool opened = false;
  warp_transport transport = (control & MESSAGES) != 0 ? WARP_UDP : WARP_TCP;
  sim_host *here = sim_host_new(sim_network_new(self->world, "one", NULL), "a", "192.0.2.1/25");
  sim_host *there = sim_host_new(sim_network_new(self->world, "two", NULL), "b", "192.0.2.129/25");
  warp_route route = {.addr = wg_addr_any(WARP_IP4, PORT)};
  warp_pipe_options options = {
      .transport = transport, .route = &route, .on_msg = on_msg, .on_up = on_up, .arg = self};
  must(wg_pipe_open_by_hand(sim_host_env(there), &options, on_opened, &opened, &self->server) ==
       WARP_OK);
  must(sim_run_until_set(self->world, &opened, SIM_SECOND) == WARP_OK);
  open_link(self, here, transport);
  if (transport == WARP_UDP && (control & ESTABLISHED) != 0)
    establish(self);
  if ((control & SENDS) != 0)
    (void)warp_link_send(self->link, "a message", 9);
  if ((control & PAUSES) != 0)
    (void)warp_link_pause(self->link, true);
}

static void close_link(meeting *self) {
  if (self->link != NULL)
    warp_link_close(self->link, on_closed, self);
}

/* A link that is closed is over when nothing moves any more. */
static void finish(meeting *self) {
  if (self->closed == 0)
    close_link(self);
  run_ms(self, 2 * WARP_LINK_STALL_MS);
  must(self->closed == 1);
  warp_pipe_close(self->server);
  must(sim_run_until_idle(self->world, 600 * SIM_SECOND) == WARP_OK);
  must(sim_world_free(self->world) == 0);
}

/* ---- the input ------------------------------------------------------------------------------- */

static void say(meeting *self, uint8_t control, uint8_t how, const uint8_t *bytes, size_t len) {
  if ((control & MESSAGES) == 0)
    (void)warp_pipe_send(self->client, bytes, len);
  else if ((how & 1) == 0)
    send_packet(self, bytes, len);
  else if (self->from.family != 0)
    (void)warp_pipe_send_to(self->server, bytes, len, &self->from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  meeting self;
  wg_reader reader = wg_reader_init(data, size);
  uint8_t control = wg_read_u8(&reader);
  unsigned pieces = 0, close_after = control >> 4 & 3;
  uint64_t waited_ms = 0;
  begin(&self, control);
  while (wg_reader_left(&reader) > 3) {
    uint8_t how = wg_read_u8(&reader);
    size_t len = wg_read_u16(&reader);
    len = len < wg_reader_left(&reader) ? len : wg_reader_left(&reader);
    uint64_t wait_ms = (how >> 4) != 0 ? UINT64_C(1) << (how >> 4) : 0;
    if (waited_ms + wait_ms <= WAIT_MAX_MS) {
      waited_ms += wait_ms;
      run_ms(&self, wait_ms);
    }
    say(&self, control, how, wg_read_bytes(&reader, len), len);
    if (++pieces == close_after)
      close_link(&self);
    else if ((control & PAUSES) != 0 && pieces == 2 && self.link != NULL)
      (void)warp_link_pause(self.link, false);
  }
  run_ms(&self, 50);
  finish(&self);
  return 0;
}
