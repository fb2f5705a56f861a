/* The file of known networks as a damaged disk left it; what decodes must encode again. */
#include "fuzz_target.h"
#include "wire/networks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_networks networks, again;
  uint8_t bytes[WG_NETWORKS_LEN];
  if (wg_networks_decode(data, size, &networks) != WARP_OK) {
    return 0;
  }
  int len = wg_networks_encode(&networks, bytes, sizeof bytes);
  if (len < 0 || wg_networks_decode(bytes, (size_t)len, &again) != WARP_OK ||
      again.count != networks.count) {
    abort();
  }
  return 0;
}
