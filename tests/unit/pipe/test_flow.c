/* A receiver that cannot keep up, and a sender that wants to know when it may leave. */
#include "pipe/pipe_internal.h"
#include "pipe_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void connect(pipe_rig *rig, warp_pipe_kind kind) {
  rig_init(rig, kind);
  rig_connect(rig, RIG_HELLO_LEN);
  rig_run(rig, 100);
}

static void assert_received(const rig_end *end, const char *text) {
  assert_int_equal(end->received.len, strlen(text));
  assert_memory_equal(wg_queue_front(&end->received), text, strlen(text));
}

/* ---- receivers ------------------------------------------------------------------------------- */

enum { MUCH = 24 << 20, PIECE = 100000 };
static size_t sent;

/* Byte i of the stream is a function of i, so that a gap shows. */
static uint8_t byte_at(size_t i) {
  return (uint8_t)((i ^ i >> 8 ^ i >> 16) * 31);
}

static void send_more(rig_end *end) {
  static uint8_t piece[PIECE];
  while (sent < MUCH) {
    size_t len = MUCH - sent < PIECE ? MUCH - sent : PIECE;
    for (size_t i = 0; i < len; i++) {
      piece[i] = byte_at(sent + i);
    }
    int status = warp_pipe_send(end->pipe, piece, len);
    if (status == WARP_AGAIN) {
      return;
    }
    assert_int_equal(status, WARP_OK);
    sent += len;
  }
}

static void stop_reading(rig_end *end, const uint8_t *data, size_t len) {
  (void)data;
  (void)len;
  assert_int_equal(warp_pipe_pause(end->pipe, true), WARP_OK);
}

/* Nothing is handed out after the chunk that was too much; the sender's queue fills, and each
 * resumption brings one chunk more, in order. */
static void paused_stream_holds_the_sender_back(void **state) {
  (void)state;
  pipe_rig rig;
  connect(&rig, WARP_STREAM);
  sent = 0;
  rig.client.on_drain = send_more;
  rig.server.on_data = stop_reading;
  send_more(&rig.client);
  rig_run(&rig, 10000);
  assert_int_equal(rig.server.messages, 1);
  assert_true(rig.server.paused); /* the carrier is, too */
  assert_true(sent < MUCH);
  size_t before = sent;
  rig_run(&rig, 10000);
  assert_int_equal(sent, before);

  assert_int_equal(warp_pipe_pause(rig.server.pipe, false), WARP_OK);
  assert_int_equal(rig.server.messages, 1); /* never from inside the call */
  rig_run(&rig, 1000);
  assert_int_equal(rig.server.messages, 2);

  rig.server.on_data = NULL;
  assert_int_equal(warp_pipe_pause(rig.server.pipe, false), WARP_OK);
  rig_run(&rig, 60000);
  assert_int_equal(rig.server.received.len, MUCH);
  const uint8_t *received = wg_queue_front(&rig.server.received);
  for (size_t i = 0; i < MUCH; i++) {
    if (received[i] != byte_at(i)) {
      fail_msg("byte %zu is another", i);
    }
  }
  rig_free(&rig);
}

/* The end comes after the data that it follows. */
static void end_waits_for_a_paused_receiver(void **state) {
  (void)state;
  for (warp_pipe_kind kind = WARP_STREAM; kind <= WARP_MESSAGES; kind++) {
    pipe_rig rig;
    connect(&rig, kind);
    assert_int_equal(warp_pipe_pause(rig.server.pipe, true), WARP_OK);
    assert_int_equal(warp_pipe_send(rig.client.pipe, "last words", 10), WARP_OK);
    rig_close(&rig.client);
    rig_run(&rig, 5000);
    assert_int_equal(rig.server.messages, 0);
    assert_int_equal(rig.server.ended, 0);
    assert_int_equal(warp_pipe_pause(rig.server.pipe, false), WARP_OK);
    rig_run(&rig, 100);
    assert_received(&rig.server, "last words");
    assert_int_equal(rig.server.ended, 1);
    assert_int_equal(rig.server.end_status, WARP_CLOSED);
    assert_int_equal(warp_pipe_pause(NULL, true), WARP_INVALID);
    rig_free(&rig);
  }
}

/* Messages wait as long as there is room; then the new ones are lost, as datagrams may be. */
static void paused_messages_wait_within_bounds(void **state) {
  (void)state;
  pipe_rig rig;
  connect(&rig, WARP_MESSAGES);
  rig.server.on_data = stop_reading;
  uint8_t message[1000] = {0};
  for (unsigned i = 0; i < 1000; i++) {
    message[0] = (uint8_t)i;
    assert_int_equal(warp_pipe_send(rig.client.pipe, message, sizeof message), WARP_OK);
  }
  rig_run(&rig, 100);
  assert_int_equal(rig.server.messages, 1);
  assert_int_equal(warp_pipe_pause(rig.server.pipe, false), WARP_OK);
  rig_run(&rig, 100);
  assert_int_equal(rig.server.messages, 2);
  rig.server.on_data = NULL;
  assert_int_equal(warp_pipe_pause(rig.server.pipe, false), WARP_OK);
  rig_run(&rig, 100);
  assert_in_range(rig.server.messages, 30, 70);
  for (unsigned i = 0; i < rig.server.messages; i++) {
    assert_int_equal(wg_queue_front(&rig.server.received)[i * sizeof message], i);
  }
  rig_free(&rig);
}

static void a_broken_pipe_cannot_be_paused(void **state) {
  (void)state;
  pipe_rig rig;
  connect(&rig, WARP_STREAM);
  warp_pipe_send(rig.client.pipe, "x", 1);
  wg_pipe_kill(rig.client.pipe, WARP_CANCELED);
  assert_int_equal(rig.client.ended, 1);
  assert_int_equal(warp_pipe_pause(rig.client.pipe, true), WARP_CLOSED);
  rig_run(&rig, 100);
  rig_free(&rig);
}

/* ---- senders --------------------------------------------------------------------------------- */

/* Who has ended his direction learns when the system has it all, and may close then. */
static void shutdown_is_told_when_all_is_sent(void **state) {
  (void)state;
  for (int much = 0; much < 2; much++) {
    pipe_rig rig;
    connect(&rig, WARP_STREAM);
    static uint8_t data[200000];
    if (much) {
      rig.client.out.queue_max = 20000;
      assert_int_equal(warp_pipe_send(rig.client.pipe, data, sizeof data), WARP_OK);
    }
    assert_int_equal(warp_pipe_shutdown(rig.client.pipe), WARP_OK);
    assert_int_equal(rig.client.drained, 0); /* never from inside the call */
    assert_true(rig_run_until(&rig, &rig.client.drained, 1000));
    assert_int_equal(rig.client.out.bytes.len, 0);
    rig_run(&rig, 1000);
    assert_int_equal(rig.client.drained, 1);
    assert_int_equal(rig.server.received.len, much ? sizeof data : 0);
    rig_free(&rig);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(paused_stream_holds_the_sender_back),
      cmocka_unit_test(end_waits_for_a_paused_receiver),
      cmocka_unit_test(paused_messages_wait_within_bounds),
      cmocka_unit_test(a_broken_pipe_cannot_be_paused),
      cmocka_unit_test(shutdown_is_told_when_all_is_sent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
