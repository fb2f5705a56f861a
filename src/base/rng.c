#include "base/rng.h"

static uint64_t splitmix64(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

uint64_t wg_hash_string(const char *text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char *c = text; *c != '\0'; c++) {
    hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
  }
  return hash;
}

void wg_rng_seed(wg_rng *rng, uint64_t seed, const char *name) {
  /* Both go through the mixer one after the other: a plain XOR would make (1, "a") and some
   * (2, "b") the same stream more easily than chance. */
  uint64_t state = seed;
  state = splitmix64(&state) ^ wg_hash_string(name);
  for (int i = 0; i < 4; i++) {
    rng->s[i] = splitmix64(&state);
  }
}

static uint64_t rotate_left(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

uint64_t wg_rng_next(wg_rng *rng) {
  uint64_t *s = rng->s;
  uint64_t result = rotate_left(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate_left(s[3], 45);
  return result;
}

uint32_t wg_rng_below(wg_rng *rng, uint32_t bound) {
  if (bound == 0) {
    return 0;
  }
  /* Lemire's multiplication with rejection of the short first interval. */
  uint32_t threshold = (uint32_t)(-bound) % bound;
  for (;;) {
    uint64_t product = (wg_rng_next(rng) >> 32) * bound;
    if ((uint32_t)product >= threshold) {
      return (uint32_t)(product >> 32);
    }
  }
}

double wg_rng_unit(wg_rng *rng) {
  return (double)(wg_rng_next(rng) >> 11) * 0x1.0p-53;
}
