#include "driver_uv/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Names are looked up by the system's resolver, which blocks for seconds when its servers are dead
 * and cannot be stopped. uv_getaddrinfo would keep the loop running until it came back, and occupy
 * one of the few threads of libuv's pool. So each look-up has a thread and memory of its own:
 * cancelling forgets it, closing the environment never waits.
 */

/* Threads at once: more than a node has servers. */
enum { LOOKUPS_MAX = 32 };

typedef struct lookup {
  wg_list item; /* in done or nowhere */
  wg_uv_lookups *lookups;
  wg_resolve *owner; /* the loop's business only; NULL once cancelled */
  char host[WG_HOST_LEN];
  char service[6];
  int family;
  int status;
  size_t count;
  warp_addr addrs[WG_RESOLVE_MAX];
} lookup;

struct wg_uv_lookups {
  uv_mutex_t lock;   /* guards what follows */
  uv_async_t *ready; /* NULL once the environment is closed */
  wg_list done;      /* finished, for the loop to fetch */
  unsigned workers;
};

struct wg_resolve {
  wg_uv_env *env;
  wg_resolve_cb cb;
  void *arg;
  bool told;      /* the callback is running: cancelling means nothing any more */
  lookup *lookup; /* NULL for a numeric address */
  int status;     /* of a numeric address */
  warp_addr numeric;
  wg_timer timer; /* brings it to the loop */
};

/* ---- the worker ------------------------------------------------------------------------------ */

static int status_of(int error) {
  switch (error) {
  case 0:
    return WARP_OK;
  case EAI_AGAIN:
    return WARP_TIMEOUT;
  case EAI_MEMORY:
    return WARP_NOMEM;
  case EAI_SYSTEM:
    return wg_uv_status(errno);
  default: /* no such name, or no address of the family */
    return WARP_NOT_FOUND;
  }
}

static void look_up(lookup *job) {
  struct addrinfo hints = {
      .ai_family = job->family == WARP_IP4   ? AF_INET
                   : job->family == WARP_IP6 ? AF_INET6
                                             : AF_UNSPEC,
      .ai_socktype = SOCK_DGRAM, /* one of each address instead of one for each kind of socket */
      .ai_flags = AI_NUMERICSERV,
  };
  struct addrinfo *list = NULL;
  job->status = status_of(getaddrinfo(job->host, job->service, &hints, &list));
  if (job->status != WARP_OK) {
    return;
  }
  for (struct addrinfo *info = list; info != NULL && job->count < WG_RESOLVE_MAX;
       info = info->ai_next) {
    warp_addr addr = wg_uv_addr(info->ai_addr);
    if (addr.family != 0) {
      job->addrs[job->count++] = addr;
    }
  }
  freeaddrinfo(list);
  job->status = job->count > 0 ? WARP_OK : WARP_NOT_FOUND;
}

/* Called with the lock held, which it gives back. */
static void unlock_or_free(wg_uv_lookups *lookups) {
  bool last = lookups->ready == NULL && lookups->workers == 0;
  uv_mutex_unlock(&lookups->lock);
  if (last) {
    uv_mutex_destroy(&lookups->lock);
    free(lookups);
  }
}

static void *work(void *arg) {
  lookup *job = arg;
  wg_uv_lookups *lookups = job->lookups;
  look_up(job);
  uv_mutex_lock(&lookups->lock);
  if (lookups->ready != NULL) {
    wg_list_push(&lookups->done, &job->item);
    uv_async_send(lookups->ready);
  } else {
    free(job);
  }
  lookups->workers--;
  unlock_or_free(lookups);
  return NULL;
}

/* Takes all signals away from the worker, so that the program's handlers run on its own threads. */
static int start_thread(lookup *job) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_t thread;
  if (pthread_attr_init(&attributes) != 0) {
    return WARP_NOMEM;
  }
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attributes, work, job);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error == 0 ? WARP_OK : WARP_NOMEM;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void set_busy(wg_uv_env *env, int change) {
  env->lookups_busy = (unsigned)((int)env->lookups_busy + change);
  uv_handle_t *handle = (uv_handle_t *)&env->lookups_ready;
  if (env->lookups_busy > 0) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

static void complete(wg_resolve *resolve, int status, const warp_addr *addrs, size_t count) {
  resolve->env->open--;
  resolve->told = true;
  resolve->cb(resolve->arg, status, status == WARP_OK ? addrs : NULL,
              status == WARP_OK ? count : 0);
  free(resolve);
}

static void on_ready(uv_async_t *async) {
  wg_uv_env *env = async->data;
  wg_uv_lookups *lookups = env->lookups;
  wg_list done;
  wg_list_init(&done);
  uv_mutex_lock(&lookups->lock);
  while (!wg_list_empty(&lookups->done)) {
    wg_list *item = lookups->done.next;
    wg_list_remove(item);
    wg_list_push(&done, item);
  }
  uv_mutex_unlock(&lookups->lock);
  while (!wg_list_empty(&done)) {
    lookup *job = WG_CONTAINER(done.next, lookup, item);
    wg_list_remove(&job->item);
    if (job->owner != NULL) {
      set_busy(env, -1);
      job->owner->lookup = NULL;
      complete(job->owner, job->status, job->addrs, job->count);
    }
    free(job);
  }
}

int wg_uv_lookups_open(wg_uv_env *env) {
  wg_uv_lookups *lookups = calloc(1, sizeof *lookups);
  if (lookups == NULL) {
    return WARP_NOMEM;
  }
  if (uv_mutex_init(&lookups->lock) != 0) {
    free(lookups);
    return WARP_NOMEM;
  }
  int error = uv_async_init(env->loop, &env->lookups_ready, on_ready);
  if (error != 0) {
    uv_mutex_destroy(&lookups->lock);
    free(lookups);
    return wg_uv_status(error);
  }
  env->handles++;
  env->lookups_ready.data = env;
  uv_unref((uv_handle_t *)&env->lookups_ready);
  lookups->ready = &env->lookups_ready;
  wg_list_init(&lookups->done);
  env->lookups = lookups;
  return WARP_OK;
}

void wg_uv_lookups_close(wg_uv_env *env) {
  wg_uv_lookups *lookups = env->lookups;
  uv_mutex_lock(&lookups->lock);
  lookups->ready = NULL;
  while (!wg_list_empty(&lookups->done)) { /* all cancelled: nothing is open any more */
    lookup *job = WG_CONTAINER(lookups->done.next, lookup, item);
    wg_list_remove(&job->item);
    free(job);
  }
  unlock_or_free(lookups);
}

/* ---- the operation --------------------------------------------------------------------------- */

/* An address instead of a name, perhaps with a zone ("fe80::1%eth0"). */
static bool parse_numeric(const char *host, uint16_t port, warp_addr *out) {
  struct sockaddr_in in4;
  struct sockaddr_in6 in6;
  if (uv_ip4_addr(host, port, &in4) == 0) {
    *out = wg_uv_addr((struct sockaddr *)&in4);
    return true;
  }
  if (uv_ip6_addr(host, port, &in6) == 0) {
    *out = wg_uv_addr((struct sockaddr *)&in6);
    return true;
  }
  return false;
}

static void on_numeric(void *arg) {
  wg_resolve *resolve = arg;
  complete(resolve, resolve->status, &resolve->numeric, 1);
}

static int start_lookup(wg_resolve *resolve, const char *host, uint16_t port, int family) {
  wg_uv_lookups *lookups = resolve->env->lookups;
  lookup *job = calloc(1, sizeof *job);
  if (job == NULL) {
    return WARP_NOMEM;
  }
  wg_list_init(&job->item);
  job->lookups = lookups;
  job->owner = resolve;
  job->family = family;
  memcpy(job->host, host, strlen(host) + 1);
  snprintf(job->service, sizeof job->service, "%u", port);
  uv_mutex_lock(&lookups->lock);
  int status = lookups->workers < LOOKUPS_MAX ? WARP_OK : WARP_LIMIT;
  if (status == WARP_OK) {
    lookups->workers++;
  }
  uv_mutex_unlock(&lookups->lock);
  if (status == WARP_OK) {
    status = start_thread(job);
    if (status != WARP_OK) {
      uv_mutex_lock(&lookups->lock);
      lookups->workers--;
      uv_mutex_unlock(&lookups->lock);
    }
  }
  if (status != WARP_OK) {
    free(job);
    return status;
  }
  resolve->lookup = job;
  set_busy(resolve->env, 1);
  return WARP_OK;
}

int wg_uv_resolve(wg_env *base, const char *host, uint16_t port, int family, wg_resolve_cb cb,
                  void *arg, wg_resolve **out) {
  if (host[0] == '\0' || strlen(host) >= WG_HOST_LEN ||
      (family != 0 && family != WARP_IP4 && family != WARP_IP6)) {
    return WARP_INVALID;
  }
  wg_resolve *resolve = calloc(1, sizeof *resolve);
  if (resolve == NULL) {
    return WARP_NOMEM;
  }
  resolve->env = wg_uv_env_of(base);
  resolve->cb = cb;
  resolve->arg = arg;
  if (parse_numeric(host, port, &resolve->numeric)) {
    bool fits = family == 0 || family == resolve->numeric.family;
    resolve->status = fits ? WARP_OK : WARP_NOT_FOUND;
    wg_timer_start(base, &resolve->timer, 0, on_numeric, resolve);
  } else {
    int status = start_lookup(resolve, host, port, family);
    if (status != WARP_OK) {
      free(resolve);
      return status;
    }
  }
  resolve->env->open++;
  *out = resolve;
  return WARP_OK;
}

void wg_uv_resolve_cancel(wg_resolve *resolve) {
  if (resolve->told) {
    return;
  }
  wg_uv_env *env = resolve->env;
  wg_timer_stop(&env->base, &resolve->timer);
  if (resolve->lookup != NULL) {
    resolve->lookup->owner = NULL;
    set_busy(env, -1);
  }
  env->open--;
  free(resolve);
}
