/*
 * The external address of the listen port over TCP: a STUN connection that leaves from the port
 * itself and stays open, because it is what keeps the mapping (RFC 8489 section 6.2.2 for STUN over
 * TCP).
 */
#include "node/mapping.h"

#include "base/addr.h"
#include <stdlib.h>
#include <string.h>

enum {
  ANSWER_MS =
      2000, /* for connection and answer together; a slower server is tried again at the refresh */
  BUFFER_LEN = 512, /* a binding answer is about 100 bytes */
};

typedef struct tcp_mapping {
  wg_mapping base;
  warp_addr local;
  wg_tcp *tcp;
  wg_stun_txid txid;
  bool asked; /* an answer is due */
  uint8_t buffer[BUFFER_LEN];
  size_t buffered;
} tcp_mapping;

static void connect_again(void *arg);

/* Drops the connection; the next one is made at the refresh. */
static void drop(tcp_mapping *self, int status) {
  bool asked = self->asked;
  self->asked = false;
  if (self->tcp != NULL)
    self->base.env->ops->tcp_reset(self->tcp);
  self->tcp = NULL;
  wg_timer_start(self->base.env, &self->base.timer, self->base.refresh_us, connect_again, self);
  if (asked)
    self->base.cb(self->base.arg, status, NULL);
}

static void on_timeout(void *arg) {
  drop(arg, WARP_TIMEOUT);
}

static void on_open(void *arg, int status) {
  tcp_mapping *self = arg;
  uint8_t request[64];
  wg_writer writer = wg_writer_init(request, sizeof request);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &self->txid);
  int len = wg_stun_end(&writer);
  if (status == WARP_OK && len > 0)
    status = self->base.env->ops->tcp_send(self->tcp, request, (size_t)len);
  if (status != WARP_OK)
    drop(self, status);
}

static void answered(tcp_mapping *self, const wg_stun_message *message) {
  warp_addr external;
  if (!self->asked || message->class != WG_STUN_SUCCESS ||
      memcmp(&message->txid, &self->txid, sizeof self->txid) != 0)
    return;
  if (!wg_stun_find_addr(message, WG_STUN_XOR_MAPPED_ADDRESS, &external)) {
    drop(self, WARP_MALFORMED);
    return;
  }
  self->asked = false;
  wg_timer_stop(self->base.env, &self->base.timer);
  self->base.cb(self->base.arg, WARP_OK, &external);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  tcp_mapping *self = arg;
  if (len > BUFFER_LEN - self->buffered) {
    drop(self, WARP_MALFORMED);
    return;
  }
  memcpy(self->buffer + self->buffered, data, len);
  self->buffered += len;
  size_t message_len;
  int status = wg_stun_frame_next(self->buffer, self->buffered, &message_len);
  if (status == WARP_AGAIN)
    return;
  wg_stun_message message;
  if (status != WARP_OK || wg_stun_decode(self->buffer, message_len, &message) != WARP_OK) {
    drop(self, WARP_MALFORMED);
    return;
  }
  self->buffered = 0; /* one answer was asked for; nothing else is of interest on this connection */
  answered(self, &message);
}

static void on_end(void *arg, int status) {
  drop(arg, status);
}

static void connect_again(void *arg) {
  tcp_mapping *self = arg;
  static const wg_tcp_handlers handlers = {
      .on_open = on_open, .on_data = on_data, .on_end = on_end};
  wg_env *env = self->base.env;
  self->buffered = 0;
  self->asked = true;
  int status = env->ops->random(env, &self->txid, sizeof self->txid);
  if (status == WARP_OK)
    status = env->ops->tcp_connect(env, &self->local, &self->base.server, WG_SOCK_REUSE, &handlers,
                                   self, &self->tcp);
  if (status == WARP_OK)
    wg_timer_start(env, &self->base.timer, (uint64_t)ANSWER_MS * 1000, on_timeout, self);
  else
    drop(self, status);
}

static void close_tcp(wg_mapping *base) {
  tcp_mapping *self = (tcp_mapping *)(void *)base;
  if (self->tcp != NULL)
    base->env->ops->tcp_reset(self->tcp);
}

int wg_mapping_tcp(wg_env *env, const warp_addr *local, const warp_addr *server, unsigned refresh_s,
                   wg_mapping_cb cb, void *arg, wg_mapping **out) {
  tcp_mapping *self = calloc(1, sizeof *self);
  if (self == NULL)
    return WARP_NOMEM;
  wg_mapping_init(&self->base, env, server, refresh_s, cb, arg);
  self->base.close = close_tcp;
  self->local = *local;
  wg_timer_start(env, &self->base.timer, 0, connect_again, self);
  *out = &self->base;
  return WARP_OK;
}
