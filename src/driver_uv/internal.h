/* What the files of this room share. */
#ifndef WG_DRIVER_UV_INTERNAL_H
#define WG_DRIVER_UV_INTERNAL_H

#include "base/addr.h"
#include "base/list.h"
#include "base/rng.h"
#include "driver_uv/driver.h"
#include "driver_uv/worker.h"

#include <sys/socket.h>
#include <uv.h>

enum {
  /* Read from a connection at once: four full TLS records, so that a fast peer costs few calls. */
  WG_UV_STREAM_BUFFER = 65536,
  /* Datagrams that leave together: as many as Linux takes at once (UDP_MAX_SEGMENTS), and as much
   * as one IP packet holds with its headers. */
  WG_UV_BATCH_MAX = 64,
  WG_UV_BATCH_BYTES = 65000,
  WG_UV_STRAYS_MAX = 16, /* addresses of interfaces that a node does not use are among them */
};

/* An address whose packets the routes would send out by another interface than its own. */
typedef struct wg_uv_stray {
  warp_addr addr;
  char interface[WG_IFNAME];
} wg_uv_stray;

/* The system's form of an address. */
typedef struct wg_uv_dest {
  struct sockaddr_storage addr;
  socklen_t len;
} wg_uv_dest;

/* A socket whose datagrams may leave together. */
typedef struct wg_uv_sender {
  int fd;
  struct wg_uv_watch *watch; /* of the descriptor, for UV_READABLE at least */
  /* The largest that may wait: the system cuts them from one piece, as far as is known; 0: it does
   * not, or the owner wants to know of each whether it was taken. */
  size_t cut_max;
  uint64_t turn; /* of the last one that did not wait and was taken; 0: the last one was not */
  wg_uv_dest to; /* and where it went, and all that wait */
} wg_uv_sender;

/* Datagrams of one sender, all of one size but the last, which may be shorter. */
typedef struct wg_uv_batch {
  wg_uv_sender *from;
  bool refused;     /* the system's buffer is full: they go as soon as there is room */
  size_t size, len; /* len 0: nothing waits */
  uint8_t bytes[WG_UV_BATCH_BYTES];
} wg_uv_batch;

struct wg_uv_env {
  wg_env base;
  uv_loop_t *loop;
  uv_timer_t timer;  /* armed to the earliest deadline of base.timers */
  uint64_t armed_us; /* that deadline; UINT64_MAX when it is not armed */
  uint64_t alive_us; /* when it was armed last, or that deadline where it had passed */
  uint64_t heard_us; /* what was put off after a standstill is due by then */
  bool firing;       /* timers are running: re-arming waits until they are through */

  wg_uv_workers *workers;   /* where they leave their results */
  uv_async_t workers_ready; /* how they wake the loop */
  unsigned workers_busy;    /* that somebody waits for */

  unsigned open;      /* handles that the user has not closed */
  unsigned lingering; /* closed connections that still send their rest */
  unsigned handles;   /* libuv handles that libuv still holds */
  bool closing;       /* wg_uv_env_close was called */
  bool settled;       /* and nothing lingers any more */
  void (*on_closed)(void *arg);
  void *closed_arg;

  wg_uv_stray strays[WG_UV_STRAYS_MAX]; /* since the interfaces were listed last */
  size_t stray_count;

  warp_addr gateway; /* of tests; family 0: the system's */
  int64_t wall_offset_ms;
  wg_rng jitter;
  uint64_t turn; /* callbacks of libuv so far */
  bool in_turn;  /* one of them is running */
  wg_uv_batch batch;
  uint8_t stream[WG_UV_STREAM_BUFFER]; /* also for datagrams */
};

static inline wg_uv_env *wg_uv_env_of(wg_env *env) {
  return WG_CONTAINER(env, wg_uv_env, base);
}

/* A connection has sent its rest, or its time is over. */
void wg_uv_env_lingered(wg_uv_env *env);
/* libuv let go of a handle: the last one ends the environment. */
void wg_uv_env_handle_closed(wg_uv_env *env);

/* ---- watches --------------------------------------------------------------------------------- */

/*
 * A descriptor watched for readiness. All sockets go through these instead of uv_tcp_t and
 * uv_udp_t: those write without MSG_NOSIGNAL, so that a peer's reset could end the program by
 * SIGPIPE, and share a port in ways of their own.
 */
typedef struct wg_uv_watch wg_uv_watch;
/* `events`: UV_READABLE and UV_WRITABLE; both on an error, which the owner's next call on the
 * descriptor then tells. */
typedef void (*wg_uv_watch_cb)(void *owner, int events);

/* The descriptor stays the caller's. WARP_NOMEM and others. */
int wg_uv_watch_open(wg_uv_env *env, int fd, wg_uv_watch_cb cb, void *owner, wg_uv_watch **out);
/* What to wait for from now on; 0: nothing. Must be called again after an error. */
void wg_uv_watch_set(wg_uv_watch *watch, int events);
/* No callback afterwards. The descriptor may be closed at once. */
void wg_uv_watch_close(wg_uv_watch *watch);
/* False once closed. To be asked after every callback to the user: what he closed is gone, but the
 * watch itself stays until the loop's callback has returned. */
bool wg_uv_watch_alive(const wg_uv_watch *watch);

/* ---- sockets --------------------------------------------------------------------------------- */

/* A non-blocking socket, bound unless `local` is NULL; `type` is SOCK_DGRAM or SOCK_STREAM. */
int wg_uv_socket(int family, int type, unsigned flags, const warp_addr *local, int *out);
/* A socket of the program's, made non-blocking as ours are, with its family. WARP_INVALID: no IP
 * socket of this type, or a stream socket that does not listen although it should, or the reverse.
 */
int wg_uv_check_socket(int fd, int type, bool listens, int *family);
/* The system's form of an address for a socket of `family`: an IPv4 address for an IPv6 socket
 * becomes a mapped one. WARP_INVALID when they do not fit. */
int wg_uv_sockaddr(const warp_addr *addr, int family, struct sockaddr_storage *out, socklen_t *len);
/* IPv4-mapped addresses become IPv4. Other families: no address. */
warp_addr wg_uv_addr(const struct sockaddr *addr);
/* The local address of a socket. */
warp_addr wg_uv_local(int fd);
/* Takes the pending error of a socket: an errno, 0 for none. */
int wg_uv_pending_error(int fd);
/* How many bytes wait to be read from a socket. */
size_t wg_uv_readable(int fd);
/* Acknowledges what a TCP socket has received now instead of up to 40 ms later, where the system
 * can be told so. Holds until the next bytes are sent. */
void wg_uv_acknowledge(int fd);
/* Has the system look whether the other end of a TCP connection is still there: a probe after
 * `idle_s` without a packet, more of them every `interval_s`, and the end of the connection after
 * `probes` of them stayed without an answer; where the system has fewer knobs, as near as it gets.
 * None are sent while something waits for its acknowledgement. */
void wg_uv_keep_alive(int fd, int idle_s, int interval_s, int probes);
/* And its end when what was sent waits for its acknowledgement for so long, where the system can be
 * told so. That counts, too, while the other end answers but takes nothing: not for a connection
 * whose receiver may pause. */
void wg_uv_limit_silence(int fd, int seconds);

/* ---- datagrams that go and come together ----------------------------------------------------- */

/* Around a callback of libuv: what goes to one address in between may wait for its end. */
void wg_uv_turn_begin(wg_uv_env *env);
void wg_uv_turn_end(wg_uv_env *env);
/* `together` false: each goes at once. The descriptor and the watch stay the caller's. */
void wg_uv_sender_open(wg_uv_sender *sender, int fd, wg_uv_watch *watch, bool together);
/* 0 or an errno. EAGAIN: the system's buffer is full, and this one is lost. */
int wg_uv_sender_send(wg_uv_env *env, wg_uv_sender *from, const wg_uv_dest *to, const void *data,
                      size_t len);
/* There may be room in the system's buffer again. */
void wg_uv_sender_ready(wg_uv_env *env, wg_uv_sender *from);
/* True while the sender has to be told of room, which it asks its watch for by itself. */
bool wg_uv_sender_waits(const wg_uv_env *env, const wg_uv_sender *from);
/* Sends what waits as far as there is room. To be called before the watch is closed. */
void wg_uv_sender_close(wg_uv_env *env, wg_uv_sender *from);

/* True when the system can cut pieces that leave by this socket into datagrams. */
bool wg_uv_cuts_pieces(int fd);
/* All that wait by one call of the system: 0 or an errno, and then none was sent. */
int wg_uv_send_piece(const wg_uv_batch *batch);
/* Has the system hand over at once what came together from one sender, where it can. */
void wg_uv_merge_datagrams(int fd);
/* As recvfrom. `size` is that of each datagram in what came; the last one may be shorter. */
ssize_t wg_uv_receive_piece(int fd, void *out, size_t cap, struct sockaddr_storage *from,
                            size_t *size);

/* ---- the operations -------------------------------------------------------------------------- */

/* See wg_env_ops. */
int wg_uv_udp_open(wg_env *env, const warp_addr *local, unsigned flags, wg_udp_recv_cb cb,
                   void *arg, wg_udp **out);
int wg_uv_udp_send(wg_udp *udp, const warp_addr *to, const void *data, size_t len);
void wg_uv_udp_local(const wg_udp *udp, warp_addr *out);
void wg_uv_udp_close(wg_udp *udp);
int wg_uv_udp_adopt(wg_env *env, int fd, unsigned flags, wg_udp_recv_cb cb, void *arg,
                    wg_udp **out);
int wg_uv_udp_release(wg_udp *udp, int *fd);

int wg_uv_tcp_connect(wg_env *env, const warp_addr *local, const warp_addr *to, unsigned flags,
                      const wg_tcp_handlers *handlers, void *arg, wg_tcp **out);
/* A connection from an accepted descriptor, which it owns also on failure. It reads as soon as the
 * loop goes on. */
int wg_uv_tcp_accepted(wg_uv_env *env, int fd, const warp_addr *from, wg_tcp **out);
void wg_uv_tcp_set_handlers(wg_tcp *tcp, const wg_tcp_handlers *handlers, void *arg);
int wg_uv_tcp_send(wg_tcp *tcp, const void *data, size_t len);
size_t wg_uv_tcp_queued(const wg_tcp *tcp);
int wg_uv_tcp_shutdown(wg_tcp *tcp);
void wg_uv_tcp_pause(wg_tcp *tcp, bool paused);
void wg_uv_tcp_addrs(const wg_tcp *tcp, warp_addr *local, warp_addr *remote);
void wg_uv_tcp_close(wg_tcp *tcp);
void wg_uv_tcp_reset(wg_tcp *tcp);
int wg_uv_tcp_adopt(wg_env *env, int fd, const wg_tcp_handlers *handlers, void *arg, wg_tcp **out);
int wg_uv_tcp_release(wg_tcp *tcp, int *fd);
int wg_uv_tcp_listen(wg_env *env, const warp_addr *local, unsigned flags, wg_tcp_accept_cb cb,
                     void *arg, wg_tcp_listener **out);
void wg_uv_tcp_listener_local(const wg_tcp_listener *listener, warp_addr *out);
void wg_uv_tcp_listener_close(wg_tcp_listener *listener);
int wg_uv_tcp_listener_adopt(wg_env *env, int fd, wg_tcp_accept_cb cb, void *arg,
                             wg_tcp_listener **out);
int wg_uv_tcp_listener_release(wg_tcp_listener *listener, int *fd);

/* A socket bound to one of the strays is kept to its interface, where the system allows that. */
void wg_uv_keep_to_interface(wg_uv_env *env, int fd, const warp_addr *local);
/* Addresses that are nobody's (RFC 5737, 3849, 9637), for asking the routes; several, because a
 * laboratory may stand on one of the ranges. False past the last one. */
bool wg_uv_far_address(size_t number, warp_addr *out);
int wg_uv_interfaces(wg_env *env, wg_interface *out, size_t max);
int wg_uv_netwatch_open(wg_env *env, wg_netwatch_cb cb, void *arg, wg_netwatch **out);
void wg_uv_netwatch_close(wg_netwatch *watch);

int wg_uv_resolve(wg_env *env, const char *host, uint16_t port, int family, wg_resolve_cb cb,
                  void *arg, wg_resolve **out);
void wg_uv_resolve_cancel(wg_resolve *resolve);

int wg_uv_broker_open(wg_env *env, const wg_broker_options *options,
                      const wg_broker_handlers *handlers, void *arg, wg_broker **out);
int wg_uv_broker_publish(wg_broker *broker, const char *topic, const void *data, size_t len);
void wg_uv_broker_renew(wg_broker *broker);
void wg_uv_broker_close(wg_broker *broker);

int wg_uv_portmap_open(wg_env *env, const warp_addr *local, warp_transport transport,
                       wg_portmap_cb cb, void *arg, wg_portmap **out);
void wg_uv_portmap_close(wg_portmap *portmap);

int wg_uv_file_read(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                    size_t *len);
int wg_uv_file_load(wg_env *env, const char *path, void *out, size_t cap, size_t *len);
int wg_uv_file_write(wg_env *env, const char *dir, const char *name, const void *data, size_t len);
int wg_uv_file_create(wg_env *env, const char *dir, const char *name, const void *data, size_t len);
int wg_uv_modules_load(wg_env *env, const char *dir, const char *symbol, wg_module_cb cb,
                       void *arg);
int wg_uv_macs(wg_env *env, wg_mac *out, size_t max);
/* Adds a hardware address to a list unless it is none, known already, or there is no room; returns
 * the list's new length. */
size_t wg_uv_add_mac(const void *bytes, wg_mac *out, size_t count, size_t max);
int wg_uv_machine_id(wg_env *env, void *out, size_t cap, size_t *len);

#endif
