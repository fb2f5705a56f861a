/* Two ends of a TCP connection over loopback that write down what happens to them. */
#ifndef TCP_SIDES_H
#define TCP_SIDES_H

#include "harness.h"

/* One end of a connection; an acceptor makes one for what it accepts. */
typedef struct side {
  world *w;
  wg_tcp *tcp;
  bool open, ended, drained, got; /* `got`: received == want */
  int open_status, end_status;
  size_t received, want;
  uint8_t head[16];
  unsigned sum; /* of all bytes, weighted by place */
  enum { NOWHERE, IN_OPEN, IN_DATA, IN_END, IN_DRAIN } close_in;
} side;

typedef struct acceptor {
  world *w;
  wg_tcp_listener *listener;
  warp_addr local;
  side *side; /* who gets the next connection */
  bool accepted;
  bool close_at_once, close_itself;
  size_t count;
} acceptor;

static const wg_tcp_handlers handlers;

static inline void close_side(side *s) {
  s->w->ops->tcp_close(s->tcp);
  s->tcp = NULL;
}

static inline void on_open(void *arg, int status) {
  side *s = arg;
  assert_non_null(s->tcp);
  assert_false(s->open);
  s->open = true;
  s->open_status = status;
  if (s->close_in == IN_OPEN) {
    close_side(s);
  }
}

static inline unsigned add_up(unsigned sum, const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++) {
    sum = sum * 31 + data[i];
  }
  return sum;
}

static inline void on_data(void *arg, const uint8_t *data, size_t len) {
  side *s = arg;
  assert_non_null(s->tcp);
  assert_false(s->ended);
  for (size_t i = 0; i < len && s->received + i < sizeof s->head; i++) {
    s->head[s->received + i] = data[i];
  }
  s->sum = add_up(s->sum, data, len);
  s->received += len;
  s->got = s->received == s->want;
  if (s->close_in == IN_DATA) {
    close_side(s);
  }
}

static inline void on_end(void *arg, int status) {
  side *s = arg;
  assert_non_null(s->tcp);
  assert_false(s->ended);
  s->ended = true;
  s->end_status = status;
  if (s->close_in == IN_END) {
    close_side(s);
  }
}

static inline void on_drain(void *arg) {
  side *s = arg;
  assert_non_null(s->tcp);
  assert_int_equal(s->w->ops->tcp_queued(s->tcp), 0);
  s->drained = true;
  if (s->close_in == IN_DRAIN) {
    close_side(s);
  }
}

static const wg_tcp_handlers handlers = {on_open, on_data, on_end, on_drain};

static inline void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  acceptor *a = arg;
  assert_non_null(a->listener);
  a->count++;
  warp_addr remote;
  a->w->ops->tcp_addrs(tcp, NULL, &remote);
  assert_true(wg_addr_equal(&remote, from));
  if (a->close_at_once) {
    a->w->ops->tcp_close(tcp);
  } else {
    a->side->w = a->w;
    a->side->tcp = tcp;
    a->w->ops->tcp_set_handlers(tcp, &handlers, a->side);
  }
  if (a->close_itself) {
    a->w->ops->tcp_listener_close(a->listener);
    a->listener = NULL;
  }
  a->accepted = true;
}

static inline void start_acceptor(world *w, acceptor *a, int family, unsigned flags, side *next) {
  *a = (acceptor){.w = w, .side = next};
  warp_addr local = wg_addr_loopback(family, 0);
  assert_int_equal(w->ops->tcp_listen(w->env, &local, flags, on_accept, a, &a->listener), WARP_OK);
  w->ops->tcp_listener_local(a->listener, &a->local);
  assert_int_not_equal(a->local.port, 0);
}

static inline void stop_acceptor(acceptor *a) {
  a->w->ops->tcp_listener_close(a->listener);
}

static inline void start_connect(world *w, side *s, const warp_addr *local, const warp_addr *to,
                                 unsigned flags) {
  s->w = w;
  assert_int_equal(w->ops->tcp_connect(w->env, local, to, flags, &handlers, s, &s->tcp), WARP_OK);
  assert_false(s->open); /* callbacks come from the loop only */
}

/* A connected pair: `a` connected, `b` accepted. */
static inline void make_pair(world *w, side *a, side *b) {
  acceptor acc;
  *b = (side){0};
  start_acceptor(w, &acc, WARP_IP4, 0, b);
  *a = (side){0};
  start_connect(w, a, NULL, &acc.local, 0);
  run_until(w, &a->open);
  run_until(w, &acc.accepted);
  assert_int_equal(a->open_status, WARP_OK);
  stop_acceptor(&acc);
}

static inline void expect(side *s, size_t bytes) {
  s->want = bytes;
  s->got = s->received == bytes;
}

#endif
