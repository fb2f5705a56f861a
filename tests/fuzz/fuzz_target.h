/*
 * The one function that a fuzz target defines. Called with bytes as a stranger may send them; must
 * return 0 and leave nothing behind.
 */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
