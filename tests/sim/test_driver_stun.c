/* The STUN server, and the axes of every NAT as it shows them. */
#include "testing.h"

#include "machine/nat_probe.h"

typedef struct asker {
  sim_world *world;
  wg_env *env;
  wg_udp *udp;
  size_t answers;
  uint8_t last[WG_STUN_MAX];
  size_t last_len;
  warp_addr from;
} asker;

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  asker *self = arg;
  self->answers++;
  memcpy(self->last, data, len);
  self->last_len = len;
  self->from = *from;
}

static void open_asker(asker *self, sim_host *host, uint16_t port) {
  warp_addr local = wg_addr_any(WARP_IP4, port);
  *self = (asker){.world = sim_host_world(host), .env = sim_host_env(host)};
  assert_int_equal(self->env->ops->udp_open(self->env, &local, 0, on_datagram, self, &self->udp),
                   WARP_OK);
}

static size_t write_request(uint8_t *out, size_t cap, uint32_t change) {
  wg_stun_txid txid = {{1, 2, 3}};
  wg_writer writer = wg_writer_init(out, cap);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  if (change != 0) {
    wg_stun_attr_u32(&writer, WG_STUN_CHANGE_REQUEST, change);
  }
  int len = wg_stun_end(&writer);
  assert_true(len > 0);
  return (size_t)len;
}

/* Sends a Binding request; whether an answer came, which is in `last` then. */
static bool ask(asker *self, const char *server, uint32_t change) {
  uint8_t request[64];
  size_t len = write_request(request, sizeof request, change);
  size_t before = self->answers;
  warp_addr to = address(server);
  assert_int_equal(self->env->ops->udp_send(self->udp, &to, request, len), WARP_OK);
  assert_int_equal(sim_run_for(self->world, SIM_SECOND), WARP_OK);
  return self->answers > before;
}

static warp_addr answered(const asker *self, uint16_t type) {
  wg_stun_message message;
  warp_addr addr = {0};
  assert_int_equal(wg_stun_decode(self->last, self->last_len, &message), WARP_OK);
  assert_int_equal(message.class, WG_STUN_SUCCESS);
  assert_true(wg_stun_find_addr(&message, type, &addr));
  return addr;
}

static unsigned error_code(const asker *self) {
  wg_stun_message message;
  unsigned code = 0;
  char reason[64];
  assert_int_equal(wg_stun_decode(self->last, self->last_len, &message), WARP_OK);
  assert_true(wg_stun_find_error(&message, &code, reason, sizeof reason));
  return code;
}

static void assert_answered(const asker *self, uint16_t type, const char *expected) {
  warp_addr addr = answered(self, type);
  assert_address(&addr, expected);
}

static void test_binding(void **state) {
  (void)state;
  sim_topology net;
  sim_topology_new(&(sim_topology_options){.profile_a = "full-cone"}, &net);
  asker a, b;
  open_asker(&a, net.a, 5000);
  open_asker(&b, net.b, 5000);
  assert_true(ask(&b, "203.0.113.10:3478", 0));
  assert_answered(&b, WG_STUN_XOR_MAPPED_ADDRESS, "192.0.2.130:5000");
  assert_true(ask(&a, "203.0.113.10:3478", 0));
  assert_answered(&a, WG_STUN_XOR_MAPPED_ADDRESS, "192.0.2.2:5000");
  assert_answered(&a, WG_STUN_RESPONSE_ORIGIN, "203.0.113.10:3478");
  assert_answered(&a, WG_STUN_OTHER_ADDRESS, "198.51.100.10:3479");
  assert_true(ask(&a, "198.51.100.10:3479", 0));
  assert_answered(&a, WG_STUN_OTHER_ADDRESS, "203.0.113.10:3478");
  assert_true(ask(&a, "203.0.113.10:3478", WG_STUN_CHANGE_PORT));
  assert_address(&a.from, "203.0.113.10:3479");
  assert_answered(&a, WG_STUN_RESPONSE_ORIGIN, "203.0.113.10:3479");
  assert_true(ask(&a, "203.0.113.10:3478", WG_STUN_CHANGE_PORT | WG_STUN_CHANGE_IP));
  assert_address(&a.from, "198.51.100.10:3479");
  assert_true(ask(&a, "203.0.113.10:3478", WG_STUN_CHANGE_IP));
  assert_address(&a.from, "198.51.100.10:3478");
  assert_int_equal(sim_stun_answered(net.stun), 6);
  sim_stun_set_up(net.stun, false);
  assert_false(ask(&a, "203.0.113.10:3478", 0));
  sim_stun_set_up(net.stun, true);
  assert_true(ask(&a, "203.0.113.10:3478", 0));
  a.env->ops->udp_close(a.udp);
  b.env->ops->udp_close(b.udp);
  assert_int_equal(sim_world_free(net.world), 0);
}

/* A server of one address has nothing to change to: RFC 5780 section 6.1. */
static void test_without_discovery(void **state) {
  (void)state;
  sim_world *world = sim_world_new(1);
  sim_network *network = sim_network_new(world, "n", NULL);
  sim_stun_server *stun =
      sim_stun_start(sim_host_new(network, "server", "203.0.113.10/24"), 3478, 3479);
  asker a;
  wg_stun_message message;
  wg_stun_attr other;
  open_asker(&a, sim_host_new(network, "a", "203.0.113.1/24"), 5000);
  assert_true(ask(&a, "203.0.113.10:3478", 0));
  assert_int_equal(wg_stun_decode(a.last, a.last_len, &message), WARP_OK);
  assert_false(wg_stun_find(&message, WG_STUN_OTHER_ADDRESS, &other));
  assert_false(ask(&a, "203.0.113.10:3479", 0));
  assert_true(ask(&a, "203.0.113.10:3478", WG_STUN_CHANGE_PORT));
  assert_int_equal(error_code(&a), 420);
  assert_int_equal(sim_stun_answered(stun), 2);
  a.env->ops->udp_close(a.udp);
  assert_int_equal(sim_world_free(world), 0);
}

static void test_malformed(void **state) {
  (void)state;
  sim_topology net;
  sim_topology_new(&(sim_topology_options){0}, &net);
  asker a;
  uint8_t request[64];
  warp_addr to = address("203.0.113.10:3478");
  size_t len = write_request(request, sizeof request, WG_STUN_CHANGE_PORT);
  open_asker(&a, net.a, 5000);
  for (size_t cut = 0; cut < len; cut++) {
    assert_int_equal(a.env->ops->udp_send(a.udp, &to, request, cut), WARP_OK);
  }
  request[20] = 0x7f; /* an attribute that must be understood and is not */
  assert_int_equal(a.env->ops->udp_send(a.udp, &to, request, len), WARP_OK);
  assert_int_equal(sim_run_for(net.world, SIM_SECOND), WARP_OK);
  assert_int_equal(a.answers, 1);
  assert_int_equal(error_code(&a), 420);
  a.env->ops->udp_close(a.udp);
  assert_int_equal(sim_world_free(net.world), 0);
}

/* ---- over TCP -------------------------------------------------------------------------------- */

typedef struct tcp_asker {
  wg_env *env;
  wg_tcp *tcp;
  size_t len;
  uint8_t bytes[512];
  int end_status;
} tcp_asker;

static void on_open(void *arg, int status) {
  tcp_asker *self = arg;
  uint8_t requests[128];
  size_t len = write_request(requests, sizeof requests, 0);
  memcpy(requests + len, requests, len);
  assert_int_equal(status, WARP_OK);
  /* Two requests in three pieces. */
  assert_int_equal(self->env->ops->tcp_send(self->tcp, requests, 7), WARP_OK);
  assert_int_equal(self->env->ops->tcp_send(self->tcp, requests + 7, len), WARP_OK);
  assert_int_equal(self->env->ops->tcp_send(self->tcp, requests + 7 + len, len - 7), WARP_OK);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  tcp_asker *self = arg;
  assert_true(self->len + len <= sizeof self->bytes);
  memcpy(self->bytes + self->len, data, len);
  self->len += len;
}

static void on_end(void *arg, int status) {
  ((tcp_asker *)arg)->end_status = status;
}

static void test_tcp(void **state) {
  (void)state;
  static const wg_tcp_handlers handlers = {
      .on_open = on_open, .on_data = on_data, .on_end = on_end};
  sim_topology net;
  sim_topology_new(&(sim_topology_options){.profile_a = "port-restricted"}, &net);
  tcp_asker a = {.env = sim_host_env(net.a)};
  warp_addr local = address("0.0.0.0:5000"), to = address("198.51.100.10:3478");
  assert_int_equal(a.env->ops->tcp_connect(a.env, &local, &to, 0, &handlers, &a, &a.tcp), WARP_OK);
  assert_int_equal(sim_run_for(net.world, SIM_SECOND), WARP_OK);
  size_t size = 0;
  assert_int_equal(wg_stun_frame_next(a.bytes, a.len, &size), WARP_OK);
  assert_int_equal(a.len, 2 * size);
  wg_stun_message message;
  warp_addr mapped;
  assert_int_equal(wg_stun_decode(a.bytes + size, size, &message), WARP_OK);
  assert_true(wg_stun_find_addr(&message, WG_STUN_XOR_MAPPED_ADDRESS, &mapped));
  assert_address(&mapped, "192.0.2.2:5000");
  assert_int_equal(a.env->ops->tcp_send(a.tcp, "this is not STUN at all", 23), WARP_OK);
  assert_int_equal(sim_run_for(net.world, SIM_SECOND), WARP_OK);
  assert_int_equal(a.end_status, WARP_RESET);
  a.env->ops->tcp_close(a.tcp);
  assert_int_equal(sim_world_free(net.world), 0);
}

/* ---- axes ------------------------------------------------------------------------------------ */

typedef struct prober prober;
typedef struct prober_socket {
  prober *prober;
  wg_udp *udp;
} prober_socket;
struct prober {
  wg_env *env;
  wg_nat_probe probe;
  prober_socket sockets[WG_PROBE_SOCKETS];
  wg_timer timer;
};

static int draw(void *arg, void *out, size_t len) {
  wg_env *env = arg;
  return env->ops->random(env, out, len);
}

static void drive(void *arg) {
  prober *self = arg;
  wg_probe_packet packet;
  uint64_t now_us = wg_now_us(self->env);
  while (wg_nat_probe_output(&self->probe, now_us, &packet)) {
    assert_int_equal(self->env->ops->udp_send(self->sockets[packet.socket].udp, &packet.to,
                                              packet.bytes, packet.len),
                     WARP_OK);
  }
  uint64_t deadline_us = wg_nat_probe_deadline(&self->probe);
  if (deadline_us != UINT64_MAX) {
    wg_timer_start(self->env, &self->timer, deadline_us - now_us, drive, self);
  } else {
    wg_timer_stop(self->env, &self->timer);
  }
}

static void on_probe(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  prober_socket *socket = arg;
  prober *self = socket->prober;
  wg_nat_probe_input(&self->probe, (wg_probe_socket)(socket - self->sockets), data, len, from,
                     wg_now_us(self->env));
  drive(self);
}

static warp_nat_axes measure(const char *profile) {
  sim_topology net;
  sim_topology_new(&(sim_topology_options){.profile_a = profile, .seed = 5}, &net);
  prober self = {.env = sim_host_env(net.a)};
  const wg_env_ops *ops = self.env->ops;
  wg_interface interfaces[2];
  wg_probe_options options = {.server_count = 1, .random = draw, .random_arg = self.env};
  assert_int_equal(ops->interfaces(self.env, interfaces, 2), 2);
  options.servers[0] = address(net.stun_servers[0]);
  for (size_t i = 0; i < WG_PROBE_SOCKETS; i++) {
    prober_socket *socket = &self.sockets[i];
    socket->prober = &self;
    assert_int_equal(
        ops->udp_open(self.env, &interfaces[1].addr, 0, on_probe, socket, &socket->udp), WARP_OK);
    ops->udp_local(socket->udp, &options.local[i]);
  }
  assert_int_equal(wg_nat_probe_start(&self.probe, &options, wg_now_us(self.env)), WARP_OK);
  drive(&self);
  assert_int_equal(sim_run_until_set(net.world, &self.probe.done, 10 * SIM_SECOND), WARP_OK);
  assert_int_equal(self.probe.result.status, WARP_OK);
  for (size_t i = 0; i < WG_PROBE_SOCKETS; i++) {
    ops->udp_close(self.sockets[i].udp);
  }
  wg_timer_stop(self.env, &self.timer);
  assert_int_equal(sim_world_free(net.world), 0);
  return self.probe.result.axes;
}

static void test_axes(void **state) {
  (void)state;
  static const char *const profiles[] = {
      "full-cone", "restricted", "port-restricted", "symmetric", "ei-ei",  "ei-ad",  "ei-apd",
      "ad-ei",     "ad-ad",      "ad-apd",          "apd-ei",    "apd-ad", "apd-apd"};
  for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
    sim_nat nat;
    assert_int_equal(sim_nat_profile(profiles[i], &nat), WARP_OK);
    warp_nat_axes axes = measure(profiles[i]);
    if (axes.mapping != nat.mapping || axes.filtering != nat.filtering ||
        axes.translation != WARP_TRANSLATION_NAT) {
      fail_msg("%s: mapping %d, filtering %d", profiles[i], axes.mapping, axes.filtering);
    }
    assert_int_equal(axes.allocation, nat.allocation);
  }
  warp_nat_axes open = measure("open");
  assert_int_equal(open.translation, WARP_TRANSLATION_NONE);
  assert_int_equal(open.filtering, WARP_NAT_ENDPOINT_INDEPENDENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_binding),   cmocka_unit_test(test_without_discovery),
      cmocka_unit_test(test_malformed), cmocka_unit_test(test_tcp),
      cmocka_unit_test(test_axes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
