#include "connect/unheard.h"

#include <stddef.h>

enum { TOKEN = 1000000, PREFIX6_LEN = 8, IP4_LEN = 4 };

static uint64_t burst(const wg_unheard *unheard) {
  return (uint64_t)unheard->per_s * WG_UNHEARD_BURST_S * TOKEN;
}

void wg_unheard_start(wg_unheard *unheard, uint32_t probes_per_s, uint64_t now_us) {
  unheard->per_s = probes_per_s * WG_UNHEARD_TIMES;
  for (size_t i = 0; i < WG_UNHEARD_PLACES; i++) {
    unheard->places[i].tokens = burst(unheard);
    unheard->places[i].filled_us = now_us;
  }
}

/* FNV-1a. Two addresses in one place share what either may get: nobody gains by that. */
static size_t place_of(const warp_addr *to) {
  uint32_t hash = UINT32_C(2166136261);
  size_t len = to->family == WARP_IP4 ? IP4_LEN : PREFIX6_LEN;
  for (size_t i = 0; i < len; i++)
    hash = (hash ^ to->ip[i]) * UINT32_C(16777619);
  return (hash ^ hash >> 16) % WG_UNHEARD_PLACES;
}

bool wg_unheard_take(wg_unheard *unheard, const warp_addr *to, uint64_t now_us) {
  size_t place = place_of(to);
  uint64_t *tokens = &unheard->places[place].tokens, most = burst(unheard);
  uint64_t passed_us = now_us - unheard->places[place].filled_us;
  unheard->places[place].filled_us = now_us;
  /* The first also keeps the product of the other from running over. */
  if (passed_us >= most / unheard->per_s || *tokens + passed_us * unheard->per_s > most)
    *tokens = most;
  else
    *tokens += passed_us * unheard->per_s;
  if (*tokens < TOKEN)
    return false;
  *tokens -= TOKEN;
  return true;
}
