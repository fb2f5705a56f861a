/* Letters, envelopes and carried datagrams: golden bytes both ways, and what strangers send. */
#include "vectors.h"
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void pattern(uint8_t *out, size_t len, uint8_t first) {
  for (size_t i = 0; i < len; i++) {
    out[i] = (uint8_t)(first + i);
  }
}

static wg_letter golden_letter(const vector *message) {
  wg_letter letter = {
      .sequence = 42,
      .time_ms = INT64_C(1700000000000),
      .expires_ms = INT64_C(1700000120000),
      .message = message->bytes,
      .message_len = message->len,
  };
  letter.sender.bytes[0] = 2;
  pattern(letter.sender.bytes + 1, 32, 1);
  letter.recipient.bytes[0] = 3;
  pattern(letter.recipient.bytes + 1, 32, 101);
  return letter;
}

static void test_golden_letter(void **state) {
  (void)state;
  vector message = vector_load("message_plugin"), golden = vector_load("letter");
  wg_letter letter = golden_letter(&message), decoded;
  uint8_t bytes[WG_ENVELOPE_MAX], signature[WG_SIGNATURE_LEN], back[WG_SIGNATURE_LEN];
  size_t signed_len;
  pattern(signature, sizeof signature, 0x40);
  int len = wg_letter_encode(&letter, bytes, sizeof bytes);
  assert_true(len > 0);
  assert_int_equal(wg_letter_attach(bytes, (size_t)len, sizeof bytes, signature), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);

  assert_int_equal(wg_letter_decode(golden.bytes, golden.len, &decoded, &signed_len, back),
                   WARP_OK);
  assert_int_equal(signed_len, len);
  assert_memory_equal(back, signature, sizeof back);
  assert_memory_equal(&decoded.sender, &letter.sender, sizeof decoded.sender);
  assert_memory_equal(&decoded.recipient, &letter.recipient, sizeof decoded.recipient);
  assert_true(decoded.sequence == 42 && decoded.time_ms == letter.time_ms &&
              decoded.expires_ms == letter.expires_ms);
  assert_int_equal(decoded.message_len, message.len);
  assert_memory_equal(decoded.message, message.bytes, message.len);
}

static void test_invalid_letters(void **state) {
  (void)state;
  vector message = vector_load("message_plugin");
  uint8_t bytes[WG_ENVELOPE_MAX];
  wg_letter letter = golden_letter(&message);
  letter.message_len = 0;
  assert_int_equal(wg_letter_encode(&letter, bytes, sizeof bytes), WARP_INVALID);
  letter.message_len = WG_MESSAGE_MAX + 1;
  assert_int_equal(wg_letter_encode(&letter, bytes, sizeof bytes), WARP_INVALID);
  letter = golden_letter(&message);
  letter.time_ms = -1;
  assert_int_equal(wg_letter_encode(&letter, bytes, sizeof bytes), WARP_INVALID);
  letter = golden_letter(&message);
  letter.expires_ms = letter.time_ms - 1;
  assert_int_equal(wg_letter_encode(&letter, bytes, sizeof bytes), WARP_INVALID);
  letter = golden_letter(&message);
  assert_int_equal(wg_letter_encode(&letter, bytes, 100), WARP_TOO_BIG);
}

/* The largest message in a letter in an envelope stays under the envelope's limit. */
static void test_largest(void **state) {
  (void)state;
  static const vector message = {.len = WG_MESSAGE_MAX};
  uint8_t bytes[WG_ENVELOPE_MAX], sealed[WG_ENVELOPE_MAX];
  uint8_t signature[WG_SIGNATURE_LEN] = {0};
  wg_letter letter = golden_letter(&message);
  int len = wg_letter_encode(&letter, bytes, sizeof bytes);
  assert_true(len > 0);
  len = wg_letter_attach(bytes, (size_t)len, sizeof bytes, signature);
  assert_true(len > 0);
  len = wg_envelope_encode(&letter.sender, bytes, (size_t)len + WG_AEAD_TAG_LEN, sealed,
                           sizeof sealed);
  assert_true(len > 0);
}

static int decode_letter(const uint8_t *bytes, size_t len, wg_letter *out) {
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  return wg_letter_decode(bytes, len, out, &signed_len, signature);
}

static void test_missing_and_repeated_fields(void **state) {
  (void)state;
  vector golden = vector_load("letter");
  static const size_t lengths[] = {37, 37, 12, 12, 12, 51};
  wg_letter letter;
  size_t at = 0;
  for (size_t i = 0; i < 6; i++) {
    uint8_t bytes[VECTOR_MAX];
    size_t rest = golden.len - at - lengths[i];
    memcpy(bytes, golden.bytes, at);
    memcpy(bytes + at, golden.bytes + at + lengths[i], rest);
    assert_int_equal(decode_letter(bytes, at + rest, &letter), WARP_MALFORMED);
    memcpy(bytes, golden.bytes, at + lengths[i]);
    memcpy(bytes + at + lengths[i], golden.bytes + at, golden.len - at);
    assert_int_equal(decode_letter(bytes, golden.len + lengths[i], &letter), WARP_MALFORMED);
    at += lengths[i];
  }
  assert_int_equal(at + WG_SIGNATURE_FIELD_LEN, golden.len);
}

static void test_envelope(void **state) {
  (void)state;
  vector golden = vector_load("envelope");
  uint8_t sealed[48], bytes[WG_ENVELOPE_MAX];
  const uint8_t *got;
  size_t got_len;
  warp_key ephemeral, back;
  ephemeral.bytes[0] = 3;
  pattern(ephemeral.bytes + 1, 32, 101);
  pattern(sealed, sizeof sealed, 0);
  int len = wg_envelope_encode(&ephemeral, sealed, sizeof sealed, bytes, sizeof bytes);
  assert_int_equal(len, golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  assert_int_equal(wg_envelope_decode(bytes, (size_t)len, &back, &got, &got_len), WARP_OK);
  assert_memory_equal(&back, &ephemeral, sizeof back);
  assert_int_equal(got_len, sizeof sealed);
  assert_ptr_equal(got, bytes + WG_ENVELOPE_HEADER_LEN);

  assert_int_equal(wg_envelope_encode(&ephemeral, sealed, 16, bytes, sizeof bytes), WARP_INVALID);
  assert_int_equal(wg_envelope_encode(&ephemeral, sealed, 17, bytes, 53), WARP_TOO_BIG);
  assert_int_equal(wg_envelope_decode(bytes, 37 + 16, &back, &got, &got_len), WARP_MALFORMED);
  static uint8_t big[WG_ENVELOPE_MAX + 1];
  memcpy(big, golden.bytes, 37);
  assert_int_equal(wg_envelope_decode(big, WG_ENVELOPE_MAX, &back, &got, &got_len), WARP_OK);
  assert_int_equal(wg_envelope_decode(big, WG_ENVELOPE_MAX + 1, &back, &got, &got_len),
                   WARP_MALFORMED);
}

static void test_carry(void **state) {
  (void)state;
  vector carry = vector_load("carry");
  uint8_t tag[WG_TAG_LEN], bytes[WG_CARRY_HEADER_LEN];
  wg_carried packet;
  pattern(tag, sizeof tag, 0xf0);
  assert_int_equal(wg_carry_begin(bytes, tag), WG_CARRY_HEADER_LEN);
  assert_memory_equal(bytes, carry.bytes, WG_CARRY_HEADER_LEN);
  assert_int_equal(wg_carry_open(carry.bytes, carry.len, &packet), WARP_OK);
  assert_memory_equal(packet.tag, tag, sizeof tag);
  assert_int_equal(packet.payload_len, 12);
  assert_memory_equal(packet.payload, "\x16\xfe\xfd datagram", 12);
  assert_int_equal(packet.sequence, 0);
  /* One without a datagram. */
  assert_int_equal(wg_carry_open(carry.bytes, WG_CARRY_HEADER_LEN, &packet), WARP_MALFORMED);
}

static void check_probe(const char *name, uint32_t sequence, uint32_t acknowledged) {
  vector golden = vector_load(name);
  uint8_t tag[WG_TAG_LEN], bytes[WG_PROBE_LEN];
  wg_carried packet;
  pattern(tag, sizeof tag, 0xf0);
  assert_int_equal(wg_probe_encode(bytes, tag, sequence, acknowledged), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  assert_int_equal(wg_carry_open(golden.bytes, golden.len, &packet), WARP_OK);
  assert_memory_equal(packet.tag, tag, sizeof tag);
  assert_int_equal(packet.sequence, sequence);
  assert_int_equal(packet.acknowledged, acknowledged);
  assert_null(packet.payload);
}

static void test_probes(void **state) {
  (void)state;
  check_probe("probe", 7, 0);
  check_probe("probe_answer", UINT32_MAX - 1, 0x01020304);
  vector probe = vector_load("probe");
  wg_carried packet;
  /* Something behind it, something missing. */
  probe.bytes[probe.len] = 0;
  assert_int_equal(wg_carry_open(probe.bytes, probe.len + 1, &packet), WARP_MALFORMED);
  for (size_t len = 0; len < probe.len; len++)
    assert_int_equal(wg_carry_open(probe.bytes, len, &packet), WARP_MALFORMED);
  probe.bytes[WG_CARRY_HEADER_LEN + 3] = 0; /* the number 0 */
  assert_int_equal(wg_carry_open(probe.bytes, probe.len, &packet), WARP_MALFORMED);
  probe.bytes[2] = 2;
  assert_int_equal(wg_carry_open(probe.bytes, probe.len, &packet), WARP_VERSION);
}

static void test_preamble(void **state) {
  (void)state;
  vector golden = vector_load("preamble");
  uint8_t tag[WG_TAG_LEN], back[WG_TAG_LEN], bytes[WG_PREAMBLE_LEN];
  pattern(tag, sizeof tag, 0xf0);
  wg_preamble_write(bytes, tag);
  assert_int_equal(golden.len, sizeof bytes);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  assert_int_equal(wg_preamble_read(golden.bytes, golden.len, back), WARP_OK);
  assert_memory_equal(back, tag, sizeof back);
  assert_int_equal(wg_preamble_read(golden.bytes, golden.len + 1, back), WARP_MALFORMED);
  vector probe = vector_load("probe");
  assert_int_equal(wg_preamble_read(probe.bytes, WG_PREAMBLE_LEN, back), WARP_MALFORMED);
  golden.bytes[2] = 2;
  assert_int_equal(wg_preamble_read(golden.bytes, golden.len, back), WARP_VERSION);
}

static void check_preamble(const uint8_t *bytes, size_t len, int changed) {
  uint8_t tag[WG_TAG_LEN];
  int status = wg_preamble_read(bytes, len, tag);
  assert_true(status == WARP_MALFORMED ||
              (changed && (status == WARP_OK || status == WARP_VERSION)));
  assert_true(status != WARP_OK || len == WG_PREAMBLE_LEN);
}

static void check_letter(const uint8_t *bytes, size_t len, int changed) {
  wg_letter letter;
  int status = decode_letter(bytes, len, &letter);
  assert_true(status == WARP_MALFORMED || (changed && status == WARP_OK));
  if (status == WARP_OK) {
    assert_true(letter.message >= bytes && letter.message + letter.message_len <= bytes + len);
  }
}

static void check_envelope(const uint8_t *bytes, size_t len, int changed) {
  warp_key key;
  const uint8_t *sealed;
  size_t sealed_len;
  int status = wg_envelope_decode(bytes, len, &key, &sealed, &sealed_len);
  if (status == WARP_OK) {
    assert_true(sealed == bytes + 37 && sealed_len == len - 37 && sealed_len > 16);
  } else {
    assert_true(status == WARP_MALFORMED || (changed && status == WARP_VERSION));
  }
}

static void check_carry(const uint8_t *bytes, size_t len, int changed) {
  wg_carried packet;
  int status = wg_carry_open(bytes, len, &packet);
  (void)changed;
  assert_true(status == WARP_OK || status == WARP_MALFORMED || status == WARP_VERSION);
  if (status != WARP_OK)
    return;
  if (packet.payload != NULL)
    assert_true(packet.payload_len > 0 && packet.payload_len == len - WG_CARRY_HEADER_LEN);
  else
    assert_true(packet.sequence != 0 && len == WG_PROBE_LEN);
}

static void test_hostile(void **state) {
  (void)state;
  vector golden = vector_load("letter");
  hostile_variants(golden.bytes, golden.len, check_letter);
  golden = vector_load("envelope");
  hostile_variants(golden.bytes, golden.len, check_envelope);
  golden = vector_load("probe");
  hostile_variants(golden.bytes, golden.len, check_carry);
  golden = vector_load("carry");
  hostile_variants(golden.bytes, golden.len, check_carry);
  golden = vector_load("preamble");
  hostile_variants(golden.bytes, golden.len, check_preamble);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden_letter), cmocka_unit_test(test_invalid_letters),
      cmocka_unit_test(test_largest),       cmocka_unit_test(test_missing_and_repeated_fields),
      cmocka_unit_test(test_envelope),      cmocka_unit_test(test_carry),
      cmocka_unit_test(test_probes),        cmocka_unit_test(test_preamble),
      cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
