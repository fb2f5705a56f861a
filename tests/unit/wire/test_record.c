/* Address records: golden bytes both ways, limits, and what strangers send. */
#include "base/addr.h"
#include "vectors.h"
#include "wire/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int64_t time_ms = INT64_C(1700000000000);

static warp_addr addr(const char *text) {
  warp_addr out;
  assert_int_equal(warp_addr_parse(text, &out), WARP_OK);
  return out;
}

static void pattern(uint8_t *out, size_t len, uint8_t first) {
  for (size_t i = 0; i < len; i++) {
    out[i] = (uint8_t)(first + i);
  }
}

static wg_record base_record(void) {
  wg_record record = {.sequence = 1, .issued_ms = time_ms, .expires_ms = time_ms + 3600000};
  record.key.bytes[0] = 2;
  pattern(record.key.bytes + 1, 32, 1);
  pattern(record.machine, sizeof record.machine, 0x20);
  return record;
}

/* The record of record_small.hex. */
static wg_record small_record(void) {
  wg_record record = base_record();
  record.endpoint_count = 1;
  record.endpoints[0] = (warp_endpoint){
      .family = WARP_IP4,
      .prefix_bits = 24,
      .nic = addr("192.168.1.10:20123"),
      .external_udp = addr("203.0.113.7:20123"),
      .external_tcp = addr("203.0.113.7:20124"),
      .udp = {.translation = WARP_TRANSLATION_NAT,
              .mapping = WARP_NAT_ENDPOINT_INDEPENDENT,
              .filtering = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT,
              .allocation = WARP_ALLOC_PRESERVING,
              .step = 0,
              .confidence = 100},
  };
  warp_endpoint *endpoint = &record.endpoints[0];
  endpoint->tcp = endpoint->udp;
  endpoint->tcp.confidence = 50;
  endpoint->port_mapped = WARP_UDP;
  endpoint->udp.hairpin = endpoint->tcp.reuse = WARP_ABILITY_NO;
  endpoint->udp.reuse = endpoint->tcp.hairpin = WARP_ABILITY_YES;
  endpoint->udp.port_low = 1024;
  endpoint->udp.port_high = 65535;
  endpoint->udp.lifetime_s = 120;
  endpoint->udp.age_s = 7;
  endpoint->tcp.age_s = UINT16_MAX;
  record.broker_count = 1;
  strcpy(record.brokers[0], "broker.example:1883");
  return record;
}

/* The record of record_full.hex. */
static wg_record full_record(void) {
  wg_record record = base_record();
  record.sequence = UINT64_MAX;
  record.endpoint_count = WG_RECORD_ENDPOINTS;
  for (unsigned i = 0; i < 4; i++) {
    char nic[WARP_ADDR_STRLEN], udp[WARP_ADDR_STRLEN], tcp[WARP_ADDR_STRLEN];
    snprintf(nic, sizeof nic, "[2001:db8:%x::1]:%u", i, 30000 + i);
    snprintf(udp, sizeof udp, "[2001:db8:ffff::%x]:%u", i + 1, 40000 + i);
    snprintf(tcp, sizeof tcp, "[2001:db8:ffff::%x]:%u", i + 1, 50000 + i);
    record.endpoints[i] = (warp_endpoint){
        .family = WARP_IP6,
        .prefix_bits = 64,
        .nic = addr(nic),
        .external_udp = addr(udp),
        .external_tcp = addr(tcp),
        .udp = {.translation = WARP_TRANSLATION_NAT,
                .mapping = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT,
                .filtering = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT,
                .allocation = WARP_ALLOC_SEQUENTIAL,
                .step = -2,
                .confidence = 85},
    };
  }
  record.endpoints[4] = (warp_endpoint){
      .family = WARP_IP6,
      .prefix_bits = 128,
      .nic = addr("[2001:db8:4::1]:30004"),
      .external_udp = addr("[2001:db8:4::1]:30004"),
      .external_tcp = addr("[2001:db8:4::1]:30004"),
      .udp = {.translation = WARP_TRANSLATION_NONE,
              .mapping = WARP_NAT_ENDPOINT_INDEPENDENT,
              .filtering = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT,
              .allocation = WARP_ALLOC_PRESERVING,
              .step = 0,
              .confidence = 100},
  };
  record.endpoints[5] = (warp_endpoint){
      .family = WARP_IP4,
      .nic = addr("10.0.0.1:1"),
      .external_udp = addr("192.0.2.1:2"),
      .external_tcp = addr("192.0.2.2:3"),
      .udp = {.translation = WARP_TRANSLATION_NAT,
              .mapping = WARP_NAT_ADDRESS_DEPENDENT,
              .filtering = WARP_NAT_ADDRESS_DEPENDENT,
              .allocation = WARP_ALLOC_RANDOM,
              .step = 0,
              .confidence = 60},
      .tcp = {.confidence = 1},
  };
  record.broker_count = record.relay_count = WG_RECORD_HINTS;
  for (size_t i = 0; i < WG_RECORD_HINTS; i++) {
    memset(record.brokers[i], 'h', 58);
    strcpy(record.brokers[i] + 58, ":1883");
    strcpy(record.relays[i], record.brokers[i]);
  }
  return record;
}

static void check_axes(const warp_nat_axes *a, const warp_nat_axes *b) {
  assert_int_equal(a->translation, b->translation);
  assert_int_equal(a->mapping, b->mapping);
  assert_int_equal(a->filtering, b->filtering);
  assert_int_equal(a->allocation, b->allocation);
  assert_int_equal(a->step, b->step);
  assert_int_equal(a->confidence, b->confidence);
  assert_int_equal(a->hairpin, b->hairpin);
  assert_int_equal(a->reuse, b->reuse);
  assert_int_equal(a->port_low, b->port_low);
  assert_int_equal(a->port_high, b->port_high);
  assert_int_equal(a->lifetime_s, b->lifetime_s);
  assert_int_equal(a->age_s, b->age_s);
}

static void check_equal(const wg_record *a, const wg_record *b) {
  assert_memory_equal(&a->key, &b->key, sizeof a->key);
  assert_memory_equal(a->machine, b->machine, sizeof a->machine);
  assert_true(a->sequence == b->sequence && a->issued_ms == b->issued_ms &&
              a->expires_ms == b->expires_ms);
  assert_int_equal(a->endpoint_count, b->endpoint_count);
  for (size_t i = 0; i < a->endpoint_count; i++) {
    const warp_endpoint *x = &a->endpoints[i], *y = &b->endpoints[i];
    assert_int_equal(x->family, y->family);
    assert_int_equal(x->prefix_bits, y->prefix_bits);
    assert_true(wg_addr_equal(&x->nic, &y->nic));
    assert_true(wg_addr_equal(&x->external_udp, &y->external_udp));
    assert_true(wg_addr_equal(&x->external_tcp, &y->external_tcp));
    assert_int_equal(x->port_mapped, y->port_mapped);
    check_axes(&x->udp, &y->udp);
    check_axes(&x->tcp, &y->tcp);
  }
  assert_int_equal(a->broker_count, b->broker_count);
  assert_int_equal(a->relay_count, b->relay_count);
  for (size_t i = 0; i < WG_RECORD_HINTS; i++) {
    assert_string_equal(a->brokers[i], b->brokers[i]);
    assert_string_equal(a->relays[i], b->relays[i]);
  }
}

static void check_golden(const char *name, const wg_record *record) {
  vector golden = vector_load(name);
  uint8_t bytes[WARP_RECORD_MAX], signature[WG_SIGNATURE_LEN], back[WG_SIGNATURE_LEN];
  wg_record decoded;
  size_t signed_len;
  pattern(signature, sizeof signature, 0x40);
  int len = wg_record_encode(record, bytes, sizeof bytes);
  assert_true(len > 0);
  int total = wg_record_attach(bytes, (size_t)len, sizeof bytes, signature);
  assert_int_equal(total, golden.len);
  assert_memory_equal(bytes, golden.bytes, golden.len);

  assert_int_equal(wg_record_decode(golden.bytes, golden.len, &decoded, &signed_len, back),
                   WARP_OK);
  assert_int_equal(signed_len, len);
  assert_memory_equal(back, signature, sizeof back);
  check_equal(&decoded, record);
}

static void test_golden(void **state) {
  (void)state;
  wg_record record = small_record();
  check_golden("record_small", &record);
  record = base_record();
  record.sequence = 0;
  check_golden("record_empty", &record);
  record = full_record();
  check_golden("record_full", &record);
}

static void test_invalid_records(void **state) {
  (void)state;
  uint8_t bytes[WARP_RECORD_MAX];
  wg_record record = small_record();
  record.endpoint_count = WG_RECORD_ENDPOINTS + 1;
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
  record = small_record();
  record.broker_count = WG_RECORD_HINTS + 1;
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
  record = small_record();
  record.relay_count = WG_RECORD_HINTS + 1;
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
  record = small_record();
  record.expires_ms = record.issued_ms - 1;
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
  record = small_record();
  record.issued_ms = -1;
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
  record = small_record();
  strcpy(record.brokers[0], "user:password@broker.example:1883"); /* no credentials in public */
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
  record = small_record();
  strcpy(record.brokers[0], "no port");
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
}

static void test_invalid_endpoints(void **state) {
  (void)state;
  uint8_t bytes[WARP_RECORD_MAX];
  for (int what = 0; what < 12; what++) {
    wg_record record = small_record();
    warp_endpoint *endpoint = &record.endpoints[0];
    switch (what) {
    case 0:
      endpoint->family = 5;
      break;
    case 1:
      endpoint->family = WARP_IP6; /* not the family of its address */
      break;
    case 2:
      endpoint->prefix_bits = 33;
      break;
    case 3:
      endpoint->external_udp = addr("[::1]:5");
      break;
    case 4:
      endpoint->udp.translation = 3;
      break;
    case 5:
      endpoint->tcp.mapping = 4;
      break;
    case 6:
      endpoint->udp.confidence = 101;
      break;
    case 7:
      endpoint->port_mapped = 4;
      break;
    case 8:
      endpoint->udp.hairpin = 3;
      break;
    case 9:
      endpoint->tcp.reuse = 3;
      break;
    case 10:
      endpoint->tcp.port_low = 1;
      break;
    default:
      endpoint->nic = (warp_addr){0};
    }
    assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_INVALID);
  }
}

static void test_too_big(void **state) {
  (void)state;
  uint8_t bytes[WARP_RECORD_MAX + 100], signature[WG_SIGNATURE_LEN] = {0};
  wg_record record = small_record();
  assert_int_equal(wg_record_encode(&record, bytes, 100), WARP_TOO_BIG);
  /* Six endpoints whose three addresses all differ, and all hints: more than a record may have. */
  record = full_record();
  for (size_t i = 0; i < WG_RECORD_ENDPOINTS; i++) {
    record.endpoints[i] = record.endpoints[0];
    record.endpoints[i].external_tcp = addr("[2001:db8::99]:1");
  }
  assert_int_equal(wg_record_encode(&record, bytes, sizeof bytes), WARP_TOO_BIG);
  assert_int_equal(wg_record_attach(bytes, WARP_RECORD_MAX - 67, sizeof bytes, signature),
                   WARP_TOO_BIG);
}

static int decode(const uint8_t *bytes, size_t len) {
  wg_record record;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  return wg_record_decode(bytes, len, &record, &signed_len, signature);
}

static void test_missing_and_repeated_fields(void **state) {
  (void)state;
  vector golden = vector_load("record_empty");
  /* Header, then fields of 37, 20, 12, 12 and 12 bytes, then the signature. */
  static const size_t lengths[] = {37, 20, 12, 12, 12};
  size_t at = 4;
  for (size_t i = 0; i < 5; i++) {
    uint8_t bytes[VECTOR_MAX];
    size_t rest = golden.len - at - lengths[i];
    memcpy(bytes, golden.bytes, at);
    memcpy(bytes + at, golden.bytes + at + lengths[i], rest);
    assert_int_equal(decode(bytes, at + rest), WARP_MALFORMED); /* left out */
    memcpy(bytes, golden.bytes, at + lengths[i]);
    memcpy(bytes + at + lengths[i], golden.bytes + at, golden.len - at);
    assert_int_equal(decode(bytes, golden.len + lengths[i]), WARP_MALFORMED); /* twice */
    at += lengths[i];
  }
}

/* Puts bytes before the signature of a record. */
static vector with_field(const char *name, const void *field, size_t len) {
  vector out = vector_load(name);
  size_t at = out.len - WG_SIGNATURE_FIELD_LEN;
  memmove(out.bytes + at + len, out.bytes + at, WG_SIGNATURE_FIELD_LEN);
  memcpy(out.bytes + at, field, len);
  out.len += len;
  return out;
}

static void test_unknown_fields_are_skipped(void **state) {
  (void)state;
  vector more = with_field("record_small", "\x12\x34\0\3abc", 7);
  assert_int_equal(decode(more.bytes, more.len), WARP_OK);
  more = with_field("record_small", "\x12\x34\0\4abc", 7); /* runs into the signature */
  assert_int_equal(decode(more.bytes, more.len), WARP_MALFORMED);
}

static void test_endpoints_of_later_versions(void **state) {
  (void)state;
  /* family, prefix, forms, nic, axes, port mapped and more, then bytes that this version does not
   * know. */
  static const uint8_t field[] = {0, 6, 0, 39, 4, 24, 0, 10, 0, 0, 1, 0, 80, 0, 0,
                                  0, 0, 0, 0,  0, 0,  1, 2,  0, 1, 0, 2, 0,  0, 0,
                                  0, 0, 0, 0,  0, 0,  0, 0,  0, 0, 9, 9, 9};
  vector record = with_field("record_empty", field, sizeof field);
  assert_int_equal(decode(record.bytes, record.len), WARP_OK);
}

static void test_bad_endpoints(void **state) {
  (void)state;
  static const uint8_t good[] = {0, 6, 0, 17, 4, 24, 0, 10, 0, 0, 1, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0};
  static const struct {
    size_t at;
    uint8_t value;
  } changes[] = {
      {4, 5},     /* family */
      {5, 33},    /* prefix */
      {6, 3},     /* UDP shares the IP of UDP */
      {6, 12},    /* TCP shares the IP of UDP, which is absent */
      {6, 1},     /* an external address where the axes should be: too short then */
      {13, 0xc0}, /* translation 3 */
      {14, 101},  /* confidence */
  };
  vector record = with_field("record_empty", good, sizeof good);
  assert_int_equal(decode(record.bytes, record.len), WARP_OK);
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    uint8_t bad[sizeof good];
    memcpy(bad, good, sizeof good);
    bad[changes[i].at] = changes[i].value;
    record = with_field("record_empty", bad, sizeof bad);
    assert_int_equal(decode(record.bytes, record.len), WARP_MALFORMED);
  }
}

/* What lies behind the axes is all there or missing. */
static void test_more_of_endpoints(void **state) {
  (void)state;
  enum { AXES_END = 21, MORE_LEN = 19, MORE_AT = AXES_END + 1 };
  uint8_t field[AXES_END + MORE_LEN] = {0, 6, 0, 17, 4, 24, 0, 10, 0, 0, 1, 0, 80};
  for (uint8_t len = 0; len <= MORE_LEN; len++) {
    field[3] = (uint8_t)(17 + len);
    vector record = with_field("record_empty", field, AXES_END + (size_t)len);
    assert_int_equal(decode(record.bytes, record.len),
                     len == 0 || len == MORE_LEN ? WARP_OK : WARP_MALFORMED);
  }
  static const uint8_t bad[][2] = {
      {MORE_AT, 3},      /* hairpin */
      {MORE_AT, 3 << 2}, /* reuse */
      {MORE_AT + 1, 1},  /* the lowest port above the highest */
      {MORE_AT + 9, 3},  /* the same of TCP */
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    field[bad[i][0]] = bad[i][1];
    vector record = with_field("record_empty", field, sizeof field);
    assert_int_equal(decode(record.bytes, record.len), WARP_MALFORMED);
    field[bad[i][0]] = 0;
  }
  field[AXES_END] = 0xfc; /* bits of later versions */
  field[MORE_AT] = 0xf0;
  vector record = with_field("record_empty", field, sizeof field);
  assert_int_equal(decode(record.bytes, record.len), WARP_OK);
}

static void test_bad_hints_and_counts(void **state) {
  (void)state;
  static const char one[] = "\0\7\0\4a:80";
  vector record = with_field("record_empty", one, 8);
  assert_int_equal(decode(record.bytes, record.len), WARP_OK);
  record = with_field("record_empty", "\0\7\0\4a:8x", 8);
  assert_int_equal(decode(record.bytes, record.len), WARP_MALFORMED);
  record = with_field("record_empty", "\0\7\0\10u:p@h:80", 12);
  assert_int_equal(decode(record.bytes, record.len), WARP_MALFORMED);
  char five[40];
  for (size_t i = 0; i < 5; i++) {
    memcpy(five + 8 * i, one, 8);
  }
  record = with_field("record_empty", five, 32);
  assert_int_equal(decode(record.bytes, record.len), WARP_OK);
  record = with_field("record_empty", five, 40);
  assert_int_equal(decode(record.bytes, record.len), WARP_MALFORMED);
  record = with_field("record_full", five, 8); /* a fifth broker */
  assert_int_equal(decode(record.bytes, record.len), WARP_MALFORMED);
}

static void test_limit_of_all(void **state) {
  (void)state;
  uint8_t filler[VECTOR_MAX] = {0x70, 0, 0, 0};
  vector empty = vector_load("record_empty");
  for (size_t over = 0; over < 2; over++) {
    size_t len = WARP_RECORD_MAX - empty.len + over;
    filler[2] = (uint8_t)((len - 4) >> 8);
    filler[3] = (uint8_t)(len - 4);
    vector record = with_field("record_empty", filler, len);
    assert_int_equal(decode(record.bytes, record.len), over == 0 ? WARP_OK : WARP_MALFORMED);
  }
}

static void check_variant(const uint8_t *bytes, size_t len, int changed) {
  int status = decode(bytes, len);
  if (!changed) {
    assert_int_equal(status, WARP_MALFORMED);
  } else {
    assert_true(status == WARP_OK || status == WARP_MALFORMED || status == WARP_VERSION);
  }
}

static void test_hostile(void **state) {
  (void)state;
  static const char *const names[] = {"record_small", "record_empty", "record_full"};
  for (size_t i = 0; i < 3; i++) {
    vector golden = vector_load(names[i]);
    hostile_variants(golden.bytes, golden.len, check_variant);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_invalid_records),
      cmocka_unit_test(test_invalid_endpoints),
      cmocka_unit_test(test_too_big),
      cmocka_unit_test(test_missing_and_repeated_fields),
      cmocka_unit_test(test_unknown_fields_are_skipped),
      cmocka_unit_test(test_endpoints_of_later_versions),
      cmocka_unit_test(test_bad_endpoints),
      cmocka_unit_test(test_more_of_endpoints),
      cmocka_unit_test(test_bad_hints_and_counts),
      cmocka_unit_test(test_limit_of_all),
      cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
