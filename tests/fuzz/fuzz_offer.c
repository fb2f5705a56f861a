/* What a peer says of its plan and ports. What is taken is written again as it was read. */
#include "fuzz_target.h"
#include "nat/offer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_offer offer, again;
  uint8_t bytes[WG_OFFER_MAX];
  if (wg_offer_decode(data, size, &offer) != WARP_OK)
    return 0;
  int len = wg_offer_encode(&offer, bytes, sizeof bytes);
  if (len < 0 || wg_offer_decode(bytes, (size_t)len, &again) != WARP_OK ||
      memcmp(&offer.ports, &again.ports, sizeof offer.ports) != 0)
    abort();
  wg_plan turned = wg_plan_turned(&offer.plan);
  if (turned.strategy != offer.plan.strategy)
    abort();
  return 0;
}
