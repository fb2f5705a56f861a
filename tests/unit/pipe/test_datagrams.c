/* Pipes over a wire that loses, repeats and reorders datagrams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pipe_rig.h"

static const uint8_t *received(const rig_end *end) {
  return wg_queue_front(&end->received);
}

static void connect_messages(pipe_rig *rig) {
  rig_init(rig, WARP_MESSAGES);
  rig_connect(rig, RIG_HELLO_LEN);
  rig_run(rig, 100);
}

/* ---- handshakes ------------------------------------------------------------------------------ */

static void hundred_handshakes_over_a_bad_wire(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.loss_pct = 20;
  rig.duplicate_pct = 10;
  rig.reorder_pct = 30;
  for (unsigned i = 0; i < 100; i++) {
    bool server_chooses = i % 2 == 1;
    rig.client.nominate = !server_chooses;
    rig.server.nominate = server_chooses;
    rig_connect(&rig, i % 4 < 2 ? RIG_HELLO_LEN : 3000);
    rig_end *initiator = server_chooses ? &rig.server : &rig.client;
    rig_run(&rig, 5000);
    assert_int_equal(initiator->other->nominated, 1);
    wg_pipe_kill(rig.client.pipe, WARP_CANCELED);
    warp_pipe_close(rig.client.pipe);
    wg_pipe_kill(rig.server.pipe, WARP_CANCELED);
    warp_pipe_close(rig.server.pipe);
    rig_reset(&rig);
  }
  rig_connect(&rig, RIG_HELLO_LEN);
  rig_free(&rig);
}

/* Each datagram of the handshake lost in turn, alone: the repetition after 200 ms mends it. */
static void each_datagram_may_be_lost(void **state) {
  (void)state;
  for (unsigned side = 0; side < 2; side++) {
    for (unsigned nth = 0; nth < (side == 0 ? 5u : 3u); nth++) {
      pipe_rig rig;
      rig_init(&rig, WARP_MESSAGES);
      rig_end *victim = side == 0 ? &rig.client : &rig.server;
      victim->out.drop_at = nth + 1;
      rig_open(&rig, 3000);
      rig_run(&rig, 700);
      assert_int_equal(rig.client.secured, 1);
      assert_int_equal(rig.server.secured, 1);
      assert_int_equal(rig.server.nominated, 1);
      assert_in_range(victim->out.sent, nth + 1, 20);
      rig_free(&rig);
    }
  }
}

/* A peer may be unreachable for longer than OpenSSL's twelve repetitions. */
static void first_flight_is_repeated_for_as_long_as_it_takes(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.client.out.black_hole = true;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 120000);
  assert_int_equal(rig.client.failed, 0);
  /* 200, 400, 800, 1600 and then every 2000 ms */
  assert_int_equal(rig.client.out.sent, 1 + 4 + (120000 - 3000) / 2000);
  rig.client.out.black_hole = false;
  assert_true(rig_run_until(&rig, &rig.server.nominated, 2200));
  rig_free(&rig);
}

static void retransmits_at_once_to_a_new_address(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.client.out.black_hole = true;
  rig_open(&rig, RIG_HELLO_LEN);
  wg_pipe_retransmit(rig.server.pipe); /* nothing to repeat yet */
  assert_int_equal(rig.server.out.sent, 0);
  rig_run(&rig, 30500);
  rig.client.out.black_hole = false;
  unsigned before = rig.client.out.sent;
  wg_pipe_retransmit(rig.client.pipe);
  assert_int_equal(rig.client.out.sent, before + 1);
  rig_run(&rig, 150);
  assert_int_equal(rig.server.nominated, 1);
  before = rig.client.out.sent;
  wg_pipe_retransmit(rig.client.pipe); /* nothing is under way */
  assert_int_equal(rig.client.out.sent, before);
  rig_free(&rig);
}

static void retransmits_the_servers_flight_too(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.server.out.black_hole = true;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 90);
  rig.server.out.black_hole = false;
  wg_pipe_retransmit(rig.server.pipe);
  rig_run(&rig, 100);
  assert_int_equal(rig.client.secured, 1);
  rig_free(&rig);
}

/* The server learns that its last flight arrived from the first record of the client; a client that
 * has nothing to say answers the repetition. */
static void last_flight_is_repeated_until_it_is_known_to_have_arrived(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.client.nominate = false;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 10000);
  assert_int_equal(rig.server.out.sent, 2 + 1);
  assert_int_equal(rig.client.out.sent, 2 + 1);
  rig_free(&rig);

  rig_init(&rig, WARP_MESSAGES);
  rig.client.nominate = false;
  rig.server.out.drop_at = 2;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 10000);
  assert_int_equal(rig.client.secured, 1);
  rig_free(&rig);
}

static void a_server_that_gets_no_hello_waits_without_a_word(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig_open_end(&rig, &rig.server, NULL, 0);
  rig_run(&rig, 300000);
  assert_int_equal(rig.server.out.sent, 0);
  assert_int_equal(rig.server.failed, 0);
  rig_open_end(&rig, &rig.client, wg_identity_key(rig.server.identity), RIG_HELLO_LEN);
  assert_true(rig_run_until(&rig, &rig.server.nominated, 200));
  rig_free(&rig);
}

/* ---- nomination ------------------------------------------------------------------------------ */

static void nomination_is_repeated_until_confirmed(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig_open(&rig, RIG_HELLO_LEN);
  assert_true(rig_run_until(&rig, &rig.server.secured, 1000));
  rig.client.out.black_hole = true; /* the nomination and three repetitions */
  rig_run(&rig, 1500);
  assert_int_equal(rig.client.out.sent, 2 + 4);
  assert_int_equal(rig.server.nominated, 0);
  rig.client.out.black_hole = false;
  rig.server.out.black_hole = true; /* and now the confirmation */
  rig_run(&rig, 4000);
  assert_int_equal(rig.server.nominated, 1);
  rig.server.out.black_hole = false;
  rig_run(&rig, 4000);
  unsigned sent = rig.client.out.sent;
  rig_run(&rig, 4000);
  assert_int_equal(rig.client.out.sent, sent);
  assert_int_equal(rig.server.nominated, 1);
  rig_free(&rig);
}

static void send_one(rig_end *end) {
  assert_int_equal(warp_pipe_send(end->pipe, "first", 5), WARP_OK);
}

static void data_implies_the_nomination(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.client.out.drop_at = 3; /* the nomination */
  rig.client.on_secured = send_one;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 110);
  assert_int_equal(rig.server.nominated, 1);
  assert_int_equal(rig.server.messages, 1);
  rig_run(&rig, 5000);
  assert_int_equal(rig.server.nominated, 1);
  assert_int_equal(rig.client.out.sent, 4); /* confirmed, so never repeated */
  rig_free(&rig);
}

static void data_of_the_responder_confirms(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.server.out.drop_at = 4; /* the confirmation, after the data */
  rig.server.on_nominated = send_one;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 5000);
  assert_int_equal(rig.client.messages, 1);
  assert_int_equal(rig.client.out.sent, 3);
  rig_free(&rig);
}

static void loser_hears_that_it_was_not_chosen(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.client.nominate = false;
  rig_open(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 200);
  wg_pipe_discard(rig.client.pipe);
  rig.client.pipe = NULL;
  rig_run(&rig, 50);
  assert_int_equal(rig.server.failed, 1);
  assert_int_equal(rig.server.fail_status, WARP_CLOSED);
  rig_free(&rig);
}

/* ---- data ------------------------------------------------------------------------------------ */

static void messages_keep_their_boundaries(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  uint8_t big[WARP_MESSAGE_MAX + 1];
  memset(big, 0x5a, sizeof big);
  assert_int_equal(warp_pipe_send(rig.client.pipe, big, WARP_MESSAGE_MAX), WARP_OK);
  rig_run(&rig, 50);
  assert_int_equal(rig.server.messages, 1);
  assert_int_equal(rig.server.received.len, WARP_MESSAGE_MAX);
  assert_memory_equal(received(&rig.server), big, WARP_MESSAGE_MAX);
  assert_in_range(rig.client.out.largest, WARP_MESSAGE_MAX, WG_DTLS_MTU);
  assert_int_equal(warp_pipe_send(rig.client.pipe, NULL, 0), WARP_OK);
  rig_run(&rig, 50);
  assert_int_equal(rig.server.messages, 2);
  assert_int_equal(rig.server.received.len, WARP_MESSAGE_MAX);

  assert_int_equal(warp_pipe_send(rig.client.pipe, big, sizeof big), WARP_TOO_BIG);
  assert_int_equal(warp_pipe_send(rig.client.pipe, NULL, 1), WARP_INVALID);
  assert_int_equal(warp_pipe_send(NULL, big, 1), WARP_INVALID);
  assert_int_equal(warp_pipe_shutdown(rig.client.pipe), WARP_UNSUPPORTED);
  assert_int_equal(warp_pipe_shutdown(NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_set_handlers(NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_get_info(rig.client.pipe, NULL), WARP_INVALID);
  warp_pipe_close(NULL);
  rig_free(&rig);
}

static void no_message_arrives_twice(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  rig.duplicate_pct = 100;
  rig.reorder_pct = 50;
  for (uint8_t i = 0; i < 200; i++) {
    assert_int_equal(warp_pipe_send(rig.client.pipe, &i, 1), WARP_OK);
    rig_run(&rig, 5);
  }
  rig_run(&rig, 200);
  bool seen[200] = {false};
  for (size_t i = 0; i < rig.server.received.len; i++) {
    uint8_t which = received(&rig.server)[i];
    assert_false(seen[which]);
    seen[which] = true;
  }
  assert_int_equal(rig.server.messages, 200);
  rig_free(&rig);
}

static void waits_for_the_application(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.server.adopt = false;
  rig_connect(&rig, RIG_HELLO_LEN);
  for (uint8_t i = 0; i < 10; i++) {
    warp_pipe_send(rig.client.pipe, &i, 1);
    rig_run(&rig, 1);
  }
  rig_close(&rig.client);
  rig_run(&rig, 100);
  assert_int_equal(rig.server.messages + rig.server.ended, 0);
  rig_adopt(&rig.server);
  assert_int_equal(rig.server.messages, 0); /* not before the adopting callback has returned */
  rig_run(&rig, 0);
  assert_int_equal(rig.server.messages, 10);
  for (uint8_t i = 0; i < 10; i++) {
    assert_int_equal(received(&rig.server)[i], i);
  }
  assert_int_equal(rig.server.ended, 1);
  assert_int_equal(rig.server.end_status, WARP_CLOSED);
  rig_free(&rig);
}

static void what_waits_is_bounded(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.server.adopt = false;
  rig_connect(&rig, RIG_HELLO_LEN);
  uint8_t message[1000] = {0};
  for (unsigned i = 0; i < 1000; i++) {
    assert_int_equal(warp_pipe_send(rig.client.pipe, message, sizeof message), WARP_OK);
  }
  rig_run(&rig, 100);
  rig_adopt(&rig.server);
  rig_run(&rig, 10);
  assert_in_range(rig.server.messages, 30, 70);
  assert_int_equal(warp_pipe_send(rig.client.pipe, message, 1), WARP_OK);
  unsigned before = rig.server.messages;
  rig_run(&rig, 50);
  assert_int_equal(rig.server.messages, before + 1);
  rig_free(&rig);
}

static void full_socket_buffer_is_told(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  rig.client.out.blocked = 1;
  assert_int_equal(warp_pipe_send(rig.client.pipe, "a", 1), WARP_AGAIN);
  assert_int_equal(rig.client.drained, 0);
  rig_run(&rig, 10);
  assert_int_equal(rig.client.drained, 1);
  assert_int_equal(warp_pipe_send(rig.client.pipe, "b", 1), WARP_OK);
  rig_run(&rig, 50);
  assert_int_equal(rig.client.drained, 1);
  assert_int_equal(rig.server.messages, 1);
  rig.client.out.blocked = 1;
  assert_int_equal(warp_pipe_send(rig.client.pipe, "a", 1), WARP_AGAIN);
  wg_pipe_carrier_drained(rig.client.pipe); /* a carrier that knows may say so */
  assert_int_equal(rig.client.drained, 2);
  rig_run(&rig, 50);
  assert_int_equal(rig.client.drained, 2);
  rig_free(&rig);
}

/* ---- life and death -------------------------------------------------------------------------- */

static void idle_pipe_is_kept_alive(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  unsigned before = rig.client.out.sent + rig.server.out.sent;
  rig_run(&rig, 600000);
  assert_int_equal(rig.client.ended + rig.server.ended, 0);
  unsigned each_way = (rig.client.out.sent + rig.server.out.sent - before) / 2;
  assert_in_range(each_way, 600 / 15 - 2, 600 / 15 * 2 + 2);
  assert_int_equal(rig.client.messages + rig.server.messages, 0);
  rig_free(&rig);
}

static void survives_what_is_shorter_than_death(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  rig.client.out.black_hole = rig.server.out.black_hole = true;
  rig_run(&rig, 40000);
  rig.client.out.black_hole = rig.server.out.black_hole = false;
  rig_run(&rig, 200000);
  assert_int_equal(rig.client.ended + rig.server.ended, 0);
  rig_free(&rig);
}

static void dead_peer_is_noticed(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  rig.server.out.black_hole = true;
  rig_run(&rig, WG_PIPE_DEAD_MS - 1000);
  assert_int_equal(rig.client.ended, 0);
  rig_run(&rig, 1100);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.client.end_status, WARP_TIMEOUT);
  assert_int_equal(warp_pipe_send(rig.client.pipe, "x", 1), WARP_CLOSED);
  rig_run(&rig, 200000);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.server.ended, 1);
  rig_free(&rig);
}

static void closing_is_told_and_answered(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  warp_pipe_send(rig.client.pipe, "last", 4);
  rig_close(&rig.client);
  assert_int_equal(rig.client.on_closed, 0);
  rig_run(&rig, 45);
  assert_int_equal(rig.client.on_closed, 1); /* the answer is here */
  assert_int_equal(rig.server.messages, 1);
  assert_int_equal(rig.server.ended, 1);
  assert_int_equal(rig.server.end_status, WARP_CLOSED);
  assert_int_equal(rig.client.ended, 0);
  rig_close(&rig.server);
  assert_int_equal(rig.server.on_closed, 1);
  rig_free(&rig);
}

static void closing_ends_without_an_answer(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  rig.client.out.drop_next = 2;
  rig_close(&rig.client);
  rig_run(&rig, 1000);
  assert_int_equal(rig.server.ended, 1); /* by the third try */
  rig_free(&rig);

  connect_messages(&rig);
  rig.client.out.black_hole = true;
  unsigned before = rig.client.out.sent;
  rig_close(&rig.client);
  rig_run(&rig, 1999);
  assert_int_equal(rig.client.on_closed, 0);
  rig_run(&rig, 1);
  assert_int_equal(rig.client.on_closed, 1);
  assert_int_equal(rig.client.out.sent, before + 4);
  rig_free(&rig);
}

static void closing_ends_with_the_carrier(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  rig_close(&rig.client);
  wg_pipe_carrier_ended(rig.client.pipe, WARP_UNREACHABLE);
  assert_int_equal(rig.client.on_closed, 1);
  assert_int_equal(rig.client.ended, 0);
  rig_free(&rig);
}

static void both_may_close_at_once(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  rig_close(&rig.client);
  rig_close(&rig.server);
  rig_run(&rig, 30);
  assert_int_equal(rig.client.on_closed, 1);
  assert_int_equal(rig.server.on_closed, 1);
  assert_int_equal(rig.client.ended + rig.server.ended, 0);
  rig_free(&rig);
}

static void close_me(rig_end *end) {
  rig_close(end);
}
static void close_on_data(rig_end *end, const uint8_t *data, size_t len) {
  (void)data;
  (void)len;
  rig_close(end);
}
static void kill_on_data(rig_end *end, const uint8_t *data, size_t len) {
  (void)data;
  (void)len;
  end->in_callback = false; /* on_end runs inside the node's close, as promised */
  wg_pipe_kill(end->pipe, WARP_CANCELED);
  end->in_callback = true;
}

static void may_be_closed_in_every_callback(void **state) {
  (void)state;
  for (int where = 0; where < 5; where++) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    rig.server.on_data = where == 0 ? close_on_data : where == 1 ? kill_on_data : NULL;
    rig.server.on_end = where == 2 ? close_me : NULL;
    rig.client.on_drain = where == 3 ? close_me : NULL;
    rig.server.on_nominated = where == 4 ? close_me : NULL;
    rig_connect(&rig, RIG_HELLO_LEN);
    for (int i = 0; i < 3; i++) {
      if (rig.client.out.captured_count > 0) {
        warp_pipe_send(rig.client.pipe, "data", 4);
      }
    }
    if (where == 3) {
      rig.client.out.blocked = 1;
      assert_int_equal(warp_pipe_send(rig.client.pipe, "x", 1), WARP_AGAIN);
      rig_run(&rig, 500);
      assert_int_equal(rig.client.on_closed, 1);
    } else if (where == 2) {
      rig_run(&rig, 100);
      rig_close(&rig.client);
    }
    rig_run(&rig, 3000);
    if (where == 1) {
      assert_int_equal(rig.server.end_status, WARP_CANCELED);
    }
    if (where != 1 && where != 3) {
      assert_int_equal(rig.server.on_closed, 1);
    }
    assert_in_range(rig.server.messages, 0, where < 2 ? 1 : 3);
    rig_free(&rig);
  }
}

static void carrier_that_fails_ends_it(void **state) {
  (void)state;
  pipe_rig rig;
  connect_messages(&rig);
  wg_pipe_carrier_ended(rig.client.pipe, WARP_UNREACHABLE);
  assert_int_equal(rig.client.ended, 0);
  rig_run(&rig, 0);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.client.end_status, WARP_UNREACHABLE);
  rig_free(&rig);
}

static void ends_between_nomination_and_adoption(void **state) {
  (void)state;
  for (int late = 0; late < 2; late++) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    rig.server.adopt = false;
    rig_connect(&rig, RIG_HELLO_LEN);
    wg_pipe_carrier_ended(rig.server.pipe, WARP_UNREACHABLE);
    if (late) {
      rig_run(&rig, 10); /* the session hears of it: on_failed */
      assert_int_equal(rig.server.failed, 1);
    } else {
      rig_adopt(&rig.server); /* the session did not know yet: the application hears of it */
      rig_run(&rig, 10);
      assert_int_equal(rig.server.failed, 0);
      assert_int_equal(rig.server.ended, 1);
    }
    rig_free(&rig);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hundred_handshakes_over_a_bad_wire),
      cmocka_unit_test(each_datagram_may_be_lost),
      cmocka_unit_test(first_flight_is_repeated_for_as_long_as_it_takes),
      cmocka_unit_test(retransmits_at_once_to_a_new_address),
      cmocka_unit_test(retransmits_the_servers_flight_too),
      cmocka_unit_test(last_flight_is_repeated_until_it_is_known_to_have_arrived),
      cmocka_unit_test(a_server_that_gets_no_hello_waits_without_a_word),
      cmocka_unit_test(nomination_is_repeated_until_confirmed),
      cmocka_unit_test(data_implies_the_nomination),
      cmocka_unit_test(data_of_the_responder_confirms),
      cmocka_unit_test(loser_hears_that_it_was_not_chosen),
      cmocka_unit_test(messages_keep_their_boundaries),
      cmocka_unit_test(no_message_arrives_twice),
      cmocka_unit_test(waits_for_the_application),
      cmocka_unit_test(what_waits_is_bounded),
      cmocka_unit_test(full_socket_buffer_is_told),
      cmocka_unit_test(idle_pipe_is_kept_alive),
      cmocka_unit_test(survives_what_is_shorter_than_death),
      cmocka_unit_test(dead_peer_is_noticed),
      cmocka_unit_test(closing_is_told_and_answered),
      cmocka_unit_test(closing_ends_without_an_answer),
      cmocka_unit_test(closing_ends_with_the_carrier),
      cmocka_unit_test(both_may_close_at_once),
      cmocka_unit_test(may_be_closed_in_every_callback),
      cmocka_unit_test(carrier_that_fails_ends_it),
      cmocka_unit_test(ends_between_nomination_and_adoption),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
