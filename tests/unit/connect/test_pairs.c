/* Which pair of socket and address a path settles on. */
#include "base/addr.h"
#include "connect/pairs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND = 1000000 };

static wg_pairs pairs;
static uint64_t now;

static int set_up(void **state) {
  (void)state;
  memset(&pairs, 0, sizeof pairs);
  now = 1000;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  wg_pairs_free(&pairs);
  return 0;
}

static wg_pair pair_of(uint32_t socket, uint16_t port) {
  wg_pair pair = {.socket = socket};
  assert_int_equal(warp_addr_parse("198.51.100.7:1", &pair.remote), WARP_OK);
  pair.remote.port = port;
  return pair;
}

static uint32_t sent_as(uint32_t random, uint32_t socket, uint16_t port, bool answers) {
  wg_pair pair = pair_of(socket, port);
  return wg_pairs_number(&pairs, &pair, answers, random);
}

static uint32_t sent(uint32_t socket, uint16_t port, bool answers) {
  return sent_as(0, socket, port, answers);
}

static unsigned probe(uint32_t socket, uint16_t port, uint32_t number, uint32_t acknowledged) {
  wg_pair from = pair_of(socket, port);
  return wg_pairs_heard(&pairs, &from,
                        &(wg_carried){.sequence = number, .acknowledged = acknowledged}, now);
}

static unsigned carried(uint32_t socket, uint16_t port) {
  wg_pair from = pair_of(socket, port);
  return wg_pairs_heard(&pairs, &from,
                        &(wg_carried){.payload = (const uint8_t *)"x", .payload_len = 1}, now);
}

static void check_out(wg_pairs_state expected, uint32_t socket, uint16_t port) {
  assert_int_equal(pairs.state, expected);
  assert_int_equal(pairs.out.socket, socket);
  assert_int_equal(pairs.out.remote.port, port);
}

static void test_first_heard_then_proven(void **state) {
  (void)state;
  uint32_t first = sent(0, 4000, false);
  assert_int_equal(first, 1);
  assert_int_equal(probe(0, 4000, 1, 0), WG_PAIRS_NEW_SOURCE | WG_PAIRS_MOVED | WG_PAIRS_ANSWER);
  check_out(WG_PAIRS_LISTENED, 0, 4000);
  assert_int_equal(probe(0, 4000, 2, first), WG_PAIRS_NOW_PROVEN | WG_PAIRS_ANSWER);
  check_out(WG_PAIRS_PROVEN, 0, 4000);
  assert_int_equal(pairs.peer_number, 2);
}

/* The NAT before the peer lets our probe to 4000 in, but answers from a port of its own. */
static void test_strict_nat(void **state) {
  (void)state;
  (void)sent(1, 3999, false);
  uint32_t hit = sent(2, 4000, false);
  (void)sent(3, 4001, false);
  assert_int_equal(probe(2, 50001, 1, hit),
                   WG_PAIRS_NEW_SOURCE | WG_PAIRS_MOVED | WG_PAIRS_NOW_PROVEN | WG_PAIRS_ANSWER);
  check_out(WG_PAIRS_PROVEN, 2, 4000);
  /* It goes on to answer from elsewhere, for a long time, also to another socket of ours. */
  for (uint16_t i = 0; i < 100; i++) {
    now += SECOND;
    assert_int_equal(carried(2, 50001) & WG_PAIRS_MOVED, 0);
    assert_int_equal(carried(3, 50002) & WG_PAIRS_MOVED, 0);
  }
  wg_pairs_settle(&pairs);
  /* Then only one of them is heard, after silences as long as keepalives are apart. */
  for (uint16_t i = 0; i < 10; i++) {
    now += 15 * SECOND;
    assert_int_equal(carried(3, 50002), 0);
  }
  check_out(WG_PAIRS_PROVEN, 2, 4000);
  assert_true(wg_pairs_uses(&pairs, 2));
  assert_true(wg_pairs_uses(&pairs, 3));
  assert_false(wg_pairs_uses(&pairs, 1));
}

static void test_proof_beats_what_was_heard(void **state) {
  (void)state;
  uint32_t hit = sent(0, 4000, false);
  assert_int_equal(carried(0, 50001), WG_PAIRS_NEW_SOURCE | WG_PAIRS_MOVED);
  check_out(WG_PAIRS_LISTENED, 0, 50001);
  unsigned meant = probe(0, 50001, 1, hit);
  assert_int_equal(meant, WG_PAIRS_MOVED | WG_PAIRS_NOW_PROVEN | WG_PAIRS_ANSWER);
  check_out(WG_PAIRS_PROVEN, 0, 4000);
  /* A later proof of another pair changes nothing. */
  uint32_t other = sent(0, 4002, false);
  assert_int_equal(probe(0, 50001, 2, other) & (WG_PAIRS_MOVED | WG_PAIRS_NOW_PROVEN), 0);
  check_out(WG_PAIRS_PROVEN, 0, 4000);
}

static void test_wrong_acknowledgements(void **state) {
  (void)state;
  assert_int_equal(probe(0, 4000, 1, 1) & WG_PAIRS_NOW_PROVEN, 0);
  uint32_t last = sent(0, 4000, false);
  assert_int_equal(probe(0, 4000, 2, last + 1) & WG_PAIRS_NOW_PROVEN, 0);
  assert_int_equal(probe(0, 4000, 3, UINT32_MAX) & WG_PAIRS_NOW_PROVEN, 0);
  check_out(WG_PAIRS_LISTENED, 0, 4000);
}

static void test_answers_end(void **state) {
  (void)state;
  for (uint32_t i = 1; i <= 6; i++)
    assert_int_equal((probe(0, 4000, i, 0) & WG_PAIRS_ANSWER) != 0, i <= WG_PAIRS_ANSWERS);
  /* From another source, or to another socket, they are counted anew. */
  assert_true(probe(0, 4001, 7, 0) & WG_PAIRS_ANSWER);
  assert_true(probe(5, 4000, 8, 0) & WG_PAIRS_ANSWER);
}

static void test_no_answer_to_an_answered_answer(void **state) {
  (void)state;
  uint32_t ours = sent(0, 4000, false);
  assert_true(probe(0, 4000, 1, ours) & WG_PAIRS_ANSWER);
  uint32_t answer = sent(0, 4000, true);
  assert_false(probe(0, 4000, 2, answer) & WG_PAIRS_ANSWER);
}

static bool suspect(uint32_t socket, uint16_t port) {
  wg_pair from = pair_of(socket, port);
  (void)carried(socket, port);
  return wg_pairs_suspect(&pairs, &from, now);
}

static void settle_at(uint16_t port) {
  uint32_t ours = sent(0, port, false);
  (void)probe(0, port, 1, ours);
  wg_pairs_settle(&pairs);
}

/* A peer whose NAT was rebooted, or that changed its network. */
static void test_roaming(void **state) {
  (void)state;
  settle_at(4000);
  now += 4 * SECOND;
  assert_false(suspect(0, 6000)); /* too early to tell */
  now += SECOND - 1;
  assert_false(suspect(0, 6000));
  now += 1;
  assert_true(suspect(0, 6000));
  check_out(WG_PAIRS_PROVEN, 0, 4000);
  assert_int_equal(pairs.asked.remote.port, 6000);
  assert_true(wg_pairs_ask(&pairs));
  uint32_t question = sent(0, 6000, false);
  /* It may answer from yet another port: what counts is where it reads. */
  assert_int_equal(probe(0, 6001, 9, question) & WG_PAIRS_MOVED, WG_PAIRS_MOVED);
  check_out(WG_PAIRS_PROVEN, 0, 6000);
  assert_false(wg_pairs_ask(&pairs));
  assert_false(wg_pairs_uses(&pairs, 9));
  /* Where it was before is no place of its any more. */
  now += 4 * SECOND;
  assert_false(suspect(0, 4000));
  now += SECOND;
  assert_true(suspect(0, 4000));
  check_out(WG_PAIRS_PROVEN, 0, 6000);
}

/* Who has seen a tag may send it from anywhere, and name the address of somebody else. */
static void test_only_who_answers_has_moved(void **state) {
  (void)state;
  settle_at(4000);
  uint32_t elsewhere = sent(0, 6000, false);
  for (unsigned i = 0; i < 20; i++) {
    now += 6 * SECOND;
    assert_int_equal(carried(0, 6000) & WG_PAIRS_MOVED, 0);
    assert_int_equal(probe(0, 6000, 100 + i, 0) & WG_PAIRS_MOVED, 0);
    assert_int_equal(probe(0, 6000, 200 + i, 77) & WG_PAIRS_MOVED, 0);
    /* What was sent there unasked does not count, nor an answer to another question. */
    assert_int_equal(probe(0, 6000, 300 + i, elsewhere) & WG_PAIRS_MOVED, 0);
  }
  assert_true(suspect(0, 7000));
  (void)sent(0, 7000, false);
  assert_int_equal(probe(0, 6000, 400, elsewhere) & WG_PAIRS_MOVED, 0);
  check_out(WG_PAIRS_PROVEN, 0, 4000);
}

static void test_questions_are_few(void **state) {
  (void)state;
  settle_at(4000);
  now += 60 * SECOND;
  unsigned asked = 0;
  for (unsigned i = 0; i < 100; i++) { /* for 9 s */
    now += 90000;
    if (suspect(0, (uint16_t)(6000 + i)))
      assert_true(wg_pairs_ask(&pairs));
    else if (!wg_pairs_ask(&pairs))
      continue;
    asked++;
  }
  assert_in_range(asked, 20, 30); /* thrice in 900 ms */
  assert_true(suspect(0, 6000) || now < pairs.ask_us);
  (void)carried(0, 4000); /* it is where it was */
  now += 4 * SECOND;
  assert_false(suspect(0, 6000));
}

/* Questions come at any time, and are answered: a few a second from each source. */
static void test_answers_go_on(void **state) {
  (void)state;
  settle_at(4000);
  for (uint32_t second = 1; second <= 5; second++) {
    now += SECOND;
    for (uint32_t i = 0; i < 6; i++)
      assert_int_equal((probe(0, 4000, second * 10 + i, 0) & WG_PAIRS_ANSWER) != 0,
                       i < WG_PAIRS_ANSWERS);
  }
  now += SECOND;
  assert_int_equal(probe(0, 4000, 99, 12345) & WG_PAIRS_ANSWER, 0);
}

static void test_log_is_bounded(void **state) {
  (void)state;
  for (uint32_t i = 1; i <= 3 * WG_PAIRS_SENT + 5; i++) {
    assert_int_equal(sent_as(i, i % 7, (uint16_t)(1024 + i % 60000), false), i);
    const wg_pair *latest = wg_pairs_sent(&pairs, i);
    assert_non_null(latest);
    assert_int_equal(latest->remote.port, 1024 + i % 60000);
    /* All of the first round, and always the last ones. */
    uint32_t oldest = i >= WG_PAIRS_SENT ? i - WG_PAIRS_SENT + 1 : 1;
    assert_non_null(wg_pairs_sent(&pairs, oldest));
    assert_int_equal(wg_pairs_sent(&pairs, oldest)->socket, oldest % 7);
    assert_null(wg_pairs_sent(&pairs, oldest - 1));
  }
  assert_int_equal(pairs.sent_room, WG_PAIRS_SENT);
}

/* Who names somebody else's address must not be able to say that it read what went there. */
static void test_numbers_cannot_be_foretold(void **state) {
  (void)state;
  uint32_t shown = sent_as(0xabcde123, 0, 4000, false);
  uint32_t victims = sent_as(0x12345678, 0, 5000, false);
  assert_int_equal(shown, 0xabcde001);
  assert_int_equal(victims, 0x12345002);
  for (uint32_t i = 1; i <= WG_PAIRS_WRONG; i++)
    assert_int_equal(probe(0, 4000, i, shown + i) & WG_PAIRS_NOW_PROVEN, 0);
  assert_int_equal(probe(0, 4000, 999, victims) & WG_PAIRS_NOW_PROVEN, 0);
  check_out(WG_PAIRS_LISTENED, 0, 4000);
}

static void test_no_probe_has_the_number_0(void **state) {
  (void)state;
  for (uint32_t i = 1; i <= WG_PAIRS_SENT; i++)
    assert_int_not_equal(sent(0, 4000, false), 0);
  assert_non_null(wg_pairs_sent(&pairs, WG_PAIRS_SENT));
}

static void test_sources_are_bounded(void **state) {
  (void)state;
  for (uint32_t i = 0; i < WG_PAIRS_HEARD; i++)
    assert_true(probe(0, (uint16_t)(2000 + i), i + 1, 0) & WG_PAIRS_ANSWER);
  assert_int_equal(probe(0, 1999, 9999, 0), 0);
  assert_int_equal(pairs.heard_count, WG_PAIRS_HEARD);
  wg_pair in = pair_of(0, 2000), out = pair_of(0, 1999);
  assert_true(wg_pairs_heard_from(&pairs, &in.remote));
  assert_false(wg_pairs_heard_from(&pairs, &out.remote));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_first_heard_then_proven, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_strict_nat, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_proof_beats_what_was_heard, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_wrong_acknowledgements, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_answers_end, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_no_answer_to_an_answered_answer, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_roaming, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_only_who_answers_has_moved, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_questions_are_few, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_answers_go_on, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_log_is_bounded, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_numbers_cannot_be_foretold, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_no_probe_has_the_number_0, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_sources_are_bounded, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
