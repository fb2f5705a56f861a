/* Headers, fields and signatures: what every packet of ours has in common. */
#include "wire/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <warpgate/warpgate.h>

#include <cmocka.h>

static int open_bytes(const char *bytes, size_t len) {
  wg_reader reader = wg_reader_init(bytes, len);
  return wg_packet_open(&reader, WG_PACKET_MESSAGE);
}

static void test_header(void **state) {
  (void)state;
  uint8_t bytes[8];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_packet_begin(&writer, WG_PACKET_MESSAGE);
  assert_int_equal(wg_writer_result(&writer), 4);
  assert_memory_equal(bytes, "\xe7\x57\1\3", 4);
  assert_int_equal(open_bytes("\xe7\x57\1\3", 4), WARP_OK);
  assert_int_equal(open_bytes("\xe7\x57\1\3", 3), WARP_MALFORMED);
  assert_int_equal(open_bytes("", 0), WARP_MALFORMED);
  assert_int_equal(open_bytes("\xe6\x57\1\3", 4), WARP_MALFORMED);
  assert_int_equal(open_bytes("\xe7\x58\1\3", 4), WARP_MALFORMED);
  assert_int_equal(open_bytes("\xe7\x57\2\3", 4), WARP_VERSION);
  assert_int_equal(open_bytes("\xe7\x57\2\4", 4), WARP_VERSION); /* types are the version's */
  assert_int_equal(open_bytes("\xe7\x57\1\4", 4), WARP_MALFORMED);
}

static void test_fields(void **state) {
  (void)state;
  uint8_t bytes[64], u8;
  uint16_t u16;
  uint64_t u64 = 0;
  char text[4], raw[3];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_field_u8(&writer, 1, 0xab);
  wg_field_u16(&writer, 2, 0xabcd);
  wg_field_u64(&writer, 3, UINT64_C(0x0102030405060708));
  wg_field_bytes(&writer, 4, "xyz", 3);
  size_t begun = wg_field_begin(&writer, 0x1234);
  wg_write_u8(&writer, 9);
  wg_field_end(&writer, begun);
  assert_int_equal(wg_writer_result(&writer), 5 + 6 + 12 + 7 + 5);
  assert_memory_equal(bytes,
                      "\0\1\0\1\xab\0\2\0\2\xab\xcd\0\3\0\10\1\2\3\4\5\6\7\10\0\4\0\3xyz"
                      "\x12\x34\0\1\x09",
                      35);

  wg_reader reader = wg_reader_init(bytes, writer.len);
  wg_field field;
  assert_true(wg_field_next(&reader, &field) && wg_field_get_u8(&field, &u8) && u8 == 0xab);
  assert_true(wg_field_next(&reader, &field) && wg_field_get_u16(&field, &u16) && u16 == 0xabcd);
  assert_true(wg_field_next(&reader, &field) && wg_field_get_u64(&field, &u64));
  assert_true(u64 == UINT64_C(0x0102030405060708));
  assert_true(wg_field_next(&reader, &field));
  wg_field copy = field;
  assert_true(wg_field_get_bytes(&copy, raw, 3));
  assert_memory_equal(raw, "xyz", 3);
  copy = field;
  assert_false(wg_field_get_text(&copy, text, 3)); /* no room for the NUL */
  copy = field;
  assert_true(wg_field_get_text(&copy, text, 4));
  assert_string_equal(text, "xyz");
  assert_true(wg_field_next(&reader, &field));
  assert_int_equal(field.type, 0x1234);
  assert_false(wg_field_next(&reader, &field));
  assert_false(reader.failed);
}

static bool one_field(const char *bytes, size_t len, wg_field *out) {
  wg_reader reader = wg_reader_init(bytes, len);
  return wg_field_next(&reader, out);
}

static void test_sizes_must_be_exact(void **state) {
  (void)state;
  wg_field field;
  uint8_t u8;
  uint16_t u16;
  int64_t i64;
  char text[8];
  assert_true(one_field("\0\1\0\2ab", 6, &field));
  assert_false(wg_field_get_u8(&field, &u8)); /* a byte too much */
  assert_true(one_field("\0\1\0\1a", 5, &field));
  assert_false(wg_field_get_u16(&field, &u16)); /* a byte too few */
  assert_true(one_field("\0\1\0\10\x80\0\0\0\0\0\0\0", 12, &field));
  assert_false(wg_field_get_i64(&field, &i64)); /* over 2^63 - 1 */
  assert_true(i64 == 0);
  assert_true(one_field("\0\1\0\10\x7f\xff\xff\xff\xff\xff\xff\xff", 12, &field));
  assert_true(wg_field_get_i64(&field, &i64) && i64 == INT64_MAX);
  static const char *const bad_texts[] = {"\0\1\0\0__", "\0\1\0\2a ", "\0\1\0\2a\n",
                                          "\0\1\0\2a\xc3", "\0\1\0\2a\0"};
  for (size_t i = 0; i < 5; i++) {
    assert_true(one_field(bad_texts[i], 6, &field));
    assert_false(wg_field_get_text(&field, text, sizeof text));
    assert_string_equal(text, "");
  }
}

static void test_malformed_ends(void **state) {
  (void)state;
  static const char *const bad[] = {"\0", "\0\1\0", "\0\1\0\1", "\0\1\xff\xffxyz"};
  static const size_t lengths[] = {1, 3, 4, 7};
  for (size_t i = 0; i < 4; i++) {
    wg_reader reader = wg_reader_init(bad[i], lengths[i]);
    wg_field field;
    assert_false(wg_field_next(&reader, &field));
    assert_true(reader.failed); /* told apart from an orderly end */
  }
}

static void test_once(void **state) {
  (void)state;
  uint64_t seen = 0;
  assert_true(wg_field_once(&seen, 0));
  assert_true(wg_field_once(&seen, 63));
  assert_false(wg_field_once(&seen, 63));
  assert_false(wg_field_once(&seen, 0));
  assert_true(wg_field_once(&seen, 64)); /* unknown ones may repeat */
  assert_true(wg_field_once(&seen, 64));
}

static void test_writer_limits(void **state) {
  (void)state;
  static uint8_t big[70000];
  wg_writer writer = wg_writer_init(big, sizeof big);
  size_t begun = wg_field_begin(&writer, 1);
  wg_write_zeros(&writer, 65536);
  wg_field_end(&writer, begun);
  assert_int_equal(wg_writer_result(&writer), WARP_TOO_BIG);
  writer = wg_writer_init(big, 5);
  wg_field_u16(&writer, 1, 1);
  assert_int_equal(wg_writer_result(&writer), WARP_TOO_BIG);
}

static void test_signatures(void **state) {
  (void)state;
  uint8_t bytes[80] = "body", signature[WG_SIGNATURE_LEN], back[WG_SIGNATURE_LEN];
  size_t signed_len;
  memset(signature, 0x5a, sizeof signature);
  assert_int_equal(wg_signature_attach(bytes, 4, 71, signature), WARP_TOO_BIG);
  assert_int_equal(wg_signature_attach(bytes, 4, 2, signature), WARP_TOO_BIG);
  assert_int_equal(wg_signature_attach(bytes, 4, 72, signature), 72);

  wg_reader reader = wg_reader_init(bytes, 72);
  assert_true(wg_signature_split(&reader, &signed_len, back));
  assert_int_equal(signed_len, 4);
  assert_memory_equal(back, signature, sizeof back);
  assert_int_equal(wg_reader_left(&reader), 4);

  reader = wg_reader_init(bytes, 71);
  assert_false(wg_signature_split(&reader, &signed_len, back));
  assert_int_equal(signed_len, 0);
  bytes[4] = 0xfe; /* another type */
  reader = wg_reader_init(bytes, 72);
  assert_false(wg_signature_split(&reader, &signed_len, back));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_header),
      cmocka_unit_test(test_fields),
      cmocka_unit_test(test_sizes_must_be_exact),
      cmocka_unit_test(test_malformed_ends),
      cmocka_unit_test(test_once),
      cmocka_unit_test(test_writer_limits),
      cmocka_unit_test(test_signatures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
