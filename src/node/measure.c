/* Drives the measurements of UDP (machine/nat_probe.h) and of TCP (measure_tcp.h) side by side. */
#include "node/measure.h"

#include "base/addr.h"
#include "machine/nat_infer.h"
#include "nat/names.h"
#include "node/measure_tcp.h"
#include <stdlib.h>
#include <string.h>

/* Where TCP does not answer at all, its connects are not waited for longer than so many round trips
 * of UDP: they go on, and what they show is told later. */
enum { TCP_ROUND_TRIPS = 4, TCP_WAIT_MIN_MS = 100 };
/* The confidence in a filter of TCP that is another than UDP's, while a server may still dial back:
 * what has not come by now may be late. */
enum { DOUBTED = 80 };

typedef struct measure_socket {
  wg_measure *measure;
  wg_probe_socket number;
  wg_udp *udp;
} measure_socket;

struct wg_measure {
  wg_env *env;
  uint64_t started_us;
  wg_nat_probe udp;
  measure_socket sockets[WG_PROBE_SOCKETS];
  wg_timer timer;
  wg_tcp_probe *tcp; /* NULL: it ended, or could not begin */
  bool tcp_known, tcp_heard;
  warp_nat_axes tcp_axes;
  uint16_t tcp_low, tcp_high; /* ports seen; 0: too few */
  wg_timer tcp_wait;
  bool told;
  wg_measured found;         /* as told last */
  wg_measure_first_cb first; /* NULL: not wanted, or told */
  wg_measure_cb cb;
  void *arg;
};

static void close_sockets(wg_measure *measure) {
  for (size_t i = 0; i < WG_PROBE_SOCKETS; i++) {
    if (measure->sockets[i].udp != NULL)
      measure->env->ops->udp_close(measure->sockets[i].udp);
    measure->sockets[i].udp = NULL;
  }
}

void wg_measure_cancel(wg_measure *measure) {
  wg_timer_stop(measure->env, &measure->timer);
  wg_timer_stop(measure->env, &measure->tcp_wait);
  close_sockets(measure);
  if (measure->tcp != NULL)
    wg_tcp_probe_free(measure->tcp);
  free(measure);
}

/* ---- what was found -------------------------------------------------------------------------- */

/* TCP as it was measured, and the rest as UDP has it. */
static warp_nat_axes complete(const warp_nat_axes *tcp, const warp_nat_axes *udp) {
  warp_nat_axes axes = *tcp;
  if (tcp->mapping == WARP_NAT_UNKNOWN) {
    axes = *udp;
    axes.confidence = udp->confidence / 2;
    return axes;
  }
  bool filled = false;
  if (axes.filtering == WARP_NAT_UNKNOWN && udp->filtering != WARP_NAT_UNKNOWN) {
    axes.filtering = udp->filtering;
    filled = true;
  }
  if (axes.allocation == WARP_ALLOC_UNKNOWN && udp->allocation != WARP_ALLOC_UNKNOWN) {
    axes.allocation = udp->allocation;
    axes.step = udp->step;
    filled = true;
  }
  if (axes.hairpin == WARP_ABILITY_UNKNOWN)
    axes.hairpin = udp->hairpin;
  if (filled)
    axes.confidence = (uint8_t)(axes.confidence + (100 - axes.confidence) / 4);
  return axes;
}

static wg_measured found_now(const wg_measure *measure) {
  const wg_probe_result *udp = &measure->udp.result;
  wg_measured found = {.udp_status = udp->status,
                       .tcp_status = measure->tcp_heard ? WARP_OK : WARP_TIMEOUT,
                       .udp = udp->axes,
                       .external = udp->external,
                       .server = udp->server,
                       .elapsed_us = (uint32_t)(wg_now_us(measure->env) - measure->started_us)};
  found.tcp = complete(&measure->tcp_axes, &udp->axes);
  if (measure->tcp_axes.allocation == WARP_ALLOC_RANDOM && measure->tcp_high != 0) {
    wg_nat_share_block(&found.tcp, &found.udp, measure->tcp_low, measure->tcp_high);
    wg_nat_share_counter(&found.tcp, &found.udp, measure->tcp_low, measure->tcp_high);
  }
  if (measure->tcp != NULL && found.tcp.filtering != found.udp.filtering &&
      found.tcp.confidence > DOUBTED)
    found.tcp.confidence = DOUBTED;
  memcpy(found.server_rtt_us, udp->server_rtt_us, sizeof found.server_rtt_us);
  return found;
}

/* Tells what is known, when both are, and ends when nothing more is to come. */
static void tell(wg_measure *measure) {
  if (!measure->udp.done || !measure->tcp_known)
    return;
  bool last = measure->tcp == NULL;
  wg_measured found = found_now(measure);
  bool changed = !wg_axes_equal(&found.udp, &measure->found.udp) ||
                 !wg_axes_equal(&found.tcp, &measure->found.tcp);
  if (measure->told && !changed && !last)
    return;
  measure->told = true;
  measure->found = found;
  wg_measure_cb cb = measure->cb;
  void *arg = measure->arg;
  if (last)
    wg_measure_cancel(measure);
  cb(arg, &found, last);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void on_tcp(void *arg, const warp_nat_axes *axes, bool last) {
  wg_measure *measure = arg;
  measure->tcp_known = true;
  measure->tcp_axes = *axes;
  if (!wg_tcp_probe_ports(measure->tcp, &measure->tcp_low, &measure->tcp_high))
    measure->tcp_low = measure->tcp_high = 0;
  measure->tcp_heard = measure->tcp_heard || wg_tcp_probe_heard(measure->tcp);
  if (last) {
    wg_tcp_probe_free(measure->tcp);
    measure->tcp = NULL;
  }
  tell(measure);
}

static void on_tcp_wait(void *arg) {
  wg_measure *measure = arg;
  measure->tcp_known = true;
  tell(measure);
}

/* ---- UDP ------------------------------------------------------------------------------------- */

static void udp_ended(wg_measure *measure) {
  close_sockets(measure);
  if (!measure->tcp_known && !wg_tcp_probe_heard(measure->tcp)) {
    uint64_t wait_us = (uint64_t)TCP_ROUND_TRIPS * measure->udp.result.rtt_us;
    uint64_t least_us = (uint64_t)TCP_WAIT_MIN_MS * 1000;
    wg_timer_start(measure->env, &measure->tcp_wait, wait_us > least_us ? wait_us : least_us,
                   on_tcp_wait, measure);
  }
  tell(measure);
}

static void pump(void *arg) {
  wg_measure *measure = arg;
  wg_env *env = measure->env;
  wg_probe_packet packet;
  while (wg_nat_probe_output(&measure->udp, wg_now_us(env), &packet))
    (void)env->ops->udp_send(measure->sockets[packet.socket].udp, &packet.to, packet.bytes,
                             packet.len); /* a lost one is sent again */
  if (measure->udp.filtering && measure->tcp != NULL)
    wg_tcp_probe_other(measure->tcp, measure->udp.owner, &measure->udp.other);
  if (measure->udp.done) {
    udp_ended(measure);
    return;
  }
  uint64_t now = wg_now_us(env), deadline = wg_nat_probe_deadline(&measure->udp);
  wg_timer_start(env, &measure->timer, deadline > now ? deadline - now : 0, pump, measure);
  warp_addr external;
  wg_measure_first_cb first = measure->first;
  if (first != NULL && wg_nat_probe_first(&measure->udp, &external)) {
    measure->first = NULL;
    first(measure->arg, &external, &measure->udp); /* it may be the end of us */
  }
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  measure_socket *socket = arg;
  wg_measure *measure = socket->measure;
  if (wg_nat_probe_input(&measure->udp, socket->number, data, len, from, wg_now_us(measure->env)))
    pump(measure);
}

static int draw(void *arg, void *out, size_t len) {
  wg_env *env = arg;
  return env->ops->random(env, out, len);
}

void wg_measure_on_first(wg_measure *measure, wg_measure_first_cb cb) {
  measure->first = cb;
}

static int open_socket(measure_socket *socket, const warp_addr *local, warp_addr *bound) {
  wg_env *env = socket->measure->env;
  warp_addr any_port = wg_addr_with_port(local, 0);
  int status = env->ops->udp_open(env, &any_port, 0, on_datagram, socket, &socket->udp);
  if (status == WARP_OK)
    env->ops->udp_local(socket->udp, bound);
  if (status == WARP_OK && bound->port == local->port) { /* another one, as long as this is open */
    wg_udp *taken = socket->udp;
    status = env->ops->udp_open(env, &any_port, 0, on_datagram, socket, &socket->udp);
    if (status == WARP_OK)
      env->ops->udp_local(socket->udp, bound);
    env->ops->udp_close(taken);
  }
  if (status != WARP_OK)
    socket->udp = NULL;
  return status;
}

static int open_sockets(wg_measure *measure, const warp_addr *local, wg_probe_options *options) {
  int status = WARP_OK;
  for (size_t i = 0; i < WG_PROBE_SOCKETS && status == WARP_OK; i++) {
    measure_socket *socket = &measure->sockets[i];
    *socket = (measure_socket){.measure = measure, .number = (wg_probe_socket)i};
    status = open_socket(socket, local, &options->local[i]);
  }
  return status;
}

int wg_measure_start(wg_env *env, const warp_addr *local, const warp_addr *servers, size_t count,
                     uint32_t timeout_ms, wg_measure_cb cb, void *arg, wg_measure **out) {
  wg_measure *measure = calloc(1, sizeof *measure);
  if (measure == NULL)
    return WARP_NOMEM;
  measure->env = env;
  measure->started_us = wg_now_us(env);
  measure->cb = cb;
  measure->arg = arg;
  wg_probe_options options = {.server_count = count < WG_PROBE_SERVERS ? count : WG_PROBE_SERVERS,
                              .timeout_ms = timeout_ms,
                              .random = draw,
                              .random_arg = env};
  memcpy(options.servers, servers, options.server_count * sizeof options.servers[0]);
  int status = open_sockets(measure, local, &options);
  if (status == WARP_OK)
    status = wg_nat_probe_start(&measure->udp, &options, wg_now_us(env));
  if (status != WARP_OK) {
    wg_measure_cancel(measure);
    return status;
  }
  if (wg_tcp_probe_start(env, local, local->port, servers, options.server_count, on_tcp, measure,
                         &measure->tcp) != WARP_OK) {
    measure->tcp = NULL;
    measure->tcp_known = true;
  }
  wg_timer_start(env, &measure->timer, 0, pump, measure);
  *out = measure;
  return WARP_OK;
}
