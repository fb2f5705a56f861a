/* The external address of the listen port over TCP, asked for again and again over the connection
 * that keeps it: a NAT that forgot it tells nobody, and a reset may come or not. */
#include "node/mapping.h"

#include "connect/stun_stream.h"
#include <stdlib.h>

enum {
  ANSWER_MS = 2000, /* a slower server is tried again */
  /* The first time without an answer a SYN may have been lost, and it is dialled again at once;
   * then after this pause, which doubles until it is the refresh's. */
  AGAIN_MS = 1000,
  AGAIN_DOUBLINGS_MAX = 6,
};

typedef enum tcp_mapping_state {
  MAPPING_DOWN, /* until the next connection may be made */
  MAPPING_ASKED,
  MAPPING_KEPT, /* answered; asked again at the refresh */
} tcp_mapping_state;

typedef struct tcp_mapping {
  wg_mapping base;
  tcp_mapping_state state;
  warp_addr local;
  wg_stun_stream *stun;
  uint64_t dialled_us;
  unsigned unanswered; /* since the latest answer */
} tcp_mapping;

static void on_timer(void *arg);

static uint64_t pause_unanswered_us(const tcp_mapping *self) {
  if (self->unanswered == 1)
    return 0;
  unsigned doublings = self->unanswered - 2;
  doublings = doublings < AGAIN_DOUBLINGS_MAX ? doublings : AGAIN_DOUBLINGS_MAX;
  uint64_t pause = (uint64_t)AGAIN_MS * 1000 << doublings;
  return pause < self->base.refresh_us ? pause : self->base.refresh_us;
}

/* A connection that served for a refresh is replaced at once. One that ended earlier is not: there
 * are servers that hang up after each answer. */
static uint64_t pause_us(const tcp_mapping *self) {
  if (self->unanswered > 0)
    return pause_unanswered_us(self);
  uint64_t since_us = wg_now_us(self->base.env) - self->dialled_us;
  return since_us < self->base.refresh_us ? self->base.refresh_us - since_us : 0;
}

/* The only place where the state changes. */
static void move(tcp_mapping *self, tcp_mapping_state to) {
  wg_env *env = self->base.env;
  self->state = to;
  if (to == MAPPING_DOWN && self->stun != NULL) {
    wg_stun_stream_close(self->stun);
    self->stun = NULL;
  }
  if (to == MAPPING_ASKED)
    wg_timer_stop(env, &self->base.timer);
  else
    wg_timer_start(env, &self->base.timer,
                   to == MAPPING_DOWN ? pause_us(self) : self->base.refresh_us, on_timer, self);
}

/* Who asked is told that there is no answer; who did not hears of the next one. */
static void lose(tcp_mapping *self, int status) {
  bool asked = self->state == MAPPING_ASKED;
  self->unanswered += asked ? 1 : 0;
  move(self, MAPPING_DOWN);
  if (asked)
    self->base.cb(self->base.arg, status, NULL);
}

static void on_stun(void *arg, int status, const warp_addr *external) {
  tcp_mapping *self = arg;
  if (status != WARP_OK) {
    lose(self, status);
    return;
  }
  self->unanswered = 0;
  move(self, MAPPING_KEPT);
  self->base.cb(self->base.arg, WARP_OK, external);
}

static int dial(tcp_mapping *self) {
  self->dialled_us = wg_now_us(self->base.env);
  return wg_stun_stream_open(self->base.env, &self->local, &self->base.server, ANSWER_MS, on_stun,
                             self, &self->stun);
}

static void on_timer(void *arg) {
  tcp_mapping *self = arg;
  int status = self->state == MAPPING_KEPT ? wg_stun_stream_ask(self->stun, ANSWER_MS) : dial(self);
  move(self, MAPPING_ASKED);
  if (status != WARP_OK)
    lose(self, status);
}

static void close_tcp(wg_mapping *base) {
  tcp_mapping *self = (tcp_mapping *)(void *)base;
  if (self->stun != NULL)
    wg_stun_stream_close(self->stun);
}

static void ask_now(wg_mapping *base) {
  tcp_mapping *self = (tcp_mapping *)(void *)base;
  if (self->state == MAPPING_KEPT)
    wg_timer_start(base->env, &base->timer, 0, on_timer, self);
}

int wg_mapping_tcp(wg_env *env, const warp_addr *local, const warp_addr *server, unsigned refresh_s,
                   wg_mapping_cb cb, void *arg, wg_mapping **out) {
  tcp_mapping *self = calloc(1, sizeof *self);
  if (self == NULL)
    return WARP_NOMEM;
  wg_mapping_init(&self->base, env, server, refresh_s, cb, arg);
  self->base.ask = ask_now;
  self->base.close = close_tcp;
  self->local = *local;
  wg_timer_start(env, &self->base.timer, 0, on_timer, self);
  *out = &self->base;
  return WARP_OK;
}
