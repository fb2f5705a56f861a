/*
 * The seam to the outside world. Clock, randomness, timers, sockets, interfaces, names, files and
 * the signal transport reach the library only through this table; in production it is libuv
 * (driver_uv), in tests a fake clock and an in-memory network.
 *
 * Rules that every driver keeps:
 * - Callbacks run from the loop only, never from inside a call of this interface.
 * - Closing a handle is immediate for the caller: no callback of it runs afterwards. A handle may
 * be closed from its own callback. What the driver still needs of it, the driver keeps.
 * - Sends copy the data. Handles must not be used after closing.
 * - Functions return WARP_OK or a negative warp_status.
 */
#ifndef WG_ENV_ENV_H
#define WG_ENV_ENV_H

#include "base/log.h"
#include "base/mac.h"
#include "base/timers.h"
#include <warpgate/warpgate.h>

typedef struct wg_env wg_env;
typedef struct wg_udp wg_udp; /* a bound UDP socket */
typedef struct wg_tcp wg_tcp; /* a TCP connection, connecting or established */
typedef struct wg_tcp_listener wg_tcp_listener;
typedef struct wg_resolve wg_resolve; /* a name look-up under way */
typedef struct wg_broker wg_broker;   /* a connection to one MQTT broker, kept up */

/* ---- sockets --------------------------------------------------------------------------------- */

/* Largest datagram handed up or taken: more than any path of ours carries. */
enum { WG_UDP_MAX = 2048 };
/* Bytes a TCP connection holds in its send queue before WARP_AGAIN. */
enum { WG_TCP_QUEUE_MAX = 4 << 20 };

enum {
  WG_SOCK_REUSE = 1, /* SO_REUSEADDR and SO_REUSEPORT: several sockets share the local port */
  WG_SOCK_V6ONLY = 2,
  WG_SOCK_BROADCAST = 4, /* SO_BROADCAST */
  WG_SOCK_LARGE = 8,     /* datagrams up to WG_DATAGRAM_MAX instead of WG_UDP_MAX */
};
/* Largest datagram of a socket with WG_SOCK_LARGE: all that IP carries. */
enum { WG_DATAGRAM_MAX = 65535 };
/* In the upper half of the flags stands the third argument of socket(). */
#define WG_SOCK_PROTOCOL(number) ((unsigned)(number) << 16)

typedef void (*wg_udp_recv_cb)(void *arg, const uint8_t *data, size_t len, const warp_addr *from);

typedef struct wg_tcp_handlers {
  /* Connected (WARP_OK) or failed; after a failure the handle must still be closed. Not for
   * accepted ones. */
  void (*on_open)(void *arg, int status);
  void (*on_data)(void *arg, const uint8_t *data, size_t len);
  /* The end of the peer's stream (WARP_CLOSED; sending may go on) or of the connection (WARP_RESET,
   * ...). Once. WARP_TIMEOUT when the peer is gone without a word: after a minute in which nobody
   * sends, else when the system gives up what was sent. */
  void (*on_end)(void *arg, int status);
  void (*on_drain)(void *arg); /* the send queue is empty again */
} wg_tcp_handlers;

/* A new connection. The callee sets its handlers with wg_tcp_set_handlers before returning, or
 * closes it. */
typedef void (*wg_tcp_accept_cb)(void *arg, wg_tcp *tcp, const warp_addr *from);

/* ---- interfaces ------------------------------------------------------------------------------ */

/* A name with its NUL: 16 bytes on Linux, longer elsewhere. Addresses of all interfaces together: a
 * host full of containers has a hundred, and what lies beyond is not seen. */
enum { WG_IFNAME = 32, WG_INTERFACES_MAX = 128 };
typedef struct wg_interface {
  char name[WG_IFNAME];
  warp_addr addr; /* port 0 */
  unsigned prefix_bits;
  uint8_t mac[6];
  bool loopback;
  bool routed;     /* packets to the internet leave by it when they are sent from this address */
  bool is_default; /* the address the system picks for the family's default route */
} wg_interface;

/* Somebody wants to know when interfaces, addresses or routes have changed. */
typedef struct wg_netwatch wg_netwatch;
/* They may have changed: what there is now, `interfaces` tells. Once for many changes that come
 * together, and now and then for none. The watch may be closed from within. */
typedef void (*wg_netwatch_cb)(void *arg);

/* ---- names ----------------------------------------------------------------------------------- */

/* Addresses of one name: servers have one or two of each family. */
enum { WG_RESOLVE_MAX = 8 };
typedef void (*wg_resolve_cb)(void *arg, int status, const warp_addr *addrs, size_t count);

/* ---- signal transport ------------------------------------------------------------------------ */

/* Largest message through a broker: an envelope (WG_ENVELOPE_MAX) with room for later versions. */
enum {
  WG_BROKER_MESSAGE_MAX = 8192,
  WG_TOPIC_LEN = 96,
  WG_BROKER_QUEUE = 256 /* messages waiting for a reconnect */
};

typedef struct wg_broker_options {
  const char *server; /* "host:port" or "user:password@host:port" */
  const char *client_id;
  const char *topic; /* the topic to subscribe to */
} wg_broker_options;

typedef struct wg_broker_handlers {
  /* Subscription acknowledged (WARP_OK), or the connection is down and why (WARP_AUTH,
   * WARP_CONN_REFUSED, WARP_TIMEOUT, ...). The driver goes on reconnecting with backoff (200 ms
   * doubling to 5 s, with jitter). A connection that a NAT on the way has forgotten is found out
   * within seconds of silence, although nobody tells. */
  void (*on_state)(void *arg, int status);
  void (*on_message)(void *arg, const uint8_t *data, size_t len);
} wg_broker_handlers;

/* ---- port mapping ---------------------------------------------------------------------------- */

typedef struct wg_portmap wg_portmap; /* a port that the local router is asked to keep open */
typedef struct wg_portmap_grant {
  warp_addr external;   /* what the router granted, which need not be what was asked for */
  uint32_t lifetime_s;  /* 0: until it is removed */
  const char *protocol; /* "UPnP IGD" or "NAT-PMP"; static storage */
} wg_portmap_grant;
/* The router granted the port (WARP_OK), or a renewal gave another external address (WARP_OK
 * again), or there is none any more or never was, and why (grant NULL: WARP_NOT_FOUND without a
 * router that speaks a protocol, WARP_REFUSED, WARP_TIMEOUT, WARP_IO); told of each change once.
 * The driver goes on renewing at half of the lifetime, and trying with growing pauses. */
enum {
  WG_PORTMAP_MS =
      5000, /* finding a UPnP router by multicast takes 1 s, its answers one more each */
  WG_PORTMAP_CLOSE_MS = 2000,
};
typedef void (*wg_portmap_cb)(void *arg, int status, const wg_portmap_grant *grant);

/* ---- plugins from outside -------------------------------------------------------------------- */

/* One shared object of a folder. `entry` is NULL when it cannot be loaded or has no such symbol;
 * `error` then says why. */
typedef void (*wg_module_cb)(void *arg, const char *file, void *entry, const char *error);

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct wg_env_ops {
  uint64_t (*now_us)(wg_env *env);                   /* monotonic; starts anywhere above zero */
  int64_t (*wall_ms)(wg_env *env);                   /* since 1970 UTC, as far as this host knows */
  int (*random)(wg_env *env, void *out, size_t len); /* from the system; WARP_IO */

  int (*udp_open)(wg_env *env, const warp_addr *local, unsigned flags, wg_udp_recv_cb cb, void *arg,
                  wg_udp **out);
  /* WARP_AGAIN when the system's buffer is full (the datagram is dropped), WARP_UNREACHABLE,
   * WARP_TOO_BIG. Of datagrams that follow another one to the same address within a callback these
   * errors may stay untold, and they may leave only at its end; not with WG_SOCK_LARGE. */
  int (*udp_send)(wg_udp *udp, const warp_addr *to, const void *data, size_t len);
  void (*udp_local)(const wg_udp *udp, warp_addr *out);
  void (*udp_close)(wg_udp *udp);

  /* `local` may be NULL. on_open tells how it went. */
  int (*tcp_connect)(wg_env *env, const warp_addr *local, const warp_addr *to, unsigned flags,
                     const wg_tcp_handlers *handlers, void *arg, wg_tcp **out);
  void (*tcp_set_handlers)(wg_tcp *tcp, const wg_tcp_handlers *handlers, void *arg);
  /* All or nothing: WARP_AGAIN over WG_TCP_QUEUE_MAX, WARP_CLOSED after shutdown or an end */
  int (*tcp_send)(wg_tcp *tcp, const void *data, size_t len);
  /* Bytes waiting in the send queue. */
  size_t (*tcp_queued)(const wg_tcp *tcp);
  int (*tcp_shutdown)(wg_tcp *tcp);            /* end of our stream after what is queued */
  void (*tcp_pause)(wg_tcp *tcp, bool paused); /* stop or go on reading: back-pressure */
  void (*tcp_addrs)(const wg_tcp *tcp, warp_addr *local, warp_addr *remote);
  void (*tcp_close)(wg_tcp *tcp); /* what is queued is still sent, within 2 s */
  void (*tcp_reset)(wg_tcp *tcp); /* at once, with a reset (SO_LINGER 0) */
  /* `cb` NULL: nothing listens, the port is only kept by a socket that is bound to it. */
  int (*tcp_listen)(wg_env *env, const warp_addr *local, unsigned flags, wg_tcp_accept_cb cb,
                    void *arg, wg_tcp_listener **out);
  void (*tcp_listener_local)(const wg_tcp_listener *listener, warp_addr *out);
  void (*tcp_listener_close)(wg_tcp_listener *listener);

  /* Descriptors of the program become handles: a UDP socket, a connected or a listening TCP socket.
   * Flags: WG_SOCK_LARGE. On an error the descriptor stays the caller's: WARP_INVALID (another kind
   * of socket), WARP_UNSUPPORTED (a driver without descriptors). */
  int (*udp_adopt)(wg_env *env, int fd, unsigned flags, wg_udp_recv_cb cb, void *arg, wg_udp **out);
  int (*tcp_adopt)(wg_env *env, int fd, const wg_tcp_handlers *handlers, void *arg, wg_tcp **out);
  int (*tcp_listener_adopt)(wg_env *env, int fd, wg_tcp_accept_cb cb, void *arg,
                            wg_tcp_listener **out);
  /* And back: frees the handle and gives its descriptor, or WARP_UNSUPPORTED and it stays. What is
   * still queued is lost. */
  int (*udp_release)(wg_udp *udp, int *fd);
  int (*tcp_release)(wg_tcp *tcp, int *fd);
  int (*tcp_listener_release)(wg_tcp_listener *listener, int *fd);

  /* Fills at most `max`, returns the count (>= 0) or an error. */
  int (*interfaces)(wg_env *env, wg_interface *out, size_t max);
  /* Likewise with the hardware addresses of the machine's interfaces, where the system tells them
   * also of those that are down; none of loopback, none twice. */
  int (*macs)(wg_env *env, wg_mac *out, size_t max);
  /* WARP_NOMEM, and what the system says. */
  int (*netwatch_open)(wg_env *env, wg_netwatch_cb cb, void *arg, wg_netwatch **out);
  void (*netwatch_close)(wg_netwatch *watch);
  /* `host` is a name or a numeric address; `family` WARP_IP4, WARP_IP6 or 0. The callback runs
   * exactly once unless cancelled first (then never). WARP_NOT_FOUND, WARP_TIMEOUT. */
  int (*resolve)(wg_env *env, const char *host, uint16_t port, int family, wg_resolve_cb cb,
                 void *arg, wg_resolve **out);
  void (*resolve_cancel)(wg_resolve *resolve);

  int (*broker_open)(wg_env *env, const wg_broker_options *options,
                     const wg_broker_handlers *handlers, void *arg, wg_broker **out);
  /* Queued (bounded) while the connection is down. WARP_LIMIT when the queue is full, WARP_TOO_BIG
   */
  int (*broker_publish)(wg_broker *broker, const char *topic, const void *data, size_t len);
  /* The interfaces have changed: a connection from an address that is gone is made anew instead of
   * waiting for its silence to be noticed, and one that is down is tried at once. on_state tells.
   */
  void (*broker_renew)(wg_broker *broker);
  void (*broker_close)(wg_broker *broker); /* sends DISCONNECT where it can */

  /* Small files of the data folder. `dir` NULL: the default data folder. `name` has no slash.
   * WARP_NOT_FOUND, WARP_TOO_BIG, WARP_PERMISSION (also: others than the owner may read or write
   * the file), WARP_IO. */
  int (*file_read)(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                   size_t *len);
  /* A file that the configuration names by its path, which is no secret. WARP_NOT_FOUND,
   * WARP_TOO_BIG, WARP_PERMISSION, WARP_IO (also: not a file). */
  int (*file_load)(wg_env *env, const char *path, void *out, size_t cap, size_t *len);
  /* Atomic (write beside, fsync, rename) with mode 0600 in a folder of mode 0700, made when
   * missing. */
  int (*file_write)(wg_env *env, const char *dir, const char *name, const void *data, size_t len);
  /* Likewise a file that is not there yet; WARP_STATE: there is one, and it stays as it is. Of
   * several processes that make it at once one succeeds, where the file system has hard links. */
  int (*file_create)(wg_env *env, const char *dir, const char *name, const void *data, size_t len);
  /* Asks the router of `local` (an interface address and port) to let everybody in there. The
   * first answer of the callback comes within WG_PORTMAP_MS. WARP_NOMEM, WARP_LIMIT,
   * WARP_UNSUPPORTED (IPv6). */
  int (*portmap_open)(wg_env *env, const warp_addr *local, warp_transport transport,
                      wg_portmap_cb cb, void *arg, wg_portmap **out);
  /* Has the router close it; the loop lives at most WG_PORTMAP_CLOSE_MS longer for that. */
  void (*portmap_close)(wg_portmap *portmap);
  /* Loads every "*.so" of a folder, in the order of their names, and tells of each before it
   * returns. They stay loaded. Links and files that others may write to are not loaded.
   * WARP_NOT_FOUND (no such folder), WARP_PERMISSION (others may write to it), WARP_UNSUPPORTED,
   * WARP_NOMEM, WARP_IO. */
  int (*modules_load)(wg_env *env, const char *dir, const char *symbol, wg_module_cb cb, void *arg);

  /* Hardware identifiers of this machine, stable over boots, unhashed. WARP_NOT_FOUND. */
  int (*machine_id)(wg_env *env, void *out, size_t cap, size_t *len);
} wg_env_ops;

struct wg_env {
  const wg_env_ops *ops;
  wg_timers timers; /* run by the driver */
  wg_log log;       /* of what belongs to no node; each node's log hears it */
  /* Told whenever the earliest deadline may have moved, so that a driver can re-arm. May be NULL.
   */
  void (*timers_changed)(wg_env *env);
};

/* Conveniences over the table. */
uint64_t wg_now_us(wg_env *env);
/* Starts or restarts a timer owned by the caller, `delay_us` from now. */
void wg_timer_start(wg_env *env, wg_timer *timer, uint64_t delay_us, wg_timer_cb cb, void *arg);
void wg_timer_stop(wg_env *env, wg_timer *timer);

#endif
