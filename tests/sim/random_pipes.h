/* A program that does anything at any time: what it holds, what it was promised, and its pipes and
 * links. See test_random_calls.c. */
#ifndef TESTS_SIM_RANDOM_PIPES_H
#define TESTS_SIM_RANDOM_PIPES_H

#include "base/rng.h"
#include "peers.h"
#include "pipe/open.h"
#include "registry.h"

enum { ACTS_INSIDE = 3 /* of ten callbacks act */ };
enum { NODES = 3, GATES = 2, PIPES = 24, LINKS = 8, SUBS = 4, REQUESTS = 4096, DEPTH_MAX = 3 };

typedef struct monkey monkey;
/* A call that promised a callback. */
typedef struct request {
  monkey *of;
  bool started, calling; /* said WARP_OK; is on the stack */
  unsigned calls;
  unsigned slot;
} request;

typedef struct node_slot {
  monkey *of;
  warp_node *node;
  bool closing;
} node_slot;
typedef struct gate_slot {
  monkey *of;
  warp_gate *gate;
  bool closing;
} gate_slot;
typedef struct pipe_slot {
  monkey *of;
  warp_pipe *pipe;
  bool of_server; /* its server frees it */
  warp_subscription *subs[SUBS];
  struct watch *watch;
} pipe_slot;
typedef struct link_slot {
  monkey *of;
  warp_link *link;
  bool closing;
} link_slot;

/* The end callback of one pipe, which may outlive its slot's. */
typedef struct watch {
  monkey *of;
  pipe_slot *slot;
  unsigned calls;
} watch;

struct monkey {
  peers both;
  registry server;
  wg_rng rng;
  unsigned acts, depth;
  node_slot nodes[NODES];
  gate_slot gates[GATES];
  pipe_slot pipes[PIPES];
  link_slot links[LINKS];
  request requests[REQUESTS];
  size_t request_count;
  watch watches[REQUESTS];
  size_t watch_count;
  uint8_t bytes[70000];
};

static unsigned pick(monkey *m, unsigned bound) {
  return wg_rng_below(&m->rng, bound);
}

static void act(monkey *m);

/* Whatever the program does in a callback. */
static void inside(monkey *m) {
  if (m->depth >= DEPTH_MAX || pick(m, 10) >= ACTS_INSIDE)
    return;
  m->depth++;
  act(m);
  m->depth--;
}

/* ---- requests -------------------------------------------------------------------------------- */

static request *begin(monkey *m) {
  assert_true(m->request_count < REQUESTS);
  request *made = &m->requests[m->request_count++];
  *made = (request){.of = m, .calling = true};
  return made;
}

static void begun(request *self, int status) {
  self->calling = false;
  self->started = status == WARP_OK;
  assert_in_range(-status, 0, -WARP_ALL_FAILED);
  assert_int_equal(self->calls, 0);
}

static monkey *answered(void *arg) {
  request *self = arg;
  assert_false(self->calling);
  assert_true(self->started);
  assert_int_equal(self->calls++, 0);
  return self->of;
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static pipe_slot *free_pipe(monkey *m) {
  for (size_t i = 0; i < PIPES; i++) {
    if (m->pipes[i].pipe == NULL)
      return &m->pipes[i];
  }
  return NULL;
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  watch *self = arg;
  assert_int_not_equal(status, WARP_OK);
  assert_int_equal(self->calls++, 0);
  if (self->slot->pipe == pipe && self->slot->of_server)
    self->slot->pipe = NULL;
  inside(self->of);
}

static int watch_end(monkey *m, pipe_slot *slot) {
  assert_true(m->watch_count < REQUESTS);
  slot->watch = &m->watches[m->watch_count++];
  *slot->watch = (watch){.of = m, .slot = slot};
  return warp_pipe_add_end_cb(slot->pipe, on_end, slot->watch);
}

static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  (void)pipe, (void)data, (void)len;
  assert_non_null(from);
  inside(arg);
}

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)pipe, (void)data, (void)len;
  inside(arg);
}

static void on_drain(void *arg, warp_pipe *pipe) {
  (void)pipe;
  inside(arg);
}

static void on_recv(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  (void)pipe, (void)len;
  assert_true((status == WARP_OK) == (data != NULL && from != NULL));
  inside(answered(arg));
}

/* What the library handed out is kept, or closed when there is no room. */
static void keep_pipe(monkey *m, warp_pipe *pipe, bool of_server) {
  pipe_slot *slot = free_pipe(m);
  if (slot == NULL) {
    warp_pipe_close(pipe);
    return;
  }
  *slot = (pipe_slot){.of = m, .pipe = pipe, .of_server = of_server};
  int status = watch_end(m, slot);
  if (of_server) /* without its end nothing says when it is gone */
    assert_int_equal(status, WARP_OK);
}

static void close_pipe(pipe_slot *slot) {
  warp_pipe *pipe = slot->pipe;
  slot->pipe = NULL;
  warp_pipe_close(pipe);
}

static void on_up(void *arg, warp_pipe *server, warp_pipe *client) {
  (void)server;
  keep_pipe(arg, client, true);
  inside(arg);
}

static void on_open(void *arg, warp_pipe *pipe, int status) {
  request *self = arg;
  monkey *m = answered(self);
  pipe_slot *slot = &m->pipes[self->slot];
  if (status != WARP_OK && status != WARP_CANCELED)
    slot->pipe = NULL;
  else if (status == WARP_OK)
    assert_ptr_equal(pipe, slot->pipe);
  inside(m);
}

static void open_pipe(monkey *m) {
  static const char *const dests[] = {NULL,          "192.0.2.2:7",   "192.0.2.130:7",
                                      "192.0.2.2:8", "nobody.test:7", "192.0.2.131:7",
                                      "nonsense"};
  pipe_slot *slot = free_pipe(m);
  if (slot == NULL)
    return;
  sim_host *host = pick(m, 2) == 0 ? m->both.net.a : m->both.net.b;
  warp_route route = {.addr = wg_addr_any(WARP_IP4, (uint16_t)(7 + pick(m, 3)))};
  warp_pipe_options options = {.transport = (warp_transport)(1 + pick(m, 2)),
                               .dest = dests[pick(m, 7)],
                               .on_msg = pick(m, 2) == 0 ? on_msg : NULL,
                               .on_up = on_up,
                               .arg = m};
  if (options.dest == NULL)
    options.route = &route;
  request *asked = begin(m);
  asked->slot = (unsigned)(slot - m->pipes);
  *slot = (pipe_slot){.of = m};
  int status = wg_pipe_open_by_hand(sim_host_env(host), &options, on_open, asked, &slot->pipe);
  begun(asked, status);
  if (status == WARP_OK)
    (void)watch_end(m, slot);
}

static warp_subscription **any_sub(monkey *m, pipe_slot *slot) {
  return &slot->subs[pick(m, SUBS)];
}

static size_t any_len(monkey *m) {
  static const size_t lengths[] = {0, 1, 2, 100, 1100, 1101, 65507, 65508, 70000, SIZE_MAX};
  return lengths[pick(m, 10)];
}

static void link_slots_take(monkey *m, warp_link *link);

static void subscribe(monkey *m, pipe_slot *slot) {
  warp_subscription **sub = any_sub(m, slot);
  warp_subscribe_options options = {.handler = pick(m, 2) == 0 ? on_msg : NULL,
                                    .arg = m,
                                    .max_messages = pick(m, 3),
                                    .pattern = pick(m, 4) == 0 ? "[a-c]" : NULL,
                                    .when_full = (warp_when_full)pick(m, 4)};
  if (*sub == NULL)
    (void)warp_pipe_subscribe(slot->pipe, &options, sub);
  else {
    warp_subscription *old = *sub; /* what it cancels may close the pipe, and fill the slot anew */
    *sub = NULL;
    assert_int_equal(warp_pipe_unsubscribe(slot->pipe, old), WARP_OK);
  }
}

static void receive(monkey *m, pipe_slot *slot) {
  warp_subscription *sub = *any_sub(m, slot);
  request *asked = begin(m);
  int status;
  switch (pick(m, 3)) {
  case 0:
    status = warp_pipe_recv(slot->pipe, sub, pick(m, 100), on_recv, asked);
    break;
  case 1:
    status = warp_pipe_recv_n(slot->pipe, sub, pick(m, 9), WARP_FOREVER, on_recv, asked);
    break;
  default:
    status = warp_pipe_ask(slot->pipe, sub, m->bytes, any_len(m), 20, on_recv, asked);
    break;
  }
  begun(asked, status);
}

/* Of one pipe. A subscription that was ended within another callback is forgotten here only. */
static void use_pipe(monkey *m, pipe_slot *slot) {
  warp_pipe *pipe = slot->pipe;
  const warp_pipe_handlers handlers = {.on_data = on_data, .on_drain = on_drain, .arg = m};
  warp_pipe_info info;
  warp_link *link;
  int fd;
  switch (pick(m, 14)) {
  case 0:
  case 1:
  case 2:
    (void)warp_pipe_send(pipe, m->bytes, any_len(m));
    break;
  case 3:
    (void)warp_pipe_shutdown(pipe);
    break;
  case 4:
    (void)warp_pipe_pause(pipe, pick(m, 2) == 0);
    break;
  case 5:
    (void)warp_pipe_set_handlers(pipe, &handlers);
    break;
  case 6:
    assert_int_equal(warp_pipe_get_info(pipe, &info), WARP_OK);
    (void)warp_pipe_send_to(pipe, m->bytes, 3, &info.remote);
    break;
  case 7:
    (void)warp_pipe_add_msg_cb(pipe, on_msg, m);
    break;
  case 8:
    (void)warp_pipe_del_msg_cb(pipe, on_msg, m);
    break;
  case 9:
    assert_int_equal(warp_pipe_take_socket(pipe, &fd), WARP_STATE);
    break;
  case 10:
    if (warp_link_open(pipe, &link) == WARP_OK) {
      slot->pipe = NULL;
      (void)warp_pipe_del_end_cb(pipe, on_end, slot->watch);
      link_slots_take(m, link);
    }
    break;
  case 11:
  case 12:
    receive(m, slot);
    break;
  default:
    close_pipe(slot);
    break;
  }
}

/* ---- links ----------------------------------------------------------------------------------- */

static void on_link_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  link_slot *slot = arg;
  assert_ptr_equal(slot->link, link);
  assert_false(slot->closing);
  (void)data, (void)len;
  inside(slot->of);
}

static void on_link_end(void *arg, warp_link *link, int status) {
  link_slot *slot = arg;
  (void)status;
  assert_ptr_equal(slot->link, link);
  assert_false(slot->closing);
  inside(slot->of);
}

static void on_link_drain(void *arg, warp_link *link) {
  on_link_end(arg, link, WARP_OK);
}

static void on_link_closed(void *arg, int status) {
  link_slot *slot = arg;
  (void)status;
  assert_true(slot->closing);
  slot->link = NULL;
  inside(slot->of);
}

static void close_link(link_slot *slot) {
  if (slot->link != NULL && !slot->closing) {
    slot->closing = true;
    warp_link_close(slot->link, on_link_closed, slot);
  }
}

static void link_slots_take(monkey *m, warp_link *link) {
  for (size_t i = 0; i < LINKS; i++) {
    link_slot *slot = &m->links[i];
    if (slot->link == NULL) {
      *slot = (link_slot){.of = m, .link = link};
      assert_int_equal(warp_link_on_message(link, on_link_message, slot), WARP_OK);
      assert_int_equal(warp_link_on_end(link, on_link_end, slot), WARP_OK);
      assert_int_equal(warp_link_on_drain(link, on_link_drain, slot), WARP_OK);
      return;
    }
  }
  warp_link_close(link, NULL, NULL);
}

static void use_link(monkey *m, link_slot *slot) {
  if (slot->link == NULL || slot->closing)
    return;
  switch (pick(m, 5)) {
  case 0:
  case 1:
    (void)warp_link_send(slot->link, m->bytes, any_len(m));
    break;
  case 2:
    (void)warp_link_shutdown(slot->link);
    break;
  case 3:
    (void)warp_link_pause(slot->link, pick(m, 2) == 0);
    break;
  default:
    close_link(slot);
    break;
  }
}

#endif
