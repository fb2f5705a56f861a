/* The blocks of memory that the library holds. */
#ifndef TESTS_OOM_BLOCKS_H
#define TESTS_OOM_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

/* Where a block, or a failure, comes from. */
enum { OOM_FRAMES = 16 };
typedef struct oom_place {
  void *frames[OOM_FRAMES];
  int count;
} oom_place;

void oom_place_here(oom_place *place);
void oom_place_print(const oom_place *place);

void oom_blocks_add(void *bytes, unsigned long number);
/* False when it is none of the library's. */
bool oom_blocks_remove(void *bytes);
size_t oom_blocks_count(void);
/* Says which blocks have come since allocation `number`. */
void oom_blocks_print(unsigned long number);

#endif
