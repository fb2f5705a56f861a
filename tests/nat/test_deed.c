/*
 * What happens in the middle of a trial does to the kernel what it says: each test looks at the
 * router from plain sockets before and after it.
 */
#include "natsim/deed.h"
#include "natsim/neighbours.h"

#include "tests/nat/sockets.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST  "192.168.1.2"
#define WAN   "203.0.113.101"
#define MOVED "203.0.113.121"
#define AGAIN "203.0.113.141"

enum { PORT_1 = 5001, PORT_2 = 5002, INSIDE = 40000 };

typedef struct bench {
  sim_world world;
  sim_site sites[SIM_SIDES];
  sim_servers servers;
  int inside; /* a's socket */
  int server[2];
} bench;

static const unsigned server_ports[] = {PORT_1, PORT_2};

static void build(bench *t, const char *nat, const sim_options *options) {
  ns_error error = {.text = ""};
  sim_profile a, b;
  *t = (bench){.inside = -1};
  if (sim_profile_parse(nat, NULL, &a, &error) ||
      sim_profile_parse("full-cone", NULL, &b, &error) ||
      sim_world_open(&t->world, options, &error))
    fail_msg("%s", error.text);
  sim_trial trial = {.a = &a, .b = &b, .trial = 1, .seed = 7};
  if (sim_sites_open(&t->world, &trial, t->sites, &error))
    fail_msg("%s", error.text);
  t->inside = socket_at(&t->sites[SIM_A].host, SOCK_DGRAM, HOST, INSIDE);
  for (int i = 0; i < 2; i++)
    t->server[i] = socket_at(&t->world.server, SOCK_DGRAM, SIM_SERVER_1, server_ports[i]);
}

static void tear_down(bench *t) {
  close(t->inside);
  for (int i = 0; i < 2; i++)
    close(t->server[i]);
  sim_sites_close(t->sites);
  sim_world_close(&t->world);
}

static void happens(bench *t, const char *what) {
  char text[SIM_EVENT_STRLEN];
  sim_event event;
  ns_error error;
  snprintf(text, sizeof text, "go:%s", what);
  if (sim_event_parse(text, &event, &error) || sim_deed_do(&event, &t->world, &t->servers, &error))
    fail_msg("%s: %s", what, error.text);
}

/* a writes to the server's port; the outside address it comes from, port 0 if it does not. */
static source write_out(const bench *t, int port, bool expected) {
  send_udp(t->inside, SIM_SERVER_1, server_ports[port], "out");
  return hear(t->server[port], "out", expected ? COMES_MS : STAYS_AWAY_MS);
}

/* The server writes to that address; whether a hears it. */
static bool write_in(const bench *t, source to, bool expected) {
  send_udp(t->server[0], to.ip, to.port, "in");
  return arrives(t->inside, "in", expected);
}

static void a_rebooted_router_has_lost_its_mappings_and_draws_new_ports(void **state) {
  (void)state;
  static const char *const nats[] = {"map=ei,filter=apd,alloc=random",
                                     "map=apd,filter=apd,alloc=sequential"};
  for (size_t i = 0; i < 2; i++) {
    bench t;
    build(&t, nats[i], &(sim_options){.seed = 1});
    source before = write_out(&t, 0, true);
    assert_true(write_in(&t, before, true));
    happens(&t, "reboot-a");
    assert_false(write_in(&t, before, false));
    source after = write_out(&t, 0, true);
    assert_string_equal(after.ip, WAN);
    assert_int_not_equal(after.port, before.port);
    assert_true(write_in(&t, after, true));
    assert_false(write_in(&t, before, false));
    tear_down(&t);
  }
}

static void expired_mappings_are_gone_and_the_counter_goes_on(void **state) {
  (void)state;
  bench t;
  build(&t, "map=apd,filter=ei,alloc=sequential", &(sim_options){.seed = 1});
  source first = write_out(&t, 0, true), second = write_out(&t, 1, true);
  assert_int_equal(second.port, first.port + 1);
  assert_true(write_in(&t, first, true));
  happens(&t, "expire-a");
  assert_false(write_in(&t, first, false));
  assert_false(write_in(&t, second, false));
  assert_int_equal(write_out(&t, 0, true).port, first.port + 2);
  happens(&t, "expire-a");
  assert_int_equal(write_out(&t, 0, true).port, first.port + 3);
  tear_down(&t);
}

/* Whether the stream has these three bytes to read. */
static bool streams(int fd, const char *three, bool expected) {
  char got[8] = "";
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  if (poll(&wait, 1, expected ? COMES_MS : STAYS_AWAY_MS) != 1)
    return false;
  return recv(fd, got, 3, MSG_WAITALL) == 3 && !strcmp(got, three);
}

static void a_tcp_flow_does_not_outlive_a_reboot(void **state) {
  (void)state;
  bench t;
  build(&t, "map=apd,filter=apd,alloc=random", &(sim_options){.seed = 1});
  int listener = listen_at(&t.world.server, SIM_SERVER_1, 8000);
  int fd = socket_at(&t.sites[SIM_A].host, SOCK_STREAM, HOST, 0);
  assert_int_equal(connect_tcp(fd, SIM_SERVER_1, 8000, COMES_MS), 0);
  int served = accept_one(listener, NULL);
  assert_int_equal(send(served, "one", 3, 0), 3);
  assert_true(streams(fd, "one", true));
  happens(&t, "reboot-a");
  assert_int_equal(send(served, "two", 3, 0), 3);
  assert_false(streams(fd, "two", false));
  close(served);
  close(fd);
  close(listener);
  tear_down(&t);
}

static void nothing_passes_while_the_uplink_is_down(void **state) {
  (void)state;
  bench t;
  build(&t, "symmetric-seq", &(sim_options){.seed = 1});
  source before = write_out(&t, 0, true);
  happens(&t, "uplink-up-a"); /* it is */
  happens(&t, "uplink-down-a");
  assert_int_equal(write_out(&t, 0, false).port, 0);
  assert_false(write_in(&t, before, false));
  happens(&t, "uplink-down-a");
  happens(&t, "uplink-up-a");
  assert_int_equal(write_out(&t, 0, true).port, before.port); /* nothing is forgotten */
  assert_true(write_in(&t, before, true));
  tear_down(&t);
}

static void only_the_side_that_is_meant_is_hit(void **state) {
  (void)state;
  bench t;
  build(&t, "full-cone", &(sim_options){.seed = 1});
  source before = write_out(&t, 0, true);
  static const char *const deeds[] = {"reboot-b", "expire-b", "uplink-down-b", "address-b",
                                      "block-udp-b"};
  for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
    happens(&t, deeds[i]);
    assert_true(write_in(&t, before, true));
  }
  tear_down(&t);
}

static void another_address_is_the_only_one(void **state) {
  (void)state;
  bench t;
  build(&t, "map=ei,filter=ei,alloc=random", &(sim_options){.seed = 1});
  int b = socket_at(&t.sites[SIM_B].host, SOCK_DGRAM, "192.168.2.2", INSIDE);
  source before = write_out(&t, 0, true);
  assert_string_equal(before.ip, WAN);
  happens(&t, "address-a");
  source moved = write_out(&t, 0, true);
  assert_string_equal(moved.ip, MOVED);
  assert_true(write_in(&t, moved, true));
  assert_false(write_in(&t, before, false));
  send_udp(b, moved.ip, moved.port, "from b"); /* the other router knows it too */
  assert_true(arrives(t.inside, "from b", true));
  happens(&t, "address-a");
  assert_string_equal(write_out(&t, 0, true).ip, AGAIN);
  assert_false(write_in(&t, moved, false));
  happens(&t, "reboot-a"); /* it keeps the address it has */
  assert_string_equal(write_out(&t, 1, true).ip, AGAIN);
  happens(&t, "address-a");
  assert_string_equal(write_out(&t, 0, true).ip, MOVED);
  close(b);
  tear_down(&t);
}

static void an_address_that_is_seen_outside_cannot_change(void **state) {
  (void)state;
  sim_event event;
  ns_error error;
  sim_place place;
  sim_profile open, cone;
  sim_topology topology;
  assert_int_equal(sim_profile_parse("open", NULL, &open, &error), 0);
  assert_int_equal(sim_profile_parse("full-cone", NULL, &cone, &error), 0);
  assert_int_equal(sim_place_load(NULL, &place, &error), 0);
  assert_int_equal(sim_topology_make(&place, &open, &cone, &topology, &error), 0);
  assert_int_equal(sim_event_parse("5:address-b", &event, &error), 0);
  assert_int_equal(sim_deed_check(&event, &topology, &error), 0);
  assert_int_equal(sim_event_parse("5:address-a", &event, &error), 0);
  assert_int_equal(sim_deed_check(&event, &topology, &error), -1);
  assert_non_null(strstr(error.text, "router-a has no NAT"));
}

static void blocked_udp_stays_blocked_and_tcp_passes(void **state) {
  (void)state;
  bench t;
  build(&t, "full-cone", &(sim_options){.seed = 1});
  source before = write_out(&t, 0, true);
  happens(&t, "block-udp-a");
  assert_int_equal(write_out(&t, 0, false).port, 0);
  assert_false(write_in(&t, before, false));
  happens(&t, "reboot-a");
  assert_int_equal(write_out(&t, 0, false).port, 0);
  int listener = listen_at(&t.world.server, SIM_SERVER_1, 8000);
  int fd = socket_at(&t.sites[SIM_A].host, SOCK_STREAM, HOST, 0);
  assert_int_equal(connect_tcp(fd, SIM_SERVER_1, 8000, COMES_MS), 0);
  close(fd);
  close(listener);
  tear_down(&t);
}

/* The new mapping of a flow to a port of the server that was not written to yet. */
static unsigned next_port(bench *t, unsigned server_port) {
  int server = socket_at(&t->world.server, SOCK_DGRAM, SIM_SERVER_1, server_port);
  send_udp(t->inside, SIM_SERVER_1, server_port, "next");
  unsigned port = hear(server, "next", COMES_MS).port;
  close(server);
  assert_int_not_equal(port, 0);
  return port;
}

static void neighbours_move_the_counter_of_a_sequential_nat(void **state) {
  (void)state;
  enum { MOVED_BY = 50, PROBES = 20000, FIRST = 9000, QUIET = 200 };
  bench t;
  ns_error error;
  sim_neighbours *neighbours;
  sim_options options = {.seed = 1, .neighbour_rate = 2000};
  unsigned opened[SIM_SIDES];
  build(&t, "symmetric-seq", &options);
  unsigned first = next_port(&t, FIRST);
  assert_int_equal(next_port(&t, FIRST + 1), first + 1); /* nobody else is there yet */
  if (sim_neighbours_open(&neighbours, &t.world, &options, 5, &error) ||
      sim_neighbours_start(neighbours, &error))
    fail_msg("%s", error.text);
  unsigned probes = 1, port;
  do
    port = next_port(&t, FIRST + 1 + probes);
  while (port - first < probes + MOVED_BY && ++probes < PROBES);
  assert_true(port - first >= probes + MOVED_BY);
  sim_neighbours_close(neighbours, opened);
  assert_true(opened[SIM_A] >= MOVED_BY && opened[SIM_B] > 0);
  /* And all is quiet again, once their last packets have gone by: so many probes in a row take
   * longer than twenty of their flows. */
  unsigned row = 0, sent = probes + 2;
  for (port = next_port(&t, FIRST + sent); row < QUIET && sent < probes + 20 * QUIET;) {
    unsigned next = next_port(&t, FIRST + ++sent);
    row = next == port + 1 ? row + 1 : 0;
    port = next;
  }
  assert_int_equal(row, QUIET);
  tear_down(&t);
}

static void the_inside_sees_its_neighbours_but_a_place_without_them_has_none(void **state) {
  (void)state;
  static const char *const profiles[] = {"full-cone", "open"};
  static const char *const ips[] = {"192.168.1.9", "192.0.2.9"};
  static const char *const hosts[] = {HOST, "192.0.2.2"};
  for (size_t i = 0; i < 2; i++) {
    ns_error error;
    sim_profile a;
    sim_world world;
    sim_site sites[SIM_SIDES];
    sim_options options = {.seed = 1, .neighbour_flows = 1};
    assert_int_equal(sim_profile_parse(profiles[i], NULL, &a, &error), 0);
    assert_int_equal(sim_world_open(&world, &options, &error), 0);
    sim_trial trial = {.a = &a, .b = &a, .trial = 1, .seed = 7};
    if (sim_sites_open(&world, &trial, sites, &error))
      fail_msg("%s", error.text);
    const ns_host *neighbours = sim_world_find(&world, "neighbours-a");
    assert_non_null(neighbours);
    assert_non_null(sim_world_find(&world, "neighbours-b"));
    int one = socket_at(neighbours, SOCK_DGRAM, ips[i], 6000);
    int a_socket = socket_at(&sites[SIM_A].host, SOCK_DGRAM, hosts[i], 6000);
    send_udp(one, hosts[i], 6000, "hello");
    assert_true(arrives(a_socket, "hello", true));
    close(one);
    close(a_socket);
    sim_sites_close(sites);
    sim_world_close(&world);
  }
  bench t;
  build(&t, "full-cone", &(sim_options){.seed = 1});
  assert_null(sim_world_find(&t.world, "neighbours-a"));
  tear_down(&t);
}

static int in_sandbox(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_rebooted_router_has_lost_its_mappings_and_draws_new_ports),
      cmocka_unit_test(expired_mappings_are_gone_and_the_counter_goes_on),
      cmocka_unit_test(a_tcp_flow_does_not_outlive_a_reboot),
      cmocka_unit_test(nothing_passes_while_the_uplink_is_down),
      cmocka_unit_test(only_the_side_that_is_meant_is_hit),
      cmocka_unit_test(another_address_is_the_only_one),
      cmocka_unit_test(an_address_that_is_seen_outside_cannot_change),
      cmocka_unit_test(blocked_udp_stays_blocked_and_tcp_passes),
      cmocka_unit_test(neighbours_move_the_counter_of_a_sequential_nat),
      cmocka_unit_test(the_inside_sees_its_neighbours_but_a_place_without_them_has_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  ns_error error;
  int status = ns_sandbox_run(in_sandbox, NULL, &error);
  if (status < 0)
    fprintf(stderr, "%s\n", error.text);
  return status < 0 ? 1 : status;
}
