/* Sessions and attempts as the files of this room share them. Not for other rooms. */
#ifndef WG_CONNECT_SESSION_H
#define WG_CONNECT_SESSION_H

#include "base/rng.h"
#include "connect/connect.h"
#include "connect/unheard.h"

typedef struct wg_session wg_session;

/* What is behind one interface address of ours, and what our attempts may put on it. */
typedef struct wg_gateway {
  warp_addr nic; /* family 0: not in use */
  size_t attempts;
  wg_budget budget;
} wg_gateway;
/* The one that attempts from this interface address share. */
wg_gateway *wg_connect_gateway(wg_connect *connect, const warp_addr *nic);

/* ---- attempts -------------------------------------------------------------------------------- */

typedef enum wg_attempt_state {
  WG_ATTEMPT_RULED_OUT, /* never starts: the measured axes or the configuration say so */
  WG_ATTEMPT_WAITING,   /* its phase has not come */
  WG_ATTEMPT_RUNNING,
  WG_ATTEMPT_KEPT, /* over, but the winning pipe lives on what the plugin holds */
  WG_ATTEMPT_ENDED,
} wg_attempt_state;

typedef struct wg_attempt_timer {
  wg_timer timer;
  warp_attempt_cb cb;
  warp_attempt *attempt;
} wg_attempt_timer;

typedef struct wg_opening wg_opening; /* the first message, while nothing was heard of it */
typedef struct wg_proof wg_proof;     /* proof.h: that the peer is where it says, in our network */

struct warp_attempt {
  wg_session *session;
  const warp_plugin *plugin;
  uint16_t number; /* the initiator's; unique in the session; 0: of the plugin that runs a phase */
  wg_attempt_state state;
  warp_combo combo;
  warp_endpoint self, peer;
  uint8_t self_index, peer_index;
  void *plugin_state;
  wg_rng rng;
  bool expecting; /* streams the peer dials may carry it */
  bool keep;      /* warp_attempt_keep was called */
  bool opened;    /* our first message went out */
  wg_opening *opening;
  wg_proof *proof; /* NULL: none is needed */
  bool stopped;    /* the plugin's stop has returned: it may call nothing any more */
  bool breached;   /* the plugin broke the contract, and the row says so */
  int blamed;      /* warp_attempt_blame */
  bool told;       /* the peer reported its side as failed: it need not be told of ours */
  uint64_t started_us;
  wg_timer deadline;
  wg_attempt_timer timers[WARP_ATTEMPT_TIMERS];
  wg_gateway *gateway;
  unsigned granted[WARP_BUDGET_SYNS + 1]; /* flows and SYNs that are not in use yet */
  warp_path *path;    /* lives as long as the attempt, because the plugin holds it too */
  wg_list candidates; /* wg_candidate: pipes in handshake or waiting for nomination */
  wg_list dials;      /* wg_dial: connections that are not open yet */
  wg_list sockets;    /* warp_udp_socket */
  size_t socket_count;
  uint32_t sockets_opened; /* so far: the number of the latest */
  wg_list ports;           /* warp_tcp_port */
  size_t port_count;
  wg_list server_streams; /* warp_server_stream */
  bool punches; /* has had a TCP port: streams may come by it, and one that fails is not all */
  uint8_t stream_tag_in[WG_TAG_LEN], stream_tag_out[WG_TAG_LEN]; /* of an attempt that punches */
  warp_report_row row;
};

/* A pipe that is not the application's yet. */
typedef struct wg_candidate {
  wg_list link; /* in its attempt, or in the switchboard's inbound list before the hello */
  wg_connect *connect;
  warp_attempt *attempt; /* NULL before the hello */
  warp_pipe *pipe;
  warp_transport transport;
  bool relayed;
  bool secured;
  struct wg_arrival *arrival; /* accepted and nothing heard yet: no pipe either */
} wg_candidate;

/* An attempt that is not in its session's list. NULL when out of memory. */
warp_attempt *wg_attempt_new(wg_session *session, const warp_plugin *plugin, uint16_t number,
                             const warp_combo *combo);
/* Adds an attempt to the session. NULL when out of memory or over WG_ATTEMPTS_MAX. */
warp_attempt *wg_attempt_add(wg_session *session, const warp_plugin *plugin, uint16_t number,
                             const warp_combo *combo);
/* Runs the plugin; on the responder with the peer's first message. */
void wg_attempt_run(warp_attempt *attempt, const wg_message *message);
/* Ends it (if it has not ended): the plugin stops, everything it opened closes but what `winner`
 * stands on. */
void wg_attempt_end(warp_attempt *attempt, int status, const wg_candidate *winner);
/* Ends what a kept attempt still holds: its pipe was closed. */
void wg_attempt_release(warp_attempt *attempt);
void wg_attempt_free(warp_attempt *attempt);
bool wg_attempt_alive(const warp_attempt *attempt); /* waiting or running */
/* Opens a pipe over a carrier for the attempt (client or server by `client`), with the hello the
 * client sends. */
int wg_attempt_secure(warp_attempt *attempt, warp_pipe_kind kind, bool client,
                      const wg_carrier_ops *ops, void *carrier, bool relayed, warp_pipe **out);
extern const wg_pipe_callbacks wg_candidate_callbacks;
void wg_candidate_free(wg_candidate *candidate);
/* Takes an accepted stream whose hello named this attempt. WARP_UNTRUSTED when it expects none,
 * WARP_LIMIT when it has enough. */
int wg_attempt_take_stream(warp_attempt *attempt, wg_candidate *candidate);

/* May one more stream become a candidate of the attempt? */
bool wg_attempt_has_room(const warp_attempt *attempt);
/* The tags of what the peer and we send for it. What key agreement says: WARP_NOMEM, ... */
int wg_attempt_tags(const warp_attempt *attempt, uint8_t in[WG_TAG_LEN], uint8_t out[WG_TAG_LEN]);

/* The peer was heard of in this attempt, or it is over: its first message is not repeated any more.
 */
void wg_opening_end(warp_attempt *attempt);
/* Is there a first message that no broker has taken yet? */
bool wg_opening_unsent(const warp_attempt *attempt);
/* Tells the peer, if it knows of the attempt and has not said the same, by FAIL what stands in the
 * row. */
void wg_attempt_tell_failed(warp_attempt *attempt);

/* May the peer have us contact this address for the attempt? WARP_OK; WARP_UNTRUSTED, also for
 * another family than the attempt's. Over TCP also where the peer has answered from. */
int wg_attempt_may_contact(const warp_attempt *attempt, warp_transport transport,
                           const warp_addr *to);

/* ---- budgets --------------------------------------------------------------------------------- */

/* A socket, port or dial that is being opened uses up one of the flows or SYNs that the attempt was
 * granted. False when there is none: then it is not counted. */
bool wg_attempt_spend(warp_attempt *attempt, warp_budget budget);
/* What used one up is closed. */
void wg_attempt_refund(warp_attempt *attempt, warp_budget budget);
/* Gives back what is granted and not used. */
void wg_attempt_give_all(warp_attempt *attempt);

/* ---- sockets of the plugin's own --------------------------------------------------------------
 */

typedef struct wg_udp_measure wg_udp_measure; /* a question to a STUN server */
struct warp_udp_socket {
  wg_list link;
  warp_attempt *attempt;
  wg_udp *udp;
  warp_udp_received cb;    /* may be NULL */
  uint32_t number;         /* in the attempt, from 1 on, never used again */
  bool counted;            /* as a flow of the budget */
  warp_path *path;         /* whose packets it takes; NULL: none */
  wg_udp_measure *measure; /* under way, or NULL */
};
/* Takes the answer to a question; false when the datagram is none. The socket may be closed
 * within. */
bool wg_measure_input(warp_udp_socket *socket, const uint8_t *data, size_t len,
                      const warp_addr *from);
/* Forgets the question, if any. */
void wg_measure_free(warp_udp_socket *socket);
/* The open socket of this number, or NULL. */
warp_udp_socket *wg_socket_find(const warp_attempt *attempt, uint32_t number);
/* Closes all of them. */
void wg_sockets_close(warp_attempt *attempt);
/* The path won: closes all that it does not stand on. It closes the others when it ends. */
void wg_sockets_keep(warp_attempt *attempt, const warp_path *path);

/* ---- plugins that break the contract ----------------------------------------------------------
 */

/* Says in the log and in the attempt's row that its plugin did something it may not. */
void wg_attempt_breach(warp_attempt *attempt, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The error that a plugin gave to `from`: one of ours, or WARP_IO for what is none. */
int wg_attempt_status(warp_attempt *attempt, int status, const char *from);
/* The ceiling of the plugin's attempts. */
uint32_t wg_plugin_timeout_ms(const warp_plugin *plugin);

/* ---- paths ----------------------------------------------------------------------------------- */

/* Nothing is sent or heard over it any more, unless a pipe stands on it: that closes it when it
 * ends. */
void wg_path_close(warp_path *path);
/* The attempt won: when a pipe stands on the path, what is heard from elsewhere is now a peer that
 * has moved, and the attempt's sockets that are still open at its end are the path's to close.
 * False without a pipe. */
bool wg_path_won(warp_path *path);
/* Has the peer been heard on it? */
bool wg_path_heard(const warp_path *path);
/* Does the pipe stand on it? */
bool wg_path_carries(const warp_path *path, const warp_pipe *pipe);
/* The mux that it sends and hears by; NULL: it has sockets of its own, or is closed. */
wg_mux *wg_path_mux(const warp_path *path);
/* The mux is about to close: goes on by another one, from where the peer, who knows us by the tag,
 * learns our new address. False when the peer's NAT is not known to let that in: it has to end. */
bool wg_path_move(warp_path *path, wg_mux *to);
/* Is the socket one that the path sends by, or that the peer has spoken to? */
bool wg_path_stands_on(const warp_path *path, const warp_udp_socket *socket);
/* A datagram came on the socket of this number, 0 for the one the path began with. False when it is
 * not of this path. The path may be closed within, not freed. */
bool wg_path_input(warp_path *path, uint32_t socket, const uint8_t *data, size_t len,
                   const warp_addr *from);
/* Frees a closed path. */
void wg_path_free(warp_path *path);

/* ---- streams --------------------------------------------------------------------------------- */

/* Wraps a connection as a carrier: `*pipe` is set by the caller once the pipe exists. */
typedef struct wg_stream {
  wg_env *env;
  wg_tcp *tcp;
  warp_pipe *pipe;
  bool strips; /* a preamble may come first */
  uint8_t tag[WG_TAG_LEN];
  uint8_t head[WG_PREAMBLE_LEN];
  size_t head_len;
} wg_stream;
extern const wg_carrier_ops wg_stream_carrier;
/* Takes over an open connection. NULL when out of memory (the connection is then reset). */
wg_stream *wg_stream_new(wg_env *env, wg_tcp *tcp);
/* A preamble with this tag may come before the first byte of TLS: it is taken off. Another one ends
 * the stream with WARP_UNTRUSTED. */
void wg_stream_strip_preamble(wg_stream *stream, const uint8_t tag[WG_TAG_LEN]);
/* Gives up all connections of an attempt that are not open yet. */
void wg_dials_abort(warp_attempt *attempt);

/* ---- accepted streams ------------------------------------------------------------------------ */

/* Forgets one that belongs to no attempt yet: its connection is reset. */
void wg_inbound_drop(wg_candidate *candidate);

/* ---- TCP ports ------------------------------------------------------------------------------- */

/* Closes what the attempt's ports hold of the system; the plugin may still hold them. */
void wg_ports_shut(warp_attempt *attempt);
void wg_ports_close(warp_attempt *attempt);

/* ---- connections to servers ------------------------------------------------------------------ */

void wg_server_streams_close(warp_attempt *attempt);

/* ---- sessions -------------------------------------------------------------------------------- */

typedef enum wg_session_state {
  WG_SESSION_RACING,
  WG_SESSION_YIELDED,   /* a connect of ours that waits for the peer's own, which crosses it */
  WG_SESSION_CONNECTED, /* the winner is nominated and the application's; lives as long as its pipe
                         */
  WG_SESSION_DEAD,      /* waits for its memory to be freed */
} wg_session_state;

struct wg_session {
  wg_list link;
  wg_connect *connect;
  wg_session_id id;
  warp_role role;
  wg_session_state state;
  warp_key peer;
  wg_record peer_record;
  uint64_t begun_us;
  uint64_t tried_us; /* when the race began, which may be later, and anew */
  warp_attempt *attempts[WG_ATTEMPTS_MAX];
  size_t attempt_count;
  int step;                   /* initiator: of the race, the latest that has started */
  uint64_t step_due_us;       /* when the next one was to start as the race was renewed; 0: none */
  const warp_plugin *renewer; /* initiator: brought a newer record, and need not do so again */
  warp_attempt *runner;       /* initiator: of the plugin that runs this step's attempts, or NULL */
  uint16_t last_number;       /* initiator: of the attempts */
  uint16_t first_number;      /* attempts up to this one were of an earlier try that gave way */
  bool only_asks;             /* responder: no pipe comes of it, the peer wants our record */
  bool apart;                 /* a program named its id: it crosses no other */
  bool record_told;  /* the peer went by an old record of ours and has got the present one */
  unsigned renewals; /* newer records of the peer that came with its messages */
  bool report_asked; /* the peer wants our report when this is over */
  unsigned reports_sent;
  bool peer_told;                        /* the peer knows of this session */
  warp_addr proven[WG_RECORD_ENDPOINTS]; /* proof.h: where in our networks the peer answers from */
  size_t proven_count;
  unsigned proof_packets; /* sent for that */
  wg_timer deadline;
  /* initiator */
  warp_connect_options options;
  char *plugins;                      /* copy of options.plugins */
  struct wg_explanation *explanation; /* promised to the caller, until it begins */
  int family;                         /* 0: any */
  unsigned route_types;               /* bits */
  warp_on_connect cb;
  void *cb_arg;
  struct wg_asking *asking; /* who waits for the peer's record only; NULL: it is a connect */
  bool expired;             /* the peer's record: nothing may be tried with its addresses */
  wg_session_id awaited;    /* yielded: the peer's session; zero: one that has not come yet */
  bool patient;             /* has waited for it a second time */
  bool overtaken;           /* the peer said that another session goes on instead */
  bool crossed;             /* the peer would not take part because a connect of its own races, or,
                               where a program named the id, somebody else has it */
  wg_timer phase_timer; /* initiator: the next phase, or yielded, how long to wait; responder: how
                           long to wait for more */
  wg_timer grace;       /* how long a ready relay waits */
  warp_pipe *pipe;      /* the application's */
};

wg_session *wg_session_new(wg_connect *connect, const wg_session_id *id, warp_role role,
                           const wg_record *peer_record);
/* The only place where the state changes; keeps count of the racing sessions. */
void wg_session_move(wg_session *session, wg_session_state to);
warp_attempt *wg_session_attempt(wg_session *session, uint16_t number);
/* Something of an attempt ended without success: goes on to the next phase, or ends the session. */
void wg_session_attempt_ended(wg_session *session);
/* Initiator: the relayed candidate that is ready, or NULL. */
wg_candidate *wg_session_relay(const wg_session *session);
/* A candidate is secured and its peer proven. */
void wg_session_secured(wg_session *session, wg_candidate *candidate);
/* Responder: the initiator chose this one. */
void wg_session_nominated(wg_session *session, wg_candidate *candidate);
/* Ends a session that has no pipe: attempts end, the peer is told unless it told us, the callback
 * runs. */
void wg_session_fail(wg_session *session, int status, bool tell_peer);
/* Makes the winner the application's pipe and stops the rest. */
void wg_session_win(wg_session *session, wg_candidate *candidate);
/* What the pipe of a connected session stood on is gone: the pipe ends. */
void wg_session_lose(wg_session *session, int status);
/* A message of this session, from its peer. */
void wg_session_message(wg_session *session, const wg_message *message);
/* The peer's program connects to us by the id that ours named: so nobody awaits the pipe at either
 * end, and both connects end, ours with the next turn of the loop. */
void wg_session_same_id(wg_session *session);
/* Starts an attempt on the peer's word (responder), or finds it when it is known. WARP_OK with the
 * attempt, which may have ended already, or why not. */
int wg_session_open_attempt(wg_session *session, const wg_message *message, warp_attempt **out);
void wg_session_free(wg_session *session);
/* Sends END with a status to the peer. */
void wg_session_send_end(wg_session *session, int status);
/* Tells the peer that the session `by` goes on instead of this one. */
void wg_session_send_overtaken(wg_session *session, const wg_session_id *by);
/* Ends every attempt but `but`; those that had not begun say `why`. */
void wg_session_cancel_attempts(wg_session *session, const warp_attempt *but, const char *why);
/* Frees the attempts that never ran, and lets new ones take the place of the others. Not from
 * within an attempt. */
void wg_session_forget_attempts(wg_session *session);

/* ---- crossing: both nodes connect to each other ---------------------------------------------- */

/* Does our connect go on when one of the peer's crosses it? */
bool wg_crossing_goes_first(const wg_session *own);
/* A connect of ours to the peer that races, or waits for a session that has not come: the one that
 * a session begun by the peer now crosses. NULL when there is none. */
wg_session *wg_crossing_find(wg_connect *connect, const warp_key *peer);
/* Has a connect that begins wait for a session of the peer's that is under way; false when there is
 * none. */
bool wg_crossing_join(wg_session *own);
/* Our connect gives way to the session `to` of the peer's (all zeros: whichever comes). */
void wg_crossing_yield(wg_session *own, const wg_session_id *to);
/* Our connect ran out of attempts: waits for the peer's when that is known to cross it. */
bool wg_crossing_hold_on(wg_session *own);
/* A connect that waited starts its race anew, with the next turn of the loop. */
void wg_crossing_resume(wg_session *own);
/* Tells the peer that its session `theirs` is not taken because ours goes first. */
void wg_crossing_refuse(wg_session *own, const wg_session_id *theirs);
/* Is this an END in favour of another session? */
bool wg_crossing_overtaken(const wg_message *message, wg_session_id *by);
/* A session of the peer's ended without a pipe: a connect that waited for it goes on. True if one
 * did. */
bool wg_crossing_ended(wg_connect *connect, const warp_key *peer, const wg_session_id *id);
/* Whose connect gets the pipe of a session that the peer began; NULL: nobody's. */
wg_session *wg_crossing_heir(const wg_session *session, const wg_candidate *candidate);

/* ---- records that come by themselves --------------------------------------------------------- */

/* Of one session: a peer that changes its addresses more often has other troubles. */
enum { WG_RECORD_RENEWALS = 4 };

/* What a checked message tells of records: takes the peer's in it if it is newer than what the
 * session goes by, and sends ours if the peer goes by one with other addresses. */
void wg_session_heed_records(wg_session *session, const wg_message *message);

/* ---- asking the peer for its record ---------------------------------------------------------- */

enum { WG_ATTEMPT_ASKS = 0 }; /* number of the attempt of a session that is no connect */

/* Adds the attempt that asks, if the peer's record is old or lacks an address that the peer may
 * have learned since, or that is all the session is for. WARP_NOMEM; and where it would be needed:
 * WARP_EXPIRED, WARP_NO_SERVER, WARP_UNREACHABLE. */
int wg_ask_build(wg_session *session);
/* Is the peer's record one of those that a node issues before it has learned all its addresses? A
 * newer one may follow within seconds. */
bool wg_ask_is_early(const wg_session *session);
/* The peer's checked record has come to a session that only asks, which ends. */
void wg_asking_answered(wg_session *session, const uint8_t *record, size_t len);
/* Does the plugin bring pipes, or only messages? */
static inline bool wg_plugin_connects(const warp_plugin *plugin) {
  return plugin->transports != 0;
}

/* ---- race: which attempts there are and when they start (initiator) -------------------------- */

/* Lists every combination of the present records that is not listed yet, ruled out ones with their
 * reason. WARP_NOMEM. */
int wg_race_build(wg_session *session);
/* Do two endpoints have the same addresses? */
bool wg_endpoint_same(const warp_endpoint *a, const warp_endpoint *b);
/* Is the attempt one of this plugin over this route and transport, between the same addresses? */
bool wg_attempt_is_for(const warp_attempt *attempt, const warp_plugin *plugin,
                       const warp_combo *combo);
/* Does the configuration let attempts of this plugin run? */
bool wg_plugin_allowed(const wg_connect *connect, const warp_plugin *plugin);
/* Starts the first phase that has something to try. */
void wg_race_start(wg_session *session);
/* An attempt ended: starts the next phase if nothing of the started ones runs. False when nothing
 * is left to wait for. */
bool wg_race_continue(wg_session *session);
/* The peer's record is a newer one: starts what it allows. */
void wg_race_renewed(wg_session *session);
/* Is an attempt alive that could still give a direct pipe? */
bool wg_race_direct_alive(const wg_session *session);

/* ---- report ---------------------------------------------------------------------------------- */

/* Rows of all attempts and what the NATs are; `rows` has room for WG_ATTEMPTS_MAX. */
warp_report wg_session_report(const wg_session *session, warp_report_row *rows);

typedef struct wg_explanation wg_explanation;
/* The session is over, with a pipe or without: tells the peer, who asked for it, how it went here.
 */
void wg_explain_answer(wg_session *session);
/* A REPORT of a peer. May run a callback of the program. */
void wg_explain_message(wg_connect *connect, const warp_key *sender, const wg_message *message);
/* Asks the peer for its report. False when that cannot be sent. */
bool wg_explain_ask(wg_session *session);
/* A connect whose caller wants to have it explained takes the memory for that with it, since the
 * call is promised. WARP_NOMEM. */
int wg_explain_promise(wg_session *session);
/* The session is over: if its caller wants to have it explained, he gets this report, with the
 * peer's rows in it when it `comes`. */
void wg_explain_begin(const wg_session *session, wg_session *caller, const warp_report *report,
                      bool comes);
/* Forgets all that wait. */
void wg_explain_cancel(wg_connect *connect);

/* May the attempt send one more packet, or dial, where nothing of the peer came from yet? What we
 * began ourselves always may; a peer's only as far as unheard.h says. */
bool wg_attempt_may_send(warp_attempt *attempt, const warp_addr *to);

/* ---- the switchboard ------------------------------------------------------------------------- */

typedef struct wg_ended {
  warp_key peer;
  wg_session_id id;
} wg_ended;

struct wg_connect {
  wg_connect_config config;
  wg_record record;
  wg_contact_self self;
  uint8_t record_bytes[WARP_RECORD_MAX];
  size_t record_len;       /* 0: no record yet */
  uint64_t moved_sequence; /* of the first record with the present addresses */
  wg_gateway gateways[WG_RECORD_ENDPOINTS];
  wg_unheard unheard; /* what peers' words have us send */
  wg_list sessions, inbound, dead;
  wg_list explanations; /* wg_explanation */
  size_t racing_count, inbound_count;
  wg_ended ended[WG_ENDED_MAX]; /* the latest of peers' sessions: a message that comes late
                                        must not begin one again */
  size_t ended_next;
  wg_connect_wants wants;
  wg_connect_on_pipe on_pipe;
  wg_connect_on_miss on_miss;
  void *listen_arg;
  warp_pipe_on_msg tap; /* of incoming pipes; NULL: none */
  void *tap_arg;
  wg_timer reaper;              /* frees the dead with the next turn of the loop */
  struct wg_tls_context *trust; /* authorities for TLS with servers; NULL until they are needed */
  unsigned unsettled;           /* bits of wg_unsettled */
  unsigned stopping; /* plugins' stop on the stack: whose session is about to change its state */
  bool closing;
  void (*closed)(void *arg);
  void *closed_arg;
};

/* Takes the session out of the living; freed with the next turn of the loop. */
void wg_connect_bury(wg_connect *connect, wg_session *session);
/* The shared socket of an endpoint of our record; NULL: there is none. */
wg_mux *wg_connect_mux(const wg_connect *connect, size_t endpoint);
/* A message of this session that comes from this peer later does not begin it. */
void wg_connect_remember(wg_connect *connect, const warp_key *peer, const wg_session_id *id);
/* Lets a peer's session in, or says why not. WARP_CANCELED: it gets no answer; WARP_STATE: a
 * connect of ours to it goes first, and it was told so, or its id is that of a session with
 * somebody else, who keeps it. The policy is asked before anything else happens on a stranger's
 * word, and may close the node. `record` gets the sender's. */
int wg_connect_admit(wg_connect *connect, const warp_key *sender, const wg_message *message,
                     wg_record *record, wg_session **out);
wg_session *wg_connect_find(wg_connect *connect, const wg_session_id *id);
/* Is there somebody for a pipe that a peer brings by the session with this id? */
bool wg_connect_wanted(const wg_connect *connect, const warp_key *peer, const wg_session_id *id);

#endif
