#include "rogue.h"

#include "connect/session.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void on_message(void *arg, const warp_key *sender, const wg_message *message) {
  rogue *self = arg;
  assert_true(wg_key_equal(sender, &self->victim.key));
  assert_true(message->type < ROGUE_TYPES);
  self->got[message->type]++;
  self->status = message->status;
  self->heard = message->session;
}

static void on_state(void *arg, const char *server, int status) {
  (void)server;
  rogue *self = arg;
  self->up = status == WARP_OK;
}

void rogue_sign(rogue *self) {
  int len = wg_record_sign(self->identity, &self->record, self->bytes, sizeof self->bytes);
  assert_true(len > 0);
  self->len = (size_t)len;
}

static void describe(rogue *self, const char *text, const char *broker) {
  warp_addr address;
  char bare[64];
  snprintf(bare, sizeof bare, "%.*s:20001", (int)strcspn(text, "/"), text);
  assert_int_equal(warp_addr_parse(bare, &address), WARP_OK);
  int64_t now = self->env->ops->wall_ms(self->env);
  self->record = (wg_record){.key = *wg_identity_key(self->identity),
                             .sequence = 1,
                             .issued_ms = now,
                             .expires_ms = now + 3600000,
                             .endpoint_count = 1,
                             .broker_count = 1};
  self->record.endpoints[0] = (warp_endpoint){.family = WARP_IP4,
                                              .prefix_bits = 25,
                                              .nic = address,
                                              .external_udp = address,
                                              .external_tcp = address};
  snprintf(self->record.brokers[0], WG_HINT_LEN, "%s", broker);
  rogue_sign(self);
}

void rogue_open(rogue *self, peers *both, const peer *victim, const char *address) {
  memset(self, 0, sizeof *self);
  self->world = both->net.world;
  char name[96];
  snprintf(name, sizeof name, "rogue at %s", address);
  sim_network *network = sim_network_new(self->world, name, NULL);
  self->env = sim_host_env(sim_host_new(network, name, address));
  assert_int_equal(wg_identity_generate(&self->identity), WARP_OK);
  wg_router_options options = {.env = self->env,
                               .identity = self->identity,
                               .brokers = both->net.brokers,
                               .on_message = on_message,
                               .on_state = on_state,
                               .arg = self};
  assert_int_equal(wg_router_open(&options, &self->router), WARP_OK);
  describe(self, address, both->net.brokers[0]);
  uint8_t bytes[WARP_RECORD_MAX];
  size_t len = sizeof bytes;
  assert_int_equal(warp_node_address(victim->node, bytes, &len), WARP_OK);
  assert_int_equal(wg_record_verify(bytes, len, self->env->ops->wall_ms(self->env), &self->victim),
                   WARP_OK);
  rogue_new_session(self);
  assert_int_equal(sim_run_until_set(self->world, &self->up, 10 * SIM_SECOND), WARP_OK);
}

void rogue_new_session(rogue *self) {
  assert_int_equal(
      self->env->ops->random(self->env, self->session.bytes, sizeof self->session.bytes), WARP_OK);
}

wg_message rogue_message(rogue *self, uint16_t attempt) {
  return (wg_message){.type = WG_MESSAGE_OPEN,
                      .session = self->session,
                      .attempt = attempt,
                      .plugin = "udp_punch",
                      .family = WARP_IP4,
                      .route_type = WARP_EXT_BIND,
                      .transport = WARP_UDP,
                      .plugin_type = 1,
                      .record = self->bytes,
                      .record_len = self->len};
}

void rogue_send(rogue *self, const wg_message *message) {
  assert_int_equal(wg_router_send(self->router, &self->victim, message), WARP_OK);
}

void rogue_send_end(rogue *self, int status) {
  rogue_send(self,
             &(wg_message){.type = WG_MESSAGE_END, .session = self->session, .status = status});
}

/* ---- streams --------------------------------------------------------------------------------- */

static void on_secured(void *arg, warp_pipe *pipe) {
  (void)pipe;
  rogue_stream *stream = arg;
  stream->secured = true;
}

static void on_failed(void *arg, warp_pipe *pipe, int status, const char *detail) {
  (void)detail;
  rogue_stream *stream = arg;
  stream->failed = true;
  stream->status = status;
  stream->pipe = NULL;
  wg_pipe_discard(pipe);
}

static void stream_lost(rogue_stream *stream, int status) {
  stream->owner->env->ops->tcp_reset(stream->tcp);
  stream->tcp = NULL;
  stream->failed = true;
  stream->status = status;
}

static void on_open(void *arg, int status) {
  rogue_stream *stream = arg;
  rogue *self = stream->owner;
  if (status != WARP_OK) {
    stream_lost(stream, status);
    return;
  }
  if (stream->hello_len == 0)
    return;
  wg_stream *carrier = wg_stream_new(self->env, stream->tcp);
  assert_non_null(carrier);
  stream->tcp = NULL;
  wg_pipe_options options = {.env = self->env,
                             .identity = self->identity,
                             .kind = WARP_STREAM,
                             .client = true,
                             .initiator = true,
                             .expected = &self->victim.key,
                             .hello = stream->hello,
                             .hello_len = stream->hello_len,
                             .ops = &wg_stream_carrier,
                             .carrier = carrier,
                             .callbacks = {.on_secured = on_secured, .on_failed = on_failed},
                             .arg = stream};
  assert_int_equal(wg_pipe_open(&options, &carrier->pipe), WARP_OK);
  stream->pipe = carrier->pipe;
}

static void on_end(void *arg, int status) {
  stream_lost(arg, status);
}

rogue_stream *rogue_dial(rogue *self, const wg_message *message) {
  assert_true(self->stream_count < ROGUE_STREAMS);
  rogue_stream *stream = &self->streams[self->stream_count++];
  stream->owner = self;
  if (message != NULL) {
    wg_writer writer = wg_writer_init(stream->hello, sizeof stream->hello);
    wg_write_bytes(&writer, message->session.bytes, WG_SESSION_LEN);
    wg_write_u16(&writer, message->attempt);
    stream->hello_len = writer.len;
  }
  if (message != NULL && message->type == WG_MESSAGE_INVITE) {
    int sealed =
        wg_router_seal(self->router, &self->victim.key, message, stream->hello + stream->hello_len,
                       sizeof stream->hello - stream->hello_len);
    assert_true(sealed > 0);
    stream->hello_len += (size_t)sealed;
  }
  static const wg_tcp_handlers handlers = {.on_open = on_open, .on_end = on_end};
  warp_addr local = {.family = WARP_IP4};
  assert_int_equal(self->env->ops->tcp_connect(self->env, &local,
                                               &self->victim.endpoints[0].external_tcp, 0,
                                               &handlers, stream, &stream->tcp),
                   WARP_OK);
  return stream;
}

static size_t count(const rogue *self, bool failed) {
  size_t found = 0;
  for (size_t i = 0; i < self->stream_count; i++)
    found += failed ? self->streams[i].failed : self->streams[i].secured;
  return found;
}

size_t rogue_secured(const rogue *self) {
  return count(self, false);
}

size_t rogue_failed(const rogue *self) {
  return count(self, true);
}

void rogue_close(rogue *self) {
  for (size_t i = 0; i < self->stream_count; i++) {
    rogue_stream *stream = &self->streams[i];
    if (stream->tcp != NULL)
      self->env->ops->tcp_reset(stream->tcp);
    if (stream->pipe != NULL)
      wg_pipe_discard(stream->pipe);
  }
  wg_router_close(self->router);
  wg_identity_free(self->identity);
}
