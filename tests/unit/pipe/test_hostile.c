/* Pipes and peers that break the rules, and strangers that throw things at them. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "pipe/pipe_internal.h"
#include "pipe_rig.h"

/* ---- streams --------------------------------------------------------------------------------- */

static void first_bytes_must_nominate(void **state) {
  (void)state;
  static const struct {
    uint8_t bytes[6];
    uint8_t len;
    int status;
  } rows[] = {
      {{0xE7, 0x57, 1, 1}, 4, WARP_OK},
      {{0xE7, 0x57, 1, 1, 'x', 'y'}, 6, WARP_OK}, /* in one record with data */
      {{0xE7, 0x57, 2, 1}, 4, WARP_VERSION},
      {{0xE7, 0x57, 1, 2}, 4, WARP_MALFORMED},
      {{'G', 'E', 1, ' '}, 4, WARP_MALFORMED},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    pipe_rig rig;
    rig_init(&rig, WARP_STREAM);
    rig.client.nominate = false;
    rig_open(&rig, RIG_HELLO_LEN);
    rig_run(&rig, 200);
    assert_int_equal(wg_secure_write(rig.client.pipe->secure, rows[i].bytes, rows[i].len), WARP_OK);
    rig_run(&rig, 100);
    assert_int_equal(rig.server.nominated, rows[i].status == WARP_OK);
    assert_int_equal(rig.server.fail_status, rows[i].status);
    if (rows[i].len > 4) {
      assert_int_equal(rig.server.received.len, 2);
      assert_memory_equal(wg_queue_front(&rig.server.received), "xy", 2);
    }
    rig_free(&rig);
  }
}

static void responder_may_not_speak_first(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig.client.nominate = false;
  rig_open(&rig, RIG_HELLO_LEN);
  wg_pipe_set_initiator(rig.client.pipe, true); /* but it has not decided yet */
  rig_run(&rig, 200);
  assert_int_equal(wg_secure_write(rig.server.pipe->secure, "x", 1), WARP_OK);
  rig_run(&rig, 100);
  assert_int_equal(rig.client.failed, 1);
  assert_int_equal(rig.client.fail_status, WARP_MALFORMED);
  rig_free(&rig);
}

static void garbage_ends_it_in_every_state(void **state) {
  (void)state;
  for (unsigned ms = 0; ms <= 140; ms += 20) {
    for (int i = 0; i < 4; i++) {
      pipe_rig rig;
      rig_init(&rig, WARP_STREAM);
      rig.client.nominate = i < 2;
      rig_open(&rig, RIG_HELLO_LEN);
      rig_run(&rig, ms);
      rig_end *end = i % 2 == 0 ? &rig.client : &rig.server;
      uint8_t junk[300];
      for (size_t j = 0; j < sizeof junk; j++) {
        junk[j] = (uint8_t)wg_rng_next(&rig.rng);
      }
      junk[0] = 99; /* no content type */
      rig_inject(end, junk, sizeof junk);
      rig_run(&rig, 10);
      assert_int_equal(end->failed + end->ended, 1);
      assert_int_equal(end->failed > 0 ? end->fail_status : end->end_status, WARP_TLS);
      rig_free(&rig);
    }
  }
}

static void damaged_record_ends_it(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_STREAM);
  rig_connect(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 100);
  warp_pipe_send(rig.client.pipe, "0123456789", 10);
  rig.client.out.bytes.data[rig.client.out.bytes.head + 8] ^= 1;
  rig_run(&rig, 200);
  assert_int_equal(rig.server.messages, 0);
  assert_int_equal(rig.server.end_status, WARP_TLS);
  assert_int_equal(rig.client.ended, 1); /* it was told by an alert */
  assert_int_equal(rig.client.end_status, WARP_TLS);
  rig_free(&rig);
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void throw_garbage(pipe_rig *rig, rig_end *at) {
  uint8_t bytes[1500];
  for (int i = 0; i < 200; i++) {
    size_t len = wg_rng_below(&rig->rng, sizeof bytes);
    for (size_t j = 0; j < len; j++) {
      bytes[j] = (uint8_t)wg_rng_next(&rig->rng);
    }
    if (i % 2 == 0 && len > 13) { /* looks like a record */
      bytes[0] = (uint8_t)(20 + i / 2 % 5);
      bytes[1] = 0xfe;
      bytes[2] = 0xfd;
      bytes[3] = 0;
      bytes[4] = (uint8_t)(i / 4 % 2);
      bytes[11] = (uint8_t)((len - 13) >> 8);
      bytes[12] = (uint8_t)(len - 13);
    }
    rig_inject(at, bytes, len);
  }
}

/* Records that the peer's key signs for, but that break the rules, are dropped and counted. */
static void records_out_of_place_are_dropped(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig.client.nominate = false;
  rig_open(&rig, RIG_HELLO_LEN);
  wg_pipe_set_initiator(rig.client.pipe, true); /* but it has not decided yet */
  rig_run(&rig, 200);
  uint8_t record[1 + WARP_MESSAGE_MAX + 1] = {1}; /* data, one byte too long */
  static const uint8_t unknown = 99, nominate = 2, confirm = 3;
  wg_secure *server = rig.server.pipe->secure, *client = rig.client.pipe->secure;
  assert_int_equal(wg_secure_write(server, record, 10), WARP_OK);   /* before the nomination */
  assert_int_equal(wg_secure_write(server, &confirm, 1), WARP_OK);  /* of what? */
  assert_int_equal(wg_secure_write(server, &nominate, 1), WARP_OK); /* not its to say */
  assert_int_equal(wg_secure_write(server, &unknown, 1), WARP_OK);
  assert_int_equal(wg_secure_write(client, record, sizeof record), WARP_OK);
  rig_run(&rig, 100);
  assert_int_equal(wg_pipe_dropped(rig.client.pipe), 3);
  assert_int_equal(wg_pipe_dropped(rig.server.pipe), 1);
  assert_int_equal(rig.server.nominated + rig.client.nominated, 0);
  rig_inject(&rig.client, record, 0);
  assert_int_equal(wg_pipe_dropped(rig.client.pipe), 4);
  wg_pipe_nominate(rig.client.pipe);
  rig_run(&rig, 300);
  assert_int_equal(rig.server.nominated, 1);
  assert_int_equal(wg_secure_write(client, record, sizeof record), WARP_OK);
  rig_run(&rig, 100);
  assert_int_equal(rig.server.messages, 0);
  rig_free(&rig);
}

/* Once secured, nothing a stranger throws in does harm. */
static void garbage_does_not_disturb_what_is_secured(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    rig.server.adopt = false;
    rig_connect(&rig, RIG_HELLO_LEN);
    rig_end *end = i == 0 ? &rig.client : &rig.server;
    throw_garbage(&rig, end);
    rig_adopt(&rig.server);
    throw_garbage(&rig, end);
    rig_run(&rig, 1000);
    assert_string_equal(wg_secure_detail(rig.client.pipe->secure), "");
    assert_string_equal(wg_secure_detail(rig.server.pipe->secure), "");
    assert_int_equal(rig.client.end_status, WARP_OK);
    assert_int_equal(rig.server.end_status, WARP_OK);
    assert_int_equal(warp_pipe_send(rig.client.pipe, "still", 5), WARP_OK);
    assert_int_equal(warp_pipe_send(rig.server.pipe, "here", 4), WARP_OK);
    rig_run(&rig, 1000);
    assert_int_equal(rig.server.messages, 1);
    assert_int_equal(rig.client.messages, 1);
    rig_close(end);
    throw_garbage(&rig, end);
    rig_free(&rig);
  }
}

static size_t put_record(uint8_t *at, size_t cap, uint8_t type, uint16_t version, uint64_t number,
                         size_t body_len) {
  wg_writer writer = wg_writer_init(at, cap);
  wg_write_u8(&writer, type);
  wg_write_u16(&writer, version);
  wg_write_u64(&writer, number); /* with the epoch in its upper 16 bits */
  wg_write_u16(&writer, (uint16_t)body_len);
  wg_write_zeros(&writer, body_len);
  assert_false(writer.failed);
  return writer.len;
}

/* Of the right epoch and with a number to come, but too short for what the cipher adds, alone or
 * where OpenSSL finds it after another record: that such are sent in the peer's name ends nothing.
 */
static void short_records_do_no_harm(void **state) {
  (void)state;
  enum { PRESENT = 1, LENGTHS = 40 };
  static const uint16_t versions[] = {0xfefd, 0xfeff, 0x0303};
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig_connect(&rig, RIG_HELLO_LEN);
  uint64_t number = (uint64_t)PRESENT << 48 | 1000;
  for (size_t i = 0; i < LENGTHS * 5u * 3u; i++) {
    uint8_t bytes[200];
    uint8_t type = (uint8_t)(20 + i % 5);
    size_t body_len = i / 5 % LENGTHS;
    size_t before = put_record(bytes, 100, type, versions[i / (5u * LENGTHS)], 0, 0);
    size_t len = put_record(bytes + before, 100, type, 0xfefd, number++, body_len);
    for (int j = 0; j < 3; j++) { /* all; the short one alone; as the body of the one before */
      size_t from = j == 1 ? before : 0;
      bytes[before - 1] = (uint8_t)(j == 2 ? len : 0);
      rig_inject(&rig.client, bytes + from, before + len - from);
      rig_inject(&rig.server, bytes + from, before + len - from);
    }
  }
  assert_string_equal(wg_secure_detail(rig.client.pipe->secure), "");
  assert_string_equal(wg_secure_detail(rig.server.pipe->secure), "");
  assert_int_equal(warp_pipe_send(rig.client.pipe, "still", 5), WARP_OK);
  assert_int_equal(warp_pipe_send(rig.server.pipe, "here", 4), WARP_OK);
  rig_run(&rig, 1000);
  assert_int_equal(rig.server.messages, 1);
  assert_int_equal(rig.client.messages, 1);
  rig_free(&rig);
}

/* Before, it may end the handshake, but not more than that. */
static void garbage_in_the_handshake_is_survived(void **state) {
  (void)state;
  for (unsigned ms = 0; ms < 100; ms += 15) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    rig_open(&rig, RIG_HELLO_LEN);
    rig_run(&rig, ms);
    throw_garbage(&rig, &rig.client);
    throw_garbage(&rig, &rig.server);
    rig_run(&rig, 3000);
    rig_free(&rig);
  }
}

/* Datagrams of a real handshake, cut and damaged. */
static void damaged_flights_are_survived(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig_connect(&rig, 1500);
  static rig_lane client, server;
  client = rig.client.out;
  server = rig.server.out;
  rig_free(&rig);
  for (unsigned i = 0; i < 300; i++) {
    rig_init(&rig, WARP_MESSAGES);
    bool at_client = i % 2 == 0;
    rig_end *end = at_client ? &rig.client : &rig.server;
    rig_open(&rig, 1500);
    rig_lane *from = at_client ? &server : &client;
    for (unsigned j = 0; j < from->captured_count; j++) {
      uint8_t bytes[WG_UDP_MAX];
      size_t len = from->captured_len[j];
      memcpy(bytes, from->captured[j], len);
      bytes[wg_rng_below(&rig.rng, (uint32_t)len)] ^= (uint8_t)(1 + wg_rng_below(&rig.rng, 255));
      rig_inject(end, bytes, i % 3 == 0 ? wg_rng_below(&rig.rng, (uint32_t)len) : len);
    }
    assert_int_equal(end->secured, 0);
    rig_run(&rig, 100);
    rig_free(&rig);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_bytes_must_nominate),
      cmocka_unit_test(responder_may_not_speak_first),
      cmocka_unit_test(garbage_ends_it_in_every_state),
      cmocka_unit_test(damaged_record_ends_it),
      cmocka_unit_test(records_out_of_place_are_dropped),
      cmocka_unit_test(garbage_does_not_disturb_what_is_secured),
      cmocka_unit_test(short_records_do_no_harm),
      cmocka_unit_test(garbage_in_the_handshake_is_survived),
      cmocka_unit_test(damaged_flights_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
