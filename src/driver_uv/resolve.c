#include "driver_uv/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct lookup {
  wg_uv_job job;
  wg_resolve *owner; /* the loop's business only */
  char host[WG_HOST_LEN];
  char service[6];
  int family;
  int status;
  size_t count;
  warp_addr addrs[WG_RESOLVE_MAX];
} lookup;

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

static void work(wg_uv_job *job) {
  look_up(WG_CONTAINER(job, lookup, job));
}

static void discard(wg_uv_job *job) {
  free(WG_CONTAINER(job, lookup, job));
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void complete(wg_resolve *resolve, int status, const warp_addr *addrs, size_t count) {
  resolve->env->open--;
  resolve->told = true;
  resolve->cb(resolve->arg, status, status == WARP_OK ? addrs : NULL,
              status == WARP_OK ? count : 0);
  free(resolve);
}

static void done(wg_uv_job *base) {
  lookup *job = WG_CONTAINER(base, lookup, job);
  complete(job->owner, job->status, job->addrs, job->count);
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
  lookup *job = calloc(1, sizeof *job);
  if (job == NULL) {
    return WARP_NOMEM;
  }
  job->job = (wg_uv_job){.work = work, .done = done, .discard = discard};
  job->owner = resolve;
  job->family = family;
  memcpy(job->host, host, strlen(host) + 1);
  snprintf(job->service, sizeof job->service, "%u", port);
  int status = wg_uv_job_start(resolve->env, &job->job);
  if (status != WARP_OK) {
    free(job);
    return status;
  }
  resolve->lookup = job;
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
    wg_uv_job_forget(&resolve->lookup->job);
  }
  env->open--;
  free(resolve);
}
