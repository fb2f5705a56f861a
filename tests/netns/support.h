/*
 * What the tests of netns share: a group of tests inside a sandbox, a small network, UDP.
 */
#ifndef TESTS_NETNS_SUPPORT_H
#define TESTS_NETNS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "netns/netns.h"

/* Ends what waits for something that comes: no measure of how soon it has to. */
enum { WAIT_MS = 60000 };

/* Runs a function that runs a group of tests inside a sandbox; returns the program's status. */
int run_in_sandbox(int (*group)(void *arg));

/* Fails the test with the error's line if result < 0. */
void assert_ok(int result, const ns_error *error);

/* Waits for a child and returns its exit status (128 + signal if it was killed). */
int wait_for_child(pid_t pid);
/* Forks, runs `child(arg)` there and returns wait_for_child. */
int status_of_child(int (*child)(void *arg), void *arg);

/* a (192.0.2.1, eth0) -- w (interfaces 10 and 11, no address) -- b (192.0.2.2, eth0): two veth
 * pairs whose ends in w are for a switch. Neighbours are known, links are up. */
typedef struct small_net {
  ns_host a, w, b;
} small_net;
enum { ETH0 = 2, W_TO_A = 10, W_TO_B = 11 };
extern const uint8_t MAC_A[6], MAC_B[6];
void small_net_open(small_net *net);
void small_net_close(small_net *net);

/* A UDP socket inside the host, bound to ip:port, which waits at most WAIT_MS when it reads. */
int udp_open(const ns_host *host, const char *ip, uint16_t port);
void udp_send(int fd, const char *ip, uint16_t port, const void *bytes, size_t len);
/* Sends datagrams of `size` bytes, the last one of the rest, handed to the kernel as one piece
 * where it takes that. */
void udp_send_piece(int fd, const char *ip, uint16_t port, const void *bytes, size_t len, int size);

/* Makes system calls fail in this process and its children: all that make namespaces (EPERM), or
 * sockets to nftables (EPROTONOSUPPORT). */
void forbid_namespaces(void);
void forbid_nftables(void);

/* fork into a user namespace of its own, as its root, for tests that set limits. */
pid_t fork_into_user_namespace(void);
/* Writes text to a file under /proc; fails the test if that does not work. */
void write_proc(const char *path, const char *text);

#endif
