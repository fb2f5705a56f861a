/* Connects through a relay that is reached by TLS, with authorities from a file, while memory runs
 * out. */
#include "nodes.h"

#include "base/addr.h"
#include "tls_server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { STREAMS_MAX = 16 }; /* of one run, with those of the connect that follows a failure */

typedef struct fronts fronts;

/* A client's stream and the one to the TURN server of the simulation, which knows no TLS. */
typedef struct stream {
  fronts *of;
  tls_server tls;
  wg_tcp *outside, *inside;
} stream;

struct fronts {
  wg_env *env;
  wg_tcp_listener *listener;
  stream streams[STREAMS_MAX];
  size_t count;
};

/* Made once for all runs. */
static tls_authority authority;

/* ---- TLS before the TURN server -------------------------------------------------------------- */

static void end(stream *one) {
  if (one->outside == NULL)
    return;
  one->of->env->ops->tcp_close(one->outside);
  one->of->env->ops->tcp_close(one->inside);
  one->outside = one->inside = NULL;
  tls_server_close(&one->tls);
}

static void on_end(void *arg, int status) {
  (void)status;
  end(arg);
}

static void flush(stream *one) {
  uint8_t *bytes;
  size_t len = tls_server_output(&one->tls, &bytes);
  if (len > 0 && one->of->env->ops->tcp_send(one->outside, bytes, len) != WARP_OK)
    end(one);
}

static void from_outside(void *arg, const uint8_t *data, size_t len) {
  stream *one = arg;
  tls_server_input(&one->tls, data, len);
  flush(one);
}

/* A handshake came first: the stream inside is open. */
static void from_tls(void *arg, const uint8_t *data, size_t len) {
  const stream *one = arg;
  assert_int_equal(one->of->env->ops->tcp_send(one->inside, data, len), WARP_OK);
}

static void from_inside(void *arg, const uint8_t *data, size_t len) {
  stream *one = arg;
  tls_server_send(&one->tls, data, len);
  flush(one);
}

static warp_addr address(const char *text) {
  warp_addr addr;
  assert_int_equal(warp_addr_parse(text, &addr), WARP_OK);
  return addr;
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers outside = {.on_data = from_outside, .on_end = on_end},
                               inside = {.on_data = from_inside, .on_end = on_end};
  (void)from;
  fronts *all = arg;
  assert_in_range(all->count, 0, STREAMS_MAX - 1);
  stream *one = &all->streams[all->count++];
  *one = (stream){.of = all, .outside = tcp};
  tls_server_open(&one->tls, &authority, "IP:203.0.113.10", TLS1_3_VERSION);
  one->tls.on_text = from_tls;
  one->tls.arg = one;
  warp_addr turn = address("203.0.113.10:3480");
  assert_int_equal(all->env->ops->tcp_connect(all->env, NULL, &turn, 0, &inside, one, &one->inside),
                   WARP_OK);
  all->env->ops->tcp_set_handlers(tcp, &outside, one);
}

static void fronts_open(fronts *all, sim_host *host) {
  warp_addr local = address("203.0.113.10:5349");
  *all = (fronts){.env = sim_host_env(host)};
  assert_int_equal(all->env->ops->tcp_listen(all->env, &local, 0, on_accept, all, &all->listener),
                   WARP_OK);
}

static void fronts_close(fronts *all) {
  all->env->ops->tcp_listener_close(all->listener);
  for (size_t i = 0; i < all->count; i++)
    end(&all->streams[i]);
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static void trust(oom_node *self, sim_host *host) {
  static const char *const servers[] = {"user:password@203.0.113.10:5349?transport=tls", NULL};
  wg_env *env = sim_host_env(host);
  assert_int_equal(env->ops->file_write(env, "/ca", "relay.pem", authority.pem, authority.pem_len),
                   WARP_OK);
  self->conf.turn_servers = servers;
  self->conf.ca_file = "/ca/relay.pem";
}

static void meet(void *arg) {
  static const warp_connect_options relay = {.plugins = "turn"};
  (void)arg;
  oom_nodes both;
  fronts all;
  oom_nodes_build(&both, "symmetric", "symmetric");
  oom_hold(true);
  fronts_open(&all, both.net.server);
  trust(&both.a, both.net.a);
  trust(&both.b, both.net.b);
  assert_true(oom_nodes_start(&both));
  oom_hold(false);
  oom_nodes_connect(&both, &relay);
  oom_hold(true);
  oom_unless_hit(all.count > 0);
  oom_node_close(&both.a);
  oom_node_close(&both.b);
  fronts_close(&all);
  oom_hold(false);
  oom_nodes_free(&both);
}

static void test_tls(void **state) {
  (void)state;
  tls_authority_open(&authority);
  oom_run(&(oom_walk){.name = "turn, TLS", .scenario = meet});
  tls_authority_close(&authority);
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tls)};
  return cmocka_run_group_tests_name("relays", tests, NULL, NULL);
}
