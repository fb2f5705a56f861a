/* What a peer says of its relay. What is taken is written again as it was read. */
#include "fuzz_target.h"
#include "plugins/turn/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t bytes[TURN_MESSAGE_MAX];
  warp_addr addr;
  bool in_need;
  if (wg_turn_read_relayed(data, size, &addr) == WARP_OK) {
    size_t len = wg_turn_write_relayed(&addr, bytes);
    if (len > size || memcmp(bytes, data, len) != 0)
      abort();
  }
  (void)wg_turn_read_wanted(data, size, &in_need);
  return 0;
}
