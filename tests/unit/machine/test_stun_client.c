/* The Binding transaction: when it sends, what it takes for its answer, how it ends. */
#include "base/addr.h"
#include "machine/stun_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000 };

static const uint64_t start_us = 5000000;
static const warp_addr server = {.family = WARP_IP4, .ip = {192, 0, 2, 1}, .port = 3478};
static const warp_addr mapped = {.family = WARP_IP4, .ip = {203, 0, 113, 7}, .port = 40000};
static const wg_stun_txid txid = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};

static bool sends(wg_stun_client *client, uint64_t now_us) {
  const uint8_t *bytes;
  size_t len;
  return wg_stun_client_output(client, now_us, &bytes, &len);
}

/* Runs a client until it is done without an answer; notes when it sent, in ms after the start. */
static size_t run_silent(const wg_stun_timing *timing, unsigned when_ms[16], unsigned *end_ms) {
  wg_stun_client client;
  size_t count = 0;
  wg_stun_client_start(&client, timing, &server, &txid, start_us);
  uint64_t now_us = wg_stun_client_deadline(&client);
  while (client.state == WG_STUN_CLIENT_WAITING) {
    while (sends(&client, now_us)) {
      when_ms[count++] = (unsigned)((now_us - start_us) / MS);
    }
    *end_ms = (unsigned)((now_us - start_us) / MS);
    uint64_t next_us = wg_stun_client_deadline(&client);
    assert_true(next_us > now_us);
    now_us = next_us;
  }
  assert_int_equal(client.result.status, WARP_TIMEOUT);
  assert_int_equal(client.result.sent, count);
  assert_true(wg_stun_client_deadline(&client) == UINT64_MAX);
  return count;
}

static void test_default_timing(void **state) {
  (void)state;
  /* The very example of RFC 8489 section 6.2.1. */
  static const unsigned expected[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
  unsigned when_ms[16], end_ms;
  assert_int_equal(run_silent(NULL, when_ms, &end_ms), 7);
  assert_memory_equal(when_ms, expected, sizeof expected);
  assert_int_equal(end_ms, 39500);
}

static void test_other_timing(void **state) {
  (void)state;
  static const unsigned expected[] = {0, 100, 300};
  const wg_stun_timing timing = {.rto_ms = 100, .sends = 3, .rm = 4};
  unsigned when_ms[16], end_ms;
  assert_int_equal(run_silent(&timing, when_ms, &end_ms), 3);
  assert_memory_equal(when_ms, expected, sizeof expected);
  assert_int_equal(end_ms, 700);
  const wg_stun_timing ceiling = {.rto_ms = 100, .timeout_ms = 250};
  assert_int_equal(run_silent(&ceiling, when_ms, &end_ms), 2);
  assert_int_equal(end_ms, 250);
  const wg_stun_timing tcp = {.reliable = true, .timeout_ms = 3000};
  assert_int_equal(run_silent(&tcp, when_ms, &end_ms), 1);
  assert_int_equal(end_ms, 3000);
}

static void test_no_burst_after_a_pause(void **state) {
  (void)state;
  wg_stun_client client;
  wg_stun_client_start(&client, NULL, &server, &txid, start_us);
  assert_true(sends(&client, start_us));
  uint64_t late_us = start_us + 10000 * MS; /* the host was suspended */
  assert_true(sends(&client, late_us));
  assert_false(sends(&client, late_us));
  assert_true(wg_stun_client_deadline(&client) == late_us + 1000 * MS);
}

/* ---- answers --------------------------------------------------------------------------------- */

typedef enum answer_kind {
  SUCCESS,
  OLD_SUCCESS,
  ERROR,
  NO_ADDRESS,
  UNKNOWN_ATTR,
  REQUEST
} answer_kind;

static size_t make_answer(answer_kind kind, const wg_stun_txid *id, uint8_t out[128]) {
  static const warp_addr other = {.family = WARP_IP4, .ip = {192, 0, 2, 2}, .port = 3479};
  static const wg_stun_class classes[] = {WG_STUN_SUCCESS, WG_STUN_SUCCESS, WG_STUN_ERROR,
                                          WG_STUN_SUCCESS, WG_STUN_SUCCESS, WG_STUN_REQUEST};
  wg_writer writer = wg_writer_init(out, 128);
  wg_stun_begin(&writer, classes[kind], WG_STUN_BINDING, id);
  if (kind == ERROR) {
    wg_stun_attr_error(&writer, 420, "Unknown Attribute");
  } else if (kind != NO_ADDRESS) {
    wg_stun_attr_addr(&writer,
                      kind == OLD_SUCCESS ? WG_STUN_MAPPED_ADDRESS : WG_STUN_XOR_MAPPED_ADDRESS,
                      &mapped);
  }
  if (kind == SUCCESS) {
    wg_stun_attr_addr(&writer, WG_STUN_OTHER_ADDRESS, &other);
  }
  if (kind == UNKNOWN_ATTR) {
    wg_stun_attr_u32(&writer, 0x7ff0, 0);
  }
  return (size_t)wg_stun_end(&writer);
}

static wg_stun_client started(void) {
  wg_stun_client client;
  wg_stun_client_start(&client, NULL, &server, &txid, start_us);
  assert_true(sends(&client, start_us));
  return client;
}

static bool give(wg_stun_client *client, answer_kind kind, const wg_stun_txid *id,
                 const warp_addr *from) {
  uint8_t bytes[128];
  size_t len = make_answer(kind, id, bytes);
  return wg_stun_client_input(client, bytes, len, from, start_us + 40 * MS);
}

static void test_request(void **state) {
  (void)state;
  wg_stun_client client;
  const uint8_t *bytes;
  size_t len;
  wg_stun_client_start(&client, NULL, &server, &txid, start_us);
  assert_true(wg_stun_client_output(&client, start_us, &bytes, &len));
  assert_int_equal(len, 20);
  assert_memory_equal(bytes, "\0\1\0\0\x21\x12\xa4\x42\1\2\3\4\5\6\7\10\11\12\13\14", 20);
}

static void test_success(void **state) {
  (void)state;
  wg_stun_client client = started();
  assert_true(give(&client, SUCCESS, &txid, &server));
  assert_int_equal(client.state, WG_STUN_CLIENT_DONE);
  assert_int_equal(client.result.status, WARP_OK);
  assert_true(wg_addr_equal(&client.result.mapped, &mapped));
  assert_int_equal(client.result.other.port, 3479);
  assert_int_equal(client.result.rtt_us, 40 * MS);
  assert_int_equal(client.result.sent, 1);
  assert_true(wg_stun_client_deadline(&client) == UINT64_MAX);
  assert_false(sends(&client, start_us + 600 * MS));
  assert_false(give(&client, SUCCESS, &txid, &server)); /* a second copy */

  client = started();
  assert_true(give(&client, OLD_SUCCESS, &txid, &server));
  assert_true(wg_addr_equal(&client.result.mapped, &mapped));
  assert_int_equal(client.result.other.family, 0);
}

static void test_error(void **state) {
  (void)state;
  wg_stun_client client = started();
  assert_true(give(&client, ERROR, &txid, &server));
  assert_int_equal(client.result.status, WARP_REFUSED);
  assert_int_equal(client.result.code, 420);
}

static void test_what_is_no_answer(void **state) {
  (void)state;
  static const wg_stun_txid other_id = {{9}};
  warp_addr other_port = wg_addr_with_port(&server, 3479);
  wg_stun_client client = started();
  assert_false(give(&client, SUCCESS, &other_id, &server));
  assert_false(give(&client, SUCCESS, &txid, &other_port));
  assert_false(give(&client, NO_ADDRESS, &txid, &server));
  assert_false(give(&client, UNKNOWN_ATTR, &txid, &server));
  assert_false(give(&client, REQUEST, &txid, &server));
  assert_false(wg_stun_client_input(&client, (const uint8_t *)"x", 1, &server, start_us));
  assert_int_equal(client.state, WG_STUN_CLIENT_WAITING);
  assert_true(give(&client, SUCCESS, &txid, &server)); /* none of them has harmed it */
  wg_stun_client idle = {0};
  assert_false(give(&idle, SUCCESS, &txid, &server));
  assert_false(sends(&idle, start_us));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_default_timing),
      cmocka_unit_test(test_other_timing),
      cmocka_unit_test(test_no_burst_after_a_pause),
      cmocka_unit_test(test_request),
      cmocka_unit_test(test_success),
      cmocka_unit_test(test_error),
      cmocka_unit_test(test_what_is_no_answer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
