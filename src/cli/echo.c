#include "cli/peers.h"
#include "cli/report.h"

#include <stdlib.h>
#include <string.h>

typedef struct echo {
  wg_list item;
  warp_link *link;
  warp_key peer;
  uint8_t *held; /* what the link did not take */
  size_t held_len;
} echo;

static void drop(echo *self) {
  wg_list_remove(&self->item);
  free(self->held);
  free(self);
}

static void end(echo *self, int status) {
  if (status != WARP_CANCELED) { /* else it is we who leave */
    cli_report_ended(&self->peer, status);
  }
  warp_link_close(self->link, NULL, NULL);
  drop(self);
}

/* A message is missing now: the peer must not take what it got for all. */
static void lack_memory(echo *self) {
  cli_report_ended(&self->peer, WARP_NOMEM);
  warp_link_abort(self->link, NULL, NULL);
  drop(self);
}

/* The peer sends faster than it reads: nothing more of it until there is room. */
static void hold(echo *self, const uint8_t *data, size_t len) {
  self->held = malloc(len > 0 ? len : 1);
  if (self->held == NULL) {
    lack_memory(self);
    return;
  }
  memcpy(self->held, data, len);
  self->held_len = len;
  (void)warp_link_pause(self->link, true);
}

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  int status = warp_link_send(link, data, len);
  if (status == WARP_AGAIN) {
    hold(arg, data, len);
  } else if (status == WARP_NOMEM) { /* of other errors on_end tells */
    lack_memory(arg);
  }
}

static void on_drain(void *arg, warp_link *link) {
  echo *self = arg;
  if (self->held == NULL) {
    return;
  }
  int status = warp_link_send(link, self->held, self->held_len);
  if (status == WARP_NOMEM) {
    lack_memory(self);
  } else if (status != WARP_AGAIN) {
    free(self->held);
    self->held = NULL;
    (void)warp_link_pause(link, false);
  }
}

static void on_end(void *arg, warp_link *link, int status) {
  /* The peer closes when it has it all. */
  int over = status == WARP_OK ? warp_link_shutdown(link) : status;
  if (over == WARP_NOMEM) {
    lack_memory(arg);
  } else if (over != WARP_OK) {
    end(arg, over);
  }
}

void cli_echo_start(wg_list *all, warp_link *link) {
  warp_pipe_info info;
  echo *self = calloc(1, sizeof *self);
  warp_pipe_get_info(warp_link_pipe(link), &info);
  if (self == NULL) {
    cli_report_ended(&info.peer, WARP_NOMEM);
    warp_link_abort(link, NULL, NULL);
    return;
  }
  self->link = link;
  self->peer = info.peer;
  warp_link_on_message(link, on_message, self);
  warp_link_on_end(link, on_end, self);
  warp_link_on_drain(link, on_drain, self);
  wg_list_push(all, &self->item);
}

void cli_echo_stop(wg_list *all) {
  while (!wg_list_empty(all)) {
    end(WG_CONTAINER(all->next, echo, item), WARP_CANCELED);
  }
}
