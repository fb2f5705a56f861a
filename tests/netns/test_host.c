/*
 * Hosts, links, addresses, routes, neighbours, settings, rules and counters.
 */
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void contains(const char *text, const char *expected) {
  if (!strstr(text, expected))
    fail_msg("\"%s\" is not in \"%s\"", expected, text);
}

/* A datagram from one socket to another's address arrives, within the socket's patience. */
static void assert_arrives(int from, int to, const char *ip, uint16_t port) {
  char got[8];
  udp_send(from, ip, port, "hello", 5);
  assert_int_equal(recv(to, got, sizeof got, 0), 5);
  assert_memory_equal(got, "hello", 5);
}

/* One veth pair between two hosts, without a switch. */
typedef struct pair {
  ns_host left, right;
} pair;

static void pair_open(pair *two, const char *left_ip, const char *right_ip) {
  ns_error error;
  ns_batch batch;
  assert_ok(ns_host_open(&two->left, "left", &error), &error);
  assert_ok(ns_host_open(&two->right, "right", &error), &error);
  ns_begin(&batch, &two->left);
  ns_add_veth(&batch, "eth0", ETH0, MAC_A, &two->right, "eth0", ETH0, MAC_B);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, left_ip);
  assert_ok(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &two->right);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, right_ip);
  assert_ok(ns_commit(&batch, &error), &error);
}

static void pair_close(pair *two) {
  ns_host_close(&two->left);
  ns_host_close(&two->right);
}

static void a_link_carries_ipv4(void **state) {
  (void)state;
  pair two;
  ns_error error;
  pair_open(&two, "192.0.2.1/24", "192.0.2.2/24");
  assert_ok(ns_link_wait(&two.left, ETH0, WAIT_MS, &error), &error);
  assert_ok(ns_address_wait(&two.left, "192.0.2.1", 0, &error), &error);
  int a = udp_open(&two.left, "192.0.2.1", 1000), b = udp_open(&two.right, "192.0.2.2", 1000);
  assert_arrives(a, b, "192.0.2.2", 1000);
  assert_arrives(b, a, "192.0.2.1", 1000);
  close(a);
  close(b);
  pair_close(&two);
}

/* The first packet arrives: no duplicate address detection, and the addresses are waited for. */
static void a_link_carries_ipv6(void **state) {
  (void)state;
  pair two;
  ns_error error;
  char byte;
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(1000)};
  pair_open(&two, "2001:db8::1/64", "2001:db8::2/64");
  assert_ok(ns_link_wait(&two.left, ETH0, WAIT_MS, &error), &error);
  assert_ok(ns_address_wait(&two.left, "2001:db8::1", WAIT_MS, &error), &error);
  assert_ok(ns_address_wait(&two.right, "2001:db8::2", WAIT_MS, &error), &error);
  inet_pton(AF_INET6, "2001:db8::2", &to.sin6_addr);
  assert_int_equal(ns_enter(&two.left), 0);
  int a = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(ns_enter(&two.right), 0);
  int b = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ns_leave();
  assert_int_equal(bind(b, (struct sockaddr *)&to, sizeof to), 0);
  struct timeval patience = {.tv_sec = WAIT_MS / 1000};
  setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  assert_int_equal(sendto(a, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
  assert_int_equal(recv(b, &byte, 1, 0), 1);
  close(a);
  close(b);
  pair_close(&two);
}

static void loopback_is_up(void **state) {
  (void)state;
  ns_host host;
  ns_error error;
  assert_ok(ns_host_open(&host, "alone", &error), &error);
  int a = udp_open(&host, "127.0.0.1", 1), b = udp_open(&host, "127.0.0.1", 2);
  assert_arrives(a, b, "127.0.0.1", 2);
  close(a);
  close(b);
  ns_host_close(&host);
}

/* left -- router -- right: routes, forwarding by a setting, and rules that change its mind. */
static void a_router_forwards_until_rules_forbid_it(void **state) {
  (void)state;
  ns_host left, router, right;
  ns_error error;
  ns_batch batch;
  assert_ok(ns_host_open(&left, "left", &error), &error);
  assert_ok(ns_host_open(&router, "router", &error), &error);
  assert_ok(ns_host_open(&right, "right", &error), &error);
  ns_begin(&batch, &router);
  ns_add_veth(&batch, "lan0", 2, NULL, &left, "eth0", ETH0, NULL);
  ns_add_veth(&batch, "wan0", 3, NULL, &right, "eth0", ETH0, NULL);
  ns_add_up(&batch, 2);
  ns_add_up(&batch, 3);
  ns_add_address(&batch, 2, "10.0.0.1/24");
  ns_add_address(&batch, 3, "10.0.1.1/24");
  assert_ok(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &left);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, "10.0.0.2/24");
  ns_add_route(&batch, "0.0.0.0/0", "10.0.0.1", ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &right);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, "10.0.1.2/24");
  ns_add_route(&batch, "10.0.0.0/24", "10.0.1.1", ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  assert_ok(ns_sysctl(&router, "ipv4/ip_forward", "1", &error), &error);
  assert_ok(ns_link_wait(&router, 2, WAIT_MS, &error), &error);
  assert_ok(ns_link_wait(&router, 3, WAIT_MS, &error), &error);

  int a = udp_open(&left, "10.0.0.2", 5), b = udp_open(&right, "10.0.1.2", 5);
  assert_arrives(a, b, "10.0.1.2", 5);
  assert_ok(ns_nft(&router,
                   "table ip t { chain f { type filter hook forward priority 0; policy accept; "
                   "udp dport 6 drop; }; }",
                   &error),
            &error);
  udp_send(a, "10.0.1.2", 6, "lost", 4);
  assert_arrives(a, b, "10.0.1.2", 5);
  assert_ok(ns_nft(&router, "flush ruleset", &error), &error);
  close(a);
  close(b);
  ns_host_close(&left);
  ns_host_close(&router);
  ns_host_close(&right);
}

static void an_on_link_route_needs_no_gateway(void **state) {
  (void)state;
  pair two;
  ns_error error;
  ns_batch batch;
  pair_open(&two, "192.0.2.1/32", "198.51.100.1/32");
  ns_begin(&batch, &two.left);
  ns_add_route(&batch, "198.51.100.0/24", NULL, ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &two.right);
  ns_add_route(&batch, "192.0.2.0/24", NULL, ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  assert_ok(ns_link_wait(&two.left, ETH0, WAIT_MS, &error), &error);
  int a = udp_open(&two.left, "192.0.2.1", 1), b = udp_open(&two.right, "198.51.100.1", 1);
  assert_arrives(a, b, "198.51.100.1", 1);
  close(a);
  close(b);
  pair_close(&two);
}

/* With known neighbours and no IPv6 noise the counter counts just what was sent. */
static void counts_packets_sent_and_nothing_else(void **state) {
  (void)state;
  small_net net;
  uint64_t before, after;
  small_net_open(&net);
  int a = udp_open(&net.a, "192.0.2.1", 1);
  assert_int_equal(ns_tx_packets(&net.a, ETH0, &before), 0);
  for (int i = 0; i < 3; i++)
    udp_send(a, "192.0.2.2", 1, "x", 1);
  assert_int_equal(ns_tx_packets(&net.a, ETH0, &after), 0);
  assert_int_equal(before, 0);
  assert_int_equal(after, 3);
  assert_int_equal(ns_tx_packets(&net.a, 99, &after), -ENODEV);
  close(a);
  small_net_close(&net);
}

static void sockets_stay_where_they_were_opened(void **state) {
  (void)state;
  pair two;
  char name[IF_NAMESIZE];
  pair_open(&two, "192.0.2.1/24", "192.0.2.2/24");
  assert_int_equal(ns_enter(&two.left), 0);
  assert_non_null(if_indextoname(ETH0, name));
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ns_leave();
  assert_null(if_indextoname(ETH0, name));
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
  int outside = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(setsockopt(outside, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), -1);
  close(outside);
  close(fd);
  pair_close(&two);
}

static void opening_a_host_does_not_move_the_thread(void **state) {
  (void)state;
  pair two;
  ns_host third;
  ns_error error;
  char name[IF_NAMESIZE];
  pair_open(&two, "192.0.2.1/24", "192.0.2.2/24");
  assert_int_equal(ns_enter(&two.left), 0);
  assert_ok(ns_host_open(&third, "third", &error), &error);
  assert_ok(ns_nft(&third, "table ip t", &error), &error);
  assert_ok(ns_sysctl(&third, "ipv4/ip_forward", "1", &error), &error);
  assert_non_null(if_indextoname(ETH0, name)); /* still in left */
  ns_leave();
  ns_host_close(&third);
  pair_close(&two);
}

static void waits_in_vain(void **state) {
  (void)state;
  ns_host left, right;
  ns_error error;
  ns_batch batch;
  assert_ok(ns_host_open(&left, "left", &error), &error);
  assert_ok(ns_host_open(&right, "right", &error), &error);
  ns_begin(&batch, &left);
  ns_add_veth(&batch, "eth0", ETH0, NULL, &right, "eth0", ETH0, NULL);
  ns_add_up(&batch, ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  assert_int_equal(ns_link_wait(&left, ETH0, 20, &error), -ETIMEDOUT);
  contains(error.text, "left: interface 2");
  assert_int_equal(ns_link_wait(&left, 9, 20, &error), -ENODEV);
  assert_int_equal(ns_address_wait(&left, "192.0.2.1", 20, &error), -ETIMEDOUT);
  contains(error.text, "left: address 192.0.2.1");
  assert_int_equal(ns_address_wait(&left, "2001:db8::1", 20, &error), -ETIMEDOUT);
  assert_int_equal(ns_address_wait(&left, "nowhere", 20, &error), -EINVAL);
  ns_host_close(&left);
  ns_host_close(&right);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void says_which_message_was_refused(void **state) {
  (void)state;
  pair two;
  ns_error error;
  ns_batch batch;
  pair_open(&two, "192.0.2.1/24", "192.0.2.2/24");
  ns_begin(&batch, &two.left);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, "192.0.2.1/24"); /* again */
  ns_add_address(&batch, ETH0, "192.0.2.9/24"); /* tried all the same */
  assert_int_equal(ns_commit(&batch, &error), -EEXIST);
  contains(error.text, "left: address (message 2 of 3) refused: File exists");
  int fd = udp_open(&two.left, "192.0.2.9", 1);
  close(fd);
  ns_add_route(&batch, "0.0.0.0/0", "203.0.113.1", ETH0);
  assert_int_equal(ns_commit(&batch, &error), -ENETUNREACH);
  contains(error.text, "left: route (message 1 of 1)");
  contains(error.text, "gateway"); /* the kernel's own words */
  pair_close(&two);
}

static void refuses_arguments_that_make_no_sense(void **state) {
  (void)state;
  ns_host host;
  ns_error error;
  ns_batch batch;
  assert_ok(ns_host_open(&host, "h", &error), &error);
  const char *const bad[] = {
      "192.0.2/24",    "192.0.2.1/33", "192.0.2.1/",      "192.0.2.1/x", "",
      "1.2.3.4/24/24", "1.2.3.4/-1",   "2001:db8::1/129", "no address",  "/24"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ns_begin(&batch, &host);
    ns_add_address(&batch, 1, bad[i]);
    assert_int_equal(ns_commit(&batch, &error), -EINVAL);
    contains(error.text, bad[i]);
  }
  ns_begin(&batch, &host);
  ns_add_route(&batch, "10.0.0.0/8", "2001:db8::1", 1);
  assert_int_equal(ns_commit(&batch, &error), -EINVAL);
  ns_add_veth(&batch, "a-name-that-is-too-long", 5, NULL, &host, "x", 6, NULL);
  assert_int_equal(ns_commit(&batch, &error), -EINVAL);
  assert_int_equal(ns_sysctl(&host, "ipv4/no_such_thing", "1", &error), -ENOENT);
  contains(error.text, "h: cannot set net/ipv4/no_such_thing to 1");
  assert_int_equal(ns_sysctl(&host, "ipv4/ip_forward", "many", &error), -EINVAL);
  ns_host_close(&host);
}

static void a_long_batch_works_and_a_too_long_one_is_refused(void **state) {
  (void)state;
  pair two;
  ns_error error;
  ns_batch batch;
  char ip[32];
  pair_open(&two, "10.0.0.1/8", "10.0.0.2/8");
  ns_begin(&batch, &two.left);
  for (int i = 0; i < 250; i++) {
    snprintf(ip, sizeof ip, "10.1.0.%d", i);
    ns_add_neighbour(&batch, ip, MAC_B, ETH0);
  }
  assert_ok(ns_commit(&batch, &error), &error);
  for (int i = 0; i < 500; i++) /* the most messages that fit are the shortest ones */
    ns_add_up(&batch, ETH0);
  assert_ok(ns_commit(&batch, &error), &error);
  for (int i = 0; i < 500; i++)
    ns_add_neighbour(&batch, "10.2.0.1", MAC_B, ETH0);
  assert_int_equal(ns_commit(&batch, &error), -EMSGSIZE);
  contains(error.text, "left: more netlink messages than fit");
  assert_ok(ns_commit(&batch, &error), &error); /* empty again */
  pair_close(&two);
}

static void says_why_rules_are_refused(void **state) {
  (void)state;
  ns_host host;
  ns_error error;
  assert_ok(ns_host_open(&host, "h", &error), &error);
  assert_int_equal(ns_nft(&host, "table ip t {\n  chain c {\n    ip nonsense\n  }\n}\n", &error),
                   -EINVAL);
  contains(error.text, "h: nftables rules refused:");
  contains(error.text, "nonsense");
  assert_null(strchr(error.text, '\n'));
  assert_int_equal(ns_nft(&host, "delete table ip absent", &error), -EINVAL);
  contains(error.text, "No such file");
  ns_host_close(&host);
}

static int load_rules_without_nftables(void *arg) {
  ns_error error;
  forbid_nftables();
  int result = ns_nft(arg, "table ip t", &error);
  print_message("  %s\n", error.text);
  return result == -EOPNOTSUPP && strstr(error.text, "the kernel has no nftables") ? 0 : 1;
}

static void says_that_the_kernel_has_no_nftables(void **state) {
  (void)state;
  ns_host host;
  ns_error error;
  assert_ok(ns_host_open(&host, "h", &error), &error);
  assert_int_equal(status_of_child(load_rules_without_nftables, &host), 0);
  ns_host_close(&host);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void many_hosts_leave_low_descriptors_free(void **state) {
  (void)state;
  enum { HOSTS = 40 };
  ns_host *hosts = calloc(HOSTS, sizeof *hosts);
  ns_error error;
  int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(before);
  for (int i = 0; i < HOSTS; i++)
    assert_ok(ns_host_open(&hosts[i], "h", &error), &error);
  int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(after);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max > 2000)
    assert_int_equal(before, after);
  assert_ok(ns_nft(&hosts[HOSTS - 1], "table ip t", &error), &error);
  for (int i = 0; i < HOSTS; i++)
    ns_host_close(&hosts[i]);
  free(hosts);
}

static int load_rules_with_all_low_descriptors_taken(void *arg) {
  ns_error error;
  while (open("/dev/null", O_RDONLY | O_CLOEXEC) < 1024)
    continue;
  return ns_nft(arg, "table ip t", &error) == -EMFILE && strstr(error.text, "too many") ? 0 : 1;
}

static void too_many_open_files_are_said(void **state) {
  (void)state;
  ns_host host;
  ns_error error;
  assert_ok(ns_host_open(&host, "h", &error), &error);
  assert_int_equal(status_of_child(load_rules_with_all_low_descriptors_taken, &host), 0);
  ns_host_close(&host);
}

static void closing_is_safe_at_any_time(void **state) {
  (void)state;
  ns_host host = {0};
  ns_error error;
  ns_host_close(&host);
  assert_ok(ns_host_open(&host, "h", &error), &error);
  ns_host_close(&host);
  ns_host_close(&host);
  assert_true(fcntl(0, F_GETFD) >= 0); /* 0 was not taken for one of the host's */
}

static int group(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_link_carries_ipv4),
      cmocka_unit_test(a_link_carries_ipv6),
      cmocka_unit_test(loopback_is_up),
      cmocka_unit_test(a_router_forwards_until_rules_forbid_it),
      cmocka_unit_test(an_on_link_route_needs_no_gateway),
      cmocka_unit_test(counts_packets_sent_and_nothing_else),
      cmocka_unit_test(sockets_stay_where_they_were_opened),
      cmocka_unit_test(opening_a_host_does_not_move_the_thread),
      cmocka_unit_test(waits_in_vain),
      cmocka_unit_test(says_which_message_was_refused),
      cmocka_unit_test(refuses_arguments_that_make_no_sense),
      cmocka_unit_test(a_long_batch_works_and_a_too_long_one_is_refused),
      cmocka_unit_test(says_why_rules_are_refused),
      cmocka_unit_test(says_that_the_kernel_has_no_nftables),
      cmocka_unit_test(many_hosts_leave_low_descriptors_free),
      cmocka_unit_test(too_many_open_files_are_said),
      cmocka_unit_test(closing_is_safe_at_any_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return run_in_sandbox(group);
}
