/* Large SCTP packets cut into small ones. */
#include "link/split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { COMMON = 12, CAP = 1100, DATA = 0, SACK = 3 };

static uint8_t packet[65536], piece[CAP];

/* A packet whose common header and chunk bodies are recognised again. */
static wg_writer begin(void) {
  wg_writer writer = wg_writer_init(packet, sizeof packet);
  for (uint8_t i = 0; i < COMMON; i++) {
    wg_write_u8(&writer, (uint8_t)(0xa0 + i));
  }
  return writer;
}

static void add(wg_writer *writer, uint8_t type, size_t len) {
  size_t begins = writer->len;
  wg_write_u8(writer, type);
  wg_write_u8(writer, 0);
  wg_write_u16(writer, (uint16_t)len);
  while (writer->len < begins + (len + 3) / 4 * 4) {
    wg_write_u8(writer, (uint8_t)writer->len);
  }
}

static void assert_piece(wg_split *split, size_t from, size_t len) {
  assert_int_equal(wg_split_next(split, piece, sizeof piece), COMMON + len);
  assert_memory_equal(piece, packet, COMMON);
  assert_memory_equal(piece + COMMON, packet + from, len);
}

static void assert_end(wg_split *split) {
  assert_int_equal(wg_split_next(split, piece, sizeof piece), 0);
  assert_int_equal(wg_split_next(split, piece, sizeof piece), 0);
}

static void test_what_fits_stays_as_it_is(void **state) {
  (void)state;
  wg_writer writer = begin();
  add(&writer, SACK, 20);
  add(&writer, DATA, CAP - COMMON - 20);
  assert_int_equal(writer.len, CAP);
  wg_split split = wg_split_begin(packet, writer.len);
  assert_piece(&split, COMMON, CAP - COMMON);
  assert_end(&split);
}

static void test_cut_between_chunks(void **state) {
  (void)state;
  wg_writer writer = begin();
  add(&writer, SACK, 20);
  add(&writer, DATA, 1088);
  add(&writer, DATA, 1088);
  add(&writer, DATA, 501); /* with three bytes of padding */
  add(&writer, DATA, 584);
  wg_split split = wg_split_begin(packet, writer.len);
  assert_piece(&split, COMMON, 20);
  assert_piece(&split, COMMON + 20, 1088);
  assert_piece(&split, COMMON + 20 + 1088, 1088);
  assert_piece(&split, COMMON + 20 + 2 * 1088, 504 + 584);
  assert_end(&split);
}

static void test_the_last_chunk_may_lack_its_padding(void **state) {
  (void)state;
  wg_writer writer = begin();
  add(&writer, DATA, 1088);
  add(&writer, DATA, 17);
  wg_split split = wg_split_begin(packet, writer.len - 3);
  assert_piece(&split, COMMON, 1088);
  assert_piece(&split, COMMON + 1088, 17);
  assert_end(&split);
}

/* 300 gaps and 10 duplicates take 1256 bytes; 268 gaps fit. */
static void test_a_sack_of_many_gaps_tells_of_fewer(void **state) {
  (void)state;
  wg_writer writer = begin();
  add(&writer, SACK, 16 + 310 * 4);
  wg_write_patch_u16(&writer, COMMON + 12, 300);
  wg_write_patch_u16(&writer, COMMON + 14, 10);
  add(&writer, DATA, 100);
  wg_split split = wg_split_begin(packet, writer.len);
  assert_int_equal(wg_split_next(&split, piece, sizeof piece), CAP);
  wg_reader reader = wg_reader_init(piece + COMMON, CAP - COMMON);
  assert_int_equal(wg_read_u16(&reader), SACK << 8);
  assert_int_equal(wg_read_u16(&reader), CAP - COMMON);
  assert_memory_equal(wg_read_bytes(&reader, 8), packet + COMMON + 4, 8);
  assert_int_equal(wg_read_u16(&reader), 268);
  assert_int_equal(wg_read_u16(&reader), 0);
  assert_memory_equal(wg_read_bytes(&reader, 268 * 4), packet + COMMON + 16, 268 * 4);
  assert_piece(&split, COMMON + 16 + 310 * 4, 100);
  assert_end(&split);
}

/* 260 gaps and 20 duplicates take 1136 bytes, of which 1088 fit. A duplicate that was taken for a
 * gap would acknowledge what never came. */
static void test_duplicates_of_a_sack_do_not_become_gaps(void **state) {
  (void)state;
  wg_writer writer = begin();
  add(&writer, SACK, 16 + 280 * 4);
  wg_write_patch_u16(&writer, COMMON + 12, 260);
  wg_write_patch_u16(&writer, COMMON + 14, 20);
  wg_split split = wg_split_begin(packet, writer.len);
  assert_int_equal(wg_split_next(&split, piece, sizeof piece), COMMON + 16 + 260 * 4);
  wg_reader reader = wg_reader_init(piece + COMMON + 2, CAP);
  assert_int_equal(wg_read_u16(&reader), 16 + 260 * 4);
  wg_read_bytes(&reader, 8);
  assert_int_equal(wg_read_u16(&reader), 260);
  assert_int_equal(wg_read_u16(&reader), 0);
  assert_memory_equal(piece + COMMON + 16, packet + COMMON + 16, 260 * 4);
  assert_end(&split);
}

static void test_another_chunk_that_is_too_large_is_left_out(void **state) {
  (void)state;
  wg_writer writer = begin();
  add(&writer, DATA, 2000);
  add(&writer, DATA, 40);
  wg_split split = wg_split_begin(packet, writer.len);
  assert_piece(&split, COMMON + 2000, 40);
  assert_end(&split);
}

static void test_what_is_no_chunk(void **state) {
  (void)state;
  for (size_t len = 0; len <= COMMON + 3; len++) {
    wg_split split = wg_split_begin(packet, len);
    assert_end(&split);
  }
  static const uint16_t lengths[] = {0, 3, 41, 0xffff};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    wg_writer writer = begin();
    add(&writer, DATA, 8);
    add(&writer, DATA, 40);
    wg_write_patch_u16(&writer, COMMON + 8 + 2, lengths[i]);
    wg_split split = wg_split_begin(packet, writer.len);
    assert_piece(&split, COMMON, 8);
    assert_end(&split);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_fits_stays_as_it_is),
      cmocka_unit_test(test_cut_between_chunks),
      cmocka_unit_test(test_the_last_chunk_may_lack_its_padding),
      cmocka_unit_test(test_a_sack_of_many_gaps_tells_of_fewer),
      cmocka_unit_test(test_duplicates_of_a_sack_do_not_become_gaps),
      cmocka_unit_test(test_another_chunk_that_is_too_large_is_left_out),
      cmocka_unit_test(test_what_is_no_chunk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
