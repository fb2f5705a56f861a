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
 */
#ifndef WARPGATE_PLUGIN_H
#define WARPGATE_PLUGIN_H

#include <warpgate/warpgate.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a plugin built against an older header would misbehave. */
enum { WARP_PLUGIN_VERSION = 1 };

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

/* Measured behaviour, apart for each transport. */
typedef struct warp_nat_axes {
  uint8_t translation; /* warp_nat_translation */
  uint8_t mapping;     /* warp_nat_dependence */
  uint8_t filtering;   /* warp_nat_dependence */
  uint8_t allocation;  /* warp_nat_allocation */
  int16_t step;        /* of a sequential allocation */
  uint8_t confidence;  /* 0 (nothing measured) to 100 */
} warp_nat_axes;

/* One interface and family of a node, as its signed record says it. */
typedef struct warp_endpoint {
  uint8_t family;
  uint8_t prefix_bits;    /* of the interface's network */
  warp_addr nic;          /* interface address and listen port (TCP and UDP) */
  warp_addr external_udp; /* server-reflexive (RFC 8445) address of the shared UDP socket; family 0:
                             unknown */
  warp_addr external_tcp; /* the same of the TCP listen port */
  warp_nat_axes udp, tcp;
} warp_endpoint;

/* ---- attempts -------------------------------------------------------------------------------- */

typedef struct warp_attempt warp_attempt;
typedef enum warp_role { WARP_INITIATOR = 1, WARP_RESPONDER = 2 } warp_role;

/* What an attempt combines. The endpoints live as long as the attempt. */
typedef struct warp_combo {
  uint8_t family;
  uint8_t route_type; /* WARP_NIC_BIND: between interface addresses; WARP_EXT_BIND: external ones */
  uint8_t transport;  /* warp_transport */
  const warp_endpoint *self, *peer;
} warp_combo;

typedef struct warp_plugin {
  uint32_t interface_version; /* WARP_PLUGIN_VERSION */
  const char *name;           /* at most 23 characters a-z, 0-9 and _ */
  warp_phase phase;           /* WARP_PHASE_NONE: only when pinned by name */
  unsigned transports;        /* bits of warp_transport */
  unsigned route_types;       /* bits of WARP_NIC_BIND, WARP_EXT_BIND */
  uint32_t timeout_ms;        /* ceiling of one attempt */
  size_t state_size;          /* bytes of zeroed state that each attempt gets */
  /* On the initiator, before anything is started: can it work, by what is measured? WARP_OK, or
   * WARP_RULED_OUT with one line in `why`. NULL: always worth a try. */
  int (*check)(const warp_combo *combo, char *why, size_t room);
  /* Starts. `message` is NULL on the initiator, the peer's first message on the responder. An error
   * ends the attempt at once. */
  int (*run)(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len);
  /* A later message of the peer for this attempt. May be NULL. */
  void (*message)(warp_attempt *attempt, uint8_t type, const uint8_t *message, size_t len);
  /* The attempt is over, won or not: free what the context does not know of. May be NULL. */
  void (*stop)(warp_attempt *attempt);
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

/* One-shot timers in numbered slots; setting a slot again replaces its timer. Slots above the last
 * and attempts that have ended are ignored. No plugin of ours needs more than two. */
enum { WARP_ATTEMPT_TIMERS = 4 };
/* The timer ran out; called from the loop. */
typedef void (*warp_attempt_cb)(warp_attempt *attempt);
WARP_API void warp_attempt_timer(warp_attempt *attempt, unsigned slot, uint32_t delay_ms,
                                 warp_attempt_cb cb);
/* Forgets the timer of a slot; nothing when none is set. */
WARP_API void warp_attempt_timer_stop(warp_attempt *attempt, unsigned slot);

/* What the report will say of this attempt if it ends now; replaces the line before. */
WARP_API void warp_attempt_note(warp_attempt *attempt, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Ends the attempt; the peer is told. Nothing of it runs after the present callback. */
WARP_API void warp_attempt_fail(warp_attempt *attempt, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sends a message of the plugin's own to the same attempt at the peer, sealed and signed. The first
 * one makes the peer's node start the attempt there. At most WARP_ATTEMPT_MESSAGE_MAX bytes.
 * WARP_NO_SERVER when no broker is shared, WARP_TOO_BIG, WARP_LIMIT (too many wait for a broker),
 * WARP_STATE, WARP_NOMEM. Its size leaves room for a record and the sealing in one signal. */
enum { WARP_ATTEMPT_MESSAGE_MAX = 1024 };
WARP_API int warp_attempt_signal(warp_attempt *attempt, uint8_t type, const void *data, size_t len);

/* ---- streams --------------------------------------------------------------------------------- */

/* Dials the peer; when connected the stream is secured (the dialler is the TLS client) and takes
 * part in the race, and if dialling or securing fails the attempt fails. WARP_UNTRUSTED when the
 * address is none that the peer may name (loopback, or a LAN that is not proven to be shared);
 * WARP_STATE, WARP_NOMEM, and what the system says at once (WARP_UNREACHABLE, WARP_IO). */
WARP_API int warp_attempt_dial(warp_attempt *attempt, const warp_addr *to);
/* Streams of this session that the peer dials to our listener may carry this attempt from now on.
 */
WARP_API void warp_attempt_expect(warp_attempt *attempt);

/* ---- datagram paths -------------------------------------------------------------------------- */

/*
 * A path carries datagrams between the two nodes of an attempt. It has candidate remote addresses,
 * sends tagged probes to them, and selects the address from which the first packet with the right
 * tag came. Tags are derived from a secret of the session; packets without one never reach the
 * attempt.
 */
typedef struct warp_path warp_path;

/* Where a path's packets go out; NULL for the node's long-lived shared socket of the family. */
typedef struct warp_path_socket {
  int (*send)(void *arg, const warp_addr *to, const void *data, size_t len);
  void *arg;
  bool relayed;     /* the report calls the path a relay */
  warp_addr remote; /* what the report names as the other end, for a relay its server */
} warp_path_socket;

/* A valid packet came from `from` for the first time. */
typedef void (*warp_path_heard)(warp_attempt *attempt, warp_path *path, const warp_addr *from);

/* Addresses of one path: a record names twelve at most; the rest are for those that packets come
 * from. */
enum { WARP_PATH_CANDIDATES = 16 };
/* At most one path for an attempt (WARP_STATE); owned by it. `socket` is copied. WARP_UNSUPPORTED
 * when the node has no UDP socket of the family, WARP_LIMIT when too many paths share it,
 * WARP_NOMEM. */
WARP_API int warp_attempt_path(warp_attempt *attempt, const warp_path_socket *socket,
                               warp_path_heard heard, warp_path **out);
/* Adds a candidate. WARP_UNTRUSTED as for warp_attempt_dial (a LAN that the peer claims to share
 * may be probed, though), WARP_LIMIT, WARP_STATE. Adding one twice is WARP_OK. */
WARP_API int warp_path_add(warp_path *path, const warp_addr *to);
/* The candidates lie on a relay: the report calls the path one. */
WARP_API void warp_path_set_relayed(warp_path *path);
/* Sends one probe to the selected address, or to every candidate while none is selected. */
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

typedef struct warp_udp_socket warp_udp_socket;
/* A datagram came; called from the loop. */
typedef void (*warp_udp_received)(warp_attempt *attempt, const uint8_t *data, size_t len,
                                  const warp_addr *from);
/* Opens a UDP socket on the attempt's interface with a port of the system's choice; owned by the
 * attempt. WARP_STATE, WARP_NOMEM, WARP_LIMIT, WARP_ADDR_NOT_AVAILABLE, WARP_IO. */
WARP_API int warp_attempt_udp(warp_attempt *attempt, warp_udp_received cb, warp_udp_socket **out);
/* Sends one datagram; it may be lost. `to` is not checked as warp_path_add does: send to servers of
 * the configuration only, to the peer through a path. WARP_AGAIN when the system's buffer is full,
 * WARP_TOO_BIG, WARP_UNREACHABLE, WARP_IO. */
WARP_API int warp_udp_socket_send(warp_udp_socket *socket, const warp_addr *to, const void *data,
                                  size_t len);

/* ---- relays ---------------------------------------------------------------------------------- */

/* A TURN server of the configuration, its name already looked up. Strings live as long as the node.
 */
typedef struct warp_relay {
  warp_addr addr;
  const char *user, *password;
} warp_relay;
/* The relay number `index` of the attempt's family. WARP_NOT_FOUND past the last one. */
WARP_API int warp_attempt_relay(warp_attempt *attempt, unsigned index, warp_relay *out);
/* A pipe that won over this attempt lives on: the plugin's state, sockets and timers live until it
 * is closed, and `stop` is called then. Call it before warp_path_secure when the path needs the
 * plugin (a relay). */
WARP_API void warp_attempt_keep(warp_attempt *attempt);

#ifdef __cplusplus
}
#endif
#endif
