/* What a host knows of itself and its surroundings: interfaces, names, files, randomness. */
#include "testing.h"

typedef struct fixture {
  sim_world *world;
  sim_network *network;
  sim_host *a, *b;
} fixture;

static fixture build(uint64_t seed) {
  fixture f = {.world = sim_world_new(seed)};
  f.network = sim_network_new(f.world, "n", NULL);
  f.a = sim_host_new(f.network, "a", "192.0.2.1/25");
  f.b = sim_host_new(f.network, "b", "192.0.2.2/25");
  return f;
}

static void test_interfaces(void **state) {
  (void)state;
  fixture f = build(1);
  wg_interface list[WG_INTERFACES_MAX];
  wg_env *env = sim_host_env(f.a);
  assert_int_equal(env->ops->interfaces(env, list, WG_INTERFACES_MAX), 2);
  assert_string_equal(list[0].name, "lo");
  assert_true(list[0].loopback);
  assert_false(list[0].is_default);
  assert_address(&list[0].addr, "127.0.0.1");
  assert_string_equal(list[1].name, "eth0");
  assert_address(&list[1].addr, "192.0.2.1");
  assert_int_equal(list[1].prefix_bits, 25);
  assert_true(list[1].is_default);
  assert_int_equal(list[1].mac[0], 2);
  sim_host_add_address(f.a, "192.0.2.9/25");
  sim_host_add_address(f.a, "2001:db8::1/64");
  assert_int_equal(env->ops->interfaces(env, list, WG_INTERFACES_MAX), 5);
  assert_false(list[3].is_default);
  assert_address(&list[4].addr, "2001:db8::1");
  assert_true(list[4].is_default);
  assert_int_equal(env->ops->interfaces(env, list, 1), 1);
  assert_int_equal(sim_world_free(f.world), 0);
}

typedef struct answer {
  sim_world *world;
  unsigned calls;
  int status;
  size_t count;
  warp_addr addrs[WG_RESOLVE_MAX];
  uint64_t at_us;
} answer;

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  answer *self = arg;
  self->calls++;
  self->status = status;
  self->count = count;
  self->at_us = sim_now_us(self->world);
  for (size_t i = 0; i < count; i++) {
    self->addrs[i] = addrs[i];
  }
}

static answer resolve(fixture *f, const char *name, int family) {
  answer self = {.world = f->world};
  wg_env *env = sim_host_env(f->a);
  wg_resolve *handle = NULL;
  uint64_t begun_us = sim_now_us(f->world);
  assert_int_equal(env->ops->resolve(env, name, 80, family, on_resolved, &self, &handle), WARP_OK);
  assert_int_equal(self.calls, 0);
  assert_int_equal(sim_run_until_idle(f->world, 60 * SIM_SECOND), WARP_OK);
  assert_int_equal(self.calls, 1);
  self.at_us -= begun_us;
  return self;
}

static void test_resolve(void **state) {
  (void)state;
  fixture f = build(1);
  sim_add_name(f.world, "two.example", "203.0.113.1");
  sim_add_name(f.world, "two.example", "2001:db8::1");
  sim_add_name(f.world, "dead.example", NULL);
  answer got = resolve(&f, "two.example", 0);
  assert_int_equal(got.count, 2);
  assert_address(&got.addrs[0], "203.0.113.1:80");
  assert_address(&got.addrs[1], "[2001:db8::1]:80");
  assert_int_equal(got.at_us, 2 * SIM_LATENCY_US);
  got = resolve(&f, "two.example", WARP_IP6);
  assert_int_equal(got.count, 1);
  got = resolve(&f, "192.0.2.7", 0);
  assert_int_equal(got.at_us, 0);
  assert_address(&got.addrs[0], "192.0.2.7:80");
  assert_int_equal(resolve(&f, "192.0.2.7", WARP_IP6).status, WARP_NOT_FOUND);
  assert_int_equal(resolve(&f, "nowhere.example", 0).status, WARP_NOT_FOUND);
  got = resolve(&f, "dead.example", 0);
  assert_int_equal(got.status, WARP_TIMEOUT);
  assert_int_equal(got.at_us, 5 * SIM_SECOND);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_resolve_canceled(void **state) {
  (void)state;
  fixture f = build(1);
  answer self = {.world = f.world};
  wg_env *env = sim_host_env(f.a);
  wg_resolve *handle = NULL;
  assert_int_equal(env->ops->resolve(env, "192.0.2.7", 1, 0, on_resolved, &self, &handle), WARP_OK);
  env->ops->resolve_cancel(handle);
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(self.calls, 0);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_files(void **state) {
  (void)state;
  fixture f = build(1);
  wg_env *a = sim_host_env(f.a), *b = sim_host_env(f.b);
  uint8_t out[8];
  size_t len = 0;
  assert_int_equal(a->ops->file_read(a, NULL, "key", out, sizeof out, &len), WARP_NOT_FOUND);
  assert_int_equal(a->ops->file_write(a, NULL, "key", "first", 5), WARP_OK);
  assert_int_equal(a->ops->file_write(a, NULL, "key", "second", 6), WARP_OK);
  assert_int_equal(a->ops->file_read(a, NULL, "key", out, sizeof out, &len), WARP_OK);
  assert_int_equal(len, 6);
  assert_memory_equal(out, "second", 6);
  assert_int_equal(a->ops->file_read(a, NULL, "key", out, 5, &len), WARP_TOO_BIG);
  assert_int_equal(a->ops->file_read(a, "elsewhere", "key", out, sizeof out, &len), WARP_NOT_FOUND);
  assert_int_equal(b->ops->file_read(b, NULL, "key", out, sizeof out, &len), WARP_NOT_FOUND);
  sim_host_set_file_status(f.a, WARP_PERMISSION);
  assert_int_equal(a->ops->file_read(a, NULL, "key", out, sizeof out, &len), WARP_PERMISSION);
  assert_int_equal(a->ops->file_write(a, NULL, "key", "x", 1), WARP_PERMISSION);
  sim_host_set_file_status(f.a, WARP_OK);
  assert_int_equal(a->ops->file_read(a, NULL, "key", out, sizeof out, &len), WARP_OK);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void read_machine(sim_host *host, uint8_t out[16]) {
  wg_env *env = sim_host_env(host);
  size_t len = 0;
  assert_int_equal(env->ops->machine_id(env, out, 16, &len), WARP_OK);
  assert_int_equal(len, 16);
}

static void test_machine_id(void **state) {
  (void)state;
  fixture f = build(1), again = build(1);
  uint8_t a[16], b[16], same[16];
  size_t len = 0;
  wg_env *env = sim_host_env(f.a);
  read_machine(f.a, a);
  read_machine(f.b, b);
  read_machine(again.a, same);
  assert_memory_not_equal(a, b, 16);
  assert_memory_equal(a, same, 16);
  sim_host_set_machine_id(f.a, "serial", 6);
  assert_int_equal(env->ops->machine_id(env, a, sizeof a, &len), WARP_OK);
  assert_int_equal(len, 6);
  sim_host_set_machine_id(f.a, NULL, 0);
  assert_int_equal(env->ops->machine_id(env, a, sizeof a, &len), WARP_NOT_FOUND);
  assert_int_equal(sim_world_free(f.world) + sim_world_free(again.world), 0);
}

static void draw(sim_host *host, uint8_t out[32]) {
  wg_env *env = sim_host_env(host);
  assert_int_equal(env->ops->random(env, out, 32), WARP_OK);
}

static void test_random(void **state) {
  (void)state;
  fixture f = build(1), same = build(1), other = build(2);
  uint8_t a[32], b[32], a_same[32], a_other[32];
  draw(f.a, a);
  draw(f.b, b);
  draw(same.a, a_same);
  draw(other.a, a_other);
  assert_memory_equal(a, a_same, 32);
  assert_memory_not_equal(a, b, 32);
  assert_memory_not_equal(a, a_other, 32);
  draw(f.a, a_same);
  assert_memory_not_equal(a, a_same, 32);
  sim_world_free(f.world);
  sim_world_free(same.world);
  sim_world_free(other.world);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_interfaces),       cmocka_unit_test(test_resolve),
      cmocka_unit_test(test_resolve_canceled), cmocka_unit_test(test_files),
      cmocka_unit_test(test_machine_id),       cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
