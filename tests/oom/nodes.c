#include "nodes.h"

#include "node/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Virtual. */
enum { LIMIT_US = 900000000, ECHO_US = 60000000 };

/* ---- callbacks ------------------------------------------------------------------------------- */

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  oom_node *self = arg;
  assert_ptr_equal(pipe, self->pipe);
  assert_false(self->ended);
  self->heard += len;
  if (self->echoes)
    oom_ok(warp_pipe_send(pipe, data, len));
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  oom_node *self = arg;
  assert_ptr_equal(pipe, self->pipe);
  assert_false(self->ended);
  assert_int_not_equal(status, WARP_OK);
  self->ended = true;
  warp_pipe_close(pipe);
  self->pipe = NULL;
}

static void take(oom_node *self, warp_pipe *pipe) {
  if (self->pipe != NULL) { /* the peer has lost the one before */
    assert_true(oom_hit());
    warp_pipe_close(self->pipe);
  }
  self->pipe = pipe;
  self->ended = false;
  self->heard = 0;
  assert_int_equal(
      warp_pipe_set_handlers(
          pipe, &(warp_pipe_handlers){.on_data = on_data, .on_end = on_end, .arg = self}),
      WARP_OK);
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  oom_node *self = arg;
  assert_ptr_equal(node, self->node);
  assert_non_null(report);
  self->pipes++;
  take(self, pipe);
}

static void on_miss(void *arg, warp_node *node, const warp_key *peer, int status,
                    const warp_report *report) {
  oom_node *self = arg;
  assert_ptr_equal(node, self->node);
  assert_non_null(peer);
  assert_non_null(report);
  assert_int_not_equal(status, WARP_OK);
  self->misses++;
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  oom_node *self = arg;
  assert_true(self->connecting);
  assert_non_null(report);
  self->connecting = false;
  self->status = status;
  if (status != WARP_OK && report->count > 0)
    self->row = report->rows[report->count - 1];
  assert_int_equal(pipe != NULL, status == WARP_OK);
  if (pipe != NULL)
    take(self, pipe);
}

static void on_future(void *arg, warp_node *node, warp_pipe *pipe, int status) {
  oom_node *self = arg;
  assert_ptr_equal(node, self->node);
  assert_true(self->awaiting);
  assert_int_equal(pipe != NULL, status == WARP_OK);
  self->awaiting = false;
  if (pipe != NULL)
    take(self, pipe);
}

static void on_start(void *arg, warp_node *node, int status) {
  oom_node *self = arg;
  assert_true(self->starting);
  self->starting = false;
  self->status = status;
  if (status == WARP_OK)
    assert_ptr_equal(node, self->node);
  else
    self->node = NULL;
}

static void on_closed(void *arg) {
  oom_node *self = arg;
  assert_false(self->closed);
  assert_false(self->starting || self->connecting || self->awaiting);
  self->closed = true;
}

/* ---- what scenarios call --------------------------------------------------------------------- */

static void set_up(oom_node *self, sim_host *host, const sim_topology *net, uint64_t seed) {
  *self = (oom_node){.world = net->world, .env = oom_env(sim_host_env(host))};
  self->conf = warp_conf_default();
  self->conf.seed = seed;
  self->conf.brokers = net->brokers;
  self->conf.stun_servers = net->stun_servers;
  self->conf.turn_servers = net->turn_servers;
  self->conf.ntp_servers = net->ntp_servers;
}

void oom_nodes_build(oom_nodes *both, const char *profile_a, const char *profile_b) {
  *both = (oom_nodes){.a = {0}};
  oom_hold(true); /* its servers use the library, and OpenSSL through it */
  sim_topology_new(
      &(sim_topology_options){.profile_a = profile_a, .profile_b = profile_b, .seed = 5},
      &both->net);
  set_up(&both->a, both->net.a, &both->net, 5);
  set_up(&both->b, both->net.b, &both->net, 6);
  both->b.echoes = true;
  oom_hold(false);
}

static bool start_over(void *arg) {
  const oom_node *self = arg;
  return !self->starting;
}

bool oom_node_start(oom_node *self) {
  self->starting = true;
  if (!oom_ok(wg_node_start(self->env, &self->conf, on_start, self, &self->node))) {
    self->starting = false;
    self->node = NULL;
    return false;
  }
  assert_true(self->starting); /* never from inside */
  assert_int_equal(sim_run_until(self->world, start_over, self, LIMIT_US), WARP_OK);
  return oom_ok(self->status);
}

bool oom_nodes_start(oom_nodes *both) {
  if (!oom_node_start(&both->a) || !oom_node_start(&both->b))
    return false;
  assert_int_equal(warp_node_listen(both->b.node, on_pipe, on_miss, &both->b), WARP_OK);
  return true;
}

static bool connect_over(void *arg) {
  const oom_nodes *both = arg;
  return !both->a.connecting;
}

static bool both_over(void *arg) {
  const oom_nodes *both = arg;
  return !both->a.connecting && !both->b.connecting;
}

static bool both_have_pipes(void *arg) {
  const oom_nodes *both = arg;
  return both->b.pipe != NULL || both->a.pipe == NULL;
}

/* True when a callback is to come. */
static bool begin(oom_node *from, const oom_node *to, const warp_connect_options *options) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(to->node, record, &len), WARP_OK);
  from->connecting = true;
  if (!oom_ok(warp_auto_connect(from->node, record, len, options, on_connect, from)))
    from->connecting = false;
  else
    assert_true(from->connecting); /* never from inside */
  from->connects += from->connecting;
  return from->connecting;
}

bool oom_nodes_try(oom_nodes *both, const warp_connect_options *options) {
  if (!begin(&both->a, &both->b, options))
    return false;
  assert_int_equal(sim_run_until(both->net.world, connect_over, both, LIMIT_US), WARP_OK);
  if (both->a.status != WARP_OK)
    return false;
  assert_int_equal(sim_run_until(both->net.world, both_have_pipes, both, LIMIT_US), WARP_OK);
  return both->a.pipe != NULL;
}

static bool echo_over(void *arg) {
  const oom_nodes *both = arg;
  return both->a.heard >= 5 || both->a.pipe == NULL;
}

/* A stream arrives whole, or its end says that it did not. */
static bool echo(oom_nodes *both) {
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(both->a.pipe, &info), WARP_OK);
  if (!oom_ok(warp_pipe_send(both->a.pipe, "hello", 5)))
    return false;
  sim_run_until(both->net.world, echo_over, both, ECHO_US);
  if (info.kind == WARP_STREAM)
    assert_true(echo_over(both));
  return both->a.heard == 5;
}

static void drop(oom_node *self) {
  if (self->pipe != NULL)
    warp_pipe_close(self->pipe);
  self->pipe = NULL;
}

/* Nothing lasting came of what failed. */
static void again(oom_nodes *both, const warp_connect_options *options) {
  oom_hold(true);
  drop(&both->a);
  assert_int_equal(sim_run_for(both->net.world, LIMIT_US), WARP_OK);
  drop(&both->b);
  bool connected = oom_nodes_try(both, options);
  if (!connected)
    print_error("%s, the last attempt with %s: %s\n", warp_err_name(both->a.status),
                warp_err_name(both->a.row.status), both->a.row.detail);
  assert_true(connected && echo(both));
  oom_hold(false);
}

void oom_nodes_connect(oom_nodes *both, const warp_connect_options *options) {
  bool before = oom_hit(); /* what the start lacked may still be lacking */
  if (oom_nodes_try(both, options) && echo(both))
    return;
  assert_true(oom_hit());
  if (!before)
    again(both, options);
}

void oom_nodes_rendezvous(oom_nodes *both) {
  static const warp_pipe_id id = {{1, 2, 3}};
  static const warp_connect_options named = {.plugins = "direct_connect", .id = &id};
  warp_key peer;
  assert_int_equal(warp_node_key(both->a.node, &peer), WARP_OK);
  both->b.awaiting =
      oom_ok(warp_node_pipe_future(both->b.node, &id, &peer, 0, on_future, &both->b));
  bool connected = oom_nodes_try(both, &named) && echo(both);
  oom_unless_hit(connected && !both->b.awaiting);
  assert_int_equal(sim_run_for(both->net.world, ECHO_US + SIM_SECOND), WARP_OK);
  assert_false(both->b.awaiting);
}

void oom_nodes_cross(oom_nodes *both, const warp_connect_options *options) {
  assert_int_equal(warp_node_listen(both->a.node, on_pipe, on_miss, &both->a), WARP_OK);
  begin(&both->a, &both->b, options);
  begin(&both->b, &both->a, options);
  assert_int_equal(sim_run_until(both->net.world, both_over, both, LIMIT_US), WARP_OK);
  if (!oom_hit()) {
    assert_int_equal(both->a.status, WARP_OK);
    assert_int_equal(both->b.status, WARP_OK);
    assert_int_equal(both->a.pipes + both->b.pipes, 0);
  }
  if (both->a.pipe == NULL || !echo(both)) {
    assert_true(oom_hit());
    again(both, options);
  }
}

void oom_node_close(oom_node *self) {
  drop(self);
  if (self->node == NULL)
    return;
  warp_node_close(self->node, on_closed, self);
  self->node = NULL;
  assert_int_equal(sim_run_until_set(self->world, &self->closed, LIMIT_US), WARP_OK);
}

void oom_nodes_free(oom_nodes *both) {
  oom_node_close(&both->a);
  oom_node_close(&both->b);
  assert_int_equal(sim_run_until_idle(both->net.world, LIMIT_US), WARP_OK);
  assert_int_equal(sim_world_free(both->net.world), 0);
}
