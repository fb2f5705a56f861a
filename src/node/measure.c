/* Drives the measurement of machine/nat_probe.h with two sockets of its own. */
#include "node/measure.h"

#include "base/addr.h"
#include "machine/nat_probe.h"
#include <stdlib.h>
#include <string.h>

typedef struct measure_socket {
  wg_measure *measure;
  wg_probe_socket number;
  wg_udp *udp;
} measure_socket;

struct wg_measure {
  wg_env *env;
  wg_nat_probe probe;
  measure_socket sockets[WG_PROBE_SOCKETS];
  wg_timer timer;
  wg_measure_cb cb;
  void *arg;
};

void wg_measure_cancel(wg_measure *measure) {
  wg_timer_stop(measure->env, &measure->timer);
  for (size_t i = 0; i < WG_PROBE_SOCKETS; i++) {
    if (measure->sockets[i].udp != NULL)
      measure->env->ops->udp_close(measure->sockets[i].udp);
  }
  free(measure);
}

static void pump(void *arg) {
  wg_measure *measure = arg;
  wg_env *env = measure->env;
  wg_probe_packet packet;
  while (wg_nat_probe_output(&measure->probe, wg_now_us(env), &packet))
    (void)env->ops->udp_send(measure->sockets[packet.socket].udp, &packet.to, packet.bytes,
                             packet.len);
  if (measure->probe.done) {
    wg_probe_result result = measure->probe.result;
    wg_measure_cb cb = measure->cb;
    void *cb_arg = measure->arg;
    wg_measure_cancel(measure);
    cb(cb_arg, result.status, &result.axes);
    return;
  }
  uint64_t now = wg_now_us(env), deadline = wg_nat_probe_deadline(&measure->probe);
  wg_timer_start(env, &measure->timer, deadline > now ? deadline - now : 0, pump, measure);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  measure_socket *socket = arg;
  wg_measure *measure = socket->measure;
  if (wg_nat_probe_input(&measure->probe, socket->number, data, len, from, wg_now_us(measure->env)))
    pump(measure);
}

static int draw(void *arg, void *out, size_t len) {
  wg_env *env = arg;
  return env->ops->random(env, out, len);
}

static int open_sockets(wg_measure *measure, const warp_addr *local, wg_probe_options *options) {
  int status = WARP_OK;
  for (size_t i = 0; i < WG_PROBE_SOCKETS && status == WARP_OK; i++) {
    measure_socket *socket = &measure->sockets[i];
    *socket = (measure_socket){.measure = measure, .number = (wg_probe_socket)i};
    warp_addr any_port = wg_addr_with_port(local, 0);
    status =
        measure->env->ops->udp_open(measure->env, &any_port, 0, on_datagram, socket, &socket->udp);
    if (status == WARP_OK)
      measure->env->ops->udp_local(socket->udp, &options->local[i]);
  }
  return status;
}

int wg_measure_start(wg_env *env, const warp_addr *local, const warp_addr *servers, size_t count,
                     uint32_t timeout_ms, wg_measure_cb cb, void *arg, wg_measure **out) {
  wg_measure *measure = calloc(1, sizeof *measure);
  if (measure == NULL)
    return WARP_NOMEM;
  measure->env = env;
  measure->cb = cb;
  measure->arg = arg;
  wg_probe_options options = {.server_count = count < WG_PROBE_SERVERS ? count : WG_PROBE_SERVERS,
                              .timeout_ms = timeout_ms,
                              .random = draw,
                              .random_arg = env};
  memcpy(options.servers, servers, options.server_count * sizeof options.servers[0]);
  int status = open_sockets(measure, local, &options);
  if (status == WARP_OK)
    status = wg_nat_probe_start(&measure->probe, &options, wg_now_us(env));
  if (status != WARP_OK) {
    wg_measure_cancel(measure);
    return status;
  }
  wg_timer_start(env, &measure->timer, 0, pump, measure);
  *out = measure;
  return WARP_OK;
}
