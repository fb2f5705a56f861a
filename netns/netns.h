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
#include <stdio.h>
#include <sys/types.h>

/* One line that says what failed and what to do about it. */
typedef struct ns_error {
  char text[512];
} ns_error;

/* ---- sandbox --------------------------------------------------------------------------------- */

/* Runs `lab(arg)` in a sandbox of its own and returns its exit status (128 + signal if it was
 * killed), or a negative errno if the sandbox could not be built. Call it while the process has one
 * thread; its descriptors and memory are copied as by fork, and the lab ends by exit().
 *
 * Users: as root no user namespace is made (unless a container took root's powers away); else the
 * caller is mapped to root, alone: no second user exists inside.
 * Files: the host's files stay where they are, readable and writable as before. Only /proc is
 * fresh (so that network settings are writable) and /run is a private tmpfs: the place for
 * temporary files, which vanish with the sandbox. Nothing covers /tmp, so output and build folders
 * may live there; what the host has under /run can only be reached by descriptors opened before.
 * Processes: process 1 is a reaper of ours and the lab is its child. Process 1 takes in and reaps
 * every orphan, so the lab waits for its own children only. When the lab ends, the kernel ends
 * whatever still runs. The sandbox is a session without a terminal.
 * Signals: SIGINT and SIGTERM given to the caller reach the lab, once each, also when they were
 * typed on a terminal; the lab may handle them, else it dies of them. A third one kills the
 * sandbox. If the caller dies in any way, the kernel kills the whole sandbox.
 * Descriptors: the soft limit is raised to the hard one inside, because the library keeps its own
 * above 1100: libnftables uses select() and needs a low one. Programs get the old limit back. */
int ns_sandbox_run(int (*lab)(void *arg), void *arg, ns_error *error);

/* ---- hosts and links ------------------------------------------------------------------------- */

enum { NS_IFNAME = 16 };

/* A network namespace: a descriptor to enter it, and a netlink socket that lives in it. */
typedef struct ns_host {
  char name[32];
  int ns_fd;
  int netlink_fd;
} ns_host;

/* Makes a namespace with loopback up; restores the calling thread's own namespace. Its settings do
 * not depend on the host's: no forwarding, no reverse path filter. IPv6 makes no noise of its own:
 * duplicate address detection, router solicitation and link-local addresses are off (so that
 * addresses are usable soon and packet counts mean something); who wants link-local addresses
 * sets ipv6/conf/default/addr_gen_mode to 0 before adding links. */
int ns_host_open(ns_host *host, const char *name, ns_error *error);
/* Frees it: when its last process has ended and its last socket is closed (a switch has one)
 * the kernel removes all that is in it, soon after. Safe on a zeroed host, and leaves one. */
void ns_host_close(ns_host *host);
/* Moves the calling thread, and no other, into the host: sockets it opens there stay there for
 * their life. ns_leave returns to the sandbox's first namespace, in which there are no links. */
int ns_enter(const ns_host *host);
void ns_leave(void);
/* Writes a /proc/sys/net value in the host, for example ("ipv4/ip_forward", "1"). */
int ns_sysctl(const ns_host *host, const char *path, const char *value, ns_error *error);

/* A batch of netlink messages to one host, sent and acknowledged together by ns_commit.
 * The ns_add_* calls only append; an overflow or an argument that makes no sense is reported by
 * ns_commit. One thread at a time may use a host's batches and counters. */
typedef struct ns_batch {
  const ns_host *host;
  unsigned char bytes[16384];
  size_t len;
  unsigned count;
  bool overflow;
  char bad[64]; /* the first argument that made no sense, or "" */
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
/* Takes an address away, named as it was added. The kernel takes routes by way of the interface
 * with its last IPv4 address, and with the first of a network the others of it, unless
 * ipv4/conf/all/promote_secondaries is 1. */
void ns_delete_address(ns_batch *batch, int index, const char *ip);
/* A route to `prefix` ("0.0.0.0/0", "192.0.2.0/25") by gateway `via` (NULL: on link) through
 * `index`. */
void ns_add_route(ns_batch *batch, const char *prefix, const char *via, int index);
/* The same, and a route to that prefix that is there already is replaced. */
void ns_put_route(ns_batch *batch, const char *prefix, const char *via, int index);
/* A default route by `via` through `index` for what is sent from the host's own address `from`: a
 * host with two uplinks needs one for each (a table of its own, and a rule that leads to it;
 * `table` is 1..251 and not used twice). */
void ns_add_source_route(ns_batch *batch, const char *from, const char *via, int index, int table);
/* A bridge, and a link as a port of it. It forwards as soon as it is up, and its frames are not
 * shown to the host's IP rules. */
void ns_add_bridge(ns_batch *batch, const char *name, int index);
void ns_add_master(ns_batch *batch, int index, int bridge_index);
/* A permanent neighbour entry: no ARP or neighbour discovery is done for `ip` (without a prefix).
 */
void ns_add_neighbour(ns_batch *batch, const char *ip, const uint8_t *mac, int index);
/* Sends the batch and empties it. All messages are tried even when one fails; the first failure is
 * returned, and said with the kernel's own words. */
int ns_commit(ns_batch *batch, ns_error *error);

/* Waits until the interface can send. When the second end of a veth pair comes up, the kernel makes
 * the first end usable a little later; what is sent through it before is lost. -ETIMEDOUT if it is
 * not up after timeout_ms. */
int ns_link_wait(const ns_host *host, int index, unsigned timeout_ms, ns_error *error);

/* Waits until the host takes packets to this address of its own (without a prefix). An IPv4 address
 * does at once, an IPv6 address a moment after ns_commit, and it loses what comes before. */
int ns_address_wait(const ns_host *host, const char *ip, unsigned timeout_ms, ns_error *error);

/* Loads nftables text into the host (one transaction). -EOPNOTSUPP if the kernel has no nftables,
 * -EINVAL if it refuses the rules. */
int ns_nft(const ns_host *host, const char *rules, ns_error *error);
/* Makes the host's connection tracker forget every flow: addresses translated for it are then no
 * longer. What nftables sets remember stays. */
int ns_conntrack_flush(const ns_host *host, ns_error *error);

/* ---- the switch: emulated links -------------------------------------------------------------- */

/* What happens to packets of one direction between two ports. Drawn from a seeded generator of that
 * direction alone: the nth packet of a direction meets the same fate whatever passes elsewhere.
 * A frame that the sender's kernel left to be cut by the card (up to 64 KiB of a TCP stream) is one
 * packet here: it is lost, doubled and delayed as a whole. */
typedef struct ns_impairment {
  double delay_ms;
  double jitter_ms; /* uniform, plus or minus; packets may overtake each other */
  double loss;      /* 0..1 */
  double duplicate; /* 0..1 */
  double reorder;   /* 0..1: sent without delay, ahead of the others */
  double rate_mbit; /* 0: unlimited; at most NS_RATE_QUEUE_MS wait for the wire, then tail drop */
} ns_impairment;

/* The same by the kernel, for what leaves by an interface: netem(8), in place of what was there.
 * Its jitter ends at NS_NETEM_JITTER_MS; kernels before 6.7 take no seed. `seed` is of this
 * interface alone. */
enum { NS_NETEM_JITTER_MS = 2000 };
void ns_add_netem(ns_batch *batch, int index, const ns_impairment *what, uint64_t seed);
/* ns_add_netem in a batch of its own. -EOPNOTSUPP when the kernel has no netem. */
int ns_netem(const ns_host *host, int index, const ns_impairment *what, uint64_t seed,
             ns_error *error);
/* Datagrams that a program hands over as one piece (UDP_SEGMENT) leave the interface one by one, so
 * that each is counted, delayed and lost for itself. TCP goes in large pieces all the same. */
int ns_cut_datagrams(const ns_host *host, const char *interface, ns_error *error);

/* An Ethernet switch in a thread of its own: veth interfaces as ports, learning, a timer heap.
 * Broadcast, multicast and unknown destinations are flooded. What waits is bounded by packets and
 * by bytes; beyond that the newest is dropped and counted. All calls may come from any thread, but
 * a fork has no switch: open it in the process that uses it. */
typedef struct ns_switch ns_switch;
enum {
  NS_SWITCH_PORTS = 16,
  NS_SWITCH_QUEUE = 65536,
  NS_SWITCH_QUEUE_BYTES = 256 * 1024 * 1024, /* full-sized 64 KiB frames would be 4 GiB otherwise */
  NS_RATE_QUEUE_MS = 200
};
typedef struct ns_switch_counters {
  uint64_t received;
  uint64_t forwarded;  /* copies handed to a port */
  uint64_t lost;       /* by impairment */
  uint64_t overflowed; /* by a full queue, or refused by the port */
} ns_switch_counters;

/* Starts a switch whose ports are interfaces of `host`, which must stay open as long as ports are
 * added. `seed` decides losses and jitter. */
int ns_switch_open(ns_switch **out, const ns_host *host, uint64_t seed, ns_error *error);
/* Adds the veth interface with this index; returns the port number (>= 0; the lowest free one) or a
 * negative errno (-ENOSPC: all NS_SWITCH_PORTS are taken). Ports may be added and removed while it
 * runs. A new port has no impairment to and from any other. */
int ns_switch_add_port(ns_switch *sw, int ifindex, ns_error *error);
/* Packets that wait for this port are dropped, those that came from it are still delivered. */
void ns_switch_remove_port(ns_switch *sw, int port);
/* Sets what happens from one port to another (one direction). Packets under way keep their time. */
void ns_switch_impair(ns_switch *sw, int from, int to, const ns_impairment *what);
/* Starts the generators of all directions again, from this seed. */
void ns_switch_seed(ns_switch *sw, uint64_t seed);
void ns_switch_counters_get(ns_switch *sw, ns_switch_counters *out);
/* Ends the thread, drops what waits, closes the ports. Safe on NULL. */
void ns_switch_close(ns_switch *sw);

/* ---- captures -------------------------------------------------------------------------------- */

/* What passes all interfaces of a host, kept by the kernel in a ring of fixed size until it is
 * asked for: no thread runs meanwhile, so that capturing costs what is captured no time. When the
 * ring is full, what comes later is not kept. Packets are cut to NS_CAPTURE_SNAP bytes; what a host
 * sends to itself is kept once. */
typedef struct ns_capture ns_capture;
enum { NS_CAPTURE_BYTES = 2 * 1024 * 1024, NS_CAPTURE_SNAP = 2048 };

/* Starts it. `live`: it is written as it runs (ns_capture_fd); else the ring is used well only by a
 * capture that is written once, at its end. */
int ns_capture_open(ns_capture **out, const ns_host *host, bool live, ns_error *error);
/* Appends what the ring holds to a pcap file (the first call begins it), and makes room. Of a live
 * capture the packets of the last 100 ms are left for the next call. Returns how many packets it
 * wrote, or -EIO. */
long ns_capture_write(ns_capture *capture, FILE *out);
/* Ends it: what comes later is not kept, and ns_capture_write leaves nothing behind. */
void ns_capture_stop(ns_capture *capture);
/* Readable when a live capture has something to write. */
int ns_capture_fd(const ns_capture *capture);
/* Safe on NULL. */
void ns_capture_close(ns_capture *capture);

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
  /* NULL-terminated, or NULL. Added to, or put in place of, PATH (the caller's, /usr/sbin, /sbin),
   * HOME=/run and LANG=C; nothing else of the caller's environment is passed on. */
  const char *const *envp;
  bool pipe_stdin, pipe_stdout, pipe_stderr; /* else stdin is /dev/null, the others go to log_fd */
  int log_fd;                                /* -1: /dev/null */
  const int *given;   /* its stdin, stdout and stderr, above 2, in place of all that; or NULL */
  bool terminal;      /* its stdin is a terminal, which becomes that of its session */
  const char *folder; /* where it begins (or / where that cannot be entered); NULL: as the caller */
} ns_spawn_options;

/* Starts a program inside a host, in a session of its own, with default signal handling. It is
 * killed when the thread that started it ends, at the latest with the sandbox. All other
 * descriptors are closed in it. Returns when the program runs, or -ENOENT and the like when it
 * cannot. The pipes' ends given back block and are closed on exec. */
int ns_spawn(ns_process *process, const ns_spawn_options *options, ns_error *error);
/* True once it has ended by itself. Does not reap it: that is left to ns_stop. */
bool ns_ended(const ns_process *process);
/* Ends the program and all that it started in its session's first process group: SIGTERM, then
 * SIGKILL after grace_ms. Reaps it, closes its pipes, zeroes `process`; returns the wait status, or
 * -ECHILD if there is none (also for a zeroed process). */
int ns_stop(ns_process *process, unsigned grace_ms);

/* ---- counters -------------------------------------------------------------------------------- */

/* Packets sent by the host through the interface since it was made (IFLA_STATS64). */
int ns_tx_packets(const ns_host *host, int ifindex, uint64_t *out);

#endif
