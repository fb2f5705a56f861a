#include "pipe/queue.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE_MIN = 1024 };

static bool grow(wg_queue *queue, size_t need) {
  size_t cap = queue->cap < QUEUE_MIN ? QUEUE_MIN : queue->cap;
  while (cap < need) {
    cap *= 2;
  }
  uint8_t *bytes = malloc(cap);
  if (bytes == NULL) {
    return false;
  }
  if (queue->len > 0) {
    memcpy(bytes, queue->data + queue->head, queue->len);
  }
  free(queue->data);
  *queue = (wg_queue){.data = bytes, .len = queue->len, .cap = cap};
  return true;
}

bool wg_queue_push(wg_queue *queue, const void *data, size_t len) {
  if (len == 0) {
    return true;
  }
  size_t need = queue->len + len;
  if (queue->head + need > queue->cap && need <= queue->cap / 2) {
    /* No less than half of it was dropped since it was moved last, so this costs little. */
    memmove(queue->data, queue->data + queue->head, queue->len);
    queue->head = 0;
  } else if (queue->head + need > queue->cap && !grow(queue, need)) {
    return false;
  }
  memcpy(queue->data + queue->head + queue->len, data, len);
  queue->len += len;
  return true;
}

void wg_queue_drop(wg_queue *queue, size_t len) {
  if (len >= queue->len) {
    queue->head = queue->len = 0;
    return;
  }
  queue->head += len;
  queue->len -= len;
}

void wg_queue_free(wg_queue *queue) {
  free(queue->data);
  *queue = (wg_queue){0};
}
