#include "tcp_sides.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- connecting ------------------------------------------------------------------------------ */

static void echo_over(world *w, int family) {
  side a = {0}, b = {0};
  acceptor acc;
  start_acceptor(w, &acc, family, WG_SOCK_V6ONLY, &b);
  start_connect(w, &a, NULL, &acc.local, WG_SOCK_V6ONLY);
  run_until(w, &a.open);
  run_until(w, &acc.accepted);
  warp_addr a_local, a_remote, b_local, b_remote;
  w->ops->tcp_addrs(a.tcp, &a_local, &a_remote);
  w->ops->tcp_addrs(b.tcp, &b_local, &b_remote);
  assert_true(wg_addr_equal(&a_remote, &acc.local));
  assert_true(wg_addr_equal(&a_remote, &b_local));
  assert_true(wg_addr_equal(&a_local, &b_remote));

  expect(&b, 5);
  assert_int_equal(w->ops->tcp_send(a.tcp, "hello", 5), WARP_OK);
  run_until(w, &b.got);
  expect(&a, 6);
  assert_int_equal(w->ops->tcp_send(b.tcp, "world!", 6), WARP_OK);
  run_until(w, &a.got);
  assert_memory_equal(a.head, "world!", 6);
  assert_memory_equal(b.head, "hello", 5);
  close_side(&a);
  run_until(w, &b.ended);
  assert_int_equal(b.end_status, WARP_CLOSED);
  close_side(&b);
  stop_acceptor(&acc);
}

static void test_echo_over_ipv4(void **state) {
  echo_over(*state, WARP_IP4);
}

static void test_echo_over_ipv6(void **state) {
  skip_without_ipv6(*state);
  echo_over(*state, WARP_IP6);
}

static void test_what_is_sent_early_goes_after_the_connect(void **state) {
  world *w = *state;
  side a = {0}, b = {0};
  acceptor acc;
  start_acceptor(w, &acc, WARP_IP4, 0, &b);
  start_connect(w, &a, NULL, &acc.local, 0);
  expect(&b, 5);
  assert_int_equal(w->ops->tcp_send(a.tcp, "early", 5), WARP_OK);
  assert_int_equal(w->ops->tcp_queued(a.tcp), 5);
  assert_int_equal(w->ops->tcp_shutdown(a.tcp), WARP_OK);
  run_until(w, &b.got);
  run_until(w, &b.ended);
  assert_memory_equal(b.head, "early", 5);
  close_side(&a);
  close_side(&b);
  stop_acceptor(&acc);
}

static void test_refused(void **state) {
  world *w = *state;
  side a = {0};
  warp_addr to = wg_addr_loopback(WARP_IP4, 0);
  wg_tcp_listener *kept;
  assert_int_equal(w->ops->tcp_listen(w->env, &to, 0, NULL, NULL, &kept), WARP_OK);
  w->ops->tcp_listener_local(kept, &to);
  start_connect(w, &a, NULL, &to, 0);
  run_until(w, &a.open);
  assert_int_equal(a.open_status, WARP_CONN_REFUSED);
  assert_int_equal(w->ops->tcp_send(a.tcp, "x", 1), WARP_CLOSED);
  run_for(w, 5);
  assert_false(a.ended); /* on_open has told it */
  close_side(&a);
  w->ops->tcp_listener_close(kept);
}

static void test_errors_of_connecting_and_listening(void **state) {
  world *w = *state;
  side a = {.w = w}, b = {0};
  acceptor acc;
  wg_tcp_listener *second;
  start_acceptor(w, &acc, WARP_IP4, 0, &b);
  assert_int_equal(w->ops->tcp_listen(w->env, &acc.local, 0, on_accept, &acc, &second),
                   WARP_ADDR_IN_USE);
  assert_int_equal(w->ops->tcp_connect(w->env, &acc.local, &acc.local, 0, &handlers, &a, &a.tcp),
                   WARP_ADDR_IN_USE);
  warp_addr not_ours = {.family = WARP_IP4, .ip = {203, 0, 113, 77}};
  assert_int_equal(w->ops->tcp_listen(w->env, &not_ours, 0, on_accept, &acc, &second),
                   WARP_ADDR_NOT_AVAILABLE);
  warp_addr no_port = wg_addr_loopback(WARP_IP4, 0);
  assert_int_equal(w->ops->tcp_connect(w->env, NULL, &no_port, 0, &handlers, &a, &a.tcp),
                   WARP_INVALID);
  warp_addr other_family = wg_addr_loopback(WARP_IP6, 80);
  assert_int_equal(w->ops->tcp_connect(w->env, &no_port, &other_family, 0, &handlers, &a, &a.tcp),
                   WARP_INVALID);
  run_for(w, 5);
  assert_false(a.open);
  stop_acceptor(&acc);
}

/* A listener and two connections on one local port, as punching needs it. */
static void test_a_port_shared_by_listener_and_connections(void **state) {
  world *w = *state;
  side out1 = {0}, out2 = {0}, in1 = {0}, in2 = {0}, unused = {0};
  acceptor shared, far1, far2;
  start_acceptor(w, &shared, WARP_IP4, WG_SOCK_REUSE, &unused);
  start_acceptor(w, &far1, WARP_IP4, 0, &in1);
  start_acceptor(w, &far2, WARP_IP4, 0, &in2);
  start_connect(w, &out1, &shared.local, &far1.local, WG_SOCK_REUSE);
  start_connect(w, &out2, &shared.local, &far2.local, WG_SOCK_REUSE);
  run_until(w, &out1.open);
  run_until(w, &out2.open);
  assert_int_equal(out1.open_status, WARP_OK);
  assert_int_equal(out2.open_status, WARP_OK);
  run_until(w, &far1.accepted);
  run_until(w, &far2.accepted);
  warp_addr seen;
  w->ops->tcp_addrs(in2.tcp, NULL, &seen);
  assert_true(wg_addr_equal(&seen, &shared.local));
  /* The same four addresses again: the connection exists already. */
  side again = {.w = w};
  assert_int_equal(w->ops->tcp_connect(w->env, &shared.local, &far1.local, WG_SOCK_REUSE, &handlers,
                                       &again, &again.tcp),
                   WARP_ADDR_NOT_AVAILABLE);
  side *all[] = {&out1, &out2, &in1, &in2};
  for (size_t i = 0; i < 4; i++) {
    w->ops->tcp_reset(all[i]->tcp);
  }
  stop_acceptor(&shared);
  stop_acceptor(&far1);
  stop_acceptor(&far2);
}

static void test_many_connections_at_once(void **state) {
  world *w = *state;
  enum { MANY = 40 }; /* more than are accepted in one turn */
  side out[MANY] = {0};
  acceptor acc;
  side unused = {0};
  start_acceptor(w, &acc, WARP_IP4, 0, &unused);
  acc.close_at_once = true;
  for (size_t i = 0; i < MANY; i++) {
    start_connect(w, &out[i], NULL, &acc.local, 0);
  }
  for (size_t i = 0; i < MANY; i++) {
    run_until(w, &out[i].ended);
    assert_int_equal(out[i].end_status, WARP_CLOSED);
    close_side(&out[i]);
  }
  assert_int_equal(acc.count, MANY);
  stop_acceptor(&acc);
}

/* Connections wait when there are no descriptors for them, and are taken later. */
static void test_accepting_without_descriptors(void **state) {
  if (getenv("WARPGATE_VALGRIND") != NULL) {
    skip(); /* valgrind takes the connection from the kernel, and only then says EMFILE */
  }
  world *w = *state;
  side a = {0}, b = {0};
  acceptor acc;
  start_acceptor(w, &acc, WARP_IP4, 0, &b);
  start_connect(w, &a, NULL, &acc.local, 0);
  struct rlimit before, none;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  int first_free = dup(0);
  close(first_free);
  none = before;
  none.rlim_cur = (rlim_t)first_free;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  run_for(w, 20);
  bool accepted_meanwhile = acc.accepted;
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  wg_udp *udp;
  int status = w->ops->udp_open(w->env, &local, 0, harness_ignore, NULL, &udp);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_false(accepted_meanwhile);
  assert_int_equal(status, WARP_LIMIT);
  run_until(w, &acc.accepted);
  close_side(&a);
  close_side(&b);
  stop_acceptor(&acc);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static int option_of(int fd, int level, int name) {
  int value = -1;
  socklen_t len = sizeof value;
  assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
  return value;
}

/* Both ends have the system look after a connection on which nobody sends; a receiver that pauses,
 * for however long, is not taken for one that is gone. */
static void test_idle_connections_are_looked_after(void **state) {
  world *w = *state;
  side ends[2];
  make_pair(w, &ends[0], &ends[1]);
  for (size_t i = 0; i < 2; i++) {
    int fd;
    assert_int_equal(w->ops->tcp_release(ends[i].tcp, &fd), WARP_OK);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
#if defined(__linux__)
    int limit_s =
        option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
        option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option_of(fd, IPPROTO_TCP, TCP_KEEPCNT);
    assert_int_equal(limit_s, 60);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
#endif
    close(fd);
  }
}

static void test_half_close(void **state) {
  world *w = *state;
  side a, b;
  make_pair(w, &a, &b);
  expect(&b, 3);
  assert_int_equal(w->ops->tcp_send(a.tcp, "bye", 3), WARP_OK);
  assert_int_equal(w->ops->tcp_shutdown(a.tcp), WARP_OK);
  assert_int_equal(w->ops->tcp_shutdown(a.tcp), WARP_CLOSED);
  assert_int_equal(w->ops->tcp_send(a.tcp, "x", 1), WARP_CLOSED);
  run_until(w, &b.ended);
  assert_true(b.got);
  assert_int_equal(b.end_status, WARP_CLOSED);
  /* The other direction goes on. */
  expect(&a, 5);
  assert_int_equal(w->ops->tcp_send(b.tcp, "later", 5), WARP_OK);
  run_until(w, &a.got);
  assert_false(a.ended);
  close_side(&b);
  run_until(w, &a.ended);
  close_side(&a);
}

static void test_reset(void **state) {
  world *w = *state;
  side a, b;
  make_pair(w, &a, &b);
  w->ops->tcp_reset(a.tcp);
  run_until(w, &b.ended);
  assert_int_equal(b.end_status, WARP_RESET);
  assert_int_equal(w->ops->tcp_send(b.tcp, "x", 1), WARP_CLOSED);
  close_side(&b);
}

/* Bytes that arrived before the reset are read first. */
static void test_reset_while_paused(void **state) {
  world *w = *state;
  side a, b;
  make_pair(w, &a, &b);
  w->ops->tcp_pause(b.tcp, true);
  expect(&b, 4);
  assert_int_equal(w->ops->tcp_send(a.tcp, "last", 4), WARP_OK);
  w->ops->tcp_reset(a.tcp);
  run_for(w, 10);
  assert_false(b.ended);
  assert_int_equal(b.received, 0);
  w->ops->tcp_pause(b.tcp, false);
  run_until(w, &b.ended);
  assert_int_equal(b.end_status, WARP_RESET);
  assert_true(b.got);
  close_side(&b);
}

/* Writing to what the peer has both ended and reset raises SIGPIPE unless it is asked not to. */
static void test_writing_to_a_dead_connection_is_harmless(void **state) {
  world *w = *state;
  side a, b;
  make_pair(w, &a, &b);
  assert_int_equal(w->ops->tcp_shutdown(a.tcp), WARP_OK);
  run_until(w, &b.ended);
  w->ops->tcp_reset(a.tcp);
  int status = WARP_OK;
  for (int i = 0; i < HARNESS_LIMIT_MS && status == WARP_OK; i++) {
    status = w->ops->tcp_send(b.tcp, "x", 1);
    run_for(w, 1);
  }
  assert_int_equal(status, WARP_CLOSED);
  close_side(&b);
}

static void test_closing_in_callbacks(void **state) {
  world *w = *state;
  side a, b;
  acceptor acc;
  start_acceptor(w, &acc, WARP_IP4, 0, &b);
  b = (side){.close_in = IN_DATA};
  a = (side){.close_in = IN_OPEN};
  start_connect(w, &a, NULL, &acc.local, 0);
  run_until(w, &a.open);
  run_until(w, &acc.accepted);
  run_until(w, &b.ended);
  close_side(&b);
  stop_acceptor(&acc);

  make_pair(w, &a, &b);
  a.close_in = IN_END;
  b.close_in = IN_DATA;
  assert_int_equal(w->ops->tcp_send(a.tcp, "12", 2), WARP_OK);
  run_until(w, &a.ended);
  assert_null(a.tcp);
  assert_null(b.tcp);

  make_pair(w, &a, &b);
  a.close_in = IN_END;
  w->ops->tcp_reset(b.tcp);
  run_until(w, &a.ended);
  assert_null(a.tcp);

  start_acceptor(w, &acc, WARP_IP4, 0, &b);
  acc.close_itself = true;
  a = (side){.close_in = IN_END};
  b = (side){0};
  start_connect(w, &a, NULL, &acc.local, 0);
  run_until(w, &acc.accepted);
  close_side(&b);
  run_until(w, &a.ended);
}

static void test_closing_while_connecting(void **state) {
  world *w = *state;
  side a = {0}, b = {0};
  acceptor acc;
  start_acceptor(w, &acc, WARP_IP4, 0, &b);
  start_connect(w, &a, NULL, &acc.local, 0);
  close_side(&a);
  run_for(w, 10);
  assert_false(a.open);
  if (acc.accepted) {
    close_side(&b);
  }
  stop_acceptor(&acc);
}

/* A port that is only kept: nobody is let in, nobody else gets it, and whoever shares it leaves
 * from it. */
static void test_a_port_is_kept_without_listening(void **state) {
  world *w = *state;
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  wg_tcp_listener *kept, *other;
  assert_int_equal(w->ops->tcp_listen(w->env, &local, WG_SOCK_REUSE, NULL, NULL, &kept), WARP_OK);
  w->ops->tcp_listener_local(kept, &local);
  assert_int_not_equal(local.port, 0);
  assert_int_equal(w->ops->tcp_listen(w->env, &local, 0, NULL, NULL, &other), WARP_ADDR_IN_USE);

  side in = {.w = w};
  int status = w->ops->tcp_connect(w->env, NULL, &local, 0, &handlers, &in, &in.tcp);
  if (status == WARP_OK) {
    run_until(w, &in.open);
    status = in.open_status;
    close_side(&in);
  }
  assert_int_equal(status, WARP_CONN_REFUSED);

  side a = {0}, b = {0}, second = {0};
  acceptor acc;
  start_acceptor(w, &acc, WARP_IP4, 0, &b);
  start_connect(w, &a, &local, &acc.local, WG_SOCK_REUSE);
  run_until(w, &a.open);
  run_until(w, &acc.accepted);
  assert_int_equal(a.open_status, WARP_OK);
  warp_addr from;
  w->ops->tcp_addrs(b.tcp, NULL, &from);
  assert_true(wg_addr_equal(&from, &local));
  second.w = w;
  assert_int_equal(w->ops->tcp_connect(w->env, &local, &acc.local, WG_SOCK_REUSE, &handlers,
                                       &second, &second.tcp),
                   WARP_ADDR_NOT_AVAILABLE);
  w->ops->tcp_reset(a.tcp);
  run_until(w, &b.ended);
  close_side(&b);
  stop_acceptor(&acc);
  w->ops->tcp_listener_close(kept);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_echo_over_ipv4),
      TEST(test_echo_over_ipv6),
      TEST(test_what_is_sent_early_goes_after_the_connect),
      TEST(test_refused),
      TEST(test_errors_of_connecting_and_listening),
      TEST(test_a_port_shared_by_listener_and_connections),
      TEST(test_a_port_is_kept_without_listening),
      TEST(test_many_connections_at_once),
      TEST(test_accepting_without_descriptors),
      TEST(test_idle_connections_are_looked_after),
      TEST(test_half_close),
      TEST(test_reset),
      TEST(test_reset_while_paused),
      TEST(test_writing_to_a_dead_connection_is_harmless),
      TEST(test_closing_in_callbacks),
      TEST(test_closing_while_connecting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
