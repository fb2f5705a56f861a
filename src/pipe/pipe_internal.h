/* A pipe from the inside: its states, and what the two kinds do differently. */
#ifndef WG_PIPE_PIPE_INTERNAL_H
#define WG_PIPE_PIPE_INTERNAL_H

#include "pipe/inbox.h"
#include "pipe/pipe.h"
#include "pipe/queue.h"
#include "pipe/secure.h"

enum {
  /* Bytes that wait in a stream's carrier and here before a send is refused. The system's own
   * buffer comes first: what waits besides makes nothing faster, is copied once more, and adds
   * delay. */
  WG_PIPE_QUEUE_FULL = 1 << 18,
  WG_STREAM_SEND_MAX = 1 << 20,   /* one warp_pipe_send on a stream */
  WG_STREAM_HELD_MAX = 1 << 20,   /* what a carrier may bring although it is paused */
  WG_MESSAGES_HELD_MAX = 1 << 16, /* before the application is there; more is dropped */
  WG_PIPE_LINGER_MS = 2000,       /* how long closing may take */
  WG_REPEAT_MAX_MS = 2000,        /* repetitions of flights and controls double up to this */
  WG_MESSAGES_DRAIN_MS = 2,       /* when to try again after a full socket buffer */
};

typedef enum wg_pipe_state {
  WG_PIPE_HANDSHAKE, /* or, of one opened by hand: on its way */
  WG_PIPE_SECURED,   /* not nominated yet */
  WG_PIPE_CHOSEN,    /* nominated, not the application's yet */
  WG_PIPE_OPEN,      /* the application's */
  WG_PIPE_DOWN,      /* ended; its carrier is closed; the owner has yet to let it go */
  WG_PIPE_CLOSING,   /* let go by the application; the last bytes are on their way */
  WG_PIPE_GONE,      /* freed as soon as no call of it is on the stack */
} wg_pipe_state;

/* What streams and messages do each in their way. */
typedef struct wg_pipe_kind_ops {
  /* The secure layer has bytes, or a datagram, for the carrier. */
  void (*output)(warp_pipe *pipe, const uint8_t *data, size_t len);
  void (*input)(warp_pipe *pipe, const uint8_t *data, size_t len);
  /* The application is there: gives it what was held back. */
  void (*deliver_held)(warp_pipe *pipe);
  void (*carrier_ended)(warp_pipe *pipe, int status);
  void (*drained)(warp_pipe *pipe);
  /* May a sender that waits be told to go on, in the state WG_PIPE_OPEN? */
  bool (*has_room)(warp_pipe *pipe);
  void (*secured)(warp_pipe *pipe);  /* entered WG_PIPE_SECURED */
  void (*nominate)(warp_pipe *pipe); /* the initiator chose it */
  /* For the application, in the state WG_PIPE_OPEN. */
  int (*send)(warp_pipe *pipe, const void *data, size_t len);
  /* The same to an address; NULL: there is only one. */
  int (*send_to)(warp_pipe *pipe, const void *data, size_t len, const warp_addr *dest);
  int (*shutdown)(warp_pipe *pipe); /* ends our direction; NULL: there are none */
  size_t largest;                   /* what one send takes */
  /* Says good-bye. True when nothing of it is left to wait for, so that the carrier may be closed.
   */
  bool (*finish)(warp_pipe *pipe);
  void (*repeat)(warp_pipe *pipe); /* the timer `again` */
  void (*watch)(warp_pipe *pipe);  /* the timer `alive`, secured or open */
} wg_pipe_kind_ops;

extern const wg_pipe_kind_ops wg_stream_ops, wg_messages_ops;

struct wg_opened; /* open.h */

/* Why nothing is handed out at the moment. */
enum {
  WG_STOP_APP = 1,  /* warp_pipe_pause */
  WG_STOP_IDLE = 2, /* nobody takes it yet */
  WG_STOP_FULL = 4, /* a subscription's queue */
  WG_STOP_LINK = 8, /* a linked pipe */
};

struct warp_pipe {
  wg_env *env;
  warp_pipe_kind kind;
  const wg_pipe_kind_ops *of_kind;
  bool client, initiator;
  wg_pipe_state state;
  wg_secure *secure;
  const wg_carrier_ops *ops;
  void *carrier; /* NULL once closed or reset */

  wg_pipe_callbacks callbacks; /* of the session */
  void *arg;
  warp_pipe_handlers handlers; /* of the application */
  warp_pipe_info info;
  void (*on_closed)(void *arg, warp_pipe *pipe);
  void *closed_arg;
  wg_inbox inbox;       /* of the application, too */
  bool shared;          /* with the node's message callbacks */
  warp_pipe_on_msg tap; /* of these; NULL: there are none */
  void *tap_arg;
  struct wg_opened *opened; /* NULL unless it was opened by hand */
  bool adopted;
  bool claimed;     /* by a link */
  bool let_go;      /* the application has closed it */
  bool killed;      /* the environment may be gone */
  unsigned stopped; /* WG_STOP_ bits */
  bool delivering;  /* the adopting callback has returned, and it is not stopped */

  uint32_t linger_ms; /* how long closing may take */
  unsigned busy;      /* calls of this pipe on the stack */
  wg_timer soon;      /* events that must not happen inside a call of ours */
  wg_timer again;     /* repetition of flights, nomination, close */
  wg_timer
      alive; /* deadline of a stream's handshake, of closing; keepalive and death of messages */
  uint32_t again_ms;
  unsigned flights; /* of the secure layer, when `again` was last restarted for one */

  int end_status; /* why it ended, WARP_OK while it has not */
  char detail[WARP_DETAIL_LEN];
  bool reported;   /* on_failed or on_end has run */
  bool want_drain; /* a send was answered WARP_AGAIN */
  bool confirmed;  /* initiator of messages: the responder knows that it was chosen */
  int send_status; /* of the last carrier send that failed */

  wg_queue held; /* streams: ciphertext not read yet; messages: records not delivered yet */
  bool paused;   /* streams: the carrier is */

  wg_queue unsent;     /* streams: ciphertext that the carrier did not take */
  uint8_t preamble[4]; /* what the responder has got of it */
  uint8_t preamble_len;
  bool sent_end, fin_due; /* our side has ended; the carrier is still to be told */
  bool peer_ended;
  int carrier_status; /* how the carrier ended, WARP_OK while it has not */

  uint64_t sent_us, heard_us; /* messages: last record */
  unsigned long records;      /* messages: that came */
  unsigned long dropped;      /* messages: malformed, out of place, or too many to hold */
};

/* ---- pipe.c: for both kinds ------------------------------------------------------------------ */

/* Everything about a pipe that both ways to make one share. */
void wg_pipe_init(warp_pipe *pipe, wg_env *env, warp_pipe_kind kind,
                  const wg_pipe_kind_ops *of_kind);
/* Hands nothing out from now on, for one of the reasons above, or goes on when it was the last. */
void wg_pipe_stop(warp_pipe *pipe, unsigned why);
void wg_pipe_resume(warp_pipe *pipe, unsigned why);
/* What handing out does for the kinds: a piece of a stream or a message, to everybody. `from` NULL:
 * the pipe's remote address. Afterwards the pipe may be closed or stopped. */
void wg_pipe_deliver(warp_pipe *pipe, const uint8_t *data, size_t len, const warp_addr *from);
/* There is room again for a sender that was told WARP_AGAIN. */
void wg_pipe_tell_drain(warp_pipe *pipe);
/* Streams: keeps bytes that may not be handed out yet and the carrier from bringing more, and lets
 * it go on. */
void wg_stream_hold(warp_pipe *pipe, const uint8_t *data, size_t len);
void wg_stream_set_paused(warp_pipe *pipe, bool paused);
/* Calls that may run callbacks stand between enter and leave; leave may free the pipe. */
void wg_pipe_enter(warp_pipe *pipe);
void wg_pipe_leave(warp_pipe *pipe);
/* Is it secured, chosen or open? */
bool wg_pipe_is_up(const warp_pipe *pipe);
/* The only place where the state changes. */
void wg_pipe_move(warp_pipe *pipe, wg_pipe_state to);
/* Goes on with the handshake after input. True when it completed and the pipe still lives. */
bool wg_pipe_handshake(warp_pipe *pipe);
/* The responder learns that it was chosen. */
void wg_pipe_chosen(warp_pipe *pipe);
/* It ends with a status: the carrier is closed, the owner hears of it soon. Harmless twice. */
void wg_pipe_end(warp_pipe *pipe, int status, const char *detail);
/* Has the owner told of an end or a drain from a timer. */
void wg_pipe_wake(warp_pipe *pipe, uint32_t delay_ms);
/* Everything was said: closes the carrier, frees the pipe. */
void wg_pipe_finish(warp_pipe *pipe);
/* Restarts the timer of repetition at its first interval. */
void wg_pipe_repeat_from(warp_pipe *pipe, uint32_t delay_ms);
/* Restarts it at twice the last interval. */
void wg_pipe_repeat_later(warp_pipe *pipe);
void wg_pipe_repeat_stop(warp_pipe *pipe);
/* Starts the timer `alive`. */
void wg_pipe_watch_in(warp_pipe *pipe, uint64_t delay_us);

#endif
