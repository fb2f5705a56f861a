#include "node/measure_tcp.h"

#include "base/addr.h"
#include "machine/nat_infer.h"
#include "nat/names.h"
#include <stdlib.h>
#include <string.h>

enum {
  BUFFER_LEN = 512, /* two answers of about 100 bytes */
  /* How long after its answer a server's dialling back still counts as under way: that takes one
   * round trip. */
  SILENCE_MIN_MS = 60,
  SILENCE_ROUND_TRIPS = 2,
  PORT_MIN = 1024,
  PORTS_SEEN_MIN = 3, /* all within a sixteenth by chance: once in 256 times */
  ERROR_SERVER = 500, /* RFC 8489 section 14.8: it tried to dial back, and could not */
};

typedef enum tcp_role {
  ROLE_MAPPING, /* asks for the mapping */
  ROLE_CHANGE,  /* and to be dialled from another address */
  ROLE_HAIRPIN, /* dials another of our ports, by its external address */
  ROLE_BACK,    /* came in on a listener */
} tcp_role;

typedef struct connection {
  wg_tcp_probe *probe;
  wg_tcp *tcp; /* NULL: free */
  tcp_role role;
  unsigned port;
  warp_addr remote;
  int plain, change; /* numbers of tests; -1: none */
  uint64_t dialled_us;
  size_t len;
  uint8_t buffer[BUFFER_LEN];
} connection;

typedef struct local_port {
  wg_tcp_probe *probe;
  wg_tcp_listener *listener;
  warp_addr addr;
} local_port;

struct wg_tcp_probe {
  wg_env *env;
  wg_tcp_probe_cb cb;
  void *arg;
  warp_addr local;
  uint16_t avoid_port;
  warp_addr servers[WG_TCP_PROBE_SERVERS], others[WG_TCP_PROBE_SERVERS];
  size_t server_count;
  unsigned asked; /* servers that were asked to dial back */
  uint64_t started_us, rtt_us;
  uint64_t
      answered_us; /* the latest answer of a server that is to dial back; 0: no answer at all */
  bool told, hairpin;
  uint64_t due_us, rest_us; /* the timer's end; nothing is concluded before `rest_us` */
  unsigned rests;
  warp_nat_axes axes; /* as told last */
  wg_timer timer;
  size_t count;
  wg_probe_test tests[WG_TCP_PROBE_TESTS];
  local_port ports[WG_TCP_PROBE_PORTS];
  connection connections[WG_TCP_PROBE_CONNECTIONS];
};

/* ---- tests ----------------------------------------------------------------------------------- */

/* The number of a new test, or -1. */
static int add_test(wg_tcp_probe *probe, wg_probe_socket socket, wg_probe_kind kind, unsigned port,
                    const warp_addr *to, unsigned owner) {
  if (probe->count == WG_TCP_PROBE_TESTS)
    return -1;
  wg_probe_test *test = &probe->tests[probe->count];
  *test = (wg_probe_test){.socket = socket,
                          .kind = kind,
                          .local = probe->ports[port].addr,
                          .server = *to,
                          .owner = owner,
                          .sent = 1};
  if (probe->env->ops->random(probe->env, test->txid.bytes, WG_STUN_TXID_LEN) != WARP_OK)
    return -1;
  return (int)probe->count++;
}

static void decide(wg_tcp_probe *probe, int number, wg_probe_outcome outcome) {
  if (number >= 0 && probe->tests[number].outcome == WG_PROBE_RUNNING)
    probe->tests[number].outcome = outcome;
}

static bool is_running(const wg_tcp_probe *probe) {
  for (size_t i = 0; i < probe->count; i++) {
    if (probe->tests[i].outcome == WG_PROBE_RUNNING)
      return true;
  }
  return false;
}

/* What is known by now. What is overdue counts as silent, with less weight, because a SYN that was
 * lost may still be sent again. */
static warp_nat_axes conclude(const wg_tcp_probe *probe) {
  wg_probe_test tests[WG_TCP_PROBE_TESTS];
  bool overdue = false;
  memcpy(tests, probe->tests, probe->count * sizeof tests[0]);
  for (size_t i = 0; i < probe->count; i++) {
    if (tests[i].outcome == WG_PROBE_RUNNING && tests[i].kind != WG_PROBE_PLAIN) {
      tests[i].outcome = WG_PROBE_SILENT;
      overdue = true;
    }
  }
  for (size_t i = 0; i < probe->count && overdue; i++)
    tests[i].sent++;
  warp_nat_axes axes = wg_nat_infer(tests, probe->count);
  /* A SYN is answered by the port that it came to, or there is no connection. */
  if (axes.mapping != WARP_NAT_UNKNOWN)
    axes.reuse = WARP_ABILITY_YES;
  return axes;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void drop(connection *closing) {
  wg_tcp *tcp = closing->tcp;
  closing->tcp = NULL;
  if (tcp != NULL)
    closing->probe->env->ops->tcp_reset(tcp);
}

static void on_timer(void *arg);

/* How long what a server dials may take after its answer. */
static uint64_t silence_us(const wg_tcp_probe *probe) {
  uint64_t silence = SILENCE_ROUND_TRIPS * probe->rtt_us;
  return silence < SILENCE_MIN_MS * 1000 ? SILENCE_MIN_MS * 1000 : silence;
}

/* Sets the time of the next look: when answers that are due are overdue, then the end. */
static void plan(wg_tcp_probe *probe) {
  uint64_t now = wg_now_us(probe->env);
  uint64_t at = probe->started_us + WG_TCP_PROBE_LAST_MS * UINT64_C(1000);
  if (!is_running(probe)) {
    at = now;
  } else if (probe->answered_us != 0 && !probe->told) {
    at = probe->answered_us + silence_us(probe);
  }
  if (is_running(probe) && at < probe->rest_us)
    at = probe->rest_us;
  probe->due_us = at > now ? at : now;
  wg_timer_start(probe->env, &probe->timer, probe->due_us - now, on_timer, probe);
}

/* A look that comes late proves nothing: what was dialled meanwhile waits to be taken. */
static bool rests(wg_tcp_probe *probe, uint64_t now_us) {
  if (!is_running(probe) || now_us - probe->due_us <= WG_PROBE_LATE_MS * UINT64_C(1000) ||
      probe->rests == WG_PROBE_RESTS)
    return false;
  probe->rests++;
  probe->rest_us = now_us + silence_us(probe);
  return true;
}

static void on_timer(void *arg) {
  wg_tcp_probe *probe = arg;
  uint64_t now = wg_now_us(probe->env);
  uint64_t end = probe->started_us + WG_TCP_PROBE_LAST_MS * UINT64_C(1000);
  if (rests(probe, now)) {
    plan(probe);
    return;
  }
  bool last = !is_running(probe) || now >= end;
  warp_nat_axes axes = conclude(probe);
  bool changed = !wg_axes_equal(&axes, &probe->axes);
  bool first = !probe->told;
  probe->told = true;
  probe->axes = axes;
  if (!last)
    plan(probe);
  if (first || changed || last)
    probe->cb(probe->arg, &axes, last);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void answered_plain(wg_tcp_probe *probe, connection *from, const wg_stun_message *message);
static void ask_server(wg_tcp_probe *probe, unsigned server);

static void send_request(connection *to, int number) {
  uint8_t bytes[64];
  if (number < 0)
    return;
  const wg_probe_test *test = &to->probe->tests[number];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &test->txid);
  if (test->kind != WG_PROBE_PLAIN)
    wg_stun_attr_u32(&writer, WG_STUN_CHANGE_REQUEST,
                     test->kind == WG_PROBE_CHANGE_PORT ? WG_STUN_CHANGE_PORT
                                                        : WG_STUN_CHANGE_PORT | WG_STUN_CHANGE_IP);
  int len = wg_stun_end(&writer);
  if (to->probe->env->ops->tcp_send(to->tcp, bytes, (size_t)len) != WARP_OK)
    decide(to->probe, number, WG_PROBE_REFUSED);
}

/* A connection that will not give what it was for. */
static void fail(connection *failed) {
  wg_tcp_probe *probe = failed->probe;
  decide(probe, failed->plain, WG_PROBE_SILENT);
  /* Whether the other address gets through is not known by a server that went away. */
  decide(probe, failed->change, failed->role == ROLE_HAIRPIN ? WG_PROBE_SILENT : WG_PROBE_REFUSED);
  drop(failed);
  plan(probe);
}

static void on_open(void *arg, int status) {
  connection *live = arg;
  wg_tcp_probe *probe = live->probe;
  if (status != WARP_OK) {
    fail(live);
    return;
  }
  uint64_t rtt_us = wg_now_us(probe->env) - live->dialled_us;
  if (live->role == ROLE_HAIRPIN) {
    decide(probe, live->change, WG_PROBE_ANSWERED);
    drop(live);
    plan(probe);
    return;
  }
  probe->rtt_us = rtt_us > probe->rtt_us ? rtt_us : probe->rtt_us;
  send_request(live, live->plain);
  send_request(live, live->change);
}

/* The server dialled us, from where is told by the connection. */
static void answered_back(connection *live, const wg_stun_message *message) {
  wg_tcp_probe *probe = live->probe;
  const warp_addr *local = &probe->ports[live->port].addr;
  for (size_t i = 0; i < probe->count; i++) {
    wg_probe_test *test = &probe->tests[i];
    if (test->kind != WG_PROBE_CHANGE_PORT && test->kind != WG_PROBE_CHANGE_BOTH)
      continue;
    if (wg_addr_equal(&test->local, local) && test->outcome == WG_PROBE_RUNNING &&
        wg_bytes_equal_ct(test->txid.bytes, message->txid.bytes, WG_STUN_TXID_LEN)) {
      test->from = live->remote;
      test->outcome = WG_PROBE_ANSWERED;
    }
  }
}

static void answered_change(connection *live, const wg_stun_message *message) {
  wg_tcp_probe *probe = live->probe;
  unsigned code = 0;
  char reason[8];
  bool tried = message->class == WG_STUN_ERROR &&
               wg_stun_find_error(message, &code, reason, sizeof reason) && code == ERROR_SERVER;
  decide(probe, live->change, tried ? WG_PROBE_SILENT : WG_PROBE_REFUSED);
  if (!tried)
    ask_server(probe, probe->tests[live->change].owner + 1);
}

static void take(connection *live, const wg_stun_message *message) {
  wg_tcp_probe *probe = live->probe;
  const uint8_t *txid = message->txid.bytes;
  if (message->method != WG_STUN_BINDING ||
      (message->class != WG_STUN_SUCCESS && message->class != WG_STUN_ERROR))
    return;
  if (live->role == ROLE_BACK)
    answered_back(live, message);
  else if (live->plain >= 0 &&
           wg_bytes_equal_ct(probe->tests[live->plain].txid.bytes, txid, WG_STUN_TXID_LEN))
    answered_plain(probe, live, message);
  else if (live->change >= 0 &&
           wg_bytes_equal_ct(probe->tests[live->change].txid.bytes, txid, WG_STUN_TXID_LEN))
    answered_change(live, message);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  connection *live = arg;
  size_t message_len;
  if (len > BUFFER_LEN - live->len) {
    fail(live);
    return;
  }
  memcpy(live->buffer + live->len, data, len);
  live->len += len;
  int status;
  while ((status = wg_stun_frame_next(live->buffer, live->len, &message_len)) == WARP_OK) {
    wg_stun_message message;
    if (wg_stun_decode(live->buffer, message_len, &message) == WARP_OK)
      take(live, &message);
    live->len -= message_len;
    memmove(live->buffer, live->buffer + message_len, live->len);
  }
  if (status != WARP_AGAIN)
    fail(live);
  else
    plan(live->probe);
}

static void on_end(void *arg, int status) {
  (void)status;
  fail(arg);
}

static const wg_tcp_handlers handlers = {.on_open = on_open, .on_data = on_data, .on_end = on_end};

static connection *new_connection(wg_tcp_probe *probe, tcp_role role, unsigned port,
                                  const warp_addr *remote) {
  for (size_t i = 0; i < WG_TCP_PROBE_CONNECTIONS; i++) {
    connection *fresh = &probe->connections[i];
    if (fresh->tcp == NULL) {
      *fresh = (connection){.probe = probe,
                            .role = role,
                            .port = port,
                            .remote = *remote,
                            .plain = -1,
                            .change = -1,
                            .dialled_us = wg_now_us(probe->env)};
      return fresh;
    }
  }
  return NULL;
}

static void dial(wg_tcp_probe *probe, tcp_role role, unsigned port, const warp_addr *to, int plain,
                 int change) {
  const wg_env_ops *ops = probe->env->ops;
  connection *fresh = new_connection(probe, role, port, to);
  if (fresh != NULL) {
    fresh->plain = plain;
    fresh->change = change;
    if (ops->tcp_connect(probe->env, &probe->ports[port].addr, to, WG_SOCK_REUSE, &handlers, fresh,
                         &fresh->tcp) == WARP_OK)
      return;
    fresh->tcp = NULL;
  }
  decide(probe, plain, WG_PROBE_SILENT);
  decide(probe, change, WG_PROBE_REFUSED);
}

/* ---- what is asked --------------------------------------------------------------------------- */

static void ask_mapping(wg_tcp_probe *probe, const warp_addr *to, unsigned owner) {
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *test = &probe->tests[i];
    if (test->socket == WG_PROBE_MAPPING && wg_addr_equal(&test->server, to))
      return;
  }
  int plain = add_test(probe, WG_PROBE_MAPPING, WG_PROBE_PLAIN, 0, to, owner);
  dial(probe, ROLE_MAPPING, 0, to, plain, -1);
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  local_port *port = arg;
  wg_tcp_probe *probe = port->probe;
  for (size_t i = 0; i < probe->count; i++) {
    wg_probe_test *test = &probe->tests[i];
    if (test->kind == WG_PROBE_HAIRPIN && wg_addr_same_ip(from, &test->server) &&
        !wg_addr_equal(&test->local, &port->addr))
      decide(probe, (int)i, WG_PROBE_ANSWERED);
  }
  connection *fresh = new_connection(probe, ROLE_BACK, (unsigned)(port - probe->ports), from);
  if (fresh == NULL) {
    probe->env->ops->tcp_reset(tcp);
    return;
  }
  fresh->tcp = tcp;
  probe->env->ops->tcp_set_handlers(tcp, &handlers, fresh);
}

static int listen_at(wg_tcp_probe *probe, local_port *port) {
  const wg_env_ops *ops = probe->env->ops;
  int status =
      ops->tcp_listen(probe->env, &probe->local, WG_SOCK_REUSE, on_accept, port, &port->listener);
  if (status == WARP_OK)
    ops->tcp_listener_local(port->listener, &port->addr);
  else
    port->listener = NULL;
  return status;
}

/* A number of our own that is bound already: connections leave from it and come in at it. Not the
 * one at which the node is going to listen: as ports are shared, both would have it, and neither
 * all of its connections. */
static int open_port(wg_tcp_probe *probe, unsigned number) {
  local_port *port = &probe->ports[number];
  port->probe = probe;
  int status = listen_at(probe, port);
  if (status != WARP_OK || port->addr.port != probe->avoid_port)
    return status;
  wg_tcp_listener *taken = port->listener;
  status = listen_at(probe, port); /* another one, as long as the first is open */
  probe->env->ops->tcp_listener_close(taken);
  return status;
}

static void set_expected(const wg_tcp_probe *probe, wg_probe_test *test) {
  const warp_addr *other = &probe->others[test->owner];
  if (other->family != 0 && test->from.family == 0)
    test->from =
        test->kind == WG_PROBE_CHANGE_PORT ? wg_addr_with_port(&test->server, other->port) : *other;
}

/* Has a server dial us back, when it has not been asked yet. */
static void ask_server(wg_tcp_probe *probe, unsigned server) {
  if (server >= probe->server_count || server < probe->asked)
    return;
  probe->asked = server + 1;
  const warp_addr *to = &probe->servers[server];
  for (unsigned i = 0; i < WG_TCP_PROBE_DIALS_BACK; i++) {
    unsigned port = 1 + server * WG_TCP_PROBE_DIALS_BACK + i;
    if (open_port(probe, port) != WARP_OK)
      continue;
    int plain = add_test(probe, WG_PROBE_FILTERING, WG_PROBE_PLAIN, port, to, server);
    int change =
        add_test(probe, WG_PROBE_FILTERING,
                 i % 2 == 0 ? WG_PROBE_CHANGE_BOTH : WG_PROBE_CHANGE_PORT, port, to, server);
    if (change >= 0)
      set_expected(probe, &probe->tests[change]);
    dial(probe, ROLE_CHANGE, port, to, plain, change);
  }
}

void wg_tcp_probe_other(wg_tcp_probe *probe, unsigned server, const warp_addr *other) {
  if (server >= probe->server_count || probe->others[server].family != 0)
    return;
  const warp_addr *at = &probe->servers[server];
  if (!wg_nat_probe_may_ask(at, other))
    return;
  probe->others[server] = *other;
  warp_addr same_ip = wg_addr_with_port(at, other->port);
  warp_addr same_port = wg_addr_with_port(other, at->port);
  for (size_t i = 0; i < probe->count; i++) {
    wg_probe_test *test = &probe->tests[i];
    if (test->owner == server && test->kind != WG_PROBE_PLAIN && test->kind != WG_PROBE_HAIRPIN)
      set_expected(probe, test);
  }
  ask_mapping(probe, &same_port, server);
  ask_mapping(probe, other, server);
  ask_mapping(probe, &same_ip, server);
  plan(probe);
}

/* Both of two ports at once, because a NAT that filters wants to have seen a SYN of each. */
static void ask_hairpin(wg_tcp_probe *probe) {
  const wg_probe_test *ends[2] = {NULL, NULL};
  size_t found = 0;
  for (size_t i = 0; i < probe->count && found < 2; i++) {
    const wg_probe_test *test = &probe->tests[i];
    if (test->socket == WG_PROBE_FILTERING && test->kind == WG_PROBE_PLAIN &&
        test->outcome == WG_PROBE_ANSWERED && !wg_addr_equal(&test->mapped, &test->local) &&
        test->mapped.port >= PORT_MIN &&
        wg_addr_get_scope(&test->mapped) == wg_addr_get_scope(&test->server))
      ends[found++] = test;
  }
  if (probe->hairpin || found < 2 || !wg_addr_same_ip(&ends[0]->mapped, &ends[1]->mapped))
    return;
  probe->hairpin = true;
  for (size_t i = 0; i < 2; i++) {
    unsigned port = 0;
    while (!wg_addr_equal(&probe->ports[port].addr, &ends[i]->local))
      port++;
    warp_addr to = ends[1 - i]->mapped;
    int test = add_test(probe, WG_PROBE_HAIRPIN_A, WG_PROBE_HAIRPIN, port, &to, ends[i]->owner);
    dial(probe, ROLE_HAIRPIN, port, &to, -1, test);
  }
}

static void answered_plain(wg_tcp_probe *probe, connection *from, const wg_stun_message *message) {
  wg_probe_test *test = &probe->tests[from->plain];
  warp_addr other;
  if (test->outcome != WG_PROBE_RUNNING)
    return;
  if (message->class == WG_STUN_ERROR || wg_stun_unknown(message, NULL, 0) > 0 ||
      !wg_stun_find_mapped(message, &test->mapped) || test->mapped.family != test->server.family) {
    test->outcome = WG_PROBE_REFUSED;
    return;
  }
  test->outcome = WG_PROBE_ANSWERED;
  test->from = test->server;
  if (from->role == ROLE_CHANGE || probe->answered_us == 0)
    probe->answered_us = wg_now_us(probe->env);
  if (from->role == ROLE_CHANGE) {
    if (wg_stun_find_addr(message, WG_STUN_OTHER_ADDRESS, &other))
      wg_tcp_probe_other(probe, test->owner, &other);
    ask_hairpin(probe);
  }
}

/* ---- beginning and end ----------------------------------------------------------------------- */

bool wg_tcp_probe_heard(const wg_tcp_probe *probe) {
  return probe->answered_us != 0;
}

bool wg_tcp_probe_ports(const wg_tcp_probe *probe, uint16_t *low, uint16_t *high) {
  unsigned seen = 0;
  *low = UINT16_MAX;
  *high = 0;
  for (size_t i = 0; i < probe->count; i++) {
    const wg_probe_test *test = &probe->tests[i];
    if (test->kind != WG_PROBE_PLAIN || test->outcome != WG_PROBE_ANSWERED)
      continue;
    seen++;
    *low = test->mapped.port < *low ? test->mapped.port : *low;
    *high = test->mapped.port > *high ? test->mapped.port : *high;
  }
  return seen >= PORTS_SEEN_MIN;
}

void wg_tcp_probe_free(wg_tcp_probe *probe) {
  wg_timer_stop(probe->env, &probe->timer);
  for (size_t i = 0; i < WG_TCP_PROBE_CONNECTIONS; i++)
    drop(&probe->connections[i]);
  for (size_t i = 0; i < WG_TCP_PROBE_PORTS; i++) {
    if (probe->ports[i].listener != NULL)
      probe->env->ops->tcp_listener_close(probe->ports[i].listener);
  }
  free(probe);
}

int wg_tcp_probe_start(wg_env *env, const warp_addr *local, uint16_t avoid_port,
                       const warp_addr *servers, size_t count, wg_tcp_probe_cb cb, void *arg,
                       wg_tcp_probe **out) {
  wg_tcp_probe *probe = calloc(1, sizeof *probe);
  if (probe == NULL)
    return WARP_NOMEM;
  probe->env = env;
  probe->cb = cb;
  probe->arg = arg;
  probe->local = wg_addr_with_port(local, 0);
  probe->avoid_port = avoid_port;
  probe->started_us = wg_now_us(env);
  probe->server_count = count < WG_TCP_PROBE_SERVERS ? count : WG_TCP_PROBE_SERVERS;
  memcpy(probe->servers, servers, probe->server_count * sizeof servers[0]);
  int status = open_port(probe, 0);
  if (status != WARP_OK) {
    wg_tcp_probe_free(probe);
    return status;
  }
  for (unsigned i = 0; i < probe->server_count; i++)
    ask_mapping(probe, &servers[i], i);
  ask_server(probe, 0);
  plan(probe);
  *out = probe;
  return WARP_OK;
}
