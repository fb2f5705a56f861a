/* A link over a stream: the pipe keeps the bytes in order and complete already. */
#include "link/link_internal.h"

enum { PIECE = 1 << 18 }; /* so that a full pipe refuses no more than this */

static int stream_open(warp_link *link) {
  (void)link;
  return WARP_OK;
}

static int stream_write(warp_link *link, const uint8_t *data, size_t len, size_t *taken) {
  *taken = 0;
  while (*taken < len) {
    size_t piece = len - *taken < PIECE ? len - *taken : PIECE;
    int status = warp_pipe_send(link->pipe, data + *taken, piece);
    if (status != WARP_OK) {
      return status == WARP_AGAIN ? WARP_OK : status;
    }
    *taken += piece;
  }
  return WARP_OK;
}

static size_t stream_unsettled(warp_link *link) {
  return wg_pipe_queued(link->pipe);
}

static void stream_pause(warp_link *link, bool paused) {
  (void)warp_pipe_pause(link->pipe, paused);
}

static void stream_close(warp_link *link) {
  (void)link;
}

const wg_bearer_ops wg_stream_bearer = {
    .open = stream_open,
    .write = stream_write,
    .unsettled = stream_unsettled,
    .pause = stream_pause,
    .on_data = wg_link_input,
    .on_drain = wg_link_flush,
    .close = stream_close,
};
