/* The libuv driver while memory runs out: real sockets, files and threads, on loopback. */
#include "failing.h"

#include "base/addr.h"
#include "env/loop.h"
#include "identity/identity.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT_MS = 20000 }; /* real; only a busy machine comes near */

static const char text[] = "hello";
enum { LEN = sizeof text - 1 };

/* What a scenario waits for. */
typedef struct wait {
  warp_loop *loop;
  wg_env *env;
  wg_timer limit;
  bool over;
} wait;

static bool up(wait *w) {
  *w = (wait){.loop = warp_loop_new()};
  oom_unless_hit(w->loop != NULL);
  if (w->loop != NULL)
    w->env = warp_loop_env(w->loop);
  return w->loop != NULL;
}

static void on_limit(void *arg) {
  wait *w = arg;
  w->over = true;
  warp_loop_stop(w->loop);
}

/* Runs the loop until the flag is set. */
static void until(wait *w, const bool *flag) {
  wg_timer_start(w->env, &w->limit, LIMIT_MS * 1000u, on_limit, w);
  while (!*flag && !w->over)
    warp_loop_run(w->loop);
  wg_timer_stop(w->env, &w->limit);
  assert_true(*flag);
}

static void set(wait *w, bool *flag) {
  assert_false(*flag); /* each callback comes once */
  *flag = true;
  warp_loop_stop(w->loop);
}

static void down(wait *w) {
  warp_loop_run(w->loop); /* a node that could not start is still being taken down */
  assert_int_equal(warp_loop_close(w->loop), WARP_OK);
}

/* As oom_ok of what two sides do: lacking memory, the other may have ended it. */
static bool done(int status) {
  bool other = status == WARP_CLOSED || status == WARP_RESET;
  return oom_hit() && other ? false : oom_ok(status);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

typedef struct hand {
  wait *of;
  warp_pipe *pipe;
  bool opened, answered;
  int status;
} hand;

static void on_open(void *arg, warp_pipe *pipe, int status) {
  hand *h = arg;
  h->status = status;
  h->pipe = pipe;
  set(h->of, &h->opened);
}

static void on_recv(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  hand *h = arg;
  (void)pipe;
  (void)from;
  h->status = status;
  oom_unless_hit(status == WARP_OK && len == LEN && memcmp(data, text, LEN) == 0);
  set(h->of, &h->answered);
}

static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  (void)arg;
  if (!done(warp_pipe_send_to(pipe, data, len, from)))
    warp_pipe_close(pipe);
}

static bool open_pipe(wait *w, hand *h, const warp_pipe_options *options) {
  *h = (hand){.of = w};
  if (!oom_ok(warp_pipe_open(w->loop, options, on_open, h, &h->pipe))) {
    h->pipe = NULL;
    return false;
  }
  until(w, &h->opened);
  return done(h->status);
}

static void talk(void *arg) {
  warp_transport transport = *(warp_transport *)arg;
  wait w;
  if (!up(&w))
    return;
  hand server = {0}, client = {0};
  warp_route route = {.addr = wg_addr_loopback(WARP_IP4, 0)};
  warp_pipe_options options = {.transport = transport, .route = &route, .on_msg = on_msg};
  if (open_pipe(&w, &server, &options)) {
    warp_pipe_info info;
    char dest[32];
    assert_int_equal(warp_pipe_get_info(server.pipe, &info), WARP_OK);
    snprintf(dest, sizeof dest, "localhost:%u", info.local.port);
    options = (warp_pipe_options){.transport = transport, .dest = dest, .family = WARP_IP4};
    /* A stream's answer comes or the stream ends; a datagram may be lost with its memory. */
    uint32_t timeout_ms = transport == WARP_TCP ? LIMIT_MS / 2 : 500;
    if (open_pipe(&w, &client, &options)) {
      int status = warp_pipe_ask(client.pipe, NULL, text, LEN, timeout_ms, on_recv, &client);
      if (done(status)) {
        until(&w, &client.answered);
        if (transport == WARP_TCP)
          assert_int_not_equal(client.status, WARP_TIMEOUT);
      }
    }
  }
  warp_pipe_close(client.pipe);
  warp_pipe_close(server.pipe);
  down(&w);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

typedef struct side {
  wait *of;
  warp_node *node;
  warp_pipe *pipe;
  bool started, connected, closed;
  int status;
} side;

static void on_start(void *arg, warp_node *node, int status) {
  side *self = arg;
  self->node = node;
  self->status = status;
  set(self->of, &self->started);
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  side *self = arg;
  (void)node;
  (void)report;
  self->pipe = pipe;
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  side *self = arg;
  (void)report;
  self->pipe = pipe;
  oom_unless_hit(status == WARP_OK);
  set(self->of, &self->connected);
}

static void on_closed(void *arg) {
  side *self = arg;
  set(self->of, &self->closed);
}

static bool start_node(wait *w, side *self) {
  warp_conf conf = warp_conf_test();
  conf.key_name = "";
  *self = (side){.of = w};
  if (!oom_ok(warp_node_start(w->loop, &conf, on_start, self, &self->node))) {
    self->node = NULL;
    return false;
  }
  until(w, &self->started);
  return oom_ok(self->status);
}

static void close_node(wait *w, side *self) {
  warp_pipe_close(self->pipe);
  if (self->node != NULL) {
    warp_node_close(self->node, on_closed, self);
    until(w, &self->closed);
  }
}

static void meet(void *arg) {
  (void)arg;
  wait w;
  side a = {0}, b = {0};
  if (!up(&w))
    return;
  if (start_node(&w, &a) && start_node(&w, &b)) {
    static const warp_connect_options direct = {.plugins = "direct_connect", .timeout_ms = 5000};
    uint8_t record[WARP_RECORD_MAX];
    size_t len = sizeof record;
    assert_int_equal(warp_node_listen(b.node, on_pipe, NULL, &b), WARP_OK);
    assert_int_equal(warp_node_address(b.node, record, &len), WARP_OK);
    if (oom_ok(warp_auto_connect(a.node, record, len, &direct, on_connect, &a)))
      until(&w, &a.connected);
  }
  close_node(&w, &a);
  close_node(&w, &b);
  down(&w);
}

/* ---- files and brokers ----------------------------------------------------------------------- */

static void on_module(void *arg, const char *file, void *entry, const char *error) {
  (void)arg;
  (void)file;
  (void)entry;
  (void)error;
  fail();
}

static void keep_key(void *arg) {
  const char *folder = arg;
  wait w;
  wg_identity *made = NULL, *found = NULL;
  char file[256];
  if (!up(&w))
    return;
  if (oom_ok(wg_identity_load(w.env, folder, "key", &made)) &&
      oom_ok(wg_identity_load(w.env, folder, "key", &found)))
    assert_true(wg_key_equal(wg_identity_key(made), wg_identity_key(found)));
  wg_identity_free(made);
  wg_identity_free(found);
  oom_ok(w.env->ops->modules_load(w.env, folder, "warp_plugin", on_module, NULL));
  snprintf(file, sizeof file, "%s/key.key", folder);
  remove(file);
  down(&w);
}

typedef struct telling {
  wait *of;
  bool told;
} telling;

static void on_state(void *arg, int status) {
  telling *self = arg;
  assert_int_not_equal(status, WARP_OK);
  if (!self->told)
    set(self->of, &self->told);
}

/* Nobody is there; what is published waits for somebody. */
static void seek_broker(void *arg) {
  (void)arg;
  static const wg_broker_options options = {
      .server = "user:password@127.0.0.1:9", .client_id = "client", .topic = "topic"};
  static const wg_broker_handlers handlers = {.on_state = on_state};
  wait w;
  wg_broker *broker = NULL;
  if (!up(&w))
    return;
  telling told = {.of = &w};
  if (oom_ok(w.env->ops->broker_open(w.env, &options, &handlers, &told, &broker))) {
    oom_ok(w.env->ops->broker_publish(broker, "other", text, LEN));
    until(&w, &told.told);
    w.env->ops->broker_close(broker);
  }
  down(&w);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_pipes(void **state) {
  (void)state;
  static warp_transport tcp = WARP_TCP, udp = WARP_UDP;
  oom_run(&(oom_walk){.name = "TCP over loopback", .scenario = talk, .arg = &tcp});
  oom_run(&(oom_walk){.name = "UDP over loopback", .scenario = talk, .arg = &udp});
}

static void test_nodes(void **state) {
  (void)state;
  oom_run(&(oom_walk){.name = "nodes over loopback", .scenario = meet});
}

static void test_files(void **state) {
  (void)state;
  char folder[] = "/tmp/warpgate-oom-XXXXXX";
  assert_non_null(mkdtemp(folder));
  oom_run(&(oom_walk){.name = "files", .scenario = keep_key, .arg = folder});
  assert_int_equal(rmdir(folder), 0);
}

static void test_broker(void **state) {
  (void)state;
  oom_run(&(oom_walk){.name = "broker", .scenario = seek_broker});
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pipes),
      cmocka_unit_test(test_nodes),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_broker),
  };
  return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
