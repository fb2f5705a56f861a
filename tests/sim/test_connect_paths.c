/* Paths over sockets of the plugins' own: which pair they settle on, what lives on with the pipe,
 * where they may send, and what a gateway is spared. */
#include "port_rig.h"
#include "testing.h"

enum { STEP_US = 50000, STEPS = 40, OTHER_PORT = 40000 };

static void run(port_rig *rig, uint64_t us) {
  assert_int_equal(sim_run_for(rig->net.world, us), WARP_OK);
}

/* What the callbacks saw. */
static unsigned strays, heard_first, heard_proven;
static warp_addr last_source;

static void on_stray(warp_attempt *attempt, warp_udp_socket *socket, const uint8_t *data,
                     size_t len, const warp_addr *from) {
  (void)attempt;
  (void)data;
  (void)len;
  (void)from;
  assert_non_null(socket);
  strays++;
}

static void on_heard(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                     const warp_addr *from, bool acknowledged) {
  (void)attempt;
  (void)path;
  (void)socket;
  heard_first += !acknowledged;
  heard_proven += acknowledged;
  last_source = *from;
}

static warp_path *new_path(port_side *side) {
  warp_path *path;
  assert_int_equal(warp_attempt_path(side->attempt, NULL, on_heard, &path), WARP_OK);
  return path;
}

static warp_udp_socket *new_socket(port_side *side, warp_path *path) {
  warp_udp_socket *own;
  assert_int_equal(warp_attempt_udp(side->attempt, on_stray, &own), WARP_OK);
  assert_int_equal(warp_path_attach(path, own), WARP_OK);
  return own;
}

static uint16_t port_of(const warp_udp_socket *own) {
  warp_addr local;
  warp_udp_socket_local(own, &local);
  return local.port;
}

static int probe(warp_path *path, warp_udp_socket *own, const port_side *peer, uint16_t port) {
  warp_addr to = port_side_outside(peer, port);
  return warp_path_probe_to(path, own, &to);
}

static void secure(warp_path *of_a, warp_path *of_b) {
  assert_int_equal(warp_path_secure(of_a), WARP_OK);
  assert_int_equal(warp_path_secure(of_b), WARP_OK);
}

static void count_bytes(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)pipe;
  (void)data;
  *(size_t *)arg += len;
}

/* Something each way, several times, with silences between. */
static void check_pipes(port_rig *rig, uint64_t pause_us) {
  size_t at_a = 0, at_b = 0;
  warp_pipe_handlers of_a = {.on_data = count_bytes, .arg = &at_a};
  warp_pipe_handlers of_b = {.on_data = count_bytes, .arg = &at_b};
  assert_int_equal(warp_pipe_set_handlers(rig->a.pipe, &of_a), WARP_OK);
  assert_int_equal(warp_pipe_set_handlers(rig->b.pipe, &of_b), WARP_OK);
  for (size_t i = 1; i <= 5; i++) {
    run(rig, pause_us);
    assert_int_equal(warp_pipe_send(rig->a.pipe, "1234", 4), WARP_OK);
    assert_int_equal(warp_pipe_send(rig->b.pipe, "123", 3), WARP_OK);
    run(rig, SIM_SECOND);
    assert_int_equal(at_a, 3 * i);
    assert_int_equal(at_b, 4 * i);
  }
  assert_int_equal(warp_pipe_set_handlers(rig->a.pipe, &(warp_pipe_handlers){0}), WARP_OK);
  assert_int_equal(warp_pipe_set_handlers(rig->b.pipe, &(warp_pipe_handlers){0}), WARP_OK);
}

/* ---- which pair ------------------------------------------------------------------------------ */

static void test_shared_sockets(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "port-restricted");
  warp_path *of_a = new_path(&rig.a), *of_b = new_path(&rig.b);
  warp_addr at_b = port_side_outside(&rig.b, PORT_RIG_LISTEN);
  warp_addr at_a = port_side_outside(&rig.a, PORT_RIG_LISTEN);
  assert_int_equal(warp_path_add(of_a, &at_b), WARP_OK);
  assert_int_equal(warp_path_add(of_b, &at_a), WARP_OK);
  secure(of_a, of_b);
  warp_path_probe(of_a);
  warp_path_probe(of_b);
  port_rig_connected(&rig);
  assert_true(wg_addr_equal(&rig.a.info.local, &rig.a.mux.local));
  assert_true(wg_addr_equal(&rig.a.info.remote, &at_b));
  check_pipes(&rig, SIM_SECOND);
  port_rig_close(&rig);
}

/* Of several sockets one gets through; it lives as long as the pipe, the others end at once. */
static void test_own_sockets(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "port-restricted");
  size_t handles_a = sim_host_handles(rig.net.a), handles_b = sim_host_handles(rig.net.b);
  warp_path *of_a = new_path(&rig.a), *of_b = new_path(&rig.b);
  warp_udp_socket *at_a[20], *at_b[3];
  for (size_t i = 0; i < 20; i++)
    at_a[i] = new_socket(&rig.a, of_a);
  for (size_t i = 0; i < 3; i++)
    at_b[i] = new_socket(&rig.b, of_b);
  uint16_t port_a = port_of(at_a[11]), port_b = port_of(at_b[1]);
  secure(of_a, of_b);
  heard_first = heard_proven = 0;
  for (size_t step = 0; step < STEPS && !rig.a.over; step++) {
    assert_int_equal(probe(of_a, at_a[11], &rig.b, port_b), WARP_OK);
    assert_int_equal(probe(of_a, at_a[12], &rig.b, OTHER_PORT), WARP_OK);
    assert_int_equal(probe(of_b, at_b[1], &rig.a, port_a), WARP_OK);
    run(&rig, STEP_US);
  }
  port_rig_connected(&rig);
  assert_in_range(heard_proven, 1, 2);
  assert_int_equal(rig.a.info.local.port, port_a);
  assert_int_equal(rig.a.info.remote.port, port_b);
  assert_int_equal(rig.b.info.local.port, port_b);
  assert_int_equal(sim_host_handles(rig.net.a), handles_a + 1);
  assert_int_equal(sim_host_handles(rig.net.b), handles_b + 1);
  check_pipes(&rig, 20 * SIM_SECOND);
  port_rig_close(&rig);
}

/* b's NAT lets in what comes to the port that b opened, but answers from another one; both map by
 * destination, so that a side which sent to where it hears the other from would make the other hear
 * it from yet another port. */
static void test_strict_nat(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open_pair(&rig, "apd-ad+preserving", "apd-ad+preserving+strict", NULL);
  warp_path *of_a = new_path(&rig.a), *of_b = new_path(&rig.b);
  warp_udp_socket *at_a = new_socket(&rig.a, of_a), *at_b = new_socket(&rig.b, of_b);
  uint16_t port_a = port_of(at_a), port_b = port_of(at_b);
  secure(of_a, of_b);
  assert_int_equal(probe(of_b, at_b, &rig.a, OTHER_PORT),
                   WARP_OK); /* opens port_b to a's address */
  run(&rig, STEP_US);
  for (size_t step = 0; step < STEPS && !rig.a.over; step++) {
    assert_int_equal(probe(of_a, at_a, &rig.b, port_b), WARP_OK);
    run(&rig, STEP_US);
  }
  port_rig_connected(&rig);
  check_pipes(&rig, SIM_SECOND);
  size_t mappings_a = sim_network_mappings(rig.net.site_a);
  size_t mappings_b = sim_network_mappings(rig.net.site_b);
  check_pipes(&rig, 8 * SIM_SECOND);
  assert_true(sim_network_mappings(rig.net.site_a) <= mappings_a);
  assert_true(sim_network_mappings(rig.net.site_b) <= mappings_b);
  assert_int_equal(warp_pipe_get_info(rig.a.pipe, &rig.a.info), WARP_OK);
  assert_int_equal(warp_pipe_get_info(rig.b.pipe, &rig.b.info), WARP_OK);
  assert_int_equal(rig.a.info.remote.port, port_b);
  assert_int_equal(rig.b.info.remote.port, port_a);
  assert_int_not_equal(last_source.port, 0);
  port_rig_close(&rig);
}

/* ---- who has moved --------------------------------------------------------------------------- */

static void count_datagrams(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)data, (void)len, (void)from;
  ++*(size_t *)arg;
}

/* Two shared sockets with a pipe: a is reachable by all, b behind a NAT. */
static void pipe_of_two(port_rig *rig) {
  port_rig_open_pair(rig, "open", "full-cone", NULL);
  warp_path *of_a = new_path(&rig->a), *of_b = new_path(&rig->b);
  warp_addr at_a = port_side_outside(&rig->a, PORT_RIG_LISTEN);
  assert_int_equal(warp_path_add(of_b, &at_a), WARP_OK);
  secure(of_a, of_b);
  warp_path_probe(of_b);
  port_rig_connected(rig);
}

/* b's NAT forgets its port: a follows as soon as b has spoken from the new one, and answered. */
static void test_a_peer_that_moved(void **state) {
  (void)state;
  port_rig rig;
  pipe_of_two(&rig);
  check_pipes(&rig, SIM_SECOND);
  for (unsigned times = 0; times < 3; times++) {
    sim_network_reboot_nat(rig.net.site_b);
    run(&rig, 6 * SIM_SECOND);
    assert_int_equal(warp_pipe_send(rig.b.pipe, "here", 4), WARP_OK);
    run(&rig, SIM_SECOND);
    check_pipes(&rig, SIM_SECOND);
  }
  port_rig_close(&rig);
}

/* Whoever has seen a packet knows the tag: from anywhere else it leads nobody there. */
static void test_strangers_with_the_tag(void **state) {
  (void)state;
  port_rig rig;
  pipe_of_two(&rig);
  uint8_t in[WG_TAG_LEN], out[WG_TAG_LEN], carried[WG_CARRY_HEADER_LEN + 20] = {0};
  uint8_t probing[WG_PROBE_LEN];
  assert_int_equal(wg_attempt_tags(rig.a.attempt, in, out), WARP_OK);
  memset(carried, 0x17, sizeof carried);
  wg_carry_begin(carried, in);
  wg_probe_encode(probing, in, 0x12345001, 0);
  wg_env *env = sim_host_env(rig.net.server);
  warp_addr any = wg_addr_any(WARP_IP4, 0), at_a = port_side_outside(&rig.a, PORT_RIG_LISTEN);
  wg_udp *udp;
  size_t heard = 0, at_b = 0;
  assert_int_equal(env->ops->udp_open(env, &any, 0, count_datagrams, &heard, &udp), WARP_OK);
  warp_pipe_handlers of_b = {.on_data = count_bytes, .arg = &at_b};
  assert_int_equal(warp_pipe_set_handlers(rig.b.pipe, &of_b), WARP_OK);
  for (unsigned i = 0; i < 10; i++) {
    run(&rig, 6 * SIM_SECOND);
    assert_int_equal(env->ops->udp_send(udp, &at_a, carried, sizeof carried), WARP_OK);
    assert_int_equal(env->ops->udp_send(udp, &at_a, probing, sizeof probing), WARP_OK);
    run(&rig, SIM_SECOND);
    assert_int_equal(warp_pipe_send(rig.a.pipe, "for b only", 10), WARP_OK);
  }
  run(&rig, SIM_SECOND);
  assert_int_equal(heard, 10); /* an answer to each probe */
  assert_int_equal(at_b, 100);
  check_pipes(&rig, SIM_SECOND);
  env->ops->udp_close(udp);
  port_rig_close(&rig);
}

/* ---- what may be sent where ------------------------------------------------------------------ */

static void test_untrusted(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "port-restricted");
  warp_path *path = new_path(&rig.a);
  warp_udp_socket *own = new_socket(&rig.a, path), *loose;
  assert_int_equal(warp_attempt_udp(rig.a.attempt, NULL, &loose), WARP_OK);
  static const char *const refused[] = {
      "198.51.100.10:3478", /* public, but nowhere in the record */
      "192.0.2.131:20001",  "10.0.2.2:20002",   "10.0.2.2:20001", /* a LAN that is not shared */
      "127.0.0.1:20001",    "192.0.2.130:1023", "192.0.2.130:0",  "255.255.255.255:20001",
  };
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    warp_addr to = address(refused[i]);
    assert_int_equal(warp_path_probe_to(path, own, &to), WARP_UNTRUSTED);
  }
  assert_int_equal(probe(path, own, &rig.b, 1024), WARP_OK);
  assert_int_equal(probe(path, own, &rig.b, 65535), WARP_OK);
  assert_int_equal(probe(path, NULL, &rig.b, 65535), WARP_OK);
  assert_int_equal(probe(path, loose, &rig.b, 1024), WARP_STATE);
  /* A candidate may be probed too: a relay's address is in no record of the peer. */
  warp_addr relayed = address("198.51.100.10:3478");
  assert_int_equal(warp_path_add(path, &relayed), WARP_OK);
  assert_int_equal(warp_path_probe_to(path, own, &relayed), WARP_OK);
  /* Sockets of another attempt. */
  warp_path *other = new_path(&rig.b);
  assert_int_equal(warp_path_attach(other, loose), WARP_STATE);
  port_rig_close(&rig);
}

static void test_datagrams_that_are_not_the_paths(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  warp_path *path = new_path(&rig.a);
  warp_udp_socket *own = new_socket(&rig.a, path), *silent, *sender;
  assert_int_equal(warp_attempt_udp(rig.a.attempt, NULL, &silent), WARP_OK);
  assert_int_equal(warp_attempt_udp(rig.b.attempt, NULL, &sender), WARP_OK);
  strays = heard_first = 0;
  uint8_t other[WG_PROBE_LEN];
  static const uint8_t tag[WG_TAG_LEN] = {1, 2, 3};
  wg_probe_encode(other, tag, 1, 0);
  warp_udp_socket *const to_whom[] = {own, silent};
  for (size_t i = 0; i < 2; i++) {
    warp_addr to = port_side_outside(&rig.a, port_of(to_whom[i]));
    assert_int_equal(warp_udp_socket_send(sender, &to, "hello", 5), WARP_OK);
    assert_int_equal(warp_udp_socket_send(sender, &to, other, sizeof other), WARP_OK);
  }
  run(&rig, SIM_SECOND);
  assert_int_equal(strays, 2);
  assert_int_equal(heard_first, 0);
  port_rig_close(&rig);
}

static void test_socket_limit(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  size_t handles = sim_host_handles(rig.net.a);
  warp_udp_socket *own = NULL;
  for (size_t i = 0; i < WARP_UDP_SOCKETS; i++)
    assert_int_equal(warp_attempt_udp(rig.a.attempt, NULL, &own), WARP_OK);
  warp_udp_socket *more;
  assert_int_equal(warp_attempt_udp(rig.a.attempt, NULL, &more), WARP_LIMIT);
  warp_udp_socket_close(own);
  assert_int_equal(warp_attempt_udp(rig.a.attempt, NULL, &more), WARP_OK);
  warp_attempt_fail(rig.a.attempt, WARP_TIMEOUT, "enough");
  assert_true(sim_host_handles(rig.net.a) <= handles);
  port_rig_close(&rig);
}

/* ---- budgets and settings -------------------------------------------------------------------- */

static uint32_t flows_alive(const port_side *side) {
  const wg_budget_count *flows = &side->connect->gateways[0].budget.flows;
  return flows->own + flows->peers;
}

static void test_budget(void **state) {
  (void)state;
  static const char *const settings[] = {"node.flows=4", "rig.rate=200", "rig.sockets=9", NULL};
  port_rig rig;
  port_rig_open_pair(&rig, "open", "open", settings);
  warp_attempt *attempt = rig.a.attempt;
  assert_int_equal(warp_attempt_setting(attempt, "sockets"), 9);
  assert_int_equal(warp_attempt_setting(attempt, "rate"), 200);
  uint32_t retry_ms;
  assert_int_equal(warp_attempt_take(attempt, WARP_BUDGET_FLOWS, 9, &retry_ms), 4);
  assert_true(retry_ms > 0);
  warp_udp_socket *own[3];
  for (size_t i = 0; i < 3; i++)
    assert_int_equal(warp_attempt_udp(attempt, NULL, &own[i]), WARP_OK);
  warp_attempt_give(attempt, WARP_BUDGET_FLOWS, 9); /* one is not used */
  assert_int_equal(flows_alive(&rig.a), 3);
  warp_udp_socket_close(own[0]);
  assert_int_equal(flows_alive(&rig.a), 2);
  assert_int_equal(warp_attempt_take(attempt, WARP_BUDGET_FLOWS, 9, NULL), 2);
  assert_int_equal(warp_attempt_take(attempt, WARP_BUDGET_PROBES, 99, &retry_ms), 10);
  assert_int_equal(retry_ms, 5);
  warp_attempt_fail(attempt, WARP_TIMEOUT, "enough");
  assert_int_equal(flows_alive(&rig.a), 0);
  assert_int_equal(warp_attempt_take(attempt, WARP_BUDGET_FLOWS, 1, NULL), 0);
  port_rig_close(&rig);
}

/* What a peer has begun does not use up everything. */
static void test_budget_of_strangers(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  for (int kind = WARP_BUDGET_FLOWS; kind <= WARP_BUDGET_SYNS; kind++) {
    unsigned all = kind == WARP_BUDGET_FLOWS ? WG_BUDGET_FLOWS : WG_BUDGET_SYNS;
    assert_int_equal(warp_attempt_take(rig.a.attempt, (warp_budget)kind, 9999, NULL), all);
    assert_int_equal(warp_attempt_take(rig.b.attempt, (warp_budget)kind, 9999, NULL),
                     all - WG_BUDGET_OWN);
    warp_attempt_give(rig.b.attempt, (warp_budget)kind, 9999);
    assert_int_equal(warp_attempt_take(rig.b.attempt, (warp_budget)kind, 1, NULL), 1);
  }
  warp_attempt_fail(rig.b.attempt, WARP_TIMEOUT, "enough");
  assert_int_equal(flows_alive(&rig.b), 0);
  port_rig_close(&rig);
}

static void test_stun_servers(void **state) {
  (void)state;
  port_rig rig;
  port_rig_open(&rig, "open");
  const warp_addr servers[] = {address("[2001:db8::1]:3478"), address("203.0.113.10:3478"),
                               address("198.51.100.10:3478")};
  rig.a.connect->config.stun_servers = servers;
  rig.a.connect->config.stun_count = 3;
  warp_addr found;
  assert_int_equal(warp_attempt_stun_server(rig.a.attempt, 0, &found), WARP_OK);
  assert_address(&found, "203.0.113.10:3478");
  assert_int_equal(warp_attempt_stun_server(rig.a.attempt, 1, &found), WARP_OK);
  assert_address(&found, "198.51.100.10:3478");
  assert_int_equal(warp_attempt_stun_server(rig.a.attempt, 2, &found), WARP_NOT_FOUND);
  port_rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shared_sockets),
      cmocka_unit_test(test_own_sockets),
      cmocka_unit_test(test_strict_nat),
      cmocka_unit_test(test_a_peer_that_moved),
      cmocka_unit_test(test_strangers_with_the_tag),
      cmocka_unit_test(test_untrusted),
      cmocka_unit_test(test_datagrams_that_are_not_the_paths),
      cmocka_unit_test(test_socket_limit),
      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_budget_of_strangers),
      cmocka_unit_test(test_stun_servers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
