/* The axes as one line and back, and the cone that they amount to. */
#include "nat/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static warp_nat_axes parse(const char *text) {
  warp_nat_axes axes = {0};
  if (wg_axes_parse(text, &axes) != WARP_OK) {
    fail_msg("does not parse: %s", text);
  }
  return axes;
}

static void test_every_combination_and_back(void **state) {
  (void)state;
  char text[WG_AXES_STRLEN], again[WG_AXES_STRLEN];
  for (uint8_t mapping = 1; mapping <= 3; mapping++) {
    for (uint8_t filtering = 0; filtering <= 3; filtering++) {
      for (uint8_t allocation = 0; allocation <= 3; allocation++) {
        warp_nat_axes axes = {.translation = WARP_TRANSLATION_NAT,
                              .mapping = mapping,
                              .filtering = filtering,
                              .allocation = allocation,
                              .step = allocation == WARP_ALLOC_SEQUENTIAL ? -32767 : 0,
                              .confidence = 77};
        warp_nat_axes back = parse(wg_axes_format(&axes, text));
        assert_int_equal(back.translation, axes.translation);
        assert_int_equal(back.mapping, mapping);
        assert_int_equal(back.filtering, filtering);
        assert_int_equal(back.allocation, allocation);
        assert_int_equal(back.step, axes.step);
        assert_int_equal(back.confidence, 0);
        assert_string_equal(wg_axes_format(&back, again), text);
      }
    }
  }
}

/* clang-format off */
#define AXES(how, map, filter, alloc, by) {.translation = WARP_TRANSLATION_##how, \
    .mapping = map, .filtering = filter, .allocation = alloc, .step = by}
/* clang-format on */

static void test_texts(void **state) {
  (void)state;
  static const struct {
    warp_nat_axes axes;
    const char *text, *cone;
  } rows[] = {
      {{0}, "?/?", "unknown"},
      {AXES(NAT, 1, 3, WARP_ALLOC_RANDOM, 0), "ei/apd, random", "port-restricted"},
      {AXES(NAT, 1, 1, WARP_ALLOC_PRESERVING, 0), "ei/ei, preserving", "full-cone"},
      {AXES(NAT, 1, 2, WARP_ALLOC_UNKNOWN, 0), "ei/ad", "restricted"},
      {AXES(NAT, 1, 0, WARP_ALLOC_RANDOM, 0), "ei/?, random", "unknown"},
      {AXES(NAT, 3, 3, WARP_ALLOC_SEQUENTIAL, 1), "apd/apd, sequential:1", "symmetric"},
      {AXES(NAT, 2, 0, WARP_ALLOC_SEQUENTIAL, -2), "ad/?, sequential:-2", "symmetric"},
      {AXES(NONE, 1, 1, WARP_ALLOC_PRESERVING, 0), "none/ei", "open"},
      {AXES(NONE, 1, 3, WARP_ALLOC_PRESERVING, 0), "none/apd", "firewall"},
      {AXES(NONE, 1, 0, WARP_ALLOC_PRESERVING, 0), "none/?", "unknown"},
      {AXES(NAT, 9, 9, 9, 0), "?/?, ?", "unknown"}, /* never out of range */
  };
  char text[WG_AXES_STRLEN];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_string_equal(wg_axes_format(&rows[i].axes, text), rows[i].text);
    assert_string_equal(wg_axes_cone(&rows[i].axes), rows[i].cone);
  }
}

static void test_parsing(void **state) {
  (void)state;
  warp_nat_axes axes = parse("ei/apd,random");
  assert_int_equal(axes.allocation, WARP_ALLOC_RANDOM);
  axes = parse("apd/apd,   sequential");
  assert_int_equal(axes.step, 1);
  axes = parse("none/ad");
  assert_int_equal(axes.translation, WARP_TRANSLATION_NONE);
  assert_int_equal(axes.mapping, WARP_NAT_ENDPOINT_INDEPENDENT);
  assert_int_equal(axes.allocation, WARP_ALLOC_PRESERVING);
  axes = parse("?/?");
  assert_int_equal(axes.translation, WARP_TRANSLATION_UNKNOWN);

  static const char *const bad[] = {
      "",
      "ei",
      "ei/",
      "/ei",
      "ei/ei,",
      "ei/ei, x",
      "ei/ei random",
      "EI/EI",
      "ei/ei, random:1",
      "e/ei",
      "eiei/ei",
      "none",
      "none/ei, random",
      "nonesuch/ei",
      "ei/ei, sequential:",
      "ei/ei, sequential:x",
      "ei/ei, sequential:1x",
      "ei/ei, sequential:32768",
      "ei/ei/ei",
      "ei/apd, preserving ",
  };
  axes.confidence = 42;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    if (wg_axes_parse(bad[i], &axes) != WARP_INVALID) {
      fail_msg("taken for axes: %s", bad[i]);
    }
    assert_int_equal(axes.confidence, 42); /* untouched */
  }
}

static void test_names(void **state) {
  (void)state;
  assert_string_equal(wg_dependence_name(WARP_NAT_ENDPOINT_INDEPENDENT), "ei");
  assert_string_equal(wg_dependence_name(WARP_NAT_ADDRESS_DEPENDENT), "ad");
  assert_string_equal(wg_dependence_name(WARP_NAT_ADDRESS_AND_PORT_DEPENDENT), "apd");
  assert_string_equal(wg_dependence_name(77), "?");
  assert_string_equal(wg_dependence_text(WARP_NAT_ADDRESS_DEPENDENT), "address-dependent");
  assert_string_equal(wg_dependence_text(77), "unknown");
  assert_string_equal(wg_allocation_name(WARP_ALLOC_SEQUENTIAL), "sequential");
  assert_string_equal(wg_allocation_name(77), "?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_combination_and_back),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_parsing),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
