/* Both nodes connect to each other at the same moment: one pipe comes of it, the same one at both
 * ends, and both callers get it. */
#include "base/rng.h"
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

/* One caller: what its callback got, what came on its pipe, what came besides. */
typedef struct caller {
  peer *self;
  const warp_connect_options *options;
  warp_pipe *pipe;
  bool done;
  int status;
  warp_pipe_info info;
  unsigned taken, missed;
  warp_pipe *other; /* a pipe that the callback did not get */
  char inbox[64];
  size_t inbox_len;
} caller;

typedef struct crossing {
  peers both;
  caller a, b;
} crossing;

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)pipe;
  caller *self = arg;
  assert_true(self->inbox_len + len < sizeof self->inbox);
  memcpy(self->inbox + self->inbox_len, data, len);
  self->inbox_len += len;
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  caller *self = arg;
  (void)status;
  if (self->pipe == pipe)
    self->pipe = NULL;
  else
    self->other = NULL;
  warp_pipe_close(pipe);
}

static void listen_to(caller *self, warp_pipe *pipe) {
  warp_pipe_handlers handlers = {.on_data = on_data, .on_end = on_end, .arg = self};
  assert_int_equal(warp_pipe_set_handlers(pipe, &handlers), WARP_OK);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  caller *self = arg;
  assert_false(self->done);
  assert_true(status != WARP_OK || report->count > 0);
  self->done = true;
  self->status = status;
  self->pipe = pipe;
  if (pipe == NULL)
    return;
  assert_int_equal(warp_pipe_get_info(pipe, &self->info), WARP_OK);
  listen_to(self, pipe);
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  (void)report;
  caller *self = arg;
  self->taken++;
  assert_null(self->other);
  self->other = pipe;
  listen_to(self, pipe);
}

static void on_miss(void *arg, warp_node *node, const warp_key *key, int status,
                    const warp_report *report) {
  (void)node;
  (void)key;
  (void)status;
  (void)report;
  ((caller *)arg)->missed++;
}

static void build(crossing *on, const char *profile_a, const char *profile_b, uint64_t seed) {
  memset(on, 0, sizeof *on);
  peers_build(&on->both, profile_a, profile_b, seed);
  on->a.self = &on->both.a;
  on->b.self = &on->both.b;
}

static void start(crossing *on) {
  peers_start(&on->both);
  caller *side[2] = {&on->a, &on->b};
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(warp_node_listen(side[i]->self->node, on_pipe, on_miss, side[i]), WARP_OK);
}

static void call(caller *from, const caller *to) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(to->self->node, record, &len), WARP_OK);
  assert_int_equal(
      warp_auto_connect(from->self->node, record, len, from->options, on_connect, from), WARP_OK);
  assert_false(from->done);
}

static bool both_done(void *arg) {
  const crossing *on = arg;
  return on->a.done && on->b.done;
}

static bool both_heard(void *arg) {
  const crossing *on = arg;
  return on->a.inbox_len > 0 && on->b.inbox_len > 0;
}

static void run(crossing *on, uint64_t us) {
  assert_int_equal(sim_run_for(on->both.net.world, us), WARP_OK);
}

/* False when the second caller had the first one's pipe before it could call: no crossing. */
static bool cross(crossing *on, bool a_first, uint64_t offset_us) {
  caller *first = a_first ? &on->a : &on->b, *then = a_first ? &on->b : &on->a;
  call(first, then);
  run(on, offset_us);
  if (then->taken > 0)
    return false;
  call(then, first);
  assert_int_equal(sim_run_until(on->both.net.world, both_done, on, 70 * second), WARP_OK);
  return true;
}

/* The same pipe at both ends, and none besides, also later. */
static void check_one_pipe(crossing *on) {
  assert_int_equal(on->a.status, WARP_OK);
  assert_int_equal(on->b.status, WARP_OK);
  assert_string_equal(on->a.info.plugin, on->b.info.plugin);
  for (unsigned tries = 0; !both_heard(on) && tries < 20; tries++) {
    (void)warp_pipe_send(on->a.pipe, "a", 1); /* datagrams may be lost */
    (void)warp_pipe_send(on->b.pipe, "b", 1);
    run(on, second / 2);
  }
  assert_true(both_heard(on));
  assert_int_equal(on->a.inbox[0], 'b');
  assert_int_equal(on->b.inbox[0], 'a');
  run(on, 40 * second);
  assert_int_equal(on->a.taken + on->b.taken, 0);
  assert_int_equal(on->a.missed + on->b.missed, 0);
  assert_non_null(on->a.pipe);
  assert_non_null(on->b.pipe);
}

static void finish(crossing *on) {
  caller *side[2] = {&on->a, &on->b};
  for (size_t i = 0; i < 2; i++) {
    warp_pipe_close(side[i]->pipe);
    warp_pipe_close(side[i]->other);
  }
  peers_free(&on->both);
}

/* ---- a hundred ------------------------------------------------------------------------------- */

static const char *const profiles[5] = {"open", "full-cone", "restricted", "port-restricted",
                                        "symmetric"};

static bool one_of_many(unsigned n, bool loses, wg_rng *rng) {
  static const sim_link lossy = {.latency_us = 10000, .jitter_us = 5000, .loss = 0.03};
  crossing on;
  const char *a = profiles[n % 5], *b = profiles[n / 5 % 5];
  uint64_t offset_us = (uint64_t)wg_rng_below(rng, 201) * 1000;
  bool a_first = wg_rng_below(rng, 2) == 0;
  build(&on, a, b, 1000 + n);
  start(&on);
  if (loses) {
    sim_network_set_link(on.both.net.site_a, &lossy);
    sim_network_set_link(on.both.net.site_b, &lossy);
  }
  bool crossed = cross(&on, a_first, offset_us);
  if (crossed) {
    print_message("%s x %s, %s first by %u ms%s: %s, %s after %.0f and %.0f ms\n", a, b,
                  a_first ? "a" : "b", (unsigned)(offset_us / 1000), loses ? ", with loss" : "",
                  warp_err_name(on.a.status), on.a.status == WARP_OK ? on.a.info.plugin : "-",
                  on.a.info.connect_ms, on.b.info.connect_ms);
    check_one_pipe(&on);
  }
  finish(&on);
  return crossed;
}

static void test_hundred_crossings(void **state) {
  (void)state;
  wg_rng rng;
  wg_rng_seed(&rng, 7, "crossings");
  for (unsigned n = 0, crossed = 0; crossed < 100; n++)
    crossed += one_of_many(n, crossed >= 50, &rng);
}

/* Every millisecond of the first round trips, where each message of one side meets each of the
 * other's. */
static void test_every_offset(void **state) {
  (void)state;
  static const char *const pairs[][2] = {{"open", "open"}, {"restricted", "port-restricted"}};
  for (size_t pair = 0; pair < 2; pair++) {
    for (uint64_t ms = 0; ms < 130; ms += 1) {
      crossing on;
      build(&on, pairs[pair][0], pairs[pair][1], 50 + ms);
      start(&on);
      if (cross(&on, ms % 2 == 0, ms * 1000))
        check_one_pipe(&on);
      else
        assert_true(ms > 95); /* two round trips and the nomination */
      finish(&on);
    }
  }
}

/* ---- without help ---------------------------------------------------------------------------- */

/* Nobody can say that a connect crosses but the TLS handshake. */
static void test_without_brokers(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  for (uint64_t ms = 0; ms < 98; ms += 7) {
    crossing on;
    build(&on, "open", "open", 300 + ms);
    on.both.a.conf.brokers = on.both.b.conf.brokers = none;
    start(&on);
    cross(&on, ms % 2 == 0, ms * 1000);
    check_one_pipe(&on);
    finish(&on);
  }
}

/* The second caller knows no relay, and nothing else is possible: it gets what the first one found.
 */
static void test_relay_of_one_side(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  for (unsigned which = 0; which < 2; which++) {
    crossing on;
    build(&on, "symmetric", "symmetric", 400 + which);
    (which == 0 ? &on.both.a : &on.both.b)->conf.turn_servers = none;
    start(&on);
    assert_true(cross(&on, which != 0, 150000));
    check_one_pipe(&on);
    assert_true(on.a.info.relayed);
    finish(&on);
  }
}

/* ---- brokers -------------------------------------------------------------------------------- */

/* A broker that keeps messages for one of the two back for a while. */
enum { HELD_MAX = 32, HELD_BYTES = 4096 };
typedef struct held {
  struct slow_broker *broker;
  wg_timer timer;
  char topic[64];
  uint8_t data[HELD_BYTES];
  size_t len;
} held;
typedef struct slow_broker {
  sim_broker *broker;
  wg_env *env;
  char topic[64]; /* the first one that is seen is slow */
  held held[HELD_MAX];
  size_t count;
} slow_broker;

static void deliver(void *arg) {
  held *message = arg;
  sim_broker_inject(message->broker->broker, message->topic, message->data, message->len);
}

static bool hold(void *arg, const char *topic, const uint8_t *data, size_t len) {
  slow_broker *self = arg;
  if (self->topic[0] == '\0')
    snprintf(self->topic, sizeof self->topic, "%s", topic);
  if (strcmp(self->topic, topic) != 0)
    return true;
  assert_true(self->count < HELD_MAX && len <= HELD_BYTES);
  held *message = &self->held[self->count++];
  message->broker = self;
  snprintf(message->topic, sizeof message->topic, "%s", topic);
  memcpy(message->data, data, len);
  message->len = len;
  wg_timer_start(self->env, &message->timer, 700000, deliver, message);
  return false;
}

static void test_slow_broker(void **state) {
  (void)state;
  for (unsigned n = 0; n < 12; n++) {
    static slow_broker slow;
    crossing on;
    build(&on, "restricted", "port-restricted", 1100 + n);
    start(&on);
    slow = (slow_broker){.broker = on.both.net.broker, .env = sim_host_env(on.both.net.server)};
    sim_broker_set_tap(on.both.net.broker, hold, &slow);
    assert_true(cross(&on, n % 2 == 0, n * 5000));
    check_one_pipe(&on);
    finish(&on);
  }
}

/* Each message comes twice. */
static void test_two_brokers(void **state) {
  (void)state;
  for (uint64_t ms = 0; ms < 90; ms += 6) {
    crossing on;
    build(&on, "restricted", "symmetric", 1200 + ms);
    sim_broker_start(on.both.net.server, 2883);
    const char *const brokers[] = {on.both.net.brokers[0], "203.0.113.10:2883", NULL};
    on.both.a.conf.brokers = on.both.b.conf.brokers = brokers;
    on.both.a.conf.sig_pipe_no = on.both.b.conf.sig_pipe_no = 2;
    start(&on);
    assert_true(cross(&on, ms % 4 == 0, ms * 1000));
    check_one_pipe(&on);
    finish(&on);
  }
}

/* ---- options that differ --------------------------------------------------------------------- */

static void differing(const warp_connect_options *a, const warp_connect_options *b, unsigned seed,
                      const char *plugin_a, const char *plugin_b) {
  crossing on;
  build(&on, "open", "open", seed);
  on.a.options = a;
  on.b.options = b;
  start(&on);
  cross(&on, seed % 2 == 0, 10000);
  assert_int_equal(on.a.status, WARP_OK);
  assert_int_equal(on.b.status, WARP_OK);
  assert_string_equal(on.a.info.plugin, plugin_a);
  assert_string_equal(on.b.info.plugin, plugin_b);
  run(&on, 40 * second);
  /* What no caller may have is for who listens. */
  bool same = strcmp(plugin_a, plugin_b) == 0;
  assert_int_equal(on.a.taken, same ? 0 : 1);
  assert_int_equal(on.b.taken, same ? 0 : 1);
  finish(&on);
}

static void test_options_differ(void **state) {
  (void)state;
  static const warp_connect_options punch = {.plugins = "udp_punch"},
                                    direct = {.plugins = "direct_connect"},
                                    udp = {.transports = WARP_UDP, .no_relay = true};
  for (unsigned seed = 500; seed < 504; seed++) {
    differing(&punch, &direct, seed, "udp_punch", "direct_connect");
    differing(&punch, &punch, seed, "udp_punch", "udp_punch");
    differing(&udp, &punch, seed, "udp_punch", "udp_punch");
  }
}

/* One gives up before the other has what it needs: the other goes on. */
static void test_one_gives_up(void **state) {
  (void)state;
  static const warp_connect_options brief = {.timeout_ms = 500}, normal = {0};
  for (unsigned which = 0; which < 2; which++) {
    crossing on;
    build(&on, "symmetric", "symmetric", 600);
    on.a.options = which == 0 ? &brief : &normal;
    on.b.options = which == 0 ? &normal : &brief;
    sim_turn_set_up(on.both.net.turn, false);
    start(&on);
    call(&on.a, &on.b);
    run(&on, 1000);
    call(&on.b, &on.a);
    run(&on, 2 * second);
    assert_int_equal((which == 0 ? &on.a : &on.b)->status, WARP_TIMEOUT);
    sim_turn_set_up(on.both.net.turn, true);
    caller *left = which == 0 ? &on.b : &on.a;
    assert_int_equal(sim_run_until_set(on.both.net.world, &left->done, 70 * second), WARP_OK);
    finish(&on);
  }
}

/* ---- who is no stranger ---------------------------------------------------------------------- */

static warp_contact refuse(void *arg, const warp_key *key) {
  (void)arg;
  (void)key;
  return WARP_CONTACT_REFUSE;
}

/* Whom a node connects to it lets in, whatever it says to strangers, and also without listening. */
static void test_no_strangers(void **state) {
  (void)state;
  for (unsigned refused = 0; refused < 2; refused++) {
    for (uint64_t ms = 0; ms < 100; ms += 9) {
      crossing on;
      build(&on, "open", "restricted", 700 + ms);
      if (refused != 0)
        on.both.a.conf.contact_policy = on.both.b.conf.contact_policy = refuse;
      start(&on);
      if (refused == 0) {
        assert_int_equal(warp_node_listen(on.both.a.node, NULL, NULL, NULL), WARP_OK);
        assert_int_equal(warp_node_listen(on.both.b.node, NULL, NULL, NULL), WARP_OK);
      }
      cross(&on, ms % 2 == 0, 1000);
      check_one_pipe(&on);
      finish(&on);
    }
  }
}

/* A call that begins when the peer's is nearly done gets its pipe. */
static void test_late_call_joins(void **state) {
  (void)state;
  for (uint64_t ms = 30; ms < 100; ms += 5) {
    crossing on;
    build(&on, "port-restricted", "port-restricted", 800 + ms);
    start(&on);
    cross(&on, true, ms * 1000);
    check_one_pipe(&on);
    finish(&on);
  }
}

/* The peer whose call was joined is gone without a word: the call that waited goes on. */
static void test_joined_peer_vanishes(void **state) {
  (void)state;
  crossing on;
  build(&on, "port-restricted", "port-restricted", 900);
  start(&on);
  call(&on.a, &on.b);
  run(&on, 50000);
  sim_network_set_up(on.both.net.site_a, false);
  call(&on.b, &on.a);
  run(&on, 20 * second);
  sim_network_set_up(on.both.net.site_a, true);
  assert_int_equal(sim_run_until(on.both.net.world, both_done, &on, 70 * second), WARP_OK);
  assert_int_equal(on.a.status, WARP_OK);
  assert_int_equal(on.b.status, WARP_OK);
  finish(&on);
}

static void test_closed_while_waiting(void **state) {
  (void)state;
  for (uint64_t ms = 0; ms < 120; ms += 11) {
    crossing on;
    build(&on, "symmetric", "port-restricted", 950 + ms);
    start(&on);
    call(&on.a, &on.b);
    run(&on, 45000);
    call(&on.b, &on.a);
    run(&on, ms * 1000);
    finish(&on);
    assert_true(on.a.done && on.b.done);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_offset),         cmocka_unit_test(test_hundred_crossings),
      cmocka_unit_test(test_without_brokers),      cmocka_unit_test(test_relay_of_one_side),
      cmocka_unit_test(test_slow_broker),          cmocka_unit_test(test_two_brokers),
      cmocka_unit_test(test_options_differ),       cmocka_unit_test(test_one_gives_up),
      cmocka_unit_test(test_no_strangers),         cmocka_unit_test(test_late_call_joins),
      cmocka_unit_test(test_joined_peer_vanishes), cmocka_unit_test(test_closed_while_waiting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
