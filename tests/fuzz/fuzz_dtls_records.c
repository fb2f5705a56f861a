/* A datagram as it is cut before OpenSSL sees it: no more than there was, and cut once for all. */
#include "fuzz_target.h"
#include "pipe/dtls_records.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (unsigned role = 0; role < 3; role++) {
    wg_dtls_rules rules = {.client = role == 0, .hello = role == 2, .overhead = 24};
    size_t sound = wg_dtls_sound_len(data, size, &rules);
    if (sound > size || wg_dtls_sound_len(data, sound, &rules) < sound) {
      abort();
    }
    uint8_t *copy = malloc(sound + 1);
    uint64_t next = 0;
    if (copy != NULL && sound > 0) {
      memcpy(copy, data, sound);
      wg_dtls_renumber(copy, sound, &next);
      if (wg_dtls_sound_len(copy, sound, &rules) != sound) {
        abort();
      }
    }
    free(copy);
  }
  return 0;
}
