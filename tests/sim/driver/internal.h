/* What the parts of the simulated internet share; tests include sim.h only. */
#ifndef SIM_DRIVER_INTERNAL_H
#define SIM_DRIVER_INTERNAL_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/list.h"
#include "base/rng.h"
#include "sim.h"

/* ---- mistakes in a test ---------------------------------------------------------------------- */

/* Ends the process with one line. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Zeroed memory, or sim_fail. */
void *sim_alloc(size_t size);
char *sim_copy_string(const char *text);
/* An address without a port, or "address/bits" with `bits` not NULL. */
warp_addr sim_parse_address(const char *text, unsigned *bits);

/* ---- buffers --------------------------------------------------------------------------------- */

/* Bytes that are appended at the end and taken from the front. */
typedef struct sim_buffer {
  uint8_t *data;
  size_t begin, end, cap;
} sim_buffer;
size_t sim_buffer_len(const sim_buffer *buffer);
const uint8_t *sim_buffer_bytes(const sim_buffer *buffer);
void sim_buffer_append(sim_buffer *buffer, const void *data, size_t len);
void sim_buffer_take(sim_buffer *buffer, size_t len);
void sim_buffer_free(sim_buffer *buffer);

/* ---- world ----------------------------------------------------------------------------------- */

/* Part of every server, so that the world can stop them all. */
typedef struct sim_service {
  wg_list item;
  void (*destroy)(struct sim_service *service); /* frees the server and its handles */
} sim_service;

typedef struct sim_name {
  wg_list item;
  char *name;
  warp_addr addr; /* family 0: never answers */
} sim_name;

struct sim_world {
  uint64_t now_us, seed;
  wg_timers events;
  wg_list networks, hosts, names, services, packets;
  uint64_t event_limit;
  sim_trace trace;
  FILE *stream;
  bool running;
  void **buried; /* freed after the present moment: handles may be closed in their own callbacks */
  size_t buried_count, buried_cap;
};

void sim_service_add(sim_world *world, sim_service *service, void (*destroy)(sim_service *service));
/* Frees `memory` when no callback is under way any more. */
void sim_bury(sim_world *world, void *memory);
/* Starts or restarts an event of the world, `delay_us` from now. */
void sim_event_start(sim_world *world, wg_timer *event, uint64_t delay_us, wg_timer_cb cb,
                     void *arg);
/* A stream of pseudo-random numbers of the world under "kind/name". */
void sim_rng(const sim_world *world, const char *kind, const char *name, wg_rng *out);
void sim_print(const sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- packets and the way they take ----------------------------------------------------------- */

enum { SIM_SYN = 1, SIM_ACK = 2, SIM_FIN = 4, SIM_RST = 8, SIM_PROBE = 16 };
/* Sequence numbers are 64 bits long, so that they never wrap. */
typedef struct sim_segment {
  uint8_t flags;
  uint64_t seq, ack;
  uint32_t window;
} sim_segment;

typedef struct sim_packet {
  wg_timer event;
  wg_list item;
  sim_world *world;
  sim_network *to; /* where it arrives, or */
  sim_host *near;  /* who gets it when it does not leave the network */
  uint8_t proto;   /* warp_transport */
  warp_addr src, dst;
  sim_segment segment; /* of WARP_TCP */
  size_t len;
  uint8_t data[];
} sim_packet;

/* Sends a packet of a host. `order`, when not NULL, is the moment before which nothing of this flow
 * may arrive, and is moved on. */
void sim_send(sim_host *host, uint8_t proto, const warp_addr *src, const warp_addr *dst,
              const sim_segment *segment, const void *data, size_t len, uint64_t *order);
void sim_packets_free(sim_world *world);

typedef struct sim_nat_box sim_nat_box;
sim_nat_box *sim_nat_new(const sim_world *world, const char *name, const warp_addr *external,
                         const sim_nat *nat);
void sim_nat_free(sim_nat_box *box);
const warp_addr *sim_nat_external(const sim_nat_box *box);
bool sim_nat_resets(const sim_nat_box *box);
void sim_nat_flush(sim_nat_box *box);
/* Lets everybody in by an external port; false when it is another's, or there is no room. */
bool sim_nat_open(sim_nat_box *box, uint8_t proto, uint16_t port, const warp_addr *inside);
void sim_nat_close(sim_nat_box *box, uint8_t proto, uint16_t port);
size_t sim_nat_openings(const sim_nat_box *box);
size_t sim_nat_count(sim_nat_box *box, uint64_t now_us);
/* Translates what leaves; false when no port is left. */
bool sim_nat_out(sim_nat_box *box, uint64_t now_us, uint8_t proto, warp_addr *src, warp_addr *dst);
/* Translates what comes in; false when it is filtered. */
bool sim_nat_in(sim_nat_box *box, uint64_t now_us, uint8_t proto, warp_addr *src, warp_addr *dst);

struct sim_network {
  wg_list item;
  sim_world *world;
  char *name;
  sim_link link;
  bool up;
  sim_nat_box *nat;
  sim_router router;
  wg_rng rng;
};
void sim_networks_free(sim_world *world);

/* ---- hosts ----------------------------------------------------------------------------------- */

typedef struct sim_address {
  warp_addr addr;
  unsigned bits;
  sim_network *network;
  unsigned interface; /* its number */
} sim_address;

typedef struct sim_file {
  wg_list item;
  char *path;
  uint8_t *data;
  size_t len;
} sim_file;

enum { SIM_INTERFACES_MAX = 8 };
struct sim_host {
  wg_env env;
  wg_list item;
  sim_world *world;
  sim_network *network; /* the first one, with the default route */
  char *name;
  sim_address addresses[SIM_ADDRESSES_MAX];
  size_t address_count;
  const sim_network *interfaces[SIM_INTERFACES_MAX]; /* by number: where each leads */
  unsigned interface_count;
  wg_timer wake; /* at the earliest of env.timers */
  uint64_t clock_offset_us;
  int64_t skew_ms;
  wg_rng entropy, ports;
  uint8_t machine_id[64];
  size_t machine_id_len;
  wg_mac macs[SIM_MACS_MAX]; /* the first one is that of the interfaces */
  size_t mac_count;
  int file_status;
  bool udp_full;
  const sim_module *modules; /* NULL: no folder */
  size_t module_count;
  wg_list files, udp, tcp, listeners, resolves, brokers, portmaps, netwatches;
};

#define SIM_HOST(pointer) WG_CONTAINER(pointer, sim_host, env)

extern const wg_env_ops sim_env_ops;
void sim_hosts_free(sim_world *world);
/* Whether an address is the host's own, loopback included. */
bool sim_host_owns(const sim_host *host, const warp_addr *addr);
/* The network of one of the host's addresses; of others the first one. */
sim_network *sim_host_network(const sim_host *host, const warp_addr *addr);
/* Whether an address is one of the host's interface addresses. */
bool sim_host_has(const sim_host *host, const warp_addr *addr);
/* The address from which the host sends to `to` when the socket is bound to `local` (port kept).
 * WARP_UNREACHABLE. */
int sim_host_source(const sim_host *host, const warp_addr *local, const warp_addr *to,
                    warp_addr *out);
/* Settles where a new socket is bound: checks the address, and picks a free port when it has none.
 * WARP_INVALID, WARP_ADDR_IN_USE, WARP_ADDR_NOT_AVAILABLE. */
int sim_host_bind(sim_host *host, uint8_t proto, const warp_addr *local, unsigned flags,
                  warp_addr *out);
/* Whether a packet to `dst` is for a socket bound to `local`. */
bool sim_bound_matches(const warp_addr *local, const warp_addr *dst);

/* ---- sockets --------------------------------------------------------------------------------- */

struct wg_udp {
  wg_list item;
  sim_host *host;
  warp_addr local;
  unsigned flags;
  bool closed;
  wg_udp_recv_cb cb;
  void *arg;
};

int sim_udp_open(wg_env *env, const warp_addr *local, unsigned flags, wg_udp_recv_cb cb, void *arg,
                 wg_udp **out);
int sim_udp_send(wg_udp *udp, const warp_addr *to, const void *data, size_t len);
void sim_udp_local(const wg_udp *udp, warp_addr *out);
void sim_udp_close(wg_udp *udp);
void sim_udp_input(sim_host *host, const sim_packet *packet);

/* RFC 9293 section 3.3.2, as far as the simulation tells them apart: which ends are closed is said
 * by flags of their own. */
typedef enum sim_tcp_state {
  SIM_TCP_SYN_SENT,
  SIM_TCP_SYN_RECEIVED,
  SIM_TCP_OPEN,
  SIM_TCP_DEAD, /* failed or reset; waits for its owner to close it */
} sim_tcp_state;

struct wg_tcp {
  wg_list item;
  sim_host *host;
  warp_addr local, remote;
  unsigned flags;
  sim_tcp_state state;
  wg_tcp_listener *listener; /* of a connection not yet handed out */
  bool dialled;              /* by us: the local port is bound */
  bool owned;                /* the code under test holds the handle */
  bool handled;              /* the handlers are set */
  bool freed;                /* off the host's list, memory waits for the end of the moment */
  wg_tcp_handlers handlers;
  void *arg;
  /* sending: RFC 9293 section 3.3.1; `peak` is the highest `next` so far */
  uint64_t iss, una, next, peak;
  sim_buffer out; /* from `una` on, without SYN and FIN */
  bool fin_queued, fin_acked, draining;
  uint32_t peer_window;
  uint64_t order_us; /* segments of this direction arrive in order */
  wg_timer retransmit, linger;
  unsigned tries;
  uint64_t rto_us, rto_base_us, begun_us;
  /* receiving */
  uint64_t expected;
  sim_buffer in; /* what came while reading was paused */
  bool paused, peer_fin, ended;
  wg_timer resume, drain;
};

struct wg_tcp_listener {
  wg_list item;
  sim_host *host;
  warp_addr local;
  unsigned flags;
  bool closed;
  wg_tcp_accept_cb cb; /* NULL: it only keeps the port */
  void *arg;
};

int sim_tcp_connect(wg_env *env, const warp_addr *local, const warp_addr *to, unsigned flags,
                    const wg_tcp_handlers *handlers, void *arg, wg_tcp **out);
void sim_tcp_set_handlers(wg_tcp *tcp, const wg_tcp_handlers *handlers, void *arg);
int sim_tcp_send(wg_tcp *tcp, const void *data, size_t len);
size_t sim_tcp_queued(const wg_tcp *tcp);
int sim_tcp_shutdown(wg_tcp *tcp);
void sim_tcp_pause(wg_tcp *tcp, bool paused);
void sim_tcp_addrs(const wg_tcp *tcp, warp_addr *local, warp_addr *remote);
void sim_tcp_close(wg_tcp *tcp);
void sim_tcp_reset(wg_tcp *tcp);
int sim_tcp_listen(wg_env *env, const warp_addr *local, unsigned flags, wg_tcp_accept_cb cb,
                   void *arg, wg_tcp_listener **out);
void sim_tcp_listener_local(const wg_tcp_listener *listener, warp_addr *out);
void sim_tcp_listener_close(wg_tcp_listener *listener);

/* Between the handles (tcp.c) and the protocol (tcp_machine.c). */
wg_tcp *sim_tcp_new(sim_host *host, const warp_addr *local, const warp_addr *remote);
/* Off the host at once, buffers and events gone; memory follows. */
void sim_tcp_free(wg_tcp *tcp);
/* Sends SYN or SYN-ACK, as the state says, and repeats it. */
void sim_tcp_start(wg_tcp *tcp);
/* Sends what the window allows, and the FIN after the last byte. */
void sim_tcp_push(wg_tcp *tcp);
void sim_tcp_send_reset(wg_tcp *tcp);
/* Tells the peer how much room there is. */
void sim_tcp_send_ack(wg_tcp *tcp);
/* Hands up what waits in `in`, and then the end of the stream, while reading is not paused. */
void sim_tcp_deliver(wg_tcp *tcp);
void sim_tcp_input(sim_host *host, const sim_packet *packet);

/* ---- the rest of the table ------------------------------------------------------------------- */

int sim_netwatch_open(wg_env *env, wg_netwatch_cb cb, void *arg, wg_netwatch **out);
void sim_netwatch_close(wg_netwatch *watch);
void sim_netwatches_free(sim_host *host);
/* Tells those of a host that its addresses have changed. */
void sim_netwatches_tell(sim_host *host);

int sim_resolve(wg_env *env, const char *host, uint16_t port, int family, wg_resolve_cb cb,
                void *arg, wg_resolve **out);
void sim_resolve_cancel(wg_resolve *resolve);
void sim_resolves_free(sim_host *host);

int sim_portmap_open(wg_env *env, const warp_addr *local, warp_transport transport,
                     wg_portmap_cb cb, void *arg, wg_portmap **out);
void sim_portmap_close(wg_portmap *portmap);
void sim_portmaps_free(sim_host *host);
/* Has those of a network ask their router again, whose mind has changed. */
void sim_portmaps_ask(sim_host *host, const sim_network *network);

int sim_broker_open(wg_env *env, const wg_broker_options *options,
                    const wg_broker_handlers *handlers, void *arg, wg_broker **out);
int sim_broker_publish(wg_broker *broker, const char *topic, const void *data, size_t len);
void sim_broker_renew(wg_broker *broker);
void sim_broker_close(wg_broker *broker);
void sim_brokers_free(sim_host *host);

int sim_file_read(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                  size_t *len);
int sim_file_load(wg_env *env, const char *path, void *out, size_t cap, size_t *len);
int sim_file_write(wg_env *env, const char *dir, const char *name, const void *data, size_t len);
int sim_file_create(wg_env *env, const char *dir, const char *name, const void *data, size_t len);
int sim_modules_load(wg_env *env, const char *dir, const char *symbol, wg_module_cb cb, void *arg);
void sim_files_free(sim_host *host);

#endif
