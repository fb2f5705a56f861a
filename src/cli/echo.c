#include "cli/peers.h"
#include "cli/report.h"

#include <stdlib.h>
#include <string.h>

typedef struct echo {
  wg_list link;
  warp_pipe *pipe;
  warp_pipe_info info;
  bool ending;   /* the peer has ended; our end is on its way */
  uint8_t *held; /* what the pipe did not take */
  size_t held_len;
} echo;

static void drop(echo *self) {
  warp_pipe_close(self->pipe);
  wg_list_remove(&self->link);
  free(self->held);
  free(self);
}

static void end(echo *self, int status) {
  cli_report_ended(&self->info.peer, status);
  drop(self);
}

/* The peer sends faster than it reads: nothing more of it until there is room. */
static void hold(echo *self, const uint8_t *data, size_t len) {
  self->held = malloc(len);
  if (self->held == NULL) {
    end(self, WARP_NOMEM);
    return;
  }
  memcpy(self->held, data, len);
  self->held_len = len;
  (void)warp_pipe_pause(self->pipe, true);
}

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  echo *self = arg;
  int status = warp_pipe_send(pipe, data, len);
  /* Messages may be lost, here as anywhere; of other errors on_end tells. */
  if (status == WARP_AGAIN && self->info.kind == WARP_STREAM) {
    hold(self, data, len);
  }
}

static void on_drain(void *arg, warp_pipe *pipe) {
  echo *self = arg;
  if (self->ending) {
    end(self, WARP_CLOSED);
    return;
  }
  if (self->held != NULL && warp_pipe_send(pipe, self->held, self->held_len) != WARP_AGAIN) {
    free(self->held);
    self->held = NULL;
    (void)warp_pipe_pause(pipe, false);
  }
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  echo *self = arg;
  self->ending = status == WARP_CLOSED && warp_pipe_shutdown(pipe) == WARP_OK;
  if (!self->ending) {
    end(self, status);
  }
}

void cli_echo_start(wg_list *all, warp_pipe *pipe) {
  echo *self = calloc(1, sizeof *self);
  if (self == NULL) {
    warp_pipe_close(pipe);
    return;
  }
  warp_pipe_handlers handlers = {
      .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .arg = self};
  self->pipe = pipe;
  warp_pipe_get_info(pipe, &self->info);
  warp_pipe_set_handlers(pipe, &handlers);
  wg_list_push(all, &self->link);
}

void cli_echo_stop(wg_list *all) {
  while (!wg_list_empty(all)) {
    drop(WG_CONTAINER(all->next, echo, link));
  }
}
