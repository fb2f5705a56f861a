/* Captures, read back from the pcap file they write. */
#include "support.h"

#include "netns/pcap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* IPv4 and UDP headers without options. */
enum { IP_BYTES = 20, UDP_BYTES = 8 };

typedef struct file {
  uint8_t *bytes;
  size_t len;
  size_t at;
} file;

typedef struct record {
  uint64_t time_ns;
  uint32_t len, full_len;
  uint16_t protocol;
  uint32_t ifindex;
  uint8_t kind;
  const uint8_t *bytes;
} record;

static uint32_t read32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static file read_all(FILE *in) {
  assert_int_equal(fseek(in, 0, SEEK_END), 0);
  file f = {.len = (size_t)ftell(in)};
  rewind(in);
  f.bytes = malloc(f.len + 1);
  assert_non_null(f.bytes);
  assert_int_equal(fread(f.bytes, 1, f.len, in), f.len);
  assert_true(f.len >= NS_PCAP_HEADER);
  assert_int_equal(read32(f.bytes), 0xa1b23c4d);
  assert_int_equal(read32(f.bytes + 4), 2 | 4 << 16);
  assert_int_equal(read32(f.bytes + 20), 276);
  f.at = NS_PCAP_HEADER;
  return f;
}

static bool next(file *f, record *out) {
  *out = (record){.len = 0};
  if (f->at == f->len)
    return false;
  assert_true(f->len - f->at >= NS_PCAP_RECORD + NS_PCAP_SLL2);
  const uint8_t *at = f->bytes + f->at, *sll = at + NS_PCAP_RECORD;
  *out = (record){.time_ns = read32(at) * UINT64_C(1000000000) + read32(at + 4),
                  .len = read32(at + 8) - NS_PCAP_SLL2,
                  .full_len = read32(at + 12) - NS_PCAP_SLL2,
                  .protocol = (uint16_t)(sll[0] << 8 | sll[1]),
                  .ifindex = ntohl(read32(sll + 4)),
                  .kind = sll[10],
                  .bytes = sll + NS_PCAP_SLL2};
  f->at += NS_PCAP_RECORD + NS_PCAP_SLL2 + out->len;
  assert_true(f->at <= f->len);
  return true;
}

/* How many records carry this text as UDP payload and passed in this direction. */
static unsigned count(FILE *in, const char *text, uint8_t kind) {
  file f = read_all(in);
  record r;
  unsigned found = 0;
  while (next(&f, &r))
    found += r.protocol == ETH_P_IP && r.kind == kind &&
             r.len == IP_BYTES + UDP_BYTES + strlen(text) &&
             !memcmp(r.bytes + IP_BYTES + UDP_BYTES, text, strlen(text));
  free(f.bytes);
  return found;
}

/* a and b of the small net, joined by a switch; sockets of both. */
typedef struct bench {
  small_net net;
  ns_switch *sw;
  int a, b;
  FILE *out;
} bench;

static void bench_open(bench *t) {
  ns_error error;
  small_net_open(&t->net);
  assert_ok(ns_switch_open(&t->sw, &t->net.w, 1, &error), &error);
  assert_true(ns_switch_add_port(t->sw, W_TO_A, &error) >= 0);
  assert_true(ns_switch_add_port(t->sw, W_TO_B, &error) >= 0);
  t->a = udp_open(&t->net.a, "192.0.2.1", 5000);
  t->b = udp_open(&t->net.b, "192.0.2.2", 5000);
  t->out = tmpfile();
  assert_non_null(t->out);
}

static void bench_close(bench *t) {
  close(t->a);
  close(t->b);
  fclose(t->out);
  ns_switch_close(t->sw);
  small_net_close(&t->net);
}

static void say(const bench *t, const char *text) {
  char got[4096];
  udp_send(t->a, "192.0.2.2", 5000, text, strlen(text));
  assert_int_equal(recv(t->b, got, sizeof got, 0), strlen(text));
  assert_memory_equal(got, text, strlen(text));
}

static void a_capture_holds_what_was_sent_and_received(void **state) {
  (void)state;
  bench t;
  bench_open(&t);
  ns_error error;
  ns_capture *sender, *receiver;
  struct timespec before, after;
  assert_ok(ns_capture_open(&sender, &t.net.a, false, &error), &error);
  assert_ok(ns_capture_open(&receiver, &t.net.b, false, &error), &error);
  clock_gettime(CLOCK_REALTIME, &before);
  say(&t, "one");
  say(&t, "two");
  clock_gettime(CLOCK_REALTIME, &after);
  ns_capture_stop(receiver);
  say(&t, "too late");
  assert_true(ns_capture_write(receiver, t.out) >= 2);
  assert_int_equal(count(t.out, "one", PACKET_HOST), 1);
  assert_int_equal(count(t.out, "two", PACKET_HOST), 1);
  assert_int_equal(count(t.out, "too late", PACKET_HOST), 0);
  file f = read_all(t.out);
  record r;
  assert_true(next(&f, &r));
  assert_int_equal(r.ifindex, ETH0);
  assert_true(r.time_ns >= (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec);
  assert_true(r.time_ns <= (uint64_t)after.tv_sec * 1000000000 + (uint64_t)after.tv_nsec);
  free(f.bytes);
  FILE *other = tmpfile();
  ns_capture_stop(sender);
  assert_true(ns_capture_write(sender, other) >= 3);
  assert_int_equal(count(other, "too late", PACKET_OUTGOING), 1);
  fclose(other);
  ns_capture_close(sender);
  ns_capture_close(receiver);
  bench_close(&t);
}

/* Over a link and within the host. */
static void datagrams_of_one_piece_are_captured_one_by_one(void **state) {
  (void)state;
  bench t;
  bench_open(&t);
  ns_error error;
  ns_capture *sender, *receiver;
  assert_ok(ns_cut_datagrams(&t.net.a, "eth0", &error), &error);
  assert_ok(ns_cut_datagrams(&t.net.a, "lo", &error), &error);
  int near = udp_open(&t.net.a, "127.0.0.1", 5001);
  assert_ok(ns_capture_open(&sender, &t.net.a, false, &error), &error);
  assert_ok(ns_capture_open(&receiver, &t.net.b, false, &error), &error);
  udp_send_piece(t.a, "192.0.2.2", 5000, "farfarfar", 9, 3);
  udp_send_piece(near, "127.0.0.1", 5001, "nearnearnear", 12, 4);
  char got[16];
  for (int i = 0; i < 3; i++) {
    assert_int_equal(recv(t.b, got, sizeof got, 0), 3);
    assert_int_equal(recv(near, got, sizeof got, 0), 4);
  }
  ns_capture_stop(sender);
  ns_capture_stop(receiver);
  FILE *other = tmpfile();
  assert_true(ns_capture_write(sender, t.out) > 0);
  assert_true(ns_capture_write(receiver, other) > 0);
  assert_int_equal(count(t.out, "far", PACKET_OUTGOING), 3);
  assert_int_equal(count(other, "far", PACKET_HOST), 3);
  assert_int_equal(count(t.out, "near", PACKET_HOST), 3);
  ns_capture_close(sender);
  ns_capture_close(receiver);
  fclose(other);
  close(near);
  bench_close(&t);
}

static void packets_are_cut_and_their_length_is_told(void **state) {
  (void)state;
  small_net net;
  ns_error error;
  ns_capture *capture;
  static char big[8000];
  small_net_open(&net);
  FILE *out = tmpfile();
  int one = udp_open(&net.a, "127.0.0.1", 6000), other = udp_open(&net.a, "127.0.0.1", 6001);
  assert_ok(ns_capture_open(&capture, &net.a, false, &error), &error);
  udp_send(one, "127.0.0.1", 6001, big, sizeof big);
  assert_int_equal(recv(other, big, sizeof big, 0), sizeof big);
  ns_capture_stop(capture);
  assert_int_equal(ns_capture_write(capture, out), 1); /* once, though loopback has it twice */
  file f = read_all(out);
  record r;
  assert_true(next(&f, &r));
  assert_int_equal(r.len, NS_CAPTURE_SNAP);
  assert_int_equal(r.full_len, IP_BYTES + UDP_BYTES + sizeof big);
  assert_false(next(&f, &r));
  free(f.bytes);
  fclose(out);
  ns_capture_close(capture);
  close(one);
  close(other);
  small_net_close(&net);
}

static void a_full_ring_keeps_the_first_packets(void **state) {
  (void)state;
  enum { SENT = 4000, SIZE = 1000 };
  small_net net;
  ns_error error;
  ns_capture *capture;
  char bytes[SIZE] = {0}, got[SIZE];
  small_net_open(&net);
  FILE *out = tmpfile();
  int one = udp_open(&net.a, "127.0.0.1", 6000), other = udp_open(&net.a, "127.0.0.1", 6001);
  assert_ok(ns_capture_open(&capture, &net.a, false, &error), &error);
  for (uint32_t i = 0; i < SENT; i++) {
    memcpy(bytes, &i, sizeof i);
    udp_send(one, "127.0.0.1", 6001, bytes, sizeof bytes);
    assert_int_equal(recv(other, got, sizeof got, 0), SIZE);
  }
  ns_capture_stop(capture);
  long written = ns_capture_write(capture, out);
  assert_in_range(written, 500, SENT - 1);
  file f = read_all(out);
  record r;
  for (uint32_t i = 0; i < (uint32_t)written; i++) {
    assert_true(next(&f, &r));
    assert_int_equal(read32(r.bytes + IP_BYTES + UDP_BYTES), i);
  }
  assert_false(next(&f, &r));
  free(f.bytes);
  fclose(out);
  ns_capture_close(capture);
  close(one);
  close(other);
  small_net_close(&net);
}

static void a_live_capture_is_written_as_it_runs(void **state) {
  (void)state;
  enum { ROUNDS = 40, SIZE = 1400, A_ROUND = 100 }; /* several times the ring in all */
  small_net net;
  ns_error error;
  ns_capture *capture;
  char bytes[SIZE] = {0}, got[SIZE];
  small_net_open(&net);
  FILE *out = tmpfile();
  int one = udp_open(&net.a, "127.0.0.1", 6000), other = udp_open(&net.a, "127.0.0.1", 6001);
  assert_ok(ns_capture_open(&capture, &net.a, true, &error), &error);
  long written = 0;
  for (uint32_t i = 0; i < ROUNDS * A_ROUND; i++) {
    memcpy(bytes, &i, sizeof i);
    udp_send(one, "127.0.0.1", 6001, bytes, sizeof bytes);
    assert_int_equal(recv(other, got, sizeof got, 0), SIZE);
    if (i % A_ROUND == A_ROUND - 1)
      written += ns_capture_write(capture, out);
  }
  struct pollfd wait = {.fd = ns_capture_fd(capture), .events = POLLIN};
  while (written < ROUNDS * A_ROUND) {
    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    long more = ns_capture_write(capture, out);
    assert_true(more >= 0);
    written += more;
  }
  file f = read_all(out);
  record r;
  for (uint32_t i = 0; i < ROUNDS * A_ROUND; i++) {
    assert_true(next(&f, &r));
    assert_int_equal(read32(r.bytes + IP_BYTES + UDP_BYTES), i);
  }
  free(f.bytes);
  fclose(out);
  ns_capture_close(capture);
  close(one);
  close(other);
  small_net_close(&net);
}

static int in_sandbox(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_capture_holds_what_was_sent_and_received),
      cmocka_unit_test(datagrams_of_one_piece_are_captured_one_by_one),
      cmocka_unit_test(packets_are_cut_and_their_length_is_told),
      cmocka_unit_test(a_full_ring_keeps_the_first_packets),
      cmocka_unit_test(a_live_capture_is_written_as_it_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return run_in_sandbox(in_sandbox);
}
