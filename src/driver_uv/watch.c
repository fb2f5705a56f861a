#include "driver_uv/internal.h"

#include <stdlib.h>

struct wg_uv_watch {
  uv_poll_t poll;
  wg_uv_env *env;
  wg_uv_watch_cb cb;
  void *owner; /* NULL once closed */
  int events;
};

int wg_uv_watch_open(wg_uv_env *env, int fd, wg_uv_watch_cb cb, void *owner, wg_uv_watch **out) {
  wg_uv_watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) {
    return WARP_NOMEM;
  }
  int error = uv_poll_init(env->loop, &watch->poll, fd);
  if (error != 0) {
    free(watch);
    return wg_uv_status(error);
  }
  watch->poll.data = watch;
  watch->env = env;
  watch->cb = cb;
  watch->owner = owner;
  env->handles++;
  *out = watch;
  return WARP_OK;
}

static void on_poll(uv_poll_t *poll, int error, int events) {
  wg_uv_watch *watch = poll->data;
  if (error != 0) { /* libuv has stopped the poll */
    watch->events = 0;
    events = UV_READABLE | UV_WRITABLE;
  }
  wg_uv_env *env = watch->env;
  wg_uv_turn_begin(env);
  watch->cb(watch->owner, events);
  wg_uv_turn_end(env);
}

void wg_uv_watch_set(wg_uv_watch *watch, int events) {
  if (events == watch->events) {
    return;
  }
  watch->events = events;
  if (events == 0) {
    uv_poll_stop(&watch->poll);
  } else {
    uv_poll_start(&watch->poll, events, on_poll);
  }
}

static void on_close(uv_handle_t *handle) {
  wg_uv_watch *watch = handle->data;
  wg_uv_env *env = watch->env;
  free(watch);
  wg_uv_env_handle_closed(env);
}

void wg_uv_watch_close(wg_uv_watch *watch) {
  watch->owner = NULL;
  uv_close((uv_handle_t *)&watch->poll, on_close);
}

bool wg_uv_watch_alive(const wg_uv_watch *watch) {
  return watch->owner != NULL;
}
