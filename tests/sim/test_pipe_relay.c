/* Pipes linked to pipes. A client on `a`, a relay on `a` between it and a server on `b`. */
#include "hand_pipes.h"

typedef struct relay {
  pair p;
  hand client, front, back, server; /* front is a server; its client is linked with `back` */
} relay;

static void relay_open(relay *r, warp_transport near_side, warp_transport far_side) {
  *r = (relay){0};
  build(&r->p);
  serve(&r->p, &r->server, far_side, WARP_IP4);
  dial(&r->p, &r->back, far_side, "192.0.2.129:7", NULL);
  warp_route route = {.addr = wg_addr_any(WARP_IP4, 8)};
  warp_pipe_options options = {
      .transport = near_side, .route = &route, .on_up = on_hand_up, .arg = &r->front};
  hand_open(&r->p, &r->front, r->p.a, &options);
  dial(&r->p, &r->client, near_side, "192.0.2.1:8", NULL);
  warp_pipe *front = near_side == WARP_TCP ? r->front.client : r->front.pipe;
  assert_int_equal(warp_pipe_add_pipe(front, r->back.pipe), WARP_OK);
  if (near_side == WARP_TCP) {
    assert_int_equal(warp_pipe_add_pipe(r->back.pipe, front), WARP_OK);
  }
  assert_int_equal(warp_pipe_add_msg_cb(r->client.pipe, on_hand_msg, &r->client), WARP_OK);
  assert_int_equal(warp_pipe_add_end_cb(r->client.pipe, on_hand_end, &r->client), WARP_OK);
}

static void relay_close(relay *r) {
  hand_free(&r->client);
  hand_free(&r->front);
  hand_free(&r->back);
  hand_free(&r->server);
  pass(&r->p, 3000);
  destroy(&r->p);
}

static void both_ways_and_the_end(void **state) {
  (void)state;
  relay r;
  relay_open(&r, WARP_TCP, WARP_TCP);
  r.server.echo = true;
  say(r.client.pipe, "through");
  pass(&r.p, 300);
  assert_bytes(&r.server.heard, "through");
  assert_bytes(&r.client.heard, "through");
  assert_int_equal(warp_pipe_add_end_cb(r.server.client, on_hand_end, &r.server), WARP_OK);
  assert_int_equal(warp_pipe_shutdown(r.client.pipe), WARP_OK);
  pass(&r.p, 300);
  assert_int_equal(r.server.ended, 1);
  assert_int_equal(r.server.end_status, WARP_CLOSED);
  assert_int_equal(r.client.ended, 1); /* the server let its client's pipe go: back the same way */
  assert_int_equal(r.client.end_status, WARP_CLOSED);
  relay_close(&r);
}

static void messages_and_streams(void **state) {
  (void)state;
  relay r;
  relay_open(&r, WARP_UDP, WARP_TCP);
  say(r.client.pipe, "as a stream");
  pass(&r.p, 300);
  assert_bytes(&r.server.heard, "as a stream");
  relay_close(&r);
  relay_open(&r, WARP_TCP, WARP_UDP);
  say(r.client.pipe, "as a message");
  pass(&r.p, 300);
  assert_bytes(&r.server.heard, "as a message");
  relay_close(&r);
}

/* A slow reader behind the relay makes the sender before it wait, and nothing is lost. */
static void back_pressure_goes_through(void **state) {
  (void)state;
  relay r;
  relay_open(&r, WARP_TCP, WARP_TCP);
  assert_int_equal(warp_pipe_pause(r.server.client, true), WARP_OK);
  static uint8_t bytes[65521];
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(i * 7);
  }
  size_t sent = 0;
  for (int i = 0; i < 30; i++) {
    while (warp_pipe_send(r.client.pipe, bytes, sizeof bytes) == WARP_OK) {
      sent += sizeof bytes;
      assert_in_range(sent, 0, 64 << 20);
    }
    pass(&r.p, 300);
  }
  assert_int_equal(warp_pipe_send(r.client.pipe, bytes, sizeof bytes), WARP_AGAIN);
  assert_in_range(sent, 2 * WG_PIPE_QUEUE_FULL, 16 << 20);
  assert_int_equal(warp_pipe_shutdown(r.client.pipe), WARP_OK);
  assert_int_equal(r.server.heard.len, 0);
  assert_int_equal(warp_pipe_pause(r.server.client, false), WARP_OK);
  pass(&r.p, 30000);
  assert_int_equal(r.server.heard.len, sent);
  for (size_t i = 0; i < sent; i++) {
    assert_int_equal(wg_queue_front(&r.server.heard)[i], (uint8_t)(i % sizeof bytes * 7));
  }
  relay_close(&r);
}

/* What the relay has taken is still sent when the pipe it came from is closed. */
static void the_rest_outlives_its_source(void **state) {
  (void)state;
  relay r;
  relay_open(&r, WARP_TCP, WARP_TCP);
  assert_int_equal(warp_pipe_pause(r.server.client, true), WARP_OK);
  static uint8_t bytes[1 << 20];
  size_t sent = 0;
  /* As much as client, relay and server hold together. */
  while (sent < 2u << 20) {
    if (warp_pipe_send(r.client.pipe, bytes, sizeof bytes) == WARP_OK) {
      sent += sizeof bytes;
    }
    pass(&r.p, 300);
  }
  warp_pipe_close(r.front.client);
  assert_int_equal(warp_pipe_pause(r.server.client, false), WARP_OK);
  pass(&r.p, 30000);
  size_t heard = r.server.heard.len;
  assert_in_range(heard, WG_PIPE_QUEUE_FULL, sent); /* all that was queued, and the pending piece */
  relay_close(&r);
}

/* Nor does the pipe it goes to lose any when it is closed: a program does that once it has heard of
 * the ends of both directions, while the last piece may still wait for room. */
static void the_rest_goes_out_before_its_target(void **state) {
  (void)state;
  enum { STEP = 16 << 10, STEPS = 80 };
  static uint8_t bytes[STEP];
  unsigned waited = 0;
  for (size_t steps = STEPS / 4; steps <= STEPS && waited == 0; steps++) {
    relay r;
    relay_open(&r, WARP_TCP, WARP_TCP);
    assert_int_equal(warp_pipe_pause(r.server.client, true), WARP_OK);
    assert_int_equal(warp_pipe_add_end_cb(r.front.client, on_hand_end, &r.front), WARP_OK);
    for (size_t i = 0; i < steps; i++) {
      assert_int_equal(warp_pipe_send(r.client.pipe, bytes, sizeof bytes), WARP_OK);
      pass(&r.p, 300);
    }
    assert_int_equal(warp_pipe_shutdown(r.client.pipe), WARP_OK);
    pass(&r.p, 300);
    assert_int_equal(r.front.ended, 1);
    waited += !wg_list_empty(&r.back.pipe->inbox.sources); /* the end waits behind the rest */
    hand_close(&r.back);
    assert_int_equal(warp_pipe_pause(r.server.client, false), WARP_OK);
    pass(&r.p, 30000);
    assert_int_equal(r.server.heard.len, steps * STEP);
    relay_close(&r);
  }
  assert_int_equal(waited, 1);
}

static void links_end_with_either(void **state) {
  (void)state;
  for (int far_side = 0; far_side < 2; far_side++) {
    relay r;
    relay_open(&r, WARP_TCP, WARP_TCP);
    if (far_side) {
      hand_close(&r.back);
    } else {
      warp_pipe_close(r.front.client);
    }
    pass(&r.p, 300);
    if (r.client.ended == 0) {
      say(r.client.pipe, "into nothing");
    }
    pass(&r.p, 300);
    assert_int_equal(r.server.heard.len, 0);
    relay_close(&r);
  }
}

static void misuse(void **state) {
  (void)state;
  relay r;
  relay_open(&r, WARP_TCP, WARP_TCP);
  hand udp = {0}, anybody = {0}, late = {0};
  dial(&r.p, &udp, WARP_UDP, "192.0.2.129:9", NULL);
  warp_route route = {.addr = wg_addr_any(WARP_IP4, 9)};
  warp_pipe_options options = {.transport = WARP_UDP, .route = &route};
  hand_open(&r.p, &anybody, r.p.a, &options);
  pass(&r.p, 10);
  warp_pipe *pipe = r.back.pipe;
  assert_int_equal(warp_pipe_add_pipe(NULL, pipe), WARP_INVALID);
  assert_int_equal(warp_pipe_add_pipe(pipe, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_add_pipe(pipe, pipe), WARP_INVALID);
  assert_int_equal(warp_pipe_add_pipe(pipe, r.server.pipe), WARP_INVALID); /* another loop */
  assert_int_equal(warp_pipe_add_pipe(pipe, r.front.pipe), WARP_UNSUPPORTED);
  assert_int_equal(warp_pipe_add_pipe(r.front.pipe, pipe), WARP_UNSUPPORTED);
  assert_int_equal(warp_pipe_add_pipe(pipe, anybody.pipe), WARP_UNSUPPORTED);
  assert_int_equal(warp_pipe_add_pipe(pipe, r.front.client), WARP_STATE); /* linked already */
  warp_pipe_options dialling = {.transport = WARP_TCP, .dest = "192.0.2.129:7"};
  hand_open(&r.p, &late, r.p.a, &dialling);
  assert_int_equal(warp_pipe_add_pipe(pipe, late.pipe), WARP_STATE); /* not open yet */
  assert_int_equal(warp_pipe_del_pipe(pipe, udp.pipe), WARP_NOT_FOUND);
  assert_int_equal(warp_pipe_del_pipe(NULL, udp.pipe), WARP_INVALID);
  assert_int_equal(warp_pipe_add_pipe(pipe, udp.pipe), WARP_OK);
  assert_int_equal(warp_pipe_del_pipe(pipe, udp.pipe), WARP_OK);
  hand_free(&udp);
  hand_free(&anybody);
  hand_free(&late);
  relay_close(&r);
}

/* The far side takes only short messages, as secure pipes do. */
static void a_message_goes_whole_or_not_at_all(void **state) {
  (void)state;
  relay r;
  relay_open(&r, WARP_UDP, WARP_UDP);
  wg_pipe_kind_ops narrow = *r.back.pipe->of_kind;
  narrow.largest = WARP_MESSAGE_MAX;
  r.back.pipe->of_kind = &narrow;
  static uint8_t bytes[WARP_MESSAGE_MAX + 1];
  assert_int_equal(warp_pipe_send(r.client.pipe, bytes, WARP_MESSAGE_MAX + 1), WARP_OK);
  assert_int_equal(warp_pipe_send(r.client.pipe, bytes, WARP_MESSAGE_MAX), WARP_OK);
  pass(&r.p, 300);
  assert_int_equal(r.server.messages, 1);
  assert_int_equal(r.server.heard.len, WARP_MESSAGE_MAX);
  relay_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(both_ways_and_the_end),
      cmocka_unit_test(messages_and_streams),
      cmocka_unit_test(a_message_goes_whole_or_not_at_all),
      cmocka_unit_test(back_pressure_goes_through),
      cmocka_unit_test(the_rest_outlives_its_source),
      cmocka_unit_test(the_rest_goes_out_before_its_target),
      cmocka_unit_test(links_end_with_either),
      cmocka_unit_test(misuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
