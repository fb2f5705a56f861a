/* The platform's digests against published vectors. */
#include "base/bytes.h"
#include "wire/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <warpgate/warpgate.h>

#include <cmocka.h>

static void check_hex(const uint8_t *bytes, size_t len, const char *expected) {
  char text[2 * WG_DIGEST_MAX + 1];
  wg_hex_encode(bytes, len, text);
  assert_string_equal(text, expected);
}

static void test_digests(void **state) {
  (void)state;
  /* "abc": RFC 1321 appendix A.5, FIPS 180-4 examples; given in two pieces and an empty one. */
  const wg_part parts[] = {{"a", 1}, {"", 0}, {"bc", 2}};
  uint8_t out[WG_DIGEST_MAX];
  assert_int_equal(wg_digest_parts(WG_DIGEST_MD5, parts, 3, out), WARP_OK);
  check_hex(out, wg_digest_len(WG_DIGEST_MD5), "900150983cd24fb0d6963f7d28e17f72");
  assert_int_equal(wg_digest_parts(WG_DIGEST_SHA1, parts, 3, out), WARP_OK);
  check_hex(out, wg_digest_len(WG_DIGEST_SHA1), "a9993e364706816aba3e25717850c26c9cd0d89d");
  assert_int_equal(wg_digest_parts(WG_DIGEST_SHA256, parts, 3, out), WARP_OK);
  check_hex(out, wg_digest_len(WG_DIGEST_SHA256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_hmac(void **state) {
  (void)state;
  /* RFC 2202 section 3 case 2, RFC 4231 section 4.3. */
  const wg_part parts[] = {{"what do ya want ", 16}, {"for nothing?", 12}};
  uint8_t out[WG_DIGEST_MAX];
  assert_int_equal(wg_hmac_parts(WG_DIGEST_SHA1, "Jefe", 4, parts, 2, out), WARP_OK);
  check_hex(out, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  assert_int_equal(wg_hmac_parts(WG_DIGEST_SHA256, "Jefe", 4, parts, 2, out), WARP_OK);
  check_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  /* A key longer than a block: RFC 2202 section 3 case 6. */
  uint8_t key[80];
  memset(key, 0xaa, sizeof key);
  const wg_part large = {"Test Using Larger Than Block-Size Key - Hash Key First", 54};
  assert_int_equal(wg_hmac_parts(WG_DIGEST_SHA1, key, sizeof key, &large, 1, out), WARP_OK);
  check_hex(out, 20, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
  /* An empty key and no data are allowed too. */
  assert_int_equal(wg_hmac_parts(WG_DIGEST_SHA256, NULL, 0, NULL, 0, out), WARP_OK);
  check_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_crc32(void **state) {
  (void)state;
  assert_true(wg_crc32(0, "123456789", 9) == 0xcbf43926); /* the check value of the CRC catalogue */
  assert_true(wg_crc32(wg_crc32(0, "1234", 4), "56789", 5) == 0xcbf43926);
  assert_true(wg_crc32(0, "", 0) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_digests), cmocka_unit_test(test_hmac),
                                     cmocka_unit_test(test_crc32)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
