/* One STUN transaction (RFC 8489) on a socket that a plugin opened: under which external address it
 * is seen. */
#include "connect/session.h"

#include "machine/stun_client.h"
#include <stdlib.h>

/* Within two seconds: an answer that takes longer is about a port of long ago, and foretells
 * nothing. */
static const wg_stun_timing timing = {.rto_ms = 200, .sends = 3, .rm = 4, .timeout_ms = 2000};

struct wg_udp_measure {
  warp_udp_socket *socket;
  wg_stun_client client;
  wg_timer timer;
  warp_udp_measured cb;
};

static wg_env *env_of(const wg_udp_measure *measure) {
  return measure->socket->attempt->session->connect->config.env;
}

void wg_measure_free(warp_udp_socket *socket) {
  wg_udp_measure *measure = socket->measure;
  if (measure == NULL)
    return;
  wg_timer_stop(env_of(measure), &measure->timer);
  socket->measure = NULL;
  free(measure);
}

/* The callback is the last thing that is done: it may close the socket. */
static void finish(wg_udp_measure *measure) {
  warp_udp_socket *socket = measure->socket;
  warp_attempt *attempt = socket->attempt;
  warp_udp_measured cb = measure->cb;
  int status = measure->client.result.status;
  warp_addr mapped = measure->client.result.mapped;
  wg_measure_free(socket);
  if (attempt->state == WG_ATTEMPT_RUNNING)
    cb(attempt, socket, status, status == WARP_OK ? &mapped : NULL);
}

static void pump(void *arg) {
  wg_udp_measure *measure = arg;
  wg_env *env = env_of(measure);
  uint64_t now = wg_now_us(env);
  const uint8_t *bytes;
  size_t len;
  while (wg_stun_client_output(&measure->client, now, &bytes, &len))
    (void)env->ops->udp_send(measure->socket->udp, &measure->client.server, bytes, len);
  if (measure->client.state == WG_STUN_CLIENT_DONE) {
    finish(measure);
    return;
  }
  uint64_t deadline = wg_stun_client_deadline(&measure->client);
  wg_timer_start(env, &measure->timer, deadline > now ? deadline - now : 0, pump, measure);
}

bool wg_measure_input(warp_udp_socket *socket, const uint8_t *data, size_t len,
                      const warp_addr *from) {
  wg_udp_measure *measure = socket->measure;
  if (measure == NULL ||
      !wg_stun_client_input(&measure->client, data, len, from, wg_now_us(env_of(measure))))
    return false;
  finish(measure);
  return true;
}

int warp_udp_socket_measure(warp_udp_socket *socket, const warp_addr *server,
                            warp_udp_measured cb) {
  if (socket == NULL || server == NULL || cb == NULL)
    return WARP_INVALID;
  wg_env *env = socket->attempt->session->connect->config.env;
  wg_stun_txid txid;
  if (socket->measure != NULL || socket->attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  int status = env->ops->random(env, txid.bytes, sizeof txid.bytes);
  if (status != WARP_OK)
    return status;
  wg_udp_measure *measure = calloc(1, sizeof *measure);
  if (measure == NULL)
    return WARP_NOMEM;
  measure->socket = socket;
  measure->cb = cb;
  socket->measure = measure;
  wg_stun_client_start(&measure->client, &timing, server, &txid, wg_now_us(env));
  /* Sent with the next turn of the loop: no callback from inside a call. */
  wg_timer_start(env, &measure->timer, 0, pump, measure);
  return WARP_OK;
}
