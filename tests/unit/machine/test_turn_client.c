/* The allocation machine against a small TURN server in memory, in virtual time. */
#include "base/addr.h"
#include "machine/turn_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND = 1000000, EVENTS = 32 };

static const char realm[] = "lab.test";

/* ---- the server ------------------------------------------------------------------------------ */

typedef struct server {
  char nonce[16];
  bool open;      /* asks for no credentials */
  unsigned error; /* answered to authenticated requests of `error_method` */
  uint16_t error_method;
  bool error_unsigned;
  bool forge; /* signs with a wrong key */
  bool silent;
  unsigned stale; /* that many requests in a row find their nonce stale */
  uint32_t granted_s;
  bool allocated;
  unsigned requests[16]; /* by method */
  uint32_t last_lifetime_s;
  warp_addr last_peer;
  uint16_t last_channel;
  uint8_t answer[1024];
  size_t answer_len;
} server;

static server s;
static wg_turn_client c;
static uint64_t now_us;
static unsigned drawn;
static wg_turn_event events[EVENTS];
static char reasons[EVENTS][WG_TURN_REASON_LEN];
static size_t event_count;

static warp_addr addr(const char *text) {
  warp_addr out;
  assert_int_equal(warp_addr_parse(text, &out), WARP_OK);
  return out;
}

static warp_addr server_addr(void) {
  return addr("203.0.113.10:3478");
}

static int draw(void *arg, void *out, size_t len) {
  (void)arg;
  memset(out, 0, len);
  drawn++;
  memcpy(out, &drawn, sizeof drawn);
  return WARP_OK;
}

static int no_entropy(void *arg, void *out, size_t len) {
  (void)arg, (void)out, (void)len;
  return WARP_IO;
}

static void write_error(wg_writer *writer, const wg_stun_message *request, unsigned code,
                        const char *reason) {
  wg_stun_begin(writer, WG_STUN_ERROR, request->method, &request->txid);
  wg_stun_attr_error(writer, code, reason);
  if (code == 401 || code == 438) {
    wg_stun_attr_text(writer, WG_STUN_REALM, realm);
    wg_stun_attr_text(writer, WG_STUN_NONCE, s.nonce);
  }
}

static void write_success(wg_writer *writer, const wg_stun_message *request) {
  warp_addr relayed = addr("203.0.113.10:50000"), mapped = addr("192.0.2.7:40000");
  wg_stun_begin(writer, WG_STUN_SUCCESS, request->method, &request->txid);
  if (request->method == WG_TURN_ALLOCATE) {
    wg_stun_attr_addr(writer, WG_TURN_XOR_RELAYED_ADDRESS, &relayed);
    wg_stun_attr_addr(writer, WG_STUN_XOR_MAPPED_ADDRESS, &mapped);
    s.allocated = true;
  }
  if (request->method == WG_TURN_ALLOCATE || request->method == WG_TURN_REFRESH) {
    wg_stun_attr_u32(writer, WG_TURN_LIFETIME, s.last_lifetime_s == 0 ? 0 : s.granted_s);
    s.allocated = s.last_lifetime_s != 0;
  }
}

/* 0 when the request is rightly authenticated, or the error code. */
static unsigned authenticate(const wg_stun_message *request, const uint8_t *key) {
  char user[32], nonce[32], got_realm[32];
  if (s.open) {
    return 0;
  }
  if (!wg_stun_find_text(request, WG_STUN_USERNAME, user, sizeof user) ||
      !wg_stun_find_text(request, WG_STUN_REALM, got_realm, sizeof got_realm) ||
      !wg_stun_find_text(request, WG_STUN_NONCE, nonce, sizeof nonce)) {
    return 401;
  }
  if (strcmp(got_realm, realm) != 0 || strcmp(user, "user") != 0 ||
      wg_stun_check_integrity(request, key, WG_STUN_LONG_TERM_KEY_LEN) != WARP_OK) {
    return 401;
  }
  if (s.stale > 0) {
    s.stale--;
    snprintf(s.nonce, sizeof s.nonce, "nonce%u", drawn);
    return 438;
  }
  return strcmp(nonce, s.nonce) == 0 ? 0 : 438;
}

/* Answers one request into s.answer. */
static void serve(const uint8_t *bytes, size_t len) {
  wg_stun_message request;
  uint8_t key[WG_STUN_LONG_TERM_KEY_LEN];
  uint32_t transport;
  assert_int_equal(wg_stun_decode(bytes, len, &request), WARP_OK);
  assert_int_equal(request.class, WG_STUN_REQUEST);
  assert_int_equal(wg_stun_unknown(&request, NULL, 0), 0);
  s.requests[request.method]++;
  s.answer_len = 0;
  if (s.silent) {
    return;
  }
  assert_int_equal(wg_stun_long_term_key("user", realm, "secret", key), WARP_OK);
  wg_writer writer = wg_writer_init(s.answer, sizeof s.answer);
  unsigned code = authenticate(&request, key);
  bool is_signed = code == 0 && !s.open;
  if (code == 0) {
    wg_stun_find_u32(&request, WG_TURN_LIFETIME, &s.last_lifetime_s);
    wg_stun_find_addr(&request, WG_TURN_XOR_PEER_ADDRESS, &s.last_peer);
    s.last_channel = 0;
    wg_turn_find_channel(&request, &s.last_channel);
  }
  if (request.method == WG_TURN_ALLOCATE) {
    assert_true(wg_stun_find_u32(&request, WG_TURN_REQUESTED_TRANSPORT, &transport));
    assert_int_equal(transport, 17u << 24);
  }
  if (code == 0 && s.error != 0 && s.error_method == request.method) {
    code = s.error;
    is_signed = !s.error_unsigned;
  }
  if (code != 0) {
    write_error(&writer, &request, code, "No\x1b good");
  } else {
    write_success(&writer, &request);
  }
  if (is_signed) {
    key[0] ^= s.forge;
    wg_stun_integrity(&writer, key, sizeof key);
  }
  int answer = wg_stun_end(&writer);
  assert_true(answer > 0);
  s.answer_len = (size_t)answer;
}

/* ---- driving --------------------------------------------------------------------------------- */

static void collect_events(void) {
  wg_turn_event event;
  while (wg_turn_client_event(&c, &event)) {
    assert_true(event_count < EVENTS);
    strcpy(reasons[event_count], event.reason);
    event.reason = reasons[event_count];
    events[event_count++] = event;
  }
}

/* Sends what is due and gives back the answers, until nothing more is due now. */
static void pump(void) {
  const uint8_t *bytes, *data;
  size_t len, data_len;
  warp_addr peer, from = server_addr();
  uint8_t copy[1024];
  while (wg_turn_client_output(&c, now_us, &bytes, &len)) {
    assert_true(len <= sizeof copy);
    memcpy(copy, bytes, len);
    serve(copy, len);
    if (s.answer_len > 0) {
      (void)wg_turn_client_input(&c, s.answer, s.answer_len, &from, now_us, &peer, &data,
                                 &data_len);
      assert_null(data);
    }
  }
  collect_events();
}

static void run_for(uint64_t seconds) {
  uint64_t until_us = now_us + seconds * SECOND;
  for (;;) {
    pump();
    uint64_t deadline_us = wg_turn_client_deadline(&c);
    if (deadline_us > until_us) {
      break;
    }
    assert_true(deadline_us >= now_us);
    now_us = deadline_us;
  }
  now_us = until_us;
}

static wg_turn_options options_of(const char *password) {
  return (wg_turn_options){
      .server = server_addr(), .user = "user", .password = password, .random = draw};
}

static int setup(void **state) {
  (void)state;
  memset(&s, 0, sizeof s);
  strcpy(s.nonce, "nonce");
  s.granted_s = 600;
  drawn = 0;
  event_count = 0;
  now_us = 7 * SECOND;
  wg_turn_options options = options_of("secret");
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_OK);
  return 0;
}

static void allocate(void) {
  pump();
  assert_int_equal(c.state, WG_TURN_ALLOCATED);
  assert_int_equal(event_count, 1);
  assert_int_equal(events[0].type, WG_TURN_EVENT_ALLOCATED);
  event_count = 0;
}

static void check_event(size_t index, wg_turn_event_type type, int status, unsigned code) {
  assert_true(index < event_count);
  assert_int_equal(events[index].type, type);
  assert_int_equal(events[index].status, status);
  assert_int_equal(events[index].code, code);
}

/* ---- allocating ------------------------------------------------------------------------------ */

static void test_allocates(void **state) {
  (void)state;
  allocate();
  assert_int_equal(s.requests[WG_TURN_ALLOCATE], 2); /* without credentials, then with */
  assert_int_equal(s.last_lifetime_s, WG_TURN_LIFETIME_S);
  warp_addr relayed = addr("203.0.113.10:50000"), mapped = addr("192.0.2.7:40000");
  assert_true(wg_addr_equal(&c.relayed, &relayed));
  assert_true(wg_addr_equal(&c.mapped, &mapped));
}

static void test_open_server(void **state) {
  (void)state;
  s.open = true;
  allocate();
  assert_int_equal(s.requests[WG_TURN_ALLOCATE], 1);
}

static void test_wrong_password(void **state) {
  (void)state;
  wg_turn_options options = options_of("wrong");
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_OK);
  pump();
  check_event(0, WG_TURN_EVENT_ENDED, WARP_AUTH, 401);
  assert_string_equal(events[0].reason, "No? good");
  assert_int_equal(c.state, WG_TURN_ENDED);
  assert_int_equal(s.requests[WG_TURN_ALLOCATE], 2); /* no third try */
  assert_true(wg_turn_client_deadline(&c) == UINT64_MAX);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    unsigned code;
    int status;
  } rows[] = {{486, WARP_QUOTA},   {508, WARP_QUOTA},   {403, WARP_UNTRUSTED},
              {437, WARP_REFUSED}, {300, WARP_REFUSED}, {500, WARP_REFUSED}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int is_unsigned = 0; is_unsigned < 2; is_unsigned++) {
      setup(NULL);
      s.error = rows[i].code;
      s.error_method = WG_TURN_ALLOCATE;
      s.error_unsigned = is_unsigned;
      pump();
      assert_int_equal(event_count, 1);
      check_event(0, WG_TURN_EVENT_ENDED, rows[i].status, rows[i].code);
    }
  }
}

static void test_forged_answers(void **state) {
  (void)state;
  s.forge = true;
  pump();
  assert_int_equal(c.state, WG_TURN_ALLOCATING);
  assert_int_equal(event_count, 0);
  s.error = 486;
  s.error_method = WG_TURN_ALLOCATE;
  run_for(1); /* a retransmission, answered by an error with a wrong signature */
  assert_int_equal(c.state, WG_TURN_ALLOCATING);
  s.forge = false;
  s.error = 0;
  run_for(2);
  assert_int_equal(c.state, WG_TURN_ALLOCATED);
}

static void test_dead_server(void **state) {
  (void)state;
  s.silent = true;
  run_for(39);
  assert_int_equal(event_count, 0);
  run_for(1);
  check_event(0, WG_TURN_EVENT_ENDED, WARP_TIMEOUT, 0);
  assert_string_equal(events[0].reason, "");
  assert_int_equal(s.requests[WG_TURN_ALLOCATE], 7);
}

static void test_stale_nonces(void **state) {
  (void)state;
  s.stale = 2;
  allocate();
  assert_int_equal(s.requests[WG_TURN_ALLOCATE], 4);
  setup(NULL);
  s.stale = 1000;
  pump();
  check_event(0, WG_TURN_EVENT_ENDED, WARP_REFUSED, 438);
  assert_in_range(s.requests[WG_TURN_ALLOCATE], 3, 6);
}

static void test_family(void **state) {
  (void)state;
  const uint8_t *bytes;
  size_t len;
  wg_stun_message message;
  uint32_t family;
  wg_turn_options options = options_of("secret");
  for (int v6 = 0; v6 < 2; v6++) {
    options.family = v6 ? WARP_IP6 : 0;
    options.lifetime_s = 777;
    assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_OK);
    assert_true(wg_turn_client_output(&c, now_us, &bytes, &len));
    assert_int_equal(wg_stun_decode(bytes, len, &message), WARP_OK);
    assert_int_equal(wg_stun_find_u32(&message, WG_TURN_REQUESTED_ADDRESS_FAMILY, &family), v6);
    assert_true(!v6 || family == 2u << 24);
    assert_true(wg_stun_find_u32(&message, WG_TURN_LIFETIME, &family) && family == 777);
  }
}

/* ---- keeping --------------------------------------------------------------------------------- */

static void test_refreshes(void **state) {
  (void)state;
  allocate();
  run_for(539);
  assert_int_equal(s.requests[WG_TURN_REFRESH], 0);
  run_for(2); /* 60 s before the end */
  assert_int_equal(s.requests[WG_TURN_REFRESH], 1);
  run_for(3600);
  assert_int_equal(s.requests[WG_TURN_REFRESH], 7);
  assert_int_equal(event_count, 0);
  assert_int_equal(c.state, WG_TURN_ALLOCATED);
}

static void test_short_lifetimes(void **state) {
  (void)state;
  s.granted_s = 100;
  allocate();
  run_for(49);
  assert_int_equal(s.requests[WG_TURN_REFRESH], 0);
  run_for(2); /* half of it: a margin of 60 s would leave little */
  assert_int_equal(s.requests[WG_TURN_REFRESH], 1);
  setup(NULL);
  s.granted_s = 1;
  allocate();
  run_for(10);
  assert_in_range(s.requests[WG_TURN_REFRESH], 9, 11); /* no faster than once a second */
}

static void test_refresh_fails(void **state) {
  (void)state;
  allocate();
  s.error = 437;
  s.error_method = WG_TURN_REFRESH;
  run_for(541);
  check_event(0, WG_TURN_EVENT_ENDED, WARP_REFUSED, 437);
  setup(NULL);
  allocate();
  s.silent = true;
  run_for(541);
  assert_int_equal(event_count, 0);
  run_for(58); /* known before the allocation is gone */
  check_event(0, WG_TURN_EVENT_ENDED, WARP_TIMEOUT, 0);
}

static void test_nonce_gets_stale_later(void **state) {
  (void)state;
  allocate();
  warp_addr peer = addr("192.0.2.9:9");
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_OK);
  pump();
  for (int hour = 0; hour < 3; hour++) {
    snprintf(s.nonce, sizeof s.nonce, "hour%d", hour); /* for refresh and permission alike */
    run_for(3600);
  }
  assert_int_equal(c.state, WG_TURN_ALLOCATED);
  assert_int_equal(event_count, 1);
  check_event(0, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
}

/* ---- permissions ----------------------------------------------------------------------------- */

static void test_permissions(void **state) {
  (void)state;
  warp_addr peer = addr("192.0.2.9:9"), same_ip = addr("192.0.2.9:10"), other = addr("192.0.2.8:9");
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_OK); /* before the allocation */
  pump();
  assert_int_equal(event_count, 2);
  check_event(0, WG_TURN_EVENT_ALLOCATED, WARP_OK, 0);
  check_event(1, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  assert_true(wg_addr_equal(&events[1].peer, &peer));
  assert_int_equal(events[1].channel, 0);
  assert_true(wg_addr_equal(&s.last_peer, &peer));
  assert_int_equal(wg_turn_client_permit(&c, &same_ip, now_us), WARP_OK);
  pump();
  assert_int_equal(s.requests[WG_TURN_CREATE_PERMISSION], 1); /* it is the IP that is permitted */
  assert_int_equal(wg_turn_client_permit(&c, &other, now_us), WARP_OK);
  pump();
  assert_int_equal(s.requests[WG_TURN_CREATE_PERMISSION], 2);
  run_for(239);
  assert_int_equal(s.requests[WG_TURN_CREATE_PERMISSION], 2);
  run_for(2);
  assert_int_equal(s.requests[WG_TURN_CREATE_PERMISSION], 4);
  run_for(3600);
  assert_int_equal(s.requests[WG_TURN_CREATE_PERMISSION], 34);
  assert_int_equal(event_count, 3); /* refreshes make no events */
}

static void test_forbidden_peer(void **state) {
  (void)state;
  allocate();
  warp_addr peer = addr("192.0.2.9:9"), good = addr("192.0.2.8:8");
  s.error = 403;
  s.error_method = WG_TURN_CREATE_PERMISSION;
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_OK);
  pump();
  check_event(0, WG_TURN_EVENT_FORBIDDEN, WARP_UNTRUSTED, 403);
  assert_true(wg_addr_equal(&events[0].peer, &peer));
  assert_int_equal(c.state, WG_TURN_ALLOCATED); /* the others go on */
  s.error = 0;
  assert_int_equal(wg_turn_client_permit(&c, &good, now_us), WARP_OK);
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_OK); /* once more */
  pump();
  assert_int_equal(event_count, 3);
  check_event(1, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  check_event(2, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  s.error = 500; /* a refresh that fails is told as well */
  run_for(241);
  assert_int_equal(event_count, 5);
  check_event(3, WG_TURN_EVENT_FORBIDDEN, WARP_REFUSED, 500);
}

static void test_peer_limits(void **state) {
  (void)state;
  allocate();
  for (unsigned i = 0; i < WG_TURN_PEERS; i++) {
    warp_addr peer = addr("192.0.2.1:9");
    peer.ip[3] = (uint8_t)i;
    assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_OK);
  }
  warp_addr more = addr("198.51.100.1:1"), v6 = addr("[2001:db8::1]:1");
  assert_int_equal(wg_turn_client_permit(&c, &more, now_us), WARP_LIMIT);
  assert_int_equal(wg_turn_client_bind(&c, &more, now_us), WARP_LIMIT);
  assert_int_equal(wg_turn_client_permit(&c, &v6, now_us), WARP_INVALID);
  pump();
  assert_int_equal(s.requests[WG_TURN_CREATE_PERMISSION], WG_TURN_PEERS);
  assert_int_equal(event_count, WG_TURN_PEERS);
}

/* ---- data ------------------------------------------------------------------------------------ */

static int give(const uint8_t *bytes, int len, warp_addr *peer, const uint8_t **data,
                size_t *data_len) {
  warp_addr from = server_addr();
  assert_true(len > 0);
  return wg_turn_client_input(&c, bytes, (size_t)len, &from, now_us, peer, data, data_len);
}

static void test_indications(void **state) {
  (void)state;
  uint8_t bytes[256];
  const uint8_t *data;
  size_t data_len;
  wg_stun_message message;
  wg_stun_txid first;
  warp_addr peer = addr("192.0.2.9:9"), other_port = addr("192.0.2.9:10"), got;
  warp_addr stranger = addr("192.0.2.66:66");
  allocate();
  assert_int_equal(wg_turn_client_send(&c, &peer, "x", 1, bytes, sizeof bytes), WARP_STATE);
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_OK);
  pump();

  int len = wg_turn_client_send(&c, &other_port, "hello", 5, bytes, sizeof bytes);
  assert_true(len > 0);
  assert_int_equal(wg_stun_decode(bytes, (size_t)len, &message), WARP_OK);
  assert_int_equal(wg_turn_indication_decode(&message, WG_TURN_SEND, &got, &data, &data_len),
                   WARP_OK);
  assert_true(wg_addr_equal(&got, &other_port));
  assert_memory_equal(data, "hello", 5);
  first = message.txid;
  len = wg_turn_client_send(&c, &peer, "hello", 5, bytes, sizeof bytes);
  assert_int_equal(wg_stun_decode(bytes, (size_t)len, &message), WARP_OK);
  assert_memory_not_equal(&first, &message.txid, sizeof first);
  assert_int_equal(wg_turn_client_send(&c, &peer, "hello", 5, bytes, 40), WARP_TOO_BIG);

  len = wg_turn_indication_encode(WG_TURN_DATA, &first, &peer, "back", 4, bytes, sizeof bytes);
  assert_int_equal(give(bytes, len, &got, &data, &data_len), WARP_OK);
  assert_true(wg_addr_equal(&got, &peer));
  assert_int_equal(data_len, 4);
  assert_memory_equal(data, "back", 4);
  len = wg_turn_indication_encode(WG_TURN_DATA, &first, &stranger, "back", 4, bytes, sizeof bytes);
  assert_int_equal(give(bytes, len, &got, &data, &data_len), WARP_NOT_FOUND);
  assert_null(data);
  len = wg_turn_indication_encode(WG_TURN_DATA, &first, &peer, "back", 4, bytes, sizeof bytes);
  assert_int_equal(
      wg_turn_client_input(&c, bytes, (size_t)len, &peer, now_us, &got, &data, &data_len),
      WARP_NOT_FOUND); /* not from the server */
  assert_int_equal(give((const uint8_t *)"\x16\xfe\xfd", 3, &got, &data, &data_len),
                   WARP_MALFORMED);
}

static void test_channels(void **state) {
  (void)state;
  uint8_t bytes[256];
  const uint8_t *data;
  size_t data_len;
  warp_addr peer = addr("192.0.2.9:9"), other_port = addr("192.0.2.9:10"), got;
  allocate();
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_OK);
  assert_int_equal(wg_turn_client_bind(&c, &peer, now_us), WARP_OK);
  pump();
  assert_int_equal(event_count, 2);
  uint16_t channel = events[1].channel;
  assert_in_range(channel, WG_TURN_CHANNEL_MIN, WG_TURN_CHANNEL_MAX);
  assert_int_equal(s.last_channel, channel);
  assert_int_equal(wg_turn_client_send(&c, &peer, "hello", 5, bytes, sizeof bytes), 9);
  assert_int_equal(bytes[0] << 8 | bytes[1], channel);
  assert_true(wg_turn_client_send(&c, &other_port, "hello", 5, bytes, sizeof bytes) > 40);

  int len = wg_turn_channel_encode(channel, "back", 4, bytes, sizeof bytes);
  assert_int_equal(give(bytes, len, &got, &data, &data_len), WARP_OK);
  assert_true(wg_addr_equal(&got, &peer));
  assert_memory_equal(data, "back", 4);
  len = wg_turn_channel_encode((uint16_t)(channel + 1), "back", 4, bytes, sizeof bytes);
  assert_int_equal(give(bytes, len, &got, &data, &data_len), WARP_NOT_FOUND);
  assert_null(data);
  run_for(599); /* bindings live 600 s; both are renewed every 240 s */
  assert_int_equal(s.requests[WG_TURN_CHANNEL_BIND], 3);
}

static void test_lost_channel_number_is_not_used_again(void **state) {
  (void)state;
  warp_addr peer = addr("192.0.2.9:9"), other = addr("192.0.2.8:8");
  allocate();
  s.error = 400;
  s.error_method = WG_TURN_CHANNEL_BIND;
  assert_int_equal(wg_turn_client_bind(&c, &peer, now_us), WARP_OK);
  pump();
  check_event(0, WG_TURN_EVENT_FORBIDDEN, WARP_REFUSED, 400);
  s.error = 0;
  assert_int_equal(wg_turn_client_bind(&c, &other, now_us), WARP_OK);
  pump();
  check_event(1, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  assert_int_not_equal(events[1].channel, events[0].channel);
  assert_int_equal(wg_turn_client_bind(&c, &peer, now_us), WARP_OK);
  pump();
  check_event(2, WG_TURN_EVENT_PERMITTED, WARP_OK, 0);
  assert_int_equal(events[2].channel, events[0].channel);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_close(void **state) {
  (void)state;
  uint8_t bytes[64];
  warp_addr peer = addr("192.0.2.9:9");
  allocate();
  wg_turn_client_close(&c, now_us);
  assert_int_equal(c.state, WG_TURN_CLOSING);
  pump();
  check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
  assert_int_equal(s.last_lifetime_s, 0);
  assert_false(s.allocated);
  assert_true(wg_turn_client_deadline(&c) == UINT64_MAX);
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_STATE);
  assert_int_equal(wg_turn_client_send(&c, &peer, "x", 1, bytes, sizeof bytes), WARP_STATE);
  wg_turn_client_close(&c, now_us);
  pump();
  assert_int_equal(event_count, 1); /* once */
}

static void test_close_unanswered(void **state) {
  (void)state;
  allocate();
  s.silent = true;
  wg_turn_client_close(&c, now_us);
  run_for(60);
  check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
}

static void test_close_while_allocating(void **state) {
  (void)state;
  const uint8_t *bytes, *data;
  size_t len, data_len;
  uint8_t copy[1024];
  warp_addr got, from = server_addr();
  wg_turn_client_close(&c, now_us); /* nothing was asked for yet */
  collect_events();
  check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
  assert_false(wg_turn_client_output(&c, now_us, &bytes, &len));

  /* The server makes the allocation, but the answer does not arrive before the close. */
  setup(NULL);
  assert_true(wg_turn_client_output(&c, now_us, &bytes, &len));
  memcpy(copy, bytes, len);
  serve(copy, len);
  assert_int_equal(give(s.answer, (int)s.answer_len, &got, &data, &data_len), WARP_OK);
  assert_true(wg_turn_client_output(&c, now_us, &bytes, &len));
  memcpy(copy, bytes, len);
  serve(copy, len);
  assert_true(s.allocated);
  wg_turn_client_close(&c, now_us);
  assert_int_equal(
      wg_turn_client_input(&c, s.answer, s.answer_len, &from, now_us, &got, &data, &data_len),
      WARP_NOT_FOUND);
  pump();
  assert_false(s.allocated);
  check_event(0, WG_TURN_EVENT_ENDED, WARP_OK, 0);
}

static void test_bad_options(void **state) {
  (void)state;
  char longest[WG_TURN_USER_MAX + 1];
  memset(longest, 'a', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  wg_turn_options options = options_of(NULL);
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_INVALID);
  options = options_of(longest);
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_INVALID);
  options = options_of(longest + 1);
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_OK);
  options.server = (warp_addr){0};
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_INVALID);
  options = options_of("secret");
  options.random = NULL;
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_INVALID);
  options.random = no_entropy;
  assert_int_equal(wg_turn_client_start(&c, &options, now_us), WARP_IO);
}

static void test_randomness_fails_later(void **state) {
  (void)state;
  allocate();
  c.random = no_entropy;
  warp_addr peer = addr("192.0.2.9:9");
  assert_int_equal(wg_turn_client_permit(&c, &peer, now_us), WARP_IO);
  pump();
  assert_int_equal(event_count, 0); /* what a call returned is no event besides */
  run_for(541);
  assert_int_equal(events[event_count - 1].type, WG_TURN_EVENT_ENDED);
  assert_int_equal(events[event_count - 1].status, WARP_IO);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_allocates, setup),
      cmocka_unit_test_setup(test_open_server, setup),
      cmocka_unit_test_setup(test_wrong_password, setup),
      cmocka_unit_test_setup(test_refusals, setup),
      cmocka_unit_test_setup(test_forged_answers, setup),
      cmocka_unit_test_setup(test_dead_server, setup),
      cmocka_unit_test_setup(test_stale_nonces, setup),
      cmocka_unit_test_setup(test_family, setup),
      cmocka_unit_test_setup(test_refreshes, setup),
      cmocka_unit_test_setup(test_short_lifetimes, setup),
      cmocka_unit_test_setup(test_refresh_fails, setup),
      cmocka_unit_test_setup(test_nonce_gets_stale_later, setup),
      cmocka_unit_test_setup(test_permissions, setup),
      cmocka_unit_test_setup(test_forbidden_peer, setup),
      cmocka_unit_test_setup(test_peer_limits, setup),
      cmocka_unit_test_setup(test_indications, setup),
      cmocka_unit_test_setup(test_channels, setup),
      cmocka_unit_test_setup(test_lost_channel_number_is_not_used_again, setup),
      cmocka_unit_test_setup(test_close, setup),
      cmocka_unit_test_setup(test_close_unanswered, setup),
      cmocka_unit_test_setup(test_close_while_allocating, setup),
      cmocka_unit_test_setup(test_bad_options, setup),
      cmocka_unit_test_setup(test_randomness_fails_later, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
