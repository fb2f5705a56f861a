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
  WG_NODE_PLACES = 2 * WG_NODE_UPLINKS,  /* those that come open before those that go close */
  WG_NODE_OPENINGS = 2,                  /* TCP and UDP */
  WG_NODE_STUN_SERVERS = 4,              /* two are needed to tell a wrong one, more add nothing */
  WG_NODE_PORT_TURNS = 256,              /* listen ports tried: so many programs on one machine */
  WG_RECORD_LIFETIME_S = 86400,          /* a record is issued anew at half of this */
  WG_RECORD_AGAIN_MS = 5000,    /* what could not be issued, out of memory, is tried again */
  WG_LIFETIME_DELAY_MS = 10000, /* how long mappings live is of no hurry */
  WG_MAPPING_REFRESH_S =
      20, /* under the 30 s that common NATs keep UDP mappings (RFC 4787 REQ-5 asks for 120) */
  /* After a change the interfaces are looked at so much later, because changes come in bursts (an
   * address, its routes, the other family): an interface that flaps costs two looks a second. */
  WG_CHANGE_SETTLE_MS = 500,
  /* An address that is gone and in whose place none has come is given up so much later: a cable
   * that is plugged in again, or the next radio cell, is back by then with its connections. */
  WG_CHANGE_LOST_MS = 3000,
  /* So long a connect that has nothing to try waits for where the node's listen port is seen from
   * outside over TCP, when the start ended without: three SYNs that were lost, each for longer. */
  WG_MAPPING_LATE_MS = 8000,
  WG_CHANGE_AGAIN_MS = 5000, /* after one that could not be done, for lack of memory or the like */
  /* Names of servers that were not found are looked up again after that, and each time twice as
   * late: up to a few look-ups an hour for a name that is written wrongly. */
  WG_LOOKUP_AGAIN_MS = 15000,
  WG_LOOKUP_AGAIN_MAX_MS = 900000,
  WG_PORTMAP_START_MS = 300, /* a start waits for routers that answer at once (NAT-PMP: RFC 6886
                                section 3.1 sends again after 250 ms), not for a search by UPnP */
};

typedef enum wg_node_state { WG_NODE_STARTING, WG_NODE_RUNNING, WG_NODE_CLOSING } wg_node_state;

/* What was left out, for the start event: the first one with its reason, the others by number. */
typedef struct wg_refusals {
  unsigned count;
  int status;
  char first[WG_PLUGIN_WHY_LEN];
} wg_refusals;

/* A server's name that is looked up until it is found. */
typedef struct wg_lookup {
  warp_node *node;
  wg_resolve *resolve; /* under way, or NULL */
  wg_server_name stun;
  const wg_relay_name *relay; /* NULL: it is a STUN server's */
  bool found;
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

/* What the node has of one interface address. Its number in the list is the endpoint's in the
 * record; where it lies in memory stays, because the mux is known by that. */
typedef struct wg_uplink {
  warp_node *node; /* NULL: a free place */
  wg_interface interface;
  wg_mux mux; /* the shared UDP socket */
  wg_tcp_listener *listener;
  wg_measure *measure;   /* under way, or NULL */
  bool measure_awaited;  /* the start waits for it, or the uplink is not in use before */
  warp_addr measured_at; /* where it was seen when that began; family 0: not by a mapping */
  bool measured;         /* one of the transports, at least */
  bool recalled;         /* it is what an earlier start measured */
  int64_t measured_ms;   /* when, since 1970 UTC */
  wg_measured found;
  wg_lifetime *lifetime; /* being learned, or NULL */
  wg_mapping *udp_mapping, *tcp_mapping;
  bool udp_awaited, tcp_awaited; /* likewise for the mapping */
  warp_addr external_udp, external_tcp;
  wg_opening openings[WG_NODE_OPENINGS];
} wg_uplink;

typedef struct wg_msg_cb {
  warp_pipe_on_msg cb; /* NULL: taken away */
  void *arg;
} wg_msg_cb;

struct warp_node {
  wg_env *env;
  wg_log log;   /* what is about this node; without a sink in the configuration the environment's */
  wg_log heard; /* what is about no node, for the same sink */
  wg_clock clock;
  wg_timekeeper *timekeeper; /* NULL: the servers are not asked */
  warp_conf conf;            /* points into `strings` */
  wg_list strings;
  wg_settings settings;
  wg_plugin_set plugins;
  wg_refusals refusals; /* of plugins */
  wg_node_state state;
  warp_node_on_start on_start;
  void *on_start_arg;
  void (*on_close)(void *arg);
  void *on_close_arg;

  size_t step;            /* of the start, in the table of start.c */
  unsigned steps_pending; /* of those that run together */
  bool in_row;            /* the steps are being begun: who ends meanwhile needs no timer */
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
  wg_timer lookup_timer; /* until those that were not found are looked up again */
  uint32_t lookup_again_ms;
  size_t servers_before; /* how many were known when that began */

  wg_networks networks; /* that earlier starts measured */
  wg_uplink places[WG_NODE_PLACES];
  wg_uplink *uplinks[WG_NODE_UPLINKS]; /* those in use, the default interface first */
  size_t uplink_count;
  wg_netwatch *netwatch; /* NULL: changes of the interfaces do not matter */
  wg_timer settle;       /* until they are looked at after a change */
  bool change_pending;   /* something changed, and was not looked at yet */
  uint64_t lost_us; /* since when an address is gone without another in its place; 0: none is */
  uint16_t port;
  unsigned mappings_pending;
  wg_timer late; /* how long a mapping that the start did not get is waited for */

  wg_connect *connect;
  wg_names *names;
  wg_record record;
  uint8_t record_bytes[WARP_RECORD_MAX];
  size_t record_len;
  bool record_stale;         /* something of it changed while the node starts */
  uint64_t record_issued_us; /* monotonic */
  wg_timer renew, tell;      /* tell: the program hears of a new record */
  uint64_t router_asked_us;
  bool router_awaited;   /* the start waits for the router, */
  wg_timer router_timer; /* so long */
  char nickname[WARP_NAME_MAX + WG_NAME_SUFFIX_LEN];
  bool nickname_pending, nickname_kept;
  const char *also_name; /* registered with the derived one; NULL: none is */
  warp_on_name also_cb;
  void *also_arg;
  uint64_t also_sequence; /* of the record it was registered with */
  warp_node_on_pipe on_pipe;
  warp_node_on_miss on_miss;
  void *listen_arg;
  wg_msg_cb msg_cbs[WARP_NODE_CALLBACKS_MAX];
  size_t msg_slots;
  unsigned telling; /* calls of message callbacks on the stack */
  wg_list kept;     /* pipes of the node's own */
  size_t kept_count;
  wg_list awaited; /* pipes by their id (awaited.c) */
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
/* Opens the listen port, and has the router asked to open it too: what that answers is then known
 * when the address is built, and nobody has waited for it. (listen.c) */
void wg_node_take_port(warp_node *node);
void wg_node_listen_on_ifs(warp_node *node); /* listen.c */
/* The port that is tried first. */
uint16_t wg_node_first_port(const warp_node *node);     /* listen.c */
void wg_node_build_address(warp_node *node);            /* address.c */
void wg_node_setup_names(warp_node *node);              /* nicknames.c */
void wg_node_setup_plugins(warp_node *node);            /* plugins.c */
void wg_node_start_port_forwarding(warp_node *node);    /* portmap.c */
void wg_node_finalize_port_forwarding(warp_node *node); /* portmap.c */

/* ---- uplinks (uplinks.c) --------------------------------------------------------------------- */

/* Fills in which interface addresses to use now, the best first, and returns how many; an address
 * in use is kept while there is no better one. Negative: what the environment says. */
int wg_node_choose(const warp_node *node, wg_interface out[WG_NODE_UPLINKS]);
/* A place for what the node has of an address, which is not in the list of those in use yet. */
wg_uplink *wg_uplink_new(warp_node *node, const wg_interface *interface);
/* Closes all that stands on it and frees its place. */
void wg_uplink_close(wg_uplink *uplink);
/* Are both the same address? Whichever interface has it: sockets are bound to the address, and stay
 * when it moves to a bridge, or from a cable to Wi-Fi in a network that numbers alike. */
bool wg_interface_same(const wg_interface *a, const wg_interface *b);

/* ---- changes of the interfaces (change.c) ---------------------------------------------------- */

/* Watches them from now on. */
void wg_node_watch(warp_node *node);
void wg_node_unwatch(warp_node *node);
/* Of an uplink that is not in use yet: one of the things that are awaited of it is known now. */
void wg_node_arrived(warp_node *node, const wg_uplink *uplink);
/* The start is over: what has changed meanwhile is looked at. */
void wg_node_watch_started(warp_node *node);

/* ---- what steps share ------------------------------------------------------------------------ */

/* The built-in plugins, those of the plugin directory, and the settings that a person wrote for
 * them; what is wrong with these is logged: WARP_INVALID. (plugins.c) */
int wg_node_load_plugins(warp_node *node);
/* The same where there is a directory, which may have much to say, before the first step: a start
 * that these settings end has then told nobody of itself. (plugins.c) */
void wg_node_check_plugins(warp_node *node);

/* What the router opened and strangers really reach; NULL: nothing, or only up to another NAT. */
const warp_addr *wg_opening_address(const wg_opening *opening);
/* Asks the router of an uplink behind a NAT to open the listen port, unless it was asked. False
 * when there is nothing to ask for. */
bool wg_uplink_ask_router(wg_uplink *uplink);
/* Has the router close it again. */
void wg_uplink_close_openings(wg_uplink *uplink);

/* The uplink that is asked first over a family; NULL: none. */
const wg_uplink *wg_node_uplink(const warp_node *node, int family);
/* How many of the configured brokers are used: the first sig_pipe_no, WG_ROUTER_BROKERS at most. */
size_t wg_node_broker_count(const warp_node *node);
/* Looks up STUN and TURN servers; `done` runs when all answered or were given up. (servers.c) */
void wg_node_resolve_servers(warp_node *node, void (*done)(warp_node *node));
/* Those that were not found are looked up again, with growing pauses from now on. */
void wg_node_keep_looking_up(warp_node *node);
/* The network has changed: now, and the pauses begin anew. */
void wg_node_look_up_again(warp_node *node);
/* There are more of them: uplinks that had nobody to ask look around. (change.c) */
void wg_node_servers_came(warp_node *node);
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
/* Binds the shared socket and the listener to the node's port. What the environment says. */
int wg_uplink_listen(wg_uplink *uplink);
/* Maps the listen port on UDP and TCP through the first STUN server of the family. */
void wg_uplink_start_mappings(wg_uplink *uplink);
/* The switchboard is there: connects wait for a mapping that the start did not get in time. */
void wg_node_expect_mappings(warp_node *node);
/* Measures its NAT; false when there is no server to ask. */
bool wg_uplink_measure(wg_uplink *uplink);
/* Issues the record anew: the next sequence number, today's addresses. WARP_TOO_BIG, ... */
int wg_node_issue_record(warp_node *node);
/* The record changed or grows old: issue it and register it again. During the start that waits for
 * its end. */
void wg_node_renew(warp_node *node);
/* It could not be issued: tried again soon. */
void wg_node_renew_later(warp_node *node);

/* ---- pipes of peers -------------------------------------------------------------------------- */

/* The switchboard is there: has it hand pipes to the node. (incoming.c) */
void wg_node_take_incoming(warp_node *node);
/* The pipe is the node's own no longer, if it was. (incoming.c) */
void wg_node_give_up_pipe(warp_node *node, warp_pipe *pipe);
/* Does somebody await the pipe with this id, and `*of_peer`, from this peer? (awaited.c) */
bool wg_awaited_is(const warp_node *node, const warp_pipe_id *id, const warp_key *peer,
                   bool *of_peer);
/* Gives an incoming pipe to who awaits it; false when nobody does. (awaited.c) */
bool wg_awaited_take(warp_node *node, warp_pipe *pipe, const warp_pipe_info *info);
/* The node closes: nobody awaits anything any more, and what waited is closed. (awaited.c) */
void wg_awaited_cancel(warp_node *node);

#endif
