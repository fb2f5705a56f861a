#include "driver_uv/internal.h"

#if defined(__linux__)

#include <netinet/in.h>
#include <netinet/tcp.h>

void wg_uv_acknowledge(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

static void set_tcp(int fd, int option, int value) {
  setsockopt(fd, IPPROTO_TCP, option, &value, sizeof value);
}

void wg_uv_keep_alive(int fd, int idle_s, int interval_s, int probes) {
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  set_tcp(fd, TCP_KEEPIDLE, idle_s);
  set_tcp(fd, TCP_KEEPINTVL, interval_s);
  set_tcp(fd, TCP_KEEPCNT, probes);
}

void wg_uv_limit_silence(int fd, int seconds) {
  set_tcp(fd, TCP_USER_TIMEOUT, seconds * 1000);
}

#endif
