/*
 * warpgate: connects two programs directly, whatever NATs stand between them.
 *
 * One loop, one thread. Every asynchronous call takes a callback and a `void *arg`; the callback
 * runs exactly once and never from inside the call that started it. If the starting call returns an
 * error, the callback is not called. What is pending when an object is closed completes with
 * WARP_CANCELED before the close callback runs, and nothing comes after that one.
 *
 * Strings are NUL-terminated UTF-8. Times are milliseconds unless a name says otherwise. Pointers
 * handed to a callback are valid only until it returns; what is passed in is copied unless said
 * otherwise.
 *
 * NULL where an object, an output or a callback is needed is WARP_INVALID from the functions that
 * return a status, and harmless to the others: they do nothing, or give 0, "" or NULL. Objects may
 * be closed, and new ones started, inside any callback but `on_log`. An object that was closed must
 * not be touched any more, except by callbacks of its own that still run until its close is
 * complete: they get WARP_STATE or WARP_CLOSED for what can no longer be done.
 */
#ifndef WARPGATE_WARPGATE_H
#define WARPGATE_WARPGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define WARP_API
#else
#define WARP_API __attribute__((visibility("default")))
#endif

/* ---- errors ---------------------------------------------------------------------------------- */

/* Every function that can fail returns one of these; callbacks get one as `status`. */
typedef enum warp_status {
  WARP_OK = 0,
  WARP_INVALID = -1,        /* an argument is NULL, out of range or malformed */
  WARP_NOMEM = -2,          /* out of memory */
  WARP_CANCELED = -3,       /* closed or overtaken before it completed */
  WARP_TIMEOUT = -4,        /* its time ran out */
  WARP_CLOSED = -5,         /* the other side ended it in an orderly way */
  WARP_AGAIN = -6,          /* a bounded queue is full: wait for the drain callback */
  WARP_TOO_BIG = -7,        /* larger than the named limit */
  WARP_MALFORMED = -8,      /* bytes that are not what they claim to be */
  WARP_VERSION = -9,        /* a protocol or plugin version this build does not speak */
  WARP_BAD_SIGNATURE = -10, /* signed by another key than the one it names */
  WARP_EXPIRED = -11,       /* past its expiry time */
  WARP_REPLAY = -12,        /* seen before */
  WARP_UNTRUSTED = -13,     /* an address or key there is no reason to trust */
  WARP_REFUSED = -14,       /* the peer's contact policy said no */
  WARP_UNREACHABLE = -15,   /* no route, or the network says so */
  WARP_CONN_REFUSED = -16,  /* nothing listens there */
  WARP_RESET = -17,         /* the connection was reset */
  WARP_ADDR_IN_USE = -18,
  WARP_ADDR_NOT_AVAILABLE = -19,
  WARP_PERMISSION = -20,  /* the system does not allow it */
  WARP_IO = -21,          /* the system failed in another way */
  WARP_NOT_FOUND = -22,   /* no such name, file, plugin or object */
  WARP_NAME_TAKEN = -23,  /* the name belongs to another key */
  WARP_QUOTA = -24,       /* the server's quota for this address is full */
  WARP_NO_SERVER = -25,   /* a server that is needed is not configured or none answered */
  WARP_AUTH = -26,        /* a server refused the credentials */
  WARP_UNSUPPORTED = -27, /* not possible in this build or on this system */
  WARP_RULED_OUT = -28,   /* the measured NAT behaviour says it cannot work */
  WARP_STATE = -29,       /* not allowed in the object's present state */
  WARP_LIMIT = -30,       /* a named limit is reached */
  WARP_TLS = -31,         /* the secure handshake failed */
  WARP_ALL_FAILED = -32,  /* every attempt failed: the report says why each did */
} warp_status;

/* One short English sentence for a status; never NULL, static storage. */
WARP_API const char *warp_strerror(int status);
/* The name of a status, as "WARP_TIMEOUT"; "WARP_UNKNOWN" for others. Static storage. */
WARP_API const char *warp_err_name(int status);
/* The library's version, as "0.1.0". Static storage. */
WARP_API const char *warp_version(void);

/* ---- addresses ------------------------------------------------------------------------------- */

enum { WARP_IP4 = 4, WARP_IP6 = 6 };
/* Route types: through the interface's own address, or through what the NAT shows of it. */
enum { WARP_NIC_BIND = 1, WARP_EXT_BIND = 2 };

/* An IP address with a port. `family` is WARP_IP4, WARP_IP6 or 0 (none). IPv4 uses ip[0..3]. */
typedef struct warp_addr {
  uint8_t family;
  uint8_t ip[16];
  uint16_t port;
  uint32_t scope_id; /* IPv6 link-local interface index, else 0 */
} warp_addr;

/* Room for any formatted address: "[v6 with scope]:port" and its NUL. */
enum { WARP_ADDR_STRLEN = 72 };
/* Writes "192.0.2.1:80" or "[2001:db8::1]:80" (no port when it is 0; IPv6 as in RFC 5952, a scope
 * as
 * "%index"; "none" without an address, also for NULL); returns buf, or "" when that is NULL. */
WARP_API const char *warp_addr_format(const warp_addr *addr, char buf[WARP_ADDR_STRLEN]);
/* Parses what warp_addr_format writes, and the other forms of RFC 4291 section 2.2, a port of 0 and
 * brackets without a port. WARP_INVALID on anything else, also on "none". */
WARP_API int warp_addr_parse(const char *text, warp_addr *out);

/* ---- the loop -------------------------------------------------------------------------------- */

struct uv_loop_s; /* uv_loop_t, so that this header needs no uv.h */
typedef struct warp_loop warp_loop;

/* Random probing over TCP holds about 2,100 sockets for some seconds. The library leaves the
 * process's limits alone: a program that wants it raises its soft limit of descriptors
 * (RLIMIT_NOFILE) to the hard one when it starts. With less, those probes that find none fail. */

/* Makes a loop of the library's own. NULL when out of memory or descriptors. Free with
 * warp_loop_close. */
WARP_API warp_loop *warp_loop_new(void);
/* Wraps the program's uv_loop_t, which must outlive it. NULL when out of memory or descriptors.
 * Free with warp_loop_close. */
WARP_API warp_loop *warp_loop_wrap(struct uv_loop_s *loop);
/* Runs until nothing is active or warp_loop_stop is called. Callbacks run inside it (of a wrapped
 * loop, inside the program's uv_run); only those with WARP_CANCELED may also run inside the close
 * that cancels. WARP_OK; WARP_INVALID on NULL, WARP_STATE from inside itself. */
WARP_API int warp_loop_run(warp_loop *loop);
/* Makes warp_loop_run return after the present iteration. Same thread only. Does nothing when it
 * does not run, or on NULL. */
WARP_API void warp_loop_stop(warp_loop *loop);
/* The one call allowed from other threads: has `cb(arg)` run once on the loop's thread. It keeps
 * warp_loop_run running, but not a wrapped loop that the program runs itself.
 * WARP_INVALID on NULL, WARP_LIMIT when 1024 calls already wait. */
WARP_API int warp_loop_post(warp_loop *loop, void (*cb)(void *arg), void *arg);
/* Frees the loop. Every node and pipe must be closed before; WARP_STATE if something is still open,
 * if calls of warp_loop_post still wait, or from inside warp_loop_run; WARP_INVALID on NULL.
 * Connections that still send their rest take up to 2 s: a loop of the library's own runs that long
 * in here; the program must run a wrapped one until it has nothing more to do. */
WARP_API int warp_loop_close(warp_loop *loop);

/* ---- configuration --------------------------------------------------------------------------- */

/* What a contact policy answers about a stranger that wants to connect. */
typedef enum warp_contact {
  WARP_CONTACT_ACCEPT = 0,
  WARP_CONTACT_REFUSE = 1, /* and tell the peer */
  WARP_CONTACT_IGNORE = 2, /* as if nobody were here */
} warp_contact;

/* A node's public key in compressed form (SEC 1, 33 bytes); it is the node's identity. */
enum { WARP_KEY_LEN = 33 };
typedef struct warp_key {
  uint8_t bytes[WARP_KEY_LEN];
} warp_key;

/* Called before any socket is opened, or any reply sent, on a stranger's word. Must answer at once.
 */
typedef warp_contact (*warp_contact_policy)(void *arg, const warp_key *peer);

/* Start phases of a node, in the order in which they run; each is reported as an event. */
typedef enum warp_start_phase {
  WARP_START_LOAD_NETWORK_INTERFACES = 1,
  WARP_START_LOAD_MACHINE_IDENTITY,
  WARP_START_LOAD_CRYPTOGRAPHY_AND_AUTH,
  WARP_START_INITIALIZE_SYSTEM_CLOCK,
  WARP_START_LOAD_P2P_STUN_CLIENTS,
  WARP_START_SETUP_ROUTER_AND_SIGNAL,
  WARP_START_INITIALIZE_PUNCH_COORDINATION,
  WARP_START_START_MAINTENANCE_TASKS,
  WARP_START_LISTEN_ON_IFS,
  WARP_START_BUILD_NODE_ADDRESS,
  WARP_START_START_BACKGROUND_PORT_FORWARDING,
  WARP_START_SETUP_NICKNAME_SERVICE,
  WARP_START_SETUP_TRAVERSAL_PLUGINS,
  WARP_START_FINALIZE_PORT_FORWARDING,
} warp_start_phase;
/* The phase's name as in the manual, for example "build_node_address". Static storage. */
WARP_API const char *warp_start_phase_name(warp_start_phase phase);

/* One finished start phase. `status` WARP_OK, or what is missing while the node lives on without
 * it. */
typedef struct warp_start_event {
  warp_start_phase phase;
  double elapsed_ms; /* how long the phase took */
  int status;
  const char *detail; /* one line for a person; never NULL */
} warp_start_event;

typedef enum warp_log_level {
  WARP_LOG_ERROR,
  WARP_LOG_WARN,
  WARP_LOG_INFO,
  WARP_LOG_DEBUG
} warp_log_level;

typedef struct warp_node warp_node;

/* Configuration of a node. Take warp_conf_default() or warp_conf_test() and change the copy.
 * All strings and lists are copied when the node starts. Server lists end with NULL; a NULL list is
 * empty.
 * Settings are those of the plugins and three of the node, which hold for each gateway and all
 * connects together: node.probes_per_s (packets to ports that are guessed; 100, or the largest
 * PLUGIN.rate that was set), node.flows (mappings that plugins open at once; 512), node.syns (TCP
 * connections that are not open yet; 384). At most 64.
 * Of brokers and name servers the first 4 are used, of STUN and TURN servers the first 4 and
 * 8 addresses: more add nothing but packets. */
typedef struct warp_conf {
  const char *data_dir;   /* folder of the keystore; NULL: $XDG_DATA_HOME/warpgate or
                             ~/.local/share/warpgate */
  const char *key_name;   /* keystore entry; NULL: "default"; "": a new key that is not kept */
  const char *machine_id; /* NULL: from the system's hardware identifiers */
  uint16_t listen_port;   /* 0: hash of the machine id into 10000-60000, next of a fixed sequence if
                             taken */
  bool reuse_addr;        /* reuse ports between restarts: the port may be taken while another node
                             that was started so still has it */
  /* Names or addresses of the interfaces to use, ended by NULL; of each one address per family.
   * NULL: all that lead to the internet, 6 addresses at most, the default one first. Those that
   * come while the node runs are used too. */
  const char *const *interfaces;
  bool enable_stun_clients; /* measure the NAT with the STUN servers */
  bool enable_upnp;         /* ask the router to open the listen port (UPnP IGD, NAT-PMP) */
  bool init_clock_skew;     /* ask the NTP servers what the time is */
  bool enable_punching;     /* false: the punch and spray phases are left out */
  bool enable_nickname;     /* register the node's derived name at start */
  /* Bind and talk to loopback only: of servers those at a loopback address or "localhost". */
  bool loopback_only;
  unsigned sig_pipe_no;            /* MQTT connections, 4 at most; 0: no signalling */
  const char *const *stun_servers; /* "host:port", two at best */
  /* "user:password@host:port", where "?transport=udp", "?transport=tcp" or "?transport=tls" may
   * follow; without it UDP is tried first, then TCP. TLS: for that host, by ca_file. */
  const char *const *turn_servers;
  const char *ca_file; /* PEM file of the authorities for TLS to relays; NULL: the system's */
  const char *const *brokers;      /* "host:port" of MQTT brokers */
  const char *const *name_servers; /* "host:port" */
  /* The set of name servers whose names end with ".p2p"; NULL or empty: `name_servers` are. A node
   * that uses others has full names that end with what follows from those: ".k3m2xa". */
  const char *const *default_name_servers;
  const char *const *ntp_servers; /* "host:port" or "host"; 4 at most, three outvote
                                     a wrong one. Each has one vote, but a name that
                                     is alone (a pool) one for each address */
  const char *const *settings;    /* "PLUGIN.NAME=NUMBER", as "random_probe.rate=100"; see above */
  const char *plugin_dir;         /* folder of plugins from outside (*.so); NULL: none */
  uint64_t seed; /* of port order, probe order and jitter; 0: random. Never of keys or nonces */
  /* How long the start waits for servers at each step that asks them; 0: 2000. */
  uint32_t server_timeout_ms;
  warp_contact_policy contact_policy; /* NULL: everybody may connect */
  void *contact_arg;
  void (*on_start_event)(void *arg, const warp_start_event *event); /* may be NULL */
  void *start_arg;
  /* The running node has a new address record, which warp_node_address gives: its addresses or what
   * is known of its NAT changed, or the old one grew old. For programs that publish it by
   * themselves; names that are registered follow without it. Never within another call. May close
   * the node. May be NULL. */
  void (*on_address)(void *arg, warp_node *node);
  void *address_arg;
  /* Lines about this node, and about what belongs to no node (connections to brokers, pipes and
   * sockets by themselves): those go to all nodes of the loop, but once to whoever is the same for
   * several, log_arg included. May be NULL. Runs inside whatever has something to say, also inside
   * the program's own calls: of the library it may only call warp_loop_post, warp_loop_stop and
   * what names a status. */
  void (*on_log)(void *arg, warp_log_level level, const char *line);
  void *log_arg;
} warp_conf;

/* For production: everything on, no servers: those must be named. */
WARP_API warp_conf warp_conf_default(void);
/* For tests: loopback only, no servers, up in milliseconds. */
WARP_API warp_conf warp_conf_test(void);

/* ---- reports --------------------------------------------------------------------------------- */

/* Phases of a connect, in order of preference. WARP_PHASE_NONE: skipped by the phases. */
typedef enum warp_phase {
  WARP_PHASE_NONE = 0,
  WARP_PHASE_DIRECT,
  WARP_PHASE_PUNCH,
  WARP_PHASE_SPRAY,
  WARP_PHASE_RELAY,
} warp_phase;
WARP_API const char *warp_phase_name(warp_phase phase); /* "direct", ... static storage */

typedef enum warp_transport { WARP_TCP = 1, WARP_UDP = 2 } warp_transport;
WARP_API const char *warp_transport_name(warp_transport transport); /* "tcp", "udp" */

/* One attempt of a connect: what was tried and how it ended. */
enum { WARP_DETAIL_LEN = 160 };
typedef struct warp_report_row {
  const char *plugin; /* static storage */
  warp_phase phase;
  warp_transport transport;
  int family;        /* WARP_IP4 or WARP_IP6 */
  int route_type;    /* WARP_NIC_BIND or WARP_EXT_BIND */
  double start_ms;   /* after the connect began; negative if it never started (ruled out) */
  double elapsed_ms; /* how long it ran */
  int status;        /* WARP_OK for the winner */
  unsigned attempt;  /* its number, the same in the rows of both ends */
  char detail[WARP_DETAIL_LEN]; /* one line: with which ports, what came back, why it ended */
} warp_report_row;

/* The attempts of one connect. Owned by the library. */
enum { WARP_NAT_LEN = 160 };
typedef struct warp_report {
  size_t count;
  const warp_report_row *rows; /* as this side saw them */
  size_t peer_count;
  const warp_report_row *peer_rows; /* as the peer saw them; none until its report has come */
  char nat_self[WARP_NAT_LEN],
      nat_peer[WARP_NAT_LEN]; /* what each NAT was seen to be, for a person;
                                 "" when nothing is known */
} warp_report;

/* ---- pipes ----------------------------------------------------------------------------------- */

typedef struct warp_pipe warp_pipe;
/* A stream keeps bytes in order and complete (TCP). Messages are datagrams: whole, but may be lost
 * (UDP). */
typedef enum warp_pipe_kind { WARP_STREAM = 1, WARP_MESSAGES = 2 } warp_pipe_kind;

/* Which connect a pipe comes from: the same at both ends. */
enum { WARP_PIPE_ID_LEN = 16 };
typedef struct warp_pipe_id {
  uint8_t bytes[WARP_PIPE_ID_LEN];
} warp_pipe_id;

/* How a pipe came to be. */
typedef struct warp_pipe_info {
  warp_pipe_kind kind;
  warp_transport transport; /* of a relayed pipe: what goes to the relay */
  int family;
  bool relayed;
  const char *plugin; /* which plugin won; static storage */
  warp_phase phase;
  warp_addr local, remote; /* of the underlying socket; a relayed pipe's remote is the relay */
  warp_key peer;
  double
      connect_ms;  /* from the start of the connect to the secure pipe being usable on this side */
  warp_pipe_id id; /* all zero of a pipe that was opened by hand */
} warp_pipe_info;

/* Largest message of a WARP_MESSAGES pipe: fits 1200-byte datagrams through any of our paths. */
enum { WARP_MESSAGE_MAX = 1100 };

/* Bytes or one message arrived; `data` is valid until the callback returns. */
typedef void (*warp_pipe_on_data)(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len);
/* The pipe ended, once: WARP_CLOSED by the peer, or why (WARP_RESET, WARP_TIMEOUT,
 * WARP_ADDR_NOT_AVAILABLE when its local address is gone from the machine, ...). A peer of a
 * connect that is gone without a word is noticed within about a minute (WARP_TIMEOUT), by a stream
 * that still has something to send when the system gives that up (Linux: a quarter of an hour).
 * Only warp_pipe_close may be called after it, except on a stream that ended with WARP_CLOSED: the
 * peer sends no more, but our own direction goes on until we close (a sender that waits for room
 * gets on_drain also when there will be none, and the next send says so). */
typedef void (*warp_pipe_on_end)(void *arg, warp_pipe *pipe, int status);
/* The send queue is empty again after a WARP_AGAIN, or for good after warp_pipe_shutdown: the
 * system has all that was sent. */
typedef void (*warp_pipe_on_drain)(void *arg, warp_pipe *pipe);

typedef struct warp_pipe_handlers {
  warp_pipe_on_data on_data;   /* may be NULL: bytes are dropped */
  warp_pipe_on_end on_end;     /* may be NULL */
  warp_pipe_on_drain on_drain; /* may be NULL */
  void *arg;
} warp_pipe_handlers;

/* Sets what happens on the pipe's events. What arrives before somebody takes it (these handlers, a
 * message callback, a subscription, a link) is held back: a stream's peer feels it, of messages
 * 64 KiB are kept. WARP_INVALID on NULL. */
WARP_API int warp_pipe_set_handlers(warp_pipe *pipe, const warp_pipe_handlers *handlers);
/* Sends bytes (a stream takes any length up to 1 MiB at once) or one message of at most
 * WARP_MESSAGE_MAX (a plain UDP pipe: WARP_DATAGRAM_MAX). The data is copied. WARP_AGAIN: nothing
 * was taken, the queue is full (of a stream: 256 KiB or more wait besides what the system has
 * taken, and on_drain tells when they are gone); WARP_TOO_BIG; WARP_CLOSED after the end;
 * WARP_STATE before it is open, and on a server, which has no one peer; WARP_INVALID. */
WARP_API int warp_pipe_send(warp_pipe *pipe, const void *data, size_t len);
/* Ends a stream's sending side after what is queued; the peer sees the end, receiving goes on.
 * Twice is harmless, and to send after it is WARP_CLOSED. WARP_STATE before it is open,
 * WARP_UNSUPPORTED on messages, WARP_CLOSED after the end, WARP_INVALID on NULL. */
WARP_API int warp_pipe_shutdown(warp_pipe *pipe);
/* Stops handing out what arrives, or goes on: for a receiver that cannot keep up. A stream's peer
 * feels it by back-pressure; of messages 64 KiB wait here, more are lost. on_end waits for what
 * came before it, unless the pipe broke. WARP_INVALID on NULL, WARP_STATE before it is open,
 * WARP_CLOSED when it has broken, WARP_UNSUPPORTED on a TCP server: its clients' pipes are paused
 * each. */
WARP_API int warp_pipe_pause(warp_pipe *pipe, bool paused);
/* Copies what is known of the pipe. WARP_INVALID on NULL. */
WARP_API int warp_pipe_get_info(const warp_pipe *pipe, warp_pipe_info *out);
/* Closes and frees the pipe; what is queued is still sent within 2 s. Its end callbacks (of
 * warp_pipe_add_end_cb) and what still waits (opening, receives) get WARP_CANCELED before this
 * returns; no callback of it runs afterwards. Closing a server closes its clients' pipes too. Does
 * nothing on NULL, nor when called again from inside. */
WARP_API void warp_pipe_close(warp_pipe *pipe);

/* ---- pipes opened by hand, and more ways to use any pipe --------------------------------------
 */

/* Interfaces and routes: where a pipe is bound. */
enum { WARP_INTERFACE_NAME_LEN = 32, WARP_INTERFACE_ADDRS = 8 };
typedef struct warp_interface {
  char name[WARP_INTERFACE_NAME_LEN];
  uint8_t mac[6];
  bool loopback;
  bool is_default; /* the system's default route, of either family, leaves by it */
  size_t count;
  warp_addr addrs[WARP_INTERFACE_ADDRS]; /* port 0; those of a default route come first */
} warp_interface;
/* Fills `out` with at most `max` interfaces, the default one first, and returns how many there are
 * in it; or WARP_INVALID, or what the system says. */
WARP_API int warp_interface_list(warp_loop *loop, warp_interface *out, size_t max);
/* One interface by its name; NULL: the default one. WARP_NOT_FOUND, WARP_INVALID. */
WARP_API int warp_interface_load(warp_loop *loop, const char *name, warp_interface *out);
/* A local address to use. All zero but a family in `addr`: every address of the host. */
typedef struct warp_route {
  char interface[WARP_INTERFACE_NAME_LEN]; /* "" unless it came from one */
  warp_addr addr;                          /* with the port; 0: the system picks one */
} warp_route;
/* A route from an interface's first address of a family (0: any). WARP_NOT_FOUND, WARP_INVALID. */
WARP_API int warp_route_bind(const warp_interface *interface, int family, uint16_t port,
                             warp_route *out);

/* How pipes that are opened by hand behave. Take warp_net_conf_default() and change the copy. Times
 * are 1 ms to a day. */
typedef struct warp_net_conf {
  uint32_t dns_timeout_ms; /* 2000; looking the destination's name up */
  /* TLS as a browser does it (1.2 or later), over TCP. A client: the server must have a certificate
   * for the destination's name or address from an authority of `ca_file` (PEM; NULL: the system's).
   * A server, or without a destination the side of a connected socket that was accepted: shows
   * `cert_file` (PEM: its certificate, then those that vouch for it) and has its key in `key_file`
   * (PEM, without a password; NULL: in cert_file as well); it asks clients for no certificate. The
   * files are read by warp_pipe_open only. A client that does not complete the handshake is closed,
   * and the program never hears of it. */
  bool use_ssl;
  const char *ca_file, *cert_file, *key_file;
  uint32_t ssl_handshake_ms; /* 4000; from the connection until TLS is up */
  uint16_t sock_proto;       /* third argument of socket(); 0 */
  uint32_t recv_timeout_ms;  /* 2000; of warp_pipe_recv and its kin when they are given 0 */
  uint32_t con_timeout_ms;   /* 2000; TCP, for each address that a name has */
  size_t max_qsize;    /* messages that a subscription's queue holds, WARP_QUEUE_MESSAGES_MAX at
                          most; 0: WARP_QUEUE_MESSAGES */
  bool enable_msg_ids; /* messages (not streams): what the same sender sent among the last ... */
  size_t max_msg_ids;  /* ... so many is dropped: 1000, at most 10000 */
  bool reuse_addr;     /* several sockets may share the local port */
  bool broadcast;      /* UDP: may send to broadcast addresses, and takes answers from anybody */
  size_t reader_limit; /* 65536, 1 to that: bytes handed out at once. A stream comes in pieces of
                          at most so many, a longer datagram is dropped */
  bool sock_only;      /* the bare socket is wanted: see warp_pipe_take_socket */
  bool do_close;       /* true: a given socket is closed when opening fails */
  int32_t linger_ms;   /* closing a stream: -1 (none set) sends what is queued within 2 s, 0 resets
                          at once, else what is not sent after so long is thrown away */
  unsigned send_retry; /* 2; how often warp_pipe_ask sends again on UDP */
} warp_net_conf;
/* The defaults above. */
WARP_API warp_net_conf warp_net_conf_default(void);
/* Named limits. A queue is also full with so many bytes in it. */
enum {
  WARP_QUEUE_MESSAGES = 1024,
  WARP_QUEUE_BYTES = 1 << 20,
  WARP_QUEUE_MESSAGES_MAX = 65536,  /* that may be asked for: empty messages take room, too */
  WARP_RECV_N_MAX = 16 << 20,       /* of warp_pipe_recv_n */
  WARP_DATAGRAM_MAX = 65507,        /* largest message of a plain UDP pipe */
  WARP_PIPE_CALLBACKS_MAX = 64,     /* of each kind, subscriptions, links and receives that wait */
  WARP_SERVER_CLIENTS_MAX = 1024,   /* of one TCP server; more are closed as they come */
  WARP_SERVER_HANDSHAKES_MAX = 256, /* of these, TLS not up: the oldest gives way to a new one */
  WARP_PATTERN_MAX = 1024,          /* bytes of a pattern */
};

/* A message, or bytes of a stream, arrived from `from` (of a pipe from a connect or through a
 * relay: the socket's remote address). `data` and `from` are valid until the callback returns. At a
 * TCP server `pipe` is the client's pipe. */
typedef void (*warp_pipe_on_msg)(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                                 const warp_addr *from);
/* A client connected to a TCP server, and TLS with it is up where there is any. Its pipe belongs to
 * the server and is freed when it has ended and its end callbacks have run, or when the server
 * closes; one that has subscriptions or links of its own stays until warp_pipe_close. It may be
 * closed at any time before. */
typedef void (*warp_pipe_on_up)(void *arg, warp_pipe *server, warp_pipe *client);
/* The pipe is open, or why not: then `pipe` is NULL, and what warp_pipe_open gave must not be
 * touched any more. */
typedef void (*warp_pipe_on_open)(void *arg, warp_pipe *pipe, int status);

typedef struct warp_pipe_options {
  warp_transport transport;
  /* Whom to talk to: "host:port", or an address. Neither: a server, which takes what comes to its
   * port: TCP clients, or datagrams from anybody (answer with warp_pipe_send_to). */
  const char *dest;
  const warp_addr *dest_addr;
  /* Of a name's address, of a server without route; 0: any (a server: IPv4; a UDP socket of the
   * program: its own). */
  int family;
  /* Where to bind. NULL: the default interface, any port: a client leaves it to the system. */
  const warp_route *route;
  /* Uses an existing socket: connected TCP (`dest` only says whom TLS is to expect), listening TCP
   * (a server) or UDP (with or without a destination). It is the pipe's when warp_pipe_open returns
   * WARP_OK, except as do_close says. */
  bool use_socket;
  int socket;
  warp_pipe_on_msg on_msg;   /* may be NULL; set before anything can arrive */
  warp_pipe_on_up on_up;     /* TCP servers; may be NULL */
  void *arg;                 /* of these two */
  const warp_net_conf *conf; /* NULL: the default; copied */
} warp_pipe_options;
/* Opens a plain pipe (or with TLS, see use_ssl). `*out` (may be NULL) may be closed at any time.
 * Errors before it starts: WARP_INVALID (also text that is no "host:port", families that do not
 * fit, a socket of another type or state, TLS for a server without cert_file or with ca_file, or
 * for a client with a certificate), WARP_NOMEM, WARP_UNSUPPORTED (TLS over UDP or with sock_only; a
 * socket where there are none), what is wrong with the files of TLS (WARP_NOT_FOUND, WARP_TOO_BIG,
 * ..., WARP_MALFORMED: also a key that is another certificate's). The callback's: WARP_NOT_FOUND
 * (name, default interface), WARP_TIMEOUT, WARP_CONN_REFUSED, WARP_UNREACHABLE, WARP_ADDR_IN_USE,
 * WARP_ADDR_NOT_AVAILABLE, WARP_PERMISSION, WARP_UNTRUSTED and WARP_TLS (with TLS), WARP_CANCELED,
 * and what else the system says. */
WARP_API int warp_pipe_open(warp_loop *loop, const warp_pipe_options *options, warp_pipe_on_open cb,
                            void *arg, warp_pipe **out);
/* With sock_only: hands out the socket, non-blocking and the caller's to close. To be called from
 * the callback that says it is open: datagrams and clients that come later and before are lost. The
 * pipe is only to be closed then. WARP_STATE without sock_only, before it is open or when it was
 * taken, WARP_UNSUPPORTED where there are no descriptors, WARP_INVALID on NULL. */
WARP_API int warp_pipe_take_socket(warp_pipe *pipe, int *out);
/* Sends to an address: a UDP server's to anybody, a TCP server's to the client with that address
 * (else WARP_NOT_FOUND), of others the only one they have (else WARP_INVALID). `dest` NULL, and
 * other errors: as warp_pipe_send, which on a server is WARP_STATE. */
WARP_API int warp_pipe_send_to(warp_pipe *pipe, const void *data, size_t len,
                               const warp_addr *dest);

/* Adds a message callback; all that were added get every message, after on_data. WARP_INVALID,
 * WARP_CLOSED, WARP_LIMIT, WARP_NOMEM. The pair is taken away again by del: WARP_NOT_FOUND. */
WARP_API int warp_pipe_add_msg_cb(warp_pipe *pipe, warp_pipe_on_msg cb, void *arg);
WARP_API int warp_pipe_del_msg_cb(warp_pipe *pipe, warp_pipe_on_msg cb, void *arg);
/* The same for its end, told once: as on_end, and WARP_CANCELED when this side closes it. */
WARP_API int warp_pipe_add_end_cb(warp_pipe *pipe, warp_pipe_on_end cb, void *arg);
WARP_API int warp_pipe_del_end_cb(warp_pipe *pipe, warp_pipe_on_end cb, void *arg);

/* What a subscription does when its queue is full. */
typedef enum warp_when_full {
  WARP_FULL_WAIT = 0,    /* a stream's peer waits; of messages the newest is dropped */
  WARP_FULL_DROP_NEWEST, /* what comes is dropped */
  WARP_FULL_DROP_OLDEST, /* what has waited longest is dropped */
} warp_when_full;
typedef struct warp_subscription warp_subscription;
typedef struct warp_subscribe_options {
  /* A regular expression over bytes (PCRE2 syntax) that is found somewhere in the message, or piece
   * of a stream; NULL: everything. One that takes too long does not match. */
  const char *pattern;
  size_t pattern_len;       /* 0: up to its NUL */
  const warp_addr *sender;  /* only from there (port 0: any port); NULL: from anybody */
  warp_pipe_on_msg handler; /* NULL: a queue, for warp_pipe_recv */
  void *arg;                /* of the handler */
  size_t max_messages;      /* of the queue, WARP_QUEUE_MESSAGES_MAX at most; 0: max_qsize */
  warp_when_full when_full;
} warp_subscribe_options;
/* Subscribes to what arrives from now on, and to what nobody has taken yet. `options` NULL:
 * everything, into a queue. Of a TCP server: to what all its clients send. WARP_INVALID (also a
 * pattern that is none, or too many messages), WARP_TOO_BIG (pattern), WARP_CLOSED, WARP_LIMIT,
 * WARP_NOMEM. Freed by unsubscribe or with the pipe. */
WARP_API int warp_pipe_subscribe(warp_pipe *pipe, const warp_subscribe_options *options,
                                 warp_subscription **out);
/* Ends it; receives that wait get WARP_CANCELED before this returns. WARP_INVALID on NULL or
 * another pipe's. */
WARP_API int warp_pipe_unsubscribe(warp_pipe *pipe, warp_subscription *subscription);
/* How many messages it dropped because its queue was full. 0 on NULL. */
WARP_API unsigned long warp_subscription_dropped(const warp_subscription *subscription);

/* One message or piece (WARP_OK), or none: WARP_TIMEOUT, WARP_CANCELED, or what the pipe ended with
 * once its queue is empty; then `data` and `from` are NULL. */
typedef void (*warp_pipe_on_recv)(void *arg, warp_pipe *pipe, int status, const uint8_t *data,
                                  size_t len, const warp_addr *from);
#define WARP_FOREVER UINT32_MAX
/* Takes the next message of a subscription with a queue; NULL: of one to everything that the pipe
 * makes at its first use. `timeout_ms` 0: recv_timeout_ms; WARP_FOREVER. WARP_INVALID,
 * WARP_STATE (it has a handler), WARP_CLOSED (ended, and nothing waits), WARP_LIMIT, WARP_NOMEM. */
WARP_API int warp_pipe_recv(warp_pipe *pipe, warp_subscription *subscription, uint32_t timeout_ms,
                            warp_pipe_on_recv cb, void *arg);
/* Takes exactly `n` bytes of a stream (1 to WARP_RECV_N_MAX). What came before the time ran out
 * stays for the next. Errors as of warp_pipe_recv; WARP_TOO_BIG, WARP_UNSUPPORTED (messages, and
 * TCP servers, whose clients' bytes must not be mixed). */
WARP_API int warp_pipe_recv_n(warp_pipe *pipe, warp_subscription *subscription, size_t n,
                              uint32_t timeout_ms, warp_pipe_on_recv cb, void *arg);
/* Sends a message and takes the next one of the subscription; over datagrams it is sent again after
 * every `timeout_ms` without one, send_retry times. Errors as of warp_pipe_send and
 * warp_pipe_recv. */
WARP_API int warp_pipe_ask(warp_pipe *pipe, warp_subscription *subscription, const void *data,
                           size_t len, uint32_t timeout_ms, warp_pipe_on_recv cb, void *arg);

/* Links `pipe` to `to`: what arrives at one is sent on the other, until either ends or del_pipe;
 * link them both ways for a relay. A stream waits while `to` is full; messages are dropped then. A
 * stream goes on over messages in pieces, messages over a stream without their bounds, and over
 * messages whole: those that are too long there are dropped. Where a stream ends in an orderly way,
 * the sending side of `to` is ended too; after another end `to` is left as it is. WARP_INVALID
 * (also itself, or of another loop), WARP_CLOSED, WARP_LIMIT, WARP_NOMEM, WARP_STATE (linked
 * already, `to` is not open yet), WARP_UNSUPPORTED (a TCP server, or to a pipe without
 * destination). */
WARP_API int warp_pipe_add_pipe(warp_pipe *pipe, warp_pipe *to);
/* Ends the link. WARP_INVALID, WARP_NOT_FOUND. */
WARP_API int warp_pipe_del_pipe(warp_pipe *pipe, warp_pipe *to);
/* ---- links ----------------------------------------------------------------------------------- */

/* A link is reliable, ordered messages over a pipe of either kind: framed on a stream, and over
 * messages on SCTP (RFC 9260). Both ends must make a link of their pipe; against a peer that does
 * not, it ends with WARP_MALFORMED or WARP_VERSION, or stays silent. */
typedef struct warp_link warp_link;

enum {
  WARP_LINK_MESSAGE_MAX = 1 << 20, /* bytes of one message */
  WARP_LINK_QUEUE_MAX = 4 << 20,   /* bytes that wait to be sent before WARP_AGAIN */
  WARP_LINK_STALL_MS = 30000,      /* closing gives up when nothing moves for so long */
  /* And after so long where the peer has closed, too, and only its word is missing that it knows
   * that all has come: it may have left already. Over UDP it is told five times meanwhile. */
  WARP_LINK_FAREWELL_MS = 5000,
};

/* One whole message; `data` is valid until the callback returns. */
typedef void (*warp_link_message_cb)(void *arg, warp_link *link, const uint8_t *data, size_t len);
/* WARP_OK: the peer sends no more, and all it sent has come; our direction may go on. Another
 * status: the link is over, and only warp_link_close may be called. WARP_CLOSED when the peer
 * closed it; or why it broke: the pipe's own reasons, WARP_RESET (the peer aborted it, or the pipe
 * ended without a word),
 * WARP_MALFORMED, WARP_VERSION, WARP_TOO_BIG (these are no frames of a link), WARP_NOMEM,
 * WARP_CANCELED (the node closes, or the server whose client it is). Each of the two comes at most
 * once; the second may come alone. */
typedef void (*warp_link_end_cb)(void *arg, warp_link *link, int status);
/* After a WARP_AGAIN there is room again, or never will be: the next send says so. After
 * warp_link_shutdown: the peer's link has handed over all that was sent. */
typedef void (*warp_link_drain_cb)(void *arg, warp_link *link);
/* The link is gone. WARP_OK: the peer's link has handed over all that was sent; WARP_CLOSED (the
 * peer closed before), WARP_TIMEOUT, or why the link broke: it may not have. */
typedef void (*warp_link_closed_cb)(void *arg, int status);

/* Makes a link of a pipe, which belongs to it from then on (also its handlers). Call it inside the
 * callback that handed out the pipe. WARP_INVALID, WARP_NOMEM, WARP_CLOSED, WARP_STATE (it is not
 * open yet, or has a link), WARP_UNSUPPORTED (a server); then the pipe stays the caller's. Nothing
 * arrives before the calling callback has returned. */
WARP_API int warp_link_open(warp_pipe *pipe, warp_link **out);
/* Set what happens; NULL: nothing, messages are dropped. Set them inside the callback that handed
 * out the link, or that opened it: nothing arrives before. WARP_INVALID on NULL. */
WARP_API int warp_link_on_message(warp_link *link, warp_link_message_cb cb, void *arg);
WARP_API int warp_link_on_end(warp_link *link, warp_link_end_cb cb, void *arg);
WARP_API int warp_link_on_drain(warp_link *link, warp_link_drain_cb cb, void *arg);
/* Sends one message of 0 to WARP_LINK_MESSAGE_MAX bytes, which are copied. WARP_AGAIN: nothing was
 * taken, too much waits; WARP_TOO_BIG; WARP_CLOSED after the link broke, the peer closed it, or a
 * shutdown; WARP_NOMEM, WARP_INVALID. */
WARP_API int warp_link_send(warp_link *link, const void *data, size_t len);
/* Ends our direction after what was sent: the peer gets on_end with WARP_OK, and may go on sending.
 * Twice is harmless. WARP_CLOSED when the link is broken, WARP_INVALID on NULL, WARP_NOMEM. */
WARP_API int warp_link_shutdown(warp_link *link);
/* Stops handing out messages, or goes on. The peer is held back by what the link's buffers hold (at
 * most 4 MiB). WARP_INVALID on NULL. */
WARP_API int warp_link_pause(warp_link *link, bool paused);
/* The pipe below, for warp_pipe_get_info only; owned by the link. NULL on NULL and when the link
 * has broken. */
WARP_API warp_pipe *warp_link_pipe(warp_link *link);
/* Closes the link: what was sent still arrives, as long as something moves within
 * WARP_LINK_STALL_MS (WARP_LINK_FAREWELL_MS where the peer has closed before), and what comes is
 * dropped; then the pipe is closed, the memory freed and `cb` (may be NULL) called, never from
 * inside this call. No other callback of the link runs any more. Does nothing on NULL and when it
 * was closed before: then `cb` is not called. */
WARP_API void warp_link_close(warp_link *link, warp_link_closed_cb cb, void *arg);
/* Breaks the link at once, for who cannot go on: what waits here is dropped, and the peer's on_end
 * says WARP_RESET, never WARP_CLOSED, whatever it has got before. Then as warp_link_close, and as
 * safe in callbacks: `cb` (may be NULL) is called, never from inside this call, with WARP_OK where
 * the peer's link has handed over all that was sent, WARP_CANCELED, or why the link broke before;
 * no other callback of the link runs any more. Does nothing on NULL and when it was closed before.
 */
WARP_API void warp_link_abort(warp_link *link, warp_link_closed_cb cb, void *arg);

/* ---- nodes ----------------------------------------------------------------------------------- */

/* A running node follows its machine's addresses, unless it keeps to loopback. Half a second after
 * a change it listens on the new ones, at the same port, measures their NAT and asks the router,
 * makes broker connections anew, and has a new record: on_address of warp_conf tells, and names
 * that are registered lead to it. Where the system does not tell of changes (all but Linux) they
 * are seen within 10 s, and another address of the router, or a machine that slept, at the next
 * refresh of the mappings, within 20 s.
 * - A pipe whose local address is gone ends with WARP_ADDR_NOT_AVAILABLE; an address in whose place
 *   none has come is waited for for three seconds more. A pipe of messages that is not relayed goes
 *   on from the new address instead, if the peer's NAT lets in everybody; what is sent in the six
 *   seconds until the peer has followed may be lost. What it says of its addresses then is new.
 * - Attempts of a connect that is under way end with that status in their row, and others begin
 *   from the new address.
 * - An address at which another program has the port is left out, as the log says, until the next
 *   change.
 * - Who connects by an older record is told the new one through the broker.
 * - Without any address the node lives on: its record has no endpoints, connects end with
 *   WARP_ALL_FAILED, and when an address comes back it is as before. */

/* Start is complete: `status` WARP_OK and the node is reachable, or why it could not start (then
 * `node` is NULL, and what warp_node_start gave must not be touched any more). WARP_CANCELED: the
 * program closes it, and `node` is what it closes. */
typedef void (*warp_node_on_start)(void *arg, warp_node *node, int status);
/* Starts a node; the program owns it and ends it by warp_node_close. WARP_INVALID (also for a
 * setting that does not exist or is out of its range: the log names it; with a plugin directory
 * that comes by the callback), WARP_NOMEM, WARP_IO (no randomness). On WARP_OK `*out` may be closed
 * at any time. The callback gets WARP_UNREACHABLE without a network interface, WARP_ADDR_IN_USE for
 * a port that is taken, WARP_INVALID for the text of a broker or name server, WARP_MALFORMED,
 * WARP_VERSION or WARP_PERMISSION for a key that cannot be used, and what else the system says. */
WARP_API int warp_node_start(warp_loop *loop, const warp_conf *conf, warp_node_on_start cb,
                             void *arg, warp_node **out);
/* Cancels everything pending, ends all pipes and links that came of its connects, whose end
 * callbacks get WARP_CANCELED, and frees the node; `cb` (may be NULL) runs last. The pipes and
 * links themselves are the program's: it still closes each, before or after `cb`. Does nothing on
 * NULL or when it is being closed already: then `cb` is not called. */
WARP_API void warp_node_close(warp_node *node, void (*cb)(void *arg), void *arg);

/* Largest signed address record: six endpoints and all hints, and a reply of the name server with
 * it still goes through IPv6's smallest MTU in one piece. */
enum { WARP_RECORD_MAX = 1152 };
/* Copies the node's signed address record; `*len` is the room on entry and the length on return.
 * WARP_STATE before the start completed, WARP_TOO_BIG when there is no room, WARP_INVALID on NULL.
 */
WARP_API int warp_node_address(const warp_node *node, uint8_t *buf, size_t *len);
/* Copies the node's public key. WARP_STATE before it is loaded, WARP_INVALID on NULL. */
WARP_API int warp_node_key(const warp_node *node, warp_key *out);
/* The port it listens on, TCP and UDP. 0 before the start completed. */
WARP_API uint16_t warp_node_port(const warp_node *node);

/* Can the node use WARP_IP4 or WARP_IP6, because it has an interface with such an address? WARP_OK,
 * or WARP_UNSUPPORTED. WARP_STATE before the start completed, WARP_INVALID on NULL and of another
 * family. */
WARP_API int warp_node_supported(const warp_node *node, int family);

/* A peer connected: the pipe is secure and the peer's key known; the program owns it and closes it.
 * The report holds this side's attempts. */
typedef void (*warp_node_on_pipe)(void *arg, warp_node *node, warp_pipe *pipe,
                                  const warp_report *report);
/* A peer's connect ended without a pipe. */
typedef void (*warp_node_on_miss)(void *arg, warp_node *node, const warp_key *peer, int status,
                                  const warp_report *report);
/* Sets who gets incoming pipes; without one (NULL) they are refused, but for those that message
 * callbacks or warp_node_pipe_future wait for. `on_miss` may be NULL. WARP_STATE before the start
 * completed, WARP_INVALID on NULL. */
WARP_API int warp_node_listen(warp_node *node, warp_node_on_pipe on_pipe, warp_node_on_miss on_miss,
                              void *arg);

enum {
  WARP_NODE_CALLBACKS_MAX = 64,     /* message callbacks of a node */
  WARP_NODE_PIPES_MAX = 256,        /* pipes that belong to a node itself, */
  WARP_NODE_PIPES_OF_PEER_MAX = 16, /* of them with one peer; more are closed as they come */
  WARP_NODE_FUTURES_MAX = 256,      /* pipes that a node awaits */
  WARP_NODE_READY_MAX = 64,         /* pipes that wait for somebody who awaits them, */
  WARP_NODE_READY_MS = 60000,       /* so long; then they are closed */
};
/* Adds a message callback: it gets all that arrives at any pipe that a peer opened to this node,
 * after the pipe's own callbacks, and may answer with warp_pipe_send on the pipe. Not what belongs
 * to a link. Allowed from the moment when warp_node_start has returned, so that nothing is missed:
 * it may run before the start completes. A node with one lets peers in also without
 * warp_node_listen (the contact policy is asked as always). The pipes that nobody else takes then
 * belong to the node: they are closed when they have ended or the last message callback is taken
 * away, and may be closed before, or handed to warp_node_pipe_ready. Several callbacks are called
 * in the order in which they were added. WARP_INVALID on NULL, WARP_STATE when it closes,
 * WARP_LIMIT. */
WARP_API int warp_node_add_msg_cb(warp_node *node, warp_pipe_on_msg cb, void *arg);
/* Takes the pair away again, also from inside a callback. WARP_NOT_FOUND, WARP_INVALID on NULL. */
WARP_API int warp_node_del_msg_cb(warp_node *node, warp_pipe_on_msg cb, void *arg);

/* The pipe that was awaited (WARP_OK; the program owns it), or none (NULL): WARP_TIMEOUT,
 * WARP_CANCELED, or what it ended with just before. */
typedef void (*warp_node_on_future)(void *arg, warp_node *node, warp_pipe *pipe, int status);
/* Awaits the pipe with this id: the incoming one of a peer whose connect names it (`id` of
 * warp_connect_options), which then does not go to warp_node_listen's callback and needs none, or
 * one that is handed over by warp_node_pipe_ready, before or after. (An incoming pipe that comes
 * before anybody awaits it is like any other: refused, or its listener's, who may hand it over.)
 * `peer`: only a pipe with this key at the other end, and nobody else gets in by this id. It should
 * be named whenever it is known, because ids are no secret: whoever sees the peer's packets can
 * read them. NULL: anybody whom the contact policy lets in. `timeout_ms` 0: 60000. Allowed from the
 * moment when warp_node_start has returned. WARP_INVALID (also an id of zeros), WARP_STATE
 * (somebody awaits this id, or the node closes), WARP_UNTRUSTED (a pipe with another peer was
 * handed over), WARP_LIMIT, WARP_NOMEM. */
WARP_API int warp_node_pipe_future(warp_node *node, const warp_pipe_id *id, const warp_key *peer,
                                   uint32_t timeout_ms, warp_node_on_future cb, void *arg);
/* Hands a pipe of the program, of any kind, to whoever awaits the id, now or within
 * WARP_NODE_READY_MS; nobody: it is closed. On WARP_OK it is not the program's any more. What is
 * set on it stays set, so that nothing should be: then what arrives is held back until the other
 * one has set its own. WARP_INVALID (also an id of zeros, or a pipe of another loop), WARP_CLOSED
 * (the pipe is not open), WARP_STATE (a pipe waits under this id, the pipe waits under another one,
 * or the node closes), WARP_UNTRUSTED (another peer's is awaited), WARP_LIMIT, WARP_NOMEM. */
WARP_API int warp_node_pipe_ready(warp_node *node, const warp_pipe_id *id, warp_pipe *pipe);

/* ---- connecting ------------------------------------------------------------------------------ */

/* The whole story of a connect, both ends' reports. */
typedef void (*warp_explained)(void *arg, const warp_report *report);

typedef struct warp_connect_options {
  uint32_t timeout_ms;    /* whole call; 0: 60000 */
  const char *plugins;    /* NULL or "auto": all; or a comma separated list of names */
  unsigned transports;    /* bits of warp_transport; 0: all */
  bool no_relay;          /* leave the relay phase out */
  bool strict;            /* one phase after the other, each within its share of the timeout */
  uint32_t head_start_ms; /* of a phase before the next; 0: 200 */
  uint32_t grace_ms;      /* how long a ready relay waits for direct attempts; 0: 12000 */
  unsigned turn_limit;    /* relays tried at once; 0: 3 */
  /* Wants the peer's side of the story too: called once after warp_on_connect, with its `arg`, when
   * the peer's report has come or WARP_EXPLAIN_MS have passed. May be NULL. Not called when the
   * node closes first. */
  warp_explained on_explained;
  /* The id of the pipe, if both programs agreed on one: the peer's may await it by
   * warp_node_pipe_future. 16 bytes that nobody could guess, for one connect only: an id is never
   * used twice. NULL: drawn at random. A connect that names one gets a pipe of its own also when
   * the peer connects to us at the same moment, where otherwise both get the same pipe. While one
   * lives that names an id, a second one that names it too is refused with WARP_STATE and the first
   * goes on: at once at the same node; of another node's to the same peer the callback tells, if
   * that peer lets it in at all. Where two nodes connect to each other by one id, so that neither
   * awaits the other, both end with WARP_STATE as soon as they hear of each other. */
  const warp_pipe_id *id;
} warp_connect_options;
enum { WARP_EXPLAIN_MS = 2000 };

/* The connect ended: WARP_OK with a secure pipe (owned by the caller), or an error and NULL. The
 * report says what was tried, also on success. */
typedef void (*warp_on_connect)(void *arg, warp_pipe *pipe, int status, const warp_report *report);
/* Connects to the node whose signed record is given (the bytes of warp_node_address). `options` may
 * be NULL. A node hears 50 messages a second of one peer, of which a connect takes several, and
 * lets it begin 16 connects at once: who wants more than that finds them refused or not answered.
 * Errors before it starts: WARP_INVALID (also the node's own record, or an id of zeros),
 * WARP_STATE (also an id that is in use), WARP_NOMEM, WARP_MALFORMED, WARP_VERSION,
 * WARP_BAD_SIGNATURE, WARP_EXPIRED (a week ago, or no broker is shared by which its owner could be
 * asked for a newer one), WARP_NOT_FOUND (no such plugin), WARP_LIMIT (256 connects at once),
 * WARP_IO (no randomness). The callback's: WARP_ALL_FAILED, WARP_EXPIRED (of a record that expired
 * less than a week ago, when the peer gave no newer one), WARP_TIMEOUT, WARP_REFUSED or WARP_LIMIT
 * (by the peer), WARP_CANCELED. */
WARP_API int warp_auto_connect(warp_node *node, const uint8_t *record, size_t len,
                               const warp_connect_options *options, warp_on_connect cb, void *arg);

/* The same with one plugin only, also one that has no phase (`plugin_name` NULL: those of the
 * options), between interface addresses (WARP_NIC_BIND) or external ones (WARP_EXT_BIND) only, and
 * in one family only; 0 for either: any. It overrides the options' list of plugins. Errors as of
 * warp_auto_connect; WARP_INVALID also for another family or route type. */
WARP_API int warp_node_connect(warp_node *node, int family, int route_type, const uint8_t *record,
                               size_t len, const char *plugin_name,
                               const warp_connect_options *options, warp_on_connect cb, void *arg);

/* ---- names ----------------------------------------------------------------------------------- */

/* Longest name without suffix. Letters a-z, digits and inner hyphens. Wherever a name is taken it
 * may stand alone, or with the suffix of the node's set of name servers: ".p2p" of the default set,
 * else, and always understood too, a dot and six characters that follow from the servers. With the
 * suffix of another set it is WARP_INVALID: it may be somebody else's name here. */
enum { WARP_NAME_MAX = 63 };
/* A look-up or registration ended. `record` is what was looked up, the owner's signed record
 * (verified); NULL on error and of what looks nothing up. */
typedef void (*warp_on_name)(void *arg, int status, const uint8_t *record, size_t len);
/* Registers `name` (with or without suffix) for the node's key and keeps it registered while the
 * node lives. WARP_INVALID (also of a name that cannot be), WARP_STATE before the start completed,
 * WARP_NOMEM, WARP_LIMIT (64 requests at once). Ends with WARP_OK as soon as one server has it,
 * WARP_NAME_TAKEN, WARP_QUOTA, WARP_NO_SERVER (none is configured, or their names lead nowhere),
 * WARP_TIMEOUT (none answered in time), WARP_LIMIT (all servers are busy),
 * WARP_IO (a server failed), WARP_REPLAY (it knows a newer record), WARP_EXPIRED or
 * WARP_BAD_SIGNATURE (it refuses ours), WARP_CANCELED. */
WARP_API int warp_node_register(warp_node *node, const char *name, warp_on_name cb, void *arg);
/* Looks a name up. Errors before it starts as of warp_node_register. Ends with WARP_OK,
 * WARP_NOT_FOUND, WARP_NO_SERVER, WARP_TIMEOUT, WARP_LIMIT, WARP_IO, what is wrong with the record
 * that a server gave (WARP_BAD_SIGNATURE, WARP_EXPIRED, WARP_MALFORMED, WARP_VERSION,
 * WARP_UNTRUSTED), WARP_CANCELED. With several servers it is the newest record of the owner that
 * most of them name, and WARP_UNTRUSTED when as many name another. */
WARP_API int warp_node_lookup(warp_node *node, const char *name, warp_on_name cb, void *arg);

/* Asks the node whose signed record is given for its present one, through a broker that both know:
 * the record may be old, and expired by a week. A connect with a record that is older than ten
 * minutes, or tells no outside TCP address, does this by itself. Errors before it starts:
 * WARP_INVALID (also the node's own record), WARP_STATE before the start completed, WARP_NOMEM,
 * WARP_MALFORMED, WARP_VERSION, WARP_BAD_SIGNATURE, WARP_EXPIRED (more than a week ago),
 * WARP_NO_SERVER (no broker is shared), WARP_LIMIT (256 connects at once), WARP_IO (no randomness).
 * The callback gets WARP_OK with the record, which may be the same one, WARP_TIMEOUT, WARP_REFUSED
 * or WARP_LIMIT (by the peer), WARP_UNSUPPORTED (it cannot answer), WARP_NO_SERVER, what is wrong
 * with its answer (WARP_UNTRUSTED, WARP_REPLAY, WARP_MALFORMED, WARP_VERSION, WARP_BAD_SIGNATURE,
 * WARP_EXPIRED), WARP_CANCELED. */
WARP_API int warp_node_resolve(warp_node *node, const uint8_t *record, size_t len, warp_on_name cb,
                               void *arg);
/* Takes a name back, from all servers, and renews it no more. Errors before it starts as of
 * warp_node_register. Ends with WARP_OK when one of them deleted it, WARP_NOT_FOUND,
 * WARP_NAME_TAKEN (it is another key's), WARP_NO_SERVER, WARP_TIMEOUT, WARP_LIMIT, WARP_IO,
 * WARP_REPLAY (it was registered again meanwhile), WARP_CANCELED. */
WARP_API int warp_node_unregister(warp_node *node, const char *name, warp_on_name cb, void *arg);
/* The node's derived name with its suffix, as "n-7p3q....p2p": it follows from the key, and is
 * registered at the start unless that is off. Owned by the node; "" on NULL and before start phase
 * 10. */
WARP_API const char *warp_node_nickname(const warp_node *node);

/* ---- gates ----------------------------------------------------------------------------------- */

/* A gate is a node under a name: the name picks the key, and the name is registered. */
typedef struct warp_gate warp_gate;
/* The gate is open, or why not: then `gate` is NULL. */
typedef void (*warp_gate_on_open)(void *arg, warp_gate *gate, int status);
/* Opens a gate. `name` NULL: one derived from the machine, as "m-4f0c..."; it follows from the
 * lowest MAC address that a maker gave to one of its interfaces, whether that is up or not, so that
 * it changes only when that interface is taken out; one that already has a key in the data folder
 * goes before lower ones, so that an interface that is added changes nothing. Where all MAC
 * addresses are made up (virtual machines, containers) the default interface's counts, and without
 * any the hardware identifiers; with a `machine_id` in `conf` it follows from that alone. The name
 * is a slow hash, so that it does not show the MAC address. `conf` as for a node.
 * Completes when the node is reachable and the name registered. Errors before it starts:
 * WARP_INVALID (also of a name that cannot be, and of the text of a name server), WARP_NOMEM,
 * WARP_IO, and without a name
 * WARP_NOT_FOUND (no interface with a MAC address and no hardware identifiers). The callback's:
 * those of warp_node_start and warp_node_register, as WARP_NAME_TAKEN, WARP_QUOTA, WARP_NO_SERVER
 * and WARP_TIMEOUT; on error the gate is freed, `*out` must not be touched any more, and another
 * may be opened at once; the names that were registered meanwhile have been taken back, as far as
 * their servers answered within `server_timeout_ms`. */
WARP_API int warp_gate_open(warp_loop *loop, const char *name, const warp_conf *conf,
                            warp_gate_on_open cb, void *arg, warp_gate **out);
/* Closes the node below and frees the gate; `cb` (may be NULL) runs last. Does nothing on NULL or
 * when it is being closed already: then `cb` is not called. */
WARP_API void warp_gate_close(warp_gate *gate, void (*cb)(void *arg), void *arg);
/* The node below; owned by the gate. NULL on NULL. */
WARP_API warp_node *warp_gate_node(warp_gate *gate);
/* The full name it is registered under, as "alice.p2p"; owned by the gate. "" on NULL. */
WARP_API const char *warp_gate_name(const warp_gate *gate);
/* Connects to "alice" or "alice.p2p": look-up, then warp_auto_connect. Errors before it starts:
 * WARP_STATE before the gate is open, and those of warp_node_lookup. The callback's: those of both;
 * what stops it before there is an attempt comes with an empty report. */
WARP_API int warp_gate_connect(warp_gate *gate, const char *name,
                               const warp_connect_options *options, warp_on_connect cb, void *arg);
/* Connects to the owner of a signed record (the bytes of warp_node_address), without any name:
 * warp_auto_connect on the node below, with its errors. */
WARP_API int warp_gate_connect_record(warp_gate *gate, const uint8_t *record, size_t len,
                                      const warp_connect_options *options, warp_on_connect cb,
                                      void *arg);

/* A peer connected to the gate: a link with it, which the program owns and closes. What lies below,
 * and which plugin won: warp_pipe_get_info of warp_link_pipe. */
typedef void (*warp_gate_on_link)(void *arg, warp_gate *gate, warp_link *link,
                                  const warp_report *report);
/* Sets who gets the links of peers; they must make links as well, as warp_gate_connect_link does.
 * Takes the place of warp_node_listen on the node below. NULL: peers are refused. WARP_STATE before
 * the gate is open, WARP_INVALID on NULL. */
WARP_API int warp_gate_listen(warp_gate *gate, warp_gate_on_link on_link, void *arg);
/* The connect ended: WARP_OK with a link (owned by the caller), or an error and NULL. */
typedef void (*warp_on_link)(void *arg, warp_link *link, int status, const warp_report *report);
/* As warp_gate_connect, and makes a link of the pipe; the callback's WARP_NOMEM says that this
 * failed. WARP_INVALID also with `on_explained`, which needs warp_gate_connect. */
WARP_API int warp_gate_connect_link(warp_gate *gate, const char *name,
                                    const warp_connect_options *options, warp_on_link cb,
                                    void *arg);
/* The same for warp_gate_connect_record. */
WARP_API int warp_gate_connect_link_record(warp_gate *gate, const uint8_t *record, size_t len,
                                           const warp_connect_options *options, warp_on_link cb,
                                           void *arg);

/* A peer by its name: what warp_gate_connect takes. */
enum { WARP_PEER_NAME_LEN = WARP_NAME_MAX + 8 };
typedef struct warp_peer {
  char name[WARP_PEER_NAME_LEN]; /* with the suffix, as "alice.p2p" */
} warp_peer;
/* Completes a name with the suffix of the gate's name servers (`gate` NULL: with ".p2p", that of
 * the default set), and asks nobody. WARP_INVALID, also with the suffix of other servers. */
WARP_API int warp_peer_find(const warp_gate *gate, const char *name, warp_peer *out);

#ifdef __cplusplus
}
#endif
#endif
