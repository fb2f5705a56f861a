/*
 * netns: a laboratory of network namespaces held by one process.
 *
 * ns_sandbox_run puts the process that becomes the laboratory into mount, PID and network
 * namespaces of its own (and a user namespace when it is not root), so that whatever way it dies
 * the kernel removes every process, namespace, link and file in it. All the rest works inside:
 * hosts (network namespaces), links between them, addresses, nftables rules, programs, and a switch
 * that delays and loses packets.
 *
 * Functions return 0 or a negative errno and leave one clear line in the `ns_error` they are given.
 */
#ifndef NETNS_NETNS_H
#define NETNS_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One line that says what failed and what to do about it. */
typedef struct ns_error {
  char text[512];
} ns_error;

/* ---- sandbox --------------------------------------------------------------------------------- */

/* Runs `lab(arg)` as process 1 of a sandbox of its own and returns its exit status (128 + signal if
 * it was killed), or a negative errno if the sandbox could not be built. As root no user namespace
 * is made. The sandbox has its own /proc and a private tmpfs on /run and /tmp/ (the host's files
 * stay readable; an output folder that the caller opened or made before stays writable). SIGINT and
 * SIGTERM given to the caller are passed on to process 1; if the caller dies, the kernel ends the
 * whole sandbox. */
int ns_sandbox_run(int (*lab)(void *arg), void *arg, ns_error *error);

/* ---- hosts and links ------------------------------------------------------------------------- */

enum { NS_IFNAME = 16 };

/* A network namespace: a descriptor to enter it, and a netlink socket that lives in it. */
typedef struct ns_host {
  char name[32];
  int ns_fd;
  int netlink_fd;
} ns_host;

/* Makes a namespace with loopback up; restores the calling thread's own namespace. IPv6 duplicate
 * address detection and router solicitation are off in it, so that addresses are usable at once. */
int ns_host_open(ns_host *host, const char *name, ns_error *error);
/* Frees it: when its last process has ended the kernel removes all that is in it. Safe on a zeroed
 * host. */
void ns_host_close(ns_host *host);
/* Moves the calling thread into the host; ns_leave returns to the namespace the process started in.
 */
int ns_enter(const ns_host *host);
void ns_leave(void);
/* Writes a /proc/sys/net value in the host, for example ("ipv4/ip_forward", "1"). */
int ns_sysctl(const ns_host *host, const char *path, const char *value, ns_error *error);

/* A batch of netlink messages to one host, sent and acknowledged together by ns_commit.
 * The ns_add_* calls only append; an overflow is reported by ns_commit. */
typedef struct ns_batch {
  const ns_host *host;
  unsigned char bytes[16384];
  size_t len;
  unsigned count;
  bool overflow;
} ns_batch;

void ns_begin(ns_batch *batch, const ns_host *host);
/* A veth pair with chosen interface indexes: `name`/`index` in the batch's host,
 * `peer_name`/`peer_index` in `peer`. `mac`/`peer_mac` (6 bytes) may be NULL. */
void ns_add_veth(ns_batch *batch, const char *name, int index, const uint8_t *mac,
                 const ns_host *peer, const char *peer_name, int peer_index,
                 const uint8_t *peer_mac);
void ns_add_up(ns_batch *batch, int index);
/* `ip` is dotted or colon text with a prefix, as "192.168.1.2/24". */
void ns_add_address(ns_batch *batch, int index, const char *ip);
/* A route to `prefix` ("0.0.0.0/0", "192.0.2.0/25") by gateway `via` (NULL: on link) through
 * `index`. */
void ns_add_route(ns_batch *batch, const char *prefix, const char *via, int index);
int ns_commit(ns_batch *batch, ns_error *error);

/* Loads nftables text into the host (one transaction). */
int ns_nft(const ns_host *host, const char *rules, ns_error *error);

/* ---- the switch: emulated links -------------------------------------------------------------- */

/* What happens to packets of one direction between two ports. Drawn from a seeded generator. */
typedef struct ns_impairment {
  double delay_ms;
  double jitter_ms; /* uniform, plus or minus */
  double loss;      /* 0..1 */
  double duplicate; /* 0..1 */
  double reorder;   /* 0..1: sent without delay, ahead of the others */
  double rate_mbit; /* 0: unlimited */
} ns_impairment;

/* An Ethernet switch in a thread of its own: one AF_PACKET socket per port, learning, a timer heap.
 * Queues are bounded (NS_SWITCH_QUEUE packets; tail drop, counted). */
typedef struct ns_switch ns_switch;
enum { NS_SWITCH_PORTS = 16, NS_SWITCH_QUEUE = 65536 };
typedef struct ns_switch_counters {
  uint64_t received, forwarded, lost, overflowed;
} ns_switch_counters;

/* Starts a switch whose ports are interfaces of `host`. `seed` decides losses and jitter. */
int ns_switch_open(ns_switch **out, const ns_host *host, uint64_t seed, ns_error *error);
/* Adds the interface with this index; returns the port number (>= 0) or a negative errno. Ports may
 * be added and removed while it runs. */
int ns_switch_add_port(ns_switch *sw, int ifindex, ns_error *error);
void ns_switch_remove_port(ns_switch *sw, int port);
/* Sets what happens from one port to another (one direction). */
void ns_switch_impair(ns_switch *sw, int from, int to, const ns_impairment *what);
void ns_switch_counters_get(ns_switch *sw, ns_switch_counters *out);
void ns_switch_close(ns_switch *sw);

/* ---- programs -------------------------------------------------------------------------------- */

typedef struct ns_process {
  pid_t pid;
  int stdin_fd;  /* -1 unless asked for */
  int stdout_fd; /* -1 unless asked for */
  int stderr_fd; /* -1 unless asked for */
} ns_process;

typedef struct ns_spawn_options {
  const ns_host *host;
  const char *const *argv; /* argv[0] is looked up in PATH, then /usr/sbin and /sbin */
  const char *const
      *envp; /* NULL-terminated, added to a small fixed environment (PATH, HOME, LANG=C) */
  bool pipe_stdin, pipe_stdout, pipe_stderr; /* else stdin is /dev/null, the others go to log_fd */
  int log_fd;                                /* -1: /dev/null */
} ns_spawn_options;

/* Starts a program inside a host. It dies with the sandbox. All other descriptors are closed in it.
 */
int ns_spawn(ns_process *process, const ns_spawn_options *options, ns_error *error);
/* SIGTERM, then SIGKILL after grace_ms; reaps it, closes its pipes; returns the wait status. */
int ns_stop(ns_process *process, unsigned grace_ms);

/* ---- counters -------------------------------------------------------------------------------- */

/* Packets sent by the host through the interface since it was made (IFLA_STATS64). */
int ns_tx_packets(const ns_host *host, int ifindex, uint64_t *out);

#endif
