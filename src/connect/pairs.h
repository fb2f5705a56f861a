/*
 * Which pair of a socket of ours and an address of the peer works: the numbered probes that were
 * sent, the sources that were heard, and the pair that datagrams go out by. A state machine without
 * I/O: it is told what is sent and heard, with the time, and says what to do.
 *
 * A pair is proven when the peer acknowledges a probe that went out by it. Where the
 * acknowledgement comes from says nothing: a NAT that does not reuse sessions answers from other
 * ports than the one that let the probe in, and a side that chased the latest source might never
 * settle.
 */
#ifndef WG_CONNECT_PAIRS_H
#define WG_CONNECT_PAIRS_H

#include "wire/message.h"

enum {
  /* Probes that are remembered: two rounds of 2048, and at 100 a second 40 s of them. */
  WG_PAIRS_SENT = 4096,
  /* Sources that are told apart: as many as random probing has sockets, of which a dozen is hit. */
  WG_PAIRS_HEARD = 256,
  /* To one source from one socket in a second: so many that losing all is rare, so few that a
   * replayed probe is no way to have us flood somebody. */
  WG_PAIRS_ANSWERS = 3,
  WG_PAIRS_ANSWERS_US = 1000000,
  /* Acknowledgements of numbers that we did not give out. With 20 bits to guess, so many find
   * none; who has lost track of ours sends fewer. */
  WG_PAIRS_WRONG = 256,
  WG_PAIRS_MOVE_US = 5000000, /* silence after which another source may take over */
  /* Where the peer may have moved is asked so often, with such pauses: not more than thrice what
   * came from there goes to it before it has answered (RFC 9000 section 8.1). */
  WG_PAIRS_ASKS = 3,
  WG_PAIRS_ASK_US = 300000,
};

/* A socket of the attempt by its number, 0 for the one that the path began with, and where to. */
typedef struct wg_pair {
  uint32_t socket;
  warp_addr remote;
} wg_pair;

typedef struct wg_sent_probe {
  uint32_t number;
  bool answers; /* it acknowledged one of the peer's */
  wg_pair pair;
} wg_sent_probe;

typedef struct wg_heard_source {
  wg_pair pair;
  uint8_t answers; /* sent there in the second that began then */
  uint64_t answered_us;
  bool connecting; /* the peer sent from there before the pipe was the application's */
} wg_heard_source;

typedef enum wg_pairs_state {
  WG_PAIRS_SEEKING,  /* nothing was heard */
  WG_PAIRS_LISTENED, /* `out` is where the peer was first heard: likely, but not proven */
  WG_PAIRS_PROVEN,   /* the peer acknowledged what went out by `out` */
} wg_pairs_state;

/* Zeroed to begin with. */
typedef struct wg_pairs {
  wg_pairs_state state;
  wg_pair out;          /* unless seeking */
  uint64_t alive_us;    /* when the peer was last heard from where it belongs */
  bool settled;         /* the pipe is the application's */
  wg_pair asked;        /* once settled: where the peer may have moved, */
  unsigned asks;        /* and how often it may still be asked there; */
  uint64_t ask_us;      /* not before then */
  uint32_t last_number; /* of our own probes: how many there were */
  uint32_t wrong;       /* acknowledgements of no probe of ours; then none counts any more */
  uint32_t peer_number; /* of the peer's probes, the latest; 0: none */
  wg_sent_probe *sent;  /* by number modulo sent_room; grows */
  uint32_t sent_room;
  wg_heard_source *heard; /* WG_PAIRS_HEARD of them, allocated with the first */
  size_t heard_count;
} wg_pairs;

void wg_pairs_free(wg_pairs *pairs);
/* Numbers a probe that is about to go out by `pair`. Without memory it is not remembered. `random`
 * is fresh for each one: a peer that could foretell the number would prove with it that it reads
 * what we send to an address of somebody else. */
uint32_t wg_pairs_number(wg_pairs *pairs, const wg_pair *pair, bool answers, uint32_t random);
/* The pair of a probe of ours, or NULL: never sent, or too long ago. Valid until the next one is
 * numbered. */
const wg_pair *wg_pairs_sent(const wg_pairs *pairs, uint32_t number);

/* What a packet meant. */
enum {
  WG_PAIRS_NEW_SOURCE = 1, /* nothing had come from there before */
  WG_PAIRS_MOVED = 2,      /* `out` is another one now */
  WG_PAIRS_NOW_PROVEN = 4,
  WG_PAIRS_ANSWER = 8, /* answer it, from its socket to its source */
};
/* A packet with the right tag came on `from.socket` from `from.remote`. Returns the bits above. */
unsigned wg_pairs_heard(wg_pairs *pairs, const wg_pair *from, const wg_carried *packet,
                        uint64_t now_us);
/* The pipe is the application's: `out` changes only for an address that has answered from now on.
 */
void wg_pairs_settle(wg_pairs *pairs);
/* What came from there was the peer's for certain, not only its tag. True when it has perhaps moved
 * there: after a silence where it belongs. Then, and as long as wg_pairs_ask says so, a probe is to
 * be sent to `asked` every WG_PAIRS_ASK_US; when the peer acknowledges one, `out` is that pair. */
bool wg_pairs_suspect(wg_pairs *pairs, const wg_pair *from, uint64_t now_us);
bool wg_pairs_ask(wg_pairs *pairs);
/* Did the peer speak to this socket while connecting? */
bool wg_pairs_uses(const wg_pairs *pairs, uint32_t socket);

/* Has a packet come from this address? */
bool wg_pairs_heard_from(const wg_pairs *pairs, const warp_addr *remote);

#endif
