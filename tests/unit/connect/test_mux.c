/* The shared UDP socket: who gets which datagram, and what happens to the rest. */
#include "base/addr.h"
#include "connect/mux.h"
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct inbox {
  size_t packets, probes;
  uint8_t last[64];
  size_t last_len;
} inbox;

typedef struct fixture {
  sim_world *world;
  wg_env *here, *there;
  wg_mux mux;
  wg_udp *sender;
  inbox box[2], stun;
  wg_mux_tag tags[2];
} fixture;

static const uint8_t tag_values[2][WG_TAG_LEN] = {{1, 2, 3, 4, 5, 6, 7, 8},
                                                  {1, 2, 3, 4, 5, 6, 7, 9}};

static void on_packet(void *arg, const wg_carried *packet, const warp_addr *from) {
  (void)from;
  inbox *box = arg;
  box->packets += packet->payload != NULL;
  box->probes += packet->payload == NULL;
  box->last_len = packet->payload_len;
  if (packet->payload_len > 0)
    memcpy(box->last, packet->payload, packet->payload_len);
}

static void on_stun(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  on_packet(arg, &(wg_carried){.payload = data, .payload_len = len}, from);
}

static void ignore(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)arg;
  (void)data;
  (void)len;
  (void)from;
}

static int set_up(void **state) {
  static fixture f;
  memset(&f, 0, sizeof f);
  f.world = sim_world_new(1);
  sim_network *network = sim_network_new(f.world, "lan", NULL);
  f.here = sim_host_env(sim_host_new(network, "here", "192.0.2.1/24"));
  f.there = sim_host_env(sim_host_new(network, "there", "192.0.2.2/24"));
  warp_addr local, remote;
  assert_int_equal(warp_addr_parse("192.0.2.1:5000", &local), WARP_OK);
  assert_int_equal(warp_addr_parse("192.0.2.2:6000", &remote), WARP_OK);
  assert_int_equal(wg_mux_open(&f.mux, f.here, &local, 0), WARP_OK);
  f.mux.on_stun = on_stun;
  f.mux.stun_arg = &f.stun;
  assert_int_equal(f.there->ops->udp_open(f.there, &remote, 0, ignore, NULL, &f.sender), WARP_OK);
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(wg_mux_bind(&f.mux, &f.tags[i], tag_values[i], on_packet, &f.box[i]), WARP_OK);
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wg_mux_close(&f->mux);
  wg_mux_close(&f->mux); /* harmless */
  f->there->ops->udp_close(f->sender);
  assert_int_equal(sim_world_free(f->world), 0);
  return 0;
}

static void send(fixture *f, const void *bytes, size_t len) {
  assert_int_equal(f->there->ops->udp_send(f->sender, &f->mux.local, bytes, len), WARP_OK);
  assert_int_equal(sim_run_for(f->world, 1000000), WARP_OK);
}

static void send_probe(fixture *f, const uint8_t *tag) {
  uint8_t packet[WG_PROBE_LEN];
  send(f, packet, wg_probe_encode(packet, tag, 1, 0));
}

static void send_tagged(fixture *f, const uint8_t *tag, const char *payload) {
  uint8_t packet[64];
  size_t len = wg_carry_begin(packet, tag);
  memcpy(packet + len, payload, strlen(payload));
  send(f, packet, len + strlen(payload));
}

static void test_tags(void **state) {
  fixture *f = *state;
  send_tagged(f, tag_values[0], "one");
  send_tagged(f, tag_values[1], "two!");
  send_probe(f, tag_values[1]);
  assert_int_equal(f->box[0].packets, 1);
  assert_int_equal(f->box[0].last_len, 3);
  assert_memory_equal(f->box[0].last, "one", 3);
  assert_int_equal(f->box[1].packets, 1);
  assert_int_equal(f->box[1].probes, 1);
  assert_int_equal(f->mux.dropped, 0);
}

static void test_nobodys(void **state) {
  fixture *f = *state;
  static const uint8_t other[WG_TAG_LEN] = {1, 2, 3, 4, 5, 6, 7, 10};
  send_tagged(f, other, "stranger");
  send(f, "\xE7", 1);
  send(f, "\xE7\x57\x63\x07", 4);
  send(f, "GET / HTTP/1.1", 14);
  assert_int_equal(f->mux.dropped, 4);
  assert_int_equal(f->box[0].packets + f->box[1].packets + f->stun.packets, 0);
}

static void test_stun_by_first_byte(void **state) {
  fixture *f = *state;
  send(f, "\x01\x01 whatever", 11);
  assert_int_equal(f->stun.packets, 1);
  f->mux.on_stun = NULL;
  send(f, "\x01\x01 whatever", 11);
  assert_int_equal(f->stun.packets, 1);
  assert_int_equal(f->mux.dropped, 1);
}

static void test_unbound_tags_are_forgotten(void **state) {
  fixture *f = *state;
  wg_mux_unbind(&f->mux, &f->tags[0]);
  send_tagged(f, tag_values[0], "late");
  assert_int_equal(f->box[0].packets, 0);
  assert_int_equal(f->mux.dropped, 1);
  assert_int_equal(f->mux.tag_count, 1);
}

static void test_limit(void **state) {
  fixture *f = *state;
  static wg_mux_tag many[WG_MUX_TAGS];
  size_t bound = 0;
  for (; bound < WG_MUX_TAGS; bound++) {
    uint8_t tag[WG_TAG_LEN] = {(uint8_t)bound, (uint8_t)(bound >> 8), 0xFF};
    if (wg_mux_bind(&f->mux, &many[bound], tag, on_packet, &f->box[0]) != WARP_OK)
      break;
  }
  assert_int_equal(bound, WG_MUX_TAGS - 2);
  while (bound > 0)
    wg_mux_unbind(&f->mux, &many[--bound]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_tags, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_nobodys, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_stun_by_first_byte, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_unbound_tags_are_forgotten, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
