/* The public functions of a pipe. */
#include "base/addr.h"
#include "pipe/open.h"

int warp_pipe_set_handlers(warp_pipe *pipe, const warp_pipe_handlers *handlers) {
  if (pipe == NULL || handlers == NULL) {
    return WARP_INVALID;
  }
  pipe->handlers = *handlers;
  wg_inbox_consumed(pipe);
  return WARP_OK;
}

/* Why nothing can be sent, or WARP_OK. */
static int may_send(const warp_pipe *pipe) {
  switch (pipe->state) {
  case WG_PIPE_OPEN:
    return pipe->let_go ? WARP_CLOSED : WARP_OK;
  case WG_PIPE_HANDSHAKE:
    return pipe->opened != NULL ? WARP_STATE : WARP_CLOSED;
  default:
    return WARP_CLOSED;
  }
}

int wg_pipe_claim(warp_pipe *pipe) {
  int status = may_send(pipe);
  if (status != WARP_OK) {
    return status;
  }
  if (wg_is_server(pipe) || wg_takes_anybody(pipe)) {
    return WARP_UNSUPPORTED;
  }
  if (pipe->claimed) {
    return WARP_STATE;
  }
  pipe->claimed = true;
  return WARP_OK;
}

void wg_pipe_disclaim(warp_pipe *pipe) {
  pipe->claimed = false;
}

int warp_pipe_send(warp_pipe *pipe, const void *data, size_t len) {
  if (pipe == NULL || (data == NULL && len > 0)) {
    return WARP_INVALID;
  }
  int status = may_send(pipe);
  return status == WARP_OK ? pipe->of_kind->send(pipe, data, len) : status;
}

int warp_pipe_send_to(warp_pipe *pipe, const void *data, size_t len, const warp_addr *dest) {
  if (dest == NULL) {
    return warp_pipe_send(pipe, data, len);
  }
  if (pipe == NULL || (data == NULL && len > 0)) {
    return WARP_INVALID;
  }
  int status = may_send(pipe);
  if (status != WARP_OK) {
    return status;
  }
  if (pipe->of_kind->send_to != NULL) {
    return pipe->of_kind->send_to(pipe, data, len, dest);
  }
  return wg_addr_equal(dest, &pipe->info.remote) ? pipe->of_kind->send(pipe, data, len)
                                                 : WARP_INVALID;
}

int warp_pipe_shutdown(warp_pipe *pipe) {
  if (pipe == NULL) {
    return WARP_INVALID;
  }
  if (pipe->of_kind->shutdown == NULL) {
    return WARP_UNSUPPORTED;
  }
  int status = may_send(pipe);
  return status == WARP_OK ? pipe->of_kind->shutdown(pipe) : status;
}

int warp_pipe_pause(warp_pipe *pipe, bool paused) {
  if (pipe == NULL) {
    return WARP_INVALID;
  }
  int status = may_send(pipe);
  if (status != WARP_OK) {
    return status;
  }
  if (wg_is_server(pipe)) {
    return WARP_UNSUPPORTED;
  }
  if (paused) {
    wg_pipe_stop(pipe, WG_STOP_APP);
  } else {
    wg_pipe_resume(pipe, WG_STOP_APP);
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
  if (pipe == NULL || pipe->let_go) {
    return;
  }
  wg_pipe_enter(pipe);
  pipe->let_go = true;
  wg_opened_cancel(pipe);
  wg_inbox_let_go(pipe, WARP_CANCELED);
  if (pipe->state == WG_PIPE_OPEN && !pipe->of_kind->finish(pipe) && pipe->state == WG_PIPE_OPEN) {
    wg_pipe_move(pipe, WG_PIPE_CLOSING);
  } else if (pipe->state != WG_PIPE_CLOSING) {
    wg_pipe_finish(pipe);
  }
  wg_pipe_leave(pipe);
}
