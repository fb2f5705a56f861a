/* The node as the files of this room share it. Not for other rooms. */
#ifndef WG_NODE_INTERNAL_H
#define WG_NODE_INTERNAL_H

#include "base/addr.h"
#include "connect/connect.h"
#include "connect/plugin_set.h"
#include "nickname/names.h"
#include "node/clock.h"
#include "node/lifetime.h"
#include "node/measure.h"
#include "node/node.h"
#include "wire/networks.h"

enum {
  WG_NODE_UPLINKS = WG_RECORD_ENDPOINTS, /* interface addresses: what a record has room for */
  WG_NODE_OPENINGS = 2,                  /* TCP and UDP */
  WG_NODE_STUN_SERVERS = 4,              /* two are needed to tell a wrong one, more add nothing */
  WG_NODE_PORT_TURNS = 256,              /* listen ports tried: so many programs on one machine */
  WG_RECORD_LIFETIME_S = 86400,          /* a record is issued anew at half of this */
  WG_LIFETIME_DELAY_MS = 10000,          /* how long mappings live is of no hurry */
  WG_MAPPING_REFRESH_S =
      20, /* under the 30 s that common NATs keep UDP mappings (RFC 4787 REQ-5 asks for 120) */
  WG_PORTMAP_START_MS = 300, /* a start waits for routers that answer at once (NAT-PMP: RFC 6886
                                section 3.1 sends again after 250 ms), not for a search by UPnP */
};

typedef enum wg_node_state { WG_NODE_STARTING, WG_NODE_RUNNING, WG_NODE_CLOSING } wg_node_state;

/* A server's name under look-up. */
typedef struct wg_lookup {
  warp_node *node;
  wg_resolve *resolve;
  size_t index;
} wg_lookup;

/* A port that the local router is asked to open, of one transport. */
typedef struct wg_opening {
  struct wg_uplink *uplink;
  warp_transport transport;
  wg_portmap *portmap; /* NULL: not asked for */
  bool answered;
  int status;           /* of the last answer */
  warp_addr external;   /* what was granted; family 0: nothing */
  const char *protocol; /* by which; static storage */
} wg_opening;

/* What the node has of one interface address. Its place in the list is the endpoint's in the
 * record. */
typedef struct wg_uplink {
  warp_node *node;
  wg_interface interface;
  wg_mux mux; /* the shared UDP socket */
  wg_tcp_listener *listener;
  wg_measure *measure;  /* under way, or NULL */
  bool measure_awaited; /* the start waits for it */
  bool measured;        /* one of the transports, at least */
  bool recalled;        /* it is what an earlier start measured */
  int64_t measured_ms;  /* when, since 1970 UTC */
  wg_measured found;
  wg_lifetime *lifetime; /* being learned, or NULL */
  wg_mapping *udp_mapping, *tcp_mapping;
  bool udp_awaited, tcp_awaited; /* the start waits for the mapping */
  warp_addr external_udp, external_tcp;
  wg_opening openings[WG_NODE_OPENINGS];
} wg_uplink;

struct warp_node {
  wg_env *env;
  wg_clock clock;
  wg_timekeeper *timekeeper; /* NULL: the servers are not asked */
  warp_conf conf;            /* points into `strings` */
  wg_list strings;
  wg_settings settings;
  wg_plugin_set plugins;
  wg_node_state state;
  warp_node_on_start on_start;
  void *on_start_arg;
  void (*on_close)(void *arg);
  void *on_close_arg;

  size_t step;            /* of the start, in the table of start.c */
  unsigned steps_pending; /* of those that run together */
  uint64_t step_begun_us;
  wg_timer step_timer;
  wg_timer signal_timer; /* how long start waits for a broker */

  uint8_t machine[WG_MACHINE_ID_LEN];
  wg_identity *identity;
  wg_router *router;
  bool signal_waiting;
  bool signal_failed[WG_ROUTER_BROKERS]; /* brokers that failed while the start waits */
  char signal_detail[96];

  warp_addr stun_servers[WG_NODE_STUN_SERVERS];
  size_t stun_count;
  warp_relay relays[WG_RELAYS_MAX];
  wg_relay_name relay_names[WG_RELAYS_MAX];
  size_t relay_count;
  wg_lookup lookups[WG_NODE_STUN_SERVERS + WG_RELAYS_MAX];
  size_t lookup_count, lookups_pending;
  void (*lookups_done)(warp_node *node);
  bool stun_unresolved;

  wg_networks networks;               /* that earlier starts measured */
  wg_uplink uplinks[WG_NODE_UPLINKS]; /* the default interface first */
  size_t uplink_count;
  uint16_t port;
  unsigned mappings_pending;

  wg_connect *connect;
  wg_names *names;
  wg_record record;
  uint8_t record_bytes[WARP_RECORD_MAX];
  size_t record_len;
  bool record_stale;         /* something of it changed while the node starts */
  uint64_t record_issued_us; /* monotonic */
  wg_timer renew;
  uint64_t router_asked_us;
  bool router_awaited;   /* the start waits for the router, */
  wg_timer router_timer; /* so long */
  char nickname[WARP_NAME_MAX + WG_NAME_SUFFIX_LEN];
  bool nickname_pending, nickname_kept;
  warp_node_on_pipe on_pipe;
  warp_node_on_miss on_miss;
  void *listen_arg;
};

/* ---- configuration (conf.c) ------------------------------------------------------------------ */

/* Copies the configuration with all its strings into the node. WARP_NOMEM. */
int wg_node_copy_conf(warp_node *node, const warp_conf *conf);
void wg_node_free_conf(warp_node *node);

/* ---- start (start.c) ------------------------------------------------------------------------- */

void wg_node_begin_start(warp_node *node);
/* A start step ended: WARP_OK or what is missing, and a line for a person. */
void wg_node_step_done(warp_node *node, warp_start_phase phase, int status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The start cannot go on. */
void wg_node_start_failed(warp_node *node, int status);

/* ---- steps ----------------------------------------------------------------------------------- */

void wg_node_load_interfaces(warp_node *node); /* uplinks.c */
void wg_node_load_machine(warp_node *node);
void wg_node_load_key(warp_node *node);
void wg_node_init_clock(warp_node *node);        /* coordination.c */
void wg_node_init_punching(warp_node *node);     /* coordination.c */
void wg_node_start_maintenance(warp_node *node); /* coordination.c */
void wg_node_measure(warp_node *node);           /* stun.c */
void wg_node_setup_signal(warp_node *node);      /* signalling.c */
void wg_node_listen_on_ifs(warp_node *node);     /* listen.c */
/* The port that is tried first. */
uint16_t wg_node_first_port(const warp_node *node);     /* listen.c */
void wg_node_build_address(warp_node *node);            /* address.c */
void wg_node_setup_names(warp_node *node);              /* nicknames.c */
void wg_node_setup_plugins(warp_node *node);            /* plugins.c */
void wg_node_start_port_forwarding(warp_node *node);    /* portmap.c */
void wg_node_finalize_port_forwarding(warp_node *node); /* portmap.c */

/* Reads the settings that a person wrote; what is wrong is logged by `log`: WARP_INVALID. With a
 * plugin directory that waits for its plugins, because they have settings too. (plugins.c) */
int wg_node_read_settings(warp_node *node, const wg_log *log);

/* What the router opened and strangers really reach; NULL: nothing, or only up to another NAT. */
const warp_addr *wg_opening_address(const wg_opening *opening);
/* Has the router close everything. */
void wg_node_close_openings(warp_node *node);

/* The uplink that is asked first over a family; NULL: none. */
const wg_uplink *wg_node_uplink(const warp_node *node, int family);
/* How many of the configured brokers are used: the first sig_pipe_no, WG_ROUTER_BROKERS at most. */
size_t wg_node_broker_count(const warp_node *node);
/* Looks up STUN and TURN servers; `done` runs when all answered or were given up. */
void wg_node_resolve_servers(warp_node *node, void (*done)(warp_node *node));
/* The server to ask first; NULL: none of this family. */
const warp_addr *wg_node_stun_server(const warp_node *node, int family);
/* How often the shared socket's mapping is to be refreshed. */
unsigned wg_node_refresh_s(const wg_uplink *uplink);
/* Reads the file of known networks. */
void wg_node_load_networks(warp_node *node);
/* Takes over what was measured of the network that the first answers show, when it is not older
 * than a day and they do not contradict it. */
bool wg_node_recall(wg_uplink *uplink, const warp_addr *external, const wg_nat_probe *probe);
/* Writes down what was measured. */
void wg_node_remember(const wg_uplink *uplink);
void wg_node_cancel_lookups(warp_node *node);
/* Maps the listen port on UDP and TCP through the first STUN server of the family. */
void wg_node_start_mappings(warp_node *node);
/* Closes all that listen.c and stun.c opened. */
void wg_node_close_sockets(warp_node *node);
/* Issues the record anew: the next sequence number, today's addresses. WARP_TOO_BIG, ... */
int wg_node_issue_record(warp_node *node);
/* The record changed or grows old: issue it and register it again. During the start that waits for
 * its end. */
void wg_node_renew(warp_node *node);

#endif
