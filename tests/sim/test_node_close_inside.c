/* Programs that close a node inside the callbacks of its pipes, links, names and connects; and each
 * pipe and link inside their own. What is pending ends first, once, and the closing callback comes
 * last. */
#include "acting.h"
#include "peers.h"
#include "registry.h"

#include "bad_input.h"

static const uint64_t second = 1000000;

/* Two nodes, connected; who does something is one of their pipes. */
typedef struct stage {
  peers both;
  act_side a, b;
  unsigned closing, closed;
} stage;

static void on_node_closed(void *arg) {
  stage *on = arg;
  on->closed++;
}

static void close_node(stage *on, peer *of) {
  warp_node *node = of->node;
  of->node = NULL;
  if (node == NULL)
    return;
  on->closing++;
  unsigned closed = on->closed;
  warp_node_close(node, on_node_closed, on);
  assert_int_equal(on->closed, closed); /* never from inside the call */
  BADLY(warp_node_close, node, NULL, NULL);
}

static void act_close_nodes(act_side *side) {
  stage *on = side->arg;
  close_node(on, side == &on->a ? &on->both.a : &on->both.b);
}

static void act_close_all(act_side *side) {
  stage *on = side->arg;
  act_close(side);
  close_node(on, &on->both.b);
  close_node(on, &on->both.a);
  if (side->other->pipe != NULL)
    act_close(side->other);
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  stage *on = arg;
  (void)node, (void)report;
  act_take(&on->b, pipe);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  stage *on = arg;
  (void)report;
  assert_int_equal(status, WARP_OK);
  act_take(&on->a, pipe);
}

static void run(stage *on, uint64_t us) {
  assert_int_equal(sim_run_for(on->both.net.world, us), WARP_OK);
}

static void set_up(stage *on, uint64_t seed) {
  memset(on, 0, sizeof *on);
  on->a.other = &on->b;
  on->b.other = &on->a;
  on->a.arg = on->b.arg = on;
  peers_build(&on->both, "open", "open", seed);
  peers_start(&on->both);
}

/* A stream by direct_connect, messages by udp_punch. */
static void connect(stage *on, bool stream) {
  const warp_connect_options options = {.plugins = stream ? "direct_connect" : "udp_punch"};
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_listen(on->both.b.node, on_pipe, NULL, on), WARP_OK);
  assert_int_equal(warp_node_address(on->both.b.node, record, &len), WARP_OK);
  assert_int_equal(warp_auto_connect(on->both.a.node, record, len, &options, on_connect, on),
                   WARP_OK);
  run(on, 2 * second);
}

static void talk(stage *on) {
  act_ask(&on->a);
  run(on, second / 5);
  act_ask(&on->b);
  run(on, second / 5);
  if (on->a.pipe != NULL)
    (void)warp_pipe_shutdown(on->a.pipe);
  run(on, second / 5);
  if (on->a.pipe != NULL)
    act_close(&on->a);
  run(on, 5 * second);
}

static void finish(stage *on) {
  act_side *sides[] = {&on->a, &on->b};
  for (size_t i = 0; i < 2; i++) {
    if (sides[i]->pipe != NULL)
      act_close(sides[i]);
    assert_int_equal(sides[i]->asked, sides[i]->answered);
  }
  run(on, second);
  assert_int_equal(on->closed, on->closing);
  peers_free(&on->both);
}

static bool comes_to(act_place place, bool stream, bool at_b) {
  switch (place) {
  case ACT_RECV_N:
    return stream;
  case ACT_DRAIN:
    return stream && !at_b;
  case ACT_END:
    return at_b;
  default:
    return true;
  }
}

static void in_every_callback(bool stream) {
  static void (*const deeds[])(act_side * side) = {act_close_self, act_close_other, act_close_both,
                                                   act_forget,     act_want_more,   act_close_nodes,
                                                   act_close_all};
  for (int place = 0; place < ACT_PLACES; place++) {
    for (size_t deed = 0; deed < sizeof deeds / sizeof deeds[0]; deed++) {
      for (int at_b = 0; at_b < 2; at_b++) {
        stage on;
        set_up(&on, 1);
        act_side *who = at_b ? &on.b : &on.a;
        who->place = (act_place)place;
        who->deed = deeds[deed];
        connect(&on, stream);
        talk(&on);
        if (comes_to((act_place)place, stream, at_b))
          assert_true(who->done);
        finish(&on);
      }
    }
  }
}

static void test_streams(void **state) {
  (void)state;
  in_every_callback(true);
}

static void test_messages(void **state) {
  (void)state;
  in_every_callback(false);
}

/* ---- names, resolving, the story of a connect ------------------------------------------------ */

typedef struct asker {
  stage *on;
  warp_node *node;
  unsigned calls;
  int status;
} asker;

static void on_name(void *arg, int status, const uint8_t *record, size_t len) {
  asker *self = arg;
  (void)record, (void)len;
  self->calls++;
  self->status = status;
  if (status == WARP_CANCELED) { /* it is no use to ask again */
    assert_int_equal(warp_node_lookup(self->node, "bob", on_name, self), WARP_STATE);
    assert_int_equal(warp_node_listen(self->node, NULL, NULL, NULL), WARP_STATE);
  }
  close_node(self->on, &self->on->both.a);
}

static void on_late_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  asker *self = arg;
  (void)report;
  self->calls++;
  self->status = status;
  if (pipe != NULL)
    warp_pipe_close(pipe);
}

static void on_explained(void *arg, const warp_report *report) {
  asker *self = arg;
  assert_true(report->count > 0);
  self->calls++;
  close_node(self->on, &self->on->both.a);
}

typedef enum question { REGISTER, LOOKUP, UNREGISTER, RESOLVE, STORY, QUESTIONS } question;

static int ask(question what, asker *self, const uint8_t *record, size_t len) {
  static const warp_connect_options story = {.plugins = "direct_connect",
                                             .on_explained = on_explained};
  warp_node *node = self->on->both.a.node;
  switch (what) {
  case REGISTER:
    return warp_node_register(node, "alice", on_name, self);
  case LOOKUP:
    return warp_node_lookup(node, "alice", on_name, self);
  case UNREGISTER:
    return warp_node_unregister(node, "alice", on_name, self);
  case RESOLVE:
    return warp_node_resolve(node, record, len, on_name, self);
  default:
    return warp_auto_connect(node, record, len, &story, on_late_connect, self);
  }
}

/* All are asked in turn, beginning with `first`, and `us` pass. */
static void ask_all(stage *on, registry *server, asker askers[QUESTIONS], int first, uint64_t us) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  memset(on, 0, sizeof *on);
  peers_build(&on->both, "open", "open", 2);
  start_registry(server, on->both.net.server);
  on->both.a.conf.name_servers = names;
  peers_start(&on->both);
  assert_int_equal(warp_node_address(on->both.b.node, record, &len), WARP_OK);
  for (int i = 0; i < QUESTIONS; i++) {
    int what = (first + i) % QUESTIONS;
    askers[what] = (asker){.on = on, .node = on->both.a.node};
    assert_int_equal(ask((question)what, &askers[what], record, len), WARP_OK);
  }
  for (int i = 0; i < QUESTIONS; i++)
    assert_int_equal(askers[i].calls, 0); /* never from inside the call */
  run(on, us);
}

static void end_questions(stage *on, registry *server, const asker askers[QUESTIONS]) {
  run(on, 5 * second);
  assert_null(on->both.a.node);
  for (int i = 0; i < QUESTIONS; i++)
    assert_in_range(askers[i].calls, 1, i == STORY ? 2 : 1);
  assert_int_equal(on->closed, 1);
  stop_registry(server);
  peers_free(&on->both);
}

/* Each answer closes the node; those that still waited are canceled within. */
static void test_answers(void **state) {
  (void)state;
  for (int first = 0; first < QUESTIONS; first++) {
    stage on;
    registry server;
    asker askers[QUESTIONS];
    ask_all(&on, &server, askers, first, 10 * second);
    end_questions(&on, &server, askers);
  }
}

static void test_closed_while_asking(void **state) {
  (void)state;
  for (uint64_t ms = 0; ms < 60; ms += 4) {
    stage on;
    registry server;
    asker askers[QUESTIONS];
    ask_all(&on, &server, askers, 0, ms * 1000);
    unsigned answered[QUESTIONS];
    for (int i = 0; i < QUESTIONS; i++)
      answered[i] = askers[i].calls;
    close_node(&on, &on.both.a);
    for (int i = 0; i < QUESTIONS; i++) {
      assert_true(askers[i].calls >= 1); /* what was pending is over before close returns */
      if (answered[i] == 0)
        assert_int_equal(askers[i].status, WARP_CANCELED);
    }
    end_questions(&on, &server, askers);
  }
}

/* ---- links ----------------------------------------------------------------------------------- */

typedef enum link_place {
  LINK_MESSAGE,
  LINK_DRAIN,
  LINK_HALF_END,
  LINK_END,
  LINK_CLOSED,
  LINK_PLACES
} link_place;
typedef enum link_deed { CLOSE_LINK, CLOSE_NODE, CLOSE_LINK_AND_NODE, LINK_DEEDS } link_deed;

typedef struct knot {
  stage *on;
  warp_link *link; /* NULL once closed */
  peer *at;
  unsigned ended, half_ended, closed;
  bool acts, done;
  link_place place;
  link_deed deed;
} knot;

typedef struct knots {
  stage on;
  knot a, b;
} knots;

static void knot_at(knot *self, link_place place);

static void on_link_closed(void *arg, int status) {
  knot *self = arg;
  (void)status;
  self->closed++;
  knot_at(self, LINK_CLOSED);
}

static void close_link(knot *self) {
  warp_link *link = self->link;
  self->link = NULL;
  warp_link_close(link, on_link_closed, self);
}

static void knot_at(knot *self, link_place place) {
  if (!self->acts || self->done || self->place != place)
    return;
  self->done = true;
  if (self->deed != CLOSE_NODE)
    close_link(self);
  if (self->deed != CLOSE_LINK)
    close_node(self->on, self->at);
}

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  knot *self = arg;
  assert_ptr_equal(link, self->link);
  (void)data, (void)len;
  knot_at(self, LINK_MESSAGE);
}

static void on_drain(void *arg, warp_link *link) {
  knot *self = arg;
  assert_ptr_equal(link, self->link);
  knot_at(self, LINK_DRAIN);
}

static void on_link_end(void *arg, warp_link *link, int status) {
  knot *self = arg;
  assert_ptr_equal(link, self->link);
  if (status == WARP_OK) {
    assert_int_equal(self->half_ended++, 0);
    knot_at(self, LINK_HALF_END);
  } else {
    assert_int_equal(self->ended++, 0);
    knot_at(self, LINK_END);
  }
}

static void tie(knot *self, warp_pipe *pipe) {
  assert_int_equal(warp_link_open(pipe, &self->link), WARP_OK);
  assert_int_equal(warp_link_on_message(self->link, on_message, self), WARP_OK);
  assert_int_equal(warp_link_on_end(self->link, on_link_end, self), WARP_OK);
  assert_int_equal(warp_link_on_drain(self->link, on_drain, self), WARP_OK);
}

static void on_pipe_for_link(void *arg, warp_node *node, warp_pipe *pipe,
                             const warp_report *report) {
  knots *ties = arg;
  (void)node, (void)report;
  tie(&ties->b, pipe);
}

static void on_connect_for_link(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  knots *ties = arg;
  (void)report;
  assert_int_equal(status, WARP_OK);
  tie(&ties->a, pipe);
}

/* Messages each way, a's end, b's answer, a's closing. */
static void live(knots *ties) {
  stage *on = &ties->on;
  if (ties->b.link != NULL)
    (void)warp_link_send(ties->b.link, "first", 5);
  run(on, second);
  if (ties->a.link != NULL) {
    (void)warp_link_send(ties->a.link, "hello", 5);
    (void)warp_link_shutdown(ties->a.link);
  }
  run(on, second);
  if (ties->b.link != NULL)
    (void)warp_link_shutdown(ties->b.link);
  run(on, second);
  if (ties->a.link != NULL)
    close_link(&ties->a);
  run(on, 5 * second);
  if (ties->b.link != NULL)
    close_link(&ties->b);
  run(on, 60 * second);
  assert_int_equal(ties->a.closed, 1);
  assert_int_equal(ties->b.closed, 1);
  assert_null(ties->a.link);
}

static void tie_nodes(knots *ties, bool stream) {
  const warp_connect_options options = {.plugins = stream ? "direct_connect" : "udp_punch"};
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  set_up(&ties->on, 3);
  ties->a.on = ties->b.on = &ties->on;
  ties->a.at = &ties->on.both.a;
  ties->b.at = &ties->on.both.b;
  assert_int_equal(warp_node_listen(ties->b.at->node, on_pipe_for_link, NULL, ties), WARP_OK);
  assert_int_equal(warp_node_address(ties->b.at->node, record, &len), WARP_OK);
  assert_int_equal(
      warp_auto_connect(ties->a.at->node, record, len, &options, on_connect_for_link, ties),
      WARP_OK);
}

/* The link, its node, or both are closed after so many ms of a transfer. */
static void test_links_closed_at_any_moment(void **state) {
  (void)state;
  static uint8_t bytes[WARP_LINK_MESSAGE_MAX];
  for (int stream = 0; stream < 2; stream++) {
    for (unsigned ms = 0; ms < 400; ms += 10) {
      knots ties = {0};
      tie_nodes(&ties, stream != 0);
      while (ties.a.link == NULL)
        run(&ties.on, 1000);
      assert_int_equal(warp_link_send(ties.a.link, bytes, sizeof bytes), WARP_OK);
      run(&ties.on, ms * 1000);
      if (ms % 40 != 0)
        close_link(&ties.a);
      if (ms % 20 == 0)
        close_node(&ties.on, ties.a.at);
      run(&ties.on, second);
      live(&ties);
      assert_int_equal(ties.on.closed, ties.on.closing);
      peers_free(&ties.on.both);
    }
  }
}

static void test_links(void **state) {
  (void)state;
  for (int bits = 0; bits < 4; bits++) {
    bool stream = (bits & 1) != 0, at_b = (bits & 2) != 0;
    for (int place = 0; place < LINK_PLACES; place++) {
      for (int deed = 0; deed < LINK_DEEDS; deed++) {
        if (place == LINK_CLOSED && deed != CLOSE_NODE)
          continue; /* the link is no more */
        knots ties = {0};
        knot *who = at_b ? &ties.b : &ties.a;
        who->acts = true;
        who->place = (link_place)place;
        who->deed = (link_deed)deed;
        tie_nodes(&ties, stream);
        run(&ties.on, 2 * second);
        live(&ties);
        if (place != LINK_END || at_b) /* a closes first, and hears of no end */
          assert_true(who->done);
        assert_int_equal(ties.on.closed, ties.on.closing);
        peers_free(&ties.on.both);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_streams), cmocka_unit_test(test_messages),
      cmocka_unit_test(test_answers), cmocka_unit_test(test_closed_while_asking),
      cmocka_unit_test(test_links),   cmocka_unit_test(test_links_closed_at_any_moment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
