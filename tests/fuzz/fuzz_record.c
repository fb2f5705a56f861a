/* Address records of strangers; what decodes must encode again to something that decodes alike. */
#include "fuzz_target.h"
#include "wire/record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_record record, again;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN], bytes[WARP_RECORD_MAX];
  if (wg_record_decode(data, size, &record, &signed_len, signature) != WARP_OK) {
    return 0;
  }
  int len = wg_record_encode(&record, bytes, sizeof bytes);
  if (len == WARP_TOO_BIG) { /* ours writes shared addresses short, but not shorter than all */
    return 0;
  }
  len = len > 0 ? wg_record_attach(bytes, (size_t)len, sizeof bytes, signature) : len;
  if (len < 0 || wg_record_decode(bytes, (size_t)len, &again, &signed_len, signature) != WARP_OK ||
      again.sequence != record.sequence || again.endpoint_count != record.endpoint_count) {
    abort();
  }
  return 0;
}
