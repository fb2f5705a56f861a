/*
 * Programs that do anything at any time: a seeded stream chooses what is called next, on which
 * object, with which argument, from the loop and from inside the callbacks. What such a program may
 * rely on is looked at: a callback runs once if its call said WARP_OK, never otherwise and never
 * within the call; after its close an object is silent; and nothing is left when all is closed.
 */
#include "random_pipes.h"

#include "gate/gate.h"
#include "node/node.h"

#include <stdlib.h>

enum { WORLDS = 30, ACTS = 700 };
static const uint64_t second = 1000000;

/* ---- nodes ----------------------------------------------------------------------------------- */

static void on_event(void *arg, const warp_start_event *event) {
  assert_non_null(event->detail);
  inside(arg);
}

static warp_contact on_contact(void *arg, const warp_key *key) {
  (void)key;
  inside(arg);
  return (warp_contact)(pick(arg, 8) == 0 ? 1 + pick(arg, 2) : 0);
}

static void on_name(void *arg, int status, const uint8_t *record, size_t len) {
  (void)len;
  assert_true(status == WARP_OK || record == NULL);
  inside(answered(arg));
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  assert_true(report->count > 0);
  keep_pipe(arg, pipe, false);
  inside(arg);
}

static void on_miss(void *arg, warp_node *node, const warp_key *key, int status,
                    const warp_report *report) {
  (void)node, (void)key, (void)report;
  assert_int_not_equal(status, WARP_OK);
  inside(arg);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  monkey *m = answered(arg);
  assert_non_null(report);
  assert_true((status == WARP_OK) == (pipe != NULL));
  if (pipe != NULL)
    keep_pipe(m, pipe, false);
  inside(m);
}

static void on_link(void *arg, warp_link *link, int status, const warp_report *report) {
  monkey *m = answered(arg);
  assert_non_null(report);
  assert_true((status == WARP_OK) == (link != NULL));
  if (link != NULL)
    link_slots_take(m, link);
  inside(m);
}

static void on_gate_link(void *arg, warp_gate *gate, warp_link *link, const warp_report *report) {
  (void)gate, (void)report;
  link_slots_take(arg, link);
  inside(arg);
}

static warp_pipe_id any_id(monkey *m) {
  warp_pipe_id id = {{0}};
  id.bytes[0] = (uint8_t)pick(m, 4); /* 0: none */
  return id;
}

static bool is_kept(const monkey *m, const warp_pipe *pipe) {
  for (size_t i = 0; i < PIPES; i++) {
    if (m->pipes[i].pipe == pipe)
      return true;
  }
  return false;
}

/* Pipes that nobody else took belong to the node, and may be closed or handed over here. */
static void on_node_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                        const warp_addr *from) {
  node_slot *slot = arg;
  monkey *m = slot->of;
  (void)data, (void)len, (void)from;
  bool own = !is_kept(m, pipe);
  const warp_pipe_id id = any_id(m);
  switch (pick(m, 6)) {
  case 0:
    if (own)
      warp_pipe_close(pipe);
    break;
  case 1:
    if (own && slot->node != NULL)
      (void)warp_node_pipe_ready(slot->node, &id, pipe);
    break;
  case 2:
    (void)warp_pipe_send(pipe, m->bytes, 3);
    break;
  default:
    inside(m);
  }
}

static void on_future(void *arg, warp_node *node, warp_pipe *pipe, int status) {
  monkey *m = answered(arg);
  (void)node;
  assert_true((status == WARP_OK) == (pipe != NULL));
  if (pipe != NULL)
    keep_pipe(m, pipe, false);
  inside(m);
}

static void await_pipe(monkey *m, warp_node *node) {
  const warp_pipe_id id = any_id(m);
  warp_key key;
  const warp_node *other = m->nodes[pick(m, NODES)].node;
  bool named = other != NULL && warp_node_key(other, &key) == WARP_OK && pick(m, 2) == 0;
  request *asked = begin(m);
  begun(asked,
        warp_node_pipe_future(node, &id, named ? &key : NULL, pick(m, 3000), on_future, asked));
}

static void hand_over(monkey *m, warp_node *node) {
  const warp_pipe_id id = any_id(m);
  pipe_slot *slot = &m->pipes[pick(m, PIPES)];
  warp_pipe *pipe = slot->pipe;
  if (pipe == NULL || slot->of_server)
    return;
  bool waits = warp_pipe_del_end_cb(pipe, on_end, slot->watch) == WARP_OK;
  if (warp_node_pipe_ready(node, &id, pipe) == WARP_OK)
    slot->pipe = NULL;
  else if (waits)
    assert_int_equal(watch_end(m, slot), WARP_OK);
}

static void on_start(void *arg, warp_node *node, int status) {
  request *self = arg;
  monkey *m = answered(self);
  node_slot *slot = &m->nodes[self->slot];
  if (status == WARP_OK) {
    assert_ptr_equal(slot->node, node);
  } else if (status != WARP_CANCELED) {
    slot->node = NULL;
  }
  inside(m);
}

static void on_node_closed(void *arg) {
  node_slot *slot = arg;
  assert_true(slot->closing);
  slot->node = NULL;
  inside(slot->of);
}

static void close_node(node_slot *slot) {
  if (slot->node != NULL && !slot->closing) {
    slot->closing = true;
    warp_node_close(slot->node, on_node_closed, slot);
  }
}

static warp_conf some_conf(monkey *m, sim_host **host) {
  bool first = pick(m, 2) == 0;
  *host = first ? m->both.net.a : m->both.net.b;
  warp_conf conf = first ? m->both.a.conf : m->both.b.conf;
  conf.on_start_event = on_event;
  conf.start_arg = m;
  conf.contact_policy = on_contact;
  conf.contact_arg = m;
  conf.name_servers = names;
  conf.key_name = "";
  conf.enable_nickname = pick(m, 2) == 0;
  conf.server_timeout_ms = 100 + pick(m, 400);
  return conf;
}

static void start_node(monkey *m, node_slot *slot) {
  sim_host *host;
  warp_conf conf = some_conf(m, &host);
  request *asked = begin(m);
  asked->slot = (unsigned)(slot - m->nodes);
  *slot = (node_slot){.of = m};
  begun(asked, wg_node_start(sim_host_env(host), &conf, on_start, asked, &slot->node));
}

static void connect_to(monkey *m, warp_node *node) {
  static const char *const plugins[] = {NULL, "direct_connect", "udp_punch", "turn", "tcp_punch"};
  const node_slot *to = &m->nodes[pick(m, NODES)];
  uint8_t record[WARP_RECORD_MAX] = {0};
  size_t len = sizeof record;
  if (to->node == NULL || warp_node_address(to->node, record, &len) != WARP_OK)
    len = pick(m, 3);
  warp_connect_options options = {.plugins = plugins[pick(m, 5)],
                                  .timeout_ms = 100 + pick(m, 5000)};
  const warp_pipe_id id = any_id(m);
  options.id = pick(m, 2) == 0 ? &id : NULL;
  request *asked = begin(m);
  if (pick(m, 4) == 0)
    begun(asked, warp_node_resolve(node, record, len, on_name, asked));
  else
    begun(asked, warp_auto_connect(node, record, len, &options, on_connect, asked));
}

static const char *any_name(monkey *m) {
  static const char *const some[] = {"alice", "bob", "Bob.p2p", "no name", "nobody"};
  return some[pick(m, 5)];
}

static void use_node(monkey *m, node_slot *slot) {
  if (slot->node == NULL) {
    start_node(m, slot);
    return;
  }
  if (pick(m, 20) == 0) {
    close_node(slot);
    return;
  }
  warp_node *node = slot->node;
  request *asked;
  switch (pick(m, 12)) {
  case 0:
    (void)warp_node_listen(node, on_pipe, on_miss, m);
    break;
  case 4:
    (void)warp_node_add_msg_cb(node, on_node_msg, slot);
    break;
  case 5:
    (void)warp_node_del_msg_cb(node, on_node_msg, slot);
    break;
  case 6:
    await_pipe(m, node);
    break;
  case 7:
    hand_over(m, node);
    break;
  case 1:
    asked = begin(m);
    begun(asked, warp_node_register(node, any_name(m), on_name, asked));
    break;
  case 2:
    asked = begin(m);
    begun(asked, warp_node_lookup(node, any_name(m), on_name, asked));
    break;
  case 3:
    asked = begin(m);
    begun(asked, warp_node_unregister(node, any_name(m), on_name, asked));
    break;
  default:
    connect_to(m, node);
    break;
  }
}

/* ---- gates ----------------------------------------------------------------------------------- */

static void on_gate_open(void *arg, warp_gate *gate, int status) {
  request *self = arg;
  monkey *m = answered(self);
  gate_slot *slot = &m->gates[self->slot];
  if (status == WARP_OK) {
    assert_ptr_equal(slot->gate, gate);
  } else if (!slot->closing) {
    slot->gate = NULL;
  }
  inside(m);
}

static void on_gate_closed(void *arg) {
  gate_slot *slot = arg;
  assert_true(slot->closing);
  slot->gate = NULL;
  inside(slot->of);
}

static void close_gate(gate_slot *slot) {
  if (slot->gate != NULL && !slot->closing) {
    slot->closing = true;
    warp_gate_close(slot->gate, on_gate_closed, slot);
  }
}

static void use_gate(monkey *m, gate_slot *slot) {
  request *asked;
  sim_host *host;
  if (slot->gate == NULL) {
    warp_conf conf = some_conf(m, &host);
    asked = begin(m);
    asked->slot = (unsigned)(slot - m->gates);
    *slot = (gate_slot){.of = m};
    begun(asked,
          wg_gate_open(sim_host_env(host), any_name(m), &conf, on_gate_open, asked, &slot->gate));
    return;
  }
  switch (pick(m, 12)) {
  case 0:
    close_gate(slot);
    break;
  case 1:
  case 2:
    (void)warp_gate_listen(slot->gate, on_gate_link, m);
    break;
  case 3:
  case 4:
    asked = begin(m);
    begun(asked, warp_gate_connect(slot->gate, any_name(m), NULL, on_connect, asked));
    break;
  default:
    asked = begin(m);
    begun(asked, warp_gate_connect_link(slot->gate, any_name(m), NULL, on_link, asked));
    break;
  }
}

/* ---- a life ---------------------------------------------------------------------------------- */

static void act(monkey *m) {
  if (m->acts == 0)
    return;
  m->acts--;
  pipe_slot *slot;
  switch (pick(m, 12)) {
  case 0:
    open_pipe(m);
    break;
  case 1:
  case 2:
    use_node(m, &m->nodes[pick(m, NODES)]);
    break;
  case 3:
    use_gate(m, &m->gates[pick(m, GATES)]);
    break;
  case 4:
  case 5:
    use_link(m, &m->links[pick(m, LINKS)]);
    break;
  case 6:
    slot = &m->pipes[pick(m, PIPES)];
    if (slot->pipe != NULL)
      subscribe(m, slot);
    break;
  default:
    slot = &m->pipes[pick(m, PIPES)];
    if (slot->pipe != NULL)
      use_pipe(m, slot);
    break;
  }
}

static void end_all(monkey *m) {
  for (size_t i = 0; i < LINKS; i++)
    close_link(&m->links[i]);
  for (size_t i = 0; i < GATES; i++)
    close_gate(&m->gates[i]);
  for (size_t i = 0; i < NODES; i++)
    close_node(&m->nodes[i]);
  for (size_t i = 0; i < PIPES; i++) {
    if (m->pipes[i].pipe != NULL)
      close_pipe(&m->pipes[i]);
  }
}

static void live(uint64_t seed) {
  static const char *const profiles[] = {"open", "port-restricted", "symmetric", "restricted"};
  monkey *m = calloc(1, sizeof *m);
  assert_non_null(m);
  wg_rng_seed(&m->rng, seed, "random calls");
  m->acts = ACTS;
  memset(m->bytes, 'b', sizeof m->bytes);
  peers_build(&m->both, profiles[pick(m, 4)], profiles[pick(m, 4)], seed);
  start_registry(&m->server, m->both.net.server);
  while (m->acts > 0) {
    act(m);
    if (pick(m, 3) == 0)
      assert_int_equal(sim_run_for(m->both.net.world, pick(m, 400000)), WARP_OK);
  }
  for (int i = 0; i < 2; i++) { /* what was under way may bring more */
    end_all(m);
    assert_int_equal(sim_run_for(m->both.net.world, 60 * second), WARP_OK);
  }
  for (size_t i = 0; i < m->request_count; i++)
    assert_int_equal(m->requests[i].calls, m->requests[i].started ? 1 : 0);
  for (size_t i = 0; i < LINKS; i++)
    assert_null(m->links[i].link);
  stop_registry(&m->server);
  peers_free(&m->both);
  free(m);
}

/* WARPGATE_SEED=NUMBER in the environment: this world only, also one beyond the usual ones. */
static void test_anything_at_any_time(void **state) {
  (void)state;
  const char *only = getenv("WARPGATE_SEED");
  for (uint64_t seed = 1; seed <= WORLDS; seed++) {
    uint64_t of = only != NULL ? strtoull(only, NULL, 10) : seed;
    print_message("seed %llu\n", (unsigned long long)of);
    live(of);
    if (only != NULL)
      return;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_anything_at_any_time)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
