/*
 * The prober's bench: sockets on both sides of a NAT, held by one process.
 *
 * The prober knows of a NAT only what packets show. It shares no code and no table with the rules:
 * it gets three namespaces, and the words it says in the end are compared as text with what was
 * declared (natsim/prober/compare.h).
 *
 * It never waits by time. Links keep the order of packets, so a round of the *fence*, a byte that
 * goes from the server site through the NAT to the inside and back over a TCP connection, proves
 * that all sent before it has arrived or never will.
 */
#ifndef NATSIM_PROBER_BENCH_H
#define NATSIM_PROBER_BENCH_H

#include "natsim/fail.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* An address with a port, of either family. A zeroed one is none. */
typedef union sim_endpoint {
  struct sockaddr any;
  struct sockaddr_in in4;
  struct sockaddr_in6 in6;
} sim_endpoint;

unsigned sim_port(const sim_endpoint *endpoint);
sim_endpoint sim_with_port(const sim_endpoint *endpoint, unsigned port);
bool sim_same_ip(const sim_endpoint *one, const sim_endpoint *other);
bool sim_same(const sim_endpoint *one, const sim_endpoint *other); /* address and port */
socklen_t sim_endpoint_len(const sim_endpoint *endpoint);
/* Of the socket's other end, and its own; a zeroed one when it has none. */
sim_endpoint sim_peer_of(int fd);
sim_endpoint sim_own_of(int fd);

enum { SIM_BENCH_FDS = 512, SIM_BENCH_SERVERS = 24 };

/* A socket of the server site that is asked for by its address and port. */
typedef struct sim_server_socket {
  int type, which;
  unsigned port;
  int fd;
} sim_server_socket;

typedef struct sim_bench {
  const ns_host *inside, *server;
  int family;
  sim_endpoint host[2];      /* two inside hosts, for all that the NAT can tell; port 0 */
  sim_endpoint server_ip[2]; /* port 0 */
  int fds[SIM_BENCH_FDS];    /* all that is open */
  int fd_count;
  sim_server_socket servers[SIM_BENCH_SERVERS];
  int server_count;
  int near_fd, far_fd; /* the fence's ends: inside, server; -1: there is no way for it */
  int icmp_fd;         /* what the server site is told of unreachable ports */
  uint64_t nonce;      /* of the last datagram */
} sim_bench;

/* The port of the fence, and the first of the two that probes go to: what a router that passes the
 * web only passes too. */
enum { SIM_PROBE_PORT_1 = 443, SIM_PROBE_PORT_2 = 80 };
/* The fence's inside port, which no probe uses. */
enum { SIM_FENCE_PORT = 19000 };

/* Takes up its place at host and server site, with IPv4 or IPv6 (`family` AF_INET, AF_INET6), and
 * gives the host a second address. 0, or a negative errno with the line; in any case
 * sim_bench_close. */
int sim_bench_open(sim_bench *bench, const ns_host *inside, const ns_host *server, int family,
                   ns_error *error);
void sim_bench_close(sim_bench *bench);

/* A non-blocking socket of a namespace, bound to `at`, which shares its port with others; it is
 * closed with the bench. TCP ones leave no trace when they close. Negative errno. */
int sim_bench_socket(sim_bench *bench, const ns_host *where, int type, const sim_endpoint *at);
/* Closes the socket, which is the one opened last, so that its ports mean nothing any more. */
void sim_bench_drop(sim_bench *bench, int fd);
/* The server site's socket at one of its two addresses: UDP, or a TCP listener. Negative errno. */
int sim_bench_server(sim_bench *bench, int type, int which, unsigned port);

/* How many rounds are waited for a packet. One proves that it is lost where packets never change
 * places; the others are for a kernel that hands packets of two sockets to two processors. */
enum { SIM_ROUNDS = 3 };
/* One round. Without a fence it takes the time instead that packets may need. */
void sim_bench_round(sim_bench *bench);

#endif
