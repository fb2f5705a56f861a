/* A datagram as it is cut before OpenSSL sees it: no more than there was, and cut once for all. */
#include "fuzz_target.h"
#include "pipe/dtls_records.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (int hello = 0; hello < 2; hello++) {
    wg_dtls_rules rules = {.hello = hello != 0, .overhead = 24};
    size_t sound = wg_dtls_sound_len(data, size, &rules);
    if (sound > size || wg_dtls_sound_len(data, sound, &rules) < sound) {
      abort();
    }
  }
  return 0;
}
