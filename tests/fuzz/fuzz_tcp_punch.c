/* What a peer says while it punches over TCP. What is taken is written again as it was read. */
#include "fuzz_target.h"
#include "plugins/tcp_punch/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  punch_message message, again;
  uint8_t bytes[PUNCH_MESSAGE_MAX];
  if (wg_tcp_punch_read(data, size, &message) != WARP_OK)
    return 0;
  size_t len = wg_tcp_punch_write(&message, bytes);
  if (len == 0 || wg_tcp_punch_read(bytes, len, &again) != WARP_OK ||
      message.instant_us != again.instant_us || message.offer.round != again.offer.round ||
      memcmp(message.offer.ports, again.offer.ports, sizeof again.offer.ports) != 0)
    abort();
  return 0;
}
