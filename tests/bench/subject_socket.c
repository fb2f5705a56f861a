/* The system's own sockets, as a program without any library uses them. */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static void receive(bench_side *side, int type) {
  int fd = bench_socket(side, type, true);
  static uint8_t data[BENCH_CHUNK];
  for (;;) {
    ssize_t len = recv(fd, data, sizeof data, 0);
    if (len > 0) {
      bench_count(side, (size_t)len);
    } else if (len < 0 && errno == EAGAIN) {
      bench_wait(fd, POLLIN);
    } else {
      bench_die("the socket ended");
    }
  }
}

static void send_on(bench_side *side, int type, size_t size) {
  int fd = bench_socket(side, type, false);
  const uint8_t *data = bench_payload();
  for (;;) {
    ssize_t len = send(fd, data, size, MSG_NOSIGNAL);
    if (len < 0 && errno == EAGAIN) {
      bench_wait(fd, POLLOUT);
    } else if (len < 0) {
      bench_die("the socket ended");
    }
  }
}

void bench_socket_receive(bench_side *side) {
  receive(side, SOCK_STREAM);
}

void bench_socket_send(bench_side *side) {
  send_on(side, SOCK_STREAM, BENCH_CHUNK);
}

void bench_datagram_receive(bench_side *side) {
  receive(side, SOCK_DGRAM);
}

void bench_datagram_send(bench_side *side) {
  send_on(side, SOCK_DGRAM, BENCH_MESSAGE);
}
