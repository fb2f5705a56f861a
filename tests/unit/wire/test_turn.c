/* TURN's attributes, indications, ChannelData and frames, and what strangers send. */
#include "base/addr.h"
#include "vectors.h"
#include "wire/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const wg_stun_txid txid = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};

static void test_attributes(void **state) {
  (void)state;
  uint8_t bytes[128];
  uint16_t channel;
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_TURN_ALLOCATE, &txid);
  wg_turn_attr_transport_udp(&writer);
  wg_turn_attr_family(&writer, WARP_IP6);
  wg_turn_attr_family(&writer, WARP_IP4);
  wg_turn_attr_channel(&writer, 0x4abc);
  int len = wg_stun_end(&writer);
  assert_int_equal(len, 52);
  assert_memory_equal(bytes, "\0\3\0\x20", 4);
  assert_memory_equal(bytes + 20,
                      "\0\x19\0\4\x11\0\0\0\0\x17\0\4\2\0\0\0\0\x17\0\4\1\0\0\0"
                      "\0\x0c\0\4\x4a\xbc\0\0",
                      32);
  wg_stun_message message;
  assert_int_equal(wg_stun_decode(bytes, (size_t)len, &message), WARP_OK);
  assert_true(wg_turn_find_channel(&message, &channel));
  assert_int_equal(channel, 0x4abc);
  bytes[48] = 0x50; /* RFC 8656 took the range above 0x4FFF away */
  assert_int_equal(wg_stun_decode(bytes, (size_t)len, &message), WARP_OK);
  assert_false(wg_turn_find_channel(&message, &channel));
}

static int decode_indication(const uint8_t *bytes, size_t len, warp_addr *peer,
                             const uint8_t **data, size_t *data_len) {
  wg_stun_message message;
  if (wg_stun_decode(bytes, len, &message) != WARP_OK) {
    return WARP_MALFORMED;
  }
  return wg_turn_indication_decode(&message, WG_TURN_DATA, peer, data, data_len);
}

static void test_indications(void **state) {
  (void)state;
  uint8_t bytes[128];
  warp_addr peer, got;
  const uint8_t *data;
  size_t data_len;
  assert_int_equal(warp_addr_parse("[2001:db8::9]:99", &peer), WARP_OK);
  int len = wg_turn_indication_encode(WG_TURN_DATA, &txid, &peer, "12345", 5, bytes, sizeof bytes);
  assert_int_equal(len, 20 + 24 + 12);
  assert_int_equal(bytes[1], 0x17);
  assert_int_equal(decode_indication(bytes, (size_t)len, &got, &data, &data_len), WARP_OK);
  assert_true(wg_addr_equal(&got, &peer));
  assert_int_equal(data_len, 5);
  assert_memory_equal(data, "12345", 5);

  len = wg_turn_indication_encode(WG_TURN_DATA, &txid, &peer, "", 0, bytes, sizeof bytes);
  assert_int_equal(decode_indication(bytes, (size_t)len, &got, &data, &data_len), WARP_OK);
  assert_int_equal(data_len, 0);
  assert_non_null(data); /* an empty datagram is one */

  len = wg_turn_indication_encode(WG_TURN_SEND, &txid, &peer, "x", 1, bytes, sizeof bytes);
  assert_int_equal(bytes[1], 0x16);
  assert_int_equal(decode_indication(bytes, (size_t)len, &got, &data, &data_len), WARP_MALFORMED);
  assert_int_equal(wg_turn_indication_encode(WG_TURN_SEND, &txid, &peer, "x", 1, bytes, 40),
                   WARP_TOO_BIG);
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_INDICATION, WG_TURN_DATA, &txid);
  wg_stun_attr_addr(&writer, WG_TURN_XOR_PEER_ADDRESS, &peer); /* no DATA */
  len = wg_stun_end(&writer);
  assert_int_equal(decode_indication(bytes, (size_t)len, &got, &data, &data_len), WARP_MALFORMED);
  assert_null(data);
}

static void test_channel_data(void **state) {
  (void)state;
  static uint8_t big[WG_STUN_MAX];
  uint8_t bytes[16];
  uint16_t channel;
  const uint8_t *data;
  size_t len;
  assert_int_equal(wg_turn_channel_encode(0x4001, "hello", 5, bytes, sizeof bytes), 9);
  assert_memory_equal(bytes, "\x40\1\0\5hello", 9);
  assert_int_equal(wg_turn_channel_decode(bytes, 9, &channel, &data, &len), WARP_OK);
  assert_int_equal(channel, 0x4001);
  assert_int_equal(len, 5);
  assert_int_equal(wg_turn_channel_decode(bytes, 12, &channel, &data, &len), WARP_OK);
  assert_int_equal(len, 5); /* padding is none of it */
  assert_int_equal(wg_turn_channel_decode(bytes, 8, &channel, &data, &len), WARP_MALFORMED);
  assert_null(data);
  assert_int_equal(wg_turn_channel_encode(0x3fff, "x", 1, bytes, sizeof bytes), WARP_INVALID);
  assert_int_equal(wg_turn_channel_encode(0x5000, "x", 1, bytes, sizeof bytes), WARP_INVALID);
  assert_int_equal(wg_turn_channel_encode(0x4fff, "hello", 5, bytes, 8), WARP_TOO_BIG);
  assert_int_equal(wg_turn_channel_encode(0x4fff, big, WG_STUN_MAX - 3, big, sizeof big),
                   WARP_TOO_BIG);
  bytes[0] = 0x50;
  assert_int_equal(wg_turn_channel_decode(bytes, 9, &channel, &data, &len), WARP_MALFORMED);
}

static const uint8_t two_frames[] = "\x40\1\0\5hello\0\0\0\x40\2\0\0";

/* Feeds a stream in pieces of `step` bytes; the frames' lengths, up to the first error. */
static int cut(const uint8_t *data, size_t len, size_t step, size_t lengths[], size_t *count) {
  wg_turn_deframer deframer = {.have = 0};
  *count = 0;
  for (size_t at = 0; at < len; at += step) {
    const uint8_t *piece = data + at, *frame;
    size_t left = len - at < step ? len - at : step, frame_len;
    int status;
    while ((status = wg_turn_deframe(&deframer, &piece, &left, &frame, &frame_len)) == WARP_OK)
      lengths[(*count)++] = frame_len;
    if (status != WARP_AGAIN)
      return status;
    assert_int_equal(left, 0);
  }
  return WARP_AGAIN;
}

static void test_frames(void **state) {
  (void)state;
  vector stun = vector_load("rfc5769_request");
  uint8_t stream[256];
  size_t lengths[8], count, len = sizeof two_frames - 1;
  memcpy(stream, two_frames, len);
  memcpy(stream + len, stun.bytes, stun.len);
  for (size_t step = 1; step <= len + stun.len; step++) {
    assert_int_equal(cut(stream, len + stun.len, step, lengths, &count), WARP_AGAIN);
    assert_int_equal(count, 3);
    assert_int_equal(lengths[0], 12);
    assert_int_equal(lengths[1], 4);
    assert_int_equal(lengths[2], stun.len);
  }
  assert_int_equal(cut((const uint8_t *)"\x80\1\0\0", 4, 4, lengths, &count), WARP_MALFORMED);
  assert_int_equal(cut((const uint8_t *)"\x50\0\0\0", 4, 4, lengths, &count), WARP_MALFORMED);
  assert_int_equal(cut((const uint8_t *)"\0\1\0\3", 4, 1, lengths, &count), WARP_MALFORMED);
}

/* A frame that is too long for us is passed over, whatever it is cut into. */
static void test_long_frames(void **state) {
  (void)state;
  static uint8_t stream[0x10000 + 64];
  size_t lengths[8], count, len = 0;
  memcpy(stream, "\x40\1\xff\xff", 4);
  len += 4 + 0x10000;
  memcpy(stream + len, two_frames, sizeof two_frames - 1);
  len += sizeof two_frames - 1;
  for (size_t step = 1; step < len; step = step * 3 + 1) {
    assert_int_equal(cut(stream, len, step, lengths, &count), WARP_AGAIN);
    assert_int_equal(count, 2);
    assert_int_equal(lengths[0], 12);
  }
  memcpy(stream, "\0\x17\x10\0", 4); /* a Data indication of 4116 bytes */
  memcpy(stream + 4116, two_frames, sizeof two_frames - 1);
  assert_int_equal(cut(stream, 4116 + 12, 1000, lengths, &count), WARP_AGAIN);
  assert_int_equal(count, 1);
}

static void check_variant(const uint8_t *bytes, size_t len, int changed) {
  warp_addr peer;
  const uint8_t *data;
  size_t data_len, lengths[128], count;
  uint16_t channel;
  (void)changed;
  if (decode_indication(bytes, len, &peer, &data, &data_len) == WARP_OK) {
    assert_true(data >= bytes && data + data_len <= bytes + len);
  }
  if (wg_turn_channel_decode(bytes, len, &channel, &data, &data_len) == WARP_OK) {
    assert_true(data == bytes + 4 && data_len <= len - 4);
  }
  assert_int_not_equal(cut(bytes, len, 7, lengths, &count), WARP_OK);
}

static void test_hostile(void **state) {
  (void)state;
  uint8_t bytes[128];
  warp_addr peer;
  assert_int_equal(warp_addr_parse("192.0.2.9:99", &peer), WARP_OK);
  int len =
      wg_turn_indication_encode(WG_TURN_DATA, &txid, &peer, "datagram", 8, bytes, sizeof bytes);
  hostile_variants(bytes, (size_t)len, check_variant);
  len = wg_turn_channel_encode(0x4001, "hello", 5, bytes, sizeof bytes);
  hostile_variants(bytes, (size_t)len, check_variant);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_attributes),   cmocka_unit_test(test_indications),
      cmocka_unit_test(test_channel_data), cmocka_unit_test(test_frames),
      cmocka_unit_test(test_long_frames),  cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
