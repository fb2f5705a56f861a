/* The whole measurement of UDP and TCP behind in-memory NATs, with our own STUN server. */
#include "testing.h"

#include "fixtures/stun/server.h"
#include "nat/names.h"
#include "node/measure.h"

enum { TIMEOUT_MS = 2000, OWN_PORT = 3488, OWN_OTHER_PORT = 3489, TIMES_MAX = 4 };

typedef struct rig {
  sim_topology net;
  stun_service service;
  stun_server *server;
  wg_measure *measure;
  warp_addr servers[WG_PROBE_SERVERS];
  size_t server_count;
  bool known, ended;
  size_t times;
  wg_measured found;
  uint64_t begun_us, known_us;
} rig;

static void rig_open(rig *self, const sim_topology_options *options) {
  unsigned failed;
  *self = (rig){.server_count = 1};
  sim_topology_new(options, &self->net);
  for (unsigned i = 0; i < STUN_ENDPOINTS; i++) {
    self->service.at[i] = address(i & STUN_OTHER_IP ? "198.51.100.10:0" : "203.0.113.10:0");
    self->service.at[i].port = i & STUN_OTHER_PORT ? OWN_OTHER_PORT : OWN_PORT;
  }
  self->service.connect_back = true;
  self->servers[0] = self->service.at[0];
  assert_int_equal(
      stun_server_open(sim_host_env(self->net.server), &self->service, &self->server, &failed),
      WARP_OK);
}

static void rig_close(rig *self) {
  if (self->measure != NULL)
    wg_measure_cancel(self->measure);
  stun_server_close(self->server);
  assert_int_equal(sim_world_free(self->net.world), 0);
}

static void on_found(void *arg, const wg_measured *found, bool last) {
  rig *self = arg;
  assert_false(self->ended);
  assert_true(self->times < TIMES_MAX);
  self->times++;
  self->found = *found;
  if (!self->known)
    self->known_us = sim_now_us(self->net.world);
  self->known = true;
  self->ended = last;
  if (last)
    self->measure = NULL;
}

static void start_beside(rig *self, uint16_t port) {
  wg_env *env = sim_host_env(self->net.a);
  wg_interface interfaces[2];
  assert_int_equal(env->ops->interfaces(env, interfaces, 2), 2);
  self->begun_us = sim_now_us(self->net.world);
  interfaces[1].addr.port = port;
  assert_int_equal(wg_measure_start(env, &interfaces[1].addr, self->servers, self->server_count,
                                    TIMEOUT_MS, on_found, self, &self->measure),
                   WARP_OK);
}

static void start(rig *self) {
  start_beside(self, 0);
}

static void run(rig *self) {
  start(self);
  assert_int_equal(sim_run_until_set(self->net.world, &self->known, 20 * SIM_SECOND), WARP_OK);
}

static void run_to_the_end(rig *self) {
  run(self);
  assert_int_equal(sim_run_until_set(self->net.world, &self->ended, 20 * SIM_SECOND), WARP_OK);
}

static void assert_axes(const char *what, const warp_nat_axes *axes, const sim_nat *nat) {
  char text[WG_AXES_STRLEN];
  if (axes->mapping != nat->mapping || axes->filtering != nat->filtering ||
      axes->allocation != nat->allocation || axes->translation != WARP_TRANSLATION_NAT)
    fail_msg("%s: %s", what, wg_axes_format(axes, text));
}

static const char *const profiles[] = {
    "full-cone", "restricted", "port-restricted", "symmetric", "ei-ei",  "ei-ad",  "ei-apd",
    "ad-ei",     "ad-ad",      "ad-apd",          "apd-ei",    "apd-ad", "apd-apd"};
enum { PROFILES = sizeof profiles / sizeof profiles[0], RTT_MS = 40 };

static void test_every_profile(void **state) {
  (void)state;
  for (size_t i = 0; i < PROFILES; i++) {
    rig self;
    sim_nat nat;
    assert_int_equal(sim_nat_profile(profiles[i], &nat), WARP_OK);
    rig_open(&self, &(sim_topology_options){.profile_a = profiles[i], .seed = i});
    run(&self);
    assert_axes(profiles[i], &self.found.udp, &nat);
    assert_axes(profiles[i], &self.found.tcp, &nat);
    assert_in_range(self.known_us - self.begun_us, 3 * RTT_MS * SIM_MS, 4 * RTT_MS * SIM_MS + 5000);
    assert_int_equal(sim_run_until_set(self.net.world, &self.ended, 20 * SIM_SECOND), WARP_OK);
    assert_axes(profiles[i], &self.found.udp, &nat);
    assert_axes(profiles[i], &self.found.tcp, &nat);
    assert_true(self.found.tcp.confidence >= 85);
    rig_close(&self);
  }
}

static void test_no_nat(void **state) {
  (void)state;
  rig self;
  rig_open(&self, &(sim_topology_options){.profile_a = "open"});
  run_to_the_end(&self);
  assert_int_equal(self.found.tcp.translation, WARP_TRANSLATION_NONE);
  assert_int_equal(self.found.tcp.filtering, WARP_NAT_ENDPOINT_INDEPENDENT);
  assert_int_equal(self.found.udp.translation, WARP_TRANSLATION_NONE);
  rig_close(&self);
}

/* Late and lost packets make it less certain, and longer, but not wrong. */
static void test_loss_and_slow_paths(void **state) {
  (void)state;
  size_t wrong = 0;
  for (unsigned seed = 0; seed < 60; seed++) {
    const char *profile = profiles[seed % PROFILES];
    bool slow = seed % 2 == 0;
    sim_topology_options options = {.profile_a = profile, .seed = seed};
    options.rtt_ms = slow ? 1000 + 15 * seed : 40;
    options.jitter_ms = slow ? 200 : 10;
    options.loss = slow ? 0 : 0.05;
    rig self;
    sim_nat nat;
    assert_int_equal(sim_nat_profile(profile, &nat), WARP_OK);
    rig_open(&self, &options);
    run_to_the_end(&self);
    const warp_nat_axes *both[] = {&self.found.udp, &self.found.tcp};
    for (size_t i = 0; i < 2; i++) {
      wrong += both[i]->mapping != 0 && both[i]->mapping != nat.mapping;
      wrong += both[i]->filtering != 0 && both[i]->filtering != nat.filtering;
    }
    rig_close(&self);
  }
  assert_int_equal(wrong, 0);
}

/* A server that does not dial back: the filter of TCP is taken for the one of UDP. */
static void test_server_without_dialling_back(void **state) {
  (void)state;
  rig self;
  rig_open(&self, &(sim_topology_options){.profile_a = "ad-apd"});
  self.service.connect_back = false;
  run_to_the_end(&self);
  assert_int_equal(self.found.tcp.mapping, WARP_NAT_ADDRESS_DEPENDENT);
  assert_int_equal(self.found.tcp.filtering, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_in_range(self.found.tcp.confidence, 50, 85);
  rig_close(&self);
}

/* Then the second one is asked. */
static void test_second_server_dials_back(void **state) {
  (void)state;
  rig self;
  rig_open(&self, &(sim_topology_options){.profile_a = "ad-apd"});
  self.servers[1] = self.servers[0];
  self.servers[0] = address("203.0.113.10:3478");
  self.server_count = 2;
  run_to_the_end(&self);
  assert_int_equal(self.found.tcp.mapping, WARP_NAT_ADDRESS_DEPENDENT);
  assert_int_equal(self.found.tcp.filtering, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_true(self.found.tcp.confidence >= 90);
  rig_close(&self);
}

/* The other address that it tells is nobody's: silence from there proves nothing. */
static void test_other_address_that_is_nobodys(void **state) {
  (void)state;
  for (size_t i = 0; i < PROFILES; i++) {
    rig self;
    sim_nat nat;
    assert_int_equal(sim_nat_profile(profiles[i], &nat), WARP_OK);
    rig_open(&self, &(sim_topology_options){.profile_a = profiles[i]});
    for (unsigned k = 0; k < STUN_ENDPOINTS; k++) {
      if (k & STUN_OTHER_IP)
        self.service.at[k] = address("198.51.100.99:4000");
    }
    run_to_the_end(&self);
    const warp_nat_axes *axes = &self.found.udp;
    assert_true(axes->filtering == WARP_NAT_UNKNOWN || axes->filtering == nat.filtering);
    assert_true(axes->mapping == WARP_NAT_UNKNOWN || axes->mapping == nat.mapping);
    assert_true(axes->confidence < 90);
    rig_close(&self);
  }
}

/* Somebody who never asked for anything, and counts what comes. */
enum { VICTIM_PORTS = 2, VICTIM_ENDS = 8 };
typedef struct victim {
  wg_env *env;
  wg_udp *udp[VICTIM_PORTS];
  wg_tcp_listener *listeners[VICTIM_PORTS];
  wg_tcp *ends[VICTIM_ENDS];
  unsigned datagrams, connections;
} victim;

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)data;
  (void)len;
  (void)from;
  victim *self = arg;
  self->datagrams++;
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers none = {.on_open = NULL};
  (void)from;
  victim *self = arg;
  assert_true(self->connections < VICTIM_ENDS);
  self->ends[self->connections++] = tcp;
  self->env->ops->tcp_set_handlers(tcp, &none, NULL);
}

/* At the port that the server names, and at the server's own. */
static void victim_open(victim *self, uint16_t named) {
  const uint16_t ports[VICTIM_PORTS] = {named, OWN_PORT};
  warp_addr local = address("198.51.100.99:0");
  for (size_t i = 0; i < VICTIM_PORTS; i++) {
    local.port = ports[i];
    assert_int_equal(
        self->env->ops->udp_open(self->env, &local, 0, on_datagram, self, &self->udp[i]), WARP_OK);
    assert_int_equal(
        self->env->ops->tcp_listen(self->env, &local, 0, on_accept, self, &self->listeners[i]),
        WARP_OK);
  }
}

static void victim_close(victim *self) {
  for (size_t i = 0; i < self->connections; i++)
    self->env->ops->tcp_reset(self->ends[i]);
  for (size_t i = 0; i < VICTIM_PORTS; i++) {
    self->env->ops->udp_close(self->udp[i]);
    self->env->ops->tcp_listener_close(self->listeners[i]);
  }
}

/* A server names somebody else's address as its other one: at a port of services nothing comes, at
 * another one no more than what three sends of two requests are. */
static void test_other_address_that_is_somebody_elses(void **state) {
  (void)state;
  static const struct {
    uint16_t port;
    bool asked;
  } tries[] = {{22, false}, {53, false}, {443, false}, {1023, false}, {4000, true}};
  for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
    rig self;
    rig_open(&self, &(sim_topology_options){.profile_a = "port-restricted"});
    victim third = {.env =
                        sim_host_env(sim_host_new(sim_network_new(self.net.world, "victim", NULL),
                                                  "victim", "198.51.100.99/32"))};
    warp_addr at = address("198.51.100.99:0");
    victim_open(&third, tries[i].port);
    for (unsigned k = 0; k < STUN_ENDPOINTS; k++) {
      if (k & STUN_OTHER_IP)
        self.service.at[k] = wg_addr_with_port(&at, tries[i].port);
    }
    run_to_the_end(&self);
    assert_int_equal(self.found.udp_status, WARP_OK);
    if (tries[i].asked) {
      assert_in_range(third.datagrams, 2, 6);
      assert_int_equal(third.connections, 2);
    } else {
      assert_int_equal(third.datagrams + third.connections, 0);
    }
    victim_close(&third);
    rig_close(&self);
  }
}

static void test_no_server(void **state) {
  (void)state;
  rig self;
  rig_open(&self, &(sim_topology_options){.profile_a = "ad-apd"});
  self.servers[0] = address("203.0.113.77:3478");
  run_to_the_end(&self);
  assert_int_equal(self.found.udp_status, WARP_TIMEOUT);
  assert_int_equal(self.found.tcp_status, WARP_TIMEOUT);
  assert_int_equal(self.found.tcp.confidence, 0);
  rig_close(&self);
}

static void test_cancelled(void **state) {
  (void)state;
  for (unsigned ms = 0; ms < 300; ms += 7) {
    rig self;
    rig_open(&self, &(sim_topology_options){.profile_a = "symmetric"});
    start(&self);
    assert_int_equal(sim_run_for(self.net.world, ms * SIM_MS), WARP_OK);
    rig_close(&self); /* finds what would be left open */
  }
}

/* Is a port of the host in use, so that it cannot be had alone? */
static bool in_use(rig *self, uint16_t port) {
  wg_env *env = sim_host_env(self->net.a);
  warp_addr local = address("10.0.1.2:0");
  local.port = port;
  wg_udp *udp;
  wg_tcp_listener *listener;
  if (env->ops->udp_open(env, &local, 0, NULL, NULL, &udp) != WARP_OK)
    return true;
  env->ops->udp_close(udp);
  if (env->ops->tcp_listen(env, &local, 0, NULL, NULL, &listener) != WARP_OK)
    return true;
  env->ops->tcp_listener_close(listener);
  return false;
}

/* The world is the same with the same seed: what it picks in one is what it would in the other. */
static void test_leaves_the_listen_port_alone(void **state) {
  (void)state;
  enum { FIRST = 32768, LAST = 60999, FOUND_MAX = 32 };
  uint16_t found[FOUND_MAX];
  size_t count = 0;
  rig self;
  rig_open(&self, &(sim_topology_options){.profile_a = "symmetric", .seed = 5});
  start(&self);
  for (unsigned port = FIRST; port <= LAST; port++) {
    if (in_use(&self, (uint16_t)port) && count < FOUND_MAX)
      found[count++] = (uint16_t)port;
  }
  rig_close(&self);
  assert_true(count >= 3); /* two of UDP, one of TCP at least */
  for (size_t i = 0; i < count; i++) {
    rig_open(&self, &(sim_topology_options){.profile_a = "symmetric", .seed = 5});
    start_beside(&self, found[i]);
    assert_false(in_use(&self, found[i]));
    rig_close(&self);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_profile),
      cmocka_unit_test(test_no_nat),
      cmocka_unit_test(test_loss_and_slow_paths),
      cmocka_unit_test(test_server_without_dialling_back),
      cmocka_unit_test(test_second_server_dials_back),
      cmocka_unit_test(test_other_address_that_is_nobodys),
      cmocka_unit_test(test_other_address_that_is_somebody_elses),
      cmocka_unit_test(test_no_server),
      cmocka_unit_test(test_cancelled),
      cmocka_unit_test(test_leaves_the_listen_port_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
