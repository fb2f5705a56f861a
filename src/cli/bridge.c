#include "cli/bridge.h"

#include "cli/say.h"

/* What a slow writer may leave waiting in our memory before the peer is held back. */
enum { BACKLOG_MAX = 1 << 20 };

static void settle(cli_bridge *bridge);

static void on_one_closed(void *arg) {
  cli_bridge *bridge = arg;
  if (--bridge->closing == 0 && bridge->closed != NULL) {
    bridge->closed(bridge->closed_arg);
  }
}

/* The link is gone: what was sent is with the peer, unless it broke. */
static void on_link_closed(void *arg, int status) {
  (void)status;
  cli_bridge *bridge = arg;
  cli_bridge_cb cb = bridge->cb;
  bridge->leaving = false;
  bridge->cb = NULL;
  if (cb != NULL) {
    cb(bridge->arg, bridge->end, bridge->broken);
  } else {
    on_one_closed(bridge); /* cli_bridge_close waits for it */
  }
}

/* Of a link that broke nothing is left to abort, so `broken` is why it did or why it shall. */
static void finish(cli_bridge *bridge, cli_bridge_end end) {
  warp_link *link = bridge->link;
  bridge->end = end;
  bridge->link = NULL;
  bridge->leaving = true;
  if (bridge->broken != WARP_OK) {
    warp_link_abort(link, on_link_closed, bridge);
  } else {
    warp_link_close(link, on_link_closed, bridge);
  }
}

/* Something is missing that the peer counts on: the owner is told, and the link stays as it is. */
static void give_up(cli_bridge *bridge, cli_bridge_end end) {
  cli_bridge_cb cb = bridge->cb;
  bridge->cb = NULL;
  cb(bridge->arg, end, WARP_OK);
}

/* ---- to the peer ----------------------------------------------------------------------------- */

/* A piece is missing now, or the end. A child's node has other peers: the link is all that can be
 * closed there. */
static void lack_memory(cli_bridge *bridge) {
  if (bridge->may_lose_reader) {
    bridge->broken = WARP_NOMEM;
    finish(bridge, CLI_BRIDGE_BROKE);
  } else if (bridge->cb != NULL) {
    give_up(bridge, CLI_BRIDGE_NO_MEMORY);
  }
}

/* Sends what is held. True when it is gone; the link may be, too. */
static bool send_held(cli_bridge *bridge) {
  int status =
      bridge->held_len > 0 ? warp_link_send(bridge->link, bridge->held, bridge->held_len) : WARP_OK;
  if (status == WARP_AGAIN) {
    return false;
  }
  bridge->held_len = 0;
  if (status == WARP_NOMEM) { /* of other errors on_end tells */
    lack_memory(bridge);
  }
  return true;
}

static void on_input(void *arg, const uint8_t *data, size_t len) {
  cli_bridge *bridge = arg;
  if (bridge->link == NULL || bridge->up != CLI_FLOWING) {
    return;
  }
  if (bridge->reader.error != 0 && !bridge->may_lose_reader && bridge->cb != NULL) {
    give_up(bridge, CLI_BRIDGE_NO_INPUT);
    return;
  }
  if (len == 0) {
    int status = warp_link_shutdown(bridge->link);
    if (status == WARP_NOMEM) {
      lack_memory(bridge);
      return;
    }
    bridge->up = status == WARP_OK ? CLI_ENDING : CLI_ENDED;
    settle(bridge);
    return;
  }
  bridge->held = data;
  bridge->held_len = len;
  if (!send_held(bridge)) {
    cli_reader_pause(&bridge->reader, true);
  }
}

static void on_drain(void *arg, warp_link *link) {
  (void)link;
  cli_bridge *bridge = arg;
  if (bridge->up == CLI_ENDING) {
    bridge->up = CLI_ENDED;
    settle(bridge);
  } else if (send_held(bridge)) {
    cli_reader_pause(&bridge->reader, false);
  }
}

/* ---- from the peer --------------------------------------------------------------------------- */

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  cli_bridge *bridge = arg;
  if (bridge->down != CLI_FLOWING) {
    return; /* nobody reads it */
  }
  cli_writer_send(&bridge->writer, data, len);
  if (bridge->writer.queued > BACKLOG_MAX && !bridge->paused) {
    bridge->paused = true;
    (void)warp_link_pause(link, true);
  }
  if (bridge->writer.error != 0) {
    settle(bridge);
  }
}

static void on_writer(void *arg) {
  cli_bridge *bridge = arg;
  if (bridge->link == NULL) {
    return;
  }
  if (bridge->paused) {
    bridge->paused = false;
    (void)warp_link_pause(bridge->link, false);
  }
  settle(bridge);
}

static void on_end(void *arg, warp_link *link, int status) {
  (void)link;
  cli_bridge *bridge = arg;
  if (status == WARP_OK) {
    if (bridge->up == CLI_FLOWING && bridge->reader.handle.is_terminal) {
      cli_note("the other side has ended; end your input (Ctrl-D) to end this one");
    }
  } else {
    bridge->up = CLI_ENDED;
    if (status != WARP_CLOSED) {
      bridge->broken = status;
    }
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
  if (bridge->link == NULL) {
    return;
  }
  if (bridge->writer.error != 0 && bridge->down != CLI_ENDED) {
    if (!bridge->may_lose_reader && bridge->cb != NULL) {
      give_up(bridge, CLI_BRIDGE_NO_READER);
      return;
    }
    bridge->down = CLI_ENDED;
  }
  if (bridge->down == CLI_ENDING && bridge->writer.queued == 0) {
    bridge->down = CLI_ENDED;
    cli_writer_close(&bridge->writer, nothing, NULL); /* its reader sees the end now */
  }
  if (bridge->up == CLI_ENDED && bridge->down == CLI_ENDED) {
    finish(bridge, bridge->broken != WARP_OK ? CLI_BRIDGE_BROKE : CLI_BRIDGE_DONE);
  }
}

void cli_bridge_start(cli_bridge *bridge, uv_loop_t *loop, warp_link *link, cli_bridge_cb cb,
                      void *arg) {
  bridge->link = link;
  bridge->cb = cb;
  bridge->arg = arg;
  warp_link_on_message(link, on_message, bridge);
  warp_link_on_end(link, on_end, bridge);
  warp_link_on_drain(link, on_drain, bridge);
  cli_writer_start(&bridge->writer, on_writer, bridge);
  cli_reader_start(&bridge->reader, loop, on_input, bridge);
}

void cli_bridge_lose_reader(cli_bridge *bridge) {
  if (bridge->link != NULL && bridge->down != CLI_ENDED) {
    bridge->down = CLI_ENDED;
    settle(bridge);
  }
}

void cli_bridge_close(cli_bridge *bridge, cli_closed_cb closed, void *arg) {
  bridge->closed = closed;
  bridge->closed_arg = arg;
  bridge->cb = NULL;
  bridge->closing = 2;
  if (bridge->link != NULL) {
    finish(bridge, CLI_BRIDGE_DONE);
  }
  bridge->closing += bridge->leaving;
  cli_reader_close(&bridge->reader, on_one_closed, bridge);
  cli_writer_close(&bridge->writer, on_one_closed, bridge);
}
