/*
 * Work that blocks and that nothing can stop: the system's resolver waits seconds for dead servers,
 * and so do the libraries that ask a router. uv_queue_work would keep the loop running until it
 * came back, and occupy one of the few threads of libuv's pool. So each job has a thread and memory
 * of its own: forgetting it never waits, nor does closing the environment.
 */
#ifndef WG_DRIVER_UV_WORKER_H
#define WG_DRIVER_UV_WORKER_H

#include "base/list.h"

typedef struct wg_uv_env wg_uv_env;
typedef struct wg_uv_workers wg_uv_workers;
typedef struct wg_uv_job wg_uv_job;

/* Embedded in the job's own data. All memory of a job belongs to its worker until `done`. */
struct wg_uv_job {
  void (*work)(wg_uv_job *job);    /* on a thread of its own: touches nothing but the job */
  void (*done)(wg_uv_job *job);    /* on the loop, unless forgotten; `discard` follows */
  void (*discard)(wg_uv_job *job); /* frees it; on any thread */
  wg_list item;                    /* what follows is the workers' */
  wg_uv_workers *workers;
  wg_uv_env *env; /* the loop's business only; NULL once forgotten */
};

/* Starts a job whose functions are set. While it is under way and not forgotten the loop runs on.
 * WARP_LIMIT, WARP_NOMEM; the job is then still the caller's. */
int wg_uv_job_start(wg_uv_env *env, wg_uv_job *job);
/* Not to be called from `done` on. */
void wg_uv_job_forget(wg_uv_job *job);

/* The meeting place of workers and loop. It outlives the environment while a worker is stuck.
 * WARP_NOMEM. */
int wg_uv_workers_open(wg_uv_env *env);
void wg_uv_workers_close(wg_uv_env *env);

#endif
