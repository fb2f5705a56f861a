#include "driver_uv/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  BACKLOG = 128,         /* a burst of peers; more are refused by the system, and try again */
  ACCEPTS_PER_TURN = 16, /* before the other sockets get their turn */
  /* How long to leave waiting connections alone when there are no descriptors for them: they keep
   * the listener readable, and asking again at once would take all of the processor. */
  STARVED_US = 100 * 1000,
};

struct wg_tcp_listener {
  wg_uv_env *env;
  wg_uv_watch *watch; /* NULL when it only keeps the port */
  int fd;
  warp_addr local;
  wg_tcp_accept_cb cb;
  void *arg;
  wg_timer starved;
};

static void after_starving(void *arg) {
  wg_tcp_listener *listener = arg;
  wg_uv_watch_set(listener->watch, UV_READABLE);
}

/* False when there is none to accept now. */
static bool accept_one(wg_tcp_listener *listener) {
  wg_uv_env *env = listener->env;
  struct sockaddr_storage from;
  socklen_t len = sizeof from;
  int fd = accept(listener->fd, (struct sockaddr *)&from, &len);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      wg_logf(&env->base.log, WARP_LOG_WARN, "cannot accept connections: %s", uv_strerror(-errno));
      wg_uv_watch_set(listener->watch, 0);
      wg_timer_start(&env->base, &listener->starved, STARVED_US, after_starving, listener);
      return false;
    }
    /* Others are errors of one connection that is gone already. */
    return errno != EAGAIN && errno != EWOULDBLOCK;
  }
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  warp_addr addr = wg_uv_addr((struct sockaddr *)&from);
  wg_tcp *tcp;
  if (wg_uv_tcp_accepted(env, fd, &addr, &tcp) == WARP_OK) {
    listener->cb(listener->arg, tcp, &addr);
  }
  return true;
}

static void on_ready(void *owner, int events) {
  (void)events;
  wg_tcp_listener *listener = owner;
  wg_uv_watch *watch = listener->watch;
  for (int accepts = 0; accepts < ACCEPTS_PER_TURN; accepts++) {
    bool more = accept_one(listener);
    if (!wg_uv_watch_alive(watch)) {
      return;
    }
    if (!more) {
      break;
    }
  }
  if (!listener->starved.running) {
    wg_uv_watch_set(watch, UV_READABLE);
  }
}

/* The descriptor stays the caller's on an error. */
static int make(wg_uv_env *env, int fd, wg_tcp_accept_cb cb, void *arg, wg_tcp_listener **out) {
  wg_tcp_listener *listener = calloc(1, sizeof *listener);
  int status = listener != NULL ? WARP_OK : WARP_NOMEM;
  if (status == WARP_OK && cb != NULL) {
    status = wg_uv_watch_open(env, fd, on_ready, listener, &listener->watch);
  }
  if (status != WARP_OK) {
    free(listener);
    return status;
  }
  listener->env = env;
  listener->fd = fd;
  listener->local = wg_uv_local(fd);
  listener->cb = cb;
  listener->arg = arg;
  env->open++;
  if (listener->watch != NULL) {
    wg_uv_watch_set(listener->watch, UV_READABLE);
  }
  *out = listener;
  return WARP_OK;
}

int wg_uv_tcp_listen(wg_env *base, const warp_addr *local, unsigned flags, wg_tcp_accept_cb cb,
                     void *arg, wg_tcp_listener **out) {
  wg_uv_env *env = wg_uv_env_of(base);
  int fd;
  int status = wg_uv_socket(local->family, SOCK_STREAM, flags, local, &fd);
  if (status != WARP_OK) {
    return status;
  }
  wg_uv_keep_to_interface(env, fd, local);
  if (cb != NULL && listen(fd, BACKLOG) != 0) {
    status = wg_uv_status(errno);
  }
  if (status == WARP_OK) {
    status = make(env, fd, cb, arg, out);
  }
  if (status != WARP_OK) {
    close(fd);
  }
  return status;
}

int wg_uv_tcp_listener_adopt(wg_env *base, int fd, wg_tcp_accept_cb cb, void *arg,
                             wg_tcp_listener **out) {
  int family;
  int status = wg_uv_check_socket(fd, SOCK_STREAM, true, &family);
  return status == WARP_OK ? make(wg_uv_env_of(base), fd, cb, arg, out) : status;
}

void wg_uv_tcp_listener_local(const wg_tcp_listener *listener, warp_addr *out) {
  *out = listener->local;
}

int wg_uv_tcp_listener_release(wg_tcp_listener *listener, int *fd) {
  wg_timer_stop(&listener->env->base, &listener->starved);
  listener->env->open--;
  if (listener->watch != NULL) {
    wg_uv_watch_close(listener->watch);
  }
  *fd = listener->fd;
  free(listener);
  return WARP_OK;
}

void wg_uv_tcp_listener_close(wg_tcp_listener *listener) {
  int fd;
  wg_uv_tcp_listener_release(listener, &fd);
  close(fd);
}
