/* What of a datagram a library that decrypts records may see (pipe/dtls_records.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "pipe/dtls_records.h"

enum { OVERHEAD = 24, ROOM = 512 };

static const wg_dtls_rules secured = {.overhead = OVERHEAD};
static const wg_dtls_rules waiting = {.hello = true, .overhead = OVERHEAD};

static void put_typed(wg_writer *to, uint8_t type, uint16_t version, uint16_t epoch,
                      size_t body_len) {
  wg_write_u8(to, type);
  wg_write_u16(to, version);
  wg_write_u16(to, epoch);
  wg_write_zeros(to, 6);
  wg_write_u16(to, (uint16_t)body_len);
  wg_write_zeros(to, body_len);
  assert_false(to->failed);
}

static void put(wg_writer *to, uint16_t version, uint16_t epoch, size_t body_len) {
  put_typed(to, 23, version, epoch, body_len);
}

static void check(const wg_writer *bytes, const wg_dtls_rules *rules, size_t sound) {
  assert_int_equal(wg_dtls_sound_len(bytes->data, bytes->len, rules), sound);
}

static void whole_records_pass(void **state) {
  (void)state;
  uint8_t room[ROOM];
  wg_writer bytes = wg_writer_init(room, sizeof room);
  check(&bytes, &secured, 0);
  put(&bytes, 0xfefd, 0, 0);
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
    put(&bytes, 0xfefd, 0, 10);
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
  put_typed(&bytes, 21, 0xfeff, 0, 2);
  check(&bytes, &secured, bytes.len);
  put_typed(&bytes, 21, 0xfeff, 0, 2);
  check(&bytes, &secured, 0);
  bytes = wg_writer_init(room, sizeof room);
  put_typed(&bytes, 21, 0xfeff, 1, 40);
  check(&bytes, &secured, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_records_pass),
      cmocka_unit_test(what_follows_a_short_record_is_cut),
      cmocka_unit_test(a_record_that_is_not_whole_is_cut),
      cmocka_unit_test(other_versions_are_cut),
      cmocka_unit_test(a_hello_comes_alone),
      cmocka_unit_test(so_does_an_alert),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
