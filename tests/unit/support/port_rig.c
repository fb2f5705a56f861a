#include "port_rig.h"

#include "base/addr.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { LIMIT_US = 30000000, TIMEOUT_MS = 60000 };

/* The rig of an attempt: each test has one. */
static port_rig *current;

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)attempt;
  (void)type;
  (void)message;
  (void)len;
  return WARP_OK;
}

static const warp_setting plugin_settings[] = {
    {"rate", 100, 1, 1000, "probes a second"}, {"sockets", 8, 1, 64, "sockets"}, {0}};

static const warp_plugin plugin = {.interface_version = WARP_PLUGIN_VERSION,
                                   .name = "rig",
                                   .phase = WARP_PHASE_PUNCH,
                                   .transports = WARP_TCP | WARP_UDP,
                                   .route_types = WARP_EXT_BIND,
                                   .timeout_ms = TIMEOUT_MS,
                                   .settings = plugin_settings,
                                   .run = run};

static port_side *side_of(const warp_attempt *attempt) {
  return attempt == current->a.attempt ? &current->a : &current->b;
}

void port_rig_dialled(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to, int status) {
  assert_non_null(port);
  assert_true(to->port != 0);
  port_side *side = side_of(attempt);
  side->dialled++;
  side->dial_status = status;
}

void port_rig_measured(warp_attempt *attempt, warp_tcp_port *port, int status,
                       const warp_addr *external) {
  assert_non_null(port);
  port_side *side = side_of(attempt);
  side->measured++;
  side->measure_status = status;
  if (external != NULL)
    side->external = *external;
}

warp_addr port_side_addr(const port_side *side, uint16_t port) {
  return wg_addr_with_port(&side->record.endpoints[0].nic, port);
}

warp_addr port_side_outside(const port_side *side, uint16_t port) {
  return wg_addr_with_port(&side->record.endpoints[0].external_udp, port);
}

/* ---- what the switchboard tells -------------------------------------------------------------- */

static void over(port_side *side, warp_pipe *pipe, int status) {
  side->over = true;
  side->status = status;
  side->pipe = pipe;
  if (pipe != NULL)
    assert_int_equal(warp_pipe_get_info(pipe, &side->info), WARP_OK);
  side->session = NULL;
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)report;
  over(arg, pipe, status);
}

static void on_pipe(void *arg, warp_pipe *pipe, const warp_report *report) {
  (void)report;
  over(arg, pipe, WARP_OK);
}

static void on_miss(void *arg, const warp_key *peer, int status, const warp_report *report) {
  (void)peer;
  (void)report;
  over(arg, NULL, status);
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  port_side *side = arg;
  wg_connect_on_stream(side->connect, tcp, from);
}

/* ---- building -------------------------------------------------------------------------------- */

static void open_side(port_side *side, wg_env *env, const char *outside,
                      const char *const *settings) {
  static const warp_plugin *const plugins[] = {&plugin, NULL};
  side->env = env;
  assert_int_equal(wg_identity_generate(&side->identity), WARP_OK);
  wg_interface found[8];
  int count = env->ops->interfaces(env, found, 8);
  warp_addr local = {0};
  for (int i = 0; i < count; i++) {
    if (!found[i].loopback)
      local = wg_addr_with_port(&found[i].addr, PORT_RIG_LISTEN);
  }
  side->record = (wg_record){.key = *wg_identity_key(side->identity),
                             .expires_ms = INT64_MAX,
                             .endpoint_count = 1,
                             .endpoints = {{.family = WARP_IP4, .prefix_bits = 25, .nic = local}}};
  warp_addr *external = &side->record.endpoints[0].external_udp;
  assert_int_equal(warp_addr_parse(outside, external), WARP_OK);
  external->port = PORT_RIG_LISTEN;
  assert_int_equal(wg_mux_open(&side->mux, env, &local, WG_SOCK_REUSE), WARP_OK);
  wg_connect_config config = {
      .env = env, .identity = side->identity, .muxes = {&side->mux}, .plugins = plugins};
  char why[160];
  assert_int_equal(wg_settings_read(&config.settings, settings, plugins, why, sizeof why), WARP_OK);
  assert_int_equal(wg_connect_new(&config, &side->connect), WARP_OK);
  wg_connect_set_record(side->connect, &side->record, (const uint8_t *)"record", 6);
  wg_connect_listen(side->connect, NULL, on_pipe, on_miss, side);
  assert_int_equal(
      env->ops->tcp_listen(env, &local, WG_SOCK_REUSE, on_accept, side, &side->listener), WARP_OK);
}

static void open_attempt(port_side *side, const port_side *peer, warp_role role) {
  wg_session_id id = {.bytes = "one session"};
  side->session = wg_session_new(side->connect, &id, role, &peer->record);
  assert_non_null(side->session);
  side->session->cb = on_connect;
  side->session->cb_arg = side;
  warp_combo combo = {.family = WARP_IP4,
                      .route_type = WARP_EXT_BIND,
                      .transport = WARP_TCP,
                      .self = &side->record.endpoints[0],
                      .peer = &peer->record.endpoints[0]};
  side->attempt = wg_attempt_add(side->session, &plugin, 7, &combo);
  assert_non_null(side->attempt);
  wg_attempt_run(side->attempt, NULL);
}

void port_rig_open_pair(port_rig *rig, const char *profile_a, const char *profile_b,
                        const char *const *settings) {
  *rig = (port_rig){0};
  current = rig;
  sim_topology_options options = {.profile_a = profile_a, .profile_b = profile_b, .seed = 3};
  sim_topology_new(&options, &rig->net);
  open_side(&rig->a, sim_host_env(rig->net.a), "192.0.2.2", settings);
  open_side(&rig->b, sim_host_env(rig->net.b), "192.0.2.130", settings);
  open_attempt(&rig->a, &rig->b, WARP_INITIATOR);
  open_attempt(&rig->b, &rig->a, WARP_RESPONDER);
}

void port_rig_open(port_rig *rig, const char *profile) {
  port_rig_open_pair(rig, profile, profile, NULL);
}

static void closed(void *arg) {
  *(bool *)arg = true;
}

static void close_side(port_rig *rig, port_side *side) {
  bool done = false;
  if (side->pipe != NULL)
    warp_pipe_close(side->pipe);
  assert_int_equal(sim_run_for(rig->net.world, 3 * SIM_SECOND), WARP_OK);
  wg_connect_close(side->connect, closed, &done);
  side->env->ops->tcp_listener_close(side->listener);
  assert_int_equal(sim_run_until_set(rig->net.world, &done, SIM_SECOND), WARP_OK);
  wg_mux_close(&side->mux);
  wg_identity_free(side->identity);
}

void port_rig_close(port_rig *rig) {
  close_side(rig, &rig->a);
  close_side(rig, &rig->b);
  assert_int_equal(sim_world_free(rig->net.world), 0);
}

static bool both_over(void *arg) {
  const port_rig *rig = arg;
  return rig->a.over && rig->b.over;
}

void port_rig_connected(port_rig *rig) {
  assert_int_equal(sim_run_until(rig->net.world, both_over, rig, LIMIT_US), WARP_OK);
  assert_int_equal(rig->a.status, WARP_OK);
  assert_int_equal(rig->b.status, WARP_OK);
  assert_non_null(rig->a.pipe);
  assert_non_null(rig->b.pipe);
  assert_memory_equal(&rig->a.info.peer, &rig->b.record.key, sizeof rig->a.info.peer);
  assert_memory_equal(&rig->b.info.peer, &rig->a.record.key, sizeof rig->b.info.peer);
}
