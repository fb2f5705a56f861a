/* Pipes with every callback that there is, and one deed that a program does inside one of them. */
#ifndef TESTS_SIM_ACTING_H
#define TESTS_SIM_ACTING_H

#include "testing.h"

#include <warpgate/warpgate.h>

typedef enum act_place {
  ACT_DATA,
  ACT_MSG,
  ACT_HANDLER,
  ACT_RECV,
  ACT_RECV_N,
  ACT_ASK,
  ACT_DRAIN,
  ACT_END,
  ACT_END_CB,
  ACT_PLACES
} act_place;

/* One end of a connection, as the program that has it sees it. */
typedef struct act_side {
  warp_pipe *pipe; /* NULL once closed */
  struct act_side *other;
  bool stream;
  warp_subscription *queue, *bytes, *answers, *handled;
  unsigned calls[ACT_PLACES];
  unsigned asked, answered; /* receives */
  void *arg;                /* of the deed */

  act_place place;                     /* where it does ... */
  void (*deed)(struct act_side *side); /* ... this, once; NULL: nothing */
  bool done;
  bool forgot; /* act_forget was done: nothing says any more that the pipe has ended */
} act_side;

static inline void act_at(act_side *side, act_place place) {
  side->calls[place]++;
  if (side->deed != NULL && !side->done && side->place == place) {
    side->done = true;
    side->deed(side);
  }
}

static inline void act_close(act_side *side) {
  warp_pipe *pipe = side->pipe;
  side->pipe = NULL;
  side->queue = side->bytes = side->answers = side->handled = NULL;
  warp_pipe_close(pipe);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static inline void act_on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)pipe, (void)data, (void)len;
  act_at(arg, ACT_DATA);
}

static inline void act_on_drain(void *arg, warp_pipe *pipe) {
  (void)pipe;
  act_at(arg, ACT_DRAIN);
}

static inline void act_on_end(void *arg, warp_pipe *pipe, int status) {
  act_side *side = arg;
  (void)pipe, (void)status;
  assert_int_equal(side->calls[ACT_END], 0);
  act_at(side, ACT_END);
}

static inline void act_on_end_cb(void *arg, warp_pipe *pipe, int status) {
  act_side *side = arg;
  (void)pipe;
  assert_int_not_equal(status, WARP_OK);
  assert_int_equal(side->calls[ACT_END_CB], 0);
  act_at(side, ACT_END_CB);
}

static inline void act_on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                              const warp_addr *from) {
  (void)pipe, (void)data, (void)len, (void)from;
  act_at(arg, ACT_MSG);
}

static inline void act_on_handled(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                                  const warp_addr *from) {
  (void)pipe, (void)data, (void)len, (void)from;
  act_at(arg, ACT_HANDLER);
}

static inline void act_answer(act_side *side, act_place place, int status, const uint8_t *data) {
  assert_true((status == WARP_OK) == (data != NULL));
  side->answered++;
  act_at(side, place);
}

static inline void act_on_recv(void *arg, warp_pipe *pipe, int status, const uint8_t *data,
                               size_t len, const warp_addr *from) {
  (void)pipe, (void)len, (void)from;
  act_answer(arg, ACT_RECV, status, data);
}

static inline void act_on_recv_n(void *arg, warp_pipe *pipe, int status, const uint8_t *data,
                                 size_t len, const warp_addr *from) {
  (void)pipe, (void)len, (void)from;
  act_answer(arg, ACT_RECV_N, status, data);
}

static inline void act_on_answer(void *arg, warp_pipe *pipe, int status, const uint8_t *data,
                                 size_t len, const warp_addr *from) {
  (void)pipe, (void)len, (void)from;
  act_answer(arg, ACT_ASK, status, data);
}

/* ---- taking a pipe --------------------------------------------------------------------------- */

/* Everything but what is sent. */
static inline void act_take(act_side *side, warp_pipe *pipe) {
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(pipe, &info), WARP_OK);
  side->pipe = pipe;
  side->stream = info.kind == WARP_STREAM;
  const warp_pipe_handlers handlers = {
      .on_data = act_on_data, .on_end = act_on_end, .on_drain = act_on_drain, .arg = side};
  const warp_subscribe_options handled = {.handler = act_on_handled, .arg = side};
  assert_int_equal(warp_pipe_set_handlers(pipe, &handlers), WARP_OK);
  assert_int_equal(warp_pipe_add_msg_cb(pipe, act_on_msg, side), WARP_OK);
  assert_int_equal(warp_pipe_add_end_cb(pipe, act_on_end_cb, side), WARP_OK);
  assert_int_equal(warp_pipe_subscribe(pipe, &handled, &side->handled), WARP_OK);
  assert_int_equal(warp_pipe_subscribe(pipe, NULL, &side->queue), WARP_OK);
  assert_int_equal(warp_pipe_subscribe(pipe, NULL, &side->bytes), WARP_OK);
  assert_int_equal(warp_pipe_subscribe(pipe, NULL, &side->answers), WARP_OK);
  for (int i = 0; i < 3; i++) { /* more than will come, so that some wait at the end */
    int status = warp_pipe_recv(pipe, side->queue, WARP_FOREVER, act_on_recv, side);
    assert_int_equal(status, WARP_OK);
    side->asked++;
  }
  if (side->stream) {
    int status = warp_pipe_recv_n(pipe, side->bytes, 2, WARP_FOREVER, act_on_recv_n, side);
    assert_int_equal(status, WARP_OK);
    side->asked++;
  }
}

/* Sends a question, which makes every callback of the other side run, if that has no deed before.
 */
static inline void act_ask(act_side *side) {
  if (side->pipe == NULL)
    return;
  int status = warp_pipe_ask(side->pipe, side->answers, "question", 8, 500, act_on_answer, side);
  side->asked += status == WARP_OK;
}

/* ---- deeds ----------------------------------------------------------------------------------- */

static inline void act_close_self(act_side *side) {
  act_close(side);
}

static inline void act_close_other(act_side *side) {
  act_close(side->other);
}

static inline void act_close_both(act_side *side) {
  act_close(side->other);
  act_close(side);
}

/* Takes back all that it can be told by. */
static inline void act_forget(act_side *side) {
  static const warp_pipe_handlers nothing = {0};
  warp_subscription **subs[] = {&side->handled, &side->queue, &side->bytes, &side->answers};
  if (side->pipe == NULL)
    return;
  side->forgot = true;
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(warp_pipe_unsubscribe(side->pipe, *subs[i]), WARP_OK);
    *subs[i] = NULL;
  }
  (void)warp_pipe_del_msg_cb(side->pipe, act_on_msg, side);
  (void)warp_pipe_del_end_cb(side->pipe, act_on_end_cb, side); /* not found within itself */
  assert_int_equal(warp_pipe_set_handlers(side->pipe, &nothing), WARP_OK);
  assert_int_equal(side->asked, side->answered);
}

/* Wants all of it a second time, and stops, and goes on: what is no longer possible says so. */
static inline void act_want_more(act_side *side) {
  warp_pipe *pipe = side->pipe;
  warp_subscription *more;
  if (pipe == NULL)
    return;
  if (warp_pipe_subscribe(pipe, NULL, &more) == WARP_OK) {
    int status = warp_pipe_recv(pipe, more, 5, act_on_recv, side);
    side->asked += status == WARP_OK;
    status = warp_pipe_unsubscribe(pipe, more);
    assert_int_equal(status, WARP_OK);
  }
  side->asked += warp_pipe_recv(pipe, side->queue, 5, act_on_recv, side) == WARP_OK;
  (void)warp_pipe_add_msg_cb(pipe, act_on_msg, side);
  (void)warp_pipe_pause(pipe, true);
  (void)warp_pipe_send(pipe, "more", 4);
  (void)warp_pipe_pause(pipe, false);
  if (side->other->pipe != NULL) {
    bool linked = warp_pipe_add_pipe(pipe, side->other->pipe) == WARP_OK;
    assert_int_equal(warp_pipe_del_pipe(pipe, side->other->pipe),
                     linked ? WARP_OK : WARP_NOT_FOUND);
  }
  (void)warp_pipe_shutdown(pipe);
}

static void (*const act_deeds[])(act_side *side) = {act_close_self, act_close_other, act_close_both,
                                                    act_forget, act_want_more};
enum { ACT_DEEDS = sizeof act_deeds / sizeof act_deeds[0] };

#endif
