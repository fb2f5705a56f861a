/* Datagrams: who gets them, when, and what the links do to them. */
#include "testing.h"

typedef struct inbox {
  sim_world *world;
  wg_env *env;
  wg_udp *udp;
  size_t count, bytes;
  uint64_t at_us;
  warp_addr from;
  uint8_t last[WG_UDP_MAX];
  bool reordered, close_on_receive;
} inbox;

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  inbox *box = arg;
  box->reordered = box->reordered || (box->count > 0 && len > 0 && data[0] < box->last[0]);
  box->count++;
  box->bytes += len;
  box->at_us = sim_now_us(box->world);
  box->from = *from;
  memcpy(box->last, data, len);
  if (box->close_on_receive) {
    box->env->ops->udp_close(box->udp);
    box->udp = NULL;
  }
}

static void open_box(inbox *box, sim_host *host, const char *local, unsigned flags) {
  warp_addr addr = address(local);
  *box = (inbox){.world = sim_host_world(host), .env = sim_host_env(host)};
  assert_int_equal(box->env->ops->udp_open(box->env, &addr, flags, on_datagram, box, &box->udp),
                   WARP_OK);
}

static void close_box(inbox *box) {
  box->env->ops->udp_close(box->udp);
}

static int send_text(inbox *box, const char *to, const char *text) {
  warp_addr addr = address(to);
  return box->env->ops->udp_send(box->udp, &addr, text, strlen(text));
}

typedef struct fixture {
  sim_world *world;
  sim_network *one, *two;
  sim_host *a, *neighbour, *b;
} fixture;

static fixture build(const sim_link *link) {
  fixture f = {.world = sim_world_new(7)};
  f.one = sim_network_new(f.world, "one", link);
  f.two = sim_network_new(f.world, "two", link);
  f.a = sim_host_new(f.one, "a", "192.0.2.1/25");
  f.neighbour = sim_host_new(f.one, "neighbour", "192.0.2.2/25");
  f.b = sim_host_new(f.two, "b", "192.0.2.129/25");
  return f;
}

static void test_latency(void **state) {
  (void)state;
  fixture f = build(NULL);
  inbox a, b;
  open_box(&a, f.a, "0.0.0.0:1000", 0);
  open_box(&b, f.b, "0.0.0.0:2000", 0);
  assert_int_equal(send_text(&a, "192.0.2.129:2000", "hello"), WARP_OK);
  assert_int_equal(b.count, 0); /* never from inside a call */
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(b.count, 1);
  assert_memory_equal(b.last, "hello", 5);
  assert_int_equal(b.at_us, 2 * SIM_LATENCY_US);
  assert_address(&b.from, "192.0.2.1:1000");
  close_box(&a);
  close_box(&b);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_near(void **state) {
  (void)state;
  fixture f = build(NULL);
  inbox a, other;
  open_box(&a, f.a, "0.0.0.0:1000", 0);
  open_box(&other, f.neighbour, "0.0.0.0:2000", 0);
  send_text(&a, "192.0.2.2:2000", "lan");
  send_text(&a, "127.0.0.1:1000", "loopback");
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(other.at_us, SIM_LAN_US);
  assert_int_equal(a.at_us, SIM_LOOPBACK_US);
  assert_address(&a.from, "127.0.0.1:1000");
  send_text(&a, "192.0.2.1:1000", "own address");
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_address(&a.from, "192.0.2.1:1000");
  close_box(&a);
  close_box(&other);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_nobody_there(void **state) {
  (void)state;
  fixture f = build(NULL);
  inbox a, b;
  open_box(&a, f.a, "0.0.0.0:1000", 0);
  open_box(&b, f.b, "127.0.0.1:2000", 0);
  assert_int_equal(send_text(&a, "192.0.2.129:2000", "bound to loopback only"), WARP_OK);
  assert_int_equal(send_text(&a, "192.0.2.129:2001", "closed"), WARP_OK);
  assert_int_equal(send_text(&a, "203.0.113.1:2000", "no such host"), WARP_OK);
  assert_int_equal(send_text(&b, "192.0.2.1:1000", "out of loopback"), WARP_UNREACHABLE);
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(a.count + b.count, 0);
  close_box(&a);
  close_box(&b);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_refused_sends(void **state) {
  (void)state;
  static uint8_t large[WG_UDP_MAX + 1];
  fixture f = build(NULL);
  inbox a, b;
  warp_addr to = address("192.0.2.129:2000");
  open_box(&a, f.a, "0.0.0.0:1000", 0);
  open_box(&b, f.b, "0.0.0.0:2000", 0);
  assert_int_equal(a.env->ops->udp_send(a.udp, &to, large, sizeof large), WARP_TOO_BIG);
  assert_int_equal(a.env->ops->udp_send(a.udp, &to, large, sizeof large - 1), WARP_OK);
  assert_int_equal(a.env->ops->udp_send(a.udp, &to, large, 0), WARP_OK);
  assert_int_equal(send_text(&a, "0.0.0.0:5", ""), WARP_UNREACHABLE);
  assert_int_equal(send_text(&a, "224.0.0.1:5", ""), WARP_UNREACHABLE);
  assert_int_equal(send_text(&a, "192.0.2.129", "port 0"), WARP_INVALID);
  assert_int_equal(send_text(&a, "[2001:db8::1]:5", "family"), WARP_INVALID);
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(b.count, 2);
  assert_int_equal(b.bytes, WG_UDP_MAX);
  close_box(&a);
  close_box(&b);
  assert_int_equal(sim_world_free(f.world), 0);
}

static int try_bind(sim_host *host, const char *local, unsigned flags) {
  wg_env *env = sim_host_env(host);
  warp_addr addr = address(local);
  wg_udp *udp = NULL;
  int status = env->ops->udp_open(env, &addr, flags, on_datagram, NULL, &udp);
  if (status == WARP_OK) {
    env->ops->udp_close(udp);
  }
  return status;
}

static void test_binding(void **state) {
  (void)state;
  fixture f = build(NULL);
  inbox plain, shared;
  warp_addr local;
  open_box(&plain, f.a, "192.0.2.1:1000", 0);
  open_box(&shared, f.a, "0.0.0.0:2000", WG_SOCK_REUSE);
  assert_int_equal(try_bind(f.a, "0.0.0.0:1000", WG_SOCK_REUSE), WARP_ADDR_IN_USE);
  assert_int_equal(try_bind(f.a, "127.0.0.1:1000", 0), WARP_OK);
  assert_int_equal(try_bind(f.a, "[::]:1000", 0), WARP_OK);
  assert_int_equal(try_bind(f.neighbour, "0.0.0.0:1000", 0), WARP_OK);
  assert_int_equal(try_bind(f.a, "192.0.2.1:2000", 0), WARP_ADDR_IN_USE);
  assert_int_equal(try_bind(f.a, "192.0.2.1:2000", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(try_bind(f.a, "192.0.2.9:3000", 0), WARP_ADDR_NOT_AVAILABLE);
  close_box(&plain);
  close_box(&shared);
  open_box(&plain, f.a, "0.0.0.0", 0);
  plain.env->ops->udp_local(plain.udp, &local);
  assert_true(local.port >= 32768);
  close_box(&plain);
  assert_int_equal(sim_world_free(f.world), 0);
}

/* The most specific socket of a shared port gets the datagram, the youngest of equals. */
static void test_shared_port(void **state) {
  (void)state;
  static const char *const locals[] = {"0.0.0.0:2000", "192.0.2.1:2000", "192.0.2.1:2000",
                                       "0.0.0.0:2000"};
  static const size_t order[] = {2, 1, 3, 0}; /* who gets it, as they are closed one by one */
  fixture f = build(NULL);
  inbox sender, boxes[4];
  open_box(&sender, f.b, "0.0.0.0:1", 0);
  for (size_t i = 0; i < 4; i++) {
    open_box(&boxes[i], f.a, locals[i], WG_SOCK_REUSE);
  }
  for (size_t i = 0; i < 4; i++) {
    send_text(&sender, "192.0.2.1:2000", "x");
    assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
    assert_int_equal(boxes[order[i]].count, 1);
    close_box(&boxes[order[i]]);
  }
  close_box(&sender);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_close_in_callback(void **state) {
  (void)state;
  fixture f = build(NULL);
  inbox a, b;
  open_box(&a, f.a, "0.0.0.0:1000", 0);
  open_box(&b, f.b, "0.0.0.0:2000", 0);
  b.close_on_receive = true;
  for (int i = 0; i < 5; i++) {
    send_text(&a, "192.0.2.129:2000", "x");
  }
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(b.count, 1);
  assert_int_equal(sim_host_handles(f.b), 0);
  close_box(&a);
  assert_int_equal(sim_world_free(f.world), 0);
}

/* 2000 datagrams over two links of 10 % loss and 5 % duplicates each. */
static void test_impairments(void **state) {
  (void)state;
  const sim_link link = {.latency_us = 5000, .jitter_us = 3000, .loss = 0.1, .duplicate = 0.05};
  fixture f = build(&link);
  inbox a, b;
  open_box(&a, f.a, "0.0.0.0:1000", 0);
  open_box(&b, f.b, "0.0.0.0:2000", 0);
  for (int i = 0; i < 2000; i++) {
    uint8_t number = (uint8_t)(i / 10);
    warp_addr to = address("192.0.2.129:2000");
    a.env->ops->udp_send(a.udp, &to, &number, 1);
    assert_int_equal(sim_run_for(f.world, 100), WARP_OK);
  }
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  /* Expected 2000 * 0.81 * 1.0975 = 1778, standard deviation about 25. */
  assert_in_range(b.count, 1650, 1900);
  assert_in_range(sim_world_trace(f.world).lost, 280, 480);
  assert_true(b.reordered);
  assert_in_range(b.at_us, 199900 + 10000, 199900 + 16000);
  close_box(&a);
  close_box(&b);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_network_down(void **state) {
  (void)state;
  fixture f = build(NULL);
  inbox a, b;
  open_box(&a, f.a, "0.0.0.0:1000", 0);
  open_box(&b, f.b, "0.0.0.0:2000", 0);
  send_text(&a, "192.0.2.129:2000", "on its way");
  sim_network_set_up(f.two, false);
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(send_text(&b, "192.0.2.1:1000", "out"), WARP_OK);
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(a.count + b.count, 0);
  sim_network_set_up(f.two, true);
  send_text(&a, "192.0.2.129:2000", "again");
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(b.count, 1);
  close_box(&a);
  close_box(&b);
  assert_int_equal(sim_world_free(f.world), 0);
}

static void test_ip6(void **state) {
  (void)state;
  fixture f = build(NULL);
  inbox a, b;
  sim_nat nat;
  assert_int_equal(sim_nat_profile("symmetric", &nat), WARP_OK);
  sim_host_add_address(f.a, "2001:db8:1::1/64");
  sim_host_add_address(f.b, "2001:db8:2::1/64");
  sim_network_set_nat(f.two, "203.0.113.1", &nat);
  open_box(&a, f.a, "[::]:1000", WG_SOCK_V6ONLY);
  open_box(&b, f.b, "[2001:db8:2::1]:2000", 0);
  send_text(&a, "[2001:db8:2::1]:2000", "x");
  assert_int_equal(sim_run_until_idle(f.world, SIM_SECOND), WARP_OK);
  assert_int_equal(b.count, 1);
  assert_address(&b.from, "[2001:db8:1::1]:1000");
  close_box(&a);
  close_box(&b);
  assert_int_equal(sim_world_free(f.world), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_latency),           cmocka_unit_test(test_near),
      cmocka_unit_test(test_nobody_there),      cmocka_unit_test(test_refused_sends),
      cmocka_unit_test(test_binding),           cmocka_unit_test(test_shared_port),
      cmocka_unit_test(test_close_in_callback), cmocka_unit_test(test_impairments),
      cmocka_unit_test(test_network_down),      cmocka_unit_test(test_ip6),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
