#include "harness.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver_uv/machine_id.h"

/* ---- interfaces ------------------------------------------------------------------------------ */

static void test_loopback_is_there(void **state) {
  world *w = *state;
  wg_interface list[WG_INTERFACES_MAX];
  int count = w->ops->interfaces(w->env, list, WG_INTERFACES_MAX);
  assert_in_range(count, 1, WG_INTERFACES_MAX);
  warp_addr loopback = wg_addr_loopback(WARP_IP4, 0);
  bool found = false;
  unsigned defaults[WARP_IP6 + 1] = {0};
  for (int i = 0; i < count; i++) {
    assert_true(list[i].addr.family == WARP_IP4 || list[i].addr.family == WARP_IP6);
    assert_int_equal(list[i].addr.port, 0);
    assert_in_range(strlen(list[i].name), 1, WG_IFNAME - 1);
    assert_in_range(list[i].prefix_bits, 0, 8 * wg_addr_ip_len(&list[i].addr));
    if (wg_addr_equal(&list[i].addr, &loopback)) {
      found = true;
      assert_true(list[i].loopback);
      assert_int_equal(list[i].prefix_bits, 8);
      assert_false(list[i].is_default);
    }
    defaults[list[i].addr.family] += list[i].is_default;
  }
  assert_true(found);
  assert_in_range(defaults[WARP_IP4], 0, 1);
  assert_in_range(defaults[WARP_IP6], 0, 1);
}

static void test_no_more_than_there_is_room(void **state) {
  world *w = *state;
  wg_interface list[2] = {{.name = "x"}, {.name = "untouched"}};
  assert_int_equal(w->ops->interfaces(w->env, list, 1), 1);
  assert_string_equal(list[1].name, "untouched");
  assert_int_equal(w->ops->interfaces(w->env, list, 0), 0);
}

static void test_hardware_addresses(void **state) {
  world *w = *state;
  wg_interface list[WG_INTERFACES_MAX];
  wg_mac macs[WG_INTERFACES_MAX], one = {{0}};
  int count = w->ops->interfaces(w->env, list, WG_INTERFACES_MAX);
  int mac_count = w->ops->macs(w->env, macs, WG_INTERFACES_MAX);
  assert_in_range(mac_count, 0, WG_INTERFACES_MAX);
  for (int i = 0; i < mac_count; i++) {
    assert_false(wg_mac_is_none(&macs[i]));
    for (int k = 0; k < i; k++) {
      assert_memory_not_equal(&macs[k], &macs[i], sizeof macs[0]);
    }
  }
  /* Of interfaces that are up there are all, beside others. */
  for (int i = 0; i < count; i++) {
    memcpy(one.bytes, list[i].mac, sizeof one.bytes);
    bool found = wg_mac_is_none(&one) || list[i].loopback;
    for (int k = 0; k < mac_count; k++) {
      found = found || memcmp(&macs[k], &one, sizeof one) == 0;
    }
    assert_true(found);
  }
  assert_int_equal(w->ops->macs(w->env, macs, 0), 0);
}

/* ---- machine id ------------------------------------------------------------------------------ */

static void test_the_machine_id_is_stable(void **state) {
  world *w = *state;
  uint8_t first[256], second[256];
  size_t first_len, second_len;
  int status = w->ops->machine_id(w->env, first, sizeof first, &first_len);
  if (status == WARP_NOT_FOUND) { /* a bare container */
    return;
  }
  assert_int_equal(status, WARP_OK);
  assert_in_range(first_len, 8, WG_UV_MACHINE_ID_LEN);
  assert_int_equal(w->ops->machine_id(w->env, second, sizeof second, &second_len), WARP_OK);
  assert_int_equal(second_len, first_len);
  assert_memory_equal(second, first, first_len);
  assert_int_equal(w->ops->machine_id(w->env, second, first_len - 1, &second_len), WARP_TOO_BIG);
}

#if defined(__linux__)

static char root[64];

static void put(const char *folder, const char *name, const char *text) {
  char path[256];
  snprintf(path, sizeof path, "%s%s", root, folder);
  for (char *c = path + 1; *c != '\0'; c++) { /* with its parents */
    if (*c == '/') {
      *c = '\0';
      mkdir(path, 0700);
      *c = '/';
    }
  }
  mkdir(path, 0700);
  snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw) {
  (void)info;
  (void)kind;
  (void)ftw;
  return remove(path);
}

static int root_up(void **state) {
  (void)state;
  strcpy(root, "/tmp/warpgate-test-XXXXXX");
  return mkdtemp(root) == NULL;
}

static int root_down(void **state) {
  (void)state;
  return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define DMI "/sys/class/dmi/id"

static void test_the_mainboards_uuid_comes_first(void **state) {
  (void)state;
  char id[WG_UV_MACHINE_ID_LEN];
  assert_int_equal(wg_uv_machine_id_of_system(root, id), WARP_NOT_FOUND);
  put("/etc", "machine-id", "0123456789abcdef0123456789abcdef\n");
  assert_int_equal(wg_uv_machine_id_of_system(root, id), WARP_OK);
  assert_string_equal(id, "machine_id=0123456789abcdef0123456789abcdef");
  put(DMI, "product_uuid", "4C4C4544-0042-3510-8052-B4C04F564433\n");
  assert_int_equal(wg_uv_machine_id_of_system(root, id), WARP_OK);
  assert_string_equal(id, "product_uuid=4c4c4544004235108052b4c04f564433");
}

static void test_what_is_no_identifier_is_passed_over(void **state) {
  (void)state;
  char id[WG_UV_MACHINE_ID_LEN];
  put("/etc", "machine-id", "uninitialized\n");
  const char *bad[] = {"00000000-0000-0000-0000-000000000000\n",
                       "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n",
                       "Not Settable\n",
                       "0123\n",
                       "0123456789abcdef0123456789abcdef0\n",
                       ""};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    put(DMI, "product_uuid", bad[i]);
    assert_int_equal(wg_uv_machine_id_of_system(root, id), WARP_NOT_FOUND);
  }
}

#endif

static void test_a_mac_is_text(void **state) {
  (void)state;
  char id[WG_UV_MACHINE_ID_LEN];
  int status = wg_uv_machine_id_of_macs(id);
  if (status == WARP_OK) {
    assert_int_equal(strlen(id), strlen("mac=") + 12);
    assert_memory_equal(id, "mac=", 4);
    assert_string_not_equal(id, "mac=000000000000");
  } else { /* loopback alone */
    assert_int_equal(status, WARP_NOT_FOUND);
  }
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, world_up, world_down)
#define ROOT_TEST(name) cmocka_unit_test_setup_teardown(name, root_up, root_down)

int main(void) {
  const struct CMUnitTest tests[] = {
    TEST(test_loopback_is_there),
    TEST(test_no_more_than_there_is_room),
    TEST(test_hardware_addresses),
    TEST(test_the_machine_id_is_stable),
#if defined(__linux__)
    ROOT_TEST(test_the_mainboards_uuid_comes_first),
    ROOT_TEST(test_what_is_no_identifier_is_passed_over),
#endif
    cmocka_unit_test(test_a_mac_is_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
