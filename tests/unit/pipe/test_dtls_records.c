/* What of a datagram a library that decrypts records may see (pipe/dtls_records.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "pipe/dtls_records.h"

enum { OVERHEAD = 24, ROOM = 512, FRAGMENT_HEAD = 12 };

static const wg_dtls_rules secured = {.overhead = OVERHEAD};
static const wg_dtls_rules waiting = {.hello = true, .overhead = OVERHEAD};

static void put_head(wg_writer *to, uint8_t type, uint16_t version, uint16_t epoch,
                     size_t body_len) {
  wg_write_u8(to, type);
  wg_write_u16(to, version);
  wg_write_u16(to, epoch);
  wg_write_zeros(to, 6);
  wg_write_u16(to, (uint16_t)body_len);
}

static void put_u24(wg_writer *to, size_t value) {
  wg_write_u8(to, (uint8_t)(value >> 16));
  wg_write_u16(to, (uint16_t)value);
}

static void put_fragment(wg_writer *to, uint8_t type, size_t whole, size_t from, size_t len) {
  wg_write_u8(to, type);
  put_u24(to, whole);
  wg_write_u16(to, 1);
  put_u24(to, from);
  put_u24(to, len);
  wg_write_zeros(to, len);
  assert_false(to->failed);
}

static void put_alert(wg_writer *to, uint16_t epoch, uint8_t level) {
  put_head(to, 21, 0xfeff, epoch, 2);
  wg_write_u8(to, level);
  wg_write_u8(to, 40);
}

/* In the clear it is a whole Certificate, which both sides send. */
static void put(wg_writer *to, uint16_t version, uint16_t epoch, size_t body_len) {
  put_head(to, epoch == 0 ? 22 : 23, version, epoch, body_len);
  if (epoch == 0) {
    put_fragment(to, 11, body_len - FRAGMENT_HEAD, 0, body_len - FRAGMENT_HEAD);
  } else {
    wg_write_zeros(to, body_len);
  }
  assert_false(to->failed);
}

static void check(const wg_writer *bytes, const wg_dtls_rules *rules, size_t sound) {
  assert_int_equal(wg_dtls_sound_len(bytes->data, bytes->len, rules), sound);
}

static void whole_records_pass(void **state) {
  (void)state;
  uint8_t room[ROOM];
  wg_writer bytes = wg_writer_init(room, sizeof room);
  check(&bytes, &secured, 0);
  put(&bytes, 0xfefd, 0, 40);
  put(&bytes, 0xfefd, 1, OVERHEAD);
  put(&bytes, 0xfefd, 65535, 100);
  check(&bytes, &secured, bytes.len);
}

static void what_follows_a_short_record_is_cut(void **state) {
  (void)state;
  for (uint16_t epoch = 1; epoch < 3; epoch++) {
    uint8_t room[ROOM];
    wg_writer bytes = wg_writer_init(room, sizeof room);
    put(&bytes, 0xfefd, 0, 13);
    size_t sound = bytes.len;
    put(&bytes, 0xfefd, epoch, OVERHEAD - 1);
    put(&bytes, 0xfefd, 1, OVERHEAD);
    check(&bytes, &secured, sound);
  }
}

static void a_record_that_is_not_whole_is_cut(void **state) {
  (void)state;
  uint8_t room[ROOM];
  wg_writer bytes = wg_writer_init(room, sizeof room);
  put(&bytes, 0xfefd, 1, 30);
  size_t sound = bytes.len;
  put(&bytes, 0xfefd, 1, 30);
  for (size_t len = sound; len < bytes.len; len++) {
    assert_int_equal(wg_dtls_sound_len(room, len, &secured), sound);
  }
  for (size_t len = 0; len < sound; len++) {
    assert_int_equal(wg_dtls_sound_len(room, len, &secured), 0);
  }
}

static void other_versions_are_cut(void **state) {
  (void)state;
  static const uint16_t versions[] = {0x0000, 0x0100, 0x0303, 0xfefc, 0xfefe, 0xfeff, 0xffff};
  for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
    uint8_t room[ROOM];
    wg_writer bytes = wg_writer_init(room, sizeof room);
    put(&bytes, versions[i], 0, 50);
    check(&bytes, &secured, 0);
  }
}

static void a_hello_comes_alone(void **state) {
  (void)state;
  uint8_t room[ROOM];
  wg_writer bytes = wg_writer_init(room, sizeof room);
  put(&bytes, 0xfeff, 0, 50);
  check(&bytes, &waiting, bytes.len);
  put(&bytes, 0xfefd, 0, 50);
  check(&bytes, &waiting, 0);

  bytes = wg_writer_init(room, sizeof room);
  put(&bytes, 0xfefd, 0, 50);
  size_t sound = bytes.len;
  put(&bytes, 0xfeff, 0, 50);
  check(&bytes, &waiting, sound);

  bytes = wg_writer_init(room, sizeof room);
  put(&bytes, 0xfeff, 1, 50);
  check(&bytes, &waiting, 0);
}

/* A server refuses before both have agreed on a version. */
static void so_does_an_alert(void **state) {
  (void)state;
  uint8_t room[ROOM];
  wg_writer bytes = wg_writer_init(room, sizeof room);
  put_alert(&bytes, 0, 2);
  check(&bytes, &secured, bytes.len);
  put_alert(&bytes, 0, 2);
  check(&bytes, &secured, 0);
  bytes = wg_writer_init(room, sizeof room);
  put_alert(&bytes, 1, 2);
  check(&bytes, &secured, 0);
  bytes = wg_writer_init(room, sizeof room);
  put_alert(&bytes, 0, 1);
  check(&bytes, &secured, 0); /* ours never warn in the clear */
}

static void fragments_are_whole(void **state) {
  (void)state;
  static const struct {
    size_t whole, from, len;
    bool sound;
  } rows[] = {
      {0, 0, 0, true},    {9, 0, 9, true},  {900, 891, 9, true}, {900, 0, 9, true},
      {9, 0, 0, false},   {9, 9, 0, false}, {9, 1, 9, false},    {8, 0, 9, false},
      {8192, 0, 9, true}, {0, 1, 0, false}, {8193, 0, 9, false}, {0xffffff, 0, 9, false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    uint8_t room[ROOM];
    wg_writer bytes = wg_writer_init(room, sizeof room);
    put_head(&bytes, 22, 0xfefd, 0, 2 * FRAGMENT_HEAD + 9 + rows[i].len);
    put_fragment(&bytes, 11, 9, 0, 9);
    put_fragment(&bytes, 11, rows[i].whole, rows[i].from, rows[i].len);
    check(&bytes, &secured, rows[i].sound ? bytes.len : 0);
    bytes = wg_writer_init(room, sizeof room);
    put_head(&bytes, 22, 0xfefd, 0, 2 * FRAGMENT_HEAD + rows[i].len + 1);
    put_fragment(&bytes, 11, rows[i].whole, rows[i].from, rows[i].len);
    put_fragment(&bytes, 11, 2, 0, 2); /* the record ends one byte before */
    check(&bytes, &secured, 0);
  }
}

static void each_role_has_its_messages(void **state) {
  (void)state;
  static const uint8_t of_servers[] = {2, 11, 12, 13, 14}, of_clients[] = {1, 11, 15, 16};
  for (unsigned type = 0; type < 256; type++) {
    for (int client = 0; client < 2; client++) {
      wg_dtls_rules rules = {.client = client != 0, .overhead = OVERHEAD};
      const uint8_t *list = client ? of_servers : of_clients;
      bool may_come = memchr(list, (int)type, client ? sizeof of_servers : sizeof of_clients);
      uint8_t room[ROOM];
      wg_writer bytes = wg_writer_init(room, sizeof room);
      put_head(&bytes, 22, 0xfefd, 0, FRAGMENT_HEAD + 5);
      put_fragment(&bytes, (uint8_t)type, 5, 0, 5);
      check(&bytes, &rules, may_come ? bytes.len : 0);
    }
  }
}

static void other_records_are_not_in_the_clear(void **state) {
  (void)state;
  for (unsigned type = 0; type < 256; type++) {
    for (uint8_t len = 0; len < 3; len++) {
      uint8_t room[ROOM];
      wg_writer bytes = wg_writer_init(room, sizeof room);
      put_head(&bytes, (uint8_t)type, 0xfefd, 0, len);
      for (uint8_t i = 0; i < len; i++) {
        wg_write_u8(&bytes, len); /* a change of cipher is a 1, an alert begins with a 2 */
      }
      check(&bytes, &secured, (type == 20 && len == 1) || (type == 21 && len == 2) ? bytes.len : 0);
    }
  }
}

static void only_what_is_in_the_clear_gets_other_numbers(void **state) {
  (void)state;
  uint8_t room[ROOM], before[ROOM];
  wg_writer bytes = wg_writer_init(room, sizeof room);
  put(&bytes, 0xfefd, 0, 13);
  size_t second = bytes.len;
  put(&bytes, 0xfefd, 1, 30);
  size_t third = bytes.len;
  put(&bytes, 0xfefd, 0, 20);
  memcpy(before, room, bytes.len);
  uint64_t next = 0x0102030405ff;
  wg_dtls_renumber(room, bytes.len, &next);
  assert_true(next == 0x010203040601);
  static const uint8_t first_number[] = {1, 2, 3, 4, 5, 0xff}, last_number[] = {1, 2, 3, 4, 6, 0};
  memcpy(before + 5, first_number, 6);
  memcpy(before + third + 5, last_number, 6);
  assert_memory_equal(room, before, bytes.len);
  wg_dtls_renumber(room, second - 1, &next); /* not whole: left alone */
  assert_memory_equal(room, before, bytes.len);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_records_pass),
      cmocka_unit_test(what_follows_a_short_record_is_cut),
      cmocka_unit_test(a_record_that_is_not_whole_is_cut),
      cmocka_unit_test(other_versions_are_cut),
      cmocka_unit_test(a_hello_comes_alone),
      cmocka_unit_test(so_does_an_alert),
      cmocka_unit_test(fragments_are_whole),
      cmocka_unit_test(each_role_has_its_messages),
      cmocka_unit_test(other_records_are_not_in_the_clear),
      cmocka_unit_test(only_what_is_in_the_clear_gets_other_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
