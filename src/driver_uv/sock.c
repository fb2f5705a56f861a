#include "driver_uv/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

int wg_uv_sockaddr(const warp_addr *addr, int family, struct sockaddr_storage *out,
                   socklen_t *len) {
  memset(out, 0, sizeof *out);
  if (family == WARP_IP4 && addr->family == WARP_IP4) {
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    in->sin_family = AF_INET;
    in->sin_port = htons(addr->port);
    memcpy(&in->sin_addr, addr->ip, 4);
    *len = sizeof *in;
    return WARP_OK;
  }
  if (family == WARP_IP6 && (addr->family == WARP_IP4 || addr->family == WARP_IP6)) {
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(addr->port);
    if (addr->family == WARP_IP6) {
      memcpy(&in->sin6_addr, addr->ip, 16);
      in->sin6_scope_id = addr->scope_id;
    } else {
      memset(in->sin6_addr.s6_addr + 10, 0xff, 2);
      memcpy(in->sin6_addr.s6_addr + 12, addr->ip, 4);
    }
    *len = sizeof *in;
    return WARP_OK;
  }
  return WARP_INVALID;
}

warp_addr wg_uv_addr(const struct sockaddr *addr) {
  warp_addr out = {0};
  if (addr->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
    out.family = WARP_IP4;
    out.port = ntohs(in->sin_port);
    memcpy(out.ip, &in->sin_addr, 4);
  } else if (addr->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)addr;
    out.family = WARP_IP6;
    out.port = ntohs(in->sin6_port);
    out.scope_id = in->sin6_scope_id;
    memcpy(out.ip, &in->sin6_addr, 16);
    out = wg_addr_unmap(&out);
  }
  return out;
}

warp_addr wg_uv_local(int fd) {
  struct sockaddr_storage storage;
  socklen_t len = sizeof storage;
  if (getsockname(fd, (struct sockaddr *)&storage, &len) != 0) {
    return (warp_addr){0};
  }
  return wg_uv_addr((struct sockaddr *)&storage);
}

int wg_uv_pending_error(int fd) {
  int error = 0;
  socklen_t len = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

size_t wg_uv_readable(int fd) {
  int len = 0;
  return ioctl(fd, FIONREAD, &len) == 0 && len > 0 ? (size_t)len : 0;
}

void wg_uv_raise_file_limit(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files); /* where it is refused the old limit does for most */
  }
}

static bool set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

#if !defined(__linux__)
void wg_uv_acknowledge(int fd) {
  (void)fd;
}

void wg_uv_keep_alive(int fd, int idle_s, int interval_s, int probes) {
  (void)set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPALIVE) /* macOS's name of it */
  (void)set_option(fd, IPPROTO_TCP, TCP_KEEPALIVE, idle_s);
#elif defined(TCP_KEEPIDLE)
  (void)set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
#else
  (void)idle_s;
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
  (void)set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
  (void)set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
#else
  (void)interval_s;
  (void)probes;
#endif
}

void wg_uv_limit_silence(int fd, int seconds) {
  (void)fd;
  (void)seconds;
}
#endif

/* 0, or an errno. */
static int prepare(int fd, int family, unsigned flags, const warp_addr *local) {
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
    return errno;
  }
  /* Both, and on every socket of the port before it is bound: with one of them alone, or on some
   * sockets only, the system refuses to let a listener and connections share the port. */
  if ((flags & WG_SOCK_REUSE) != 0 && (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
                                       !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1))) {
    return errno;
  }
  if ((flags & WG_SOCK_BROADCAST) != 0 && !set_option(fd, SOL_SOCKET, SO_BROADCAST, 1)) {
    return errno;
  }
  if (family == WARP_IP6 &&
      !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, (flags & WG_SOCK_V6ONLY) != 0)) {
    return errno;
  }
  if (local == NULL) {
    return 0;
  }
  struct sockaddr_storage storage;
  socklen_t len;
  if (wg_uv_sockaddr(local, family, &storage, &len) != WARP_OK) {
    return EINVAL;
  }
  return bind(fd, (struct sockaddr *)&storage, len) == 0 ? 0 : errno;
}

int wg_uv_socket(int family, int type, unsigned flags, const warp_addr *local, int *out) {
  if (family != WARP_IP4 && family != WARP_IP6) {
    return WARP_INVALID;
  }
  int fd = socket(family == WARP_IP4 ? AF_INET : AF_INET6, type, (int)(flags >> 16));
  if (fd < 0) {
    return wg_uv_status(errno);
  }
  int error = prepare(fd, family, flags, local);
  if (error != 0) {
    close(fd);
    return wg_uv_status(error);
  }
  *out = fd;
  return WARP_OK;
}

int wg_uv_check_socket(int fd, int type, bool listens, int *family) {
  int is_type = 0, is_listening = 0;
  socklen_t len = sizeof is_type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &is_type, &len) != 0 || is_type != type) {
    return WARP_INVALID;
  }
  len = sizeof is_listening;
  bool stream = type == SOCK_STREAM;
  if (stream && (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) != 0 ||
                 (is_listening != 0) != listens)) {
    return WARP_INVALID;
  }
  struct sockaddr_storage storage;
  len = sizeof storage;
  if (getsockname(fd, (struct sockaddr *)&storage, &len) != 0 ||
      (storage.ss_family != AF_INET && storage.ss_family != AF_INET6)) {
    return WARP_INVALID;
  }
  *family = storage.ss_family == AF_INET ? WARP_IP4 : WARP_IP6;
  int descriptor = fcntl(fd, F_GETFD), status = fcntl(fd, F_GETFL);
  bool done = descriptor >= 0 && status >= 0 && fcntl(fd, F_SETFD, descriptor | FD_CLOEXEC) == 0 &&
              fcntl(fd, F_SETFL, status | O_NONBLOCK) == 0;
  return done ? WARP_OK : wg_uv_status(errno);
}
