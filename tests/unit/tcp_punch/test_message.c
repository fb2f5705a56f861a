/* The messages of tcp_punch: golden bytes both ways, and what strangers send. */
#include "plugins/tcp_punch/message.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_golden(void **state) {
  (void)state;
  vector golden = vector_load("tcp_punch");
  punch_message message;
  uint8_t bytes[PUNCH_MESSAGE_MAX];
  assert_int_equal(wg_tcp_punch_read(golden.bytes, golden.len, &message), WARP_OK);
  assert_true(message.go && message.dialled);
  assert_int_equal(message.sent_us, INT64_C(1800000000000000));
  assert_int_equal(message.instant_us - message.sent_us, 60000);
  assert_int_equal(message.offer.plan.strategy, WG_STRATEGY_WALK);
  assert_int_equal(message.offer.round, 2);
  assert_int_equal(message.offer.port_count, 3);
  assert_int_equal(message.offer.ports[0], 40000);
  assert_int_equal(wg_tcp_punch_write(&message, bytes), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  message.offer.port_count = WG_OFFER_PORTS;
  assert_int_equal(wg_tcp_punch_write(&message, bytes), PUNCH_MESSAGE_MAX);
}

static int read_changed(size_t at, uint8_t value) {
  vector golden = vector_load("tcp_punch");
  punch_message message;
  golden.bytes[at] = value;
  return wg_tcp_punch_read(golden.bytes, golden.len, &message);
}

static void test_malformed(void **state) {
  (void)state;
  vector golden = vector_load("tcp_punch");
  punch_message message;
  for (size_t len = 0; len < golden.len; len++)
    assert_int_equal(wg_tcp_punch_read(golden.bytes, len, &message), WARP_MALFORMED);
  assert_int_equal(read_changed(0, 0xff), WARP_OK);        /* flags of a later version */
  assert_int_equal(read_changed(1, 0x80), WARP_MALFORMED); /* sent before 1970 */
  assert_int_equal(read_changed(9, 0x80), WARP_MALFORMED); /* to be dialled then */
  vector guess = vector_load("offer_guess");
  memcpy(golden.bytes + 17, guess.bytes, guess.len);
  assert_int_equal(wg_tcp_punch_read(golden.bytes, 17 + guess.len, &message), WARP_MALFORMED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_malformed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
