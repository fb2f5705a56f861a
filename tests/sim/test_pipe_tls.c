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

/* ---- our server ------------------------------------------------------------------------------ */

/* The files of a server on `b`, and whom `a` must trust. */
typedef struct files {
  tls_authority authority;
  tls_identity own, another;
} files;

static void put(sim_host *host, const char *name, const char *text, size_t len) {
  wg_env *env = sim_host_env(host);
  assert_int_equal(env->ops->file_write(env, "/tls", name, text, len), WARP_OK);
}

static void files_up(pair *p, files *self) {
  build(p);
  sim_add_name(p->world, "b.test", "192.0.2.129");
  tls_authority_open(&self->authority);
  tls_identity_open(&self->own, &self->authority, "DNS:b.test,IP:2001:db8:2::1");
  tls_identity_open(&self->another, &self->authority, "DNS:b.test");
  put(p->a, "ca", self->authority.pem, self->authority.pem_len);
  put(p->b, "cert", self->own.cert, self->own.cert_len);
  put(p->b, "key", self->own.key, self->own.key_len);
  put(p->b, "another", self->another.key, self->another.key_len);
  char both[8192];
  assert_in_range(self->own.cert_len + self->own.key_len, 1, sizeof both);
  memcpy(both, self->own.key, self->own.key_len);
  memcpy(both + self->own.key_len, self->own.cert, self->own.cert_len);
  put(p->b, "both", both, self->own.key_len + self->own.cert_len);
}

static void files_down(pair *p, files *self) {
  tls_identity_close(&self->own);
  tls_identity_close(&self->another);
  tls_authority_close(&self->authority);
  pass(p, 3000);
  destroy(p);
}

static warp_net_conf showing(const char *cert_file, const char *key_file) {
  warp_net_conf conf = warp_net_conf_default();
  conf.use_ssl = true;
  conf.cert_file = cert_file;
  conf.key_file = key_file;
  return conf;
}

static void serve_tls(pair *p, hand *h, int family, const warp_net_conf *conf) {
  warp_route route = {.addr = wg_addr_any(family, 7)};
  warp_pipe_options options = {.transport = WARP_TCP,
                               .route = &route,
                               .on_msg = on_hand_msg,
                               .on_up = on_hand_up,
                               .arg = h,
                               .conf = conf};
  hand_open(p, h, p->b, &options);
  pass(p, 1);
  assert_int_equal(h->open_status, WARP_OK);
}

/* What our client says comes back from our server, both ways and to the orderly end. */
static void both_sides_of_tls(void **state) {
  (void)state;
  static const struct {
    int family;
    const char *dest, *cert_file, *key_file;
  } cases[] = {
      {WARP_IP4, "b.test:7", "/tls/cert", "/tls/key"},
      {WARP_IP4, "b.test:7", "/tls/both", NULL},
      {WARP_IP6, "[2001:db8:2::1]:7", "/tls/cert", "/tls/key"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    pair p;
    files f;
    files_up(&p, &f);
    hand server = {.echo = true, .watch_client = true}, client = {0};
    warp_net_conf ours = showing(cases[i].cert_file, cases[i].key_file);
    serve_tls(&p, &server, cases[i].family, &ours);
    warp_net_conf theirs = trusting("/tls/ca");
    dial(&p, &client, WARP_TCP, cases[i].dest, &theirs);
    assert_int_equal(warp_pipe_add_msg_cb(client.pipe, on_hand_msg, &client), WARP_OK);
    static uint8_t bytes[200000];
    memset(bytes, 0x5a, sizeof bytes);
    assert_int_equal(warp_pipe_send(client.pipe, bytes, sizeof bytes), WARP_OK);
    pass(&p, 2000);
    assert_int_equal(server.ups, 1);
    assert_int_equal(server.heard.len, sizeof bytes);
    assert_int_equal(client.heard.len, sizeof bytes);
    assert_memory_equal(wg_queue_front(&client.heard), bytes, sizeof bytes);
    hand_free(&client);
    pass(&p, 200);
    assert_int_equal(server.ended, 1);
    assert_int_equal(server.end_status, WARP_CLOSED);
    hand_free(&server);
    files_down(&p, &f);
  }
}

/* The program hears of a client when the handshake is done, and of others never. */
static void who_does_not_speak_tls_is_never_heard_of(void **state) {
  (void)state;
  pair p;
  files f;
  files_up(&p, &f);
  hand server = {0}, silent = {0}, loud = {0}, half = {0}, good = {0};
  warp_net_conf ours = showing("/tls/cert", "/tls/key");
  ours.ssl_handshake_ms = 1000;
  serve_tls(&p, &server, WARP_IP4, &ours);
  hand *bad[] = {&silent, &loud, &half};
  for (int i = 0; i < 3; i++) {
    dial(&p, bad[i], WARP_TCP, "192.0.2.129:7", NULL);
    assert_int_equal(warp_pipe_add_end_cb(bad[i]->pipe, on_hand_end, bad[i]), WARP_OK);
    assert_int_equal(warp_pipe_add_msg_cb(bad[i]->pipe, on_hand_msg, bad[i]), WARP_OK);
  }
  say(loud.pipe, "GET / HTTP/1.0\r\n\r\n");
  assert_int_equal(warp_pipe_send(half.pipe, "\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb", 9), WARP_OK);
  pass(&p, 200);
  assert_int_equal(loud.ended, 1);
  assert_int_equal(loud.end_status, WARP_CLOSED);
  assert_int_equal(silent.ended + half.ended, 0);
  warp_net_conf theirs = trusting("/tls/ca");
  dial(&p, &good, WARP_TCP, "b.test:7", &theirs);
  say(good.pipe, "hello");
  pass(&p, 1200);
  assert_int_equal(silent.ended, 1);
  assert_int_equal(half.ended, 1);
  assert_int_equal(server.ups, 1);
  assert_bytes(&server.heard, "hello");
  for (int i = 0; i < 3; i++) {
    hand_free(bad[i]);
  }
  hand_free(&good);
  pass(&p, 200);
  assert_int_equal(server.pipe->opened->client_count, 0);
  hand_free(&server);
  files_down(&p, &f);
}

/* Those that say nothing hold so many places, and a new one takes the oldest's. */
static void silent_clients_keep_nobody_out(void **state) {
  (void)state;
  enum { SILENT = WARP_SERVER_HANDSHAKES_MAX + 10 };
  static hand silent[SILENT];
  pair p;
  files f;
  files_up(&p, &f);
  hand server = {0}, good = {0};
  warp_net_conf ours = showing("/tls/cert", "/tls/key");
  ours.ssl_handshake_ms = 60000;
  serve_tls(&p, &server, WARP_IP4, &ours);
  memset(silent, 0, sizeof silent);
  for (int i = 0; i < SILENT; i++) {
    warp_pipe_options options = {.transport = WARP_TCP, .dest = "192.0.2.129:7"};
    hand_open(&p, &silent[i], p.a, &options);
    assert_int_equal(warp_pipe_add_end_cb(silent[i].pipe, on_hand_end, &silent[i]), WARP_OK);
    pass(&p, 1);
  }
  pass(&p, 200);
  assert_int_equal(server.pipe->opened->client_count, WARP_SERVER_HANDSHAKES_MAX);
  for (int i = 0; i < SILENT; i++) {
    assert_int_equal(silent[i].ended, i < SILENT - WARP_SERVER_HANDSHAKES_MAX);
  }
  warp_net_conf theirs = trusting("/tls/ca");
  dial(&p, &good, WARP_TCP, "b.test:7", &theirs);
  pass(&p, 100);
  assert_int_equal(server.ups, 1);
  hand_close(&server); /* with all of them */
  pass(&p, 200);
  for (int i = 0; i < SILENT; i++) {
    assert_int_equal(silent[i].ended, 1);
    hand_free(&silent[i]);
  }
  hand_free(&good);
  hand_free(&server);
  files_down(&p, &f);
}

static void a_server_needs_a_certificate_and_its_key(void **state) {
  (void)state;
  pair p;
  files f;
  files_up(&p, &f);
  warp_net_conf server_with_ca = showing("/tls/cert", "/tls/key");
  server_with_ca.ca_file = "/tls/cert";
  const struct {
    warp_net_conf conf;
    const char *dest;
    warp_transport transport;
    int status;
  } cases[] = {
      {showing(NULL, NULL), NULL, WARP_TCP, WARP_INVALID},
      {showing(NULL, "/tls/key"), NULL, WARP_TCP, WARP_INVALID},
      {server_with_ca, NULL, WARP_TCP, WARP_INVALID},
      {showing("/tls/cert", "/tls/key"), "b.test:7", WARP_TCP, WARP_INVALID},
      {showing("/tls/cert", "/tls/key"), NULL, WARP_UDP, WARP_UNSUPPORTED},
      {showing("/tls/none", "/tls/key"), NULL, WARP_TCP, WARP_NOT_FOUND},
      {showing("/tls/cert", "/tls/none"), NULL, WARP_TCP, WARP_NOT_FOUND},
      {showing("/tls/key", "/tls/key"), NULL, WARP_TCP, WARP_MALFORMED},
      {showing("/tls/cert", NULL), NULL, WARP_TCP, WARP_MALFORMED},
      {showing("/tls/cert", "/tls/another"), NULL, WARP_TCP, WARP_MALFORMED},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    hand h = {0};
    warp_pipe_options options = {
        .transport = cases[i].transport, .dest = cases[i].dest, .conf = &cases[i].conf};
    assert_int_equal(wg_pipe_open_by_hand(sim_host_env(p.b), &options, on_hand_open, &h, &h.pipe),
                     cases[i].status);
  }
  files_down(&p, &f);
}

/* In the callback that tells of it, a client or the server may be closed. */
static void a_server_may_close_when_tls_is_up(void **state) {
  (void)state;
  for (int whole = 0; whole < 2; whole++) {
    pair p;
    files f;
    files_up(&p, &f);
    hand server = {.close_in = whole ? IN_UP : IN_MSG}, client = {0};
    warp_net_conf ours = showing("/tls/cert", "/tls/key"), theirs = trusting("/tls/ca");
    serve_tls(&p, &server, WARP_IP4, &ours);
    dial(&p, &client, WARP_TCP, "b.test:7", &theirs);
    assert_int_equal(warp_pipe_add_msg_cb(client.pipe, on_hand_msg, &client), WARP_OK);
    assert_int_equal(warp_pipe_add_end_cb(client.pipe, on_hand_end, &client), WARP_OK);
    warp_pipe_send(client.pipe, "hello", 5);
    pass(&p, 300);
    assert_int_equal(server.ups, 1);
    assert_null(server.pipe);
    assert_int_equal(client.ended, 1);
    hand_free(&client);
    hand_free(&server);
    files_down(&p, &f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_come_back_through_tls),
      cmocka_unit_test(only_who_should_is_trusted),
      cmocka_unit_test(a_cut_stream_is_not_an_orderly_end),
      cmocka_unit_test(both_sides_of_tls),
      cmocka_unit_test(who_does_not_speak_tls_is_never_heard_of),
      cmocka_unit_test(silent_clients_keep_nobody_out),
      cmocka_unit_test(a_server_needs_a_certificate_and_its_key),
      cmocka_unit_test(a_server_may_close_when_tls_is_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
