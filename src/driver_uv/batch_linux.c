#include "driver_uv/internal.h"

#if defined(__linux__)

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

/* Kernels that do not know the option would send the whole piece as one datagram. */
bool wg_uv_cuts_pieces(int fd) {
  int size;
  socklen_t len = sizeof size;
  return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &len) == 0;
}

int wg_uv_send_piece(const wg_uv_batch *batch) {
  union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
  } control = {.bytes = {0}};
  wg_uv_dest to = batch->from->to;
  struct iovec part = {.iov_base = (void *)(uintptr_t)batch->bytes, .iov_len = batch->len};
  struct msghdr message = {.msg_name = &to.addr,
                           .msg_namelen = to.len,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  uint16_t size = (uint16_t)batch->size;
  control.head.cmsg_level = SOL_UDP;
  control.head.cmsg_type = UDP_SEGMENT;
  control.head.cmsg_len = CMSG_LEN(sizeof size);
  memcpy(CMSG_DATA(&control.head), &size, sizeof size);
  return sendmsg(batch->from->fd, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

void wg_uv_merge_datagrams(int fd) {
  static const int on = 1;
  (void)setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
}

static size_t size_of_each(struct msghdr *message, size_t len) {
  int size = 0;
  for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
    if (at->cmsg_level == SOL_UDP && at->cmsg_type == UDP_GRO) {
      memcpy(&size, CMSG_DATA(at), sizeof size);
    }
  }
  return size > 0 ? (size_t)size : len;
}

ssize_t wg_uv_receive_piece(int fd, void *out, size_t cap, struct sockaddr_storage *from,
                            size_t *size) {
  union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {.iov_base = out, .iov_len = cap};
  struct msghdr message = {.msg_name = from,
                           .msg_namelen = sizeof *from,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  ssize_t len = recvmsg(fd, &message, 0);
  *size = len > 0 ? size_of_each(&message, (size_t)len) : 0;
  return len;
}

#endif
