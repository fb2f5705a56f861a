/* Connections of attempts to servers: with TLS and without, and every way they end. */
#include "port_rig.h"
#include "testing.h"
#include "tls_server.h"

static const char *const server_text = "203.0.113.10:5349";

typedef struct fixture {
  port_rig rig;
  tls_authority authority;
  wg_env *env; /* the server's */
  wg_tcp_listener *listener;
  wg_tcp *tcp;
  bool silent, tls_up;
  tls_server tls;
  unsigned ended_there;
  warp_server_stream *stream;
  unsigned opened, ended;
  int open_status, end_status;
  size_t received;
  uint8_t last[64];
  bool close_on_open, close_on_data, fail_on_open;
} fixture;

static fixture *current;

/* ---- the server ------------------------------------------------------------------------------ */

static void flush(fixture *f) {
  uint8_t *bytes;
  size_t len = tls_server_output(&f->tls, &bytes);
  if (len > 0)
    assert_int_equal(f->env->ops->tcp_send(f->tcp, bytes, len), WARP_OK);
}

static void there_data(void *arg, const uint8_t *data, size_t len) {
  fixture *f = arg;
  if (f->silent)
    return;
  if (!f->tls_up) {
    assert_int_equal(f->env->ops->tcp_send(f->tcp, data, len), WARP_OK);
    return;
  }
  tls_server_input(&f->tls, data, len);
  flush(f);
}

static void there_end(void *arg, int status) {
  (void)status;
  ((fixture *)arg)->ended_there++;
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers handlers = {.on_data = there_data, .on_end = there_end};
  (void)from;
  fixture *f = arg;
  assert_null(f->tcp);
  f->tcp = tcp;
  f->env->ops->tcp_set_handlers(tcp, &handlers, f);
}

/* ---- the plugin's side ----------------------------------------------------------------------- */

static void on_open(warp_attempt *attempt, warp_server_stream *stream, int status) {
  fixture *f = current;
  assert_ptr_equal(stream, f->stream);
  f->opened++;
  f->open_status = status;
  if (f->close_on_open)
    warp_server_stream_close(stream);
  if (f->fail_on_open)
    warp_attempt_fail(attempt, WARP_REFUSED, "no more");
}

static void on_data(warp_attempt *attempt, warp_server_stream *stream, const uint8_t *data,
                    size_t len) {
  (void)attempt;
  fixture *f = current;
  f->received += len;
  memcpy(f->last, data, len < sizeof f->last ? len : sizeof f->last);
  if (f->close_on_data)
    warp_server_stream_close(stream);
}

static void on_end(warp_attempt *attempt, warp_server_stream *stream, int status) {
  (void)attempt;
  (void)stream;
  current->ended++;
  current->end_status = status;
}

static const warp_server_handlers handlers = {on_open, on_data, on_end};

static void build(fixture *f, const char *names) {
  *f = (fixture){.tls_up = names != NULL};
  current = f;
  tls_authority_open(&f->authority);
  if (names != NULL)
    tls_server_open(&f->tls, &f->authority, names, TLS1_3_VERSION);
  port_rig_open(&f->rig, "open");
  f->rig.a.connect->config.ca_file = "/ca/relay.pem";
  wg_env *own = sim_host_env(f->rig.net.a);
  assert_int_equal(
      own->ops->file_write(own, "/ca", "relay.pem", f->authority.pem, f->authority.pem_len),
      WARP_OK);
  f->env = sim_host_env(f->rig.net.server);
  warp_addr local = address(server_text);
  assert_int_equal(f->env->ops->tcp_listen(f->env, &local, 0, on_accept, f, &f->listener), WARP_OK);
}

static void finish(fixture *f) {
  if (f->tcp != NULL)
    f->env->ops->tcp_reset(f->tcp);
  f->env->ops->tcp_listener_close(f->listener);
  port_rig_close(&f->rig);
  if (f->tls_up)
    tls_server_close(&f->tls);
  tls_authority_close(&f->authority);
}

static void run(fixture *f, uint64_t us) {
  assert_int_equal(sim_run_for(f->rig.net.world, us), WARP_OK);
}

static void open_stream(fixture *f, const char *tls_name) {
  warp_addr to = address(server_text);
  assert_int_equal(
      warp_attempt_server_stream(f->rig.a.attempt, &to, tls_name, &handlers, &f->stream), WARP_OK);
  assert_int_equal(warp_server_stream_send(f->stream, "early", 5), WARP_STATE);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_plain(void **state) {
  (void)state;
  fixture f;
  build(&f, NULL);
  open_stream(&f, NULL);
  run(&f, SIM_SECOND);
  assert_int_equal(f.opened, 1);
  assert_int_equal(f.open_status, WARP_OK);
  assert_int_equal(warp_server_stream_send(f.stream, "hello", 5), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.received, 5);
  f.env->ops->tcp_reset(f.tcp);
  f.tcp = NULL;
  run(&f, SIM_SECOND);
  assert_int_equal(f.ended, 1);
  assert_int_equal(f.end_status, WARP_RESET);
  assert_int_equal(warp_server_stream_send(f.stream, "hello", 5), WARP_CLOSED);
  warp_server_stream_close(f.stream);
  finish(&f);
}

static void test_secured(void **state) {
  (void)state;
  static uint8_t much[100000];
  fixture f;
  build(&f, "DNS:relay.test");
  f.tls.echo = true;
  open_stream(&f, "relay.test");
  run(&f, SIM_SECOND);
  assert_int_equal(f.opened, 1);
  assert_int_equal(f.open_status, WARP_OK);
  assert_string_equal(f.tls.sni, "relay.test");
  assert_int_equal(warp_server_stream_send(f.stream, "hello", 5), WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.received, 5);
  assert_memory_equal(f.last, "hello", 5);
  assert_int_equal(warp_server_stream_send(f.stream, much, sizeof much), WARP_OK);
  run(&f, 3 * SIM_SECOND);
  assert_int_equal(f.received, 5 + sizeof much);
  tls_server_send(&f.tls, NULL, 0);
  flush(&f);
  run(&f, SIM_SECOND);
  assert_int_equal(f.ended, 1);
  assert_int_equal(f.end_status, WARP_CLOSED);
  finish(&f); /* the attempt closes it */
}

static void check_failure(const char *names, const char *name, int status, const char *said) {
  fixture f;
  build(&f, names);
  open_stream(&f, name);
  run(&f, 11 * SIM_SECOND);
  assert_int_equal(f.opened, 1);
  assert_int_equal(f.open_status, status);
  if (said != NULL)
    assert_non_null(strstr(f.rig.a.attempt->row.detail, said));
  assert_true(wg_attempt_alive(f.rig.a.attempt));
  assert_int_equal(f.ended_there, 1);
  assert_int_equal(warp_server_stream_send(f.stream, "late", 4), WARP_CLOSED);
  assert_int_equal(f.ended, 0);
  finish(&f);
}

static void test_not_who_it_should_be(void **state) {
  (void)state;
  check_failure("DNS:other.test", "relay.test", WARP_UNTRUSTED, "203.0.113.10:5349: ");
  check_failure("DNS:relay.test", "203.0.113.10", WARP_UNTRUSTED, NULL);
  check_failure(NULL, "relay.test", WARP_TLS, "TLS with"); /* it sends back what we say */
}

static void test_silence(void **state) {
  (void)state;
  fixture f;
  build(&f, "DNS:relay.test");
  f.silent = true;
  open_stream(&f, "relay.test");
  run(&f, 9 * SIM_SECOND);
  assert_int_equal(f.opened, 0);
  run(&f, 2 * SIM_SECOND);
  assert_int_equal(f.opened, 1);
  assert_int_equal(f.open_status, WARP_TIMEOUT);
  finish(&f);
}

static void test_refused(void **state) {
  (void)state;
  fixture f;
  build(&f, NULL);
  warp_addr to = address("203.0.113.10:5350");
  assert_int_equal(warp_attempt_server_stream(f.rig.a.attempt, &to, NULL, &handlers, &f.stream),
                   WARP_OK);
  run(&f, SIM_SECOND);
  assert_int_equal(f.open_status, WARP_CONN_REFUSED);
  finish(&f);
}

static void test_nothing_to_trust(void **state) {
  (void)state;
  fixture f;
  build(&f, "DNS:relay.test");
  warp_addr to = address(server_text);
  f.rig.a.connect->config.ca_file = "/nothing/here";
  assert_int_equal(
      warp_attempt_server_stream(f.rig.a.attempt, &to, "relay.test", &handlers, &f.stream),
      WARP_TLS);
  assert_non_null(strstr(f.rig.a.attempt->row.detail, "/nothing/here"));
  finish(&f);
}

/* The plugin closes it, or ends its attempt, from inside its callbacks. */
static void test_closed_from_inside(void **state) {
  (void)state;
  for (unsigned turn = 0; turn < 3; turn++) {
    fixture f;
    build(&f, "DNS:relay.test");
    f.tls.echo = true;
    f.close_on_open = turn == 0;
    f.close_on_data = turn == 1;
    f.fail_on_open = turn == 2;
    open_stream(&f, "relay.test");
    run(&f, SIM_SECOND);
    assert_int_equal(f.opened, 1);
    if (turn == 1) {
      assert_int_equal(warp_server_stream_send(f.stream, "hello", 5), WARP_OK);
      run(&f, SIM_SECOND);
      assert_int_equal(f.received, 5);
    }
    run(&f, 3 * SIM_SECOND);
    assert_int_equal(f.ended, 0);
    assert_int_equal(f.ended_there, 1);
    finish(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),
      cmocka_unit_test(test_secured),
      cmocka_unit_test(test_not_who_it_should_be),
      cmocka_unit_test(test_silence),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_nothing_to_trust),
      cmocka_unit_test(test_closed_from_inside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
