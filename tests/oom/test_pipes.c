/* Pipes opened by hand while memory runs out: what is received is right, a stream without a hole or
 * ended, and every callback comes once. */
#include "failing.h"
#include "nodes.h"

#include "base/addr.h"
#include "pipe/interfaces.h"
#include "pipe/open.h"
#include "tls_server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "hello";
enum { LEN = sizeof text - 1 };

/* A pipe as its program sees it. */
typedef struct hand {
  wg_env *env;
  warp_pipe *pipe;
  bool opening, open, watched, ended;
  unsigned owed; /* answers to receives */
  bool taken;    /* the text came */
  int status;    /* of the latest answer */
  warp_pipe *to; /* servers: their clients are linked with this one, both ways */
} hand;

/* What TLS needs, made once for all runs. */
static tls_authority authority;
static tls_identity server_identity;
static bool with_tls;

typedef struct net {
  sim_world *world;
  hand server, client, back, front;
} net;

static const warp_net_conf *server_conf, *client_conf; /* NULL: the default */
static warp_transport transport;

/* As oom_ok of what is done with an open pipe: the other side, lacking memory, may have ended it.
 */
static bool done(int status) {
  bool other = status == WARP_CLOSED || status == WARP_RESET || status == WARP_TLS;
  return oom_hit() && other ? false : oom_ok(status);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static void on_open(void *arg, warp_pipe *pipe, int status) {
  hand *h = arg;
  assert_true(h->opening);
  h->opening = false;
  h->open = done(status);
  if (h->open)
    assert_ptr_equal(pipe, h->pipe);
  else
    h->pipe = NULL;
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  hand *h = arg;
  assert_true(h->watched);
  assert_int_not_equal(status, WARP_OK);
  assert_ptr_equal(pipe, h->pipe);
  h->watched = false;
  h->ended = true;
}

/* Sends back what comes; a stream that has a gap ends. */
static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  (void)arg;
  if (!done(warp_pipe_send_to(pipe, data, len, from)) && transport == WARP_TCP)
    warp_pipe_close(pipe);
}

static void on_up(void *arg, warp_pipe *server, warp_pipe *client) {
  hand *h = arg;
  assert_ptr_equal(server, h->pipe);
  if (h->to != NULL &&
      (!done(warp_pipe_add_pipe(client, h->to)) || !done(warp_pipe_add_pipe(h->to, client))))
    warp_pipe_close(client);
}

static void on_recv(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  hand *h = arg;
  (void)pipe;
  assert_true(h->owed > 0);
  h->owed--;
  h->status = status;
  assert_int_equal(status == WARP_OK, data != NULL && from != NULL);
  if (status == WARP_OK) {
    assert_in_range(len, 1, LEN);
    assert_memory_equal(data, text, len);
  }
}

static void on_taken(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                     const warp_addr *from) {
  hand *h = arg;
  (void)pipe;
  (void)from;
  assert_int_equal(len, LEN);
  assert_memory_equal(data, text, LEN);
  h->taken = true;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void pass(net *n, uint64_t ms) {
  assert_int_equal(sim_run_for(n->world, ms * SIM_MS), WARP_OK);
}

static bool open_pipe(net *n, hand *h, const warp_pipe_options *options) {
  h->opening = true;
  if (!oom_ok(wg_pipe_open_by_hand(h->env, options, on_open, h, &h->pipe))) {
    h->opening = false;
    h->pipe = NULL;
    return false;
  }
  assert_true(h->opening); /* never from inside */
  pass(n, 5000);
  assert_false(h->opening);
  return h->open;
}

static bool serve(net *n, hand *h, uint16_t port, warp_pipe_on_msg cb) {
  warp_route route = {.addr = wg_addr_any(WARP_IP4, port)};
  warp_pipe_options options = {.transport = transport,
                               .route = &route,
                               .on_msg = cb,
                               .on_up = on_up,
                               .arg = h,
                               .conf = server_conf};
  return open_pipe(n, h, &options);
}

static bool dial(net *n, hand *h, const char *dest) {
  warp_pipe_options options = {.transport = transport, .dest = dest, .conf = client_conf};
  if (!open_pipe(n, h, &options))
    return false;
  h->watched = done(warp_pipe_add_end_cb(h->pipe, on_end, h));
  return true;
}

static void shut(hand *h) {
  warp_pipe_close(h->pipe);
  assert_int_equal(h->owed, 0);
  assert_false(h->watched);
  assert_false(h->opening);
}

static void put(sim_host *host, const char *name, const char *bytes, size_t len) {
  wg_env *env = sim_host_env(host);
  assert_int_equal(env->ops->file_write(env, "/tls", name, bytes, len), WARP_OK);
}

static void build(net *n) {
  *n = (net){.world = sim_world_new(7)};
  sim_network *one = sim_network_new(n->world, "one", NULL);
  sim_network *two = sim_network_new(n->world, "two", NULL);
  sim_host *a = sim_host_new(one, "a", "192.0.2.1/25");
  sim_host *b = sim_host_new(two, "b", "192.0.2.129/25");
  sim_add_name(n->world, "b.test", "192.0.2.129");
  if (with_tls) {
    put(a, "ca", authority.pem, authority.pem_len);
    put(b, "cert", server_identity.cert, server_identity.cert_len);
    put(b, "key", server_identity.key, server_identity.key_len);
  }
  n->server.env = oom_env(sim_host_env(b));
  n->client.env = n->back.env = n->front.env = oom_env(sim_host_env(a));
}

static void destroy(net *n) {
  shut(&n->client);
  shut(&n->front);
  shut(&n->back);
  shut(&n->server);
  pass(n, 3000);
  assert_int_equal(sim_world_free(n->world), 0);
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static void owe(hand *h, int status) {
  if (done(status))
    h->owed++;
}

/* Asks; the answer, which a pattern has to find, comes into three queues. */
static void talk(void *arg) {
  (void)arg;
  net n;
  build(&n);
  warp_subscription *matching = NULL, *handled = NULL;
  hand *c = &n.client;
  if (serve(&n, &n.server, 7, on_msg) && dial(&n, c, "b.test:7")) {
    bool two = done(
        warp_pipe_subscribe(c->pipe, &(warp_subscribe_options){.pattern = "^h.*o$"}, &matching));
    bool three = done(warp_pipe_subscribe(
        c->pipe, &(warp_subscribe_options){.handler = on_taken, .arg = c}, &handled));
    owe(c, warp_pipe_ask(c->pipe, NULL, text, LEN, 1000, on_recv, c));
    if (two)
      owe(c, warp_pipe_recv(c->pipe, matching, WARP_FOREVER, on_recv, c));
    pass(&n, 10000);
    oom_unless_hit(two && three && c->owed == 0 && c->taken && c->status == WARP_OK);
    if (two)
      assert_int_equal(warp_pipe_unsubscribe(c->pipe, matching), WARP_OK);
  }
  destroy(&n);
}

/* Takes a stream by the byte, in pieces that cross those in which it comes. */
static void take_bytes(void *arg) {
  (void)arg;
  net n;
  build(&n);
  hand *c = &n.client;
  if (serve(&n, &n.server, 7, on_msg) && dial(&n, c, "b.test:7")) {
    owe(c, warp_pipe_recv_n(c->pipe, NULL, LEN, 2000, on_recv, c));
    bool sent = done(warp_pipe_send(c->pipe, text, 2));
    pass(&n, 100);
    sent = sent && !c->ended && done(warp_pipe_send(c->pipe, text + 2, LEN - 2));
    pass(&n, 10000);
    assert_int_equal(c->owed, 0);
    oom_unless_hit(c->status == WARP_OK);
    if (sent && c->status == WARP_TIMEOUT) /* a stream that loses nothing unsaid */
      assert_true(c->ended || !c->watched);
  }
  destroy(&n);
}

/* client -> front = back -> server, on one host but for the server. */
static void relay(void *arg) {
  (void)arg;
  net n;
  build(&n);
  hand *c = &n.client;
  bool up = serve(&n, &n.server, 7, on_msg) && dial(&n, &n.back, "b.test:7");
  n.front.to = n.back.pipe;
  if (up && serve(&n, &n.front, 8, NULL) && dial(&n, c, "192.0.2.1:8")) {
    owe(c, warp_pipe_recv(c->pipe, NULL, 5000, on_recv, c));
    bool sent = done(warp_pipe_send(c->pipe, text, LEN));
    pass(&n, 10000);
    assert_int_equal(c->owed, 0);
    oom_unless_hit(c->status == WARP_OK);
    if (sent && c->status == WARP_TIMEOUT)
      assert_true(c->ended || n.back.ended || !c->watched || !n.back.watched);
  }
  destroy(&n);
}

static void interfaces(void *arg) {
  (void)arg;
  net n;
  build(&n);
  warp_interface found[4];
  int count = wg_interface_list(n.client.env, found, 4);
  oom_ok(count < 0 ? count : WARP_OK);
  oom_unless_hit(count > 0);
  if (count > 0 && oom_ok(wg_interface_load(n.client.env, found[0].name, &found[1])))
    assert_string_equal(found[1].name, found[0].name);
  destroy(&n);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void walk(const char *name, warp_transport over, void (*scenario)(void *)) {
  transport = over;
  server_conf = client_conf = NULL;
  oom_run(&(oom_walk){.name = name, .scenario = scenario});
}

static void test_talk(void **state) {
  (void)state;
  warp_net_conf ids = warp_net_conf_default();
  ids.enable_msg_ids = true;
  transport = WARP_UDP;
  server_conf = NULL;
  client_conf = &ids;
  oom_run(&(oom_walk){.name = "ask with ids of messages", .scenario = talk});
  walk("ask over TCP", WARP_TCP, talk);
  walk("ask over UDP", WARP_UDP, talk);
  walk("receive bytes", WARP_TCP, take_bytes);
}

static void walk_tls(const char *name, unsigned kinds, unsigned most) {
  warp_net_conf server = warp_net_conf_default(), client = server;
  server.use_ssl = client.use_ssl = with_tls = true;
  server.cert_file = "/tls/cert";
  server.key_file = "/tls/key";
  client.ca_file = "/tls/ca";
  server_conf = &server;
  client_conf = &client;
  transport = WARP_TCP;
  oom_run(&(oom_walk){.name = name, .scenario = talk, .kinds = kinds, .most = most});
  with_tls = false;
}

static void test_tls(void **state) {
  (void)state;
  tls_authority_open(&authority);
  tls_identity_open(&server_identity, &authority, "DNS:b.test");
  walk_tls("TLS", 0, 0);
  walk_tls("TLS, inside OpenSSL", OOM_OPENSSL, 200);
  tls_identity_close(&server_identity);
  tls_authority_close(&authority);
}

static void test_relay(void **state) {
  (void)state;
  walk("relay", WARP_TCP, relay);
}

static void test_interfaces(void **state) {
  (void)state;
  walk("interfaces", WARP_TCP, interfaces);
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_talk),
      cmocka_unit_test(test_tls),
      cmocka_unit_test(test_relay),
      cmocka_unit_test(test_interfaces),
  };
  return cmocka_run_group_tests_name("pipes", tests, NULL, NULL);
}
