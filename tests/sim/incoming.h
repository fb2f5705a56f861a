/* Two nodes for the tests of pipes that a peer opens, and callbacks that write down what they hear.
 */
#ifndef SIM_INCOMING_H
#define SIM_INCOMING_H

#include "node/node.h"
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LIMIT_US = 300000000 };
static const uint64_t second = 1000000;
static const warp_connect_options directly = {.plugins = "direct_connect"};

/* Two nodes that run, of which b does not listen. */
static inline void start(peers *both) {
  peers_build(both, "open", "open", 1);
  peer_start(&both->a);
  peer_start(&both->b);
  assert_int_equal(both->a.start_status, WARP_OK);
  assert_int_equal(both->b.start_status, WARP_OK);
}

static inline void run(peers *both, uint64_t us) {
  assert_int_equal(sim_run_for(both->net.world, us), WARP_OK);
}

static inline warp_pipe_id id_of(uint8_t first) {
  warp_pipe_id id = {{first, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
  return id;
}

static inline warp_key key_of(const peer *self) {
  warp_key key;
  assert_int_equal(warp_node_key(self->node, &key), WARP_OK);
  return key;
}

/* What a's connects came to, one after the other. */
static inline void connect_again(peers *both, const warp_connect_options *options) {
  both->a.connect_done = both->a.end_done = false;
  both->a.inbox_len = 0;
  peers_connect(both, options);
}

/* A message callback, or the callback of a future, that writes down what it was told. */
typedef struct listener {
  peers *both;
  char name;
  char *order; /* who was told, shared by several; NULL */
  unsigned calls;
  char heard[64];
  size_t heard_len;
  bool answers, closes_pipe, closes_node, leaves;
  warp_pipe *pipe;
  int status;
} listener;

static inline void node_closed(void *arg) {
  peer *self = arg;
  self->closed = true;
  self->node = NULL;
}

static inline void on_message(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                              const warp_addr *from) {
  listener *self = arg;
  self->calls++;
  self->pipe = pipe;
  assert_int_not_equal(from->family, 0);
  assert_true(self->heard_len + len < sizeof self->heard);
  memcpy(self->heard + self->heard_len, data, len);
  self->heard_len += len;
  if (self->order != NULL)
    strncat(self->order, &self->name, 1);
  if (self->answers)
    assert_int_equal(warp_pipe_send(pipe, data, len), WARP_OK);
  if (self->leaves)
    assert_int_equal(warp_node_del_msg_cb(self->both->b.node, on_message, self), WARP_OK);
  if (self->closes_pipe)
    warp_pipe_close(pipe);
  if (self->closes_node)
    warp_node_close(self->both->b.node, node_closed, &self->both->b);
}

static inline void on_future(void *arg, warp_node *node, warp_pipe *pipe, int status) {
  listener *self = arg;
  assert_non_null(node);
  assert_true((status == WARP_OK) == (pipe != NULL));
  self->calls++;
  self->pipe = pipe;
  self->status = status;
  if (self->closes_node)
    warp_node_close(node, node_closed, &self->both->b);
}

/* For connects that peers' own callbacks do not count. */
static inline void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  listener *self = arg;
  assert_non_null(report);
  self->calls++;
  self->pipe = pipe;
  self->status = status;
}

static inline void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  (void)report;
  listener *self = arg;
  self->calls++;
  self->pipe = pipe;
}

static inline void on_own_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)pipe;
  listener *self = arg;
  assert_true(self->heard_len + len < sizeof self->heard);
  memcpy(self->heard + self->heard_len, data, len);
  self->heard_len += len;
}

static inline void on_own_end(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  listener *self = arg;
  self->status = status;
}

static inline void begin_connect(peer *from, peer *to, const warp_connect_options *options,
                                 listener *result, int expected) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(to->node, record, &len), WARP_OK);
  assert_int_equal(warp_auto_connect(from->node, record, len, options, on_connect, result),
                   expected);
}

/* What is tried before a start has ended. */
typedef struct early {
  peers *both;
  bool started;
} early;

#endif
