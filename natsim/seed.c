#include "natsim/seed.h"

#include <string.h>

/* FNV-1a, 64 bits: not for security, only to spread. */
static uint64_t absorb(uint64_t hash, const void *bytes, size_t len) {
  const uint8_t *p = bytes;
  for (size_t i = 0; i < len; i++)
    hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
  return hash;
}

static uint64_t absorb_number(uint64_t hash, uint64_t value) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++)
    bytes[i] = (uint8_t)(value >> (8 * i));
  return absorb(hash, bytes, sizeof bytes);
}

/* The NUL goes in too, so that ("ab", "c") and ("a", "bc") differ. */
static uint64_t absorb_text(uint64_t hash, const char *text) {
  return absorb(hash, text, strlen(text) + 1);
}

/* The finalizer of splitmix64: FNV alone leaves neighbouring inputs alike in the high bits. */
static uint64_t finish(uint64_t hash) {
  hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
  return hash ^ (hash >> 31);
}

static const uint64_t fnv_basis = UINT64_C(0xcbf29ce484222325);

uint64_t sim_trial_seed(uint64_t run_seed, const char *a, const char *b, const char *plugin,
                        unsigned trial) {
  uint64_t hash = absorb_number(fnv_basis, run_seed);
  hash = absorb_text(hash, a);
  hash = absorb_text(hash, b);
  hash = absorb_text(hash, plugin);
  return finish(absorb_number(hash, trial)) & SIM_SEED_MAX;
}

uint64_t sim_derive(uint64_t seed, const char *purpose) {
  return finish(absorb_text(absorb_number(fnv_basis, seed), purpose)) & SIM_SEED_MAX;
}

void sim_mac(uint64_t seed, const char *purpose, uint8_t out[6]) {
  uint64_t bits = sim_derive(seed, purpose);
  for (int i = 0; i < 6; i++)
    out[i] = (uint8_t)(bits >> (8 * i));
  out[0] = (uint8_t)((out[0] & 0xfc) | 0x02);
}
