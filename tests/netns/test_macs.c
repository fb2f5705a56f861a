#include "support.h"

#include "netns/macs.h"

static void number_mac(uint8_t mac[NS_MAC_BYTES], unsigned number) {
  const uint8_t bytes[NS_MAC_BYTES] = {2, 0, 0, 0, (uint8_t)(number >> 8), (uint8_t)number};
  for (int i = 0; i < NS_MAC_BYTES; i++)
    mac[i] = bytes[i];
}

static void learns_and_moves(void **state) {
  (void)state;
  ns_macs macs = {0};
  assert_int_equal(ns_macs_find(&macs, MAC_A), -1);
  ns_macs_learn(&macs, MAC_A, 3);
  ns_macs_learn(&macs, MAC_B, 4);
  assert_int_equal(ns_macs_find(&macs, MAC_A), 3);
  assert_int_equal(ns_macs_find(&macs, MAC_B), 4);
  ns_macs_learn(&macs, MAC_A, 5);
  assert_int_equal(ns_macs_find(&macs, MAC_A), 5);
  assert_int_equal(macs.used, 2);
}

static void does_not_learn_groups(void **state) {
  (void)state;
  ns_macs macs = {0};
  const uint8_t broadcast[] = {255, 255, 255, 255, 255, 255}, multicast[] = {1, 0, 94, 0, 0, 1};
  ns_macs_learn(&macs, broadcast, 1);
  ns_macs_learn(&macs, multicast, 1);
  assert_int_equal(ns_macs_find(&macs, broadcast), -1);
  assert_int_equal(ns_macs_find(&macs, multicast), -1);
}

static void forgets_a_port(void **state) {
  (void)state;
  ns_macs macs = {0};
  uint8_t mac[NS_MAC_BYTES];
  for (unsigned i = 0; i < 10; i++) {
    number_mac(mac, i);
    ns_macs_learn(&macs, mac, (int)i % 2);
  }
  ns_macs_forget(&macs, 1);
  for (unsigned i = 0; i < 10; i++) {
    number_mac(mac, i);
    assert_int_equal(ns_macs_find(&macs, mac), i % 2 ? -1 : 0);
  }
}

static void a_flood_overwrites_the_oldest(void **state) {
  (void)state;
  ns_macs macs = {0};
  uint8_t mac[NS_MAC_BYTES];
  for (unsigned i = 0; i < NS_MACS + 5; i++) {
    number_mac(mac, i);
    ns_macs_learn(&macs, mac, 1);
  }
  for (unsigned i = 0; i < NS_MACS + 5; i++) {
    number_mac(mac, i);
    assert_int_equal(ns_macs_find(&macs, mac), i < 5 ? -1 : 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(learns_and_moves),
      cmocka_unit_test(does_not_learn_groups),
      cmocka_unit_test(forgets_a_port),
      cmocka_unit_test(a_flood_overwrites_the_oldest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
