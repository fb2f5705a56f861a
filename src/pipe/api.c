/* The public functions of a pipe. */
#include "pipe/pipe_internal.h"

int warp_pipe_set_handlers(warp_pipe *pipe, const warp_pipe_handlers *handlers) {
  if (pipe == NULL || handlers == NULL) {
    return WARP_INVALID;
  }
  pipe->handlers = *handlers;
  return WARP_OK;
}

int warp_pipe_send(warp_pipe *pipe, const void *data, size_t len) {
  if (pipe == NULL || (data == NULL && len > 0)) {
    return WARP_INVALID;
  }
  return pipe->state == WG_PIPE_OPEN ? pipe->of_kind->send(pipe, data, len) : WARP_CLOSED;
}

int warp_pipe_shutdown(warp_pipe *pipe) {
  if (pipe == NULL) {
    return WARP_INVALID;
  }
  if (pipe->kind == WARP_MESSAGES) {
    return WARP_UNSUPPORTED;
  }
  return pipe->state == WG_PIPE_OPEN ? wg_stream_shutdown(pipe) : WARP_CLOSED;
}

int warp_pipe_pause(warp_pipe *pipe, bool paused) {
  if (pipe == NULL) {
    return WARP_INVALID;
  }
  if (pipe->state != WG_PIPE_OPEN) {
    return WARP_CLOSED;
  }
  pipe->stopped = paused;
  if (paused) {
    pipe->delivering = false;
  } else {
    wg_pipe_wake(pipe, 0);
  }
  return WARP_OK;
}

int warp_pipe_get_info(const warp_pipe *pipe, warp_pipe_info *out) {
  if (pipe == NULL || out == NULL) {
    return WARP_INVALID;
  }
  *out = pipe->info;
  return WARP_OK;
}

void warp_pipe_close(warp_pipe *pipe) {
  if (pipe == NULL) {
    return;
  }
  wg_pipe_enter(pipe);
  if (pipe->state == WG_PIPE_OPEN && !pipe->of_kind->finish(pipe) && pipe->state == WG_PIPE_OPEN) {
    wg_pipe_move(pipe, WG_PIPE_CLOSING);
  } else if (pipe->state != WG_PIPE_CLOSING) {
    wg_pipe_finish(pipe);
  }
  wg_pipe_leave(pipe);
}
