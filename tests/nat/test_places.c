/*
 * Places in the kernel are as drawn: who has which address, who reaches whom, and what the other
 * end sees of it. Plain sockets, no delay on the links.
 */
#include "natsim/rules.h"
#include "natsim/world.h"

#include "tests/nat/sockets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { UDP_PORT = 5001, OTHER_PORT = 5002, HOST_PORT = 4000 };

typedef struct bench {
  sim_world world;
  sim_site sites[SIM_SIDES];
  int server4, server6; /* UDP, at UDP_PORT */
} bench;

static void build(bench *b, const char *place_text, const char *a_text, const char *b_text) {
  ns_error error = {.text = ""};
  sim_options options = {.seed = 1};
  sim_profile profile_a, profile_b;
  sim_place place;
  if (sim_profile_parse(a_text, NULL, &profile_a, &error) ||
      sim_profile_parse(b_text, NULL, &profile_b, &error) ||
      sim_place_load(place_text, &place, &error) || sim_world_open(&b->world, &options, &error))
    fail_msg("%s", error.text);
  sim_trial trial = {.a = &profile_a, .b = &profile_b, .place = &place, .trial = 1, .seed = 7};
  if (sim_sites_open(&b->world, &trial, b->sites, &error))
    fail_msg("%s", error.text);
  b->server4 = socket_at(&b->world.server, SOCK_DGRAM, SIM_SERVER_1, UDP_PORT);
  b->server6 = socket_at(&b->world.server, SOCK_DGRAM, SIM_SERVER6_1, UDP_PORT);
}

static void tear_down(bench *b) {
  close(b->server4);
  close(b->server6);
  sim_sites_close(b->sites);
  sim_world_close(&b->world);
}

static const sim_node *node_of(const bench *b, int side) {
  return &b->world.built.topology.nodes[sim_site_host(&b->sites[side])];
}

/* A UDP socket of a side's host at its address of the family. */
static int inside(const bench *b, int side, int family) {
  return socket_at(&b->sites[side].host, SOCK_DGRAM, sim_node_ip(node_of(b, side), family),
                   HOST_PORT + (unsigned)side);
}

/* How the server sees the socket; the answer must come back to it. */
static source outside(const bench *b, int fd, int family) {
  int server = family == 4 ? b->server4 : b->server6;
  send_udp(fd, family == 4 ? SIM_SERVER_1 : SIM_SERVER6_1, UDP_PORT, "who am I");
  source from = hear(server, "who am I", COMES_MS);
  assert_int_not_equal(from.port, 0);
  send_udp(server, from.ip, from.port, "you");
  assert_true(arrives(fd, "you", true));
  return from;
}

static bool gets_out(const bench *b, int fd, bool expected) {
  send_udp(fd, SIM_SERVER_1, UDP_PORT, "out");
  return arrives(b->server4, "out", expected);
}

/* A TCP connection from the side's host to a listener of the server comes to this errno. */
static void expect_tcp(const bench *b, int side, const char *ip, unsigned port, int outcome) {
  int listener = listen_at(&b->world.server, ip, port);
  int family = strchr(ip, ':') ? 6 : 4;
  int fd = socket_at(&b->sites[side].host, SOCK_STREAM, sim_node_ip(node_of(b, side), family), 0);
  int limit_ms = outcome == ETIMEDOUT ? STAYS_AWAY_MS : COMES_MS;
  assert_int_equal(connect_tcp(fd, ip, port, limit_ms), outcome);
  close(fd);
  close(listener);
}

/* ---- who sees whom --------------------------------------------------------------------------- */

/* The addresses that the server sees the two hosts at, and whether they reach each other by their
 * own addresses, and by the outside ones of NATs that let everything in. */
static void expect_sight(const char *place, const char *profile, const char *a_seen,
                         const char *b_seen, bool by_own, bool by_outside) {
  bench lab;
  build(&lab, place, profile, profile);
  int a = inside(&lab, SIM_A, 4), b = inside(&lab, SIM_B, 4);
  source a_out = outside(&lab, a, 4), b_out = outside(&lab, b, 4);
  assert_string_equal(a_out.ip, a_seen);
  assert_string_equal(b_out.ip, b_seen);
  send_udp(a, sim_node_ip(node_of(&lab, SIM_B), 4), HOST_PORT + SIM_B, "own");
  assert_int_equal(arrives(b, "own", by_own), by_own);
  send_udp(a, b_out.ip, b_out.port, "outside");
  source from = hear(b, "outside", by_outside ? COMES_MS : STAYS_AWAY_MS);
  assert_int_equal(from.port != 0, by_outside);
  if (by_outside)
    assert_string_equal(from.ip, a_seen);
  close(a);
  close(b);
  tear_down(&lab);
}

static void hosts_see_each_other_as_drawn(void **state) {
  (void)state;
  expect_sight("two-sites", "open", "192.0.2.2", "192.0.2.130", true, true);
  expect_sight("two-sites", "full-cone", "203.0.113.101", "203.0.113.102", false, true);
  expect_sight("same-lan", "full-cone", "203.0.113.101", "203.0.113.101", true, false);
  expect_sight("same-lan", "open", "192.0.2.2", "192.0.2.3", true, true);
  expect_sight("same-host", "full-cone", "203.0.113.101", "203.0.113.101", true, false);
  expect_sight("one-nat", "full-cone", "203.0.113.101", "203.0.113.101", false, false);
  expect_sight("one-nat-hairpin", "full-cone", "203.0.113.101", "203.0.113.101", false, true);
  expect_sight("one-carrier", "full-cone", "203.0.113.111", "203.0.113.111", false, true);
  expect_sight("two-carriers", "full-cone", "203.0.113.111", "203.0.113.112", false, true);
  expect_sight("two-sites", "cgnat", "203.0.113.113", "203.0.113.114", false, false);
}

static void a_carrier_without_hairpin_parts_its_customers(void **state) {
  (void)state;
  bench lab;
  char path[] = "/run/test-place-XXXXXX"; /* private to the sandbox */
  int file = mkstemp(path);
  static const char lines[] = "# home routers behind one that never turns a packet back\n"
                              "carrier isp map=ei,filter=ei,hairpin=off\n"
                              "site a on isp\nsite b on isp\n";
  assert_int_equal(write(file, lines, sizeof lines - 1), sizeof lines - 1);
  close(file);
  build(&lab, path, "full-cone", "full-cone");
  int a = inside(&lab, SIM_A, 4), b = inside(&lab, SIM_B, 4);
  outside(&lab, a, 4);
  source b_out = outside(&lab, b, 4);
  send_udp(a, b_out.ip, b_out.port, "outside");
  assert_false(arrives(b, "outside", false));
  close(a);
  close(b);
  tear_down(&lab);
  unlink(path);
}

static void the_carriers_customers_have_shared_addresses(void **state) {
  (void)state;
  bench lab;
  build(&lab, "one-carrier", "port-restricted", "open");
  const sim_topology *t = &lab.world.built.topology;
  assert_string_equal(t->nodes[sim_site_router(&lab.sites[SIM_A])].links[0].ip4, "100.64.0.101");
  assert_string_equal(sim_node_ip(node_of(&lab, SIM_A), 4), "192.168.1.2");
  assert_string_equal(sim_node_ip(node_of(&lab, SIM_B), 4), "100.64.2.2");
  int b = inside(&lab, SIM_B, 4);
  assert_string_equal(outside(&lab, b, 4).ip, "203.0.113.111");
  assert_non_null(sim_world_find(&lab.world, "isp"));
  assert_null(sim_world_find(&lab.world, "nobody"));
  close(b);
  tear_down(&lab);
}

/* ---- IPv6 ------------------------------------------------------------------------------------ */

/* `stranger`: whether the server reaches a host that never wrote to it. */
static void expect_ip6(const char *place, const char *a_text, const char *b_text, bool stranger) {
  bench lab;
  build(&lab, place, a_text, b_text);
  int a = inside(&lab, SIM_A, 6), b = inside(&lab, SIM_B, 6);
  source a_out = outside(&lab, a, 6);
  assert_string_equal(a_out.ip, "2001:db8:1::2"); /* nothing is translated */
  assert_int_equal(a_out.port, HOST_PORT);
  int other = socket_at(&lab.world.server, SOCK_DGRAM, SIM_SERVER6_2, OTHER_PORT);
  send_udp(other, a_out.ip, a_out.port, "stranger");
  assert_int_equal(arrives(a, "stranger", stranger), stranger);
  send_udp(b, "2001:db8:1::2", HOST_PORT, "early"); /* and opens b's own firewall */
  assert_int_equal(arrives(a, "early", stranger), stranger);
  send_udp(a, "2001:db8:2::2", HOST_PORT + SIM_B, "late");
  assert_true(arrives(b, "late", true));
  expect_tcp(&lab, SIM_A, SIM_SERVER6_1, 6001, 0);
  close(other);
  close(a);
  close(b);
  tear_down(&lab);
}

static void ip6_comes_in_as_an_answer(void **state) {
  (void)state;
  expect_ip6("two-sites", "firewall6", "port-restricted", false);
  expect_ip6("two-sites", "firewall6", "cgnat", false);
  expect_ip6("dual-stack", "symmetric", "full-cone", false);
  expect_ip6("dual-stack", "open", "open", true);
  expect_ip6("ipv6-only", "firewall6", "open", false);
}

static void dual_stack_has_both(void **state) {
  (void)state;
  bench lab;
  build(&lab, "dual-stack", "full-cone", "firewall6");
  int four = inside(&lab, SIM_A, 4);
  assert_string_equal(outside(&lab, four, 4).ip, "203.0.113.101");
  assert_string_equal(sim_node_ip(node_of(&lab, SIM_B), 4), ""); /* firewall6 has none */
  close(four);
  tear_down(&lab);
}

/* ---- ways out -------------------------------------------------------------------------------- */

static void each_uplink_is_left_by_its_own_address(void **state) {
  (void)state;
  bench lab;
  build(&lab, "two-uplinks", "full-cone", "open");
  const sim_node *a = node_of(&lab, SIM_A);
  assert_int_equal(a->link_count, 2);
  int first = socket_at(&lab.sites[SIM_A].host, SOCK_DGRAM, a->links[0].ip4, HOST_PORT);
  int second = socket_at(&lab.sites[SIM_A].host, SOCK_DGRAM, a->links[1].ip4, HOST_PORT);
  assert_string_equal(outside(&lab, first, 4).ip, "203.0.113.101");
  assert_string_equal(outside(&lab, second, 4).ip, "203.0.113.103");
  close(first);
  close(second);
  tear_down(&lab);
  build(&lab, "two-uplinks", "open", "open");
  second =
      socket_at(&lab.sites[SIM_A].host, SOCK_DGRAM, node_of(&lab, SIM_A)->links[1].ip4, HOST_PORT);
  assert_string_equal(outside(&lab, second, 4).ip, "203.0.113.194");
  close(second);
  tear_down(&lab);
}

static void blocked_udp_leaves_tcp(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"udp-blocked", "full-cone"}, {"udp-blocked", "open"}, {"two-sites", "udp-blocked"}};
  for (size_t i = 0; i < 3; i++) {
    bench lab;
    build(&lab, cases[i][0], cases[i][1], cases[i][1]);
    int fd = inside(&lab, SIM_A, 4);
    assert_false(gets_out(&lab, fd, false));
    expect_tcp(&lab, SIM_A, SIM_SERVER_1, 6001, 0);
    close(fd);
    tear_down(&lab);
  }
}

static void only_the_webs_ports_get_out(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"web-only", "full-cone"}, {"web-only", "open"}, {"two-sites", "web-only"}};
  for (size_t i = 0; i < 3; i++) {
    bench lab;
    build(&lab, cases[i][0], cases[i][1], cases[i][1]);
    int fd = inside(&lab, SIM_A, 4);
    assert_false(gets_out(&lab, fd, false));
    expect_tcp(&lab, SIM_A, SIM_SERVER_1, 80, 0);
    expect_tcp(&lab, SIM_A, SIM_SERVER_1, 443, 0);
    expect_tcp(&lab, SIM_A, SIM_SERVER_1, 8080, ETIMEDOUT);
    int b = listen_at(&lab.sites[SIM_B].host, sim_node_ip(node_of(&lab, SIM_B), 4), 80);
    int stranger = socket_at(&lab.world.server, SOCK_STREAM, SIM_SERVER_1, 0);
    assert_int_equal(connect_tcp(stranger, sim_node_ip(node_of(&lab, SIM_B), 4), 80, 100),
                     strcmp(cases[i][1], "open") ? ENETUNREACH : ETIMEDOUT);
    close(stranger);
    close(b);
    close(fd);
    tear_down(&lab);
  }
}

/* Rules can be loaded anew, and others than the drawn ones: mappings are gone then. */
static void a_router_takes_new_rules(void **state) {
  (void)state;
  bench lab;
  build(&lab, "two-sites", "full-cone", "open");
  int a = inside(&lab, SIM_A, 4);
  source seen = outside(&lab, a, 4);
  int router = sim_site_router(&lab.sites[SIM_A]);
  sim_gate gate = lab.world.built.topology.nodes[router].gate;
  ns_error error;
  int other = socket_at(&lab.world.server, SOCK_DGRAM, SIM_SERVER_2, OTHER_PORT);
  send_udp(other, seen.ip, seen.port, "before");
  assert_true(arrives(a, "before", true));
  assert_int_equal(sim_router_load(&lab.world.built, router, &gate, &error), 0);
  int third = socket_at(&lab.world.server, SOCK_DGRAM, SIM_SERVER_2, OTHER_PORT + 1);
  send_udp(third, seen.ip, seen.port, "after"); /* a new flow: the tracker knows the others */
  assert_false(arrives(a, "after", false));
  gate.filters |= SIM_BLOCK_UDP;
  assert_int_equal(sim_router_load(&lab.world.built, router, &gate, &error), 0);
  assert_false(gets_out(&lab, a, false));
  gate.filters = 0;
  assert_int_equal(sim_router_load(&lab.world.built, router, &gate, &error), 0);
  assert_true(gets_out(&lab, a, true));
  close(third);
  close(other);
  close(a);
  tear_down(&lab);
}

static int place_tests(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hosts_see_each_other_as_drawn),
      cmocka_unit_test(a_carrier_without_hairpin_parts_its_customers),
      cmocka_unit_test(the_carriers_customers_have_shared_addresses),
      cmocka_unit_test(ip6_comes_in_as_an_answer),
      cmocka_unit_test(dual_stack_has_both),
      cmocka_unit_test(each_uplink_is_left_by_its_own_address),
      cmocka_unit_test(blocked_udp_leaves_tcp),
      cmocka_unit_test(only_the_webs_ports_get_out),
      cmocka_unit_test(a_router_takes_new_rules),
  };
  return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}

int main(void) {
  ns_error error;
  int status = ns_sandbox_run(place_tests, NULL, &error);
  if (status < 0)
    fprintf(stderr, "%s\n", error.text);
  return status != 0;
}
