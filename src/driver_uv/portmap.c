/*
 * A port that the local router keeps open for us: asked for, renewed, and removed in the end. The
 * asking is done by workers (router.h), one at a time for each port.
 */
#include "driver_uv/internal.h"
#include "driver_uv/route.h"
#include "driver_uv/router.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
  NATPMP_MS = 250,      /* the first try; the search by UPnP goes on at the same time as others */
  REMOVE_MS = 750,      /* two tries */
  RENEW_MIN_S = 30,     /* whatever lifetime a router grants */
  RETRY_S = 15,         /* after a failure, then doubling */
  RETRY_MAX_S = 3600,   /* a router that appears is found within the hour */
  RENEWALS_MISSED = 3,  /* a silent router is believed so often: the port lives twice as long */
  DYNAMIC_PORT = 49152, /* RFC 6335 section 6: ports to try when ours is another's */
};

typedef enum stage { SEARCHING, ASKING, CANCELED } stage;

typedef struct job {
  wg_uv_job job;
  wg_portmap *owner; /* the loop's business only */
  bool remove;
  atomic_int
      stage; /* nothing is asked for once it is cancelled, nothing cancelled once asked for */
  wg_router_request request;
  wg_router_way way; /* tried first, if there is one; the one that was granted by */
  int status;
  wg_portmap_grant grant;
} job;

typedef enum portmap_state {
  PORTMAP_WORKING,  /* a worker asks */
  PORTMAP_WAITING,  /* for the next renewal or try */
  PORTMAP_CLOSING,  /* closed, but a worker asks: what it opens is removed then */
  PORTMAP_REMOVING, /* a worker removes */
} portmap_state;

struct wg_portmap {
  wg_uv_env *env;
  portmap_state state;
  warp_addr local;
  warp_transport transport;
  wg_portmap_cb cb;
  void *arg;
  job *job; /* under way */
  wg_timer timer;
  wg_timer first; /* when the first answer is due */
  wg_router_way way;
  wg_portmap_grant grant; /* family 0: nothing is open */
  unsigned failures;
  bool told;
  int told_status;
  warp_addr told_external;
};

/* ---- the worker ------------------------------------------------------------------------------ */

/* From here on the router may open the port. */
static bool may_ask(job *j) {
  int searching = SEARCHING;
  return atomic_compare_exchange_strong(&j->stage, &searching, ASKING) || searching == ASKING;
}

static int ask_natpmp(job *j, wg_natpmp *pmp) {
  if (!may_ask(j)) {
    return WARP_CANCELED;
  }
  j->way.protocol = WG_ROUTER_NATPMP;
  return wg_natpmp_map(pmp, &j->request, &j->grant);
}

static int ask_igd(job *j) {
  if (!may_ask(j)) {
    return WARP_CANCELED;
  }
  return wg_igd_map(&j->way, &j->request, &j->grant);
}

/* NAT-PMP answers at once where it is spoken; if it does not, its answer may come while the search
 * for UPnP goes on. */
static int search(job *j) {
  wg_natpmp *pmp = NULL;
  int status = wg_natpmp_open(&j->request, &pmp);
  if (status == WARP_OK) {
    status = wg_natpmp_await(pmp, NATPMP_MS);
  } else if (status != WARP_NOMEM) {
    status = WARP_NOT_FOUND;
  }
  int found = WARP_NOT_FOUND;
  if (status != WARP_OK) {
    found = wg_igd_find(&j->request, &j->way);
    status = status == WARP_AGAIN ? wg_natpmp_await(pmp, 0) : status;
  }
  if (status == WARP_OK) {
    status = ask_natpmp(j, pmp);
  }
  if (status != WARP_OK && status != WARP_CANCELED && found == WARP_OK) {
    status = ask_igd(j);
  }
  if (pmp != NULL) {
    wg_natpmp_close(pmp);
  }
  return status == WARP_AGAIN ? WARP_NOT_FOUND : status;
}

static int open_port(job *j) {
  int status = WARP_NOT_FOUND;
  if (j->way.protocol == WG_ROUTER_IGD) {
    status = ask_igd(j);
  }
  return status == WARP_OK ? status : search(j);
}

static void remove_port(job *j) {
  wg_natpmp *pmp;
  if (j->way.protocol == WG_ROUTER_IGD) {
    wg_igd_unmap(&j->way, &j->request, j->grant.external.port);
  } else if (wg_natpmp_open(&j->request, &pmp) == WARP_OK) {
    wg_natpmp_unmap(pmp, &j->request, REMOVE_MS);
    wg_natpmp_close(pmp);
  }
}

static void work(wg_uv_job *base) {
  job *j = WG_CONTAINER(base, job, job);
  warp_addr *gateway = &j->request.gateway;
  wg_uv_route route;
  if (gateway->family == 0 && wg_uv_route_of(&j->request.local, &route) == WARP_OK) {
    *gateway = wg_addr_with_port(&route.gateway, WG_ROUTER_NATPMP_PORT);
  }
  if (gateway->family == 0) {
    j->status = WARP_NOT_FOUND;
  } else if (j->remove) {
    remove_port(j);
  } else {
    j->status = open_port(j);
  }
}

static void discard(wg_uv_job *base) {
  free(WG_CONTAINER(base, job, job));
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static bool is_open(const wg_portmap *portmap) {
  return portmap->grant.external.family != 0;
}

static void tell(wg_portmap *portmap, int status) {
  const warp_addr *external = &portmap->grant.external;
  if (portmap->told && portmap->told_status == status &&
      (status != WARP_OK || wg_addr_equal(external, &portmap->told_external))) {
    return;
  }
  portmap->told = true;
  portmap->told_status = status;
  portmap->told_external = *external;
  wg_timer_stop(&portmap->env->base, &portmap->first);
  wg_portmap_grant grant = portmap->grant; /* it may be closed in the callback */
  portmap->cb(portmap->arg, status, status == WARP_OK ? &grant : NULL);
}

static void on_first_due(void *arg) {
  tell(arg, WARP_TIMEOUT);
}

static void done(wg_uv_job *base);

static int start(wg_portmap *portmap, bool removal) {
  job *j = calloc(1, sizeof *j);
  if (j == NULL) {
    return WARP_NOMEM;
  }
  wg_uv_env *env = portmap->env;
  j->job = (wg_uv_job){.work = work, .done = done, .discard = discard};
  j->owner = portmap;
  j->remove = removal;
  atomic_init(&j->stage, is_open(portmap) ? ASKING : SEARCHING);
  j->request = (wg_router_request){
      .local = portmap->local, .gateway = env->gateway, .transport = portmap->transport};
  j->request.ports[0] = is_open(portmap) ? portmap->grant.external.port : portmap->local.port;
  for (size_t i = 1; i < WG_ROUTER_PORTS; i++) {
    j->request.ports[i] =
        (uint16_t)(DYNAMIC_PORT + wg_rng_below(&env->jitter, 65536 - DYNAMIC_PORT));
  }
  j->way = portmap->way;
  j->grant = portmap->grant;
  int status = wg_uv_job_start(env, &j->job);
  if (status != WARP_OK) {
    free(j);
    return status;
  }
  portmap->job = j;
  portmap->state = removal ? PORTMAP_REMOVING : PORTMAP_WORKING;
  return WARP_OK;
}

static void on_timer(void *arg);

static void wait_s(wg_portmap *portmap, uint32_t seconds) {
  portmap->state = PORTMAP_WAITING;
  wg_timer_start(&portmap->env->base, &portmap->timer, (uint64_t)seconds * 1000000, on_timer,
                 portmap);
}

static void opened(wg_portmap *portmap, const job *j) {
  portmap->way = j->way;
  portmap->grant = j->grant;
  portmap->failures = 0;
  uint32_t half_s = WG_ROUTER_LEASE_S / 2; /* also of what never ends: a router may forget */
  if (j->grant.lifetime_s != 0 && j->grant.lifetime_s / 2 < half_s) {
    half_s = j->grant.lifetime_s / 2;
  }
  wait_s(portmap, half_s > RENEW_MIN_S ? half_s : RENEW_MIN_S);
  tell(portmap, WARP_OK);
}

static void failed(wg_portmap *portmap, int status) {
  uint32_t retry_s = portmap->failures < 8 ? (uint32_t)RETRY_S << portmap->failures : RETRY_MAX_S;
  portmap->failures++;
  wait_s(portmap, retry_s < RETRY_MAX_S ? retry_s : RETRY_MAX_S);
  if (is_open(portmap) && status != WARP_REFUSED && portmap->failures < RENEWALS_MISSED) {
    return;
  }
  portmap->grant = (wg_portmap_grant){0};
  portmap->way = (wg_router_way){0};
  tell(portmap, status);
}

static void on_timer(void *arg) {
  wg_portmap *portmap = arg;
  int status = start(portmap, false);
  if (status != WARP_OK) {
    failed(portmap, status);
  }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void end(wg_portmap *portmap) {
  wg_uv_env *env = portmap->env;
  wg_timer_stop(&env->base, &portmap->timer);
  free(portmap);
  wg_uv_env_lingered(env);
}

static void remove_or_end(wg_portmap *portmap) {
  if (!is_open(portmap) || start(portmap, true) != WARP_OK) {
    end(portmap);
  }
}

static void give_up(void *arg) {
  wg_portmap *portmap = arg;
  if (portmap->job != NULL) {
    wg_uv_job_forget(&portmap->job->job);
  }
  end(portmap);
}

static void done(wg_uv_job *base) {
  job *j = WG_CONTAINER(base, job, job);
  wg_portmap *portmap = j->owner;
  portmap->job = NULL;
  switch (portmap->state) {
  case PORTMAP_WORKING:
    if (j->status == WARP_OK) {
      opened(portmap, j);
    } else {
      failed(portmap, j->status);
    }
    break;
  case PORTMAP_CLOSING:
    if (j->status == WARP_OK) {
      portmap->way = j->way;
      portmap->grant = j->grant;
    }
    remove_or_end(portmap);
    break;
  case PORTMAP_REMOVING:
  case PORTMAP_WAITING:
    end(portmap);
    break;
  }
}

void wg_uv_portmap_close(wg_portmap *portmap) {
  wg_uv_env *env = portmap->env;
  wg_timer_stop(&env->base, &portmap->timer);
  wg_timer_stop(&env->base, &portmap->first);
  env->open--;
  env->lingering++;
  int searching = SEARCHING;
  if (portmap->job != NULL &&
      atomic_compare_exchange_strong(&portmap->job->stage, &searching, CANCELED)) {
    wg_uv_job_forget(&portmap->job->job); /* nothing was asked for, so nothing has to be removed */
    portmap->job = NULL;
  }
  wg_timer_start(&env->base, &portmap->timer, (uint64_t)WG_PORTMAP_CLOSE_MS * 1000, give_up,
                 portmap);
  portmap->state = PORTMAP_CLOSING;
  if (portmap->job == NULL) {
    remove_or_end(portmap);
  }
}

int wg_uv_portmap_open(wg_env *base, const warp_addr *local, warp_transport transport,
                       wg_portmap_cb cb, void *arg, wg_portmap **out) {
  if (local->family != WARP_IP4) {
    return WARP_UNSUPPORTED;
  }
  wg_portmap *portmap = calloc(1, sizeof *portmap);
  if (portmap == NULL) {
    return WARP_NOMEM;
  }
  portmap->env = wg_uv_env_of(base);
  portmap->local = *local;
  portmap->transport = transport;
  portmap->cb = cb;
  portmap->arg = arg;
  int status = start(portmap, false);
  if (status != WARP_OK) {
    free(portmap);
    return status;
  }
  wg_timer_start(base, &portmap->first, (uint64_t)WG_PORTMAP_MS * 1000, on_first_due, portmap);
  portmap->env->open++;
  *out = portmap;
  return WARP_OK;
}
