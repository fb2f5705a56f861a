/* How a pipe is opened by hand: name, socket, connection, perhaps TLS, each with its time. */
#include "pipe/open.h"
#include "base/addr.h"
#include "env/loop.h"
#include "pipe/interfaces.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------ */

static void on_failed(void *arg, warp_pipe *pipe, int status, const char *detail) {
  (void)detail;
  wg_opened *opened = arg;
  warp_pipe_on_open cb = opened->cb;
  void *cb_arg = opened->arg;
  opened->cb = NULL;
  pipe->let_go = true;
  wg_inbox_let_go(pipe, status);
  wg_pipe_finish(pipe);
  if (cb != NULL) { /* none for a server's client */
    cb(cb_arg, NULL, status);
  }
}

int wg_opened_new(wg_env *env, const warp_net_conf *conf, warp_pipe_kind kind,
                  const wg_pipe_kind_ops *of_kind, warp_pipe **out) {
  warp_pipe *pipe = calloc(1, sizeof *pipe);
  wg_opened *opened = calloc(1, sizeof *opened);
  if (pipe == NULL || opened == NULL) {
    free(pipe);
    free(opened);
    return WARP_NOMEM;
  }
  wg_pipe_init(pipe, env, kind, of_kind);
  pipe->callbacks.on_failed = on_failed;
  pipe->arg = opened;
  pipe->ops = &wg_opened_carrier;
  pipe->carrier = pipe->opened = opened;
  pipe->linger_ms = conf->linger_ms > 0 ? (uint32_t)conf->linger_ms : WG_PIPE_LINGER_MS;
  opened->pipe = pipe;
  opened->conf = *conf;
  opened->conf.ca_file = opened->conf.cert_file = opened->conf.key_file = NULL;
  opened->begun_us = wg_now_us(env);
  wg_list_init(&opened->clients);
  wg_list_init(&opened->shaking);
  wg_list_init(&opened->of_clients);
  if (conf->enable_msg_ids && kind == WARP_MESSAGES &&
      !wg_repeats_init(&opened->repeats, conf->max_msg_ids)) {
    free(opened);
    free(pipe);
    return WARP_NOMEM;
  }
  *out = pipe;
  return WARP_OK;
}

void wg_opened_free(wg_opened *opened) {
  if (opened != NULL) {
    wg_server_forget(opened);
    wg_tls_free(opened->tls);
    wg_tls_context_free(opened->of_all);
    wg_repeats_free(&opened->repeats);
    free(opened);
  }
}

/* The socket leaves the loop, and is the program's. */
static int release_socket(wg_opened *opened, int *fd) {
  const wg_env_ops *ops = opened->pipe->env->ops;
  int status = WARP_STATE; /* it has been taken already */
  if (opened->udp != NULL) {
    status = ops->udp_release(opened->udp, fd);
    opened->udp = status == WARP_OK ? NULL : opened->udp;
  } else if (opened->tcp != NULL) {
    status = ops->tcp_release(opened->tcp, fd);
    opened->tcp = status == WARP_OK ? NULL : opened->tcp;
  } else if (opened->listener != NULL) {
    status = ops->tcp_listener_release(opened->listener, fd);
    opened->listener = status == WARP_OK ? NULL : opened->listener;
  }
  return status;
}

/* Everything but the memory. `abort` resets a connection. */
static void let_go(wg_opened *opened, bool abort) {
  const wg_env_ops *ops = opened->pipe->env->ops;
  wg_timer_stop(opened->pipe->env, &opened->timer);
  wg_server_close_clients(opened);
  int fd;
  if (opened->given && !opened->conf.do_close && !opened->pipe->adopted) {
    release_socket(opened, &fd); /* it failed to open: the program keeps its socket */
  }
  if (opened->resolve != NULL) {
    ops->resolve_cancel(opened->resolve);
  }
  if (opened->udp != NULL) {
    ops->udp_close(opened->udp);
  }
  if (opened->tcp != NULL && (abort || opened->conf.linger_ms == 0)) {
    ops->tcp_reset(opened->tcp);
  } else if (opened->tcp != NULL) {
    ops->tcp_close(opened->tcp);
  }
  if (opened->listener != NULL) {
    ops->tcp_listener_close(opened->listener);
  }
  opened->resolve = NULL;
  opened->udp = NULL;
  opened->tcp = NULL;
  opened->listener = NULL;
}

static void carrier_close(void *carrier) {
  let_go(carrier, false);
}

static void carrier_reset(void *carrier) {
  let_go(carrier, true);
}

static size_t carrier_queued(void *carrier) {
  wg_opened *opened = carrier;
  return opened->tcp != NULL ? opened->pipe->env->ops->tcp_queued(opened->tcp) : 0;
}

static void carrier_pause(void *carrier, bool paused) {
  wg_opened *opened = carrier;
  if (opened->tcp != NULL) {
    opened->pipe->env->ops->tcp_pause(opened->tcp, paused);
  }
}

const wg_carrier_ops wg_opened_carrier = {
    .queued = carrier_queued,
    .pause = carrier_pause,
    .close = carrier_close,
    .reset = carrier_reset,
};

void wg_opened_fail(wg_opened *opened, int status, const char *detail) {
  wg_timer_stop(opened->pipe->env, &opened->timer);
  wg_pipe_end(opened->pipe, status, detail);
}

void wg_opened_cancel(warp_pipe *pipe) {
  if (pipe->opened != NULL && pipe->opened->cb != NULL) {
    warp_pipe_on_open cb = pipe->opened->cb;
    pipe->opened->cb = NULL;
    cb(pipe->opened->arg, NULL, WARP_CANCELED);
  }
}

/* ---- ready ----------------------------------------------------------------------------------- */

static void fill_info(wg_opened *opened) {
  warp_pipe *pipe = opened->pipe;
  const wg_env_ops *ops = pipe->env->ops;
  warp_pipe_info *info = &pipe->info;
  *info = (warp_pipe_info){.kind = pipe->kind, .plugin = "", .remote = opened->dest};
  info->transport = pipe->kind == WARP_STREAM ? WARP_TCP : WARP_UDP;
  if (opened->udp != NULL) {
    ops->udp_local(opened->udp, &info->local);
  } else if (opened->tcp != NULL) {
    ops->tcp_addrs(opened->tcp, &info->local, &info->remote);
  } else {
    ops->tcp_listener_local(opened->listener, &info->local);
  }
  info->family = info->local.family;
  info->connect_ms = (double)(wg_now_us(pipe->env) - opened->begun_us) / 1000.0;
}

void wg_opened_ready(wg_opened *opened) {
  warp_pipe *pipe = opened->pipe;
  wg_timer_stop(pipe->env, &opened->timer);
  fill_info(opened);
  if (opened->conf.sock_only) {
    wg_stream_set_paused(pipe, true); /* what comes is not for us to read */
  }
  warp_pipe_on_open cb = opened->cb;
  opened->cb = NULL;
  wg_pipe_enter(pipe);
  pipe->adopted = true;
  wg_pipe_move(pipe, WG_PIPE_OPEN);
  if (cb != NULL) { /* none for a server's client */
    cb(opened->arg, pipe, WARP_OK);
  }
  wg_pipe_leave(pipe);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void on_tcp_timeout(void *arg) {
  wg_opened_next(arg, WARP_TIMEOUT, "nobody answered");
}

/* The default interface's address, where a server has no route. */
static int default_local(wg_opened *opened) {
  warp_interface interface;
  warp_route route;
  int status = wg_interface_load(opened->pipe->env, NULL, &interface);
  int family = opened->family != 0 ? opened->family : WARP_IP4;
  if (status == WARP_OK) {
    status = warp_route_bind(&interface, family, 0, &route);
  }
  if (status == WARP_OK) {
    opened->local = route.addr;
    opened->has_route = true;
  }
  return status;
}

static int open_udp(wg_opened *opened) {
  warp_addr any = wg_addr_any(opened->dest.family, 0);
  const warp_addr *local = opened->has_route ? &opened->local : &any;
  return opened->pipe->env->ops->udp_open(opened->pipe->env, local, opened->flags,
                                          wg_plain_datagram, opened, &opened->udp);
}

static int open_tcp(wg_opened *opened) {
  wg_env *env = opened->pipe->env;
  const warp_addr *local = opened->has_route ? &opened->local : NULL;
  int status = env->ops->tcp_connect(env, local, &opened->dest, opened->flags,
                                     &wg_plain_tcp_handlers, opened, &opened->tcp);
  if (status == WARP_OK) {
    wg_timer_start(env, &opened->timer, opened->conf.con_timeout_ms * 1000ull, on_tcp_timeout,
                   opened);
  }
  return status;
}

/* With the destination known, or none. */
static void open_socket(wg_opened *opened) {
  wg_env *env = opened->pipe->env;
  int status = opened->server && !opened->has_route ? default_local(opened) : WARP_OK;
  bool done = true;
  if (status == WARP_OK && opened->pipe->kind == WARP_MESSAGES) {
    status = opened->given ? WARP_OK : open_udp(opened);
  } else if (status == WARP_OK && opened->server) {
    status = env->ops->tcp_listen(env, &opened->local, opened->flags, wg_server_accept, opened,
                                  &opened->listener);
  } else if (status == WARP_OK) {
    status = open_tcp(opened);
    done = false; /* wg_plain_connected goes on */
  }
  if (status != WARP_OK) {
    wg_opened_next(opened, status, "");
  } else if (done) {
    wg_opened_ready(opened);
  }
}

void wg_opened_next(wg_opened *opened, int status, const char *detail) {
  wg_timer_stop(opened->pipe->env, &opened->timer);
  if (opened->addr_count == 0) {
    wg_opened_fail(opened, status, detail);
    return;
  }
  if (opened->tcp != NULL) {
    opened->pipe->env->ops->tcp_reset(opened->tcp);
    opened->tcp = NULL;
  }
  opened->dest = opened->addrs[0];
  opened->addr_count--;
  memmove(opened->addrs, opened->addrs + 1, opened->addr_count * sizeof opened->addrs[0]);
  open_socket(opened); /* as deep as the name has addresses, at most */
}

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  wg_opened *opened = arg;
  opened->resolve = NULL;
  wg_timer_stop(opened->pipe->env, &opened->timer);
  if (status == WARP_OK && count == 0) {
    status = WARP_NOT_FOUND;
  }
  if (status != WARP_OK) {
    wg_opened_fail(opened, status, "the name of the destination was not resolved");
    return;
  }
  opened->addr_count = count < WG_RESOLVE_MAX ? count : WG_RESOLVE_MAX;
  memcpy(opened->addrs, addrs, opened->addr_count * sizeof addrs[0]);
  wg_opened_next(opened, WARP_OK, "");
}

static void on_resolve_timeout(void *arg) {
  wg_opened_fail(arg, WARP_TIMEOUT, "no name server answered");
}

static void on_start(void *arg) {
  wg_opened *opened = arg;
  wg_env *env = opened->pipe->env;
  if (opened->tcp != NULL) { /* given */
    wg_plain_connected(opened);
  } else if (opened->listener != NULL ||
             (opened->udp != NULL && opened->name.host[0] == '\0')) { /* given, too */
    wg_opened_ready(opened);
  } else if (opened->name.host[0] != '\0') {
    int status = env->ops->resolve(env, opened->name.host, opened->name.port, opened->family,
                                   on_resolved, opened, &opened->resolve);
    if (status != WARP_OK) {
      wg_opened_fail(opened, status, "");
      return;
    }
    wg_timer_start(env, &opened->timer, opened->conf.dns_timeout_ms * 1000ull, on_resolve_timeout,
                   opened);
  } else {
    open_socket(opened);
  }
}

/* ---- what the application asks for ----------------------------------------------------------- */

static bool in_range(uint32_t timeout_ms) {
  return timeout_ms > 0 && timeout_ms <= WG_OPEN_TIMEOUT_MAX_MS;
}

/* Whoever has a certificate is the server; the other side needs a name to expect. */
static int check_tls(const warp_net_conf *conf, const warp_pipe_options *options, bool server) {
  if (options->transport != WARP_TCP || conf->sock_only) {
    return WARP_UNSUPPORTED;
  }
  bool fit = server ? conf->cert_file != NULL && conf->ca_file == NULL
                    : conf->cert_file == NULL && conf->key_file == NULL;
  return fit ? WARP_OK : WARP_INVALID;
}

static int check_conf(const warp_net_conf *conf, const warp_pipe_options *options, bool server) {
  if (!in_range(conf->dns_timeout_ms) || !in_range(conf->ssl_handshake_ms) ||
      !in_range(conf->recv_timeout_ms) || !in_range(conf->con_timeout_ms) ||
      conf->reader_limit == 0 || conf->reader_limit > 65536 || conf->linger_ms < -1 ||
      conf->linger_ms > WG_OPEN_TIMEOUT_MAX_MS || conf->max_qsize > WARP_QUEUE_MESSAGES_MAX ||
      (conf->enable_msg_ids && (conf->max_msg_ids == 0 || conf->max_msg_ids > WG_REPEATS_MAX))) {
    return WARP_INVALID;
  }
  return conf->use_ssl ? check_tls(conf, options, server) : WARP_OK;
}

static bool is_family(int family) {
  return family == WARP_IP4 || family == WARP_IP6;
}

static int check_options(const warp_pipe_options *options) {
  bool tcp = options->transport == WARP_TCP;
  if ((!tcp && options->transport != WARP_UDP) ||
      (options->family != 0 && !is_family(options->family)) ||
      (options->dest != NULL && options->dest_addr != NULL) ||
      (options->use_socket && (options->socket < 0 || options->route != NULL)) ||
      (options->use_socket && tcp && options->dest_addr != NULL) ||
      (options->route != NULL && !is_family(options->route->addr.family)) ||
      (options->dest_addr != NULL &&
       (!is_family(options->dest_addr->family) || options->dest_addr->port == 0))) {
    return WARP_INVALID;
  }
  int of_route = options->route != NULL ? options->route->addr.family : 0;
  int of_dest = options->dest_addr != NULL ? options->dest_addr->family : 0;
  bool fit = (of_route == 0 || of_dest == 0 || of_route == of_dest) &&
             (options->family == 0 || ((of_route == 0 || options->family == of_route) &&
                                       (of_dest == 0 || options->family == of_dest)));
  return fit ? WARP_OK : WARP_INVALID;
}

static unsigned socket_flags(const warp_net_conf *conf, warp_transport transport) {
  return WG_SOCK_V6ONLY | WG_SOCK_PROTOCOL(conf->sock_proto) |
         (conf->reuse_addr ? (unsigned)WG_SOCK_REUSE : 0u) |
         (conf->broadcast && transport == WARP_UDP ? (unsigned)WG_SOCK_BROADCAST : 0u) |
         (transport == WARP_UDP ? (unsigned)WG_SOCK_LARGE : 0u);
}

/* Its memory is to be given to free_pem, also after an error. */
typedef struct pem_file {
  uint8_t *bytes; /* NULL: none was named */
  size_t len;
} pem_file;

static int load_pem(wg_env *env, const char *path, pem_file *out) {
  *out = (pem_file){0};
  if (path == NULL) {
    return WARP_OK;
  }
  out->bytes = malloc(WG_PEM_FILE_MAX);
  return out->bytes != NULL ? env->ops->file_load(env, path, out->bytes, WG_PEM_FILE_MAX, &out->len)
                            : WARP_NOMEM;
}

static void free_pem(pem_file *file) {
  if (file->bytes != NULL) {
    wg_tls_forget(file->bytes, WG_PEM_FILE_MAX);
    free(file->bytes);
  }
}

static int make_server_tls(wg_opened *opened, const warp_net_conf *conf) {
  wg_env *env = opened->pipe->env;
  const char *key_path = conf->key_file != NULL ? conf->key_file : conf->cert_file;
  pem_file certificates, key = {0};
  int status = load_pem(env, conf->cert_file, &certificates);
  if (status == WARP_OK) {
    status = load_pem(env, key_path, &key);
  }
  if (status == WARP_OK) {
    status = wg_tls_server_context(certificates.bytes, certificates.len, key.bytes, key.len,
                                   &opened->of_all);
  }
  free_pem(&certificates);
  free_pem(&key);
  return status;
}

static int make_client_tls(wg_opened *opened, const char *ca_file) {
  pem_file authorities;
  wg_tls_context *context = NULL;
  int status = load_pem(opened->pipe->env, ca_file, &authorities);
  if (status == WARP_OK) {
    status = wg_tls_client_context(authorities.bytes, authorities.len, &context);
  }
  free_pem(&authorities);
  if (status == WARP_OK) {
    status = wg_plain_tls_new(opened, context);
    wg_tls_context_free(context);
  }
  return status;
}

static int fill(wg_opened *opened, const warp_pipe_options *options) {
  if (options->dest != NULL) {
    int status = wg_server_name_parse(options->dest, &opened->name);
    if (status != WARP_OK || opened->name.user[0] != '\0' || opened->name.port == 0) {
      return WARP_INVALID;
    }
  }
  if (options->dest_addr != NULL) {
    opened->dest = *options->dest_addr;
  }
  if (options->route != NULL) {
    opened->local = options->route->addr;
    opened->has_route = true;
  }
  opened->has_dest = options->dest != NULL || options->dest_addr != NULL;
  opened->family = options->route != NULL ? options->route->addr.family : options->family;
  opened->flags = socket_flags(&opened->conf, options->transport);
  opened->on_up = options->on_up;
  opened->up_arg = options->arg;
  int status = WARP_OK;
  if (options->on_msg != NULL) {
    status = warp_pipe_add_msg_cb(opened->pipe, options->on_msg, options->arg);
  }
  return status;
}

/* A TCP socket without a destination may be a listening one, or connected. */
static int adopt_socket(wg_opened *opened, const warp_pipe_options *options) {
  wg_env *env = opened->pipe->env;
  opened->given = true;
  int status = WARP_INVALID;
  if (options->transport == WARP_UDP) {
    status = env->ops->udp_adopt(env, options->socket, opened->flags, wg_plain_datagram, opened,
                                 &opened->udp);
    if (status == WARP_OK && opened->family == 0) { /* for the addresses of a name */
      warp_addr local;
      env->ops->udp_local(opened->udp, &local);
      opened->family = local.family;
    }
    return status;
  }
  if (opened->server) {
    status = env->ops->tcp_listener_adopt(env, options->socket, wg_server_accept, opened,
                                          &opened->listener);
  }
  if (status == WARP_INVALID) {
    opened->server = false;
    opened->pipe->of_kind = &wg_plain_stream_ops;
    status = opened->of_all != NULL ? wg_plain_tls_new(opened, opened->of_all) : WARP_OK;
    if (status == WARP_OK) {
      status =
          env->ops->tcp_adopt(env, options->socket, &wg_plain_tcp_handlers, opened, &opened->tcp);
    }
  }
  return status;
}

/* Nothing has been told yet and no timer runs: frees it. A given socket is the caller's again. */
static void undo(warp_pipe *pipe) {
  wg_pipe_enter(pipe);
  wg_pipe_finish(pipe);
  wg_pipe_leave(pipe);
}

static const wg_pipe_kind_ops *kind_of(const warp_pipe_options *options, bool server) {
  if (options->transport == WARP_UDP) {
    return &wg_plain_messages_ops;
  }
  return server ? &wg_server_ops : &wg_plain_stream_ops;
}

int wg_pipe_open_by_hand(wg_env *env, const warp_pipe_options *options, warp_pipe_on_open cb,
                         void *arg, warp_pipe **out) {
  warp_net_conf conf = options->conf != NULL ? *options->conf : warp_net_conf_default();
  bool has_dest = options->dest != NULL || options->dest_addr != NULL;
  bool server = !has_dest;
  int status = check_options(options);
  if (status == WARP_OK) {
    status = check_conf(&conf, options, server);
  }
  warp_pipe *pipe = NULL;
  if (status == WARP_OK) {
    status = wg_opened_new(env, &conf, options->transport == WARP_UDP ? WARP_MESSAGES : WARP_STREAM,
                           kind_of(options, server), &pipe);
  }
  if (status != WARP_OK) {
    return status;
  }
  pipe->opened->server = server;
  status = fill(pipe->opened, options);
  if (status == WARP_OK && conf.use_ssl) {
    status =
        server ? make_server_tls(pipe->opened, &conf) : make_client_tls(pipe->opened, conf.ca_file);
  }
  if (status == WARP_OK && options->use_socket) {
    status = adopt_socket(pipe->opened, options);
  }
  if (status != WARP_OK) {
    undo(pipe);
    return status;
  }
  pipe->opened->cb = cb;
  pipe->opened->arg = arg;
  wg_timer_start(env, &pipe->opened->timer, 0, on_start, pipe->opened);
  if (out != NULL) {
    *out = pipe;
  }
  return WARP_OK;
}

int warp_pipe_open(warp_loop *loop, const warp_pipe_options *options, warp_pipe_on_open cb,
                   void *arg, warp_pipe **out) {
  if (loop == NULL || options == NULL || cb == NULL) {
    return WARP_INVALID;
  }
  return wg_pipe_open_by_hand(warp_loop_env(loop), options, cb, arg, out);
}

int warp_pipe_take_socket(warp_pipe *pipe, int *out) {
  if (pipe == NULL || out == NULL) {
    return WARP_INVALID;
  }
  bool may = pipe->opened != NULL && pipe->opened->conf.sock_only && pipe->state == WG_PIPE_OPEN;
  return may ? release_socket(pipe->opened, out) : WARP_STATE;
}
