/*
 * Named streams of repeatable pseudo-random numbers: for port order, probe order and jitter. Never
 * for keys, nonces, tags or session ids: those come from the environment's system randomness.
 */
#ifndef WG_BASE_RNG_H
#define WG_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256** (Blackman, Vigna), seeded through splitmix64. */
typedef struct wg_rng {
  uint64_t s[4];
} wg_rng;

/* A stream of its own for each (seed, name): what one part draws does not move another part's
 * numbers. */
void wg_rng_seed(wg_rng *rng, uint64_t seed, const char *name);
uint64_t wg_rng_next(wg_rng *rng);
/* Uniform in 0 .. bound-1 without modulo bias; 0 when bound is 0. */
uint32_t wg_rng_below(wg_rng *rng, uint32_t bound);
/* Uniform in [0, 1). */
double wg_rng_unit(wg_rng *rng);
/* FNV-1a of a string, for naming streams. */
uint64_t wg_hash_string(const char *text);

#endif
