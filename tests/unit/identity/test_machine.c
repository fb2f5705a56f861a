/* Ids of the machine. */
#include "identity/identity.h"
#include "unit/identity/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static const char *hardware;

static int machine_id(wg_env *env, void *out, size_t cap, size_t *len) {
  (void)env;
  if (hardware == NULL) {
    return WARP_NOT_FOUND;
  }
  *len = strlen(hardware);
  assert_true(*len <= cap);
  memcpy(out, hardware, *len);
  return WARP_OK;
}

/* ---- a machine with network cards ------------------------------------------------------------ */

static wg_mac cards[10];
static size_t card_count;
static wg_mac default_card; /* of the interface that leads to the internet */
static char key_files[2][64];
static size_t files_read;

static int macs(wg_env *env, wg_mac *out, size_t max) {
  (void)env;
  assert_true(card_count <= max);
  memcpy(out, cards, card_count * sizeof cards[0]);
  return (int)card_count;
}

static int interfaces(wg_env *env, wg_interface *out, size_t max) {
  (void)env;
  assert_true(max >= 2);
  out[0] = (wg_interface){.name = "lo", .loopback = true};
  out[1] = (wg_interface){.name = "eth0", .is_default = true};
  memcpy(out[1].mac, default_card.bytes, sizeof out[1].mac);
  return 2;
}

static int file_read(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                     size_t *len) {
  (void)env;
  (void)out;
  (void)cap;
  assert_string_equal(dir, "/data");
  files_read++;
  *len = 0;
  return strcmp(name, key_files[0]) == 0 || strcmp(name, key_files[1]) == 0 ? WARP_OK
                                                                            : WARP_NOT_FOUND;
}

static const wg_env_ops ops = {
    .machine_id = machine_id, .macs = macs, .interfaces = interfaces, .file_read = file_read};
static wg_env env = {.ops = &ops};

static void test_machine_id(void **state) {
  (void)state;
  uint8_t id[WG_MACHINE_ID_LEN], expected[WG_MACHINE_ID_LEN];
  assert_true(wg_hex_decode(MACHINE_ID, expected, sizeof expected));
  hardware = NULL;
  assert_int_equal(wg_machine_id(&env, MACHINE, id), WARP_OK);
  assert_memory_equal(id, expected, sizeof id);
  assert_int_equal(wg_machine_id(&env, NULL, id), WARP_NOT_FOUND);
  hardware = MACHINE;
  assert_int_equal(wg_machine_id(&env, NULL, id), WARP_OK);
  assert_memory_equal(id, expected, sizeof id);
  hardware = "another";
  assert_int_equal(wg_machine_id(&env, NULL, id), WARP_OK);
  assert_memory_not_equal(id, expected, sizeof id);
  assert_int_equal(wg_machine_id(&env, "", id), WARP_INVALID);
  char too_long[600];
  memset(too_long, 'x', sizeof too_long);
  too_long[sizeof too_long - 1] = '\0';
  assert_int_equal(wg_machine_id(&env, too_long, id), WARP_INVALID);
}

static void test_golden_ports(void **state) {
  (void)state;
  static const uint16_t expected[] = {LISTEN_PORTS};
  uint8_t id[WG_MACHINE_ID_LEN];
  assert_true(wg_hex_decode(MACHINE_ID, id, sizeof id));
  for (unsigned turn = 0; turn < sizeof expected / sizeof expected[0]; turn++) {
    assert_int_equal(wg_listen_port(id, turn), expected[turn]);
  }
}

/* Every port of the range comes once before one comes again, for any machine. */
static void test_ports_never_repeat(void **state) {
  (void)state;
  for (uint8_t machine = 0; machine < 8; machine++) {
    uint8_t id[WG_MACHINE_ID_LEN] = {machine};
    uint8_t *seen = calloc(65536, 1);
    assert_non_null(seen);
    for (unsigned turn = 0; turn < 40000; turn++) {
      uint16_t port = wg_listen_port(id, turn);
      assert_in_range(port, 20001, 60000);
      assert_int_equal(seen[port], 0);
      seen[port] = 1;
    }
    assert_int_equal(wg_listen_port(id, 40000), wg_listen_port(id, 0));
    free(seen);
  }
}

/* A tag depends on the machine and on the key, and is not the id. */
static void test_tag(void **state) {
  (void)state;
  uint8_t machines[2][WG_MACHINE_ID_LEN] = {{1}, {2}}, tags[3][WG_MACHINE_ID_LEN];
  warp_key keys[2] = {{{2, 3}}, {{2, 4}}};
  wg_machine_tag(machines[0], &keys[0], tags[0]);
  wg_machine_tag(machines[0], &keys[1], tags[1]);
  wg_machine_tag(machines[1], &keys[0], tags[2]);
  assert_memory_not_equal(tags[0], tags[1], WG_MACHINE_ID_LEN);
  assert_memory_not_equal(tags[0], tags[2], WG_MACHINE_ID_LEN);
  assert_memory_not_equal(tags[0], machines[0], WG_MACHINE_ID_LEN);
  wg_machine_tag(machines[0], &keys[0], tags[1]);
  assert_memory_equal(tags[0], tags[1], WG_MACHINE_ID_LEN);
}

static wg_mac mac_of(uint8_t first, uint8_t last) {
  wg_mac mac = {{first, 0x1b, 0x21, 0, 0, last}};
  return mac;
}

static void expect_name(const char *expected) {
  char name[WG_MACHINE_NAME_LEN];
  assert_int_equal(wg_machine_name(&env, NULL, "/data", name), WARP_OK);
  assert_string_equal(name, expected);
}

static void name_now(char out[WG_MACHINE_NAME_LEN]) {
  assert_int_equal(wg_machine_name(&env, NULL, "/data", out), WARP_OK);
  assert_int_equal(strlen(out), WG_MACHINE_NAME_LEN - 1);
  assert_memory_equal(out, "m-", 2);
  assert_int_equal(strspn(out + 2, "0123456789abcdef"), WG_MACHINE_NAME_LEN - 3);
}

static void test_name_of_a_card(void **state) {
  (void)state;
  char low[WG_MACHINE_NAME_LEN], high[WG_MACHINE_NAME_LEN];
  hardware = MACHINE;
  key_files[0][0] = key_files[1][0] = '\0';
  cards[0] = mac_of(0, 9);
  card_count = 1;
  name_now(high);
  assert_null(strstr(high, "001b21")); /* not the address itself */
  /* The lowest one that is burnt in, in whatever order they come; made-up ones do not count. */
  cards[0] = mac_of(0, 5);
  name_now(low);
  assert_string_not_equal(low, high);
  cards[1] = mac_of(0, 9);
  cards[2] = mac_of(2, 1);
  card_count = 3;
  expect_name(low);
  cards[0] = mac_of(0, 9);
  cards[1] = mac_of(0, 5);
  expect_name(low);
  /* What the machine has used before stays, although a lower one was added. */
  snprintf(key_files[0], sizeof key_files[0], "%s.key", high);
  expect_name(high);
  snprintf(key_files[1], sizeof key_files[1], "%s.key", low);
  expect_name(low);
  key_files[0][0] = key_files[1][0] = '\0';
  /* Of very many cards only some are looked for. */
  files_read = 0;
  for (uint8_t i = 0; i < 10; i++)
    cards[i] = mac_of(0, (uint8_t)(5 + i));
  card_count = 10;
  expect_name(low);
  assert_int_equal(files_read, 8);
}

static void test_name_without_a_card(void **state) {
  (void)state;
  char virtual[WG_MACHINE_NAME_LEN], of_hardware[WG_MACHINE_NAME_LEN], given[WG_MACHINE_NAME_LEN];
  hardware = MACHINE;
  cards[0] = mac_of(2, 1);
  cards[1] = default_card = mac_of(2, 7);
  card_count = 2;
  name_now(virtual);
  cards[0] = mac_of(2, 3); /* another bridge */
  expect_name(virtual);
  default_card = mac_of(2, 8);
  char other[WG_MACHINE_NAME_LEN];
  name_now(other);
  assert_string_not_equal(other, virtual);
  default_card = (wg_mac){{0}};
  name_now(of_hardware);
  card_count = 0;
  expect_name(of_hardware);
  assert_int_equal(wg_machine_name(&env, MACHINE, "/data", given), WARP_OK);
  assert_string_equal(given, of_hardware);
  hardware = NULL;
  assert_int_equal(wg_machine_name(&env, NULL, "/data", given), WARP_NOT_FOUND);
  assert_int_equal(wg_machine_name(&env, "", "/data", given), WARP_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tag),
      cmocka_unit_test(test_name_of_a_card),
      cmocka_unit_test(test_name_without_a_card),
      cmocka_unit_test(test_machine_id),
      cmocka_unit_test(test_golden_ports),
      cmocka_unit_test(test_ports_never_repeat),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
