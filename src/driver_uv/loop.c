#include "env/loop.h"
#include "driver_uv/internal.h"

#include <stdlib.h>

/* Calls of other threads that wait for the loop. Bounded, so that a thread that posts faster than
 * the loop goes round is told so. */
enum { POSTS_MAX = 1024 };

typedef struct post {
  void (*cb)(void *arg);
  void *arg;
} post;

struct warp_loop {
  uv_loop_t *uv;
  uv_loop_t own_uv; /* used by a loop of the library's own */
  bool own;
  bool running;
  bool stopped;   /* warp_loop_stop since warp_loop_run began */
  unsigned parts; /* of it that libuv still holds: the environment and `posted` */
  wg_env *env;
  uv_async_t posted;
  uv_mutex_t lock; /* guards the ring */
  post ring[POSTS_MAX];
  size_t first, count;
};

/* ---- calls from other threads ---------------------------------------------------------------- */

static size_t posts_waiting(warp_loop *loop) {
  uv_mutex_lock(&loop->lock);
  size_t count = loop->count;
  uv_mutex_unlock(&loop->lock);
  return count;
}

static bool take_post(warp_loop *loop, post *out) {
  uv_mutex_lock(&loop->lock);
  bool any = loop->count > 0;
  if (any) {
    *out = loop->ring[loop->first];
    loop->first = (loop->first + 1) % POSTS_MAX;
    loop->count--;
  }
  uv_mutex_unlock(&loop->lock);
  return any;
}

static void on_posted(uv_async_t *async) {
  warp_loop *loop = async->data;
  uv_unref((uv_handle_t *)async); /* see warp_loop_run */
  /* What is posted meanwhile has woken the loop again. */
  post next;
  for (size_t left = posts_waiting(loop); left > 0 && take_post(loop, &next); left--) {
    next.cb(next.arg);
  }
}

int warp_loop_post(warp_loop *loop, void (*cb)(void *arg), void *arg) {
  if (loop == NULL || cb == NULL) {
    return WARP_INVALID;
  }
  uv_mutex_lock(&loop->lock);
  int status = loop->count < POSTS_MAX ? WARP_OK : WARP_LIMIT;
  if (status == WARP_OK) {
    loop->ring[(loop->first + loop->count) % POSTS_MAX] = (post){cb, arg};
    loop->count++;
  }
  uv_mutex_unlock(&loop->lock);
  if (status == WARP_OK) {
    uv_async_send(&loop->posted);
  }
  return status;
}

/* ---- life ------------------------------------------------------------------------------------ */

static warp_loop *make(struct uv_loop_s *uv) {
  warp_loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL) {
    return NULL;
  }
  loop->own = uv == NULL;
  loop->uv = loop->own ? &loop->own_uv : uv;
  if (loop->own && uv_loop_init(loop->uv) != 0) {
    free(loop);
    return NULL;
  }
  if (uv_mutex_init(&loop->lock) != 0) {
    goto no_mutex;
  }
  if (wg_uv_env_new(loop->uv, &loop->env) != WARP_OK) {
    goto no_env;
  }
  if (uv_async_init(loop->uv, &loop->posted, on_posted) != 0) {
    goto no_async;
  }
  loop->posted.data = loop;
  uv_unref((uv_handle_t *)&loop->posted);
  loop->parts = 2;
  return loop;

no_async:
  wg_uv_env_close(loop->env, NULL, NULL);
  if (loop->own) {
    uv_run(loop->uv, UV_RUN_DEFAULT);
  }
no_env:
  uv_mutex_destroy(&loop->lock);
no_mutex:
  if (loop->own) {
    uv_loop_close(loop->uv);
  }
  free(loop);
  return NULL;
}

warp_loop *warp_loop_new(void) {
  return make(NULL);
}

warp_loop *warp_loop_wrap(struct uv_loop_s *uv) {
  return uv != NULL ? make(uv) : NULL;
}

wg_env *warp_loop_env(warp_loop *loop) {
  return loop->env;
}

int warp_loop_run(warp_loop *loop) {
  if (loop == NULL) {
    return WARP_INVALID;
  }
  if (loop->running) {
    return WARP_STATE;
  }
  loop->running = true;
  loop->stopped = false;
  do {
    if (posts_waiting(loop) > 0) {
      /* Nothing else may be active: a loop that has calls waiting must go round once. */
      uv_ref((uv_handle_t *)&loop->posted);
    }
    uv_run(loop->uv, UV_RUN_DEFAULT);
  } while (!loop->stopped && posts_waiting(loop) > 0);
  loop->running = false;
  return WARP_OK;
}

void warp_loop_stop(warp_loop *loop) {
  if (loop != NULL && loop->running) { /* libuv would keep it in mind for the next run */
    loop->stopped = true;
    uv_stop(loop->uv);
  }
}

static void part_closed(void *arg) {
  warp_loop *loop = arg;
  loop->parts--;
  if (loop->parts > 0) {
    return;
  }
  uv_mutex_destroy(&loop->lock);
  if (!loop->own) { /* our own is freed when its last round is over */
    free(loop);
  }
}

static void on_posted_closed(uv_handle_t *handle) {
  part_closed(handle->data);
}

int warp_loop_close(warp_loop *loop) {
  if (loop == NULL) {
    return WARP_INVALID;
  }
  if (loop->running || posts_waiting(loop) > 0) {
    return WARP_STATE;
  }
  int status = wg_uv_env_close(loop->env, part_closed, loop);
  if (status != WARP_OK) {
    return status;
  }
  uv_close((uv_handle_t *)&loop->posted, on_posted_closed);
  if (!loop->own) {
    return WARP_OK;
  }
  while (loop->parts > 0) {
    uv_run(loop->uv, UV_RUN_DEFAULT);
  }
  uv_loop_close(loop->uv);
  free(loop);
  return WARP_OK;
}
