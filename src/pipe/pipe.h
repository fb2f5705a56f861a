/*
 * Secure pipes. A carrier brings bytes (a TCP connection) or datagrams (a path); the secure layer
 * above it is TLS 1.3 or DTLS 1.2 from OpenSSL, driven over memory, both ends pinned to node keys.
 *
 * Who speaks first: the TLS client sends a hello (session, attempt, perhaps an invitation) as a
 * private extension of its ClientHello, so that it is part of the handshake's transcript; the
 * server decides on it before it answers. When several carriers of one session are secured, the
 * initiator nominates one: the first bytes (a stream) or a control message (datagrams) it sends on
 * it. Only then is it a pipe of the application; application bytes are never looked at.
 */
#ifndef WG_PIPE_PIPE_H
#define WG_PIPE_PIPE_H

#include "identity/identity.h"

/* ---- carriers -------------------------------------------------------------------------------- */

/* What a pipe needs of its carrier. The pipe owns the carrier from wg_pipe_open on (also when that
 * fails, it closes it) and calls close or reset exactly once. */
typedef struct wg_carrier_ops {
  /* WARP_AGAIN: a stream's queue is full, or what takes datagrams: this one is lost, and a sender
   * that can wait shall. */
  int (*send)(void *carrier, const void *data, size_t len);
  size_t (*queued)(void *carrier);
  int (*shutdown)(void *carrier);            /* streams: end of our side */
  void (*pause)(void *carrier, bool paused); /* streams: back-pressure */
  void (*close)(void *carrier);              /* what is queued still goes out */
  void (*reset)(void *carrier);              /* at once */
  void (*addrs)(void *carrier, warp_addr *local, warp_addr *remote);
} wg_carrier_ops;

/* ---- pipes ----------------------------------------------------------------------------------- */

/* Largest hello: session id, attempt, and an invitation (an envelope with a record in it). */
enum { WG_HELLO_MAX = 3200 };
/* The private extension's number (RFC 8446 section 11 leaves 65280-65535 to private use). */
enum { WG_HELLO_EXTENSION = 65367 };
enum {
  WG_PIPE_HANDSHAKE_MS = 10000, /* a stream's handshake, so that a silent connection is closed; over
                                   datagrams the attempt's own time counts */
  WG_PIPE_KEEPALIVE_MS =
      15000, /* datagram pipes: under half of the shortest UDP lifetime of RFC 4787 REQ-5 */
  WG_PIPE_DEAD_MS = 60000, /* datagram pipes: nothing heard for four keepalives */
  WG_DTLS_MTU = 1200,   /* datagram size that every path of today carries (RFC 9000 section 14) */
  WG_DTLS_RTO_MS = 200, /* first retransmission of a flight, then doubling to 2 s */
  WG_NOMINATE_RTO_MS = 200, /* datagram pipes: the nomination is repeated until it is confirmed */
};

typedef struct wg_pipe_callbacks {
  /* A server: decides on the client's hello before anything is answered. WARP_OK and the key that
   * the client must prove (preset to options.expected), or an error, which becomes the status of
   * on_failed. WARP_REFUSED, WARP_NOT_FOUND and WARP_STATE reach the client as such, others as
   * WARP_TLS; with WARP_CANCELED nothing is answered and the carrier is reset. May set the pipe's
   * callbacks and arg anew (wg_pipe_set_callbacks), when the hello says which session it belongs
   * to. Not called for clients. NULL only with options.expected: then every hello will do. */
  int (*on_hello)(void *arg, warp_pipe *pipe, const uint8_t *hello, size_t len, warp_key *expected);
  /* The handshake is complete and the peer's key proven. On the initiator: call wg_pipe_nominate or
   * wg_pipe_discard, now or later. On the responder: wait for on_nominated. */
  void (*on_secured)(void *arg, warp_pipe *pipe);
  /* Responder: the initiator chose this pipe. It may be handed to the application now. */
  void (*on_nominated)(void *arg, warp_pipe *pipe);
  /* It died before it was nominated, or before it was adopted: status and one line. The pipe must
   * still be discarded. From a timer, never inside a call of the owner. WARP_UNTRUSTED: the peer
   * proved another key, or expected another than ours; WARP_REFUSED, WARP_NOT_FOUND, WARP_STATE:
   * its on_hello; WARP_TIMEOUT; WARP_TLS with OpenSSL's reason; what the carrier ended with;
   * WARP_MALFORMED, WARP_VERSION: the first bytes are no nomination. */
  void (*on_failed)(void *arg, warp_pipe *pipe, int status, const char *detail);
} wg_pipe_callbacks;

typedef struct wg_pipe_options {
  wg_env *env;
  const wg_identity *identity; /* must outlive the pipe */
  warp_pipe_kind kind;         /* WARP_STREAM: TLS 1.3, WARP_MESSAGES: DTLS */
  bool client;                 /* TLS role */
  bool initiator;           /* of the session: it nominates. A server may learn it from the hello:
                               on_hello of an accepted stream calls wg_pipe_set_initiator */
  const warp_key *expected; /* the peer's key; a server may leave it NULL and answer in on_hello */
  const uint8_t *hello;     /* client: copied */
  size_t hello_len;
  const wg_carrier_ops *ops;
  void *carrier;
  wg_pipe_callbacks callbacks;
  void *arg;
} wg_pipe_options;

/* Starts the handshake (a client's first flight is sent before this returns, so no callback may run
 * from within: failures come later through on_failed). On an error the carrier is closed.
 * WARP_NOMEM, WARP_TLS (the first flight), WARP_INVALID (a client without hello, no way to learn
 * the peer's key), WARP_TOO_BIG (hello). */
int wg_pipe_open(const wg_pipe_options *options, warp_pipe **out);
void wg_pipe_set_callbacks(warp_pipe *pipe, const wg_pipe_callbacks *callbacks, void *arg);
void wg_pipe_set_initiator(warp_pipe *pipe, bool initiator);
/* The carrier has bytes or one datagram for the pipe. The pipe may be freed by a callback within.
 */
void wg_pipe_input(warp_pipe *pipe, const uint8_t *data, size_t len);
/* The carrier ended: WARP_CLOSED (end of stream) or an error. */
void wg_pipe_carrier_ended(warp_pipe *pipe, int status);
/* The carrier's queue is empty again. */
void wg_pipe_carrier_drained(warp_pipe *pipe);
/* Datagrams: sends a record that means nothing, so that the peer hears from where. */
void wg_pipe_show(warp_pipe *pipe);
/* Datagrams: an address was newly heard: send the flight that is under way again, now. Harmless
 * otherwise. */
void wg_pipe_retransmit(warp_pipe *pipe);
/* Initiator: this is the one. */
void wg_pipe_nominate(warp_pipe *pipe);
/* Datagrams: how many records were dropped because they were malformed, out of place, or too many
 * to keep for an application that was not there yet. */
unsigned long wg_pipe_dropped(const warp_pipe *pipe);
/* Datagrams: how many records have come, each of which only the peer can have made. */
unsigned long wg_pipe_records(const warp_pipe *pipe);
/* A link takes the pipe for itself: WARP_OK once. WARP_STATE when it is not open yet or another
 * link has it, WARP_CLOSED, WARP_UNSUPPORTED (it has not one peer). */
int wg_pipe_claim(warp_pipe *pipe);
/* And leaves it to the application again. */
void wg_pipe_disclaim(warp_pipe *pipe);
/* The environment it runs in. */
wg_env *wg_pipe_env(const warp_pipe *pipe);
/* Bytes that wait for the system to take them; a stream's only. */
size_t wg_pipe_queued(const warp_pipe *pipe);
/* Not this one: resets the carrier, frees the pipe, no callback. A datagram peer is told once. */
void wg_pipe_discard(warp_pipe *pipe);
/* Called by the session when the pipe becomes the application's: how it came to be (kind, local,
 * remote and peer are filled in by the pipe), and what to call when the application has closed it
 * and its last bytes are with the carrier, at most 2 s later: the carrier is closed then, and the
 * pipe's memory goes when on_closed returns. `on_closed` may be NULL; it is not called after
 * wg_pipe_kill. The application's handlers run from a timer, so not before the callback that hands
 * the pipe over has returned; what arrived meanwhile comes first. A pipe that has just died,
 * unreported, may still be adopted: on_end says so. */
void wg_pipe_adopt(warp_pipe *pipe, const warp_pipe_info *info,
                   void (*on_closed)(void *arg, warp_pipe *pipe), void *arg);
/* The carrier of an adopted pipe goes on from another address: the pipe's information follows. */
void wg_pipe_moved(warp_pipe *pipe);
/* May anything that arrives still be handed out: it is open, and the application has not closed it?
 */
bool wg_pipe_is_open(const warp_pipe *pipe);
/* A pipe that a peer opened: the node's message callbacks may hear what arrives, until it is
 * somebody's alone. */
void wg_pipe_share(warp_pipe *pipe);
void wg_pipe_unshare(warp_pipe *pipe);
bool wg_pipe_is_shared(const warp_pipe *pipe);
/* Has `tap` told of all that arrives from now on, and of what nobody has taken yet; NULL: no more.
 * Does nothing on a pipe that is not shared. */
void wg_pipe_set_tap(warp_pipe *pipe, warp_pipe_on_msg tap, void *arg);
/* Ends an adopted pipe from the library's side (the node closes): the peer is told, the carrier
 * closed, and on_end runs with `status` before this returns, unless it ran before. A pipe that the
 * application has closed already is freed; of another, memory is left that touches nothing, until
 * the application calls warp_pipe_close. */
void wg_pipe_kill(warp_pipe *pipe, int status);

#endif
