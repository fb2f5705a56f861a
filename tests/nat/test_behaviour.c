/*
 * The NATs in the kernel do what their axes say: each test loads one, and looks at it from plain
 * sockets on both of its sides. The links have no delay here.
 */
#include "natsim/rules.h"
#include "natsim/world.h"

#include "tests/nat/sockets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST_1 "192.168.1.2"
#define HOST_2 "192.168.1.3" /* a second inside host, for all that the NAT can tell */
#define WAN    "203.0.113.101"

enum { PORT_1 = 5001, PORT_2 = 5002 };

typedef struct bench {
  sim_world world;
  sim_site sites[SIM_SIDES];
  int server[2][2]; /* UDP sockets: address, port */
} bench;

static const char *const server_ips[] = {SIM_SERVER_1, SIM_SERVER_2};
static const unsigned server_ports[] = {PORT_1, PORT_2};

/* Sends to the server's endpoint and returns the outside port it came from. */
static unsigned mapped(const bench *b, int fd, int ip, int port) {
  send_udp(fd, server_ips[ip], server_ports[port], "map me");
  source from = hear(b->server[ip][port], "map me", COMES_MS);
  assert_string_equal(from.ip, WAN);
  return from.port;
}

/* Connects by TCP to a fresh listener of the server; returns the outside port. Both ends stay open
 * (the sandbox closes them), so that the mapping lives. */
static unsigned mapped_tcp(const bench *b, int fd, unsigned server_port) {
  int listener = listen_at(&b->world.server, SIM_SERVER_1, server_port);
  assert_int_equal(connect_tcp(fd, SIM_SERVER_1, server_port, COMES_MS), 0);
  source from;
  accept_one(listener, &from);
  return from.port;
}

/* ---- the bench ------------------------------------------------------------------------------- */

static void build(bench *b, const char *nat, uint64_t seed) {
  ns_error error = {.text = ""};
  sim_options options = {.seed = seed};
  sim_profile a, open;
  if (sim_profile_parse(nat, NULL, &a, &error) || sim_profile_parse("open", NULL, &open, &error) ||
      sim_world_open(&b->world, &options, &error))
    fail_msg("%s", error.text);
  sim_trial trial = {.a = &a, .b = &open, .trial = 1, .seed = seed};
  if (sim_sites_open(&b->world, &trial, b->sites, &error))
    fail_msg("%s", error.text);
  ns_batch batch;
  ns_begin(&batch, &b->sites[SIM_A].host);
  ns_add_address(&batch, 2, HOST_2 "/24");
  assert_int_equal(ns_commit(&batch, &error), 0);
  for (int ip = 0; ip < 2; ip++)
    for (int port = 0; port < 2; port++)
      b->server[ip][port] =
          socket_at(&b->world.server, SOCK_DGRAM, server_ips[ip], server_ports[port]);
}

static void tear_down(bench *b) {
  for (int ip = 0; ip < 2; ip++)
    for (int port = 0; port < 2; port++)
      close(b->server[ip][port]);
  sim_sites_close(b->sites);
  sim_world_close(&b->world);
}

static int inside(const bench *b, const char *ip, unsigned port) {
  return socket_at(&b->sites[SIM_A].host, SOCK_DGRAM, ip, port);
}

/* ---- mapping and filtering ------------------------------------------------------------------- */

static void check_mapping(const char *nat, bool by_address, bool by_port) {
  bench b;
  build(&b, nat, 1);
  int fd = inside(&b, HOST_1, 4000);
  unsigned first = mapped(&b, fd, 0, 0);
  assert_int_equal(mapped(&b, fd, 0, 1) != first, by_port);
  assert_int_equal(mapped(&b, fd, 1, 0) != first, by_address);
  assert_int_equal(mapped(&b, fd, 0, 0), first); /* and it stays */
  close(fd);
  tear_down(&b);
}

static void mapping_depends_on_what_it_says(void **state) {
  (void)state;
  static const char *const allocs[] = {"preserving", "random", "sequential", "sequential:5"};
  for (size_t i = 0; i < 4; i++) {
    char nat[64];
    snprintf(nat, sizeof nat, "map=ei,alloc=%s", allocs[i]);
    check_mapping(nat, false, false);
    snprintf(nat, sizeof nat, "map=ad,alloc=%s", allocs[i]);
    check_mapping(nat, true, false);
    snprintf(nat, sizeof nat, "map=apd,alloc=%s", allocs[i]);
    check_mapping(nat, true, true);
  }
}

static void check_filter(const char *nat, bool other_port, bool other_address) {
  bench b;
  build(&b, nat, 1);
  int fd = inside(&b, HOST_1, 4000);
  unsigned outside = mapped(&b, fd, 0, 0);
  send_udp(b.server[0][0], WAN, outside, "same");
  assert_true(arrives(fd, "same", true));
  send_udp(b.server[0][1], WAN, outside, "other port");
  assert_int_equal(arrives(fd, "other port", other_port), other_port);
  send_udp(b.server[1][1], WAN, outside, "other address");
  assert_int_equal(arrives(fd, "other address", other_address), other_address);
  close(fd);
  tear_down(&b);
}

static void filter_depends_on_what_it_says(void **state) {
  (void)state;
  static const char *const maps[] = {"ei", "ad", "apd"};
  for (size_t i = 0; i < 3; i++) {
    char nat[64];
    snprintf(nat, sizeof nat, "map=%s,filter=ei,alloc=random", maps[i]);
    check_filter(nat, true, true);
    snprintf(nat, sizeof nat, "map=%s,filter=ad,alloc=random", maps[i]);
    check_filter(nat, true, false);
    snprintf(nat, sizeof nat, "map=%s,filter=apd,alloc=random", maps[i]);
    check_filter(nat, false, false);
  }
}

/* ---- port allocation ------------------------------------------------------------------------- */

static void preserving_keeps_the_port_where_free(void **state) {
  (void)state;
  bench b;
  build(&b, "map=apd,alloc=preserving", 1);
  int fd = inside(&b, HOST_1, 4000), other = inside(&b, HOST_2, 4000);
  assert_int_equal(mapped(&b, fd, 0, 0), 4000);
  assert_int_not_equal(mapped(&b, fd, 0, 1), 4000);
  assert_int_not_equal(mapped(&b, other, 0, 0), 4000);
  close(fd);
  close(other);
  tear_down(&b);
}

static void preserving_keeps_within_the_range(void **state) {
  (void)state;
  bench b;
  build(&b, "alloc=preserving,range=30000-30999", 1);
  int fd = inside(&b, HOST_1, 4000), within = inside(&b, HOST_1, 30500);
  assert_in_range(mapped(&b, fd, 0, 0), 30000, 30999);
  assert_int_equal(mapped(&b, within, 0, 0), 30500);
  close(fd);
  close(within);
  tear_down(&b);
}

static void random_ports(uint64_t seed, unsigned out[4]) {
  bench b;
  build(&b, "symmetric", seed);
  int fd = inside(&b, HOST_1, 4000);
  for (int i = 0; i < 4; i++)
    out[i] = mapped(&b, fd, i / 2, i % 2);
  close(fd);
  tear_down(&b);
}

static void random_ports_come_from_the_seed(void **state) {
  (void)state;
  unsigned first[4], again[4], other[4];
  random_ports(7, first);
  random_ports(7, again);
  random_ports(8, other);
  assert_memory_equal(first, again, sizeof first);
  assert_memory_not_equal(first, other, sizeof first);
  for (int i = 0; i < 4; i++)
    assert_in_range(first[i], 1024, 65535);
}

/* 14 flows over 16 ports: draws clash all the time, and no flow may be lost or share a port. */
static void clashing_draws_get_ports_of_their_own(void **state) {
  (void)state;
  enum { FLOWS = 14, LOW = 40000, PORTS = 16 };
  bench b;
  build(&b, "map=ei,alloc=random,range=40000-40015", 1);
  bool taken[PORTS] = {false};
  int fds[FLOWS];
  for (unsigned i = 0; i < FLOWS; i++) {
    fds[i] = inside(&b, i % 2 ? HOST_2 : HOST_1, 4000 + i / 2);
    unsigned port = mapped(&b, fds[i], 0, 0);
    assert_in_range(port, LOW, LOW + PORTS - 1);
    assert_false(taken[port - LOW]);
    taken[port - LOW] = true;
  }
  for (unsigned i = 0; i < FLOWS; i++)
    close(fds[i]);
  tear_down(&b);
}

static void check_sequence(const char *nat, unsigned step) {
  bench b;
  build(&b, nat, 3);
  int fd = inside(&b, HOST_1, 4000);
  unsigned before = mapped(&b, fd, 0, 0);
  for (int i = 1; i < 4; i++) {
    unsigned port = mapped(&b, fd, i / 2, i % 2);
    assert_int_equal(port, before + step);
    before = port;
  }
  /* TCP has a sequence of its own. */
  int tcp = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  unsigned tcp_port = mapped_tcp(&b, tcp, 6001);
  fd = inside(&b, HOST_1, 4001);
  assert_int_equal(mapped(&b, fd, 0, 0), before + step);
  assert_in_range(tcp_port, 1024, 65535);
  close(fd);
  close(tcp);
  tear_down(&b);
}

static void sequential_ports_follow_each_other(void **state) {
  (void)state;
  check_sequence("symmetric-seq", 1);
  check_sequence("map=apd,alloc=sequential:3", 3);
}

/* Down to the last port of a range none is given out twice, and then there is no more. */
static void a_range_is_used_up(void **state) {
  (void)state;
  static const char *const nats[] = {
      "map=ei,alloc=random,range=40000-40003", "map=ei,alloc=preserving,range=40000-40003",
      "map=ei,alloc=sequential,range=40000-40003", "map=ei,alloc=sequential:3,range=40000-40003"};
  enum { PORTS = 4 };
  for (size_t n = 0; n < 4; n++) {
    bench b;
    build(&b, nats[n], 5);
    unsigned taken = 0;
    int fds[PORTS + 1];
    for (unsigned i = 0; i <= PORTS; i++)
      fds[i] = inside(&b, i % 2 ? HOST_2 : HOST_1, 4000 + i / 2);
    for (unsigned i = 0; i < PORTS; i++)
      taken |= 1U << (mapped(&b, fds[i], 0, 0) - 40000);
    assert_int_equal(taken, 0xf);
    send_udp(fds[PORTS], SIM_SERVER_1, PORT_1, "one too many");
    assert_false(arrives(b.server[0][0], "one too many", false));
    for (unsigned i = 0; i <= PORTS; i++)
      close(fds[i]);
    tear_down(&b);
  }
}

static void a_sequence_goes_round(void **state) {
  (void)state;
  bench b;
  build(&b, "map=apd,alloc=sequential:3,range=40000-40007", 5);
  static const unsigned expected[] = {40000, 40003, 40006};
  int fds[4];
  for (unsigned i = 0; i < 3; i++) {
    fds[i] = inside(&b, HOST_1, 4000 + i);
    assert_int_equal(mapped(&b, fds[i], 0, 0), expected[i]);
  }
  /* 40000 is in use: the ports between follow. */
  fds[3] = inside(&b, HOST_1, 4003);
  unsigned next = mapped(&b, fds[3], 0, 0);
  assert_true(next > 40000 && next < 40008 && next != 40003 && next != 40006);
  for (unsigned i = 0; i < 4; i++)
    close(fds[i]);
  tear_down(&b);
}

/* Two inside hosts with the same port: another is given, and both flows go on, both ways. */
static void check_clash(const char *nat) {
  bench b;
  build(&b, nat, 3);
  int fds[2] = {inside(&b, HOST_1, 4000), inside(&b, HOST_2, 4000)};
  unsigned ports[2] = {mapped(&b, fds[0], 0, 0), mapped(&b, fds[1], 0, 0)};
  assert_int_not_equal(ports[0], ports[1]);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(mapped(&b, fds[i], 0, 0), ports[i]);
    send_udp(b.server[0][0], WAN, ports[i], i ? "to the second" : "to the first");
    assert_true(arrives(fds[i], i ? "to the second" : "to the first", true));
    close(fds[i]);
  }
  int one = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  int two = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_2, 4000);
  int listener = listen_at(&b.world.server, SIM_SERVER_1, 6001);
  source seen[2];
  assert_int_equal(connect_tcp(one, SIM_SERVER_1, 6001, COMES_MS), 0);
  int first = accept_one(listener, &seen[0]);
  assert_int_equal(connect_tcp(two, SIM_SERVER_1, 6001, COMES_MS), 0);
  int second = accept_one(listener, &seen[1]);
  assert_int_not_equal(seen[0].port, seen[1].port);
  close(first);
  close(second);
  close(listener);
  close(one);
  close(two);
  tear_down(&b);
}

static void inside_hosts_with_one_port_keep_apart(void **state) {
  (void)state;
  static const char *const allocs[] = {"preserving", "random", "sequential", "sequential:2"};
  static const char *const maps[] = {"ei", "ad", "apd"};
  for (size_t m = 0; m < 3; m++)
    for (size_t i = 0; i < 4; i++) {
      char nat[64];
      snprintf(nat, sizeof nat, "map=%s,alloc=%s", maps[m], allocs[i]);
      check_clash(nat);
    }
}

/* ---- sessions begun outside ------------------------------------------------------------------ */

/* A stranger writes to a mapping and is answered; `same`: by the mapping it wrote to. */
static void check_reuse(const char *nat, int ip, int port, bool same) {
  bench b;
  build(&b, nat, 1);
  int fd = inside(&b, HOST_1, 4000), stranger = b.server[ip][port];
  unsigned outside = mapped(&b, fd, 0, 0);
  send_udp(stranger, WAN, outside, "in");
  assert_true(arrives(fd, "in", true));
  send_udp(fd, server_ips[ip], server_ports[port], "answer");
  source answer = hear(stranger, "answer", COMES_MS);
  assert_int_not_equal(answer.port, 0);
  assert_int_equal(answer.port == outside, same);
  send_udp(stranger, WAN, answer.port, "to the answer's port");
  assert_true(arrives(fd, "to the answer's port", true));
  send_udp(stranger, WAN, outside, "to the first port");
  assert_true(arrives(fd, "to the first port", true));
  assert_int_equal(mapped(&b, fd, 0, 0), outside);
  close(fd);
  tear_down(&b);
}

static void answers_leave_as_it_says(void **state) {
  (void)state;
  static const char *const allocs[] = {"preserving", "random", "sequential"};
  for (size_t i = 0; i < 3; i++) {
    char nat[64];
    snprintf(nat, sizeof nat, "map=apd,filter=ei,alloc=%s", allocs[i]);
    check_reuse(nat, 1, 1, true);
    snprintf(nat, sizeof nat, "map=apd,filter=ei,alloc=%s,reuse=off", allocs[i]);
    check_reuse(nat, 1, 1, false);
    check_reuse(nat, 0, 1, false);
    snprintf(nat, sizeof nat, "map=ad,filter=ei,alloc=%s,reuse=off", allocs[i]);
    check_reuse(nat, 1, 1, false);
    snprintf(nat, sizeof nat, "map=apd,filter=ad,alloc=%s,reuse=off", allocs[i]);
    check_reuse(nat, 0, 1, false);
  }
  check_reuse("map=apd,filter=ad", 0, 1, true);
  /* One mapping for all of an address. */
  check_reuse("map=ad,filter=ei,reuse=off", 0, 1, true);
}

/* The answer to a SYN can only come from the port it went to. */
static void strict_nats_take_tcp_in(void **state) {
  (void)state;
  bench b;
  build(&b, "map=apd,filter=ei,reuse=off", 1);
  int fd = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  unsigned outside = mapped_tcp(&b, fd, 6001);
  int listener = listen_at(&b.sites[SIM_A].host, HOST_1, 4000);
  int stranger = socket_at(&b.world.server, SOCK_STREAM, SIM_SERVER_2, 6002);
  assert_int_equal(connect_tcp(stranger, WAN, outside, COMES_MS), 0);
  close(accept_one(listener, NULL));
  close(stranger);
  close(listener);
  close(fd);
  tear_down(&b);
}

/* ---- the other axes -------------------------------------------------------------------------- */

/* `stranger`: whether the first packet of all gets in, whose sender was never written to. */
static void check_hairpin(const char *nat, bool on, bool stranger) {
  bench b;
  build(&b, nat, 1);
  int one = inside(&b, HOST_1, 4000), two = inside(&b, HOST_2, 4001);
  unsigned one_port = mapped(&b, one, 0, 0), two_port = mapped(&b, two, 0, 0);
  send_udp(two, WAN, one_port, "open"); /* and opens two's own filter */
  assert_int_equal(arrives(one, "open", stranger), stranger);
  send_udp(one, WAN, two_port, "hairpin");
  source from = hear(two, "hairpin", on ? COMES_MS : STAYS_AWAY_MS);
  assert_int_equal(from.port != 0, on);
  if (on) { /* RFC 4787 REQ-9a: from the external address and port */
    assert_string_equal(from.ip, WAN);
    assert_int_equal(from.port, one_port);
  }
  close(one);
  close(two);
  tear_down(&b);
}

static void hairpin_goes_by_the_outside_address(void **state) {
  (void)state;
  check_hairpin("filter=ei", false, false);
  check_hairpin("filter=ei,hairpin=on", true, true);
  check_hairpin("filter=ad,hairpin=on", true, false);
  check_hairpin("filter=apd,hairpin=on", true, false);
}

/* How long an outcome of a connection is waited for. */
static int limit_of(int outcome) {
  return outcome == ETIMEDOUT ? STAYS_AWAY_MS : COMES_MS;
}

/* What a server gets that connects to a mapped port its address never heard from. */
static void expect_unsolicited(const char *nat, int outcome) {
  bench b;
  build(&b, nat, 1);
  int fd = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  unsigned outside = mapped_tcp(&b, fd, 6001);
  int stranger = socket_at(&b.world.server, SOCK_STREAM, SIM_SERVER_2, 6002);
  assert_int_equal(connect_tcp(stranger, WAN, outside, limit_of(outcome)), outcome);
  close(stranger);
  close(fd);
  tear_down(&b);
}

static void filtered_packets_are_answered_as_it_says(void **state) {
  (void)state;
  expect_unsolicited("unsolicited=drop", ETIMEDOUT);
  expect_unsolicited("unsolicited=reset", ECONNREFUSED);
  expect_unsolicited("filter=ad,unsolicited=icmp", ECONNREFUSED);
}

/* What a server gets that connects to a port without a mapping. */
static void expect_stray(const char *nat, int outcome) {
  bench b;
  build(&b, nat, 1);
  int stranger = socket_at(&b.world.server, SOCK_STREAM, SIM_SERVER_1, 6002);
  assert_int_equal(connect_tcp(stranger, WAN, 4000, limit_of(outcome)), outcome);
  close(stranger);
  tear_down(&b);
}

static void strays_are_answered_as_it_says(void **state) {
  (void)state;
  expect_stray("strays=drop", ETIMEDOUT);
  expect_stray("unsolicited=reset", ETIMEDOUT);
  expect_stray("strays=reject", ECONNREFUSED);
  expect_stray("strays=accept", ECONNREFUSED);
}

/* The outside port of a flow that comes after a stray to its inside port. */
static unsigned mapped_after_stray(const char *nat) {
  bench b;
  build(&b, nat, 1);
  int before = inside(&b, HOST_1, 4001);
  unsigned known = mapped(&b, before, 0, 0);
  send_udp(b.server[0][0], WAN, 4000, "stray");
  send_udp(b.server[0][0], WAN, known, "after the stray");
  assert_true(arrives(before, "after the stray", true));
  int fd = inside(&b, HOST_1, 4000);
  unsigned port = mapped(&b, fd, 0, 0);
  send_udp(b.server[0][0], WAN, port, "back");
  assert_true(arrives(fd, "back", true));
  close(fd);
  close(before);
  tear_down(&b);
  return port;
}

static void a_stray_that_is_taken_takes_the_port(void **state) {
  (void)state;
  assert_int_not_equal(mapped_after_stray("map=ei,strays=accept"), 4000);
  assert_int_not_equal(mapped_after_stray("map=apd,strays=accept"), 4000);
  assert_int_equal(mapped_after_stray("map=ei,strays=drop"), 4000);
  assert_int_equal(mapped_after_stray("map=apd,strays=reject"), 4000);
}

/* ---- models of devices ----------------------------------------------------------------------- */

/* A router whose rules are the kernel's own, in place of ours. */
static void build_plain(bench *b, const char *masquerade) {
  build(b, "port-restricted", 1);
  char rules[256];
  snprintf(rules, sizeof rules,
           "delete table ip nat\ntable ip plain { chain post { type nat hook postrouting priority "
           "srcnat; oifname \"" SIM_WAN "\" %s; }; }\n",
           masquerade);
  ns_error error;
  if (ns_nft(&b->sites[SIM_A].router, rules, &error))
    fail_msg("%s", error.text);
}

/* What the profiles linux-masquerade and linux-masquerade-random claim of Linux. */
static void linux_does_what_its_models_say(void **state) {
  (void)state;
  static const struct {
    const char *masquerade;
    bool keeps; /* one port for all, the inside one */
  } cases[] = {{"masquerade", true}, {"masquerade fully-random", false}};
  for (size_t i = 0; i < 2; i++) {
    bench b;
    build_plain(&b, cases[i].masquerade);
    int fd = inside(&b, HOST_1, 4000);
    unsigned ports[4];
    for (int n = 0; n < 4; n++)
      ports[n] = mapped(&b, fd, n / 2, n % 2);
    unsigned kept = 0;
    for (int n = 0; n < 4; n++)
      kept += ports[n] == 4000;
    /* The kernel's draws have no seed: one of four is the inside port once in 16,000 times. */
    assert_true(cases[i].keeps ? kept == 4 : kept <= 1);
    int stranger = socket_at(&b.world.server, SOCK_DGRAM, SIM_SERVER_1, PORT_2 + 1);
    send_udp(stranger, WAN, ports[0], "unasked");
    assert_false(arrives(fd, "unasked", false));
    send_udp(b.server[0][0], WAN, ports[0], "asked");
    assert_true(arrives(fd, "asked", true));
    close(stranger);
    close(fd);
    tear_down(&b);
  }
}

static void mappings_end_with_their_lifetime(void **state) {
  (void)state;
  bench b;
  build(&b, "filter=ei,udp-lifetime=4", 1); /* long enough for a process that stands still */
  int fd = inside(&b, HOST_1, 4000);
  unsigned outside = mapped(&b, fd, 0, 0);
  send_udp(b.server[1][1], WAN, outside, "early");
  assert_true(arrives(fd, "early", true));
  /* The kernel's clean-up is coarse; what came in last keeps its own flow for a lifetime. */
  nanosleep(&(struct timespec){.tv_sec = 6}, NULL);
  send_udp(b.server[1][0], WAN, outside, "late");
  assert_false(arrives(fd, "late", false));
  close(fd);
  tear_down(&b);
}

static void tcp_maps_like_udp(void **state) {
  (void)state;
  bench b;
  build(&b, "symmetric", 1);
  int one = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  int two = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  assert_int_not_equal(mapped_tcp(&b, one, 6001), mapped_tcp(&b, two, 6002));
  close(one);
  close(two);
  tear_down(&b);
  build(&b, "port-restricted", 1);
  one = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  two = socket_at(&b.sites[SIM_A].host, SOCK_STREAM, HOST_1, 4000);
  assert_int_equal(mapped_tcp(&b, one, 6001), 4000);
  assert_int_equal(mapped_tcp(&b, two, 6002), 4000);
  close(one);
  close(two);
  tear_down(&b);
}

static int behaviour_tests(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mapping_depends_on_what_it_says),
      cmocka_unit_test(filter_depends_on_what_it_says),
      cmocka_unit_test(preserving_keeps_the_port_where_free),
      cmocka_unit_test(preserving_keeps_within_the_range),
      cmocka_unit_test(random_ports_come_from_the_seed),
      cmocka_unit_test(clashing_draws_get_ports_of_their_own),
      cmocka_unit_test(sequential_ports_follow_each_other),
      cmocka_unit_test(a_range_is_used_up),
      cmocka_unit_test(a_sequence_goes_round),
      cmocka_unit_test(inside_hosts_with_one_port_keep_apart),
      cmocka_unit_test(answers_leave_as_it_says),
      cmocka_unit_test(strict_nats_take_tcp_in),
      cmocka_unit_test(a_stray_that_is_taken_takes_the_port),
      cmocka_unit_test(linux_does_what_its_models_say),
      cmocka_unit_test(hairpin_goes_by_the_outside_address),
      cmocka_unit_test(filtered_packets_are_answered_as_it_says),
      cmocka_unit_test(strays_are_answered_as_it_says),
      cmocka_unit_test(mappings_end_with_their_lifetime),
      cmocka_unit_test(tcp_maps_like_udp),
  };
  return cmocka_run_group_tests_name("behaviour", tests, NULL, NULL);
}

int main(void) {
  ns_error error;
  int status = ns_sandbox_run(behaviour_tests, NULL, &error);
  if (status < 0)
    fprintf(stderr, "%s\n", error.text);
  return status != 0;
}
