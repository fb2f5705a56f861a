#include "pipe/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <warpgate/warpgate.h>

/* A hostile message must not hold the loop up: PCRE2 counts the tries of a match, how deeply it
 * backtracks, and its memory in KiB. 100,000 tries are a few milliseconds. */
enum { TRIES_MAX = 100000, DEPTH_MAX = 10000, HEAP_MAX_KIB = 1024, NESTING_MAX = 50 };

struct wg_pattern {
  pcre2_code *code;
  pcre2_match_data *data;
  pcre2_match_context *limits;
};

static pcre2_code *compile(const char *text, size_t len, int *error) {
  pcre2_compile_context *context = pcre2_compile_context_create(NULL);
  if (context == NULL) {
    *error = PCRE2_ERROR_NOMEMORY;
    return NULL;
  }
  pcre2_set_parens_nest_limit(context, NESTING_MAX);
  size_t at = 0;
  pcre2_code *code =
      pcre2_compile((PCRE2_SPTR)text, len, PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOTALL,
                    error, &at, context);
  pcre2_compile_context_free(context);
  return code;
}

int wg_pattern_new(const char *text, size_t len, wg_pattern **out) {
  if (len > WARP_PATTERN_MAX) {
    return WARP_TOO_BIG;
  }
  wg_pattern *pattern = calloc(1, sizeof *pattern);
  if (pattern == NULL) {
    return WARP_NOMEM;
  }
  int error = 0;
  pattern->code = compile(text, len, &error);
  if (pattern->code == NULL) {
    free(pattern);
    return error == PCRE2_ERROR_NOMEMORY || error == PCRE2_ERROR_HEAP_FAILED ? WARP_NOMEM
                                                                             : WARP_INVALID;
  }
  pattern->data = pcre2_match_data_create(1, NULL);
  pattern->limits = pcre2_match_context_create(NULL);
  if (pattern->data == NULL || pattern->limits == NULL) {
    wg_pattern_free(pattern);
    return WARP_NOMEM;
  }
  pcre2_set_match_limit(pattern->limits, TRIES_MAX);
  pcre2_set_depth_limit(pattern->limits, DEPTH_MAX);
  pcre2_set_heap_limit(pattern->limits, HEAP_MAX_KIB);
  *out = pattern;
  return WARP_OK;
}

void wg_pattern_free(wg_pattern *pattern) {
  if (pattern != NULL) {
    pcre2_match_data_free(pattern->data);
    pcre2_match_context_free(pattern->limits);
    pcre2_code_free(pattern->code);
    free(pattern);
  }
}

bool wg_pattern_matches(const wg_pattern *pattern, const void *data, size_t len) {
  return pcre2_match(pattern->code, (PCRE2_SPTR)(len > 0 ? data : ""), len, 0, 0, pattern->data,
                     pattern->limits) >= 0;
}
