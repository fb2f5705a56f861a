/* UDP sockets inside a lab, for measuring it: IPv4, non-blocking. */
#ifndef NATSIM_DATAGRAM_H
#define NATSIM_DATAGRAM_H

#include "natsim/fail.h"

#include <netinet/in.h>
#include <stdbool.h>

struct sockaddr_in sim_ip4(const char *ip, unsigned port);

/* A socket of the host, bound to ip:port (port 0: any). A descriptor, or a negative errno with the
 * line. */
int sim_udp_open(const ns_host *host, const char *ip, unsigned port, ns_error *error);
/* Sends; false when the kernel refuses. */
bool sim_udp_send(int fd, const struct sockaddr_in *to, const void *bytes, size_t len);
/* Waits until a datagram comes, limit_ms at most, and takes it in: its length (cut to `size`) and,
 * unless NULL, its source; -1 when none came. */
ssize_t sim_udp_take(int fd, void *bytes, size_t size, struct sockaddr_in *from, int limit_ms);

#endif
