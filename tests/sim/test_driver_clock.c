/* Virtual time: order, jumps, the clocks of hosts, and runs that must not hang. */
#include "testing.h"

typedef struct tick {
  wg_env *env;
  wg_timer timer;
  sim_world *world;
  uint64_t at_us;
  unsigned count, restarts;
  uint64_t period_us;
} tick;

static void on_tick(void *arg) {
  tick *self = arg;
  self->at_us = sim_now_us(self->world);
  self->count++;
  if (self->count <= self->restarts) {
    wg_timer_start(self->env, &self->timer, self->period_us, on_tick, self);
  }
}

typedef struct fixture {
  sim_world *world;
  sim_host *a, *b;
} fixture;

static fixture build(void) {
  fixture f = {.world = sim_world_new(1)};
  sim_network *network = sim_network_new(f.world, "n", NULL);
  f.a = sim_host_new(network, "a", "192.0.2.1/24");
  f.b = sim_host_new(network, "b", "192.0.2.2/24");
  return f;
}

static void test_jumps(void **state) {
  (void)state;
  fixture f = build();
  tick a = {.env = sim_host_env(f.a), .world = f.world};
  tick b = {.env = sim_host_env(f.b), .world = f.world};
  wg_timer_start(a.env, &a.timer, 86400 * SIM_SECOND, on_tick, &a);
  wg_timer_start(b.env, &b.timer, 5 * SIM_MS, on_tick, &b);
  assert_int_equal(sim_host_handles(f.a), 1);
  assert_int_equal(sim_run_until_idle(f.world, 100000 * SIM_SECOND), WARP_OK);
  assert_int_equal(b.at_us, 5 * SIM_MS);
  assert_int_equal(a.at_us, 86400 * SIM_SECOND);
  assert_int_equal(sim_now_us(f.world), 86400 * SIM_SECOND);
  assert_int_equal(sim_world_trace(f.world).events, 2);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_stop_and_restart(void **state) {
  (void)state;
  fixture f = build();
  tick a = {.env = sim_host_env(f.a), .world = f.world};
  tick b = {.env = sim_host_env(f.a), .world = f.world};
  wg_timer_start(a.env, &a.timer, 5 * SIM_MS, on_tick, &a);
  wg_timer_start(a.env, &b.timer, 6 * SIM_MS, on_tick, &b);
  wg_timer_start(a.env, &a.timer, 9 * SIM_MS, on_tick, &a);
  wg_timer_stop(a.env, &b.timer);
  assert_int_equal(sim_run_for(f.world, 20 * SIM_MS), WARP_OK);
  assert_int_equal(a.at_us, 9 * SIM_MS);
  assert_int_equal(b.count, 0);
  assert_int_equal(sim_now_us(f.world), 20 * SIM_MS);
  assert_int_equal(sim_world_free(f.world), 0);
}

static bool ticked_thrice(void *arg) {
  return ((const tick *)arg)->count >= 3;
}

static void test_run_until(void **state) {
  (void)state;
  fixture f = build();
  tick a = {.env = sim_host_env(f.a), .world = f.world, .restarts = 9, .period_us = 10 * SIM_MS};
  wg_timer_start(a.env, &a.timer, 0, on_tick, &a);
  assert_int_equal(sim_run_until(f.world, ticked_thrice, &a, SIM_SECOND), WARP_OK);
  assert_int_equal(sim_now_us(f.world), 20 * SIM_MS);
  assert_int_equal(sim_run_until_idle(f.world, 10 * SIM_MS), WARP_TIMEOUT);
  assert_int_equal(a.count, 4);
  bool never = false;
  assert_int_equal(sim_run_until_set(f.world, &never, SIM_SECOND), WARP_TIMEOUT);
  assert_int_equal(sim_now_us(f.world), SIM_SECOND + 30 * SIM_MS);
  assert_int_equal(a.count, 10);
  assert_int_equal(sim_world_free(f.world), 0);
}

/* A timer that restarts itself without a delay stops the clock: the run must end all the same. */
static void test_livelock(void **state) {
  (void)state;
  fixture f = build();
  tick a = {.env = sim_host_env(f.a), .world = f.world, .restarts = UINT32_MAX};
  wg_timer_start(a.env, &a.timer, 0, on_tick, &a);
  sim_set_event_limit(f.world, 1000);
  assert_int_equal(sim_run_for(f.world, SIM_SECOND), WARP_LIMIT);
  assert_int_equal(sim_now_us(f.world), 0);
  wg_timer_stop(a.env, &a.timer);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_clocks(void **state) {
  (void)state;
  fixture f = build();
  wg_env *a = sim_host_env(f.a), *b = sim_host_env(f.b);
  uint64_t a0 = wg_now_us(a), b0 = wg_now_us(b);
  assert_true(a0 > 0 && b0 > 0);
  assert_int_not_equal(a0, b0);
  assert_int_equal(a->ops->wall_ms(a), b->ops->wall_ms(b));
  sim_host_set_clock_skew_ms(f.b, -90000);
  assert_int_equal(sim_run_for(f.world, 1500 * SIM_MS), WARP_OK);
  assert_int_equal(wg_now_us(a) - a0, 1500 * SIM_MS);
  assert_int_equal(wg_now_us(b) - b0, 1500 * SIM_MS);
  assert_int_equal(a->ops->wall_ms(a) - b->ops->wall_ms(b), 90000);
  assert_int_equal(sim_world_free(f.world), 0);
}

/* What is left open is counted. */
static void test_left_open(void **state) {
  (void)state;
  fixture f = build();
  wg_env *env = sim_host_env(f.a);
  tick a = {.env = env, .world = f.world};
  warp_addr any = address("0.0.0.0");
  wg_udp *udp = NULL;
  wg_tcp_listener *listener = NULL;
  wg_tcp *tcp = NULL;
  wg_resolve *resolve = NULL;
  wg_broker *broker = NULL;
  wg_tcp_handlers none = {0};
  wg_broker_options options = {.server = "192.0.2.2:1883", .client_id = "x", .topic = "t"};
  wg_broker_handlers broker_none = {0};
  warp_addr there = address("192.0.2.2:9");
  wg_timer_start(env, &a.timer, SIM_SECOND, on_tick, &a);
  assert_int_equal(env->ops->udp_open(env, &any, 0, NULL, NULL, &udp), WARP_OK);
  assert_int_equal(env->ops->tcp_listen(env, &any, 0, NULL, NULL, &listener), WARP_OK);
  assert_int_equal(env->ops->tcp_connect(env, NULL, &there, 0, &none, NULL, &tcp), WARP_OK);
  assert_int_equal(env->ops->resolve(env, "x", 1, 0, NULL, NULL, &resolve), WARP_OK);
  assert_int_equal(env->ops->broker_open(env, &options, &broker_none, NULL, &broker), WARP_OK);
  /* The broker's look-up is a handle of the driver's own; it goes with the broker. */
  assert_int_equal(sim_host_handles(f.a), 7);
  assert_int_equal(sim_world_free(f.world), 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_jumps),     cmocka_unit_test(test_stop_and_restart),
      cmocka_unit_test(test_run_until), cmocka_unit_test(test_livelock),
      cmocka_unit_test(test_clocks),    cmocka_unit_test(test_left_open),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
