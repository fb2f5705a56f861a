/* What a clumsy plugin calls: nothing where an object belongs, numbers out of range, calls that its
 * attempt is not in the state for. It costs nobody anything. */
#include "plugins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bad_input.h"

static warp_addr an_address(void) {
  warp_addr addr;
  assert_int_equal(warp_addr_parse("192.0.2.77:4000", &addr), WARP_OK);
  return addr;
}

static void on_timer(warp_attempt *attempt) {
  (void)attempt;
  fail_msg("a timer that nobody may have set");
}

static void on_measured(warp_attempt *attempt, warp_udp_socket *socket, int status,
                        const warp_addr *external) {
  (void)attempt, (void)socket, (void)status, (void)external;
}

static void on_tcp_measured(warp_attempt *attempt, warp_tcp_port *port, int status,
                            const warp_addr *external) {
  (void)attempt, (void)port, (void)status, (void)external;
}

/* ---- no object ------------------------------------------------------------------------------- */

static void test_no_attempt(void **state) {
  (void)state;
  warp_addr to = an_address();
  warp_relay relay;
  warp_udp_socket *socket;
  warp_tcp_port *port;
  warp_path *path;
  warp_server_stream *stream;
  warp_server_handlers handlers = {0};
  uint8_t buf[WARP_RECORD_MAX];
  size_t len = sizeof buf;
  uint32_t ms = 7;
  assert_null(BADLY(warp_attempt_state, NULL));
  assert_int_equal(BADLY(warp_attempt_role, NULL), 0);
  assert_null(BADLY(warp_attempt_combo, NULL));
  assert_int_equal(BADLY(warp_attempt_now_us, NULL), 0);
  assert_int_equal(BADLY(warp_attempt_random, NULL, 6), 0);
  REFUSES(WARP_INVALID, warp_attempt_entropy, NULL, buf, 4);
  assert_int_equal(BADLY(warp_attempt_utc_us, NULL, &ms), 0);
  assert_int_equal(ms, UINT32_MAX);
  assert_int_equal(BADLY(warp_attempt_utc_us, NULL, NULL), 0);
  assert_int_equal(BADLY(warp_attempt_setting, NULL, "rate"), 0);
  assert_int_equal(BADLY(warp_attempt_take, NULL, WARP_BUDGET_FLOWS, 1, &ms), 0);
  BADLY(warp_attempt_give, NULL, WARP_BUDGET_FLOWS, 1);
  BADLY(warp_attempt_timer, NULL, 0, 1, on_timer);
  BADLY(warp_attempt_timer_stop, NULL, 0);
  BADLY(warp_attempt_note, NULL, "%s", "nothing");
  BADLY(warp_attempt_blame, NULL, WARP_IO);
  BADLY(warp_attempt_fail, NULL, WARP_IO, "%s", "nothing");
  REFUSES(WARP_INVALID, warp_attempt_signal, NULL, 1, "x", 1);
  REFUSES(WARP_INVALID, warp_attempt_dial, NULL, &to);
  BADLY(warp_attempt_expect, NULL);
  REFUSES(WARP_INVALID, warp_attempt_listen_port, NULL, &port);
  REFUSES(WARP_INVALID, warp_attempt_tcp_port, NULL, true, &port);
  REFUSES(WARP_INVALID, warp_attempt_path, NULL, NULL, NULL, &path);
  REFUSES(WARP_INVALID, warp_attempt_udp, NULL, NULL, &socket);
  REFUSES(WARP_INVALID, warp_attempt_stun_server, NULL, 0, &to);
  REFUSES(WARP_INVALID, warp_attempt_server_stream, NULL, &to, NULL, &handlers, &stream);
  REFUSES(WARP_INVALID, warp_attempt_relay, NULL, 0, &relay);
  assert_int_equal(BADLY(warp_attempt_turn_limit, NULL), 0);
  BADLY(warp_attempt_keep, NULL);
  REFUSES(WARP_INVALID, warp_attempt_own_record, NULL, buf, &len);
  assert_int_equal(BADLY(warp_attempt_peer_sequence, NULL), 0);
  REFUSES(WARP_INVALID, warp_attempt_refresh, NULL, buf, 4);
  assert_false(BADLY(warp_attempt_start_next, NULL));
}

static void test_no_socket(void **state) {
  (void)state;
  warp_addr to = an_address(), local = to;
  assert_int_equal(BADLY(warp_tcp_port_number, NULL), 0);
  REFUSES(WARP_INVALID, warp_tcp_port_measure, NULL, &to, on_tcp_measured);
  REFUSES(WARP_INVALID, warp_tcp_port_dial, NULL, &to, NULL);
  BADLY(warp_tcp_port_abort, NULL, &to);
  BADLY(warp_tcp_port_close, NULL);
  REFUSES(WARP_INVALID, warp_path_add, NULL, &to);
  REFUSES(WARP_INVALID, warp_path_attach, NULL, NULL);
  REFUSES(WARP_INVALID, warp_path_probe_to, NULL, NULL, &to);
  BADLY(warp_path_set_relayed, NULL, WARP_UDP, &to);
  BADLY(warp_path_probe, NULL);
  REFUSES(WARP_INVALID, warp_path_secure, NULL);
  BADLY(warp_path_input, NULL, (const uint8_t *)"x", 1, &to);
  BADLY(warp_udp_socket_local, NULL, &local);
  assert_int_equal(local.family, 0);
  REFUSES(WARP_INVALID, warp_udp_socket_send, NULL, &to, "x", 1);
  REFUSES(WARP_INVALID, warp_udp_socket_measure, NULL, &to, on_measured);
  BADLY(warp_udp_socket_close, NULL);
  REFUSES(WARP_INVALID, warp_server_stream_send, NULL, "x", 1);
  assert_int_equal(BADLY(warp_server_stream_queued, NULL), 0);
  BADLY(warp_server_stream_close, NULL);
}

/* ---- in an attempt --------------------------------------------------------------------------- */

/* What stands beyond the built-in plugins: this one runs first, and the relay wins. */
static void connect_with(const warp_plugin *bad, uint64_t seed) {
  const warp_plugin *list[] = {bad, plugin_named("turn"), NULL};
  peers both;
  peers_build(&both, "port-restricted", "port-restricted", seed);
  peers_start(&both);
  peer_set_plugins(&both.a, list);
  peers_connect(&both, NULL);
  assert_int_equal(both.a.connect_status, WARP_OK);
  assert_string_equal(both.a.info.plugin, "turn");
  assert_non_null(peer_row(&both.a, bad->name, WARP_EXT_BIND));
  peers_echo(&both);
  peers_free(&both);
}

#define CLUMSY                                                                                     \
  .interface_version = WARP_PLUGIN_VERSION, .phase = WARP_PHASE_DIRECT, .transports = WARP_UDP,    \
  .route_types = WARP_EXT_BIND

static void pass_nothing(warp_attempt *attempt) {
  warp_relay relay = {0};
  warp_addr addr = an_address();
  warp_server_handlers handlers = {0};
  warp_server_stream *stream;
  size_t len = WARP_RECORD_MAX;
  uint8_t buf[WARP_RECORD_MAX];
  REFUSES(WARP_INVALID, warp_attempt_entropy, attempt, NULL, 8);
  assert_int_equal(BADLY(warp_attempt_setting, attempt, NULL), 0);
  assert_int_equal(BADLY(warp_attempt_setting, attempt, "no such setting"), 0);
  BADLY(warp_attempt_timer, attempt, 0, 1, NULL);
  BADLY(warp_attempt_timer, attempt, WARP_ATTEMPT_TIMERS, 1, on_timer);
  BADLY(warp_attempt_timer_stop, attempt, UINT32_MAX);
  BADLY(warp_attempt_note, attempt, NULL);
  REFUSES(WARP_INVALID, warp_attempt_signal, attempt, 1, NULL, 1);
  REFUSES(WARP_TOO_BIG, warp_attempt_signal, attempt, 1, buf, SIZE_MAX);
  REFUSES(WARP_TOO_BIG, warp_attempt_signal, attempt, 1, buf, WARP_ATTEMPT_MESSAGE_MAX + 1);
  REFUSES(WARP_INVALID, warp_attempt_dial, attempt, NULL);
  REFUSES(WARP_INVALID, warp_attempt_listen_port, attempt, NULL);
  REFUSES(WARP_INVALID, warp_attempt_tcp_port, attempt, true, NULL);
  REFUSES(WARP_INVALID, warp_attempt_path, attempt, NULL, NULL, NULL);
  REFUSES(WARP_INVALID, warp_attempt_path, attempt, &(warp_path_socket){0}, NULL,
          &(warp_path *){NULL});
  REFUSES(WARP_INVALID, warp_attempt_udp, attempt, NULL, NULL);
  REFUSES(WARP_INVALID, warp_attempt_stun_server, attempt, 0, NULL);
  REFUSES(WARP_NOT_FOUND, warp_attempt_stun_server, attempt, UINT32_MAX, &addr);
  REFUSES(WARP_INVALID, warp_attempt_relay, attempt, 0, NULL);
  REFUSES(WARP_NOT_FOUND, warp_attempt_relay, attempt, UINT32_MAX, &relay);
  REFUSES(WARP_INVALID, warp_attempt_server_stream, attempt, NULL, NULL, &handlers, &stream);
  REFUSES(WARP_INVALID, warp_attempt_server_stream, attempt, &addr, NULL, NULL, &stream);
  REFUSES(WARP_INVALID, warp_attempt_server_stream, attempt, &addr, NULL, &handlers, NULL);
  REFUSES(WARP_INVALID, warp_attempt_own_record, attempt, NULL, &len);
  REFUSES(WARP_INVALID, warp_attempt_own_record, attempt, buf, NULL);
  REFUSES(WARP_INVALID, warp_attempt_refresh, attempt, NULL, 4);
  len = 1;
  REFUSES(WARP_TOO_BIG, warp_attempt_own_record, attempt, buf, &len);
}

static void pass_numbers(warp_attempt *attempt) {
  uint32_t ms = 1;
  static const warp_budget none[] = {(warp_budget)0, (warp_budget)4, (warp_budget)-1,
                                     (warp_budget)INT32_MAX};
  for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
    assert_int_equal(BADLY(warp_attempt_take, attempt, none[i], 9, &ms), 0);
    assert_int_equal(ms, 0);
    BADLY(warp_attempt_give, attempt, none[i], UINT32_MAX);
  }
  unsigned all = BADLY(warp_attempt_take, attempt, WARP_BUDGET_SYNS, UINT32_MAX, NULL);
  assert_in_range(all, 1, 65535);
  assert_int_equal(warp_attempt_take(attempt, WARP_BUDGET_SYNS, 1, &ms), 0);
  assert_int_not_equal(ms, 0);
  BADLY(warp_attempt_give, attempt, WARP_BUDGET_SYNS, UINT32_MAX); /* no more than it has */
  assert_int_equal(warp_attempt_take(attempt, WARP_BUDGET_SYNS, UINT32_MAX, &ms), all);
  warp_attempt_give(attempt, WARP_BUDGET_SYNS, all);
  assert_int_equal(BADLY(warp_attempt_random, attempt, 0), 0);
  uint8_t junk[WARP_RECORD_MAX + 1] = {1, 2, 3};
  REFUSES(WARP_MALFORMED, warp_attempt_refresh, attempt, junk, 0);
  assert_int_not_equal(BADLY(warp_attempt_refresh, attempt, junk, sizeof junk), WARP_OK);
  assert_false(BADLY(warp_attempt_start_next, attempt)); /* it runs no phase */
}

static void on_dialled(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to,
                       int status) {
  (void)attempt, (void)port, (void)to, (void)status;
}

static void use_port_badly(warp_attempt *attempt) {
  warp_addr to = an_address(), nobody = {0}, no_port = to, loopback;
  warp_tcp_port *port, *second;
  assert_int_equal(warp_attempt_tcp_port(attempt, true, &port), WARP_OK);
  no_port.port = 0;
  assert_int_equal(warp_addr_parse("127.0.0.1:22", &loopback), WARP_OK);
  REFUSES(WARP_INVALID, warp_tcp_port_measure, port, NULL, on_tcp_measured);
  REFUSES(WARP_INVALID, warp_tcp_port_measure, port, &to, NULL);
  REFUSES(WARP_INVALID, warp_tcp_port_dial, port, NULL, on_dialled);
  BADLY(warp_tcp_port_dial, port, &to, NULL);
  REFUSES(WARP_UNTRUSTED, warp_tcp_port_dial, port, &nobody, on_dialled);
  REFUSES(WARP_UNTRUSTED, warp_tcp_port_dial, port, &no_port, on_dialled);
  REFUSES(WARP_UNTRUSTED, warp_tcp_port_dial, port, &loopback, on_dialled);
  REFUSES(WARP_UNTRUSTED, warp_attempt_dial, attempt, &nobody);
  REFUSES(WARP_UNTRUSTED, warp_attempt_dial, attempt, &loopback);
  BADLY(warp_tcp_port_abort, port, NULL);
  BADLY(warp_tcp_port_abort, port, &loopback); /* no such dial */
  assert_int_equal(warp_attempt_listen_port(attempt, &second), WARP_OK);
  REFUSES(WARP_STATE, warp_attempt_listen_port, attempt, &second);
  warp_tcp_port_close(port);
}

static void use_path_badly(warp_attempt *attempt) {
  warp_addr to = an_address(), nobody = {0}, loopback;
  warp_udp_socket *socket;
  warp_path *path, *second;
  assert_int_equal(warp_addr_parse("127.0.0.1:22", &loopback), WARP_OK);
  assert_int_equal(warp_attempt_udp(attempt, NULL, &socket), WARP_OK);
  assert_int_equal(warp_attempt_path(attempt, NULL, NULL, &path), WARP_OK);
  REFUSES(WARP_STATE, warp_attempt_path, attempt, NULL, NULL, &second);
  REFUSES(WARP_INVALID, warp_path_add, path, NULL);
  REFUSES(WARP_UNTRUSTED, warp_path_add, path, &nobody);
  REFUSES(WARP_UNTRUSTED, warp_path_add, path, &loopback);
  REFUSES(WARP_INVALID, warp_path_attach, path, NULL);
  REFUSES(WARP_STATE, warp_path_probe_to, path, socket, &to); /* not attached */
  REFUSES(WARP_INVALID, warp_path_probe_to, path, NULL, NULL);
  REFUSES(WARP_UNTRUSTED, warp_path_probe_to, path, NULL, &loopback);
  BADLY(warp_path_set_relayed, path, WARP_UDP, NULL);
  BADLY(warp_path_set_relayed, path, (warp_transport)9, &to);
  BADLY(warp_path_input, path, NULL, 5, &to);
  BADLY(warp_path_input, path, (const uint8_t *)"\0\1\2", 3, NULL);
  BADLY(warp_path_input, path, (const uint8_t *)"\0\1\2", 3, &to);
  BADLY(warp_udp_socket_local, socket, NULL);
  REFUSES(WARP_INVALID, warp_udp_socket_send, socket, NULL, "x", 1);
  REFUSES(WARP_INVALID, warp_udp_socket_send, socket, &to, NULL, 1);
  REFUSES(WARP_TOO_BIG, warp_udp_socket_send, socket, &to, "x", SIZE_MAX);
  REFUSES(WARP_INVALID, warp_udp_socket_measure, socket, NULL, on_measured);
  REFUSES(WARP_INVALID, warp_udp_socket_measure, socket, &to, NULL);
  assert_int_equal(warp_udp_socket_measure(socket, &to, on_measured), WARP_OK);
  REFUSES(WARP_STATE, warp_udp_socket_measure, socket, &to, on_measured);
  warp_udp_socket_close(socket);
}

static void use_stream_badly(warp_attempt *attempt) {
  warp_addr to = an_address();
  warp_server_stream *stream;
  warp_server_handlers handlers = {0};
  REFUSES(WARP_TLS, warp_attempt_server_stream, attempt, &to, "", &handlers, &stream);
  assert_int_equal(warp_attempt_server_stream(attempt, &to, NULL, &handlers, &stream), WARP_OK);
  REFUSES(WARP_STATE, warp_server_stream_send, stream, "early", 5);
  REFUSES(WARP_INVALID, warp_server_stream_send, stream, NULL, 1);
  assert_int_equal(warp_server_stream_queued(stream), 0);
  warp_server_stream_close(stream);
}

static int run_badly(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type, (void)message, (void)len;
  pass_nothing(attempt);
  pass_numbers(attempt);
  use_path_badly(attempt);
  use_port_badly(attempt);
  use_stream_badly(attempt);
  BADLY(warp_attempt_fail, attempt, WARP_REFUSED, NULL);
  return WARP_OK;
}

static void test_clumsy(void **state) {
  (void)state;
  static const warp_plugin bad = {CLUMSY, .name = "clumsy", .run = run_badly};
  connect_with(&bad, 11);
}

/* ---- at the end ------------------------------------------------------------------------------ */

typedef struct remains {
  warp_udp_socket *socket;
  warp_tcp_port *port;
  warp_path *path;
  warp_server_stream *stream;
} remains;

static int run_holding(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type, (void)message, (void)len;
  warp_addr to = an_address();
  warp_server_handlers handlers = {0};
  remains *held = warp_attempt_state(attempt);
  assert_int_equal(warp_attempt_udp(attempt, NULL, &held->socket), WARP_OK);
  assert_int_equal(warp_attempt_tcp_port(attempt, true, &held->port), WARP_OK);
  assert_int_equal(warp_attempt_path(attempt, NULL, NULL, &held->path), WARP_OK);
  assert_int_equal(warp_attempt_server_stream(attempt, &to, NULL, &handlers, &held->stream),
                   WARP_OK);
  warp_attempt_blame(attempt, 12345); /* no status: it is put right */
  return WARP_RESET;
}

static unsigned stops;

/* All that it holds is still there, and takes nothing any more. */
static void stop_busily(warp_attempt *attempt) {
  const remains *held = warp_attempt_state(attempt);
  warp_addr to = an_address();
  warp_path *path;
  warp_tcp_port *port;
  warp_udp_socket *socket;
  warp_server_stream *stream;
  warp_server_handlers handlers = {0};
  stops++;
  REFUSES(WARP_STATE, warp_attempt_signal, attempt, 1, "x", 1);
  REFUSES(WARP_STATE, warp_attempt_dial, attempt, &to);
  REFUSES(WARP_STATE, warp_attempt_listen_port, attempt, &port);
  REFUSES(WARP_STATE, warp_attempt_tcp_port, attempt, false, &port);
  REFUSES(WARP_STATE, warp_attempt_path, attempt, NULL, NULL, &path);
  REFUSES(WARP_STATE, warp_attempt_udp, attempt, NULL, &socket);
  REFUSES(WARP_STATE, warp_attempt_server_stream, attempt, &to, NULL, &handlers, &stream);
  REFUSES(WARP_STATE, warp_tcp_port_dial, held->port, &to, NULL);
  REFUSES(WARP_STATE, warp_tcp_port_measure, held->port, &to, on_tcp_measured);
  REFUSES(WARP_STATE, warp_udp_socket_measure, held->socket, &to, on_measured);
  assert_int_equal(warp_attempt_take(attempt, WARP_BUDGET_FLOWS, 3, NULL), 0);
  warp_attempt_timer(attempt, 0, 0, on_timer);
  warp_attempt_timer_stop(attempt, 0);
  warp_attempt_expect(attempt);
  warp_attempt_keep(attempt);
  warp_attempt_fail(attempt, WARP_IO, "again");
  warp_path_probe(held->path);
  warp_server_stream_close(held->stream);
  warp_udp_socket_close(held->socket);
  warp_tcp_port_close(held->port);
}

static void test_busy_to_the_end(void **state) {
  (void)state;
  static const warp_plugin bad = {CLUMSY, .name = "busy", .state_size = sizeof(remains),
                                  .run = run_holding, .stop = stop_busily};
  stops = 0;
  connect_with(&bad, 12);
  assert_int_equal(stops, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_attempt),
      cmocka_unit_test(test_no_socket),
      cmocka_unit_test(test_clumsy),
      cmocka_unit_test(test_busy_to_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
