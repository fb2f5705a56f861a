/* What a punched stream begins with. */
#include "fuzz_target.h"
#include "wire/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t tag[WG_TAG_LEN];
  if (wg_preamble_read(data, size, tag) == WARP_OK && size != WG_PREAMBLE_LEN) {
    abort();
  }
  return 0;
}
