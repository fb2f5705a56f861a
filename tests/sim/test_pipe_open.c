/* Pipes opened by hand: clients and servers, how they fail, and how they end. */
#include "hand_pipes.h"

static void echo(warp_transport transport, int family, const char *dest) {
  pair p;
  build(&p);
  hand server = {.echo = true}, client = {0};
  serve(&p, &server, transport, family);
  dial(&p, &client, transport, dest, NULL);
  assert_int_equal(warp_pipe_add_msg_cb(client.pipe, on_hand_msg, &client), WARP_OK);
  say(client.pipe, "hello");
  pass(&p, 200);
  assert_bytes(&server.heard, "hello");
  assert_bytes(&client.heard, "hello");
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(client.pipe, &info), WARP_OK);
  assert_int_equal(info.transport, transport);
  assert_int_equal(info.family, family);
  assert_int_equal(info.remote.port, 7);
  assert_int_equal(info.local.port, server.from.port);
  assert_true(wg_addr_equal(&info.remote, &client.from));
  hand_free(&client);
  pass(&p, 100);
  hand_free(&server);
  pass(&p, 3000);
  destroy(&p);
}

static void every_kind_echoes(void **state) {
  (void)state;
  echo(WARP_UDP, WARP_IP4, "192.0.2.129:7");
  echo(WARP_TCP, WARP_IP4, "192.0.2.129:7");
  echo(WARP_UDP, WARP_IP6, "[2001:db8:2::1]:7");
  echo(WARP_TCP, WARP_IP6, "[2001:db8:2::1]:7");
}

static void a_name_is_looked_up(void **state) {
  (void)state;
  pair p;
  build(&p);
  sim_add_name(p.world, "b.test", "192.0.2.129");
  hand server = {0}, client = {0};
  serve(&p, &server, WARP_TCP, WARP_IP4);
  dial(&p, &client, WARP_TCP, "b.test:7", NULL);
  say(client.pipe, "by name");
  pass(&p, 100);
  assert_bytes(&server.heard, "by name");
  hand_free(&client);
  hand_free(&server);
  pass(&p, 3000);
  destroy(&p);
}

/* A name with a dead address and a living one. */
static void the_next_address_is_tried(void **state) {
  (void)state;
  pair p;
  build(&p);
  sim_add_name(p.world, "two.test", "192.0.2.1");
  sim_add_name(p.world, "two.test", "192.0.2.129");
  hand server = {0}, client = {0};
  serve(&p, &server, WARP_TCP, WARP_IP4);
  dial(&p, &client, WARP_TCP, "two.test:7", NULL);
  say(client.pipe, "found");
  pass(&p, 100);
  assert_bytes(&server.heard, "found");
  hand_free(&client);
  hand_free(&server);
  pass(&p, 3000);
  destroy(&p);
}

static int how_it_fails(pair *p, const warp_pipe_options *options, unsigned within_ms) {
  hand h = {0};
  hand_open(p, &h, p->a, options);
  assert_int_equal(warp_pipe_send(h.pipe, "x", 1), WARP_STATE);
  pass(p, within_ms - 1);
  assert_int_equal(h.opened, 0);
  pass(p, 2);
  assert_int_equal(h.opened, 1);
  assert_null(h.pipe);
  return h.open_status;
}

static void each_step_has_its_time(void **state) {
  (void)state;
  pair p;
  build(&p);
  sim_add_name(p.world, "silent.test", NULL);
  warp_net_conf conf = warp_net_conf_default();
  warp_pipe_options options = {.transport = WARP_TCP, .dest = "silent.test:7", .conf = &conf};
  assert_int_equal(how_it_fails(&p, &options, 2000), WARP_TIMEOUT);
  conf.dns_timeout_ms = 700;
  assert_int_equal(how_it_fails(&p, &options, 700), WARP_TIMEOUT);
  sim_network_set_up(p.two, false);
  options.dest = "192.0.2.129:7";
  assert_int_equal(how_it_fails(&p, &options, 2000), WARP_TIMEOUT);
  conf.con_timeout_ms = 300;
  assert_int_equal(how_it_fails(&p, &options, 300), WARP_TIMEOUT);
  sim_network_set_up(p.two, true);
  conf.con_timeout_ms = 2000;
  assert_int_equal(how_it_fails(&p, &options, 80), WARP_CONN_REFUSED);
  options.dest = "nobody.test:7";
  hand h = {0};
  hand_open(&p, &h, p.a, &options);
  pass(&p, 1000);
  assert_int_equal(h.open_status, WARP_NOT_FOUND);
  pass(&p, 3000);
  destroy(&p);
}

static void closing_cancels_the_opening(void **state) {
  (void)state;
  pair p;
  build(&p);
  for (unsigned ms = 0; ms < 90; ms += 10) { /* before it starts, connecting, open */
    hand h = {0};
    warp_pipe_options options = {.transport = WARP_TCP, .dest = "192.0.2.129:7"};
    hand_open(&p, &h, p.a, &options);
    pass(&p, ms);
    warp_pipe_close(h.pipe);
    assert_int_equal(h.opened, 1);
    assert_int_equal(h.open_status, ms >= 80 ? WARP_CONN_REFUSED : WARP_CANCELED);
  }
  pass(&p, 3000);
  destroy(&p);
}

/* What is sent at once must wait for the program to ask for it. */
static void nothing_is_lost_before_the_first_subscription(void **state) {
  (void)state;
  static const warp_transport transports[] = {WARP_TCP, WARP_UDP};
  for (int i = 0; i < 2; i++) {
    pair p;
    build(&p);
    hand server = {0}, client = {0};
    warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
    warp_pipe_options options = {.transport = transports[i], .route = &route};
    hand_open(&p, &server, p.b, &options);
    pass(&p, 1);
    dial(&p, &client, transports[i], "192.0.2.129:7", NULL);
    say(client.pipe, "one");
    pass(&p, 500);
    say(client.pipe, "two");
    pass(&p, 500);
    assert_int_equal(warp_pipe_add_msg_cb(server.pipe, on_hand_msg, &server), WARP_OK);
    assert_int_equal(server.messages, 0);
    pass(&p, 1);
    assert_bytes(&server.heard, "onetwo");
    hand_free(&client);
    hand_free(&server);
    pass(&p, 3000);
    destroy(&p);
  }
}

static void a_server_has_many_clients(void **state) {
  (void)state;
  pair p;
  build(&p);
  hand server = {.watch_client = true}, client[3] = {0};
  serve(&p, &server, WARP_TCP, WARP_IP4);
  for (int i = 0; i < 3; i++) {
    dial(&p, &client[i], WARP_TCP, "192.0.2.129:7", NULL);
    assert_int_equal(warp_pipe_add_msg_cb(client[i].pipe, on_hand_msg, &client[i]), WARP_OK);
    assert_int_equal(warp_pipe_add_end_cb(client[i].pipe, on_hand_end, &client[i]), WARP_OK);
  }
  assert_int_equal(server.ups, 3);
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(client[1].pipe, &info), WARP_OK);
  assert_int_equal(warp_pipe_send_to(server.pipe, "to one", 6, &info.local), WARP_OK);
  assert_int_equal(warp_pipe_send(server.pipe, "x", 1), WARP_STATE);
  pass(&p, 100);
  assert_int_equal(client[0].messages + client[2].messages, 0);
  assert_bytes(&client[1].heard, "to one");
  hand_close(&client[0]); /* its pipe at the server goes by itself */
  pass(&p, 100);
  assert_int_equal(server.ended, 1);
  assert_int_equal(server.end_status, WARP_CLOSED);
  hand_close(&server);
  assert_int_equal(server.ended, 3); /* by us, before close returns */
  assert_int_equal(server.end_status, WARP_CANCELED);
  pass(&p, 100);
  assert_int_equal(client[1].ended, 1);
  assert_int_equal(client[1].end_status, WARP_CLOSED);
  assert_int_equal(client[2].ended, 1);
  for (int i = 0; i < 3; i++) {
    hand_free(&client[i]);
  }
  hand_free(&server);
  pass(&p, 3000);
  destroy(&p);
}

/* A server that only talks has no ended clients left, though nobody takes what they send. */
static void a_server_that_only_talks(void **state) {
  (void)state;
  pair p;
  build(&p);
  hand server = {.watch_client = true};
  warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
  warp_pipe_options options = {
      .transport = WARP_TCP, .route = &route, .on_up = on_hand_up, .arg = &server};
  hand_open(&p, &server, p.b, &options);
  pass(&p, 1);
  for (unsigned i = 0; i < 3; i++) {
    hand client = {0};
    dial(&p, &client, WARP_TCP, "192.0.2.129:7", NULL);
    assert_int_equal(warp_pipe_add_msg_cb(client.pipe, on_hand_msg, &client), WARP_OK);
    say(server.client, "the time");
    pass(&p, 100);
    assert_bytes(&client.heard, "the time");
    hand_free(&client);
    pass(&p, 100);
    assert_int_equal(server.ended, i + 1);
    assert_null(wg_first_client(server.pipe));
  }
  hand_free(&server);
  pass(&p, 3000);
  destroy(&p);
}

/* What the peer does not take in time is thrown away, and what it takes is all sent. */
static void closing_takes_as_long_as_was_said(void **state) {
  (void)state;
  for (int patient = 0; patient < 2; patient++) {
    pair p;
    build(&p);
    hand server = {.watch_client = true}, client = {0};
    serve(&p, &server, WARP_TCP, WARP_IP4);
    warp_net_conf conf = warp_net_conf_default();
    conf.linger_ms = patient ? 60000 : 500;
    dial(&p, &client, WARP_TCP, "192.0.2.129:7", &conf);
    assert_int_equal(warp_pipe_pause(server.client, true), WARP_OK);
    static uint8_t bytes[1 << 20];
    assert_int_equal(warp_pipe_send(client.pipe, bytes, sizeof bytes), WARP_OK);
    hand_close(&client);
    pass(&p, 5000);
    assert_int_equal(server.ended, !patient); /* by a reset: its pipe is gone */
    if (patient) {
      assert_int_equal(warp_pipe_pause(server.client, false), WARP_OK);
    }
    pass(&p, 10000);
    if (patient) {
      assert_int_equal(server.heard.len, sizeof bytes);
    } else {
      assert_in_range(server.heard.len, 0, sizeof bytes - 1);
    }
    hand_free(&server);
    pass(&p, 3000);
    wg_queue_free(&client.heard);
    destroy(&p);
  }
}

static void an_end_says_whose_it_was(void **state) {
  (void)state;
  pair p;
  build(&p);
  hand server = {.watch_client = true}, client = {0};
  serve(&p, &server, WARP_TCP, WARP_IP4);
  warp_net_conf conf = warp_net_conf_default();
  conf.linger_ms = 0; /* a reset */
  dial(&p, &client, WARP_TCP, "192.0.2.129:7", &conf);
  assert_int_equal(warp_pipe_add_end_cb(client.pipe, on_hand_end, &client), WARP_OK);
  hand_close(&client);
  assert_int_equal(client.ended, 1);
  assert_int_equal(client.end_status, WARP_CANCELED);
  pass(&p, 100);
  assert_int_equal(server.ended, 1);
  assert_int_equal(server.end_status, WARP_RESET);
  hand_free(&client);
  hand_free(&server);
  pass(&p, 3000);
  destroy(&p);
}

static void a_half_closed_stream_goes_on(void **state) {
  (void)state;
  pair p;
  build(&p);
  hand server = {0}, client = {0};
  serve(&p, &server, WARP_TCP, WARP_IP4);
  dial(&p, &client, WARP_TCP, "192.0.2.129:7", NULL);
  assert_int_equal(warp_pipe_add_msg_cb(client.pipe, on_hand_msg, &client), WARP_OK);
  assert_int_equal(warp_pipe_add_end_cb(client.pipe, on_hand_end, &client), WARP_OK);
  warp_subscription *sub; /* so that the server does not let it go at the end */
  assert_int_equal(warp_pipe_subscribe(server.client, NULL, &sub), WARP_OK);
  say(client.pipe, "question");
  assert_int_equal(warp_pipe_shutdown(client.pipe), WARP_OK);
  assert_int_equal(warp_pipe_send(client.pipe, "x", 1), WARP_CLOSED);
  pass(&p, 100);
  assert_bytes(&server.heard, "question");
  say(server.client, "answer");
  pass(&p, 100);
  assert_bytes(&client.heard, "answer");
  assert_int_equal(client.ended, 0);
  warp_pipe_close(server.client);
  pass(&p, 100);
  assert_int_equal(client.end_status, WARP_CLOSED);
  hand_free(&client);
  hand_free(&server);
  pass(&p, 3000);
  destroy(&p);
}

/* Each callback closes its own pipe; the server's messages come over a client's pipe. */
static void any_callback_may_close(void **state) {
  (void)state;
  static const hand_place places[] = {IN_OPEN, IN_MSG, IN_END, IN_RECV, IN_UP};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    for (int server_side = 0; server_side < 2; server_side++) {
      pair p;
      build(&p);
      hand server = {.echo = true, .watch_client = true}, client = {0};
      *(server_side ? &server.close_in : &client.close_in) = places[i];
      warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
      warp_pipe_options serving = {.transport = WARP_TCP,
                                   .route = &route,
                                   .on_msg = on_hand_msg,
                                   .on_up = on_hand_up,
                                   .arg = &server};
      hand_open(&p, &server, p.b, &serving);
      warp_pipe_options dialling = {
          .transport = WARP_TCP, .dest = "192.0.2.129:7", .on_msg = on_hand_msg, .arg = &client};
      hand_open(&p, &client, p.a, &dialling);
      warp_pipe_add_end_cb(client.pipe, on_hand_end, &client);
      warp_pipe_recv(client.pipe, NULL, 1000, on_hand_recv, &client);
      warp_pipe_recv(server.pipe, NULL, 1000, on_hand_recv, &server);
      pass(&p, 200);
      if (client.pipe != NULL) {
        warp_pipe_send(client.pipe, "hello", 5);
      }
      pass(&p, 200);
      hand_free(server_side ? &client : &server);
      pass(&p, 200);
      hand_free(server_side ? &server : &client);
      assert_int_equal(client.opened, 1);
      assert_int_equal(client.received, 1);
      pass(&p, 3000);
      destroy(&p);
    }
  }
}

static void strangers_are_not_heard(void **state) {
  (void)state;
  pair p;
  build(&p);
  hand server = {0}, client = {0}, stranger = {0};
  serve(&p, &server, WARP_UDP, WARP_IP4);
  warp_route route = {.addr = address("192.0.2.1:5000")};
  warp_pipe_options options = {.transport = WARP_UDP,
                               .dest = "192.0.2.129:7",
                               .route = &route,
                               .on_msg = on_hand_msg,
                               .arg = &client};
  hand_open(&p, &client, p.a, &options);
  warp_addr to = address("192.0.2.1:5000");
  warp_pipe_options strange = {.transport = WARP_UDP, .dest_addr = &to};
  hand_open(&p, &stranger, p.b, &strange);
  pass(&p, 10);
  say(stranger.pipe, "not for you");
  pass(&p, 100);
  assert_int_equal(client.messages, 0);
  assert_int_equal(warp_pipe_send_to(server.pipe, "for you", 7, &to), WARP_OK);
  pass(&p, 100);
  assert_bytes(&client.heard, "for you");
  warp_addr other = address("192.0.2.129:8");
  assert_int_equal(warp_pipe_send_to(client.pipe, "x", 1, &other), WARP_INVALID);
  hand_free(&client);
  hand_free(&server);
  hand_free(&stranger);
  destroy(&p);
}

static int start_with(pair *p, const warp_pipe_options *options) {
  hand h = {0};
  return wg_pipe_open_by_hand(sim_host_env(p->a), options, on_hand_open, &h, NULL);
}

static void nonsense_is_refused_at_once(void **state) {
  (void)state;
  pair p;
  build(&p);
  warp_pipe *pipe = NULL;
  warp_pipe_options none = {0};
  assert_int_equal(warp_pipe_open(NULL, &none, on_hand_open, NULL, &pipe), WARP_INVALID);
  assert_int_equal(start_with(&p, &none), WARP_INVALID);
  static char longest[5000];
  memset(longest, 'h', sizeof longest - 3);
  memcpy(longest + sizeof longest - 3, ":7", 3);
  static const char *const texts[] = {"",           "host",    "host:",   "host:0", "host:70000",
                                      "u:p@host:7", "host:7x", "ho st:7", "[::1:7", "h\xff:7",
                                      "h\n:7",      ":7",      longest};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    warp_pipe_options options = {.transport = WARP_UDP, .dest = texts[i]};
    assert_int_equal(start_with(&p, &options), WARP_INVALID);
  }
  warp_addr four = address("192.0.2.129:7"), no_port = address("192.0.2.129");
  warp_route six = {.addr = wg_addr_any(WARP_IP6, 0)}, bare = {0};
  const warp_pipe_options wrong[] = {
      {.transport = WARP_UDP, .dest = "192.0.2.129:7", .dest_addr = &four},
      {.transport = WARP_UDP, .dest_addr = &no_port},
      {.transport = WARP_UDP, .dest_addr = &four, .route = &six},
      {.transport = WARP_UDP, .dest_addr = &four, .family = WARP_IP6},
      {.transport = WARP_UDP, .route = &six, .family = WARP_IP4},
      {.transport = WARP_UDP, .route = &bare},
      {.transport = WARP_UDP, .family = 5},
      {.transport = WARP_UDP, .use_socket = true, .socket = -1},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    assert_int_equal(start_with(&p, &wrong[i]), WARP_INVALID);
  }
  warp_pipe_options socket = {.transport = WARP_UDP, .use_socket = true, .socket = 3};
  assert_int_equal(start_with(&p, &socket), WARP_UNSUPPORTED);
  destroy(&p);
}

static void bad_numbers_are_refused(void **state) {
  (void)state;
  pair p;
  build(&p);
  warp_net_conf confs[11];
  size_t count = sizeof confs / sizeof confs[0];
  for (size_t i = 0; i < count; i++) {
    confs[i] = warp_net_conf_default();
  }
  confs[0].dns_timeout_ms = 0;
  confs[1].con_timeout_ms = UINT32_MAX;
  confs[2].recv_timeout_ms = 0;
  confs[3].ssl_handshake_ms = 0;
  confs[4].reader_limit = 0;
  confs[5].reader_limit = 65537;
  confs[6].linger_ms = -2;
  confs[7].enable_msg_ids = true, confs[7].max_msg_ids = 0;
  confs[8].enable_msg_ids = true, confs[8].max_msg_ids = 10001;
  confs[9].use_ssl = true; /* over UDP */
  confs[10].max_qsize = WARP_QUEUE_MESSAGES_MAX + 1;
  for (size_t i = 0; i < count; i++) {
    warp_pipe_options options = {.transport = WARP_UDP, .dest = "192.0.2.129:7", .conf = &confs[i]};
    assert_int_equal(start_with(&p, &options), i == 9 ? WARP_UNSUPPORTED : WARP_INVALID);
  }
  destroy(&p);
}

static void a_taken_port_and_an_oversized_message(void **state) {
  (void)state;
  pair p;
  build(&p);
  hand first = {0}, second = {0}, client = {0};
  serve(&p, &first, WARP_TCP, WARP_IP4);
  warp_route route = {.addr = wg_addr_any(WARP_IP4, 7)};
  warp_pipe_options options = {.transport = WARP_TCP, .route = &route};
  hand_open(&p, &second, p.b, &options);
  pass(&p, 1);
  assert_int_equal(second.open_status, WARP_ADDR_IN_USE);
  dial(&p, &client, WARP_UDP, "192.0.2.129:7", NULL);
  static uint8_t big[WG_STREAM_SEND_MAX + 1];
  assert_int_equal(warp_pipe_send(client.pipe, big, WARP_DATAGRAM_MAX + 1), WARP_TOO_BIG);
  assert_int_equal(warp_pipe_send(client.pipe, NULL, 1), WARP_INVALID);
  assert_int_equal(warp_pipe_send_to(NULL, big, 1, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_shutdown(client.pipe), WARP_UNSUPPORTED);
  assert_int_equal(warp_pipe_pause(first.pipe, true), WARP_UNSUPPORTED);
  int fd;
  assert_int_equal(warp_pipe_take_socket(client.pipe, &fd), WARP_STATE);
  hand_free(&client);
  client = (hand){0};
  dial(&p, &client, WARP_TCP, "192.0.2.129:7", NULL);
  assert_int_equal(warp_pipe_send(client.pipe, big, sizeof big), WARP_TOO_BIG);
  hand_free(&client);
  hand_free(&first);
  pass(&p, 3000);
  destroy(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_echoes),
      cmocka_unit_test(a_name_is_looked_up),
      cmocka_unit_test(the_next_address_is_tried),
      cmocka_unit_test(each_step_has_its_time),
      cmocka_unit_test(closing_cancels_the_opening),
      cmocka_unit_test(nothing_is_lost_before_the_first_subscription),
      cmocka_unit_test(a_server_has_many_clients),
      cmocka_unit_test(a_server_that_only_talks),
      cmocka_unit_test(closing_takes_as_long_as_was_said),
      cmocka_unit_test(an_end_says_whose_it_was),
      cmocka_unit_test(a_half_closed_stream_goes_on),
      cmocka_unit_test(any_callback_may_close),
      cmocka_unit_test(strangers_are_not_heard),
      cmocka_unit_test(nonsense_is_refused_at_once),
      cmocka_unit_test(bad_numbers_are_refused),
      cmocka_unit_test(a_taken_port_and_an_oversized_message),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
