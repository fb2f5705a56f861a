#include "cli/bridge.h"

#include "cli/say.h"

/* What a slow writer may leave waiting in our memory before the peer is held back. */
enum { BACKLOG_MAX = 1 << 20 };

static void settle(cli_bridge *bridge);

static void finish(cli_bridge *bridge, cli_bridge_end end, int status) {
  cli_bridge_cb cb = bridge->cb;
  warp_pipe_close(bridge->pipe);
  bridge->pipe = NULL;
  bridge->cb = NULL;
  uv_timer_stop(&bridge->quiet);
  if (cb != NULL) {
    cb(bridge->arg, end, status);
  }
}

/* ---- to the peer ----------------------------------------------------------------------------- */

/* Sends what is held. True when all of it is gone. */
static bool send_held(cli_bridge *bridge) {
  while (bridge->held_len > 0) {
    size_t len = bridge->held_len;
    if (bridge->messages && len > WARP_MESSAGE_MAX) {
      len = WARP_MESSAGE_MAX;
    }
    int status = warp_pipe_send(bridge->pipe, bridge->held, len);
    if (status == WARP_AGAIN) {
      return false;
    }
    if (status != WARP_OK) { /* on_end says why */
      bridge->held_len = 0;
      return true;
    }
    bridge->held += len;
    bridge->held_len -= len;
  }
  return true;
}

static void on_quiet(uv_timer_t *timer) {
  cli_bridge *bridge = timer->data;
  bridge->down = CLI_ENDING;
  settle(bridge);
}

static void wait_for_quiet(cli_bridge *bridge) {
  uv_timer_start(&bridge->quiet, on_quiet, bridge->wait_s * UINT64_C(1000), 0);
}

static void end_input(cli_bridge *bridge) {
  if (bridge->messages) {
    /* There is no half of a message pipe: the peer's answers may be on their way. */
    bridge->up = CLI_ENDED;
    wait_for_quiet(bridge);
  } else {
    bridge->up = CLI_ENDING;
    if (warp_pipe_shutdown(bridge->pipe) != WARP_OK) { /* on_end says why */
      bridge->up = CLI_ENDED;
    }
  }
}

static void on_input(void *arg, const uint8_t *data, size_t len) {
  cli_bridge *bridge = arg;
  if (bridge->pipe == NULL || bridge->up != CLI_FLOWING) {
    return;
  }
  if (len == 0) {
    end_input(bridge);
    settle(bridge);
    return;
  }
  bridge->held = data;
  bridge->held_len = len;
  if (!send_held(bridge)) {
    cli_reader_pause(&bridge->reader, true);
  }
}

static void on_drain(void *arg, warp_pipe *pipe) {
  (void)pipe;
  cli_bridge *bridge = arg;
  if (bridge->up == CLI_ENDING) {
    bridge->up = CLI_ENDED;
    settle(bridge);
  } else if (send_held(bridge)) {
    cli_reader_pause(&bridge->reader, false);
  }
}

/* ---- from the peer --------------------------------------------------------------------------- */

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  cli_bridge *bridge = arg;
  if (bridge->down != CLI_FLOWING) {
    return; /* nobody reads it */
  }
  cli_writer_send(&bridge->writer, data, len);
  if (bridge->writer.queued > BACKLOG_MAX && !bridge->paused) {
    bridge->paused = true;
    (void)warp_pipe_pause(pipe, true);
  }
  if (bridge->messages && bridge->up == CLI_ENDED) {
    wait_for_quiet(bridge);
  }
  if (bridge->writer.error != 0) {
    settle(bridge);
  }
}

static void on_writer(void *arg) {
  cli_bridge *bridge = arg;
  if (bridge->pipe == NULL) {
    return;
  }
  if (bridge->paused) {
    bridge->paused = false;
    (void)warp_pipe_pause(bridge->pipe, false);
  }
  settle(bridge);
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  (void)pipe;
  cli_bridge *bridge = arg;
  bool half = status == WARP_CLOSED && !bridge->messages;
  if (status != WARP_CLOSED) {
    bridge->broken = status;
  }
  if (!half) {
    bridge->up = CLI_ENDED;
  } else if (bridge->up == CLI_FLOWING && bridge->reader.handle.is_terminal) {
    cli_note("the other side has ended; end your input (Ctrl-D) to end this one");
  }
  if (bridge->down == CLI_FLOWING) {
    bridge->down = CLI_ENDING;
  }
  settle(bridge);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void nothing(void *arg) {
  (void)arg;
}

/* What follows from how both directions stand. */
static void settle(cli_bridge *bridge) {
  if (bridge->writer.error != 0 && bridge->down != CLI_ENDED) {
    if (!bridge->may_lose_reader) {
      finish(bridge, CLI_BRIDGE_NO_READER, WARP_OK);
      return;
    }
    bridge->down = CLI_ENDED;
  }
  if (bridge->down == CLI_ENDING && bridge->writer.queued == 0) {
    bridge->down = CLI_ENDED;
    cli_writer_close(&bridge->writer, nothing, NULL); /* its reader sees the end now */
  }
  if (bridge->broken != WARP_OK && bridge->down == CLI_ENDED) {
    finish(bridge, CLI_BRIDGE_BROKE, bridge->broken);
  } else if (bridge->up == CLI_ENDED && bridge->down == CLI_ENDED) {
    finish(bridge, CLI_BRIDGE_DONE, WARP_OK);
  }
}

void cli_bridge_start(cli_bridge *bridge, uv_loop_t *loop, warp_pipe *pipe, cli_bridge_cb cb,
                      void *arg) {
  warp_pipe_handlers handlers = {
      .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .arg = bridge};
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  bridge->pipe = pipe;
  bridge->messages = info.kind == WARP_MESSAGES;
  bridge->cb = cb;
  bridge->arg = arg;
  warp_pipe_set_handlers(pipe, &handlers);
  uv_timer_init(loop, &bridge->quiet);
  bridge->quiet.data = bridge;
  cli_writer_start(&bridge->writer, on_writer, bridge);
  cli_reader_start(&bridge->reader, loop, on_input, bridge);
}

void cli_bridge_lose_reader(cli_bridge *bridge) {
  if (bridge->pipe != NULL && bridge->down != CLI_ENDED) {
    bridge->down = CLI_ENDED;
    settle(bridge);
  }
}

static void on_one_closed(void *arg) {
  cli_bridge *bridge = arg;
  if (--bridge->closing == 0 && bridge->closed != NULL) {
    bridge->closed(bridge->closed_arg);
  }
}

static void on_timer_closed(uv_handle_t *handle) {
  on_one_closed(handle->data);
}

void cli_bridge_close(cli_bridge *bridge, cli_closed_cb closed, void *arg) {
  bridge->closed = closed;
  bridge->closed_arg = arg;
  bridge->cb = NULL;
  warp_pipe_close(bridge->pipe);
  bridge->pipe = NULL;
  bridge->closing = 3;
  cli_reader_close(&bridge->reader, on_one_closed, bridge);
  cli_writer_close(&bridge->writer, on_one_closed, bridge);
  uv_close((uv_handle_t *)&bridge->quiet, on_timer_closed);
}
