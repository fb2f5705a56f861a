#include "driver_uv/worker.h"

#include "driver_uv/internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* Threads at once: more than a node has servers and ports to be opened. */
enum { WORKERS_MAX = 48 };

struct wg_uv_workers {
  uv_mutex_t lock;   /* guards what follows */
  uv_async_t *ready; /* NULL once the environment is closed */
  wg_list done;      /* finished, for the loop to fetch */
  unsigned count;
};

/* ---- the worker ------------------------------------------------------------------------------ */

/* Called with the lock held, which it gives back. */
static void unlock_or_free(wg_uv_workers *workers) {
  bool last = workers->ready == NULL && workers->count == 0;
  uv_mutex_unlock(&workers->lock);
  if (last) {
    uv_mutex_destroy(&workers->lock);
    free(workers);
  }
}

static void *run(void *arg) {
  wg_uv_job *job = arg;
  wg_uv_workers *workers = job->workers;
  job->work(job);
  uv_mutex_lock(&workers->lock);
  if (workers->ready != NULL) {
    wg_list_push(&workers->done, &job->item);
    uv_async_send(workers->ready);
  } else {
    job->discard(job);
  }
  workers->count--;
  unlock_or_free(workers);
  return NULL;
}

/* Takes all signals away from the worker, so that the program's handlers run on its own threads. */
static int start_thread(wg_uv_job *job) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_t thread;
  if (pthread_attr_init(&attributes) != 0) {
    return WARP_NOMEM;
  }
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attributes, run, job);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error == 0 ? WARP_OK : WARP_NOMEM;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void set_busy(wg_uv_env *env, int change) {
  env->workers_busy = (unsigned)((int)env->workers_busy + change);
  uv_handle_t *handle = (uv_handle_t *)&env->workers_ready;
  if (env->workers_busy > 0) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

static void on_ready(uv_async_t *async) {
  wg_uv_env *env = async->data;
  wg_uv_workers *workers = env->workers;
  wg_list done;
  wg_list_init(&done);
  uv_mutex_lock(&workers->lock);
  while (!wg_list_empty(&workers->done)) {
    wg_list *item = workers->done.next;
    wg_list_remove(item);
    wg_list_push(&done, item);
  }
  uv_mutex_unlock(&workers->lock);
  while (!wg_list_empty(&done)) {
    wg_uv_job *job = WG_CONTAINER(done.next, wg_uv_job, item);
    wg_list_remove(&job->item);
    if (job->env != NULL) {
      set_busy(env, -1);
      job->env = NULL;
      job->done(job);
    }
    job->discard(job);
  }
}

int wg_uv_workers_open(wg_uv_env *env) {
  wg_uv_workers *workers = calloc(1, sizeof *workers);
  if (workers == NULL) {
    return WARP_NOMEM;
  }
  if (uv_mutex_init(&workers->lock) != 0) {
    free(workers);
    return WARP_NOMEM;
  }
  int error = uv_async_init(env->loop, &env->workers_ready, on_ready);
  if (error != 0) {
    uv_mutex_destroy(&workers->lock);
    free(workers);
    return wg_uv_status(error);
  }
  env->handles++;
  env->workers_ready.data = env;
  uv_unref((uv_handle_t *)&env->workers_ready);
  workers->ready = &env->workers_ready;
  wg_list_init(&workers->done);
  env->workers = workers;
  return WARP_OK;
}

void wg_uv_workers_close(wg_uv_env *env) {
  wg_uv_workers *workers = env->workers;
  uv_mutex_lock(&workers->lock);
  workers->ready = NULL;
  while (!wg_list_empty(&workers->done)) { /* all forgotten: nothing is open any more */
    wg_uv_job *job = WG_CONTAINER(workers->done.next, wg_uv_job, item);
    wg_list_remove(&job->item);
    job->discard(job);
  }
  unlock_or_free(workers);
}

int wg_uv_job_start(wg_uv_env *env, wg_uv_job *job) {
  wg_uv_workers *workers = env->workers;
  wg_list_init(&job->item);
  job->workers = workers;
  job->env = env;
  uv_mutex_lock(&workers->lock);
  int status = workers->count < WORKERS_MAX ? WARP_OK : WARP_LIMIT;
  if (status == WARP_OK) {
    workers->count++;
  }
  uv_mutex_unlock(&workers->lock);
  if (status != WARP_OK) {
    return status;
  }
  status = start_thread(job);
  if (status != WARP_OK) {
    uv_mutex_lock(&workers->lock);
    workers->count--;
    uv_mutex_unlock(&workers->lock);
    return status;
  }
  set_busy(env, 1);
  return WARP_OK;
}

void wg_uv_job_forget(wg_uv_job *job) {
  set_busy(job->env, -1);
  job->env = NULL;
}
