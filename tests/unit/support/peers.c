#include "peers.h"

#include "base/addr.h"
#include "node/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Virtual. No wait of ours is longer; a relay keeps an allocation whose end was lost for 600 s. */
enum { LIMIT_US = 900000000 };

/* ---- callbacks ------------------------------------------------------------------------------- */

static void keep_report(peer *self, const warp_report *report) {
  assert_true(report->count <= PEER_ROWS);
  if (report->count > 0)
    memcpy(self->rows, report->rows, report->count * sizeof self->rows[0]);
  self->row_count = report->count;
}

static void on_phase(void *arg, const warp_start_event *event) {
  peer *self = arg;
  assert_true(self->phase_count < PEER_PHASES);
  self->phases[self->phase_count++] = *event;
}

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  peer *self = arg;
  assert_true(len <= PEER_INBOX - self->inbox_len);
  memcpy(self->inbox + self->inbox_len, data, len);
  self->inbox_len += len;
  if (self->echo)
    assert_int_equal(warp_pipe_send(pipe, data, len), WARP_OK);
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  peer *self = arg;
  self->end_done = true;
  self->end_status = status;
  warp_pipe_close(pipe);
  self->pipe = NULL;
}

static void take(peer *self, warp_pipe *pipe, const warp_report *report) {
  warp_pipe_handlers handlers = {.on_data = on_data, .on_end = on_end, .arg = self};
  assert_int_equal(warp_pipe_set_handlers(pipe, &handlers), WARP_OK);
  assert_int_equal(warp_pipe_get_info(pipe, &self->info), WARP_OK);
  self->pipe = pipe;
  keep_report(self, report);
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  peer *self = arg;
  assert_ptr_equal(node, self->node);
  self->pipe_done = true;
  take(self, pipe, report);
}

static void on_miss(void *arg, warp_node *node, const warp_key *key, int status,
                    const warp_report *report) {
  (void)key;
  peer *self = arg;
  assert_ptr_equal(node, self->node);
  self->miss_done = true;
  self->miss_status = status;
  keep_report(self, report);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  peer *self = arg;
  assert_false(self->connect_done);
  self->connect_done = true;
  self->connect_status = status;
  self->connected_us = sim_now_us(self->world);
  if (status == WARP_OK)
    take(self, pipe, report);
  else
    keep_report(self, report);
}

static void on_start(void *arg, warp_node *node, int status) {
  peer *self = arg;
  assert_false(self->start_done);
  self->start_done = true;
  self->start_status = status;
  if (status != WARP_OK)
    self->node = NULL;
  else
    assert_ptr_equal(node, self->node);
}

static void on_closed(void *arg) {
  peer *self = arg;
  self->closed = true;
}

/* ---- what tests call ------------------------------------------------------------------------- */

static void set_up(peer *self, sim_world *world, sim_host *host, const sim_topology *net,
                   uint64_t seed) {
  self->world = world;
  self->host = host;
  self->conf = warp_conf_default();
  self->conf.seed = seed;
  self->conf.brokers = net->brokers;
  self->conf.stun_servers = net->stun_servers;
  self->conf.turn_servers = net->turn_servers;
  self->conf.ntp_servers = net->ntp_servers;
  self->conf.on_start_event = on_phase;
  self->conf.start_arg = self;
}

void peers_build(peers *both, const char *profile_a, const char *profile_b, uint64_t seed) {
  memset(both, 0, sizeof *both);
  sim_topology_options options = {.profile_a = profile_a, .profile_b = profile_b, .seed = seed};
  sim_topology_new(&options, &both->net);
  set_up(&both->a, both->net.world, both->net.a, &both->net, seed);
  set_up(&both->b, both->net.world, both->net.b, &both->net, seed + 1);
  both->b.echo = true;
}

void peer_start(peer *self) {
  assert_int_equal(
      wg_node_start(sim_host_env(self->host), &self->conf, on_start, self, &self->node), WARP_OK);
  assert_false(self->start_done);
  assert_int_equal(sim_run_until_set(self->world, &self->start_done, LIMIT_US), WARP_OK);
}

void peers_start(peers *both) {
  peer_start(&both->a);
  peer_start(&both->b);
  assert_int_equal(both->a.start_status, WARP_OK);
  assert_int_equal(both->b.start_status, WARP_OK);
  assert_int_equal(warp_node_listen(both->b.node, on_pipe, on_miss, &both->b), WARP_OK);
}

void peers_begin_connect(peers *both, const uint8_t *record, size_t len,
                         const warp_connect_options *options) {
  both->a.asked_us = sim_now_us(both->net.world);
  assert_int_equal(warp_auto_connect(both->a.node, record, len, options, on_connect, &both->a),
                   WARP_OK);
  assert_false(both->a.connect_done);
}

void peers_await_connect(peers *both) {
  assert_int_equal(sim_run_until_set(both->net.world, &both->a.connect_done, LIMIT_US), WARP_OK);
}

void peers_connect_to(peers *both, const uint8_t *record, size_t len,
                      const warp_connect_options *options) {
  peers_begin_connect(both, record, len, options);
  peers_await_connect(both);
}

void peers_connect(peers *both, const warp_connect_options *options) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both->b.node, record, &len), WARP_OK);
  peers_connect_to(both, record, len, options);
}

static bool echoed(void *arg) {
  const peers *both = arg;
  return both->a.inbox_len >= 5;
}

void peers_echo(peers *both) {
  assert_int_equal(warp_pipe_send(both->a.pipe, "hello", 5), WARP_OK);
  assert_int_equal(sim_run_until(both->net.world, echoed, both, LIMIT_US), WARP_OK);
  assert_int_equal(both->a.inbox_len, 5);
  assert_memory_equal(both->a.inbox, "hello", 5);
  assert_int_equal(both->b.inbox_len, 5);
  assert_true(both->b.pipe_done);
}

const warp_report_row *peer_row(const peer *self, const char *plugin, int route_type) {
  for (size_t i = 0; i < self->row_count; i++) {
    if (strcmp(self->rows[i].plugin, plugin) == 0 && self->rows[i].route_type == route_type)
      return &self->rows[i];
  }
  return NULL;
}

static void close_peer(peer *self) {
  if (self->pipe != NULL)
    warp_pipe_close(self->pipe);
  self->pipe = NULL;
  if (self->node == NULL)
    return;
  warp_node_close(self->node, on_closed, self);
  assert_int_equal(sim_run_until_set(self->world, &self->closed, LIMIT_US), WARP_OK);
}

wg_record peer_record(const peer *self) {
  uint8_t bytes[WARP_RECORD_MAX], signature[WG_SIGNATURE_LEN];
  size_t len = sizeof bytes, signed_len;
  wg_record record;
  assert_int_equal(warp_node_address(self->node, bytes, &len), WARP_OK);
  assert_int_equal(wg_record_decode(bytes, len, &record, &signed_len, signature), WARP_OK);
  return record;
}

void assert_ip(const warp_addr *addr, const char *text) {
  warp_addr expected;
  assert_int_equal(warp_addr_parse(text, &expected), WARP_OK);
  assert_true(wg_addr_same_ip(addr, &expected));
}

void on_peer_answer(void *arg, int status, const uint8_t *record, size_t len) {
  peer_answer *self = arg;
  assert_false(self->done);
  assert_true(status == WARP_OK || record == NULL);
  *self = (peer_answer){.done = true, .status = status, .len = len};
  if (record != NULL)
    memcpy(self->record, record, len);
}

void peers_free(peers *both) {
  close_peer(&both->a);
  close_peer(&both->b);
  assert_int_equal(sim_run_until_idle(both->net.world, LIMIT_US), WARP_OK);
  assert_int_equal(sim_world_free(both->net.world), 0);
}
