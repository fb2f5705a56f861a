/* A large SCTP packet, cut into what the pipe takes: every piece fits, and there is an end. */
#include "fuzz_target.h"
#include "link/split.h"

#include <stdlib.h>

enum { CAP = 1100, CHUNK_MIN = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t piece[CAP];
  wg_split split = wg_split_begin(data, size);
  size_t pieces = 0, len;
  while ((len = wg_split_next(&split, piece, sizeof piece)) > 0) {
    if (len > sizeof piece || ++pieces > size / CHUNK_MIN) {
      abort();
    }
  }
  return 0;
}
