/*
 * Two pipes over a carrier pair in memory, with a fake clock. The wire between them delays, and on
 * datagrams may lose, repeat and reorder; a stream moves a chunk a millisecond, so that queues
 * fill. Each end records what happened to it and can be told what to do when.
 */
#ifndef WG_TEST_PIPE_RIG_H
#define WG_TEST_PIPE_RIG_H

#include "base/list.h"
#include "base/rng.h"
#include "pipe/pipe.h"
#include "pipe/queue.h"

typedef struct pipe_rig pipe_rig;
typedef struct rig_end rig_end;

/* One direction of the wire. */
typedef struct rig_lane {
  wg_queue bytes;    /* streams: sent, not delivered */
  wg_list datagrams; /* datagrams on their way */
  bool fin, fin_delivered, reset;
  bool moving; /* `timer` runs */
  wg_timer timer;
  unsigned sent;                   /* datagrams or sends */
  size_t largest;                  /* datagram */
  size_t queue_max;                /* streams: WARP_AGAIN above */
  unsigned drop_at;                /* the n-th datagram is lost, counted from 1 */
  unsigned drop_next;              /* datagrams to lose, whatever the rates say */
  unsigned blocked;                /* datagrams: sends to answer with WARP_AGAIN */
  bool black_hole;                 /* datagrams: lose everything */
  size_t narrow;                   /* datagrams: lose what is longer; 0: nothing */
  int broken;                      /* streams: what a send returns, if not WARP_OK */
  uint8_t captured[8][WG_UDP_MAX]; /* the first datagrams, or chunks of a stream */
  size_t captured_len[8];
  unsigned captured_count;
} rig_lane;

struct rig_end {
  pipe_rig *of;
  rig_end *other;
  wg_identity *identity;
  warp_pipe *pipe; /* NULL once freed */
  rig_lane out;
  bool paused;
  unsigned pauses;
  unsigned closed, resets; /* calls of the carrier's close and reset */

  /* What it does. */
  bool nominate, adopt;             /* as soon as secured or nominated */
  int hello_answer;                 /* server: what on_hello returns */
  warp_key hello_expects;           /* server: the key it answers with */
  void (*on_secured)(rig_end *end); /* run inside the callbacks, after the above */
  void (*on_data)(rig_end *end, const uint8_t *data, size_t len);
  void (*on_end)(rig_end *end);
  void (*on_nominated)(rig_end *end);
  void (*on_drain)(rig_end *end);
  void (*on_hello)(rig_end *end);

  /* What happened to it. */
  unsigned hellos, secured, nominated, failed, ended, drained, on_closed, messages;
  int fail_status, end_status;
  char detail[WARP_DETAIL_LEN];
  uint8_t hello[WG_HELLO_MAX];
  size_t hello_len;
  wg_queue received;
  uint64_t secured_us;
  bool let_go;      /* closed by the application */
  bool in_callback; /* of the application or the session: callbacks must not nest */
  warp_pipe_info info;
};

struct pipe_rig {
  wg_env env;
  uint64_t now_us;
  wg_rng rng;
  warp_pipe_kind kind;
  uint64_t delay_us;
  unsigned loss_pct, duplicate_pct, reorder_pct;
  unsigned chunk; /* bytes a stream moves in a millisecond */
  rig_end client, server;
};

enum { RIG_HELLO_LEN = 40 };

/* Fresh keys, a 20 ms wire, no losses; the client is the initiator. */
void rig_init(pipe_rig *rig, warp_pipe_kind kind);
/* Opens both pipes; the client's hello is `hello_len` bytes counting up. */
void rig_open(pipe_rig *rig, size_t hello_len);
/* Opens one of them, expecting `expected` (NULL, for a server: on_hello answers). */
void rig_open_end(pipe_rig *rig, rig_end *end, const warp_key *expected, size_t hello_len);
/* Lets `ms` pass. */
void rig_run(pipe_rig *rig, uint32_t ms);
/* Runs until `flag` is not 0, at most `ms`. True if it came to that. */
bool rig_run_until(pipe_rig *rig, const unsigned *flag, uint32_t ms);
/* Opens, and runs until both ends are the application's. Fails the test otherwise. */
void rig_connect(pipe_rig *rig, size_t hello_len);
/* The session gives the pipe to the application; what `adopt` does at once. */
void rig_adopt(rig_end *end);
/* The application closes its pipe. */
void rig_close(rig_end *end);
/* The operations of the carriers; each carrier is its rig_end. */
const wg_carrier_ops *rig_carrier_ops(void);
/* Forgets both pipes, which are gone, and what happened, so that the same nodes can meet again. */
void rig_reset(pipe_rig *rig);
/* Hands bytes to an end's pipe as if they came over the wire. */
void rig_inject(rig_end *end, const void *data, size_t len);
/* Frees everything; fails the test when a carrier was not let go exactly once. */
void rig_free(pipe_rig *rig);

#endif
