/* The allocation: made, kept, refused, lost and given back. */
#include "base/addr.h"
#include "turn_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- allocating ------------------------------------------------------------------------------ */

static void test_allocates(void **state) {
  (void)state;
  rig_allocate();
  assert_int_equal(rig.server.requests[WG_TURN_ALLOCATE], 2); /* without credentials, then with */
  assert_int_equal(rig.server.last_lifetime_s, WG_TURN_LIFETIME_S);
  warp_addr relayed = rig_addr("203.0.113.10:50000"), mapped = rig_addr("192.0.2.7:40000");
  assert_true(wg_addr_equal(&rig.client.relayed, &relayed));
  assert_true(wg_addr_equal(&rig.client.mapped, &mapped));
}

static void test_open_server(void **state) {
  (void)state;
  rig.server.open = true;
  rig_allocate();
  assert_int_equal(rig.server.requests[WG_TURN_ALLOCATE], 1);
}

static void test_wrong_password(void **state) {
  (void)state;
  wg_turn_options options = rig_options("wrong");
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_OK);
  rig_pump();
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_AUTH, 401);
  assert_string_equal(rig.events[0].reason, "No? good");
  assert_int_equal(rig.client.state, WG_TURN_ENDED);
  assert_int_equal(rig.server.requests[WG_TURN_ALLOCATE], 2); /* no third try */
  assert_true(wg_turn_client_deadline(&rig.client) == UINT64_MAX);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    unsigned code;
    int status;
  } rows[] = {{486, WARP_QUOTA},   {508, WARP_QUOTA},   {403, WARP_UNTRUSTED},
              {437, WARP_REFUSED}, {300, WARP_REFUSED}, {500, WARP_REFUSED}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int is_unsigned = 0; is_unsigned < 2; is_unsigned++) {
      rig_setup(NULL);
      rig.server.error = rows[i].code;
      rig.server.error_method = WG_TURN_ALLOCATE;
      rig.server.error_unsigned = is_unsigned;
      rig_pump();
      assert_int_equal(rig.event_count, 1);
      rig_check_event(0, WG_TURN_EVENT_ENDED, rows[i].status, rows[i].code);
    }
  }
}

static void test_forged_answers(void **state) {
  (void)state;
  rig.server.forge = true;
  rig_pump();
  assert_int_equal(rig.client.state, WG_TURN_ALLOCATING);
  assert_int_equal(rig.event_count, 0);
  rig.server.error = 486;
  rig.server.error_method = WG_TURN_ALLOCATE;
  rig_run_for(1); /* a retransmission, answered by an error with a wrong signature */
  assert_int_equal(rig.client.state, WG_TURN_ALLOCATING);
  rig.server.forge = false;
  rig.server.error = 0;
  rig_run_for(2);
  assert_int_equal(rig.client.state, WG_TURN_ALLOCATED);
}

static void test_dead_server(void **state) {
  (void)state;
  rig.server.silent = true;
  rig_run_for(39);
  assert_int_equal(rig.event_count, 0);
  rig_run_for(1);
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_TIMEOUT, 0);
  assert_string_equal(rig.events[0].reason, "");
  assert_int_equal(rig.server.requests[WG_TURN_ALLOCATE], 7);
}

static void test_stale_nonces(void **state) {
  (void)state;
  rig.server.stale = 2;
  rig_allocate();
  assert_int_equal(rig.server.requests[WG_TURN_ALLOCATE], 4);
  rig_setup(NULL);
  rig.server.stale = 1000;
  rig_pump();
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_REFUSED, 438);
  assert_in_range(rig.server.requests[WG_TURN_ALLOCATE], 3, 6);
}

static void test_family(void **state) {
  (void)state;
  const uint8_t *bytes;
  size_t len;
  wg_stun_message message;
  uint32_t family;
  wg_turn_options options = rig_options("secret");
  for (int v6 = 0; v6 < 2; v6++) {
    options.family = v6 ? WARP_IP6 : 0;
    options.lifetime_s = 777;
    assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_OK);
    assert_true(wg_turn_client_output(&rig.client, rig.now_us, &bytes, &len));
    assert_int_equal(wg_stun_decode(bytes, len, &message), WARP_OK);
    assert_int_equal(wg_stun_find_u32(&message, WG_TURN_REQUESTED_ADDRESS_FAMILY, &family), v6);
    assert_true(!v6 || family == 2u << 24);
    assert_true(wg_stun_find_u32(&message, WG_TURN_LIFETIME, &family) && family == 777);
  }
}

/* ---- keeping --------------------------------------------------------------------------------- */

static void test_refreshes(void **state) {
  (void)state;
  rig_allocate();
  rig_run_for(539);
  assert_int_equal(rig.server.requests[WG_TURN_REFRESH], 0);
  rig_run_for(2); /* 60 s before the end */
  assert_int_equal(rig.server.requests[WG_TURN_REFRESH], 1);
  rig_run_for(3600);
  assert_int_equal(rig.server.requests[WG_TURN_REFRESH], 7);
  assert_int_equal(rig.event_count, 0);
  assert_int_equal(rig.client.state, WG_TURN_ALLOCATED);
}

static void test_short_lifetimes(void **state) {
  (void)state;
  rig.server.granted_s = 100;
  rig_allocate();
  rig_run_for(49);
  assert_int_equal(rig.server.requests[WG_TURN_REFRESH], 0);
  rig_run_for(2); /* half of it: a margin of 60 s would leave little */
  assert_int_equal(rig.server.requests[WG_TURN_REFRESH], 1);
  rig_setup(NULL);
  rig.server.granted_s = 1;
  rig_allocate();
  rig_run_for(10);
  assert_in_range(rig.server.requests[WG_TURN_REFRESH], 9, 11); /* no faster than once a second */
}

static void test_refresh_fails(void **state) {
  (void)state;
  rig_allocate();
  rig.server.error = 437;
  rig.server.error_method = WG_TURN_REFRESH;
  rig_run_for(541);
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_REFUSED, 437);
  rig_setup(NULL);
  rig_allocate();
  rig.server.silent = true;
  rig_run_for(541);
  assert_int_equal(rig.event_count, 0);
  rig_run_for(58); /* known before the allocation is gone */
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_TIMEOUT, 0);
}

static void test_nonce_gets_stale_later(void **state) {
  (void)state;
  rig_allocate();
  warp_addr peer = rig_addr("192.0.2.9:9");
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_OK);
  rig_pump();
  for (int hour = 0; hour < 3; hour++) {
    snprintf(rig.server.nonce, sizeof rig.server.nonce, "hour%d",
             hour); /* for refresh and permission alike */
    rig_run_for(3600);
  }
  assert_int_equal(rig.client.state, WG_TURN_ALLOCATED);
  assert_int_equal(rig.event_count, 1);
  rig_check_event(0, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_close(void **state) {
  (void)state;
  uint8_t bytes[64];
  warp_addr peer = rig_addr("192.0.2.9:9");
  rig_allocate();
  wg_turn_client_close(&rig.client, rig.now_us);
  assert_int_equal(rig.client.state, WG_TURN_CLOSING);
  rig_pump();
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
  assert_int_equal(rig.server.last_lifetime_s, 0);
  assert_false(rig.server.allocated);
  assert_true(wg_turn_client_deadline(&rig.client) == UINT64_MAX);
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_STATE);
  assert_int_equal(wg_turn_client_send(&rig.client, &peer, "x", 1, bytes, sizeof bytes),
                   WARP_STATE);
  wg_turn_client_close(&rig.client, rig.now_us);
  rig_pump();
  assert_int_equal(rig.event_count, 1); /* once */
}

static void test_close_unanswered(void **state) {
  (void)state;
  rig_allocate();
  rig.server.silent = true;
  wg_turn_client_close(&rig.client, rig.now_us);
  rig_run_for(60);
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
}

static void test_close_while_allocating(void **state) {
  (void)state;
  const uint8_t *bytes, *data;
  size_t len, data_len;
  uint8_t copy[1024];
  warp_addr got, from = rig_server_addr();
  wg_turn_client_close(&rig.client, rig.now_us); /* nothing was asked for yet */
  rig_collect_events();
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
  assert_false(wg_turn_client_output(&rig.client, rig.now_us, &bytes, &len));

  /* The server makes the allocation, but the answer does not arrive before the close. */
  rig_setup(NULL);
  assert_true(wg_turn_client_output(&rig.client, rig.now_us, &bytes, &len));
  memcpy(copy, bytes, len);
  rig_serve(copy, len);
  assert_int_equal(rig_give(rig.server.answer, (int)rig.server.answer_len, &got, &data, &data_len),
                   WARP_OK);
  assert_true(wg_turn_client_output(&rig.client, rig.now_us, &bytes, &len));
  memcpy(copy, bytes, len);
  rig_serve(copy, len);
  assert_true(rig.server.allocated);
  wg_turn_client_close(&rig.client, rig.now_us);
  assert_int_equal(wg_turn_client_input(&rig.client, rig.server.answer, rig.server.answer_len,
                                        &from, rig.now_us, &got, &data, &data_len),
                   WARP_NOT_FOUND);
  rig_pump();
  assert_false(rig.server.allocated);
  rig_check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
}

static void test_bad_options(void **state) {
  (void)state;
  char longest[WG_TURN_USER_MAX + 1];
  memset(longest, 'a', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  wg_turn_options options = rig_options(NULL);
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_INVALID);
  options = rig_options(longest);
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_INVALID);
  options = rig_options(longest + 1);
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_OK);
  options.server = (warp_addr){0};
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_INVALID);
  options = rig_options("secret");
  options.random = NULL;
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_INVALID);
  options.random = rig_no_entropy;
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_IO);
}

static void test_randomness_fails_later(void **state) {
  (void)state;
  rig_allocate();
  rig.client.random = rig_no_entropy;
  warp_addr peer = rig_addr("192.0.2.9:9");
  assert_int_equal(wg_turn_client_permit(&rig.client, &peer, rig.now_us), WARP_IO);
  rig_pump();
  assert_int_equal(rig.event_count, 0); /* what a call returned is no event besides */
  rig_run_for(541);
  assert_int_equal(rig.events[rig.event_count - 1].type, WG_TURN_EVENT_ENDED);
  assert_int_equal(rig.events[rig.event_count - 1].status, WARP_IO);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_allocates, rig_setup),
      cmocka_unit_test_setup(test_open_server, rig_setup),
      cmocka_unit_test_setup(test_wrong_password, rig_setup),
      cmocka_unit_test_setup(test_refusals, rig_setup),
      cmocka_unit_test_setup(test_forged_answers, rig_setup),
      cmocka_unit_test_setup(test_dead_server, rig_setup),
      cmocka_unit_test_setup(test_stale_nonces, rig_setup),
      cmocka_unit_test_setup(test_family, rig_setup),
      cmocka_unit_test_setup(test_refreshes, rig_setup),
      cmocka_unit_test_setup(test_short_lifetimes, rig_setup),
      cmocka_unit_test_setup(test_refresh_fails, rig_setup),
      cmocka_unit_test_setup(test_nonce_gets_stale_later, rig_setup),
      cmocka_unit_test_setup(test_close, rig_setup),
      cmocka_unit_test_setup(test_close_unanswered, rig_setup),
      cmocka_unit_test_setup(test_close_while_allocating, rig_setup),
      cmocka_unit_test_setup(test_bad_options, rig_setup),
      cmocka_unit_test_setup(test_randomness_fails_later, rig_setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
