/* Golden vectors of fixtures/vectors, and what strangers do to packets. */
#ifndef WG_TEST_VECTORS_H
#define WG_TEST_VECTORS_H

#include <stddef.h>
#include <stdint.h>

enum { VECTOR_MAX = 4096 };

typedef struct vector {
  uint8_t bytes[VECTOR_MAX];
  size_t len;
} vector;

/* Reads fixtures/vectors/<name>.hex; a file that is missing or malformed fails the test. */
#define vector_load(name) vector_load_from(WARPGATE_FIXTURES_DIR, name)
vector vector_load_from(const char *fixtures, const char *name);

/* Gives a decoder every prefix of a packet, from nothing to all but the last byte, and then the
 * packet with each of its bytes changed in three ways. Each lies in a block of exactly its size, so
 * that AddressSanitizer sees a read one byte beyond. `changed` tells the two kinds apart. */
typedef void (*hostile_decoder)(const uint8_t *bytes, size_t len, int changed);
void hostile_variants(const uint8_t *bytes, size_t len, hostile_decoder decoder);

#endif
