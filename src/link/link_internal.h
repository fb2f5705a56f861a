/* A link from the inside: its states, and what carries its bytes. */
#ifndef WG_LINK_LINK_INTERNAL_H
#define WG_LINK_LINK_INTERNAL_H

#include "pipe/pipe.h"
#include "pipe/queue.h"
#include "wire/frame.h"

typedef enum wg_link_state {
  WG_LINK_OPEN,
  WG_LINK_DOWN,    /* broken or ended; the application has yet to close it */
  WG_LINK_CLOSING, /* closed by the application; what was sent is on its way */
  WG_LINK_ENDED,   /* closed or aborted, and over: the application is about to be told */
  WG_LINK_GONE,    /* freed as soon as no call of it is on the stack */
} wg_link_state;

/* What carries a link's bytes, in order and complete, over its pipe. */
typedef struct wg_bearer_ops {
  /* WARP_NOMEM, WARP_IO. Nothing is left behind on an error. */
  int (*open)(warp_link *link);
  /* Takes as many of the bytes as there is room for, perhaps none; then it calls wg_link_flush when
   * there is some again. An error ends the link. */
  int (*write)(warp_link *link, const uint8_t *data, size_t len, size_t *taken);
  /* Bytes written that the peer, or on a stream the system, has not got yet. */
  size_t (*unsettled)(warp_link *link);
  /* Hold the peer back, or no longer. */
  void (*pause)(warp_link *link, bool paused);
  /* From the pipe. */
  void (*on_data)(warp_link *link, const uint8_t *data, size_t len);
  void (*on_drain)(warp_link *link);
  /* The pipe is about to be closed. */
  void (*close)(warp_link *link);
} wg_bearer_ops;

extern const wg_bearer_ops wg_stream_bearer, wg_sctp_bearer;

struct warp_link {
  wg_env *env;
  warp_pipe *pipe; /* NULL once down */
  const wg_bearer_ops *bearer;
  void *carried; /* the bearer's own */
  wg_link_state state;

  warp_link_message_cb on_message;
  void *message_arg;
  warp_link_end_cb on_end;
  void *end_arg;
  warp_link_drain_cb on_drain;
  void *drain_arg;
  warp_link_closed_cb on_closed;
  void *closed_arg;

  unsigned busy;  /* calls of this link on the stack */
  wg_timer soon;  /* events that must not happen inside a call of ours */
  wg_timer watch; /* closing: does anything move? */

  wg_queue in, out;                   /* not parsed, not taken by the bearer */
  bool paused;                        /* by the application */
  bool greeted;                       /* the peer's header has come */
  bool got_end, got_close, got_done;  /* the peer's frames */
  bool sent_end;                      /* END or CLOSE, perhaps still in `out`: DONE answers it */
  bool want_drain;                    /* a send was answered WARP_AGAIN, or it is shut down */
  bool reported;                      /* on_end has run for the whole link */
  int pipe_status;                    /* how the pipe ended, WARP_OK while it has not */
  int status;                         /* how the link ended */
  uint64_t moved;                     /* bytes in both directions that went through so far */
  uint64_t moved_before, moved_at_us; /* closing: what it was when it last changed */
};

/* ---- link.c: for the bearers ----------------------------------------------------------------- */

/* Calls that may run callbacks stand between enter and leave; leave may free the link. */
void wg_link_enter(warp_link *link);
void wg_link_leave(warp_link *link);
/* Bytes of the peer, in order. */
void wg_link_input(warp_link *link, const uint8_t *data, size_t len);
/* The bearer has room. */
void wg_link_flush(warp_link *link);
/* It ends with a status, which the application is told now. Harmless when it is over. */
void wg_link_break(warp_link *link, int status);
/* Something that closing waits for may have happened. */
void wg_link_settle(warp_link *link);
/* Does it want bytes of the peer? */
bool wg_link_reads(const warp_link *link);

#endif
