#include "natsim/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sockaddr_in sim_ip4(const char *ip, unsigned port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, ip, &address.sin_addr) != 1)
    address.sin_addr.s_addr = INADDR_NONE; /* nothing can be bound to that */
  return address;
}

int sim_udp_open(const ns_host *host, const char *ip, unsigned port, ns_error *error) {
  struct sockaddr_in at = sim_ip4(ip, port);
  int status = ns_enter(host);
  if (status)
    return sim_fail(error, status, "%s: cannot enter: %s", host->name, strerror(-status));
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  status = fd < 0 ? -errno : 0;
  ns_leave();
  if (!status && bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
    status = -errno;
  if (!status)
    return fd;
  if (fd >= 0)
    close(fd);
  return sim_fail(error, status, "%s: no UDP socket at %s:%u: %s", host->name, ip, port,
                  strerror(-status));
}

bool sim_udp_send(int fd, const struct sockaddr_in *to, const void *bytes, size_t len) {
  return sendto(fd, bytes, len, 0, (const struct sockaddr *)to, sizeof *to) == (ssize_t)len;
}

ssize_t sim_udp_take(int fd, void *bytes, size_t size, struct sockaddr_in *from, int limit_ms) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  socklen_t len = sizeof *from;
  if (poll(&wait, 1, limit_ms) != 1)
    return -1;
  return recvfrom(fd, bytes, size, 0, (struct sockaddr *)from, from ? &len : NULL);
}
