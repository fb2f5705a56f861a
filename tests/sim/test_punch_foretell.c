/* Foretold ports where it is not easy: other hosts behind the NATs take ports too, the two NATs
 * differ, or only one of them can be foretold. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { FLOWS_MAX = 256 };

/* Another host of a site, which opens flows to the server. */
typedef struct neighbour {
  wg_env *env;
  wg_udp *sockets[FLOWS_MAX];
  unsigned flows, count, burst; /* to open in all, so far, and each time */
  uint64_t every_us;
  wg_timer timer;
  warp_addr local;
} neighbour;

static void ignore(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)arg;
  (void)data;
  (void)len;
  (void)from;
}

static void open_flow(void *arg) {
  static const warp_addr server = {.family = WARP_IP4, .ip = {203, 0, 113, 10}, .port = 9};
  neighbour *self = arg;
  for (unsigned i = 0; i < self->burst && self->count < self->flows; i++) {
    wg_udp **udp = &self->sockets[self->count++];
    assert_int_equal(self->env->ops->udp_open(self->env, &self->local, 0, ignore, NULL, udp),
                     WARP_OK);
    assert_int_equal(self->env->ops->udp_send(*udp, &server, "flow", 4), WARP_OK);
  }
  if (self->count < self->flows)
    wg_timer_start(self->env, &self->timer, self->every_us, open_flow, self);
}

static void neighbour_begin(neighbour *self, sim_network *site, const char *name, const char *addr,
                            uint64_t delay_us) {
  sim_host *host = sim_host_new(site, name, addr);
  self->env = sim_host_env(host);
  self->local = (warp_addr){.family = WARP_IP4};
  wg_timer_start(self->env, &self->timer, delay_us, open_flow, self);
}

static void neighbour_end(neighbour *self) {
  wg_timer_stop(self->env, &self->timer);
  while (self->count > 0)
    self->env->ops->udp_close(self->sockets[--self->count]);
}

typedef struct pair {
  const char *a, *b;
} pair;

/* All that differ in who sprays what: window, walk, one side known. */
static const pair counting[] = {
    {"ad-ad+sequential", "ad-apd+sequential"},    {"ei-apd+sequential", "apd-apd+sequential"},
    {"apd-apd+sequential", "ei-apd+sequential"},  {"ad-apd+sequential", "apd-apd+sequential"},
    {"apd-apd+sequential", "apd-apd+sequential"}, {"apd-ad+sequential", "apd-apd+sequential"},
};

static uint64_t connect_among(const pair *nats, uint64_t seed, unsigned flows, unsigned burst,
                              uint64_t every_us, uint64_t delay_us) {
  peers both;
  neighbour a = {.flows = flows, .burst = burst, .every_us = every_us}, b = a;
  peers_build(&both, nats->a, nats->b, seed);
  peers_start(&both);
  neighbour_begin(&a, both.net.site_a, "an", "10.0.1.3/24", delay_us);
  neighbour_begin(&b, both.net.site_b, "bn", "10.0.2.3/24", delay_us);
  peers_connect(&both, &(warp_connect_options){.plugins = "udp_punch"});
  if (both.a.connect_status != WARP_OK)
    fail_msg("%s x %s: %s", nats->a, nats->b,
             peer_row(&both.a, "udp_punch", WARP_EXT_BIND)->detail);
  uint64_t took_ms = (both.a.connected_us - both.a.asked_us) / 1000;
  peers_echo(&both);
  neighbour_end(&a);
  neighbour_end(&b);
  peers_free(&both);
  return took_ms;
}

/* A flow every 30 ms at both sites: four while the nodes connect. The first round does. */
static void test_others_take_ports(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof counting / sizeof counting[0]; i++) {
    for (uint64_t seed = 0; seed < 5; seed++)
      assert_in_range(connect_among(&counting[i], seed, 200, 1, 30000, seed * 6000), 0, 242);
  }
}

/* Sixty flows between the measuring and the spraying: another round has to come. */
static void test_another_round(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof counting / sizeof counting[0]; i++) {
    uint64_t took_ms = connect_among(&counting[i], 9, 60, 60, 0, 70000);
    if (i != 1 && i != 2) /* where one side is known the other sprays as soon as it has measured */
      assert_in_range(took_ms, 500, 1000);
  }
}

static void check_pair(const char *a, const char *b, const char *plugin) {
  for (int turned = 0; turned < 2; turned++) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
      peers both;
      peers_build(&both, turned ? b : a, turned ? a : b, seed);
      peers_start(&both);
      peers_connect(&both, &(warp_connect_options){.plugins = "udp_punch,random_probe"});
      if (both.a.connect_status != WARP_OK) {
        const warp_report_row *row = peer_row(&both.a, plugin, WARP_EXT_BIND);
        fail_msg("%s x %s%s: %s", a, b, turned ? ", turned" : "", row != NULL ? row->detail : "");
      }
      assert_string_equal(both.a.info.plugin, plugin);
      peers_echo(&both);
      peers_free(&both);
    }
  }
}

/* One counts, the other keeps ports: what counts walks. */
static void test_two_kinds(void **state) {
  (void)state;
  check_pair("apd-apd+sequential", "apd-apd+preserving", "udp_punch");
  check_pair("ad-apd+sequential", "apd-apd+preserving", "udp_punch");
  check_pair("ad-apd+preserving", "apd-apd+sequential", "udp_punch");
  check_pair("ei-apd+random", "apd-apd+preserving", "udp_punch");
  check_pair("ei-apd+random", "apd-apd+sequential", "udp_punch");
}

/* The other one's ports are random: where the foretold side lets its address in there is nothing to
 * guess, else the guesses leave from the foretold port. */
static void test_one_side_foretold(void **state) {
  (void)state;
  static const char *const chances[] = {"ad-apd+random", "apd-apd+random"};
  for (size_t i = 0; i < 2; i++) {
    check_pair("apd-ad+sequential", chances[i], "udp_punch");
    check_pair("ad-ad+sequential", chances[i], "udp_punch");
    check_pair("apd-ad+preserving", chances[i], "udp_punch");
    check_pair("ad-apd+sequential", chances[i], "random_probe");
    check_pair("ad-apd+preserving", chances[i], "random_probe");
  }
  check_pair("ad-ei+sequential+strict", "ad-apd+random+strict", "udp_punch");
}

/* Every tenth packet is lost, measurements and sprays among them: there is always another. */
static void test_loss(void **state) {
  (void)state;
  const sim_link link = {.latency_us = 10000, .loss = 0.1};
  for (uint64_t seed = 1; seed <= 20; seed++) {
    peers both;
    peers_build(&both, "apd-apd+sequential", "apd-apd+sequential", seed);
    peers_start(&both);
    sim_network_set_link(both.net.site_a, &link);
    sim_network_set_link(both.net.site_b, &link);
    peers_connect(&both, &(warp_connect_options){.plugins = "udp_punch"});
    if (both.a.connect_status != WARP_OK)
      fail_msg("%s", peer_row(&both.a, "udp_punch", WARP_EXT_BIND)->detail);
    peers_free(&both);
  }
}

/* Without a server that tells a fresh socket's port it cannot be foretold, and that is said. */
static void test_silent_server(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "apd-apd+sequential", "apd-apd+sequential", 1);
  peers_start(&both);
  sim_stun_set_up(both.net.stun, false);
  peers_connect(&both, &(warp_connect_options){.plugins = "udp_punch"});
  assert_int_not_equal(both.a.connect_status, WARP_OK);
  const warp_report_row *row = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_non_null(strstr(row->detail, "STUN server"));
  peers_free(&both);
}

/* What the records say is wrong by now: every round is lost, and the report says what was tried. */
static void test_nothing_came_back(void **state) {
  (void)state;
  peers both;
  sim_nat nat;
  peers_build(&both, "apd-apd+sequential", "apd-apd+sequential", 1);
  peers_start(&both);
  assert_int_equal(sim_nat_profile("apd-apd+random", &nat), WARP_OK);
  sim_network_set_nat(both.net.site_b, "192.0.2.130", &nat);
  assert_int_equal(sim_run_for(both.net.world, 60 * SIM_SECOND), WARP_OK);
  peers_connect(&both, &(warp_connect_options){.plugins = "udp_punch"});
  const warp_report_row *row = peer_row(&both.a, "udp_punch", WARP_EXT_BIND);
  assert_int_equal(row->status, WARP_TIMEOUT);
  assert_non_null(strstr(row->detail, "in 3 rounds"));
  assert_non_null(strstr(row->detail, "nothing came back"));
  peers_free(&both);
}

/* The sockets of a walk are flows at the gateway, and a policy that has not as many is kept to. */
static void test_flows_are_counted(void **state) {
  (void)state;
  static const char *const few[] = {"node.flows=31", NULL}, *const enough[] = {"node.flows=32",
                                                                               NULL};
  for (int i = 0; i < 2; i++) {
    peers both;
    peers_build(&both, "apd-apd+sequential", "apd-apd+sequential", 1);
    both.a.conf.settings = both.b.conf.settings = i == 0 ? few : enough;
    peers_start(&both);
    peers_connect(&both, &(warp_connect_options){.plugins = "udp_punch"});
    assert_int_equal(both.a.connect_status == WARP_OK, i == 1);
    if (i == 0)
      assert_non_null(strstr(peer_row(&both.a, "udp_punch", WARP_EXT_BIND)->detail, "node.flows"));
    peers_free(&both);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_others_take_ports),
      cmocka_unit_test(test_another_round),
      cmocka_unit_test(test_two_kinds),
      cmocka_unit_test(test_one_side_foretold),
      cmocka_unit_test(test_loss),
      cmocka_unit_test(test_silent_server),
      cmocka_unit_test(test_nothing_came_back),
      cmocka_unit_test(test_flows_are_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
