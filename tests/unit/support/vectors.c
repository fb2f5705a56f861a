#include "vectors.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

vector vector_load_from(const char *fixtures, const char *name) {
  vector out = {.len = 0};
  char path[1024];
  char line[1024];
  snprintf(path, sizeof path, "%s/vectors/%s.hex", fixtures, name);
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    fail_msg("no vector %s", path);
  }
  while (fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "#\r\n")] = '\0';
    for (const char *c = line; *c != '\0';) {
      char pair[3] = {c[0], c[1], '\0'};
      if (*c == ' ') {
        c++;
        continue;
      }
      assert_true(out.len < VECTOR_MAX && wg_hex_decode(pair, &out.bytes[out.len++], 1));
      c += 2;
    }
  }
  fclose(file);
  assert_true(out.len > 0);
  return out;
}

static void give(const uint8_t *bytes, size_t len, hostile_decoder decoder, int changed) {
  uint8_t *exact = malloc(len > 0 ? len : 1);
  assert_non_null(exact);
  if (len > 0) {
    memcpy(exact, bytes, len);
  }
  /* With no bytes at all, the end of the block: nothing may be read there. */
  decoder(len > 0 ? exact : exact + 1, len, changed);
  free(exact);
}

void hostile_variants(const uint8_t *bytes, size_t len, hostile_decoder decoder) {
  static const uint8_t flips[] = {0xff, 0x01, 0x80};
  uint8_t changed[VECTOR_MAX];
  assert_true(len <= sizeof changed);
  for (size_t cut = 0; cut < len; cut++) {
    give(bytes, cut, decoder, 0);
  }
  memcpy(changed, bytes, len);
  for (size_t i = 0; i < len; i++) {
    for (size_t f = 0; f < sizeof flips; f++) {
      changed[i] = bytes[i] ^ flips[f];
      give(changed, len, decoder, 1);
    }
    changed[i] = bytes[i];
  }
}
