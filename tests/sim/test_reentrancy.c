/* Programs that close a node or a pipe inside whatever callback they are in: the rest of what runs
 * on the stack must not miss it, and the closing callback comes last, once. */
#include "peers.h"

#include "node/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

typedef enum moment {
  ON_START_EVENT,
  ON_START,
  ON_POLICY,
  ON_PIPE,
  ON_MISS,
  ON_CONNECT,
  ON_DATA,
  ON_END,
  MOMENTS
} moment;
typedef enum action { CLOSE_NODE, CLOSE_PIPE } action;

/* A side that acts at one moment, and counts what it is told. */
typedef struct actor {
  sim_host *host;
  warp_conf conf;
  warp_node *node; /* NULL once closed or not started */
  warp_pipe *pipe; /* NULL once closed */
  bool armed, acted, closed;
  moment when;
  action what;
  unsigned at_phase; /* for ON_START_EVENT */
  unsigned calls[MOMENTS];
  int start_status, connect_status, end_status;
} actor;

static void on_closed(void *arg) {
  actor *self = arg;
  assert_false(self->closed);
  self->closed = true;
}

static void close_pipe(actor *self) {
  warp_pipe *pipe = self->pipe;
  self->pipe = NULL;
  warp_pipe_close(pipe);
}

static void close_node(actor *self) {
  warp_node *node = self->node;
  self->node = NULL;
  warp_node_close(node, on_closed, self);
}

static void at(actor *self, moment when) {
  assert_false(self->closed);
  self->calls[when]++;
  if (!self->armed || self->acted || self->when != when)
    return;
  self->acted = true;
  if (self->what == CLOSE_NODE)
    close_node(self);
  else if (self->pipe != NULL)
    close_pipe(self);
}

static void on_event(void *arg, const warp_start_event *event) {
  actor *self = arg;
  if (self->at_phase == (unsigned)event->phase)
    at(self, ON_START_EVENT);
}

static void on_start(void *arg, warp_node *node, int status) {
  (void)node;
  actor *self = arg;
  self->start_status = status;
  if (status != WARP_OK && status != WARP_CANCELED)
    self->node = NULL;
  at(self, ON_START);
}

static warp_contact on_policy(void *arg, const warp_key *key) {
  (void)key;
  at(arg, ON_POLICY);
  return WARP_CONTACT_ACCEPT;
}

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  actor *self = arg;
  assert_ptr_equal(pipe, self->pipe);
  bool echo = self->calls[ON_CONNECT] == 0;
  if (echo)
    (void)warp_pipe_send(pipe, data, len);
  at(self, ON_DATA);
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  actor *self = arg;
  assert_ptr_equal(pipe, self->pipe);
  self->end_status = status;
  at(self, ON_END);
  if (self->pipe != NULL)
    close_pipe(self);
}

static void take(actor *self, warp_pipe *pipe) {
  warp_pipe_handlers handlers = {.on_data = on_data, .on_end = on_end, .arg = self};
  assert_int_equal(warp_pipe_set_handlers(pipe, &handlers), WARP_OK);
  self->pipe = pipe;
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  actor *self = arg;
  assert_true(report->count > 0);
  take(self, pipe);
  at(self, ON_PIPE);
  assert_true(report->count > 0 && report->rows[0].plugin != NULL); /* lives until we return */
}

static void on_miss(void *arg, warp_node *node, const warp_key *key, int status,
                    const warp_report *report) {
  (void)node;
  (void)key;
  (void)report;
  assert_int_not_equal(status, WARP_OK);
  at(arg, ON_MISS);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  actor *self = arg;
  self->connect_status = status;
  if (pipe != NULL) {
    take(self, pipe);
    (void)warp_pipe_send(pipe, "hello", 5);
  }
  at(self, ON_CONNECT);
  assert_true(report->count == 0 || report->rows[0].plugin != NULL);
}

/* ---- both sides ------------------------------------------------------------------------------ */

typedef struct stage {
  sim_topology net;
  actor a, b;
} stage;

static void set_up(actor *self, sim_host *host, const sim_topology *net) {
  self->host = host;
  self->conf = warp_conf_default();
  self->conf.seed = 3;
  self->conf.brokers = net->brokers;
  self->conf.stun_servers = net->stun_servers;
  self->conf.turn_servers = net->turn_servers;
  self->conf.contact_policy = on_policy;
  self->conf.contact_arg = self;
  self->conf.on_start_event = on_event;
  self->conf.start_arg = self;
}

static void build(stage *on, const char *profile) {
  memset(on, 0, sizeof *on);
  sim_topology_options options = {.profile_a = profile, .profile_b = profile, .seed = 11};
  sim_topology_new(&options, &on->net);
  set_up(&on->a, on->net.a, &on->net);
  set_up(&on->b, on->net.b, &on->net);
}

static void run(stage *on, uint64_t us) {
  assert_int_equal(sim_run_for(on->net.world, us), WARP_OK);
}

static void start(stage *on, actor *self) {
  assert_int_equal(
      wg_node_start(sim_host_env(self->host), &self->conf, on_start, self, &self->node), WARP_OK);
  assert_int_equal(self->calls[ON_START], 0);
  run(on, 5 * second);
  assert_int_equal(self->calls[ON_START], 1);
}

static void finish(stage *on) {
  actor *side[2] = {&on->a, &on->b};
  for (size_t i = 0; i < 2; i++) {
    if (side[i]->pipe != NULL)
      close_pipe(side[i]);
    if (side[i]->node != NULL)
      close_node(side[i]);
  }
  assert_int_equal(sim_run_until_idle(on->net.world, 900 * second), WARP_OK);
  assert_int_equal(sim_world_free(on->net.world), 0);
}

/* ---- while it starts ------------------------------------------------------------------------- */

static void test_closed_by_a_start_event(void **state) {
  (void)state;
  for (unsigned phase = WARP_START_LOAD_NETWORK_INTERFACES;
       phase <= WARP_START_FINALIZE_PORT_FORWARDING; phase++) {
    stage on;
    build(&on, "restricted");
    on.a.armed = true;
    on.a.when = ON_START_EVENT;
    on.a.at_phase = phase;
    start(&on, &on.a);
    assert_true(on.a.acted);
    assert_int_equal(on.a.start_status, WARP_CANCELED);
    assert_true(on.a.closed);
    finish(&on);
  }
}

static void test_closed_when_started(void **state) {
  (void)state;
  stage on;
  build(&on, "restricted");
  on.a.armed = true;
  on.a.when = ON_START;
  start(&on, &on.a);
  assert_int_equal(on.a.start_status, WARP_OK);
  assert_true(on.a.closed);
  finish(&on);
}

/* ---- while it connects ----------------------------------------------------------------------- */

static void connect(stage *on, const warp_connect_options *options) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(on->b.node, record, &len), WARP_OK);
  assert_int_equal(warp_auto_connect(on->a.node, record, len, options, on_connect, &on->a),
                   WARP_OK);
  assert_int_equal(on->a.calls[ON_CONNECT], 0);
}

/* One connect with an echo, in which `who` acts at a moment; then the other side ends the pipe. */
static void act(const char *profile, bool initiator, moment when, action what,
                const char *plugins) {
  stage on;
  build(&on, profile);
  start(&on, &on.a);
  start(&on, &on.b);
  assert_int_equal(warp_node_listen(on.b.node, on_pipe, on_miss, &on.b), WARP_OK);
  actor *who = initiator ? &on.a : &on.b, *other = initiator ? &on.b : &on.a;
  who->armed = true;
  who->when = when;
  who->what = what;
  connect(&on, &(warp_connect_options){.plugins = plugins, .timeout_ms = 20000});
  run(&on, 5 * second);
  if (when == ON_END && other->pipe != NULL)
    close_pipe(other);
  run(&on, 90 * second);
  assert_int_equal(on.a.calls[ON_CONNECT], 1);
  assert_true(on.b.calls[ON_PIPE] + on.b.calls[ON_MISS] <= 1);
  assert_true(on.a.calls[ON_END] <= 1 && on.b.calls[ON_END] <= 1);
  assert_true(who->acted);
  assert_true(what != CLOSE_NODE || who->closed);
  assert_null(on.a.pipe); /* whoever ended it, both heard of it */
  assert_null(on.b.pipe);
  finish(&on);
}

static const char *const profiles[] = {"open", "port-restricted", "symmetric"};
enum { PROFILES = 3 };

static void test_initiator_closes(void **state) {
  (void)state;
  static const moment moments[] = {ON_CONNECT, ON_DATA, ON_END};
  for (size_t p = 0; p < PROFILES; p++) {
    for (size_t m = 0; m < 3; m++) {
      act(profiles[p], true, moments[m], CLOSE_NODE, NULL);
      act(profiles[p], true, moments[m], CLOSE_PIPE, NULL);
    }
  }
}

static void test_responder_closes(void **state) {
  (void)state;
  static const moment moments[] = {ON_PIPE, ON_DATA, ON_END};
  for (size_t p = 0; p < PROFILES; p++) {
    for (size_t m = 0; m < 3; m++) {
      act(profiles[p], false, moments[m], CLOSE_NODE, NULL);
      act(profiles[p], false, moments[m], CLOSE_PIPE, NULL);
    }
  }
}

/* The policy is asked inside a signal, or inside a TLS handshake. */
static void test_closed_by_the_policy(void **state) {
  (void)state;
  act("port-restricted", false, ON_POLICY, CLOSE_NODE, "udp_punch");
  act("open", false, ON_POLICY, CLOSE_NODE, "direct_connect");
  act("open", false, ON_POLICY, CLOSE_NODE, "reverse_connect");
}

static void test_closed_by_a_failure(void **state) {
  (void)state;
  for (size_t side = 0; side < 2; side++) {
    stage on;
    build(&on, "port-restricted");
    start(&on, &on.a);
    start(&on, &on.b);
    assert_int_equal(warp_node_listen(on.b.node, on_pipe, on_miss, &on.b), WARP_OK);
    actor *who = side == 0 ? &on.a : &on.b;
    who->armed = true;
    who->when = side == 0 ? ON_CONNECT : ON_MISS;
    sim_network_set_nat(on.net.site_b, "192.0.2.131",
                        &(sim_nat){.mapping = WARP_NAT_ENDPOINT_INDEPENDENT,
                                   .filtering = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT,
                                   .udp_timeout_ms = 30000,
                                   .tcp_timeout_ms = 30000});
    sim_turn_set_up(on.net.turn, false);
    sim_stun_set_up(on.net.stun, false);
    run(&on, 60 * second); /* the brokers' connections come back; the record stays wrong */
    connect(&on, &(warp_connect_options){.plugins = "udp_punch", .timeout_ms = 3000});
    run(&on, 20 * second);
    assert_int_equal(on.a.calls[ON_CONNECT], 1);
    assert_true(who->acted);
    assert_true(who->closed);
    finish(&on);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_closed_by_a_start_event), cmocka_unit_test(test_closed_when_started),
      cmocka_unit_test(test_initiator_closes),        cmocka_unit_test(test_responder_closes),
      cmocka_unit_test(test_closed_by_the_policy),    cmocka_unit_test(test_closed_by_a_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
