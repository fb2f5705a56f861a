/* Two links over the pipes of a pipe_rig. Each end checks that what comes is what was sent. */
#ifndef WG_TEST_LINK_RIG_H
#define WG_TEST_LINK_RIG_H

#include "pipe_rig.h"

typedef struct link_end {
  rig_end *below;
  warp_link *link;
  struct link_end *other;

  /* What it does. */
  void (*on_message)(struct link_end *end, size_t len);
  void (*on_end)(struct link_end *end);
  void (*on_drain)(struct link_end *end);

  /* What happened to it. */
  unsigned sent, received, half_ended, ended, drained, closed;
  size_t bytes;
  int end_status, closed_status;
} link_end;

typedef struct link_rig {
  pipe_rig pipes;
  link_end a, b;
} link_rig;

/* Connects the pipes and makes links of both. */
void link_rig_open(link_rig *rig, warp_pipe_kind kind);
/* Only the client has a link; the server's pipe is the test's. */
void link_rig_open_one(link_rig *rig, warp_pipe_kind kind);
/* Sends the next message, whose bytes follow from its number: what warp_link_send said. */
int link_send(link_end *end, size_t len);
void link_close(link_end *end);
void link_abort(link_end *end);
/* Fails the test when a link is still there. */
void link_rig_free(link_rig *rig);

#endif
