/* What each option of a pipe opened by hand does: with another value, something else happens. */
#include "hand_pipes.h"

/* ---- receiving ------------------------------------------------------------------------------- */

static void zero_means_recv_timeout_ms(void **state) {
  (void)state;
  pair p;
  build(&p);
  hand server = {0}, client = {0};
  serve(&p, &server, WARP_UDP, WARP_IP4);
  warp_net_conf conf = warp_net_conf_default();
  conf.recv_timeout_ms = 300;
  dial(&p, &client, WARP_UDP, "192.0.2.129:7", &conf);
  assert_int_equal(warp_pipe_recv(client.pipe, NULL, 0, on_hand_recv, &client), WARP_OK);
  pass(&p, 299);
  assert_int_equal(client.received, 0);
  pass(&p, 2);
  assert_int_equal(client.received, 1);
  assert_int_equal(client.recv_status, WARP_TIMEOUT);
  hand_free(&client);
  hand_free(&server);
  destroy(&p);
}

static void send_retry_is_how_often(void **state) {
  (void)state;
  static const unsigned retries[] = {0, 1, 5};
  for (size_t i = 0; i < sizeof retries / sizeof retries[0]; i++) {
    pair p;
    build(&p);
    hand server = {0}, client = {0};
    serve(&p, &server, WARP_UDP, WARP_IP4);
    warp_net_conf conf = warp_net_conf_default();
    conf.send_retry = retries[i];
    dial(&p, &client, WARP_UDP, "192.0.2.129:7", &conf);
    assert_int_equal(warp_pipe_ask(client.pipe, NULL, "?", 1, 100, on_hand_recv, &client), WARP_OK);
    pass(&p, 2000);
    assert_int_equal(client.recv_status, WARP_TIMEOUT);
    assert_int_equal(server.messages, 1 + retries[i]);
    hand_free(&client);
    hand_free(&server);
    destroy(&p);
  }
}

typedef struct pieces {
  size_t count, total, longest;
} pieces;

static void on_piece(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                     const warp_addr *from) {
  (void)pipe, (void)data, (void)from;
  pieces *self = arg;
  self->count++;
  self->total += len;
  self->longest = len > self->longest ? len : self->longest;
}

static void reader_limit_cuts_a_stream(void **state) {
  (void)state;
  static const size_t limits[] = {1, 1000, 65536};
  static uint8_t bytes[10000];
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    pair p;
    build(&p);
    hand server = {0}, client = {0};
    pieces got = {0};
    warp_net_conf conf = warp_net_conf_default();
    conf.reader_limit = limits[i];
    warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
    warp_pipe_options options = {
        .transport = WARP_TCP, .route = &route, .on_msg = on_piece, .arg = &got, .conf = &conf};
    hand_open(&p, &server, p.b, &options);
    pass(&p, 1);
    dial(&p, &client, WARP_TCP, "192.0.2.129:7", NULL);
    assert_int_equal(warp_pipe_send(client.pipe, bytes, sizeof bytes), WARP_OK);
    pass(&p, 500);
    assert_int_equal(got.total, sizeof bytes);
    assert_int_equal(got.longest, limits[i] < sizeof bytes ? limits[i] : sizeof bytes);
    assert_true(got.count >= sizeof bytes / limits[i]);
    hand_free(&client);
    hand_free(&server);
    pass(&p, 3000);
    destroy(&p);
  }
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* A question to all is answered by each from its own address. */
static void broadcast_takes_answers_from_anybody(void **state) {
  (void)state;
  for (int broadcast = 0; broadcast < 2; broadcast++) {
    pair p;
    build(&p);
    hand stranger = {0}, client = {0};
    warp_route route = {.addr = address("192.0.2.1:5000")};
    warp_net_conf conf = warp_net_conf_default();
    conf.broadcast = broadcast;
    warp_pipe_options options = {.transport = WARP_UDP,
                                 .dest = "192.0.2.129:7",
                                 .route = &route,
                                 .on_msg = on_hand_msg,
                                 .arg = &client,
                                 .conf = &conf};
    hand_open(&p, &client, p.a, &options);
    warp_addr to = address("192.0.2.1:5000"), other = address("192.0.2.129:8");
    warp_pipe_options strange = {.transport = WARP_UDP, .dest_addr = &to};
    hand_open(&p, &stranger, p.b, &strange);
    pass(&p, 10);
    say(stranger.pipe, "here, too");
    pass(&p, 100);
    assert_int_equal(client.messages, broadcast);
    assert_int_equal(warp_pipe_send_to(client.pipe, "x", 1, &other),
                     broadcast ? WARP_OK : WARP_INVALID);
    hand_free(&client);
    hand_free(&stranger);
    destroy(&p);
  }
}

static void reuse_addr_shares_the_port(void **state) {
  (void)state;
  static const warp_transport transports[] = {WARP_TCP, WARP_UDP};
  for (int i = 0; i < 2; i++) {
    for (int reuse = 0; reuse < 2; reuse++) {
      pair p;
      build(&p);
      hand first = {0}, second = {0};
      warp_net_conf conf = warp_net_conf_default();
      conf.reuse_addr = reuse;
      warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
      warp_pipe_options options = {.transport = transports[i], .route = &route, .conf = &conf};
      hand_open(&p, &first, p.b, &options);
      hand_open(&p, &second, p.b, &options);
      pass(&p, 1);
      assert_int_equal(first.open_status, WARP_OK);
      assert_int_equal(second.open_status, reuse ? WARP_OK : WARP_ADDR_IN_USE);
      hand_free(&first);
      hand_free(&second);
      pass(&p, 3000);
      destroy(&p);
    }
  }
}

static void a_client_leaves_by_its_route(void **state) {
  (void)state;
  static const struct {
    const char *local, *dest;
  } cases[] = {{"192.0.2.1:5000", "192.0.2.129:7"}, {"[2001:db8:1::1]:5000", "[2001:db8:2::1]:7"}};
  static const warp_transport transports[] = {WARP_TCP, WARP_UDP};
  for (int i = 0; i < 4; i++) {
    pair p;
    build(&p);
    hand server = {0}, client = {0};
    warp_addr local = address(cases[i % 2].local), dest = address(cases[i % 2].dest);
    serve(&p, &server, transports[i / 2], local.family);
    warp_route route = {.addr = local};
    warp_pipe_options options = {
        .transport = transports[i / 2], .dest_addr = &dest, .route = &route};
    hand_open(&p, &client, p.a, &options);
    pass(&p, 200);
    say(client.pipe, "from there");
    pass(&p, 200);
    assert_bytes(&server.heard, "from there");
    assert_true(wg_addr_equal(&server.from, &local));
    warp_pipe_info info;
    assert_int_equal(warp_pipe_get_info(client.pipe, &info), WARP_OK);
    assert_true(wg_addr_equal(&info.local, &local));
    hand_free(&client);
    hand_free(&server);
    pass(&p, 3000);
    destroy(&p);
  }
}

static void a_server_without_route_is_at_the_default_interface(void **state) {
  (void)state;
  static const struct {
    int family;
    const char *local;
  } cases[] = {{0, "192.0.2.129"}, {WARP_IP4, "192.0.2.129"}, {WARP_IP6, "2001:db8:2::1"}};
  static const warp_transport transports[] = {WARP_TCP, WARP_UDP};
  for (int i = 0; i < 6; i++) {
    pair p;
    build(&p);
    hand server = {0};
    warp_pipe_options options = {.transport = transports[i / 3], .family = cases[i % 3].family};
    hand_open(&p, &server, p.b, &options);
    pass(&p, 1);
    assert_int_equal(server.open_status, WARP_OK);
    warp_pipe_info info;
    assert_int_equal(warp_pipe_get_info(server.pipe, &info), WARP_OK);
    warp_addr expected = address(cases[i % 3].local);
    assert_true(wg_addr_same_ip(&info.local, &expected));
    assert_int_not_equal(info.local.port, 0);
    hand_free(&server);
    destroy(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zero_means_recv_timeout_ms),
      cmocka_unit_test(send_retry_is_how_often),
      cmocka_unit_test(reader_limit_cuts_a_stream),
      cmocka_unit_test(broadcast_takes_answers_from_anybody),
      cmocka_unit_test(reuse_addr_shares_the_port),
      cmocka_unit_test(a_client_leaves_by_its_route),
      cmocka_unit_test(a_server_without_route_is_at_the_default_interface),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
