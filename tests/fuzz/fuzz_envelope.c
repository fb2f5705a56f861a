/* The outsides of envelopes, and letters as they come out of the sealing. */
#include "fuzz_target.h"
#include "wire/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  warp_key key;
  const uint8_t *sealed;
  size_t sealed_len, signed_len;
  wg_letter letter;
  uint8_t signature[WG_SIGNATURE_LEN];
  if (wg_envelope_decode(data, size, &key, &sealed, &sealed_len) == WARP_OK &&
      (sealed < data || sealed + sealed_len != data + size)) {
    abort();
  }
  if (wg_letter_decode(data, size, &letter, &signed_len, signature) == WARP_OK &&
      (letter.message < data || letter.message + letter.message_len > data + signed_len)) {
    abort();
  }
  return 0;
}
