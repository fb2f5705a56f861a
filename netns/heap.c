#include "netns/heap.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 256 };

static bool before(const ns_waiting *a, const ns_waiting *b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static bool grow(ns_heap *heap) {
  size_t capacity = heap->capacity ? heap->capacity * 2 : FIRST_CAPACITY;
  ns_waiting *items = realloc(heap->items, capacity * sizeof *items);
  if (!items)
    return false;
  heap->items = items;
  heap->capacity = capacity;
  return true;
}

bool ns_heap_push(ns_heap *heap, const ns_waiting *item) {
  if (heap->len == heap->capacity && !grow(heap))
    return false;
  ns_waiting added = *item;
  added.order = heap->pushed++;
  size_t at = heap->len++;
  while (at > 0 && before(&added, &heap->items[(at - 1) / 2])) {
    heap->items[at] = heap->items[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  heap->items[at] = added;
  return true;
}

const ns_waiting *ns_heap_first(const ns_heap *heap) {
  return heap->len ? &heap->items[0] : NULL;
}

ns_waiting ns_heap_pop(ns_heap *heap) {
  ns_waiting first = heap->items[0], last = heap->items[--heap->len];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child + 1 < heap->len && before(&heap->items[child + 1], &heap->items[child]))
      child++;
    if (child >= heap->len || !before(&heap->items[child], &last))
      break;
    heap->items[at] = heap->items[child];
    at = child;
  }
  heap->items[at] = last;
  return first;
}

void ns_heap_free(ns_heap *heap) {
  free(heap->items);
  *heap = (ns_heap){0};
}
