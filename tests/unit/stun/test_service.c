/* The STUN service without sockets: which answer goes where. */
#include "fixtures/stun/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"

static const wg_stun_txid txid = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};

static warp_addr addr(const char *text) {
  warp_addr out;
  assert_int_equal(warp_addr_parse(text, &out), WARP_OK);
  return out;
}

static stun_service serve(const char *one, const char *other, bool connect_back) {
  stun_service service = {.connect_back = connect_back};
  for (unsigned i = 0; i < STUN_ENDPOINTS; i++) {
    warp_addr ip = addr(i & STUN_OTHER_IP ? other : one);
    service.at[i] = wg_addr_with_port(&ip, i & STUN_OTHER_PORT ? 3479 : 3478);
  }
  return service;
}

typedef struct asking {
  unsigned endpoint;
  bool tcp, fingerprint;
  int change;        /* -1: no CHANGE-REQUEST */
  int unknown;       /* -1: no attribute of this type */
  int response_port; /* 0: none, -1: port 0 */
  const char *from;
  wg_stun_class class;
} asking;

static stun_answer ask(const stun_service *service, const asking *how) {
  uint8_t bytes[WG_STUN_MAX];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, how->class, WG_STUN_BINDING, &txid);
  if (how->change >= 0) {
    wg_stun_attr_u32(&writer, WG_STUN_CHANGE_REQUEST, (uint32_t)how->change);
  }
  if (how->unknown >= 0) {
    wg_stun_attr_u32(&writer, (uint16_t)how->unknown, 0);
  }
  if (how->response_port != 0) {
    uint32_t port = how->response_port > 0 ? (uint32_t)how->response_port : 0;
    wg_stun_attr_u32(&writer, WG_STUN_RESPONSE_PORT, port << 16);
  }
  if (how->fingerprint) {
    wg_stun_fingerprint(&writer);
  }
  int len = wg_stun_end(&writer);
  assert_true(len > 0);
  stun_question question = {.bytes = bytes,
                            .len = (size_t)len,
                            .endpoint = how->endpoint,
                            .udp = !how->tcp,
                            .from = addr(how->from)};
  stun_answer answer;
  stun_service_answer(service, &question, &answer);
  return answer;
}

static wg_stun_message read_answer(const stun_answer *answer, wg_stun_class class) {
  wg_stun_message message;
  assert_int_equal(wg_stun_decode(answer->bytes, answer->len, &message), WARP_OK);
  assert_int_equal(message.class, class);
  assert_int_equal(message.method, WG_STUN_BINDING);
  assert_memory_equal(message.txid.bytes, txid.bytes, sizeof txid.bytes);
  return message;
}

static void assert_addr(const wg_stun_message *message, uint16_t type, const warp_addr *expected) {
  warp_addr got;
  assert_true(wg_stun_find_addr(message, type, &got));
  assert_true(wg_addr_equal(&got, expected));
}

static void assert_refused(const stun_answer *answer, unsigned expected) {
  wg_stun_message message = read_answer(answer, WG_STUN_ERROR);
  unsigned code;
  char reason[64];
  assert_true(wg_stun_find_error(&message, &code, reason, sizeof reason));
  assert_int_equal(code, expected);
  assert_false(answer->back);
}

/* Every endpoint, every change, both families: RFC 5780 section 6.1, table 1. */
static void check_all_changes(const stun_service *service, const char *from) {
  for (unsigned endpoint = 0; endpoint < STUN_ENDPOINTS; endpoint++) {
    for (int change = -1; change < 8; change++) {
      asking how = {.endpoint = endpoint, .change = change, .unknown = -1, .from = from};
      stun_answer answer = ask(service, &how);
      unsigned origin = endpoint;
      origin ^= change >= 0 && (change & WG_STUN_CHANGE_PORT) ? STUN_OTHER_PORT : 0;
      origin ^= change >= 0 && (change & WG_STUN_CHANGE_IP) ? STUN_OTHER_IP : 0;
      assert_int_equal(answer.origin, origin);
      assert_false(answer.back);
      wg_stun_message message = read_answer(&answer, WG_STUN_SUCCESS);
      warp_addr requester = addr(from);
      assert_addr(&message, WG_STUN_XOR_MAPPED_ADDRESS, &requester);
      assert_addr(&message, WG_STUN_MAPPED_ADDRESS, &requester);
      assert_addr(&message, WG_STUN_RESPONSE_ORIGIN, &service->at[origin]);
      assert_addr(&message, WG_STUN_OTHER_ADDRESS,
                  &service->at[endpoint ^ (STUN_OTHER_IP | STUN_OTHER_PORT)]);
    }
  }
}

static void udp_answers_come_from_where_they_were_asked_for(void **state) {
  (void)state;
  stun_service v4 = serve("203.0.113.10", "198.51.100.10", false);
  check_all_changes(&v4, "192.0.2.7:40000");
  stun_service v6 = serve("2001:db8::10", "2001:db8:1::10", true);
  check_all_changes(&v6, "[2001:db8:2::7]:40000");
}

static void a_fingerprint_gets_one_back(void **state) {
  (void)state;
  stun_service service = serve("203.0.113.10", "198.51.100.10", false);
  asking how = {.change = -1, .unknown = -1, .from = "192.0.2.7:40000"};
  wg_stun_attr attr;
  for (int with = 0; with < 2; with++) {
    how.fingerprint = with;
    stun_answer answer = ask(&service, &how);
    wg_stun_message message = read_answer(&answer, WG_STUN_SUCCESS);
    assert_int_equal(wg_stun_find(&message, WG_STUN_FINGERPRINT, &attr), with);
  }
}

/* RFC 5780 section 7.5: only the port may be another, and only over UDP. */
static void answers_go_to_another_port(void **state) {
  (void)state;
  stun_service service = serve("203.0.113.10", "198.51.100.10", false);
  asking how = {.change = -1, .unknown = -1, .response_port = 41000, .from = "192.0.2.7:40000"};
  stun_answer answer = ask(&service, &how);
  warp_addr mapped, to = addr("192.0.2.7:41000"), from = addr("192.0.2.7:40000");
  assert_true(wg_addr_equal(&answer.to, &to));
  wg_stun_message message = read_answer(&answer, WG_STUN_SUCCESS);
  assert_true(wg_stun_find_mapped(&message, &mapped));
  assert_true(wg_addr_equal(&mapped, &from));
  how.response_port = -1; /* port 0 */
  answer = ask(&service, &how);
  assert_refused(&answer, 400);
  assert_true(wg_addr_equal(&answer.to, &from));
  how.response_port = 53; /* of a service */
  answer = ask(&service, &how);
  assert_refused(&answer, 400);
  assert_true(wg_addr_equal(&answer.to, &from));
  how.response_port = 1023;
  answer = ask(&service, &how);
  assert_refused(&answer, 400);
  how.response_port = 1024;
  answer = ask(&service, &how);
  read_answer(&answer, WG_STUN_SUCCESS);
  assert_int_equal(answer.to.port, 1024);
  how.response_port = 41000;
  how.tcp = true;
  answer = ask(&service, &how);
  assert_refused(&answer, 400);
}

static void unknown_attributes_are_refused(void **state) {
  (void)state;
  enum { PADDING = 0x0026, OPTIONAL = 0x8abc };
  stun_service service = serve("203.0.113.10", "198.51.100.10", false);
  asking how = {.change = 6, .unknown = PADDING, .from = "192.0.2.7:40000"};
  stun_answer answer = ask(&service, &how);
  assert_refused(&answer, 420);
  assert_int_equal(answer.origin, 0); /* an error comes from where it was asked */
  wg_stun_message message = read_answer(&answer, WG_STUN_ERROR);
  wg_stun_attr attr;
  assert_true(wg_stun_find(&message, WG_STUN_UNKNOWN_ATTRIBUTES, &attr));
  assert_int_equal(attr.len, 2);
  assert_memory_equal(attr.value, "\x00\x26", 2);
  how.unknown = OPTIONAL;
  answer = ask(&service, &how);
  read_answer(&answer, WG_STUN_SUCCESS);
}

static void tcp_changes_only_in_a_laboratory(void **state) {
  (void)state;
  stun_service strict = serve("203.0.113.10", "198.51.100.10", false);
  asking how = {.tcp = true, .change = 2, .unknown = -1, .from = "192.0.2.7:40000"};
  stun_answer answer = ask(&strict, &how);
  assert_refused(&answer, 400);

  stun_service lab = serve("203.0.113.10", "198.51.100.10", true);
  answer = ask(&lab, &how);
  assert_true(answer.back);
  assert_int_equal(answer.origin, STUN_OTHER_PORT);
  wg_stun_message message = read_answer(&answer, WG_STUN_SUCCESS);
  assert_addr(&message, WG_STUN_RESPONSE_ORIGIN, &lab.at[STUN_OTHER_PORT]);
  how.change = 0; /* from where it was asked: over the connection that is there */
  answer = ask(&lab, &how);
  assert_false(answer.back);
  how.change = -1;
  answer = ask(&strict, &how);
  read_answer(&answer, WG_STUN_SUCCESS);
}

static void what_is_no_binding_request_gets_no_answer(void **state) {
  (void)state;
  stun_service service = serve("203.0.113.10", "198.51.100.10", true);
  asking how = {.change = -1, .unknown = -1, .from = "192.0.2.7:40000"};
  static const wg_stun_class classes[] = {WG_STUN_INDICATION, WG_STUN_SUCCESS, WG_STUN_ERROR};
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
    how.class = classes[i];
    assert_int_equal(ask(&service, &how).len, 0);
  }
  stun_answer answer = {.len = 1};
  stun_question question = {
      .bytes = (const uint8_t *)"hello", .len = 5, .udp = true, .from = addr(how.from)};
  stun_service_answer(&service, &question, &answer);
  assert_int_equal(answer.len, 0);
}

static void a_failed_way_back_is_told(void **state) {
  (void)state;
  uint8_t bytes[64];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  wg_stun_attr_u32(&writer, WG_STUN_CHANGE_REQUEST, WG_STUN_CHANGE_IP);
  stun_question question = {.bytes = bytes,
                            .len = (size_t)wg_stun_end(&writer),
                            .endpoint = 1,
                            .from = addr("192.0.2.7:40000")};
  stun_answer answer;
  stun_service_no_way_back(&question, WARP_TIMEOUT, &answer);
  assert_refused(&answer, 500);
  assert_int_equal(answer.origin, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(udp_answers_come_from_where_they_were_asked_for),
      cmocka_unit_test(a_fingerprint_gets_one_back),
      cmocka_unit_test(answers_go_to_another_port),
      cmocka_unit_test(unknown_attributes_are_refused),
      cmocka_unit_test(tcp_changes_only_in_a_laboratory),
      cmocka_unit_test(what_is_no_binding_request_gets_no_answer),
      cmocka_unit_test(a_failed_way_back_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
