/* STUN messages: the samples of RFC 5769 and RFC 8489, every attribute both ways, hostile bytes. */
#include "base/addr.h"
#include "vectors.h"
#include "wire/digest.h"
#include "wire/stun.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt";
static const char user[] =
    "\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9";

static wg_stun_message decode(const vector *bytes) {
  wg_stun_message message;
  assert_int_equal(wg_stun_decode(bytes->bytes, bytes->len, &message), WARP_OK);
  return message;
}

static const char *text_of(const wg_stun_message *message, uint16_t type) {
  static char text[WG_STUN_TEXT_MAX + 1];
  assert_true(wg_stun_find_text(message, type, text, sizeof text));
  return text;
}

static void check_mapped(const wg_stun_message *message, const char *expected) {
  warp_addr addr;
  char text[WARP_ADDR_STRLEN];
  assert_true(wg_stun_find_mapped(message, &addr));
  assert_string_equal(warp_addr_format(&addr, text), expected);
}

/* ---- published samples ----------------------------------------------------------------------- */

static void test_sample_request(void **state) {
  (void)state;
  vector bytes = vector_load("rfc5769_request");
  wg_stun_message message = decode(&bytes);
  uint16_t unknown[2] = {0, 0};
  assert_int_equal(message.class, WG_STUN_REQUEST);
  assert_int_equal(message.method, WG_STUN_BINDING);
  assert_memory_equal(message.txid.bytes, "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae", 12);
  assert_string_equal(text_of(&message, WG_STUN_SOFTWARE), "STUN test client");
  assert_string_equal(text_of(&message, WG_STUN_USERNAME), "evtj:h6vY");
  assert_int_equal(wg_stun_check_integrity(&message, password, strlen(password)), WARP_OK);
  assert_int_equal(wg_stun_check_integrity(&message, "wrong", 5), WARP_BAD_SIGNATURE);
  assert_int_equal(wg_stun_check_integrity_sha256(&message, "wrong", 5), WARP_NOT_FOUND);
  /* ICE's PRIORITY is nothing that this codec understands; ICE-CONTROLLED need not be understood.
   */
  assert_int_equal(wg_stun_unknown(&message, unknown, 2), 1);
  assert_int_equal(unknown[0], 0x0024);
  assert_int_equal(unknown[1], 0);
}

static void test_sample_responses(void **state) {
  (void)state;
  static const char *const names[] = {"rfc5769_response4", "rfc5769_response6"};
  static const char *const mapped[] = {"192.0.2.1:32853",
                                       "[2001:db8:1234:5678:11:2233:4455:6677]:32853"};
  for (size_t i = 0; i < 2; i++) {
    vector bytes = vector_load(names[i]);
    wg_stun_message message = decode(&bytes);
    assert_int_equal(message.class, WG_STUN_SUCCESS);
    assert_string_equal(text_of(&message, WG_STUN_SOFTWARE), "test vector");
    check_mapped(&message, mapped[i]);
    assert_int_equal(wg_stun_check_integrity(&message, password, strlen(password)), WARP_OK);
    assert_int_equal(wg_stun_unknown(&message, NULL, 0), 0);
  }
}

static void test_sample_long_term(void **state) {
  (void)state;
  vector golden = vector_load("rfc5769_long_term");
  wg_stun_message message = decode(&golden);
  uint8_t key[WG_STUN_LONG_TERM_KEY_LEN], bytes[256];
  assert_int_equal(wg_stun_long_term_key(user, "example.org", "TheMatrIX", key), WARP_OK);
  assert_int_equal(wg_stun_check_integrity(&message, key, sizeof key), WARP_OK);
  assert_string_equal(text_of(&message, WG_STUN_REALM), "example.org");

  /* This sample pads with zeros, as we do: written again it is the same. */
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &message.txid);
  wg_stun_attr_text(&writer, WG_STUN_USERNAME, user);
  wg_stun_attr_text(&writer, WG_STUN_NONCE, "f//499k954d6OL34oL9FSTvy64sA");
  wg_stun_attr_text(&writer, WG_STUN_REALM, "example.org");
  wg_stun_integrity(&writer, key, sizeof key);
  assert_int_equal(wg_stun_end(&writer), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
}

static void test_sample_sha256(void **state) {
  (void)state;
  vector golden = vector_load("rfc8489_sha256");
  wg_stun_message message = decode(&golden);
  wg_stun_attr hash;
  uint8_t key[32], bytes[256];
  const wg_part parts[] = {{user, strlen(user)}, {":example.org:TheMatrIX", 22}};
  assert_int_equal(wg_digest_parts(WG_DIGEST_SHA256, parts, 2, key), WARP_OK);
  assert_int_equal(wg_stun_check_integrity_sha256(&message, key, sizeof key), WARP_OK);
  assert_int_equal(wg_stun_check_integrity_sha256(&message, key, 31), WARP_BAD_SIGNATURE);
  assert_int_equal(wg_stun_check_integrity(&message, key, sizeof key), WARP_NOT_FOUND);
  assert_true(wg_stun_find(&message, 0x001e, &hash));

  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &message.txid);
  wg_stun_attr_bytes(&writer, hash.type, hash.value, hash.len);
  wg_stun_attr_text(&writer, WG_STUN_NONCE, "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
  wg_stun_attr_text(&writer, WG_STUN_REALM, "example.org");
  wg_stun_attr_u32(&writer, 0x001d, 0x00020000);
  wg_stun_integrity_sha256(&writer, key, sizeof key);
  assert_int_equal(wg_stun_end(&writer), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
}

/* ---- our own messages ------------------------------------------------------------------------ */

static const wg_stun_txid txid = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};

static vector finish(wg_writer *writer) {
  vector out = {.len = 0};
  int len = wg_stun_end(writer);
  assert_true(len > 0);
  out.len = (size_t)len;
  memcpy(out.bytes, writer->data, out.len);
  return out;
}

static void test_types(void **state) {
  (void)state;
  /* Method and class share the type (RFC 8489 figure 3): 14 bits, all of them used. */
  static const struct {
    wg_stun_class class;
    uint16_t method, type;
  } rows[] = {
      {WG_STUN_REQUEST, 0x001, 0x0001},    {WG_STUN_INDICATION, 0x001, 0x0011},
      {WG_STUN_SUCCESS, 0x001, 0x0101},    {WG_STUN_ERROR, 0x001, 0x0111},
      {WG_STUN_INDICATION, 0x007, 0x0017}, {WG_STUN_REQUEST, 0xfff, 0x3eef},
      {WG_STUN_ERROR, 0xfff, 0x3fff},      {WG_STUN_SUCCESS, 0x080, 0x0300},
      {WG_STUN_REQUEST, 0x010, 0x0020},
  };
  uint8_t bytes[64];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    wg_writer writer = wg_writer_init(bytes, sizeof bytes);
    wg_stun_begin(&writer, rows[i].class, rows[i].method, &txid);
    vector out = finish(&writer);
    assert_int_equal(out.bytes[0] << 8 | out.bytes[1], rows[i].type);
    wg_stun_message message = decode(&out);
    assert_int_equal(message.class, rows[i].class);
    assert_int_equal(message.method, rows[i].method);
    assert_memory_equal(&message.txid, &txid, sizeof txid);
  }
}

static void test_discovery_attributes(void **state) {
  (void)state;
  uint8_t bytes[256];
  uint32_t change;
  warp_addr mapped, origin, other, got;
  assert_int_equal(warp_addr_parse("203.0.113.7:40000", &mapped), WARP_OK);
  assert_int_equal(warp_addr_parse("[2001:db8::1]:3478", &origin), WARP_OK);
  assert_int_equal(warp_addr_parse("198.51.100.2:3479", &other), WARP_OK);
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_SUCCESS, WG_STUN_BINDING, &txid);
  wg_stun_attr_addr(&writer, WG_STUN_MAPPED_ADDRESS, &mapped);
  wg_stun_attr_addr(&writer, WG_STUN_RESPONSE_ORIGIN, &origin);
  wg_stun_attr_addr(&writer, WG_STUN_OTHER_ADDRESS, &other);
  wg_stun_attr_u32(&writer, WG_STUN_CHANGE_REQUEST, WG_STUN_CHANGE_IP | WG_STUN_CHANGE_PORT);
  wg_stun_fingerprint(&writer);
  vector out = finish(&writer);
  wg_stun_message message = decode(&out);
  check_mapped(&message, "203.0.113.7:40000"); /* without an XOR-MAPPED-ADDRESS this one counts */
  assert_true(wg_stun_find_addr(&message, WG_STUN_RESPONSE_ORIGIN, &got));
  assert_true(wg_addr_equal(&got, &origin));
  assert_true(wg_stun_find_addr(&message, WG_STUN_OTHER_ADDRESS, &got));
  assert_true(wg_addr_equal(&got, &other));
  assert_true(wg_stun_find_u32(&message, WG_STUN_CHANGE_REQUEST, &change));
  assert_int_equal(change, 6);
  assert_false(wg_stun_find_addr(&message, WG_STUN_XOR_MAPPED_ADDRESS, &got));
  assert_false(wg_stun_find_u32(&message, WG_STUN_MAPPED_ADDRESS, &change));
}

static void test_xored_addresses(void **state) {
  (void)state;
  static const char *const texts[] = {"192.0.2.1:32853", "[2001:db8::ffff]:65535", "0.0.0.0"};
  uint8_t bytes[64];
  for (size_t i = 0; i < 3; i++) {
    warp_addr addr, got;
    assert_int_equal(warp_addr_parse(texts[i], &addr), WARP_OK);
    wg_writer writer = wg_writer_init(bytes, sizeof bytes);
    wg_stun_begin(&writer, WG_STUN_SUCCESS, WG_STUN_BINDING, &txid);
    wg_stun_attr_addr(&writer, WG_STUN_XOR_MAPPED_ADDRESS, &addr);
    vector out = finish(&writer);
    assert_memory_not_equal(out.bytes + 28, addr.ip, 4); /* it is hidden from meddling NATs */
    wg_stun_message message = decode(&out);
    assert_true(wg_stun_find_addr(&message, WG_STUN_XOR_MAPPED_ADDRESS, &got));
    assert_true(wg_addr_equal(&got, &addr));
  }
}

static void test_errors(void **state) {
  (void)state;
  static const unsigned codes[] = {300, 401, 420, 438, 500, 699};
  uint8_t bytes[1024];
  char reason[64], cut[5];
  unsigned code;
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
    wg_writer writer = wg_writer_init(bytes, sizeof bytes);
    wg_stun_begin(&writer, WG_STUN_ERROR, WG_STUN_BINDING, &txid);
    wg_stun_attr_error(&writer, codes[i], "No\nway");
    wg_stun_attr_unknown(&writer, (const uint16_t[]){0x0003, 0x7fff, 0x0101}, 3);
    vector out = finish(&writer);
    wg_stun_message message = decode(&out);
    wg_stun_attr unknown;
    assert_true(wg_stun_find_error(&message, &code, reason, sizeof reason));
    assert_int_equal(code, codes[i]);
    assert_string_equal(reason, "No?way");
    assert_true(wg_stun_find_error(&message, &code, cut, sizeof cut));
    assert_string_equal(cut, "No?w");
    assert_true(wg_stun_find(&message, WG_STUN_UNKNOWN_ATTRIBUTES, &unknown));
    assert_int_equal(unknown.len, 6);
    assert_memory_equal(unknown.value, "\0\3\x7f\xff\1\1", 6);
  }
  static const unsigned bad[] = {0, 299, 700};
  for (size_t i = 0; i < 3; i++) {
    wg_writer writer = wg_writer_init(bytes, sizeof bytes);
    wg_stun_begin(&writer, WG_STUN_ERROR, WG_STUN_BINDING, &txid);
    wg_stun_attr_error(&writer, bad[i], "");
    assert_int_equal(wg_stun_end(&writer), WARP_TOO_BIG);
  }
}

static void test_malformed_errors(void **state) {
  (void)state;
  static const char *const bad[] = {"\0\0\2\0", "\0\0\7\0", "\0\0\4\144"};
  uint8_t bytes[64];
  char reason[8];
  unsigned code;
  for (size_t i = 0; i < 3; i++) {
    wg_writer writer = wg_writer_init(bytes, sizeof bytes);
    wg_stun_begin(&writer, WG_STUN_ERROR, WG_STUN_BINDING, &txid);
    wg_stun_attr_bytes(&writer, WG_STUN_ERROR_CODE, bad[i], 4);
    vector out = finish(&writer);
    wg_stun_message message = decode(&out);
    assert_false(wg_stun_find_error(&message, &code, reason, sizeof reason));
  }
}

/* ---- what may be trusted --------------------------------------------------------------------- */

/* Attributes behind MESSAGE-INTEGRITY are not covered by it and must not be seen. */
static void test_attributes_after_integrity(void **state) {
  (void)state;
  uint8_t bytes[256];
  warp_addr forged = {.family = WARP_IP4, .ip = {6, 6, 6, 6}, .port = 666}, got;
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_SUCCESS, WG_STUN_BINDING, &txid);
  wg_stun_attr_text(&writer, WG_STUN_SOFTWARE, "a");
  wg_stun_integrity(&writer, "key", 3);
  wg_stun_attr_addr(&writer, WG_STUN_XOR_MAPPED_ADDRESS, &forged);
  wg_stun_attr_u32(&writer, 0x7f00, 1); /* an unknown one does not count either */
  wg_stun_integrity_sha256(&writer, "key", 3);
  wg_stun_attr_text(&writer, WG_STUN_REALM, "forged");
  wg_stun_fingerprint(&writer);
  vector out = finish(&writer);
  wg_stun_message message = decode(&out);
  wg_stun_attr attr;
  assert_false(wg_stun_find_addr(&message, WG_STUN_XOR_MAPPED_ADDRESS, &got));
  assert_false(wg_stun_find(&message, WG_STUN_REALM, &attr));
  assert_true(wg_stun_find(&message, WG_STUN_SOFTWARE, &attr));
  assert_true(wg_stun_find(&message, WG_STUN_FINGERPRINT, &attr));
  assert_int_equal(wg_stun_unknown(&message, NULL, 0), 0);
  assert_int_equal(wg_stun_check_integrity(&message, "key", 3), WARP_OK);
  assert_int_equal(wg_stun_check_integrity_sha256(&message, "key", 3), WARP_OK);
  size_t count = 0;
  wg_stun_iter iter = wg_stun_attrs(&message);
  while (wg_stun_next(&iter, &attr)) {
    count++;
  }
  assert_int_equal(count, 4);
}

static void test_first_attribute_counts(void **state) {
  (void)state;
  uint8_t bytes[256];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  wg_stun_attr_text(&writer, WG_STUN_REALM, "first");
  wg_stun_attr_text(&writer, WG_STUN_REALM, "second");
  vector out = finish(&writer);
  wg_stun_message message = decode(&out);
  assert_string_equal(text_of(&message, WG_STUN_REALM), "first");
}

static void test_truncated_integrity(void **state) {
  (void)state;
  uint8_t bytes[256], mac[32];
  /* SHA-256 may be cut to 16 bytes or more, SHA-1 not at all. */
  for (uint16_t len = 12; len <= 32; len = (uint16_t)(len + 4)) {
    wg_writer writer = wg_writer_init(bytes, sizeof bytes);
    wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
    uint8_t header[20];
    memcpy(header, bytes, sizeof header);
    header[3] = (uint8_t)(4 + len);
    const wg_part part = {header, sizeof header};
    assert_int_equal(wg_hmac_parts(WG_DIGEST_SHA256, "key", 3, &part, 1, mac), WARP_OK);
    wg_stun_attr_bytes(&writer, WG_STUN_MESSAGE_INTEGRITY_SHA256, mac, len);
    vector out = finish(&writer);
    wg_stun_message message = decode(&out);
    assert_int_equal(wg_stun_check_integrity_sha256(&message, "key", 3),
                     len >= 16 ? WARP_OK : WARP_BAD_SIGNATURE);
  }
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  wg_stun_attr_bytes(&writer, WG_STUN_MESSAGE_INTEGRITY, mac, 16);
  vector out = finish(&writer);
  wg_stun_message message = decode(&out);
  assert_int_equal(wg_stun_check_integrity(&message, "key", 3), WARP_BAD_SIGNATURE);
}

/* ---- limits and malformed bytes -------------------------------------------------------------- */

static int decode_bytes(const void *bytes, size_t len) {
  wg_stun_message message;
  return wg_stun_decode(bytes, len, &message);
}

static void test_malformed(void **state) {
  (void)state;
  vector good = vector_load("rfc5769_request");
  vector bad = good;
  bad.bytes[0] |= 0x40; /* a TURN channel, not STUN */
  assert_false(wg_stun_is(bad.bytes, bad.len));
  assert_int_equal(decode_bytes(bad.bytes, bad.len), WARP_MALFORMED);
  bad = good;
  bad.bytes[4] ^= 1; /* RFC 3489 had no cookie */
  assert_int_equal(decode_bytes(bad.bytes, bad.len), WARP_MALFORMED);
  bad = good;
  bad.bytes[3]++;
  assert_int_equal(decode_bytes(bad.bytes, bad.len), WARP_MALFORMED);
  bad = good;
  bad.bytes[bad.len - 1] ^= 1; /* FINGERPRINT */
  assert_int_equal(decode_bytes(bad.bytes, bad.len), WARP_MALFORMED);
  bad = good;
  bad.bytes[30] ^= 1; /* what the FINGERPRINT covers */
  assert_int_equal(decode_bytes(bad.bytes, bad.len), WARP_MALFORMED);
  bad = good;
  bad.bytes[23] = 0xff; /* an attribute that runs over the end */
  assert_int_equal(decode_bytes(bad.bytes, bad.len), WARP_MALFORMED);
  assert_true(wg_stun_is(good.bytes, good.len));
  assert_int_equal(decode_bytes(good.bytes, good.len), WARP_OK);
}

static void test_fingerprint_is_last(void **state) {
  (void)state;
  uint8_t bytes[64];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  wg_stun_fingerprint(&writer);
  wg_stun_attr_u32(&writer, 0x8001, 0);
  int len = wg_stun_end(&writer);
  assert_int_equal(decode_bytes(bytes, (size_t)len), WARP_MALFORMED);
}

static void test_sizes(void **state) {
  (void)state;
  static uint8_t bytes[WG_STUN_MAX + 8], data[WG_STUN_MAX];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_INDICATION, WG_STUN_BINDING, &txid);
  wg_stun_attr_bytes(&writer, 0x8001, data, WG_STUN_MAX - 24);
  assert_int_equal(wg_stun_end(&writer), WG_STUN_MAX);
  assert_int_equal(decode_bytes(bytes, WG_STUN_MAX), WARP_OK);
  wg_stun_attr_bytes(&writer, 0x8001, data, 0);
  assert_int_equal(wg_stun_end(&writer), WARP_TOO_BIG);
  writer = wg_writer_init(bytes, 27);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  wg_stun_fingerprint(&writer);
  assert_int_equal(wg_stun_end(&writer), WARP_TOO_BIG);
  writer = wg_writer_init(bytes, 64);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  wg_stun_attr_addr(&writer, WG_STUN_MAPPED_ADDRESS, &(warp_addr){0});
  assert_int_equal(wg_stun_end(&writer), WARP_TOO_BIG);
}

static void test_texts(void **state) {
  (void)state;
  uint8_t bytes[64];
  char text[5];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  wg_stun_attr_bytes(&writer, WG_STUN_REALM, "a\0b", 3);
  wg_stun_attr_text(&writer, WG_STUN_NONCE, "12345");
  wg_stun_attr_text(&writer, WG_STUN_USERNAME, "1234");
  wg_stun_attr_text(&writer, WG_STUN_SOFTWARE, "");
  vector out = finish(&writer);
  wg_stun_message message = decode(&out);
  assert_false(wg_stun_find_text(&message, WG_STUN_REALM, text, sizeof text));
  assert_false(wg_stun_find_text(&message, WG_STUN_NONCE, text, sizeof text));
  assert_true(wg_stun_find_text(&message, WG_STUN_USERNAME, text, sizeof text));
  assert_string_equal(text, "1234");
  assert_true(wg_stun_find_text(&message, WG_STUN_SOFTWARE, text, sizeof text));
  assert_string_equal(text, "");
}

static void test_frames(void **state) {
  (void)state;
  vector golden = vector_load("rfc5769_request");
  size_t len;
  for (size_t cut = 0; cut < golden.len; cut++) {
    assert_int_equal(wg_stun_frame_next(golden.bytes, cut, &len), WARP_AGAIN);
    assert_int_equal(len, 0);
  }
  golden.bytes[golden.len] = 0; /* the next one begins */
  assert_int_equal(wg_stun_frame_next(golden.bytes, golden.len + 1, &len), WARP_OK);
  assert_int_equal(len, golden.len);
  assert_int_equal(wg_stun_frame_next((const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18, &len),
                   WARP_MALFORMED);
  assert_int_equal(wg_stun_frame_next((const uint8_t *)"G", 1, &len), WARP_MALFORMED);
  assert_int_equal(wg_stun_frame_next((const uint8_t *)"\0\1\xff\xfc", 4, &len), WARP_MALFORMED);
  assert_int_equal(wg_stun_frame_next((const uint8_t *)"\0\1\0\1", 4, &len), WARP_MALFORMED);
  golden.bytes[4] ^= 1;
  assert_int_equal(wg_stun_frame_next(golden.bytes, 20, &len), WARP_MALFORMED);
}

static void check_variant(const uint8_t *bytes, size_t len, int changed) {
  wg_stun_message message;
  wg_stun_attr attr;
  warp_addr addr;
  unsigned code;
  char text[16];
  size_t frame;
  int status = wg_stun_decode(bytes, len, &message);
  (void)wg_stun_frame_next(bytes, len, &frame);
  (void)changed;
  assert_true(status == WARP_OK || status == WARP_MALFORMED);
  if (status != WARP_OK) {
    return;
  }
  wg_stun_iter iter = wg_stun_attrs(&message);
  while (wg_stun_next(&iter, &attr)) {
    assert_true(attr.value >= bytes && attr.value + attr.len <= bytes + len);
    (void)wg_stun_find_addr(&message, attr.type, &addr);
    (void)wg_stun_find_text(&message, attr.type, text, sizeof text);
  }
  (void)wg_stun_find_error(&message, &code, text, sizeof text);
  (void)wg_stun_check_integrity(&message, password, strlen(password));
  (void)wg_stun_check_integrity_sha256(&message, password, strlen(password));
}

static void test_hostile(void **state) {
  (void)state;
  static const char *const names[] = {"rfc5769_request", "rfc5769_response4", "rfc5769_response6",
                                      "rfc5769_long_term", "rfc8489_sha256"};
  for (size_t i = 0; i < 5; i++) {
    vector golden = vector_load(names[i]);
    hostile_variants(golden.bytes, golden.len, check_variant);
  }
}

/* With a FINGERPRINT in it, no changed byte before it gets through. */
static void test_fingerprint_protects(void **state) {
  (void)state;
  vector golden = vector_load("rfc5769_response6");
  for (size_t i = 0; i < golden.len - 8; i++) {
    golden.bytes[i] ^= 0x10;
    assert_int_equal(decode_bytes(golden.bytes, golden.len), WARP_MALFORMED);
    golden.bytes[i] ^= 0x10;
  }
  assert_int_equal(decode_bytes(golden.bytes, golden.len), WARP_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sample_request),
      cmocka_unit_test(test_sample_responses),
      cmocka_unit_test(test_sample_long_term),
      cmocka_unit_test(test_sample_sha256),
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_discovery_attributes),
      cmocka_unit_test(test_xored_addresses),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_malformed_errors),
      cmocka_unit_test(test_attributes_after_integrity),
      cmocka_unit_test(test_first_attribute_counts),
      cmocka_unit_test(test_truncated_integrity),
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_fingerprint_is_last),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_frames),
      cmocka_unit_test(test_hostile),
      cmocka_unit_test(test_fingerprint_protects),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
