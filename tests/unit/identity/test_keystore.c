/* The keystore file: made once, read back, and never overwritten when something is wrong with it.
 */
#include "identity/internal.h"
#include "unit/identity/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/list.h"
#include "wire/packet.h"

/* An environment with one file. */
typedef struct one_file {
  wg_env env;
  bool exists;
  char dir[32], name[80];
  uint8_t data[1024];
  size_t len;
  int reads, writes;
  int read_error, write_error; /* WARP_OK: none */
  const char *rival;           /* what another process makes of it at the same moment; NULL: none */
} one_file;

static int file_read(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                     size_t *len) {
  one_file *file = WG_CONTAINER(env, one_file, env);
  file->reads++;
  if (file->read_error != WARP_OK) {
    return file->read_error;
  }
  if (!file->exists || strcmp(name, file->name) != 0 || strcmp(dir, file->dir) != 0) {
    return WARP_NOT_FOUND;
  }
  if (file->len > cap) {
    return WARP_TOO_BIG;
  }
  memcpy(out, file->data, file->len);
  *len = file->len;
  return WARP_OK;
}

static void put(one_file *file, const char *hex) {
  file->exists = true;
  file->len = strlen(hex) / 2;
  assert_true(wg_hex_decode(hex, file->data, file->len));
}

static int file_create(wg_env *env, const char *dir, const char *name, const void *data,
                       size_t len) {
  one_file *file = WG_CONTAINER(env, one_file, env);
  file->writes++;
  if (file->write_error != WARP_OK) {
    return file->write_error;
  }
  if (file->rival != NULL) {
    put(file, file->rival);
  }
  if (file->exists) {
    return WARP_STATE;
  }
  assert_true(len <= sizeof file->data && strchr(name, '/') == NULL);
  strncpy(file->name, name, sizeof file->name - 1);
  strncpy(file->dir, dir, sizeof file->dir - 1);
  memcpy(file->data, data, len);
  file->len = len;
  file->exists = true;
  return WARP_OK;
}

static const wg_env_ops ops = {.file_read = file_read, .file_create = file_create};

static one_file empty(void) {
  return (one_file){.env = {.ops = &ops}, .dir = "/data", .name = "default.key"};
}

static one_file golden(void) {
  one_file file = empty();
  put(&file, KEYSTORE_A);
  return file;
}

static int load(one_file *file, wg_identity **out) {
  *out = NULL;
  return wg_identity_load(&file->env, "/data", "default", out);
}

static void test_made_once(void **state) {
  (void)state;
  one_file file = empty();
  wg_identity *first, *second;
  assert_int_equal(load(&file, &first), WARP_OK);
  assert_int_equal(file.writes, 1);
  assert_string_equal(file.name, "default.key");
  assert_int_equal(load(&file, &second), WARP_OK);
  assert_int_equal(file.writes, 1);
  assert_true(wg_key_equal(wg_identity_key(first), wg_identity_key(second)));
  uint8_t signature[WG_SIGNATURE_LEN];
  assert_int_equal(wg_identity_sign(second, "c", "d", 1, signature), WARP_OK);
  assert_int_equal(wg_key_verify(wg_identity_key(first), "c", "d", 1, signature), WARP_OK);
  wg_identity_free(first);
  wg_identity_free(second);
}

static void test_golden_file(void **state) {
  (void)state;
  one_file file = golden();
  wg_identity *identity;
  warp_key expected;
  assert_int_equal(load(&file, &identity), WARP_OK);
  assert_true(wg_hex_decode(KEY_A, expected.bytes, sizeof expected.bytes));
  assert_true(wg_key_equal(wg_identity_key(identity), &expected));
  assert_int_equal(file.writes, 0);
  wg_identity_free(identity);
}

/* Two processes make a key at once: both have that of the one that was first. */
static void test_another_was_first(void **state) {
  (void)state;
  one_file file = empty();
  file.rival = KEYSTORE_A;
  wg_identity *identity;
  warp_key expected;
  assert_int_equal(load(&file, &identity), WARP_OK);
  assert_true(wg_hex_decode(KEY_A, expected.bytes, sizeof expected.bytes));
  assert_true(wg_key_equal(wg_identity_key(identity), &expected));
  wg_identity_free(identity);
  file = empty();
  file.rival = "00";
  assert_int_equal(load(&file, &identity), WARP_MALFORMED);
  assert_null(identity);
}

/* What the library writes is what the second implementation writes. */
static void test_golden_write(void **state) {
  (void)state;
  one_file file = empty();
  wg_identity *identity;
  uint8_t scalar[WG_SCALAR_LEN];
  assert_int_equal(load(&file, &identity), WARP_OK);
  assert_int_equal(wg_identity_scalar(identity, scalar), WARP_OK);
  one_file expected = golden();
  assert_int_equal(file.len, expected.len);
  memcpy(expected.data + 13, scalar, sizeof scalar);
  memcpy(expected.data + 49, wg_identity_key(identity)->bytes, WARP_KEY_LEN);
  assert_memory_equal(file.data, expected.data, file.len);
  wg_identity_free(identity);
}

static void expect_refused(one_file *file, int status) {
  wg_identity *identity;
  one_file before = *file;
  assert_int_equal(load(file, &identity), status);
  assert_null(identity);
  assert_int_equal(file->writes, 0);
  assert_memory_equal(file->data, before.data, sizeof before.data);
}

static void test_damaged(void **state) {
  (void)state;
  one_file file = golden();
  size_t len = file.len;
  for (size_t i = 0; i < len; i++) { /* every byte flipped */
    file = golden();
    file.data[i] ^= 0x5a;
    wg_identity *identity;
    int status = load(&file, &identity);
    assert_true(status == WARP_MALFORMED || status == WARP_VERSION);
    assert_null(identity);
    assert_int_equal(file.writes, 0);
  }
  for (size_t cut = 0; cut < len; cut++) {
    file = golden();
    file.len = cut;
    expect_refused(&file, WARP_MALFORMED);
  }
  file = golden();
  memcpy(file.data + len, file.data + 9, 36); /* a field twice */
  file.len = len + 36;
  expect_refused(&file, WARP_MALFORMED);
  file = golden();
  file.len = sizeof file.data; /* longer than any key file */
  expect_refused(&file, WARP_MALFORMED);
}

static void test_foreign(void **state) {
  (void)state;
  one_file file = golden();
  file.data[2] = 2; /* a later version */
  expect_refused(&file, WARP_VERSION);
  file = golden();
  file.data[8] = 7; /* another algorithm */
  expect_refused(&file, WARP_VERSION);
  file = golden();
  file.data[3] = 1; /* an address record */
  expect_refused(&file, WARP_MALFORMED);
  file = golden();
  strcpy((char *)file.data, "-----BEGIN PRIVATE KEY-----");
  expect_refused(&file, WARP_MALFORMED);
}

/* A field that a later version adds does no harm. */
static void test_unknown_field(void **state) {
  (void)state;
  static const uint8_t field[] = {0, 99, 0, 3, 'n', 'e', 'w'};
  one_file file = golden();
  wg_identity *identity;
  memcpy(file.data + file.len, field, sizeof field);
  file.len += sizeof field;
  assert_int_equal(load(&file, &identity), WARP_OK);
  wg_identity_free(identity);
}

/* A file that others may read, or a folder that cannot be written: the environment says so. */
static void test_environment_errors(void **state) {
  (void)state;
  wg_identity *identity;
  one_file file = golden();
  file.read_error = WARP_PERMISSION;
  expect_refused(&file, WARP_PERMISSION);
  file.read_error = WARP_IO;
  expect_refused(&file, WARP_IO);
  file = empty();
  file.write_error = WARP_PERMISSION;
  assert_int_equal(load(&file, &identity), WARP_PERMISSION);
  assert_null(identity);
}

static void test_names(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",         "A",
      "a.b",      "../x",
      "a/b",      "a b",
      "\xc3\xa4", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 64 */
      NULL,
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    one_file file = empty();
    wg_identity *identity = NULL;
    assert_int_equal(wg_identity_load(&file.env, "/data", bad[i], &identity), WARP_INVALID);
    assert_int_equal(file.reads + file.writes, 0);
  }
  one_file file = empty();
  wg_identity *identity = NULL;
  static const char longest[] = "a-0123456789012345678901234567890123456789012345678901234567890";
  assert_int_equal(strlen(longest), 63);
  assert_int_equal(wg_identity_load(&file.env, "/data", longest, &identity), WARP_OK);
  assert_int_equal(strlen(file.name), 67);
  wg_identity_free(identity);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_made_once),
      cmocka_unit_test(test_golden_file),
      cmocka_unit_test(test_another_was_first),
      cmocka_unit_test(test_golden_write),
      cmocka_unit_test(test_damaged),
      cmocka_unit_test(test_foreign),
      cmocka_unit_test(test_unknown_field),
      cmocka_unit_test(test_environment_errors),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
