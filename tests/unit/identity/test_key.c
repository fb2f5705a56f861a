/* Keys, signatures and agreement, against published vectors and a second implementation. */
#include "identity/internal.h"
#include "unit/identity/vectors.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static const char context[] = "warpgate test v1";
static const char text[] = "attack at dawn";

static wg_identity *make(const char *scalar_hex, const char *key_hex) {
  uint8_t scalar[WG_SCALAR_LEN];
  warp_key key;
  wg_identity *identity = NULL;
  assert_true(wg_hex_decode(scalar_hex, scalar, sizeof scalar));
  assert_true(wg_hex_decode(key_hex, key.bytes, sizeof key.bytes));
  assert_int_equal(wg_identity_from_scalar(scalar, &key, &identity), WARP_OK);
  return identity;
}

static bool is_point(const warp_key *key) {
  EVP_PKEY *pkey = wg_key_to_pkey(key);
  EVP_PKEY_free(pkey);
  return pkey != NULL;
}

static void test_generate(void **state) {
  (void)state;
  wg_identity *a = NULL, *b = NULL;
  assert_int_equal(wg_identity_generate(&a), WARP_OK);
  assert_int_equal(wg_identity_generate(&b), WARP_OK);
  assert_true(is_point(wg_identity_key(a)));
  assert_false(wg_key_equal(wg_identity_key(a), wg_identity_key(b)));
  assert_true(wg_key_equal(wg_identity_key(a), wg_identity_key(a)));
  assert_non_null(wg_identity_pkey(a));
  wg_identity_free(a);
  wg_identity_free(b);
  wg_identity_free(NULL);
}

/* What goes out of a key comes back as the same key. */
static void test_scalar_roundtrip(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) { /* some have leading zeros or an odd y */
    wg_identity *made = NULL, *again = NULL;
    uint8_t scalar[WG_SCALAR_LEN], copy[WG_SCALAR_LEN];
    assert_int_equal(wg_identity_generate(&made), WARP_OK);
    assert_int_equal(wg_identity_scalar(made, scalar), WARP_OK);
    assert_int_equal(wg_identity_from_scalar(scalar, wg_identity_key(made), &again), WARP_OK);
    assert_int_equal(wg_identity_scalar(again, copy), WARP_OK);
    assert_memory_equal(scalar, copy, sizeof scalar);
    assert_int_equal(EVP_PKEY_eq(wg_identity_pkey(made), wg_identity_pkey(again)), 1);
    wg_identity_free(made);
    wg_identity_free(again);
  }
}

static void test_not_a_pair(void **state) {
  (void)state;
  static const struct {
    const char *scalar, *key;
  } cases[] = {
      {SCALAR_A, KEY_B},
      {"0000000000000000000000000000000000000000000000000000000000000000", KEY_A},
      /* the group's order, and one more than A's scalar */
      {"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", KEY_A},
      {"c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6722", KEY_A},
      {SCALAR_A, "0260fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"},
      {SCALAR_A, "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint8_t scalar[WG_SCALAR_LEN];
    warp_key key;
    wg_identity *identity = NULL;
    assert_true(wg_hex_decode(cases[i].scalar, scalar, sizeof scalar));
    assert_true(wg_hex_decode(cases[i].key, key.bytes, sizeof key.bytes));
    assert_int_equal(wg_identity_from_scalar(scalar, &key, &identity), WARP_MALFORMED);
    assert_null(identity);
  }
}

static void test_points(void **state) {
  (void)state;
  static const struct {
    const char *hex;
    bool valid;
  } cases[] = {
      {KEY_A, true},
      {KEY_B, true},
      {"0260fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6", true},
      {"0060fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6", false},
      {"0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6", false},
      /* x = 1 is no point's coordinate, and the last is not below the field's prime */
      {"020000000000000000000000000000000000000000000000000000000000000001", false},
      {"02ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false},
      {"000000000000000000000000000000000000000000000000000000000000000000", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    warp_key key;
    assert_true(wg_hex_decode(cases[i].hex, key.bytes, sizeof key.bytes));
    assert_int_equal(is_point(&key), cases[i].valid);
  }
}

static void test_hash(void **state) {
  (void)state;
  wg_identity *a = make(SCALAR_A, KEY_A);
  uint8_t hash[32], expected[32];
  assert_true(wg_hex_decode(HASH_A, expected, sizeof expected));
  wg_key_hash(wg_identity_key(a), hash);
  assert_memory_equal(hash, expected, sizeof hash);
  wg_identity_free(a);
}

/* ---- signatures ------------------------------------------------------------------------------ */

static void test_golden_signature(void **state) {
  (void)state;
  warp_key key;
  uint8_t signature[WG_SIGNATURE_LEN];
  assert_true(wg_hex_decode(KEY_A, key.bytes, sizeof key.bytes));
  assert_true(wg_hex_decode(SIGNATURE_A, signature, sizeof signature));
  assert_int_equal(wg_key_verify(&key, context, text, sizeof text - 1, signature), WARP_OK);
}

static void test_sign_and_verify(void **state) {
  (void)state;
  wg_identity *a = make(SCALAR_A, KEY_A), *b = make(SCALAR_B, KEY_B);
  for (int i = 0; i < 50; i++) { /* r and s have leading zeros now and then */
    uint8_t signature[WG_SIGNATURE_LEN];
    assert_int_equal(wg_identity_sign(a, context, text, sizeof text, signature), WARP_OK);
    assert_int_equal(wg_key_verify(wg_identity_key(a), context, text, sizeof text, signature),
                     WARP_OK);
    assert_int_equal(wg_key_verify(wg_identity_key(b), context, text, sizeof text, signature),
                     WARP_BAD_SIGNATURE);
    assert_int_equal(
        wg_key_verify(wg_identity_key(a), "warpgate test v2", text, sizeof text, signature),
        WARP_BAD_SIGNATURE);
    assert_int_equal(wg_key_verify(wg_identity_key(a), context, text, sizeof text - 1, signature),
                     WARP_BAD_SIGNATURE);
  }
  wg_identity_free(a);
  wg_identity_free(b);
}

/* The context's NUL is part of what is signed, so that none of it can pass for data. */
static void test_context_ends(void **state) {
  (void)state;
  wg_identity *a = make(SCALAR_A, KEY_A);
  uint8_t signature[WG_SIGNATURE_LEN];
  assert_int_equal(wg_identity_sign(a, "ab", "c", 1, signature), WARP_OK);
  assert_int_equal(wg_key_verify(wg_identity_key(a), "a", "bc", 2, signature), WARP_BAD_SIGNATURE);
  wg_identity_free(a);
}

static void test_every_bit_of_a_signature(void **state) {
  (void)state;
  warp_key key;
  uint8_t signature[WG_SIGNATURE_LEN];
  assert_true(wg_hex_decode(KEY_A, key.bytes, sizeof key.bytes));
  assert_true(wg_hex_decode(SIGNATURE_A, signature, sizeof signature));
  for (size_t bit = 0; bit < 8 * sizeof signature; bit += 3) {
    signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert_int_equal(wg_key_verify(&key, context, text, sizeof text - 1, signature),
                     WARP_BAD_SIGNATURE);
    signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  memset(signature, 0, sizeof signature);
  assert_int_equal(wg_key_verify(&key, context, text, sizeof text - 1, signature),
                   WARP_BAD_SIGNATURE);
  memset(signature, 0xff, sizeof signature);
  assert_int_equal(wg_key_verify(&key, context, text, sizeof text - 1, signature),
                   WARP_BAD_SIGNATURE);
  memset(&key, 0, sizeof key);
  assert_int_equal(wg_key_verify(&key, context, text, sizeof text - 1, signature),
                   WARP_BAD_SIGNATURE);
}

/* ---- agreement ------------------------------------------------------------------------------- */

static void test_ecdh(void **state) {
  (void)state;
  /* RFC 5903 section 8.1 */
  static const char expected_hex[] =
      "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de";
  wg_identity *i = make(SCALAR_B, KEY_B), *r = make(SCALAR_E, KEY_E);
  uint8_t expected[32], secret[32];
  assert_true(wg_hex_decode(expected_hex, expected, sizeof expected));
  assert_int_equal(wg_ecdh(wg_identity_pkey(i), wg_identity_key(r), secret), WARP_OK);
  assert_memory_equal(secret, expected, sizeof secret);
  assert_int_equal(wg_ecdh(wg_identity_pkey(r), wg_identity_key(i), secret), WARP_OK);
  assert_memory_equal(secret, expected, sizeof secret);
  warp_key bad = {{2, [32] = 1}};
  assert_int_equal(wg_ecdh(wg_identity_pkey(r), &bad, secret), WARP_UNTRUSTED);
  wg_identity_free(i);
  wg_identity_free(r);
}

static void test_hkdf(void **state) {
  (void)state;
  static const struct { /* RFC 5869 appendix A.1 and A.3 */
    const char *salt, *info, *okm;
  } cases[] = {
      {"000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
       "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
      {"", "",
       "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
  };
  uint8_t secret[22];
  memset(secret, 0x0b, sizeof secret);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint8_t salt[16], info[16], okm[42], expected[42];
    size_t salt_len = strlen(cases[i].salt) / 2, info_len = strlen(cases[i].info) / 2;
    assert_true(wg_hex_decode(cases[i].salt, salt, salt_len));
    assert_true(wg_hex_decode(cases[i].info, info, info_len));
    assert_true(wg_hex_decode(cases[i].okm, expected, sizeof expected));
    assert_int_equal(
        wg_hkdf(secret, sizeof secret, salt, salt_len, info, info_len, okm, sizeof okm), WARP_OK);
    assert_memory_equal(okm, expected, sizeof okm);
  }
}

static void test_agree(void **state) {
  (void)state;
  wg_identity *a = make(SCALAR_A, KEY_A), *b = make(SCALAR_B, KEY_B), *e = make(SCALAR_E, KEY_E);
  uint8_t expected[40], out[40], other[40];
  assert_true(wg_hex_decode(AGREED_AB, expected, sizeof expected));
  assert_int_equal(wg_identity_agree(a, wg_identity_key(b), context, "salt", 4, out, sizeof out),
                   WARP_OK);
  assert_memory_equal(out, expected, sizeof out);
  assert_int_equal(wg_identity_agree(b, wg_identity_key(a), context, "salt", 4, out, sizeof out),
                   WARP_OK);
  assert_memory_equal(out, expected, sizeof out);

  assert_int_equal(wg_identity_agree(a, wg_identity_key(b), context, NULL, 0, out, 32), WARP_OK);
  assert_true(wg_hex_decode(AGREED_AB_NO_SALT, expected, 32));
  assert_memory_equal(out, expected, 32);

  /* another peer, context or salt: another secret */
  assert_int_equal(wg_identity_agree(a, wg_identity_key(e), context, NULL, 0, other, 32), WARP_OK);
  assert_memory_not_equal(out, other, 32);
  assert_int_equal(wg_identity_agree(a, wg_identity_key(b), "other", NULL, 0, other, 32), WARP_OK);
  assert_memory_not_equal(out, other, 32);
  assert_int_equal(wg_identity_agree(a, wg_identity_key(b), context, "x", 1, other, 32), WARP_OK);
  assert_memory_not_equal(out, other, 32);
  /* the negative of a key has the same x coordinate */
  warp_key negative = *wg_identity_key(b);
  negative.bytes[0] ^= 1;
  assert_int_equal(wg_identity_agree(a, &negative, context, NULL, 0, other, 32), WARP_OK);
  assert_memory_not_equal(out, other, 32);

  warp_key bad = {{0}};
  assert_int_equal(wg_identity_agree(a, &bad, context, NULL, 0, out, 32), WARP_UNTRUSTED);
  char long_context[80];
  memset(long_context, 'x', sizeof long_context);
  long_context[sizeof long_context - 1] = '\0';
  assert_int_equal(wg_identity_agree(a, wg_identity_key(b), long_context, NULL, 0, out, 32),
                   WARP_INVALID);
  wg_identity_free(a);
  wg_identity_free(b);
  wg_identity_free(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_generate),
      cmocka_unit_test(test_scalar_roundtrip),
      cmocka_unit_test(test_not_a_pair),
      cmocka_unit_test(test_points),
      cmocka_unit_test(test_hash),
      cmocka_unit_test(test_golden_signature),
      cmocka_unit_test(test_sign_and_verify),
      cmocka_unit_test(test_context_ends),
      cmocka_unit_test(test_every_bit_of_a_signature),
      cmocka_unit_test(test_ecdh),
      cmocka_unit_test(test_hkdf),
      cmocka_unit_test(test_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
