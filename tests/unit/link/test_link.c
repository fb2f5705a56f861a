/* Links over both kinds of pipes: messages, ends, back-pressure, hostile peers, reentrant calls. */
#include "link_rig.h"
#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const warp_pipe_kind kinds[] = {WARP_STREAM, WARP_MESSAGES};
static link_rig rig;

/* Every test for a stream and for messages. */
#define BOTH_KINDS(name)                                                                           \
  static void name##_over(warp_pipe_kind kind);                                                    \
  static void name(void **state) {                                                                 \
    (void)state;                                                                                   \
    for (size_t i = 0; i < 2; i++) {                                                               \
      name##_over(kinds[i]);                                                                       \
    }                                                                                              \
  }                                                                                                \
  static void name##_over(warp_pipe_kind kind)

static void end_both(void) {
  link_close(&rig.a);
  link_close(&rig.b);
  assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 20000));
  assert_true(rig_run_until(&rig.pipes, &rig.b.closed, 20000));
  link_rig_free(&rig);
}

BOTH_KINDS(test_messages_of_all_sizes) {
  static const size_t sizes[] = {0, 1, 2, 1000, 1100, 1101, 16384, 65537, 0, WARP_LINK_MESSAGE_MAX};
  link_rig_open(&rig, kind);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_int_equal(link_send(&rig.a, sizes[i]), WARP_OK);
    assert_int_equal(link_send(&rig.b, sizes[i]), WARP_OK);
  }
  assert_int_equal(rig.b.received, 0);
  rig_run(&rig.pipes, 20000);
  assert_int_equal(rig.a.received, rig.b.sent);
  assert_int_equal(rig.b.received, rig.a.sent);
  assert_int_equal(link_send(&rig.a, WARP_LINK_MESSAGE_MAX + 1), WARP_TOO_BIG);
  end_both();
  assert_int_equal(rig.a.closed_status, WARP_OK);
  assert_int_equal(rig.b.closed_status, WARP_OK);
}

/* What is lost, repeated and reordered below is not above. */
static void test_over_bad_paths(void **state) {
  (void)state;
  link_rig_open(&rig, WARP_MESSAGES);
  rig.pipes.loss_pct = 10;
  rig.pipes.duplicate_pct = 5;
  rig.pipes.reorder_pct = 10;
  for (unsigned i = 0; i < 200; i++) {
    assert_int_equal(link_send(&rig.a, i * 10), WARP_OK);
    assert_int_equal(link_send(&rig.b, 2000 - i * 10), WARP_OK);
  }
  end_both();
  assert_int_equal(rig.a.closed_status, WARP_OK);
  assert_int_equal(rig.b.closed_status, WARP_OK);
  assert_in_range(rig.pipes.client.out.largest, 1, WG_DTLS_MTU);
}

/* The peer is heard of, but what is long is lost for a while: nothing gives up, and then all comes.
 */
static void test_a_path_too_narrow_for_long(void **state) {
  (void)state;
  link_rig_open(&rig, WARP_MESSAGES);
  rig_run(&rig.pipes, 1000);
  rig.pipes.client.out.narrow = 600;
  assert_int_equal(link_send(&rig.a, 100000), WARP_OK);
  rig_run(&rig.pipes, 90000);
  assert_int_equal(rig.a.ended, 0);
  assert_int_equal(rig.b.received, 0);
  rig.pipes.client.out.narrow = 0;
  assert_true(rig_run_until(&rig.pipes, &rig.b.received, 20000));
  end_both();
  assert_int_equal(rig.a.closed_status, WARP_OK);
  assert_int_equal(rig.b.closed_status, WARP_OK);
}

/* A close does not wait for the peer's, and loses nothing. */
BOTH_KINDS(test_close_delivers) {
  link_rig_open(&rig, kind);
  rig.pipes.loss_pct = 5;
  while (link_send(&rig.a, 50000) == WARP_OK) {
  }
  assert_in_range(rig.a.sent * 50000, WARP_LINK_QUEUE_MAX - 100000, 3 * WARP_LINK_QUEUE_MAX);
  link_close(&rig.a);
  assert_int_equal(rig.a.closed, 0);
  assert_true(rig_run_until(&rig.pipes, &rig.b.ended, 600000));
  assert_int_equal(rig.b.received, rig.a.sent);
  assert_int_equal(rig.b.end_status, WARP_CLOSED);
  assert_int_equal(link_send(&rig.b, 1), WARP_CLOSED);
  assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 5000));
  assert_int_equal(rig.a.closed_status, WARP_OK);
  link_close(&rig.b);
  assert_int_equal(rig.b.closed, 0);
  rig_run(&rig.pipes, 1000);
  assert_int_equal(rig.b.closed, 1);
  assert_int_equal(rig.b.drained, 0);
  link_rig_free(&rig);
}

BOTH_KINDS(test_half_close) {
  link_rig_open(&rig, kind);
  assert_int_equal(link_send(&rig.a, 100), WARP_OK);
  assert_int_equal(warp_link_shutdown(rig.a.link), WARP_OK);
  assert_int_equal(warp_link_shutdown(rig.a.link), WARP_OK);
  assert_int_equal(link_send(&rig.a, 100), WARP_CLOSED);
  assert_true(rig_run_until(&rig.pipes, &rig.b.half_ended, 2000));
  assert_int_equal(rig.b.received, 1);
  assert_true(rig_run_until(&rig.pipes, &rig.a.drained, 2000));
  assert_int_equal(link_send(&rig.b, 100), WARP_OK); /* the other direction goes on */
  assert_int_equal(warp_link_shutdown(rig.b.link), WARP_OK);
  assert_true(rig_run_until(&rig.pipes, &rig.a.half_ended, 2000));
  assert_int_equal(rig.a.received, 1);
  end_both();
  assert_int_equal(rig.a.closed_status, WARP_OK);
  assert_int_equal(rig.b.closed_status, WARP_OK);
}

BOTH_KINDS(test_slow_reader_holds_back) {
  link_rig_open(&rig, kind);
  assert_int_equal(warp_link_pause(rig.b.link, true), WARP_OK);
  for (unsigned i = 0; i < 100; i++) {
    while (link_send(&rig.a, 30000) == WARP_OK) {
    }
    rig_run(&rig.pipes, 200);
  }
  assert_int_equal(rig.b.received, 0);
  assert_in_range(rig.a.sent * 30000, WARP_LINK_QUEUE_MAX, 5 * WARP_LINK_QUEUE_MAX);
  unsigned drained = rig.a.drained;
  while (link_send(&rig.a, 30000) == WARP_OK) {
  }
  assert_int_equal(warp_link_pause(rig.b.link, false), WARP_OK);
  assert_int_equal(rig.b.received, 0);
  rig_run(&rig.pipes, 60000);
  assert_int_equal(rig.b.received, rig.a.sent);
  assert_in_range(rig.a.drained, drained + 1, drained + 100);
  end_both();
}

/* Pauses within the callback: the next message waits. */
static void pause_here(link_end *end, size_t len) {
  (void)len;
  assert_int_equal(warp_link_pause(end->link, true), WARP_OK);
}

BOTH_KINDS(test_pause_is_at_once) {
  link_rig_open(&rig, kind);
  rig.b.on_message = pause_here;
  for (unsigned i = 0; i < 5; i++) {
    link_send(&rig.a, 10);
  }
  link_close(&rig.a);
  for (unsigned i = 1; i <= 5; i++) {
    rig_run(&rig.pipes, 3000);
    assert_int_equal(rig.b.received, i);
    assert_int_equal(rig.b.ended, 0);
    assert_int_equal(warp_link_pause(rig.b.link, false), WARP_OK);
  }
  assert_true(rig_run_until(&rig.pipes, &rig.b.ended, 1000));
  assert_int_equal(rig.b.end_status, WARP_CLOSED);
  link_close(&rig.b);
  rig_run(&rig.pipes, 5000);
  assert_int_equal(rig.a.closed_status, WARP_OK);
  link_rig_free(&rig);
}

static void close_here(link_end *end) {
  link_close(end);
  assert_int_equal(end->closed, 0);
}

static void close_on_message(link_end *end, size_t len) {
  (void)len;
  close_here(end);
  assert_int_equal(link_send(end, 1), WARP_CLOSED);
}

BOTH_KINDS(test_close_inside_callbacks) {
  link_rig_open(&rig, kind);
  rig.b.on_message = close_on_message;
  rig.a.on_end = close_here;
  for (unsigned i = 0; i < 10; i++) {
    link_send(&rig.a, 10);
  }
  assert_true(rig_run_until(&rig.pipes, &rig.b.closed, 5000));
  assert_int_equal(rig.b.received, 1);
  assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 5000));
  link_rig_free(&rig);

  link_rig_open(&rig, kind);
  rig.a.on_drain = close_here;
  while (link_send(&rig.a, 100000) == WARP_OK) {
  }
  assert_true(rig_run_until(&rig.pipes, &rig.b.ended, 600000));
  assert_int_equal(rig.b.received, rig.a.sent);
  link_close(&rig.b);
  rig_run(&rig.pipes, 5000);
  assert_int_equal(rig.a.closed_status, WARP_OK);
  link_rig_free(&rig);
}

/* The node closes: both links are told, and may be closed then or later. */
BOTH_KINDS(test_the_node_closes) {
  for (unsigned late = 0; late < 2; late++) {
    link_rig_open(&rig, kind);
    link_send(&rig.a, 10);
    if (late == 0) {
      rig.a.on_end = close_here;
    }
    warp_pipe *pipe = rig.pipes.client.pipe;
    rig.pipes.client.pipe = NULL; /* a killed pipe does not say when it is freed */
    wg_pipe_kill(pipe, WARP_CANCELED);
    assert_int_equal(rig.a.ended, 1);
    assert_int_equal(rig.a.end_status, WARP_CANCELED);
    assert_null(warp_link_pipe(rig.a.link));
    assert_int_equal(link_send(&rig.a, 10), WARP_CLOSED);
    if (late != 0) {
      link_close(&rig.a);
    }
    assert_int_equal(rig.a.closed, 0);
    assert_true(rig_run_until(&rig.pipes, &rig.b.ended, 5000));
    assert_int_equal(rig.b.end_status, WARP_RESET);
    link_close(&rig.b);
    rig_run(&rig.pipes, 5000);
    assert_int_equal(rig.a.closed_status, WARP_CANCELED);
    link_rig_free(&rig);
  }
}

/* A peer that reads nothing does not keep a closed link for ever. */
BOTH_KINDS(test_closing_gives_up) {
  link_rig_open(&rig, kind);
  warp_link_pause(rig.b.link, true);
  while (link_send(&rig.a, 100000) == WARP_OK) {
  }
  link_close(&rig.a);
  rig_run(&rig.pipes, WARP_LINK_STALL_MS - 1000);
  assert_int_equal(rig.a.closed, 0);
  assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 60000));
  assert_int_equal(rig.a.closed_status, WARP_TIMEOUT);
  link_close(&rig.b);
  rig_run(&rig.pipes, 10000);
  link_rig_free(&rig);
}

/* The peer hears of a break at once, also when it reads nothing, or much was on its way to it, and
 * whether it had ended its own direction or not. */
BOTH_KINDS(test_abort) {
  for (unsigned i = 0; i < 8; i++) {
    bool full = (i & 1) != 0, shut = (i & 2) != 0, paused = (i & 4) != 0;
    link_rig_open(&rig, kind);
    rig_run(&rig.pipes, 1000);
    assert_int_equal(warp_link_pause(rig.a.link, paused), WARP_OK);
    assert_int_equal(link_send(&rig.b, 1000), WARP_OK);
    if (shut) {
      assert_int_equal(warp_link_shutdown(rig.b.link), WARP_OK);
    }
    rig_run(&rig.pipes, 1000);
    assert_int_equal(link_send(&rig.a, 10), WARP_OK);
    while (full && link_send(&rig.a, 100000) == WARP_OK) {
    }
    rig_run(&rig.pipes, 60); /* not enough for all */
    link_abort(&rig.a);
    assert_int_equal(rig.a.closed, 0);
    assert_int_equal(link_send(&rig.a, 1), WARP_CLOSED);
    assert_null(warp_link_pipe(rig.a.link));
    assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 1));
    assert_int_equal(rig.a.closed_status, WARP_CANCELED);
    assert_true(rig_run_until(&rig.pipes, &rig.b.ended, WARP_LINK_FAREWELL_MS));
    assert_int_equal(rig.b.end_status, WARP_RESET);
    assert_in_range(rig.b.received, 1, full ? rig.a.sent - 1 : 1);
    assert_int_equal(rig.b.half_ended, 0);
    assert_int_equal(rig.a.half_ended, shut && !paused);
    link_close(&rig.b);
    assert_true(rig_run_until(&rig.pipes, &rig.b.closed, 5000));
    link_rig_free(&rig);
  }
}

/* A peer that is closing and waits for our word hears that there will be none. */
BOTH_KINDS(test_abort_of_who_is_awaited) {
  link_rig_open(&rig, kind);
  assert_int_equal(warp_link_pause(rig.b.link, true), WARP_OK);
  while (link_send(&rig.a, 100000) == WARP_OK) {
  }
  link_close(&rig.a);
  rig_run(&rig.pipes, 2000);
  assert_int_equal(rig.a.closed, 0);
  link_abort(&rig.b);
  assert_true(rig_run_until(&rig.pipes, &rig.a.closed, WARP_LINK_FAREWELL_MS));
  assert_int_equal(rig.a.closed_status, WARP_RESET);
  assert_int_equal(rig.b.closed_status, WARP_CANCELED);
  link_rig_free(&rig);
}

/* ---- peers that are no links, or bad ones ---------------------------------------------------- */

static void expect_break(const void *bytes, size_t len, int status) {
  link_rig_open_one(&rig, WARP_STREAM);
  assert_int_equal(warp_pipe_send(rig.pipes.server.pipe, bytes, len), WARP_OK);
  assert_true(rig_run_until(&rig.pipes, &rig.a.ended, 5000));
  assert_int_equal(rig.a.end_status, status);
  link_close(&rig.a);
  rig_run(&rig.pipes, 1000);
  rig_close(&rig.pipes.server);
  link_rig_free(&rig);
}

static void test_what_is_no_link(void **state) {
  (void)state;
#define HEAD               "\xe7\x57\x01\x0b"
#define CASE(text, status) expect_break(text, sizeof(text) - 1, status)
  CASE("GET / HTTP/1.1\r\n", WARP_MALFORMED);
  CASE("\xe7\x57\x02\x0b", WARP_VERSION);
  CASE("\xe7\x57\x01\x0a", WARP_MALFORMED);
  CASE(HEAD "\x01\xff\xff\xff", WARP_TOO_BIG);
  CASE(HEAD "\x02\x00\x00\x01x", WARP_MALFORMED);
  CASE(HEAD "\x04\x00\x00\x00", WARP_MALFORMED);                /* done with what? */
  CASE(HEAD "\x63\x00\x00\x01x\x01\xff\xff\xff", WARP_TOO_BIG); /* one of a later version */
}

static void test_message_after_the_end(void **state) {
  (void)state;
  link_rig_open_one(&rig, WARP_STREAM);
  static const char bytes[] = HEAD "\x02\0\0\0\x01\0\0\0";
  assert_int_equal(warp_pipe_send(rig.pipes.server.pipe, bytes, sizeof bytes - 1), WARP_OK);
  assert_true(rig_run_until(&rig.pipes, &rig.a.ended, 5000));
  assert_int_equal(rig.a.end_status, WARP_MALFORMED);
  rig_run(&rig.pipes, 1000);
  assert_int_equal(rig.a.half_ended, 1);
  assert_int_equal(rig.a.received, 0);
  assert_int_equal(link_send(&rig.a, 1), WARP_CLOSED);
  link_close(&rig.a);
  rig_run(&rig.pipes, 1000);
  rig_close(&rig.pipes.server);
  link_rig_free(&rig);
}

/* Datagrams that are no SCTP, of every length and in place of every byte, change nothing. */
static void test_noise_on_messages(void **state) {
  (void)state;
  link_rig_open_one(&rig, WARP_MESSAGES);
  for (size_t len = 0; len <= WARP_MESSAGE_MAX; len += 7) {
    uint8_t noise[WARP_MESSAGE_MAX];
    for (size_t i = 0; i < len; i++) {
      noise[i] = (uint8_t)wg_rng_below(&rig.pipes.rng, 256);
    }
    if (len > 12 && len % 2 == 0) { /* ports and a tag that open the door for an INIT */
      memcpy(noise, "\x13\x88\x13\x88\0\0\0\0\0\0\0\0\x01", 13);
    }
    (void)warp_pipe_send(rig.pipes.server.pipe, noise, len);
    rig_run(&rig.pipes, 5);
  }
  assert_int_equal(rig.a.received, 0);
  link_close(&rig.a);
  assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 2 * WARP_LINK_STALL_MS));
  rig_close(&rig.pipes.server);
  link_rig_free(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages_of_all_sizes),
      cmocka_unit_test(test_over_bad_paths),
      cmocka_unit_test(test_a_path_too_narrow_for_long),
      cmocka_unit_test(test_close_delivers),
      cmocka_unit_test(test_half_close),
      cmocka_unit_test(test_slow_reader_holds_back),
      cmocka_unit_test(test_pause_is_at_once),
      cmocka_unit_test(test_close_inside_callbacks),
      cmocka_unit_test(test_the_node_closes),
      cmocka_unit_test(test_closing_gives_up),
      cmocka_unit_test(test_abort),
      cmocka_unit_test(test_abort_of_who_is_awaited),
      cmocka_unit_test(test_what_is_no_link),
      cmocka_unit_test(test_message_after_the_end),
      cmocka_unit_test(test_noise_on_messages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
