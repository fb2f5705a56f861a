#include "blocks.h"

#include <execinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A table of open addressing; no scenario holds a quarter of it. */
enum { SLOTS = 1 << 16 };

typedef struct slot {
  void *bytes; /* NULL: empty */
  unsigned long number;
  oom_place place;
} slot;

static slot slots[SLOTS];
static size_t used;

void oom_place_here(oom_place *place) {
  place->count = backtrace(place->frames, OOM_FRAMES);
}

void oom_place_print(const oom_place *place) {
  fflush(stderr);
  backtrace_symbols_fd(place->frames, place->count, STDERR_FILENO);
}

static size_t home(const void *bytes) {
  return (size_t)(((uintptr_t)bytes >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 48) % SLOTS;
}

static slot *find(const void *bytes) {
  size_t at = home(bytes);
  while (slots[at].bytes != NULL && slots[at].bytes != bytes)
    at = (at + 1) % SLOTS;
  return &slots[at];
}

void oom_blocks_add(void *bytes, unsigned long number) {
  if (++used > SLOTS / 2)
    abort();
  slot *free_slot = find(bytes);
  free_slot->bytes = bytes;
  free_slot->number = number;
  oom_place_here(&free_slot->place);
}

bool oom_blocks_remove(void *bytes) {
  slot *gone = find(bytes);
  if (gone->bytes == NULL)
    return false;
  used--;
  /* What stands behind it in the same run has to be found without it. */
  size_t hole = (size_t)(gone - slots);
  for (size_t at = (hole + 1) % SLOTS; slots[at].bytes != NULL; at = (at + 1) % SLOTS) {
    size_t wanted = home(slots[at].bytes);
    if ((at - wanted) % SLOTS >= (at - hole) % SLOTS) {
      slots[hole] = slots[at];
      hole = at;
    }
  }
  slots[hole].bytes = NULL;
  return true;
}

size_t oom_blocks_count(void) {
  return used;
}

void oom_blocks_print(unsigned long number) {
  for (size_t i = 0; i < SLOTS; i++) {
    if (slots[i].bytes != NULL && slots[i].number >= number) {
      fprintf(stderr, "  left: allocation %lu\n", slots[i].number - number + 1);
      oom_place_print(&slots[i].place);
    }
  }
}
