/*
 * A simulated internet in virtual time: any number of hosts in one process, each with an
 * environment (wg_env) of its own, behind NATs and links, with brokers, STUN and TURN servers.
 * Nothing here sleeps or opens a socket: the clock jumps from event to event, and the same seed
 * gives the same run.
 *
 * Building a world cannot fail: a mistake in a test (a malformed address, a name given twice, a
 * handle used after closing) and lack of memory end the process with one line that says what was
 * wrong. Everything belongs to its world and goes with it; strings are copied.
 *
 * With the environment variable SIM_TRACE set, every packet and log line goes to stderr.
 */
#ifndef SIM_DRIVER_SIM_H
#define SIM_DRIVER_SIM_H

#include "env/env.h"
#include <stdio.h>
#include <warpgate/plugin.h>

/* Virtual time is counted in microseconds. */
#define SIM_MS     UINT64_C(1000)
#define SIM_SECOND UINT64_C(1000000)

typedef struct sim_world sim_world;
typedef struct sim_network sim_network;
typedef struct sim_host sim_host;
typedef struct sim_broker sim_broker;
typedef struct sim_stun_server sim_stun_server;
typedef struct sim_turn_server sim_turn_server;
typedef struct sim_ntp_server sim_ntp_server;

enum {
  SIM_LATENCY_US = 20000,   /* one way between a network and the core, unless told otherwise */
  SIM_LAN_US = 100,         /* one way between two hosts of a network */
  SIM_LOOPBACK_US = 20,     /* a host to itself; above zero, so that no exchange stops the clock */
  SIM_EVENTS_MAX = 5000000, /* of one run, unless told otherwise: a livelock must fail, not hang */
};

/* ---- the world ------------------------------------------------------------------------------- */

sim_world *sim_world_new(uint64_t seed);
/* Frees the world and all in it. Returns how many handles (sockets, connections, listeners,
 * look-ups, brokers) and running timers the code under test had left open: 0 when it cleaned up.
 * Those are freed too, without a callback. */
size_t sim_world_free(sim_world *world);

/* Virtual time since the world began. Hosts see it through clocks of their own, which begin
 * anywhere. */
uint64_t sim_now_us(const sim_world *world);
void sim_set_event_limit(sim_world *world, uint64_t events);
/* Packets, what became of them, and log lines, one a line. NULL: silent. */
void sim_set_trace(sim_world *world, FILE *stream);

/* All runs return WARP_LIMIT when the event limit was reached. They may not be called from inside a
 * callback. A run ends between two moments of virtual time, never inside one. */

/* Runs for a while. WARP_OK, with the clock exactly `duration_us` later. */
int sim_run_for(sim_world *world, uint64_t duration_us);
/* Runs until `done(arg)` holds, asked before the first event and after each moment. WARP_OK, or
 * WARP_TIMEOUT when `limit_us` have passed (also when nothing is left to happen). */
typedef bool (*sim_predicate)(void *arg);
int sim_run_until(sim_world *world, sim_predicate done, void *arg, uint64_t limit_us);
/* Runs until `*flag` is set. As sim_run_until. */
int sim_run_until_set(sim_world *world, bool *flag, uint64_t limit_us);
/* Runs until nothing is left to happen, the clock staying at the last event. WARP_OK, or
 * WARP_TIMEOUT when something still goes on after `limit_us`. */
int sim_run_until_idle(sim_world *world, uint64_t limit_us);

/* What happened so far, for telling two runs apart. `flow` is a hash over time, kind, addresses and
 * fate of every packet; `content` one over their bytes, which differ between runs when OpenSSL
 * draws keys by itself. */
typedef struct sim_trace {
  uint64_t events, packets, lost, filtered;
  uint64_t flow, content;
} sim_trace;
sim_trace sim_world_trace(const sim_world *world);

/* A name that resolves, to another address with every call; the port of `address` is ignored.
 * `address` NULL: a name whose server never answers. */
void sim_add_name(sim_world *world, const char *name, const char *address);

/* ---- networks -------------------------------------------------------------------------------- */

/* The link of a network to the core. What passes it, either way, is delayed by latency plus
 * anything up to jitter, lost or doubled with these probabilities. Jitter reorders datagrams, not
 * the segments of one TCP direction. */
typedef struct sim_link {
  uint32_t latency_us, jitter_us;
  double loss, duplicate; /* 0 to 1 */
} sim_link;

/* A NAT's axes; see warp_nat_axes. Not modelled: hairpinning (dropped), ICMP, port overloading. */
typedef struct sim_nat {
  warp_nat_dependence mapping;             /* WARP_NAT_UNKNOWN: no NAT */
  warp_nat_dependence filtering;           /* RFC 4787 section 5 */
  warp_nat_allocation allocation;          /* preserving: a taken port gives a random one */
  uint16_t step;                           /* of a sequential allocation */
  uint32_t udp_timeout_ms, tcp_timeout_ms; /* a mapping lives that long after its last packet */
  /* UDP: an answer to a session that began outside does not keep the port it came in by (reuse
   * off): it gets the mapping that any packet of ours to there gets. */
  bool strict;
  bool no_udp; /* only TCP passes */
  bool resets; /* a SYN that is filtered is answered by a reset (RFC 5382 REQ-4 forbids it) */
} sim_nat;

/* The behaviour of a profile: open, full-cone, restricted, port-restricted, symmetric, or
 * MAP-FILTER of ei, ad and apd with random ports, as "ad-apd". "+preserving", "+sequential",
 * "+random", "+reset", "+strict" and "+no-udp" after the name change it so, as
 * "apd-apd+sequential+reset". WARP_NOT_FOUND. */
int sim_nat_profile(const char *name, sim_nat *out);

/* A network is a LAN of hosts with a link to the core; `link` NULL: SIM_LATENCY_US and no more. */
sim_network *sim_network_new(sim_world *world, const char *name, const sim_link *link);
/* Applies to what is sent from now on. */
void sim_network_set_link(sim_network *network, const sim_link *link);
/* Cuts the network off (both ways, also what is on its way to it) or joins it again. */
void sim_network_set_up(sim_network *network, bool up);
/* Puts a NAT with an external IPv4 address before the network, or replaces the one there, which
 * forgets all mappings. IPv6 passes unfiltered. */
void sim_network_set_nat(sim_network *network, const char *external, const sim_nat *nat);
/* The NAT forgets all mappings, as after a power cut. */
void sim_network_reboot_nat(sim_network *network);
/* Mappings (one for each inside address, external port and remote address) alive now. */
size_t sim_network_mappings(sim_network *network);

/* A router that opens ports when its hosts ask for it; without a protocol it answers nobody. */
typedef struct sim_router {
  const char *protocol; /* "NAT-PMP"; static storage */
  warp_addr external;   /* the address it says it has; family 0: the NAT's */
  uint32_t delay_ms;    /* until it answers */
  bool refuses;
  uint16_t taken; /* so many ports from the one asked for on are another's */
} sim_router;
/* The network's router from now on; none (NULL) at first. What hosts have asked for is asked for
 * again, as after a renewal. */
void sim_network_set_router(sim_network *network, const sim_router *router);
/* Ports of the NAT that are open now because a host asked for it. */
size_t sim_network_openings(const sim_network *network);

/* ---- hosts ----------------------------------------------------------------------------------- */

enum { SIM_ADDRESSES_MAX = 8 };
/* `address` as "10.0.1.2/24" or "2001:db8::2/64". Without a NAT before its network the address is
 * reachable from everywhere. */
sim_host *sim_host_new(sim_network *network, const char *name, const char *address);
void sim_host_add_address(sim_host *host, const char *address);
/* Gives the host one more interface, in another network: what is sent from that address leaves
 * there. */
void sim_host_join(sim_host *host, sim_network *network, const char *address);
/* The address is gone: no socket can be bound to it, and what those that are send is lost. The
 * host's watches are told, as of added ones. */
void sim_host_remove_address(sim_host *host, const char *address);
wg_env *sim_host_env(sim_host *host);
sim_world *sim_host_world(sim_host *host);
/* How many handles the code under test has open, and whether its timers run (1), as sim_world_free
 * counts them. */
size_t sim_host_handles(sim_host *host);
/* What the host's wall clock is wrong by. */
void sim_host_set_clock_skew_ms(sim_host *host, int64_t skew_ms);
/* The status that file operations end with from now on; WARP_OK makes them work. */
void sim_host_set_file_status(sim_host *host, int status);
/* The system's buffer for datagrams is full, or no longer: a send is answered with WARP_AGAIN and
 * nothing leaves. */
void sim_host_set_udp_full(sim_host *host, bool full);
/* The host's hardware identifiers; `len` at most 64, 0 for none. Default: 16 bytes of its own. */
void sim_host_set_machine_id(sim_host *host, const void *id, size_t len);
/* The hardware addresses of its interfaces, the first one of those that have addresses, the others
 * of some that are down. Default: one that is made up. */
enum { SIM_MACS_MAX = 8 };
void sim_host_set_macs(sim_host *host, const wg_mac *macs, size_t count);

/* One shared object of the host's only folder of them. */
typedef struct sim_module {
  const char *file;
  void *entry;       /* NULL: it cannot be loaded */
  const char *error; /* why */
} sim_module;
/* What that folder holds, whatever it is called; borrowed. There is none before. */
void sim_host_set_modules(sim_host *host, const sim_module *modules, size_t count);

/*
 * The environment of a host keeps env.h to the letter. What it leaves open is settled so:
 * - A socket has one family, whatever WG_SOCK_V6ONLY says. A datagram goes to the most specific
 *   socket of its port, the youngest of several; a connection to the oldest listener.
 * - UDP to a closed port vanishes. A SYN to a closed port is answered by a reset; SYNs are repeated
 *   after 1, 3, 7, ... 63 s and given up after 127 s.
 * - TCP has a fixed window (SIM_TCP_WINDOW) and no congestion control; segments that are lost are
 *   sent again after 200 ms and two round trips, doubling, and the connection ends with
 *   WARP_TIMEOUT after 10 times. wg_tcp_queued counts what does not fit into the window.
 * - Numeric addresses resolve in no time, names in one round trip to the core, a dead name fails
 *   with WARP_TIMEOUT after 5 s.
 * - A router is asked again every 300 s; where there is none that is known after 1.25 s.
 * - A broker connection is a simulated TCP connection: 3 round trips to WARP_OK. It fails with
 *   WARP_TIMEOUT when it is not up after 10 s, and finds a silent broker by a ping every 5 s.
 *   on_state tells of every failed try.
 */
enum { SIM_TCP_WINDOW = 256 * 1024, SIM_TCP_SEGMENT = 16 * 1024 };

/* ---- servers --------------------------------------------------------------------------------- */

/* An MQTT-like broker on all addresses of the host. A publisher that subscribed to the topic gets
 * its own message too. */
sim_broker *sim_broker_start(sim_host *host, uint16_t port);
/* Down: connections are reset and new ones refused. Up again: nothing is remembered. */
void sim_broker_set_up(sim_broker *broker, bool up);
/* Connections without these credentials are refused; NULL: all are welcome. */
void sim_broker_set_credentials(sim_broker *broker, const char *user, const char *password);
/* Sees every message before it is handed out; false keeps it back. It may inject, but not take the
 * broker down. */
typedef bool (*sim_broker_tap)(void *arg, const char *topic, const uint8_t *data, size_t len);
void sim_broker_set_tap(sim_broker *broker, sim_broker_tap tap, void *arg);
/* Hands a message to the topic's subscribers, as if a stranger had published it. */
void sim_broker_inject(sim_broker *broker, const char *topic, const void *data, size_t len);
/* Connections with an acknowledged subscription. */
size_t sim_broker_subscribers(const sim_broker *broker);
/* STUN (RFC 8489) over UDP and TCP on `port` of the host's first IPv4 address. When the host has a
 * second one and `other_port` is not 0, also on `other_port` and there, with behaviour discovery
 * (RFC 5780: CHANGE-REQUEST over UDP, OTHER-ADDRESS, RESPONSE-ORIGIN). */
sim_stun_server *sim_stun_start(sim_host *host, uint16_t port, uint16_t other_port);
/* Down: requests vanish, connections are reset and refused. */
void sim_stun_set_up(sim_stun_server *server, bool up);
/* Binding requests answered so far. */
size_t sim_stun_answered(const sim_stun_server *server);

/* TURN (RFC 8656) over UDP and TCP on the host's first IPv4 address, relaying IPv4: allocations of
 * 600 s, permissions of 300 s, channels, one long-term credential. */
sim_turn_server *sim_turn_start(sim_host *host, uint16_t port, const char *user,
                                const char *password);
/* Down: the server forgets everything; connections are reset, and the rest is silent. */
void sim_turn_set_up(sim_turn_server *server, bool up);
/* The nonce is stale from now on: the next requests are answered by error 438 and a new one. */
void sim_turn_change_nonce(sim_turn_server *server);
/* Allocations beyond this many get error 486; SIZE_MAX at first. */
void sim_turn_set_quota(sim_turn_server *server, size_t allocations);
size_t sim_turn_allocations(const sim_turn_server *server);
/* Datagrams relayed so far, either way. */
size_t sim_turn_relayed(const sim_turn_server *server);

/* NTP over UDP on `port` of the host's first address, with the time of the host's clock. */
sim_ntp_server *sim_ntp_start(sim_host *host, uint16_t port);
/* Down: silent. */
void sim_ntp_set_up(sim_ntp_server *server, bool up);
/* It says a time that is wrong by so much from now on. */
void sim_ntp_set_lie_ms(sim_ntp_server *server, int64_t lie_ms);
/* It answers with this kiss code instead of the time; 0: the time again. */
void sim_ntp_set_kiss(sim_ntp_server *server, uint32_t code);
size_t sim_ntp_answered(const sim_ntp_server *server);

/* ---- two sites and their servers ------------------------------------------------------------- */

typedef struct sim_topology_options {
  const char *profile_a, *profile_b; /* as of sim_nat_profile; NULL: open */
  uint64_t seed;
  uint32_t rtt_ms;    /* between any two of the three networks; 0: 40 */
  uint32_t jitter_ms; /* of each of the two links on the way */
  double loss;        /* likewise */
} sim_topology_options;

enum { SIM_NTP_SERVERS = 3 };
/* Sites "a" and "b" with one host each of the same name, and "server" with the servers, all up:
 * broker, STUN with RFC 5780, TURN, three of NTP. What a configuration needs is spelled out in the
 * lists, which end with NULL. */
typedef struct sim_topology {
  sim_world *world;
  sim_network *site_a, *site_b, *site_server;
  sim_host *a, *b, *server;
  sim_broker *broker;
  sim_stun_server *stun;
  sim_turn_server *turn;
  sim_ntp_server *ntp[SIM_NTP_SERVERS];
  const char *brokers[2], *ntp_servers[SIM_NTP_SERVERS + 1];
  const char *stun_servers[3], *turn_servers[2];
} sim_topology;

/* Servers are at 203.0.113.10 and 198.51.100.10. Behind a NAT, a is 10.0.1.2 and b 10.0.2.2;
 * outside, or without one, a is 192.0.2.2 and b 192.0.2.130. Free it with sim_world_free. */
void sim_topology_new(const sim_topology_options *options, sim_topology *out);

#endif
