#include "driver_uv/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Datagrams read before the other sockets get their turn. */
enum { READS_PER_TURN = 64 };

struct wg_udp {
  wg_uv_env *env;
  wg_uv_watch *watch;
  int fd;
  int family; /* of the socket: a mapped IPv4 address is told as IPv4, but the socket is IPv6 */
  bool large;
  warp_addr local;
  wg_udp_recv_cb cb;
  void *arg;
};

/* False when there is nothing to read now. */
static bool receive_one(wg_udp *udp) {
  wg_uv_env *env = udp->env;
  struct sockaddr_storage from;
  socklen_t from_len = sizeof from;
  uint8_t *buffer = udp->large ? env->stream : env->datagram;
  size_t cap = udp->large ? sizeof env->stream : sizeof env->datagram;
  ssize_t len = recvfrom(udp->fd, buffer, cap, 0, (struct sockaddr *)&from, &from_len);
  if (len < 0) {
    /* An ICMP error of an earlier datagram says nothing about this socket, which talks to many. */
    return errno != EAGAIN && errno != EWOULDBLOCK;
  }
  if (!udp->large && len > WG_UDP_MAX) {
    wg_logf(&env->base.log, WARP_LOG_DEBUG, "dropped a datagram of more than %d bytes", WG_UDP_MAX);
    return true;
  }
  warp_addr addr = wg_uv_addr((struct sockaddr *)&from);
  udp->cb(udp->arg, buffer, (size_t)len, &addr);
  return true;
}

static void on_ready(void *owner, int events) {
  (void)events;
  wg_udp *udp = owner;
  wg_uv_watch *watch = udp->watch;
  for (int reads = 0; reads < READS_PER_TURN; reads++) {
    if (!receive_one(udp)) {
      break;
    }
    if (!wg_uv_watch_alive(watch)) {
      return;
    }
  }
  wg_uv_watch_set(watch, UV_READABLE);
}

/* The descriptor stays the caller's on an error. */
static int make(wg_uv_env *env, int fd, int family, unsigned flags, wg_udp_recv_cb cb, void *arg,
                wg_udp **out) {
  wg_udp *udp = calloc(1, sizeof *udp);
  int status = udp != NULL ? wg_uv_watch_open(env, fd, on_ready, udp, &udp->watch) : WARP_NOMEM;
  if (status != WARP_OK) {
    free(udp);
    return status;
  }
  udp->env = env;
  udp->fd = fd;
  udp->family = family;
  udp->large = (flags & WG_SOCK_LARGE) != 0;
  udp->local = wg_uv_local(fd);
  udp->cb = cb;
  udp->arg = arg;
  env->open++;
  wg_uv_watch_set(udp->watch, UV_READABLE);
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
  struct sockaddr_storage storage;
  socklen_t storage_len;
  int status = wg_uv_sockaddr(to, udp->family, &storage, &storage_len);
  if (status != WARP_OK) {
    return status;
  }
  ssize_t sent;
  int tries = 2; /* what comes first may be the ICMP error of an earlier datagram, once */
  do {
    sent = sendto(udp->fd, data, len, MSG_NOSIGNAL, (struct sockaddr *)&storage, storage_len);
    tries--;
  } while (sent < 0 && (errno == ECONNREFUSED || errno == EINTR) && tries > 0);
  if (sent >= 0) {
    return WARP_OK;
  }
  return errno == ENOBUFS ? WARP_AGAIN : wg_uv_status(errno);
}

void wg_uv_udp_local(const wg_udp *udp, warp_addr *out) {
  *out = udp->local;
}

int wg_uv_udp_release(wg_udp *udp, int *fd) {
  udp->env->open--;
  wg_uv_watch_close(udp->watch);
  *fd = udp->fd;
  free(udp);
  return WARP_OK;
}

void wg_uv_udp_close(wg_udp *udp) {
  int fd;
  wg_uv_udp_release(udp, &fd);
  close(fd);
}
