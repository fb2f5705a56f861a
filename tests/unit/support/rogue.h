/* A peer with a key of its own that says what it likes: no node, only a record, signed messages and
 * streams. */
#ifndef TESTS_SUPPORT_ROGUE_H
#define TESTS_SUPPORT_ROGUE_H

#include "peers.h"
#include "pipe/pipe.h"
#include "signal/router.h"

enum { ROGUE_STREAMS = 160, ROGUE_TYPES = 7 };

typedef struct rogue rogue;

/* A connection of a rogue's to the victim's listener. */
typedef struct rogue_stream {
  rogue *owner;
  wg_tcp *tcp; /* NULL once its pipe has it, or it has ended */
  warp_pipe *pipe;
  uint8_t hello[WG_HELLO_MAX];
  size_t hello_len; /* 0: it says nothing */
  bool secured, failed;
  int status; /* of the failure */
} rogue_stream;

struct rogue {
  sim_world *world;
  wg_env *env;
  wg_identity *identity;
  wg_router *router;
  wg_record record;
  uint8_t bytes[WARP_RECORD_MAX]; /* the record, signed */
  size_t len;
  wg_record victim;
  wg_session_id session;
  bool up;
  unsigned got[ROGUE_TYPES]; /* messages of the victim by type */
  int status;                /* of the latest FAIL or END */
  wg_session_id heard;       /* the session of the latest message */
  rogue_stream streams[ROGUE_STREAMS];
  size_t stream_count;
};

/* Makes one on a host of its own without a NAT, at `address` ("192.0.2.200/25"), subscribed and
 * ready to talk to `victim`, which has started. */
void rogue_open(rogue *self, peers *both, const peer *victim, const char *address);
/* Signs its record anew after a change. */
void rogue_sign(rogue *self);
/* A session of its own from here on. */
void rogue_new_session(rogue *self);
/* An OPEN for udp_punch between the first endpoints over external addresses. */
wg_message rogue_message(rogue *self, uint16_t attempt);
void rogue_send(rogue *self, const wg_message *message);
void rogue_send_end(rogue *self, int status);
/* Dials the victim. `message` NULL: the connection stays silent. An INVITE goes into the hello as
 * an invitation; of any other message the hello only names the session and the attempt. */
rogue_stream *rogue_dial(rogue *self, const wg_message *message);
/* How many of its streams came to be secured, and how many failed. */
size_t rogue_secured(const rogue *self);
size_t rogue_failed(const rogue *self);
void rogue_close(rogue *self);

#endif
