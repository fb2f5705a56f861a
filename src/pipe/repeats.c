#include "pipe/repeats.h"
#include "base/addr.h"
#include "wire/digest.h"

#include <stdlib.h>
#include <string.h>

bool wg_repeats_init(wg_repeats *repeats, size_t max) {
  repeats->ids = calloc(max, sizeof *repeats->ids);
  repeats->cap = repeats->ids != NULL ? max : 0;
  return repeats->ids != NULL;
}

void wg_repeats_free(wg_repeats *repeats) {
  free(repeats->ids);
  *repeats = (wg_repeats){0};
}

bool wg_repeats_seen(wg_repeats *repeats, const void *data, size_t len, const warp_addr *from) {
  if (repeats->cap == 0) {
    return false;
  }
  uint8_t port[2] = {(uint8_t)(from->port >> 8), (uint8_t)from->port};
  wg_part parts[] = {
      {from->ip, wg_addr_ip_len(from)}, {port, sizeof port}, {len > 0 ? data : "", len}};
  uint8_t digest[WG_DIGEST_MAX];
  /* A digest that nobody can find a second message for: a guess must not suppress another's. */
  if (wg_digest_parts(WG_DIGEST_SHA256, parts, 3, digest) != WARP_OK) {
    return false;
  }
  for (size_t i = 0; i < repeats->count; i++) {
    if (memcmp(repeats->ids[i], digest, WG_REPEAT_ID) == 0) {
      return true;
    }
  }
  memcpy(repeats->ids[repeats->next], digest, WG_REPEAT_ID);
  repeats->next = (repeats->next + 1) % repeats->cap;
  repeats->count += repeats->count < repeats->cap ? 1 : 0;
  return false;
}
