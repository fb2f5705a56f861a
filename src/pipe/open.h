/* Pipes that a program opens by hand: plain ones, or with TLS, over sockets of the environment. */
#ifndef WG_PIPE_OPEN_H
#define WG_PIPE_OPEN_H

#include "base/addr.h"
#include "pipe/pipe_internal.h"
#include "pipe/repeats.h"
#include "pipe/tls.h"

enum {
  WG_PEM_FILE_MAX = 1 << 20,         /* the system's whole bundle has a fifth of that */
  WG_OPEN_TIMEOUT_MAX_MS = 86400000, /* a day: more is a mistake */
};

/* What such a pipe has besides. It is the pipe's carrier. */
typedef struct wg_opened {
  warp_pipe *pipe;
  warp_net_conf conf;  /* its files are not kept */
  unsigned flags;      /* of sockets */
  wg_server_name name; /* host empty without one */
  int family;
  bool has_dest, has_route, server;
  bool given; /* the socket is the program's */
  warp_addr dest, local;
  warp_pipe_on_open cb; /* NULL once told */
  void *arg;
  warp_pipe_on_up on_up;
  void *up_arg;

  warp_addr addrs[WG_RESOLVE_MAX]; /* of the name: those that are still to be tried */
  size_t addr_count;

  wg_timer timer; /* the next step, or its deadline */
  uint64_t begun_us;
  wg_resolve *resolve;
  wg_udp *udp;
  wg_tcp *tcp;
  wg_tcp_listener *listener;
  wg_tls *tls; /* NULL: plain */
  bool tls_up;
  wg_repeats repeats;

  warp_pipe *of_server;  /* of a client of a TCP server */
  wg_list of_clients;    /* item in its server's `clients` or `shaking` */
  wg_list clients;       /* of a TCP server: those that the program knows */
  wg_list shaking;       /* those with whom TLS is not up yet, the oldest first */
  unsigned client_count; /* of both */
  unsigned shaking_count;
  wg_tls_context *of_all; /* of a TLS server: its certificate and key */
} wg_opened;

extern const wg_pipe_kind_ops wg_plain_stream_ops, wg_plain_messages_ops, wg_server_ops;
extern const wg_carrier_ops wg_opened_carrier;
/* Handlers of the TCP connection of a plain stream; their argument is the wg_opened. */
extern const wg_tcp_handlers wg_plain_tcp_handlers;

/* warp_pipe_open over any environment, which must outlive the pipe. */
int wg_pipe_open_by_hand(wg_env *env, const warp_pipe_options *options, warp_pipe_on_open cb,
                         void *arg, warp_pipe **out);

/* ---- open.c ---------------------------------------------------------------------------------- */

/* A pipe with what it needs, nothing opened yet. WARP_NOMEM. */
int wg_opened_new(wg_env *env, const warp_net_conf *conf, warp_pipe_kind kind,
                  const wg_pipe_kind_ops *of_kind, warp_pipe **out);
void wg_opened_free(wg_opened *opened); /* NULL is allowed */
/* Closed while it was opening: the callback gets WARP_CANCELED. */
void wg_opened_cancel(warp_pipe *pipe);
/* It is usable: the application is told, and may close it. */
void wg_opened_ready(wg_opened *opened);
/* No connection: goes on with the name's next address, or fails. */
void wg_opened_next(wg_opened *opened, int status, const char *detail);
/* A step failed; the application hears of it soon. */
void wg_opened_fail(wg_opened *opened, int status, const char *detail);

/* ---- plain_stream.c, plain_messages.c, server.c ---------------------------------------------- */

/* The connection is there: begins with TLS, or is ready. */
void wg_plain_connected(wg_opened *opened);
/* TLS for its connection: as a client with its destination, or as the server that the context is
 * for. WARP_NOMEM, WARP_INVALID (no name, or a bad one). */
int wg_plain_tls_new(wg_opened *opened, wg_tls_context *context);
void wg_plain_datagram(void *opened, const uint8_t *data, size_t len, const warp_addr *from);
void wg_server_accept(void *opened, wg_tcp *tcp, const warp_addr *from);
/* A client of a server is open: the program is told, and may close either. */
void wg_server_up(wg_opened *client);
void wg_server_close_clients(wg_opened *opened);
/* Takes a client's pipe out of its server's list. */
void wg_server_forget(wg_opened *client);

/* The TCP server of a client's pipe, or NULL; the clients of a pipe, if it is one. */
warp_pipe *wg_server_of(const warp_pipe *pipe);
warp_pipe *wg_first_client(const warp_pipe *server);
warp_pipe *wg_next_client(const warp_pipe *server, const warp_pipe *client);
bool wg_is_server(const warp_pipe *pipe);     /* of TCP */
bool wg_takes_anybody(const warp_pipe *pipe); /* a UDP server */

#endif
