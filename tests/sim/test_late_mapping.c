/* Where the listen port is seen from outside over TCP is not known when the start ends, because the
 * question was lost: it is asked for again, connects wait for it, and peers hear of it. */
#include "peers.h"
#include "testing.h"

#include "base/addr.h"
#include "identity/identity.h"

#include <string.h>

enum { SERVER_PORT = 3478, LATE_S = 8 };
static const warp_connect_options punching = {.plugins = "tcp_punch"};

/* The table of every host but for the connections from a node's listen port to its STUN server: the
 * first so many of those go where nobody is. */
static wg_env_ops lossy;
static const wg_env_ops *real;
static struct {
  wg_env *env;
  unsigned lost, dials;
} at_a, at_b;

static int lossy_connect(wg_env *env, const warp_addr *local, const warp_addr *to, unsigned flags,
                         const wg_tcp_handlers *handlers, void *arg, wg_tcp **out) {
  warp_addr nobody = address("203.0.113.77:3478");
  unsigned *lost = env == at_a.env ? &at_a.lost : &at_b.lost;
  unsigned *dials = env == at_a.env ? &at_a.dials : &at_b.dials;
  uint8_t machine[WG_MACHINE_ID_LEN];
  bool asks = to->port == SERVER_PORT && local != NULL &&
              wg_machine_id(env, NULL, machine) == WARP_OK &&
              local->port == wg_listen_port(machine, 0);
  *dials += asks ? 1 : 0;
  if (!asks || *lost == 0)
    return real->tcp_connect(env, local, to, flags, handlers, arg, out);
  --*lost;
  return real->tcp_connect(env, local, &nobody, flags, handlers, arg, out);
}

static void build(peers *both, const char *profile, unsigned lost_a, unsigned lost_b,
                  uint64_t seed) {
  peers_build(both, profile, profile, seed);
  at_a.env = sim_host_env(both->a.host);
  at_b.env = sim_host_env(both->b.host);
  at_a.lost = lost_a;
  at_b.lost = lost_b;
  at_a.dials = at_b.dials = 0;
  real = at_a.env->ops;
  lossy = *real;
  lossy.tcp_connect = lossy_connect;
  at_a.env->ops = at_b.env->ops = &lossy;
  peers_start(both);
}

static bool knows(const peer *self) {
  return peer_record(self).endpoints[0].external_tcp.family != 0;
}

/* The question of one of the two is lost, or of both: each punches as soon as it is answered. */
static void test_connect_waits(void **state) {
  (void)state;
  for (unsigned who = 1; who <= 3; who++) {
    peers both;
    /* a starts before b, so it has to be lost twice to be unknown when both have started. */
    build(&both, "port-restricted", who & 1 ? 2 : 0, who & 2 ? 1 : 0, who);
    assert_int_equal(knows(&both.a), !(who & 1));
    assert_int_equal(knows(&both.b), !(who & 2));
    peers_connect(&both, &punching);
    assert_int_equal(both.a.connect_status, WARP_OK);
    assert_string_equal(both.a.info.plugin, "tcp_punch");
    peers_echo(&both);
    assert_true(knows(&both.a));
    assert_true(knows(&both.b));
    peers_free(&both);
  }
}

/* What the program published before is not all that peers go by: the owner is asked. */
static void test_first_record(void **state) {
  (void)state;
  peers both;
  build(&both, "port-restricted", 0, 1, 4);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_false(knows(&both.b));
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  uint64_t before = peer_record(&both.b).sequence;
  assert_int_equal(sim_run_for(both.net.world, 120 * SIM_SECOND), WARP_OK);
  assert_true(knows(&both.b));
  assert_true(peer_record(&both.b).sequence > before);
  peers_connect_to(&both, record, len, &punching);
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_free(&both);
}

/* It never comes: then a connect has waited no longer than for that, and the server is not dialled
 * without end. */
static void test_never(void **state) {
  (void)state;
  peers both;
  build(&both, "port-restricted", 1000, 0, 5);
  assert_int_equal(both.a.start_status, WARP_OK);
  uint64_t begun_us = sim_now_us(both.net.world);
  peers_connect(&both, &punching);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_true(sim_now_us(both.net.world) - begun_us <= (LATE_S + 1) * SIM_SECOND);
  const warp_report_row *row = peer_row(&both.a, "tcp_punch", WARP_EXT_BIND);
  assert_non_null(row);
  assert_string_equal(row->detail, "our external TCP address is not known");
  unsigned before = at_a.dials;
  assert_in_range(before, 2, 8);
  assert_int_equal(sim_run_for(both.net.world, 600 * SIM_SECOND), WARP_OK);
  assert_in_range(at_a.dials - before, 20, 40); /* one in a refresh and its own time */
  /* One that begins later does not wait. */
  begun_us = sim_now_us(both.net.world);
  both.a.connect_done = false;
  peers_connect(&both, &punching);
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  assert_true(sim_now_us(both.net.world) - begun_us <= SIM_SECOND);
  peers_free(&both);
}

/* A node that is closed while a connect waits for it. */
static void on_closed(void *arg) {
  peer *self = arg;
  self->closed = true;
}

static void test_closed_meanwhile(void **state) {
  (void)state;
  peers both;
  build(&both, "port-restricted", 1000, 1000, 6);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  peers_begin_connect(&both, record, len, &punching);
  assert_int_equal(sim_run_for(both.net.world, SIM_SECOND), WARP_OK);
  assert_false(both.a.connect_done);
  warp_node_close(both.a.node, on_closed, &both.a);
  both.a.node = NULL;
  assert_int_equal(sim_run_until_set(both.net.world, &both.a.closed, 10 * SIM_SECOND), WARP_OK);
  assert_int_equal(both.a.connect_status, WARP_CANCELED);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_connect_waits),
      cmocka_unit_test(test_first_record),
      cmocka_unit_test(test_never),
      cmocka_unit_test(test_closed_meanwhile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
