/* Plugins that end their attempt, or close what they hold or the node, inside each callback. */
#include "plugins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

typedef enum place {
  TIMER,
  RECEIVED,
  UDP_MEASURED,
  TCP_MEASURED,
  DIALLED,
  SERVER_OPEN,
  SERVER_DATA,
  SERVER_END,
  HEARD,
  MESSAGE,
  STOP,
  PLACES
} place;
typedef enum deed { FAIL, CLOSE, CLOSE_THEN_FAIL, FAIL_THEN_CLOSE, CLOSE_NODE, KEEP, DEEDS } deed;

/* What this run of the test is about; only the initiator acts. */
static struct {
  place where;
  deed what;
  bool done;
  peers *both;
  warp_addr stun;
} plan;
static unsigned stops;

/* One attempt's objects; NULL once closed. */
typedef struct holding {
  warp_udp_socket *socket, *far;
  warp_tcp_port *port;
  warp_server_stream *stream;
  warp_path *path;
} holding;

static void close_all(holding *held) {
  warp_udp_socket_close(held->socket);
  warp_udp_socket_close(held->far);
  warp_tcp_port_close(held->port);
  warp_server_stream_close(held->stream);
  *held = (holding){.path = held->path};
}

static void on_closed(void *arg) {
  *(bool *)arg = true;
}

static void at(warp_attempt *attempt, place where) {
  if (warp_attempt_role(attempt) != WARP_INITIATOR || plan.done || plan.where != where)
    return;
  plan.done = true;
  holding *held = warp_attempt_state(attempt);
  warp_node *node = plan.both->a.node;
  switch (plan.what) {
  case FAIL:
    warp_attempt_fail(attempt, WARP_REFUSED, "as planned");
    break;
  case CLOSE:
    close_all(held);
    break;
  case CLOSE_THEN_FAIL:
    close_all(held);
    warp_attempt_fail(attempt, WARP_REFUSED, "as planned");
    break;
  case FAIL_THEN_CLOSE: /* nothing is there any more: `stop` has run */
    warp_attempt_fail(attempt, WARP_REFUSED, "as planned");
    close_all(held);
    break;
  case CLOSE_NODE:
    plan.both->a.node = NULL;
    warp_node_close(node, on_closed, &plan.both->a.closed);
    break;
  case KEEP:
  case DEEDS:
    break;
  }
}

static void on_timer(warp_attempt *attempt) {
  holding *held = warp_attempt_state(attempt);
  warp_addr far;
  warp_udp_socket_local(held->far, &far);
  (void)warp_udp_socket_send(held->socket, &far, "hello", 5);
  warp_path_probe(held->path);
  at(attempt, TIMER);
}

static void on_received(warp_attempt *attempt, warp_udp_socket *socket, const uint8_t *data,
                        size_t len, const warp_addr *from) {
  (void)socket, (void)data, (void)len, (void)from;
  at(attempt, RECEIVED);
}

static void on_udp_measured(warp_attempt *attempt, warp_udp_socket *socket, int status,
                            const warp_addr *external) {
  (void)socket;
  assert_true((status == WARP_OK) == (external != NULL));
  at(attempt, UDP_MEASURED);
}

static void on_tcp_measured(warp_attempt *attempt, warp_tcp_port *port, int status,
                            const warp_addr *external) {
  (void)port;
  assert_true((status == WARP_OK) == (external != NULL));
  at(attempt, TCP_MEASURED);
}

static void on_dialled(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to,
                       int status) {
  (void)port, (void)to, (void)status;
  at(attempt, DIALLED);
}

static void on_server_open(warp_attempt *attempt, warp_server_stream *stream, int status) {
  /* A Binding request (RFC 8489), and what is no STUN, for which the server hangs up. */
  static const uint8_t words[32] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1,    2,    3,    4,
                                    5, 6, 7, 8, 9,    10,   11,   12,   0xff, 0xff, 0xff, 0xff};
  if (status == WARP_OK)
    assert_int_equal(warp_server_stream_send(stream, words, sizeof words), WARP_OK);
  at(attempt, SERVER_OPEN);
}

static void on_server_data(warp_attempt *attempt, warp_server_stream *stream, const uint8_t *data,
                           size_t len) {
  (void)stream, (void)data, (void)len;
  at(attempt, SERVER_DATA);
}

static void on_server_end(warp_attempt *attempt, warp_server_stream *stream, int status) {
  (void)stream, (void)status;
  at(attempt, SERVER_END);
}

static void on_heard(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                     const warp_addr *from, bool acknowledged) {
  (void)path, (void)socket, (void)from, (void)acknowledged;
  at(attempt, HEARD);
}

static void on_message(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  (void)type, (void)message, (void)len;
  at(attempt, MESSAGE);
}

static void on_stop(warp_attempt *attempt) {
  holding *held = warp_attempt_state(attempt);
  if (warp_attempt_role(attempt) == WARP_INITIATOR)
    stops++;
  at(attempt, STOP);
  *held = (holding){0}; /* the context closes all of it */
}

static int run(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len) {
  static const warp_server_handlers handlers = {
      .on_open = on_server_open, .on_data = on_server_data, .on_end = on_server_end};
  (void)type, (void)message, (void)len;
  holding *held = warp_attempt_state(attempt);
  const warp_combo *combo = warp_attempt_combo(attempt);
  warp_addr to = combo->peer->nic;
  assert_int_equal(warp_attempt_signal(attempt, 1, "hello", 5), WARP_OK);
  assert_int_equal(warp_attempt_udp(attempt, on_received, &held->socket), WARP_OK);
  assert_int_equal(warp_attempt_udp(attempt, on_received, &held->far), WARP_OK);
  assert_int_equal(warp_attempt_path(attempt, NULL, on_heard, &held->path), WARP_OK);
  assert_int_equal(warp_path_add(held->path, &combo->peer->external_udp), WARP_OK);
  assert_int_equal(warp_path_secure(held->path), WARP_OK);
  assert_int_equal(warp_attempt_tcp_port(attempt, true, &held->port), WARP_OK);
  assert_int_equal(warp_udp_socket_measure(held->socket, &plan.stun, on_udp_measured), WARP_OK);
  assert_int_equal(warp_tcp_port_measure(held->port, &plan.stun, on_tcp_measured), WARP_OK);
  to.port++; /* nobody listens there */
  assert_int_equal(warp_tcp_port_dial(held->port, &to, on_dialled), WARP_OK);
  assert_int_equal(warp_attempt_server_stream(attempt, &plan.stun, NULL, &handlers, &held->stream),
                   WARP_OK);
  warp_attempt_timer(attempt, 0, 30, on_timer);
  return WARP_OK;
}

static const warp_plugin plugin = {.interface_version = WARP_PLUGIN_VERSION,
                                   .name = "closer",
                                   .phase = WARP_PHASE_DIRECT,
                                   .transports = WARP_UDP,
                                   .route_types = WARP_EXT_BIND,
                                   .state_size = sizeof(holding),
                                   .run = run,
                                   .message = on_message,
                                   .stop = on_stop};

/* The attempt ends as planned, or its path wins; the peers are as whole as before. */
static void act(place where, deed what) {
  const warp_plugin *list[] = {&plugin, NULL};
  peers both;
  memset(&plan, 0, sizeof plan);
  plan.where = where;
  plan.what = what;
  plan.both = &both;
  stops = 0;
  assert_int_equal(warp_addr_parse("203.0.113.10:3478", &plan.stun), WARP_OK);
  peers_build(&both, "open", "open", 5);
  peers_start(&both);
  peer_set_plugins(&both.a, list);
  peer_set_plugins(&both.b, list);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  assert_int_equal(warp_node_address(both.b.node, record, &len), WARP_OK);
  peers_begin_connect(&both, record, len, &(warp_connect_options){.timeout_ms = 5000});
  assert_int_equal(sim_run_for(both.net.world, 30 * second), WARP_OK);
  assert_true(both.a.connect_done);
  assert_int_equal(stops, 1);
  if (what == CLOSE_NODE)
    assert_true(both.a.closed);
  if (what == CLOSE || what == KEEP)
    assert_int_equal(both.a.connect_status, WARP_OK);
  if (both.a.connect_status == WARP_OK && both.a.pipe != NULL)
    peers_echo(&both);
  peers_free(&both);
}

static void test_in_every_callback(void **state) {
  (void)state;
  for (int where = 0; where < PLACES; where++) {
    for (int what = 0; what < DEEDS; what++) {
      act((place)where, (deed)what);
      assert_true(plan.done);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_every_callback)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
