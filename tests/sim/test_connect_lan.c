/* Two hosts of one LAN over TCP: nobody is dialled on the word of a record, and whoever proves to
 * be there is dialled without a wait. */
#include "rogue.h"

#include "connect/proof.h"
#include "identity/identity.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000 };

/* b's host stands beside a's, behind the same NAT. */
static void build(peers *both, const char *profile, uint64_t seed) {
  peers_build(both, profile, profile, seed);
  both->b.host = sim_host_new(both->net.site_a, "b beside a", "10.0.1.3/24");
}

static uint64_t took_us(const peers *both) {
  return both->a.connected_us - both->a.asked_us;
}

static void print_rows(const peer *self) {
  for (size_t i = 0; i < self->row_count; i++)
    print_message("%s route %d: %s: %s\n", self->rows[i].plugin, self->rows[i].route_type,
                  warp_strerror(self->rows[i].status), self->rows[i].detail);
}

/* ---- a peer that is there -------------------------------------------------------------------- */

static void check_technique(const char *plugins, const char *profile, uint64_t limit_ms) {
  peers both;
  build(&both, profile, 31);
  peers_start(&both);
  peers_connect(
      &both, &(warp_connect_options){.plugins = plugins, .transports = WARP_TCP, .no_relay = true});
  if (both.a.connect_status != WARP_OK)
    print_rows(&both.a);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(both.a.info.transport, WARP_TCP);
  print_message("%s, %s: %llu us\n", both.a.info.plugin, profile,
                (unsigned long long)took_us(&both));
  const warp_report_row *row = peer_row(&both.a, both.a.info.plugin, WARP_NIC_BIND);
  assert_non_null(row);
  assert_int_equal(row->status, WARP_OK);
  assert_in_range(took_us(&both), 40 * MS, limit_ms * MS);
  peers_echo(&both);
  peers_free(&both);
}

/* Half a round trip to the broker and half from it; all that follows stays in the LAN. */
static void test_each_technique(void **state) {
  (void)state;
  static const char *const names[] = {"direct_connect", "reverse_connect", "tcp_punch", NULL};
  for (size_t i = 0; i < 4; i++) {
    check_technique(names[i], "port-restricted", 43);
    check_technique(names[i], "symmetric", 43);
  }
}

/* By the second interface of b, which otherwise is behind a NAT of its own. */
static void test_second_interface(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 36);
  sim_host_join(both.net.b, both.net.site_a, "10.0.1.9/24");
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.transports = WARP_TCP, .no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(both.a.info.remote.ip[3], 9);
  assert_in_range(took_us(&both), 40 * MS, 43 * MS);
  peers_echo(&both);
  peers_free(&both);
}

/* Where the interface addresses are the external ones there is one route, and nobody to ask. */
static void test_public_lan(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "open", "open", 37);
  both.b.host = sim_host_new(both.net.site_a, "b beside a", "192.0.2.3/25");
  peers_start(&both);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "direct_connect");
  assert_int_equal(peer_row(&both.a, "direct_connect", WARP_NIC_BIND)->status, WARP_OK);
  assert_int_equal(peer_row(&both.a, "direct_connect", WARP_EXT_BIND)->status, WARP_RULED_OUT);
  assert_in_range(took_us(&both), 0, 2 * MS);
  peers_free(&both);
}

/* In strict order the first phase is enough. */
static void test_strict(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric", 32);
  peers_start(&both);
  peers_connect(&both, &(warp_connect_options){.strict = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_int_equal(both.a.info.phase, WARP_PHASE_DIRECT);
  assert_in_range(took_us(&both), 40 * MS, 43 * MS);
  peers_free(&both);
}

/* The message is lost with the broker's connection, and said again after a second: in time. */
static bool lose_first(void *arg, const char *topic, const uint8_t *data, size_t len) {
  (void)topic;
  (void)data;
  (void)len;
  unsigned *left = arg;
  if (*left == 0)
    return true;
  --*left;
  return false;
}

static void test_lost_message(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric", 33);
  peers_start(&both);
  unsigned left = 1;
  sim_broker_set_tap(both.net.broker, lose_first, &left);
  peers_connect(&both, &(warp_connect_options){.plugins = "direct_connect"});
  assert_int_equal(left, 0);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_in_range(took_us(&both), 1040 * MS, 1043 * MS);
  peers_free(&both);
}

/* Without a broker the peer cannot be asked, and the report says so. */
static void test_no_broker(void **state) {
  (void)state;
  peers both;
  build(&both, "symmetric", 34);
  peers_start(&both);
  sim_broker_set_up(both.net.broker, false);
  assert_int_equal(sim_run_for(both.net.world, 100 * MS), WARP_OK);
  peers_connect(&both, &(warp_connect_options){.plugins = "direct_connect"});
  assert_int_equal(both.a.connect_status, WARP_ALL_FAILED);
  const warp_report_row *row = peer_row(&both.a, "direct_connect", WARP_NIC_BIND);
  assert_non_null(row);
  assert_int_equal(row->status, WARP_NO_SERVER);
  assert_string_equal(row->detail, "no broker to ask the peer through");
  peers_free(&both);
}

/* ---- a peer that is not ---------------------------------------------------------------------- */

/* Some host of our LAN, with services of its own. */
typedef struct printer {
  wg_env *env;
  wg_tcp_listener *listener;
  wg_udp *udp;
  unsigned streams, datagrams;
  uint32_t number; /* of the latest probe */
} printer;

static void printer_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  (void)from;
  printer *self = arg;
  self->streams++;
  self->env->ops->tcp_reset(tcp);
}

/* It answers like an echo service, which is no proof of anything. */
static void printer_heard(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  printer *self = arg;
  self->datagrams++;
  wg_carried packet;
  assert_int_equal(wg_carry_open(data, len, &packet), WARP_OK);
  self->number = packet.sequence;
  (void)self->env->ops->udp_send(self->udp, from, data, len);
}

static void printer_open(printer *self, sim_network *network, const warp_addr *at) {
  char text[WARP_ADDR_STRLEN];
  warp_addr bare = *at;
  bare.port = 0;
  warp_addr_format(&bare, text);
  text[strcspn(text, ":")] = '\0';
  strcat(text, "/24");
  *self = (printer){.env = sim_host_env(sim_host_new(network, "printer", text))};
  assert_int_equal(
      self->env->ops->tcp_listen(self->env, at, 0, printer_accept, self, &self->listener), WARP_OK);
  assert_int_equal(self->env->ops->udp_open(self->env, at, 0, printer_heard, self, &self->udp),
                   WARP_OK);
}

static void printer_close(printer *self) {
  self->env->ops->tcp_listener_close(self->listener);
  self->env->ops->udp_close(self->udp);
}

/* The rogue's record says that it lives beside the victim a, at the printer's address. */
static void claim(rogue *evil, const warp_addr *at) {
  warp_endpoint *endpoint = &evil->record.endpoints[0];
  const warp_endpoint *victim = &evil->victim.endpoints[0];
  endpoint->nic = *at;
  endpoint->prefix_bits = victim->prefix_bits;
  endpoint->external_udp = victim->external_udp;
  endpoint->external_tcp = victim->external_tcp;
  rogue_sign(evil);
}

static wg_message open_message(rogue *evil, uint16_t attempt, const char *plugin) {
  wg_message message = rogue_message(evil, attempt);
  strcpy(message.plugin, plugin);
  message.plugin_type = 1;
  message.transport = WARP_TCP;
  message.route_type = WARP_NIC_BIND;
  return message;
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)arg;
  (void)node;
  (void)pipe;
  (void)report;
  fail();
}

typedef struct scene {
  peers both;
  rogue evil;
  printer printer;
} scene;

static void scene_open(scene *self, const char *profile) {
  peers_build(&self->both, profile, "open", 35);
  peer_start(&self->both.a);
  assert_int_equal(self->both.a.start_status, WARP_OK);
  assert_int_equal(warp_node_listen(self->both.a.node, on_pipe, NULL, NULL), WARP_OK);
  rogue_open(&self->evil, &self->both, &self->both.a, "192.0.2.200/25");
  warp_addr at;
  assert_int_equal(warp_addr_parse("10.0.1.77:9100", &at), WARP_OK);
  printer_open(&self->printer, self->both.net.site_a, &at);
  claim(&self->evil, &at);
}

static void scene_close(scene *self) {
  rogue_close(&self->evil);
  printer_close(&self->printer);
  peers_free(&self->both);
}

static void wait_ms(scene *self, uint64_t ms) {
  assert_int_equal(sim_run_for(self->both.net.world, ms * MS), WARP_OK);
}

/* A stranger that names a host of our LAN has it probed a few times, and never dialled. */
static void test_stranger_names_a_host_of_ours(void **state) {
  (void)state;
  static scene self;
  scene_open(&self, "port-restricted");
  static const char *const names[] = {"reverse_connect", "direct_connect"};
  for (uint16_t i = 0; i < 2; i++) {
    wg_message message = open_message(&self.evil, (uint16_t)(i + 1), names[i]);
    rogue_send(&self.evil, &message);
  }
  wait_ms(&self, 3300);
  assert_int_equal(self.printer.streams, 0);
  assert_int_equal(self.printer.datagrams, 2 * WG_PROOF_PROBES);
  assert_int_equal(self.evil.got[WG_MESSAGE_FAIL], 2);
  assert_int_equal(self.evil.status, WARP_UNREACHABLE);
  wait_ms(&self, 20000);
  assert_int_equal(self.printer.streams, 0);
  assert_int_equal(self.printer.datagrams, 2 * WG_PROOF_PROBES);
  scene_close(&self);
}

/* However many addresses its record has, a session sends so many packets and no more. */
static void test_stranger_names_many(void **state) {
  (void)state;
  static scene self;
  static const char *const names[] = {"reverse_connect", "direct_connect", "tcp_punch"};
  scene_open(&self, "port-restricted");
  wg_record *record = &self.evil.record;
  for (size_t i = 1; i < WG_RECORD_ENDPOINTS; i++) {
    record->endpoints[i] = record->endpoints[0];
    record->endpoints[i].external_udp.port = (uint16_t)(40000 + i);
  }
  record->endpoint_count = WG_RECORD_ENDPOINTS;
  rogue_sign(&self.evil);
  for (uint16_t i = 0; i < 3 * WG_RECORD_ENDPOINTS; i++) {
    wg_message message = open_message(&self.evil, (uint16_t)(i + 1), names[i % 3]);
    message.endpoint_self = (uint8_t)(i / 3);
    rogue_send(&self.evil, &message);
    wait_ms(&self, 10);
  }
  wait_ms(&self, 5000);
  assert_int_equal(self.printer.datagrams, WG_PROOF_SESSION);
  assert_int_equal(self.printer.streams, 0);
  scene_close(&self);
}

/* b was in our network when it said so, and is elsewhere now. The way through the NATs has not
 * waited for that. */
static void test_neighbour_that_left(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", 38);
  sim_host_join(both.net.b, both.net.site_a, "10.0.1.9/24");
  peers_start(&both);
  sim_host_remove_address(both.net.b, "10.0.1.9");
  peers_connect(&both, &(warp_connect_options){.transports = WARP_TCP, .no_relay = true});
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "tcp_punch");
  assert_non_null(peer_row(&both.a, "direct_connect", WARP_NIC_BIND));
  assert_in_range(took_us(&both), 100 * MS, 150 * MS);
  peers_free(&both);
}

/* Where no direct way is left, the relay is not kept waiting for it. */
static void test_relay_instead_of_a_neighbour_that_left(void **state) {
  (void)state;
  peers both;
  peers_build(&both, "symmetric", "symmetric", 39);
  sim_host_join(both.net.b, both.net.site_a, "10.0.1.9/24");
  peers_start(&both);
  sim_host_remove_address(both.net.b, "10.0.1.9");
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_true(both.a.info.relayed);
  assert_in_range(took_us(&both), 3000 * MS, 3600 * MS);
  peers_free(&both);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  assert_null(pipe);
  assert_int_equal(status, WARP_ALL_FAILED);
  assert_int_equal(report->rows[0].status, WARP_UNREACHABLE);
  assert_string_equal(report->rows[0].detail,
                      "nothing of the peer came from 10.0.1.77:9100: not the same network");
  *(bool *)arg = true;
}

/* The same of a record that we connect to. */
static void test_we_call_a_liar(void **state) {
  (void)state;
  static scene self;
  scene_open(&self, "port-restricted");
  bool done = false;
  assert_int_equal(warp_node_connect(self.both.a.node, 0, WARP_NIC_BIND, self.evil.bytes,
                                     self.evil.len, "direct_connect", NULL, on_connect, &done),
                   WARP_OK);
  wait_ms(&self, 3140);
  assert_false(done);
  wait_ms(&self, 20);
  assert_true(done);
  assert_int_equal(self.printer.streams, 0);
  assert_int_equal(self.printer.datagrams, WG_PROOF_PROBES);
  scene_close(&self);
}

/* ---- answers that prove nothing -------------------------------------------------------------- */

static void count_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)data;
  (void)len;
  (void)from;
  ++*(unsigned *)arg;
}

static void tag_of(const rogue *evil, uint16_t number, uint8_t tag[WG_TAG_LEN]) {
  uint8_t salt[WG_SESSION_LEN + 2], tags[2 * WG_TAG_LEN];
  memcpy(salt, evil->session.bytes, WG_SESSION_LEN);
  salt[WG_SESSION_LEN] = (uint8_t)(number >> 8);
  salt[WG_SESSION_LEN + 1] = (uint8_t)number;
  assert_int_equal(wg_identity_agree(evil->identity, &evil->victim.key, "warpgate tags v1", salt,
                                     sizeof salt, tags, sizeof tags),
                   WARP_OK);
  memcpy(tag, tags, WG_TAG_LEN); /* the initiator's */
}

/* From outside, through a NAT that lets in everybody: no answer that would tell a number. From the
 * right address, by whoever may send as it likes there: not without the number. */
static void test_wrong_answers(void **state) {
  (void)state;
  static scene self;
  scene_open(&self, "full-cone");
  const warp_endpoint *victim = &self.evil.victim.endpoints[0];
  unsigned answers = 0;
  wg_udp *udp;
  warp_addr any = {.family = WARP_IP4};
  assert_int_equal(
      self.evil.env->ops->udp_open(self.evil.env, &any, 0, count_datagram, &answers, &udp),
      WARP_OK);
  wg_message message = open_message(&self.evil, 1, "reverse_connect");
  rogue_send(&self.evil, &message);
  uint8_t packet[WG_PROBE_LEN], tag[WG_TAG_LEN];
  tag_of(&self.evil, 1, tag);
  for (uint32_t i = 0; i < 100; i++) {
    wait_ms(&self, 10);
    wg_probe_encode(packet, tag, i + 1, i % 20);
    assert_int_equal(
        self.evil.env->ops->udp_send(udp, &victim->external_udp, packet, sizeof packet), WARP_OK);
    assert_int_equal(
        self.printer.env->ops->udp_send(self.printer.udp, &victim->nic, packet, sizeof packet),
        WARP_OK);
  }
  wait_ms(&self, 3000);
  assert_int_equal(answers, 0);
  assert_int_equal(self.printer.streams, 0);
  assert_in_range(self.printer.datagrams, WG_PROOF_PROBES, WG_PROOF_SENT);
  assert_int_equal(self.evil.status, WARP_UNREACHABLE);
  self.evil.env->ops->udp_close(udp);
  scene_close(&self);
}

/* The right number proves it from the right address only: what is right is shown at the end. */
static void test_right_number_from_elsewhere(void **state) {
  (void)state;
  static scene self;
  scene_open(&self, "full-cone");
  const warp_endpoint *victim = &self.evil.victim.endpoints[0];
  wg_env *env = self.evil.env;
  unsigned answers = 0;
  wg_udp *udp;
  warp_addr any = {.family = WARP_IP4};
  assert_int_equal(env->ops->udp_open(env, &any, 0, count_datagram, &answers, &udp), WARP_OK);
  wg_message message = open_message(&self.evil, 1, "reverse_connect");
  rogue_send(&self.evil, &message);
  wait_ms(&self, 100);
  uint8_t packet[WG_PROBE_LEN], tag[WG_TAG_LEN];
  tag_of(&self.evil, 1, tag);
  assert_true(self.printer.number > 0);
  wg_probe_encode(packet, tag, 1, self.printer.number);
  assert_int_equal(env->ops->udp_send(udp, &victim->external_udp, packet, sizeof packet), WARP_OK);
  wait_ms(&self, 100);
  assert_int_equal(answers, 0);
  assert_int_equal(self.printer.streams, 0);
  wg_env *inside = self.printer.env;
  assert_int_equal(inside->ops->udp_send(self.printer.udp, &victim->nic, packet, sizeof packet),
                   WARP_OK);
  wait_ms(&self, 100);
  assert_int_equal(self.printer.streams, 1);
  env->ops->udp_close(udp);
  scene_close(&self);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_technique),
      cmocka_unit_test(test_second_interface),
      cmocka_unit_test(test_public_lan),
      cmocka_unit_test(test_strict),
      cmocka_unit_test(test_lost_message),
      cmocka_unit_test(test_no_broker),
      cmocka_unit_test(test_stranger_names_a_host_of_ours),
      cmocka_unit_test(test_stranger_names_many),
      cmocka_unit_test(test_neighbour_that_left),
      cmocka_unit_test(test_relay_instead_of_a_neighbour_that_left),
      cmocka_unit_test(test_we_call_a_liar),
      cmocka_unit_test(test_wrong_answers),
      cmocka_unit_test(test_right_number_from_elsewhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
