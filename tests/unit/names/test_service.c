/* The service without sockets: requests as bytes, from any address, at any time. */
#include "identity/identity.h"
#include "nickname/names.h"
#include "service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/bytes.h"

enum { BURST = NAME_RATE_DEFAULT * NAME_RATE_BURST_S };
static const int64_t START_MS = INT64_C(1700000000000);
static const char HOME[] = "192.0.2.1:5000";
static const char AWAY[] = "198.51.100.9:6000";

/* ---- a server and who asks it ---------------------------------------------------------------- */

static struct {
  name_store *store;
  name_service *service;
  wg_identity *alice, *bob;
  int64_t wall_ms;
  uint64_t now_us;
  bool udp;
  size_t reply_len;
  bool changes; /* what was asked for: the store, before there was an answer */
  uint8_t reply_bytes[WG_NAME_REPLY_MAX];
  wg_name_reply reply;
} world;

static void open_service(unsigned quota) {
  name_service_config config = {.quota_v4 = quota,
                                .quota_v6 = quota,
                                .quota_v6_site = quota + 2,
                                .rate_per_s = NAME_RATE_DEFAULT,
                                .lifetime_max_s = 7200,
                                .secret = {1, 2, 3}};
  assert_int_equal(name_service_new(&config, world.store, &world.service), WARP_OK);
}

static int set_up(void **state) {
  (void)state;
  char why[NAME_STORE_WHY];
  memset(&world, 0, sizeof world);
  world.wall_ms = START_MS;
  world.now_us = UINT64_C(1000000000);
  world.udp = true;
  if (name_store_open(":memory:", &world.store, why) != WARP_OK ||
      wg_identity_generate(&world.alice) != WARP_OK ||
      wg_identity_generate(&world.bob) != WARP_OK) {
    return -1;
  }
  open_service(3);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  name_service_free(world.service);
  name_store_close(world.store);
  wg_identity_free(world.alice);
  wg_identity_free(world.bob);
  return 0;
}

static void pass_time(unsigned seconds) {
  world.wall_ms += seconds * INT64_C(1000);
  world.now_us += seconds * UINT64_C(1000000);
}

/* Asks with these bytes. Returns the reply's length. */
static size_t ask_bytes(const uint8_t *bytes, size_t len, const char *from) {
  name_question question = {.bytes = bytes,
                            .len = len,
                            .udp = world.udp,
                            .wall_ms = world.wall_ms,
                            .now_us = world.now_us};
  assert_int_equal(warp_addr_parse(from, &question.from), WARP_OK);
  name_change change;
  world.reply_len =
      name_service_answer(world.service, &question, world.reply_bytes, &change, &world.changes);
  if (world.changes) {
    assert_int_equal(world.reply_len, 0);
    name_change_make(&change, world.store);
    world.reply_len = name_service_reply(world.service, &change, world.reply_bytes);
  }
  assert_true(!world.udp || world.reply_len <= len);
  if (world.reply_len > 0) {
    assert_int_equal(wg_name_reply_decode(world.reply_bytes, world.reply_len, &world.reply),
                     WARP_OK);
  }
  return world.reply_len;
}

/* Encodes, signs (unless by nobody) and asks; returns the reply's wg_name_status. */
static int ask(wg_name_request *request, const wg_identity *signer, const char *from) {
  uint8_t bytes[WG_NAME_REQUEST_MAX], signature[WG_SIGNATURE_LEN];
  static uint8_t nonce;
  memset(request->nonce, ++nonce, sizeof request->nonce);
  int len = wg_name_request_encode(request, bytes, sizeof bytes);
  assert_true(len > 0);
  if (signer != NULL) {
    assert_int_equal(wg_identity_sign(signer, WG_NAME_CONTEXT, bytes, (size_t)len, signature),
                     WARP_OK);
    len = wg_name_request_attach(bytes, (size_t)len, sizeof bytes, signature);
  }
  assert_true(ask_bytes(bytes, (size_t)len, from) > 0);
  assert_memory_equal(world.reply.nonce, request->nonce, sizeof request->nonce);
  return world.reply.status;
}

/* Asks again with the cookie when that is wanted. */
static int ask_with_cookie(wg_name_request *request, const wg_identity *signer, const char *from) {
  int status = ask(request, signer, from);
  if (status == WG_NAME_COOKIE) {
    assert_true(world.reply.has_cookie);
    request->has_cookie = true;
    memcpy(request->cookie, world.reply.cookie, sizeof request->cookie);
    status = ask(request, signer, from);
  }
  return status;
}

static size_t make_record(const wg_identity *identity, uint64_t sequence,
                          uint8_t out[WARP_RECORD_MAX]) {
  wg_record record = {.key = *wg_identity_key(identity),
                      .sequence = sequence,
                      .issued_ms = world.wall_ms,
                      .expires_ms = world.wall_ms + 86400000};
  int len = wg_record_sign(identity, &record, out, WARP_RECORD_MAX);
  assert_true(len > 0);
  return (size_t)len;
}

static wg_name_request make_request(uint8_t op, const char *name) {
  wg_name_request request = {.op = op, .lifetime_s = 3600};
  snprintf(request.name, sizeof request.name, "%s", name);
  return request;
}

static int do_register(const wg_identity *who, const char *name, uint64_t sequence,
                       const char *from) {
  uint8_t record[WARP_RECORD_MAX];
  wg_name_request request = make_request(WG_NAME_REGISTER, name);
  request.record_len = make_record(who, sequence, record);
  request.record = record;
  return ask_with_cookie(&request, who, from);
}

static int do_delete(const wg_identity *who, const char *name, uint64_t sequence,
                     const char *from) {
  wg_name_request request = make_request(WG_NAME_DELETE, name);
  request.key = *wg_identity_key(who);
  request.sequence = sequence;
  return ask_with_cookie(&request, who, from);
}

static int do_lookup(const char *name) {
  wg_name_request request = make_request(WG_NAME_LOOKUP, name);
  return ask(&request, NULL, AWAY);
}

/* The sequence of the record that a look-up found. */
static uint64_t found_sequence(void) {
  wg_record record;
  assert_int_equal(
      wg_record_verify(world.reply.record, world.reply.record_len, world.wall_ms, &record),
      WARP_OK);
  return record.sequence;
}

/* ---- names come and go ----------------------------------------------------------------------- */

static void test_register_and_lookup(void **state) {
  (void)state;
  assert_int_equal(do_lookup("alice"), WG_NAME_NOT_FOUND);
  assert_int_equal(do_register(world.alice, "alice", 10, HOME), WG_NAME_OK);
  assert_int_equal(world.reply.lifetime_s, 3600);
  pass_time(100);
  assert_int_equal(do_lookup("alice"), WG_NAME_OK);
  assert_int_equal(world.reply.lifetime_s, 3500);
  assert_int_equal(found_sequence(), 10);
  assert_int_equal(do_lookup("alic"), WG_NAME_NOT_FOUND);
}

static void test_taken(void **state) {
  (void)state;
  assert_int_equal(do_register(world.alice, "alice", 10, HOME), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "alice", 99, AWAY), WG_NAME_TAKEN);
  assert_string_equal(wg_name_status_text(WG_NAME_TAKEN), "name taken");
  assert_int_equal(do_delete(world.bob, "alice", 99, AWAY), WG_NAME_TAKEN);
  assert_int_equal(do_lookup("alice"), WG_NAME_OK);
  assert_int_equal(found_sequence(), 10);
  pass_time(3601);
  assert_int_equal(do_lookup("alice"), WG_NAME_NOT_FOUND);
  assert_int_equal(do_register(world.bob, "alice", 1, AWAY), WG_NAME_OK);
}

static void test_update_and_stale(void **state) {
  (void)state;
  assert_int_equal(do_register(world.alice, "alice", 10, HOME), WG_NAME_OK);
  pass_time(1800);
  assert_int_equal(do_register(world.alice, "alice", 10, HOME), WG_NAME_OK); /* renewed */
  assert_int_equal(do_register(world.alice, "alice", 9, HOME), WG_NAME_STALE);
  assert_int_equal(do_register(world.alice, "alice", 12, AWAY), WG_NAME_OK); /* elsewhere */
  assert_int_equal(do_register(world.alice, "alice", 10, HOME), WG_NAME_STALE);
  assert_int_equal(do_lookup("alice"), WG_NAME_OK);
  assert_int_equal(found_sequence(), 12);
}

static void test_delete(void **state) {
  (void)state;
  assert_int_equal(do_delete(world.alice, "alice", 10, HOME), WG_NAME_NOT_FOUND);
  assert_int_equal(do_register(world.alice, "alice", 10, HOME), WG_NAME_OK);
  assert_int_equal(do_delete(world.alice, "alice", 9, HOME), WG_NAME_STALE);
  assert_int_equal(do_delete(world.alice, "alice", 10, HOME), WG_NAME_OK);
  assert_int_equal(do_lookup("alice"), WG_NAME_NOT_FOUND);
  assert_int_equal(do_delete(world.alice, "alice", 10, HOME), WG_NAME_OK); /* its reply was lost */
  assert_int_equal(do_delete(world.alice, "alice", 11, HOME), WG_NAME_NOT_FOUND);
  /* what was registered before cannot be played again, something newer can come */
  assert_int_equal(do_register(world.alice, "alice", 10, HOME), WG_NAME_STALE);
  assert_int_equal(do_register(world.alice, "alice", 11, HOME), WG_NAME_OK);
  assert_int_equal(do_delete(world.alice, "alice", 11, HOME), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "alice", 1, AWAY), WG_NAME_OK); /* free for anybody */
  assert_int_equal(do_delete(world.bob, "alice", 1, AWAY), WG_NAME_OK);
  pass_time(2 * NAME_COOKIE_EPOCH_S + 1);
  assert_int_equal(do_register(world.alice, "alice", 1, HOME), WG_NAME_OK);
}

static void test_derived_names(void **state) {
  (void)state;
  char name[WARP_NAME_MAX + 1];
  wg_name_derive(wg_identity_key(world.alice), name);
  assert_int_equal(do_register(world.bob, name, 1, HOME), WG_NAME_TAKEN);
  assert_int_equal(do_register(world.alice, name, 1, HOME), WG_NAME_OK);
}

static void test_lifetimes(void **state) {
  (void)state;
  static const struct {
    uint32_t wanted_s;
    int64_t record_s; /* how long the record is good */
    uint32_t granted_s;
  } cases[] = {
      {3600, 86400, 3600},   {0, 86400, NAME_LIFETIME_MIN_S},
      {100000, 86400, 7200}, {UINT32_MAX, 86400, 7200},
      {7200, 100, 3700},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint8_t bytes[WARP_RECORD_MAX];
    wg_record record = {.key = *wg_identity_key(world.alice),
                        .sequence = i + 1,
                        .issued_ms = world.wall_ms,
                        .expires_ms = world.wall_ms + cases[i].record_s * 1000};
    wg_name_request request = make_request(WG_NAME_REGISTER, "alice");
    int len = wg_record_sign(world.alice, &record, bytes, sizeof bytes);
    request.record = bytes;
    request.record_len = (size_t)len;
    request.lifetime_s = cases[i].wanted_s;
    assert_int_equal(ask_with_cookie(&request, world.alice, HOME), WG_NAME_OK);
    assert_int_equal(world.reply.lifetime_s, cases[i].granted_s);
  }
}

/* ---- who may ask ----------------------------------------------------------------------------- */

static void test_cookies(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  wg_name_request request = make_request(WG_NAME_REGISTER, "alice");
  request.record_len = make_record(world.alice, 1, record);
  request.record = record;
  assert_int_equal(ask(&request, world.alice, HOME), WG_NAME_COOKIE);
  assert_int_equal(do_lookup("alice"), WG_NAME_NOT_FOUND);
  request.has_cookie = true; /* of zeros */
  assert_int_equal(ask(&request, world.alice, HOME), WG_NAME_COOKIE);
  memcpy(request.cookie, world.reply.cookie, sizeof request.cookie);
  assert_int_equal(ask(&request, world.alice, AWAY), WG_NAME_COOKIE);      /* another address's */
  assert_int_equal(ask(&request, world.alice, "192.0.2.1:9"), WG_NAME_OK); /* another port */
  pass_time(NAME_COOKIE_EPOCH_S);
  assert_int_equal(ask(&request, world.alice, HOME), WG_NAME_OK);
  pass_time(NAME_COOKIE_EPOCH_S);
  assert_int_equal(ask(&request, world.alice, HOME), WG_NAME_COOKIE); /* too old */
  /* within one IPv6 /64 a cookie is good for every address, as a household has */
  assert_int_equal(ask(&request, world.alice, "[2001:db8:1:2::1]:1"), WG_NAME_COOKIE);
  memcpy(request.cookie, world.reply.cookie, sizeof request.cookie);
  assert_int_equal(ask(&request, world.alice, "[2001:db8:1:3::1]:1"), WG_NAME_COOKIE);
  assert_int_equal(ask(&request, world.alice, "[2001:db8:1:2::99]:1"), WG_NAME_OK);
}

static void test_signatures(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  wg_name_request request = make_request(WG_NAME_REGISTER, "alice");
  request.record_len = make_record(world.alice, 1, record);
  request.record = record;
  /* Bob has Alice's record, but not her key */
  assert_int_equal(ask_with_cookie(&request, world.bob, HOME), WG_NAME_BAD_SIGNATURE);
  record[request.record_len - 1] ^= 1;
  assert_int_equal(ask_with_cookie(&request, world.alice, HOME), WG_NAME_BAD_SIGNATURE);
  memset(record, 7, request.record_len); /* no record at all */
  assert_int_equal(ask_with_cookie(&request, world.alice, HOME), WG_NAME_BAD_SIGNATURE);
  assert_int_equal(do_lookup("alice"), WG_NAME_NOT_FOUND);

  assert_int_equal(do_register(world.alice, "alice", 1, HOME), WG_NAME_OK);
  request = make_request(WG_NAME_DELETE, "alice");
  request.key = *wg_identity_key(world.alice);
  request.sequence = 5;
  assert_int_equal(ask_with_cookie(&request, world.bob, HOME), WG_NAME_BAD_SIGNATURE);
  assert_int_equal(do_lookup("alice"), WG_NAME_OK);
}

/* A signature is over the whole request: every byte before it counts. */
static void test_every_byte_is_signed(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX], bytes[WG_NAME_REQUEST_MAX], signature[WG_SIGNATURE_LEN];
  assert_int_equal(do_register(world.bob, "warm-up", 1, HOME), WG_NAME_OK);
  wg_name_request request = make_request(WG_NAME_REGISTER, "alice");
  request.has_cookie = true;
  memcpy(request.cookie, world.reply.cookie, sizeof request.cookie);
  request.record_len = make_record(world.alice, 1, record);
  request.record = record;
  int len = wg_name_request_encode(&request, bytes, sizeof bytes);
  assert_int_equal(wg_identity_sign(world.alice, WG_NAME_CONTEXT, bytes, (size_t)len, signature),
                   WARP_OK);
  len = wg_name_request_attach(bytes, (size_t)len, sizeof bytes, signature);
  for (size_t i = 0; i < (size_t)len; i++) {
    if (i % (BURST / 2) == 0) { /* with fresh rates */
      name_service_free(world.service);
      open_service(3);
    }
    bytes[i] ^= 1;
    if (ask_bytes(bytes, (size_t)len, HOME) > 0) {
      assert_int_not_equal(world.reply.status, WG_NAME_OK);
      assert_int_not_equal(world.reply.status, WG_NAME_BUSY);
    }
    bytes[i] ^= 1;
  }
  name_row row;
  assert_int_equal(name_store_get(world.store, "alice", &row), WARP_NOT_FOUND);
  assert_true(ask_bytes(bytes, (size_t)len, HOME) > 0);
  assert_int_equal(world.reply.status, WG_NAME_OK);
}

static void test_expired_record(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  wg_name_request request = make_request(WG_NAME_REGISTER, "alice");
  request.record_len = make_record(world.alice, 1, record);
  request.record = record;
  pass_time(86400 + 3601);
  assert_int_equal(ask_with_cookie(&request, world.alice, HOME), WG_NAME_EXPIRED);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void test_quota(void **state) {
  (void)state;
  static const char *const names[] = {"one", "two", "three"};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(do_register(world.alice, names[i], 1, HOME), WG_NAME_OK);
  }
  assert_int_equal(do_register(world.bob, "four", 1, "192.0.2.1:777"), WG_NAME_QUOTA);
  assert_int_equal(do_register(world.alice, "one", 2, HOME), WG_NAME_OK); /* renewal */
  assert_int_equal(do_register(world.bob, "four", 1, AWAY), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "four", 2, HOME), WG_NAME_QUOTA); /* moves in */
  assert_int_equal(do_delete(world.alice, "two", 1, HOME), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "four", 2, HOME), WG_NAME_OK);
  pass_time(3601);
  assert_int_equal(do_register(world.bob, "five", 1, HOME), WG_NAME_OK);
  /* an IPv6 /64 is one household */
  assert_int_equal(do_register(world.bob, "six", 1, "[2001:db8:1:2::1]:1"), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "seven", 1, "[2001:db8:1:2::2]:1"), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "eight", 1, "[2001:db8:1:2:3::]:1"), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "nine", 1, "[2001:db8:1:2::9]:1"), WG_NAME_QUOTA);
  assert_int_equal(do_register(world.bob, "nine", 1, "[2001:db8:1:3::9]:1"), WG_NAME_OK);
}

static void test_rate(void **state) {
  (void)state;
  name_service_counters counters;
  for (int i = 0; i < BURST; i++) {
    assert_int_equal(do_lookup("alice"), WG_NAME_NOT_FOUND);
  }
  assert_int_equal(do_lookup("alice"), WG_NAME_BUSY);
  assert_int_equal(do_register(world.alice, "alice", 1, HOME), WG_NAME_OK); /* another source */
  world.udp = false; /* whoever forged our source cannot do so over TCP */
  assert_int_equal(do_lookup("alice"), WG_NAME_OK);
  world.udp = true;
  pass_time(1);
  assert_int_equal(do_lookup("alice"), WG_NAME_OK);
  name_service_counters_get(world.service, &counters);
  assert_int_equal(counters.replies[WG_NAME_BUSY], 1);
  assert_int_equal(counters.malformed, 0);
}

/* Over UDP nobody gets more bytes than were sent in his name. */
static void test_no_amplification(void **state) {
  (void)state;
  assert_int_equal(do_register(world.alice, "alice", 1, HOME), WG_NAME_OK);
  uint8_t bytes[WG_NAME_REQUEST_MAX];
  wg_name_request request = make_request(WG_NAME_LOOKUP, "alice");
  int len = wg_name_request_encode(&request, bytes, sizeof bytes);
  assert_int_equal(len, WG_NAME_REPLY_MAX);
  /* the same without its padding, which comes behind operation, nonce and name */
  size_t bare = WG_HEADER_LEN + (4 + 1) + (4 + WG_NAME_NONCE_LEN) + (4 + strlen(request.name));
  assert_true(ask_bytes(bytes, bare, AWAY) > 0);
  assert_int_equal(world.reply.status, WG_NAME_TOO_SHORT);
  world.udp = false;
  assert_true(ask_bytes(bytes, bare, AWAY) > bare);
  assert_int_equal(world.reply.status, WG_NAME_OK);
}

/* The names of one address move to another: room comes free here and is used up there. */
static void test_moving(void **state) {
  (void)state;
  static const char *const names[] = {"one", "two", "three"};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(do_register(world.alice, names[i], 1, HOME), WG_NAME_OK);
  }
  assert_int_equal(do_register(world.bob, "more", 1, HOME), WG_NAME_QUOTA);
  assert_int_equal(do_register(world.alice, "one", 2, AWAY), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "more", 1, HOME), WG_NAME_OK);
  assert_int_equal(do_register(world.alice, "one", 3, HOME), WG_NAME_QUOTA); /* no way back */
  assert_int_equal(do_lookup("one"), WG_NAME_OK); /* and it stays where it was */
  assert_int_equal(found_sequence(), 2);
  assert_int_equal(do_register(world.alice, "two", 2, AWAY), WG_NAME_OK);
  assert_int_equal(do_register(world.alice, "three", 2, AWAY), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "yet-more", 1, AWAY), WG_NAME_QUOTA);
}

/* An IPv6 /48 holds more than one of its /64, but not as much as all of them. */
static void test_site_quota(void **state) {
  (void)state;
  char name[16], from[40];
  for (int i = 0; i < 5; i++) { /* 3 for a /64, 5 for the /48 */
    snprintf(name, sizeof name, "name-%d", i);
    snprintf(from, sizeof from, "[2001:db8:1:%d::1]:1", i);
    assert_int_equal(do_register(world.alice, name, 1, from), WG_NAME_OK);
  }
  assert_int_equal(do_register(world.bob, "more", 1, "[2001:db8:1:77::1]:1"), WG_NAME_QUOTA);
  assert_int_equal(do_register(world.bob, "more", 1, "[2001:db8:2:77::1]:1"), WG_NAME_OK);
  /* within the site a name may move, into a network with room */
  assert_int_equal(do_register(world.alice, "name-0", 2, "[2001:db8:1:4::1]:1"), WG_NAME_OK);
  assert_int_equal(do_register(world.alice, "name-1", 2, "[2001:db8:1:4::1]:1"), WG_NAME_OK);
  assert_int_equal(do_register(world.alice, "name-2", 2, "[2001:db8:1:4::1]:1"), WG_NAME_QUOTA);
  assert_int_equal(do_register(world.alice, "name-0", 3, "[2001:db8:3::1]:1"), WG_NAME_OK);
  assert_int_equal(do_register(world.bob, "last", 1, "[2001:db8:1:77::1]:1"), WG_NAME_OK);
}

/* Who has a whole site cannot ask as often as all its networks together. */
static void test_site_rate(void **state) {
  (void)state;
  name_service_counters counters;
  uint8_t bytes[WG_NAME_REQUEST_MAX];
  wg_name_request request = make_request(WG_NAME_LOOKUP, "alice");
  int len = wg_name_request_encode(&request, bytes, sizeof bytes);
  char from[40];
  for (int i = 0; i < BURST * NAME_RATE_SITE_FACTOR + 50; i++) {
    snprintf(from, sizeof from, "[2001:db8:1:%x::1]:1", i);
    (void)ask_bytes(bytes, (size_t)len, from);
  }
  name_service_counters_get(world.service, &counters);
  assert_int_equal(counters.replies[WG_NAME_BUSY], 50);
  (void)ask_bytes(bytes, (size_t)len, "[2001:db8:2::1]:1");
  assert_int_equal(world.reply.status, WG_NAME_NOT_FOUND);
}

/* What tells of a change waits for the disk, also when it is told for the second time. */
/* Only what may change the store waits for it: the rest is answered, or refused, at once. */
static void test_what_waits(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  wg_name_request request = make_request(WG_NAME_REGISTER, "alice");
  request.record_len = make_record(world.alice, 1, record);
  request.record = record;
  assert_int_equal(do_lookup("alice"), WG_NAME_NOT_FOUND);
  assert_false(world.changes);
  assert_int_equal(ask_with_cookie(&request, world.bob, HOME), WG_NAME_BAD_SIGNATURE);
  assert_false(world.changes);
  assert_int_equal(do_register(world.alice, "alice", 1, HOME), WG_NAME_OK);
  assert_true(world.changes);
  assert_int_equal(do_register(world.bob, "alice", 1, HOME), WG_NAME_TAKEN);
  assert_true(world.changes);
  assert_int_equal(do_delete(world.alice, "alice", 1, HOME), WG_NAME_OK);
  assert_int_equal(do_delete(world.alice, "alice", 1, HOME), WG_NAME_OK); /* nothing to do */
  assert_int_equal(do_register(world.bob, "alice", 1, HOME), WG_NAME_OK);
  name_service_counters counters;
  name_service_counters_get(world.service, &counters);
  assert_int_equal(counters.requests[WG_NAME_REGISTER], 8); /* four of them for a cookie */
  assert_int_equal(counters.replies[WG_NAME_OK], 4);
  assert_int_equal(counters.replies[WG_NAME_TAKEN], 1);
  assert_int_equal(counters.replies[WG_NAME_FAILED], 0);
}

/* What could not be stored is told so, with no lifetime, whatever was to be said. */
static void test_reply_to_a_failure(void **state) {
  (void)state;
  name_change change = {.op = WG_NAME_REGISTER,
                        .row = {.expires_ms = START_MS + 60000},
                        .wall_ms = START_MS,
                        .room = WG_NAME_REPLY_MAX};
  wg_name_reply reply;
  static const struct {
    wg_name_status status;
    unsigned lifetime_s;
  } cases[] = {{WG_NAME_OK, 60}, {WG_NAME_FAILED, 0}, {WG_NAME_BUSY, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    change.reply.status = (uint8_t)cases[i].status;
    size_t len = name_service_reply(world.service, &change, world.reply_bytes);
    assert_int_equal(wg_name_reply_decode(world.reply_bytes, len, &reply), WARP_OK);
    assert_int_equal(reply.status, cases[i].status);
    assert_int_equal(reply.lifetime_s, cases[i].lifetime_s);
  }
}

/* ---- nonsense -------------------------------------------------------------------------------- */

static void test_malformed(void **state) {
  (void)state;
  name_service_counters counters;
  uint8_t bytes[WG_NAME_REQUEST_MAX];
  wg_name_request request = make_request(WG_NAME_LOOKUP, "alice");
  int len = wg_name_request_encode(&request, bytes, sizeof bytes);
  assert_int_equal(ask_bytes(bytes, 0, HOME), 0);
  for (size_t cut = 1; cut < 40; cut++) {
    (void)ask_bytes(bytes, cut, HOME); /* the shortest whole ones may be answered */
  }
  bytes[2] = 9; /* a version that there is not */
  assert_int_equal(ask_bytes(bytes, (size_t)len, HOME), 0);
  bytes[2] = WG_PROTOCOL_VERSION;
  bytes[3] = WG_PACKET_NAME_REPLY;
  assert_int_equal(ask_bytes(bytes, (size_t)len, HOME), 0);
  memset(bytes, 0xff, sizeof bytes);
  assert_int_equal(ask_bytes(bytes, sizeof bytes, HOME), 0);
  name_service_counters_get(world.service, &counters);
  assert_true(counters.malformed > 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_register_and_lookup),
      TEST(test_taken),
      TEST(test_update_and_stale),
      TEST(test_delete),
      TEST(test_derived_names),
      TEST(test_lifetimes),
      TEST(test_cookies),
      TEST(test_signatures),
      TEST(test_every_byte_is_signed),
      TEST(test_expired_record),
      TEST(test_quota),
      TEST(test_moving),
      TEST(test_site_quota),
      TEST(test_site_rate),
      TEST(test_what_waits),
      TEST(test_reply_to_a_failure),
      TEST(test_rate),
      TEST(test_no_amplification),
      TEST(test_malformed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
