/*
 * The switch with real interfaces. Delays are printed, and asserted only as far as a busy machine
 * cannot break: never early, and not late by a multiple.
 */
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char IP_A[] = "192.0.2.1", IP_B[] = "192.0.2.2";
enum { PORT = 7000 };

/* The small network with a switch in w and one UDP socket at each end. */
typedef struct bench {
  small_net net;
  ns_switch *sw;
  int to_a, to_b; /* ports of the switch */
  int a, b;       /* sockets */
} bench;

static void bench_open(bench *on, uint64_t seed) {
  ns_error error;
  small_net_open(&on->net);
  assert_ok(ns_switch_open(&on->sw, &on->net.w, seed, &error), &error);
  assert_ok(on->to_a = ns_switch_add_port(on->sw, W_TO_A, &error), &error);
  assert_ok(on->to_b = ns_switch_add_port(on->sw, W_TO_B, &error), &error);
  on->a = udp_open(&on->net.a, IP_A, PORT);
  on->b = udp_open(&on->net.b, IP_B, PORT);
}

static void bench_close(bench *on) {
  ns_switch_close(on->sw);
  close(on->a);
  close(on->b);
  small_net_close(&on->net);
}

static void impair_both(bench *on, ns_impairment what) {
  ns_switch_impair(on->sw, on->to_a, on->to_b, &what);
  ns_switch_impair(on->sw, on->to_b, on->to_a, &what);
}

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return a < b ? -1 : a > b;
}

/* ---- delay ----------------------------------------------------------------------------------- */

enum { PINGS = 60 };

/* One way times of packets, as the receiver sees them in the same process. */
static void measure(bench *on, double sorted_ms[PINGS]) {
  for (int i = 0; i < PINGS; i++) {
    double sent_ms = now_ms(), carried_ms;
    udp_send(on->a, IP_B, PORT, &sent_ms, sizeof sent_ms);
    assert_int_equal(recv(on->b, &carried_ms, sizeof carried_ms, 0), sizeof carried_ms);
    sorted_ms[i] = now_ms() - carried_ms;
  }
  qsort(sorted_ms, PINGS, sizeof *sorted_ms, compare);
}

static void keeps_packets_as_long_as_asked(void **state) {
  (void)state;
  static const double asked_ms[] = {0, 5, 20};
  bench on;
  bench_open(&on, 1);
  for (size_t i = 0; i < sizeof asked_ms / sizeof *asked_ms; i++) {
    double took_ms[PINGS];
    impair_both(&on, (ns_impairment){.delay_ms = asked_ms[i]});
    measure(&on, took_ms);
    print_message("  asked %4.1f ms one way: median %.3f (%+.3f), least %.3f, most %.3f\n",
                  asked_ms[i], took_ms[PINGS / 2], took_ms[PINGS / 2] - asked_ms[i], took_ms[0],
                  took_ms[PINGS - 1]);
    assert_true(took_ms[0] > asked_ms[i] - 1);
    assert_true(took_ms[0] < asked_ms[i] + 20); /* the one that a busy machine held up least */
  }
  bench_close(&on);
}

/* ---- fates ----------------------------------------------------------------------------------- */

/* Few enough for a socket's receive queue on any machine, also when all come twice. */
enum { NUMBERS = 100 };

/* Sends numbered packets from a to b and notes which of them arrived, and how often. A last packet
 * without impairment says that nothing more will come. */
static void count_arrivals(bench *on, ns_impairment what, uint8_t times[NUMBERS]) {
  ns_switch_counters before, seen;
  memset(times, 0, NUMBERS);
  ns_switch_impair(on->sw, on->to_a, on->to_b, &what);
  ns_switch_counters_get(on->sw, &before); /* there may have been other packets */
  for (int i = 0; i < NUMBERS; i++)
    udp_send(on->a, IP_B, PORT, &i, sizeof i);
  do { /* all of them must be decided before the impairment ends */
    usleep(1000);
    ns_switch_counters_get(on->sw, &seen);
  } while (seen.received < before.received + NUMBERS);
  ns_switch_impair(on->sw, on->to_a, on->to_b, &(ns_impairment){.delay_ms = 50});
  int number = NUMBERS;
  udp_send(on->a, IP_B, PORT, &number, sizeof number);
  for (;;) {
    assert_int_equal(recv(on->b, &number, sizeof number, 0), sizeof number);
    if (number == NUMBERS)
      return;
    times[number]++;
  }
}

static int sum(const uint8_t times[NUMBERS]) {
  int total = 0;
  for (int i = 0; i < NUMBERS; i++)
    total += times[i];
  return total;
}

static void loses_the_same_packets_for_the_same_seed(void **state) {
  (void)state;
  const ns_impairment lossy = {.loss = 0.3};
  uint8_t times[3][NUMBERS], back[16];
  for (int run = 0; run < 3; run++) {
    bench on;
    bench_open(&on, run == 2 ? 8 : 7);
    if (run == 1) /* traffic the other way must not change anything */
      for (int i = 0; i < 20; i++)
        udp_send(on.b, IP_A, PORT, back, sizeof back);
    if (run == 1)
      for (int i = 0; i < 20; i++)
        assert_int_equal(recv(on.a, back, sizeof back, 0), sizeof back);
    count_arrivals(&on, lossy, times[run]);
    bench_close(&on);
  }
  assert_true(sum(times[0]) > NUMBERS * 55 / 100 && sum(times[0]) < NUMBERS * 85 / 100);
  assert_memory_equal(times[0], times[1], NUMBERS);
  assert_memory_not_equal(times[0], times[2], NUMBERS);
}

static void a_new_seed_starts_again(void **state) {
  (void)state;
  const ns_impairment lossy = {.loss = 0.5};
  uint8_t first[NUMBERS], second[NUMBERS];
  bench on;
  bench_open(&on, 1);
  ns_switch_seed(on.sw, 5);
  count_arrivals(&on, lossy, first);
  bench_close(&on);
  bench_open(&on, 5);
  count_arrivals(&on, lossy, second);
  bench_close(&on);
  assert_memory_equal(first, second, NUMBERS);
}

static void counts_what_it_does(void **state) {
  (void)state;
  bench on;
  uint8_t times[NUMBERS];
  ns_switch_counters seen;
  bench_open(&on, 3);
  count_arrivals(&on, (ns_impairment){.loss = 1}, times);
  assert_int_equal(sum(times), 0);
  ns_switch_counters_get(on.sw, &seen);
  assert_int_equal(seen.received, NUMBERS + 1);
  assert_int_equal(seen.lost, NUMBERS);
  assert_int_equal(seen.forwarded, 1);
  assert_int_equal(seen.overflowed, 0);
  bench_close(&on);
}

static void doubles(void **state) {
  (void)state;
  bench on;
  uint8_t times[NUMBERS];
  bench_open(&on, 3);
  count_arrivals(&on, (ns_impairment){.duplicate = 1}, times);
  for (int i = 0; i < NUMBERS; i++)
    assert_int_equal(times[i], 2);
  bench_close(&on);
}

/* One that is told to wait is overtaken by one that is not. */
static void lets_reordered_packets_go_ahead(void **state) {
  (void)state;
  bench on;
  char got;
  bench_open(&on, 3);
  impair_both(&on, (ns_impairment){.delay_ms = 3000});
  udp_send(on.a, IP_B, PORT, "1", 1);
  ns_switch_counters seen;
  do
    ns_switch_counters_get(on.sw, &seen);
  while (seen.received < 1);
  impair_both(&on, (ns_impairment){.delay_ms = 3000, .reorder = 1});
  udp_send(on.a, IP_B, PORT, "2", 1);
  assert_int_equal(recv(on.b, &got, 1, 0), 1);
  assert_int_equal(got, '2');
  assert_int_equal(recv(on.b, &got, 1, 0), 1);
  assert_int_equal(got, '1');
  bench_close(&on);
}

/* 50 packets of 1042 bytes at 4 Mbit/s take 104 ms. */
static void limits_the_rate(void **state) {
  (void)state;
  bench on;
  char packet[1000] = {0};
  bench_open(&on, 3);
  impair_both(&on, (ns_impairment){.rate_mbit = 4});
  double start_ms = now_ms();
  for (int i = 0; i < 50; i++)
    udp_send(on.a, IP_B, PORT, packet, sizeof packet);
  for (int i = 0; i < 50; i++)
    assert_int_equal(recv(on.b, packet, sizeof packet, 0), sizeof packet);
  double took_ms = now_ms() - start_ms;
  print_message("  416.8 kbit at 4 Mbit/s took %.1f ms\n", took_ms);
  assert_true(took_ms > 100);
  bench_close(&on);
}

static void drops_the_newest_when_the_queue_is_full(void **state) {
  (void)state;
  bench on;
  ns_switch_counters seen;
  bench_open(&on, 3);
  impair_both(&on, (ns_impairment){.delay_ms = 60000});
  for (int i = 0; i < NS_SWITCH_QUEUE + 1000; i++) {
    udp_send(on.a, IP_B, PORT, "x", 1);
    if (i % 500 == 0) /* let the thread follow: the socket's own queue is not what is tested */
      do
        ns_switch_counters_get(on.sw, &seen);
      while (seen.received < (uint64_t)i);
  }
  do
    ns_switch_counters_get(on.sw, &seen);
  while (seen.received < NS_SWITCH_QUEUE + 1000);
  assert_int_equal(seen.overflowed, 1000);
  assert_int_equal(seen.forwarded, 0);
  bench_close(&on);
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* A third host, on port `index` of w. */
static void add_third(bench *on, ns_host *third, int index) {
  ns_error error;
  ns_batch batch;
  assert_ok(ns_host_open(third, "c", &error), &error);
  ns_begin(&batch, &on->net.w);
  ns_add_veth(&batch, "to-c", index, NULL, third, "eth0", ETH0, NULL);
  ns_add_up(&batch, index);
  assert_ok(ns_commit(&batch, &error), &error);
  ns_begin(&batch, third);
  ns_add_up(&batch, ETH0);
  ns_add_address(&batch, ETH0, "192.0.2.3/24");
  assert_ok(ns_commit(&batch, &error), &error);
  assert_ok(ns_link_wait(&on->net.w, index, WAIT_MS, &error), &error);
}

/* ARP to the third host works (broadcast reaches it), and once it has spoken, what is for it and
 * what is between the others goes to one port only. */
static void floods_what_it_does_not_know_and_learns(void **state) {
  (void)state;
  bench on;
  ns_host third;
  ns_error error;
  ns_switch_counters before, after;
  char got[8];
  bench_open(&on, 1);
  add_third(&on, &third, 12);
  assert_ok(ns_switch_add_port(on.sw, 12, &error), &error);
  int c = udp_open(&third, "192.0.2.3", PORT);
  udp_send(on.a, "192.0.2.3", PORT, "hello", 5); /* ARP first */
  assert_int_equal(recv(c, got, sizeof got, 0), 5);
  udp_send(on.a, IP_B, PORT, "x", 1); /* b has not spoken yet: flooded */
  assert_int_equal(recv(on.b, got, sizeof got, 0), 1);
  udp_send(on.b, IP_A, PORT, "x", 1);
  assert_int_equal(recv(on.a, got, sizeof got, 0), 1);
  usleep(20000);
  ns_switch_counters_get(on.sw, &before);
  for (int i = 0; i < 10; i++) {
    udp_send(on.a, IP_B, PORT, "x", 1);
    assert_int_equal(recv(on.b, got, sizeof got, 0), 1);
  }
  ns_switch_counters_get(on.sw, &after);
  assert_int_equal(after.forwarded - before.forwarded, 10);
  close(c);
  bench_close(&on);
  ns_host_close(&third);
}

static void a_removed_port_gets_nothing_that_waited_for_it(void **state) {
  (void)state;
  bench on;
  ns_error error;
  ns_switch_counters seen;
  char got[8];
  const struct timeval patience = {.tv_usec = 150000}, usual = {.tv_sec = WAIT_MS / 1000};
  bench_open(&on, 1);
  impair_both(&on, (ns_impairment){.delay_ms = 3000});
  udp_send(on.a, IP_B, PORT, "old", 3);
  udp_send(on.b, IP_A, PORT, "sent", 4); /* from the removed port: still delivered */
  do
    ns_switch_counters_get(on.sw, &seen);
  while (seen.received < 2);
  /* Of the same direction, for packets to come: nobody waits so long here. */
  ns_switch_impair(on.sw, on.to_a, on.to_b, &(ns_impairment){.delay_ms = 10 * WAIT_MS});
  ns_switch_remove_port(on.sw, on.to_b);
  assert_int_equal(ns_switch_add_port(on.sw, W_TO_B, &error), on.to_b);
  assert_int_equal(recv(on.a, got, sizeof got, 0), 4);
  setsockopt(on.b, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  assert_int_equal(recv(on.b, got, sizeof got, 0), -1);
  setsockopt(on.b, SOL_SOCKET, SO_RCVTIMEO, &usual, sizeof usual);
  udp_send(on.a, IP_B, PORT, "new", 3); /* the new port has no impairment */
  assert_int_equal(recv(on.b, got, sizeof got, 0), 3);
  assert_memory_equal(got, "new", 3);
  ns_switch_remove_port(on.sw, on.to_b);
  ns_switch_remove_port(on.sw, on.to_b); /* again: nothing */
  ns_switch_remove_port(on.sw, -1);
  ns_switch_remove_port(on.sw, NS_SWITCH_PORTS);
  bench_close(&on);
}

static void a_port_whose_interface_vanishes_does_no_harm(void **state) {
  (void)state;
  bench on;
  ns_host third;
  ns_error error;
  char got;
  bench_open(&on, 1);
  add_third(&on, &third, 12);
  assert_ok(ns_switch_add_port(on.sw, 12, &error), &error);
  ns_host_close(&third); /* takes its veth with it */
  for (int tries = 0; tries < 200; tries++) {
    uint64_t sent;
    if (ns_tx_packets(&on.net.w, 12, &sent) == -ENODEV)
      break;
    usleep(10000);
  }
  udp_send(on.a, IP_B, PORT, "x", 1); /* flooded to the dead port too */
  assert_int_equal(recv(on.b, &got, 1, 0), 1);
  bench_close(&on);
}

static void refuses_ports_that_cannot_be(void **state) {
  (void)state;
  bench on;
  ns_error error;
  bench_open(&on, 1);
  assert_int_equal(ns_switch_add_port(on.sw, 99, &error), -ENODEV);
  assert_non_null(strstr(error.text, "w: interface 99"));
  for (int i = 2; i < NS_SWITCH_PORTS; i++)
    assert_int_equal(ns_switch_add_port(on.sw, W_TO_A, &error), i);
  assert_int_equal(ns_switch_add_port(on.sw, W_TO_A, &error), -ENOSPC);
  ns_switch_impair(on.sw, -1, 0, &(ns_impairment){0}); /* out of range: nothing */
  ns_switch_impair(on.sw, 0, NS_SWITCH_PORTS, &(ns_impairment){0});
  bench_close(&on);
  ns_switch_close(NULL);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

enum { STREAM = 16 * 1024 * 1024 };

static void *send_stream(void *arg) {
  int fd = *(int *)arg;
  uint32_t *block = malloc(65536);
  for (uint32_t sent = 0; sent < STREAM; sent += 65536) {
    for (uint32_t i = 0; i < 65536 / 4; i++)
      block[i] = (sent + i * 4) * 2654435761u;
    for (size_t at = 0; at < 65536;) {
      ssize_t n = send(fd, (char *)block + at, 65536 - at, 0);
      if (n <= 0)
        break;
      at += (size_t)n;
    }
  }
  free(block);
  shutdown(fd, SHUT_WR);
  return NULL;
}

static int tcp_socket(const ns_host *host, const char *ip) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  inet_pton(AF_INET, ip, &address.sin_addr);
  assert_int_equal(ns_enter(host), 0);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ns_leave();
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  return fd;
}

/* Uncut segments and unfinished checksums pass: 16 MiB arrive as they were sent. */
static void carries_tcp_in_large_frames(void **state) {
  (void)state;
  bench on;
  bench_open(&on, 1);
  impair_both(&on, (ns_impairment){.delay_ms = 1});
  int from = tcp_socket(&on.net.a, IP_A), listener = tcp_socket(&on.net.b, IP_B);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  inet_pton(AF_INET, IP_B, &to.sin_addr);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(connect(from, (struct sockaddr *)&to, sizeof to), 0);
  int into = accept(listener, NULL, NULL);
  assert_true(into >= 0);
  pthread_t sender;
  double start_ms = now_ms();
  assert_int_equal(pthread_create(&sender, NULL, send_stream, &from), 0);
  uint8_t *all = malloc(STREAM);
  size_t got = 0;
  for (ssize_t n; got < STREAM && (n = recv(into, all + got, STREAM - got, 0)) > 0;)
    got += (size_t)n;
  pthread_join(sender, NULL);
  assert_int_equal(got, STREAM);
  double took_ms = now_ms() - start_ms;
  for (uint32_t at = 0; at < STREAM; at += 4) {
    uint32_t word, expected = at * 2654435761u;
    memcpy(&word, all + at, 4);
    if (word != expected)
      fail_msg("byte %u differs", at);
  }
  ns_switch_counters seen;
  ns_switch_counters_get(on.sw, &seen);
  print_message("  %.2f Gbit/s at 1 ms one way, %.0f bytes a frame\n", STREAM * 8 / took_ms / 1e6,
                (double)STREAM / (double)seen.received);
  free(all);
  close(into);
  close(listener);
  close(from);
  bench_close(&on);
}

static void keeps_datagrams_of_one_piece_apart(void **state) {
  (void)state;
  bench on;
  bench_open(&on, 1);
  ns_error error;
  assert_ok(ns_cut_datagrams(&on.net.a, "eth0", &error), &error);
  static const uint8_t three[250];
  static const ssize_t lens[] = {100, 100, 50};
  udp_send_piece(on.a, IP_B, PORT, three, sizeof three, 100);
  for (int i = 0; i < 3; i++) {
    uint8_t got[200];
    assert_int_equal(recv(on.b, got, sizeof got, 0), lens[i]);
  }
  ns_switch_counters seen;
  ns_switch_counters_get(on.sw, &seen);
  assert_int_equal(seen.received, 3);
  assert_true(ns_cut_datagrams(&on.net.a, "nothing", &error) < 0);
  bench_close(&on);
}

static int group(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keeps_packets_as_long_as_asked),
      cmocka_unit_test(loses_the_same_packets_for_the_same_seed),
      cmocka_unit_test(a_new_seed_starts_again),
      cmocka_unit_test(counts_what_it_does),
      cmocka_unit_test(doubles),
      cmocka_unit_test(lets_reordered_packets_go_ahead),
      cmocka_unit_test(limits_the_rate),
      cmocka_unit_test(drops_the_newest_when_the_queue_is_full),
      cmocka_unit_test(floods_what_it_does_not_know_and_learns),
      cmocka_unit_test(a_removed_port_gets_nothing_that_waited_for_it),
      cmocka_unit_test(a_port_whose_interface_vanishes_does_no_harm),
      cmocka_unit_test(refuses_ports_that_cannot_be),
      cmocka_unit_test(carries_tcp_in_large_frames),
      cmocka_unit_test(keeps_datagrams_of_one_piece_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return run_in_sandbox(group);
}
