/* Plain sockets of the laboratory's hosts, for tests that look at a NAT from both of its sides. All
 * addresses are text, of either family. A failure that is not part of the question fails the test.
 */
#ifndef TESTS_NAT_SOCKETS_H
#define TESTS_NAT_SOCKETS_H

#include "netns/netns.h"

/* How long a packet may take that comes, and how long one is waited for that must not come. */
enum { COMES_MS = 60000, STAYS_AWAY_MS = 120 };

/* Where a packet came from; port 0: none came. */
typedef struct source {
  char ip[46];
  unsigned port;
} source;

/* A non-blocking socket of the host, bound to its address; port 0: any. */
int socket_at(const ns_host *host, int type, const char *ip, unsigned port);
/* The port a socket is bound to. */
unsigned port_of(int fd);
void send_udp(int fd, const char *ip, unsigned port, const char *text);
/* Waits for the datagram with this text; others are passed over. */
source hear(int fd, const char *text, int limit_ms);
/* True when it comes. `expected` says how long it is waited for. */
bool arrives(int fd, const char *text, bool expected);
/* errno of a TCP connection, 0 when it stands, ETIMEDOUT when nothing answers. */
int connect_tcp(int fd, const char *ip, unsigned port, int limit_ms);
/* A listening socket. */
int listen_at(const ns_host *host, const char *ip, unsigned port);
/* Takes a connection that is on its way; where from goes to `from` (may be NULL). */
int accept_one(int listener, source *from);

#endif
