#include "internal.h"

int sim_udp_open(wg_env *env, const warp_addr *local, unsigned flags, wg_udp_recv_cb cb, void *arg,
                 wg_udp **out) {
  sim_host *host = SIM_HOST(env);
  warp_addr bound;
  int status = sim_host_bind(host, WARP_UDP, local, flags, &bound);
  if (status != WARP_OK) {
    return status;
  }
  wg_udp *udp = sim_alloc(sizeof *udp);
  *udp = (wg_udp){.host = host, .local = bound, .flags = flags, .cb = cb, .arg = arg};
  wg_list_push(&host->udp, &udp->item);
  *out = udp;
  return WARP_OK;
}

void sim_host_set_udp_full(sim_host *host, bool full) {
  host->udp_full = full;
}

static void check_open(const wg_udp *udp, const char *what) {
  if (udp->closed) {
    sim_fail("%s on a closed UDP socket of %s", what, udp->host->name);
  }
}

int sim_udp_send(wg_udp *udp, const warp_addr *to, const void *data, size_t len) {
  check_open(udp, "send");
  bool large = (udp->flags & WG_SOCK_LARGE) != 0;
  if (len > (large ? (size_t)WG_DATAGRAM_MAX : (size_t)WG_UDP_MAX)) {
    return WARP_TOO_BIG;
  }
  if (to->family != udp->local.family || to->port == 0) {
    return WARP_INVALID;
  }
  if (udp->host->udp_full) {
    return WARP_AGAIN;
  }
  warp_addr source;
  int status = sim_host_source(udp->host, &udp->local, to, &source);
  if (status != WARP_OK) {
    return status;
  }
  sim_send(udp->host, WARP_UDP, &source, to, NULL, data, len, NULL);
  return WARP_OK;
}

void sim_udp_local(const wg_udp *udp, warp_addr *out) {
  check_open(udp, "local");
  *out = udp->local;
}

void sim_udp_close(wg_udp *udp) {
  check_open(udp, "close");
  udp->closed = true;
  wg_list_remove(&udp->item);
  sim_bury(udp->host->world, udp);
}

void sim_udp_input(sim_host *host, const sim_packet *packet) {
  wg_udp *best = NULL;
  for (wg_list *item = host->udp.next; item != &host->udp; item = item->next) {
    wg_udp *udp = WG_CONTAINER(item, wg_udp, item);
    bool exact = wg_addr_same_ip(&udp->local, &packet->dst);
    if (sim_bound_matches(&udp->local, &packet->dst) &&
        (best == NULL || exact || !wg_addr_same_ip(&best->local, &packet->dst))) {
      best = udp;
    }
  }
  if (best != NULL) {
    best->cb(best->arg, packet->data, packet->len, &packet->src);
  }
}
