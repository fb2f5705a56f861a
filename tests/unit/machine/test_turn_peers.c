/* Permissions, channels and the data that goes through them. */
#include "base/addr.h"
#include "turn_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- permissions ----------------------------------------------------------------------------- */

static void test_permissions(void **state) {
  (void)state;
  warp_addr peer = rig_addr("192.0.2.9:9"), same_ip = rig_addr("192.0.2.9:10"),
            other = rig_addr("192.0.2.8:9");
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us),
                   WARP_OK); /* before the allocation */
  rig_pump();
  assert_int_equal(rig.event_count, 2);
  rig_check_event(0, WG_TURN_EVENT_ALLOCATED, WARP_OK, 0);
  rig_check_event(1, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  assert_true(wg_addr_equal(&rig.events[1].peer, &peer));
  assert_int_equal(rig.events[1].channel, 0);
  assert_true(wg_addr_equal(&rig.server.last_peer, &peer));
  assert_int_equal(wg_turn_client_permit(&rig.client, &same_ip, rig.now_us), WARP_OK);
  rig_pump();
  assert_int_equal(rig.server.requests[WG_TURN_CREATE_PERMISSION],
                   1); /* it is the IP that is permitted */
  assert_int_equal(wg_turn_client_permit(&rig.client, &other, rig.now_us), WARP_OK);
  rig_pump();
  assert_int_equal(rig.server.requests[WG_TURN_CREATE_PERMISSION], 2);
  rig_run_for(239);
  assert_int_equal(rig.server.requests[WG_TURN_CREATE_PERMISSION], 2);
  rig_run_for(2);
  assert_int_equal(rig.server.requests[WG_TURN_CREATE_PERMISSION], 4);
  rig_run_for(3600);
  assert_int_equal(rig.server.requests[WG_TURN_CREATE_PERMISSION], 34);
  assert_int_equal(rig.event_count, 3); /* refreshes make no rig.events */
}

static void test_forbidden_peer(void **state) {
  (void)state;
  rig_allocate();
  warp_addr peer = rig_addr("192.0.2.9:9"), good = rig_addr("192.0.2.8:8");
  rig.server.error = 403;
  rig.server.error_method = WG_TURN_CREATE_PERMISSION;
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_OK);
  rig_pump();
  rig_check_event(0, WG_TURN_EVENT_FORBIDDEN, WARP_UNTRUSTED, 403);
  assert_true(wg_addr_equal(&rig.events[0].peer, &peer));
  assert_int_equal(rig.client.state, WG_TURN_ALLOCATED); /* the others go on */
  rig.server.error = 0;
  assert_int_equal(wg_turn_client_permit(&rig.client, &good, rig.now_us), WARP_OK);
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_OK); /* once more */
  rig_pump();
  assert_int_equal(rig.event_count, 3);
  rig_check_event(1, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  rig_check_event(2, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  rig.server.error = 500; /* a refresh that fails is told as well */
  rig_run_for(241);
  assert_int_equal(rig.event_count, 5);
  rig_check_event(3, WG_TURN_EVENT_FORBIDDEN, WARP_REFUSED, 500);
}

static void test_peer_limits(void **state) {
  (void)state;
  rig_allocate();
  for (unsigned i = 0; i < WG_TURN_PEERS; i++) {
    warp_addr peer = rig_addr("192.0.2.1:9");
    peer.ip[3] = (uint8_t)i;
    assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_OK);
  }
  warp_addr more = rig_addr("198.51.100.1:1"), v6 = rig_addr("[2001:db8::1]:1");
  assert_int_equal(wg_turn_client_permit(&rig.client, &more, rig.now_us), WARP_LIMIT);
  assert_int_equal(wg_turn_client_bind(&rig.client, &more, rig.now_us), WARP_LIMIT);
  assert_int_equal(wg_turn_client_permit(&rig.client, &v6, rig.now_us), WARP_INVALID);
  rig_pump();
  assert_int_equal(rig.server.requests[WG_TURN_CREATE_PERMISSION], WG_TURN_PEERS);
  assert_int_equal(rig.event_count, WG_TURN_PEERS);
}

/* ---- data ------------------------------------------------------------------------------------ */

static void test_indications(void **state) {
  (void)state;
  uint8_t bytes[256];
  const uint8_t *data;
  size_t data_len;
  wg_stun_message message;
  wg_stun_txid first;
  warp_addr peer = rig_addr("192.0.2.9:9"), other_port = rig_addr("192.0.2.9:10"), got;
  warp_addr stranger = rig_addr("192.0.2.66:66");
  rig_allocate();
  assert_int_equal(wg_turn_client_send(&rig.client, &peer, "x", 1, bytes, sizeof bytes),
                   WARP_STATE);
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_OK);
  rig_pump();

  int len = wg_turn_client_send(&rig.client, &other_port, "hello", 5, bytes, sizeof bytes);
  assert_true(len > 0);
  assert_int_equal(wg_stun_decode(bytes, (size_t)len, &message), WARP_OK);
  assert_int_equal(wg_turn_indication_decode(&message, WG_TURN_SEND, &got, &data, &data_len),
                   WARP_OK);
  assert_true(wg_addr_equal(&got, &other_port));
  assert_memory_equal(data, "hello", 5);
  first = message.txid;
  len = wg_turn_client_send(&rig.client, &peer, "hello", 5, bytes, sizeof bytes);
  assert_int_equal(wg_stun_decode(bytes, (size_t)len, &message), WARP_OK);
  assert_memory_not_equal(&first, &message.txid, sizeof first);
  assert_int_equal(wg_turn_client_send(&rig.client, &peer, "hello", 5, bytes, 40), WARP_TOO_BIG);

  len = wg_turn_indication_encode(WG_TURN_DATA, &first, &peer, "back", 4, bytes, sizeof bytes);
  assert_int_equal(rig_give(bytes, len, &got, &data, &data_len), WARP_OK);
  assert_true(wg_addr_equal(&got, &peer));
  assert_int_equal(data_len, 4);
  assert_memory_equal(data, "back", 4);
  len = wg_turn_indication_encode(WG_TURN_DATA, &first, &stranger, "back", 4, bytes, sizeof bytes);
  assert_int_equal(rig_give(bytes, len, &got, &data, &data_len), WARP_NOT_FOUND);
  assert_null(data);
  len = wg_turn_indication_encode(WG_TURN_DATA, &first, &peer, "back", 4, bytes, sizeof bytes);
  assert_int_equal(wg_turn_client_input(&rig.client, bytes, (size_t)len, &peer, rig.now_us, &got,
                                        &data, &data_len),
                   WARP_NOT_FOUND); /* not from the server */
  assert_int_equal(rig_give((const uint8_t *)"\x16\xfe\xfd", 3, &got, &data, &data_len),
                   WARP_MALFORMED);
}

static void test_channels(void **state) {
  (void)state;
  uint8_t bytes[256];
  const uint8_t *data;
  size_t data_len;
  warp_addr peer = rig_addr("192.0.2.9:9"), other_port = rig_addr("192.0.2.9:10"), got;
  rig_allocate();
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_OK);
  assert_int_equal(wg_turn_client_bind(&rig.client, &peer, rig.now_us), WARP_OK);
  rig_pump();
  assert_int_equal(rig.event_count, 2);
  uint16_t channel = rig.events[1].channel;
  assert_in_range(channel, WG_TURN_CHANNEL_MIN, WG_TURN_CHANNEL_MAX);
  assert_int_equal(rig.server.last_channel, channel);
  assert_int_equal(wg_turn_client_send(&rig.client, &peer, "hello", 5, bytes, sizeof bytes), 9);
  assert_int_equal(bytes[0] << 8 | bytes[1], channel);
  assert_true(wg_turn_client_send(&rig.client, &other_port, "hello", 5, bytes, sizeof bytes) > 40);

  int len = wg_turn_channel_encode(channel, "back", 4, bytes, sizeof bytes);
  assert_int_equal(rig_give(bytes, len, &got, &data, &data_len), WARP_OK);
  assert_true(wg_addr_equal(&got, &peer));
  assert_memory_equal(data, "back", 4);
  len = wg_turn_channel_encode((uint16_t)(channel + 1), "back", 4, bytes, sizeof bytes);
  assert_int_equal(rig_give(bytes, len, &got, &data, &data_len), WARP_NOT_FOUND);
  assert_null(data);
  rig_run_for(599); /* bindings live 600 s; both are renewed every 240 s */
  assert_int_equal(rig.server.requests[WG_TURN_CHANNEL_BIND], 3);
}

static void test_lost_channel_number_is_not_used_again(void **state) {
  (void)state;
  warp_addr peer = rig_addr("192.0.2.9:9"), other = rig_addr("192.0.2.8:8");
  rig_allocate();
  rig.server.error = 400;
  rig.server.error_method = WG_TURN_CHANNEL_BIND;
  assert_int_equal(wg_turn_client_bind(&rig.client, &peer, rig.now_us), WARP_OK);
  rig_pump();
  rig_check_event(0, WG_TURN_EVENT_FORBIDDEN, WARP_REFUSED, 400);
  rig.server.error = 0;
  assert_int_equal(wg_turn_client_bind(&rig.client, &other, rig.now_us), WARP_OK);
  rig_pump();
  rig_check_event(1, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  assert_int_not_equal(rig.events[1].channel, rig.events[0].channel);
  assert_int_equal(wg_turn_client_bind(&rig.client, &peer, rig.now_us), WARP_OK);
  rig_pump();
  rig_check_event(2, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  assert_int_equal(rig.events[2].channel, rig.events[0].channel);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_permissions, rig_setup),
      cmocka_unit_test_setup(test_forbidden_peer, rig_setup),
      cmocka_unit_test_setup(test_peer_limits, rig_setup),
      cmocka_unit_test_setup(test_indications, rig_setup),
      cmocka_unit_test_setup(test_channels, rig_setup),
      cmocka_unit_test_setup(test_lost_channel_number_is_not_used_again, rig_setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
