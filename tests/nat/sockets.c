#include "tests/nat/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

/* An address of either family, with its length. */
typedef struct endpoint {
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } address;
  socklen_t len;
} endpoint;

static endpoint at(const char *ip, unsigned port) {
  endpoint e = {.len = sizeof e.address.four};
  e.address.four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, ip, &e.address.four.sin_addr) == 1)
    return e;
  e.len = sizeof e.address.six;
  e.address.six =
      (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET6, ip, &e.address.six.sin6_addr) != 1)
    fail_msg("'%s' is no address", ip);
  return e;
}

static source source_of(const endpoint *e) {
  source out = {.ip = ""};
  bool four = e->address.any.sa_family == AF_INET;
  const void *bytes = four ? (const void *)&e->address.four.sin_addr : &e->address.six.sin6_addr;
  inet_ntop(e->address.any.sa_family, bytes, out.ip, sizeof out.ip);
  out.port = ntohs(four ? e->address.four.sin_port : e->address.six.sin6_port);
  return out;
}

int socket_at(const ns_host *host, int type, const char *ip, unsigned port) {
  endpoint own = at(ip, port);
  assert_int_equal(ns_enter(host), 0);
  int fd = socket(own.address.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ns_leave();
  assert_true(fd >= 0);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(fd, &own.address.any, own.len))
    fail_msg("%s: cannot bind %s:%u: %s", host->name, ip, port, strerror(errno));
  return fd;
}

unsigned port_of(int fd) {
  endpoint own = {.len = sizeof own.address};
  assert_int_equal(getsockname(fd, &own.address.any, &own.len), 0);
  return source_of(&own).port;
}

void send_udp(int fd, const char *ip, unsigned port, const char *text) {
  endpoint to = at(ip, port);
  sendto(fd, text, strlen(text), 0, &to.address.any, to.len);
}

source hear(int fd, const char *text, int limit_ms) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  while (poll(&wait, 1, limit_ms) == 1) {
    char got[64] = "";
    endpoint from = {.len = sizeof from.address};
    ssize_t n = recvfrom(fd, got, sizeof got - 1, 0, &from.address.any, &from.len);
    if (n > 0 && !strcmp(got, text))
      return source_of(&from);
  }
  return (source){.port = 0};
}

bool arrives(int fd, const char *text, bool expected) {
  return hear(fd, text, expected ? COMES_MS : STAYS_AWAY_MS).port != 0;
}

int connect_tcp(int fd, const char *ip, unsigned port, int limit_ms) {
  endpoint to = at(ip, port);
  if (!connect(fd, &to.address.any, to.len))
    return 0;
  if (errno != EINPROGRESS)
    return errno;
  struct pollfd wait = {.fd = fd, .events = POLLOUT};
  if (poll(&wait, 1, limit_ms) != 1)
    return ETIMEDOUT;
  int err = 0;
  socklen_t len = sizeof err;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
  return err;
}

int listen_at(const ns_host *host, const char *ip, unsigned port) {
  int fd = socket_at(host, SOCK_STREAM, ip, port);
  assert_int_equal(listen(fd, 8), 0);
  return fd;
}

int accept_one(int listener, source *from) {
  struct pollfd wait = {.fd = listener, .events = POLLIN};
  assert_int_equal(poll(&wait, 1, COMES_MS), 1);
  endpoint peer = {.len = sizeof peer.address};
  int fd = accept4(listener, &peer.address.any, &peer.len, SOCK_CLOEXEC);
  assert_true(fd >= 0);
  if (from)
    *from = source_of(&peer);
  return fd;
}
