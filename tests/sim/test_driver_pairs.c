/*
 * The NAT model against theory: plain hole punching, over UDP and over TCP, between every ordered
 * pair of profiles. Each side knows its external address as one server saw it, sends to the other's
 * and answers whatever comes in.
 */
#include "testing.h"

static const char *const profiles[] = {"open", "full-cone", "restricted", "port-restricted",
                                       "symmetric"};
enum { PROFILES = 5, ROUNDS = 10, PORT = 5000, SERVER_PORT = 3478 };

typedef struct side {
  wg_env *env;
  warp_addr external; /* as the server saw us */
  bool heard;         /* an answer came: what we send arrives, what the peer sends too */
  wg_udp *udp;
  wg_tcp *to_server, *dialled, *accepted;
  wg_tcp_listener *listener;
  bool open;
} side;

typedef struct fixture {
  sim_world *world;
  wg_env *server;
  wg_udp *udp;
  wg_tcp_listener *listener;
  side a, b;
} fixture;

static void build(fixture *f, const char *profile_a, const char *profile_b, uint64_t seed) {
  static const sim_link link = {.latency_us = 10000};
  const char *names[] = {profile_a, profile_b};
  static const char *const inside[] = {"10.0.1.2/24", "10.0.2.2/24"};
  static const char *const outside[] = {"192.0.2.2", "192.0.2.130"};
  static const char *const open[] = {"192.0.2.2/25", "192.0.2.130/25"};
  side *sides[] = {&f->a, &f->b};
  *f = (fixture){.world = sim_world_new(seed)};
  sim_network *core = sim_network_new(f->world, "core", &link);
  f->server = sim_host_env(sim_host_new(core, "server", "203.0.113.10/24"));
  for (size_t i = 0; i < 2; i++) {
    sim_nat nat;
    assert_int_equal(sim_nat_profile(names[i], &nat), WARP_OK);
    sim_network *site = sim_network_new(f->world, i == 0 ? "a" : "b", &link);
    sim_network_set_nat(site, outside[i], &nat);
    bool is_open = nat.mapping == WARP_NAT_UNKNOWN;
    sim_host *host = sim_host_new(site, i == 0 ? "a" : "b", is_open ? open[i] : inside[i]);
    sides[i]->env = sim_host_env(host);
  }
}

static bool is_one_of(const char *profile, const char *first, const char *other) {
  return strcmp(profile, first) == 0 || strcmp(profile, other) == 0;
}

/* Of the five profiles, only the symmetric one has a port that the other cannot know; that is fatal
 * when the other lets in nothing but what it sent to. */
static bool five_can(const char *a, const char *b) {
  return !(strcmp(a, "symmetric") == 0 && is_one_of(b, "symmetric", "port-restricted")) &&
         !(strcmp(b, "symmetric") == 0 && is_one_of(a, "symmetric", "port-restricted"));
}

/* The same over the grid of all axes, where mappings are kept for answers (as Linux does). */
static bool grid_can(const char *a, const char *b) {
  bool filter_free = strstr(a, "-ei") != NULL || strstr(b, "-ei") != NULL;
  bool both_known = strncmp(a, "ei-", 3) == 0 && strncmp(b, "ei-", 3) == 0;
  return filter_free || both_known || strcmp(a, "ei-ad") == 0 || strcmp(b, "ei-ad") == 0;
}

/* ---- UDP ------------------------------------------------------------------------------------- */

static void on_server_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  fixture *f = arg;
  (void)data;
  (void)len;
  assert_int_equal(f->server->ops->udp_send(f->udp, from, from, sizeof *from), WARP_OK);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  side *self = arg;
  if (len == sizeof self->external) {
    memcpy(&self->external, data, len);
  } else if (data[0] == 'p') {
    self->env->ops->udp_send(self->udp, from, "a", 1);
    if (!self->heard) { /* where it came from may be another port than the server saw */
      self->env->ops->udp_send(self->udp, from, "p", 1);
    }
  } else {
    self->heard = true;
  }
}

static void ask_server(side *self) {
  warp_addr local = wg_addr_any(WARP_IP4, PORT), server = address("203.0.113.10:3478");
  assert_int_equal(self->env->ops->udp_open(self->env, &local, 0, on_datagram, self, &self->udp),
                   WARP_OK);
  assert_int_equal(self->env->ops->udp_send(self->udp, &server, "?", 1), WARP_OK);
}

static bool punch_udp(const char *profile_a, const char *profile_b, uint64_t seed) {
  fixture f;
  build(&f, profile_a, profile_b, seed);
  warp_addr local = wg_addr_any(WARP_IP4, SERVER_PORT);
  assert_int_equal(f.server->ops->udp_open(f.server, &local, 0, on_server_datagram, &f, &f.udp),
                   WARP_OK);
  ask_server(&f.a);
  ask_server(&f.b);
  assert_int_equal(sim_run_for(f.world, 100 * SIM_MS), WARP_OK);
  assert_int_equal(f.a.external.family + f.b.external.family, 2 * WARP_IP4);
  for (int round = 0; round < ROUNDS; round++) {
    f.a.env->ops->udp_send(f.a.udp, &f.b.external, "p", 1);
    f.b.env->ops->udp_send(f.b.udp, &f.a.external, "p", 1);
    assert_int_equal(sim_run_for(f.world, 20 * SIM_MS), WARP_OK);
  }
  assert_int_equal(sim_run_for(f.world, SIM_SECOND), WARP_OK);
  f.server->ops->udp_close(f.udp);
  f.a.env->ops->udp_close(f.a.udp);
  f.b.env->ops->udp_close(f.b.udp);
  assert_int_equal(sim_world_free(f.world), 0);
  assert_int_equal(f.a.heard, f.b.heard);
  return f.a.heard;
}

static void test_udp_profiles(void **state) {
  (void)state;
  size_t connected = 0;
  for (size_t i = 0; i < PROFILES * PROFILES; i++) {
    const char *a = profiles[i / PROFILES], *b = profiles[i % PROFILES];
    bool works = punch_udp(a, b, i);
    if (works != five_can(a, b)) {
      fail_msg("%s x %s: %s", a, b, works ? "connected" : "not connected");
    }
    connected += works;
  }
  assert_int_equal(connected, 22);
}

static void test_udp_grid(void **state) {
  (void)state;
  static const char *const axes[] = {"ei-ei",  "ei-ad",  "ei-apd", "ad-ei",  "ad-ad",
                                     "ad-apd", "apd-ei", "apd-ad", "apd-apd"};
  size_t connected = 0;
  for (size_t i = 0; i < 81; i++) {
    const char *a = axes[i / 9], *b = axes[i % 9];
    bool works = punch_udp(a, b, i);
    if (works != grid_can(a, b)) {
      fail_msg("%s x %s: %s", a, b, works ? "connected" : "not connected");
    }
    connected += works;
  }
  assert_int_equal(connected, 57);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void on_server_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers none = {0};
  fixture *f = arg;
  f->server->ops->tcp_set_handlers(tcp, &none, NULL);
  assert_int_equal(f->server->ops->tcp_send(tcp, from, sizeof *from), WARP_OK);
}

static void on_server_data(void *arg, const uint8_t *data, size_t len) {
  side *self = arg;
  assert_int_equal(len, sizeof self->external);
  memcpy(&self->external, data, len);
}

static void on_peer_open(void *arg, int status) {
  side *self = arg;
  self->open = self->open || status == WARP_OK;
}

static const wg_tcp_handlers to_server = {.on_data = on_server_data};
static const wg_tcp_handlers to_peer = {.on_open = on_peer_open};

static void on_peer_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  side *self = arg;
  (void)from;
  assert_null(self->accepted);
  self->accepted = tcp;
  self->open = true;
  self->env->ops->tcp_set_handlers(tcp, &to_peer, self);
}

static void prepare_tcp(side *self) {
  const wg_env_ops *ops = self->env->ops;
  warp_addr local = wg_addr_any(WARP_IP4, PORT), server = address("203.0.113.10:3478");
  assert_int_equal(
      ops->tcp_listen(self->env, &local, WG_SOCK_REUSE, on_peer_accept, self, &self->listener),
      WARP_OK);
  assert_int_equal(ops->tcp_connect(self->env, &local, &server, WG_SOCK_REUSE, &to_server, self,
                                    &self->to_server),
                   WARP_OK);
}

static void dial_peer(side *self, const warp_addr *peer) {
  warp_addr local = wg_addr_any(WARP_IP4, PORT);
  assert_int_equal(self->env->ops->tcp_connect(self->env, &local, peer, WG_SOCK_REUSE, &to_peer,
                                               self, &self->dialled),
                   WARP_OK);
}

static void close_tcp(side *self) {
  self->env->ops->tcp_listener_close(self->listener);
  wg_tcp *all[] = {self->to_server, self->dialled, self->accepted};
  for (size_t i = 0; i < 3; i++) {
    if (all[i] != NULL) {
      self->env->ops->tcp_reset(all[i]);
    }
  }
}

static bool punch_tcp(const char *profile_a, const char *profile_b, uint64_t seed) {
  fixture f;
  build(&f, profile_a, profile_b, seed);
  warp_addr local = wg_addr_any(WARP_IP4, SERVER_PORT);
  assert_int_equal(
      f.server->ops->tcp_listen(f.server, &local, 0, on_server_accept, &f, &f.listener), WARP_OK);
  prepare_tcp(&f.a);
  prepare_tcp(&f.b);
  assert_int_equal(sim_run_for(f.world, 100 * SIM_MS), WARP_OK);
  assert_int_equal(f.a.external.family + f.b.external.family, 2 * WARP_IP4);
  dial_peer(&f.a, &f.b.external);
  dial_peer(&f.b, &f.a.external);
  assert_int_equal(sim_run_for(f.world, 10 * SIM_SECOND), WARP_OK);
  close_tcp(&f.a);
  close_tcp(&f.b);
  f.server->ops->tcp_listener_close(f.listener);
  assert_int_equal(f.a.open, f.b.open);
  sim_world_free(f.world); /* the server's own connections are left open */
  return f.a.open;
}

static void test_tcp_profiles(void **state) {
  (void)state;
  size_t connected = 0;
  for (size_t i = 0; i < PROFILES * PROFILES; i++) {
    const char *a = profiles[i / PROFILES], *b = profiles[i % PROFILES];
    bool works = punch_tcp(a, b, i);
    if (works != five_can(a, b)) {
      fail_msg("%s x %s: %s", a, b, works ? "connected" : "not connected");
    }
    connected += works;
  }
  assert_int_equal(connected, 22);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_udp_profiles),
      cmocka_unit_test(test_udp_grid),
      cmocka_unit_test(test_tcp_profiles),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
