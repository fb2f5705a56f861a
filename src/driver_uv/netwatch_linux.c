/* The kernel tells of changes over rtnetlink. */
#include "driver_uv/netwatch.h"

#if defined(__linux__)

#include "driver_uv/internal.h"
#include <errno.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

enum {
  READ_LEN = 8192,
  /* Messages at a time: a host that starts its containers sends hundreds, and what is left wakes
   * the loop again. */
  READS = 64,
};

int wg_uv_netwatch_socket(int *out) {
  struct sockaddr_nl local = {.nl_family = AF_NETLINK,
                              .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                           RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) {
    return wg_uv_status(errno);
  }
  if (bind(fd, (struct sockaddr *)&local, sizeof local) != 0) {
    int status = wg_uv_status(errno);
    close(fd);
    return status;
  }
  *out = fd;
  return WARP_OK;
}

/* An overrun (ENOBUFS) only says that more has changed than there was room for. */
void wg_uv_netwatch_drain(int fd) {
  uint8_t bytes[READ_LEN];
  for (unsigned i = 0; i < READS; i++) {
    if (recv(fd, bytes, sizeof bytes, 0) < 0 && errno != ENOBUFS && errno != EINTR) {
      return;
    }
  }
}

#endif
