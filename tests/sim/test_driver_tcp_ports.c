/* Many TCP sockets on one local port, and NATs that answer what they filter: what TCP hole punching
 * meets. */
#include "tcp_peer.h"

/* A listener and dials to three addresses share a port; each connection is told apart by its other
 * end. */
static void test_many_on_one_port(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer dials[3], servers[3];
  static const char *const to[3] = {"192.0.2.129:80", "192.0.2.129:81", "192.0.2.129:82"};
  assert_int_equal(listen_at(&f.a, "0.0.0.0:5000", WG_SOCK_REUSE), WARP_OK);
  for (size_t i = 0; i < 3; i++) {
    dials[i] = new_peer(f.host_a);
    servers[i] = new_peer(f.host_b);
    assert_int_equal(listen_at(&servers[i], to[i], 0), WARP_OK);
    assert_int_equal(connect_to(&dials[i], "0.0.0.0:5000", to[i], WG_SOCK_REUSE), WARP_OK);
  }
  assert_int_equal(connect_to(&f.b, "0.0.0.0:83", "192.0.2.1:5000", 0), WARP_OK);
  run(&f, 100 * SIM_MS);
  assert_int_equal(f.b.open_status, WARP_OK);
  assert_int_equal(f.b.opened, 1);
  assert_int_equal(f.a.accepted, 1);
  assert_address(&f.a.from, "192.0.2.129:83");
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(dials[i].opened, 1);
    assert_address(&servers[i].from, "192.0.2.1:5000");
    send_text(&dials[i], i == 0 ? "first" : "another");
  }
  run(&f, 100 * SIM_MS);
  assert_int_equal(servers[0].received, 5);
  assert_int_equal(servers[2].received, 7);
  assert_int_equal(f.a.received, 0);
  for (size_t i = 0; i < 3; i++) {
    close_peer(&dials[i]);
    close_peer(&servers[i]);
  }
  finish(&f);
}

/* Who was dialled first cannot dial back over the same two ports, open or about to be. */
static void test_same_connection_twice(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer back = new_peer(f.host_b);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:6000", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(connect_to(&f.a, "0.0.0.0:5000", "192.0.2.129:6000", WG_SOCK_REUSE), WARP_OK);
  run(&f, 25 * SIM_MS);
  assert_int_equal(f.b.accepted, 0); /* SYN-RECEIVED */
  assert_int_equal(connect_to(&back, "0.0.0.0:6000", "192.0.2.1:5000", WG_SOCK_REUSE),
                   WARP_ADDR_NOT_AVAILABLE);
  run(&f, 75 * SIM_MS);
  assert_int_equal(f.b.accepted, 1);
  assert_int_equal(connect_to(&back, "0.0.0.0:6000", "192.0.2.1:5000", WG_SOCK_REUSE),
                   WARP_ADDR_NOT_AVAILABLE);
  assert_int_equal(connect_to(&back, "0.0.0.0:6000", "192.0.2.1:5001", WG_SOCK_REUSE), WARP_OK);
  close_peer(&back);
  finish(&f);
}

/* With a listener beside each dial, SYNs that cross still make one connection, which both ends
 * dialled (RFC 9293 figure 8). */
static void test_crossing_past_listeners(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "open", 0);
  peer a = new_peer(f.host_a), b = new_peer(f.host_b);
  assert_int_equal(listen_at(&f.a, "0.0.0.0:5000", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:6000", WG_SOCK_REUSE), WARP_OK);
  assert_int_equal(connect_to(&a, "0.0.0.0:5000", "192.0.2.129:6000", WG_SOCK_REUSE), WARP_OK);
  run(&f, 10 * SIM_MS);
  assert_int_equal(connect_to(&b, "0.0.0.0:6000", "192.0.2.1:5000", WG_SOCK_REUSE), WARP_OK);
  run(&f, 100 * SIM_MS);
  assert_int_equal(a.opened, 1);
  assert_int_equal(a.open_status, WARP_OK);
  assert_int_equal(b.open_status, WARP_OK);
  assert_int_equal(f.a.accepted + f.b.accepted, 0);
  send_text(&a, "over it");
  run(&f, 100 * SIM_MS);
  assert_int_equal(b.received, 7);
  close_peer(&a);
  close_peer(&b);
  finish(&f);
}

/* ---- NATs that answer ------------------------------------------------------------------------ */

static void test_reset_by_nat(void **state) {
  (void)state;
  fixture f;
  build(&f, "port-restricted", "port-restricted+reset", 0);
  assert_int_equal(connect_to(&f.a, "0.0.0.0:5000", "192.0.2.129:6000", 0), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.a.opened, 1);
  assert_int_equal(f.a.open_status, WARP_CONN_REFUSED);
  assert_int_equal(f.a.open_us, 40 * SIM_MS);
  assert_int_equal(sim_world_trace(f.world).filtered, 1);
  /* The refusal left our own filter open: the peer's SYN comes in and is refused by the host. */
  assert_int_equal(connect_to(&f.b, "0.0.0.0:6000", "192.0.2.1:5000", 0), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.b.open_status, WARP_CONN_REFUSED);
  assert_int_equal(sim_world_trace(f.world).filtered, 1);
  finish(&f);
}

/* A datagram, and a segment that is no SYN, get no answer. */
static void test_resets_syns_only(void **state) {
  (void)state;
  fixture f;
  build(&f, "open", "port-restricted+reset", 0);
  assert_int_equal(listen_at(&f.b, "0.0.0.0:6000", 0), WARP_OK);
  peer outgoing = new_peer(f.host_b);
  assert_int_equal(listen_at(&f.a, "0.0.0.0:80", 0), WARP_OK);
  assert_int_equal(connect_to(&outgoing, NULL, "192.0.2.1:80", 0), WARP_OK);
  run(&f, 100 * SIM_MS);
  assert_int_equal(f.a.accepted, 1);
  sim_network_reboot_nat(f.site_b);
  uint64_t packets = sim_world_trace(f.world).packets;
  send_text(&f.a, "to a mapping that is gone");
  run(&f, 100 * SIM_MS);
  assert_int_equal(sim_world_trace(f.world).filtered, 1);
  assert_int_equal(sim_world_trace(f.world).packets, packets + 1);
  assert_int_equal(f.a.ended, 0);
  f.a.env->ops->tcp_reset(f.a.tcp);
  f.a.tcp = NULL;
  close_peer(&outgoing);
  finish(&f);
}

/* Between two NATs that reset, whoever dials first is refused; dialling again at once makes the
 * SYNs cross, whatever the gap was. (A SYN that comes in the very moment between two dials is
 * refused by the host; a listener takes it.) */
static void test_redial_between_resets(void **state) {
  (void)state;
  for (uint64_t gap_ms = 5; gap_ms < 100; gap_ms += 10) {
    fixture f;
    build(&f, "port-restricted+reset", "port-restricted+reset", 0);
    peer *sides[] = {&f.a, &f.b};
    const char *locals[] = {"0.0.0.0:5000", "0.0.0.0:6000"};
    const char *remotes[] = {"192.0.2.129:6000", "192.0.2.1:5000"};
    assert_int_equal(connect_to(&f.a, locals[0], remotes[0], 0), WARP_OK);
    for (uint64_t ms = 0; ms < 1000; ms++) {
      if (ms == gap_ms)
        assert_int_equal(connect_to(&f.b, locals[1], remotes[1], 0), WARP_OK);
      run(&f, SIM_MS);
      for (size_t i = 0; i < 2; i++) {
        if (sides[i]->open_status == WARP_CONN_REFUSED) {
          close_peer(sides[i]);
          sides[i]->open_status = WARP_OK;
          sides[i]->opened = 0;
          assert_int_equal(connect_to(sides[i], locals[i], remotes[i], 0), WARP_OK);
        }
      }
    }
    assert_int_equal(f.a.opened, 1);
    assert_int_equal(f.b.opened, 1);
    assert_in_range(f.a.open_us, gap_ms * SIM_MS, (gap_ms + 121) * SIM_MS);
    finish(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_many_on_one_port),        cmocka_unit_test(test_same_connection_twice),
      cmocka_unit_test(test_crossing_past_listeners), cmocka_unit_test(test_reset_by_nat),
      cmocka_unit_test(test_resets_syns_only),        cmocka_unit_test(test_redial_between_resets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
