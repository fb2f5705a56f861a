#include "natsim/prober/bench.h"

#include "natsim/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long the fence may take for a round trip on a loaded machine before it counts as gone, and
 * what stands in for a round then. */
enum { FENCE_LIMIT_MS = 15000, NO_FENCE_ROUND_MS = 60 };
/* An IPv6 address is usable a moment after it was added. */
enum { ADDRESS_LIMIT_MS = 60000 };

/* ---- endpoints ------------------------------------------------------------------------------- */

unsigned sim_port(const sim_endpoint *endpoint) {
  return ntohs(endpoint->any.sa_family == AF_INET6 ? endpoint->in6.sin6_port
                                                   : endpoint->in4.sin_port);
}

sim_endpoint sim_with_port(const sim_endpoint *endpoint, unsigned port) {
  sim_endpoint out = *endpoint;
  if (out.any.sa_family == AF_INET6)
    out.in6.sin6_port = htons((uint16_t)port);
  else
    out.in4.sin_port = htons((uint16_t)port);
  return out;
}

bool sim_same_ip(const sim_endpoint *one, const sim_endpoint *other) {
  if (one->any.sa_family != other->any.sa_family)
    return false;
  if (one->any.sa_family == AF_INET6)
    return !memcmp(&one->in6.sin6_addr, &other->in6.sin6_addr, sizeof one->in6.sin6_addr);
  return one->in4.sin_addr.s_addr == other->in4.sin_addr.s_addr;
}

bool sim_same(const sim_endpoint *one, const sim_endpoint *other) {
  return sim_same_ip(one, other) && sim_port(one) == sim_port(other);
}

socklen_t sim_endpoint_len(const sim_endpoint *endpoint) {
  return endpoint->any.sa_family == AF_INET6 ? sizeof endpoint->in6 : sizeof endpoint->in4;
}

static sim_endpoint ask_socket(int (*ask)(int, struct sockaddr *, socklen_t *), int fd) {
  sim_endpoint out = {.any = {.sa_family = AF_UNSPEC}};
  socklen_t len = sizeof out;
  if (ask(fd, &out.any, &len) < 0)
    memset(&out, 0, sizeof out);
  return out;
}

sim_endpoint sim_peer_of(int fd) {
  return ask_socket(getpeername, fd);
}

sim_endpoint sim_own_of(int fd) {
  return ask_socket(getsockname, fd);
}

static bool read_endpoint(int family, const char *text, sim_endpoint *out) {
  memset(out, 0, sizeof *out);
  out->any.sa_family = (sa_family_t)family;
  void *ip = family == AF_INET6 ? (void *)&out->in6.sin6_addr : (void *)&out->in4.sin_addr;
  return inet_pton(family, text, ip) == 1;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int keep(sim_bench *bench, int fd) {
  if (fd >= 0 && bench->fd_count < SIM_BENCH_FDS) {
    bench->fds[bench->fd_count++] = fd;
    return fd;
  }
  int status = fd < 0 ? fd : -EMFILE;
  if (fd >= 0)
    close(fd);
  return status;
}

static int open_in(const ns_host *where, int family, int type, int protocol) {
  int status = ns_enter(where);
  if (status)
    return status;
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  status = fd < 0 ? -errno : fd;
  ns_leave();
  return status;
}

/* No TIME_WAIT is left that would keep the next NAT's flow with the same ports away. */
static void set_options(int fd, int type) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (type != SOCK_STREAM)
    return;
  struct linger none = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int sim_bench_socket(sim_bench *bench, const ns_host *where, int type, const sim_endpoint *at) {
  int fd = keep(bench, open_in(where, bench->family, type, 0));
  if (fd < 0)
    return fd;
  set_options(fd, type);
  return bind(fd, &at->any, sim_endpoint_len(at)) < 0 ? -errno : fd;
}

void sim_bench_drop(sim_bench *bench, int fd) {
  if (bench->fd_count && bench->fds[bench->fd_count - 1] == fd)
    close(bench->fds[--bench->fd_count]);
}

int sim_bench_server(sim_bench *bench, int type, int which, unsigned port) {
  for (int i = 0; i < bench->server_count; i++) {
    const sim_server_socket *s = &bench->servers[i];
    if (s->type == type && s->which == which && s->port == port)
      return s->fd;
  }
  if (bench->server_count == SIM_BENCH_SERVERS)
    return -EMFILE;
  sim_endpoint at = sim_with_port(&bench->server_ip[which], port);
  int fd = sim_bench_socket(bench, bench->server, type, &at);
  if (fd >= 0 && type == SOCK_STREAM && listen(fd, 16) < 0)
    fd = -errno;
  if (fd >= 0)
    bench->servers[bench->server_count++] = (sim_server_socket){type, which, port, fd};
  return fd;
}

/* ---- the fence ------------------------------------------------------------------------------- */

static bool wait_for(int fd, short events) {
  struct pollfd wait = {.fd = fd, .events = events};
  return poll(&wait, 1, FENCE_LIMIT_MS) == 1;
}

static bool carry(int from, int to) {
  char byte = 'f';
  return send(from, &byte, 1, MSG_NOSIGNAL) == 1 && wait_for(to, POLLIN) &&
         recv(to, &byte, 1, 0) == 1;
}

void sim_bench_round(sim_bench *bench) {
  if (bench->far_fd >= 0 && carry(bench->far_fd, bench->near_fd) &&
      carry(bench->near_fd, bench->far_fd))
    return;
  bench->far_fd = -1;
  poll(NULL, 0, NO_FENCE_ROUND_MS);
}

/* A NAT that lets no TCP out shows in what is measured, so this is no failure of the bench. */
static void open_fence(sim_bench *bench) {
  sim_endpoint to = sim_with_port(&bench->server_ip[0], SIM_PROBE_PORT_1);
  int listener = sim_bench_server(bench, SOCK_STREAM, 0, SIM_PROBE_PORT_1);
  /* Of a port of its own: what the NAT draws for it must not depend on chance. */
  sim_endpoint from = sim_with_port(&bench->host[0], SIM_FENCE_PORT);
  int fd = sim_bench_socket(bench, bench->inside, SOCK_STREAM, &from);
  bench->near_fd = bench->far_fd = -1;
  if (listener < 0 || fd < 0 ||
      (connect(fd, &to.any, sim_endpoint_len(&to)) < 0 && errno != EINPROGRESS) ||
      !wait_for(listener, POLLIN))
    return;
  bench->near_fd = fd;
  bench->far_fd = keep(bench, accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (bench->far_fd >= 0)
    set_options(bench->far_fd, SOCK_STREAM);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static bool usable(const struct ifaddrs *item, int family) {
  return item->ifa_addr && item->ifa_addr->sa_family == family && !(item->ifa_flags & IFF_LOOPBACK);
}

/* The host's own first address, and the interface it is on. */
static int find_own(sim_bench *bench, int *index, char *ip, ns_error *error) {
  struct ifaddrs *list = NULL;
  int status = ns_enter(bench->inside);
  if (!status && getifaddrs(&list) < 0)
    status = -errno;
  const struct ifaddrs *item = list;
  while (item && !usable(item, bench->family))
    item = item->ifa_next;
  if (!status && !item)
    status = -EADDRNOTAVAIL;
  if (!status) {
    memset(&bench->host[0], 0, sizeof bench->host[0]);
    bool six = bench->family == AF_INET6;
    memcpy(&bench->host[0], item->ifa_addr,
           six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    *index = (int)if_nametoindex(item->ifa_name);
    inet_ntop(bench->family,
              six ? (void *)&bench->host[0].in6.sin6_addr : (void *)&bench->host[0].in4.sin_addr,
              ip, INET6_ADDRSTRLEN);
  }
  ns_leave();
  if (list)
    freeifaddrs(list);
  return status ? sim_fail(error, status, "%s has no address to probe from: %s",
                           bench->inside->name, strerror(-status))
                : 0;
}

/* The next address but nine of the host's network: nobody else has that. */
static int add_second(sim_bench *bench, int index, ns_error *error) {
  bench->host[1] = bench->host[0];
  char ip[INET6_ADDRSTRLEN], with_prefix[INET6_ADDRSTRLEN + 4];
  bool six = bench->family == AF_INET6;
  if (six)
    bench->host[1].in6.sin6_addr.s6_addr[15] += 9;
  else
    bench->host[1].in4.sin_addr.s_addr = htonl(ntohl(bench->host[1].in4.sin_addr.s_addr) + 9);
  inet_ntop(bench->family,
            six ? (void *)&bench->host[1].in6.sin6_addr : (void *)&bench->host[1].in4.sin_addr, ip,
            sizeof ip);
  snprintf(with_prefix, sizeof with_prefix, "%s/%d", ip, six ? 64 : 28);
  ns_batch batch;
  ns_begin(&batch, bench->inside);
  ns_add_address(&batch, index, with_prefix);
  int status = ns_commit(&batch, error);
  return status ? status : ns_address_wait(bench->inside, ip, ADDRESS_LIMIT_MS, error);
}

int sim_bench_open(sim_bench *bench, const ns_host *inside, const ns_host *server, int family,
                   ns_error *error) {
  *bench = (sim_bench){
      .inside = inside, .server = server, .family = family, .near_fd = -1, .far_fd = -1};
  bool six = family == AF_INET6;
  char ip[INET6_ADDRSTRLEN];
  int index = 0;
  if (!read_endpoint(family, six ? SIM_SERVER6_1 : SIM_SERVER_1, &bench->server_ip[0]) ||
      !read_endpoint(family, six ? SIM_SERVER6_2 : SIM_SERVER_2, &bench->server_ip[1]))
    return sim_fail(error, -EINVAL, "the server site has no addresses to probe");
  int status = find_own(bench, &index, ip, error);
  if (!status)
    status = add_second(bench, index, error);
  if (status)
    return status;
  bench->icmp_fd =
      keep(bench, open_in(server, family, SOCK_RAW, six ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP));
  if (bench->icmp_fd < 0)
    return sim_fail(error, bench->icmp_fd, "no raw socket for ICMP: %s", strerror(-bench->icmp_fd));
  open_fence(bench);
  return 0;
}

void sim_bench_close(sim_bench *bench) {
  for (int i = 0; i < bench->fd_count; i++)
    close(bench->fds[i]);
  bench->fd_count = bench->server_count = 0;
}
