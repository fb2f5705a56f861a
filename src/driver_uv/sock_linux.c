#include "driver_uv/internal.h"

#if defined(__linux__)

#include <netinet/in.h>
#include <netinet/tcp.h>

void wg_uv_acknowledge(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

#endif
