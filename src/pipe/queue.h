/* A growing first-in first-out buffer of bytes. Zeroed it is empty. Bounds are the owner's. */
#ifndef WG_PIPE_QUEUE_H
#define WG_PIPE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wg_queue {
  uint8_t *data;
  size_t head, len, cap; /* `len` bytes wait from data + head on */
} wg_queue;

/* Appends a copy. False (and no change) when out of memory. */
bool wg_queue_push(wg_queue *queue, const void *data, size_t len);
/* The bytes that wait, contiguous; valid until the next push, drop or free. */
static inline const uint8_t *wg_queue_front(const wg_queue *queue) {
  return queue->data + queue->head;
}
/* Forgets the first `len` bytes, at most all. */
void wg_queue_drop(wg_queue *queue, size_t len);
/* Empties it and frees its memory. */
void wg_queue_free(wg_queue *queue);

#endif
