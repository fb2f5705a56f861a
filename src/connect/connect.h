/*
 * The switchboard: every connect of a node, begun here or by a peer.
 *
 * It is handed checked signal messages, accepted streams and the shared UDP sockets, and runs one
 * session for each connect. The node owns it and tells it the node's present record.
 */
#ifndef WG_CONNECT_CONNECT_H
#define WG_CONNECT_CONNECT_H

#include "connect/mux.h"
#include "connect/settings.h"
#include "env/clock.h"
#include "pipe/pipe.h"
#include "signal/router.h"
#include <warpgate/plugin.h>

typedef struct wg_connect wg_connect;

enum {
  WG_SESSIONS_MAX = 256,     /* connects under way, both directions; open pipes do not count */
  WG_SESSIONS_OWN = 64,      /* of these only for connects of our own, whatever strangers begin */
  WG_SESSIONS_PER_PEER = 16, /* begun by one peer: a program needs a handful, a flood more */
  WG_ENDED_MAX = 64,         /* ended sessions of peers that are remembered */
  WG_ATTEMPTS_MAX = 96,      /* of one session: plugins x families x route types x interfaces */
  WG_ATTEMPTS_RELAY = 16,    /* of these kept for the relay, which must not be crowded out */
  WG_TURN_LIMIT = 3,         /* relays tried at once: more only cost packets */
  WG_ATTEMPT_TIMEOUT_MS = 180000, /* of a plugin that names no ceiling: that of the longest one */
  WG_COMBINATION_TRIES = 2, /* of one combination on a peer's word: once, and once more when its
                               record of us was an old one */
  WG_STREAMS_MAX = 4,       /* accepted streams of one attempt: the peer dials one */
  WG_STREAMS_PUNCHED = 16,  /* streams of one that punches: random probing may hit as often */
  WG_INBOUND_MAX = 128, /* accepted streams whose hello has not come yet; then the oldest goes */
  WG_RELAYS_MAX = 8,    /* addresses: four servers in both families */
  WG_CONNECT_TIMEOUT_MS = 60000,
  WG_HEAD_START_MS = 200,
  WG_GRACE_MS = 12000, /* a ready relay waits this long for attempts that may still go direct */
  WG_RECORD_FRESH_MS = 600000, /* the owner of an older record is asked for its present one, at the
                                  price of a message each way that nothing waits for: a home router
                                  that starts again is up with other addresses in a few minutes */
  WG_RECORD_EARLY_MS = 30000, /* a younger one that lacks an address may be its owner's first, whose
                                 question for it was lost: that is known within a few seconds */
  WG_RECORD_KEPT_MS = 604800000, /* an expired record still leads to its owner's broker, who may
                                    have it from a week ago; its addresses are others' by then */
  WG_OPEN_REPEAT_MS = 1000, /* a broker takes a second to be back; doubles with every repetition */
  WG_OPEN_DOUBLED = 2,      /* times, to 4 s: who is back should not wait for long */
  WG_OPEN_REPEATS = 9,      /* half a minute in all: a router that starts again */
  WG_OPEN_UNSENT = 2,       /* repetitions for a message that no broker has taken yet */
  WG_REPORT_ANSWERS = 2,    /* of one session: the end may come while the first is on its way */
  WG_REPORT_DETAIL = 120,   /* bytes of each row's line, so that 18 rows fit into a message */
  WG_CROSSING_WAIT_MS =
      10000, /* of two connects that cross, one waits this long for the other:
                what it takes to probe at random; a peer that died costs no more */
  WG_RESPONDER_LINGER_MS =
      5000, /* a peer's session without a running attempt is forgotten after this */
};

/* A peer's connect became a pipe, or ended without one. The report lives until the callback
 * returns. */
typedef void (*wg_connect_on_pipe)(void *arg, warp_pipe *pipe, const warp_report *report);
typedef void (*wg_connect_on_miss)(void *arg, const warp_key *peer, int status,
                                   const warp_report *report);

/* Is there somebody for the pipe with this id, of a connect of this peer's? Asked before a stranger
 * is let in, and again when the pipe is there. */
typedef bool (*wg_connect_wants)(void *arg, const warp_key *peer, const warp_pipe_id *id);

typedef struct wg_connect_config {
  wg_env *env;
  const wg_log *log;     /* borrowed; NULL: the environment's */
  const wg_clock *clock; /* borrowed; NULL: this machine's */
  const wg_identity *identity;
  wg_router *router;                  /* NULL: no signalling */
  wg_mux *muxes[WG_RECORD_ENDPOINTS]; /* of the record's endpoints, in their order */
  bool loopback_only;
  uint8_t machine[WG_MACHINE_ID_LEN];
  uint64_t seed;
  warp_contact_policy policy; /* NULL: everybody */
  void *policy_arg;
  wg_settings settings;
  const warp_addr *stun_servers; /* borrowed */
  size_t stun_count;
  const warp_relay *relays; /* borrowed */
  size_t relay_count;
  const char *ca_file;    /* borrowed; authorities for TLS with relays, NULL: the system's */
  wg_plugin_list plugins; /* borrowed; NULL: the built-in ones */
  bool no_punching;       /* the punch and spray phases are left out, also at a peer's word */
} wg_connect_config;

/* What a connect is narrowed to; 0: any. */
typedef struct wg_connect_pin {
  int family;
  int route_type;
  struct wg_asking *asking; /* to no pipe at all, only to the peer's record; NULL: to a connect */
} wg_connect_pin;

int wg_connect_new(const wg_connect_config *config, wg_connect **out);
/* Ends all sessions (their callbacks run with WARP_CANCELED) and pipes. Memory goes with the next
 * turn of the loop: `done(arg)` runs then, last. */
void wg_connect_close(wg_connect *connect, void (*done)(void *arg), void *arg);
/* The node's present record and its signed bytes; copied. Before the first one nothing can connect.
 */
void wg_connect_set_record(wg_connect *connect, const wg_record *record, const uint8_t *bytes,
                           size_t len);
/* Why our own addresses may soon be other ones than the record says. */
typedef enum wg_unsettled {
  WG_UNSETTLED_INTERFACES = 1, /* something of them changed, and what that means is not known yet */
  WG_UNSETTLED_MAPPINGS = 2,   /* where one is seen from outside is being asked for */
} wg_unsettled;
/* From now on, until the same is settled, a connect of ours that has nothing left to try waits. */
void wg_connect_unsettle(wg_connect *connect, wg_unsettled why);
void wg_connect_settle(wg_connect *connect, wg_unsettled why);
/* The node's interface addresses are other ones: `muxes` are those of the present record's
 * endpoints, in their order, NULL behind the last, and `is_here` tells whether an address is still
 * one of the machine's. Attempts from an endpoint that the record does not have any more end, and
 * pipes from an address that is gone end with WARP_ADDR_NOT_AVAILABLE; datagram paths that can go
 * on from another shared socket do so. Nothing uses the muxes that are left out afterwards. Own
 * connects go on with the new endpoints. Runs callbacks of the program. */
typedef bool (*wg_connect_is_here)(void *arg, const warp_addr *addr);
void wg_connect_move(wg_connect *connect, wg_mux *const muxes[WG_RECORD_ENDPOINTS],
                     wg_connect_is_here is_here, void *arg);
/* The present record tells more of an endpoint than before: connects of our own use that too. */
void wg_connect_widen(wg_connect *connect);
/* So many of the borrowed lists of STUN servers and relays are filled in by now. */
void wg_connect_set_servers(wg_connect *connect, size_t stun_count, size_t relay_count);
/* Other plugins than those of the configuration, and the numbers set for them; the list is
 * borrowed, the settings are copied. Before the first session only. */
void wg_connect_set_plugins(wg_connect *connect, wg_plugin_list plugins,
                            const wg_settings *settings);
/* Who takes incoming pipes; without an on_pipe, and where `wants` (may be NULL: they are all
 * wanted) says no, strangers are refused. */
void wg_connect_listen(wg_connect *connect, wg_connect_wants wants, wg_connect_on_pipe on_pipe,
                       wg_connect_on_miss on_miss, void *arg);
/* Who is told of all that arrives at incoming pipes, also at those that are open already; NULL:
 * nobody. Pipes that became links, or went to a connect of ours, are left out. */
void wg_connect_set_tap(wg_connect *connect, warp_pipe_on_msg tap, void *arg);
/* Starts a connect to the owner of a signed record. Errors as warp_node_connect, whose plugin is
 * the only one in options.plugins. */
int wg_connect_start(wg_connect *connect, const uint8_t *record, size_t len, wg_connect_pin pin,
                     const warp_connect_options *options, warp_on_connect cb, void *arg);
/* Asks the owner of a signed record for its present one. As warp_node_resolve. */
int wg_connect_resolve(wg_connect *connect, const uint8_t *record, size_t len, warp_on_name cb,
                       void *arg);
/* A checked message of a peer. */
void wg_connect_on_message(wg_connect *connect, const warp_key *sender, const wg_message *message);
/* An accepted stream; taken over. */
void wg_connect_on_stream(wg_connect *connect, wg_tcp *tcp, const warp_addr *from);

#endif
