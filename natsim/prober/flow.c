#include "natsim/prober/flow.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>

static int type_protocol(int type) {
  return type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP;
}

int sim_local_open(sim_local *local, sim_bench *bench, int type, int which, unsigned port) {
  *local =
      (sim_local){.bench = bench, .type = type, .at = sim_with_port(&bench->host[which], port)};
  local->fd = sim_bench_socket(bench, bench->inside, type, &local->at);
  if (local->fd >= 0 && type == SOCK_STREAM && listen(local->fd, 16) < 0)
    return -errno;
  return local->fd < 0 ? local->fd : 0;
}

/* ---- datagrams ------------------------------------------------------------------------------- */

/* Sends a datagram that no other is like. */
static uint64_t send_nonce(sim_bench *bench, int fd, const sim_endpoint *to) {
  uint64_t nonce = ++bench->nonce;
  sendto(fd, &nonce, sizeof nonce, 0, &to->any, sim_endpoint_len(to));
  return nonce;
}

/* Looks whether it is there; older ones are dropped. */
static bool take_nonce(int fd, uint64_t nonce, sim_endpoint *from) {
  uint64_t got;
  sim_endpoint source;
  for (;;) {
    socklen_t len = sizeof source;
    memset(&source, 0, sizeof source);
    ssize_t n = recvfrom(fd, &got, sizeof got, 0, &source.any, &len);
    if (n < 0 && errno != ECONNREFUSED)
      return false;
    if (n == sizeof got && got == nonce) {
      *from = source;
      return true;
    }
  }
}

static bool await_nonce(sim_bench *bench, int fd, uint64_t nonce, sim_endpoint *from) {
  for (int round = 0; round < SIM_ROUNDS; round++) {
    sim_bench_round(bench);
    if (take_nonce(fd, nonce, from))
      return true;
  }
  return false;
}

/* ---- connections ----------------------------------------------------------------------------- */

/* A connection that is there, with its other end; -1: none. */
static int take_connection(sim_bench *bench, int listener, sim_endpoint *from) {
  socklen_t len = sizeof *from;
  memset(from, 0, sizeof *from);
  int fd = accept4(listener, &from->any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0 || bench->fd_count == SIM_BENCH_FDS)
    return -1;
  struct linger none = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  bench->fds[bench->fd_count++] = fd;
  return fd;
}

/* Begins a connection from a port that others share; its descriptor, or -1. */
static int begin_connection(sim_bench *bench, const ns_host *where, const sim_endpoint *from,
                            const sim_endpoint *to) {
  int fd = sim_bench_socket(bench, where, SOCK_STREAM, from);
  if (fd < 0 || (connect(fd, &to->any, sim_endpoint_len(to)) < 0 && errno != EINPROGRESS))
    return -1;
  return fd;
}

static bool connected(int fd) {
  return fd >= 0 && sim_peer_of(fd).any.sa_family != AF_UNSPEC;
}

/* ---- reaching a server ----------------------------------------------------------------------- */

bool sim_reach(sim_local *local, int which, unsigned port, sim_flow *out) {
  sim_bench *bench = local->bench;
  sim_endpoint to = sim_with_port(&bench->server_ip[which], port);
  int server = sim_bench_server(bench, local->type, which, port);
  memset(out, 0, sizeof *out);
  out->near_fd = local->fd;
  out->far_fd = server;
  if (server < 0)
    return false;
  if (local->type == SOCK_DGRAM)
    return await_nonce(bench, server, send_nonce(bench, local->fd, &to), &out->seen);
  out->near_fd = begin_connection(bench, bench->inside, &local->at, &to);
  for (int round = 0; out->near_fd >= 0 && round < SIM_ROUNDS; round++) {
    sim_bench_round(bench);
    out->far_fd = take_connection(bench, server, &out->seen);
    if (out->far_fd >= 0)
      return true;
  }
  return false;
}

/* A byte from one end of a connection to the other. */
static bool carry_byte(sim_bench *bench, int from, int to) {
  char byte = 'a';
  if (send(from, &byte, 1, MSG_NOSIGNAL) != 1)
    return false;
  for (int round = 0; round < SIM_ROUNDS; round++) {
    sim_bench_round(bench);
    if (recv(to, &byte, 1, 0) == 1)
      return true;
  }
  return false;
}

bool sim_flow_asked(sim_local *local, const sim_flow *flow) {
  sim_bench *bench = local->bench;
  if (local->type == SOCK_STREAM)
    return carry_byte(bench, flow->near_fd, flow->far_fd);
  sim_endpoint to = sim_own_of(flow->far_fd), from;
  return await_nonce(bench, flow->far_fd, send_nonce(bench, flow->near_fd, &to), &from) &&
         sim_same(&from, &flow->seen);
}

bool sim_flow_answered(sim_local *local, const sim_flow *flow) {
  sim_bench *bench = local->bench;
  sim_endpoint from;
  if (local->type == SOCK_STREAM)
    return carry_byte(bench, flow->far_fd, flow->near_fd);
  return await_nonce(bench, flow->near_fd, send_nonce(bench, flow->far_fd, &flow->seen), &from);
}

/* ---- knocking from outside ------------------------------------------------------------------- */

/* The part of the sent packet that an ICMP error quotes: protocol and ports, or false. */
static bool quoted(const sim_bench *bench, const uint8_t *bytes, size_t len, int *protocol,
                   const uint8_t **ports) {
  size_t at = 0;
  if (bench->family == AF_INET) {
    if (len < sizeof(struct iphdr))
      return false;
    at = (size_t)(bytes[0] & 15) * 4; /* a raw IPv4 socket hands the header out */
    if (len < at + 8 || bytes[at] != ICMP_DEST_UNREACH)
      return false;
    at += 8;
    if (len < at + sizeof(struct iphdr))
      return false;
    *protocol = bytes[at + 9];
    at += (size_t)(bytes[at] & 15) * 4;
  } else {
    enum { HEADER6 = 40, NEXT_HEADER = 6 };
    if (len < 8 + HEADER6 || bytes[0] != ICMP6_DST_UNREACH)
      return false;
    *protocol = bytes[8 + NEXT_HEADER];
    at = 8 + HEADER6;
  }
  *ports = bytes + at;
  return len >= at + 4;
}

/* Was the server site told that what it sent from `port` to `target` is unreachable? */
static bool took_icmp(const sim_bench *bench, int type, unsigned port, const sim_endpoint *target) {
  uint8_t bytes[1500];
  ssize_t len;
  bool found = false;
  while ((len = recv(bench->icmp_fd, bytes, sizeof bytes, 0)) > 0) {
    int protocol;
    const uint8_t *ports;
    if (quoted(bench, bytes, (size_t)len, &protocol, &ports))
      found |= protocol == type_protocol(type) && (unsigned)(ports[0] << 8 | ports[1]) == port &&
               (unsigned)(ports[2] << 8 | ports[3]) == sim_port(target);
  }
  return found;
}

/* The answer goes to where the knock seemed to come from. */
static enum sim_knock knock_udp(sim_bench *bench, sim_local *local, int server, unsigned port,
                                const sim_endpoint *target, sim_endpoint *answer) {
  sim_endpoint from;
  uint64_t nonce = send_nonce(bench, server, target);
  for (int round = 0; round < SIM_ROUNDS; round++) {
    sim_bench_round(bench);
    if (local && take_nonce(local->fd, nonce, &from)) {
      await_nonce(bench, server, send_nonce(bench, local->fd, &from), answer);
      return SIM_ARRIVED;
    }
    if (took_icmp(bench, SOCK_DGRAM, port, target))
      return SIM_ICMP;
  }
  return SIM_SILENCE;
}

/* What came of a connection so far. */
static enum sim_knock look_at(sim_bench *bench, int fd, sim_local *local, unsigned port,
                              const sim_endpoint *target, sim_endpoint *answer) {
  sim_endpoint from;
  if (local && take_connection(bench, local->fd, &from) >= 0) {
    *answer = sim_peer_of(fd);
    return SIM_ARRIVED;
  }
  if (took_icmp(bench, SOCK_STREAM, port, target))
    return SIM_ICMP;
  int err = 0;
  socklen_t len = sizeof err;
  return !getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) && err ? SIM_RESET : SIM_SILENCE;
}

/* An attempt that failed is given up: the NAT may give its port to the next flow, which would meet
 * it. */
static enum sim_knock knock_tcp(sim_bench *bench, sim_local *local, int which, unsigned port,
                                const sim_endpoint *target, sim_endpoint *answer) {
  sim_endpoint at = sim_with_port(&bench->server_ip[which], port);
  int fd = begin_connection(bench, bench->server, &at, target);
  enum sim_knock how = SIM_SILENCE;
  for (int round = 0; fd >= 0 && how == SIM_SILENCE && round < SIM_ROUNDS; round++) {
    sim_bench_round(bench);
    how = look_at(bench, fd, local, port, target, answer);
  }
  if (how != SIM_ARRIVED)
    sim_bench_drop(bench, fd);
  return how;
}

enum sim_knock sim_knock(sim_bench *bench, int type, sim_local *local, int which, unsigned port,
                         const sim_endpoint *target, sim_endpoint *answer) {
  memset(answer, 0, sizeof *answer);
  if (type == SOCK_STREAM)
    return knock_tcp(bench, local, which, port, target, answer);
  int server = sim_bench_server(bench, type, which, port);
  return server < 0 ? SIM_SILENCE : knock_udp(bench, local, server, port, target, answer);
}

/* ---- between two inside hosts ---------------------------------------------------------------- */

/* Each writes to the other's outside endpoint, the first one twice: what is refused opens its own
 * filter. */
static bool cross_udp(sim_local *one, const sim_endpoint *one_seen, sim_local *other,
                      const sim_endpoint *other_seen, sim_endpoint *source) {
  sim_bench *bench = one->bench;
  return await_nonce(bench, other->fd, send_nonce(bench, one->fd, other_seen), source) ||
         await_nonce(bench, one->fd, send_nonce(bench, other->fd, one_seen), source) ||
         await_nonce(bench, other->fd, send_nonce(bench, one->fd, other_seen), source);
}

static bool cross_tcp(sim_local *one, const sim_endpoint *one_seen, sim_local *other,
                      const sim_endpoint *other_seen, sim_endpoint *source) {
  sim_bench *bench = one->bench;
  sim_local *locals[] = {one, other};
  const sim_endpoint *targets[] = {other_seen, one_seen};
  for (int i = 0; i < 2; i++) {
    int fd = begin_connection(bench, bench->inside, &locals[i]->at, targets[i]);
    for (int round = 0; round < SIM_ROUNDS; round++) {
      sim_bench_round(bench);
      if (take_connection(bench, locals[!i]->fd, source) >= 0)
        return true;
      if (connected(fd)) { /* both began at once, and met */
        *source = *targets[i];
        return true;
      }
    }
  }
  return false;
}

bool sim_cross(sim_local *one, const sim_endpoint *one_seen, sim_local *other,
               const sim_endpoint *other_seen, sim_endpoint *source) {
  memset(source, 0, sizeof *source);
  return one->type == SOCK_DGRAM ? cross_udp(one, one_seen, other, other_seen, source)
                                 : cross_tcp(one, one_seen, other, other_seen, source);
}
