/* The same seed gives the same run, to the last byte; another seed another one. And the topology
 * is what it says. */
#include "testing.h"

#include <stdio.h>

typedef struct chatter {
  wg_env *env;
  wg_udp *udp;
  wg_timer timer;
  warp_addr to;
  unsigned sent;
  wg_broker *broker;
  wg_tcp *tcp;
} chatter;

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  chatter *self = arg;
  if (data[0] & 1) {
    self->env->ops->udp_send(self->udp, from, data, len / 2 + 1);
  }
}

static void chat(void *arg) {
  chatter *self = arg;
  uint8_t bytes[64];
  self->env->ops->random(self->env, bytes, sizeof bytes);
  self->env->ops->udp_send(self->udp, &self->to, bytes, 1 + bytes[0] % sizeof bytes);
  self->env->ops->broker_publish(self->broker, "t", bytes, bytes[1] % sizeof bytes);
  self->env->ops->tcp_send(self->tcp, bytes, sizeof bytes);
  if (++self->sent < 200) {
    wg_timer_start(self->env, &self->timer, 1000 + bytes[2] * 100U, chat, self);
  }
}

static void on_message(void *arg, const uint8_t *data, size_t len) {
  (void)arg;
  (void)data;
  (void)len;
}

static void on_state(void *arg, int status) {
  (void)arg;
  (void)status;
}

static void open_chatter(chatter *self, sim_host *host, const char *to) {
  static const wg_broker_handlers broker_handlers = {on_state, on_message};
  static const wg_tcp_handlers none = {0};
  const wg_broker_options options = {.server = "203.0.113.10:1883", .client_id = "", .topic = "t"};
  warp_addr local = address("0.0.0.0:5000"), server = address("203.0.113.10:3478");
  *self = (chatter){.env = sim_host_env(host), .to = address(to)};
  const wg_env_ops *ops = self->env->ops;
  assert_int_equal(ops->udp_open(self->env, &local, 0, on_datagram, self, &self->udp), WARP_OK);
  assert_int_equal(ops->broker_open(self->env, &options, &broker_handlers, self, &self->broker),
                   WARP_OK);
  assert_int_equal(ops->tcp_connect(self->env, NULL, &server, 0, &none, NULL, &self->tcp), WARP_OK);
  chat(self);
}

static void close_chatter(chatter *self) {
  wg_timer_stop(self->env, &self->timer);
  self->env->ops->udp_close(self->udp);
  self->env->ops->broker_close(self->broker);
  self->env->ops->tcp_reset(self->tcp);
}

static sim_trace run_once(uint64_t seed) {
  sim_topology_options options = {.profile_a = "full-cone",
                                  .profile_b = "full-cone",
                                  .seed = seed,
                                  .jitter_ms = 5,
                                  .loss = 0.03};
  sim_topology net;
  chatter a, b;
  sim_topology_new(&options, &net);
  open_chatter(&a, net.a, "192.0.2.130:5000");
  open_chatter(&b, net.b, "192.0.2.2:5000");
  assert_int_equal(sim_run_for(net.world, 20 * SIM_SECOND), WARP_OK);
  sim_trace trace = sim_world_trace(net.world);
  close_chatter(&a);
  close_chatter(&b);
  assert_int_equal(sim_world_free(net.world), 0);
  return trace;
}

static void test_repeatable(void **state) {
  (void)state;
  sim_trace first = run_once(1), again = run_once(1), other = run_once(2);
  assert_true(first.packets > 1000);
  assert_true(first.lost > 0);
  assert_memory_equal(&first, &again, sizeof first);
  assert_true(first.flow != other.flow);
  assert_true(first.content != other.content);
}

static void test_trace_lines(void **state) {
  (void)state;
  sim_topology net;
  char line[256] = "";
  FILE *stream = tmpfile();
  assert_non_null(stream);
  sim_topology_new(&(sim_topology_options){.profile_a = "symmetric"}, &net);
  sim_set_trace(net.world, stream);
  wg_env *env = sim_host_env(net.a);
  warp_addr local = address("0.0.0.0:5000"), to = address("192.0.2.130:6000");
  wg_udp *udp = NULL;
  assert_int_equal(env->ops->udp_open(env, &local, 0, NULL, NULL, &udp), WARP_OK);
  assert_int_equal(sim_run_for(net.world, 1500), WARP_OK);
  wg_logf(&env->log, WARP_LOG_INFO, "sending %d byte", 1);
  assert_int_equal(env->ops->udp_send(udp, &to, "x", 1), WARP_OK);
  env->ops->udp_close(udp);
  assert_int_equal(sim_run_until_idle(net.world, SIM_SECOND), WARP_OK);
  assert_int_equal(sim_world_free(net.world), 0);
  rewind(stream);
  assert_non_null(fgets(line, sizeof line, stream));
  assert_non_null(strstr(line, "1.500  a: info: sending 1 byte"));
  assert_non_null(fgets(line, sizeof line, stream));
  assert_non_null(strstr(line, "1.500  udp 192.0.2.2:"));
  assert_non_null(strstr(line, "-> 192.0.2.130:6000, 1 bytes: sent"));
  assert_non_null(fgets(line, sizeof line, stream));
  assert_non_null(strstr(line, "21.500  udp 192.0.2.2:"));
  assert_non_null(strstr(line, ": b"));
  assert_null(fgets(line, sizeof line, stream));
  fclose(stream);
}

/* ---- the topology ---------------------------------------------------------------------------- */

typedef struct echo {
  wg_env *env;
  wg_udp *udp;
  sim_world *world;
  uint64_t at_us;
  size_t count;
} echo;

static void on_echo(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  echo *self = arg;
  self->count++;
  self->at_us = sim_now_us(self->world);
  if (data[0] == '?') {
    self->env->ops->udp_send(self->udp, from, "!", len);
  }
}

static void open_echo(echo *self, sim_host *host) {
  warp_addr local = address("0.0.0.0:7000");
  *self = (echo){.env = sim_host_env(host), .world = sim_host_world(host)};
  assert_int_equal(self->env->ops->udp_open(self->env, &local, 0, on_echo, self, &self->udp),
                   WARP_OK);
}

static uint64_t round_trip_us(echo *from, const char *to) {
  warp_addr addr = address(to);
  uint64_t begun_us = sim_now_us(from->world);
  size_t before = from->count;
  assert_int_equal(from->env->ops->udp_send(from->udp, &addr, "?", 1), WARP_OK);
  assert_int_equal(sim_run_for(from->world, SIM_SECOND), WARP_OK);
  assert_int_equal(from->count, before + 1);
  return from->at_us - begun_us;
}

static void test_topology(void **state) {
  (void)state;
  for (uint32_t rtt_ms = 0; rtt_ms <= 100; rtt_ms += 100) {
    uint64_t expected_us = rtt_ms == 0 ? 40 * SIM_MS : rtt_ms * SIM_MS;
    sim_topology net;
    echo a, b, server;
    sim_topology_new(
        &(sim_topology_options){.profile_a = "open", .profile_b = "full-cone", .rtt_ms = rtt_ms},
        &net);
    open_echo(&a, net.a);
    open_echo(&b, net.b);
    open_echo(&server, net.server);
    assert_int_equal(round_trip_us(&a, "198.51.100.10:7000"), expected_us);
    assert_int_equal(round_trip_us(&b, "203.0.113.10:7000"), expected_us);
    assert_int_equal(round_trip_us(&b, "192.0.2.2:7000"), expected_us);
    assert_int_equal(round_trip_us(&a, "192.0.2.130:7000"), expected_us);
    echo *all[] = {&a, &b, &server};
    for (size_t i = 0; i < 3; i++) {
      all[i]->env->ops->udp_close(all[i]->udp);
    }
    assert_int_equal(sim_world_free(net.world), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_repeatable),
      cmocka_unit_test(test_trace_lines),
      cmocka_unit_test(test_topology),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
