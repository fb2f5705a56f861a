/* The TURN server, driven by our own client machine. */
#include "testing.h"

#include "machine/turn_client.h"

enum { EVENTS = 8 };

typedef struct client {
  wg_env *env;
  wg_udp *udp;
  wg_timer timer;
  wg_turn_client turn;
  wg_turn_event events[EVENTS];
  size_t event_count, received, last_len;
  uint8_t last[WG_UDP_MAX];
  warp_addr last_peer;
} client;

static int draw(void *arg, void *out, size_t len) {
  wg_env *env = arg;
  return env->ops->random(env, out, len);
}

static void drive(void *arg) {
  client *self = arg;
  const uint8_t *bytes;
  size_t len;
  uint64_t now_us = wg_now_us(self->env);
  while (wg_turn_client_output(&self->turn, now_us, &bytes, &len)) {
    assert_int_equal(self->env->ops->udp_send(self->udp, &self->turn.server, bytes, len), WARP_OK);
  }
  while (self->event_count < EVENTS &&
         wg_turn_client_event(&self->turn, &self->events[self->event_count])) {
    self->event_count++;
  }
  uint64_t deadline_us = wg_turn_client_deadline(&self->turn);
  if (deadline_us == UINT64_MAX) {
    wg_timer_stop(self->env, &self->timer);
  } else {
    wg_timer_start(self->env, &self->timer, deadline_us > now_us ? deadline_us - now_us : 0, drive,
                   self);
  }
}

static void on_datagram(void *arg, const uint8_t *bytes, size_t size, const warp_addr *from) {
  client *self = arg;
  const uint8_t *data = NULL;
  size_t len = 0;
  assert_int_equal(wg_turn_client_input(&self->turn, bytes, size, from, wg_now_us(self->env),
                                        &self->last_peer, &data, &len),
                   WARP_OK);
  if (data != NULL) {
    self->received++;
    self->last_len = len;
    memcpy(self->last, data, len);
  }
  drive(self);
}

static void start_client(client *self, sim_host *host, const char *password) {
  warp_addr local = wg_addr_any(WARP_IP4, 5000);
  *self = (client){.env = sim_host_env(host)};
  wg_turn_options options = {.server = address("203.0.113.10:3480"),
                             .user = "user",
                             .password = password,
                             .random = draw,
                             .random_arg = self->env};
  assert_int_equal(self->env->ops->udp_open(self->env, &local, 0, on_datagram, self, &self->udp),
                   WARP_OK);
  assert_int_equal(wg_turn_client_start(&self->turn, &options, wg_now_us(self->env)), WARP_OK);
  drive(self);
}

static void stop_client(client *self) {
  wg_timer_stop(self->env, &self->timer);
  self->env->ops->udp_close(self->udp);
}

static int send_to(client *self, const warp_addr *peer, const char *text) {
  uint8_t out[WG_UDP_MAX];
  int len = wg_turn_client_send(&self->turn, peer, text, strlen(text), out, sizeof out);
  if (len > 0) {
    assert_int_equal(self->env->ops->udp_send(self->udp, &self->turn.server, out, (size_t)len),
                     WARP_OK);
  }
  return len;
}

static void run(const sim_topology *net, uint64_t duration_us) {
  assert_int_equal(sim_run_for(net->world, duration_us), WARP_OK);
}

static void build(sim_topology *net) {
  sim_topology_new(&(sim_topology_options){.profile_a = "symmetric", .profile_b = "symmetric"},
                   net);
}

static void test_relay(void **state) {
  (void)state;
  sim_topology net;
  client a, b;
  build(&net);
  start_client(&a, net.a, "password");
  start_client(&b, net.b, "password");
  run(&net, 100 * SIM_MS); /* the challenge, then the allocation */
  assert_int_equal(a.turn.state, WG_TURN_ALLOCATED);
  assert_int_equal(sim_turn_allocations(net.turn), 2);
  warp_addr outside = address("192.0.2.2");
  assert_true(wg_addr_same_ip(&a.turn.mapped, &outside));
  assert_int_equal(wg_turn_client_permit(&a.turn, &b.turn.relayed, wg_now_us(a.env)), WARP_OK);
  drive(&a);
  run(&net, 100 * SIM_MS);
  assert_true(send_to(&a, &b.turn.relayed, "not permitted there") > 0);
  run(&net, 100 * SIM_MS);
  assert_int_equal(b.received, 0);
  assert_int_equal(wg_turn_client_bind(&b.turn, &a.turn.relayed, wg_now_us(b.env)), WARP_OK);
  drive(&b);
  run(&net, 100 * SIM_MS);
  assert_true(send_to(&a, &b.turn.relayed, "an indication") > 0);
  assert_true(send_to(&b, &a.turn.relayed, "on a channel") > 0);
  run(&net, 100 * SIM_MS);
  assert_int_equal(b.received, 1);
  assert_memory_equal(b.last, "an indication", 13);
  assert_true(wg_addr_equal(&b.last_peer, &a.turn.relayed));
  assert_memory_equal(a.last, "on a channel", 12);
  assert_int_equal(sim_turn_relayed(net.turn), 5); /* the one not permitted was not taken in */
  stop_client(&a);
  stop_client(&b);
  assert_int_equal(sim_world_free(net.world), 0);
}

static void test_wrong_password(void **state) {
  (void)state;
  sim_topology net;
  client a;
  build(&net);
  start_client(&a, net.a, "guess");
  run(&net, SIM_SECOND);
  assert_int_equal(a.event_count, 1);
  assert_int_equal(a.events[0].type, WG_TURN_EVENT_ENDED);
  assert_int_equal(a.events[0].status, WARP_AUTH);
  assert_int_equal(sim_turn_allocations(net.turn), 0);
  stop_client(&a);
  assert_int_equal(sim_world_free(net.world), 0);
}

static void test_quota(void **state) {
  (void)state;
  sim_topology net;
  client a;
  build(&net);
  sim_turn_set_quota(net.turn, 0);
  start_client(&a, net.a, "password");
  run(&net, SIM_SECOND);
  assert_int_equal(a.events[0].status, WARP_QUOTA);
  stop_client(&a);
  assert_int_equal(sim_world_free(net.world), 0);
}

/* Kept for an hour by refreshes, over a changed nonce; ended by the client. Without NATs, whose
 * mappings would not live from one refresh to the next. */
static void test_long_life(void **state) {
  (void)state;
  sim_topology net;
  client a, b;
  sim_topology_new(&(sim_topology_options){0}, &net);
  start_client(&a, net.a, "password");
  start_client(&b, net.b, "password");
  run(&net, SIM_SECOND);
  assert_int_equal(wg_turn_client_permit(&a.turn, &b.turn.relayed, wg_now_us(a.env)), WARP_OK);
  assert_int_equal(wg_turn_client_bind(&b.turn, &a.turn.relayed, wg_now_us(b.env)), WARP_OK);
  drive(&a);
  drive(&b);
  run(&net, 1000 * SIM_SECOND);
  sim_turn_change_nonce(net.turn);
  char nonce[sizeof a.turn.nonce];
  memcpy(nonce, a.turn.nonce, sizeof nonce);
  run(&net, 2600 * SIM_SECOND);
  assert_string_not_equal(a.turn.nonce, nonce); /* it was told that the old one is stale */
  assert_int_equal(a.turn.state, WG_TURN_ALLOCATED);
  assert_true(send_to(&a, &b.turn.relayed, "still here") > 0);
  assert_true(send_to(&b, &a.turn.relayed, "me too") > 0);
  run(&net, SIM_SECOND);
  assert_int_equal(a.received, 1);
  assert_int_equal(b.received, 1);
  wg_turn_client_close(&a.turn, wg_now_us(a.env));
  drive(&a);
  run(&net, SIM_SECOND);
  assert_int_equal(a.turn.state, WG_TURN_ENDED);
  assert_int_equal(sim_turn_allocations(net.turn), 1);
  stop_client(&a);
  stop_client(&b);
  assert_int_equal(sim_world_free(net.world), 0);
}

/* Nobody refreshes: the allocation ends by itself. */
static void test_expiry(void **state) {
  (void)state;
  sim_topology net;
  client a;
  build(&net);
  start_client(&a, net.a, "password");
  run(&net, SIM_SECOND);
  stop_client(&a);
  run(&net, 598 * SIM_SECOND);
  assert_int_equal(sim_turn_allocations(net.turn), 1);
  run(&net, 2 * SIM_SECOND);
  assert_int_equal(sim_turn_allocations(net.turn), 0);
  assert_int_equal(sim_world_free(net.world), 0);
}

static void test_outage(void **state) {
  (void)state;
  sim_topology net;
  client a;
  build(&net);
  start_client(&a, net.a, "password");
  run(&net, SIM_SECOND);
  sim_turn_set_up(net.turn, false);
  assert_int_equal(sim_turn_allocations(net.turn), 0);
  run(&net, 700 * SIM_SECOND);
  assert_int_equal(a.turn.state, WG_TURN_ENDED);
  assert_int_equal(a.events[a.event_count - 1].status, WARP_TIMEOUT);
  stop_client(&a);
  sim_turn_set_up(net.turn, true);
  start_client(&a, net.a, "password");
  run(&net, SIM_SECOND);
  assert_int_equal(a.turn.state, WG_TURN_ALLOCATED);
  stop_client(&a);
  assert_int_equal(sim_world_free(net.world), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_relay),  cmocka_unit_test(test_wrong_password),
      cmocka_unit_test(test_quota),  cmocka_unit_test(test_long_life),
      cmocka_unit_test(test_expiry), cmocka_unit_test(test_outage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
