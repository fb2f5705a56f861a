/*
 * Links of two loops in two threads at once, over real sockets: within each loop and from one to
 * the other. They all share the one SCTP stack of the process.
 */
#include "driver_uv/driver.h"
#include "env/loop.h"
#include "pipe/pipe.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LOOPS = 2, PAIRS = 4, MESSAGES = 60, MESSAGE_LEN = 20000 };

/* Everything but `loop` is touched by its loop's thread only while the loops run. */
typedef struct end {
  warp_loop *loop;
  wg_env *env;
  wg_udp *udp;
  warp_addr local;
  struct end *other;
  wg_identity *identity;
  warp_pipe *pipe;
  warp_link *link;
  bool initiator, was_told, was_read;
  unsigned sent, received, wrong, closed;
  int end_status, closed_status;
} end;

/* ---- the carrier: one socket to one address -------------------------------------------------- */

static int carrier_send(void *carrier, const void *data, size_t len) {
  end *self = carrier;
  return self->env->ops->udp_send(self->udp, &self->other->local, data, len);
}

static size_t carrier_queued(void *carrier) {
  (void)carrier;
  return 0;
}

static void carrier_close(void *carrier) {
  end *self = carrier;
  self->env->ops->udp_close(self->udp);
  self->udp = NULL;
}

static void carrier_addrs(void *carrier, warp_addr *local, warp_addr *remote) {
  end *self = carrier;
  *local = self->local;
  *remote = self->other->local;
}

/* The others are for streams. */
static const wg_carrier_ops carrier_ops = {.send = carrier_send,
                                           .queued = carrier_queued,
                                           .close = carrier_close,
                                           .reset = carrier_close,
                                           .addrs = carrier_addrs};

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  end *self = arg;
  (void)from;
  if (self->pipe != NULL) {
    wg_pipe_input(self->pipe, data, len);
  }
}

/* ---- the link -------------------------------------------------------------------------------- */

static uint8_t byte_of(unsigned message, size_t at) {
  return (uint8_t)(message * 31 + at * 7 + (at >> 8));
}

static void on_closed(void *arg, int status) {
  end *self = arg;
  self->closed++;
  self->closed_status = status;
}

static void close_when_over(end *self) {
  if (self->was_told && self->was_read) {
    warp_link_close(self->link, on_closed, self);
  }
}

static void send_on(end *self) {
  uint8_t message[MESSAGE_LEN];
  while (self->sent < MESSAGES) {
    for (size_t i = 0; i < sizeof message; i++) {
      message[i] = byte_of(self->sent, i);
    }
    if (warp_link_send(self->link, message, sizeof message) != WARP_OK) {
      return;
    }
    self->sent++;
  }
  self->wrong += warp_link_shutdown(self->link) != WARP_OK;
}

static void on_drain(void *arg, warp_link *link) {
  end *self = arg;
  (void)link;
  if (self->sent < MESSAGES) {
    send_on(self);
  } else {
    self->was_read = true;
    close_when_over(self);
  }
}

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  end *self = arg;
  (void)link;
  self->wrong += len != MESSAGE_LEN;
  for (size_t i = 0; i < len; i++) {
    self->wrong += data[i] != byte_of(self->received, i);
  }
  self->received++;
}

static void on_end(void *arg, warp_link *link, int status) {
  end *self = arg;
  (void)link;
  self->end_status = status;
  self->was_told = true;
  close_when_over(self);
}

static void on_pipe_closed(void *arg, warp_pipe *pipe) {
  (void)pipe;
  ((end *)arg)->pipe = NULL;
}

static void adopt(end *self) {
  warp_pipe_info info = {.kind = WARP_MESSAGES};
  wg_pipe_adopt(self->pipe, &info, on_pipe_closed, self);
  if (warp_link_open(self->pipe, &self->link) != WARP_OK) {
    self->wrong++;
    return;
  }
  warp_link_on_message(self->link, on_message, self);
  warp_link_on_end(self->link, on_end, self);
  warp_link_on_drain(self->link, on_drain, self);
  send_on(self);
}

static void on_secured(void *arg, warp_pipe *pipe) {
  end *self = arg;
  if (self->initiator) {
    wg_pipe_nominate(pipe);
    adopt(self);
  }
}

static void on_nominated(void *arg, warp_pipe *pipe) {
  (void)pipe;
  adopt(arg);
}

/* ---- the test -------------------------------------------------------------------------------- */

static void open_socket(end *self, end *other, warp_loop *loop, bool initiator) {
  warp_addr any;
  *self = (end){.loop = loop, .env = warp_loop_env(loop), .other = other, .initiator = initiator};
  warp_addr_parse("127.0.0.1:0", &any);
  assert_int_equal(self->env->ops->udp_open(self->env, &any, 0, on_datagram, self, &self->udp),
                   WARP_OK);
  self->env->ops->udp_local(self->udp, &self->local);
  assert_int_equal(wg_identity_generate(&self->identity), WARP_OK);
}

static void open_pipe(end *self) {
  static const uint8_t hello[] = "hello";
  wg_pipe_options options = {
      .env = self->env,
      .identity = self->identity,
      .kind = WARP_MESSAGES,
      .client = self->initiator,
      .initiator = self->initiator,
      .expected = wg_identity_key(self->other->identity),
      .hello = self->initiator ? hello : NULL,
      .hello_len = self->initiator ? sizeof hello : 0,
      .ops = &carrier_ops,
      .carrier = self,
      .callbacks = {.on_secured = on_secured, .on_nominated = on_nominated},
      .arg = self,
  };
  assert_int_equal(wg_pipe_open(&options, &self->pipe), WARP_OK);
}

/* Ends when everything on the loop is closed. */
static void *run(void *loop) {
  warp_loop_run(loop);
  return NULL;
}

static void test_two_loops_in_two_threads(void **state) {
  static end ends[2 * PAIRS];
  warp_loop *loops[LOOPS];
  pthread_t threads[LOOPS];
  (void)state;
  for (size_t i = 0; i < LOOPS; i++) {
    loops[i] = warp_loop_new();
    assert_non_null(loops[i]);
  }
  /* The loops of a pair: 0 and 0, 0 and 1, 1 and 0, 1 and 1. */
  for (size_t i = 0; i < 2 * PAIRS; i += 2) {
    open_socket(&ends[i], &ends[i + 1], loops[i / 2 / LOOPS], true);
    open_socket(&ends[i + 1], &ends[i], loops[i / 2 % LOOPS], false);
  }
  for (size_t i = 2 * PAIRS; i-- > 0;) {
    open_pipe(&ends[i]); /* the one that waits first */
  }
  for (size_t i = 0; i < LOOPS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, run, loops[i]), 0);
  }
  for (size_t i = 0; i < LOOPS; i++) {
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  }
  for (size_t i = 0; i < 2 * PAIRS; i++) {
    assert_int_equal(ends[i].wrong, 0);
    assert_int_equal(ends[i].received, MESSAGES);
    assert_int_equal(ends[i].end_status, WARP_OK);
    assert_int_equal(ends[i].closed, 1);
    assert_int_equal(ends[i].closed_status, WARP_OK);
    wg_identity_free(ends[i].identity);
  }
  for (size_t i = 0; i < LOOPS; i++) {
    assert_int_equal(warp_loop_close(loops[i]), WARP_OK);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_two_loops_in_two_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
