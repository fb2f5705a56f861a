#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct peer {
  world *w;
  wg_udp *udp;
  warp_addr local;
  size_t count; /* datagrams that came */
  size_t want;
  bool done; /* count == want */
  uint8_t last[WG_UDP_MAX];
  size_t last_len;
  warp_addr from;
  bool echo;
  struct peer *closes; /* whom to close in the callback */
  size_t closes_at;    /* number of the datagram, from 1 on */
} peer;

static void close_peer(peer *p) {
  p->w->ops->udp_close(p->udp);
  p->udp = NULL;
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  peer *p = arg;
  assert_non_null(p->udp); /* nothing after closing */
  memcpy(p->last, data, len);
  p->last_len = len;
  p->from = *from;
  p->count++;
  p->done = p->count == p->want;
  if (p->echo) {
    assert_int_equal(p->w->ops->udp_send(p->udp, from, data, len), WARP_OK);
  }
  if (p->closes != NULL && p->count >= p->closes_at) {
    close_peer(p->closes);
  }
}

static void open_peer(world *w, peer *p, int family, unsigned flags) {
  *p = (peer){.w = w, .want = 1};
  warp_addr local = wg_addr_loopback(family, 0);
  assert_int_equal(w->ops->udp_open(w->env, &local, flags, on_datagram, p, &p->udp), WARP_OK);
  w->ops->udp_local(p->udp, &p->local);
  assert_int_not_equal(p->local.port, 0);
  assert_true(wg_addr_same_ip(&p->local, &local));
}

static void echo_over(world *w, int family) {
  peer a, b;
  open_peer(w, &a, family, WG_SOCK_V6ONLY);
  open_peer(w, &b, family, WG_SOCK_V6ONLY);
  b.echo = true;
  assert_int_equal(w->ops->udp_send(a.udp, &b.local, "hello", 5), WARP_OK);
  assert_false(b.done); /* callbacks come from the loop only */
  run_until(w, &a.done);
  assert_int_equal(a.last_len, 5);
  assert_memory_equal(a.last, "hello", 5);
  assert_true(wg_addr_equal(&a.from, &b.local));
  assert_true(wg_addr_equal(&b.from, &a.local));
  close_peer(&a);
  close_peer(&b);
}

static void test_echo_over_ipv4(void **state) {
  echo_over(*state, WARP_IP4);
}

static void test_echo_over_ipv6(void **state) {
  skip_without_ipv6(*state);
  echo_over(*state, WARP_IP6);
}

/* A socket of both families tells IPv4 peers as IPv4 and takes such addresses. */
static void test_dual_stack_shows_plain_ipv4(void **state) {
  skip_without_ipv6(*state);
  world *w = *state;
  peer a, both = {.w = w, .want = 1, .echo = true};
  open_peer(w, &a, WARP_IP4, 0);
  warp_addr any = wg_addr_any(WARP_IP6, 0);
  assert_int_equal(w->ops->udp_open(w->env, &any, 0, on_datagram, &both, &both.udp), WARP_OK);
  w->ops->udp_local(both.udp, &both.local);
  warp_addr to = wg_addr_loopback(WARP_IP4, both.local.port);
  assert_int_equal(w->ops->udp_send(a.udp, &to, "4", 1), WARP_OK);
  run_until(w, &a.done);
  assert_true(wg_addr_equal(&both.from, &a.local));
  assert_true(wg_addr_equal(&a.from, &to));
  close_peer(&a);
  close_peer(&both);
}

static void test_empty_and_largest_datagrams(void **state) {
  world *w = *state;
  peer a, b;
  open_peer(w, &a, WARP_IP4, 0);
  open_peer(w, &b, WARP_IP4, 0);
  uint8_t big[WG_UDP_MAX + 1];
  memset(big, 'x', sizeof big);
  assert_int_equal(w->ops->udp_send(a.udp, &b.local, big, WG_UDP_MAX + 1), WARP_TOO_BIG);
  assert_int_equal(w->ops->udp_send(a.udp, &b.local, big, WG_UDP_MAX), WARP_OK);
  run_until(w, &b.done);
  assert_int_equal(b.last_len, WG_UDP_MAX);
  b.done = false;
  b.want = 2;
  assert_int_equal(w->ops->udp_send(a.udp, &b.local, "", 0), WARP_OK);
  run_until(w, &b.done);
  assert_int_equal(b.last_len, 0);
  close_peer(&a);
  close_peer(&b);
}

static void test_too_long_datagrams_are_dropped(void **state) {
  world *w = *state;
  peer b;
  open_peer(w, &b, WARP_IP4, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(b.local.port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  static char huge[WG_UDP_MAX + 100];
  assert_int_equal(sendto(fd, huge, sizeof huge, 0, (struct sockaddr *)&to, sizeof to),
                   sizeof huge);
  assert_int_equal(sendto(fd, "short", 5, 0, (struct sockaddr *)&to, sizeof to), 5);
  run_until(w, &b.done);
  assert_int_equal(b.count, 1);
  assert_int_equal(b.last_len, 5);
  close(fd);
  close_peer(&b);
}

static void test_a_burst_arrives_whole(void **state) {
  world *w = *state;
  peer a, b;
  open_peer(w, &a, WARP_IP4, 0);
  open_peer(w, &b, WARP_IP4, 0);
  b.want = 150; /* more than are read in one turn, less than the system's buffer */
  for (size_t i = 0; i < b.want; i++) {
    assert_int_equal(w->ops->udp_send(a.udp, &b.local, &i, sizeof i), WARP_OK);
  }
  run_until(w, &b.done);
  size_t last;
  memcpy(&last, b.last, sizeof last);
  assert_int_equal(last, b.want - 1);
  close_peer(&a);
  close_peer(&b);
}

/* ---- what goes out together ------------------------------------------------------------------ */

/* All fit into the receive buffer that any system gives; those before MIXED leave in as few pieces
 * as there can be. */
enum { VOLLEY = 130, MIXED = 70, VOLLEY_SIZE = 1100 };

/* Datagram number `i` of a volley: most are of one size, some are shorter, longer or empty. */
static size_t volley_len(size_t i) {
  static const size_t odd[] = {0, 1, 600, 1500, WG_UDP_MAX};
  return i >= MIXED && i % 3 == 0 ? odd[i / 3 % (sizeof odd / sizeof odd[0])] : VOLLEY_SIZE;
}

typedef struct volley {
  world *w;
  wg_udp *udp;
  warp_addr from, to[2];
  size_t came[2]; /* at each */
  bool done;
  bool closes; /* the sender, within the callback that sends */
} volley;

static void send_volley(void *arg) {
  volley *v = arg;
  uint8_t bytes[WG_UDP_MAX];
  for (size_t i = 0; i < VOLLEY; i++) {
    memset(bytes, (int)i, sizeof bytes);
    for (size_t to = 0; to < 2; to++) {
      if (to == 0 || (i >= MIXED && i % 10 == 0)) { /* now and then another address in between */
        assert_int_equal(v->w->ops->udp_send(v->udp, &v->to[to], bytes, volley_len(i)), WARP_OK);
      }
    }
  }
  if (v->closes) {
    v->w->ops->udp_close(v->udp);
  }
}

static void take(volley *v, size_t at, size_t number, const uint8_t *data, size_t len,
                 const warp_addr *from) {
  assert_int_equal(len, volley_len(number));
  assert_int_equal(from->port, v->from.port);
  assert_int_equal(from->family, v->to[at].family);
  for (size_t i = 0; i < len; i++) {
    assert_int_equal(data[i], (uint8_t)number);
  }
  v->came[at]++;
  v->done = v->came[0] == VOLLEY && v->came[1] == (VOLLEY - MIXED) / 10;
}

static void on_first(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  volley *v = arg;
  take(v, 0, v->came[0], data, len, from);
}

static void on_second(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  volley *v = arg;
  take(v, 1, MIXED + v->came[1] * 10, data, len, from);
}

/* All of them come, each for itself and in order, to sockets of the family. */
static void fire(volley *v, int family) {
  static const wg_udp_recv_cb cbs[] = {on_first, on_second};
  world *w = v->w;
  wg_udp *sinks[2];
  wg_timer timer = {0};
  w->ops->udp_local(v->udp, &v->from);
  for (size_t i = 0; i < 2; i++) {
    warp_addr local = wg_addr_loopback(family, 0);
    assert_int_equal(w->ops->udp_open(w->env, &local, 0, cbs[i], v, &sinks[i]), WARP_OK);
    w->ops->udp_local(sinks[i], &v->to[i]);
  }
  wg_timer_start(w->env, &timer, 0, send_volley, v);
  run_until(w, &v->done);
  for (size_t i = 0; i < 2; i++) {
    w->ops->udp_close(sinks[i]);
  }
  if (!v->closes) {
    w->ops->udp_close(v->udp);
  }
}

static void test_a_volley_from_a_callback(void **state) {
  for (int closes = 0; closes < 2; closes++) {
    peer a;
    open_peer(*state, &a, WARP_IP4, 0);
    fire(&(volley){.w = *state, .udp = a.udp, .closes = closes == 1}, WARP_IP4);
  }
}

static void test_a_volley_over_ipv6(void **state) {
  world *w = *state;
  skip_without_ipv6(w);
  peer a;
  open_peer(w, &a, WARP_IP6, WG_SOCK_V6ONLY);
  fire(&(volley){.w = w, .udp = a.udp}, WARP_IP6);
}

/* IPv4 by a socket of both families. */
static void test_a_volley_to_mapped_addresses(void **state) {
  world *w = *state;
  skip_without_ipv6(w);
  volley v = {.w = w};
  warp_addr any = wg_addr_any(WARP_IP6, 0);
  assert_int_equal(w->ops->udp_open(w->env, &any, 0, harness_ignore, NULL, &v.udp), WARP_OK);
  fire(&v, WARP_IP4);
}

/* Linux refuses to cut what it may not give checksums. */
static void test_a_volley_that_the_system_does_not_cut(void **state) {
  world *w = *state;
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof local), 0);
#if defined(SO_NO_CHECK)
  int one = 1;
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof one), 0);
#endif
  volley v = {.w = w};
  assert_int_equal(w->ops->udp_adopt(w->env, fd, 0, harness_ignore, NULL, &v.udp), WARP_OK);
  fire(&v, WARP_IP4);
}

/* What is handed to the kernel as one piece, where it takes that, and else one by one. */
static void send_piece(const warp_addr *to, size_t len, int size) {
  static const uint8_t bytes[WG_DATAGRAM_MAX];
  struct sockaddr_in dest = {.sin_family = AF_INET, .sin_port = htons(to->port)};
  dest.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  bool cut = false;
#if defined(UDP_SEGMENT)
  cut = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) == 0;
#endif
  for (size_t at = 0; at < len;) {
    size_t here = cut || len - at < (size_t)size ? len - at : (size_t)size;
    assert_int_equal(sendto(fd, bytes + at, here, 0, (struct sockaddr *)&dest, sizeof dest), here);
    at += here;
  }
  close(fd);
}

static void test_what_came_together_is_told_one_by_one(void **state) {
  peer b;
  open_peer(*state, &b, WARP_IP4, 0);
  b.want = 50;
  send_piece(&b.local, 49 * 1200 + 7, 1200);
  run_until(*state, &b.done);
  assert_int_equal(b.last_len, 7);
  close_peer(&b);
}

/* The length counts of each for itself. */
static void test_too_long_ones_that_came_together(void **state) {
  peer b;
  open_peer(*state, &b, WARP_IP4, 0);
  send_piece(&b.local, 3 * (WG_UDP_MAX + 1) + 500, WG_UDP_MAX + 1);
  run_until(*state, &b.done);
  assert_int_equal(b.count, 1);
  assert_int_equal(b.last_len, 500);
  close_peer(&b);
}

/* A large socket, whose descriptor the program may have one day, gets them from the kernel so. */
static void test_a_large_socket_gets_single_datagrams(void **state) {
  peer b;
  open_peer(*state, &b, WARP_IP4, WG_SOCK_LARGE);
  b.want = 4;
  send_piece(&b.local, 3 * 1000 + 1, 1000);
  run_until(*state, &b.done);
  assert_int_equal(b.last_len, 1);
  close_peer(&b);
}

static void test_closing_between_two_that_came_together(void **state) {
  world *w = *state;
  for (size_t at = 1; at <= 4; at++) { /* also after the last */
    peer b, c;
    open_peer(w, &b, WARP_IP4, 0);
    open_peer(w, &c, WARP_IP4, 0);
    b.closes = &b;
    b.closes_at = at;
    b.want = at;
    send_piece(&b.local, 4 * 100, 100);
    send_piece(&c.local, 1, 1); /* comes after them */
    run_until(w, &b.done);
    run_until(w, &c.done);
    assert_int_equal(b.count, at);
    close_peer(&c);
  }
}

static void test_nobody_listening_is_not_an_error(void **state) {
  world *w = *state;
  peer a, b, gone;
  open_peer(w, &a, WARP_IP4, 0);
  open_peer(w, &b, WARP_IP4, 0);
  open_peer(w, &gone, WARP_IP4, 0);
  warp_addr nowhere = gone.local;
  close_peer(&gone);
  for (int i = 0; i < 5; i++) { /* each is answered with an ICMP port unreachable */
    assert_int_equal(w->ops->udp_send(a.udp, &nowhere, "x", 1), WARP_OK);
    run_for(w, 2);
  }
  assert_int_equal(w->ops->udp_send(b.udp, &a.local, "still there", 11), WARP_OK);
  run_until(w, &a.done);
  close_peer(&a);
  close_peer(&b);
}

static void test_errors_of_opening_and_sending(void **state) {
  world *w = *state;
  peer a;
  wg_udp *udp;
  open_peer(w, &a, WARP_IP4, 0);
  assert_int_equal(w->ops->udp_open(w->env, &a.local, 0, on_datagram, &a, &udp), WARP_ADDR_IN_USE);
  assert_int_equal(w->ops->udp_open(w->env, &a.local, WG_SOCK_REUSE, on_datagram, &a, &udp),
                   WARP_ADDR_IN_USE); /* the first one did not agree to share */
  warp_addr not_ours = {.family = WARP_IP4, .ip = {203, 0, 113, 77}};
  assert_int_equal(w->ops->udp_open(w->env, &not_ours, 0, on_datagram, &a, &udp),
                   WARP_ADDR_NOT_AVAILABLE);
  warp_addr none = {0};
  assert_int_equal(w->ops->udp_open(w->env, &none, 0, on_datagram, &a, &udp), WARP_INVALID);
  warp_addr other_family = wg_addr_loopback(WARP_IP6, 9);
  assert_int_equal(w->ops->udp_send(a.udp, &other_family, "x", 1), WARP_INVALID);
  close_peer(&a);
}

static void test_a_shared_port(void **state) {
  world *w = *state;
  peer a;
  wg_udp *second;
  open_peer(w, &a, WARP_IP4, WG_SOCK_REUSE);
  assert_int_equal(w->ops->udp_open(w->env, &a.local, WG_SOCK_REUSE, on_datagram, &a, &second),
                   WARP_OK);
  w->ops->udp_close(second);
  close_peer(&a);
}

static void test_closing_in_its_own_callback(void **state) {
  world *w = *state;
  peer a, b;
  open_peer(w, &a, WARP_IP4, 0);
  open_peer(w, &b, WARP_IP4, 0);
  b.closes = &b;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(w->ops->udp_send(a.udp, &b.local, "x", 1), WARP_OK);
  }
  run_until(w, &b.done);
  run_for(w, 10);
  assert_int_equal(b.count, 1);
  close_peer(&a);
}

static void test_closing_another_in_a_callback(void **state) {
  world *w = *state;
  peer a, b;
  open_peer(w, &a, WARP_IP4, 0);
  open_peer(w, &b, WARP_IP4, 0);
  a.closes = &b;
  b.closes = &a;
  /* Both are readable in the same turn of the loop; whichever comes first closes the other. */
  assert_int_equal(w->ops->udp_send(a.udp, &b.local, "x", 1), WARP_OK);
  assert_int_equal(w->ops->udp_send(b.udp, &a.local, "x", 1), WARP_OK);
  harness_run(w, &a.done, &b.done);
  run_for(w, 20);
  assert_int_equal(a.count + b.count, 1);
  close_peer(a.udp != NULL ? &a : &b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_echo_over_ipv4),
      TEST(test_echo_over_ipv6),
      TEST(test_dual_stack_shows_plain_ipv4),
      TEST(test_empty_and_largest_datagrams),
      TEST(test_too_long_datagrams_are_dropped),
      TEST(test_a_burst_arrives_whole),
      TEST(test_a_volley_from_a_callback),
      TEST(test_a_volley_over_ipv6),
      TEST(test_a_volley_to_mapped_addresses),
      TEST(test_a_volley_that_the_system_does_not_cut),
      TEST(test_what_came_together_is_told_one_by_one),
      TEST(test_too_long_ones_that_came_together),
      TEST(test_a_large_socket_gets_single_datagrams),
      TEST(test_closing_between_two_that_came_together),
      TEST(test_nobody_listening_is_not_an_error),
      TEST(test_errors_of_opening_and_sending),
      TEST(test_a_shared_port),
      TEST(test_closing_in_its_own_callback),
      TEST(test_closing_another_in_a_callback),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
