/* Names of STUN and TURN servers that are not found when a node starts: it looks them up again. */
#include "peers.h"
#include "testing.h"

#include <string.h>

static const char *const stun_names[] = {"stun.example:3478", NULL};
static const char *const turn_names[] = {"user:password@turn.example:3480", NULL};

static const wg_env_ops *real;
static wg_env_ops counting;
static unsigned lookups;

static int counted_resolve(wg_env *env, const char *host, uint16_t port, int family,
                           wg_resolve_cb cb, void *arg, wg_resolve **out) {
  lookups += strcmp(host, "stun.example") == 0 ? 1 : 0;
  return real->resolve(env, host, port, family, cb, arg, out);
}

static void build(peers *both, const char *profile) {
  peers_build(both, profile, profile, 1);
  both->a.conf.stun_servers = both->b.conf.stun_servers = stun_names;
  both->a.conf.turn_servers = both->b.conf.turn_servers = turn_names;
  wg_env *env = sim_host_env(both->a.host);
  real = env->ops;
  counting = *real;
  counting.resolve = counted_resolve;
  env->ops = &counting;
  lookups = 0;
  peers_start(both);
  assert_int_equal(peer_record(&both->a).endpoints[0].external_udp.family, 0);
}

static void add_names(peers *both) {
  sim_add_name(both->net.world, "stun.example", "203.0.113.10");
  sim_add_name(both->net.world, "turn.example", "203.0.113.10");
}

static void assert_looked_around(peers *both) {
  wg_record record = peer_record(&both->a);
  assert_ip(&record.endpoints[0].external_udp, "192.0.2.2");
  assert_ip(&record.endpoints[0].external_tcp, "192.0.2.2");
  assert_int_equal(record.endpoints[0].udp.mapping, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
}

/* Then it has what it would have had from the start: its addresses, its NAT, and the relay. */
static void test_found_later(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric");
  assert_int_equal(sim_run_for(both.net.world, 5 * SIM_SECOND), WARP_OK);
  add_names(&both);
  assert_int_equal(sim_run_for(both.net.world, 20 * SIM_SECOND), WARP_OK);
  assert_looked_around(&both);
  peers_connect(&both, &(warp_connect_options){.plugins = "turn"});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_true(both.a.info.relayed);
  peers_echo(&both);
  unsigned before = lookups;
  assert_int_equal(sim_run_for(both.net.world, 3600 * SIM_SECOND), WARP_OK);
  assert_int_equal(lookups, before); /* what was found is not looked for any more */
  peers_free(&both);
}

/* A change of the network is a reason to look at once. */
static void test_after_a_change(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric");
  assert_int_equal(sim_run_for(both.net.world, 1000 * SIM_SECOND), WARP_OK);
  add_names(&both);
  sim_host_remove_address(both.net.a, "10.0.1.2");
  sim_host_add_address(both.net.a, "10.0.1.2/24");
  assert_int_equal(sim_run_for(both.net.world, 2 * SIM_SECOND), WARP_OK);
  assert_looked_around(&both);
  peers_free(&both);
}

/* A name that is never found is looked up less and less, whatever the interfaces do. */
static void test_never_found(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric");
  assert_int_equal(sim_run_for(both.net.world, 3600 * SIM_SECOND), WARP_OK);
  assert_in_range(lookups, 5, 12);
  unsigned before = lookups;
  assert_int_equal(sim_run_for(both.net.world, 3600 * SIM_SECOND), WARP_OK);
  assert_in_range(lookups - before, 3, 5);
  before = lookups;
  for (unsigned i = 0; i < 100; i++) {
    sim_host_remove_address(both.net.a, "10.0.1.2");
    sim_host_add_address(both.net.a, "10.0.1.2/24");
    assert_int_equal(sim_run_for(both.net.world, 100 * SIM_MS), WARP_OK);
  }
  assert_in_range(lookups - before, 1, 25); /* two a second */
  peers_free(&both);
}

/* Servers that are known and silent are tried once for a new address, however often the interfaces
 * change meanwhile: then it is in use. */
static void test_known_and_silent(void **state) {
  (void)state;
  static const char *const silent[] = {"203.0.113.77:3478", NULL};
  peers both;
  peers_build(&both, "open", "open", 1);
  both.a.conf.stun_servers = silent;
  both.a.conf.server_timeout_ms = 3000;
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  sim_host_remove_address(both.net.a, "192.0.2.2");
  sim_host_add_address(both.net.a, "192.0.2.4/25");
  for (unsigned i = 0; i < 40; i++) {
    assert_int_equal(sim_run_for(both.net.world, 100 * SIM_MS), WARP_OK);
    if (i % 2 == 0)
      sim_host_add_address(both.net.a, "169.254.7.7/16");
    else
      sim_host_remove_address(both.net.a, "169.254.7.7");
  }
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoint_count, 1);
  assert_ip(&record.endpoints[0].nic, "192.0.2.4");
  peers_free(&both);
}

/* The node closes while they are looked up. */
static void test_closed_meanwhile(void **state) {
  (void)state;
  for (unsigned ms = 0; ms < 50; ms += 7) {
    peers both;
    build(&both, "symmetric");
    while (lookups < 2)
      assert_int_equal(sim_run_for(both.net.world, SIM_MS), WARP_OK);
    assert_int_equal(sim_run_for(both.net.world, ms * SIM_MS), WARP_OK);
    peers_free(&both); /* finds what would be left open */
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_found_later),      cmocka_unit_test(test_after_a_change),
      cmocka_unit_test(test_never_found),      cmocka_unit_test(test_known_and_silent),
      cmocka_unit_test(test_closed_meanwhile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
