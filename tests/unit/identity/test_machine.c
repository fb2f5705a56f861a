/* Ids of the machine. */
#include "identity/identity.h"
#include "unit/identity/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

static const wg_env_ops ops = {.machine_id = machine_id};
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tag),
      cmocka_unit_test(test_machine_id),
      cmocka_unit_test(test_golden_ports),
      cmocka_unit_test(test_ports_never_repeat),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
