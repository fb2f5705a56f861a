/* Readers and writers stay inside their bytes and remember a failure; text forms are exact. */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_reads_big_endian(void **state) {
  (void)state;
  const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  wg_reader reader = wg_reader_init(bytes, sizeof bytes);
  assert_int_equal(wg_read_u8(&reader), 0x01);
  assert_int_equal(wg_read_u16(&reader), 0x0203);
  assert_int_equal(wg_read_u32(&reader), 0x04050607);
  assert_true(wg_read_u64(&reader) == UINT64_C(0x08090a0b0c0d0e0f));
  assert_int_equal(wg_reader_left(&reader), 0);
  assert_false(reader.failed);
}

static void test_reader_fails_and_stays_failed(void **state) {
  (void)state;
  const uint8_t bytes[] = {1, 2, 3};
  uint8_t copy[4] = {9, 9, 9, 9};
  wg_reader reader = wg_reader_init(bytes, sizeof bytes);
  assert_int_equal(wg_read_u32(&reader), 0);
  assert_true(reader.failed);
  assert_int_equal(wg_reader_left(&reader), 0);
  assert_int_equal(wg_read_u8(&reader), 0); /* three bytes are there, but the error is sticky */
  assert_null(wg_read_bytes(&reader, 0));
  wg_read_copy(&reader, copy, sizeof copy);
  assert_memory_equal(copy, "\0\0\0\0", 4);
  wg_reader sub = wg_read_sub(&reader, 1);
  assert_true(sub.failed);
}

static void test_reader_takes_no_length_at_its_word(void **state) {
  (void)state;
  const uint8_t bytes[] = {1, 2, 3};
  wg_reader reader = wg_reader_init(bytes, sizeof bytes);
  wg_read_u8(&reader);
  assert_null(wg_read_bytes(&reader, SIZE_MAX));
  reader = wg_reader_init(bytes, sizeof bytes);
  wg_reader sub = wg_read_sub(&reader, 2);
  assert_int_equal(wg_read_u16(&sub), 0x0102);
  assert_int_equal(wg_read_u8(&sub), 0); /* the outer reader has more, the inner one has not */
  assert_true(sub.failed);
  assert_int_equal(wg_read_u8(&reader), 3);
  assert_false(reader.failed);
}

static void test_writes_big_endian(void **state) {
  (void)state;
  uint8_t bytes[20];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_write_u8(&writer, 1);
  wg_write_u16(&writer, 0x0203);
  wg_write_u32(&writer, 0x04050607);
  wg_write_u64(&writer, UINT64_C(0x08090a0b0c0d0e0f));
  wg_write_bytes(&writer, "ab", 2);
  wg_write_zeros(&writer, 1);
  wg_write_patch_u16(&writer, 0, 0xffee);
  assert_false(writer.failed);
  assert_int_equal(writer.len, 18);
  assert_memory_equal(bytes, "\xff\xee\3\4\5\6\7\10\11\12\13\14\15\16\17ab\0", 18);
}

static void test_writer_fails_and_stays_failed(void **state) {
  (void)state;
  uint8_t bytes[4] = {7, 7, 7, 7};
  wg_writer writer = wg_writer_init(bytes, 3);
  wg_write_u16(&writer, 1);
  wg_write_u16(&writer, 2);
  assert_true(writer.failed);
  assert_int_equal(writer.len, 2);
  wg_write_u8(&writer, 3);
  assert_int_equal(writer.len, 2);
  assert_int_equal(bytes[3], 7);

  writer = wg_writer_init(bytes, sizeof bytes);
  wg_write_u8(&writer, 1);
  wg_write_patch_u16(&writer, 0, 1); /* only one byte is written */
  assert_true(writer.failed);
}

static void test_compares(void **state) {
  (void)state;
  assert_true(wg_bytes_equal_ct("abc", "abc", 3));
  assert_false(wg_bytes_equal_ct("abc", "abd", 3));
  assert_false(wg_bytes_equal_ct("xbc", "abc", 3));
  assert_true(wg_bytes_equal_ct("x", "y", 0));
}

static void test_hex(void **state) {
  (void)state;
  const uint8_t bytes[] = {0x00, 0x1f, 0xa0, 0xff};
  char text[9];
  uint8_t back[4];
  wg_hex_encode(bytes, sizeof bytes, text);
  assert_string_equal(text, "001fa0ff");
  assert_true(wg_hex_decode("001FA0ff", back, 4));
  assert_memory_equal(back, bytes, 4);
  assert_false(wg_hex_decode("001fa0f", back, 4));
  assert_false(wg_hex_decode("001fa0ff0", back, 4));
  assert_false(wg_hex_decode("001fa0fg", back, 4));
  assert_false(wg_hex_decode("", back, 4));
  assert_true(wg_hex_decode("", back, 0));
}

static void test_base64url(void **state) {
  (void)state;
  /* RFC 4648 section 10, without the padding. */
  static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
  static const char *const coded[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
  char text[16];
  uint8_t back[16];
  for (size_t i = 0; i < 7; i++) {
    wg_base64url_encode(plain[i], strlen(plain[i]), text);
    assert_string_equal(text, coded[i]);
    assert_int_equal(wg_base64url_decode(text, strlen(text), back, sizeof back), strlen(plain[i]));
    assert_memory_equal(back, plain[i], strlen(plain[i]));
  }
  wg_base64url_encode("\xfb\xff\xfe", 3, text);
  assert_string_equal(text, "-__-");
  assert_int_equal(wg_base64url_decode("-__-", 4, back, 3), 3);
  assert_int_equal(wg_base64url_decode("-__-", 4, back, 2), -1); /* too big */
  assert_int_equal(wg_base64url_decode("Zg==", 4, back, 16), -1);
  assert_int_equal(wg_base64url_decode("Zh", 2, back, 16), -1); /* stray bits */
  assert_int_equal(wg_base64url_decode("Z", 1, back, 16), -1);
  assert_int_equal(wg_base64url_decode("Zm9vY", 5, back, 16), -1);
  assert_int_equal(wg_base64url_decode("+/+/", 4, back, 16), -1); /* the other alphabet */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads_big_endian),
      cmocka_unit_test(test_reader_fails_and_stays_failed),
      cmocka_unit_test(test_reader_takes_no_length_at_its_word),
      cmocka_unit_test(test_writes_big_endian),
      cmocka_unit_test(test_writer_fails_and_stays_failed),
      cmocka_unit_test(test_compares),
      cmocka_unit_test(test_hex),
      cmocka_unit_test(test_base64url),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
