#include "driver_uv/internal.h"
#include "driver_uv/sendq.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  READS_PER_TURN = 8, /* before the other sockets get their turn */
  /* How long a closed connection may go on sending its rest: 2 s in which the loop runs. They are
   * counted in slices, of which a program that computes for seconds in a callback, or gets no CPU,
   * uses up one only: timers come before sockets, and what could be sent all the time would be
   * lost. */
  LINGER_SLICES = 20,
  LINGER_SLICE_US = 100 * 1000,
  /* A connection on which nobody sends is kept in the NATs on its way, and found out when the peer
   * is gone, as a pipe of datagrams is: probes every 15 s, and the end after a minute. */
  PROBE_S = 15,
  PROBES = 3,
};

typedef enum tcp_state {
  TCP_CONNECTING,
  TCP_OPEN,
  TCP_ENDED,     /* failed, or over in both directions; waits for the user to close it */
  TCP_LINGERING, /* closed by the user: sends its rest, then waits for the peer's end */
} tcp_state;

struct wg_tcp {
  wg_uv_env *env;
  wg_uv_watch *watch;
  int fd;
  tcp_state state;
  bool paused;
  bool peer_ended; /* the peer's stream is read to its end */
  bool end_told;   /* on_end has run */
  bool shut;       /* our stream ends after what is queued */
  bool shut_sent;  /* the end of our stream is sent */
  int broken;      /* what a send could not recover from; told by the loop */
  warp_addr local, remote;
  wg_tcp_handlers handlers;
  void *arg;
  wg_sendq queue;
  wg_timer linger;
  unsigned slices; /* of lingering that are over */
};

static void on_ready(void *owner, int events);

/* ---- life ------------------------------------------------------------------------------------ */

static int events_wanted(const wg_tcp *tcp) {
  int sending = tcp->queue.len > 0 || tcp->broken != WARP_OK ? UV_WRITABLE : 0;
  switch (tcp->state) {
  case TCP_CONNECTING:
    return UV_WRITABLE;
  case TCP_OPEN:
    return sending | (tcp->paused || tcp->peer_ended ? 0 : UV_READABLE);
  case TCP_LINGERING:
    return sending | (tcp->peer_ended ? 0 : UV_READABLE);
  default:
    return 0;
  }
}

static void set_state(wg_tcp *tcp, tcp_state state) {
  tcp->state = state;
  if (state == TCP_ENDED) {
    wg_sendq_clear(&tcp->queue);
  }
  wg_uv_watch_set(tcp->watch, events_wanted(tcp));
}

/* The descriptor stays the caller's on an error. */
static int make(wg_uv_env *env, int fd, tcp_state state, wg_tcp **out) {
  wg_tcp *tcp = calloc(1, sizeof *tcp);
  int status = tcp != NULL ? wg_uv_watch_open(env, fd, on_ready, tcp, &tcp->watch) : WARP_NOMEM;
  if (status != WARP_OK) {
    free(tcp);
    return status;
  }
  /* Handshakes are small packets that wait for each other. */
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  tcp->env = env;
  tcp->fd = fd;
  tcp->local = wg_uv_local(fd);
  env->open++;
  set_state(tcp, state);
  *out = tcp;
  return WARP_OK;
}

/* Frees all but the descriptor. */
static int let_go(wg_tcp *tcp) {
  int fd = tcp->fd;
  wg_timer_stop(&tcp->env->base, &tcp->linger);
  wg_uv_watch_close(tcp->watch);
  wg_sendq_clear(&tcp->queue);
  free(tcp);
  return fd;
}

static void release(wg_tcp *tcp) {
  close(let_go(tcp));
}

static void end_linger(void *arg) {
  wg_tcp *tcp = arg;
  wg_uv_env *env = tcp->env;
  release(tcp);
  wg_uv_env_lingered(env);
}

/* The connection is over; the user is told unless he knows of an end already. Nothing may be done
 * with it afterwards: he may have closed it. */
static void end(wg_tcp *tcp, int status) {
  if (tcp->state == TCP_LINGERING) {
    end_linger(tcp);
    return;
  }
  set_state(tcp, TCP_ENDED);
  if (!tcp->end_told) {
    tcp->end_told = true;
    if (tcp->handlers.on_end != NULL) {
      tcp->handlers.on_end(tcp->arg, status);
    }
  }
}

int wg_uv_tcp_connect(wg_env *base, const warp_addr *local, const warp_addr *to, unsigned flags,
                      const wg_tcp_handlers *handlers, void *arg, wg_tcp **out) {
  struct sockaddr_storage storage;
  socklen_t len;
  int family = local != NULL ? local->family : to->family;
  int status = wg_uv_sockaddr(to, family, &storage, &len);
  if (status != WARP_OK || to->port == 0) {
    return WARP_INVALID;
  }
  int fd;
  status = wg_uv_socket(family, SOCK_STREAM, flags, local, &fd);
  if (status != WARP_OK) {
    return status;
  }
  if (local != NULL) {
    wg_uv_keep_to_interface(wg_uv_env_of(base), fd, local);
  }
  if (connect(fd, (struct sockaddr *)&storage, len) != 0 && errno != EINPROGRESS) {
    status = wg_uv_status(errno);
    close(fd);
    return status;
  }
  status = make(wg_uv_env_of(base), fd, TCP_CONNECTING, out);
  if (status == WARP_OK) {
    (*out)->remote = *to;
    wg_uv_tcp_set_handlers(*out, handlers, arg);
  } else {
    close(fd);
  }
  return status;
}

int wg_uv_tcp_adopt(wg_env *base, int fd, const wg_tcp_handlers *handlers, void *arg,
                    wg_tcp **out) {
  int family;
  struct sockaddr_storage remote;
  socklen_t len = sizeof remote;
  int status = wg_uv_check_socket(fd, SOCK_STREAM, false, &family);
  if (status != WARP_OK || getpeername(fd, (struct sockaddr *)&remote, &len) != 0) {
    return WARP_INVALID;
  }
  status = make(wg_uv_env_of(base), fd, TCP_OPEN, out);
  if (status == WARP_OK) {
    (*out)->remote = wg_uv_addr((struct sockaddr *)&remote);
    wg_uv_tcp_set_handlers(*out, handlers, arg);
  }
  return status;
}

int wg_uv_tcp_accepted(wg_uv_env *env, int fd, const warp_addr *from, wg_tcp **out) {
  int status = make(env, fd, TCP_OPEN, out);
  if (status == WARP_OK) {
    wg_uv_keep_alive(fd, PROBE_S, PROBE_S, PROBES);
    (*out)->remote = *from;
  } else {
    close(fd);
  }
  return status;
}

void wg_uv_tcp_set_handlers(wg_tcp *tcp, const wg_tcp_handlers *handlers, void *arg) {
  tcp->handlers = *handlers;
  tcp->arg = arg;
}

void wg_uv_tcp_addrs(const wg_tcp *tcp, warp_addr *local, warp_addr *remote) {
  if (local != NULL) {
    *local = tcp->local;
  }
  if (remote != NULL) {
    *remote = tcp->remote;
  }
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Sends what the system takes; when all is gone, the end of our stream if it is due. */
static int flush(wg_tcp *tcp) {
  while (tcp->queue.len > 0) {
    size_t len;
    const uint8_t *data = wg_sendq_peek(&tcp->queue, &len);
    ssize_t sent = send(tcp->fd, data, len, MSG_NOSIGNAL);
    if (sent < 0) {
      return errno == EAGAIN || errno == EINTR ? WARP_OK : wg_uv_status(errno);
    }
    wg_sendq_pop(&tcp->queue, (size_t)sent);
  }
  if (tcp->shut && !tcp->shut_sent) {
    tcp->shut_sent = true;
    if (shutdown(tcp->fd, SHUT_WR) != 0) {
      return wg_uv_status(errno);
    }
  }
  return WARP_OK;
}

int wg_uv_tcp_send(wg_tcp *tcp, const void *data, size_t len) {
  if (tcp->state == TCP_ENDED || tcp->shut || tcp->broken != WARP_OK) {
    return WARP_CLOSED;
  }
  if (len > WG_TCP_QUEUE_MAX) {
    return WARP_TOO_BIG;
  }
  if (tcp->queue.len + len > WG_TCP_QUEUE_MAX) {
    return WARP_AGAIN;
  }
  size_t sent = 0;
  if (tcp->state == TCP_OPEN && tcp->queue.len == 0 && len > 0) {
    ssize_t taken = send(tcp->fd, data, len, MSG_NOSIGNAL);
    /* An error shows again when the loop sends the queue, and is told from there. */
    sent = taken > 0 ? (size_t)taken : 0;
  }
  if (sent < len && !wg_sendq_push(&tcp->queue, (const uint8_t *)data + sent, len - sent)) {
    if (sent > 0) { /* a stream with a hole in it is of no use */
      tcp->broken = WARP_NOMEM;
      wg_uv_watch_set(tcp->watch, events_wanted(tcp));
    }
    return WARP_NOMEM;
  }
  wg_uv_watch_set(tcp->watch, events_wanted(tcp));
  return WARP_OK;
}

size_t wg_uv_tcp_queued(const wg_tcp *tcp) {
  return tcp->queue.len;
}

int wg_uv_tcp_shutdown(wg_tcp *tcp) {
  if (tcp->state == TCP_ENDED || tcp->shut || tcp->broken != WARP_OK) {
    return WARP_CLOSED;
  }
  tcp->shut = true;
  if (tcp->state == TCP_OPEN && tcp->queue.len == 0) {
    return flush(tcp);
  }
  return WARP_OK;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void finish_connecting(wg_tcp *tcp) {
  int error = wg_uv_pending_error(tcp->fd);
  int status = wg_uv_status(error);
  if (error == 0) {
    tcp->local = wg_uv_local(tcp->fd); /* the system may have picked it only now */
    wg_uv_keep_alive(tcp->fd, PROBE_S, PROBE_S, PROBES);
    set_state(tcp, TCP_OPEN);
  } else {
    tcp->end_told = true; /* by on_open */
    set_state(tcp, TCP_ENDED);
  }
  wg_uv_watch *watch = tcp->watch;
  if (tcp->handlers.on_open != NULL) {
    tcp->handlers.on_open(tcp->arg, status);
  }
  if (wg_uv_watch_alive(watch) && tcp->state == TCP_OPEN) {
    int flushed = flush(tcp);
    if (flushed != WARP_OK) {
      end(tcp, flushed);
    } else {
      wg_uv_watch_set(watch, events_wanted(tcp));
    }
  }
}

/* False when the connection is over or closed. */
static bool send_queue(wg_tcp *tcp) {
  if (tcp->queue.len == 0 && tcp->broken == WARP_OK) {
    return true;
  }
  int status = tcp->broken != WARP_OK ? tcp->broken : flush(tcp);
  if (status != WARP_OK) {
    end(tcp, status);
    return false;
  }
  wg_uv_watch *watch = tcp->watch;
  if (tcp->queue.len == 0 && tcp->state == TCP_OPEN && tcp->handlers.on_drain != NULL) {
    tcp->handlers.on_drain(tcp->arg);
  }
  return wg_uv_watch_alive(watch);
}

static void peer_ended(wg_tcp *tcp) {
  tcp->peer_ended = true;
  wg_uv_watch_set(tcp->watch, events_wanted(tcp));
  if (tcp->state == TCP_OPEN && !tcp->end_told) {
    tcp->end_told = true;
    if (tcp->handlers.on_end != NULL) {
      tcp->handlers.on_end(tcp->arg, WARP_CLOSED);
    }
  }
}

/* Reads once. False when there is no more for now. */
static bool read_once(wg_tcp *tcp) {
  wg_uv_env *env = tcp->env;
  ssize_t len = recv(tcp->fd, env->stream, sizeof env->stream, 0);
  if (len == 0) {
    peer_ended(tcp);
    return false;
  }
  if (len < 0) {
    if (errno != EAGAIN && errno != EINTR) {
      end(tcp, wg_uv_status(errno));
    }
    return false;
  }
  if (tcp->state == TCP_OPEN && tcp->handlers.on_data != NULL) {
    tcp->handlers.on_data(tcp->arg, env->stream, (size_t)len);
  }
  return (size_t)len == sizeof env->stream;
}

static bool may_read(const wg_tcp *tcp) {
  return (tcp->state == TCP_OPEN && !tcp->paused && !tcp->peer_ended) ||
         (tcp->state == TCP_LINGERING && !tcp->peer_ended);
}

static void on_ready(void *owner, int events) {
  wg_tcp *tcp = owner;
  wg_uv_watch *watch = tcp->watch;
  if (tcp->state == TCP_CONNECTING) {
    finish_connecting(tcp);
    return;
  }
  if ((events & UV_WRITABLE) != 0 && !send_queue(tcp)) {
    return;
  }
  if ((events & UV_READABLE) != 0) {
    bool more = true;
    for (int reads = 0; more && reads < READS_PER_TURN && may_read(tcp); reads++) {
      more = read_once(tcp);
      if (!wg_uv_watch_alive(watch)) {
        return;
      }
    }
  }
  if (tcp->state == TCP_LINGERING && tcp->peer_ended && tcp->queue.len == 0) {
    end_linger(tcp);
    return;
  }
  wg_uv_watch_set(watch, events_wanted(tcp));
}

void wg_uv_tcp_pause(wg_tcp *tcp, bool paused) {
  tcp->paused = paused;
  wg_uv_watch_set(tcp->watch, events_wanted(tcp));
}

/* ---- closing --------------------------------------------------------------------------------- */

static void on_linger_slice(void *arg) {
  wg_tcp *tcp = arg;
  if (++tcp->slices == LINGER_SLICES) {
    end_linger(tcp);
    return;
  }
  wg_timer_start(&tcp->env->base, &tcp->linger, LINGER_SLICE_US, on_linger_slice, tcp);
}

void wg_uv_tcp_close(wg_tcp *tcp) {
  wg_uv_env *env = tcp->env;
  env->open--;
  tcp->handlers = (wg_tcp_handlers){0};
  tcp->shut = true;
  bool rest = tcp->state == TCP_OPEN && tcp->broken == WARP_OK && flush(tcp) == WARP_OK;
  if (!rest || (tcp->queue.len == 0 && tcp->peer_ended)) {
    release(tcp);
    return;
  }
  /* Not closed yet even if all is handed to the system: a close with unread bytes, or bytes that
   * come after it, make the system send a reset, which takes what the peer has not read with it. */
  env->lingering++;
  set_state(tcp, TCP_LINGERING);
  wg_timer_start(&env->base, &tcp->linger, LINGER_SLICE_US, on_linger_slice, tcp);
}

void wg_uv_tcp_reset(wg_tcp *tcp) {
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(tcp->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  tcp->env->open--;
  release(tcp);
}

int wg_uv_tcp_release(wg_tcp *tcp, int *fd) {
  tcp->env->open--;
  *fd = let_go(tcp);
  return WARP_OK;
}
