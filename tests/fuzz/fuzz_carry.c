/* Probes and carried datagrams on a shared socket. */
#include "fuzz_target.h"
#include "wire/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t tag[WG_TAG_LEN];
  bool carry;
  const uint8_t *payload;
  size_t len;
  if (wg_carry_open(data, size, tag, &carry, &payload, &len) == WARP_OK &&
      (carry != (len > 0) || len + WG_CARRY_HEADER_LEN != size)) {
    abort();
  }
  return 0;
}
