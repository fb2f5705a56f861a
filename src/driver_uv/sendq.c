#include "driver_uv/sendq.h"

#include <stdlib.h>
#include <string.h>

/* Small sends share a chunk of this size, so that a thousand of them are not a thousand writes. */
enum { CHUNK_MIN = 16384 };

struct wg_sendq_chunk {
  struct wg_sendq_chunk *next;
  size_t start, end, cap;
  uint8_t data[];
};

bool wg_sendq_push(wg_sendq *queue, const void *data, size_t len) {
  struct wg_sendq_chunk *last = queue->last;
  size_t room = last != NULL ? last->cap - last->end : 0;
  size_t here = len < room ? len : room;
  size_t rest = len - here;
  if (rest > 0) {
    size_t cap = rest < CHUNK_MIN ? CHUNK_MIN : rest;
    struct wg_sendq_chunk *chunk = malloc(sizeof *chunk + cap);
    if (chunk == NULL) {
      return false;
    }
    *chunk = (struct wg_sendq_chunk){.end = rest, .cap = cap};
    memcpy(chunk->data, (const uint8_t *)data + here, rest);
    if (last != NULL) {
      last->next = chunk;
    } else {
      queue->first = chunk;
    }
    queue->last = chunk;
  }
  if (here > 0) {
    memcpy(last->data + last->end, data, here);
    last->end += here;
  }
  queue->len += len;
  return true;
}

const uint8_t *wg_sendq_peek(const wg_sendq *queue, size_t *len) {
  const struct wg_sendq_chunk *first = queue->first;
  *len = first != NULL ? first->end - first->start : 0;
  return first != NULL ? first->data + first->start : NULL;
}

void wg_sendq_pop(wg_sendq *queue, size_t len) {
  struct wg_sendq_chunk *first = queue->first;
  first->start += len;
  queue->len -= len;
  if (first->start == first->end) {
    queue->first = first->next;
    if (queue->first == NULL) {
      queue->last = NULL;
    }
    free(first);
  }
}

void wg_sendq_clear(wg_sendq *queue) {
  while (queue->first != NULL) {
    struct wg_sendq_chunk *chunk = queue->first;
    queue->first = chunk->next;
    free(chunk);
  }
  *queue = (wg_sendq){0};
}
