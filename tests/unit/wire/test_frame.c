/* Frames of links: golden bytes both ways, and what is none. */
#include "vectors.h"
#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static size_t add(uint8_t *out, wg_frame_type type, const char *body) {
  wg_frame_head_write(out, type, strlen(body));
  memcpy(out + WG_FRAME_HEAD_LEN, body, strlen(body));
  return WG_FRAME_HEAD_LEN + strlen(body);
}

static void test_writes_the_golden_bytes(void **state) {
  (void)state;
  vector golden = vector_load("link");
  uint8_t out[VECTOR_MAX];
  size_t len = WG_LINK_HEADER_LEN;
  wg_link_header_write(out);
  len += add(out + len, WG_FRAME_MESSAGE, "hello");
  len += add(out + len, WG_FRAME_MESSAGE, "");
  len += add(out + len, WG_FRAME_DONE, "");
  len += add(out + len, WG_FRAME_END, "");
  len += add(out + len, WG_FRAME_CLOSE, "");
  assert_int_equal(len, golden.len);
  assert_memory_equal(out, golden.bytes, len);
}

static void expect(const uint8_t **at, size_t *left, wg_frame_type type, const char *body) {
  wg_frame frame;
  assert_int_equal(wg_frame_read(*at, *left, &frame), WARP_OK);
  assert_int_equal(frame.type, type);
  assert_int_equal(frame.len, strlen(body));
  assert_memory_equal(frame.body, body, frame.len);
  *at += WG_FRAME_HEAD_LEN + frame.len;
  *left -= WG_FRAME_HEAD_LEN + frame.len;
}

static void test_reads_the_golden_bytes(void **state) {
  (void)state;
  vector golden = vector_load("link");
  assert_int_equal(wg_link_header_read(golden.bytes, golden.len), WARP_OK);
  const uint8_t *at = golden.bytes + WG_LINK_HEADER_LEN;
  size_t left = golden.len - WG_LINK_HEADER_LEN;
  expect(&at, &left, WG_FRAME_MESSAGE, "hello");
  expect(&at, &left, WG_FRAME_MESSAGE, "");
  expect(&at, &left, WG_FRAME_DONE, "");
  expect(&at, &left, WG_FRAME_END, "");
  expect(&at, &left, WG_FRAME_CLOSE, "");
  assert_int_equal(left, 0);
}

static int read_frame(const char *text, size_t len) {
  wg_frame frame;
  return wg_frame_read((const uint8_t *)text, len, &frame);
}
#define READ(text) read_frame(text, sizeof(text) - 1)

static void test_what_is_no_frame(void **state) {
  (void)state;
  assert_int_equal(READ(""), WARP_AGAIN);
  assert_int_equal(READ("\1\0\0"), WARP_AGAIN);
  assert_int_equal(READ("\1\0\0\2x"), WARP_AGAIN);
  assert_int_equal(READ("\1\x10\0\0"), WARP_AGAIN); /* the largest */
  assert_int_equal(READ("\1\x10\0\1"), WARP_TOO_BIG);
  assert_int_equal(READ("\x63\xff\xff\xff"), WARP_TOO_BIG);
  assert_int_equal(READ("\x63\0\0\1x"), WARP_OK); /* of a later version */
  assert_int_equal(READ("\2\0\0\1x"), WARP_MALFORMED);
  assert_int_equal(READ("\3\0\0\1"), WARP_MALFORMED); /* known before the body is there */
  assert_int_equal(READ("\4\0\0\1x"), WARP_MALFORMED);
}

static void read_hostile(const uint8_t *bytes, size_t len, int changed) {
  int status = wg_link_header_read(bytes, len);
  if (len < WG_LINK_HEADER_LEN) {
    assert_int_equal(status, WARP_AGAIN);
  }
  while (len >= WG_FRAME_HEAD_LEN) {
    wg_frame frame;
    status = wg_frame_read(bytes, len, &frame);
    if (status != WARP_OK) {
      assert_true(changed || status == WARP_AGAIN || len % 4 != 0);
      return;
    }
    assert_true(frame.body == bytes + WG_FRAME_HEAD_LEN && frame.len <= len - WG_FRAME_HEAD_LEN);
    bytes += WG_FRAME_HEAD_LEN + frame.len;
    len -= WG_FRAME_HEAD_LEN + frame.len;
  }
}

static void test_malformed(void **state) {
  (void)state;
  vector golden = vector_load("link");
  hostile_variants(golden.bytes + WG_LINK_HEADER_LEN, golden.len - WG_LINK_HEADER_LEN,
                   read_hostile);
  hostile_variants(golden.bytes, WG_LINK_HEADER_LEN, read_hostile);
  golden.bytes[2]++;
  assert_int_equal(wg_link_header_read(golden.bytes, golden.len), WARP_VERSION);
  golden.bytes[0]++;
  assert_int_equal(wg_link_header_read(golden.bytes, golden.len), WARP_MALFORMED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_writes_the_golden_bytes),
      cmocka_unit_test(test_reads_the_golden_bytes),
      cmocka_unit_test(test_what_is_no_frame),
      cmocka_unit_test(test_malformed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
