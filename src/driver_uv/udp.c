#include "driver_uv/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Datagrams read before the other sockets get their turn; the last ones may come as a piece, which
 * is taken whole. */
enum { READS_PER_TURN = 64 };
/* What the system keeps for us while we are busy, as far as it lets us: its own 200 kB are under a
 * hundred datagrams, so that a link of some speed would lose packets at its very end. */
enum { RECEIVE_BUFFER = 4 << 20 };

struct wg_udp {
  wg_uv_env *env;
  wg_uv_sender sender; /* with the descriptor and its watch */
  int family; /* of the socket: a mapped IPv4 address is told as IPv4, but the socket is IPv6 */
  bool large;
  warp_addr local;
  wg_udp_recv_cb cb;
  void *arg;
};

static void take(wg_udp *udp, const uint8_t *data, size_t len, const warp_addr *from) {
  if (!udp->large && len > WG_UDP_MAX) {
    wg_logf(&udp->env->base.log, WARP_LOG_DEBUG, "dropped a datagram of more than %d bytes",
            WG_UDP_MAX);
    return;
  }
  udp->cb(udp->arg, data, len, from);
}

/* Reads once, and returns how many datagrams there were; 0: nothing to read now. The socket may be
 * closed afterwards. */
static int receive(wg_udp *udp) {
  wg_uv_env *env = udp->env;
  wg_uv_watch *watch = udp->sender.watch;
  struct sockaddr_storage storage;
  size_t size;
  ssize_t got =
      wg_uv_receive_piece(udp->sender.fd, env->stream, sizeof env->stream, &storage, &size);
  if (got < 0) {
    /* An ICMP error of an earlier datagram says nothing about this socket, which talks to many. */
    return errno != EAGAIN && errno != EWOULDBLOCK;
  }
  warp_addr from = wg_uv_addr((struct sockaddr *)&storage);
  size_t len = (size_t)got, at = 0;
  int count = 0;
  do {
    size_t here = len - at < size ? len - at : size;
    take(udp, env->stream + at, here, &from);
    at += here;
    count++;
  } while (at < len && wg_uv_watch_alive(watch));
  return count;
}

static void on_ready(void *owner, int events) {
  wg_udp *udp = owner;
  wg_uv_env *env = udp->env;
  wg_uv_watch *watch = udp->sender.watch;
  if ((events & UV_WRITABLE) != 0) {
    wg_uv_sender_ready(env, &udp->sender);
  }
  int count = 1;
  for (int read = 0; read < READS_PER_TURN && count > 0; read += count) {
    count = receive(udp);
    if (!wg_uv_watch_alive(watch)) {
      return;
    }
  }
  wg_uv_watch_set(watch, UV_READABLE | (wg_uv_sender_waits(env, &udp->sender) ? UV_WRITABLE : 0));
}

/* The descriptor stays the caller's on an error. */
static int make(wg_uv_env *env, int fd, int family, unsigned flags, wg_udp_recv_cb cb, void *arg,
                wg_udp **out) {
  wg_udp *udp = calloc(1, sizeof *udp);
  wg_uv_watch *watch;
  int status = udp != NULL ? wg_uv_watch_open(env, fd, on_ready, udp, &watch) : WARP_NOMEM;
  if (status != WARP_OK) {
    free(udp);
    return status;
  }
  udp->env = env;
  udp->family = family;
  udp->large = (flags & WG_SOCK_LARGE) != 0;
  wg_uv_sender_open(&udp->sender, fd, watch, !udp->large);
  udp->local = wg_uv_local(fd);
  udp->cb = cb;
  udp->arg = arg;
  env->open++;
  wg_uv_watch_set(watch, UV_READABLE);
  *out = udp;
  return WARP_OK;
}

int wg_uv_udp_open(wg_env *base, const warp_addr *local, unsigned flags, wg_udp_recv_cb cb,
                   void *arg, wg_udp **out) {
  wg_uv_env *env = wg_uv_env_of(base);
  int fd;
  int status = wg_uv_socket(local->family, SOCK_DGRAM, flags, local, &fd);
  if (status != WARP_OK) {
    return status;
  }
  wg_uv_keep_to_interface(env, fd, local);
  static const int buffer = RECEIVE_BUFFER;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if ((flags & WG_SOCK_LARGE) == 0) { /* else the program may have the descriptor one day */
    wg_uv_merge_datagrams(fd);
  }
  status = make(env, fd, local->family, flags, cb, arg, out);
  if (status != WARP_OK) {
    close(fd);
  }
  return status;
}

int wg_uv_udp_adopt(wg_env *base, int fd, unsigned flags, wg_udp_recv_cb cb, void *arg,
                    wg_udp **out) {
  int family;
  int status = wg_uv_check_socket(fd, SOCK_DGRAM, false, &family);
  return status == WARP_OK ? make(wg_uv_env_of(base), fd, family, flags, cb, arg, out) : status;
}

int wg_uv_udp_send(wg_udp *udp, const warp_addr *to, const void *data, size_t len) {
  if (len > (udp->large ? (size_t)WG_DATAGRAM_MAX : (size_t)WG_UDP_MAX)) {
    return WARP_TOO_BIG;
  }
  wg_uv_dest dest;
  int status = wg_uv_sockaddr(to, udp->family, &dest.addr, &dest.len);
  if (status != WARP_OK) {
    return status;
  }
  int error = wg_uv_sender_send(udp->env, &udp->sender, &dest, data, len);
  if (error == 0) {
    return WARP_OK;
  }
  return error == ENOBUFS ? WARP_AGAIN : wg_uv_status(error);
}

void wg_uv_udp_local(const wg_udp *udp, warp_addr *out) {
  *out = udp->local;
}

int wg_uv_udp_release(wg_udp *udp, int *fd) {
  wg_uv_sender_close(udp->env, &udp->sender);
  udp->env->open--;
  wg_uv_watch_close(udp->sender.watch);
  *fd = udp->sender.fd;
  free(udp);
  return WARP_OK;
}

void wg_uv_udp_close(wg_udp *udp) {
  int fd;
  wg_uv_udp_release(udp, &fd);
  close(fd);
}
