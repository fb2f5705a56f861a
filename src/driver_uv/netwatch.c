/* Watching interfaces: by what the system tells where it does, else by looking now and then. */
#include "driver_uv/netwatch.h"

#include "driver_uv/internal.h"
#include <stdlib.h>
#include <unistd.h>

/* Where the system tells nothing. Whoever asks compares what there is with what there was. */
enum { LOOK_MS = 10000 };

struct wg_netwatch {
  wg_uv_env *env;
  int fd; /* -1: the system tells nothing */
  wg_uv_watch *watch;
  wg_timer timer;
  wg_netwatch_cb cb;
  void *arg;
};

#if !defined(__linux__)

int wg_uv_netwatch_socket(int *out) {
  (void)out;
  return WARP_UNSUPPORTED;
}

void wg_uv_netwatch_drain(int fd) {
  (void)fd;
}

#endif

static void look(void *arg) {
  wg_netwatch *self = arg;
  wg_timer_start(&self->env->base, &self->timer, (uint64_t)LOOK_MS * 1000, look, self);
  self->cb(self->arg);
}

static void on_readable(void *owner, int events) {
  wg_netwatch *self = owner;
  (void)events;
  wg_uv_netwatch_drain(self->fd);
  wg_uv_watch_set(self->watch, UV_READABLE); /* an overrun is an error, and stopped it */
  self->cb(self->arg);
}

static void release(wg_netwatch *self) {
  wg_timer_stop(&self->env->base, &self->timer);
  if (self->watch != NULL) {
    wg_uv_watch_close(self->watch);
  }
  if (self->fd >= 0) {
    close(self->fd);
  }
  free(self);
}

int wg_uv_netwatch_open(wg_env *base, wg_netwatch_cb cb, void *arg, wg_netwatch **out) {
  wg_netwatch *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return WARP_NOMEM;
  }
  self->env = wg_uv_env_of(base);
  self->cb = cb;
  self->arg = arg;
  int status = WARP_OK;
  if (wg_uv_netwatch_socket(&self->fd) != WARP_OK) {
    self->fd = -1;
    wg_timer_start(base, &self->timer, (uint64_t)LOOK_MS * 1000, look, self);
  } else {
    status = wg_uv_watch_open(self->env, self->fd, on_readable, self, &self->watch);
  }
  if (status != WARP_OK) {
    release(self);
    return status;
  }
  if (self->watch != NULL) {
    wg_uv_watch_set(self->watch, UV_READABLE);
  }
  self->env->open++;
  *out = self;
  return WARP_OK;
}

void wg_uv_netwatch_close(wg_netwatch *self) {
  self->env->open--;
  release(self);
}
