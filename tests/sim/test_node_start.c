/* The start of a node: its steps in order, what it lives without, and what it cannot live without.
 */
#include "peers.h"

#include "base/addr.h"
#include "identity/identity.h"
#include "node/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;
static const char *const none[] = {NULL};

static const warp_start_event *phase_of(const peer *self, warp_start_phase phase) {
  for (size_t i = 0; i < self->phase_count; i++) {
    if (self->phases[i].phase == phase)
      return &self->phases[i];
  }
  return NULL;
}

static void mark_closed(void *arg) {
  *(bool *)arg = true;
}

static void ignore_start(void *arg, warp_node *node, int status) {
  (void)arg;
  (void)node;
  assert_int_equal(status, WARP_OK);
}

static void ignore_name(void *arg, int status, const uint8_t *record, size_t len) {
  (void)arg;
  (void)status;
  (void)record;
  (void)len;
}

static void ignore_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)arg;
  (void)pipe;
  (void)status;
  (void)report;
}

static void test_steps_in_order(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "open", 1);
  both.a.conf.enable_nickname = both.a.conf.enable_upnp = false;
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  assert_int_equal(both.a.phase_count, 14);
  for (size_t i = 0; i < both.a.phase_count; i++) {
    const warp_start_event *event = &both.a.phases[i];
    assert_int_equal(event->status, WARP_OK);
    /* Clock, measuring and signalling run together, and any may end first. */
    bool together = event->phase >= WARP_START_INITIALIZE_SYSTEM_CLOCK &&
                    event->phase <= WARP_START_SETUP_ROUTER_AND_SIGNAL;
    if (!together && i > 0)
      assert_true(event->phase > both.a.phases[i - 1].phase);
    assert_non_null(warp_start_phase_name(event->phase));
    assert_true(event->elapsed_ms >= 0);
  }
  /* Started means reachable: the subscription is acknowledged, the address can be given out. */
  assert_int_equal(sim_broker_subscribers(both.net.broker), 1);
  uint8_t bytes[WARP_RECORD_MAX];
  size_t len = sizeof bytes;
  assert_int_equal(warp_node_address(both.a.node, bytes, &len), WARP_OK);
  wg_record record;
  assert_int_equal(
      wg_record_verify(bytes, len,
                       sim_host_env(both.a.host)->ops->wall_ms(sim_host_env(both.a.host)), &record),
      WARP_OK);
  assert_int_equal(record.endpoint_count, 1);
  const warp_endpoint *endpoint = &record.endpoints[0];
  assert_int_equal(endpoint->nic.port, warp_node_port(both.a.node));
  assert_int_equal(endpoint->udp.translation, WARP_TRANSLATION_NAT);
  assert_int_equal(endpoint->udp.mapping, WARP_NAT_ENDPOINT_INDEPENDENT);
  assert_int_equal(endpoint->udp.filtering, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_int_equal(endpoint->external_udp.port,
                   endpoint->nic.port); /* the profile preserves ports */
  assert_int_equal(endpoint->external_tcp.port, endpoint->nic.port);
  peers_free(&both);
}

/* Servers that do not answer: STUN and the broker are waited for together, then names; the start
 * says what is missing. A STUN server is not waited for once more to map the listen port. */
static void test_dead_servers_delay_by_their_timeout(void **state) {
  (void)state;
  peers both;
  static const char *const nowhere[] = {"203.0.113.77:3478", NULL};
  static const char *const no_broker[] = {"203.0.113.77:1883", NULL};
  static const char *const no_names[] = {"203.0.113.77:4370", NULL};
  peers_build(&both, "open", "open", 2);
  both.a.conf.stun_servers = nowhere;
  both.a.conf.brokers = no_broker;
  both.a.conf.name_servers = no_names;
  both.a.conf.server_timeout_ms = 1000;
  uint64_t begun = sim_now_us(both.net.world);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  assert_in_range(sim_now_us(both.net.world) - begun, 2 * second, 2 * second + second / 10);
  assert_int_equal(phase_of(&both.a, WARP_START_LOAD_P2P_STUN_CLIENTS)->status, WARP_TIMEOUT);
  assert_int_equal(phase_of(&both.a, WARP_START_SETUP_ROUTER_AND_SIGNAL)->status, WARP_TIMEOUT);
  assert_int_equal(phase_of(&both.a, WARP_START_SETUP_NICKNAME_SERVICE)->status, WARP_TIMEOUT);
  assert_in_range((int)phase_of(&both.a, WARP_START_SETUP_ROUTER_AND_SIGNAL)->elapsed_ms, 1000,
                  1001);
  peers_free(&both);
}

/* The server comes to life after the start: the record is made anew when it answers. */
static void test_stun_server_that_comes_late(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "ei-apd", "open", 11);
  both.a.conf.enable_upnp = false;
  sim_stun_set_up(both.net.stun, false);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  wg_record record = peer_record(&both.a);
  assert_int_equal(record.endpoints[0].external_udp.family, 0);
  sim_stun_set_up(both.net.stun, true);
  assert_int_equal(sim_run_for(both.net.world, 60 * second), WARP_OK);
  record = peer_record(&both.a);
  assert_int_equal(record.endpoints[0].external_udp.family, WARP_IP4);
  assert_int_equal(record.endpoints[0].external_tcp.family, WARP_IP4);
  peers_free(&both);
}

static void find_relay_line(void *arg, warp_log_level level, const char *line) {
  bool *found = arg;
  assert_null(strstr(line, "secret"));
  *found |= level == WARP_LOG_WARN && strstr(line, "relay number 2 is not written as") != NULL;
}

/* A relay whose text cannot be read is said, without its password, and the others are used. */
static void test_relay_that_cannot_be_read(void **state) {
  (void)state;
  peers both;
  bool said = false;
  peers_build(&both, "symmetric", "symmetric", 2);
  const char *const relays[] = {both.net.turn_servers[0], "somebody:secret@", NULL};
  both.a.conf.turn_servers = relays;
  both.a.conf.on_log = find_relay_line;
  both.a.conf.log_arg = &said;
  peers_start(&both);
  assert_true(said);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_free(&both);
}

static void test_no_servers_at_all(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 3);
  both.a.conf.stun_servers = both.a.conf.brokers = both.a.conf.turn_servers =
      both.a.conf.name_servers = both.a.conf.ntp_servers = none;
  uint64_t begun = sim_now_us(both.net.world);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  assert_true(sim_now_us(both.net.world) - begun < 50 * 1000); /* nothing to wait for */
  assert_int_equal(phase_of(&both.a, WARP_START_LOAD_P2P_STUN_CLIENTS)->status, WARP_NO_SERVER);
  assert_int_equal(phase_of(&both.a, WARP_START_SETUP_ROUTER_AND_SIGNAL)->status, WARP_NO_SERVER);
  assert_int_equal(phase_of(&both.a, WARP_START_SETUP_NICKNAME_SERVICE)->status, WARP_NO_SERVER);
  peers_free(&both);
}

/* The presets are what other programs build on: each key has its value. */
static void test_presets(void **state) {
  (void)state;
  const warp_conf conf = warp_conf_default(), test = warp_conf_test();
  assert_true(conf.enable_upnp && conf.init_clock_skew && conf.enable_punching &&
              conf.enable_nickname && conf.enable_stun_clients);
  assert_false(conf.reuse_addr || conf.loopback_only);
  assert_int_equal(conf.sig_pipe_no, 1);
  assert_int_equal(conf.server_timeout_ms, 2000);
  assert_int_equal(conf.listen_port, 0);
  assert_null(conf.data_dir);
  assert_null(conf.brokers);
  assert_true(test.enable_punching && test.loopback_only);
  assert_false(test.enable_upnp || test.init_clock_skew || test.enable_nickname ||
               test.enable_stun_clients || test.reuse_addr);
  assert_int_equal(test.sig_pipe_no, 0);
  assert_null(test.brokers);
}

/* Up at once and on loopback alone; what is switched off is not missing. */
static void test_test_configuration(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "open", 3);
  warp_conf conf = warp_conf_test();
  conf.on_start_event = both.a.conf.on_start_event;
  conf.start_arg = &both.a;
  both.a.conf = conf;
  uint64_t begun = sim_now_us(both.net.world);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  assert_true(sim_now_us(both.net.world) - begun < 50 * 1000);
  assert_int_equal(both.a.phase_count, 14);
  for (size_t i = 0; i < both.a.phase_count; i++)
    assert_int_equal(both.a.phases[i].status, WARP_OK);
  wg_record record = peer_record(&both.a);
  assert_true(record.endpoint_count > 0);
  for (size_t i = 0; i < record.endpoint_count; i++)
    assert_int_equal(wg_addr_get_scope(&record.endpoints[i].nic), WG_SCOPE_LOOPBACK);
  peers_free(&both);
}

static void count_left_out(void *arg, warp_log_level level, const char *line) {
  (void)level;
  assert_null(strstr(line, "laboratory")); /* the relays' password */
  *(unsigned *)arg += strstr(line, "is left out: it is not on loopback") != NULL ? 1 : 0;
}

/* A node that keeps to loopback asks no server elsewhere, whatever the configuration names. */
static void test_loopback_asks_nobody_elsewhere(void **state) {
  (void)state;
  static const char *const no_names[] = {"names.example:4370", NULL};
  peers both;
  unsigned left_out = 0;
  peers_build(&both, "open", "open", 3);
  both.a.conf.loopback_only = true;
  both.a.conf.name_servers = no_names; /* whose name nobody is asked for */
  both.a.conf.on_log = count_left_out;
  both.a.conf.log_arg = &left_out;
  uint64_t begun = sim_now_us(both.net.world);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  assert_true(sim_now_us(both.net.world) - begun < 50 * 1000);
  static const warp_start_phase asking[] = {
      WARP_START_INITIALIZE_SYSTEM_CLOCK, WARP_START_LOAD_P2P_STUN_CLIENTS,
      WARP_START_SETUP_ROUTER_AND_SIGNAL, WARP_START_SETUP_NICKNAME_SERVICE};
  for (size_t i = 0; i < sizeof asking / sizeof asking[0]; i++)
    assert_int_equal(phase_of(&both.a, asking[i])->status, WARP_NO_SERVER);
  assert_int_equal(sim_broker_subscribers(both.net.broker), 0);
  assert_true(left_out >= 4);
  peers_free(&both);
}

/* One on this machine is asked, by its address or as localhost. */
static void test_loopback_asks_here(void **state) {
  (void)state;
  static const char *const here[][2] = {{"127.0.0.1:1", NULL}, {"localhost:1", NULL}};
  for (size_t i = 0; i < 2; i++) {
    peers both;
    peers_build(&both, "open", "open", 3);
    sim_add_name(both.net.world, "localhost", "127.0.0.1");
    both.a.conf.loopback_only = true;
    both.a.conf.brokers = here[i];
    both.a.conf.stun_servers = both.a.conf.ntp_servers = both.a.conf.turn_servers = none;
    peer_start(&both.a);
    assert_int_equal(both.a.start_status, WARP_OK);
    assert_int_not_equal(phase_of(&both.a, WARP_START_SETUP_ROUTER_AND_SIGNAL)->status,
                         WARP_NO_SERVER);
    peers_free(&both);
  }
}

/* Nobody asks the STUN servers that are there, so nothing is known of the NAT. */
static void test_stun_switched_off(void **state) {
  (void)state;
  for (int enabled = 0; enabled < 2; enabled++) {
    peers both;
    peers_build(&both, "port-restricted", "open", 3);
    both.a.conf.enable_stun_clients = enabled;
    peer_start(&both.a);
    assert_int_equal(both.a.start_status, WARP_OK);
    wg_record record = peer_record(&both.a);
    assert_int_equal(record.endpoints[0].external_udp.family, enabled ? WARP_IP4 : 0);
    peers_free(&both);
  }
}

static void test_wrong_broker_credentials(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 4);
  sim_broker_set_credentials(both.net.broker, "right", "secret");
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_OK);
  assert_int_equal(phase_of(&both.a, WARP_START_SETUP_ROUTER_AND_SIGNAL)->status, WARP_AUTH);
  peers_free(&both);
}

static void test_malformed_broker(void **state) {
  (void)state;
  peers both;
  static const char *const bad[] = {"no port", NULL};
  peers_build(&both, "open", "open", 5);
  both.a.conf.brokers = bad;
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_INVALID);
  peers_free(&both);
}

static void test_keystore_that_cannot_be_used(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 6);
  sim_host_set_file_status(both.a.host, WARP_PERMISSION);
  peer_start(&both.a);
  assert_int_equal(both.a.start_status, WARP_PERMISSION);
  assert_null(both.a.node);
  peers_free(&both);
}

/* Starts, stops and starts again; the record of each time. */
static void restart(peers *both, wg_record records[2]) {
  for (size_t i = 0; i < 2; i++) {
    peer *a = &both->a;
    a->start_done = a->closed = false;
    a->phase_count = 0;
    peer_start(a);
    assert_int_equal(a->start_status, WARP_OK);
    records[i] = peer_record(a);
    if (i == 0) {
      bool closed = false;
      warp_node_close(a->node, mark_closed, &closed);
      assert_int_equal(sim_run_until_set(both->net.world, &closed, second), WARP_OK);
    }
  }
}

/* The key survives a restart, and so does the port; the sequence grows. */
static void test_restart_keeps_the_identity(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 7);
  wg_record records[2];
  restart(&both, records);
  assert_memory_equal(&records[0].key, &records[1].key, sizeof(warp_key));
  assert_memory_equal(records[0].machine, records[1].machine, sizeof records[0].machine);
  assert_int_equal(records[0].endpoints[0].nic.port, records[1].endpoints[0].nic.port);
  assert_true(records[1].sequence > records[0].sequence);
  peers_free(&both);
}

/* A node that nobody has to know again leaves nothing behind. */
static void test_new_key_each_time(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 7);
  both.a.conf.key_name = "";
  sim_host_set_file_status(both.a.host, WARP_PERMISSION);
  wg_record records[2];
  restart(&both, records);
  assert_memory_not_equal(&records[0].key, &records[1].key, sizeof(warp_key));
  peers_free(&both);
}

/* Two nodes on one host are normal: the second one takes the next port of the sequence. An explicit
 * port that is taken is an error. */
static void test_port_taken(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 8);
  peer second_node = both.a, third = both.a;
  second_node.conf.key_name = "second";
  second_node.conf.start_arg = &second_node;
  peer_start(&both.a);
  peer_start(&second_node);
  assert_int_equal(second_node.start_status, WARP_OK);
  uint16_t first_port = warp_node_port(both.a.node), next_port = warp_node_port(second_node.node);
  assert_true(first_port != next_port);
  uint8_t machine[WG_MACHINE_ID_LEN];
  assert_int_equal(wg_machine_id(sim_host_env(both.a.host), NULL, machine), WARP_OK);
  assert_int_equal(first_port, wg_listen_port(machine, 0));
  assert_int_equal(next_port, wg_listen_port(machine, 1));
  third.conf.key_name = "third";
  third.conf.start_arg = &third;
  third.conf.listen_port = first_port;
  peer_start(&third);
  assert_int_equal(third.start_status, WARP_ADDR_IN_USE);
  bool closed = false;
  warp_node_close(second_node.node, mark_closed, &closed);
  assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
  peers_free(&both);
}

/* With reuse_addr on both sides a node takes its port while the one before it still has it. */
static void test_port_shared(void **state) {
  (void)state;
  for (int reuse = 0; reuse < 2; reuse++) {
    peers both;
    peers_build(&both, "open", "open", 8);
    both.a.conf.reuse_addr = reuse;
    peer next = both.a;
    next.conf.key_name = "next";
    next.conf.start_arg = &next;
    peer_start(&both.a);
    assert_int_equal(both.a.start_status, WARP_OK);
    next.conf.listen_port = warp_node_port(both.a.node);
    peer_start(&next);
    assert_int_equal(next.start_status, reuse ? WARP_OK : WARP_ADDR_IN_USE);
    if (reuse) {
      assert_int_equal(warp_node_port(next.node), next.conf.listen_port);
      bool closed = false;
      warp_node_close(next.node, mark_closed, &closed);
      assert_int_equal(sim_run_until_set(both.net.world, &closed, second), WARP_OK);
    }
    peers_free(&both);
  }
}

/* The router reboots: mappings move, and the record follows within one refresh. */
static void test_record_follows_the_mapping(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "ei-apd", "open", 9);
  peer_start(&both.a);
  wg_record before = peer_record(&both.a);
  sim_network_reboot_nat(both.net.site_a);
  assert_int_equal(sim_run_for(both.net.world, 60 * second), WARP_OK);
  wg_record after = peer_record(&both.a);
  assert_true(after.sequence > before.sequence);
  assert_true(after.endpoints[0].external_udp.port != before.endpoints[0].external_udp.port);
  peers_free(&both);
}

static void test_public_calls_before_the_start_ended(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 10);
  peer *a = &both.a;
  assert_int_equal(wg_node_start(NULL, &a->conf, NULL, NULL, NULL), WARP_INVALID);
  assert_int_equal(wg_node_start(sim_host_env(a->host), &a->conf, ignore_start, NULL, &a->node),
                   WARP_OK);
  uint8_t bytes[WARP_RECORD_MAX];
  size_t len = sizeof bytes;
  assert_int_equal(warp_node_address(a->node, bytes, &len), WARP_STATE);
  assert_int_equal(warp_node_port(a->node), 0);
  assert_int_equal(warp_node_listen(a->node, NULL, NULL, NULL), WARP_STATE);
  assert_int_equal(warp_node_register(a->node, "x", ignore_name, NULL), WARP_STATE);
  assert_int_equal(warp_auto_connect(a->node, bytes, 1, NULL, ignore_connect, NULL), WARP_STATE);
  assert_int_equal(warp_node_address(NULL, bytes, &len), WARP_INVALID);
  assert_int_equal(sim_run_for(both.net.world, 5 * second), WARP_OK);
  len = 3;
  assert_int_equal(warp_node_address(a->node, bytes, &len), WARP_TOO_BIG);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_steps_in_order),
      cmocka_unit_test(test_dead_servers_delay_by_their_timeout),
      cmocka_unit_test(test_stun_server_that_comes_late),
      cmocka_unit_test(test_relay_that_cannot_be_read),
      cmocka_unit_test(test_no_servers_at_all),
      cmocka_unit_test(test_presets),
      cmocka_unit_test(test_test_configuration),
      cmocka_unit_test(test_loopback_asks_nobody_elsewhere),
      cmocka_unit_test(test_loopback_asks_here),
      cmocka_unit_test(test_stun_switched_off),
      cmocka_unit_test(test_wrong_broker_credentials),
      cmocka_unit_test(test_malformed_broker),
      cmocka_unit_test(test_keystore_that_cannot_be_used),
      cmocka_unit_test(test_restart_keeps_the_identity),
      cmocka_unit_test(test_new_key_each_time),
      cmocka_unit_test(test_port_taken),
      cmocka_unit_test(test_port_shared),
      cmocka_unit_test(test_record_follows_the_mapping),
      cmocka_unit_test(test_public_calls_before_the_start_ended),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
