/* Name-server packets: golden bytes both ways, the padding, frames, and what strangers send. */
#include "vectors.h"
#include "wire/names.h"

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

static wg_name_request base_request(wg_name_op op, const char *name) {
  wg_name_request request = {.op = (uint8_t)op};
  pattern(request.nonce, sizeof request.nonce, 0x10);
  strcpy(request.name, name);
  return request;
}

static void give_cookie(wg_name_request *request) {
  request->has_cookie = true;
  pattern(request->cookie, sizeof request->cookie, 0xc0);
}

static void check_record(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len) {
  assert_int_equal(a_len, b_len);
  if (a_len > 0) {
    assert_memory_equal(a, b, a_len);
  }
}

static void check_request(const char *name, const wg_name_request *request) {
  vector golden = vector_load(name);
  uint8_t bytes[WG_NAME_REQUEST_MAX], signature[WG_SIGNATURE_LEN], back[WG_SIGNATURE_LEN];
  wg_name_request decoded;
  size_t signed_len;
  bool is_signed = request->op != WG_NAME_LOOKUP;
  pattern(signature, sizeof signature, 0x40);
  int covered = wg_name_request_encode(request, bytes, sizeof bytes);
  assert_true(covered > 0);
  int len =
      is_signed ? wg_name_request_attach(bytes, (size_t)covered, sizeof bytes, signature) : covered;
  assert_int_equal(len, golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);

  assert_int_equal(wg_name_request_decode(golden.bytes, golden.len, &decoded, &signed_len, back),
                   WARP_OK);
  assert_int_equal(signed_len, is_signed ? covered : 0);
  if (is_signed) {
    assert_memory_equal(back, signature, sizeof back);
  }
  assert_int_equal(decoded.op, request->op);
  assert_memory_equal(decoded.nonce, request->nonce, sizeof decoded.nonce);
  assert_string_equal(decoded.name, request->name);
  assert_int_equal(decoded.has_cookie, request->has_cookie);
  assert_memory_equal(decoded.cookie, request->cookie, sizeof decoded.cookie);
  assert_int_equal(decoded.lifetime_s, request->lifetime_s);
  assert_memory_equal(&decoded.key, &request->key, sizeof decoded.key);
  assert_true(decoded.sequence == request->sequence);
  check_record(decoded.record, decoded.record_len, request->record, request->record_len);
}

static void test_golden_requests(void **state) {
  (void)state;
  vector small = vector_load("record_small"), full = vector_load("record_full");
  wg_name_request request = base_request(WG_NAME_LOOKUP, "alice");
  check_request("name_lookup", &request);

  request = base_request(WG_NAME_REGISTER, "alice");
  request.lifetime_s = 7200;
  request.record = small.bytes;
  request.record_len = small.len;
  check_request("name_register", &request);

  request = base_request(WG_NAME_REGISTER, "n-");
  memset(request.name + 2, 'a', 61);
  give_cookie(&request);
  request.lifetime_s = UINT32_MAX;
  request.record = full.bytes;
  request.record_len = full.len;
  check_request("name_register_cookie", &request);

  request = base_request(WG_NAME_DELETE, "a-1");
  give_cookie(&request);
  request.key.bytes[0] = 2;
  pattern(request.key.bytes + 1, 32, 1);
  request.sequence = 9;
  check_request("name_delete", &request);
}

static void check_reply(const char *name, const wg_name_reply *reply) {
  vector golden = vector_load(name);
  uint8_t bytes[WG_NAME_REPLY_MAX];
  wg_name_reply decoded;
  assert_int_equal(wg_name_reply_encode(reply, bytes, sizeof bytes), golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);
  assert_int_equal(wg_name_reply_decode(golden.bytes, golden.len, &decoded), WARP_OK);
  assert_int_equal(decoded.status, reply->status);
  assert_memory_equal(decoded.nonce, reply->nonce, sizeof decoded.nonce);
  assert_int_equal(decoded.lifetime_s, reply->lifetime_s);
  assert_int_equal(decoded.has_cookie, reply->has_cookie);
  assert_memory_equal(decoded.cookie, reply->cookie, sizeof decoded.cookie);
  check_record(decoded.record, decoded.record_len, reply->record, reply->record_len);
}

static void test_golden_replies(void **state) {
  (void)state;
  vector small = vector_load("record_small");
  wg_name_reply reply = {.status = WG_NAME_OK, .lifetime_s = 3600};
  pattern(reply.nonce, sizeof reply.nonce, 0x10);
  reply.record = small.bytes;
  reply.record_len = small.len;
  check_reply("name_reply_found", &reply);

  reply.record = NULL;
  reply.record_len = 0;
  reply.lifetime_s = 7200;
  reply.has_cookie = true;
  pattern(reply.cookie, sizeof reply.cookie, 0xc0);
  check_reply("name_reply_registered", &reply);

  reply.status = WG_NAME_COOKIE;
  reply.lifetime_s = 0;
  check_reply("name_reply_cookie", &reply);

  reply.status = WG_NAME_NOT_FOUND;
  reply.has_cookie = false;
  memset(reply.cookie, 0, sizeof reply.cookie);
  check_reply("name_reply_not_found", &reply);
}

/* No reply is longer than its request, and the largest packets keep their limits. */
static void test_lengths(void **state) {
  (void)state;
  static uint8_t record[WARP_RECORD_MAX + 1];
  uint8_t bytes[2048], signature[WG_SIGNATURE_LEN] = {0};
  wg_name_reply reply = {
      .lifetime_s = 1, .has_cookie = true, .record = record, .record_len = WARP_RECORD_MAX};
  int largest = wg_name_reply_encode(&reply, bytes, sizeof bytes);
  assert_in_range(largest, 1, WG_NAME_REPLY_MAX);
  reply.record_len = 0;
  int without_record = wg_name_reply_encode(&reply, bytes, sizeof bytes);

  wg_name_request request = base_request(WG_NAME_LOOKUP, "a");
  assert_int_equal(wg_name_request_encode(&request, bytes, sizeof bytes), WG_NAME_REPLY_MAX);
  memset(request.name, 'a', WARP_NAME_MAX);
  assert_int_equal(wg_name_request_encode(&request, bytes, sizeof bytes), WG_NAME_REPLY_MAX);

  request.op = WG_NAME_REGISTER;
  give_cookie(&request);
  request.record = record;
  request.record_len = WARP_RECORD_MAX;
  int len = wg_name_request_encode(&request, bytes, sizeof bytes);
  assert_in_range(wg_name_request_attach(bytes, (size_t)len, sizeof bytes, signature), 1,
                  WG_NAME_REQUEST_MAX);

  request = base_request(WG_NAME_DELETE, "a");
  len = wg_name_request_encode(&request, bytes, sizeof bytes);
  len = wg_name_request_attach(bytes, (size_t)len, sizeof bytes, signature);
  assert_true(len >= without_record);
}

static void test_invalid(void **state) {
  (void)state;
  static uint8_t record[WARP_RECORD_MAX + 1];
  uint8_t bytes[2048];
  wg_name_request request = base_request(WG_NAME_LOOKUP, "alice");
  request.op = 4;
  assert_int_equal(wg_name_request_encode(&request, bytes, sizeof bytes), WARP_INVALID);
  request = base_request(WG_NAME_LOOKUP, "Alice");
  assert_int_equal(wg_name_request_encode(&request, bytes, sizeof bytes), WARP_INVALID);
  request = base_request(WG_NAME_REGISTER, "alice");
  assert_int_equal(wg_name_request_encode(&request, bytes, sizeof bytes), WARP_INVALID);
  request.record = record;
  request.record_len = WARP_RECORD_MAX + 1;
  assert_int_equal(wg_name_request_encode(&request, bytes, sizeof bytes), WARP_TOO_BIG);
  request = base_request(WG_NAME_LOOKUP, "alice");
  assert_int_equal(wg_name_request_encode(&request, bytes, 500), WARP_TOO_BIG);
  wg_name_reply reply = {.record = record, .record_len = WARP_RECORD_MAX + 1};
  assert_int_equal(wg_name_reply_encode(&reply, bytes, sizeof bytes), WARP_TOO_BIG);
}

static void test_valid_names(void **state) {
  (void)state;
  static const char *const good[] = {"a", "0", "a-b", "a--b", "n-abc123"};
  static const char *const bad[] = {"", "-", "-a", "a-", "A", "a.b", "a_b", "a b", "\xc3\xa9"};
  char longest[WARP_NAME_MAX + 2];
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    assert_true(wg_name_valid(good[i]));
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_false(wg_name_valid(bad[i]));
  }
  memset(longest, 'a', sizeof longest);
  longest[WARP_NAME_MAX + 1] = '\0';
  assert_false(wg_name_valid(longest));
  longest[WARP_NAME_MAX] = '\0';
  assert_true(wg_name_valid(longest));
}

static int decode_request(const uint8_t *bytes, size_t len) {
  wg_name_request request;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  return wg_name_request_decode(bytes, len, &request, &signed_len, signature);
}

static void test_signature_is_needed(void **state) {
  (void)state;
  vector golden = vector_load("name_delete");
  assert_int_equal(decode_request(golden.bytes, golden.len - WG_SIGNATURE_FIELD_LEN),
                   WARP_MALFORMED);
  /* A lookup has none, so that none can be taken for one that was checked. */
  uint8_t bytes[WG_NAME_REQUEST_MAX], signature[WG_SIGNATURE_LEN] = {0};
  golden = vector_load("name_lookup");
  memcpy(bytes, golden.bytes, golden.len);
  int len = wg_signature_attach(bytes, golden.len, sizeof bytes, signature);
  assert_int_equal(decode_request(bytes, (size_t)len), WARP_MALFORMED);
}

static void test_statuses(void **state) {
  (void)state;
  static const int results[] = {WARP_OK,    WARP_NOT_FOUND, WARP_NAME_TAKEN,    WARP_QUOTA,
                                WARP_AGAIN, WARP_REPLAY,    WARP_BAD_SIGNATURE, WARP_EXPIRED,
                                WARP_AGAIN, WARP_IO,        WARP_AGAIN};
  for (uint8_t i = 0; i <= WG_NAME_TOO_SHORT; i++) {
    assert_int_equal(wg_name_status_result(i), results[i]);
    for (uint8_t j = 0; j < i; j++) {
      assert_string_not_equal(wg_name_status_text(i), wg_name_status_text(j));
    }
  }
  assert_string_equal(wg_name_status_text(WG_NAME_TAKEN), "name taken");
  assert_int_equal(wg_name_status_result(200), WARP_IO);
  assert_non_null(wg_name_status_text(200));
}

static void test_frames(void **state) {
  (void)state;
  size_t len = 99;
  const uint8_t *bytes = (const uint8_t *)"\0\3abc\0";
  assert_int_equal(wg_name_frame_next(bytes, 0, 10, &len), WARP_AGAIN);
  assert_int_equal(wg_name_frame_next(bytes, 1, 10, &len), WARP_AGAIN);
  assert_int_equal(wg_name_frame_next(bytes, 4, 10, &len), WARP_AGAIN);
  assert_int_equal(len, 0);
  assert_int_equal(wg_name_frame_next(bytes, 5, 10, &len), WARP_OK);
  assert_int_equal(len, 3);
  assert_int_equal(wg_name_frame_next(bytes, 6, 3, &len), WARP_OK);
  assert_int_equal(wg_name_frame_next(bytes, 6, 2, &len), WARP_MALFORMED);
  assert_int_equal(wg_name_frame_next((const uint8_t *)"\0\0x", 3, 10, &len), WARP_MALFORMED);
}

static void check_request_variant(const uint8_t *bytes, size_t len, int changed) {
  int status = decode_request(bytes, len);
  assert_true(status == WARP_MALFORMED || status == WARP_VERSION || status == WARP_OK);
  if (!changed) {
    /* Only a lookup may be cut, between its last field and its padding. */
    assert_true(status == WARP_MALFORMED || len < 64);
  }
}

static void check_reply_variant(const uint8_t *bytes, size_t len, int changed) {
  wg_name_reply reply;
  int status = wg_name_reply_decode(bytes, len, &reply);
  (void)changed;
  assert_true(status == WARP_MALFORMED || status == WARP_VERSION || status == WARP_OK);
  if (status == WARP_OK && reply.record != NULL) {
    assert_true(reply.record >= bytes && reply.record + reply.record_len <= bytes + len);
  }
}

static void test_hostile(void **state) {
  (void)state;
  static const char *const requests[] = {"name_lookup", "name_register", "name_register_cookie",
                                         "name_delete"};
  static const char *const replies[] = {"name_reply_found", "name_reply_registered",
                                        "name_reply_cookie", "name_reply_not_found"};
  for (size_t i = 0; i < 4; i++) {
    vector golden = vector_load(requests[i]);
    hostile_variants(golden.bytes, golden.len, check_request_variant);
    golden = vector_load(replies[i]);
    hostile_variants(golden.bytes, golden.len, check_reply_variant);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden_requests), cmocka_unit_test(test_golden_replies),
      cmocka_unit_test(test_lengths),         cmocka_unit_test(test_invalid),
      cmocka_unit_test(test_valid_names),     cmocka_unit_test(test_signature_is_needed),
      cmocka_unit_test(test_statuses),        cmocka_unit_test(test_frames),
      cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
