/* The external address of the listen port over TCP, asked for again whenever the connection that
 * keeps it has ended. */
#include "node/mapping.h"

#include "connect/stun_stream.h"
#include <stdlib.h>

enum { ANSWER_MS = 2000 }; /* a slower server is tried again at the refresh */

typedef struct tcp_mapping {
  wg_mapping base;
  warp_addr local;
  wg_stun_stream *stun;
  bool asked; /* an answer is due */
} tcp_mapping;

static void ask(void *arg);

/* Drops the connection; the next one is made at the refresh. */
static void drop(tcp_mapping *self, int status) {
  bool asked = self->asked;
  self->asked = false;
  if (self->stun != NULL)
    wg_stun_stream_close(self->stun);
  self->stun = NULL;
  wg_timer_start(self->base.env, &self->base.timer, self->base.refresh_us, ask, self);
  if (asked)
    self->base.cb(self->base.arg, status, NULL);
}

static void on_stun(void *arg, int status, const warp_addr *external) {
  tcp_mapping *self = arg;
  if (status != WARP_OK) {
    drop(self, status);
    return;
  }
  self->asked = false;
  self->base.cb(self->base.arg, WARP_OK, external);
}

static void ask(void *arg) {
  tcp_mapping *self = arg;
  self->asked = true;
  int status = wg_stun_stream_open(self->base.env, &self->local, &self->base.server, ANSWER_MS,
                                   on_stun, self, &self->stun);
  if (status != WARP_OK)
    drop(self, status);
}

static void close_tcp(wg_mapping *base) {
  tcp_mapping *self = (tcp_mapping *)(void *)base;
  if (self->stun != NULL)
    wg_stun_stream_close(self->stun);
}

int wg_mapping_tcp(wg_env *env, const warp_addr *local, const warp_addr *server, unsigned refresh_s,
                   wg_mapping_cb cb, void *arg, wg_mapping **out) {
  tcp_mapping *self = calloc(1, sizeof *self);
  if (self == NULL)
    return WARP_NOMEM;
  wg_mapping_init(&self->base, env, server, refresh_s, cb, arg);
  self->base.close = close_tcp;
  self->local = *local;
  wg_timer_start(env, &self->base.timer, 0, ask, self);
  *out = &self->base;
  return WARP_OK;
}
