/*
 * What a peer with a good key can say: signal messages of its own making, at any time, to a node
 * that listens and has begun a connect to the same peer.
 *
 * Pieces follow each other: a byte of which the upper four bits say how long to wait before and the
 * lower ones which session and which record are meant, a length in two bytes, and an encoded
 * message. Session and record stand in for those of the message, because no input could guess an id
 * or sign a record; so does a record for a plugin's data of one byte, which says which one.
 */
#include "connect/session.h"
#include "fuzz_target.h"
#include "node/internal.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>

enum {
  RECORDS = 4,
  SESSIONS = 3,
  WAIT_MAX_MS = 60000,
  OLD_MS = 3600000, /* of the record that is connected to: the peer is asked for a newer one */
};

typedef struct guest {
  sim_world *world;
  warp_node *node;
  unsigned calls, ended;
  bool started, closed;
  wg_session_id own; /* of the connect that the node has begun */
} guest;

static wg_identity *peer;
static uint8_t records[RECORDS][WARP_RECORD_MAX];
static size_t record_lens[RECORDS];

static void must(bool holds) {
  if (!holds)
    abort();
}

/* ---- the peer -------------------------------------------------------------------------------- */

static warp_endpoint endpoint_at(const char *text) {
  warp_addr at;
  must(warp_addr_parse(text, &at) == WARP_OK);
  return (warp_endpoint){.family = at.family,
                         .prefix_bits = at.family == WARP_IP4 ? 24 : 64,
                         .nic = at,
                         .external_udp = at,
                         .external_tcp = at};
}

static void write_record(size_t index, const char *first, const char *second, uint64_t now_ms) {
  wg_record record = {.key = *wg_identity_key(peer),
                      .sequence = index + 1,
                      .issued_ms = (int64_t)now_ms,
                      .expires_ms = (int64_t)now_ms + 86400000,
                      .endpoint_count = 2};
  record.endpoints[0] = endpoint_at(first);
  record.endpoints[1] = endpoint_at(second);
  int len = wg_record_sign(peer, &record, records[index], WARP_RECORD_MAX);
  must(len > 0);
  record_lens[index] = (size_t)len;
}

/* Global addresses, loopback, the node's own network, and one that is no record. */
static void make_peer(const wg_env *env) {
  uint64_t now_ms = (uint64_t)env->ops->wall_ms((wg_env *)env);
  must(wg_identity_generate(&peer) == WARP_OK);
  write_record(0, "192.0.2.2:20001", "[2001:db8:2::2]:20001", now_ms - OLD_MS);
  write_record(1, "127.0.0.1:8080", "[::1]:8080", now_ms);
  write_record(2, "192.0.2.255:20001", "[fe80::2]:20001", now_ms);
  record_lens[3] = 5;
}

/* ---- the node -------------------------------------------------------------------------------- */

static void on_start(void *arg, warp_node *node, int status) {
  (void)node;
  guest *self = arg;
  must(status == WARP_OK);
  self->started = true;
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)arg;
  (void)node;
  (void)pipe;
  (void)report;
  abort(); /* nothing here can prove the key */
}

static void on_miss(void *arg, warp_node *node, const warp_key *key, int status,
                    const warp_report *report) {
  (void)arg;
  (void)node;
  must(wg_key_equal(key, wg_identity_key(peer)) && status < 0 && status >= WARP_ALL_FAILED);
  must(report->count <= WG_ATTEMPTS_MAX);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  guest *self = arg;
  must(pipe == NULL && status < 0 && status >= WARP_ALL_FAILED && report->count > 0);
  self->ended++;
}

static void on_closed(void *arg) {
  ((guest *)arg)->closed = true;
}

static void run_ms(guest *self, uint64_t ms) {
  must(sim_run_for(self->world, ms * SIM_MS) == WARP_OK);
}

static void begin(guest *self) {
  *self = (guest){.world = sim_world_new(1)};
  sim_network *network = sim_network_new(self->world, "site", NULL);
  sim_host *host = sim_host_new(network, "host", "192.0.2.130/24");
  sim_host_add_address(host, "2001:db8:1::2/64");
  (void)sim_broker_start(sim_host_new(network, "server", "192.0.2.140/24"), 1883);
  static const char *const brokers[] = {"192.0.2.140:1883", NULL};
  wg_env *env = sim_host_env(host);
  if (peer == NULL)
    make_peer(env);
  warp_conf conf = warp_conf_default();
  conf.key_name = "";
  conf.seed = 1;
  conf.brokers = brokers;
  must(wg_node_start(env, &conf, on_start, self, &self->node) == WARP_OK);
  must(sim_run_until_set(self->world, &self->started, SIM_SECOND) == WARP_OK);
  must(warp_node_listen(self->node, on_pipe, on_miss, self) == WARP_OK);
  must(warp_auto_connect(self->node, records[0], record_lens[0],
                         &(warp_connect_options){.plugins = "direct_connect"}, on_connect,
                         self) == WARP_OK);
  self->own = WG_CONTAINER(self->node->connect->sessions.next, wg_session, link)->id;
}

static void finish(guest *self) {
  warp_node_close(self->node, on_closed, self);
  must(self->ended == 1);
  must(sim_run_until_idle(self->world, 600 * SIM_SECOND) == WARP_OK);
  must(self->closed);
  must(sim_world_free(self->world) == 0);
}

/* ---- the input ------------------------------------------------------------------------------- */

static void say(guest *self, uint8_t control, const uint8_t *bytes, size_t len) {
  wg_message message;
  if (wg_message_decode(bytes, len, &message) != WARP_OK)
    return;
  unsigned session = control & 3;
  if (session == SESSIONS)
    message.session = self->own;
  else
    memset(&message.session, (int)session + 1, sizeof message.session);
  if (message.record != NULL) {
    unsigned record = control >> 2 & 3;
    message.record = records[record];
    message.record_len = record_lens[record];
  }
  if (message.type == WG_MESSAGE_PLUGIN && message.data_len == 1) {
    unsigned record = message.data[0] & 3;
    message.data = records[record];
    message.data_len = record_lens[record];
  }
  wg_connect_on_message(self->node->connect, wg_identity_key(peer), &message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  guest self;
  begin(&self);
  uint64_t waited_ms = 0;
  wg_reader reader = wg_reader_init(data, size);
  while (wg_reader_left(&reader) > 3) {
    uint8_t control = wg_read_u8(&reader);
    size_t len = wg_read_u16(&reader);
    len = len < wg_reader_left(&reader) ? len : wg_reader_left(&reader);
    uint64_t wait_ms = (control >> 4) != 0 ? UINT64_C(1) << (control >> 4) : 0;
    if (waited_ms + wait_ms <= WAIT_MAX_MS) {
      waited_ms += wait_ms;
      run_ms(&self, wait_ms);
    }
    say(&self, control, wg_read_bytes(&reader, len), len);
  }
  run_ms(&self, 50);
  finish(&self);
  return 0;
}
