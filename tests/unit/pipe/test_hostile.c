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

/* ---- records of the peer, changed ------------------------------------------------------------ */

enum { HEADER_LEN = 13, CLEAR_LEN = 4096 };

/* How many bytes of a datagram its first records have, about half of them. */
static size_t some_records(pipe_rig *rig, const uint8_t *bytes, size_t len) {
  size_t at = 0;
  do {
    at += HEADER_LEN + ((size_t)bytes[at + 11] << 8 | bytes[at + 12]);
  } while (at < len && wg_rng_below(&rig->rng, 2) == 0);
  assert_true(at <= len);
  return at;
}

/* What a stranger makes of a datagram that he saw, without a word of his own in the handshake's
 * messages. Returns the length. */
static size_t change_records(pipe_rig *rig, unsigned how, const rig_lane *from, uint8_t *out) {
  const uint8_t *bytes = from->captured[wg_rng_below(&rig->rng, from->captured_count)];
  size_t len = from->captured_len[(bytes - from->captured[0]) / WG_UDP_MAX];
  size_t half = some_records(rig, bytes, len);
  memcpy(out, bytes, len);
  uint8_t *header = out + (half < len ? half : 0);
  uint8_t noise = (uint8_t)(1 + wg_rng_below(&rig->rng, 255));
  switch (how) {
  case 0: /* as it was */
    return len;
  case 1: /* another type */
    header[0] = (uint8_t)(20 + (header[0] - 20 + 1 + noise % 4) % 5);
    return len;
  case 2: /* another version, or one that only a hello bears */
    header[1 + noise % 2] ^= noise;
    return len;
  case 3:
    header[2] ^= 2;
    return len;
  case 4: /* another epoch */
    header[4] ^= noise % 3 == 0 ? noise : 1;
    return len;
  case 5: /* another number, in all records: far ahead, or one that is still to come */
    for (size_t at = 0; at < len; at += HEADER_LEN + ((size_t)out[at + 11] << 8 | out[at + 12])) {
      out[at + 5 + (noise % 2 == 0 ? 5 : noise % 6)] ^= noise;
    }
    return len;
  case 6: /* another length */
    header[11 + noise % 2] ^= noise;
    return len;
  case 7: /* split, within a record perhaps */
    return wg_rng_below(&rig->rng, (uint32_t)len);
  case 8:
    memmove(out, out + half, len - half);
    return len - half;
  case 9: /* in another order */
    memcpy(out, bytes + half, len - half);
    memcpy(out + len - half, bytes, half);
    return len;
  default: /* joined to itself */
    if (2 * len <= CLEAR_LEN) {
      memcpy(out + len, bytes, len);
      return 2 * len;
    }
    return len;
  }
}

enum { WAYS_TO_CHANGE = 11 };

static void throw_changed(pipe_rig *rig, rig_end *at, unsigned count) {
  for (unsigned i = 0; i < count && at->other->out.captured_count > 0; i++) {
    uint8_t bytes[CLEAR_LEN];
    size_t len = change_records(rig, i % WAYS_TO_CHANGE, &at->other->out, bytes);
    rig_inject(at, bytes, len <= WG_UDP_MAX ? len : WG_UDP_MAX);
  }
}

static void still_works(pipe_rig *rig) {
  assert_int_equal(rig->client.failed + rig->server.failed, 0);
  assert_string_equal(wg_secure_detail(rig->client.pipe->secure), "");
  assert_string_equal(wg_secure_detail(rig->server.pipe->secure), "");
  assert_int_equal(warp_pipe_send(rig->client.pipe, "still", 5), WARP_OK);
  assert_int_equal(warp_pipe_send(rig->server.pipe, "here", 4), WARP_OK);
  rig_run(rig, 1000);
  assert_int_equal(rig->server.messages, 1);
  assert_int_equal(rig->client.messages, 1);
}

/* Each is there before the datagram that it was made of. */
static void changed_records_do_not_end_a_handshake(void **state) {
  (void)state;
  for (unsigned seed = 0; seed < 40; seed++) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    wg_rng_seed(&rig.rng, seed, "changed");
    rig.loss_pct = seed % 4 == 3 ? 20 : 0;
    rig_open(&rig, seed % 2 == 0 ? RIG_HELLO_LEN : 1500);
    for (unsigned ms = 0; ms < 150; ms += 10) {
      throw_changed(&rig, &rig.client, WAYS_TO_CHANGE * 4);
      throw_changed(&rig, &rig.server, WAYS_TO_CHANGE * 4);
      rig_run(&rig, 10);
    }
    assert_true(rig_run_until(&rig, &rig.server.nominated, 20000));
    rig_run(&rig, 1000);
    rig.loss_pct = 0;
    still_works(&rig);
    rig_free(&rig);
  }
}

static void changed_records_do_not_end_a_pipe(void **state) {
  (void)state;
  for (unsigned seed = 0; seed < 10; seed++) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    wg_rng_seed(&rig.rng, seed, "changed");
    rig.server.adopt = false;
    rig_connect(&rig, RIG_HELLO_LEN);
    throw_changed(&rig, &rig.client, WAYS_TO_CHANGE * 50);
    throw_changed(&rig, &rig.server, WAYS_TO_CHANGE * 50);
    rig_adopt(&rig.server);
    throw_changed(&rig, &rig.client, WAYS_TO_CHANGE * 50);
    throw_changed(&rig, &rig.server, WAYS_TO_CHANGE * 50);
    still_works(&rig);
    rig_end *end = seed % 2 == 0 ? &rig.client : &rig.server;
    end->out.black_hole = true;
    rig_close(end);
    throw_changed(&rig, end, WAYS_TO_CHANGE * 50);
    assert_int_equal(end->on_closed, 0); /* it still waits for the peer's answer */
    end->out.black_hole = false;
    rig_run(&rig, 3000);
    assert_int_equal(end->other->end_status, WARP_CLOSED);
    rig_free(&rig);
  }
}

/* What of a handshake is in the clear anybody can say, too; only what is none of it is dropped. */
static void what_is_no_handshake_does_not_end_one(void **state) {
  (void)state;
  static const struct {
    uint8_t type, len, body[26];
  } rows[] = {
      {20, 1, {1}},                                               /* ChangeCipherSpec, early */
      {20, 1, {2}},                                               /* and none */
      {20, 2, {1, 1}},                                            /* */
      {20, 0, {0}},                                               /* */
      {21, 2, {1, 0}},                                            /* a warning: close_notify */
      {21, 2, {1, 100}},                                          /* no_renegotiation */
      {21, 2, {3, 40}},                                           /* of no level */
      {21, 1, {2}},                                               /* half an alert */
      {21, 3, {2, 40, 0}},                                        /* */
      {22, 0, {0}},                                               /* */
      {22, 5, {2, 0, 0, 1, 0}},                                   /* half a header */
      {22, 12, {0}},                                              /* HelloRequest */
      {22, 15, {3, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xfe, 0xff}}, /* HelloVerifyRequest */
      {22, 13, {20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}},            /* Finished */
      {22, 12, {11, 0, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0}},            /* a part of nothing */
      {22, 13, {11, 0, 0, 9, 0, 1, 0, 0, 9, 0, 0, 1}},            /* behind the end */
      {22, 13, {11, 0, 0, 9, 0, 1, 0, 0, 0, 0, 0, 2}},            /* longer than the record */
      {22, 13, {11, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1}},            /* too long for any of ours */
      {23, 5, {'h', 'e', 'l', 'l', 'o'}},
      {24, 3, {1, 0, 0}},
      {99, 1, {0}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    pipe_rig rig;
    rig_init(&rig, WARP_MESSAGES);
    rig_open(&rig, 1500);
    for (uint64_t ms = 0; ms < 150; ms += 10) {
      for (unsigned j = 0; j < 12; j++) {
        uint8_t bytes[HEADER_LEN + sizeof rows->body];
        uint64_t number = j % 2 == 0 ? j / 2 : ((uint64_t)1 << 48) - 200 + ms + j;
        size_t len = put_record(bytes, sizeof bytes, rows[i].type, 0xfefd, number, rows[i].len);
        memcpy(bytes + HEADER_LEN, rows[i].body, rows[i].len);
        rig_inject(&rig.client, bytes, len);
        rig_inject(&rig.server, bytes, len);
      }
      rig_run(&rig, 10);
    }
    assert_int_equal(rig.server.nominated, 1); /* in time: nothing had to be repeated */
    still_works(&rig);
    rig_free(&rig);
  }
}

/* OpenSSL stops at each of them: what follows must not wait for the next datagram. */
static void a_row_of_early_changes_keeps_nothing_out(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig_open(&rig, 1500);
  uint8_t row[1400];
  size_t len = 0;
  for (; len + 14 <= sizeof row; len += 14) {
    (void)put_record(row + len, sizeof row - len, 20, 0xfefd, len, 1);
    row[len + HEADER_LEN] = 1;
  }
  for (unsigned ms = 0; ms < 150; ms += 10) {
    rig_inject(&rig.client, row, len);
    rig_inject(&rig.server, row, len);
    rig_run(&rig, 10);
  }
  assert_int_equal(rig.server.nominated, 1);
  still_works(&rig);
  rig_free(&rig);
}

/* Who says the server's last flight again is answered, but not each time. */
static void flights_said_again_cost_little(void **state) {
  (void)state;
  pipe_rig rig;
  rig_init(&rig, WARP_MESSAGES);
  rig_connect(&rig, RIG_HELLO_LEN);
  rig_run(&rig, 2000);
  const rig_lane *server = &rig.server.out;
  unsigned before = rig.client.out.sent;
  for (unsigned i = 0; i < 1000; i++) {
    static const uint8_t change = 20;
    rig_inject(&rig.client, &change, 1);
    rig_inject(&rig.client, server->captured[1], server->captured_len[1]);
    rig_run(&rig, 1);
  }
  assert_in_range(rig.client.out.sent - before, 1, 1000 / (WG_DTLS_RTO_MS / 2) + 1);
  still_works(&rig);
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
      cmocka_unit_test(changed_records_do_not_end_a_handshake),
      cmocka_unit_test(changed_records_do_not_end_a_pipe),
      cmocka_unit_test(what_is_no_handshake_does_not_end_one),
      cmocka_unit_test(a_row_of_early_changes_keeps_nothing_out),
      cmocka_unit_test(flights_said_again_cost_little),
      cmocka_unit_test(garbage_in_the_handshake_is_survived),
      cmocka_unit_test(damaged_flights_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
