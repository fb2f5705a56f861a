#include "support.h"

#include <errno.h>
#include <string.h>

static const ns_impairment everything = {.delay_ms = 20,
                                         .jitter_ms = 5,
                                         .loss = 0.01,
                                         .duplicate = 0.02,
                                         .reorder = 0.25,
                                         .rate_mbit = 10};

/* What `tc qdisc replace dev X root netem limit 186 delay 20ms 5ms loss 1% duplicate 2% reorder 25%
 * gap 1 rate 10mbit` sends, with the times in nanoseconds and with a seed. Little endian. */
static void asks_in_the_kernels_words(void **state) {
  (void)state;
  static const uint8_t expected[] = {0x90, 0,    0,    0,    0x24, 0,    0x05, 0x05, 1,
                                     0,    0,    0,    0,    0,    0,    0, /* nlmsghdr
                                                                             */
                                     0,    0,    0,    0,    7,    0,    0,    0,    0,
                                     0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0,    0,
                                     0,    0, /* tcmsg */
                                     10,   0,    1,    0,    'n',  'e',  't',  'e',  'm',
                                     0,    0,    0,       /* TCA_KIND */
                                     0x60, 0,    2,    0, /* OPTIONS */
                                     0,    0,    0,    0,    186,  0,    0,    0,    0x29,
                                     0x5c, 0x8f, 0x02, /* loss */
                                     1,    0,    0,    0,    0x52, 0xb8, 0x1e, 0x05, 0,
                                     0,    0,    0, /* duplicate */
                                     12,   0,    10,   0,    0x00, 0x2d, 0x31, 0x01, 0,
                                     0,    0,    0, /* LATENCY64 */
                                     12,   0,    11,   0,    0x40, 0x4b, 0x4c, 0x00, 0,
                                     0,    0,    0, /* JITTER64 */
                                     12,   0,    3,    0,    0,    0,    0,    0x40, 0,
                                     0,    0,    0, /* REORDER */
                                     20,   0,    6,    0,    0xd0, 0x12, 0x13, 0,    0,
                                     0,    0,    0,    0,    0,    0,    0,    0,    0,
                                     0,    0, /* RATE */
                                     12,   0,    14,   0,    0x88, 0x77, 0x66, 0x55, 0x44,
                                     0x33, 0x22, 0x11}; /* PRNG_SEED */
  ns_host host = {.name = "none"};
  ns_batch batch;
  ns_begin(&batch, &host);
  ns_add_netem(&batch, 7, &everything, 0x1122334455667788);
  assert_false(batch.overflow);
  assert_int_equal(batch.len, sizeof expected);
  assert_memory_equal(batch.bytes, expected, sizeof expected);
}

/* The attribute among the options of the only request, or NULL. */
static const uint8_t *option(const ns_batch *batch, unsigned type) {
  enum { ATTRIBUTES = 16 + 20 + 12 + 4 + 24 };
  for (size_t at = ATTRIBUTES; at + 4 <= batch->len;) {
    const uint8_t *p = batch->bytes + at;
    if ((p[2] | (unsigned)p[3] << 8) == type)
      return p + 4;
    at += ((p[0] | (size_t)p[1] << 8) + 3) & ~(size_t)3;
  }
  return NULL;
}

enum { REORDER = 3, RATE = 6, RATE64 = 8 };

static void asks_only_for_what_is_wanted(void **state) {
  (void)state;
  enum { LIMIT_AT = 16 + 20 + 12 + 4 + 4, GAP_AT = LIMIT_AT + 8 };
  ns_host host = {.name = "none"};
  ns_batch batch;
  uint32_t limit, gap;
  ns_begin(&batch, &host);
  ns_add_netem(&batch, 7, &(ns_impairment){.delay_ms = 1}, 1);
  memcpy(&limit, batch.bytes + LIMIT_AT, sizeof limit);
  memcpy(&gap, batch.bytes + GAP_AT, sizeof gap);
  assert_int_equal(limit, NS_SWITCH_QUEUE);
  assert_int_equal(gap, 0);
  assert_null(option(&batch, REORDER));
  assert_null(option(&batch, RATE));
  assert_null(option(&batch, RATE64));
}

static void fast_links_need_the_wide_rate(void **state) {
  (void)state;
  ns_host host = {.name = "none"};
  ns_batch batch;
  uint32_t narrow;
  uint64_t wide;
  ns_begin(&batch, &host);
  ns_add_netem(&batch, 7, &(ns_impairment){.rate_mbit = 40000}, 1);
  assert_non_null(option(&batch, RATE));
  assert_non_null(option(&batch, RATE64));
  memcpy(&narrow, option(&batch, RATE), sizeof narrow);
  memcpy(&wide, option(&batch, RATE64), sizeof wide);
  assert_int_equal(narrow, UINT32_MAX);
  assert_true(wide == 5000000000);
}

/* Where the kernel has netem the link is slow afterwards; where it has not, the line says so. */
static void works_or_names_what_is_missing(void **state) {
  (void)state;
  small_net net;
  ns_error error = {.text = ""};
  small_net_open(&net);
  int status = ns_netem(&net.w, W_TO_A, &everything, 1, &error);
  if (status) {
    assert_int_equal(status, -EOPNOTSUPP);
    assert_non_null(strstr(error.text, "sch_netem"));
    assert_null(strchr(error.text, '\n'));
  }
  small_net_close(&net);
}

static int group(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(asks_in_the_kernels_words),
      cmocka_unit_test(asks_only_for_what_is_wanted),
      cmocka_unit_test(fast_links_need_the_wide_rate),
      cmocka_unit_test(works_or_names_what_is_missing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return run_in_sandbox(group);
}
