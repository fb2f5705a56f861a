/* The external address of the shared UDP socket, asked for again and again so that the NAT keeps
 * it. */
#include "node/mapping.h"

#include "connect/mux.h"
#include "machine/stun_client.h"
#include <stdlib.h>

/* Four tries within two seconds: a start must not wait for a dead server longer than that, and a
 * slow path (one second and more) still gets its answer counted. */
static const wg_stun_timing timing = {.rto_ms = 250, .sends = 4, .rm = 4, .timeout_ms = 2000};

typedef struct udp_mapping {
  wg_mapping base;
  wg_mux *mux;
  wg_stun_client client;
} udp_mapping;

static void ask(void *arg);
static void on_timer(void *arg);

static void pump(udp_mapping *self) {
  wg_env *env = self->base.env;
  const uint8_t *bytes;
  size_t len;
  while (wg_stun_client_output(&self->client, wg_now_us(env), &bytes, &len))
    (void)env->ops->udp_send(self->mux->udp, &self->base.server, bytes,
                             len); /* a lost one is sent again */
  if (self->client.state == WG_STUN_CLIENT_DONE) {
    const wg_stun_client_result *result = &self->client.result;
    wg_timer_start(env, &self->base.timer, self->base.refresh_us, ask, self);
    self->base.cb(self->base.arg, result->status,
                  result->status == WARP_OK ? &result->mapped : NULL);
    return;
  }
  uint64_t now = wg_now_us(env), deadline = wg_stun_client_deadline(&self->client);
  wg_timer_start(env, &self->base.timer, deadline > now ? deadline - now : 0, on_timer, self);
}

static void on_timer(void *arg) {
  pump(arg);
}

static void ask(void *arg) {
  udp_mapping *self = arg;
  wg_env *env = self->base.env;
  wg_stun_txid txid;
  if (env->ops->random(env, &txid, sizeof txid) != WARP_OK) {
    wg_timer_start(env, &self->base.timer, self->base.refresh_us, ask, self);
    self->base.cb(self->base.arg, WARP_IO, NULL);
    return;
  }
  wg_stun_client_start(&self->client, &timing, &self->base.server, &txid, wg_now_us(env));
  pump(self);
}

static void input(wg_mapping *base, const uint8_t *data, size_t len, const warp_addr *from) {
  udp_mapping *self = (udp_mapping *)(void *)base;
  if (wg_stun_client_input(&self->client, data, len, from, wg_now_us(base->env)))
    pump(self);
}

static void ask_now(wg_mapping *base) {
  udp_mapping *self = (udp_mapping *)(void *)base;
  if (self->client.state == WG_STUN_CLIENT_DONE)
    wg_timer_start(base->env, &base->timer, 0, ask, self);
}

int wg_mapping_udp(wg_env *env, struct wg_mux *mux, const warp_addr *server, unsigned refresh_s,
                   wg_mapping_cb cb, void *arg, wg_mapping **out) {
  udp_mapping *self = calloc(1, sizeof *self);
  if (self == NULL)
    return WARP_NOMEM;
  wg_mapping_init(&self->base, env, server, refresh_s, cb, arg);
  self->base.input = input;
  self->base.ask = ask_now;
  self->mux = mux;
  wg_timer_start(env, &self->base.timer, 0, ask, self);
  *out = &self->base;
  return WARP_OK;
}
