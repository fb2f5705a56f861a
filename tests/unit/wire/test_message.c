/* Signal messages: golden bytes both ways, what each type needs, and what strangers send. */
#include "vectors.h"
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static wg_message base_message(wg_message_type type) {
  wg_message message = {.type = (uint8_t)type};
  for (size_t i = 0; i < WG_SESSION_LEN; i++) {
    message.session.bytes[i] = (uint8_t)(0xa0 + i);
  }
  return message;
}

static wg_message open_message(const vector *record) {
  wg_message message = base_message(WG_MESSAGE_OPEN);
  message.attempt = 7;
  strcpy(message.plugin, "udp_punch");
  message.family = WARP_IP4;
  message.route_type = WARP_EXT_BIND;
  message.transport = WARP_UDP;
  message.endpoint_self = 0;
  message.endpoint_peer = 1;
  message.plugin_type = 1;
  message.data = (const uint8_t *)"hello";
  message.data_len = 5;
  message.record = record->bytes;
  message.record_len = record->len;
  message.known = 1750000000001;
  return message;
}

static wg_message fail_message(void) {
  wg_message message = base_message(WG_MESSAGE_FAIL);
  message.attempt = 65535;
  message.status = WARP_TIMEOUT;
  strcpy(message.detail, "timed out: 3 probes");
  return message;
}

static void check_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len) {
  assert_int_equal(a_len, b_len);
  if (a_len > 0) {
    assert_memory_equal(a, b, a_len);
  }
}

static void check_equal(const wg_message *a, const wg_message *b) {
  assert_int_equal(a->type, b->type);
  assert_memory_equal(&a->session, &b->session, sizeof a->session);
  assert_int_equal(a->attempt, b->attempt);
  assert_string_equal(a->plugin, b->plugin);
  assert_int_equal(a->family, b->family);
  assert_int_equal(a->route_type, b->route_type);
  assert_int_equal(a->transport, b->transport);
  assert_int_equal(a->endpoint_self, b->endpoint_self);
  assert_int_equal(a->endpoint_peer, b->endpoint_peer);
  assert_int_equal(a->plugin_type, b->plugin_type);
  assert_int_equal(a->status, b->status);
  assert_string_equal(a->detail, b->detail);
  check_bytes(a->data, a->data_len, b->data, b->data_len);
  check_bytes(a->record, a->record_len, b->record, b->record_len);
  check_bytes(a->rows, a->rows_len, b->rows, b->rows_len);
  assert_int_equal(a->asks, b->asks);
  assert_int_equal(a->apart, b->apart);
  assert_int_equal(a->known, b->known);
}

static void check_golden(const char *name, const wg_message *message) {
  vector golden = vector_load(name);
  uint8_t bytes[WG_MESSAGE_MAX];
  wg_message decoded;
  int len = wg_message_encode(message, bytes, sizeof bytes);
  assert_int_equal(len, golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);

  assert_int_equal(wg_message_decode(golden.bytes, golden.len, &decoded), WARP_OK);
  check_equal(&decoded, message);
}

static void test_golden(void **state) {
  (void)state;
  vector record = vector_load("record_small");
  wg_message message = open_message(&record);
  check_golden("message_open", &message);

  message = base_message(WG_MESSAGE_PLUGIN);
  message.attempt = 7;
  message.data = (const uint8_t *)"\0\1\2";
  message.data_len = 3;
  check_golden("message_plugin", &message);

  message = fail_message();
  check_golden("message_fail", &message);

  message = base_message(WG_MESSAGE_END);
  check_golden("message_end", &message);

  message = base_message(WG_MESSAGE_INVITE);
  message.record = record.bytes;
  message.record_len = record.len;
  check_golden("message_invite", &message);

  message.apart = true;
  check_golden("message_apart", &message);

  message = base_message(WG_MESSAGE_PLUGIN);
  message.record = record.bytes;
  message.record_len = record.len;
  check_golden("message_record", &message);

  message = base_message(WG_MESSAGE_REPORT);
  message.asks = true;
  check_golden("message_ask", &message);
}

static void check_row(const wg_row *a, const wg_row *b) {
  assert_int_equal(a->attempt, b->attempt);
  assert_int_equal(a->status, b->status);
  assert_int_equal(a->start_ms, b->start_ms);
  assert_int_equal(a->elapsed_ms, b->elapsed_ms);
  assert_string_equal(a->detail, b->detail);
}

static void test_report(void **state) {
  (void)state;
  static wg_row rows[3] = {{7, WARP_OK, 1200, 95, "won, with 192.0.2.2:20123 at the other end"},
                           {9, WARP_CANCELED, -1, 0, ""},
                           {65535, WARP_TIMEOUT, 0, UINT32_MAX, ""}};
  memset(rows[2].detail, 'd', WARP_DETAIL_LEN - 1);
  uint8_t bytes[WG_MESSAGE_ROWS_MAX];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  for (size_t i = 0; i < 3; i++) {
    assert_true(wg_row_write(&writer, &rows[i], WARP_DETAIL_LEN));
  }
  wg_message message = base_message(WG_MESSAGE_REPORT), decoded;
  message.rows = bytes;
  message.rows_len = writer.len;
  check_golden("message_report", &message);
  vector golden = vector_load("message_report");
  assert_int_equal(wg_message_decode(golden.bytes, golden.len, &decoded), WARP_OK);
  wg_reader reader = wg_reader_init(decoded.rows, decoded.rows_len);
  wg_row row;
  for (size_t i = 0; i < 3; i++) {
    assert_true(wg_row_read(&reader, &row));
    check_row(&row, &rows[i]);
  }
  assert_false(wg_row_read(&reader, &row));
  assert_false(reader.failed);

  message.rows_len = WG_MESSAGE_ROWS_MAX + 1;
  uint8_t out[WG_MESSAGE_MAX];
  assert_int_equal(wg_message_encode(&message, out, sizeof out), WARP_TOO_BIG);
}

static void test_rows_in_little_room(void **state) {
  (void)state;
  const wg_row row = {1, WARP_OK, 0, 0, "0123456789"};
  uint8_t bytes[40];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  assert_true(wg_row_write(&writer, &row, 4));
  assert_int_equal(writer.len, 17);
  assert_true(wg_row_write(&writer, &row, 100));
  assert_int_equal(writer.len, 40);
  assert_false(wg_row_write(&writer, &row, 100));
  assert_false(writer.failed);
  wg_reader reader = wg_reader_init(bytes, writer.len);
  wg_row back;
  assert_true(wg_row_read(&reader, &back));
  assert_string_equal(back.detail, "0123");
}

/* Each is a whole message but for its rows. */
static void test_rows_malformed(void **state) {
  (void)state;
  static const struct {
    uint8_t bytes[16];
    size_t len;
  } wrong[] = {
      {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12},                   /* cut */
      {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 'a', 'b', 'c'}, 16}, /* a detail that is not there */
      {{0, 1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}, 13},             /* a time that is none */
      {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 160}, 13},              /* a detail that is too long */
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    wg_message message = base_message(WG_MESSAGE_REPORT);
    uint8_t bytes[WG_MESSAGE_MAX];
    message.rows = wrong[i].bytes;
    message.rows_len = wrong[i].len;
    int len = wg_message_encode(&message, bytes, sizeof bytes);
    assert_true(len > 0);
    assert_int_equal(wg_message_decode(bytes, (size_t)len, &message), WARP_MALFORMED);
  }
}

static void test_invalid_messages(void **state) {
  (void)state;
  vector record = vector_load("record_small");
  uint8_t bytes[WG_MESSAGE_MAX];
  for (int what = 0; what < 14; what++) {
    wg_message message = open_message(&record);
    int expected = WARP_INVALID;
    switch (what) {
    case 0:
      message.type = 0;
      break;
    case 1:
      message.type = 7;
      break;
    case 2:
      message.plugin[0] = '\0';
      break;
    case 3:
      strcpy(message.plugin, "Udp");
      break;
    case 4:
      memset(message.plugin, 'a', sizeof message.plugin); /* no NUL within its room */
      break;
    case 5:
      message.family = 0;
      break;
    case 6:
      message.route_type = 3;
      break;
    case 7:
      message.transport = 4;
      break;
    case 8:
      message.endpoint_self = WG_RECORD_ENDPOINTS;
      break;
    case 9:
      message.endpoint_peer = WG_RECORD_ENDPOINTS;
      break;
    case 10:
      message.record_len = 0;
      break;
    case 11:
      message.status = 1;
      break;
    case 12:
      message.data_len = WARP_ATTEMPT_MESSAGE_MAX + 1;
      expected = WARP_TOO_BIG;
      break;
    default:
      message.record_len = WARP_RECORD_MAX + 1;
      expected = WARP_TOO_BIG;
    }
    assert_int_equal(wg_message_encode(&message, bytes, sizeof bytes), expected);
  }
  wg_message message = open_message(&record);
  assert_int_equal(wg_message_encode(&message, bytes, 100), WARP_TOO_BIG);
}

static void test_largest(void **state) {
  (void)state;
  static uint8_t data[WARP_ATTEMPT_MESSAGE_MAX];
  vector record = {.len = WARP_RECORD_MAX};
  uint8_t bytes[WG_MESSAGE_MAX];
  wg_message message = open_message(&record), decoded;
  message.known = 0; /* no message has it together with a detail */
  memset(message.plugin, 'a', WG_PLUGIN_NAME_LEN - 1);
  message.plugin[WG_PLUGIN_NAME_LEN - 1] = '\0';
  message.data = data;
  message.data_len = sizeof data;
  message.status = -UINT16_MAX;
  memset(message.detail, 'd', sizeof message.detail); /* cut, not read beyond */
  int len = wg_message_encode(&message, bytes, sizeof bytes);
  assert_true(len > 2000);
  assert_int_equal(wg_message_decode(bytes, (size_t)len, &decoded), WARP_OK);
  assert_int_equal(strlen(decoded.detail), WARP_DETAIL_LEN - 1);
  assert_int_equal(decoded.status, -UINT16_MAX);
}

/* Decodes a golden message from which the fields of one type are taken out. */
static void check_needed(const vector *golden, uint16_t type, int expected) {
  uint8_t bytes[VECTOR_MAX];
  wg_message decoded;
  size_t len = WG_HEADER_LEN;
  memcpy(bytes, golden->bytes, WG_HEADER_LEN);
  for (size_t at = WG_HEADER_LEN; at < golden->len;) {
    size_t field = 4 + ((size_t)golden->bytes[at + 2] << 8 | golden->bytes[at + 3]);
    if ((golden->bytes[at] << 8 | golden->bytes[at + 1]) != type) {
      memcpy(bytes + len, golden->bytes + at, field);
      len += field;
    }
    at += field;
  }
  assert_int_equal(wg_message_decode(bytes, len, &decoded), expected);
}

static void test_needed_fields(void **state) {
  (void)state;
  static const struct {
    const char *name;
    const char *needed; /* field types */
  } rows[] = {
      {"message_open", "\1\2\3\4\5\12"}, {"message_plugin", "\1\2\3\6"},
      {"message_fail", "\1\2\3\10"},     {"message_end", "\1\2\10"},
      {"message_invite", "\1\2\12"},     {"message_ask", "\1\2"},
      {"message_report", "\1\2"},        {"message_record", "\1\2\3\6"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    vector golden = vector_load(rows[i].name);
    for (uint16_t type = 1; type <= 14; type++) {
      bool needed = strchr(rows[i].needed, type) != NULL;
      check_needed(&golden, type, needed ? WARP_MALFORMED : WARP_OK);
    }
  }
}

static void test_details_are_cleaned(void **state) {
  (void)state;
  wg_message message = fail_message(), decoded;
  uint8_t bytes[WG_MESSAGE_MAX];
  strcpy(message.detail, "a\nb\x1b[2Jc\x7f"
                         "d\xc3\xa9");
  int len = wg_message_encode(&message, bytes, sizeof bytes);
  assert_int_equal(wg_message_decode(bytes, (size_t)len, &decoded), WARP_OK);
  assert_string_equal(decoded.detail, "a?b?[2Jc?d\xc3\xa9");
}

static void test_repeated_field(void **state) {
  (void)state;
  vector golden = vector_load("message_end");
  wg_message decoded;
  memcpy(golden.bytes + golden.len, "\0\10\0\2\0\5", 6);
  assert_int_equal(wg_message_decode(golden.bytes, golden.len + 6, &decoded), WARP_MALFORMED);
  golden.bytes[golden.len + 1] = 99; /* unknown: skipped */
  assert_int_equal(wg_message_decode(golden.bytes, golden.len + 6, &decoded), WARP_OK);
}

static void check_variant(const uint8_t *bytes, size_t len, int changed) {
  wg_message message;
  int status = wg_message_decode(bytes, len, &message);
  assert_true(status == WARP_OK || status == WARP_MALFORMED || status == WARP_VERSION);
  if (!changed && status == WARP_OK) { /* cut between fields that it does not need */
    assert_true(len >= WG_HEADER_LEN + 25);
  }
  if (status == WARP_OK && message.record != NULL) {
    assert_true(message.record >= bytes && message.record + message.record_len <= bytes + len);
  }
  if (status == WARP_OK && message.data != NULL) {
    assert_true(message.data >= bytes && message.data + message.data_len <= bytes + len);
  }
}

static void test_hostile(void **state) {
  (void)state;
  static const char *const names[] = {"message_open",  "message_plugin", "message_fail",
                                      "message_end",   "message_invite", "message_ask",
                                      "message_report"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    vector golden = vector_load(names[i]);
    hostile_variants(golden.bytes, golden.len, check_variant);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_report),
      cmocka_unit_test(test_rows_in_little_room),
      cmocka_unit_test(test_rows_malformed),
      cmocka_unit_test(test_invalid_messages),
      cmocka_unit_test(test_largest),
      cmocka_unit_test(test_needed_fields),
      cmocka_unit_test(test_details_are_cleaned),
      cmocka_unit_test(test_repeated_field),
      cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
