/* Signal messages of strangers; what decodes must encode again to something that decodes alike. */
#include "fuzz_target.h"
#include "wire/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_message message, again;
  uint8_t bytes[WG_MESSAGE_MAX];
  if (wg_message_decode(data, size, &message) != WARP_OK) {
    return 0;
  }
  int len = wg_message_encode(&message, bytes, sizeof bytes);
  if (len < 0 || wg_message_decode(bytes, (size_t)len, &again) != WARP_OK ||
      again.type != message.type || again.data_len != message.data_len ||
      again.record_len != message.record_len || again.rows_len != message.rows_len ||
      again.asks != message.asks || again.known != message.known) {
    abort();
  }
  return 0;
}
