/* Ordinary TLS on a pipe opened by hand: whom it trusts, and what it says when it does not. */
#include "hand_pipes.h"
#include "tls_server.h"

#include <stdlib.h>

/* A TLS server in the program on `b`, over a plain pipe. */
typedef struct secure_server {
  hand hand;
  tls_authority authority, another;
  tls_server tls;
} secure_server;

static void on_secure_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                          const warp_addr *from) {
  secure_server *self = arg;
  (void)from;
  tls_server_input(&self->tls, data, len);
  uint8_t *out;
  for (size_t some; (some = tls_server_output(&self->tls, &out)) > 0;) {
    assert_int_equal(warp_pipe_send(pipe, out, some), WARP_OK);
  }
}

static void secure_up(pair *p, secure_server *self, const char *names, bool silent) {
  build(p);
  sim_add_name(p->world, "relay.test", "192.0.2.129");
  *self = (secure_server){0};
  tls_authority_open(&self->authority);
  tls_authority_open(&self->another);
  tls_server_open(&self->tls, &self->authority, names, TLS1_3_VERSION);
  self->tls.echo = true;
  wg_env *env = sim_host_env(p->a);
  assert_int_equal(
      env->ops->file_write(env, "/ca", "ours", self->authority.pem, self->authority.pem_len),
      WARP_OK);
  assert_int_equal(
      env->ops->file_write(env, "/ca", "another", self->another.pem, self->another.pem_len),
      WARP_OK);
  assert_int_equal(env->ops->file_write(env, "/ca", "rubbish", "rubbish", 7), WARP_OK);
  warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
  warp_pipe_options options = {.transport = WARP_TCP,
                               .route = &route,
                               .on_msg = silent ? on_hand_msg : on_secure_msg,
                               .arg = self};
  hand_open(p, &self->hand, p->b, &options);
  pass(p, 1);
}

static void secure_down(pair *p, secure_server *self) {
  hand_free(&self->hand);
  tls_server_close(&self->tls);
  tls_authority_close(&self->authority);
  tls_authority_close(&self->another);
  pass(p, 3000);
  destroy(p);
}

static warp_net_conf trusting(const char *ca_file) {
  warp_net_conf conf = warp_net_conf_default();
  conf.use_ssl = true;
  conf.ca_file = ca_file;
  return conf;
}

static void bytes_come_back_through_tls(void **state) {
  (void)state;
  pair p;
  secure_server server;
  secure_up(&p, &server, "DNS:relay.test", false);
  warp_net_conf conf = trusting("/ca/ours");
  conf.reader_limit = 1000;
  hand client = {0};
  dial(&p, &client, WARP_TCP, "relay.test:7", &conf);
  assert_string_equal(server.tls.sni, "relay.test");
  assert_int_equal(warp_pipe_add_end_cb(client.pipe, on_hand_end, &client), WARP_OK);
  warp_subscription *sub;
  assert_int_equal(
      warp_pipe_subscribe(client.pipe, &(warp_subscribe_options){.max_messages = 3}, &sub),
      WARP_OK);
  static uint8_t bytes[100000];
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(i * 7);
  }
  assert_int_equal(warp_pipe_send(client.pipe, bytes, sizeof bytes), WARP_OK);
  pass(&p, 1000);
  assert_int_equal(server.tls.heard, sizeof bytes);
  for (unsigned i = 0; i < 4; i++) { /* it waits with OpenSSL while the queue is full */
    assert_int_equal(warp_pipe_recv(client.pipe, sub, 100, on_hand_recv, &client), WARP_OK);
    pass(&p, 100);
    assert_int_equal(client.received, i + 1);
    assert_int_equal(client.taken.len, 1000 * (i + 1));
  }
  assert_int_equal(
      warp_pipe_recv_n(client.pipe, sub, sizeof bytes - 4000, 1000, on_hand_recv, &client),
      WARP_OK);
  pass(&p, 900);
  assert_int_equal(client.taken.len, sizeof bytes);
  assert_memory_equal(wg_queue_front(&client.taken), bytes, sizeof bytes);
  hand_free(&client);
  secure_down(&p, &server);
}

static int how_it_ends(const char *ca_file, const char *dest, const char *names, bool silent) {
  pair p;
  secure_server server;
  secure_up(&p, &server, names, silent);
  warp_net_conf conf = trusting(ca_file);
  hand client = {.of = &p};
  warp_pipe_options options = {.transport = WARP_TCP, .dest = dest, .conf = &conf};
  int status =
      wg_pipe_open_by_hand(sim_host_env(p.a), &options, on_hand_open, &client, &client.pipe);
  if (status == WARP_OK) {
    pass(&p, 3900);
    assert_int_equal(client.opened, !silent);
    pass(&p, 1000);
    assert_int_equal(client.opened, 1);
    status = client.open_status;
  }
  hand_free(&client);
  secure_down(&p, &server);
  return status;
}

static void only_who_should_is_trusted(void **state) {
  (void)state;
  assert_int_equal(how_it_ends("/ca/ours", "relay.test:7", "DNS:relay.test", false), WARP_OK);
  assert_int_equal(how_it_ends("/ca/ours", "192.0.2.129:7", "IP:192.0.2.129", false), WARP_OK);
  assert_int_equal(how_it_ends("/ca/ours", "relay.test:7", "DNS:other.test", false),
                   WARP_UNTRUSTED);
  assert_int_equal(how_it_ends("/ca/ours", "192.0.2.129:7", "DNS:relay.test", false),
                   WARP_UNTRUSTED);
  assert_int_equal(how_it_ends("/ca/another", "relay.test:7", "DNS:relay.test", false),
                   WARP_UNTRUSTED);
  assert_int_equal(how_it_ends("/ca/rubbish", "relay.test:7", "DNS:relay.test", false),
                   WARP_MALFORMED);
  assert_int_equal(how_it_ends("/ca/none", "relay.test:7", "DNS:relay.test", false),
                   WARP_NOT_FOUND);
  assert_int_equal(how_it_ends("/ca/ours", "relay.test:7", "DNS:relay.test", true), WARP_TIMEOUT);
}

/* Without close_notify nobody knows whether that was all. */
static void a_cut_stream_is_not_an_orderly_end(void **state) {
  (void)state;
  for (int orderly = 0; orderly < 2; orderly++) {
    pair p;
    secure_server server;
    secure_up(&p, &server, "DNS:relay.test", false);
    warp_net_conf conf = trusting("/ca/ours");
    hand client = {0};
    dial(&p, &client, WARP_TCP, "relay.test:7", &conf);
    assert_int_equal(warp_pipe_add_msg_cb(client.pipe, on_hand_msg, &client), WARP_OK);
    assert_int_equal(warp_pipe_add_end_cb(client.pipe, on_hand_end, &client), WARP_OK);
    pass(&p, 100); /* the server has the end of the handshake */
    warp_pipe *at_server = wg_first_client(server.hand.pipe);
    if (orderly) {
      tls_server_send(&server.tls, NULL, 0);
      uint8_t *out;
      size_t len = tls_server_output(&server.tls, &out);
      assert_int_equal(warp_pipe_send(at_server, out, len), WARP_OK);
    }
    warp_pipe_close(at_server);
    pass(&p, 200);
    assert_int_equal(client.ended, 1);
    assert_int_equal(client.end_status, orderly ? WARP_CLOSED : WARP_RESET);
    hand_free(&client);
    secure_down(&p, &server);
  }
}

static void a_server_has_no_tls(void **state) {
  (void)state;
  pair p;
  build(&p);
  warp_net_conf conf = trusting(NULL);
  hand h = {0};
  warp_pipe_options options = {.transport = WARP_TCP, .conf = &conf};
  assert_int_equal(wg_pipe_open_by_hand(sim_host_env(p.a), &options, on_hand_open, &h, &h.pipe),
                   WARP_UNSUPPORTED);
  destroy(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_come_back_through_tls),
      cmocka_unit_test(only_who_should_is_trusted),
      cmocka_unit_test(a_cut_stream_is_not_an_orderly_end),
      cmocka_unit_test(a_server_has_no_tls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
