/* Bytes that wait for a connection to take them, in order. */
#ifndef WG_DRIVER_UV_SENDQ_H
#define WG_DRIVER_UV_SENDQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed it is empty. */
typedef struct wg_sendq {
  struct wg_sendq_chunk *first, *last;
  size_t len; /* bytes in it */
} wg_sendq;

/* Copies `len` bytes to the end. False when out of memory, with no effect. */
bool wg_sendq_push(wg_sendq *queue, const void *data, size_t len);
/* The next bytes, `*len` of them, 0 when empty. Valid until the next call. */
const uint8_t *wg_sendq_peek(const wg_sendq *queue, size_t *len);
/* Drops the first `len` bytes of what peek gave. */
void wg_sendq_pop(wg_sendq *queue, size_t len);
void wg_sendq_clear(wg_sendq *queue);

#endif
