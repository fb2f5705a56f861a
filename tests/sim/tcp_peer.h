/* Two hosts with one TCP end each, for the tests of the simplified TCP. */
#ifndef TESTS_SIM_TCP_PEER_H
#define TESTS_SIM_TCP_PEER_H

#include "testing.h"

typedef struct peer {
  sim_world *world;
  wg_env *env;
  wg_tcp *tcp;
  wg_tcp_listener *listener;
  int open_status, end_status;
  unsigned opened, ended, accepted, drained;
  uint64_t open_us, end_us;
  size_t received;
  uint64_t sum; /* of byte * position: order counts */
  warp_addr from;
  bool close_on_open, close_on_data, reset_on_accept, refuse;
} peer;

static inline void on_open(void *arg, int status) {
  peer *self = arg;
  self->opened++;
  self->open_status = status;
  self->open_us = sim_now_us(self->world);
  if (self->close_on_open) {
    self->env->ops->tcp_close(self->tcp);
    self->tcp = NULL;
  }
}

static inline uint64_t sum_of(const uint8_t *data, size_t len, size_t position) {
  uint64_t sum = 0;
  for (size_t i = 0; i < len; i++) {
    sum += data[i] * (uint64_t)(position + i + 1);
  }
  return sum;
}

static inline void on_data(void *arg, const uint8_t *data, size_t len) {
  peer *self = arg;
  self->sum += sum_of(data, len, self->received);
  self->received += len;
  if (self->close_on_data) {
    self->env->ops->tcp_close(self->tcp);
    self->tcp = NULL;
  }
}

static inline void on_end(void *arg, int status) {
  peer *self = arg;
  self->ended++;
  self->end_status = status;
  self->end_us = sim_now_us(self->world);
}

static inline void on_drain(void *arg) {
  ((peer *)arg)->drained++;
}

static const wg_tcp_handlers peer_handlers = {on_open, on_data, on_end, on_drain};

static inline void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  peer *self = arg;
  self->accepted++;
  self->from = *from;
  if (self->refuse) {
    self->env->ops->tcp_close(tcp);
  } else if (self->reset_on_accept) {
    self->env->ops->tcp_reset(tcp);
  } else {
    self->tcp = tcp;
    self->env->ops->tcp_set_handlers(tcp, &peer_handlers, self);
  }
}

static inline peer new_peer(sim_host *host) {
  return (peer){.world = sim_host_world(host), .env = sim_host_env(host)};
}

static inline int listen_at(peer *self, const char *local, unsigned flags) {
  warp_addr addr = address(local);
  return self->env->ops->tcp_listen(self->env, &addr, flags, on_accept, self, &self->listener);
}

static inline int connect_to(peer *self, const char *local, const char *to, unsigned flags) {
  warp_addr target = address(to);
  warp_addr bound = local != NULL ? address(local) : (warp_addr){0};
  return self->env->ops->tcp_connect(self->env, local != NULL ? &bound : NULL, &target, flags,
                                     &peer_handlers, self, &self->tcp);
}

static inline void send_text(peer *self, const char *text) {
  assert_int_equal(self->env->ops->tcp_send(self->tcp, text, strlen(text)), WARP_OK);
}

static inline void close_peer(peer *self) {
  if (self->tcp != NULL) {
    self->env->ops->tcp_close(self->tcp);
  }
  if (self->listener != NULL) {
    self->env->ops->tcp_listener_close(self->listener);
  }
}

typedef struct fixture {
  sim_world *world;
  sim_network *site_a, *site_b;
  sim_host *host_a, *host_b;
  peer a, b;
} fixture;

/* a at 192.0.2.1 and b at 192.0.2.129, or behind NATs of these addresses; 20 ms one way. */
static inline void build(fixture *f, const char *profile_a, const char *profile_b, double loss) {
  const sim_link link = {.latency_us = 10000, .jitter_us = loss > 0 ? 4000 : 0, .loss = loss};
  sim_nat nat_a, nat_b;
  assert_int_equal(sim_nat_profile(profile_a, &nat_a), WARP_OK);
  assert_int_equal(sim_nat_profile(profile_b, &nat_b), WARP_OK);
  f->world = sim_world_new(11);
  f->site_a = sim_network_new(f->world, "site a", &link);
  f->site_b = sim_network_new(f->world, "site b", &link);
  sim_network_set_nat(f->site_a, "192.0.2.1", &nat_a);
  sim_network_set_nat(f->site_b, "192.0.2.129", &nat_b);
  bool open_a = nat_a.mapping == WARP_NAT_UNKNOWN, open_b = nat_b.mapping == WARP_NAT_UNKNOWN;
  f->host_a = sim_host_new(f->site_a, "a", open_a ? "192.0.2.1/25" : "10.0.1.2/24");
  f->host_b = sim_host_new(f->site_b, "b", open_b ? "192.0.2.129/25" : "10.0.2.2/24");
  f->a = new_peer(f->host_a);
  f->b = new_peer(f->host_b);
}

static inline void build_connected(fixture *f, double loss) {
  build(f, "open", "open", loss);
  assert_int_equal(listen_at(&f->b, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&f->a, NULL, "192.0.2.129:80", 0), WARP_OK);
  assert_int_equal(sim_run_for(f->world, loss > 0 ? 20 * SIM_SECOND : 100 * SIM_MS), WARP_OK);
  assert_int_equal(f->a.opened, 1);
  assert_int_equal(f->a.open_status, WARP_OK);
  assert_int_equal(f->b.accepted, 1);
}

static inline void finish(fixture *f) {
  close_peer(&f->a);
  close_peer(&f->b);
  assert_int_equal(sim_run_until_idle(f->world, 10 * SIM_SECOND), WARP_OK);
  assert_int_equal(sim_world_free(f->world), 0);
}

static inline void run(fixture *f, uint64_t duration_us) {
  assert_int_equal(sim_run_for(f->world, duration_us), WARP_OK);
}

#endif
