/* Asking for the time in virtual time: servers that are right, wrong, slow, silent, refusing; lost
 * and repeated packets, and packets that strangers send. */
#include "machine/clock_sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000, RTT_US = 40 * MS, FLIGHTS = 64 };
/* UTC when the monotonic clock was 0. */
static const int64_t epoch_us = INT64_C(1700000000000000);
static const uint64_t begin_us = 7000 * MS;

/* How a server behaves, and the path to it. */
typedef struct server {
  int64_t lie_us;
  uint64_t there_us, back_us, first_late_us; /* first_late_us: of the first request, as by ARP */
  unsigned lose_first;                       /* so many requests */
  bool silent;
  uint8_t leap, stratum;
  uint32_t kiss, delay, dispersion;
  bool kiss_second; /* the kiss code comes with the second answer */
  unsigned asked, answered;
} server;

typedef struct flight {
  bool used;
  size_t from;
  uint64_t at_us;
  uint8_t bytes[WG_NTP_LEN];
} flight;

static server servers[WG_CLOCK_SERVERS];
static flight flights[FLIGHTS];
static uint64_t now_us, random_state;
static wg_clock_sync sync;

static int draw(void *arg, void *out, size_t len) {
  (void)arg;
  random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407U;
  memcpy(out, &random_state, len);
  return WARP_OK;
}

static int reset(void **state) {
  (void)state;
  memset(servers, 0, sizeof servers);
  memset(flights, 0, sizeof flights);
  for (size_t i = 0; i < WG_CLOCK_SERVERS; i++)
    servers[i] = (server){.there_us = RTT_US / 2, .back_us = RTT_US / 2, .stratum = 2};
  now_us = begin_us;
  random_state = 1;
  return 0;
}

static void fly(size_t from, const uint8_t *bytes, uint64_t at_us) {
  for (size_t i = 0; i < FLIGHTS; i++) {
    if (flights[i].used)
      continue;
    flights[i] = (flight){.used = true, .from = from, .at_us = at_us};
    memcpy(flights[i].bytes, bytes, WG_NTP_LEN);
    return;
  }
  fail_msg("too many packets");
}

/* The server's answer to a request, on its way back. */
static void serve(size_t number, const uint8_t *request) {
  server *self = &servers[number];
  wg_ntp_packet asked;
  uint8_t out[WG_NTP_LEN];
  assert_int_equal(wg_ntp_decode(request, WG_NTP_LEN, &asked), WARP_OK);
  assert_int_equal(asked.mode, WG_NTP_CLIENT);
  unsigned turn = self->asked++;
  if (self->silent || turn < self->lose_first)
    return;
  uint64_t arrives_us = now_us + self->there_us + (turn == 0 ? self->first_late_us : 0);
  uint64_t time = wg_ntp_from_utc_us(epoch_us + (int64_t)arrives_us + self->lie_us);
  bool kissed = self->kiss != 0 && (!self->kiss_second || self->answered > 0);
  wg_ntp_packet reply = {.leap = self->leap,
                         .version = WG_NTP_VERSION,
                         .mode = WG_NTP_SERVER,
                         .stratum = kissed ? 0 : self->stratum,
                         .precision = -20,
                         .root_delay = self->delay,
                         .root_dispersion = self->dispersion,
                         .reference_id = kissed ? self->kiss : 0,
                         .origin = asked.transmit,
                         .receive = time,
                         .transmit = time};
  wg_ntp_encode(&reply, out);
  self->answered++;
  fly(number, out, arrives_us + self->back_us);
}

static bool start_with(size_t count, unsigned samples, uint32_t spacing_ms, uint32_t timeout_ms) {
  wg_clock_options options = {.server_count = count,
                              .samples = samples,
                              .spacing_ms = spacing_ms,
                              .timeout_ms = timeout_ms,
                              .random = draw};
  return wg_clock_sync_start(&sync, &options, now_us) == WARP_OK;
}

static void send_all(void) {
  size_t to;
  const uint8_t *bytes;
  while (wg_clock_sync_output(&sync, now_us, &to, &bytes))
    serve(to, bytes);
}

static flight *next_flight(void) {
  flight *next = NULL;
  for (size_t i = 0; i < FLIGHTS; i++) {
    if (flights[i].used && (next == NULL || flights[i].at_us < next->at_us))
      next = &flights[i];
  }
  return next;
}

static void run(void) {
  send_all();
  while (!sync.done) {
    flight *arriving = next_flight();
    uint64_t deadline_us = wg_clock_sync_deadline(&sync);
    if (arriving != NULL && arriving->at_us <= deadline_us) {
      now_us = arriving->at_us;
      arriving->used = false;
      (void)wg_clock_sync_input(&sync, arriving->from, arriving->bytes, WG_NTP_LEN, now_us);
    } else {
      now_us = deadline_us;
    }
    send_all();
  }
}

static int64_t error_us(void) {
  return llabs(sync.result.epoch_us - epoch_us);
}

/* ---- servers that answer --------------------------------------------------------------------- */

static void test_three_servers(void **state) {
  (void)state;
  assert_true(start_with(3, 2, 0, 2000));
  run();
  assert_int_equal(sync.result.status, WARP_OK);
  assert_int_equal(now_us - begin_us, 2 * RTT_US);
  assert_in_range(error_us(), 0, 2);
  assert_in_range(sync.result.uncertainty_us, RTT_US / 2, RTT_US / 2 + 10);
  assert_in_range(sync.result.agreed, 2, 3);
  assert_int_equal(sync.rejected, 0);
  assert_true(wg_clock_sync_deadline(&sync) == UINT64_MAX);
}

/* The truth lies inside what is said, whatever the path: unequal ways, first exchanges that are
 * late, servers of many distances. */
static void test_the_truth_lies_inside(void **state) {
  (void)state;
  for (unsigned seed = 1; seed < 200; seed++) {
    reset(NULL);
    random_state = seed;
    size_t count = 1 + seed % WG_CLOCK_SERVERS;
    for (size_t i = 0; i < count; i++) {
      uint32_t drawn[4];
      draw(NULL, drawn, 8);
      draw(NULL, &drawn[2], 8);
      servers[i].there_us = drawn[0] % (100 * MS);
      servers[i].back_us = drawn[1] % (100 * MS);
      servers[i].first_late_us = drawn[2] % (50 * MS);
      servers[i].dispersion = drawn[3] % 1000;
    }
    assert_true(start_with(count, 2, 0, 2000));
    run();
    assert_int_equal(sync.result.status, WARP_OK);
    assert_in_range(error_us(), 0, sync.result.uncertainty_us + 2);
    assert_in_range(sync.result.uncertainty_us, 1, 200 * MS);
  }
}

/* The first exchange waits for ARP on one of its two ways: the second one counts. */
static void test_first_exchange_is_late(void **state) {
  (void)state;
  servers[0].first_late_us = 40 * MS;
  assert_true(start_with(1, 2, 0, 2000));
  run();
  assert_in_range(error_us(), 0, 2);
  assert_in_range(sync.result.uncertainty_us, RTT_US / 2, RTT_US / 2 + 10);
}

static void test_spaced_samples(void **state) {
  (void)state;
  assert_true(start_with(3, 4, 2000, 10000));
  run();
  assert_int_equal(sync.result.status, WARP_OK);
  assert_int_equal(now_us - begin_us, 4 * RTT_US + 3 * 2000 * MS);
  assert_int_equal(servers[0].asked, 4);
}

static void test_lost_packets(void **state) {
  (void)state;
  for (size_t i = 0; i < 3; i++)
    servers[i].lose_first = 2;
  assert_true(start_with(3, 2, 0, 4000));
  run();
  assert_int_equal(sync.result.status, WARP_OK);
  assert_int_equal(now_us - begin_us, 1500 * MS + 2 * RTT_US);
  assert_in_range(error_us(), 0, 2);
}

/* A path of 1.2 s: answers to requests that were repeated meanwhile still count. */
static void test_slow_path(void **state) {
  (void)state;
  servers[0].there_us = servers[0].back_us = 600 * MS;
  assert_true(start_with(1, 2, 0, 4000));
  run();
  assert_int_equal(sync.result.status, WARP_OK);
  assert_in_range(error_us(), 0, 2);
  assert_in_range(sync.result.uncertainty_us, 600 * MS, 601 * MS);
}

/* ---- wrong ones ------------------------------------------------------------------------------ */

static void test_outvoted(void **state) {
  (void)state;
  static const int64_t lies_us[] = {50 * MS, -700 * MS, INT64_C(86400000000), -epoch_us};
  for (size_t i = 0; i < sizeof lies_us / sizeof lies_us[0]; i++) {
    for (size_t liar = 0; liar < 3; liar++) {
      reset(NULL);
      servers[liar].lie_us = lies_us[i];
      servers[liar].there_us = servers[liar].back_us = 1 * MS; /* it answers first */
      assert_true(start_with(3, 2, 0, 2000));
      run();
      assert_int_equal(sync.result.status, WARP_OK);
      assert_int_equal(sync.result.agreed, 2);
      assert_int_equal(sync.result.answered, 3);
      assert_in_range(error_us(), 0, 2);
    }
  }
}

/* A server that says it may be wrong by nearly a second agrees with everybody and moves nobody. */
static void test_vague_server(void **state) {
  (void)state;
  servers[1].lie_us = 800 * MS;
  servers[1].dispersion = 62000;
  assert_true(start_with(3, 2, 0, 2000));
  run();
  assert_int_equal(sync.result.status, WARP_OK);
  assert_in_range(error_us(), 0, RTT_US / 2);
  assert_in_range(sync.result.uncertainty_us, 1, 2 * RTT_US);
}

static void test_no_majority(void **state) {
  (void)state;
  servers[1].lie_us = 500 * MS;
  assert_true(start_with(2, 2, 0, 2000));
  run();
  assert_int_equal(sync.result.status, WARP_UNTRUSTED);
  reset(NULL);
  for (size_t i = 0; i < 4; i++)
    servers[i].lie_us = (int64_t)(i / 2) * 500 * MS; /* two against two */
  assert_true(start_with(4, 2, 0, 2000));
  run();
  assert_int_equal(sync.result.status, WARP_UNTRUSTED);
}

static void test_dead_servers(void **state) {
  (void)state;
  servers[0].silent = true;
  assert_true(start_with(3, 2, 0, 2000));
  run();
  assert_int_equal(sync.result.status, WARP_OK);
  assert_int_equal(now_us - begin_us, 2 * RTT_US);
  reset(NULL);
  servers[0].silent = servers[1].silent =
      true; /* one is no majority of three: they get their time */
  assert_true(start_with(3, 2, 0, 2000));
  run();
  assert_int_equal(sync.result.status, WARP_OK);
  assert_int_equal(sync.result.agreed, 1);
  assert_int_equal(now_us - begin_us, 2000 * MS);
  reset(NULL);
  servers[0].silent = true;
  assert_true(start_with(1, 2, 0, 300000));
  run();
  assert_int_equal(sync.result.status, WARP_TIMEOUT);
  assert_int_equal(servers[0].asked, WG_CLOCK_REQUESTS);
}

/* ---- what servers say of themselves ---------------------------------------------------------- */

static void expect_unfit(void) {
  assert_true(start_with(1, 2, 0, 2000));
  run();
  assert_int_equal(sync.result.status, WARP_REFUSED);
  assert_int_equal(sync.servers[0].answer, WG_CLOCK_UNFIT);
  assert_int_equal(servers[0].asked, 1);
  reset(NULL);
}

static void test_unfit_servers(void **state) {
  (void)state;
  servers[0].leap = WG_NTP_LEAP_UNKNOWN;
  expect_unfit();
  servers[0].stratum = WG_NTP_STRATUM_UNSYNCHRONIZED;
  expect_unfit();
  servers[0].stratum = 200;
  expect_unfit();
  servers[0].dispersion = 2 << 16;
  expect_unfit();
  servers[0].delay = 3 << 16;
  expect_unfit();
  servers[0].kiss = 0x494E4954; /* INIT */
  expect_unfit();
}

static void test_kisses(void **state) {
  (void)state;
  servers[0].kiss = WG_NTP_KISS_DENY;
  servers[0].kiss_second = true;
  servers[1].kiss = WG_NTP_KISS_RSTR;
  servers[2].kiss = WG_NTP_KISS_RATE;
  servers[2].kiss_second = true;
  assert_true(start_with(3, 2, 0, 2000));
  run();
  assert_int_equal(sync.servers[0].answer, WG_CLOCK_BARRED);
  assert_int_equal(sync.servers[1].answer, WG_CLOCK_BARRED);
  assert_int_equal(sync.servers[2].answer, WG_CLOCK_BUSY);
  /* What the busy one said before counts, what the others said does not. */
  assert_int_equal(sync.result.status, WARP_OK);
  assert_int_equal(sync.result.answered, 1);
  assert_int_equal(servers[0].asked + servers[1].asked + servers[2].asked, 5);
  assert_int_equal(now_us - begin_us, 2 * RTT_US);
}

/* ---- strangers ------------------------------------------------------------------------------- */

static wg_ntp_packet answer_to(const uint8_t *request) {
  wg_ntp_packet asked,
      reply = {.version = 4, .mode = WG_NTP_SERVER, .stratum = 2, .precision = -20};
  assert_int_equal(wg_ntp_decode(request, WG_NTP_LEN, &asked), WARP_OK);
  reply.origin = asked.transmit;
  reply.receive = reply.transmit = wg_ntp_from_utc_us(epoch_us + (int64_t)now_us + RTT_US / 2);
  return reply;
}

static bool give(const wg_ntp_packet *packet, size_t from) {
  uint8_t bytes[WG_NTP_LEN];
  wg_ntp_encode(packet, bytes);
  return wg_clock_sync_input(&sync, from, bytes, sizeof bytes, now_us + RTT_US);
}

static void test_strangers(void **state) {
  (void)state;
  size_t to;
  const uint8_t *bytes;
  assert_true(start_with(1, 2, 0, 2000));
  assert_true(wg_clock_sync_output(&sync, now_us, &to, &bytes));
  wg_ntp_packet good = answer_to(bytes), bad = good;
  assert_true(good.origin != 0);
  bad.origin ^= 1;
  assert_false(give(&bad, 0));
  bad.origin = 0;
  assert_false(give(&bad, 0));
  bad = good;
  bad.mode = WG_NTP_CLIENT;
  assert_false(give(&bad, 0));
  bad = good;
  bad.version = 2;
  assert_false(give(&bad, 0));
  assert_false(give(&good, 1));
  assert_false(wg_clock_sync_input(&sync, 0, bytes, WG_NTP_LEN - 1, now_us));
  assert_int_equal(sync.rejected, 5);
  assert_int_equal(sync.servers[0].samples, 0);
  assert_true(give(&good, 0));
  assert_false(give(&good, 0)); /* a repetition */
  assert_int_equal(sync.servers[0].samples, 1);
  assert_false(sync.done);
}

/* Times that cannot be: the server sent before it received, or held the request for longer than it
 * was gone, or does not say when. */
static void test_impossible_times(void **state) {
  (void)state;
  for (unsigned way = 0; way < 4; way++) {
    size_t to;
    const uint8_t *bytes;
    reset(NULL);
    assert_true(start_with(1, 1, 0, 2000));
    assert_true(wg_clock_sync_output(&sync, now_us, &to, &bytes));
    wg_ntp_packet packet = answer_to(bytes);
    if (way == 0)
      packet.transmit = packet.receive - (UINT64_C(1) << 24);
    else if (way == 1)
      packet.transmit = packet.receive + (UINT64_C(1) << 32);
    else if (way == 2)
      packet.transmit = 0;
    else
      packet.receive = 0;
    assert_true(give(&packet, 0));
    assert_true(sync.done);
    assert_int_equal(sync.result.status, WARP_REFUSED);
  }
}

static void test_invalid_options(void **state) {
  (void)state;
  assert_false(start_with(0, 2, 0, 2000));
  assert_false(start_with(WG_CLOCK_SERVERS + 1, 2, 0, 2000));
  assert_false(start_with(1, 0, 0, 2000));
  assert_false(start_with(1, WG_CLOCK_SAMPLES_MAX + 1, 0, 2000));
  assert_int_equal(
      wg_clock_sync_start(&sync, &(wg_clock_options){.server_count = 1, .samples = 1}, now_us),
      WARP_INVALID);
  assert_true(sync.done);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_three_servers, reset),
      cmocka_unit_test_setup(test_the_truth_lies_inside, reset),
      cmocka_unit_test_setup(test_first_exchange_is_late, reset),
      cmocka_unit_test_setup(test_spaced_samples, reset),
      cmocka_unit_test_setup(test_lost_packets, reset),
      cmocka_unit_test_setup(test_slow_path, reset),
      cmocka_unit_test_setup(test_outvoted, reset),
      cmocka_unit_test_setup(test_vague_server, reset),
      cmocka_unit_test_setup(test_no_majority, reset),
      cmocka_unit_test_setup(test_dead_servers, reset),
      cmocka_unit_test_setup(test_unfit_servers, reset),
      cmocka_unit_test_setup(test_kisses, reset),
      cmocka_unit_test_setup(test_strangers, reset),
      cmocka_unit_test_setup(test_impossible_times, reset),
      cmocka_unit_test_setup(test_invalid_options, reset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
