/*
 * What a traversal plugin is, and all it gets of the world.
 *
 * A plugin describes itself by a constant `warp_plugin`. For each valid combination of plugin,
 * family, route type and transport the race makes an attempt; the plugin runs it on the initiator
 * with `run`, and on the responder with `run` too when the peer's first message for it arrives. An
 * attempt succeeds by handing a socket or a path to be secured: the first one that is secured and
 * nominated wins the connect. It ends early by warp_attempt_fail. Either way `stop` is called once,
 * and everything that was opened through the context (timers, sockets, paths, expectations) is
 * closed by the context afterwards; only a loser's pipe says good-bye before, while the plugin
 * still carries it. The functions below may be called until `stop` returns: of an attempt that has
 * ended, or on a path whose pipe has, they do nothing, or return WARP_STATE.
 *
 * NULL for an object, an address, an output or a callback that is not said to be optional is
 * WARP_INVALID; a function without a status does nothing then, and gives 0, NULL or false. A port,
 * socket or stream that the plugin closed must not be touched any more.
 */
#ifndef WARPGATE_PLUGIN_H
#define WARPGATE_PLUGIN_H

#include <warpgate/warpgate.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a plugin built against an older header would misbehave. */
enum { WARP_PLUGIN_VERSION = 2 };

/* ---- what is known of a NAT ------------------------------------------------------------------ */

/* RFC 4787 sections 4.1 and 5. Larger is harder. */
typedef enum warp_nat_dependence {
  WARP_NAT_UNKNOWN = 0,
  WARP_NAT_ENDPOINT_INDEPENDENT = 1,
  WARP_NAT_ADDRESS_DEPENDENT = 2,
  WARP_NAT_ADDRESS_AND_PORT_DEPENDENT = 3,
} warp_nat_dependence;

typedef enum warp_nat_allocation {
  WARP_ALLOC_UNKNOWN = 0,
  WARP_ALLOC_PRESERVING = 1,
  WARP_ALLOC_SEQUENTIAL = 2,
  WARP_ALLOC_RANDOM = 3,
} warp_nat_allocation;

typedef enum warp_nat_translation {
  WARP_TRANSLATION_UNKNOWN = 0,
  WARP_TRANSLATION_NONE = 1, /* the outside sees the interface's own address and port */
  WARP_TRANSLATION_NAT = 2,
} warp_nat_translation;

/* Something that a NAT does or does not do. */
typedef enum warp_nat_ability {
  WARP_ABILITY_UNKNOWN = 0,
  WARP_ABILITY_NO = 1,
  WARP_ABILITY_YES = 2,
} warp_nat_ability;

/* Measured behaviour, apart for each transport. */
typedef struct warp_nat_axes {
  uint8_t translation;          /* warp_nat_translation */
  uint8_t mapping;              /* warp_nat_dependence */
  uint8_t filtering;            /* warp_nat_dependence */
  uint8_t allocation;           /* warp_nat_allocation */
  int16_t step;                 /* of a sequential allocation */
  uint8_t confidence;           /* 0 (nothing measured) to 100 */
  uint8_t hairpin;              /* warp_nat_ability: RFC 4787 section 6 */
  uint8_t reuse;                /* warp_nat_ability: an answer to a session that began outside keeps
                                   the mapping it came in by */
  uint16_t port_low, port_high; /* external ports that were seen lie in here; 0, 0: not known */
  uint16_t lifetime_s;          /* of an idle mapping; 0: not known */
  uint16_t age_s; /* of the measurement when the record was issued; 65535: that or more */
} warp_nat_axes;

/* One interface and family of a node, as its signed record says it. */
typedef struct warp_endpoint {
  uint8_t family;
  uint8_t prefix_bits;    /* of the interface's network */
  warp_addr nic;          /* interface address and listen port (TCP and UDP) */
  warp_addr external_udp; /* server-reflexive (RFC 8445) address of the shared UDP socket; family 0:
                             unknown */
  warp_addr external_tcp; /* the same of the TCP listen port */
  uint8_t port_mapped; /* bits of warp_transport: the router was asked to let everybody in at that
                          external address (UPnP IGD, NAT-PMP), and has granted it */
  warp_nat_axes udp, tcp;
} warp_endpoint;

/* ---- attempts -------------------------------------------------------------------------------- */

typedef struct warp_attempt warp_attempt;
typedef enum warp_role { WARP_INITIATOR = 1, WARP_RESPONDER = 2 } warp_role;

/* What an attempt combines. The endpoints live as long as the attempt. */
typedef struct warp_combo {
  uint8_t family;
  uint8_t route_type; /* WARP_NIC_BIND: between interface addresses; WARP_EXT_BIND: external ones */
  uint8_t transport;  /* warp_transport; of a plugin that relays, bits of those that it may use */
  const warp_endpoint *self, *peer; /* of the family, but a relay's may differ: see `relays` */
} warp_combo;

/* A number that a person may set as "PLUGIN.NAME=VALUE" (warp_conf.settings). */
typedef struct warp_setting {
  const char *name; /* at most 23 characters a-z, 0-9 and _ */
  uint64_t fallback, least, most;
  const char *help; /* one line, with the unit */
} warp_setting;

typedef struct warp_plugin {
  uint32_t interface_version; /* WARP_PLUGIN_VERSION */
  const char *name;           /* at most 23 characters a-z, 0-9 and _ */
  warp_phase phase;           /* WARP_PHASE_NONE: only when pinned by name */
  unsigned transports;        /* bits of warp_transport; 0: it brings no pipe, only messages */
  unsigned route_types;       /* bits of WARP_NIC_BIND, WARP_EXT_BIND */
  uint32_t timeout_ms;        /* ceiling of one attempt */
  /* Through a relay: one attempt for all transports, because they only bring us to the relay. And
   * where no two endpoints are of one family, or no relay is, one with `family` that of the peer's
   * endpoint, as the responder's own one then is: the initiator's relay is to be of its own
   * endpoint's family, and to relay the other. */
  bool relays;
  size_t state_size;            /* bytes of zeroed state that each attempt gets */
  const warp_setting *settings; /* ends with a name of NULL; NULL: none */
  /* Once for each node, when it sets its plugins up. An error leaves the plugin out of this node
   * and is named in the start event. May be NULL. */
  int (*setup)(void);
  /* On the initiator, before anything is started: can it work, by what is measured? WARP_OK, or
   * WARP_RULED_OUT with one line in `why`. NULL: always worth a try. */
  int (*check)(const warp_combo *combo, char *why, size_t room);
  /* Starts. `message` is NULL on the initiator, the peer's first message on the responder. An error
   * ends the attempt at once. */
  int (*run)(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len);
  /* A later message of the peer for this attempt; one that it sent before it heard of us may come
   * twice. May be NULL. */
  void (*message)(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len);
  /* The attempt is over, won or not: free what the context does not know of. May be NULL. */
  void (*stop)(warp_attempt *attempt);
  const char *answered_by; /* which plugin runs it at the peer; NULL: the one of the same name */
} warp_plugin;

/* The attempt's own state_size bytes, zeroed at first; freed with the attempt. */
WARP_API void *warp_attempt_state(warp_attempt *attempt);
/* WARP_INITIATOR on the node that began the connect. */
WARP_API warp_role warp_attempt_role(const warp_attempt *attempt);
/* What it combines; lives as long as the attempt. */
WARP_API const warp_combo *warp_attempt_combo(const warp_attempt *attempt);
/* Monotonic time. */
WARP_API uint64_t warp_attempt_now_us(const warp_attempt *attempt);
/* Uniform in 0 .. bound-1 from a seeded stream of the plugin's own. Not for secrets. */
WARP_API uint32_t warp_attempt_random(warp_attempt *attempt, uint32_t bound);
/* Bytes from the system's randomness, for transaction ids. WARP_IO. */
WARP_API int warp_attempt_entropy(warp_attempt *attempt, void *out, size_t len);

/* The time of day that the peer can know too: microseconds since 1970 UTC by the NTP servers, or by
 * this machine's clock when none was asked. `*uncertainty_us` (may be NULL) is how far it may be
 * off either way; UINT32_MAX: nobody knows. */
WARP_API int64_t warp_attempt_utc_us(const warp_attempt *attempt, uint32_t *uncertainty_us);
/* The value of the plugin's setting `name`, or its fallback. */
WARP_API uint64_t warp_attempt_setting(const warp_attempt *attempt, const char *name);

/* What an attempt may put on the way to the gateway of its interface is shared with all others
 * there, because home routers put up with only so much before they stop or take us for a scan. */
typedef enum warp_budget {
  WARP_BUDGET_PROBES = 1, /* packets to ports that are guessed; by the second */
  WARP_BUDGET_FLOWS = 2,  /* sockets and ports that open a mapping of their own; alive at once */
  WARP_BUDGET_SYNS = 3,   /* TCP connections that are not open yet; alive at once */
} warp_budget;
/* Takes up to `want` of a budget and returns how many were granted. When fewer are, `*retry_ms`
 * (may be NULL) is when to ask again. A socket, port or dial that is opened uses up a flow or SYN
 * that was granted and gives it back when it is closed; those that are not used go back by
 * warp_attempt_give, or with the attempt's end. */
WARP_API unsigned warp_attempt_take(warp_attempt *attempt, warp_budget budget, unsigned want,
                                    uint32_t *retry_ms);
WARP_API void warp_attempt_give(warp_attempt *attempt, warp_budget budget, unsigned count);

/* One-shot timers in numbered slots; setting a slot again replaces its timer. Slots above the last
 * and attempts that have ended are ignored. No plugin of ours needs more than three. */
enum { WARP_ATTEMPT_TIMERS = 4 };
/* The timer ran out; called from the loop. */
typedef void (*warp_attempt_cb)(warp_attempt *attempt);
/* Has `cb` called once, in `delay_ms`. */
WARP_API void warp_attempt_timer(warp_attempt *attempt, unsigned slot, uint32_t delay_ms,
                                 warp_attempt_cb cb);
/* Forgets the timer of a slot; nothing when none is set. */
WARP_API void warp_attempt_timer_stop(warp_attempt *attempt, unsigned slot);

/* What the report will say of this attempt if it ends now; replaces the line before. */
WARP_API void warp_attempt_note(warp_attempt *attempt, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What stood in the way on this side already: if the peer ends the attempt now, the report gives
 * this as the status instead of the peer's. WARP_OK: nothing; what is no status counts as WARP_IO.
 */
WARP_API void warp_attempt_blame(warp_attempt *attempt, int status);
/* Ends the attempt; the peer is told. Nothing of it runs after the present callback. Of one that
 * was kept (warp_attempt_keep) it ends the pipe, whose on_end gets the status, at both sides. */
WARP_API void warp_attempt_fail(warp_attempt *attempt, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Of one message: it takes a record, and with the one that goes with it, and the sealing, fits into
 * a signal. */
enum { WARP_ATTEMPT_MESSAGE_MAX = WARP_RECORD_MAX };
/* Sends a message of the plugin's own to the same attempt at the peer, sealed and signed. The first
 * one makes the peer's node start the attempt there. At most WARP_ATTEMPT_MESSAGE_MAX bytes.
 * WARP_NO_SERVER when no broker is shared, WARP_TOO_BIG, WARP_LIMIT (too many wait for a broker),
 * WARP_STATE, WARP_NOMEM. */
WARP_API int warp_attempt_signal(warp_attempt *attempt, uint8_t type, const void *data, size_t len);

/* ---- streams --------------------------------------------------------------------------------- */

/* Dials the peer; when connected the stream is secured (the dialler is the TLS client) and takes
 * part in the race, and if dialling or securing fails the attempt fails. To an interface address in
 * a network that the peer claims to share the SYN waits until the peer has answered from there, and
 * the attempt fails when it does not. WARP_UNTRUSTED when the
 * address is none that the peer may name (loopback, or a LAN that is not shared); WARP_LIMIT when
 * all that peers began has sent enough to the address for now;
 * WARP_STATE, WARP_NOMEM, and what the system says at once (WARP_UNREACHABLE, WARP_IO). */
WARP_API int warp_attempt_dial(warp_attempt *attempt, const warp_addr *to);
/* Streams of this session that the peer dials to our listener may carry this attempt from now on.
 */
WARP_API void warp_attempt_expect(warp_attempt *attempt);

/*
 * A local TCP port for simultaneous open (RFC 5382 REQ-2, RFC 9293 section 3.5): connections leave
 * from it and arrive at it. Every connection that comes to be, dialled or accepted, is secured as a
 * candidate of the attempt; the initiator is the TLS client on all of them, whoever dialled, and
 * its nomination decides between several. So several may be up at once, and one that fails does not
 * end the attempt: that is the plugin's to do.
 */
typedef struct warp_tcp_port warp_tcp_port;
/* A connection that was dialled is open (WARP_OK: it is being secured) or ended (WARP_CONN_REFUSED,
 * WARP_TIMEOUT, WARP_UNREACHABLE, ...; the same address may be dialled again at once). */
typedef void (*warp_tcp_dialled)(warp_attempt *attempt, warp_tcp_port *port, const warp_addr *to,
                                 int status);
/* The STUN server's answer: WARP_OK with the port's external address, or why not (NULL). */
typedef void (*warp_tcp_measured)(warp_attempt *attempt, warp_tcp_port *port, int status,
                                  const warp_addr *external);
/* Ports of one attempt, dials of one port: what random probing needs, and some room. */
enum { WARP_TCP_PORTS = 1024, WARP_TCP_DIALS = 4096 };
/* The node's own listen port, whose external address is in its record: what arrives there comes by
 * the node's listener and finds the attempt by its hello or its tag. One for an attempt.
 * WARP_STATE, WARP_NOMEM, WARP_UNSUPPORTED when the node listens on no port. */
WARP_API int warp_attempt_listen_port(warp_attempt *attempt, warp_tcp_port **out);
/* A port of the system's choice on the attempt's interface, kept for the attempt by a socket that
 * is bound; with `listen` also connections that arrive there are taken. WARP_STATE, WARP_NOMEM,
 * WARP_LIMIT, WARP_IO. */
WARP_API int warp_attempt_tcp_port(warp_attempt *attempt, bool listen, warp_tcp_port **out);
WARP_API uint16_t warp_tcp_port_number(const warp_tcp_port *port);
/* Asks a STUN server over a connection from this port, which stays open as long as the port does,
 * because that keeps the mapping; after a failure another may be asked. WARP_STATE (asked before),
 * WARP_NOMEM, WARP_IO, WARP_UNREACHABLE, WARP_CONN_REFUSED (by this machine, at once);
 * WARP_ADDR_NOT_AVAILABLE: the port has a connection to that server, as the listen port has to the
 * first. */
WARP_API int warp_tcp_port_measure(warp_tcp_port *port, const warp_addr *server,
                                   warp_tcp_measured cb);
/* Sends a SYN to an address of the peer, or has it wait as warp_attempt_dial. `cb` may be NULL.
 * WARP_UNTRUSTED as warp_attempt_dial; WARP_ADDR_NOT_AVAILABLE: this connection exists already,
 * accepted or waiting for its last packets to die; WARP_LIMIT (too many at once, or as
 * warp_attempt_dial), WARP_STATE (dialled and not ended
 * yet), WARP_NOMEM, and what the system says at once (WARP_CONN_REFUSED by this machine,
 * WARP_UNREACHABLE, WARP_IO). */
WARP_API int warp_tcp_port_dial(warp_tcp_port *port, const warp_addr *to, warp_tcp_dialled cb);
/* Gives up a dial that is not open; nothing when there is none. `cb` does not run. A connection
 * that is half open at the peer dies of it. */
WARP_API void warp_tcp_port_abort(warp_tcp_port *port, const warp_addr *to);
/* Closes the port, its listener and what is not open yet; connections that are open live on. */
WARP_API void warp_tcp_port_close(warp_tcp_port *port);

/* ---- datagram paths -------------------------------------------------------------------------- */

typedef struct warp_udp_socket warp_udp_socket; /* see below */

/*
 * A path carries datagrams between the two nodes of an attempt. It has candidate remote addresses,
 * sends tagged and numbered probes to them, answers each probe that it hears from the socket on
 * which it came, and selects what it sends to: at first the address from which the first packet
 * with the right tag came (a peer-reflexive candidate), then, as soon as the peer acknowledges a
 * probe, the socket and address which that probe was sent with, wherever the acknowledgement came
 * from, because a NAT that does not reuse sessions answers from other ports than the ones it is
 * sent to. Tags are derived from a secret of the session; packets without one never reach the
 * attempt.
 */
typedef struct warp_path warp_path;

/* Where a path's packets go out; NULL for the node's long-lived shared socket of the family. */
typedef struct warp_path_socket {
  int (*send)(void *arg, const warp_addr *to, const void *data, size_t len);
  void *arg;
} warp_path_socket;

/* A valid packet came from `from` for the first time, or, once, one that answers a probe of ours,
 * so that both directions work: `acknowledged`. `socket` is the one it came on: NULL for the shared
 * one. */
typedef void (*warp_path_heard)(warp_attempt *attempt, warp_path *path, warp_udp_socket *socket,
                                const warp_addr *from, bool acknowledged);

/* Addresses of one path: a record names twelve at most; the rest are for those that packets come
 * from. */
enum { WARP_PATH_CANDIDATES = 16 };
/* At most one path for an attempt, and none for one over TCP between interface addresses
 * (WARP_STATE); owned by it. `socket` is copied. WARP_UNSUPPORTED
 * when the node has no UDP socket of the family, WARP_LIMIT when too many paths share it,
 * WARP_NOMEM. */
WARP_API int warp_attempt_path(warp_attempt *attempt, const warp_path_socket *socket,
                               warp_path_heard heard, warp_path **out);
/* Adds a candidate. WARP_UNTRUSTED as for warp_attempt_dial (a LAN that the peer claims to share
 * may be probed, though), WARP_LIMIT, WARP_STATE. Adding one twice is WARP_OK. */
WARP_API int warp_path_add(warp_path *path, const warp_addr *to);
/* Tagged datagrams that come on a socket of the plugin's own belong to the path from now on, other
 * ones still go to the socket's callback. A path that wins keeps the sockets it uses; the others
 * close with the attempt. WARP_STATE (of another attempt). */
WARP_API int warp_path_attach(warp_path *path, warp_udp_socket *socket);
/* Sends one probe to an address that need not be a candidate, and does not become one, from an
 * attached socket or, with NULL, from the shared one. The address is any port from 1024 up of a
 * public address in the peer's record, or an address in it, a candidate, or one that the peer was
 * heard from: else WARP_UNTRUSTED. WARP_STATE (not attached);
 * what the system says of the datagram (WARP_AGAIN, WARP_UNREACHABLE, WARP_IO); WARP_AGAIN too when
 * all that peers began has sent enough for now to an address from which nothing came. Takes nothing
 * from a budget: ask that first. */
WARP_API int warp_path_probe_to(warp_path *path, warp_udp_socket *socket, const warp_addr *to);
/* The path leads through a relay: `transport` goes to it, and the report names `server` as the
 * other end. May be called again when that changes, until the path is secured. */
WARP_API void warp_path_set_relayed(warp_path *path, warp_transport transport,
                                    const warp_addr *server);
/* Sends one probe to the selected address and, while the peer has acknowledged none, to every
 * candidate. */
WARP_API void warp_path_probe(warp_path *path);
/* Starts the secure handshake over the path: the responder is the DTLS client, and its first flight
 * goes to every candidate, again at once to an address newly heard. The initiator waits for it.
 * Both must call it. WARP_STATE when it was called before or the attempt is over, WARP_NOMEM,
 * WARP_IO. */
WARP_API int warp_path_secure(warp_path *path);
/* For a socket of the plugin's own: a datagram arrived on it. */
WARP_API void warp_path_input(warp_path *path, const uint8_t *data, size_t len,
                              const warp_addr *from);

/* ---- sockets of the plugin's own ------------------------------------------------------------- */

/* Sockets of one attempt: random probing opens 256. */
enum { WARP_UDP_SOCKETS = 1024 };
/* A datagram came that is not of a path; called from the loop. */
typedef void (*warp_udp_received)(warp_attempt *attempt, warp_udp_socket *socket,
                                  const uint8_t *data, size_t len, const warp_addr *from);
/* Opens a UDP socket on the attempt's interface with a port of the system's choice; owned by the
 * attempt. `cb` may be NULL. WARP_STATE, WARP_NOMEM, WARP_LIMIT, WARP_ADDR_NOT_AVAILABLE, WARP_IO.
 */
WARP_API int warp_attempt_udp(warp_attempt *attempt, warp_udp_received cb, warp_udp_socket **out);
/* The address and port it is bound to. */
WARP_API void warp_udp_socket_local(const warp_udp_socket *socket, warp_addr *out);
/* Sends one datagram; it may be lost. `to` is not checked as warp_path_add does: send to servers of
 * the configuration only, to the peer through a path. WARP_AGAIN when the system's buffer is full,
 * WARP_TOO_BIG, WARP_UNREACHABLE, WARP_IO. */
WARP_API int warp_udp_socket_send(warp_udp_socket *socket, const warp_addr *to, const void *data,
                                  size_t len);
/* The STUN server's answer: WARP_OK with the socket's external address, or why not (NULL). */
typedef void (*warp_udp_measured)(warp_attempt *attempt, warp_udp_socket *socket, int status,
                                  const warp_addr *external);
/* Asks a STUN server from this socket, within 2 s. Its request and the answer are no business of
 * the socket's own callback. WARP_STATE (it is being asked), WARP_NOMEM, WARP_IO. */
WARP_API int warp_udp_socket_measure(warp_udp_socket *socket, const warp_addr *server,
                                     warp_udp_measured cb);
/* Closes it before the attempt ends; nothing when the path sends by it or the peer was heard on it.
 */
WARP_API void warp_udp_socket_close(warp_udp_socket *socket);

/* ---- servers --------------------------------------------------------------------------------- */

/* The STUN server number `index` of the attempt's family, its name already looked up; what answered
 * when the node measured its NAT comes first. WARP_NOT_FOUND past the last one. */
WARP_API int warp_attempt_stun_server(warp_attempt *attempt, unsigned index, warp_addr *out);

/* A TCP connection to a server of the configuration, with TLS when that is asked for; owned by the
 * attempt and kept with it (warp_attempt_keep). */
typedef struct warp_server_stream warp_server_stream;
typedef struct warp_server_handlers {
  /* Connected and, with TLS, secured (WARP_OK), or why not. */
  void (*on_open)(warp_attempt *attempt, warp_server_stream *stream, int status);
  void (*on_data)(warp_attempt *attempt, warp_server_stream *stream, const uint8_t *data,
                  size_t len);
  void (*on_end)(warp_attempt *attempt, warp_server_stream *stream, int status); /* once */
} warp_server_handlers;
/* `tls_name` NULL: no TLS. Otherwise the server's certificate must be for that name, or IP address,
 * by the system's or the configuration's authorities. on_open gets WARP_UNTRUSTED when it is not,
 * WARP_TLS, WARP_TIMEOUT (10 s for all of it), or what TCP says; nothing follows a failed one.
 * WARP_STATE, WARP_NOMEM, WARP_UNREACHABLE, WARP_IO, WARP_TLS (no authorities to be read, or no
 * such name can be). `to` is not checked: servers of the configuration only. */
WARP_API int warp_attempt_server_stream(warp_attempt *attempt, const warp_addr *to,
                                        const char *tls_name, const warp_server_handlers *handlers,
                                        warp_server_stream **out);
/* All or nothing. WARP_AGAIN when the queue is full, WARP_CLOSED, WARP_STATE (not open yet). */
WARP_API int warp_server_stream_send(warp_server_stream *stream, const void *data, size_t len);
/* Bytes that wait because the server or the way to it is slow; 0 when it is not open. */
WARP_API size_t warp_server_stream_queued(const warp_server_stream *stream);
WARP_API void warp_server_stream_close(warp_server_stream *stream);

/* ---- relays ---------------------------------------------------------------------------------- */

/* A TURN server of the configuration, its name already looked up. Strings live as long as the node.
 */
typedef struct warp_relay {
  warp_addr addr;
  const char *user, *password;
  unsigned transports;  /* bits of warp_transport over which it may be asked */
  const char *tls_name; /* over TCP with TLS, to a server of this name; NULL: without */
} warp_relay;
/* The relay number `index` of the family of the attempt's own endpoint. WARP_NOT_FOUND past the
 * last one. */
WARP_API int warp_attempt_relay(warp_attempt *attempt, unsigned index, warp_relay *out);
/* How many relays may be tried at once: warp_connect_options.turn_limit, at the peer its default.
 */
WARP_API unsigned warp_attempt_turn_limit(const warp_attempt *attempt);
/* A pipe that won over this attempt lives on: the plugin's state, sockets and timers live until it
 * is closed, and `stop` is called then. Call it before warp_path_secure when the path needs the
 * plugin (a relay). */
WARP_API void warp_attempt_keep(warp_attempt *attempt);

/* ---- records --------------------------------------------------------------------------------- */

/* Copies the node's present signed record; `*len` is the room on entry and the length on return.
 * WARP_TOO_BIG. */
WARP_API int warp_attempt_own_record(const warp_attempt *attempt, uint8_t *buf, size_t *len);
/* The sequence number of the peer's record as this session knows it. */
WARP_API uint64_t warp_attempt_peer_sequence(const warp_attempt *attempt);
/* Takes a newer signed record of the peer for this session: what its addresses had ruled out may
 * start now. It ends the attempt well, without a pipe. WARP_REPLAY when it is no newer, WARP_AGAIN
 * when it is the one that the session has, but a newer one may follow within seconds;
 * WARP_UNTRUSTED when it is another node's, WARP_MALFORMED, WARP_VERSION, WARP_BAD_SIGNATURE,
 * WARP_EXPIRED. */
WARP_API int warp_attempt_refresh(warp_attempt *attempt, const uint8_t *record, size_t len);

/* ---- phases ---------------------------------------------------------------------------------- */

/* For the plugin that runs a phase: starts the next attempt of the phase that waits. False when
 * none is left. An attempt that starts may end at once; the one that calls lives on. */
WARP_API bool warp_attempt_start_next(warp_attempt *attempt);

/* ---- plugins from outside -------------------------------------------------------------------- */

/* A shared object of the plugin directory exports this: the descriptor must live as long as the
 * program. It is asked for once, when the node loads its plugins. */
#define WARP_PLUGIN_ENTRY "warp_plugin_entry"
typedef const warp_plugin *(*warp_plugin_entry_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
