/* TCP handles: what env.h promises of them. The protocol is in tcp_machine.c. */
#include "internal.h"

#include <stdlib.h>

static sim_world *world_of(const wg_tcp *tcp) {
  return tcp->host->world;
}

static void check_owned(const wg_tcp *tcp, const char *what) {
  if (!tcp->owned) {
    sim_fail("%s on a closed TCP connection of %s", what, tcp->host->name);
  }
}

/* ---- connections ----------------------------------------------------------------------------- */

wg_tcp *sim_tcp_new(sim_host *host, const warp_addr *local, const warp_addr *remote) {
  wg_tcp *tcp = sim_alloc(sizeof *tcp);
  tcp->host = host;
  tcp->local = *local;
  tcp->remote = *remote;
  tcp->iss = (uint64_t)wg_rng_next(&host->ports) >> 32;
  tcp->una = tcp->next = tcp->peak = tcp->iss;
  wg_list_push(&host->tcp, &tcp->item);
  return tcp;
}

void sim_tcp_free(wg_tcp *tcp) {
  wg_timer *events[] = {&tcp->retransmit, &tcp->linger, &tcp->resume, &tcp->drain};
  for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
    wg_timers_stop(&world_of(tcp)->events, events[i]);
  }
  sim_buffer_free(&tcp->out);
  sim_buffer_free(&tcp->in);
  wg_list_remove(&tcp->item);
  tcp->owned = false;
  tcp->freed = true;
  sim_bury(world_of(tcp), tcp);
}

static bool connected(const sim_host *host, const warp_addr *local, const warp_addr *remote) {
  for (wg_list *item = host->tcp.next; item != &host->tcp; item = item->next) {
    const wg_tcp *tcp = WG_CONTAINER(item, wg_tcp, item);
    if (wg_addr_equal(&tcp->local, local) && wg_addr_equal(&tcp->remote, remote) &&
        tcp->state != SIM_TCP_DEAD) {
      return true;
    }
  }
  return false;
}

int sim_tcp_connect(wg_env *env, const warp_addr *local, const warp_addr *to, unsigned flags,
                    const wg_tcp_handlers *handlers, void *arg, wg_tcp **out) {
  sim_host *host = SIM_HOST(env);
  warp_addr any = wg_addr_any(to->family, 0);
  warp_addr bound, source;
  if (to->port == 0 || (local != NULL && local->family != to->family)) {
    return WARP_INVALID;
  }
  int status = sim_host_bind(host, WARP_TCP, local != NULL ? local : &any, flags, &bound);
  if (status == WARP_OK) {
    status = sim_host_source(host, &bound, to, &source);
  }
  if (status != WARP_OK) {
    return status;
  }
  if (connected(host, &source, to)) {
    return WARP_ADDR_NOT_AVAILABLE; /* as Linux says of a second connection with both ends equal */
  }
  wg_tcp *tcp = sim_tcp_new(host, &source, to);
  tcp->flags = flags;
  tcp->dialled = true;
  tcp->owned = true;
  sim_tcp_set_handlers(tcp, handlers, arg);
  sim_tcp_start(tcp);
  *out = tcp;
  return WARP_OK;
}

void sim_tcp_set_handlers(wg_tcp *tcp, const wg_tcp_handlers *handlers, void *arg) {
  check_owned(tcp, "set_handlers");
  tcp->handlers = *handlers;
  tcp->arg = arg;
  tcp->handled = true;
}

size_t sim_tcp_queued(const wg_tcp *tcp) {
  check_owned(tcp, "queued");
  size_t in_flight = tcp->state == SIM_TCP_OPEN ? (size_t)(tcp->next - tcp->una) : 0;
  size_t waiting = sim_buffer_len(&tcp->out);
  return waiting > in_flight ? waiting - in_flight : 0;
}

int sim_tcp_send(wg_tcp *tcp, const void *data, size_t len) {
  check_owned(tcp, "send");
  if (tcp->fin_queued || tcp->state == SIM_TCP_DEAD) {
    return WARP_CLOSED;
  }
  if (sim_tcp_queued(tcp) + len > WG_TCP_QUEUE_MAX) {
    return WARP_AGAIN;
  }
  sim_buffer_append(&tcp->out, data, len);
  sim_tcp_push(tcp);
  tcp->draining = sim_tcp_queued(tcp) > 0;
  return WARP_OK;
}

int sim_tcp_shutdown(wg_tcp *tcp) {
  check_owned(tcp, "shutdown");
  if (tcp->fin_queued || tcp->state == SIM_TCP_DEAD) {
    return WARP_CLOSED;
  }
  tcp->fin_queued = true;
  sim_tcp_push(tcp);
  return WARP_OK;
}

static void resume(void *arg) {
  wg_tcp *tcp = arg;
  sim_tcp_deliver(tcp);
  if (!tcp->freed && tcp->state == SIM_TCP_OPEN) {
    sim_tcp_send_ack(tcp);
  }
}

void sim_tcp_pause(wg_tcp *tcp, bool paused) {
  check_owned(tcp, "pause");
  if (tcp->paused && !paused) {
    sim_event_start(world_of(tcp), &tcp->resume, 0, resume, tcp);
  }
  tcp->paused = paused;
}

void sim_tcp_addrs(const wg_tcp *tcp, warp_addr *local, warp_addr *remote) {
  check_owned(tcp, "addrs");
  if (local != NULL) {
    *local = tcp->local;
  }
  if (remote != NULL) {
    *remote = tcp->remote;
  }
}

/* ---- closing --------------------------------------------------------------------------------- */

enum { LINGER_US = 2000000 };

/* Time to send the rest is over. */
static void linger_over(void *arg) {
  wg_tcp *tcp = arg;
  if (!tcp->fin_acked) {
    sim_tcp_send_reset(tcp);
  }
  sim_tcp_free(tcp);
}

void sim_tcp_close(wg_tcp *tcp) {
  check_owned(tcp, "close");
  if (tcp->state != SIM_TCP_OPEN) {
    sim_tcp_reset(tcp);
    return;
  }
  tcp->owned = false;
  sim_buffer_free(&tcp->in);
  wg_timers_stop(&world_of(tcp)->events, &tcp->resume);
  wg_timers_stop(&world_of(tcp)->events, &tcp->drain);
  tcp->fin_queued = true;
  sim_tcp_push(tcp);
  if (tcp->peer_fin && tcp->fin_acked) {
    sim_tcp_free(tcp);
    return;
  }
  sim_event_start(world_of(tcp), &tcp->linger, LINGER_US, linger_over, tcp);
}

void sim_tcp_reset(wg_tcp *tcp) {
  check_owned(tcp, "reset");
  if (tcp->state == SIM_TCP_OPEN || tcp->state == SIM_TCP_SYN_RECEIVED) {
    sim_tcp_send_reset(tcp);
  }
  sim_tcp_free(tcp);
}

/* ---- listeners ------------------------------------------------------------------------------- */

int sim_tcp_listen(wg_env *env, const warp_addr *local, unsigned flags, wg_tcp_accept_cb cb,
                   void *arg, wg_tcp_listener **out) {
  sim_host *host = SIM_HOST(env);
  warp_addr bound;
  int status = sim_host_bind(host, WARP_TCP, local, flags, &bound);
  if (status != WARP_OK) {
    return status;
  }
  wg_tcp_listener *listener = sim_alloc(sizeof *listener);
  *listener = (wg_tcp_listener){.host = host, .local = bound, .flags = flags, .cb = cb, .arg = arg};
  wg_list_push(&host->listeners, &listener->item);
  *out = listener;
  return WARP_OK;
}

static void check_listening(const wg_tcp_listener *listener, const char *what) {
  if (listener->closed) {
    sim_fail("%s on a closed listener of %s", what, listener->host->name);
  }
}

void sim_tcp_listener_local(const wg_tcp_listener *listener, warp_addr *out) {
  check_listening(listener, "local");
  *out = listener->local;
}

void sim_tcp_listener_close(wg_tcp_listener *listener) {
  check_listening(listener, "close");
  sim_host *host = listener->host;
  listener->closed = true;
  wg_list_remove(&listener->item);
  for (wg_list *item = host->tcp.next, *next; item != &host->tcp; item = next) {
    wg_tcp *tcp = WG_CONTAINER(item, wg_tcp, item);
    next = item->next;
    if (tcp->listener == listener) {
      sim_tcp_free(tcp); /* its handshake was not complete */
    }
  }
  sim_bury(host->world, listener);
}
