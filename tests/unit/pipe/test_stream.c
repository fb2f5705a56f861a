/* Pipes over a stream: bytes, back-pressure, ends of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipe/pipe_internal.h"
#include "pipe/secure_internal.h"
#include "pipe_rig.h"

static void connect_stream(pipe_rig *rig) {
  rig_init(rig, WARP_STREAM);
  rig_connect(rig, RIG_HELLO_LEN);
  rig_run(rig, 100);
}

static void assert_received(const rig_end *end, const char *text) {
  assert_int_equal(end->received.len, strlen(text));
  assert_memory_equal(wg_queue_front(&end->received), text, strlen(text));
}

/* ---- much data ------------------------------------------------------------------------------- */

enum { BIG = 24 << 20 };
static uint8_t *pattern; /* of BIG bytes */
static size_t sent_of_it, again_count;

static void send_more(rig_end *end) {
  while (sent_of_it < BIG) {
    size_t len = 1 + sent_of_it % WG_STREAM_SEND_MAX;
    len = len < BIG - sent_of_it ? len : BIG - sent_of_it;
    int status = warp_pipe_send(end->pipe, pattern + sent_of_it, len);
    if (status == WARP_AGAIN) {
      again_count++;
      return;
    }
    assert_int_equal(status, WARP_OK);
    sent_of_it += len;
    assert_in_range(end->out.bytes.len, 0, WG_PIPE_QUEUE_FULL + WG_STREAM_SEND_MAX * 1.01);
  }
}

static void make_pattern(pipe_rig *rig) {
  pattern = malloc(BIG);
  assert_non_null(pattern);
  for (size_t i = 0; i < BIG; i += 8) {
    uint64_t word = wg_rng_next(&rig->rng);
    memcpy(pattern + i, &word, 8);
  }
  sent_of_it = again_count = 0;
}

static void much_data_with_back_pressure(void **state) {
  (void)state;
  for (int small_carrier = 0; small_carrier < 2; small_carrier++) {
    pipe_rig rig;
    connect_stream(&rig);
    make_pattern(&rig);
    rig.client.on_drain = send_more;
    if (small_carrier) {
      rig.client.out.queue_max = 100000; /* it says WARP_AGAIN long before we do */
    }
    send_more(&rig.client);
    assert_true(again_count > 0);
    assert_int_equal(rig.client.drained, 0);
    rig_run(&rig, 60000);
    assert_int_equal(sent_of_it, BIG);
    assert_int_equal(rig.server.received.len, BIG);
    assert_memory_equal(wg_queue_front(&rig.server.received), pattern, BIG);
    assert_int_equal(rig.client.drained, again_count);
    free(pattern);
    rig_free(&rig);
  }
}

/* What is queued when the application closes still goes out, also what the carrier did not take. */
static void closing_sends_what_is_queued(void **state) {
  (void)state;
  for (int small_carrier = 0; small_carrier < 2; small_carrier++) {
    pipe_rig rig;
    connect_stream(&rig);
    make_pattern(&rig);
    if (small_carrier) {
      rig.client.out.queue_max = 50000;
    }
    assert_int_equal(warp_pipe_send(rig.client.pipe, pattern, 1 << 20), WARP_OK);
    rig_close(&rig.client);
    assert_int_equal(rig.client.on_closed, !small_carrier);
    rig_run(&rig, 1000);
    assert_int_equal(rig.client.on_closed, 1);
    assert_int_equal(rig.client.closed, 1);
    assert_int_equal(rig.server.received.len, 1 << 20);
    assert_memory_equal(wg_queue_front(&rig.server.received), pattern, 1 << 20);
    assert_int_equal(rig.server.ended, 1);
    assert_int_equal(rig.server.end_status, WARP_CLOSED);
    free(pattern);
    rig_free(&rig);
  }
}

static void closing_takes_two_seconds_at_most(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  uint8_t data[5000] = {0};
  rig.client.out.queue_max = 1000;
  rig.server.paused = true;
  assert_int_equal(warp_pipe_send(rig.client.pipe, data, sizeof data), WARP_OK);
  rig_close(&rig.client);
  rig_run(&rig, 1999);
  assert_int_equal(rig.client.on_closed, 0);
  rig_run(&rig, 1);
  assert_int_equal(rig.client.on_closed, 1);
  assert_int_equal(rig.client.resets, 1);
  rig.server.paused = false;
  rig_free(&rig);
}

static void closing_ends_with_the_carrier(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) {
    pipe_rig rig;
    connect_stream(&rig);
    uint8_t data[5000] = {0};
    rig.client.out.queue_max = 1000;
    rig.server.paused = true;
    assert_int_equal(warp_pipe_send(rig.client.pipe, data, sizeof data), WARP_OK);
    rig_close(&rig.client);
    if (how == 0) {
      wg_pipe_carrier_ended(rig.client.pipe, WARP_CLOSED); /* the peer's direction only */
    } else if (how == 1) {
      wg_pipe_carrier_ended(rig.client.pipe, WARP_RESET);
    } else {
      rig.client.out.broken = WARP_RESET;
      wg_pipe_carrier_drained(rig.client.pipe);
    }
    assert_int_equal(rig.client.on_closed, how > 0);
    assert_int_equal(rig.client.ended, 0);
    rig.server.paused = false;
    rig_free(&rig);
  }
}

static void sizes_are_checked(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  static uint8_t data[WG_STREAM_SEND_MAX + 1];
  assert_int_equal(warp_pipe_send(rig.client.pipe, data, sizeof data), WARP_TOO_BIG);
  assert_int_equal(warp_pipe_send(rig.client.pipe, data, 0), WARP_OK);
  assert_int_equal(warp_pipe_send(rig.client.pipe, NULL, 0), WARP_OK);
  rig_run(&rig, 100);
  assert_int_equal(rig.server.messages, 0);
  assert_int_equal(warp_pipe_send(rig.client.pipe, data, sizeof data - 1), WARP_OK);
  rig_run(&rig, 1000);
  assert_int_equal(rig.server.received.len, sizeof data - 1);
  rig_free(&rig);
}

static unsigned key_updates;
static void count_key_updates(int outgoing, int version, int type, const void *data, size_t len,
                              SSL *ssl, void *arg) {
  (void)version;
  (void)ssl;
  (void)arg;
  bool handshake = !outgoing && type == SSL3_RT_HANDSHAKE && len > 0;
  key_updates += handshake && *(const uint8_t *)data == SSL3_MT_KEY_UPDATE;
}

/* The sending key is replaced every 2^18 records, unseen by both applications. */
static void many_records_outlive_a_key(void **state) {
  (void)state;
  enum { COUNT = (1 << 18) + 1000 };
  pipe_rig rig;
  connect_stream(&rig);
  key_updates = 0;
  SSL_set_msg_callback(rig.server.pipe->secure->ssl, count_key_updates);
  for (unsigned i = 0; i < COUNT; i++) {
    uint8_t byte = (uint8_t)(i * 31);
    assert_int_equal(warp_pipe_send(rig.client.pipe, &byte, 1), WARP_OK);
    if (i % 10000 == 0) {
      rig_run(&rig, 100);
    }
  }
  rig_run(&rig, 1000);
  assert_int_equal(rig.server.received.len, COUNT);
  for (unsigned i = 0; i < COUNT; i++) {
    assert_int_equal(wg_queue_front(&rig.server.received)[i], (uint8_t)(i * 31));
  }
  assert_int_equal(key_updates, 1);
  assert_int_equal(warp_pipe_send(rig.server.pipe, "and back", 8), WARP_OK);
  rig_run(&rig, 100);
  assert_received(&rig.client, "and back");
  rig_free(&rig);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void half_close_leaves_the_other_direction_open(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  assert_int_equal(warp_pipe_send(rig.client.pipe, "question", 8), WARP_OK);
  assert_int_equal(warp_pipe_shutdown(rig.client.pipe), WARP_OK);
  assert_int_equal(warp_pipe_shutdown(rig.client.pipe), WARP_OK);
  assert_int_equal(warp_pipe_send(rig.client.pipe, "more", 4), WARP_CLOSED);
  rig_run(&rig, 100);
  assert_received(&rig.server, "question");
  assert_int_equal(rig.server.ended, 1);
  assert_int_equal(rig.server.end_status, WARP_CLOSED);
  assert_int_equal(rig.client.ended, 0);

  static uint8_t answer[300000];
  assert_int_equal(warp_pipe_send(rig.server.pipe, answer, sizeof answer), WARP_OK);
  rig_run(&rig, 100);
  assert_int_equal(rig.client.received.len, sizeof answer);
  rig_close(&rig.server);
  rig_run(&rig, 100);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.client.end_status, WARP_CLOSED);
  assert_int_equal(rig.server.ended, 1);
  rig_close(&rig.client);
  rig_free(&rig);
}

static void both_may_shut_down_at_once(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  warp_pipe_send(rig.client.pipe, "a", 1);
  warp_pipe_send(rig.server.pipe, "b", 1);
  warp_pipe_shutdown(rig.client.pipe);
  warp_pipe_shutdown(rig.server.pipe);
  rig_run(&rig, 100);
  assert_received(&rig.client, "b");
  assert_received(&rig.server, "a");
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.server.ended, 1);
  assert_int_equal(rig.client.end_status, WARP_CLOSED);
  rig_free(&rig);
}

/* The end of stream waits for bytes that the carrier did not take. */
static void shutdown_follows_what_is_queued(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  static uint8_t data[200000];
  rig.client.out.queue_max = 20000;
  assert_int_equal(warp_pipe_send(rig.client.pipe, data, sizeof data), WARP_OK);
  assert_int_equal(warp_pipe_shutdown(rig.client.pipe), WARP_OK);
  assert_false(rig.client.out.fin);
  rig_run(&rig, 200);
  assert_true(rig.client.out.fin);
  assert_int_equal(rig.server.received.len, sizeof data);
  assert_int_equal(rig.server.end_status, WARP_CLOSED);
  rig_free(&rig);
}

static void truncated_stream_is_no_orderly_end(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  warp_pipe_send(rig.client.pipe, "half of it", 10);
  rig_run(&rig, 100);
  wg_pipe_carrier_ended(rig.server.pipe, WARP_CLOSED);
  assert_int_equal(rig.server.ended, 0); /* told from the loop */
  rig_run(&rig, 0);
  assert_received(&rig.server, "half of it");
  assert_int_equal(rig.server.ended, 1);
  assert_int_equal(rig.server.end_status, WARP_RESET);
  assert_int_equal(warp_pipe_send(rig.server.pipe, "x", 1), WARP_CLOSED);
  rig_run(&rig, 100);
  assert_int_equal(rig.client.ended, 1); /* the server's end closed the carrier */
  assert_int_equal(rig.client.end_status, WARP_RESET);
  rig_free(&rig);
}

static void connection_that_ends_early_fails(void **state) {
  (void)state;
  static const int statuses[] = {WARP_CLOSED, WARP_RESET};
  for (unsigned ms = 0; ms <= 60; ms += 20) {
    for (int i = 0; i < 2; i++) {
      pipe_rig rig;
      rig_init(&rig, WARP_STREAM);
      rig.client.nominate = false;
      rig_open(&rig, RIG_HELLO_LEN);
      rig_run(&rig, ms);
      wg_pipe_carrier_ended(rig.server.pipe, statuses[i]);
      rig_run(&rig, 0);
      assert_int_equal(rig.server.failed, 1);
      assert_int_equal(rig.server.fail_status, statuses[i]);
      rig_run(&rig, 100);
      assert_int_equal(rig.client.failed, 1); /* the server closed the carrier */
      rig_free(&rig);
    }
  }
}

static void reset_is_an_end_with_an_error(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  warp_pipe_send(rig.client.pipe, "x", 1);
  wg_pipe_carrier_ended(rig.client.pipe, WARP_RESET);
  rig_run(&rig, 0);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.client.end_status, WARP_RESET);
  wg_pipe_carrier_ended(rig.server.pipe, WARP_TIMEOUT);
  rig_run(&rig, 0);
  assert_int_equal(rig.server.end_status, WARP_TIMEOUT);
  rig_free(&rig);
}

/* A failing send is told from the loop, never from inside the application's call. */
static void failing_send_ends_the_pipe(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  static uint8_t data[WG_STREAM_SEND_MAX];
  unsigned before = rig.client.out.sent;
  rig.client.out.broken = WARP_RESET;
  assert_int_equal(warp_pipe_send(rig.client.pipe, data, sizeof data), WARP_RESET);
  assert_int_equal(rig.client.out.sent, before + 1); /* no later record after a lost one */
  assert_int_equal(rig.client.ended, 0);
  rig_run(&rig, 0);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.client.end_status, WARP_RESET);
  rig_free(&rig);
}

static void failing_first_flight_is_told_later(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig.client.out.broken = WARP_UNREACHABLE;
  rig_open(&rig, RIG_HELLO_LEN);
  assert_int_equal(rig.client.failed, 0);
  rig_run(&rig, 0);
  assert_int_equal(rig.client.failed, 1);
  assert_int_equal(rig.client.fail_status, WARP_UNREACHABLE);
  rig_free(&rig);
}

/* A sender that waits for room is not asked for more after the end. */
static void nothing_comes_after_the_end(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  static uint8_t data[WG_STREAM_SEND_MAX];
  rig.server.paused = true;
  while (warp_pipe_send(rig.client.pipe, data, sizeof data) == WARP_OK) {
  }
  wg_pipe_carrier_ended(rig.client.pipe, WARP_RESET);
  rig_run(&rig, 100);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(rig.client.drained, 0);
  rig.server.paused = false;
  rig_free(&rig);
}

/* A sender that waits for room after the peer's end learns that there will be none. */
static void broken_direction_wakes_a_waiting_sender(void **state) {
  (void)state;
  pipe_rig rig;
  connect_stream(&rig);
  static uint8_t data[WG_STREAM_SEND_MAX];
  warp_pipe_shutdown(rig.client.pipe);
  rig_run(&rig, 100);
  assert_int_equal(rig.server.ended, 1);
  rig.client.paused = true;
  while (warp_pipe_send(rig.server.pipe, data, sizeof data) == WARP_OK) {
  }
  rig_run(&rig, 100);
  assert_int_equal(rig.server.drained, 0);
  wg_pipe_carrier_ended(rig.server.pipe, WARP_RESET);
  rig_run(&rig, 0);
  assert_int_equal(rig.server.drained, 1);
  assert_int_equal(rig.server.ended, 1);
  assert_int_equal(warp_pipe_send(rig.server.pipe, data, 1), WARP_CLOSED);
  rig.client.paused = false;
  rig_free(&rig);
}

/* ---- before the application is there --------------------------------------------------------- */

static void data_waits_for_the_application(void **state) {
  (void)state;
  for (int then_close = 0; then_close < 2; then_close++) {
    pipe_rig rig;
    rig_init(&rig, WARP_STREAM);
    rig.server.adopt = false;
    rig_connect(&rig, RIG_HELLO_LEN);
    make_pattern(&rig);
    assert_int_equal(warp_pipe_send(rig.client.pipe, pattern, 1 << 20), WARP_OK);
    if (then_close) {
      rig_close(&rig.client);
    }
    rig_run(&rig, 1000);
    assert_int_equal(rig.server.messages, 0);
    assert_true(rig.server.paused); /* the carrier holds the rest back */
    assert_in_range(rig.server.pipe->held.len, 1, 2 * rig.chunk);
    rig_adopt(&rig.server);
    assert_int_equal(rig.server.messages, 0);
    rig_run(&rig, 1000);
    assert_false(rig.server.paused);
    assert_int_equal(rig.server.received.len, 1 << 20);
    assert_memory_equal(wg_queue_front(&rig.server.received), pattern, 1 << 20);
    assert_int_equal(rig.server.ended, then_close);
    free(pattern);
    rig_free(&rig);
  }
}

static void send_hello_world(rig_end *end) {
  assert_int_equal(warp_pipe_send(end->pipe, "hello ", 6), WARP_OK);
  assert_int_equal(warp_pipe_send(end->pipe, "world", 5), WARP_OK);
  assert_int_equal(warp_pipe_shutdown(end->pipe), WARP_OK);
}

/* Nomination, data and the end in one piece; all is delivered, in order, after adoption. */
static void all_may_come_at_once(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig.client.on_secured = send_hello_world;
  rig.server.adopt = false;
  rig_connect(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 100);
  wg_pipe_carrier_ended(rig.server.pipe, WARP_RESET); /* and then the connection breaks */
  rig_run(&rig, 10);
  rig_adopt(&rig.server);
  rig_run(&rig, 10);
  assert_received(&rig.server, "hello world");
  assert_int_equal(rig.server.ended, 1);
  assert_int_equal(rig.server.end_status, WARP_CLOSED);
  rig_free(&rig);
}

static void byte_by_byte(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig.chunk = 1;
  rig.client.on_secured = send_hello_world;
  rig_open(&rig, RIG_HELLO_LEN);
  assert_true(rig_run_until(&rig, &rig.server.ended, 9000));
  assert_received(&rig.server, "hello world");
  rig_free(&rig);
}

static void carrier_that_ignores_the_pause_is_cut_off(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig.server.adopt = false;
  rig_connect(&rig, RIG_HELLO_LEN);
  static uint8_t junk[100000];
  for (int i = 0; i < 12; i++) {
    rig_inject(&rig.server, junk, sizeof junk);
  }
  rig_run(&rig, 10);
  assert_int_equal(rig.server.failed, 1);
  assert_int_equal(rig.server.fail_status, WARP_LIMIT);
  rig_free(&rig);
}

/* ---- closing in callbacks -------------------------------------------------------------------- */

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
static void send_and_shut_down(rig_end *end, const uint8_t *data, size_t len) {
  assert_int_equal(warp_pipe_send(end->pipe, data, len), WARP_OK);
  assert_int_equal(warp_pipe_shutdown(end->pipe), WARP_OK);
  end->on_data = NULL;
}

static void may_be_closed_in_every_callback(void **state) {
  (void)state;
  for (int where = 0; where < 6; where++) {
    pipe_rig rig;
    rig_init(&rig, WARP_STREAM);
    rig.server.on_data = where == 0   ? close_on_data
                         : where == 1 ? kill_on_data
                         : where == 2 ? send_and_shut_down
                                      : NULL;
    rig.server.on_end = where == 3 ? close_me : NULL;
    rig.client.on_drain = where == 4 ? close_me : NULL;
    rig.client.on_secured = where == 5 ? close_me : NULL;
    rig_connect(&rig, RIG_HELLO_LEN);
    if (where != 5) {
      static uint8_t data[WG_STREAM_SEND_MAX];
      while (warp_pipe_send(rig.client.pipe, data, sizeof data) == WARP_OK) {
      }
    }
    if (where == 3) {
      rig_close(&rig.client);
    }
    rig_run(&rig, 3000);
    assert_int_equal(rig.server.on_closed, where == 0 || where == 3);
    assert_int_equal(rig.client.on_closed, where >= 3);
    if (where < 2) {
      assert_int_equal(rig.server.messages, 1);
    }
    if (where == 1) {
      assert_int_equal(rig.server.ended, 1);
      assert_int_equal(rig.server.end_status, WARP_CANCELED);
    }
    if (where == 2) {
      assert_int_equal(rig.client.ended, 1);
      assert_in_range(rig.client.received.len, 1, 16384);
    }
    rig_free(&rig);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(much_data_with_back_pressure),
      cmocka_unit_test(closing_sends_what_is_queued),
      cmocka_unit_test(closing_takes_two_seconds_at_most),
      cmocka_unit_test(closing_ends_with_the_carrier),
      cmocka_unit_test(sizes_are_checked),
      cmocka_unit_test(many_records_outlive_a_key),
      cmocka_unit_test(half_close_leaves_the_other_direction_open),
      cmocka_unit_test(both_may_shut_down_at_once),
      cmocka_unit_test(shutdown_follows_what_is_queued),
      cmocka_unit_test(truncated_stream_is_no_orderly_end),
      cmocka_unit_test(connection_that_ends_early_fails),
      cmocka_unit_test(reset_is_an_end_with_an_error),
      cmocka_unit_test(failing_send_ends_the_pipe),
      cmocka_unit_test(failing_first_flight_is_told_later),
      cmocka_unit_test(nothing_comes_after_the_end),
      cmocka_unit_test(broken_direction_wakes_a_waiting_sender),
      cmocka_unit_test(data_waits_for_the_application),
      cmocka_unit_test(all_may_come_at_once),
      cmocka_unit_test(byte_by_byte),
      cmocka_unit_test(carrier_that_ignores_the_pause_is_cut_off),
      cmocka_unit_test(may_be_closed_in_every_callback),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
