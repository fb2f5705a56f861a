/* What the two processes of a round have in common. */
#include "bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void bench_die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("pipe_bench: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  _exit(EXIT_FAILURE);
}

static double seconds_of(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) {
    return 0;
  }
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void read_clocks(const bench_side *side, double now_s, bench_result *out) {
  clockid_t sender;
  out->seconds = now_s;
  out->receiver_cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  out->sender_cpu_s = clock_getcpuclockid(side->sender_pid, &sender) == 0 ? seconds_of(sender) : 0;
}

static void report(bench_side *side, double now_s) {
  bench_result end = side->sum;
  read_clocks(side, now_s, &end);
  end.seconds -= side->at_start.seconds;
  end.receiver_cpu_s -= side->at_start.receiver_cpu_s;
  end.sender_cpu_s -= side->at_start.sender_cpu_s;
  if (write(side->parent_fd, &end, sizeof end) != (ssize_t)sizeof end) {
    bench_die("nobody wants the result");
  }
  for (;;) {
    pause(); /* an end here would be an error at the sender, which the parent ends first */
  }
}

void bench_count(bench_side *side, size_t bytes) {
  double now_s = seconds_of(CLOCK_MONOTONIC);
  if (side->begun_s <= 0) {
    side->begun_s = now_s;
  }
  if (side->counting) {
    side->sum.bytes += bytes;
    side->sum.messages++;
    if (now_s - side->at_start.seconds >= side->seconds) {
      report(side, now_s);
    }
  } else if (now_s - side->begun_s >= side->warm_s) {
    side->counting = true;
    read_clocks(side, now_s, &side->at_start);
  }
}

void bench_tell(bench_side *side, const void *address, size_t len) {
  if (write(side->peer_fd, address, len) != (ssize_t)len) {
    bench_die("the sender is gone");
  }
}

size_t bench_hear(bench_side *side, void *address, size_t cap) {
  ssize_t len = read(side->peer_fd, address, cap);
  if (len <= 0) {
    _exit(EXIT_FAILURE); /* the receiver has said why */
  }
  return (size_t)len;
}

const uint8_t *bench_payload(void) {
  static uint8_t payload[BENCH_CHUNK];
  static bool filled;
  uint32_t state = 1;
  for (size_t i = 0; !filled && i < sizeof payload; i++) {
    state = state * 1664525u + 1013904223u;
    payload[i] = (uint8_t)(state >> 24);
  }
  filled = true;
  return payload;
}

/* ---- plain sockets --------------------------------------------------------------------------- */

void bench_wait(int fd, short events) {
  struct pollfd one = {.fd = fd, .events = events};
  if (poll(&one, 1, -1) < 0) {
    bench_die("cannot wait for a socket");
  }
}

static int accept_one(int listener) {
  if (listen(listener, 1) != 0) {
    bench_die("cannot listen");
  }
  int fd = accept(listener, NULL, NULL);
  close(listener);
  return fd;
}

/* Takes the datagram that says where the sender is. */
static void connect_back(int fd) {
  struct sockaddr_in from;
  socklen_t len = sizeof from;
  uint8_t first;
  if (recvfrom(fd, &first, sizeof first, 0, (struct sockaddr *)&from, &len) < 0 ||
      connect(fd, (struct sockaddr *)&from, len) != 0) {
    bench_die("no datagram came");
  }
}

static int receiving_socket(bench_side *side, int type) {
  struct sockaddr_in addr = {.sin_family = AF_INET,
                             .sin_addr.s_addr = inet_addr(side->place->receiver)};
  socklen_t len = sizeof addr;
  int fd = socket(AF_INET, type, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0 ||
      getsockname(fd, (struct sockaddr *)&addr, &len) != 0 ||
      (type == SOCK_STREAM && listen(fd, 1) != 0)) {
    bench_die("no socket to receive with");
  }
  bench_tell(side, &addr, sizeof addr);
  if (type == SOCK_STREAM) {
    return accept_one(fd);
  }
  connect_back(fd);
  return fd;
}

static int sending_socket(bench_side *side, int type) {
  struct sockaddr_in addr;
  int one = 1;
  int fd = socket(AF_INET, type, 0);
  if (bench_hear(side, &addr, sizeof addr) != sizeof addr || fd < 0 ||
      connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
    bench_die("cannot connect to the receiver");
  }
  if (type == SOCK_STREAM) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  } else if (send(fd, "", 1, 0) != 1) {
    bench_die("cannot send to the receiver");
  }
  return fd;
}

int bench_socket(bench_side *side, int type, bool receives) {
  int fd = receives ? receiving_socket(side, type) : sending_socket(side, type);
  if (fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
    bench_die("no connection between the two sides");
  }
  return fd;
}
