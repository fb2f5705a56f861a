/* The simplified TCP: how connections open and how they end. */
#include "tcp_peer.h"

/* ---- opening --------------------------------------------------------------------------------- */

static void test_connect_and_echo(void **state) {
  (void)state;
  fixture f;
  warp_addr local, remote;
  build_connected(&f, 0);
  assert_int_equal(f.a.open_us, 40 * SIM_MS);
  f.a.env->ops->tcp_addrs(f.a.tcp, &local, &remote);
  assert_address(&remote, "192.0.2.129:80");
  assert_true(wg_addr_equal(&local, &f.b.from));
  send_text(&f.a, "hello");
  run(&f, 19 * SIM_MS);
  assert_int_equal(f.b.received, 0);
  run(&f, 1 * SIM_MS);
  assert_int_equal(f.b.received, 5);
  send_text(&f.b, "hello back");
  run(&f, 20 * SIM_MS);
  assert_int_equal(f.a.received, 10);
  finish(&f);
}

static void test_refused(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  assert_int_equal(connect_to(&f.a, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.open_status, WARP_CONN_REFUSED);
  assert_int_equal(f.a.open_us, 40 * SIM_MS);
  assert_int_equal(f.a.ended, 0);
  assert_int_equal(f.a.env->ops->tcp_send(f.a.tcp, "x", 1), WARP_CLOSED);
  finish(&f);
}

/* Filtered SYNs vanish; they are repeated after 1 and 3 s. */
static void test_filtered(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "port-restricted", 0);
  assert_int_equal(connect_to(&f.a, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, 999 * SIM_MS);
  assert_int_equal(sim_world_trace(f.world).filtered, 1);
  run(&f, 2500 * SIM_MS);
  assert_int_equal(sim_world_trace(f.world).filtered, 3);
  assert_int_equal(f.a.opened, 0);
  run(&f, 126 * SIM_SECOND);
  assert_int_equal(f.a.opened, 1);
  assert_int_equal(f.a.open_status, WARP_TIMEOUT);
  assert_int_equal(f.a.open_us, 127 * SIM_SECOND);
  finish(&f);
}

static void test_close_while_connecting(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&f.a, NULL, "192.0.2.129:80", 0), WARP_OK);
  f.a.env->ops->tcp_close(f.a.tcp);
  f.a.tcp = NULL;
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.opened, 0);
  assert_int_equal(f.b.accepted, 0); /* its SYN-ACK was answered by a reset */
  finish(&f);
}

/* A listener that goes away takes its half-open connections with it. */
static void test_listener_closed(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&f.a, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, 30 * SIM_MS);
  f.b.env->ops->tcp_listener_close(f.b.listener);
  f.b.listener = NULL;
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.open_status, WARP_OK);
  assert_int_equal(f.a.end_status, WARP_RESET);
  assert_int_equal(f.b.accepted, 0);
  finish(&f);
}

static void test_lost_handshake(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  sim_network_set_up(f.site_b, false);
  assert_int_equal(connect_to(&f.a, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, 500 * SIM_MS);
  sim_network_set_up(f.site_b, true);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.open_us, SIM_SECOND + 40 * SIM_MS);
  assert_int_equal(f.b.accepted, 1);
  finish(&f);
}

static void test_ports(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer other = new_peer(f.host_a), third = new_peer(f.host_a);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(listen_at(&f.a, "0.0.0.0:5000", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(listen_at(&other, "0.0.0.0:5000", 0), WARP_ADDR_IN_USE);
  assert_int_equal(connect_to(&other, "0.0.0.0:5000", "192.0.2.129:80", 0), WARP_ADDR_IN_USE);
  assert_int_equal(connect_to(&other, "10.9.9.9:5000", "192.0.2.129:80", 0),
                   WARP_ADDR_NOT_AVAILABLE);
  assert_int_equal(connect_to(&other, "0.0.0.0:5000", "192.0.2.129:80", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(connect_to(&third, "0.0.0.0:5000", "192.0.2.129:80", WG_SOCK_REUSE),
                   WARP_ADDR_NOT_AVAILABLE);
  run(&f, SIM_SECOND);
  assert_int_equal(other.open_status, WARP_OK);
  assert_address(&f.b.from, "192.0.2.1:5000");
  close_peer(&other);
  finish(&f);
}

/* A host connects to itself, over loopback and over its own address. */
static void test_loopback(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer client = new_peer(f.host_a), other = new_peer(f.host_a);
  assert_int_equal(listen_at(&f.a, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&client, NULL, "127.0.0.1:80", 0), WARP_OK);
  run(&f, SIM_MS);
  assert_int_equal(client.open_status, WARP_OK);
  assert_int_equal(client.opened, 1);
  close_peer(&client);
  run(&f, SIM_SECOND);
  close_peer(&(peer){.env = f.a.env, .tcp = f.a.tcp});
  f.a.tcp = NULL;
  assert_int_equal(connect_to(&other, NULL, "192.0.2.1:80", 0), WARP_OK);
  run(&f, SIM_MS);
  assert_int_equal(other.opened, 1);
  close_peer(&other);
  finish(&f);
}

/* Both dial each other from fixed ports behind NATs that let nobody in unasked. */
static void test_simultaneous_open(void **state) {
  (void)state;
  for (uint64_t gap_ms = 0; gap_ms <= 60; gap_ms += 15) {
    fixture f;
    build(&f, "port-restricted", "port-restricted", 0);
    assert_int_equal(connect_to(&f.a, "0.0.0.0:5000", "192.0.2.129:6000", 0), WARP_OK);
    run(&f, gap_ms * SIM_MS);
    assert_int_equal(connect_to(&f.b, "0.0.0.0:6000", "192.0.2.1:5000", 0), WARP_OK);
    run(&f, 5 * SIM_SECOND);
    assert_int_equal(f.a.open_status, WARP_OK);
    assert_int_equal(f.b.open_status, WARP_OK);
    assert_int_equal(f.a.opened + f.b.opened, 2);
    send_text(&f.a, "to b");
    send_text(&f.b, "to a!");
    run(&f, SIM_SECOND);
    assert_int_equal(f.b.received, 4);
    assert_int_equal(f.a.received, 5);
    finish(&f);
  }
}

/* Listener and dialled connection share a port: who dials late meets the listener. */
static void test_listener_beside_dial(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer dial = new_peer(f.host_b);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:6000", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(connect_to(&dial, "0.0.0.0:6000", "203.0.113.9:1", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(connect_to(&f.a, "0.0.0.0:5000", "192.0.2.129:6000", 0), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.open_status, WARP_OK);
  assert_int_equal(f.b.accepted, 1);
  assert_int_equal(dial.opened, 0);
  close_peer(&dial);
  finish(&f);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_half_close(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  send_text(&f.a, "question");
  assert_int_equal(f.a.env->ops->tcp_shutdown(f.a.tcp), WARP_OK);
  assert_int_equal(f.a.env->ops->tcp_send(f.a.tcp, "x", 1), WARP_CLOSED);
  assert_int_equal(f.a.env->ops->tcp_shutdown(f.a.tcp), WARP_CLOSED);
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.received, 8);
  assert_int_equal(f.b.ended, 1);
  assert_int_equal(f.b.end_status, WARP_CLOSED);
  assert_int_equal(f.a.ended, 0);
  send_text(&f.b, "the answer");
  assert_int_equal(f.b.env->ops->tcp_shutdown(f.b.tcp), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.received, 10);
  assert_int_equal(f.a.end_status, WARP_CLOSED);
  finish(&f);
}

static void test_reset(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  send_text(&f.a, "never mind");
  f.a.env->ops->tcp_reset(f.a.tcp);
  f.a.tcp = NULL;
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.ended, 1);
  assert_int_equal(f.b.end_status, WARP_RESET);
  assert_int_equal(f.b.env->ops->tcp_send(f.b.tcp, "x", 1), WARP_CLOSED);
  finish(&f);
}

/* Once an end was told, a reset after it is not. */
static void test_end_is_told_once(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  assert_int_equal(f.a.env->ops->tcp_shutdown(f.a.tcp), WARP_OK);
  run(&f, SIM_SECOND);
  f.a.env->ops->tcp_reset(f.a.tcp);
  f.a.tcp = NULL;
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.ended, 1);
  assert_int_equal(f.b.end_status, WARP_CLOSED);
  finish(&f);
}

/* What is queued at closing still arrives, even while the peer sends as well. */
static void test_close_sends_the_rest(void **state) {
  (void)state;
  fixture f;
  static uint8_t data[1000000];
  build_connected(&f, 0);
  memset(data, 7, sizeof data);
  assert_int_equal(f.a.env->ops->tcp_send(f.a.tcp, data, sizeof data), WARP_OK);
  send_text(&f.b, "on its way to a closed handle");
  f.a.env->ops->tcp_close(f.a.tcp);
  f.a.tcp = NULL;
  assert_int_equal(sim_host_handles(f.host_a), 0);
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.received, sizeof data);
  assert_int_equal(f.b.end_status, WARP_CLOSED);
  assert_int_equal(f.a.received, 0);
  finish(&f);
}

/* Two seconds are all that closing waits. */
static void test_close_gives_up(void **state) {
  (void)state;
  fixture f;
  static uint8_t data[1000000];
  build_connected(&f, 0);
  f.b.env->ops->tcp_pause(f.b.tcp, true);
  assert_int_equal(f.a.env->ops->tcp_send(f.a.tcp, data, sizeof data), WARP_OK);
  f.a.env->ops->tcp_close(f.a.tcp);
  f.a.tcp = NULL;
  run(&f, 1900 * SIM_MS);
  assert_int_equal(f.b.ended, 0);
  run(&f, 200 * SIM_MS);
  assert_int_equal(f.b.end_status, WARP_RESET);
  finish(&f);
}

/* Who goes on sending to a peer that closed is told by a reset. */
static void test_send_to_closed(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  f.b.env->ops->tcp_close(f.b.tcp);
  f.b.tcp = NULL;
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.end_status, WARP_CLOSED);
  send_text(&f.a, "are you there?");
  run(&f, 45 * SIM_MS);
  assert_int_equal(f.a.ended, 1);
  assert_int_equal(f.a.env->ops->tcp_send(f.a.tcp, "x", 1), WARP_CLOSED);
  finish(&f);
}

static void test_close_in_callbacks(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer second_client = new_peer(f.host_a);
  f.a.close_on_open = true;
  f.b.close_on_data = true;
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&f.a, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.end_status, WARP_CLOSED);
  f.b.env->ops->tcp_close(f.b.tcp);
  assert_int_equal(connect_to(&second_client, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, SIM_SECOND);
  send_text(&second_client, "x");
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.received, 1);
  assert_int_equal(second_client.end_status, WARP_CLOSED);
  close_peer(&second_client);
  finish(&f);
}

static void test_closed_at_accept(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer other = new_peer(f.host_a);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  f.b.refuse = true;
  assert_int_equal(connect_to(&f.a, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.end_status, WARP_CLOSED);
  f.b.refuse = false;
  f.b.reset_on_accept = true;
  assert_int_equal(connect_to(&other, NULL, "192.0.2.129:80", 0), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(other.end_status, WARP_RESET);
  close_peer(&other);
  finish(&f);
}

/* After an orderly end on both sides the same two ports connect again at once. */
static void test_same_ports_again(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer again = new_peer(f.host_a);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&f.a, "0.0.0.0:5000", "192.0.2.129:80", 0), WARP_OK);
  run(&f, 100 * SIM_MS);
  close_peer(&f.a);
  f.a.tcp = NULL;
  f.b.env->ops->tcp_close(f.b.tcp);
  run(&f, 100 * SIM_MS);
  assert_int_equal(connect_to(&again, "0.0.0.0:5000", "192.0.2.129:80", 0), WARP_OK);
  run(&f, 100 * SIM_MS);
  assert_int_equal(again.opened, 1);
  assert_int_equal(f.b.accepted, 2);
  close_peer(&again);
  finish(&f);
}

/* One side forgot a connection that the other still has: the old one dies, the new one opens with
 * the next SYN. */
static void test_half_open(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer again = new_peer(f.host_a), after = new_peer(f.host_b);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&f.a, "0.0.0.0:5000", "192.0.2.129:80", 0), WARP_OK);
  run(&f, 100 * SIM_MS);
  sim_network_set_up(f.site_a, false);
  f.a.env->ops->tcp_reset(f.a.tcp);
  f.a.tcp = NULL;
  run(&f, 100 * SIM_MS);
  sim_network_set_up(f.site_a, true);
  assert_int_equal(connect_to(&again, "0.0.0.0:5000", "192.0.2.129:80", 0), WARP_OK);
  run(&f, 100 * SIM_MS);
  assert_int_equal(again.opened, 0);
  assert_int_equal(f.b.end_status, WARP_RESET);
  after.tcp = f.b.tcp;
  run(&f, SIM_SECOND);
  assert_int_equal(again.open_status, WARP_OK);
  assert_int_equal(again.opened, 1);
  assert_int_equal(f.b.accepted, 2);
  close_peer(&after);
  close_peer(&again);
  finish(&f);
}

/* A reset behind lost data counts too. */
static void test_reset_behind_loss(void **state) {
  (void)state;
  fixture f;
  build_connected(&f, 0);
  sim_network_set_up(f.site_a, false);
  send_text(&f.a, "lost");
  sim_network_set_up(f.site_a, true);
  f.a.env->ops->tcp_reset(f.a.tcp);
  f.a.tcp = NULL;
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.end_status, WARP_RESET);
  finish(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_connect_and_echo),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_filtered),
      cmocka_unit_test(test_close_while_connecting),
      cmocka_unit_test(test_listener_closed),
      cmocka_unit_test(test_lost_handshake),
      cmocka_unit_test(test_ports),
      cmocka_unit_test(test_loopback),
      cmocka_unit_test(test_simultaneous_open),
      cmocka_unit_test(test_listener_beside_dial),
      cmocka_unit_test(test_half_close),
      cmocka_unit_test(test_reset),
      cmocka_unit_test(test_end_is_told_once),
      cmocka_unit_test(test_close_sends_the_rest),
      cmocka_unit_test(test_close_gives_up),
      cmocka_unit_test(test_send_to_closed),
      cmocka_unit_test(test_close_in_callbacks),
      cmocka_unit_test(test_closed_at_accept),
      cmocka_unit_test(test_same_ports_again),
      cmocka_unit_test(test_half_open),
      cmocka_unit_test(test_reset_behind_loss),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
