/* Secured pipes, as they come from a connect, are used as any other: callbacks, subscriptions,
 * receives, links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipe/pipe_internal.h"
#include "pipe_rig.h"

/* What one program notes. */
typedef struct notes {
  unsigned messages, received, ended;
  int recv_status, end_status;
  wg_queue heard;
  warp_addr from;
  warp_pipe *closes;
} notes;

static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  notes *n = arg;
  (void)pipe;
  n->messages++;
  n->from = *from;
  assert_true(wg_queue_push(&n->heard, data, len));
}

static void on_recv(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  notes *n = arg;
  n->received++;
  n->recv_status = status;
  if (status == WARP_OK) {
    on_msg(arg, pipe, data, len, from);
  }
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  notes *n = arg;
  n->ended++;
  n->end_status = status;
  if (n->closes == pipe) {
    warp_pipe_close(pipe);
  }
}

static void adopt_bare(rig_end *end) {
  warp_pipe_info info = {.transport = WARP_TCP, .family = WARP_IP4, .plugin = "rig"};
  wg_pipe_adopt(end->pipe, &info, NULL, NULL);
}

static void assert_heard(notes *n, const char *text) {
  assert_int_equal(n->heard.len, strlen(text));
  assert_memory_equal(wg_queue_front(&n->heard), text, strlen(text));
  wg_queue_free(&n->heard);
}

static const warp_pipe_kind kinds[] = {WARP_STREAM, WARP_MESSAGES};

static void everything_works_on_secured_pipes(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig_connect(&rig, RIG_HELLO_LEN);
    rig_run(&rig, 100);
    notes hook = {0}, two = {0};
    warp_subscription *sub;
    warp_pipe *pipe = rig.server.pipe;
    assert_int_equal(warp_pipe_add_msg_cb(pipe, on_msg, &hook), WARP_OK);
    assert_int_equal(warp_pipe_subscribe(pipe, &(warp_subscribe_options){.pattern = "^tw"}, &sub),
                     WARP_OK);
    assert_int_equal(warp_pipe_recv(pipe, sub, 1000, on_recv, &two), WARP_OK);
    assert_int_equal(warp_pipe_send(rig.client.pipe, "one", 3), WARP_OK);
    rig_run(&rig, 100);
    warp_addr to = {.family = WARP_IP4, .ip = {192, 0, 2, 2}, .port = 1000};
    assert_int_equal(warp_pipe_send_to(rig.client.pipe, "two", 3, &to), WARP_OK);
    to.port++;
    assert_int_equal(warp_pipe_send_to(rig.client.pipe, "x", 1, &to), WARP_INVALID);
    rig_run(&rig, 100);
    assert_int_equal(two.received, 1);
    assert_heard(&two, "two");
    assert_heard(&hook, "onetwo");
    assert_int_equal(rig.server.messages, 2); /* the handlers too */
    assert_int_equal(hook.from.ip[3], 1);
    assert_int_equal(warp_pipe_add_end_cb(pipe, on_end, &hook), WARP_OK);
    assert_int_equal(warp_pipe_recv(pipe, sub, WARP_FOREVER, on_recv, &two), WARP_OK);
    rig_close(&rig.client);
    rig_run(&rig, 100);
    assert_int_equal(hook.ended, 1);
    assert_int_equal(hook.end_status, WARP_CLOSED);
    assert_int_equal(two.recv_status, WARP_CLOSED);
    rig_close(&rig.server);
    assert_int_equal(hook.ended, 1);
    rig_run(&rig, 3000);
    rig_free(&rig);
  }
}

/* A pipe that a connect handed out and nobody listens to yet. */
static void nothing_is_lost_before_somebody_takes_it(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig.server.adopt = false;
    rig_open(&rig, RIG_HELLO_LEN);
    assert_true(rig_run_until(&rig, &rig.server.nominated, 5000));
    adopt_bare(&rig.server);
    rig_run(&rig, 100);
    assert_int_equal(warp_pipe_send(rig.client.pipe, "early", 5), WARP_OK);
    rig_run(&rig, 500);
    notes n = {0};
    warp_pipe *pipe = rig.server.pipe;
    assert_int_equal(warp_pipe_recv(pipe, NULL, 0, on_recv, &n), WARP_OK);
    assert_int_equal(n.received, 0);
    rig_run(&rig, 1);
    assert_heard(&n, "early");
    rig_close(&rig.client);
    rig_run(&rig, 100);
    warp_pipe_close(pipe);
    rig_run(&rig, 3000);
    rig.server.pipe = NULL;
    rig_free(&rig);
  }
}

/* The node goes: receives and end callbacks hear it, and what is left touches nothing. */
static void a_killed_pipe_tells_everybody(void **state) {
  (void)state;
  for (int closes = 0; closes < 2; closes++) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    rig_connect(&rig, RIG_HELLO_LEN);
    rig_run(&rig, 100);
    notes n = {0};
    warp_pipe *pipe = rig.server.pipe;
    n.closes = closes ? pipe : NULL;
    warp_subscription *sub;
    assert_int_equal(warp_pipe_subscribe(pipe, NULL, &sub), WARP_OK);
    assert_int_equal(warp_pipe_recv(pipe, sub, WARP_FOREVER, on_recv, &n), WARP_OK);
    assert_int_equal(warp_pipe_recv_n(pipe, sub, 1, 0, on_recv, &n), WARP_UNSUPPORTED);
    assert_int_equal(warp_pipe_add_end_cb(pipe, on_end, &n), WARP_OK);
    wg_pipe_kill(pipe, WARP_CANCELED);
    assert_int_equal(n.ended, 1);
    assert_int_equal(n.received, 1);
    assert_int_equal(n.recv_status, WARP_CANCELED);
    rig.server.pipe = NULL;
    if (!closes) {
      assert_int_equal(warp_pipe_recv(pipe, sub, 0, on_recv, &n), WARP_CLOSED);
      assert_int_equal(warp_pipe_subscribe(pipe, NULL, &sub), WARP_CLOSED);
      assert_int_equal(warp_pipe_add_end_cb(pipe, on_end, &n), WARP_CLOSED);
      warp_pipe_close(pipe);
    }
    assert_int_equal(n.ended, 1);
    rig_close(&rig.client);
    rig_run(&rig, 3000);
    rig_free(&rig);
  }
}

/* Two secured pipes of one program, linked: bytes that look like our own controls pass as they are.
 */
static void no_byte_is_control(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, kinds[i]);
    rig_connect(&rig, RIG_HELLO_LEN);
    rig_run(&rig, 100);
    assert_int_equal(warp_pipe_add_pipe(rig.server.pipe, rig.client.pipe), WARP_OK); /* echo */
    for (unsigned byte = 0; byte < 256; byte++) {
      uint8_t said[4] = {(uint8_t)byte, 0, 0, (uint8_t)byte};
      assert_int_equal(warp_pipe_send(rig.server.pipe, said, sizeof said), WARP_OK);
    }
    rig_run(&rig, 200);
    assert_int_equal(rig.client.received.len, 1024);
    for (unsigned byte = 0; byte < 256; byte++) {
      assert_int_equal(wg_queue_front(&rig.client.received)[4 * byte], byte);
    }
    rig_close(&rig.client);
    rig_run(&rig, 100);
    rig_close(&rig.server);
    rig_run(&rig, 3000);
    rig_free(&rig);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(everything_works_on_secured_pipes),
      cmocka_unit_test(nothing_is_lost_before_somebody_takes_it),
      cmocka_unit_test(a_killed_pipe_tells_everybody),
      cmocka_unit_test(no_byte_is_control),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
