#include "netns/macs.h"

#include <stdbool.h>
#include <string.h>

static bool is_group(const uint8_t *mac) {
  return mac[0] & 1;
}

static unsigned position(const ns_macs *macs, const uint8_t *mac) {
  unsigned at = 0;
  while (at < macs->used && memcmp(macs->entries[at].mac, mac, NS_MAC_BYTES) != 0)
    at++;
  return at;
}

void ns_macs_learn(ns_macs *macs, const uint8_t *mac, int port) {
  if (is_group(mac))
    return;
  unsigned at = position(macs, mac);
  if (at == macs->used && macs->used < NS_MACS) {
    macs->used++;
  } else if (at == macs->used) {
    at = macs->oldest;
    macs->oldest = (macs->oldest + 1) % NS_MACS;
  }
  memcpy(macs->entries[at].mac, mac, NS_MAC_BYTES);
  macs->entries[at].port = port;
}

int ns_macs_find(const ns_macs *macs, const uint8_t *mac) {
  unsigned at = is_group(mac) ? macs->used : position(macs, mac);
  return at < macs->used ? macs->entries[at].port : -1;
}

void ns_macs_forget(ns_macs *macs, int port) {
  unsigned kept = 0;
  for (unsigned i = 0; i < macs->used; i++)
    if (macs->entries[i].port != port)
      macs->entries[kept++] = macs->entries[i];
  macs->used = kept;
  macs->oldest = 0;
}
