#include "turn_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

turn_rig rig;

static const char realm[] = "lab.test";

warp_addr rig_addr(const char *text) {
  warp_addr out;
  assert_int_equal(warp_addr_parse(text, &out), WARP_OK);
  return out;
}

warp_addr rig_server_addr(void) {
  return rig_addr("203.0.113.10:3478");
}

int rig_draw(void *arg, void *out, size_t len) {
  (void)arg;
  memset(out, 0, len);
  rig.drawn++;
  memcpy(out, &rig.drawn, sizeof rig.drawn);
  return WARP_OK;
}

int rig_no_entropy(void *arg, void *out, size_t len) {
  (void)arg, (void)out, (void)len;
  return WARP_IO;
}

static void write_error(wg_writer *writer, const wg_stun_message *request, unsigned code,
                        const char *reason) {
  wg_stun_begin(writer, WG_STUN_ERROR, request->method, &request->txid);
  wg_stun_attr_error(writer, code, reason);
  if (code == 401 || code == 438) {
    wg_stun_attr_text(writer, WG_STUN_REALM, realm);
    wg_stun_attr_text(writer, WG_STUN_NONCE, rig.server.nonce);
  }
}

static void write_success(wg_writer *writer, const wg_stun_message *request) {
  warp_addr relayed = rig_addr("203.0.113.10:50000"), mapped = rig_addr("192.0.2.7:40000");
  wg_stun_begin(writer, WG_STUN_SUCCESS, request->method, &request->txid);
  if (request->method == WG_TURN_ALLOCATE) {
    wg_stun_attr_addr(writer, WG_TURN_XOR_RELAYED_ADDRESS, &relayed);
    wg_stun_attr_addr(writer, WG_STUN_XOR_MAPPED_ADDRESS, &mapped);
    rig.server.allocated = true;
  }
  if (request->method == WG_TURN_ALLOCATE || request->method == WG_TURN_REFRESH) {
    wg_stun_attr_u32(writer, WG_TURN_LIFETIME,
                     rig.server.last_lifetime_s == 0 ? 0 : rig.server.granted_s);
    rig.server.allocated = rig.server.last_lifetime_s != 0;
  }
}

/* 0 when the request is rightly authenticated, or the error code. */
static unsigned authenticate(const wg_stun_message *request, const uint8_t *key) {
  char user[32], nonce[32], got_realm[32];
  if (rig.server.open) {
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
  if (rig.server.stale > 0) {
    rig.server.stale--;
    snprintf(rig.server.nonce, sizeof rig.server.nonce, "nonce%u", rig.drawn);
    return 438;
  }
  return strcmp(nonce, rig.server.nonce) == 0 ? 0 : 438;
}

/* Answers one request into rig.server.answer. */
void rig_serve(const uint8_t *bytes, size_t len) {
  wg_stun_message request;
  uint8_t key[WG_STUN_LONG_TERM_KEY_LEN];
  uint32_t transport;
  assert_int_equal(wg_stun_decode(bytes, len, &request), WARP_OK);
  assert_int_equal(request.class, WG_STUN_REQUEST);
  assert_int_equal(wg_stun_unknown(&request, NULL, 0), 0);
  rig.server.requests[request.method]++;
  rig.server.answer_len = 0;
  if (rig.server.silent) {
    return;
  }
  assert_int_equal(wg_stun_long_term_key("user", realm, "secret", key), WARP_OK);
  wg_writer writer = wg_writer_init(rig.server.answer, sizeof rig.server.answer);
  unsigned code = authenticate(&request, key);
  bool is_signed = code == 0 && !rig.server.open;
  if (code == 0) {
    wg_stun_find_u32(&request, WG_TURN_LIFETIME, &rig.server.last_lifetime_s);
    wg_stun_find_addr(&request, WG_TURN_XOR_PEER_ADDRESS, &rig.server.last_peer);
    rig.server.last_channel = 0;
    wg_turn_find_channel(&request, &rig.server.last_channel);
  }
  if (request.method == WG_TURN_ALLOCATE) {
    assert_true(wg_stun_find_u32(&request, WG_TURN_REQUESTED_TRANSPORT, &transport));
    assert_int_equal(transport, 17u << 24);
  }
  if (code == 0 && rig.server.error != 0 && rig.server.error_method == request.method) {
    code = rig.server.error;
    is_signed = !rig.server.error_unsigned;
  }
  if (code != 0) {
    write_error(&writer, &request, code, "No\x1b good");
  } else {
    write_success(&writer, &request);
  }
  if (is_signed) {
    key[0] ^= rig.server.forge;
    wg_stun_integrity(&writer, key, sizeof key);
  }
  int answer = wg_stun_end(&writer);
  assert_true(answer > 0);
  rig.server.answer_len = (size_t)answer;
}

void rig_collect_events(void) {
  wg_turn_event event;
  while (wg_turn_client_event(&rig.client, &event)) {
    assert_true(rig.event_count < RIG_EVENTS);
    strcpy(rig.reasons[rig.event_count], event.reason);
    event.reason = rig.reasons[rig.event_count];
    rig.events[rig.event_count++] = event;
  }
}

/* Sends what is due and gives back the answers, until nothing more is due now. */
void rig_pump(void) {
  const uint8_t *bytes, *data;
  size_t len, data_len;
  warp_addr peer, from = rig_server_addr();
  uint8_t copy[1024];
  while (wg_turn_client_output(&rig.client, rig.now_us, &bytes, &len)) {
    assert_true(len <= sizeof copy);
    memcpy(copy, bytes, len);
    rig_serve(copy, len);
    if (rig.server.answer_len > 0) {
      (void)wg_turn_client_input(&rig.client, rig.server.answer, rig.server.answer_len, &from,
                                 rig.now_us, &peer, &data, &data_len);
      assert_null(data);
    }
  }
  rig_collect_events();
}

void rig_run_for(uint64_t seconds) {
  uint64_t until_us = rig.now_us + seconds * RIG_SECOND;
  for (;;) {
    rig_pump();
    uint64_t deadline_us = wg_turn_client_deadline(&rig.client);
    if (deadline_us > until_us) {
      break;
    }
    assert_true(deadline_us >= rig.now_us);
    rig.now_us = deadline_us;
  }
  rig.now_us = until_us;
}

wg_turn_options rig_options(const char *password) {
  return (wg_turn_options){
      .server = rig_server_addr(), .user = "user", .password = password, .random = rig_draw};
}

int rig_setup(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  strcpy(rig.server.nonce, "nonce");
  rig.server.granted_s = 600;
  rig.now_us = 7 * RIG_SECOND;
  wg_turn_options options = rig_options("secret");
  assert_int_equal(wg_turn_client_start(&rig.client, &options, rig.now_us), WARP_OK);
  return 0;
}

void rig_allocate(void) {
  rig_pump();
  assert_int_equal(rig.client.state, WG_TURN_ALLOCATED);
  assert_int_equal(rig.event_count, 1);
  assert_int_equal(rig.events[0].type, WG_TURN_EVENT_ALLOCATED);
  rig.event_count = 0;
}

void rig_check_event(size_t index, wg_turn_event_type type, int status, unsigned code) {
  assert_true(index < rig.event_count);
  assert_int_equal(rig.events[index].type, type);
  assert_int_equal(rig.events[index].status, status);
  assert_int_equal(rig.events[index].code, code);
}

int rig_give(const uint8_t *bytes, int len, warp_addr *peer, const uint8_t **data,
             size_t *data_len) {
  warp_addr from = rig_server_addr();
  assert_true(len > 0);
  return wg_turn_client_input(&rig.client, bytes, (size_t)len, &from, rig.now_us, peer, data,
                              data_len);
}
