/* How long idle mappings live, as it is learned behind in-memory NATs in virtual time. */
#include "testing.h"

#include "fixtures/stun/server.h"
#include "node/lifetime.h"

typedef struct rig {
  sim_topology net;
  stun_service service;
  stun_server *server;
  wg_lifetime *lifetime;
  unsigned lived_s, died_s, times;
  bool ended;
} rig;

static void on_lifetime(void *arg, unsigned lived_s, unsigned died_s, bool last) {
  rig *self = arg;
  assert_false(self->ended);
  self->lived_s = lived_s;
  self->died_s = died_s;
  self->times++;
  self->ended = last;
  if (last)
    self->lifetime = NULL;
}

static void rig_open(rig *self, uint32_t timeout_ms, double loss) {
  unsigned failed;
  sim_nat nat;
  *self = (rig){.ended = false};
  sim_topology_new(&(sim_topology_options){.profile_a = "port-restricted", .loss = loss},
                   &self->net);
  assert_int_equal(sim_nat_profile("port-restricted", &nat), WARP_OK);
  nat.udp_timeout_ms = timeout_ms;
  sim_network_set_nat(self->net.site_a, "192.0.2.2", &nat);
  for (unsigned i = 0; i < STUN_ENDPOINTS; i++)
    self->service.at[i] = address(i & STUN_OTHER_IP ? "198.51.100.10:3488" : "203.0.113.10:3488");
  self->service.at[STUN_OTHER_PORT].port = self->service.at[3].port = 3489;
  assert_int_equal(
      stun_server_open(sim_host_env(self->net.server), &self->service, &self->server, &failed),
      WARP_OK);
}

static void rig_close(rig *self) {
  if (self->lifetime != NULL)
    wg_lifetime_close(self->lifetime);
  stun_server_close(self->server);
  assert_int_equal(sim_world_free(self->net.world), 0);
}

static void start(rig *self, const char *server) {
  wg_env *env = sim_host_env(self->net.a);
  wg_interface interfaces[2];
  warp_addr to = address(server);
  assert_int_equal(env->ops->interfaces(env, interfaces, 2), 2);
  assert_int_equal(
      wg_lifetime_start(env, &interfaces[1].addr, &to, 1000, on_lifetime, self, &self->lifetime),
      WARP_OK);
}

static void run(rig *self, const char *server) {
  start(self, server);
  assert_int_equal(sim_run_until_set(self->net.world, &self->ended, 700 * SIM_SECOND), WARP_OK);
}

static void test_lifetimes(void **state) {
  (void)state;
  static const struct {
    unsigned timeout_s, lived_s, died_s, known_s;
  } rows[] = {{5, 0, 8, 4},       {10, 8, 15, 8},       {20, 15, 30, 15},  {45, 30, 60, 30},
              {100, 60, 120, 60}, {180, 120, 300, 120}, {400, 300, 0, 300}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int lossy = 0; lossy < 2; lossy++) {
      rig self;
      rig_open(&self, rows[i].timeout_s * 1000, lossy != 0 ? 0.05 : 0);
      run(&self, "203.0.113.10:3488");
      assert_int_equal(self.lived_s, rows[i].lived_s);
      assert_int_equal(self.died_s, rows[i].died_s);
      assert_int_equal(wg_lifetime_known_s(self.lived_s, self.died_s), rows[i].known_s);
      rig_close(&self);
    }
  }
}

/* Silence of a server is no end of a mapping. */
static void test_servers_that_cannot(void **state) {
  (void)state;
  static const char *const servers[] = {"203.0.113.10:3478", "203.0.113.10:9"};
  for (size_t i = 0; i < 2; i++) {
    rig self;
    rig_open(&self, 20000, 0);
    run(&self, servers[i]);
    assert_int_equal(self.lived_s, 0);
    assert_int_equal(self.died_s, 0);
    rig_close(&self);
  }
  rig self;
  rig_open(&self, 20000, 0);
  start(&self, "203.0.113.10:3488");
  assert_int_equal(sim_run_for(self.net.world, 10 * SIM_SECOND), WARP_OK);
  sim_network_set_up(self.net.site_server, false);
  assert_int_equal(sim_run_until_set(self.net.world, &self.ended, 100 * SIM_SECOND), WARP_OK);
  assert_int_equal(self.died_s, 0);
  rig_close(&self);
}

static void test_closed_at_any_time(void **state) {
  (void)state;
  for (unsigned s = 0; s < 130; s += 3) {
    rig self;
    rig_open(&self, 100000, 0);
    start(&self, "203.0.113.10:3488");
    assert_int_equal(sim_run_for(self.net.world, s * SIM_SECOND), WARP_OK);
    rig_close(&self);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lifetimes),
      cmocka_unit_test(test_servers_that_cannot),
      cmocka_unit_test(test_closed_at_any_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
