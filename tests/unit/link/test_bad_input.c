/* Links with bad arguments, in each of their states, and touched from each of their callbacks. */
#include "link_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bad_input.h"

static const warp_pipe_kind kinds[] = {WARP_STREAM, WARP_MESSAGES};
static link_rig rig;
static uint8_t bytes[WARP_LINK_MESSAGE_MAX + 1];

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  (void)arg, (void)link, (void)data, (void)len;
}

static void on_end(void *arg, warp_link *link, int status) {
  (void)arg, (void)link, (void)status;
}

static void on_drain(void *arg, warp_link *link) {
  (void)arg, (void)link;
}

static void never_closed(void *arg, int status) {
  (void)arg;
  fail_msg("closed a second time, with %d", status);
}

static void test_no_link(void **state) {
  (void)state;
  warp_link *link;
  REFUSES(WARP_INVALID, warp_link_open, NULL, &link);
  REFUSES(WARP_INVALID, warp_link_on_message, NULL, on_message, NULL);
  REFUSES(WARP_INVALID, warp_link_on_end, NULL, on_end, NULL);
  REFUSES(WARP_INVALID, warp_link_on_drain, NULL, on_drain, NULL);
  REFUSES(WARP_INVALID, warp_link_send, NULL, "x", 1);
  REFUSES(WARP_INVALID, warp_link_shutdown, NULL);
  REFUSES(WARP_INVALID, warp_link_pause, NULL, true);
  assert_null(BADLY(warp_link_pipe, NULL));
  BADLY(warp_link_close, NULL, never_closed, NULL);
  BADLY(warp_link_abort, NULL, never_closed, NULL);
}

static void end_both(void) {
  link_close(&rig.a);
  link_close(&rig.b);
  assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 20000));
  assert_true(rig_run_until(&rig.pipes, &rig.b.closed, 20000));
  link_rig_free(&rig);
}

/* A link is refused what it cannot do, and goes on as if nothing had been asked. */
static void test_arguments_and_sizes(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    link_rig_open(&rig, kinds[i]);
    warp_link *link = rig.a.link, *second;
    REFUSES(WARP_INVALID, warp_link_open, warp_link_pipe(link), NULL);
    REFUSES(WARP_STATE, warp_link_open, warp_link_pipe(link), &second);
    REFUSES(WARP_INVALID, warp_link_send, link, NULL, 1);
    REFUSES(WARP_TOO_BIG, warp_link_send, link, bytes, sizeof bytes);
    REFUSES(WARP_TOO_BIG, warp_link_send, link, bytes, SIZE_MAX);
    assert_int_equal(warp_link_pause(link, false), WARP_OK); /* it was not paused */
    assert_int_equal(link_send(&rig.a, 0), WARP_OK);
    assert_int_equal(link_send(&rig.a, WARP_LINK_MESSAGE_MAX), WARP_OK);
    rig_run(&rig.pipes, 20000);
    assert_int_equal(rig.b.received, 2);
    /* Without callbacks what comes is dropped. */
    assert_int_equal(BADLY(warp_link_on_message, rig.b.link, NULL, NULL), WARP_OK);
    assert_int_equal(BADLY(warp_link_on_end, rig.b.link, NULL, NULL), WARP_OK);
    assert_int_equal(BADLY(warp_link_on_drain, rig.b.link, NULL, NULL), WARP_OK);
    assert_int_equal(link_send(&rig.a, 5), WARP_OK);
    assert_int_equal(warp_link_shutdown(link), WARP_OK);
    assert_int_equal(warp_link_shutdown(link), WARP_OK); /* twice is harmless */
    REFUSES(WARP_CLOSED, warp_link_send, link, "late", 4);
    rig_run(&rig.pipes, 5000);
    assert_int_equal(rig.b.received, 2);
    end_both();
  }
}

/* ---- in the callbacks ------------------------------------------------------------------------ */

/* All of it is answered, none of it by the last callback. */
static void use_after_close(warp_link *link) {
  REFUSES(WARP_CLOSED, warp_link_send, link, "x", 1);
  REFUSES(WARP_CLOSED, warp_link_shutdown, link);
  assert_int_equal(warp_link_pause(link, true), WARP_OK);
  assert_int_equal(warp_link_on_message(link, on_message, NULL), WARP_OK);
  assert_int_equal(warp_link_on_end(link, on_end, NULL), WARP_OK);
  assert_int_equal(warp_link_on_drain(link, on_drain, NULL), WARP_OK);
  (void)warp_link_pipe(link);
  BADLY(warp_link_close, link, NULL, NULL);
  warp_link_close(link, never_closed, NULL);
  BADLY(warp_link_abort, link, NULL, NULL);
  warp_link_abort(link, never_closed, NULL);
}

static void close_and_use(link_end *end) {
  link_close(end);
  assert_int_equal(end->closed, 0); /* never from inside the call */
  use_after_close(end->link);
}

static void abort_and_use(link_end *end) {
  link_abort(end);
  assert_int_equal(end->closed, 0);
  use_after_close(end->link);
}

static void abort_in_message(link_end *end, size_t len) {
  (void)len;
  abort_and_use(end);
}

static void close_in_message(link_end *end, size_t len) {
  (void)len;
  close_and_use(end);
}

/* And the other link of the same thread, whatever that one is doing. */
static void close_both_in_message(link_end *end, size_t len) {
  (void)len;
  close_and_use(end->other);
  close_and_use(end);
}

static void close_both(link_end *end) {
  if (end->other->closed == 0) {
    warp_link_close(end->other->link, NULL, NULL);
  }
  close_and_use(end);
}

static void shut_then_wait(void) {
  assert_int_equal(link_send(&rig.a, 100), WARP_OK);
  assert_int_equal(warp_link_shutdown(rig.a.link), WARP_OK); /* on_drain when all is there */
  rig_run(&rig.pipes, 10000);
}

static void test_closed_in_any_callback(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    link_rig_open(&rig, kinds[i]);
    rig.b.on_message = close_in_message;
    shut_then_wait();
    assert_int_equal(rig.b.received, 1);
    link_close(&rig.a);
    assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 60000));
    link_rig_free(&rig);

    link_rig_open(&rig, kinds[i]);
    rig.a.on_drain = close_and_use;
    shut_then_wait();
    assert_int_equal(rig.a.drained, 1);
    link_close(&rig.b);
    assert_true(rig_run_until(&rig.pipes, &rig.b.closed, 60000));
    link_rig_free(&rig);

    link_rig_open(&rig, kinds[i]);
    rig.b.on_end = close_and_use;
    link_close(&rig.a);
    rig_run(&rig.pipes, 10000);
    assert_int_equal(rig.b.ended, 1);
    assert_int_equal(rig.b.end_status, WARP_CLOSED);
    link_rig_free(&rig);

    link_rig_open(&rig, kinds[i]);
    rig.b.on_message = close_both_in_message;
    shut_then_wait();
    assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 60000));
    assert_true(rig_run_until(&rig.pipes, &rig.b.closed, 60000));
    link_rig_free(&rig);
  }
}

static void test_aborted_in_any_callback(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    link_rig_open(&rig, kinds[i]);
    rig.b.on_message = abort_in_message;
    shut_then_wait();
    assert_int_equal(rig.b.received, 1);
    assert_int_equal(rig.b.closed_status, WARP_CANCELED);
    assert_int_equal(rig.a.end_status, WARP_RESET);
    link_abort(&rig.a); /* of what is over already */
    assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 60000));
    assert_int_equal(rig.a.closed_status, WARP_RESET);
    link_rig_free(&rig);

    link_rig_open(&rig, kinds[i]);
    rig.a.on_drain = abort_and_use;
    shut_then_wait();
    assert_int_equal(rig.a.drained, 1);
    assert_int_equal(rig.a.closed_status, WARP_OK); /* the peer has it all */
    assert_int_equal(rig.b.end_status, WARP_RESET); /* but this was no close */
    link_close(&rig.b);
    assert_true(rig_run_until(&rig.pipes, &rig.b.closed, 60000));
    link_rig_free(&rig);

    link_rig_open(&rig, kinds[i]);
    rig.b.on_end = abort_and_use;
    link_close(&rig.a);
    rig_run(&rig.pipes, 10000);
    assert_int_equal(rig.b.end_status, WARP_CLOSED);
    assert_int_equal(rig.b.closed, 1);
    assert_int_equal(rig.a.closed, 1);
    link_rig_free(&rig);
  }
}

/* The node closes: the link ends, and all that is left to do is to close it. */
static void test_after_the_end(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    link_rig_open(&rig, kinds[i]);
    rig.pipes.client.pipe = NULL; /* a killed pipe does not say when it is freed */
    wg_pipe_kill(warp_link_pipe(rig.a.link), WARP_CANCELED);
    assert_int_equal(rig.a.ended, 1);
    assert_int_equal(rig.a.end_status, WARP_CANCELED);
    assert_null(warp_link_pipe(rig.a.link));
    close_both(&rig.a);
    assert_true(rig_run_until(&rig.pipes, &rig.a.closed, 60000));
    rig_run(&rig.pipes, 60000);
    rig.b.closed = 1; /* by close_both, which did not ask to be told */
    link_rig_free(&rig);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_link),
      cmocka_unit_test(test_arguments_and_sizes),
      cmocka_unit_test(test_closed_in_any_callback),
      cmocka_unit_test(test_aborted_in_any_callback),
      cmocka_unit_test(test_after_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
