/* Pipes opened by hand on two hosts, and what happens to each of them. */
#ifndef TESTS_SIM_HAND_PIPES_H
#define TESTS_SIM_HAND_PIPES_H

#include "testing.h"

#include "pipe/open.h"
#include "pipe/queue.h"

typedef struct pair {
  sim_world *world;
  sim_network *one, *two;
  sim_host *a, *b;
} pair;

/* In which callback a program closes its pipe. */
typedef enum hand_place { NOWHERE, IN_OPEN, IN_MSG, IN_END, IN_RECV, IN_UP } hand_place;

/* One pipe as its program sees it. */
typedef struct hand {
  pair *of;
  warp_pipe *pipe, *client; /* client: the last of a server */
  unsigned opened, ended, ups, messages, received;
  int open_status, end_status, recv_status;
  wg_queue heard, taken; /* by the message callback, by receives */
  warp_addr from;
  bool echo;
  hand_place close_in;
  bool watch_client; /* message and end callbacks of a server's client */
} hand;

static inline void build(pair *p) {
  *p = (pair){.world = sim_world_new(7)};
  p->one = sim_network_new(p->world, "one", NULL);
  p->two = sim_network_new(p->world, "two", NULL);
  p->a = sim_host_new(p->one, "a", "192.0.2.1/25");
  sim_host_add_address(p->a, "2001:db8:1::1/64");
  p->b = sim_host_new(p->two, "b", "192.0.2.129/25");
  sim_host_add_address(p->b, "2001:db8:2::1/64");
}

static inline void destroy(pair *p) {
  assert_int_equal(sim_world_free(p->world), 0);
}

static inline void pass(pair *p, unsigned ms) {
  assert_int_equal(sim_run_for(p->world, ms * SIM_MS), WARP_OK);
}

static inline void hand_close(hand *h) {
  warp_pipe *pipe = h->pipe;
  h->pipe = NULL;
  warp_pipe_close(pipe);
}

static inline void hand_free(hand *h) {
  hand_close(h);
  wg_queue_free(&h->heard);
  wg_queue_free(&h->taken);
}

static inline void on_hand_open(void *arg, warp_pipe *pipe, int status) {
  hand *h = arg;
  h->opened++;
  h->open_status = status;
  if (pipe != NULL) {
    assert_ptr_equal(pipe, h->pipe);
  } else {
    h->pipe = NULL;
  }
  if (h->close_in == IN_OPEN && pipe != NULL) {
    hand_close(h);
  }
}

static inline void on_hand_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                               const warp_addr *from) {
  hand *h = arg;
  h->messages++;
  h->from = *from;
  assert_true(wg_queue_push(&h->heard, data, len));
  if (h->echo) {
    assert_int_equal(warp_pipe_send_to(pipe, data, len, from), WARP_OK);
  }
  if (h->close_in == IN_MSG) {
    hand_close(h);
  }
}

static inline void on_hand_end(void *arg, warp_pipe *pipe, int status) {
  hand *h = arg;
  h->ended++;
  h->end_status = status;
  if (pipe == h->client) {
    h->client = NULL;
  }
  if (h->close_in == IN_END) {
    hand_close(h);
  }
}

static inline void on_hand_up(void *arg, warp_pipe *server, warp_pipe *client) {
  hand *h = arg;
  assert_ptr_equal(server, h->pipe);
  h->ups++;
  h->client = client;
  if (h->watch_client) {
    assert_int_equal(warp_pipe_add_end_cb(client, on_hand_end, h), WARP_OK);
  }
  if (h->close_in == IN_UP) {
    hand_close(h);
  }
}

static inline void on_hand_recv(void *arg, warp_pipe *pipe, int status, const uint8_t *data,
                                size_t len, const warp_addr *from) {
  hand *h = arg;
  (void)pipe;
  h->received++;
  h->recv_status = status;
  assert_true((status == WARP_OK) == (data != NULL && from != NULL));
  if (status == WARP_OK) {
    h->from = *from;
    assert_true(wg_queue_push(&h->taken, data, len));
  }
  if (h->close_in == IN_RECV) {
    hand_close(h);
  }
}

static inline void hand_open(pair *p, hand *h, sim_host *host, const warp_pipe_options *options) {
  h->of = p;
  assert_int_equal(wg_pipe_open_by_hand(sim_host_env(host), options, on_hand_open, h, &h->pipe),
                   WARP_OK);
  assert_int_equal(h->opened, 0); /* never from inside */
}

/* A server on `b` at port 7 with its message callback. */
static inline void serve(pair *p, hand *h, warp_transport transport, int family) {
  warp_route route = {.addr = wg_addr_any(family, 7)};
  warp_pipe_options options = {.transport = transport,
                               .route = &route,
                               .on_msg = on_hand_msg,
                               .on_up = on_hand_up,
                               .arg = h};
  hand_open(p, h, p->b, &options);
  pass(p, 1);
  assert_int_equal(h->opened, 1);
  assert_int_equal(h->open_status, WARP_OK);
}

/* A client on `a` without a callback for messages. */
static inline void dial(pair *p, hand *h, warp_transport transport, const char *dest,
                        const warp_net_conf *conf) {
  warp_pipe_options options = {.transport = transport, .dest = dest, .conf = conf};
  hand_open(p, h, p->a, &options);
  pass(p, 200);
  assert_int_equal(h->opened, 1);
  assert_int_equal(h->open_status, WARP_OK);
}

static inline void assert_bytes(const wg_queue *queue, const char *text) {
  assert_int_equal(queue->len, strlen(text));
  assert_memory_equal(wg_queue_front(queue), text, strlen(text));
}

static inline void say(warp_pipe *pipe, const char *text) {
  assert_int_equal(warp_pipe_send(pipe, text, strlen(text)), WARP_OK);
}

#endif
